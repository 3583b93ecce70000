//! Prices from a file: a JSON object of instruments and rupees.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde_json::{Map, Value};
use strikewire_registry::Registry;
use strikewire_types::{InstrumentKey, Price};

pub(crate) fn load(
    file: &Path,
    registry: &Registry,
) -> anyhow::Result<HashMap<InstrumentKey, Price>> {
    let context = || format!("cannot use the prices of {}", file.display());
    let text = fs::read_to_string(file).with_context(context)?;
    read(&text, registry).with_context(context)
}

fn read(text: &str, registry: &Registry) -> anyhow::Result<HashMap<InstrumentKey, Price>> {
    let entries: Map<String, Value> =
        serde_json::from_str(text).context("not a JSON object of instruments and rupees")?;
    let mut prices = HashMap::with_capacity(entries.len());
    for (reference, rupees) in entries {
        let instrument = registry.find(&reference)?.instrument;
        let kind = instrument.kind();
        if kind.is_option() || (kind.is_derivative() && instrument.underlying().is_some()) {
            bail!("{reference} is {kind}, whose price follows its underlying's; give that one's");
        }
        let price = rupees.as_f64().and_then(Price::from_f64);
        let Some(price) = price.filter(|price| *price > Price::ZERO) else {
            bail!("the price {rupees} of {reference} is not a number above 0");
        };
        ensure!(
            prices.insert(instrument.key(), price).is_none(),
            "{reference} has a price already, under another name"
        );
    }
    Ok(prices)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use strikewire_registry::LoadOptions;
    use strikewire_types::Segment;

    use super::*;

    const MASTER: &str = "\
SEM_EXM_EXCH_ID,SEM_SEGMENT,SEM_SMST_SECURITY_ID,SEM_INSTRUMENT_NAME,SEM_EXPIRY_CODE,SEM_TRADING_SYMBOL,SEM_LOT_UNITS,SEM_CUSTOM_SYMBOL,SEM_EXPIRY_DATE,SEM_STRIKE_PRICE,SEM_OPTION_TYPE,SEM_TICK_SIZE,SEM_EXPIRY_FLAG,SEM_EXCH_INSTRUMENT_TYPE,SEM_SERIES,SM_SYMBOL_NAME
NSE,I,13,INDEX,0,NIFTY,1.0,Nifty 50,0001-01-01,,XX,0.0500,,INDEX,X,NIFTY
NSE,D,51714,FUTIDX,0,NIFTY-Mar2026-FUT,65.0,NIFTY MAR FUT,2026-03-30 14:30:00,-0.01000,XX,10.0000,M,FUT,,
MCX,M,454818,FUTCOM,0,GOLD-02Apr2026-FUT,1.0,GOLD APR FUT,2026-04-02 00:00:00,0.00000,XX,100.0000,M,FUTCOM,2,GOLD
";

    fn registry() -> Registry {
        let options = LoadOptions::new("2026-02-09".parse().unwrap());
        Registry::from_reader(MASTER.as_bytes(), &options).unwrap()
    }

    #[test]
    fn prices_are_by_any_reference() {
        let read = read(
            r#"{"nifty": 25867.3, "GOLD_02APR_FUT": 155000}"#,
            &registry(),
        )
        .unwrap();
        let expected = HashMap::from([
            (
                InstrumentKey::new(Segment::IdxI, 13),
                Price::from_raw(258_673_000),
            ),
            (
                InstrumentKey::new(Segment::McxComm, 454_818),
                Price::from_rupees(155_000),
            ),
        ]);
        assert_eq!(read, expected);
    }

    #[test]
    fn prices_that_mean_nothing_are_refused() {
        for (text, named) in [
            (r#"{"NIFTYY": 1}"#, "NIFTYY"),
            (r#"{"NIFTY": 0}"#, "price 0 of NIFTY"),
            (r#"{"NIFTY": -1.5}"#, "price -1.5 of NIFTY"),
            (r#"{"NIFTY": "26000"}"#, "price \"26000\" of NIFTY"),
            (r#"{"NIFTY": null}"#, "price null of NIFTY"),
            (r#"{"IDX_I:13": 26000, "NIFTY": 26001}"#, "NIFTY has"),
            (
                r#"{"NIFTY_30MAR2026_FUT": 26000}"#,
                "follows its underlying",
            ),
            ("[26000]", "JSON object"),
            ("NIFTY,26000", "JSON object"),
        ] {
            let error = format!("{:#}", read(text, &registry()).unwrap_err());
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*", name in ".*", price in any::<f64>()) {
            let registry = registry();
            let _ = read(&text, &registry);
            for name in [&name, "NIFTY"] {
                let text = serde_json::json!({ name: price }).to_string();
                if let Err(error) = read(&text, &registry) {
                    prop_assert!(name != "NIFTY" || error.to_string().contains(name));
                }
            }
        }
    }
}
