//! What users have by what was acknowledged: plain lists, compared with what the gateway
//! says and with what is on the stand-in's wire.

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_pcg::Pcg64;
use reqwest::StatusCode;
use serde_json::{Value, json};
use strikewire_types::InstrumentKey;

use crate::harness::{Gateway, StandIn, master, request};
use crate::listing::{Ladder, Prices};

/// Something that a user can have on a list.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Thing {
    symbol: String,
    exchange: String,
    expiry: Option<String>,
    instrument_type: &'static str,
    width: Option<usize>,
    mode: &'static str,
    follow: bool,
    pub(crate) contracts: BTreeSet<InstrumentKey>,
    pub(crate) underlying: Option<InstrumentKey>,
}

impl Thing {
    pub(crate) fn chain(
        prices: &mut Prices,
        ladder: &Ladder,
        width: usize,
        mode: &'static str,
        follow: bool,
    ) -> Self {
        let underlying = ladder.underlying.expect("it has an underlying");
        Self {
            symbol: ladder.symbol.clone(),
            exchange: ladder.exchange.clone(),
            expiry: Some(ladder.expiry_text()),
            instrument_type: ladder.instrument_type(),
            width: Some(width),
            mode,
            follow,
            contracts: ladder.window(prices.of(underlying), width),
            underlying: Some(underlying),
        }
    }

    pub(crate) fn equity(symbol: &str) -> Self {
        Self {
            symbol: symbol.to_owned(),
            exchange: "NSE".to_owned(),
            expiry: None,
            instrument_type: "EQUITY",
            width: None,
            mode: "full",
            follow: true,
            contracts: [master().listing.equities[symbol]].into(),
            underlying: None,
        }
    }

    /// Whether it is the same item, however it is set.
    fn is(&self, other: &Self) -> bool {
        let key = |thing: &Self| {
            (
                thing.symbol.clone(),
                thing.exchange.clone(),
                thing.expiry.clone(),
                thing.instrument_type,
            )
        };
        key(self) == key(other)
    }

    pub(crate) fn add(&self, user: u64) -> Value {
        let mut body = json!({
            "instrument_type": self.instrument_type, "exchange": self.exchange,
            "mode": self.mode, "follow": self.follow,
        });
        if let Some(expiry) = &self.expiry {
            body["expiry"] = json!(expiry);
        }
        if let Some(width) = self.width {
            body["width"] = json!(width);
        }
        request(user, &self.symbol, body)
    }

    fn remove(&self, user: u64) -> Value {
        let mut body = json!({
            "instrument_type": self.instrument_type, "exchange": self.exchange,
        });
        if let Some(expiry) = &self.expiry {
            body["expiry"] = json!(expiry);
        }
        request(user, &self.symbol, body)
    }

    /// What a watchlist says of it.
    fn shown(&self) -> Value {
        let mut shown = json!({
            "symbol": self.symbol, "exchange": self.exchange,
            "instrument_type": self.instrument_type, "mode": self.mode,
            "follow": self.follow, "state": "live",
            "strikes_subscribed": self.width.map_or(0, |_| self.contracts.len()),
        });
        if let Some(expiry) = &self.expiry {
            shown["expiry"] = json!(expiry);
        }
        if let Some(width) = self.width {
            shown["width"] = json!(width);
        }
        shown
    }
}

/// A dozen and more of all kinds, some of which share contracts.
pub(crate) fn palette(prices: &mut Prices) -> Vec<Thing> {
    let listing = &master().listing;
    let mut things: Vec<Thing> = Vec::new();
    for (exchange, symbol, widths) in [
        ("NSE", "NIFTY", [21, 11]),
        ("NSE", "BANKNIFTY", [7, 15]),
        ("BSE", "SENSEX", [9, 5]),
        ("NSE", "RELIANCE", [5, 9]),
        ("NSE", "TCS", [25, 3]),
        ("MCX", "CRUDEOIL", [11, 7]),
    ] {
        for (nth, ladder) in listing.of(exchange, symbol).take(2).enumerate() {
            for (width, mode, follow) in [
                (widths[nth], "full", true),
                (widths[nth] + 2, ["quote", "ticker"][nth], false),
            ] {
                things.push(Thing::chain(prices, ladder, width, mode, follow));
            }
        }
    }
    things.extend(["RELIANCE", "TCS"].map(Thing::equity));
    things
}

