//! Numbers, prices, times and strings as JSON text.

use strikewire_types::{ExchangeTime, IST_OFFSET_SECONDS, Price, SCALE, Utc};

/// The most that [`Pen::count`] writes.
pub(super) const COUNT_BYTES: usize = 24;

/// The most that [`Pen::price`] writes.
pub(super) const PRICE_BYTES: usize = 32;

/// The most that [`Pen::utc`] writes.
pub(super) const TIME_BYTES: usize = 29;

const EIGHT_DIGITS: u64 = 100_000_000;

/// Writes into room that is there already, so that nothing has to be asked for and moved
/// on the way. Numbers are written in whole words, of which only the front counts: what is
/// behind it is written over by what follows.
pub(super) struct Pen<'a> {
    room: &'a mut [u8],
    at: usize,
}

impl Pen<'_> {
    #[inline(always)]
    fn front<const N: usize>(&mut self, bytes: [u8; N], len: usize) {
        // Who made the room made enough.
        if let Some(place) = self.room.get_mut(self.at..self.at + N) {
            place.copy_from_slice(&bytes);
            self.at += len;
        }
    }

    #[inline(always)]
    pub(super) fn raw(&mut self, text: &str) {
        if let Some(place) = self.room.get_mut(self.at..self.at + text.len()) {
            place.copy_from_slice(text.as_bytes());
            self.at += text.len();
        }
    }

    /// Writes a whole number.
    #[inline(always)]
    pub(super) fn count(&mut self, number: u64) {
        if number < EIGHT_DIGITS {
            self.short(number);
        } else {
            self.long(number);
        }
    }

    /// Writes a number of at most eight digits.
    #[inline(always)]
    fn short(&mut self, number: u64) {
        let digits = eight_digits(number);
        // The last digit is written also when it is 0.
        let zeros = (digits | 1 << 56).trailing_zeros() / 8;
        let text = (digits | ZEROS) >> (8 * zeros);
        self.front(text.to_le_bytes(), 8 - zeros as usize);
    }

    #[cold]
    fn long(&mut self, number: u64) {
        let (front, back) = (number / EIGHT_DIGITS, number % EIGHT_DIGITS);
        self.count(front);
        self.front((eight_digits(back) | ZEROS).to_le_bytes(), 8);
    }

    /// Writes a price in rupees exactly, with one to four decimals.
    #[inline(always)]
    pub(super) fn price(&mut self, price: Price) {
        if price.raw() < 0 {
            self.raw("-");
        }
        let raw = price.raw().unsigned_abs();
        let scale = SCALE.unsigned_abs();
        self.count(raw / scale);
        // The decimals are the last four of the eight; trailing zeros are at the top.
        let part = (eight_digits(raw % scale) >> 32) as u32;
        let zeros = (part | 1).leading_zeros() / 8;
        let text = u64::from(b'.') | u64::from(part | ZEROS as u32) << 8;
        self.front(text.to_le_bytes(), 5 - zeros as usize);
    }

    /// Writes a time as RFC 3339 in India's offset, to the millisecond.
    #[inline(always)]
    pub(super) fn utc(&mut self, utc: Utc) {
        let mut text = *b"0000-00-00T00:00:00.000+05:30";
        put_civil(&mut text, utc.as_seconds());
        let millis = utc.as_nanos().rem_euclid(1_000_000_000) as u32 / 1_000_000;
        text[20] = b'0' + (millis / 100) as u8;
        put_pair(&mut text, 21, millis);
        self.front(text, text.len());
    }

    /// Writes an exchange's time as RFC 3339 in India's offset, to the second. False, with
    /// nothing written, where no nanoseconds count.
    #[inline(always)]
    pub(super) fn traded(&mut self, time: ExchangeTime) -> bool {
        let near = time.as_seconds().checked_mul(1_000_000_000).is_some();
        if near {
            let mut text = *b"0000-00-00T00:00:00+05:30";
            put_civil(&mut text, time.as_seconds());
            self.front(text, text.len());
        }
        near
    }
}

