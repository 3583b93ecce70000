//! What really traded, and what follows from it: everything computed again from all trades,
//! by code that shares nothing with the engine but the studies.

use std::collections::{BTreeMap, HashMap};

use jiff::civil::Date;
use rand::Rng;
use rand_pcg::Pcg64;
use strikewire_broker::{Candle, CandleRequest, Interval};
use strikewire_calendar::{Calendar, Class};
use strikewire_indicators::{IndicatorId, Ohlcv, Output, Study};
use strikewire_types::{ExchangeTime, Price, Utc};

/// Seconds from midnight in UTC to midnight in India, backwards.
const IST: i64 = 19_800;
/// Trading at NSE, in seconds after midnight in India.
pub(super) const OPEN: i64 = 9 * 3_600 + 15 * 60;
const CLOSE: i64 = 15 * 3_600 + 30 * 60;

#[derive(Debug, Clone, Copy)]
pub(super) struct Trade {
    /// Seconds since 1970.
    pub(super) at: i64,
    pub(super) price: Price,
    pub(super) quantity: u64,
}

/// All trades of one instrument, those to come included.
#[derive(Debug, Clone)]
pub(super) struct Truth {
    pub(super) trades: Vec<Trade>,
    pub(super) has_volume: bool,
    finals: HashMap<(i64, IndicatorId), BTreeMap<Utc, Option<Output>>>,
}

/// Days since 1970 of the trading days of NSE up to `last`, `count` of them: all have the
/// same hours in the time that tests are in.
pub(super) fn trading_days(last: Date, count: usize) -> Vec<i64> {
    let calendar = Calendar::builtin();
    let mut days = Vec::new();
    let mut date = last;
    while days.len() < count {
        if calendar.is_trading_day(Class::NseCash, date) {
            let since = date.duration_since("1970-01-01".parse().expect("a date"));
            days.push(since.as_secs() / 86_400);
        }
        date = date.yesterday().expect("a date");
    }
    days.reverse();
    days
}

impl Truth {
    /// A walk. In a minute there are up to `most` trades; in `quiet` of a hundred minutes
    /// none.
    pub(super) fn new(
        rng: &mut Pcg64,
        days: &[i64],
        most: usize,
        quiet: u32,
        has_volume: bool,
    ) -> Self {
        let mut trades = Vec::new();
        let mut price: i64 = 2_650_000;
        for day in days {
            let midnight = day * 86_400 - IST;
            for minute in OPEN / 60..CLOSE / 60 {
                if rng.random_range(0..100) < quiet {
                    continue;
                }
                let mut seconds: Vec<i64> = (0..rng.random_range(1..=most))
                    .map(|_| rng.random_range(0..60))
                    .collect();
                seconds.sort_unstable();
                seconds.dedup();
                for second in seconds {
                    price = (price + rng.random_range(-900..=900)).max(10_000);
                    trades.push(Trade {
                        at: midnight + minute * 60 + second,
                        price: Price::from_raw(price * 100),
                        quantity: rng.random_range(1..500),
                    });
                }
            }
        }
        Self {
            trades,
            has_volume,
            finals: HashMap::new(),
        }
    }

    /// Trades before a time, in nanoseconds.
    pub(super) fn before(&self, at: Utc) -> &[Trade] {
        let end = self
            .trades
            .partition_point(|trade| trade.at * 1_000_000_000 < at.as_nanos());
        &self.trades[..end]
    }

    /// Quantity traded on the day of the last of `trades`.
    pub(super) fn volume_of_day(trades: &[Trade]) -> u64 {
        let Some(last) = trades.last() else { return 0 };
        let of_day = trades.iter().rev();
        of_day
            .take_while(|trade| (trade.at + IST) / 86_400 == (last.at + IST) / 86_400)
            .map(|trade| trade.quantity)
            .sum()
    }

