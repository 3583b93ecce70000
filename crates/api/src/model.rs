//! The bodies of requests and answers.

use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use strikewire_fanout::QuoteJson;
use strikewire_gateway::chain::ChainView;
use strikewire_gateway::registry::Instrument;
use strikewire_gateway::types::{
    Exchange, Expiry, ExpiryKind, InstrumentKey, Mode, OptionType, PriceStep, Segment, Strike,
    Tier, Utc,
};
use strikewire_gateway::{GapView, HolderView, InstrumentType, ItemView, MissingView};

use crate::extract::Fields;

/// Adds an item to a watchlist.
#[derive(Debug, Clone, Deserialize)]
pub struct AddRequest {
    /// The user; an integer, or a text of one.
    #[serde(deserialize_with = "user_id")]
    pub user_id: u64,
    /// The underlying's symbol, or the instrument's own.
    pub symbol: String,
    /// Absent: an option chain of any kind.
    #[serde(default)]
    pub instrument_type: Option<String>,
    /// Absent: the nearest.
    #[serde(default)]
    pub expiry: Option<String>,
    /// Absent: by the exchange rule.
    #[serde(default)]
    pub exchange: Option<String>,
    /// The caller's price of the underlying, in rupees.
    #[serde(default)]
    pub underlying_ltp: Option<f64>,
    /// Strikes, odd.
    #[serde(default)]
    pub width: Option<i64>,
    /// `ticker`, `quote` or `full`.
    #[serde(default)]
    pub mode: Option<String>,
    /// Whether the window follows the price. Default true.
    #[serde(default)]
    pub follow: Option<bool>,
    /// `TIER_A` or `TIER_B`; only to subscribe.
    #[serde(default)]
    pub tier: Option<String>,
    /// Calculate the chain anew whatever is cached; only to subscribe.
    #[serde(default)]
    pub force_recalc: Option<bool>,
}

impl Fields for AddRequest {
    const FIELDS: &'static [&'static str] = &[
        "user_id",
        "symbol",
        "instrument_type",
        "expiry",
        "exchange",
        "underlying_ltp",
        "width",
        "mode",
        "follow",
    ];
}

/// Subscribes a chain without putting it on a watchlist: an add with two more fields.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct SubscribeRequest(pub AddRequest);

impl Fields for SubscribeRequest {
    const FIELDS: &'static [&'static str] = &[
        "user_id",
        "symbol",
        "instrument_type",
        "expiry",
        "exchange",
        "underlying_ltp",
        "width",
        "mode",
        "follow",
        "tier",
        "force_recalc",
    ];
}

/// Removes an item from a watchlist.
#[derive(Debug, Clone, Deserialize)]
pub struct RemoveRequest {
    /// The user; an integer, or a text of one.
    #[serde(deserialize_with = "user_id")]
    pub user_id: u64,
    /// The symbol.
    pub symbol: String,
    /// Absent: any.
    #[serde(default)]
    pub expiry: Option<String>,
    /// Absent: any.
    #[serde(default)]
    pub exchange: Option<String>,
    /// Absent: any.
    #[serde(default)]
    pub instrument_type: Option<String>,
}

impl Fields for RemoveRequest {
    const FIELDS: &'static [&'static str] =
        &["user_id", "symbol", "expiry", "exchange", "instrument_type"];
}

fn user_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "an integer from 0 on, or a text of one")]
    enum Either {
        Number(u64),
        Text(String),
    }
    match Either::deserialize(deserializer)? {
        Either::Number(id) => Ok(id),
        Either::Text(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            text.parse().map_err(serde::de::Error::custom)
        }
        Either::Text(_) => Err(serde::de::Error::custom(
            "an integer from 0 on, or a text of one, is expected",
        )),
    }
}

/// Something a caller should know about an answer.
#[derive(Debug, Clone, Serialize)]
pub struct Warning {
    /// A stable code.
    pub code: &'static str,
    /// The nearest expiry on the exchange that was passed over, by a key that names
    /// the exchange: `nearest_on_nse`.
    #[serde(flatten)]
    pub nearest: BTreeMap<String, Expiry>,
}

