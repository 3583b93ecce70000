//! Look-ups on the evening of an expiry.

use strikewire_registry::{ChainQuery, Expiring, Kind, LookupError, Registry};
use strikewire_types::{Exchange, Expiry};

use crate::fixture::registry;

fn expiry(text: &str) -> Expiry {
    text.parse().unwrap()
}

fn nearest(symbol: &str) -> ChainQuery<'_> {
    ChainQuery {
        symbol,
        kind: None,
        exchange: None,
        expiry: None,
    }
}

#[test]
fn the_nearest_is_one_that_still_trades() {
    let registry = registry();
    // NSE's and BSE's sessions up to 24 February are over, MCX' up to the 17th.
    let over = |it: &Expiring<'_>| match it.exchange {
        Exchange::Mcx => it.expiry <= expiry("17FEB2026"),
        _ => it.expiry <= expiry("24FEB2026"),
    };
    let now = registry.current(&over);
    let chain = |symbol| {
        let found = now.resolve_chain(&nearest(symbol)).unwrap();
        assert_eq!(found.warning, None);
        (found.ladder.exchange(), found.ladder.expiry().to_string())
    };
    assert_eq!(chain("NIFTY"), (Exchange::Nse, "02MAR2026".to_owned()));
    assert_eq!(chain("RELIANCE"), (Exchange::Nse, "30MAR2026".to_owned()));
    let future = |symbol| {
        now.resolve_future(&nearest(symbol))
            .map(|found| found.instrument.token())
    };
    assert_eq!(future("NIFTY"), Ok("NIFTY_30MAR2026_FUT".to_owned()));
    assert_eq!(future("CRUDEOIL"), Ok("CRUDEOIL_19FEB2026_FUT".to_owned()));
    // NSE has no future on RELIANCE any more, so it is BSE's.
    assert_eq!(
        future("RELIANCE"),
        Ok("BSE:RELIANCE_26FEB2026_FUT".to_owned())
    );
    // All options on crude oil have ended.
    assert_eq!(
        now.resolve_chain(&nearest("CRUDEOIL")).unwrap_err(),
        LookupError::NoOptions {
            symbol: "CRUDEOIL".to_owned()
        }
    );
    assert_eq!(now.registry().as_of(), registry.as_of());
}

#[test]
fn an_expiry_that_is_named_is_found_when_it_has_ended() {
    let registry = registry();
    let all = |_: &Expiring<'_>| true;
    let now = registry.current(&all);
    let named = ChainQuery {
        expiry: Some(expiry("10FEB2026")),
        ..nearest("NIFTY")
    };
    assert_eq!(
        now.resolve_chain(&named).unwrap().ladder.expiry(),
        expiry("10FEB2026")
    );
    for token in [
        "NIFTY_10FEB2026_26000CE",
        "NIFTY_10FEB_26000CE",
        "NSE_FNO:42005",
    ] {
        let found = now.find(token).unwrap().instrument;
        assert_eq!(found.token(), "NIFTY_10FEB2026_26000CE", "{token}");
    }
    assert_eq!(now.find("RELIANCE").unwrap().instrument.token(), "RELIANCE");
    // What could have been meant is what trades.
    let unlisted = ChainQuery {
        expiry: Some(expiry("11FEB2026")),
        ..nearest("NIFTY")
    };
    let first = |it: &Expiring<'_>| it.expiry <= expiry("10FEB2026");
    let error = registry
        .current(&first)
        .resolve_chain(&unlisted)
        .unwrap_err();
    assert_eq!(error.choices(), ["17FEB2026", "24FEB2026", "02MAR2026"]);
}

#[test]
fn of_two_years_the_one_that_trades() {
    let day = |year: &str, id: u32| {
        format!(
            "MCX,M,{id},FUTCOM,0,GOLD-05Feb{year}-FUT,1.0,GOLD FEB FUT,{year}-02-05 00:00:00,0.0,XX,100.0,M,FUTCOM,2,GOLD\n"
        )
    };
    let rows = [day("2027", 1), day("2028", 2)].concat();
    let registry: Registry = crate::fixture::registry_of(&rows);
    let find = |over: &dyn Fn(&Expiring<'_>) -> bool| {
        registry
            .current(over)
            .find("GOLD_05FEB_FUT")
            .unwrap()
            .instrument
            .token()
    };
    assert_eq!(find(&|_| false), "GOLD_05FEB2027_FUT");
    assert_eq!(
        find(&|it| it.expiry.date().year() == 2027),
        "GOLD_05FEB2028_FUT"
    );
    assert_eq!(find(&|_| true), "GOLD_05FEB2027_FUT");
}

#[test]
fn expiries_are_those_that_trade_with_the_kinds_they_had() {
    let registry = registry();
    let over = |it: &Expiring<'_>| it.expiry < expiry("24FEB2026") || it.kind.is_future();
    let now = registry.current(&over);
    let (_, listed) = registry.expiries(None, "NIFTY").unwrap();
    assert_eq!(
        now.expiries(None, "nifty").unwrap(),
        (Exchange::Nse, listed[2..].to_vec())
    );
    assert!(listed.len() == 4);
    // Neither options nor futures are left.
    assert!(matches!(
        now.expiries(None, "CRUDEOIL"),
        Err(LookupError::NoOptions { .. })
    ));
    let options = |it: &Expiring<'_>| it.kind == Kind::OptionCommodity;
    let (exchange, futures) = registry
        .current(&options)
        .expiries(None, "CRUDEOIL")
        .unwrap();
    assert_eq!((exchange, futures.len()), (Exchange::Mcx, 2));
}

#[test]
fn views_say_with_what_they_expire() {
    let registry = registry();
    let option = registry
        .find("RELIANCE_24FEB2026_1440CE")
        .unwrap()
        .instrument;
    let expected = Expiring {
        exchange: Exchange::Nse,
        kind: Kind::OptionStock,
        symbol: "RELIANCE",
        expiry: expiry("24FEB2026"),
    };
    assert_eq!(option.expiring(), Some(expected));
    let ladder = registry
        .ladder(Exchange::Nse, "RELIANCE", expected.expiry)
        .unwrap();
    assert_eq!(ladder.expiring(), expected);
    assert_eq!(
        registry.find("RELIANCE").unwrap().instrument.expiring(),
        None
    );
}
