use std::collections::HashMap;

use jiff::civil::Date;
use strikewire_registry::{Instrument, Kind, Registry};
use strikewire_types::{Exchange, Expiry, InstrumentKey, OptionType, Price, SCALE, Segment};

use super::mix::{mix, unit};
use super::premium::premium;

/// Yearly cost of carrying what a future is about.
const CARRY: f64 = 0.06;

/// What the market keeps of an instrument that somebody looked at.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) kind: Kind,
    /// In units of 1e-4 rupee, above 0.
    pub(super) tick: i64,
    pub(super) lot: u32,
    /// Which walk it follows.
    pub(super) root: InstrumentKey,
    pub(super) shape: Shape,
    /// Random, its own.
    pub(super) salt: u64,
    /// Contracts traded in a whole day, or shares over the lot.
    pub(super) daily_lots: u64,
    /// Whether options follow its price, so that it trades at every step.
    pub(super) leads: bool,
    /// Days from today to its expiry, 0 for cash: asked for at every look.
    days: f64,
}

/// How a price comes from the level of the walk it follows.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// `base` times the level.
    Plain { base: f64 },
    /// The same, with the carry until the expiry.
    Carried { base: f64, expiry: Date },
    /// Of an underlying that is plain with this base.
    Option {
        base: f64,
        strike: f64,
        side: OptionType,
        expiry: Date,
        /// Standard deviation of the underlying over a year, in rupees.
        spread: f64,
    },
}

impl Shape {
    /// The price in rupees at `level` so many `days` before the expiry, before it is
    /// rounded.
    fn price(&self, level: f64, days: f64) -> f64 {
        match *self {
            Self::Plain { base } => base * level,
            Self::Carried { base, .. } => base * level * (1.0 + CARRY * days / 365.0),
            Self::Option {
                base,
                strike,
                side,
                spread,
                ..
            } => {
                let years = (days + 0.5) / 365.0;
                premium(base * level, strike, spread * years.sqrt(), side)
            }
        }
    }

    const fn expiry(&self) -> Option<Date> {
        match self {
            Self::Plain { .. } => None,
            Self::Carried { expiry, .. } | Self::Option { expiry, .. } => Some(*expiry),
        }
    }

    /// Whether the price falls when the underlying rises.
    pub(super) const fn is_inverse(&self) -> bool {
        matches!(
            self,
            Self::Option {
                side: OptionType::Put,
                ..
            }
        )
    }

    /// Steps between two trades, when the underlying lives around `level`.
    fn period(&self, level: f64, days: f64) -> f64 {
        match *self {
            Self::Plain { .. } => 1.0,
            Self::Carried { .. } => match days {
                ..40.0 => 2.0,
                40.0..75.0 => 4.0,
                _ => 16.0,
            },
            Self::Option {
                base,
                strike,
                spread,
                ..
            } => {
                let away = (strike - base * level).abs();
                let widths = away / (spread * ((days + 0.5) / 365.0).sqrt());
                let later = if days > 40.0 { 3.0 } else { 1.0 };
                2.0 * later * (2.0 * widths.min(10.0)).exp2()
            }
        }
    }
}

impl Listing {
    /// Another day begins.
    pub(super) fn set_today(&mut self, today: Date) {
        self.days = self
            .shape
            .expiry()
            .map_or(0.0, |expiry| days_between(today, expiry));
    }

    /// The price in rupees at `level`, before it is rounded.
    pub(super) fn price(&self, level: f64) -> f64 {
        self.shape.price(level, self.days)
    }

    /// Steps between two trades, 1 to 240.
    pub(super) fn period(&self, level: f64, rate: f64) -> u64 {
        let period = match self.kind {
            // Shares nobody has options on, each at its own pace.
            Kind::Equity if !self.leads => 8.0 + 56.0 * unit(self.salt),
            // Futures nobody has options on.
            kind if kind.is_future() && !self.leads => 4.0 + 12.0 * unit(self.salt),
            _ => self.shape.period(level, self.days),
        };
        (period / rate).round().clamp(1.0, 240.0) as u64
    }
}

fn days_between(today: Date, expiry: Date) -> f64 {
    f64::from(today.until(expiry).map_or(0, |span| span.get_days().max(0)))
}

