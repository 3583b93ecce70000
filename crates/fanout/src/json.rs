//! A quote as JSON: whole, or what changed since another.
//!
//! Which fields there are depends on the [`Mode`]: `ticker` is last price, its time and the
//! time of reception; `quote` adds the day's figures and the open interest; `full` adds bid,
//! ask and depth. What is unknown is left out. Prices are written from their integers, always
//! with a decimal point (`1440.05`, `1440.0`), never by way of a float; times as RFC 3339 in
//! India's offset, of reception to the millisecond.

use std::fmt::Write;

use serde::ser::{Serialize, SerializeMap, Serializer};
use strikewire_quotes::{DEPTH, DepthLevel, Quote};
use strikewire_types::{ExchangeTime, IST_OFFSET_SECONDS, Mode, Price, SCALE, Utc, ist_date};

#[cfg(test)]
mod tests;

#[derive(PartialEq)]
enum Value<'a> {
    Price(Price),
    Count(u32),
    Traded(ExchangeTime),
    Received(Utc),
    Depth(&'a [DepthLevel; DEPTH]),
}

struct Field {
    name: &'static str,
    /// The least mode that has it.
    mode: Mode,
    of: for<'a> fn(&'a Quote) -> Option<Value<'a>>,
}

const fn field(
    name: &'static str,
    mode: Mode,
    of: for<'a> fn(&'a Quote) -> Option<Value<'a>>,
) -> Field {
    Field { name, mode, of }
}

/// The fields in the order in which they are written.
static FIELDS: [Field; 18] = [
    field("ltp", Mode::Ticker, |q| q.ltp.map(Value::Price)),
    field("ltt", Mode::Ticker, |q| q.ltt.map(Value::Traded)),
    field("recv", Mode::Ticker, |q| Some(Value::Received(q.recv))),
    field("ltq", Mode::Quote, |q| q.ltq.map(Value::Count)),
    field("atp", Mode::Quote, |q| q.atp.map(Value::Price)),
    field("volume", Mode::Quote, |q| q.volume.map(Value::Count)),
    field("oi", Mode::Quote, |q| q.oi.map(Value::Count)),
    field("open", Mode::Quote, |q| q.open.map(Value::Price)),
    field("high", Mode::Quote, |q| q.high.map(Value::Price)),
    field("low", Mode::Quote, |q| q.low.map(Value::Price)),
    field("prev_close", Mode::Quote, |q| {
        q.prev_close.map(Value::Price)
    }),
    field("bid", Mode::Full, |q| q.bid().map(Value::Price)),
    field("ask", Mode::Full, |q| q.ask().map(Value::Price)),
    field("bid_qty", Mode::Full, |q| q.bid_qty().map(Value::Count)),
    field("ask_qty", Mode::Full, |q| q.ask_qty().map(Value::Count)),
    field("total_buy_qty", Mode::Quote, |q| {
        q.total_buy_qty.map(Value::Count)
    }),
    field("total_sell_qty", Mode::Quote, |q| {
        q.total_sell_qty.map(Value::Count)
    }),
    field("depth", Mode::Full, |q| q.depth.as_ref().map(Value::Depth)),
];

fn fields(mode: Mode) -> impl Iterator<Item = &'static Field> {
    FIELDS.iter().filter(move |field| field.mode <= mode)
}

/// Writes `quote` as a JSON object.
pub fn write_quote(out: &mut String, quote: &Quote, mode: Mode) {
    out.push('{');
    let mut comma = Comma::default();
    write_members(out, &mut comma, quote, mode);
    out.push('}');
}

/// Writes the members of the object without its braces.
pub(crate) fn write_members(out: &mut String, comma: &mut Comma, quote: &Quote, mode: Mode) {
    for field in fields(mode) {
        if let Some(value) = (field.of)(quote) {
            comma.write(out);
            write_name(out, field.name);
            write_value(out, &value);
        }
    }
}

/// Writes an object of the fields that differ between `old` and `new`; a field that became
/// unknown is null. If none does, writes nothing and says false.
pub fn write_changed(out: &mut String, old: &Quote, new: &Quote, mode: Mode) -> bool {
    let start = out.len();
    out.push('{');
    let mut comma = Comma::default();
    for field in fields(mode) {
        let value = (field.of)(new);
        if value == (field.of)(old) {
            continue;
        }
        comma.write(out);
        write_name(out, field.name);
        match value {
            Some(value) => write_value(out, &value),
            None => out.push_str("null"),
        }
    }
    if !comma.0 {
        out.truncate(start);
        return false;
    }
    out.push('}');
    true
}

/// Whether something was written before, so that what follows needs a comma.
#[derive(Default)]
pub(crate) struct Comma(bool);

impl Comma {
    /// After `something` was written elsewhere.
    pub(crate) const fn after(something: bool) -> Self {
        Self(something)
    }

    pub(crate) fn write(&mut self, out: &mut String) {
        if self.0 {
            out.push(',');
        }
        self.0 = true;
    }
}

fn write_name(out: &mut String, name: &str) {
    out.push('"');
    out.push_str(name);
    out.push_str("\":");
}

