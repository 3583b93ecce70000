//! Dry runs: what requests would take, and what the always-on configuration takes.

use std::collections::BTreeMap;

use serde::Serialize;
use strikewire_chain::Window;
use strikewire_registry::{Expiring, Ladder, Registry};
use strikewire_subscriptions::{Book, Owner as Holder, OwnerKind, Request};
use strikewire_types::{ConnId, Expiry, Now, Price, Tier};

use crate::item::{Holding, ItemSpec};
use crate::owner::{legs, middle_window};
use crate::resolve::leg;
use crate::tier_b::{Standing, stand};
use crate::{Config, Error};

/// Seconds from one message to the next on a connection: each waits until the one before
/// was written. An estimate, on the safe side.
const SECONDS_PER_MESSAGE: f64 = 0.05;

/// One request of a dry run.
#[derive(Debug)]
pub(crate) struct Want {
    pub(crate) spec: ItemSpec,
    /// The caller's price.
    pub(crate) price: Option<Price>,
}

/// Why requests could not be planned.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
#[non_exhaustive]
pub struct PlanError {
    /// Which of the requests it is about, from 0; absent: none of them.
    pub request: Option<usize>,
    /// What is wrong.
    pub error: Error,
}

impl From<Error> for PlanError {
    fn from(error: Error) -> Self {
        let request = None;
        Self { request, error }
    }
}

/// What some requests together would take and evict. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DryRun {
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
    pub evict: Vec<EvictView>,
    /// New instruments by connection.
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, usize>))]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EvictView {
    /// The user; null for a stream client's.
    pub user_id: Option<u64>,
    /// What it is on.
    pub symbol: String,
    /// When that expires; null for an equity and for ticks of several instruments.
    pub expiry: Option<Expiry>,
    /// Slots it frees.
    pub frees: usize,
}

/// What the always-on configuration takes, before any server runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct StandingPlan {
    /// Distinct instruments in tier B.
    pub tier_b: usize,
    /// Of those, option contracts on indices.
    pub index_options: usize,
    /// Of those, option contracts on commodities.
    pub commodity_options: usize,
    /// Of those, other option contracts.
    pub other_options: usize,
    /// Of those, futures that were asked for.
    pub futures: usize,
    /// Of those, underlyings that windows hang on.
    pub underlyings: usize,
    /// What is left for tier A.
    pub tier_a_room: usize,
    /// Instruments by connection.
    pub by_connection: BTreeMap<u8, usize>,
    /// Messages that subscribe them all.
    pub messages: usize,
    /// About how long until all are on the wire, in seconds.
    pub seconds: f64,
    /// Each window and future, in the order in which they go to the wire.
    pub windows: Vec<StandingWindow>,
    /// What does not fit, and why.
    pub does_not_fit: Vec<String>,
    /// Symbols on which nothing of the kind is listed.
    pub not_listed: Vec<String>,
    /// What was assumed where a price is not given.
    pub assumed: Vec<String>,
}

/// One window or future of the always-on configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StandingWindow {
    /// What it is.
    pub window: String,
    /// Its contracts.
    pub contracts: usize,
}

/// About how long the busiest connection needs.
fn seconds(by_connection: impl Iterator<Item = usize>, per_batch: usize) -> f64 {
    let busiest = by_connection.max().unwrap_or(0);
    let seconds = busiest.div_ceil(per_batch.max(1)) as f64 * SECONDS_PER_MESSAGE;
    (seconds * 100.0).round() / 100.0
}

fn numbered(by_connection: &[usize]) -> BTreeMap<u8, usize> {
    by_connection
        .iter()
        .enumerate()
        .map(|(at, count)| (ConnId::from_index(at).number(), *count))
        .collect()
}

impl DryRun {
    pub(crate) fn fits(
        config: &Config,
        needed: usize,
        free: usize,
        evict: Vec<EvictView>,
        forecast: &strikewire_subscriptions::Forecast,
    ) -> Self {
        Self {
            fits: true,
            needed,
            free,
            evictable: None,
            evict,
            by_connection: numbered(&forecast.by_connection),
            messages: forecast.messages,
            seconds: seconds(
                forecast.by_connection.iter().copied(),
                config.book.per_batch,
            ),
            assumed: Vec::new(),
        }
    }

    pub(crate) fn refused(refusal: &strikewire_subscriptions::Refusal) -> Self {
        Self {
            fits: false,
            needed: refusal.needed,
            free: refusal.free,
            evictable: Some(refusal.evictable),
            evict: Vec::new(),
            by_connection: BTreeMap::new(),
            messages: 0,
            seconds: 0.0,
            assumed: Vec::new(),
        }
    }
}

