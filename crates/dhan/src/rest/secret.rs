//! The access token is in the headers of every request, and must be in nothing that is
//! shown, even when the broker sends it back.

use secrecy::{ExposeSecret, SecretString};
use strikewire_broker::ReferenceError;
use url::form_urlencoded::byte_serialize;

/// Parts of a token that are shorter tell nothing.
const SHORTEST_PART: usize = 8;

/// What stands where the token was.
const MASK: &str = "[token]";

/// What is shown of a text from outside.
const LONGEST: usize = 200;

/// A text without the token, as it is or as in an address, and without the parts
/// between its dots.
pub(super) fn without_token(text: &str, token: &SecretString) -> String {
    let token = token.expose_secret();
    let encoded: String = byte_serialize(token.as_bytes()).collect();
    let parts = token.split('.').filter(|part| part.len() >= SHORTEST_PART);
    [token, encoded.as_str()]
        .into_iter()
        .chain(parts)
        .filter(|secret| !secret.is_empty())
        .fold(text.to_owned(), |text, secret| text.replace(secret, MASK))
}

/// An error that can be shown: what comes from outside is without the token that was
/// sent, if one was, on one line and not long.
pub(super) fn presented(mut error: ReferenceError, token: Option<&SecretString>) -> ReferenceError {
    let clean = |text: &mut String| {
        if let Some(token) = token {
            *text = without_token(text, token);
        }
        let printable = |c: char| if c.is_control() { ' ' } else { c };
        *text = text.chars().map(printable).take(LONGEST).collect();
    };
    match &mut error {
        ReferenceError::Limited { code, detail, .. }
        | ReferenceError::Credentials { code, detail, .. }
        | ReferenceError::NotEntitled { code, detail, .. }
        | ReferenceError::Rejected { code, detail, .. } => {
            clean(code);
            clean(detail);
        }
        ReferenceError::NoData { detail, .. }
        | ReferenceError::Unavailable { detail, .. }
        | ReferenceError::Unexpected { detail, .. } => clean(detail),
        // Nothing from outside is in them.
        _ => {}
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_and_its_parts_are_masked() {
        let token = SecretString::from("header-of-it.claims-of-it.x");
        let error = ReferenceError::Limited {
            call: "quotes",
            code: "header-of-it.claims-of-it.x".to_owned(),
            detail: format!("bad claims-of-it\n{}", "x".repeat(1_000)),
            retry_after: None,
        };
        let ReferenceError::Limited { code, detail, .. } = presented(error, Some(&token)) else {
            panic!("the same error")
        };
        assert_eq!(code, "[token]");
        assert!(detail.starts_with("bad [token] xxx"), "{detail}");
        assert_eq!(detail.len(), 200);
        let token = SecretString::from("a&b");
        assert_eq!(without_token("a&b ?t=a%26b", &token), "[token] ?t=[token]");
    }

    #[test]
    fn where_none_was_sent_a_text_is_only_made_presentable() {
        let error = ReferenceError::NoData {
            call: "instrument master",
            detail: "a\r\nb".to_owned(),
        };
        let shown = presented(error, None).to_string();
        assert_eq!(shown, "instrument master: no data (a  b)");
    }
}