/// A call that may or may not have been done.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    Add(Thing),
    Remove(Thing),
}

impl Call {
    pub(crate) fn done_to(&self, list: &mut Vec<Thing>) {
        match self {
            Self::Add(thing) => {
                if !list.iter().any(|other| other.is(thing)) {
                    list.push(thing.clone());
                }
            }
            Self::Remove(thing) => list.retain(|other| !other.is(thing)),
        }
    }

    /// Asks for it: whether it was acknowledged. The server may die before.
    pub(crate) async fn ask(&self, gateway: &Gateway, user: u64) -> bool {
        let answer = match self {
            Self::Add(thing) => {
                gateway
                    .try_post("/api/v2/watchlist/add", &thing.add(user))
                    .await
            }
            Self::Remove(thing) => {
                gateway
                    .try_post("/api/v2/watchlist/remove", &thing.remove(user))
                    .await
            }
        };
        match answer {
            Some((status, answer)) => {
                assert_eq!(status, StatusCode::OK, "{self:?} of {user}: {answer}");
                true
            }
            None => false,
        }
    }

    /// Something that can be done to `list`.
    pub(crate) fn any(list: &[Thing], palette: &[Thing], rng: &mut Pcg64) -> Self {
        if list.is_empty() || rng.random_bool(0.6) {
            let free: Vec<&Thing> = palette
                .iter()
                .filter(|thing| !list.iter().any(|other| other.is(thing)))
                .collect();
            if let Some(thing) = free.choose(rng) {
                return Self::Add((*thing).clone());
            }
        }
        Self::Remove(list.choose(rng).expect("the list is not empty").clone())
    }
}

/// What users have, by what was acknowledged: plain lists, in the order of adding.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) lists: BTreeMap<u64, Vec<Thing>>,
    /// Calls whose answers never came.
    pub(crate) open: BTreeMap<u64, Call>,
}

impl Model {
    /// Compares it with what the gateway says and with what is on the stand-in's wire.
    /// Of a call that was not answered it learns whether it was done.
    pub(crate) async fn check(&mut self, gateway: &Gateway, standin: &StandIn, when: &str) {
        for (user, list) in &mut self.lists {
            let answer = gateway.ok(&format!("/api/v2/watchlist/{user}")).await;
            let shown: Vec<Value> = answer["items"]
                .as_array()
                .expect("items")
                .iter()
                .map(|item| {
                    let mut item = item.as_object().expect("an item").clone();
                    for more in ["added_at", "added_order", "trading_day"] {
                        item.remove(more);
                    }
                    Value::Object(item)
                })
                .collect();
            let of = |list: &[Thing]| list.iter().map(Thing::shown).collect::<Vec<_>>();
            if let Some(call) = self.open.remove(user) {
                let mut done = list.clone();
                call.done_to(&mut done);
                if shown == of(&done) {
                    *list = done;
                }
            }
            assert_eq!(json!(shown), json!(of(list)), "{when}: of user {user}");
        }
        let mut wanted: BTreeMap<InstrumentKey, usize> = BTreeMap::new();
        for thing in self.lists.values().flatten() {
            for key in thing.contracts.iter().chain(&thing.underlying) {
                wanted.insert(*key, 1);
            }
        }
        gateway
            .until(
                &format!("{when}: the wire is what was acknowledged"),
                async || standin.on_wire() == wanted,
            )
            .await;
    }
}