/// Gives a pen `most` bytes of room at the end of `out`, and takes back what it did not
/// write.
#[inline(always)]
pub(super) fn with_pen(out: &mut Vec<u8>, most: usize, write: impl FnOnce(&mut Pen<'_>)) {
    let start = out.len();
    // Numbers are written in whole words.
    out.resize(start + most + 8, 0);
    let mut pen = Pen {
        room: &mut out[start..],
        at: 0,
    };
    write(&mut pen);
    let end = start + pen.at;
    out.truncate(end);
}

/// The digit 0 in each byte.
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// The digits of a number below 10^8, the first in the lowest byte: halves of four digits,
/// quarters of two, then single ones, each step in all parts of a word at once.
#[inline(always)]
const fn eight_digits(number: u64) -> u64 {
    let high = number / 10_000;
    let fours = high | (number - 10_000 * high) << 32;
    // n * 10486 >> 20 is n / 100 for n below 10,000; n * 103 >> 10 is n / 10 below 100.
    let hundreds = ((fours * 10_486) >> 20) & 0x7f_0000_007f;
    let twos = hundreds | (fours - 100 * hundreds) << 16;
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | (twos - 10 * tens) << 8
}

const PAIRS: [[u8; 2]; 100] = pairs();

const fn pairs() -> [[u8; 2]; 100] {
    let mut pairs = [[0; 2]; 100];
    let mut n = 0;
    while n < pairs.len() {
        pairs[n] = [b'0' + (n / 10) as u8, b'0' + (n % 10) as u8];
        n += 1;
    }
    pairs
}

/// Puts the last two digits of a number at `at`.
#[inline(always)]
fn put_pair<const N: usize>(to: &mut [u8; N], at: usize, number: u32) {
    to[at..at + 2].copy_from_slice(&PAIRS[(number % 100) as usize]);
}

/// Puts date and time of day in India over the first 19 characters. The year has four
/// digits for every second that nanoseconds can tell.
#[inline(always)]
fn put_civil<const N: usize>(text: &mut [u8; N], utc_seconds: i64) {
    let local = utc_seconds + i64::from(IST_OFFSET_SECONDS);
    let second = local.rem_euclid(86_400) as u32;
    let (year, month, day) = civil(local.div_euclid(86_400));
    put_pair(text, 0, year / 100);
    put_pair(text, 2, year);
    put_pair(text, 5, month);
    put_pair(text, 8, day);
    put_pair(text, 11, second / 3600);
    put_pair(text, 14, second / 60 % 60);
    put_pair(text, 17, second % 60);
}

/// Writes a whole number.
pub(crate) fn write_count(out: &mut Vec<u8>, number: u64) {
    with_pen(out, COUNT_BYTES, |pen| pen.count(number));
}

/// Writes a price in rupees exactly, with one to four decimals.
pub fn write_price(out: &mut Vec<u8>, price: Price) {
    with_pen(out, PRICE_BYTES, |pen| pen.price(price));
}

/// Writes a time as RFC 3339 in India's offset, to the millisecond, without quotes.
pub fn write_utc(out: &mut Vec<u8>, utc: Utc) {
    with_pen(out, TIME_BYTES, |pen| pen.utc(utc));
}

/// Year, month and day of a day counted from 1970-01-01, after the year 0.
///
/// Years are taken to begin in March, so that the leap day is their last: then the days
/// before a month follow from its number alone, 153 in every five months.
#[inline]
fn civil(day: i64) -> (u32, u32, u32) {
    const DAYS_OF_400_YEARS: u32 = 146_097;
    // From 1 March of the year 0.
    let day = (day + 719_468) as u32;
    let (era, day) = (day / DAYS_OF_400_YEARS, day % DAYS_OF_400_YEARS);
    let leap_days = day / 1460 - day / 36_524 + day / 146_096;
    let year = (day - leap_days) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = 400 * era + year;
    if month < 10 {
        (year, month + 3, day)
    } else {
        (year + 1, month - 9, day)
    }
}

/// Writes a JSON string with its quotes.
pub fn write_text(out: &mut Vec<u8>, text: &str) {
    let plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // A vector takes all.
        let _ = serde_json::to_writer(out, text);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use strikewire_types::ist_date;

    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = b"x".to_vec();
        write(&mut out);
        let text = String::from_utf8(out).unwrap();
        text.strip_prefix('x').unwrap().to_owned()
    }

    #[test]
    fn every_day_of_the_calendar_is_what_the_date_library_says() {
        // The nanoseconds of a `Utc` reach from 1677 to 2262.
        for day in -106_700..106_700_i64 {
            let date = ist_date(Utc::from_nanos(day * 86_400 * 1_000_000_000));
            let expected = (date.year() as u32, date.month() as u32, date.day() as u32);
            assert_eq!(civil(day), expected, "{day}");
        }
    }

    #[test]
    fn every_four_digits_are_right_wherever_they_are() {
        for four in 0..10_000_u64 {
            let text = format!("{four:04}");
            let word = |number: u64| (eight_digits(number) | ZEROS).to_le_bytes();
            assert_eq!(word(four)[4..], *text.as_bytes());
            assert_eq!(word(four * 10_000 + 9_999)[..4], *text.as_bytes());
        }
    }

    #[test]
    fn counts_of_every_length() {
        let mut number = 0_u64;
        loop {
            for near in [number.saturating_sub(1), number, number.saturating_add(1)] {
                assert_eq!(text(|out| write_count(out, near)), near.to_string());
            }
            match number.checked_mul(10) {
                Some(next) => number = next.max(1),
                None => break,
            }
        }
        assert_eq!(text(|out| write_count(out, u64::MAX)), u64::MAX.to_string());
    }

    #[test]
    fn prices_have_as_many_decimals_as_they_need() {
        for (raw, expected) in [
            (0, "0.0"),
            (1, "0.0001"),
            (10, "0.001"),
            (100, "0.01"),
            (1_000, "0.1"),
            (10_000, "1.0"),
            (14_400_500, "1440.05"),
            (-500, "-0.05"),
            (i64::MIN, "-922337203685477.5808"),
            (i64::MAX, "922337203685477.5807"),
        ] {
            assert_eq!(text(|out| write_price(out, Price::from_raw(raw))), expected);
        }
    }

    proptest! {
        #[test]
        fn a_count_is_written_as_it_is(number: u64) {
            prop_assert_eq!(text(|out| write_count(out, number)), number.to_string());
        }

        #[test]
        fn a_price_is_written_exactly(raw: i64) {
            let out = text(|out| write_price(out, Price::from_raw(raw)));
            let (whole, part) = out.split_once('.').unwrap();
            let digits = format!("{whole}{part:0<4}");
            prop_assert_eq!(digits.parse(), Ok(raw));
            prop_assert!(part == "0" || !part.ends_with('0'));
        }

        #[test]
        fn times_are_what_the_types_show(nanos: i64, seconds in -62_000_000_000_i64..250_000_000_000) {
            let (utc, ltt) = (Utc::from_nanos(nanos), ExchangeTime::from_seconds(seconds));
            if nanos >= 0 {
                prop_assert_eq!(text(|out| write_utc(out, utc)), utc.to_string());
            }
            let mut near = false;
            let traded = text(|out| with_pen(out, TIME_BYTES, |pen| near = pen.traded(ltt)));
            let expected = if near { ltt.to_string() } else { String::new() };
            prop_assert_eq!(traded, expected);
            prop_assert_eq!(near, seconds.checked_mul(1_000_000_000).is_some());
        }

        #[test]
        fn strings_are_read_back(any in ".*") {
            let out = text(|out| write_text(out, &any));
            prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), any);
        }
    }
}
