use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use strikewire_broker::WireOp;
use strikewire_dhan::control::messages;
use strikewire_dhan::wire::{Instrument, SubscribeRequest};
use strikewire_dhan_sim::Config;
use strikewire_dhan_sim::core::Core;
use strikewire_dhan_sim::generate::{Spec, generate};
use strikewire_registry::{LoadOptions, Registry};
use strikewire_types::{ClockSpec, InstrumentKey, Mode, Now, Segment};

thread_local! {
    /// One broker for all inputs; each input has a connection of its own.
    static CORE: RefCell<Core> = RefCell::new(broker());
}

fn now() -> Now {
    let start: ClockSpec = "2026-02-09T10:00:00+05:30".parse().expect("a time");
    Now {
        utc: start.start,
        ..Now::default()
    }
}

fn broker() -> Core {
    let as_of = "2026-02-09".parse().expect("a date");
    let mut master = Vec::new();
    let spec = Spec {
        rows: 2_000,
        ..Spec::new(as_of)
    };
    generate(&spec, &mut master).expect("memory can be written to");
    let registry = Registry::from_reader(&master[..], &LoadOptions::new(as_of));
    let registry = Arc::new(registry.expect("a generated master can be loaded"));
    let config = Config {
        // The connections of inputs before must not be in the way.
        connections: 2,
        ..Config::default()
    };
    Core::new(registry, config, now())
}

/// Instruments that become messages, are read back and taken by the broker; or, from a
/// byte of 255 on, a text that a client might send.
pub fn requests(data: &[u8]) {
    let Some((&first, rest)) = data.split_first() else {
        return;
    };
    if first == 255 {
        if let Ok(text) = core::str::from_utf8(rest) {
            send(text);
        }
        return;
    }
    let mode = Mode::ALL[usize::from(first) % 3];
    let op = if first & 64 == 0 {
        WireOp::Subscribe(mode)
    } else {
        WireOp::Unsubscribe(mode)
    };
    let keys: Vec<InstrumentKey> = rest
        .chunks_exact(5)
        .map(|bytes| {
            let segment = Segment::ALL[usize::from(bytes[0]) % Segment::ALL.len()];
            let id = u32::from_le_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]);
            InstrumentKey::new(segment, id)
        })
        .collect();
    let mut back = Vec::new();
    for text in messages(op, &keys) {
        let request: SubscribeRequest = serde_json::from_str(&text).expect("our own message");
        let list = &request.instrument_list;
        assert!((1..=100).contains(&list.len()));
        assert_eq!(list.len(), request.instrument_count);
        back.extend(list.iter().filter_map(Instrument::key));
        assert_eq!(send(&text), 0, "the broker does not take {text}");
    }
    assert_eq!(back, keys);
}

/// Sends a message on a connection of its own; how many were invalid.
fn send(text: &str) -> u64 {
    CORE.with_borrow_mut(|core| {
        let query = "version=2&token=t&clientId=1&authType=2";
        let id = core.handle_connect(now(), query).expect("a complete query");
        core.handle_text(now(), id, text);
        let mut out = Vec::new();
        core.flush(&mut out);
        let held: BTreeSet<InstrumentKey> = core
            .wire_state()
            .remove(&id)
            .into_iter()
            .flat_map(|held| held.into_keys())
            .collect();
        assert!(
            held.len() <= 100,
            "one message made {} subscriptions",
            held.len()
        );
        let invalid = core
            .counters()
            .sessions
            .get(&id)
            .map_or(0, |counters| counters.invalid);
        core.handle_close(now(), id);
        invalid
    })
}
