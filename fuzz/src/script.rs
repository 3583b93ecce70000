use strikewire_dhan_sim::script::{MAX_ENTRIES, SHORTEST, Script};

/// A text that may be a script: it is read within its limits, or the error names a line.
pub fn script(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else {
        return;
    };
    match text.parse::<Script>() {
        Ok(script) => {
            assert!(script.entries.len() <= MAX_ENTRIES);
            for entry in &script.entries {
                assert!(
                    entry.every.is_none_or(|every| every >= SHORTEST),
                    "{entry:?}"
                );
                assert!(!entry.incident.fault.kind().is_empty());
            }
        }
        Err(error) => assert!(error.to_string().starts_with("script"), "{error}"),
    }
}
