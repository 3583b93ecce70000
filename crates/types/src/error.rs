/// A text that is not what it was read as.
///
/// The message names the text and what would have been accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
#[non_exhaustive]
pub struct ParseError {
    /// The text as it was given, cut to 64 characters.
    pub text: String,
    /// What would have been accepted.
    pub expected: &'static str,
}

impl ParseError {
    /// An error about `text`, of which at most 64 characters are kept.
    #[must_use]
    pub fn new(text: &str, expected: &'static str) -> Self {
        Self {
            text: text.chars().take(64).collect(),
            expected,
        }
    }
}
