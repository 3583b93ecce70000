//! What the stand-in's prices do: a market that hangs together.
//!
//! Underlyings (indices, shares, the futures of commodities and currencies) walk on a
//! grid of quarter seconds and return to where they started; futures and options
//! follow from them in closed form. Everything depends on the seed, the time the
//! market started and the time asked about, never on who asked before: two markets
//! with the same seed and start show the same ticks to whoever looks.
//!
//! Within a day high, low and volume only widen and grow. The day changes at midnight
//! in India.
//!
//! The module knows no protocol and does no IO.

mod listing;
mod mix;
mod premium;
mod quote;
#[cfg(test)]
mod tests;
mod time;
mod walk;

use core::fmt;
use std::collections::HashMap;
use std::sync::Arc;

use hashbrown::hash_map::Entry;
use jiff::civil::Date;
use strikewire_registry::{Kind, Registry};
use strikewire_types::{InstrumentKey, Now, Price, PriceStep, Utc, ist_date};

pub use quote::{Interest, Level, Quote};

use listing::{Book, Listing};
use mix::{mix, unit};
use time::{STEPS_PER_DAY, STEPS_PER_SECOND, day_of, step_of, unix_seconds};
use walk::{Levels, Walk};

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
    /// When all prices jumped, and by which logarithm.
    jumps: Vec<(u64, f64)>,
}

/// A walk, and its levels at the step they were last asked for.
struct Track {
    walk: Walk,
    at: u64,
    levels: Levels,
    /// How many of the market's jumps it has made.
    jumps: usize,
}

impl Track {
    fn catch_up(&mut self, step: u64, jumps: &[(u64, f64)]) {
        if self.at == step && self.jumps == jumps.len() {
            return;
        }
        for (when, by) in jumps.iter().skip(self.jumps) {
            self.walk.advance(*when);
            self.walk.shift(*by);
        }
        self.walk.advance(step);
        self.levels = self.walk.levels();
        (self.at, self.jumps) = (step, jumps.len());
    }
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
        Some(
            Observer {
                key,
                listing,
                levels: track.levels,
                step,
                period: listing.period(track.walk.home(), rate),
            }
            .quote(),
        )
    }

    /// When the instrument trades next, later than now; absent when the registry does
    /// not have it. At most 480 steps away.
    pub fn next_trade(&mut self, key: InstrumentKey) -> Option<Step> {
        let (step, rate) = (self.step, self.rate);
        let (listing, track) = self.look(key)?;
        let period = listing.period(track.walk.home(), rate);
        let window = step / period;
        let this = trade_in(listing.salt, window, period);
        Some(Step(if this > step {
            this
        } else {
            trade_in(listing.salt, window + 1, period)
        }))
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
        track.walk.put((price.as_f64() / base).ln());
        track.levels = track.walk.levels();
        true
    }

    /// Multiplies the price of every underlying by `factor` at once, as a gap at the
    /// open does; what follows them follows. False, doing nothing, for a factor that is
    /// not a number above 0.
    pub fn move_prices(&mut self, factor: f64) -> bool {
        let is_sound = factor.is_finite() && factor > 0.0;
        if is_sound {
            self.jumps.push((self.step, factor.ln()));
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
    fn look(&mut self, key: InstrumentKey) -> Option<(&Listing, &mut Track)> {
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
            let walk = Walk::new(
                mix(self.seed, listing.root.to_bits()),
                self.start,
                self.sigma * listing::restlessness(kind),
            );
            Track {
                levels: walk.levels(),
                walk,
                at: self.start,
                jumps: 0,
            }
        });
        track.catch_up(self.step, &self.jumps);
        Some((listing, track))
    }
}

fn finite_or(value: f64, otherwise: f64) -> f64 {
    if value.is_finite() { value } else { otherwise }
}

/// The step of an instrument's trade in a window of `period` steps.
const fn trade_in(salt: u64, window: u64, period: u64) -> u64 {
    window * period + mix(salt, window) % period
}

/// One look at one instrument.
struct Observer<'m> {
    key: InstrumentKey,
    listing: &'m Listing,
    levels: Levels,
    step: u64,
    period: u64,
}