    /// The broker's answer, from what it knows at `known`.
    pub(super) fn candles(&self, request: &CandleRequest, known: Utc) -> Vec<Candle> {
        let seconds = match request.interval {
            Interval::Minutes(minutes) => i64::from(minutes) * 60,
            Interval::Day => 86_400,
        };
        let mut candles: Vec<Candle> = Vec::new();
        for trade in self.before(known) {
            let begins = begins(trade.at, seconds);
            let at = match request.interval {
                Interval::Minutes(_) => begins,
                // Midnight in India.
                Interval::Day => begins - OPEN,
            };
            let (from, to) = (request.from.as_seconds(), request.to.as_seconds());
            if at >= to || (seconds < 86_400 && at < from) || at + 86_400 <= from {
                continue;
            }
            let quantity = if self.has_volume { trade.quantity } else { 0 };
            match candles.last_mut() {
                Some(last) if last.at.as_seconds() == at => {
                    last.high = last.high.max(trade.price);
                    last.low = last.low.min(trade.price);
                    last.close = trade.price;
                    last.volume += quantity;
                }
                _ => candles.push(Candle {
                    at: ExchangeTime::from_seconds(at),
                    open: trade.price,
                    high: trade.price,
                    low: trade.price,
                    close: trade.price,
                    volume: quantity,
                    oi: None,
                }),
            }
        }
        candles
    }

    /// Bars of so many seconds, of trades before a time: when each begins, and the bar.
    fn bars(&self, seconds: i64, before: Utc) -> Vec<(i64, Ohlcv)> {
        let mut bars: Vec<(i64, Ohlcv)> = Vec::new();
        for trade in self.before(before) {
            let at = begins(trade.at, seconds);
            let price = trade.price.as_f64();
            let quantity = if self.has_volume {
                trade.quantity as f64
            } else {
                f64::NAN
            };
            match bars.last_mut() {
                Some((begins, bar)) if *begins == at => {
                    bar.high = bar.high.max(price);
                    bar.low = bar.low.min(price);
                    bar.close = price;
                    bar.volume += quantity;
                }
                _ => bars.push((
                    at,
                    Ohlcv {
                        open: price,
                        high: price,
                        low: price,
                        close: price,
                        volume: quantity,
                        oi: f64::NAN,
                        day: i32::try_from((trade.at + IST) / 86_400).expect("a day"),
                    },
                )),
            }
        }
        bars
    }

    /// What an indicator says after the bar that began at `bar`, from all bars ever.
    pub(super) fn at_close(&mut self, seconds: i64, id: &IndicatorId, bar: Utc) -> Option<Output> {
        if !self.finals.contains_key(&(seconds, *id)) {
            let mut study = id.build();
            let mut finals = BTreeMap::new();
            for (at, ohlcv) in self.bars(seconds, Utc::from_nanos(i64::MAX)) {
                study.update(&ohlcv);
                finals.insert(Utc::from_nanos(at * 1_000_000_000), study.value());
            }
            self.finals.insert((seconds, *id), finals);
        }
        *self.finals[&(seconds, *id)]
            .get(&bar)
            .unwrap_or_else(|| panic!("{id}: no bar of {seconds} s begins at {bar}"))
    }

    /// What it says of the bar that forms, from the trades before a time; and when that
    /// bar begins.
    pub(super) fn forming(
        &self,
        seconds: i64,
        id: &IndicatorId,
        before: Utc,
    ) -> (Utc, Option<Output>) {
        let mut study = id.build();
        let bars = self.bars(seconds, before);
        let (at, last) = bars.last().expect("there were trades");
        for (_, bar) in &bars[..bars.len() - 1] {
            study.update(bar);
        }
        (Utc::from_nanos(at * 1_000_000_000), study.peek(last))
    }

    /// When the last bar began that ended by `end`.
    pub(super) fn last_closed(&self, seconds: i64, end: Utc) -> Option<Utc> {
        self.bars(seconds, end)
            .into_iter()
            .map(|(at, _)| at)
            .filter(|at| ends(*at, seconds) * 1_000_000_000 <= end.as_nanos())
            .map(|at| Utc::from_nanos(at * 1_000_000_000))
            .next_back()
    }
}

/// When the bar begins that a trade at `at` belongs to.
fn begins(at: i64, seconds: i64) -> i64 {
    let midnight = (at + IST) / 86_400 * 86_400 - IST;
    let open = midnight + OPEN;
    open + (at - open) / seconds * seconds
}

fn ends(begins: i64, seconds: i64) -> i64 {
    let midnight = (begins + IST) / 86_400 * 86_400 - IST;
    (begins + seconds).min(midnight + CLOSE)
}
