//! Durations as people write them.

use core::time::Duration;

/// A year and more is no test.
const LONGEST_S: f64 = 365.0 * 86_400.0;

/// What [`parse`] accepts, for messages.
pub(super) const EXPECTED: &str =
    "a duration of at most a year such as \"30s\", \"1m30s\", \"250ms\" or \"4.5h\"";

/// Parts of number and unit, `ms`, `s`, `m` or `h`.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        seconds += number
            * match &rest[..end] {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3_600.0,
                _ => return None,
            };
        rest = &rest[end..];
    }
    (seconds <= LONGEST_S).then(|| Duration::from_micros((seconds * 1e6).round() as u64))
}

/// The same, whole seconds, perhaps less than nothing.
pub(super) fn parse_signed_seconds(text: &str) -> Option<i64> {
    let text = text.trim();
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let duration = parse(text)?;
    let whole = duration.subsec_nanos() == 0;
    whole.then_some(sign * i64::try_from(duration.as_secs()).ok()?)
}
