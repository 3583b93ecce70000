//! Places at which a debug build can be made to abort, for crash tests.

/// Aborts the process when the environment variable `STRIKEWIRE_CRASH_AT`, read once,
/// is `name`, or `name:N` and this is the N-th time that the place is reached. Does
/// nothing in release builds.
#[cfg(debug_assertions)]
pub fn point(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static REACHED: AtomicU64 = AtomicU64::new(0);

    let wanted = WANTED.get_or_init(|| {
        std::env::var("STRIKEWIRE_CRASH_AT")
            .ok()
            .map(|text| parse(&text))
    });
    if let Some((place, times)) = wanted
        && place == name
        && REACHED.fetch_add(1, Ordering::Relaxed) + 1 == *times
    {
        std::process::abort();
    }
}

/// Does nothing in release builds.
#[cfg(not(debug_assertions))]
#[inline]
pub const fn point(_name: &'static str) {}

/// The place, and the how many-th time: the first unless a number says otherwise.
#[cfg(debug_assertions)]
fn parse(text: &str) -> (String, u64) {
    match text.rsplit_once(':') {
        Some((name, times)) if times.parse::<u64>().is_ok_and(|n| n > 0) => {
            (name.to_owned(), times.parse().unwrap_or(1))
        }
        _ => (text.to_owned(), 1),
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::parse;

    #[test]
    fn a_place_may_have_a_count() {
        for (text, name, times) in [
            ("before_commit", "before_commit", 1),
            ("before_commit:3", "before_commit", 3),
            ("x:0", "x:0", 1),
            ("x:y", "x:y", 1),
        ] {
            assert_eq!(parse(text), (name.to_owned(), times), "{text}");
        }
    }
}
