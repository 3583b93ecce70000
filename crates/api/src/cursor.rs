//! Where a page of a long answer ended. The text is opaque, so that nobody builds on what
//! is in it.

use core::fmt::Write;

/// The cursor that stands for `place`.
pub(crate) fn encode(place: &str) -> String {
    place
        .bytes()
        .fold(String::with_capacity(2 * place.len()), |mut text, byte| {
            // A string takes everything.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The place that a cursor stands for; none for what is no cursor.
pub(crate) fn decode(cursor: &str) -> Option<String> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = cursor.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let bytes = pairs
        .iter()
        .map(|&[high, low]| Some(16 * digit(high)? + digit(low)?))
        .collect::<Option<Vec<u8>>>()?;
    String::from_utf8(bytes)
        .ok()
        .filter(|place| !place.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_cursor_is_refused() {
        assert_eq!(encode("M&M"), "4d264d");
        for text in ["", "4", "4D", "4d2", "+4", "4é", "ff", "NIFTY"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_cursor_is_read_back(place in ".+") {
            prop_assert_eq!(decode(&encode(&place)), Some(place));
        }

        #[test]
        fn no_text_panics(text in ".*", digits in "[0-9a-f]*") {
            for text in [text, digits] {
                if let Some(place) = decode(&text) {
                    prop_assert_eq!(encode(&place), text);
                }
            }
        }
    }
}