/// Starting prices, as far as they are known before anybody asks.
#[derive(Debug)]
pub(super) struct Book {
    /// In rupees: given, else the middle of the nearest ladder.
    starts: HashMap<InstrumentKey, f64, foldhash::fast::RandomState>,
    /// Whose price options follow.
    sources: hashbrown::HashSet<InstrumentKey, foldhash::fast::RandomState>,
    /// NSE's shares by symbol, which BSE's follow.
    shares: HashMap<Box<str>, InstrumentKey, foldhash::fast::RandomState>,
    seed: u64,
}

impl Book {
    pub(super) fn new(
        registry: &Registry,
        prices: impl IntoIterator<Item = (InstrumentKey, Price)>,
        seed: u64,
    ) -> Self {
        let mut nearest: HashMap<InstrumentKey, (Expiry, Exchange, Price)> = HashMap::new();
        for ladder in registry.ladders() {
            let (Some(source), rungs) = (ladder.price_source(), ladder.rungs()) else {
                continue;
            };
            let Some(middle) = rungs.get(rungs.len() / 2) else {
                continue;
            };
            let found = (
                ladder.expiry(),
                ladder.exchange(),
                Price::from_raw(middle.strike.raw()),
            );
            nearest
                .entry(source.key())
                .and_modify(|held| {
                    if (found.0, found.1) < (held.0, held.1) {
                        *held = found;
                    }
                })
                .or_insert(found);
        }
        let sources = nearest.keys().copied().collect();
        let middles = nearest.into_iter().map(|(key, (_, _, price))| (key, price));
        let prices = prices.into_iter().filter(|(_, price)| *price > Price::ZERO);
        Self {
            starts: middles
                .chain(prices)
                .map(|(key, price)| (key, price.as_f64()))
                .collect(),
            sources,
            shares: registry
                .segment(Segment::NseEq)
                .filter(|share| share.series() == "EQ")
                .map(|share| (share.symbol().into(), share.key()))
                .collect(),
            seed,
        }
    }

    /// What is known of `old` is known here for what became of it: its starts, and
    /// those of all that follow the walks of `roots`, which may come from their ids.
    pub(super) fn inherit(
        &mut self,
        registry: &Registry,
        old: (&Self, &Registry),
        roots: impl Iterator<Item = InstrumentKey>,
    ) {
        let (book, old) = old;
        let followers = roots.flat_map(|root| leaders(old, root));
        let starts = book.starts.keys().filter_map(|key| old.by_key(*key));
        for before in starts.chain(followers) {
            if let Some(now) = registry.successor(before).current() {
                self.starts.insert(now.key(), book.start(before, old));
            }
        }
    }

    /// Which walk of this book goes on with that of `root` in `old`; none when all that
    /// followed it is gone.
    pub(super) fn heir(
        &self,
        registry: &Registry,
        old: &Registry,
        root: InstrumentKey,
    ) -> Option<InstrumentKey> {
        leaders(old, root)
            .find_map(|before| registry.successor(before).current())
            .map(|now| self.root(now, registry))
    }

    pub(super) fn list(
        &self,
        instrument: Instrument<'_>,
        registry: &Registry,
        today: Date,
    ) -> Listing {
        let root = self.root(instrument, registry);
        let shape = self.shape(instrument, registry);
        let lot = instrument.lot_size();
        let salt = mix(self.seed ^ 0x5a17, instrument.key().to_bits());
        let leads = match instrument.kind() {
            Kind::Index => true,
            Kind::Equity => self.sources.contains(&root),
            _ => self.sources.contains(&instrument.key()) || instrument.underlying().is_some(),
        };
        let mut listing = Listing {
            kind: instrument.kind(),
            tick: match instrument.tick().raw() {
                0 => SCALE / 100,
                tick => i64::from(tick),
            },
            lot,
            root,
            shape,
            salt,
            daily_lots: 0,
            leads,
            days: 0.0,
        };
        listing.set_today(today);
        // A few contracts at each trade, in all less than the wire can count.
        let trades = super::time::STEPS_PER_DAY / listing.period(1.0, 1.0);
        let most = u64::from(u32::MAX / 2) / u64::from(lot.max(1));
        listing.daily_lots = (trades * (1 + salt % 4)).min(most);
        listing
    }

