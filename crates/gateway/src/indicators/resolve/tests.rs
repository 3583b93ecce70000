use std::sync::Arc;

use proptest::prelude::*;
use strikewire_registry::{LoadOptions, Registry};
use strikewire_types::{Mono, Now};

use super::*;

const MASTER: &str = "\
SEM_EXM_EXCH_ID,SEM_SEGMENT,SEM_SMST_SECURITY_ID,SEM_INSTRUMENT_NAME,SEM_EXPIRY_CODE,SEM_TRADING_SYMBOL,SEM_LOT_UNITS,SEM_CUSTOM_SYMBOL,SEM_EXPIRY_DATE,SEM_STRIKE_PRICE,SEM_OPTION_TYPE,SEM_TICK_SIZE,SEM_EXPIRY_FLAG,SEM_EXCH_INSTRUMENT_TYPE,SEM_SERIES,SM_SYMBOL_NAME
NSE,I,13,INDEX,0,NIFTY,1.0,Nifty 50,0001-01-01,,XX,0.0500,,INDEX,X,NIFTY
NSE,D,59182,FUTIDX,0,NIFTY-Feb2026-FUT,65.0,NIFTY FEB FUT,2026-02-24 14:30:00,-0.01000,XX,10.0000,M,FUT,,
NSE,E,2885,EQUITY,0,RELIANCE,1.0,Reliance Industries,,,,10.0000,NA,ES,EQ,RELIANCE INDUSTRIES LTD
BSE,E,500325,EQUITY,0,RELIANCE,1.0,Reliance Industries,,,,5.0000,NA,ES,A,RELIANCE INDUSTRIES LTD.
NSE,D,52301,OPTSTK,0,RELIANCE-Feb2026-1440-CE,500.0,RELIANCE 24 FEB 1440 CALL,2026-02-24 14:30:00,1440.00000,CE,5.0000,M,OP,,
MCX,M,467013,FUTCOM,0,CRUDEOIL-19Feb2026-FUT,1.0,CRUDEOIL FEB FUT,2026-02-19 00:00:00,0.00000,XX,100.0000,M,FUTCOM,2,CRUDEOIL
MCX,M,472789,FUTCOM,0,CRUDEOIL-19Mar2026-FUT,1.0,CRUDEOIL MAR FUT,2026-03-19 00:00:00,0.00000,XX,100.0000,M,FUTCOM,2,CRUDEOIL
";

/// Resolves `SYMBOL TIMEFRAME INDICATOR` at a time of India.
fn resolve(text: &str, at: &str) -> Result<ComputeSpec, Error> {
    let options = LoadOptions::new("2026-02-09".parse().unwrap());
    let registry = Arc::new(Registry::from_reader(MASTER.as_bytes(), &options).unwrap());
    let master = Master::new(7, registry);
    let utc = at.parse::<jiff::Timestamp>().unwrap();
    let nanos = i64::try_from(utc.as_nanosecond()).unwrap();
    let resolver = Resolver {
        master: &master,
        calendar: &Calendar::builtin(),
        now: Now {
            mono: Mono::default(),
            utc: strikewire_types::Utc::from_nanos(nanos),
        },
    };
    let mut words = text.rsplitn(3, ' ');
    let indicator = words.next().unwrap_or_default().to_owned();
    let timeframe = words.next().unwrap_or_default().to_owned();
    let symbol = words.next().unwrap_or_default().to_owned();
    let want = IndicatorWant {
        symbol,
        timeframe,
        indicator,
    };
    resolver.current_spec(3, &want)
}

const MONDAY: &str = "2026-02-09T10:00:00+05:30";

