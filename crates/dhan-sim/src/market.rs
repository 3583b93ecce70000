//! What the stand-in's prices do: a market that hangs together.
//!
//! Underlyings (indices, shares, the futures of commodities and currencies) walk on a
//! grid of quarter seconds and return to where they started; futures and options
//! follow from them in closed form. Everything depends on the seed, the time the
//! market started and the time asked about, never on who asked before: two markets
//! with the same seed and start show the same ticks to whoever looks.
//!
//! Within a day high, low and volume only widen and grow. The day changes at midnight
//! in India, where prices jump by a gap and volumes start from 0. There are no closing
//! hours.
//!
//! Options and their underlying keep put-call parity: call less put is the forward less
//! the strike, discounted; the yearly cost of money in both is 6 %, and the forward is
//! the price of the future with that expiry.
//!
//! The market remembers nothing, yet can be asked about the past: what a walk has gone
//! through is walked again, and what was before the market opened is made to lead to
//! where it opened, see [`Market::minutes`].
//!
//! The module knows no protocol and does no IO.

mod activity;
mod history;
mod listing;
mod mix;
mod observe;
mod past;
mod premium;
mod quote;
#[cfg(test)]
mod tests;
mod time;
mod track;
mod walk;

use core::fmt;
use std::collections::HashMap;
use std::sync::Arc;

use hashbrown::hash_map::Entry;
use jiff::civil::Date;
use strikewire_registry::Registry;
use strikewire_types::{InstrumentKey, Now, Price, Utc, ist_date};

pub use quote::{Candle, Greeks, Interest, Level, Quote};

use listing::{Book, Listing};
use mix::mix;
use observe::Observer;
use time::{STEPS_PER_SECOND, day_of, first_step_of, step_of};
use track::{Jump, Track};
use walk::Walk;

type Map<V> = hashbrown::HashMap<InstrumentKey, V, foldhash::fast::RandomState>;

/// How a [`Market`] behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct MarketConfig {
    /// Chooses the ways of all prices. Default 1.
    pub seed: u64,
    /// Standard deviation of an index's relative change over a minute; shares and
    /// commodities move one and a half times as much, currencies a third. At most
    /// 0.05. Default 0.0012: NIFTY moves by a strike step, 50 points, every few
    /// minutes.
    pub volatility: f64,
    /// Trades per second, as a multiple of the usual ones. Default 1: underlyings
    /// four times a second, options near the money once or twice, far ones once a
    /// minute. Underlyings cannot go faster.
    pub rate: f64,
    /// Starting prices. An underlying that is missing starts at the middle strike of
    /// the nearest expiry whose options follow it, one without options anywhere.
    pub prices: HashMap<InstrumentKey, Price>,
}

impl Default for MarketConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            volatility: 0.0012,
            rate: 1.0,
            prices: HashMap::new(),
        }
    }
}

/// A moment of the market, counted in quarter seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Step(u64);

impl Step {
    /// How many steps this is after `earlier`; 0 if it is not after.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// As a plain count, for tables.
    #[must_use]
    pub const fn count(self) -> u64 {
        self.0
    }
}

/// All prices of one registry.
pub struct Market {
    registry: Arc<Registry>,
    seed: u64,
    sigma: f64,
    rate: f64,
    book: Book,
    start: u64,
    step: u64,
    today: Date,
    listings: Map<Listing>,
    walks: Map<Track>,
    /// In the order of their time; those to come are gaps at openings.
    jumps: Vec<Jump>,
}

impl fmt::Debug for Market {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Market")
            .field("seed", &self.seed)
            .field("step", &self.step)
            .field("listings", &self.listings.len())
            .field("walks", &self.walks.len())
            .finish_non_exhaustive()
    }
}

impl Market {
    /// A market of the instruments of `registry` that opens at `start`.
    #[must_use]
    pub fn new(registry: Arc<Registry>, config: MarketConfig, start: Utc) -> Self {
        let step = step_of(start);
        let minute = (60 * STEPS_PER_SECOND) as f64;
        Self {
            seed: config.seed,
            sigma: finite_or(config.volatility, 0.0).clamp(0.0, 0.05) / minute.sqrt(),
            rate: finite_or(config.rate, 1.0).max(1e-3),
            book: Book::new(&registry, config.prices, config.seed),
            registry,
            start: step,
            step,
            today: ist_date(start),
            listings: Map::default(),
            walks: Map::default(),
            jumps: Vec::new(),
        }
    }

    /// Moves on to `now`; a time before the last one is ignored.
    pub fn advance(&mut self, now: Now) -> Step {
        let step = step_of(now.utc);
        if step > self.step {
            if day_of(step) != day_of(self.step) {
                self.today = ist_date(now.utc);
                for listing in self.listings.values_mut() {
                    listing.set_today(self.today);
                }
            }
            self.step = step;
        }
        Step(self.step)
    }

