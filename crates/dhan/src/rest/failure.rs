//! What the broker means when it does not answer what was asked.
//!
//! A failure comes in many shapes, and not always with a status that says so: codes of
//! the trading API (`DH-904`) or of the data API (806), as numbers or texts, at the top,
//! under `remarks` or as the key of `data`, with HTTP 200 or an error status, or as a
//! page of HTML from something in front of the broker. All of them are looked for in
//! one place.

use core::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use strikewire_broker::ReferenceError;

/// What came back for a request.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The HTTP status.
    pub status: u16,
    /// How long the broker wants to be left alone, where a header says so.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: &'a [u8],
}

impl<'a> Answer<'a> {
    /// A body that came with HTTP 200.
    #[must_use]
    pub const fn ok(body: &'a [u8]) -> Self {
        Self {
            status: 200,
            retry_after: None,
            body,
        }
    }
}

/// The parts of a body that say how things went, and where the data is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Envelope<'a> {
    status: Value,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    remarks: Value,
    #[serde(alias = "error_code")]
    #[serde(rename = "errorCode")]
    code: Value,
    #[serde(alias = "error_type")]
    #[serde(rename = "errorType")]
    kind: Value,
    #[serde(alias = "error_message")]
    #[serde(rename = "errorMessage")]
    message: Value,
}

/// The code of what this side refuses.
pub(super) const NOT_SENT: &str = "not sent";

/// Data larger than this is data.
const LARGEST_FAILURE: usize = 4 * 1024;

/// The data of an answer: what is under `data`, or the whole body where there is no
/// such field, as with charts.
///
/// # Errors
///
/// When the answer is a failure in any of its shapes, or no JSON object.
pub(super) fn data<'a>(
    call: &'static str,
    answer: &Answer<'a>,
) -> Result<&'a [u8], ReferenceError> {
    let is_good = (200..300).contains(&answer.status);
    let envelope = match envelope(answer.body) {
        Ok(envelope) => envelope,
        Err(error) if is_good => {
            return Err(ReferenceError::Unexpected {
                call,
                detail: format!("{error}, in {}", glimpse(answer.body)),
            });
        }
        Err(_) => return Err(without_json(call, answer)),
    };
    let data = envelope.data.map(RawValue::get);
    let mut found = Found::default();
    found.look_at(&envelope.code, &envelope.kind, &envelope.message);
    found.look_into(&envelope.remarks);
    if let Some(text) = data.filter(|text| text.len() <= LARGEST_FAILURE) {
        found.look_into_data(&serde_json::from_str(text).unwrap_or_default());
    }
    let says_no = envelope
        .status
        .as_str()
        .is_some_and(|status| !status.is_empty() && !status.eq_ignore_ascii_case("success"));
    if is_good && !says_no && found.code.is_none() {
        return Ok(data.map_or(answer.body, str::as_bytes));
    }
    Err(failure(call, answer, found))
}

fn envelope(body: &[u8]) -> Result<Envelope<'_>, String> {
    // Derived code would take an array for the fields in their order.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err("no JSON object".to_owned());
    }
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

/// A code, and what is said about it.
#[derive(Debug, Default)]
struct Found {
    code: Option<String>,
    message: Option<String>,
}

impl Found {
    fn look_at(&mut self, code: &Value, kind: &Value, message: &Value) {
        let texts = [code, kind, message].map(text);
        for text in texts.iter().flatten() {
            if self.code.is_none() {
                self.code = code_in(text);
            }
        }
        // A code that is not known is still what the broker calls it.
        let [code, kind, message] = texts;
        self.code = self.code.take().or(code);
        self.message = self.message.take().or(message).or(kind);
    }