#[test]
fn names_lead_to_one_instrument_and_one_key() {
    for (asked, key, instrument) in [
        (
            "NIFTY 5min RSI_14",
            "indicator_sub:NIFTY:5min:RSI_14",
            "IDX_I:13",
        ),
        // An index or equity before its futures; an alias; a key of the broker's.
        (
            "nifty 50 60min rsi",
            "indicator_sub:NIFTY:1h:RSI_14",
            "IDX_I:13",
        ),
        (
            "IDX_I:13 1day Rsi_14",
            "indicator_sub:NIFTY:1d:RSI_14",
            "IDX_I:13",
        ),
        (
            "reliance 1min SMA_20",
            "indicator_sub:RELIANCE:1min:SMA_20",
            "NSE_EQ:2885",
        ),
        (
            "BSE:RELIANCE 1min SMA_20",
            "indicator_sub:BSE%3ARELIANCE:1min:SMA_20",
            "BSE_EQ:500325",
        ),
        (
            "reliance_24feb_1440ce 15min RSI_14",
            "indicator_sub:RELIANCE_24FEB2026_1440CE:15min:RSI_14",
            "NSE_FNO:52301",
        ),
        (
            "NIFTY_24FEB2026_FUT 15min RSI_14",
            "indicator_sub:NIFTY_24FEB2026_FUT:15min:RSI_14",
            "NSE_FNO:59182",
        ),
        // Only futures: the front one.
        (
            "crudeoil 5min RSI_14",
            "indicator_sub:CRUDEOIL_19FEB2026_FUT:5min:RSI_14",
            "MCX_COMM:467013",
        ),
        (
            "mcx:CRUDEOIL 5min RSI_14",
            "indicator_sub:CRUDEOIL_19FEB2026_FUT:5min:RSI_14",
            "MCX_COMM:467013",
        ),
    ] {
        let spec = resolve(asked, MONDAY).expect(asked);
        assert_eq!(spec.key.lease_key(), key);
        assert_eq!(spec.instrument.to_string(), instrument, "{asked}");
        assert_eq!(spec.master, 7);
    }
}

#[test]
fn the_front_future_is_one_that_is_traded() {
    let evening = "2026-02-19T23:56:00+05:30";
    let spec = resolve("CRUDEOIL 5min RSI_14", evening).unwrap();
    assert_eq!(spec.key.symbol(), "CRUDEOIL_19MAR2026_FUT");
    let error = resolve("CRUDEOIL_19FEB2026_FUT 5min RSI_14", evening).unwrap_err();
    assert!(matches!(error, Error::ExpiryEnded { symbol, .. } if symbol == "CRUDEOIL"));
}

#[test]
fn what_an_instrument_lacks_cannot_be_computed_of_it() {
    for asked in [
        "NIFTY 5min OBV",
        "NIFTY 5min VWAP",
        "RELIANCE 5min OICHANGE",
    ] {
        match resolve(asked, MONDAY) {
            Err(Error::IndicatorParameter { at: 3, reason, .. }) => {
                assert!(reason.contains("has none"), "{reason}");
            }
            other => panic!("{asked}: {other:?}"),
        }
    }
    assert!(resolve("NIFTY_24FEB2026_FUT 5min OBV", MONDAY).is_ok());
    assert!(resolve("NIFTY_24FEB2026_FUT 5min OICHANGE", MONDAY).is_ok());
}

#[test]
fn what_is_unknown_is_said_with_what_could_have_been_meant() {
    let refused = |text: &str| resolve(text, MONDAY).unwrap_err();
    assert!(
        matches!(refused("NIFTI 5min RSI_14"), Error::Lookup(error) if !error.choices().is_empty())
    );
    assert!(matches!(
        refused("BSE:CRUDEOIL 5min RSI_14"),
        Error::Lookup(_)
    ));
    assert!(matches!(
        refused("XYZ:CRUDEOIL 5min RSI_14"),
        Error::Lookup(_)
    ));
    let unknown = refused("NIFTY 7weeks RSI_14");
    assert!(matches!(unknown, Error::UnknownTimeframe { at: 3, .. }));
    assert!(unknown.to_string().contains("expected 1min"), "{unknown}");
    assert!(matches!(
        refused("NIFTY 5min RZI"),
        Error::UnknownIndicator { at: 3, text, choices } if text == "RZI" && !choices.is_empty()
    ));
    assert!(matches!(
        refused("NIFTY 5min RSI_99999"),
        Error::IndicatorParameter { .. }
    ));
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,40}") {
        let _ = resolve(&text, MONDAY);
        let _ = resolve(&format!("{text} 5min RSI_14"), MONDAY);
        let _ = resolve(&format!("NIFTY {text} {text}"), MONDAY);
    }
}
