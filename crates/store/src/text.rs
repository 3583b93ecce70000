//! How values are written in the database. Both databases get times, dates and prices
//! as texts; PostgreSQL casts them.

use jiff::Timestamp;
use jiff::civil::Date;
use strikewire_types::{SCALE, Strike, Utc};

const NANOS_PER_MICRO: i64 = 1_000;

/// RFC 3339 in UTC with exactly six decimals. What is finer is cut off.
pub(crate) fn time(utc: Utc) -> String {
    let micros = utc.as_nanos().div_euclid(NANOS_PER_MICRO);
    // Every i64 of nanoseconds lies inside what a timestamp can be.
    let timestamp = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{timestamp:.6}")
}

pub(crate) fn parse_time(text: &str) -> Option<Utc> {
    let timestamp: Timestamp = text.parse().ok()?;
    let micros = timestamp.as_microsecond();
    // The earliest time has a part of a microsecond that was cut off.
    Some(Utc::from_nanos(micros.saturating_mul(NANOS_PER_MICRO)))
}

/// `YYYY-MM-DD`; dates before the year 1 become its first day.
pub(crate) fn date(date: Date) -> String {
    date.max(Date::constant(1, 1, 1)).to_string()
}

pub(crate) fn parse_date(text: &str) -> Option<Date> {
    text.parse().ok()
}

/// Rupees of a number of 1e-4 rupee.
pub(crate) fn money(raw: i64) -> String {
    Strike::from_raw(raw).to_string()
}

/// Over the whole range of an i64, unlike the parser of prices that users write.
pub(crate) fn parse_money(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(part) {
        return None;
    }
    let (kept, rest) = part.split_at(part.len().min(4));
    if rest.bytes().any(|b| b != b'0') {
        return None;
    }
    let part = format!("{kept:0<4}").parse::<i128>().ok()?;
    let raw = whole.parse::<i128>().ok()?.checked_mul(SCALE.into())? + part;
    i64::try_from(if negative { -raw } else { raw }).ok()
}

/// A JSON array of rupees.
pub(crate) fn strikes(strikes: &[Strike]) -> String {
    let texts: Vec<String> = strikes.iter().map(Strike::to_string).collect();
    format!("[{}]", texts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_are_what_an_operator_expects() {
        assert_eq!(
            time(Utc::from_nanos(1_770_575_400_000_000_999)),
            "2026-02-08T18:30:00.000000Z"
        );
        assert_eq!(time(Utc::from_nanos(-1)), "1969-12-31T23:59:59.999999Z");
        assert_eq!(date(Date::ZERO), "0001-01-01");
        assert_eq!(date(Date::constant(2026, 2, 24)), "2026-02-24");
        assert_eq!(money(14_400_500), "1440.05");
        assert_eq!(parse_money("1440.0500"), Some(14_400_500));
        for text in [
            "",
            "-",
            ".5",
            "1.",
            "1.00001",
            "1e3",
            "--1",
            "922337203685478",
        ] {
            assert_eq!(parse_money(text), None, "{text}");
        }
        assert_eq!(
            strikes(&[Strike::from_raw(3_125_000), Strike::from_raw(3_150_000)]),
            "[312.5,315]"
        );
    }

    proptest! {
        #[test]
        fn everything_comes_back_and_sorts(a: i64, b: i64) {
            let micros = |n: i64| n.div_euclid(1_000).saturating_mul(1_000);
            let [x, y] = [time(Utc::from_nanos(a)), time(Utc::from_nanos(b))];
            prop_assert_eq!(parse_time(&x), Some(Utc::from_nanos(micros(a))));
            prop_assert_eq!(x.len(), 27);
            prop_assert_eq!(x.cmp(&y), (a.div_euclid(1_000)).cmp(&b.div_euclid(1_000)));
            prop_assert_eq!(parse_money(&money(a)), Some(a));
        }

        #[test]
        fn no_text_panics(text in ".*", digits in "-?[0-9]{0,50}\\.?[0-9]{0,9}") {
            let _ = parse_money(&text);
            let _ = parse_money(&digits);
            let _ = parse_time(&text);
            let _ = parse_date(&text);
        }
    }
}