    fn look_into(&mut self, value: &Value) {
        match value {
            Value::Object(fields) => {
                let of = |names: [&str; 2]| {
                    let found = names.iter().find_map(|&name| fields.get(name));
                    found.unwrap_or(&Value::Null)
                };
                self.look_at(
                    of(["errorCode", "error_code"]),
                    of(["errorType", "error_type"]),
                    of(["errorMessage", "error_message"]),
                );
            }
            Value::String(said) if !said.is_empty() => {
                self.code = self.code.take().or_else(|| code_in(said));
                self.message.get_or_insert_with(|| said.clone());
            }
            _ => {}
        }
    }

    /// `{"806": "Data APIs not subscribed"}`, or the usual fields one level deeper.
    fn look_into_data(&mut self, data: &Value) {
        let Value::Object(fields) = data else {
            return;
        };
        for (name, value) in fields {
            if let (Some(code), Some(said)) = (code_in(name), text(value)) {
                self.code.get_or_insert(code);
                self.message.get_or_insert(said);
            }
        }
        self.look_into(data);
    }
}

/// A text or a number as text; none when there is nothing in it.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
        Value::Number(number) => Some(match number.as_f64() {
            Some(float) if float.fract() == 0.0 && float.abs() < 1e9 => format!("{float:.0}"),
            _ => number.to_string(),
        }),
        _ => None,
    }
}

/// A code of the trading API anywhere in a text, or one of the data API that begins it.
fn code_in(text: &str) -> Option<String> {
    let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    for (at, _) in text.match_indices("DH-9") {
        if let Some(code) = text.get(at..at + 6).filter(|code| is_digits(&code[4..])) {
            return Some(code.to_owned());
        }
    }
    let begin = text.get(..3)?;
    let ends = !text[3..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '.');
    (ends && is_digits(begin) && ("800"..="814").contains(&begin)).then(|| begin.to_owned())
}

/// An error status whose body is no JSON object: a page of something in between.
fn without_json(call: &'static str, answer: &Answer<'_>) -> ReferenceError {
    let found = Found {
        code: None,
        message: Some(glimpse(answer.body)),
    };
    failure(call, answer, found)
}

/// What a failure is to the caller, by the annexure of the DhanHQ documentation.
fn failure(call: &'static str, answer: &Answer<'_>, found: Found) -> ReferenceError {
    let detail = found
        .message
        .unwrap_or_else(|| "no reason given".to_owned());
    let has_bad_token = {
        let said = detail.to_ascii_lowercase();
        // With the code of a wrong order.
        said.contains("invalid token") || said.contains("token expired")
    };
    let code = found
        .code
        .unwrap_or_else(|| format!("HTTP {}", answer.status));
    let limited = |code, detail| ReferenceError::Limited {
        call,
        code,
        detail,
        retry_after: answer.retry_after,
    };
    let credentials = |code, detail| ReferenceError::Credentials { call, code, detail };
    let rejected = |code, detail| ReferenceError::Rejected { call, code, detail };
    let unavailable = |code: String, detail: String| ReferenceError::Unavailable {
        call,
        detail: format!("{code}: {detail}"),
    };
    match (code.as_str(), answer.status) {
        ("805" | "DH-904", _) | (_, 429) => limited(code, detail),
        ("807" | "808" | "809" | "DH-901", _) => credentials(code, detail),
        _ if has_bad_token => credentials(code, detail),
        ("806" | "810" | "DH-902" | "DH-903" | "DH-911", _) => {
            ReferenceError::NotEntitled { call, code, detail }
        }
        ("804" | "811" | "812" | "813" | "814" | "DH-905" | "DH-906", _) => rejected(code, detail),
        ("DH-907", _) => ReferenceError::NoData {
            call,
            detail: format!("{code}: {detail}"),
        },
        ("800" | "DH-908" | "DH-909", _) | (_, 408) => unavailable(code, detail),
        (_, 401 | 403) => credentials(code, detail),
        (_, 400..=499) => rejected(code, detail),
        (_, 300..=399) => ReferenceError::Unexpected {
            call,
            detail: format!("{code}: {detail}"),
        },
        // Also "failure" with HTTP 200 and no reason: the chain answers so when it is
        // asked too early again, and when it has trouble of its own.
        _ => unavailable(code, detail),
    }
}

