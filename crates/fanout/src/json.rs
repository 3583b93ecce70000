//! A quote as JSON: whole, or what changed since another.
//!
//! Which fields there are depends on the [`Mode`]: `ticker` is last price, its time and the
//! time of reception; `quote` adds the day's figures and the open interest; `full` adds bid,
//! ask and depth. What is unknown is left out. Prices are written from their integers, always
//! with a decimal point (`1440.05`, `1440.0`), never by way of a float; times as RFC 3339 in
//! India's offset, of reception to the millisecond.
//!
//! The writers append UTF-8 to bytes, which is what messages are made of:
//!
//! ```
//! use strikewire_fanout::json;
//! use strikewire_quotes::Quote;
//! use strikewire_types::{InstrumentKey, Mode, Price, Segment, Utc};
//!
//! let key = InstrumentKey::new(Segment::NseEq, 2885);
//! let quote = Quote {
//!     ltp: Some(Price::from_raw(14_400_500)),
//!     ..Quote::new(key, Utc::from_nanos(1_770_611_400_007_000_000))
//! };
//! let mut out = Vec::new();
//! json::write_quote(&mut out, &quote, Mode::Ticker);
//! assert_eq!(out, br#"{"ltp":1440.05,"recv":"2026-02-09T10:00:00.007+05:30"}"#);
//! ```

use core::convert::Infallible;

use serde::ser::{Serialize, SerializeMap, Serializer};
use strikewire_quotes::{DEPTH, DepthLevel, Quote};
use strikewire_types::{ExchangeTime, Mode, Price, Utc};

mod quote_map;
#[cfg(test)]
mod tests;
mod text;

pub use quote_map::QuoteMap;
pub(crate) use text::write_count;
use text::{COUNT_BYTES, PRICE_BYTES, Pen, TIME_BYTES, with_pen};
pub use text::{write_price, write_text, write_utc};

/// The longest text of a name or of what is around values.
const NAME_BYTES: usize = 20;

/// The most that the fields before the depth take: two times, nine prices, eight counts.
const FIELDS_BYTES: usize = 2 * (NAME_BYTES + TIME_BYTES + 2)
    + 9 * (NAME_BYTES + PRICE_BYTES)
    + 8 * (NAME_BYTES + COUNT_BYTES);

/// The most that the depth takes: of each level two prices and four counts.
const DEPTH_BYTES: usize =
    DEPTH * (2 * (NAME_BYTES + PRICE_BYTES) + 4 * (NAME_BYTES + COUNT_BYTES)) + 2 * NAME_BYTES;

/// The name of a field, alone and as it stands in an object after others.
#[derive(Clone, Copy)]
struct Name {
    plain: &'static str,
    member: &'static str,
}

macro_rules! name {
    ($name:literal) => {
        Name {
            plain: $name,
            member: concat!(",\"", $name, "\":"),
        }
    };
}

/// Something to be done with each field of a quote.
trait Visitor {
    type Error;

    fn field<T: Write>(
        &mut self,
        name: Name,
        of: impl Fn(&Quote) -> Option<T>,
    ) -> Result<(), Self::Error>;
}

/// A value of a field.
trait Write: PartialEq + Serialize {
    fn write(&self, pen: &mut Pen<'_>);
}

/// Goes through the fields of a mode, in the order in which they are written.
#[inline(always)]
fn visit<V: Visitor>(mode: Mode, visitor: &mut V) -> Result<(), V::Error> {
    visitor.field(name!("ltp"), |q| q.ltp)?;
    visitor.field(name!("ltt"), |q| q.ltt)?;
    visitor.field(name!("recv"), |q| Some(q.received()))?;
    if mode >= Mode::Quote {
        visitor.field(name!("ltq"), |q| q.ltq)?;
        visitor.field(name!("atp"), |q| q.atp)?;
        visitor.field(name!("volume"), |q| q.volume)?;
        visitor.field(name!("oi"), |q| q.oi)?;
        visitor.field(name!("open"), |q| q.open)?;
        visitor.field(name!("high"), |q| q.high)?;
        visitor.field(name!("low"), |q| q.low)?;
        visitor.field(name!("prev_close"), |q| q.prev_close)?;
    }
    if mode >= Mode::Full {
        visitor.field(name!("bid"), |q| best(q)?.bid)?;
        visitor.field(name!("ask"), |q| best(q)?.ask)?;
        visitor.field(name!("bid_qty"), |q| {
            best(q)?.bid.and(Some(best(q)?.bid_qty))
        })?;
        visitor.field(name!("ask_qty"), |q| {
            best(q)?.ask.and(Some(best(q)?.ask_qty))
        })?;
    }
    if mode >= Mode::Quote {
        visitor.field(name!("total_buy_qty"), |q| q.total_buy_qty)?;
        visitor.field(name!("total_sell_qty"), |q| q.total_sell_qty)?;
    }
    Ok(())
}

const DEPTH_NAME: Name = name!("depth");

fn best(quote: &Quote) -> Option<&DepthLevel> {
    quote.depth.as_ref().map(|depth| &depth[0])
}

/// Writes `quote` as a JSON object.
pub fn write_quote(out: &mut Vec<u8>, quote: &Quote, mode: Mode) {
    let start = out.len();
    write_members(out, quote, mode);
    // The time of reception is always there, and with it a first comma.
    out[start] = b'{';
    out.push(b'}');
}

/// Writes the members of the object, each after a comma.
pub(crate) fn write_members(out: &mut Vec<u8>, quote: &Quote, mode: Mode) {
    with_pen(out, FIELDS_BYTES, |pen| {
        let Ok(()) = visit(mode, &mut Whole { pen, quote });
    });
    if let Some(levels) = quote.depth.as_ref().filter(|_| mode >= Mode::Full) {
        write_depth(out, levels);
    }
}

/// Writes an object of the fields that differ between `old` and `new`; a field that became
/// unknown is null. If none does, writes nothing and says false.
pub fn write_changed(out: &mut Vec<u8>, old: &Quote, new: &Quote, mode: Mode) -> bool {
    let start = out.len();
    with_pen(out, FIELDS_BYTES, |pen| {
        let Ok(()) = visit(mode, &mut Changed { pen, old, new });
    });
    if mode >= Mode::Full && new.depth != old.depth {
        match &new.depth {
            Some(levels) => write_depth(out, levels),
            None => {
                out.extend_from_slice(DEPTH_NAME.member.as_bytes());
                out.extend_from_slice(b"null");
            }
        }
    }
    if out.len() == start {
        return false;
    }
    out[start] = b'{';
    out.push(b'}');
    true
}

struct Whole<'a, 'p> {
    pen: &'a mut Pen<'p>,
    quote: &'a Quote,
}

impl Visitor for Whole<'_, '_> {
    type Error = Infallible;

