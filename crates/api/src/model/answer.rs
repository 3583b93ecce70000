//! What is answered.

use std::collections::BTreeMap;

use serde::Serialize;
use strikewire_fanout::QuoteJson;
use strikewire_gateway::chain::ChainView;
use strikewire_gateway::registry::Instrument;
use strikewire_gateway::types::{
    Exchange, Expiry, ExpiryKind, InstrumentKey, Mode, OptionType, PriceStep, Segment, Strike,
    Tier, Utc,
};
use strikewire_gateway::{DryRun, GapView, HolderView, ItemView, MissingView, Quotes};
use utoipa::ToSchema;

use super::QuoteView;

/// Something a caller should know about an answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Warning {
    /// A stable code.
    pub code: &'static str,
    /// The nearest expiry on the exchange that was passed over, by a key that names
    /// the exchange: `nearest_on_nse`.
    #[serde(flatten)]
    pub nearest: BTreeMap<String, Expiry>,
}

/// The answer to an add.
#[derive(Debug, Serialize, ToSchema)]
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
#[derive(Debug, Serialize, ToSchema)]
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
#[derive(Debug, Serialize, ToSchema)]
pub struct WatchlistAnswer {
    /// The user.
    pub user_id: u64,
    /// In the order of addition.
    pub items: Vec<ItemView>,
}

/// A chain that was read.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChainAnswer<'a> {
    /// The chain.
    #[serde(flatten)]
    pub chain: ChainView,
    /// Last quotes of the contracts that are subscribed, by token.
    #[schema(value_type = BTreeMap<String, QuoteView>)]
    pub quotes: BTreeMap<String, QuoteJson<'a>>,
    /// What a caller should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// A listed instrument.
#[derive(Debug, Clone, Serialize, ToSchema)]
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
#[derive(Debug, Serialize, ToSchema)]
pub struct SearchAnswer {
    /// Best first.
    pub items: Vec<InstrumentView>,
}

/// The expiries of a symbol.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExpiriesAnswer {
    /// The symbol as listed.
    pub symbol: String,
    /// The exchange.
    pub exchange: Exchange,
    /// Soonest first.
    pub expiries: Vec<ExpiryView>,
}

/// One expiry.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExpiryView {
    /// The day.
    pub expiry: Expiry,
    /// Whether it is the last of its month.
    pub kind: ExpiryKind,
}

/// An instrument that somebody holds.
#[derive(Debug, Clone, Serialize, ToSchema)]
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
    #[schema(minimum = 1)]
    pub ws_connection_id: Option<u8>,
    /// Since when it is subscribed.
    pub subscribed_at: Utc,
    /// What it lacks although it is subscribed; absent when it comes as it should.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<MissingView>,
}

/// All about the subscription of one instrument.
#[derive(Debug, Serialize, ToSchema)]
pub struct SubscriptionAnswer {
    /// What is held, and how it stands.
    #[serde(flatten)]
    pub subscription: SubscriptionView,
    /// Milliseconds since its last tick; null when none came yet.
    pub last_tick_age_ms: Option<u64>,
    /// The last time without data; absent when there was none since it is subscribed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_gap: Option<GapView>,
    /// Who holds it; to those who are no admins only what is theirs.
    pub holders: Vec<HolderView>,
    /// How many others hold it; absent for an admin, who sees them all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub others: Option<usize>,
}

/// One row of what is subscribed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ActiveView {
    /// What is held, and how it stands.
    #[serde(flatten)]
    pub subscription: SubscriptionView,
    /// How many hold it.
    pub holders: usize,
}

/// A page of what is subscribed.
#[derive(Debug, Serialize, ToSchema)]
pub struct ActiveAnswer {
    /// By token.
    pub items: Vec<ActiveView>,
    /// Where the next page goes on; null on the last one.
    pub next_cursor: Option<String>,
}

/// The answer to letting go of all of tier A.
#[derive(Debug, Serialize, ToSchema)]
pub struct UnsubscribeAnswer {
    /// Always true.
    pub success: bool,
    /// Instruments that leave the wire.
    pub unsubscribed: usize,
}

/// The answer to evening the connections out.
#[derive(Debug, Serialize, ToSchema)]
pub struct RebalanceAnswer {
    /// Always true.
    pub success: bool,
    /// Instruments that move.
    pub moved: usize,
    /// Wire slots by connection.
    #[schema(value_type = BTreeMap<String, usize>)]
    pub ws_usage: BTreeMap<u8, usize>,
}

