use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use strikewire_types::{Exchange, ExchangeTime, Expiry, InstrumentKey, Price, Strike, Utc};

use crate::{Width, Window, at_the_money};

/// Where the price of a calculation came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum PriceSource {
    /// The feed.
    Live,
    /// A quote that was asked for.
    Rest,
    /// The previous day's close.
    PrevClose,
    /// The caller.
    Client,
}

/// What is known about a window besides itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainFacts {
    /// Where its price came from.
    pub price_source: PriceSource,
    /// When that price traded, where that is known.
    pub price_time: Option<ExchangeTime>,
    /// Whether that price is too old to move a chain.
    pub price_stale: bool,
    /// The underlying's live price now, where there is one.
    pub live_ltp: Option<Price>,
    /// When it was calculated.
    pub calculated_at: Utc,
}

/// A chain as it is shown to users. Its fields serialise in this order.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChainView {
    /// The underlying's symbol.
    pub symbol: String,
    /// Where the options are listed.
    pub exchange: Exchange,
    /// When they expire.
    pub expiry: Expiry,
    /// The instrument whose price it follows; absent when that is not listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub underlying: Option<InstrumentKey>,
    /// The price of the calculation.
    pub underlying_ltp: Price,
    /// Where that price came from.
    pub price_source: PriceSource,
    /// When it traded; absent when that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_time: Option<ExchangeTime>,
    /// Whether it is too old to move a chain.
    pub price_stale: bool,
    /// The underlying's live price; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live_ltp: Option<Price>,
    /// The strike at the money of the live price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live_atm_strike: Option<Strike>,
    /// The strike at the money of the calculation.
    pub atm_strike: Strike,
    /// The most common distance between strikes; null for a single strike.
    pub strike_step: Option<Price>,
    /// The broker's order unit.
    pub lot_size: u32,
    /// How many strikes were asked for.
    #[cfg_attr(feature = "openapi", schema(value_type = u16, minimum = 1, maximum = 1001))]
    pub width: Width,
    /// The strikes, ascending.
    pub strikes: Vec<Strike>,
    /// The tokens of the contracts on each strike, by the strike without trailing zeros.
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeMap<String, Tokens<'static>>))]
    pub strikes_ce_pe: StrikeLegs,
    /// When it was calculated.
    pub calculated_at: Utc,
    /// Whether the price of the calculation lies outside the ladder.
    pub ltp_outside_ladder: bool,
    /// Whether there are fewer strikes than were asked for.
    pub window_cut: bool,
}

impl ChainView {
    /// What a user sees of a window.
    #[must_use]
    pub fn new(window: &Window<'_>, facts: &ChainFacts) -> Self {
        let ladder = window.ladder();
        let token = |leg| ladder.registry().instrument(leg).token();
        let legs = window.rungs().iter().map(|rung| Legs {
            strike: rung.strike,
            call: rung.call().map(token),
            put: rung.put().map(token),
        });
        let live_atm = facts
            .live_ltp
            .and_then(|price| at_the_money(ladder.rungs(), price));
        Self {
            symbol: ladder.symbol().to_owned(),
            exchange: ladder.exchange(),
            expiry: ladder.expiry(),
            underlying: ladder.price_source().map(|source| source.key()),
            underlying_ltp: window.price(),
            price_source: facts.price_source,
            price_time: facts.price_time,
            price_stale: facts.price_stale,
            live_ltp: facts.live_ltp,
            live_atm_strike: live_atm.map(|rung| ladder.rungs()[rung].strike),
            atm_strike: window.atm_strike(),
            strike_step: window.strike_step(),
            lot_size: ladder.lot_size(),
            width: window.width(),
            strikes: window.rungs().iter().map(|rung| rung.strike).collect(),
            strikes_ce_pe: StrikeLegs(legs.collect()),
            calculated_at: facts.calculated_at,
            ltp_outside_ladder: window.outside(),
            window_cut: window.cut(),
        }
    }
}

/// The contracts of a chain by strike, ascending. Serialises as an object whose keys
/// are the strikes without trailing zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrikeLegs(pub Vec<Legs>);

/// The tokens of the contracts on one strike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Legs {
    /// The strike.
    pub strike: Strike,
    /// The call's token, if one is listed.
    pub call: Option<String>,
    /// The put's token, if one is listed.
    pub put: Option<String>,
}

/// The tokens of the contracts on one strike.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
struct Tokens<'a> {
    /// The call's; absent when none is listed.
    #[serde(rename = "CE", skip_serializing_if = "Option::is_none")]
    call: Option<&'a str>,
    /// The put's; absent when none is listed.
    #[serde(rename = "PE", skip_serializing_if = "Option::is_none")]
    put: Option<&'a str>,
}

impl Serialize for StrikeLegs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for legs in &self.0 {
            let tokens = Tokens {
                call: legs.call.as_deref(),
                put: legs.put.as_deref(),
            };
            map.serialize_entry(&legs.strike.to_string(), &tokens)?;
        }
        map.end()
    }
}