    /// Where it is.
    #[must_use]
    pub const fn step(&self) -> Step {
        Step(self.step)
    }

    /// The instruments it knows.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The instrument's state now; absent when the registry does not have it.
    pub fn quote(&mut self, key: InstrumentKey) -> Option<Quote> {
        let (step, rate) = (self.step, self.rate);
        let (listing, track) = self.look(key)?;
        let mut observer = Observer {
            key,
            period: listing.period(track.home(), rate),
            listing,
            levels: track.levels(),
            step,
        };
        Some(observer.quote())
    }

    /// What an option's price depends on; absent for everything else.
    pub fn greeks(&mut self, key: InstrumentKey) -> Option<Greeks> {
        let (listing, track) = self.look(key)?;
        listing.greeks(track.levels().last)
    }

    /// Quantity traded on the day before, 0 for an index; absent when the registry does
    /// not have it.
    pub fn previous_volume(&mut self, key: InstrumentKey) -> Option<u32> {
        let today = first_step_of(self.today);
        let (listing, _) = self.look(key)?;
        let lots = listing.lots_of(&listing.yesterday());
        Some(listing.volume(today.saturating_sub(1), lots))
    }

    /// When the instrument trades next, later than now; absent when the registry does
    /// not have it. At most 480 steps away.
    pub fn next_trade(&mut self, key: InstrumentKey) -> Option<Step> {
        let (step, rate) = (self.step, self.rate);
        let (listing, track) = self.look(key)?;
        let period = listing.period(track.home(), rate);
        Some(Step(listing.trade_after(step, period)))
    }

    /// Moves an underlying to `price`, from where it goes on. What follows it follows
    /// at once; other futures of the same commodity move in proportion. False, doing
    /// nothing, for an instrument whose price another one determines, one the registry
    /// does not have, and a price that is not above 0.
    pub fn set_price(&mut self, key: InstrumentKey, price: Price) -> bool {
        if price <= Price::ZERO {
            return false;
        }
        let Some((listing, track)) = self.look(key) else {
            return false;
        };
        let listing::Shape::Plain { base } = listing.shape else {
            return false;
        };
        track.put((price.as_f64() / base).ln());
        true
    }

    /// Multiplies the price of every underlying by `factor` at once, as a gap at the
    /// open does; what follows them follows. False, doing nothing, for a factor that is
    /// not a number above 0.
    pub fn move_prices(&mut self, factor: f64) -> bool {
        self.add_jump(self.step, factor, false)
    }

    /// Makes every underlying open `day` at `factor` times its last price of the day
    /// before, in place of the gap it would have opened with: 0.98 is a gap of 2 % down.
    /// Of several for a day the last one counts. False, doing nothing, for a day that
    /// has begun and a factor that is not a number above 0.
    pub fn gap_at(&mut self, day: Date, factor: f64) -> bool {
        let at = first_step_of(day);
        if at <= self.step {
            return false;
        }
        self.add_jump(at, factor, true)
    }

    fn add_jump(&mut self, at: u64, factor: f64, opens: bool) -> bool {
        let is_sound = factor.is_finite() && factor > 0.0;
        if is_sound {
            let by = factor.ln();
            let behind = self.jumps.partition_point(|jump| jump.at <= at);
            self.jumps.insert(behind, Jump { at, by, opens });
        }
        is_sound
    }

    /// From now on the instruments are those of another registry, such as the next
    /// day's. The price of a contract that both list, under whatever ids, goes on from
    /// where it is, as far as anybody has looked at its underlying; an id that means
    /// another contract has that contract's price.
    pub fn set_registry(&mut self, registry: Arc<Registry>) {
        let mut book = Book::new(&registry, None, self.seed);
        let old = (&self.book, &*self.registry);
        book.inherit(&registry, old, self.walks.keys().copied());
        self.walks = core::mem::take(&mut self.walks)
            .into_iter()
            .filter_map(|(root, track)| Some((book.heir(&registry, &self.registry, root)?, track)))
            .collect();
        self.listings.clear();
        self.book = book;
        self.registry = registry;
    }

    /// Lists the instrument if need be, and catches its walk up.
    fn look(&mut self, key: InstrumentKey) -> Option<(&mut Listing, &mut Track)> {
        let listing = match self.listings.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let instrument = self.registry.by_key(key)?;
                unknown.insert(self.book.list(instrument, &self.registry, self.today))
            }
        };
        let track = self.walks.entry(listing.root).or_insert_with(|| {
            let kind = self
                .registry
                .by_key(listing.root)
                .map_or(listing.kind, |root| root.kind());
            Track::new(Walk::new(
                mix(self.seed, listing.root.to_bits()),
                self.start,
                self.sigma * listing::restlessness(kind),
            ))
        });
        track.catch_up(self.step, &self.jumps);
        Some((listing, track))
    }
}

fn finite_or(value: f64, otherwise: f64) -> f64 {
    if value.is_finite() { value } else { otherwise }
}