/// The answer to calculating an expiry anew.
#[derive(Debug, Serialize, ToSchema)]
pub struct InvalidateAnswer {
    /// Always true.
    pub success: bool,
    /// Chains that were known, and are calculated anew.
    pub recalculated: usize,
}

/// A page of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditAnswer {
    /// Newest first, or by token where the question is what was subscribed.
    pub items: Vec<AuditView>,
    /// Where the next page goes on; null on the last one.
    pub next_cursor: Option<String>,
}

/// A record of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditView {
    /// Its place in the order of all records.
    pub id: i64,
    /// What happened, `SUBSCRIBE` and so on.
    pub action: &'static str,
    /// To which instrument; empty where records are missing.
    #[schema(value_type = String)]
    pub token: Box<str>,
    /// Why.
    #[schema(value_type = String)]
    pub reason: Box<str>,
    /// For whom.
    #[schema(value_type = String)]
    pub owner: Box<str>,
    /// When, to the microsecond, so that `as_of` can name it exactly.
    #[schema(format = DateTime)]
    pub at: String,
}

/// The last quotes of some instruments.
#[derive(Debug, Serialize, ToSchema)]
pub struct QuotesAnswer<'a> {
    /// By token. One without fields: it is subscribed, and nothing came yet.
    #[schema(value_type = BTreeMap<String, QuoteView>)]
    pub quotes: BTreeMap<&'a str, QuoteOrNone<'a>>,
    /// What is not listed, or could be several instruments; as it was asked for.
    pub unknown: Vec<&'a str>,
    /// Tokens of what nobody has subscribed.
    pub not_subscribed: Vec<&'a str>,
}

/// A quote with all that is known of it, or an object without fields.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum QuoteOrNone<'a> {
    /// What is known.
    Quote(QuoteJson<'a>),
    /// Nothing.
    None {},
}

impl<'a> QuotesAnswer<'a> {
    /// The answer that says what `found` has.
    #[must_use]
    pub fn new(found: &'a Quotes) -> Self {
        let quote = |quote: &'a Option<_>| match quote {
            Some(quote) => QuoteOrNone::Quote(QuoteJson(quote, Mode::Full)),
            None => QuoteOrNone::None {},
        };
        Self {
            quotes: found
                .quotes
                .iter()
                .map(|(token, found)| (token.as_str(), quote(found)))
                .collect(),
            unknown: found.unknown.iter().map(String::as_str).collect(),
            not_subscribed: found.not_subscribed.iter().map(String::as_str).collect(),
        }
    }
}

/// What some requests together would take and evict.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlanAnswer {
    /// Whether they fit, with what is evicted for them.
    pub fits: bool,
    /// Slots they take that nobody holds yet.
    pub needed: usize,
    /// Slots that are free.
    pub free: usize,
    /// Slots that eviction could free at most; absent when they fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evictable: Option<usize>,
    /// Whose claims would go, in that order.
    pub evict: Vec<EvictedView>,
    /// New instruments by connection.
    #[schema(value_type = BTreeMap<String, usize>)]
    pub by_connection: BTreeMap<u8, usize>,
    /// Messages that subscribe them.
    pub messages: usize,
    /// About how long those take, in seconds.
    pub seconds: f64,
    /// What was assumed where a price is not known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assumed: Vec<String>,
}

/// A claim that would be evicted.
#[derive(Debug, Serialize, ToSchema)]
pub struct EvictedView {
    /// The user; null for a stream client's, and for another's to those who are no admins.
    pub user_id: Option<u64>,
    /// What it is on; null for another's to those who are no admins.
    pub symbol: Option<String>,
    /// When that expires; null for an equity and for ticks of several instruments, and for
    /// another's to those who are no admins.
    pub expiry: Option<Expiry>,
    /// Slots it frees.
    pub frees: usize,
}

impl PlanAnswer {
    /// What `run` says, to one who may see what is whose as `may_see` says.
    pub(crate) fn new(run: DryRun, may_see: impl Fn(Option<u64>) -> bool) -> Self {
        Self {
            fits: run.fits,
            needed: run.needed,
            free: run.free,
            evictable: run.evictable,
            evict: run
                .evict
                .into_iter()
                .map(|claim| {
                    let seen = may_see(claim.user_id);
                    EvictedView {
                        user_id: claim.user_id.filter(|_| seen),
                        symbol: seen.then_some(claim.symbol),
                        expiry: claim.expiry.filter(|_| seen),
                        frees: claim.frees,
                    }
                })
                .collect(),
            by_connection: run.by_connection,
            messages: run.messages,
            seconds: run.seconds,
            assumed: run.assumed,
        }
    }
}