impl Observer<'_> {
    fn quote(&self) -> Quote {
        let Self {
            listing, levels, ..
        } = self;
        let (high, low) = if listing.shape.is_inverse() {
            (levels.low, levels.high)
        } else {
            (levels.high, levels.low)
        };
        let ltp = self.price(levels.last);
        let (open, high, low) = (self.price(levels.open), self.price(high), self.price(low));
        let traded = self.last_trade();
        let random = mix(listing.salt, self.step);
        let is_index = listing.kind == Kind::Index;
        let depth = if is_index {
            [Level::default(); 5]
        } else {
            self.depth(ltp, random)
        };
        // The five levels are the top of a larger book.
        let all = 3 + (random >> 20) as u32 % 5;
        let total = |side: fn(&Level) -> u32| all * depth.iter().map(side).sum::<u32>();
        let average = (open.raw() + high.raw() + low.raw() + ltp.raw()) / 4;
        Quote {
            key: self.key,
            ltp,
            traded_at: unix_seconds(traded),
            ltq: if is_index {
                0
            } else {
                listing.lot.saturating_mul(1 + (random >> 8) as u32 % 3)
            },
            atp: if is_index {
                Price::ZERO
            } else {
                Price::from_raw(average / 100 * 100).max(low)
            },
            volume: if is_index { 0 } else { self.volume() },
            total_sell_qty: total(|level| level.ask_qty),
            total_buy_qty: total(|level| level.bid_qty),
            open,
            high,
            low,
            prev_close: self.price(levels.prev_close),
            interest: (!matches!(listing.kind, Kind::Index | Kind::Equity))
                .then(|| self.interest()),
            depth,
            tick: PriceStep::from_raw(u32::try_from(listing.tick).unwrap_or(0)),
        }
    }

    /// On the grid of ticks, and at least one of them.
    fn price(&self, level: f64) -> Price {
        let tick = self.listing.tick;
        let rupees = self.listing.price(level);
        Price::from_f64(rupees)
            .unwrap_or(Price::ZERO)
            .round_to(tick)
            .max(Price::from_raw(tick))
    }

    fn last_trade(&self) -> u64 {
        let (salt, period) = (self.listing.salt, self.period);
        let window = self.step / period;
        let this = trade_in(salt, window, period);
        if this <= self.step {
            this
        } else {
            trade_in(salt, window.saturating_sub(1), period)
        }
    }

    /// Grows in proportion to the day, by a little more or less at each step.
    fn volume(&self) -> u32 {
        let listing = self.listing;
        let passed = (self.step % STEPS_PER_DAY) as f64 + unit(mix(!listing.salt, self.step));
        let lots = (listing.daily_lots as f64 * passed / STEPS_PER_DAY as f64) as u64;
        u32::try_from(lots * u64::from(listing.lot)).unwrap_or(u32::MAX)
    }

    /// Rises and falls by a tenth in six hours.
    fn interest(&self) -> Interest {
        const CYCLE: u64 = STEPS_PER_DAY / 4;
        let listing = self.listing;
        let most = u64::from(u32::MAX / 4) / u64::from(listing.lot.max(1));
        let lots = (200 + listing.salt % 20_000).min(most.max(10)) / 10;
        let phase = (self.step + listing.salt % CYCLE) % CYCLE;
        let wave = phase.min(CYCLE - phase) * 2 * lots / CYCLE;
        let quantity = |lots: u64| u32::try_from(lots * u64::from(listing.lot)).unwrap_or(u32::MAX);
        Interest {
            now: quantity(9 * lots + wave),
            high: quantity(10 * lots),
            low: quantity(9 * lots),
        }
    }

    /// The last price is the best bid or the best offer.
    fn depth(&self, ltp: Price, random: u64) -> [Level; 5] {
        let listing = self.listing;
        let gap = listing.tick * (1 + self.period as i64 / 16);
        let (below, above) = if random & 1 == 0 { (0, gap) } else { (gap, 0) };
        let unit = if listing.kind == Kind::Equity {
            10 * listing.lot
        } else {
            listing.lot
        };
        core::array::from_fn(|row| {
            let random = mix(random, row as u64);
            let away = gap * row as i64;
            let bid = Price::from_raw(ltp.raw() - below - away);
            let ask = Price::from_raw(ltp.raw() + above + away);
            let lots = |bits: u64| {
                unit.saturating_mul(1 + (bits % 40) as u32)
                    .min(u32::MAX / 64)
            };
            let orders = |bits: u64| 1 + (bits % 12) as u16;
            let mut level = Level {
                ask,
                ask_qty: lots(random >> 8),
                ask_orders: orders(random >> 16),
                ..Level::default()
            };
            if bid > Price::ZERO {
                level.bid = bid;
                level.bid_qty = lots(random >> 24);
                level.bid_orders = orders(random >> 32);
            }
            level
        })
    }
}