    #[inline(always)]
    fn field<T: Write>(
        &mut self,
        name: Name,
        of: impl Fn(&Quote) -> Option<T>,
    ) -> Result<(), Infallible> {
        if let Some(value) = of(self.quote) {
            self.pen.raw(name.member);
            value.write(self.pen);
        }
        Ok(())
    }
}

struct Changed<'a, 'p> {
    pen: &'a mut Pen<'p>,
    old: &'a Quote,
    new: &'a Quote,
}

impl Visitor for Changed<'_, '_> {
    type Error = Infallible;

    #[inline(always)]
    fn field<T: Write>(
        &mut self,
        name: Name,
        of: impl Fn(&Quote) -> Option<T>,
    ) -> Result<(), Infallible> {
        let value = of(self.new);
        if value != of(self.old) {
            self.pen.raw(name.member);
            match value {
                Some(value) => value.write(self.pen),
                None => self.pen.raw("null"),
            }
        }
        Ok(())
    }
}

impl Write for Price {
    #[inline(always)]
    fn write(&self, pen: &mut Pen<'_>) {
        pen.price(*self);
    }
}

impl Write for u32 {
    #[inline(always)]
    fn write(&self, pen: &mut Pen<'_>) {
        pen.count(u64::from(*self));
    }
}

impl Write for ExchangeTime {
    #[inline(always)]
    fn write(&self, pen: &mut Pen<'_>) {
        pen.raw("\"");
        if !pen.traded(*self) {
            // Centuries away: only slower.
            pen.raw(&self.to_string());
        }
        pen.raw("\"");
    }
}

impl Write for Utc {
    #[inline(always)]
    fn write(&self, pen: &mut Pen<'_>) {
        pen.raw("\"");
        pen.utc(*self);
        pen.raw("\"");
    }
}

/// Writes the depth as a member after a comma.
fn write_depth(out: &mut Vec<u8>, levels: &[DepthLevel; DEPTH]) {
    with_pen(out, DEPTH_BYTES, |pen| {
        pen.raw(DEPTH_NAME.member);
        for (at, level) in levels.iter().enumerate() {
            pen.raw(if at > 0 { "," } else { "[" });
            write_level(pen, level);
        }
        pen.raw("]");
    });
}

#[inline]
fn write_level(pen: &mut Pen<'_>, level: &DepthLevel) {
    match level.bid {
        Some(bid) => {
            pen.raw("{\"bid\":");
            pen.price(bid);
            pen.raw(",\"bid_qty\":");
        }
        None => pen.raw("{\"bid_qty\":"),
    }
    pen.count(u64::from(level.bid_qty));
    pen.raw(",\"bid_orders\":");
    pen.count(u64::from(level.bid_orders));
    if let Some(ask) = level.ask {
        pen.raw(",\"ask\":");
        pen.price(ask);
    }
    pen.raw(",\"ask_qty\":");
    pen.count(u64::from(level.ask_qty));
    pen.raw(",\"ask_orders\":");
    pen.count(u64::from(level.ask_orders));
    pen.raw("}");
}

/// A quote that serde writes as [`write_quote`] does.
#[derive(Debug, Clone, Copy)]
pub struct QuoteJson<'a>(pub &'a Quote, pub Mode);

impl Serialize for QuoteJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(quote, mode) = *self;
        let mut visitor = Serde {
            map: serializer.serialize_map(None)?,
            quote,
        };
        visit(mode, &mut visitor)?;
        if let Some(levels) = quote.depth.as_ref().filter(|_| mode >= Mode::Full) {
            visitor
                .map
                .serialize_entry(DEPTH_NAME.plain, &Depth(levels))?;
        }
        visitor.map.end()
    }
}

struct Serde<'a, M> {
    map: M,
    quote: &'a Quote,
}

impl<M: SerializeMap> Visitor for Serde<'_, M> {
    type Error = M::Error;

    fn field<T: Write>(
        &mut self,
        name: Name,
        of: impl Fn(&Quote) -> Option<T>,
    ) -> Result<(), M::Error> {
        match of(self.quote) {
            Some(value) => self.map.serialize_entry(name.plain, &value),
            None => Ok(()),
        }
    }
}

struct Depth<'a>(&'a [DepthLevel; DEPTH]);

impl Serialize for Depth<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(LevelJson))
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
