use core::fmt::Write;

use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;
use serde::Deserialize;
use serde_json::Value;
use strikewire_types::{IST_OFFSET_SECONDS, InstrumentKey, Price, Segment, Utc};

use super::numbers::float;
use super::request::{Answer, Failure};
use crate::market::{Candle, Market};

/// Days of minutes in one call.
const MOST_DAYS: i64 = 90;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    /// A text by the documentation; numbers are taken too.
    security_id: Value,
    exchange_segment: String,
    instrument: String,
    interval: Option<Value>,
    #[serde(default)]
    oi: bool,
    from_date: String,
    to_date: String,
}

/// Which candles of what.
#[derive(Debug)]
pub(super) struct Question {
    key: InstrumentKey,
    instrument: String,
    minutes: Option<i64>,
    oi: bool,
    from: DateTime,
    /// Candles that begin later are not wanted.
    to: DateTime,
}

impl Question {
    /// Of candles of minutes, the last time is included; of days, by the documentation,
    /// the last date is not.
    pub(super) fn parse(body: &[u8], intraday: bool) -> Result<Self, Failure> {
        let body: Body = serde_json::from_slice(body).map_err(|_| Failure::BadInput)?;
        let bad = Failure::BadInput;
        let id = match &body.security_id {
            Value::String(text) => text.parse().ok(),
            other => other.as_u64().and_then(|id| u32::try_from(id).ok()),
        };
        let segment = body.exchange_segment.parse::<Segment>();
        let minutes = match &body.interval {
            _ if !intraday => None,
            Some(Value::String(text)) => Some(text.parse().map_err(|_| bad)?),
            Some(other) => Some(other.as_i64().ok_or(bad)?),
            None => Some(1),
        };
        if minutes.is_some_and(|minutes| ![1, 5, 15, 25, 60].contains(&minutes)) {
            return Err(bad);
        }
        let (from, _) = time(&body.from_date).ok_or(bad)?;
        let (to, is_whole_day) = time(&body.to_date).ok_or(bad)?;
        let to = match (intraday, is_whole_day) {
            (true, false) => to,
            (true, true) => to.date().at(23, 59, 59, 0),
            (false, _) => before(to.date()).ok_or(bad)?.at(23, 59, 59, 0),
        };
        let days = from.date().until(to.date()).map_err(|_| bad)?.get_days();
        if intraday && i64::from(days) > MOST_DAYS {
            return Err(bad);
        }
        Ok(Self {
            key: InstrumentKey::new(segment.map_err(|_| bad)?, id.ok_or(bad)?),
            instrument: body.instrument,
            minutes,
            oi: body.oi,
            from,
            to,
        })
    }

    pub(super) fn answer(&self, market: &mut Market) -> Result<Answer, Failure> {
        let instrument = market.registry().by_key(self.key).ok_or(Failure::NoData)?;
        if !instrument
            .kind()
            .as_str()
            .eq_ignore_ascii_case(&self.instrument)
        {
            return Err(Failure::BadInput);
        }
        let bad = Failure::BadInput;
        let candles = match self.minutes {
            Some(minutes) => {
                let from = utc(self.from).ok_or(bad)?;
                let to = utc(self.to).ok_or(bad)? + core::time::Duration::from_secs(1);
                let candles = market.minutes(self.key, from, to).unwrap_or_default();
                join(candles, minutes * 60, opens(self.key.segment))
            }
            None => {
                let to = self.to.date().tomorrow().map_err(|_| bad)?;
                let days = market.days(self.key, self.from.date(), to);
                days.unwrap_or_default()
            }
        };
        if candles.is_empty() {
            return Err(Failure::NoData);
        }
        Ok(Answer::new(
            200,
            "application/json",
            render(&candles, self.oi),
        ))
    }
}

/// `YYYY-MM-DD HH:MM:SS`, or a date; whether it is one.
fn time(text: &str) -> Option<(DateTime, bool)> {
    match text.parse::<Date>() {
        // Also of a text with a time, of which the parser takes the date.
        Ok(date) if text.len() <= 10 => Some((date.at(0, 0, 0, 0), true)),
        _ => DateTime::strptime("%Y-%m-%d %H:%M:%S", text)
            .ok()
            .map(|time| (time, false)),
    }
}

fn before(date: Date) -> Option<Date> {
    date.yesterday().ok()
}