    /// The instrument whose walk `instrument` follows.
    fn root(&self, instrument: Instrument<'_>, registry: &Registry) -> InstrumentKey {
        // An option's underlying may be a future; nothing is nested deeper.
        let spot = instrument.underlying().unwrap_or(instrument);
        let spot = spot.underlying().unwrap_or(spot);
        if spot.kind().is_future() {
            // All futures of a commodity or currency pair go the same way.
            return registry
                .futures(spot.exchange(), spot.symbol())
                .find(|future| future.key().segment == spot.key().segment)
                .map_or(spot.key(), |future| future.key());
        }
        self.twin(spot).unwrap_or(spot.key())
    }

    /// The NSE share of a BSE share.
    fn twin(&self, instrument: Instrument<'_>) -> Option<InstrumentKey> {
        (instrument.key().segment == Segment::BseEq)
            .then(|| self.shares.get(instrument.symbol()).copied())
            .flatten()
    }

    fn shape(&self, instrument: Instrument<'_>, registry: &Registry) -> Shape {
        let underlying = instrument.underlying();
        match (
            instrument.expiry(),
            instrument.strike(),
            instrument.option_type(),
        ) {
            (Some(expiry), Some(strike), Some(side)) => {
                let base = match underlying {
                    Some(underlying) => self.start(underlying, registry),
                    // Nothing to follow: at the money for ever.
                    None => strike.as_f64(),
                };
                Shape::Option {
                    base,
                    strike: strike.as_f64(),
                    side,
                    expiry: expiry.date(),
                    spread: base * yearly_spread(instrument.kind()),
                }
            }
            (Some(expiry), ..) if underlying.is_some() => Shape::Carried {
                base: underlying.map_or(1.0, |spot| self.start(spot, registry)),
                expiry: expiry.date(),
            },
            _ => Shape::Plain {
                base: self.start(instrument, registry),
            },
        }
    }

    /// The price of something that no other price determines, in rupees.
    fn start(&self, instrument: Instrument<'_>, registry: &Registry) -> f64 {
        let key = instrument.key();
        if let Some(start) = self.starts.get(&key) {
            return *start;
        }
        if let Some(twin) = self.twin(instrument).and_then(|key| registry.by_key(key)) {
            return self.start(twin, registry);
        }
        if instrument.kind().is_future() {
            let root = self.root(instrument, registry);
            let front = registry.by_key(root).filter(|_| root != key);
            if let (Some(front), Some(expiry)) = (front, instrument.expiry()) {
                let days = front
                    .expiry()
                    .map_or(0.0, |first| days_between(first.date(), expiry.date()));
                return self.start(front, registry) * (1.0 + CARRY * days / 365.0);
            }
        }
        let (least, most) = match instrument.kind() {
            Kind::Index if instrument.symbol().contains("VIX") => (11.0, 18.0),
            Kind::Index => (5_000.0, 30_000.0),
            Kind::FutureCurrency | Kind::OptionCurrency => (60.0, 110.0),
            Kind::FutureCommodity => (100.0, 10_000.0),
            _ => (50.0, 5_000.0_f64),
        };
        // Evenly spread over the orders of magnitude.
        let random = unit(mix(self.seed ^ 0x57a7, key.to_bits()));
        least * (most / least).powf(random)
    }
}

/// The instrument of a walk, and where it is a future all others that go the same way.
fn leaders(registry: &Registry, root: InstrumentKey) -> impl Iterator<Item = Instrument<'_>> {
    let root = registry.by_key(root);
    let others = root
        .filter(|root| root.kind().is_future())
        .into_iter()
        .flat_map(|root| registry.futures(root.exchange(), root.symbol()))
        .filter(move |future| {
            root.is_some_and(|root| {
                future.key() != root.key() && future.key().segment == root.key().segment
            })
        });
    root.into_iter().chain(others)
}

/// Standard deviation over a year, as a share of the price.
const fn yearly_spread(kind: Kind) -> f64 {
    match kind {
        Kind::OptionIndex => 0.15,
        Kind::OptionCurrency => 0.05,
        Kind::OptionCommodity => 0.25,
        _ => 0.28,
    }
}

/// How much more than an index the walks of this kind move.
pub(super) const fn restlessness(kind: Kind) -> f64 {
    match kind {
        Kind::Equity | Kind::FutureCommodity | Kind::OptionCommodity => 1.5,
        Kind::FutureCurrency | Kind::OptionCurrency => 0.3,
        _ => 1.0,
    }
}
