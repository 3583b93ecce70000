//! The messages to the broker, as JSON text.

use core::fmt::Write;

use strikewire_broker::WireOp;
use strikewire_types::InstrumentKey;

use crate::wire::{MAX_INSTRUMENTS, RequestCode};

/// The code that asks for `op`.
#[must_use]
pub const fn request_code(op: WireOp) -> RequestCode {
    match op {
        WireOp::Subscribe(mode) => RequestCode::subscribe(mode),
        WireOp::Unsubscribe(mode) => RequestCode::unsubscribe(mode),
    }
}

/// The messages that do `op` with `keys`, of at most 100 instruments each: one for a
/// batch within the capabilities, none for no keys.
///
/// ```
/// use strikewire_broker::WireOp;
/// use strikewire_dhan::control::messages;
/// use strikewire_types::{InstrumentKey, Mode, Segment};
///
/// let keys = [InstrumentKey::new(Segment::NseEq, 1333)];
/// let all: Vec<String> = messages(WireOp::Subscribe(Mode::Ticker), &keys).collect();
/// assert_eq!(all, [concat!(
///     r#"{"RequestCode":15,"InstrumentCount":1,"#,
///     r#""InstrumentList":[{"ExchangeSegment":"NSE_EQ","SecurityId":"1333"}]}"#,
/// )]);
/// ```
pub fn messages(op: WireOp, keys: &[InstrumentKey]) -> impl Iterator<Item = String> {
    let code = request_code(op).code();
    keys.chunks(MAX_INSTRUMENTS)
        .map(move |chunk| message(code, chunk))
}

fn message(code: u8, keys: &[InstrumentKey]) -> String {
    let mut text = String::with_capacity(64 + keys.len() * 64);
    // Names of segments and numbers need no escapes; writing to a string cannot fail.
    let _ = write!(
        text,
        r#"{{"RequestCode":{code},"InstrumentCount":{},"InstrumentList":["#,
        keys.len()
    );
    for (index, key) in keys.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        let _ = write!(
            text,
            r#"{{"ExchangeSegment":"{}","SecurityId":"{}"}}"#,
            key.segment, key.id
        );
    }
    text.push_str("]}");
    text
}

#[cfg(test)]
mod tests {
    use strikewire_types::{Mode, Segment};

    use super::*;
    use crate::wire::{DISCONNECT_REQUEST, Instrument, SubscribeRequest};

    #[test]
    fn every_operation_has_its_documented_code() {
        for (op, code) in [
            (WireOp::Subscribe(Mode::Ticker), 15),
            (WireOp::Unsubscribe(Mode::Ticker), 16),
            (WireOp::Subscribe(Mode::Quote), 17),
            (WireOp::Unsubscribe(Mode::Quote), 18),
            (WireOp::Subscribe(Mode::Full), 21),
            (WireOp::Unsubscribe(Mode::Full), 22),
        ] {
            let keys = [InstrumentKey::new(Segment::McxComm, 454_818)];
            let text: String = messages(op, &keys).collect();
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(json["RequestCode"], code);
            assert_eq!(json["InstrumentCount"], 1);
            assert_eq!(json["InstrumentList"][0]["ExchangeSegment"], "MCX_COMM");
            assert_eq!(json["InstrumentList"][0]["SecurityId"], "454818");
        }
        assert_eq!(DISCONNECT_REQUEST, r#"{"RequestCode":12}"#);
    }

    #[test]
    fn no_message_carries_more_than_a_hundred() {
        for (count, sizes) in [
            (0, vec![]),
            (1, vec![1]),
            (100, vec![100]),
            (101, vec![100, 1]),
            (250, vec![100, 100, 50]),
        ] {
            let keys: Vec<_> = (0..count)
                .map(|id| InstrumentKey::new(Segment::ALL[id as usize % 8], id))
                .collect();
            let requests: Vec<SubscribeRequest> = messages(WireOp::Subscribe(Mode::Full), &keys)
                .map(|text| serde_json::from_str(&text).unwrap())
                .collect();
            let found: Vec<usize> = requests
                .iter()
                .map(|request| request.instrument_list.len())
                .collect();
            assert_eq!(found, sizes);
            assert!(
                requests
                    .iter()
                    .all(|request| request.instrument_count == request.instrument_list.len())
            );
            let back: Vec<_> = requests
                .iter()
                .flat_map(|request| request.instrument_list.iter().filter_map(Instrument::key))
                .collect();
            assert_eq!(back, keys);
        }
    }
}