/// What the clocks of India show, as a time.
fn utc(time: DateTime) -> Option<Utc> {
    let india = Offset::from_seconds(IST_OFFSET_SECONDS).ok()?;
    let nanos = india.to_timestamp(time).ok()?.as_nanosecond();
    Some(Utc::from_nanos(i64::try_from(nanos).ok()?))
}

/// When trading begins, from which candles are counted: seconds after midnight.
const fn opens(segment: Segment) -> i64 {
    match segment {
        Segment::McxComm | Segment::NseCurrency | Segment::BseCurrency => 9 * 3_600,
        _ => 9 * 3_600 + 15 * 60,
    }
}

/// Minutes to candles of `length` seconds, none of which spans midnight.
fn join(minutes: Vec<Candle>, length: i64, opens: i64) -> Vec<Candle> {
    let mut joined: Vec<Candle> = Vec::new();
    let slot = |at: i64| {
        let of_day = (at + i64::from(IST_OFFSET_SECONDS)).rem_euclid(86_400);
        (at - of_day, (of_day - opens).div_euclid(length))
    };
    for minute in minutes {
        match joined.last_mut() {
            Some(last) if slot(last.at) == slot(minute.at) => *last = last.join(minute),
            _ => joined.push(minute),
        }
    }
    joined
}

fn render(candles: &[Candle], oi: bool) -> String {
    let mut out = String::with_capacity(64 * candles.len());
    let mut array = |name: &str, value: &dyn Fn(&Candle) -> f64| {
        let before = if out.is_empty() { '{' } else { ',' };
        // Writing to a string does not fail.
        let _ = write!(out, "{before}\"{name}\":[");
        for (i, candle) in candles.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            float(&mut out, value(candle));
        }
        out.push(']');
    };
    let rupees = |price: Price| price.as_f64();
    array("open", &|candle| rupees(candle.open));
    array("high", &|candle| rupees(candle.high));
    array("low", &|candle| rupees(candle.low));
    array("close", &|candle| rupees(candle.close));
    array("volume", &|candle| candle.volume as f64);
    array("timestamp", &|candle| candle.at as f64);
    if oi {
        array("open_interest", &|candle| {
            candle.interest.map_or(0.0, f64::from)
        });
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(at: i64, price: i32) -> Candle {
        let price = Price::from_rupees(price);
        Candle {
            at,
            open: price,
            high: price,
            low: price,
            close: price,
            volume: 10,
            interest: Some(5),
        }
    }

    #[test]
    fn candles_are_counted_from_the_opening() {
        // 2026-02-09T00:00:00+05:30
        let midnight = 1_770_575_400;
        let minutes: Vec<Candle> = (0..2_880)
            .map(|i| minute(midnight + 60 * i, i as i32 + 1))
            .collect();
        let hours = join(minutes.clone(), 3_600, opens(Segment::NseEq));
        // 00:00 to 00:15, then an hour each, and 45 minutes in the end.
        assert_eq!(hours.len(), 2 * 25);
        let at = |i: usize| (hours[i].at - midnight) / 60;
        assert_eq!(
            (at(0), at(1), at(10), at(24), at(25)),
            (0, 15, 555, 1_395, 1_440)
        );
        assert_eq!(hours[1].volume, 600);
        assert_eq!(hours[1].open, Price::from_rupees(16));
        assert_eq!(
            (hours[1].low, hours[1].high),
            (hours[1].open, hours[1].close)
        );
        let commodity = join(minutes, 1_500, opens(Segment::McxComm));
        assert!(
            commodity
                .iter()
                .any(|candle| candle.at == midnight + 540 * 60)
        );
    }

    #[test]
    fn times_are_read_as_documented() {
        let read = |text| time(text).map(|(time, whole)| (time.to_string(), whole));
        assert_eq!(
            read("2024-09-11"),
            Some(("2024-09-11T00:00:00".to_owned(), true))
        );
        assert_eq!(
            read("2024-09-11 09:30:00"),
            Some(("2024-09-11T09:30:00".to_owned(), false))
        );
        for bad in [
            "",
            "11-09-2024",
            "2024-09-31",
            "2024-09-11T09:30",
            "2024-09-11 9",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        // The first candle of a captured answer, of a quarter past nine.
        let time = DateTime::constant(2024, 9, 11, 9, 15, 0, 0);
        assert_eq!(utc(time).unwrap().as_seconds(), 1_726_026_300);
    }
}
