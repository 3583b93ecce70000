use std::collections::HashMap;

use jiff::civil::Date;
use strikewire_registry::{Instrument, Kind, Registry};
use strikewire_types::{Exchange, Expiry, InstrumentKey, OptionType, Price, SCALE, Segment};

use super::activity::most_lots;
use super::mix::{mix, unit};
use super::premium::{premium, slopes};
use super::quote::Greeks;

/// Yearly cost of money, simple: of carrying what a future is about, and of waiting for
/// what an option pays.
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
    /// Whether options follow its price, so that it trades at every step.
    pub(super) leads: bool,
    /// Contracts usually traded on this day, or shares over the lot.
    daily_lots: u64,
    /// Days from today to its expiry, less than 0 after it, 0 for cash.
    days: f64,
    /// Prices that stay the same all day, with the levels they were made from.
    open: (f64, Price),
    prev_close: (f64, Price),
}

/// What a day's distance from the expiry makes of a price.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Terms {
    /// To the expiry, 0 for cash.
    days: f64,
    /// Forward price over spot.
    growth: f64,
    /// Standard deviation of the underlying until the expiry, in rupees.
    spread: f64,
    /// What a rupee at the expiry is worth now.
    discount: f64,
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
        /// Whether the underlying is cash, so that its forward price is higher.
        on_cash: bool,
    },
}

impl Shape {
    /// So many days before the expiry.
    fn terms(&self, days: f64) -> Terms {
        let days = days.max(0.0);
        let money = 1.0 + CARRY * days / 365.0;
        let (growth, spread, discount) = match *self {
            Self::Plain { .. } => (1.0, 0.0, 1.0),
            Self::Carried { .. } => (money, 0.0, 1.0),
            Self::Option {
                spread, on_cash, ..
            } => {
                let years = (days + 0.5) / 365.0;
                let growth = if on_cash { money } else { 1.0 };
                (growth, spread * years.sqrt(), money.recip())
            }
        };
        Terms {
            days,
            growth,
            spread,
            discount,
        }
    }

    /// The price in rupees at `level`, before it is rounded.
    fn price(&self, level: f64, terms: &Terms) -> f64 {
        match *self {
            Self::Plain { base } => base * level,
            Self::Carried { base, .. } => base * level * terms.growth,
            Self::Option {
                base, strike, side, ..
            } => {
                let forward = base * level * terms.growth;
                terms.discount * premium(forward, strike, terms.spread, side)
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
    fn period(&self, level: f64, terms: &Terms) -> f64 {
        match *self {
            Self::Plain { .. } => 1.0,
            Self::Carried { .. } => match terms.days {
                ..40.0 => 2.0,
                40.0..75.0 => 4.0,
                _ => 16.0,
            },
            Self::Option { base, strike, .. } => {
                let widths = (strike - base * level).abs() / terms.spread;
                let later = if terms.days > 40.0 { 3.0 } else { 1.0 };
                2.0 * later * (2.0 * widths.min(10.0)).exp2()
            }
        }
    }
}

impl Listing {
    /// Another day begins.
    pub(super) fn set_today(&mut self, today: Date) {
        self.days = self.days_on(today);
        self.daily_lots = self.lots_of(&self.today());
        self.open.0 = f64::NAN;
        self.prev_close.0 = f64::NAN;
    }

    /// Where it opened today, when the walk did at `level`.
    pub(super) fn open(&mut self, level: f64) -> Price {
        if self.open.0 != level {
            self.open = (level, self.price(level, &self.today()));
        }
        self.open.1
    }

    /// Where it closed yesterday, when the walk did at `level`.
    pub(super) fn prev_close(&mut self, level: f64) -> Price {
        if self.prev_close.0 != level {
            self.prev_close = (level, self.price(level, &self.yesterday()));
        }
        self.prev_close.1
    }

    fn days_on(&self, date: Date) -> f64 {
        self.shape
            .expiry()
            .map_or(0.0, |expiry| days_between(date, expiry))
    }

    /// Of any day.
    pub(super) fn terms(&self, date: Date) -> Terms {
        self.shape.terms(self.days_on(date))
    }

    pub(super) fn today(&self) -> Terms {
        self.shape.terms(self.days)
    }

    pub(super) fn yesterday(&self) -> Terms {
        let one = if self.shape.expiry().is_some() {
            1.0
        } else {
            0.0
        };
        self.shape.terms(self.days + one)
    }

    /// [`lots_of`](Self::lots_of) today.
    pub(super) const fn daily_lots(&self) -> u64 {
        self.daily_lots
    }

    /// Contracts usually traded on a day of these terms, or shares over the lot: a few at
    /// each trade, in all less than the wire can count.
    pub(super) fn lots_of(&self, terms: &Terms) -> u64 {
        let trades = super::time::STEPS_PER_DAY / self.period_on(1.0, 1.0, terms);
        (trades * (1 + self.salt % 4)).min(most_lots(self.lot))
    }

    /// On the grid of ticks, and at least one of them.
    pub(super) fn price(&self, level: f64, terms: &Terms) -> Price {
        Price::from_f64(self.shape.price(level, terms))
            .unwrap_or(Price::ZERO)
            .round_to(self.tick)
            .max(Price::from_raw(self.tick))
    }

    /// Of an option, at `level`.
    pub(super) fn greeks(&self, level: f64) -> Option<Greeks> {
        let Shape::Option {
            base,
            strike,
            side,
            spread,
            ..
        } = self.shape
        else {
            return None;
        };
        let terms = self.today();
        let slopes = slopes(base * level * terms.growth, strike, terms.spread, side);
        let deviation = spread / base;
        let years = (terms.days + 0.5) / 365.0;
        Some(Greeks {
            implied_volatility: 100.0 * deviation,
            delta: slopes.delta * terms.growth * terms.discount,
            gamma: slopes.gamma * terms.growth * terms.growth * terms.discount,
            // The spread is in proportion to the deviation and to the root of the time.
            vega: slopes.vega * terms.discount * terms.spread / (100.0 * deviation),
            theta: -slopes.vega * terms.discount * terms.spread / (2.0 * 365.0 * years),
        })
    }

    /// Steps between two trades, 1 to 240.
    pub(super) fn period(&self, level: f64, rate: f64) -> u64 {
        self.period_on(level, rate, &self.today())
    }

    fn period_on(&self, level: f64, rate: f64, terms: &Terms) -> u64 {
        let period = match self.kind {
            // Shares nobody has options on, each at its own pace.
            Kind::Equity if !self.leads => 8.0 + 56.0 * unit(self.salt),
            // Futures nobody has options on.
            kind if kind.is_future() && !self.leads => 4.0 + 12.0 * unit(self.salt),
            _ => self.shape.period(level, terms),
        };
        (period / rate).round().clamp(1.0, 240.0) as u64
    }
}

fn days_between(today: Date, expiry: Date) -> f64 {
    f64::from(today.until(expiry).map_or(0, |span| span.get_days()))
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
            leads,
            daily_lots: 0,
            days: 0.0,
            open: (f64::NAN, Price::ZERO),
            prev_close: (f64::NAN, Price::ZERO),
        };
        listing.set_today(today);
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
                    on_cash: underlying.is_some_and(|held| !held.kind().is_future()),
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
