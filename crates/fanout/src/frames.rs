//! The texts of server messages.

use std::fmt::Write;

use serde_json::{Map, Value};
use strikewire_types::{InstrumentKey, Utc};

use crate::hub::{Message, SubId};
use crate::json::{self, Comma};

/// Writes a JSON string.
pub(crate) fn write_text(out: &mut String, text: &str) {
    let plain = |byte: u8| (b' '..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        let _ = write!(out, "{}", Value::from(text));
    }
}

/// Writes one member of an object.
pub(crate) fn write_member(out: &mut String, comma: &mut Comma, name: &str, value: &Value) {
    comma.write(out);
    write_text(out, name);
    let _ = write!(out, ":{value}");
}

/// Writes a JSON object.
pub(crate) fn write_map(out: &mut String, map: &Map<String, Value>) {
    out.push('{');
    let mut comma = Comma::default();
    for (name, value) in map {
        write_member(out, &mut comma, name, value);
    }
    out.push('}');
}

/// `snapshot` of a chain; `tail` is what all its clients share.
pub(crate) fn snapshot(sub: SubId, tail: &str) -> Message {
    of_sub(
        "{\"type\":\"snapshot\",\"channel\":\"chain\",\"sub\":",
        sub,
        tail,
    )
}

/// `delta` of a chain; `tail` is what all its clients share.
pub(crate) fn delta(sub: SubId, tail: &str) -> Message {
    of_sub("{\"type\":\"delta\",\"sub\":", sub, tail)
}

fn of_sub(head: &str, sub: SubId, tail: &str) -> Message {
    // A number has 20 digits at most.
    let mut out = String::with_capacity(head.len() + 21 + tail.len());
    out.push_str(head);
    let _ = write!(out, "{},", sub.0);
    out.push_str(tail);
    out
}

/// `lagged`: what a subscription was not sent.
pub(crate) fn lagged(sub: SubId, dropped: u64, from_seq: u64) -> Message {
    format!(
        "{{\"type\":\"lagged\",\"sub\":{},\"dropped\":{dropped},\"from_seq\":{from_seq},\"to_seq\":{}}}",
        sub.0,
        from_seq + dropped - 1
    )
}

pub(crate) fn notice(code: &str, sub: Option<SubId>, detail: &str) -> Message {
    let mut out = String::from("{\"type\":\"notice\",\"code\":");
    write_text(&mut out, code);
    if let Some(sub) = sub {
        let _ = write!(out, ",\"sub\":{}", sub.0);
    }
    out.push_str(",\"detail\":");
    write_text(&mut out, detail);
    out.push('}');
    out
}

pub(crate) fn gap(
    instruments: impl Iterator<Item = InstrumentKey>,
    from: Utc,
    to: Utc,
    cause: &str,
) -> Message {
    let mut out = String::from("{\"type\":\"gap\",\"instruments\":[");
    let mut comma = Comma::default();
    for key in instruments {
        comma.write(&mut out);
        let _ = write!(out, "\"{key}\"");
    }
    out.push_str("],\"from\":\"");
    json::write_utc(&mut out, from);
    out.push_str("\",\"to\":\"");
    json::write_utc(&mut out, to);
    out.push_str("\",\"cause\":");
    write_text(&mut out, cause);
    out.push('}');
    out
}
