//! A client that believes every message it is sent, and knows nothing else.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use super::super::*;

/// How often the interesting things happened over all cases.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) deltas: Cell<u32>,
    pub(super) lagged: Cell<u32>,
    pub(super) rolls: Cell<u32>,
    pub(super) full: Cell<u32>,
    pub(super) conflated: Cell<u32>,
    pub(super) shared_ticks: Cell<u32>,
    pub(super) shared_chains: Cell<u32>,
    pub(super) stolen_slots: Cell<u32>,
    pub(super) resumed: Cell<u32>,
    /// Resumed, and was then sent deltas that it had missed.
    pub(super) replayed: Cell<u32>,
    pub(super) refused: Cell<u32>,
    /// Came back with the latest position, to a channel that was still there.
    pub(super) back_in_time: Cell<u32>,
    /// Came back with it after it was forgotten.
    pub(super) back_too_late: Cell<u32>,
    pub(super) chains_back: Cell<u32>,
    /// Resumed, and then did not have room.
    pub(super) resume_lagged: Cell<u32>,
    pub(super) greeted: Cell<u32>,
    pub(super) values: Cell<u32>,
    /// Urgent messages of values that found no room at first.
    pub(super) finals_late: Cell<u32>,
    /// Those that were not sent, for a later one was there.
    pub(super) finals_replaced: Cell<u32>,
    pub(super) values_removed: Cell<u32>,
}

pub(super) fn count(cell: &Cell<u32>) {
    cell.set(cell.get() + 1);
}

/// What a client believes of a chain.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) chain: Map<String, Value>,
    pub(super) quotes: Map<String, Value>,
}

/// A place in a chain's sequence and what was believed there.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) position: Position,
    /// When the message that led there was put into the queue.
    pub(super) at: Mono,
    pub(super) state: State,
}

/// A subscription of a chain.
#[derive(Debug, Default)]
pub(super) struct ChainView {
    /// What is known, the latest last; none before the snapshot.
    pub(super) known: Vec<Known>,
    /// The last number it was told it misses; a snapshot must follow.
    pub(super) missing_to: Option<u64>,
    /// It wanted to resume and was refused: the snapshot says so.
    pub(super) refused: bool,
    /// It resumed, and was sent nothing yet.
    pub(super) resumed: bool,
}

impl ChainView {
    pub(super) fn now(&self) -> Option<&Known> {
        self.known.last()
    }

    fn seq(&self) -> Option<u64> {
        Some(self.now()?.position.seq)
    }

    fn learn(&mut self, message: &Value, at: Mono, state: State) {
        let text = message["epoch"].as_str().unwrap();
        self.known.push(Known {
            position: Position {
                epoch: text.to_owned(),
                seq: message["seq"].as_u64().unwrap(),
            },
            at,
            state,
        });
        if self.known.len() > 6 {
            self.known.remove(0);
        }
    }

    fn read(&mut self, at: Mono, message: &Value, seen: &Seen) {
        match message["type"].as_str().unwrap() {
            "snapshot" => self.begin(at, message),
            "delta" => self.go_on(at, message, seen),
            "lagged" => self.lag(message, seen),
            other => panic!("{other}"),
        }
    }

    fn begin(&mut self, at: Mono, message: &Value) {
        if let (Some(before), None) = (self.seq(), self.missing_to) {
            panic!("a snapshot out of nothing after {before}: {message}");
        }
        let seq = message["seq"].as_u64();
        assert!(
            self.missing_to.is_none_or(|to| seq >= Some(to)),
            "{message}"
        );
        let said = message.get("resumed");
        assert_eq!(said.is_some(), self.refused, "{message}");
        assert!(said.is_none_or(|said| said == false), "{message}");
        self.missing_to = None;
        self.refused = false;
        let mut state = State {
            chain: Map::new(),
            quotes: message["quotes"].as_object().unwrap().clone(),
        };
        merge(&mut state.chain, &message["chain"]);
        self.learn(message, at, state);
    }

