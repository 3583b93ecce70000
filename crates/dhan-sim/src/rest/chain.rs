use jiff::civil::Date;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use strikewire_registry::{Ladder, Registry};
use strikewire_types::{InstrumentKey, OptionType, Segment};

use super::numbers::{number, price, rounded};
use super::request::{Answer, Failure};
use super::untraded::Untraded;
use crate::market::Market;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Body {
    underlying_scrip: u32,
    underlying_seg: String,
    expiry: Option<String>,
}

/// Of which underlying, and of which of its expiries where one is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) underlying: InstrumentKey,
    expiry: Option<Date>,
}

impl Question {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Failure> {
        let body: Body = serde_json::from_slice(body).map_err(|_| Failure::BadRequest)?;
        let segment = body.underlying_seg.parse::<Segment>();
        let expiry = body.expiry.as_deref().map(str::parse).transpose();
        Ok(Self {
            underlying: InstrumentKey::new(
                segment.map_err(|_| Failure::BadRequest)?,
                body.underlying_scrip,
            ),
            expiry: expiry.map_err(|_| Failure::BadExpiry)?,
        })
    }

    /// As a call for a chain must.
    pub(super) fn expiry(&self) -> Result<Date, Failure> {
        self.expiry.ok_or(Failure::BadExpiry)
    }

    /// The underlying's ladders, by expiry.
    fn ladders<'r>(&self, registry: &'r Registry) -> Result<Vec<Ladder<'r>>, Failure> {
        let unknown = Failure::BadInstrument;
        let underlying = registry.by_key(self.underlying).ok_or(unknown)?;
        // An index has another symbol than its options at times; and options on
        // commodities follow one of several futures.
        let is_theirs = |ladder: &Ladder<'_>| {
            let same_source = ladder
                .price_source()
                .is_some_and(|source| source.key() == self.underlying);
            ladder.exchange() == underlying.exchange()
                && (same_source || ladder.symbol() == underlying.symbol())
        };
        let mut ladders: Vec<_> = registry.ladders().filter(is_theirs).collect();
        ladders.sort_by_key(Ladder::expiry);
        if ladders.is_empty() {
            return Err(unknown);
        }
        Ok(ladders)
    }

    pub(super) fn expiries(&self, market: &Market) -> Result<Answer, Failure> {
        let ladders = self.ladders(market.registry())?;
        let mut dates: Vec<String> = ladders
            .iter()
            .map(|ladder| ladder.expiry().date().to_string())
            .collect();
        dates.dedup();
        Ok(Answer::success(&json!(dates)))
    }

    pub(super) fn chain(
        &self,
        market: &mut Market,
        untraded: &Untraded,
    ) -> Result<Answer, Failure> {
        let date = self.expiry()?;
        let registry = std::sync::Arc::clone(market.registry());
        let ladders = self.ladders(&registry)?;
        let ladder = ladders.iter().find(|ladder| ladder.expiry().date() == date);
        let ladder = ladder.ok_or(Failure::BadExpiry)?;
        let source = ladder
            .price_source()
            .map_or(self.underlying, |source| source.key());
        // The service computes in single precision and shows it.
        let last = market.quote(source).map_or(0.0, |quote| quote.ltp.as_f64()) as f32;
        let mut strikes = Map::new();
        for rung in ladder.rungs() {
            let mut sides = Map::new();
            for (name, side) in [("ce", OptionType::Call), ("pe", OptionType::Put)] {
                let leg = rung.leg(side).map(|leg| registry.instrument(leg).key());
                if let Some(shown) = leg.and_then(|leg| show(leg, market, untraded)) {
                    sides.insert(name.to_owned(), shown);
                }
            }
            let strike = format!("{:.6}", rung.strike.as_f64());
            strikes.insert(strike, Value::Object(sides));
        }
        let data = json!({ "last_price": number(f64::from(last)), "oc": strikes });
        Ok(Answer::success(&data))
    }
}

fn show(leg: InstrumentKey, market: &mut Market, untraded: &Untraded) -> Option<Value> {
    let quote = market.quote(leg)?;
    let greeks = market.greeks(leg)?;
    let previous_volume = market.previous_volume(leg)?;
    if untraded.contains(leg) {
        return Some(json!({
            "average_price": 0,
            "greeks": { "delta": 0, "theta": 0, "gamma": 0, "vega": 0 },
            "implied_volatility": 0,
            "last_price": 0,
            "oi": 0,
            "previous_close_price": 0,
            "previous_oi": 0,
            "previous_volume": 0,
            "security_id": leg.id.0,
            "top_ask_price": 0,
            "top_ask_quantity": 0,
            "top_bid_price": 0,
            "top_bid_quantity": 0,
            "volume": 0,
        }));
    }
    let [best, ..] = quote.depth;
    Some(json!({
        "average_price": price(quote.atp),
        "greeks": {
            "delta": rounded(greeks.delta, 5),
            "theta": rounded(greeks.theta, 5),
            "gamma": rounded(greeks.gamma, 5),
            "vega": rounded(greeks.vega, 5),
        },
        "implied_volatility": number(greeks.implied_volatility),
        "last_price": price(quote.ltp),
        "oi": quote.interest.map_or(0, |interest| interest.now),
        "previous_close_price": price(quote.prev_close),
        "previous_oi": quote.interest.map_or(0, |interest| interest.prev),
        "previous_volume": previous_volume,
        "security_id": leg.id.0,
        "top_ask_price": price(best.ask),
        "top_ask_quantity": best.ask_qty,
        "top_bid_price": price(best.bid),
        "top_bid_quantity": best.bid_qty,
        "volume": quote.volume,
    }))
}