/// What the always-on rules of `config` take of an empty book. `price` gives the price of
/// an underlying by its token; where it has none, the middle of the underlying's nearest
/// ladder is assumed. `ended` says which contracts have had their last session.
///
/// # Errors
///
/// When the capacities of the configuration make no sense.
pub fn plan_standing(
    config: &Config,
    registry: &Registry,
    price: &dyn Fn(&str) -> Option<Price>,
    ended: &dyn Fn(&Expiring<'_>) -> bool,
) -> Result<StandingPlan, strikewire_subscriptions::ConfigError> {
    let mut book = Book::new(config.book)?;
    let today = stand(registry, &config.tier_b, &config.widths, ended);
    let mut plan = StandingPlan {
        not_listed: today.missing,
        ..StandingPlan::default()
    };
    let mut middles = Middles::default();
    let mut effects = Vec::new();
    for (id, standing) in (0..).zip(&today.standing) {
        let legs = match standing_legs(registry, standing, price, &mut middles) {
            Ok(legs) => legs,
            Err(error) => {
                plan.does_not_fit.push(format!("{standing}: {error}"));
                continue;
            }
        };
        let contracts = legs
            .iter()
            .filter(|leg| leg.role == strikewire_subscriptions::Role::Contract)
            .count();
        let owner = Holder {
            kind: OwnerKind::TierB,
            id,
        };
        let request = Request::new(owner, Tier::B, legs);
        match book.plan(Now::default(), &request) {
            Ok(admission) => {
                book.apply(Now::default(), admission, &mut effects);
                effects.clear();
                plan.windows.push(StandingWindow {
                    window: standing.to_string(),
                    contracts,
                });
            }
            Err(refusal) => plan.does_not_fit.push(format!("{standing}: {refusal}")),
        }
    }
    count(registry, &book, &mut plan);
    plan.assumed = middles.assumed;
    let status = book.status();
    plan.tier_b = status.tier_b;
    plan.tier_a_room = status.free;
    let charged: Vec<usize> = status.connections.iter().map(|conn| conn.charged).collect();
    plan.by_connection = numbered(&charged);
    plan.messages = messages(&book, config.book.per_batch);
    plan.seconds = seconds(charged.into_iter(), config.book.per_batch);
    Ok(plan)
}

/// Messages that subscribe everything: of one connection and mode each.
fn messages(book: &Book, per_batch: usize) -> usize {
    let mut by_message: BTreeMap<_, usize> = BTreeMap::new();
    for view in book.instruments() {
        *by_message.entry((view.home, view.mode)).or_default() += 1;
    }
    by_message
        .values()
        .map(|count| count.div_ceil(per_batch.max(1)))
        .sum()
}

fn count(registry: &Registry, book: &Book, plan: &mut StandingPlan) {
    use strikewire_registry::Kind;
    use strikewire_subscriptions::Role;
    let mut contracts = std::collections::BTreeSet::new();
    for claim in book.claims() {
        contracts.extend(
            claim
                .legs()
                .filter(|leg| leg.role == Role::Contract)
                .map(|leg| leg.key),
        );
    }
    for view in book.instruments() {
        let kind = registry
            .by_key(view.key)
            .map(|instrument| instrument.kind())
            .filter(|_| contracts.contains(&view.key));
        match kind {
            Some(Kind::OptionIndex) => plan.index_options += 1,
            Some(Kind::OptionCommodity) => plan.commodity_options += 1,
            Some(kind) if kind.is_option() => plan.other_options += 1,
            Some(_) => plan.futures += 1,
            None => plan.underlyings += 1,
        }
    }
}

/// The middles of the nearest ladders, by symbol, and what was said about them.
#[derive(Default)]
struct Middles {
    by_symbol: BTreeMap<Box<str>, Price>,
    assumed: Vec<String>,
}

fn standing_legs(
    registry: &Registry,
    standing: &Standing,
    price: &dyn Fn(&str) -> Option<Price>,
    middles: &mut Middles,
) -> Result<Vec<strikewire_subscriptions::Leg>, Error> {
    let (ladder, width) = match standing.holding {
        Holding::Chain { ladder, width } => (registry.ladder_at(ladder), width),
        Holding::Single { key } => {
            let instrument = registry.by_key(key).ok_or(Error::Stopping)?;
            return Ok(vec![leg(instrument, standing.mode)]);
        }
    };
    let given = ladder
        .price_source()
        .and_then(|source| price(&source.token()));
    let at = match given {
        Some(price) => price,
        None => middles.of(registry, ladder)?,
    };
    let window = Window::new(ladder, at, width)?;
    legs(registry, window.span(), standing.mode)
}

impl Middles {
    fn of(&mut self, registry: &Registry, ladder: Ladder<'_>) -> Result<Price, Error> {
        let symbol = ladder.symbol();
        if let Some(price) = self.by_symbol.get(symbol) {
            return Ok(*price);
        }
        let nearest = registry
            .option_expiries(ladder.exchange(), symbol)
            .first()
            .and_then(|expiry| registry.ladder(ladder.exchange(), symbol, *expiry))
            .unwrap_or(ladder);
        let width = strikewire_chain::Width::new(1)?;
        let price = middle_window(nearest, width)?.price();
        self.by_symbol.insert(symbol.into(), price);
        self.assumed.push(format!(
            "{symbol} at {price}, the middle of its ladder of {}",
            nearest.expiry()
        ));
        Ok(price)
    }
}
