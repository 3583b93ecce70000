//! Numbers and texts of answers, taken as they come.
//!
//! The same field is an integer, a float, a text or missing, depending on the call, the
//! instrument and the year. What cannot be read as a number is no number; it never
//! costs the rest of an answer.

use core::fmt;
use core::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use strikewire_types::{Price, PriceStep, SCALE};

/// The grid of prices that need not lie on a tick: 0.01 rupee.
pub(super) const PAISA: i64 = 100;

/// Below this prices of a feed lie on the paisa; above it they are told to the tick.
const FINE_BELOW: f64 = 131_072.0;

/// No price is beyond it.
const BOUND: f64 = 1e12;

/// A number: an integer, a float or a text of one. Absent for anything else.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Num(pub(super) Option<f64>);

/// A text; absent when there is something else in its place.
#[derive(Debug, Default)]
pub(super) struct Text(pub(super) Option<String>);

/// An object; absent when there is something else in its place.
#[derive(Debug)]
pub(super) struct Object<T>(pub(super) Option<T>);

/// An array; absent when there is something else in its place.
#[derive(Debug)]
pub(super) struct List<T>(pub(super) Option<Vec<T>>);

// Derived, these would ask for `T: Default`.
impl<T> Default for Object<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(None)
    }
}

/// The grid to round to where no tick is in play: 0.01 rupee, finer when the tick is.
pub(super) const fn fine(step: PriceStep) -> i64 {
    if step.raw() == 0 || step.raw() >= 100 {
        PAISA
    } else {
        1
    }
}

/// Rupees rounded once to a multiple of `grid` units; halves away from 0.
pub(super) fn rounded(rupees: f64, grid: i64) -> Option<Price> {
    let steps = rupees * SCALE as f64 / grid as f64;
    (rupees.abs() <= BOUND).then(|| Price::from_raw(steps.round() as i64 * grid))
}

impl Num {
    /// A price as [`Price::from_wire`] rounds it. 0 is no price.
    pub(super) fn price(self, step: PriceStep) -> Option<Price> {
        let rupees = self.0?;
        let grid = if rupees.abs() < FINE_BELOW {
            fine(step)
        } else {
            match step.raw() {
                0 => PAISA,
                raw => i64::from(raw),
            }
        };
        rounded(rupees, grid).filter(|&price| price != Price::ZERO)
    }

    /// A price that need not lie on a tick: an average, a close. 0 is no price.
    pub(super) fn average(self, step: PriceStep) -> Option<Price> {
        self.on(fine(step))
    }

    /// A price on a grid that is given. 0 is no price.
    pub(super) fn on(self, grid: i64) -> Option<Price> {
        rounded(self.0?, grid).filter(|&price| price != Price::ZERO)
    }

    /// A quantity. One that is too large is the largest; one below 0 is none.
    pub(super) fn quantity(self) -> Option<u32> {
        // `as` saturates.
        self.0.filter(|&n| n >= 0.0).map(|n| n as u32)
    }

    /// A quantity for which 0 says that it is not known.
    pub(super) fn positive(self) -> Option<u32> {
        self.quantity().filter(|&n| n != 0)
    }

    /// A quantity that a candle can have.
    pub(super) fn total(self) -> Option<u64> {
        self.0.filter(|&n| n >= 0.0).map(|n| n as u64)
    }

    /// Whole seconds.
    pub(super) fn seconds(self) -> Option<i64> {
        self.0
            .filter(|n| n.abs() <= BOUND)
            .map(|n| n.floor() as i64)
    }
}

struct NumVisitor;

impl<'de> Visitor<'de> for NumVisitor {
    type Value = Num;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_i64<E: Error>(self, n: i64) -> Result<Num, E> {
        Ok(Num(Some(n as f64)))
    }

    fn visit_u64<E: Error>(self, n: u64) -> Result<Num, E> {
        Ok(Num(Some(n as f64)))
    }

