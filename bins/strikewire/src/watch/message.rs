//! What is said over the stream.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use strikewire_types::{Exchange, Expiry, Mode};

use crate::problem::Problem;

/// Ids of our requests.
pub(super) const TICKS: u64 = 1;
pub(super) const CHAIN: u64 = 2;
pub(super) const RESUMED_CHAIN: u64 = 3;

/// What is to be watched.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) tokens: Vec<String>,
    pub(super) chain: Option<ChainWish>,
    pub(super) mode: Option<Mode>,
    /// Milliseconds.
    pub(super) every: u32,
}

#[derive(Debug, Clone)]
pub(super) struct ChainWish {
    pub(super) symbol: String,
    pub(super) expiry: Option<Expiry>,
    pub(super) exchange: Option<Exchange>,
    pub(super) width: Option<u16>,
}

/// Up to where a chain is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) epoch: String,
    pub(super) seq: u64,
}

impl Wish {
    /// The first messages of a connection: everything that is wished for, a chain from
    /// where it is known on.
    pub(super) fn requests(&self, place: Option<&Place>) -> Vec<String> {
        let mut requests = Vec::new();
        if !self.tokens.is_empty() {
            let mut request = json!({
                "action": "subscribe", "channel": "ticks", "id": TICKS,
                "instruments": self.tokens, "conflate_ms": self.every,
            });
            if let Some(mode) = self.mode {
                request["mode"] = json!(mode);
            }
            requests.push(request.to_string());
        }
        requests.extend(self.chain_request(place));
        requests
    }

    /// Asks for the chain, from `place` on where one is given.
    pub(super) fn chain_request(&self, place: Option<&Place>) -> Option<String> {
        let chain = self.chain.as_ref()?;
        let mut request = json!({
            "action": "subscribe", "channel": "chain", "id": CHAIN,
            "symbol": chain.symbol, "conflate_ms": self.every,
        });
        for (name, value) in [
            ("expiry", chain.expiry.map(|expiry| json!(expiry))),
            ("exchange", chain.exchange.map(|exchange| json!(exchange))),
            ("width", chain.width.map(|width| json!(width))),
            ("mode", self.mode.map(|mode| json!(mode))),
        ] {
            if let Some(value) = value {
                request[name] = value;
            }
        }
        if let Some(Place { epoch, seq }) = place {
            request["action"] = json!("resume");
            request["id"] = json!(RESUMED_CHAIN);
            request["epoch"] = json!(epoch);
            request["seq"] = json!(seq);
        }
        Some(request.to_string())
    }
}

pub(super) type Fields = Map<String, Value>;

/// What a server says. Fields that are not looked at may come and go.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Message {
    Ack {
        #[serde(default)]
        id: Value,
        /// What the instruments that were asked for are called, in that order.
        #[serde(default)]
        tokens: Vec<String>,
    },
    Error {
        #[serde(default)]
        id: Value,
        #[serde(flatten)]
        problem: Problem,
    },
    Ticks {
        items: Vec<Fields>,
    },
    Snapshot {
        epoch: String,
        seq: u64,
        chain: Fields,
        #[serde(default)]
        quotes: BTreeMap<String, Fields>,
    },
    Delta {
        epoch: String,
        seq: u64,
        #[serde(default)]
        chain: Fields,
        #[serde(default)]
        set: BTreeMap<String, Fields>,
        #[serde(default)]
        remove: Vec<String>,
    },
    Notice {
        code: String,
        #[serde(default)]
        detail: String,
    },
    Gap {
        #[serde(default)]
        instruments: Vec<String>,
        #[serde(default)]
        cause: String,
    },
    Lagged {
        #[serde(default)]
        dropped: u64,
    },
    #[serde(other)]
    Other,
}

impl Message {
    /// None for what is no message.
    pub(super) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wish() -> Wish {
        Wish {
            tokens: vec!["NIFTY".into(), "M&M".into()],
            chain: Some(ChainWish {
                symbol: "NIFTY".into(),
                expiry: Some("10FEB2026".parse().unwrap()),
                exchange: None,
                width: Some(11),
            }),
            mode: Some(Mode::Quote),
            every: 250,
        }
    }

    fn requests(wish: &Wish, place: Option<&Place>) -> Vec<Value> {
        let requests = wish.requests(place);
        requests
            .iter()
            .map(|text| serde_json::from_str(text).unwrap())
            .collect()
    }

    #[test]
    fn a_wish_is_asked_for() {
        let chain = json!({"action": "subscribe", "channel": "chain", "id": 2, "symbol": "NIFTY",
                           "expiry": "10FEB2026", "width": 11, "mode": "quote",
                           "conflate_ms": 250});
        let ticks = json!({"action": "subscribe", "channel": "ticks", "id": 1, "mode": "quote",
                           "instruments": ["NIFTY", "M&M"], "conflate_ms": 250});
        assert_eq!(requests(&wish(), None), [ticks.clone(), chain.clone()]);
        let place = Place {
            epoch: "2f4a".into(),
            seq: 7,
        };
        let mut resumed = chain;
        resumed["action"] = json!("resume");
        resumed["id"] = json!(3);
        resumed["epoch"] = json!("2f4a");
        resumed["seq"] = json!(7);
        assert_eq!(requests(&wish(), Some(&place)), [ticks, resumed]);
        let alone = Wish {
            chain: None,
            mode: None,
            ..wish()
        };
        assert_eq!(requests(&alone, Some(&place)).len(), 1);
        assert_eq!(requests(&alone, None)[0].get("mode"), None);
    }

    #[test]
    fn messages_of_the_contract_are_understood() {
        let parse = |value: Value| Message::parse(&value.to_string());
        assert!(matches!(
            parse(json!({"type": "ack", "id": 1, "sub": 4})),
            Some(Message::Ack { id, tokens }) if id == 1 && tokens.is_empty()
        ));
        assert!(matches!(
            parse(json!({"type": "error", "id": "x", "code": "unknown_symbol",
                         "detail": "unknown symbol", "choices": ["NIFTY"]})),
            Some(Message::Error { problem, .. }) if problem.code == "unknown_symbol"
        ));
        assert!(matches!(
            parse(json!({"type": "delta", "sub": 1, "epoch": "e", "seq": 2, "set": {}})),
            Some(Message::Delta { seq: 2, .. })
        ));
        assert!(matches!(
            parse(json!({"type": "news", "text": "hello"})),
            Some(Message::Other)
        ));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(?s).*", kind in "ticks|snapshot|delta|notice|ack|error|gap") {
            let _ = Message::parse(&text);
            let _ = Message::parse(&format!("{{\"type\":\"{kind}\",{text}}}"));
        }
    }
}
