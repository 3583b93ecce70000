//! The texts of server messages.

use std::io::Write;

use serde_json::{Map, Value};
use strikewire_types::{InstrumentKey, Utc};

use crate::json::{write_count, write_text, write_utc};
use crate::message::Message;
use crate::outlet::SubId;

/// Writes one member of an object, after a comma.
pub(crate) fn write_member(out: &mut Vec<u8>, name: &str, value: &Value) {
    out.push(b',');
    write_text(out, name);
    out.push(b':');
    // A vector takes all.
    let _ = serde_json::to_writer(out, value);
}

/// Writes an object of members that each stand after a comma.
pub(crate) fn write_object(out: &mut Vec<u8>, members: &[u8]) {
    out.push(b'{');
    out.extend_from_slice(members.get(1..).unwrap_or_default());
    out.push(b'}');
}

/// Writes the members of a map but `without`, each after a comma.
pub(crate) fn write_members(out: &mut Vec<u8>, map: &Map<String, Value>, without: &str) {
    for (name, value) in map.iter().filter(|(name, _)| *name != without) {
        write_member(out, name, value);
    }
}

const SNAPSHOT: &[u8] = b"{\"type\":\"snapshot\",\"channel\":\"chain\",\"sub\":";
const DELTA: &[u8] = b"{\"type\":\"delta\",\"sub\":";

/// `snapshot` of a chain; `tail` is what all its clients share. `refused`: the client
/// wanted to resume and cannot.
pub(crate) fn snapshot(sub: SubId, refused: bool, tail: &[u8]) -> Vec<u8> {
    let mut out = of_sub(SNAPSHOT, sub, tail.len());
    if refused {
        out.extend_from_slice(b"\"resumed\":false,");
    }
    out.extend_from_slice(tail);
    out
}

/// `delta` of a chain; `tail` is what all its clients share.
pub(crate) fn delta(sub: SubId, tail: &[u8]) -> Vec<u8> {
    let mut out = of_sub(DELTA, sub, tail.len());
    out.extend_from_slice(tail);
    out
}

fn of_sub(head: &[u8], sub: SubId, tail: usize) -> Vec<u8> {
    // A number has 20 digits at most, but is written as 24; `resumed` has 16.
    let mut out = Vec::with_capacity(head.len() + 24 + 16 + tail);
    out.extend_from_slice(head);
    write_count(&mut out, sub.0);
    out.push(b',');
    out
}

/// `lagged`: what a subscription was not sent.
pub(crate) fn lagged(sub: SubId, from_seq: u64, to_seq: u64) -> Message {
    format!(
        "{{\"type\":\"lagged\",\"sub\":{},\"dropped\":{},\"from_seq\":{from_seq},\"to_seq\":{to_seq}}}",
        sub.0,
        to_seq + 1 - from_seq,
    )
    .into()
}

pub(crate) fn notice(code: &str, sub: Option<SubId>, detail: &str) -> Message {
    let mut out = b"{\"type\":\"notice\",\"code\":".to_vec();
    write_text(&mut out, code);
    if let Some(sub) = sub {
        out.extend_from_slice(b",\"sub\":");
        write_count(&mut out, sub.0);
    }
    out.extend_from_slice(b",\"detail\":");
    write_text(&mut out, detail);
    out.push(b'}');
    Message::new(out, None)
}

pub(crate) fn gap(
    instruments: impl Iterator<Item = InstrumentKey>,
    from: Utc,
    to: Utc,
    cause: &str,
) -> Message {
    let mut out = b"{\"type\":\"gap\",\"instruments\":[".to_vec();
    for (at, key) in instruments.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        // A vector takes all.
        let _ = write!(out, "\"{key}\"");
    }
    out.extend_from_slice(b"],\"from\":\"");
    write_utc(&mut out, from);
    out.extend_from_slice(b"\",\"to\":\"");
    write_utc(&mut out, to);
    out.extend_from_slice(b"\",\"cause\":");
    write_text(&mut out, cause);
    out.push(b'}');
    Message::new(out, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_lose_their_first_comma() {
        let mut out = Vec::new();
        write_object(&mut out, b"");
        write_object(&mut out, b",\"a\":1");
        assert_eq!(out, b"{}{\"a\":1}");
    }

    #[test]
    fn heads_fit_their_room() {
        let sub = SubId(u64::MAX);
        for message in [snapshot(sub, true, b"tail"), delta(sub, b"tail")] {
            let text = String::from_utf8(message).unwrap();
            assert!(text.contains("\"sub\":18446744073709551615,"), "{text}");
            assert!(text.ends_with(",tail"), "{text}");
        }
    }
}
