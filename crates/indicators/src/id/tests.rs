use proptest::prelude::*;

use super::*;
use crate::{Output, catalog};

fn parsed(text: &str) -> IndicatorId {
    text.parse().expect(text)
}

#[test]
fn spellings_are_one() {
    for (text, shown) in [
        ("RSI_14", "RSI_14"),
        ("rsi_14", "RSI_14"),
        ("rsi", "RSI_14"),
        ("Rsi_9", "RSI_9"),
        ("MACD", "MACD_12_26_9"),
        ("macd_5", "MACD_5_26_9"),
        ("MACD_12_26_9_tv", "MACD_12_26_9_TV"),
        ("macd_TV", "MACD_12_26_9_TV"),
        ("BB", "BB_20_2"),
        ("bb_20_2.0", "BB_20_2"),
        ("BB_20_2.50", "BB_20_2.5"),
        ("BB_20_0.001", "BB_20_0.001"),
        ("atr_14_TV", "ATR_14_TV"),
        ("stochrsi", "STOCHRSI_14_14_3_3"),
    ] {
        let id = parsed(text);
        assert_eq!(id.to_string(), shown);
        assert_eq!(parsed(shown), id);
    }
    assert_ne!(parsed("ATR_14"), parsed("ATR_14_TV"));
    assert_ne!(parsed("RSI_14"), parsed("RSI_15"));
}

#[test]
fn errors_say_what_would_have_been_accepted() {
    for (text, message) in [
        (
            "RSI_1",
            r#"period "1" of indicator RSI; expected a whole number from 2 to 1000"#,
        ),
        (
            "RSI_1001",
            r#"period "1001" of indicator RSI; expected a whole number from 2 to 1000"#,
        ),
        (
            "rsi_014",
            r#"period "014" of indicator RSI; expected a whole number from 2 to 1000"#,
        ),
        (
            "rsi_",
            r#"period "" of indicator RSI; expected a whole number from 2 to 1000"#,
        ),
        (
            "RSI_14.0",
            r#"period "14.0" of indicator RSI; expected a whole number from 2 to 1000"#,
        ),
        (
            "BB_20_2.0001",
            r#"deviations "2.0001" of indicator BB; expected a number from 0.001 to 50 with at most 3 digits after the point"#,
        ),
        (
            "RSI_14_3",
            "2 parameters of indicator RSI; expected 1 at most, as in RSI_14",
        ),
        (
            "RSI_14_TV",
            "option TV of indicator RSI, which has one convention only; expected none",
        ),
        (
            "MACD_26_12_9",
            "indicator MACD: fast 26; expected less than slow, which is 12",
        ),
        (
            "STOCKS_3",
            r#"there is no indicator "STOCKS"; there are STOCH, STOCHRSI"#,
        ),
    ] {
        let error = text.parse::<IndicatorId>().expect_err(text);
        assert_eq!(error.to_string(), message);
    }
    for text in [
        "",
        "_",
        "RSI14",
        " RSI_14",
        "RSI_14 ",
        "RSI__14",
        "RSI_+14",
        "RSI_-14",
        "RSI_1e1",
        "TV",
        "BB_20_.5",
        "BB_20_2.",
        "BB_20_2..5",
        "RSI_14_TV_TV",
        "RSI_TV_14",
        "ＲＳＩ_14",
        "RSI_１４",
    ] {
        assert!(text.parse::<IndicatorId>().is_err(), "{text}");
    }
    let long = format!("RSI_{}", "1".repeat(100_000));
    let error = long.parse::<IndicatorId>().expect_err("too long");
    assert!(error.to_string().len() < 600);
}

#[test]
fn every_indicator_is_in_the_catalogue_once() {
    let names: Vec<_> = catalog().iter().map(|entry| entry.name).collect();
    assert!(names.is_sorted_by(|one, next| one < next), "{names:?}");
    for entry in catalog() {
        let id = parsed(entry.name);
        assert_eq!(id.to_string(), entry.example);
        assert_eq!(parsed(&entry.example), id);
        assert!(entry.name.bytes().all(|byte| byte.is_ascii_uppercase()));
        assert!(entry.parameters.len() <= MOST_PARAMETERS);
        assert!((1..=Output::MOST).contains(&entry.outputs.len()));
        assert_eq!(entry.outputs.len() == 1, entry.outputs == ["value"]);
        assert!(entry.first_value >= 1);
        assert!(entry.warm_up >= entry.first_value, "{}", entry.name);
        for parameter in entry.parameters {
            assert!((parameter.least..=parameter.most).contains(&parameter.default));
        }
        let other = format!("{}_TV", entry.name).parse::<IndicatorId>();
        assert_eq!(other.is_ok(), entry.trading_view);
    }
}

/// A thousand of them are held for as many instruments.
#[test]
fn a_study_is_small() {
    assert_eq!(size_of::<crate::AnyStudy>(), 48);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,80}|[A-Za-z]{1,8}(_[0-9.]{0,7}){0,5}(_TV)?") {
        if let Ok(id) = text.parse::<IndicatorId>() {
            let shown = id.to_string();
            prop_assert_eq!(shown.parse::<IndicatorId>().expect("canonical"), id);
            prop_assert!(shown.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.')));
        }
    }

    #[test]
    fn what_is_within_the_limits_is_taken(
        entry in prop::sample::select(catalog()),
        shares in prop::array::uniform4(0.0..=1.0),
    ) {
        let mut text = entry.name.to_owned();
        for (parameter, share) in entry.parameters.iter().zip(shares) {
            let number = parameter.least + share * (parameter.most - parameter.least);
            let decimals = usize::from(parameter.decimals);
            text += &format!("_{number:.decimals$}");
        }
        match text.parse::<IndicatorId>() {
            Ok(id) => {
                prop_assert!(id.build().value().is_none());
                prop_assert!(id.warm_up() >= id.first_value());
            }
            // Each number is right, but they may not go together.
            Err(error) => prop_assert!(matches!(error, Error::Study { .. }), "{}", error),
        }
    }
}