/// The answer to an add.
#[derive(Debug, Serialize)]
pub struct AddAnswer {
    /// Always true.
    pub success: bool,
    /// A sentence for people.
    pub message: String,
    /// True when the item was there already.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub already_present: bool,
    /// The chain; absent for a single instrument.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub option_chain: Option<ChainView>,
    /// Option contracts that the item holds; 0 for a single instrument.
    pub strikes_subscribed: usize,
    /// Instruments held, for a single instrument.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instruments_subscribed: Option<usize>,
    /// Instruments of the item that nobody held before.
    pub newly_on_wire: usize,
    /// What a caller should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// The answer to a remove.
#[derive(Debug, Serialize)]
pub struct RemoveAnswer {
    /// Always true.
    pub success: bool,
    /// A sentence for people.
    pub message: String,
    /// Contracts that the item held.
    pub strikes_released: usize,
    /// Of those, the ones that leave the wire.
    pub strikes_unsubscribed: usize,
}

/// A user's watchlist.
#[derive(Debug, Serialize)]
pub struct WatchlistAnswer {
    /// The user.
    pub user_id: u64,
    /// In the order of addition.
    pub items: Vec<ItemView>,
}

/// A chain that was read.
#[derive(Debug, Serialize)]
pub struct ChainAnswer<'a> {
    /// The chain.
    #[serde(flatten)]
    pub chain: ChainView,
    /// Last quotes of the contracts that are subscribed, by token.
    pub quotes: BTreeMap<String, QuoteJson<'a>>,
    /// What a caller should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// A listed instrument.
#[derive(Debug, Clone, Serialize)]
pub struct InstrumentView {
    /// The segment.
    pub segment: Segment,
    /// The security id inside the segment.
    pub security_id: u32,
    /// The token.
    pub token: String,
    /// The underlying's symbol, or its own.
    pub symbol: String,
    /// The name for people.
    pub name: String,
    /// `EQUITY`, `OPTIDX`, ...
    pub kind: &'static str,
    /// The exchange.
    pub exchange: Exchange,
    /// Absent for cash and indices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiry: Option<Expiry>,
    /// Absent unless it is an option.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strike: Option<Strike>,
    /// Absent unless it is an option.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub option_type: Option<OptionType>,
    /// The broker's order unit.
    pub lot_size: u32,
    /// The tick size in rupees; absent when unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tick_size: Option<f64>,
    /// How well it fits a search; larger is better.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<u32>,
}

impl InstrumentView {
    /// A view of `instrument`.
    #[must_use]
    pub fn new(instrument: Instrument<'_>) -> Self {
        Self {
            segment: instrument.key().segment,
            security_id: instrument.key().id.0,
            token: instrument.token(),
            symbol: instrument.symbol().to_owned(),
            name: instrument.name().to_owned(),
            kind: instrument.kind().as_str(),
            exchange: instrument.exchange(),
            expiry: instrument.expiry(),
            strike: instrument.strike(),
            option_type: instrument.option_type(),
            lot_size: instrument.lot_size(),
            tick_size: rupees(instrument.tick()),
            score: None,
        }
    }
}

fn rupees(step: PriceStep) -> Option<f64> {
    (step.raw() > 0).then(|| f64::from(step.raw()) / strikewire_gateway::types::SCALE as f64)
}

/// The answer to a search.
#[derive(Debug, Serialize)]
pub struct SearchAnswer {
    /// Best first.
    pub items: Vec<InstrumentView>,
}

/// The expiries of a symbol.
#[derive(Debug, Serialize)]
pub struct ExpiriesAnswer {
    /// The symbol as listed.
    pub symbol: String,
    /// The exchange.
    pub exchange: Exchange,
    /// Soonest first.
    pub expiries: Vec<ExpiryView>,
}

/// One expiry.
#[derive(Debug, Serialize)]
pub struct ExpiryView {
    /// The day.
    pub expiry: Expiry,
    /// Whether it is the last of its month.
    pub kind: ExpiryKind,
}

/// An instrument that somebody holds.
#[derive(Debug, Clone, Serialize)]
pub struct SubscriptionView {
    /// The token.
    pub token: String,
    /// Segment and id.
    pub instrument: InstrumentKey,
    /// The underlying's symbol, or its own.
    pub symbol: String,
    /// The exchange.
    pub exchange: Exchange,
    /// Absent for cash and indices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiry: Option<Expiry>,
    /// Absent unless it is an option.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strike: Option<Strike>,
    /// Absent unless it is an option.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub option_type: Option<OptionType>,
    /// The highest tier it is held in.
    pub tier: Tier,
    /// The highest mode it is held in.
    pub mode: Mode,
    /// How it stands on the wire: `pending`, `subscribing`, `subscribed`, `changing`, or
    /// `refused` when the broker does not take it.
    pub state: &'static str,
    /// 1 to 5; null while it waits for a connection.
    pub ws_connection_id: Option<u8>,
    /// Since when it is subscribed.
    pub subscribed_at: Utc,
    /// What it lacks although it is subscribed; absent when it comes as it should.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<MissingView>,
}

/// All about the subscription of one instrument.
#[derive(Debug, Serialize)]
pub struct SubscriptionAnswer {
    /// What is held, and how it stands.
    #[serde(flatten)]
    pub subscription: SubscriptionView,
    /// Milliseconds since its last tick; null when none came yet.
    pub last_tick_age_ms: Option<u64>,
    /// The last time without data; absent when there was none since it is subscribed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_gap: Option<GapView>,
    /// Who holds it.
    pub holders: Vec<HolderView>,
}

/// One row of what is subscribed.
#[derive(Debug, Clone, Serialize)]
pub struct ActiveView {
    /// What is held, and how it stands.
    #[serde(flatten)]
    pub subscription: SubscriptionView,
    /// How many hold it.
    pub holders: usize,
}

/// A page of what is subscribed.
#[derive(Debug, Serialize)]
pub struct ActiveAnswer {
    /// By token.
    pub items: Vec<ActiveView>,
    /// Where the next page goes on; null on the last one.
    pub next_cursor: Option<String>,
}

/// Asks what some items would take and evict.
#[derive(Debug, Clone, Deserialize)]
pub struct PlanRequest {
    /// Each as it would be added to a watchlist, see [`AddRequest`].
    pub requests: Vec<serde_json::Value>,
}

impl Fields for PlanRequest {
    const FIELDS: &'static [&'static str] = &["requests"];
}

