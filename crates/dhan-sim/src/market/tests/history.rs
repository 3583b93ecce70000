//! The past: what was before the market opened, and what happened since.

use super::super::time::unix_seconds;
use super::*;

const DAY: f64 = 86_400.0;

/// Everything from a week before the market opened to a day after `now`.
fn all(market: &mut Market, key: InstrumentKey, now: f64) -> Vec<Candle> {
    let week = core::time::Duration::from_secs(7 * 86_400);
    let minutes = market.minutes(key, at(0.0).utc - week, at(now + DAY).utc);
    minutes.unwrap()
}

fn of_day(candles: &[Candle], date: Date) -> Option<Candle> {
    let begins = first_step_of(date) as i64 / 4 - 19_800;
    let same = |candle: &&Candle| (0..86_400).contains(&(candle.at - begins));
    candles.iter().filter(same).copied().reduce(Candle::join)
}

/// A market with everything that can happen to it.
fn eventful(mut look: impl FnMut(&mut Market)) -> Market {
    let mut market = market();
    market.gap_at(Date::constant(2026, 2, 11), 0.97);
    for (until, happens) in [
        (30.0, None),
        (90.25, Some(1.01)),
        (120.0, Some(0.995)),
        (3_000.0, None),
        (DAY, Some(1.02)),
        (1.7 * DAY, None),
    ] {
        market.advance(at(until));
        look(&mut market);
        if let Some(factor) = happens {
            assert!(market.move_prices(factor));
        } else {
            let (index, price) = (key(NIFTY), market.quote(key(NIFTY)).unwrap().ltp);
            assert!(market.set_price(index, Price::from_raw(price.raw() + 100 * SCALE)));
        }
        look(&mut market);
    }
    market
}

#[test]
fn minutes_follow_each_other_and_are_sound() {
    let now = 1.9 * DAY + 17.25;
    let mut market = eventful(|_| {});
    market.advance(at(now));
    for key in some_of_all() {
        let candles = all(&mut market, key, now);
        let quote = market.quote(key).unwrap();
        let times: Vec<i64> = candles.iter().map(|candle| candle.at).collect();
        let end = at(now).utc.as_seconds();
        let start = at(0.0).utc.as_seconds() - 7 * 86_400;
        assert_eq!(
            times,
            (start..=end).step_by(60).collect::<Vec<_>>(),
            "{key}"
        );
        for candle in &candles {
            assert!(candle.low <= candle.open.min(candle.close), "{candle:?}");
            assert!(candle.high >= candle.open.max(candle.close), "{candle:?}");
            assert!(
                candle.low > Price::ZERO
                    && candle.open.raw() % i64::from(quote.tick.raw().max(1)) == 0
            );
            assert_eq!(candle.interest.is_some(), quote.interest.is_some());
        }
        for pair in candles.windows(2) {
            // A day opens with a gap, and what was done to the market was done at once.
            let continues = pair[0].close == pair[1].open;
            assert!(
                continues || pair[1].at.rem_euclid(86_400) == 66_600,
                "{pair:?}"
            );
        }
        let last = candles.last().unwrap();
        assert_eq!(last.close, quote.ltp, "{key}");
    }
}

#[test]
fn days_are_what_their_minutes_add_up_to_and_what_quotes_say() {
    let now = 1.9 * DAY + 17.25;
    let mut market = eventful(|_| {});
    market.advance(at(now));
    for key in some_of_all() {
        let minutes = all(&mut market, key, now);
        let (from, to) = (Date::constant(2026, 2, 3), Date::constant(2026, 2, 20));
        let days = market.days(key, from, to).unwrap();
        assert_eq!(days.len(), 9, "3 to 11 February");
        for (day, date) in days
            .iter()
            .zip((3..=11).map(|day| Date::constant(2026, 2, day)))
        {
            assert_eq!(of_day(&minutes, date).unwrap(), *day, "{key} {date}");
            assert_eq!(day.at, first_step_of(date) as i64 / 4 - 19_800);
        }
        let (quote, today, yesterday) = (market.quote(key).unwrap(), days[8], days[7]);
        assert_eq!(
            (today.open, today.high, today.low, today.close),
            (quote.open, quote.high, quote.low, quote.ltp),
            "{key}"
        );
        assert_eq!(today.volume, u64::from(quote.volume));
        assert_eq!(today.interest, quote.interest.map(|interest| interest.now));
        assert_eq!(yesterday.close, quote.prev_close, "{key}");
        let close = days[5].close;
        // Before the first day, the past leads to what the market said at its opening.
        let mut fresh = super::market();
        assert_eq!(fresh.quote(key).unwrap().prev_close, close, "{key}");
    }
}