fn write_value(out: &mut String, value: &Value<'_>) {
    match value {
        Value::Price(price) => write_price(out, *price),
        Value::Count(count) => write_digits(out, u64::from(*count), 1),
        Value::Traded(time) => {
            out.push('"');
            write_traded(out, *time);
            out.push('"');
        }
        Value::Received(utc) => {
            out.push('"');
            write_utc(out, *utc);
            out.push('"');
        }
        Value::Depth(levels) => {
            out.push('[');
            let mut comma = Comma::default();
            for level in *levels {
                comma.write(out);
                write_level(out, level);
            }
            out.push(']');
        }
    }
}

fn write_level(out: &mut String, level: &DepthLevel) {
    out.push('{');
    if let Some(bid) = level.bid {
        out.push_str("\"bid\":");
        write_price(out, bid);
        out.push(',');
    }
    out.push_str("\"bid_qty\":");
    write_digits(out, u64::from(level.bid_qty), 1);
    out.push_str(",\"bid_orders\":");
    write_digits(out, u64::from(level.bid_orders), 1);
    if let Some(ask) = level.ask {
        out.push_str(",\"ask\":");
        write_price(out, ask);
    }
    out.push_str(",\"ask_qty\":");
    write_digits(out, u64::from(level.ask_qty), 1);
    out.push_str(",\"ask_orders\":");
    write_digits(out, u64::from(level.ask_orders), 1);
    out.push('}');
}

/// Writes a price in rupees exactly, with one to four decimals.
pub(crate) fn write_price(out: &mut String, price: Price) {
    if price.raw() < 0 {
        out.push('-');
    }
    let raw = price.raw().unsigned_abs();
    let scale = SCALE.unsigned_abs();
    write_digits(out, raw / scale, 1);
    out.push('.');
    let (mut part, mut width) = (raw % scale, 4);
    while width > 1 && part % 10 == 0 {
        part /= 10;
        width -= 1;
    }
    write_digits(out, part, width);
}

/// Writes `number` with at least `width` digits.
fn write_digits(out: &mut String, mut number: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    while number > 0 {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    start = start.min(digits.len() - width);
    // Digits are always text.
    out.push_str(str::from_utf8(&digits[start..]).unwrap_or_default());
}

fn write_traded(out: &mut String, time: ExchangeTime) {
    if time.as_seconds().checked_mul(1_000_000_000).is_some() {
        write_civil(out, time.to_utc());
        out.push_str("+05:30");
    } else {
        // Centuries away, where no nanoseconds count: only slower.
        let _ = write!(out, "{time}");
    }
}

pub(crate) fn write_utc(out: &mut String, utc: Utc) {
    write_civil(out, utc);
    out.push('.');
    let nanos = utc.as_nanos().rem_euclid(1_000_000_000).unsigned_abs();
    write_digits(out, nanos / 1_000_000, 3);
    out.push_str("+05:30");
}

/// Date and time of day in India to the second.
fn write_civil(out: &mut String, utc: Utc) {
    let date = ist_date(utc);
    let second = (utc.as_seconds() + i64::from(IST_OFFSET_SECONDS)).rem_euclid(86_400);
    let second = second.unsigned_abs();
    let parts = [
        (u64::from(date.year().unsigned_abs()), 4, '-'),
        (u64::from(date.month().unsigned_abs()), 2, '-'),
        (u64::from(date.day().unsigned_abs()), 2, 'T'),
        (second / 3600, 2, ':'),
        (second / 60 % 60, 2, ':'),
    ];
    for (part, width, end) in parts {
        write_digits(out, part, width);
        out.push(end);
    }
    write_digits(out, second % 60, 2);
}

/// A quote that serde writes as [`write_quote`] does.
#[derive(Debug, Clone, Copy)]
pub struct QuoteJson<'a>(pub &'a Quote, pub Mode);

impl Serialize for QuoteJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(quote, mode) = *self;
        let mut map = serializer.serialize_map(None)?;
        for field in fields(mode) {
            if let Some(value) = (field.of)(quote) {
                map.serialize_entry(field.name, &value)?;
            }
        }
        map.end()
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Price(price) => price.serialize(serializer),
            Self::Count(count) => serializer.serialize_u32(*count),
            Self::Traded(time) => time.serialize(serializer),
            Self::Received(utc) => utc.serialize(serializer),
            Self::Depth(levels) => serializer.collect_seq(levels.iter().map(LevelJson)),
        }
    }
}

struct LevelJson<'a>(&'a DepthLevel);

impl Serialize for LevelJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(level) = self;
        let mut map = serializer.serialize_map(None)?;
        if let Some(bid) = level.bid {
            map.serialize_entry("bid", &bid)?;
        }
        map.serialize_entry("bid_qty", &level.bid_qty)?;
        map.serialize_entry("bid_orders", &level.bid_orders)?;
        if let Some(ask) = level.ask {
            map.serialize_entry("ask", &ask)?;
        }
        map.serialize_entry("ask_qty", &level.ask_qty)?;
        map.serialize_entry("ask_orders", &level.ask_orders)?;
        map.end()
    }
}