/// Names an expiry whose chains are to be calculated anew.
#[derive(Debug, Clone, Deserialize)]
pub struct InvalidateRequest {
    /// The underlying's symbol.
    pub symbol: String,
    /// The expiry.
    pub expiry: String,
}

impl Fields for InvalidateRequest {
    const FIELDS: &'static [&'static str] = &["symbol", "expiry"];
}

/// The answer to letting go of all of tier A.
#[derive(Debug, Serialize)]
pub struct UnsubscribeAnswer {
    /// Always true.
    pub success: bool,
    /// Instruments that leave the wire.
    pub unsubscribed: usize,
}

/// The answer to evening the connections out.
#[derive(Debug, Serialize)]
pub struct RebalanceAnswer {
    /// Always true.
    pub success: bool,
    /// Instruments that move.
    pub moved: usize,
    /// Wire slots by connection.
    pub ws_usage: BTreeMap<u8, usize>,
}

/// The answer to calculating an expiry anew.
#[derive(Debug, Serialize)]
pub struct InvalidateAnswer {
    /// Always true.
    pub success: bool,
    /// Chains that were known, and are calculated anew.
    pub recalculated: usize,
}

/// A page of the audit log.
#[derive(Debug, Serialize)]
pub struct AuditAnswer {
    /// Newest first, or by token where the question is what was subscribed.
    pub items: Vec<AuditView>,
    /// Where the next page goes on; null on the last one.
    pub next_cursor: Option<String>,
}

/// A record of the audit log.
#[derive(Debug, Serialize)]
pub struct AuditView {
    /// Its place in the order of all records.
    pub id: i64,
    /// What happened, `SUBSCRIBE` and so on.
    pub action: &'static str,
    /// To which instrument; empty where records are missing.
    pub token: Box<str>,
    /// Why.
    pub reason: Box<str>,
    /// For whom.
    pub owner: Box<str>,
    /// When, to the microsecond, so that `as_of` can name it exactly.
    pub at: String,
}

impl AddRequest {
    /// The instrument type as it is understood.
    pub(crate) fn instrument_type(&self) -> Result<Option<InstrumentType>, crate::Problem> {
        crate::extract::parse("instrument_type", self.instrument_type.as_deref()).map_err(
            |problem| {
                problem.choices(
                    InstrumentType::ALL
                        .iter()
                        .map(ToString::to_string)
                        .collect(),
                )
            },
        )
    }
}