    fn visit_f64<E: Error>(self, n: f64) -> Result<Num, E> {
        Ok(Num(Some(n).filter(|n| n.is_finite())))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Num, E> {
        let number = text.trim().parse().ok();
        Ok(Num(number.filter(|n: &f64| n.is_finite())))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Num, E> {
        Ok(Num(None))
    }

    fn visit_unit<E: Error>(self) -> Result<Num, E> {
        Ok(Num(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Num, A::Error> {
        IgnoredAny.visit_map(map).map(|_| Num(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Num, A::Error> {
        IgnoredAny.visit_seq(seq).map(|_| Num(None))
    }
}

impl<'de> Deserialize<'de> for Num {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumVisitor)
    }
}

/// What takes the place of something that is not as expected: nothing.
macro_rules! anything_else_is_none {
    ($($visit:ident($kind:ty)),*) => {
        $(fn $visit<E: Error>(self, _: $kind) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        })*

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    };
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    anything_else_is_none!(
        visit_bool(bool),
        visit_i64(i64),
        visit_u64(u64),
        visit_f64(f64)
    );

    fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text(Some(text.to_owned())))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Text, A::Error> {
        IgnoredAny.visit_map(map).map(|_| Text(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Text, A::Error> {
        IgnoredAny.visit_seq(seq).map(|_| Text(None))
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    anything_else_is_none!(
        visit_bool(bool),
        visit_i64(i64),
        visit_u64(u64),
        visit_f64(f64),
        visit_str(&str)
    );

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(|object| Object(Some(object)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Object<T>, A::Error> {
        IgnoredAny.visit_seq(seq).map(|_| Object(None))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ObjectVisitor(PhantomData))
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    anything_else_is_none!(
        visit_bool(bool),
        visit_i64(i64),
        visit_u64(u64),
        visit_f64(f64),
        visit_str(&str)
    );

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<List<T>, A::Error> {
        IgnoredAny.visit_map(map).map(|_| List(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<List<T>, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(seq)).map(|list| List(Some(list)))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(json: &str) -> Option<f64> {
        serde_json::from_str::<Num>(json).unwrap().0
    }

    #[test]
    fn a_number_is_taken_in_every_spelling() {
        for json in ["12", "12.0", "1.2E1", "\"12\"", "\" 12.000000 \""] {
            assert_eq!(number(json), Some(12.0), "{json}");
        }
        for json in [
            "null",
            "\"\"",
            "\"NA\"",
            "\"NaN\"",
            "\"inf\"",
            "true",
            "[12]",
            "{\"a\":[{}]}",
        ] {
            assert_eq!(number(json), None, "{json}");
        }
    }

    #[test]
    fn objects_and_lists_are_themselves_or_nothing() {
        type Map = Object<std::collections::HashMap<String, Num>>;
        let map = |json| serde_json::from_str::<Map>(json).unwrap().0;
        assert_eq!(map(r#"{"a":1}"#).unwrap()["a"], Num(Some(1.0)));
        let list = |json| serde_json::from_str::<List<Num>>(json).unwrap().0;
        assert_eq!(list("[1,null]").unwrap(), [Num(Some(1.0)), Num(None)]);
        for json in ["null", "\"\"", "1", "-1", "1.5", "false"] {
            assert!(map(json).is_none() && list(json).is_none(), "{json}");
        }
        assert!(map("[[{}]]").is_none());
        assert!(list("{\"a\":{}}").is_none());
    }

    #[test]
    fn prices_are_rounded_once() {
        let check = |rupees: f64, step: u32, expected: &str| {
            let price = Num(Some(rupees)).price(PriceStep::from_raw(step));
            assert_eq!(price.unwrap().to_string(), expected, "{rupees} at {step}");
        };
        // An option chain's own numbers: the f32 of 22952.95 and 23092.20.
        check(22_952.949_218_75, 500, "22952.95");
        check(23_092.199_218_75, 500, "23092.2");
        check(1440.05, 500, "1440.05");
        check(83.192_5, 25, "83.1925");
        check(83.192_5, 0, "83.19");
        // Above 131,072 the tick rules.
        check(160_122.98, 10_000, "160123");
        check(160_123.05, 500, "160123.05");
        check(300_000.01, 0, "300000.01");
        // Rounded to 1e-4 first, this would be a paisa more.
        check(1.004_999_96, 500, "1");
        check(-37.63, 100, "-37.63");
        for (rupees, step) in [(0.0, 500), (-0.0, 500), (0.004, 500), (2e12, 500)] {
            assert_eq!(Num(Some(rupees)).price(PriceStep::from_raw(step)), None);
        }
        let average = Num(Some(160_122.984_375)).average(PriceStep::from_raw(10_000));
        assert_eq!(average.unwrap().to_string(), "160122.98");
    }

    #[test]
    fn quantities_saturate() {
        let quantity = |n: f64| Num(Some(n)).quantity();
        assert_eq!(quantity(1.054_276_5e7), Some(10_542_765));
        assert_eq!(quantity(4_294_967_295.0), Some(u32::MAX));
        assert_eq!(quantity(4_294_967_296.0), Some(u32::MAX));
        assert_eq!(quantity(1e300), Some(u32::MAX));
        assert_eq!(quantity(0.0), Some(0));
        assert_eq!(quantity(-1.0), None);
        assert_eq!(Num(None).quantity(), None);
        assert_eq!(Num(Some(0.0)).positive(), None);
        assert_eq!(Num(Some(1e300)).total(), Some(u64::MAX));
    }

    proptest! {
        /// What the feed and an answer say of one price is one price.
        #[test]
        fn a_leaked_f32_is_rounded_as_on_the_wire(
            rupees in prop_oneof![0.01_f32..131_072.0, 131_072.0_f32..1e9],
            step in prop_oneof![Just(0_u32), Just(1), Just(25), Just(500), Just(10_000)],
        ) {
            let step = PriceStep::from_raw(step);
            let none_at_0 = |price: Option<Price>| price.filter(|&price| price != Price::ZERO);
            let number = Num(Some(f64::from(rupees)));
            prop_assert_eq!(number.price(step), none_at_0(Price::from_wire(rupees, step)));
            prop_assert_eq!(
                number.average(step),
                none_at_0(Price::from_wire_average(rupees, step))
            );
        }

        #[test]
        fn no_number_panics(bits: u64, step: u32) {
            let number = Num(Some(f64::from_bits(bits)));
            let step = PriceStep::from_raw(step);
            let _ = (number.price(step), number.average(step), number.seconds());
            let _ = (number.quantity(), number.positive(), number.total());
        }
    }
}