    fn go_on(&mut self, at: Mono, message: &Value, seen: &Seen) {
        count(&seen.deltas);
        if std::mem::take(&mut self.resumed) {
            count(&seen.replayed);
        }
        assert_eq!(self.missing_to, None, "before the snapshot: {message}");
        let known = self.now().expect("a delta before any snapshot");
        assert_eq!(
            message["seq"],
            known.position.seq + 1,
            "a silent gap: {message}"
        );
        assert_eq!(message["epoch"], known.position.epoch);
        let mut state = known.state.clone();
        merge(&mut state.chain, &message["chain"]);
        let removed = message["remove"].as_array().unwrap();
        for token in removed {
            state.quotes.remove(token.as_str().unwrap());
        }
        let set = message["set"].as_object().unwrap();
        if !removed.is_empty() && !set.is_empty() {
            count(&seen.rolls);
        }
        for (token, changes) in set {
            let quote = state
                .quotes
                .entry(token)
                .or_insert_with(|| Map::new().into());
            merge(quote.as_object_mut().unwrap(), changes);
        }
        self.learn(message, at, state);
    }

    fn lag(&mut self, message: &Value, seen: &Seen) {
        count(&seen.lagged);
        if std::mem::take(&mut self.resumed) {
            count(&seen.resume_lagged);
        }
        let number = |name: &str| message[name].as_u64().unwrap();
        let last = self.missing_to.or(self.seq()).unwrap();
        assert_eq!(number("from_seq"), last + 1, "{message}");
        assert_eq!(number("to_seq"), last + number("dropped"), "{message}");
        self.missing_to = Some(number("to_seq"));
    }
}

/// What a client knows of a value. Messages carry numbers that grow.
#[derive(Debug)]
pub(super) struct ValueView {
    /// The last number there was when it subscribed first.
    pub(super) begin: u64,
    pub(super) latest: u64,
    pub(super) latest_final: u64,
    /// It subscribed once more, and may be sent once more what it has.
    pub(super) again: bool,
}

impl ValueView {
    pub(super) const fn new(begin: u64) -> Self {
        Self {
            begin,
            latest: 0,
            latest_final: 0,
            again: false,
        }
    }

    fn read(&mut self, message: &Value, seen: &Seen) {
        count(&seen.values);
        let number = message["number"].as_u64().unwrap();
        let again = number == self.latest && std::mem::take(&mut self.again);
        assert!(number > self.latest || again, "{message} after {self:?}");
        self.latest = number;
        if message["final"] == true {
            let before = message["final_before"].as_u64().unwrap();
            if before > self.latest_final.max(self.begin) {
                count(&seen.finals_replaced);
            }
            self.latest_final = number;
        }
    }
}

/// A client.
#[derive(Default)]
pub(super) struct View {
    pub(super) values: BTreeMap<u64, ValueView>,
    pub(super) ticks: BTreeMap<(Class, String), Value>,
    pub(super) chains: BTreeMap<u64, ChainView>,
}

impl View {
    pub(super) fn read(&mut self, class: Class, at: Mono, message: &Value, seen: &Seen) {
        if message["type"] == "ticks" {
            let items = message["items"].as_array().unwrap();
            let token = |item: &Value| item["token"].as_str().unwrap().to_owned();
            let tokens: BTreeSet<_> = items.iter().map(token).collect();
            assert_eq!(tokens.len(), items.len(), "twice in {message}");
            for item in items {
                self.ticks.insert((class, token(item)), item.clone());
            }
        } else if let Some(id) = message.get("value") {
            let view = self.values.get_mut(&id.as_u64().unwrap());
            view.expect("it is subscribed").read(message, seen);
        } else if let Some(view) = self.chains.get_mut(&message["sub"].as_u64().unwrap()) {
            view.read(at, message, seen);
        }
        // Else it is of a subscription that ended while it was in the queue.
    }
}

pub(super) fn merge(into: &mut Map<String, Value>, changes: &Value) {
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            into.remove(name);
        } else {
            into.insert(name.clone(), value.clone());
        }
    }
}