/// What a body begins with, to be recognised by a person.
pub(super) fn glimpse(body: &[u8]) -> String {
    let begin = &body[..body.len().min(120)];
    match String::from_utf8_lossy(begin).trim() {
        "" => "an empty body".to_owned(),
        text if body.len() > begin.len() => format!("{text:?}..., {} bytes", body.len()),
        text => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The kind of error, its code and what was said.
    fn told(status: u16, body: &str) -> String {
        let answer = Answer {
            status,
            ..Answer::ok(body.as_bytes())
        };
        match data("quotes", &answer).map(|data| String::from_utf8_lossy(data).into_owned()) {
            Ok(data) => format!("data {data}"),
            Err(ReferenceError::Limited { code, detail, .. }) => format!("limited {code} {detail}"),
            Err(ReferenceError::Credentials { code, detail, .. }) => {
                format!("credentials {code} {detail}")
            }
            Err(ReferenceError::NotEntitled { code, detail, .. }) => {
                format!("not entitled {code} {detail}")
            }
            Err(ReferenceError::Rejected { code, detail, .. }) => {
                format!("rejected {code} {detail}")
            }
            Err(ReferenceError::NoData { detail, .. }) => format!("no data {detail}"),
            Err(ReferenceError::Unavailable { detail, .. }) => format!("unavailable {detail}"),
            Err(ReferenceError::Unexpected { detail, .. }) => format!("unexpected {detail}"),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn failures_in_all_their_places() {
        for (status, body, expected) in [
            // Seen with HTTP 200.
            (
                200,
                r#"{"errorCode":806,"errorMessage":"Data APIs not subscribed"}"#,
                "not entitled 806 Data APIs not subscribed",
            ),
            (
                200,
                r#"{"status":"failed","data":{"806":"Data APIs not subscribed"}}"#,
                "not entitled 806 Data APIs not subscribed",
            ),
            (
                200,
                r#"{"data":{"805":"Too many requests. Further requests may result in the user being blocked."},"status":"failed"}"#,
                "limited 805 Too many requests. Further requests may result in the user being blocked.",
            ),
            (
                200,
                r#"{"data":{"806":"said without a status"}}"#,
                "not entitled 806 said without a status",
            ),
            (
                429,
                r#"{"errorType":"Input_Exception","errorCode":"DH-904","errorMessage":"Too many requests"}"#,
                "limited DH-904 Too many requests",
            ),
            (
                400,
                r#"{"errorType":"Order_Error","errorCode":"DH-906","errorMessage":"Invalid Token"}"#,
                "credentials DH-906 Invalid Token",
            ),
            (
                400,
                r#"{"errorType":"Order_Error","errorCode":"DH-906","errorMessage":"Incorrect order"}"#,
                "rejected DH-906 Incorrect order",
            ),
            (
                500,
                r#"{"errorType":"SERVER_ERROR","errorCode":"RS-9005","errorMessage":"Something went wrong"}"#,
                "unavailable RS-9005: Something went wrong",
            ),
            (
                401,
                r#"{"errorType":"Invalid_Authentication","errorCode":"DH-901","errorMessage":"expired"}"#,
                "credentials DH-901 expired",
            ),
            (
                200,
                r#"{"status":"failure","remarks":{"error_code":null,"error_type":null,"error_message":null},"data":""}"#,
                "unavailable HTTP 200: no reason given",
            ),
            (
                200,
                r#"{"status":"failure","remarks":{"error_code":"DH-905","error_type":"Input_Exception","error_message":"Missing"},"data":""}"#,
                "rejected DH-905 Missing",
            ),
            (
                200,
                r#"{"status":"failure","remarks":"DH-907: nothing here","data":""}"#,
                "no data DH-907: DH-907: nothing here",
            ),
            (
                400,
                r#"{"status":"failed","data":{"errorCode":"811","errorMessage":"Invalid Expiry Date"}}"#,
                "rejected 811 Invalid Expiry Date",
            ),
            // The code in the type or in the message only.
            (
                400,
                r#"{"errorType":"DH-903","errorCode":"","errorMessage":"segment not activated"}"#,
                "not entitled DH-903 segment not activated",
            ),
            (
                400,
                r#"{"errorMessage":"813: Invalid SecurityId"}"#,
                "rejected 813 813: Invalid SecurityId",
            ),
            (
                200,
                r#"{"errorCode":807.0,"errorMessage":null}"#,
                "credentials 807 no reason given",
            ),
            (
                200,
                r#"{"errorCode":"DH-908"}"#,
                "unavailable DH-908: no reason given",
            ),
            // No code that is known: the status says it.
            (
                400,
                r#"{"errorCode":"X-1","errorMessage":"what?"}"#,
                "rejected X-1 what?",
            ),
            (403, "{}", "credentials HTTP 403 no reason given"),
            (404, "", "rejected HTTP 404 an empty body"),
            (429, "slow down", "limited HTTP 429 \"slow down\""),
            (
                502,
                "<html><body>Bad Gateway</body></html>",
                "unavailable HTTP 502: \"<html><body>Bad Gateway</body></html>\"",
            ),
            (503, "[]", "unavailable HTTP 503: \"[]\""),
            (302, "", "unexpected HTTP 302: an empty body"),
            // No failures.
            (
                200,
                r#"{"data":{"NSE_EQ":{}},"status":"success"}"#,
                r#"data {"NSE_EQ":{}}"#,
            ),
            (200, r#"{"data":{}}"#, "data {}"),
            (
                200,
                r#"{"data":{"812.5":"no code"}}"#,
                r#"data {"812.5":"no code"}"#,
            ),
            (
                200,
                r#"{"open":[],"timestamp":[]}"#,
                r#"data {"open":[],"timestamp":[]}"#,
            ),
        ] {
            assert_eq!(told(status, body), expected, "{status} {body}");
        }
        for page in ["<html>maintenance</html>", "", "null", "[1]", "{\"data\":"] {
            assert!(told(200, page).starts_with("unexpected "), "{page}");
        }
    }

    #[test]
    fn every_code_has_its_kind() {
        for (codes, kind) in [
            (&["805", "DH-904"][..], "limited"),
            (&["807", "808", "809", "DH-901"], "credentials"),
            (
                &["806", "810", "DH-902", "DH-903", "DH-911"],
                "not entitled",
            ),
            (
                &["804", "811", "812", "813", "814", "DH-905", "DH-906"],
                "rejected",
            ),
            (&["DH-907"], "no data"),
            (&["800", "DH-908", "DH-909"], "unavailable"),
        ] {
            for code in codes {
                let number = code.parse::<u16>().map(|code| code.to_string());
                let plain = number.unwrap_or_else(|_| format!("\"{code}\""));
                for (status, body) in [
                    (200, format!(r#"{{"errorCode":{plain}}}"#)),
                    (
                        400,
                        format!(r#"{{"errorCode":"{code}","errorMessage":"m"}}"#),
                    ),
                    (
                        500,
                        format!(r#"{{"status":"failed","data":{{"{code}":"m"}}}}"#),
                    ),
                ] {
                    let told = told(status, &body);
                    assert!(
                        told.starts_with(kind) && told.contains(code),
                        "{body}: {told}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_wait_that_is_asked_for_is_handed_on() {
        let answer = Answer {
            status: 429,
            retry_after: Some(Duration::from_secs(7)),
            body: b"",
        };
        let Err(ReferenceError::Limited { retry_after, .. }) = data("quotes", &answer) else {
            panic!("limited")
        };
        assert_eq!(retry_after, Some(Duration::from_secs(7)));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(DH-9)?.{0,8}") {
            let _ = code_in(&text);
        }
    }
}
