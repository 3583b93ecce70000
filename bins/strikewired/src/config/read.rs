//! Reads the configuration file, and says what is wrong with it: where, what, and what was
//! probably meant. Never with a value of the file, which may be a secret.

use core::fmt;
use std::path::Path;
use std::sync::LazyLock;

use anyhow::{Context, anyhow};
use serde_path_to_error::Segment;

use super::file::File;
use super::{SAMPLE, ranges};

/// Reads the file at `path`.
pub(super) fn read(path: &Path) -> anyhow::Result<File> {
    let name = path.display().to_string();
    let text =
        std::fs::read_to_string(path).with_context(|| format!("the configuration {name}"))?;
    parse(&name, &text)
}

/// Reads `text`, which is the file called `name`.
pub(super) fn parse(name: &str, text: &str) -> anyhow::Result<File> {
    let line = |error: &toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start);
        let before = text.get(..start).unwrap_or(text);
        before.bytes().filter(|&byte| byte == b'\n').count() + 1
    };
    let document = toml::Deserializer::parse(text)
        .map_err(|error| anyhow!("{name}, line {}: {}", line(&error), error.message()))?;
    serde_path_to_error::deserialize(document).map_err(|error| {
        let path: Vec<_> = error
            .path()
            .iter()
            .filter_map(|segment| match segment {
                Segment::Map { key } => Some(key.clone()),
                _ => None,
            })
            .collect();
        let inner = error.inner();
        let line = line(inner);
        let what = match unknown(inner.message()) {
            Some(key) => unknown_key(&path, key),
            None => wrong_value(&path, inner.message()),
        };
        anyhow!("{name}, line {line}: {what}")
    })
}

/// The name of the field that a message is about, if it says that there is no such field.
fn unknown(message: &str) -> Option<&str> {
    let rest = message.strip_prefix("unknown field `")?;
    rest.split_once('`').map(|(name, _)| name)
}

fn unknown_key(path: &[String], key: &str) -> String {
    // The path may or may not end with the key itself.
    let section = path.first().filter(|&first| first != key || path.len() > 1);
    let full = match section {
        Some(section) => format!("{section}.{key}"),
        None => key.to_owned(),
    };
    match nearest(section.map_or("", String::as_str), key) {
        Some(meant) => format!("there is no setting {full}, did you mean {meant}?"),
        None => format!("there is no setting {full}"),
    }
}

/// What a key that is not known is probably meant to be: one of that name in another
/// section, or one with a similar name in the same.
fn nearest(section: &str, key: &str) -> Option<Known> {
    let similar = |known: &str| strsim::jaro_winkler(known, key);
    KNOWN
        .iter()
        .map(|known| {
            let likeness = similar(known.key);
            // Elsewhere only the very name is a better guess than a slip here.
            let same = known.section == section;
            (
                if same || likeness == 1.0 {
                    likeness
                } else {
                    0.0
                },
                known,
            )
        })
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| *known)
}

fn wrong_value(path: &[String], message: &str) -> String {
    let key = path.join(".");
    let expected = ranges::of(&key).map_or_else(String::new, |range| format!(" ({range})"));
    let message = without_text(message);
    if key.is_empty() {
        format!("{message}{expected}")
    } else {
        format!("{key}: {message}{expected}")
    }
}

/// A message of serde without the text that was given: it may be a secret that stands at
/// the wrong key.
fn without_text(message: &str) -> String {
    let begin = message.find("string \"");
    let end = message.rfind("\", expected");
    match (begin, end) {
        (Some(begin), Some(end)) if begin < end => {
            format!("{}text{}", &message[..begin], &message[end + 1..])
        }
        _ => message.to_owned(),
    }
}

/// A key of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// Empty for the keys at the top, and for the sections themselves.
    pub(super) section: &'static str,
    pub(super) key: &'static str,
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.section {
            "" => f.write_str(self.key),
            section => write!(f, "{section}.{}", self.key),
        }
    }
}

/// All keys, as the sample shows them: set, or in a comment where there is no default. A
/// test compares them with what is taken.
pub(super) static KNOWN: LazyLock<Vec<Known>> = LazyLock::new(|| {
    let mut known: Vec<Known> = Vec::new();
    let mut section = "";
    for line in SAMPLE.lines() {
        let found = if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
            Known {
                section: "",
                key: section,
            }
        } else if let Some((key, _)) = line.trim_start_matches("# ").split_once(" = ")
            && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        {
            Known { section, key }
        } else {
            continue;
        };
        if !known.contains(&found) {
            known.push(found);
        }
    }
    known
});
