//! A chain as the stream tells it: a snapshot, then changes.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Map, Value};

/// What is known of a chain.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chain {
    /// Of which run of the server `seq` counts.
    pub(crate) epoch: String,
    /// The number of the last message that is in here.
    pub(crate) seq: u64,
    /// The chain itself: strikes, tokens, the price of the underlying.
    pub(crate) fields: Map<String, Value>,
    /// What is known of each leg, by token.
    pub(crate) quotes: BTreeMap<String, Map<String, Value>>,
}

impl Chain {
    /// As a `snapshot` has it.
    pub(crate) fn of(snapshot: &Value) -> Option<Self> {
        let mut quotes = BTreeMap::new();
        for (token, quote) in snapshot["quotes"].as_object()? {
            quotes.insert(token.clone(), quote.as_object()?.clone());
        }
        Some(Self {
            epoch: snapshot["epoch"].as_str()?.to_owned(),
            seq: snapshot["seq"].as_u64()?,
            fields: snapshot["chain"].as_object()?.clone(),
            quotes,
        })
    }

    /// Takes a `delta`. False: it does not follow what is known, and nothing was changed.
    #[must_use]
    pub(crate) fn apply(&mut self, delta: &Value) -> bool {
        let follows = delta["epoch"] == self.epoch.as_str() && delta["seq"] == self.seq + 1;
        let (true, Some(chain), Some(set), Some(remove)) = (
            follows,
            delta["chain"].as_object(),
            delta["set"].as_object(),
            delta["remove"].as_array(),
        ) else {
            return false;
        };
        self.seq += 1;
        merge(&mut self.fields, chain);
        for token in remove.iter().filter_map(Value::as_str) {
            self.quotes.remove(token);
        }
        for (token, changes) in set {
            if let Some(changes) = changes.as_object() {
                merge(self.quotes.entry(token.clone()).or_default(), changes);
            }
        }
        true
    }

    /// The last price of a leg.
    fn price(&self, token: Option<&str>) -> String {
        let quote = token.and_then(|token| self.quotes.get(token));
        quote
            .and_then(|quote| quote.get("ltp"))
            .map_or_else(|| "-".to_owned(), ToString::to_string)
    }

    /// The rows around the money, as text.
    pub(crate) fn picture(&self, rows: usize) -> String {
        let field = |name: &str| self.fields.get(name).unwrap_or(&Value::Null);
        let text = |name: &str| field(name).as_str().unwrap_or("?");
        let none = Vec::new();
        let strikes = field("strikes").as_array().unwrap_or(&none);
        let middle = strikes
            .iter()
            .position(|strike| strike == field("atm_strike"))
            .unwrap_or(0);
        let first = middle.saturating_sub(rows / 2);
        let mut out = String::new();
        // Writing to a text cannot fail.
        let _ = writeln!(
            out,
            "{} {} on {} at {}  #{}",
            text("symbol"),
            text("expiry"),
            text("exchange"),
            field("live_ltp"),
            self.seq
        );
        for (at, strike) in strikes.iter().enumerate().skip(first).take(rows) {
            // The legs are named by the strike without trailing zeros.
            let name = strike.to_string();
            let name = name.strip_suffix(".0").unwrap_or(&name);
            let legs = &field("strikes_ce_pe")[name];
            let _ = writeln!(
                out,
                "{:>10} {:>10}{} {:<10}",
                self.price(legs["CE"].as_str()),
                name,
                if at == middle { "*" } else { " " },
                self.price(legs["PE"].as_str())
            );
        }
        out
    }
}

/// Changes fields; one that is set to null goes.
fn merge(into: &mut Map<String, Value>, changes: &Map<String, Value>) {
    for (name, value) in changes {
        if value.is_null() {
            into.remove(name);
        } else {
            into.insert(name.clone(), value.clone());
        }
    }
}
