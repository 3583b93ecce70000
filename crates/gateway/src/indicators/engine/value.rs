use core::fmt::Write;
use std::sync::Arc;

use strikewire_indicators::Output;
use strikewire_leases::LeaseKey;
use strikewire_types::Utc;

/// The latest value of a key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Latest {
    pub(crate) key: LeaseKey,
    /// Absent while there are not enough bars for one.
    pub(crate) value: Option<Output>,
    /// What its numbers are called.
    pub(crate) outputs: &'static [&'static str],
    /// When the bar began that it is of.
    pub(crate) bar_time: Utc,
    /// Whether that bar has closed.
    pub(crate) is_final: bool,
    /// Whether it is what a computation from long before would say.
    pub(crate) warm: bool,
    pub(crate) mock: bool,
    /// When it was computed.
    pub(crate) at: Utc,
}

impl Latest {
    /// The body of the answer over REST.
    pub(crate) fn to_json(&self) -> Arc<str> {
        self.write("{").into()
    }

    /// The message of the stream.
    pub(crate) fn to_message(&self) -> String {
        self.write("{\"type\":\"indicator\",")
    }

    fn write(&self, head: &str) -> String {
        let mut out = String::with_capacity(256);
        out.push_str(head);
        out.push_str("\"symbol\":");
        text(&mut out, self.key.symbol());
        out.push_str(",\"timeframe\":");
        text(&mut out, self.key.timeframe());
        out.push_str(",\"indicator_id\":");
        text(&mut out, self.key.indicator_id());
        match (self.outputs, self.value) {
            ([] | [_], value) => {
                out.push_str(",\"value\":");
                number(&mut out, value.map(|value| value.first()));
            }
            (names, value) => {
                out.push_str(",\"outputs\":{");
                for (i, name) in names.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    text(&mut out, name);
                    out.push(':');
                    let value = value.and_then(|value| value.as_slice().get(i).copied());
                    number(&mut out, value);
                }
                out.push('}');
            }
        }
        // Writing to a string does not fail.
        let _ = write!(
            out,
            ",\"bar_time\":\"{}\",\"final\":{},\"warm\":{},\"mock\":{}}}",
            self.bar_time, self.is_final, self.warm, self.mock
        );
        out
    }
}

/// A string, escaped.
fn text(out: &mut String, text: &str) {
    match serde_json::to_string(text) {
        Ok(quoted) => out.push_str(&quoted),
        Err(_) => out.push_str("\"\""),
    }
}

/// A number, shortest of those that are read back as the same; `null` where there is none.
fn number(out: &mut String, value: Option<f64>) {
    match value.filter(|value| value.is_finite()) {
        Some(value) => {
            let _ = write!(out, "{}", serde_json::Value::from(value));
        }
        None => out.push_str("null"),
    }
}