#[test]
fn the_last_close_is_the_price_at_that_time() {
    let keys = some_of_all();
    let mut seen: Vec<(i64, Vec<Quote>)> = Vec::new();
    let mut market = eventful(|market| {
        let quotes = keys.iter().map(|key| market.quote(*key).unwrap()).collect();
        seen.push((unix_seconds(market.step), quotes));
    });
    market.advance(at(2.0 * DAY));
    let mut compared = 0;
    for (index, key) in keys.iter().enumerate() {
        let candles = all(&mut market, *key, 2.0 * DAY);
        for (time, quotes) in &seen {
            let quote = quotes[index];
            let around = candles
                .iter()
                .find(|candle| (0..60).contains(&(time - candle.at)));
            let around = around.unwrap();
            assert!(
                around.low <= quote.ltp && quote.ltp <= around.high,
                "{quote:?} {around:?}"
            );
            // Before anything happened at that time.
            if time % 60 == 0 {
                let ended = candles
                    .iter()
                    .find(|candle| candle.at + 60 == *time)
                    .unwrap();
                compared += usize::from(ended.close == quote.ltp);
            }
        }
    }
    assert!(compared >= 3 * keys.len(), "{compared}");
}

#[test]
fn the_past_does_not_depend_on_who_looked_or_when() {
    let keys = some_of_all();
    let mut eager = eventful(|market| {
        for key in &keys {
            market.quote(*key).unwrap();
        }
    });
    let mut late = eventful(|_| {});
    let mut early = market();
    let (from, to) = (Date::constant(2025, 2, 9), Date::constant(2026, 2, 9));
    for key in keys {
        let before: Vec<Candle> = early.days(key, from, to).unwrap();
        assert_eq!(before.len(), 365);
        let spread = before.iter().map(|day| day.close).max().unwrap().as_f64()
            / before.iter().map(|day| day.close).min().unwrap().as_f64();
        assert!(spread > 1.02, "{key} moved by {spread} in a year");
        for market in [&mut eager, &mut late] {
            assert!(market.days(key, from, to).unwrap() == before, "{key}");
        }
        let [eager, late] = [&mut eager, &mut late].map(|market| all(market, key, 2.0 * DAY));
        assert!(eager == late, "{key}");
    }
}

#[test]
fn asking_for_nothing_gives_nothing() {
    let mut market = market();
    let nifty = key(NIFTY);
    let unknown = InstrumentKey::new(Segment::IdxI, 9_999);
    assert_eq!(market.minutes(unknown, at(0.0).utc, at(60.0).utc), None);
    assert_eq!(market.days(unknown, Date::MIN, Date::MAX), None);
    for (from, to) in [(0.0, 0.0), (60.0, 0.0), (60.0, 1_000.0)] {
        assert_eq!(
            market.minutes(nifty, at(from).utc, at(to).utc),
            Some(Vec::new())
        );
    }
    let today = Date::constant(2026, 2, 9);
    assert_eq!(market.days(nifty, today, today), Some(Vec::new()));
    assert_eq!(market.days(nifty, Date::MAX, Date::MIN), Some(Vec::new()));
    assert_eq!(
        market.days(nifty, Date::MIN, Date::MAX).unwrap().len(),
        3_660
    );
    let ages = market.minutes(nifty, Utc::from_nanos(i64::MIN), Utc::from_nanos(0));
    assert!(ages.unwrap().len() <= 1_440);
}

#[test]
fn a_skipped_month_is_missing_and_nothing_else() {
    let mut market = market();
    let nifty = key(NIFTY);
    market.quote(nifty).unwrap();
    market.advance(at(100.0 * DAY));
    let quote = market.quote(nifty).unwrap();
    let to = Date::constant(2026, 6, 1);
    let days = market.days(nifty, Date::constant(2026, 2, 1), to).unwrap();
    let today = days.last().unwrap();
    assert_eq!(
        (today.open, today.high, today.low),
        (quote.open, quote.high, quote.low)
    );
    assert!((38..42).contains(&days.len()), "{}", days.len());
}
