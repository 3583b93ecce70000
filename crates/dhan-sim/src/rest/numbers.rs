//! Numbers as the broker's services write them.

use core::fmt::Write;

use serde_json::{Number, Value};
use strikewire_types::{Price, SCALE};

/// Without a fraction where there is none, as the quote and chain services write it.
pub(super) fn price(price: Price) -> Value {
    if price.raw() % SCALE == 0 {
        Value::from(price.raw() / SCALE)
    } else {
        number(price.as_f64())
    }
}

/// Likewise, of any number; 0 where it is not finite.
pub(super) fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return Value::from(value as i64);
    }
    Number::from_f64(value).map_or(Value::from(0), Value::Number)
}

/// Rounded to so many decimals.
pub(super) fn rounded(value: f64, decimals: i32) -> Value {
    let scale = 10_f64.powi(decimals);
    number((value * scale).round() / scale)
}

/// As the chart service writes numbers: always with a fraction, and from ten million on
/// with an exponent.
pub(super) fn float(out: &mut String, value: f64) {
    // Writing to a string does not fail.
    let _ = if value.abs() < 1e7 {
        write!(out, "{value:?}")
    } else {
        let text = format!("{value:E}");
        match text.split_once('E') {
            Some((digits, exponent)) if !digits.contains('.') => {
                write!(out, "{digits}.0E{exponent}")
            }
            _ => write!(out, "{text}"),
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_like_the_brokers() {
        // As in captured answers.
        for (value, text) in [
            (75_094.0, "75094.0"),
            (1_650.4, "1650.4"),
            (10_542_765.0, "1.0542765E7"),
            (1_726_026_300.0, "1.7260263E9"),
            (20_000_000.0, "2.0E7"),
            (0.0, "0.0"),
        ] {
            let mut out = String::new();
            float(&mut out, value);
            assert_eq!(out, text);
        }
        assert_eq!(price(Price::from_rupees(126)).to_string(), "126");
        assert_eq!(price(Price::from_raw(1_563_500)).to_string(), "156.35");
        assert_eq!(
            number(f64::from(22_952.95_f32)).to_string(),
            "22952.94921875"
        );
        assert_eq!(rounded(0.523_431_4, 5).to_string(), "0.52343");
        assert_eq!(number(f64::NAN).to_string(), "0");
    }
}
