//! Why a server did not do what it was asked, for people.

use serde::Deserialize;

/// A problem document, or an error of the stream.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Problem {
    pub(crate) detail: String,
    #[serde(default)]
    pub(crate) code: String,
    #[serde(default)]
    field: Option<String>,
    #[serde(default)]
    choices: Vec<String>,
    #[serde(default)]
    request_id: Option<String>,
}

/// What is known beside the document.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Circumstances {
    /// Seconds after which the server would like to be asked again.
    pub(crate) retry_after: Option<u64>,
    /// Whether a key was sent.
    pub(crate) has_key: bool,
    pub(crate) is_verbose: bool,
}

impl Problem {
    /// What is wrong, what would have been accepted, and what to do about it.
    pub(crate) fn text(&self, about: Circumstances) -> String {
        let mut text = self.detail.clone();
        let mut line = |name: &str, value: &str| text += &format!("\n  {name}: {value}");
        if let Some(field) = &self.field {
            line("field", field);
        }
        // A server may have put them into the sentence.
        let is_said = |choice: &String| mentions(&self.detail, choice);
        if !self.choices.iter().all(is_said) {
            line("choices", &self.choices.join(", "));
        }
        if about.is_verbose {
            if !self.code.is_empty() {
                line("code", &self.code);
            }
            if let Some(id) = &self.request_id {
                line("request", id);
            }
        }
        if let Some(hint) = self.hint(about) {
            line("hint", &hint);
        }
        text
    }

    fn hint(&self, about: Circumstances) -> Option<String> {
        match (self.code.as_str(), about.retry_after) {
            ("unauthorized", _) => Some(
                if about.has_key {
                    "the key in STRIKEWIRE_API_KEY is not one of this server's; \
                     `strikewire auth new-key` makes one where the server keeps its data"
                } else {
                    "STRIKEWIRE_API_KEY holds the key; `strikewire auth new-key` makes one \
                     where the server keeps its data"
                }
                .to_owned(),
            ),
            ("missing_field", _) if self.field.as_deref() == Some("user_id") => {
                Some("--user or STRIKEWIRE_USER names the user".to_owned())
            }
            (_, Some(1)) => Some("again in a second".to_owned()),
            (_, Some(seconds)) => Some(format!("again in {seconds} seconds")),
            _ => None,
        }
    }
}

/// Whether a text has something as words of its own.
fn mentions(text: &str, words: &str) -> bool {
    let is_apart = |neighbour: Option<char>| neighbour.is_none_or(|c| !c.is_alphanumeric());
    text.match_indices(words).any(|(start, found)| {
        let (before, after) = (&text[..start], &text[start + found.len()..]);
        is_apart(before.chars().next_back()) && is_apart(after.chars().next())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn problem(document: Value) -> Problem {
        serde_json::from_value(document).unwrap()
    }

    #[test]
    fn a_problem_says_everything() {
        let problem = problem(json!({
            "type": "urn:x", "title": "The expiry is not listed", "status": 404,
            "detail": "RELIANCE has no expiry 25FEB2026 on NSE", "code": "unlisted_expiry",
            "field": "expiry", "choices": ["24FEB2026", "31MAR2026"], "request_id": "1-1"
        }));
        let short = "RELIANCE has no expiry 25FEB2026 on NSE\n  field: expiry\n  \
                     choices: 24FEB2026, 31MAR2026";
        assert_eq!(problem.text(Circumstances::default()), short);
        let about = Circumstances {
            is_verbose: true,
            ..Circumstances::default()
        };
        let long = format!("{short}\n  code: unlisted_expiry\n  request: 1-1");
        assert_eq!(problem.text(about), long);
    }

    #[test]
    fn choices_are_said_once() {
        let document = json!({"detail": "no X; similar: A, B", "choices": ["A", "B"]});
        let text = problem(document).text(Circumstances::default());
        assert_eq!(text, "no X; similar: A, B");
        let document = json!({"detail": "no NIFTYY", "choices": ["NIFTY"]});
        let text = problem(document).text(Circumstances::default());
        assert_eq!(text, "no NIFTYY\n  choices: NIFTY");
    }

    #[test]
    fn a_hint_says_what_to_do() {
        let hint = |code: &str, field: Option<&str>, about| {
            let document = json!({"detail": "no", "code": code, "field": field});
            problem(document).text(about)
        };
        let without = hint("unauthorized", None, Circumstances::default());
        assert!(
            without.contains("STRIKEWIRE_API_KEY holds the key"),
            "{without}"
        );
        let has_key = Circumstances {
            has_key: true,
            ..Circumstances::default()
        };
        let wrong = hint("unauthorized", None, has_key);
        assert!(wrong.contains("not one of this server's"), "{wrong}");
        let user = hint("missing_field", Some("user_id"), Circumstances::default());
        assert!(user.contains("--user"), "{user}");
        let later = Circumstances {
            retry_after: Some(7),
            ..Circumstances::default()
        };
        assert_eq!(
            hint("not_ready", None, later),
            "no\n  hint: again in 7 seconds"
        );
    }

    proptest! {
        #[test]
        fn no_document_panics(detail in ".*", code in ".*", field in ".*", seconds: Option<u64>) {
            let choices = [&code, &field, &detail];
            let document =
                json!({"detail": detail, "code": code, "field": field, "choices": choices});
            let about = Circumstances { retry_after: seconds, has_key: true, is_verbose: true };
            prop_assert!(problem(document).text(about).starts_with(&detail));
        }
    }
}
