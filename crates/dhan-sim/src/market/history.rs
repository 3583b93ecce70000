use jiff::civil::Date;
use strikewire_types::{InstrumentKey, Utc};

use super::listing::{Listing, Terms};
use super::past::Bar;
use super::time::{STEPS_PER_DAY, date_of, day_of, first_step_of, step_of, unix_seconds};
use super::walk::LEG;
use super::{Candle, Market};

/// More days are not gone through at once, whatever is asked for: ten years.
const MOST_DAYS: u64 = 3_660;

impl Market {
    /// The instrument's minutes that begin at `from` or later and before `to`, up to
    /// the one that is now, as far as it has come; absent when the registry does not
    /// have it.
    ///
    /// They are consistent with the quotes: those of a day add up to its open, high,
    /// low and volume, and each closes with the price at its end, with which the next
    /// one opens. The minutes before the market was opened go another way, one that ends
    /// with the price and the previous close it opened with, and depends on nothing but
    /// the seed and that time. Where more than a month was skipped at once, minutes are
    /// missing.
    ///
    /// The market has no closing hours: a day has 1,440 minutes, also on Sundays. At
    /// most ten years are gone through.
    pub fn minutes(&mut self, key: InstrumentKey, from: Utc, to: Utc) -> Option<Vec<Candle>> {
        let now = self.step;
        let (first, end) = (step_of(from), step_of(to).min(now + 1));
        let last_day = day_of(end.saturating_sub(1));
        let first_day = day_of(first).max(last_day.saturating_sub(MOST_DAYS));
        let (listing, track) = self.look(key)?;
        if end <= first {
            return Some(Vec::new());
        }
        let bars = track.minutes(first_day..=last_day);
        let mut candles = Vec::with_capacity(bars.len());
        for day in bars.chunk_by(|a, b| day_of(a.at) == day_of(b.at)) {
            let [first_bar, ..] = day else { continue };
            let terms = terms_of(listing, first_bar);
            let wanted = day.iter().filter(|bar| (first..end).contains(&bar.at));
            candles.extend(wanted.map(|bar| candle(listing, bar, &terms, bar.at + LEG, now)));
        }
        Some(candles)
    }

    /// The instrument's days from `from` on and before `to`, up to today as far as it
    /// has come; absent when the registry does not have it. Each is what its
    /// [`minutes`](Self::minutes) add up to, and begins at midnight in India.
    pub fn days(&mut self, key: InstrumentKey, from: Date, to: Date) -> Option<Vec<Candle>> {
        let now = self.step;
        let end = day_of(first_step_of(to)).min(day_of(now) + 1);
        let first = day_of(first_step_of(from)).max(end.saturating_sub(MOST_DAYS));
        let (listing, track) = self.look(key)?;
        if end <= first {
            return Some(Vec::new());
        }
        let bars = track.days(first..=end - 1);
        let whole = |bar: &Bar| {
            let terms = terms_of(listing, bar);
            let next = (day_of(bar.at) + 1) * STEPS_PER_DAY;
            candle(listing, bar, &terms, next, now)
        };
        Some(bars.iter().map(whole).collect())
    }
}

fn terms_of(listing: &Listing, bar: &Bar) -> Terms {
    listing.terms(date_of(day_of(bar.at)))
}

/// What a bar that lasts up to `end`, or is not over `now`, is for an instrument.
fn candle(listing: &Listing, bar: &Bar, terms: &Terms, end: u64, now: u64) -> Candle {
    let price = |level: f64| listing.price(level.exp(), terms);
    let (high, low) = if listing.shape.is_inverse() {
        (bar.low, bar.high)
    } else {
        (bar.high, bar.low)
    };
    let lots = listing.lots_of(terms);
    let last = (end - 1).min(now);
    let before = match bar.at % STEPS_PER_DAY {
        0 => 0,
        _ => listing.volume(bar.at - 1, lots),
    };
    Candle {
        at: unix_seconds(bar.at),
        open: price(bar.open),
        high: price(high),
        low: price(low),
        close: price(bar.close),
        volume: u64::from(listing.volume(last, lots).saturating_sub(before)),
        interest: listing.interest(last).map(|interest| interest.now),
    }
}
