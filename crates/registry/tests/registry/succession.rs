//! From one master to the next. What is expected is written out by hand here; in
//! `diff` it is computed from the rows by plain maps.

use std::collections::BTreeSet;

use strikewire_registry::{Instrument, Ladder, LoadOptions, Registry, Succession};
use strikewire_types::{Exchange, InstrumentKey, Segment};

use crate::fixture::{Chain, HEADER, chain};

const BOTH: &[&str] = &["CE", "PE"];
const NIFTY: Chain = Chain {
    exchange: "NSE",
    segment: "D",
    instrument: "OPTIDX",
    symbol: "NIFTY",
    expiry: "10FEB2026",
    with_day: false,
    lot: "65.0",
    first_id: 100,
};
const STRIKES: &[(&str, &[&str])] = &[("25900", BOTH), ("25950", BOTH), ("26000", BOTH)];

fn load(as_of: &str, rows: &[&str]) -> Registry {
    let options = LoadOptions {
        max_rejected_share: 1.0,
        ..LoadOptions::new(as_of.parse().unwrap())
    };
    let master = format!("{HEADER}\n{}", rows.concat());
    Registry::from_reader(master.as_bytes(), &options).unwrap()
}

fn options(expiry: &'static str, first_id: u32) -> String {
    let like = Chain {
        expiry,
        first_id,
        ..NIFTY
    };
    chain(like, STRIKES)
}

/// What became of a token: `=` and the id, `>` with the expiry and the id, or nothing.
fn fate(old: &Registry, new: &Registry, reference: &str) -> String {
    let before = old.find(reference).unwrap().instrument;
    match new.successor(before) {
        Succession::Same(now) => format!("={}", now.key()),
        Succession::Moved { to, from, expiry } => {
            assert_eq!((Some(from), Some(expiry)), (before.expiry(), to.expiry()));
            format!(">{expiry} {}", to.key())
        }
        Succession::Gone => String::new(),
    }
}

fn ladder<'r>(registry: &'r Registry, expiry: &str) -> Ladder<'r> {
    let expiry = expiry.parse().unwrap();
    registry.ladder(Exchange::Nse, "NIFTY", expiry).unwrap()
}

fn repointed(old: &Registry, new: &Registry) -> BTreeSet<InstrumentKey> {
    new.repointed(old).collect()
}

const CASH: &str = "\
NSE,I,13,INDEX,0,NIFTY,1.0,Nifty 50,0001-01-01,,XX,0.0500,,INDEX,X,NIFTY
NSE,E,2885,EQUITY,0,RELIANCE,1.0,Reliance Industries,,,,10.0000,NA,ES,EQ,RELIANCE INDUSTRIES LTD
NSE,E,2886,EQUITY,0,RELIANCE,1.0,Reliance 9%,,,,10.0000,NA,DEB,D1,RELIANCE INDUSTRIES LTD
BSE,I,99,INDEX,0,CAPINS,1.0,BSE Capital Markets,0001-01-01,,XX,0.0100,,INDEX,X,CAPINS
BSE,I,846,INDEX,0,CAPINS,1.0,BSE Capital Goods,0001-01-01,,XX,0.0500,,INDEX,X,CAPINS
";

#[test]
fn contracts_are_followed_whatever_their_ids() {
    let old = load(
        "2026-02-09",
        &[CASH, &options("10FEB2026", 100), &options("17FEB2026", 200)],
    );
    // The ids of the two expiries are exchanged, the share and the bond too.
    let cash = CASH
        .replace("E,2885", "E,swap")
        .replace("E,2886", "E,2885")
        .replace("E,swap", "E,2886");
    let new = load(
        "2026-02-10",
        &[
            &cash,
            &options("10FEB2026", 200),
            &options("17FEB2026", 100),
        ],
    );
    for (token, expected) in [
        ("NIFTY", "=IDX_I:13"),
        ("RELIANCE", "=NSE_EQ:2886"),
        ("RELIANCE-D1", "=NSE_EQ:2885"),
        ("NIFTY_10FEB2026_25900CE", "=NSE_FNO:200"),
        ("NIFTY_10FEB2026_26000PE", "=NSE_FNO:205"),
        ("NIFTY_17FEB2026_25950CE", "=NSE_FNO:102"),
        ("IDX_I:99", "=IDX_I:99"),
    ] {
        assert_eq!(fate(&old, &new, token), expected, "{token}");
    }
    let nifty = new.successor_ladder(ladder(&old, "10FEB2026"));
    let Succession::Same(now) = nifty else {
        panic!("{nifty:?}")
    };
    assert_eq!(now.id(), ladder(&new, "10FEB2026").id());
    let mut expected: BTreeSet<InstrumentKey> = (100..106)
        .chain(200..206)
        .map(|id| InstrumentKey::new(Segment::NseFno, id))
        .collect();
    expected.extend([2885, 2886].map(|id| InstrumentKey::new(Segment::NseEq, id)));
    assert_eq!(repointed(&old, &new), expected);
    assert!(repointed(&old, &old).is_empty());
}

#[test]
fn what_expired_is_gone_although_its_ids_are_used_for_the_next_week() {
    let old = load("2026-02-10", &[&options("10FEB2026", 100)]);
    let new = load("2026-02-11", &[&options("17FEB2026", 100)]);
    assert_eq!(fate(&old, &new, "NIFTY_10FEB2026_25900CE"), "");
    let nifty = new.successor_ladder(ladder(&old, "10FEB2026"));
    assert!(matches!(nifty, Succession::Gone), "{nifty:?}");
    assert_eq!(repointed(&old, &new).len(), 6);
}

#[test]
fn an_expiry_that_was_moved_is_followed() {
    let future = |day: &str| {
        format!(
            "NSE,D,90,FUTIDX,0,NIFTY-Mar2026-FUT,65.0,NIFTY MAR FUT,2026-03-{day} 14:30:00,-0.01,XX,10.0,M,FUT,,\n"
        )
    };
    let old = load(
        "2026-02-09",
        &[CASH, &future("31"), &options("31MAR2026", 100)],
    );
    // One contract of the six has another id and one is listed no more.
    let moved = options("30MAR2026", 100)
        .replace("NSE,D,102,", "NSE,D,300,")
        .lines()
        .filter(|row| !row.starts_with("NSE,D,105,"))
        .map(|row| format!("{row}\n"))
        .collect::<String>();
    let new = load("2026-03-30", &[CASH, &future("30"), &moved]);
    for (token, expected) in [
        ("NIFTY_31MAR2026_FUT", ">30MAR2026 NSE_FNO:90"),
        ("NIFTY_31MAR2026_25900CE", ">30MAR2026 NSE_FNO:100"),
        ("NIFTY_31MAR2026_25950CE", ">30MAR2026 NSE_FNO:300"),
        ("NIFTY_31MAR2026_26000PE", ""),
    ] {
        assert_eq!(fate(&old, &new, token), expected, "{token}");
    }
    let nifty = new.successor_ladder(ladder(&old, "31MAR2026"));
    let Succession::Moved { to, from, expiry } = nifty else {
        panic!("{nifty:?}")
    };
    assert_eq!(to.id(), ladder(&new, "30MAR2026").id());
    assert_eq!(
        (from, expiry),
        (ladder(&old, "31MAR2026").expiry(), to.expiry())
    );
    assert!(repointed(&old, &new).is_empty());
    // A day later the old expiry has passed: nothing can have been moved.
    let late = load(
        "2026-04-01",
        &[
            CASH,
            &future("30")
                .replace("Mar", "Apr")
                .replace("-03-30", "-04-30"),
        ],
    );
    assert_eq!(fate(&old, &late, "NIFTY_31MAR2026_FUT"), "");
}

#[test]
fn a_few_ids_of_another_expiry_move_no_ladder() {
    let old = load("2026-02-09", &[&options("17FEB2026", 100)]);
    let april = options("28APR2026", 100);
    let three: Vec<String> = april
        .lines()
        .take(3)
        .map(|row| format!("{row}\n"))
        .collect();
    let new = load("2026-02-10", &[&three.concat()]);
    assert_eq!(fate(&old, &new, "NIFTY_17FEB2026_25900CE"), "");
    assert!(matches!(
        new.successor_ladder(ladder(&old, "17FEB2026")),
        Succession::Gone
    ));
    assert_eq!(repointed(&old, &new).len(), 3);
    // Four of six are more than half.
    let four: Vec<String> = april
        .lines()
        .take(4)
        .map(|row| format!("{row}\n"))
        .collect();
    let new = load("2026-02-10", &[&four.concat()]);
    assert_eq!(
        fate(&old, &new, "NIFTY_17FEB2026_25900CE"),
        ">28APR2026 NSE_FNO:100"
    );
    // Unless the old expiry is still listed, however little of it.
    let stays = options("17FEB2026", 500);
    let one = stays.lines().last().unwrap().to_owned() + "\n";
    let new = load("2026-02-10", &[&four.concat(), &one]);
    assert_eq!(fate(&old, &new, "NIFTY_17FEB2026_25900CE"), "");
    assert_eq!(fate(&old, &new, "NIFTY_17FEB2026_26000PE"), "=NSE_FNO:505");
}

#[test]
fn an_index_does_not_become_its_namesake() {
    let old = load("2026-02-09", &[CASH]);
    let one = |id: &str| {
        let rows = CASH.lines().filter(|row| !row.starts_with(id));
        load(
            "2026-02-10",
            &[&rows.map(|row| format!("{row}\n")).collect::<String>()],
        )
    };
    assert_eq!(fate(&old, &one("BSE,I,99,"), "IDX_I:99"), "");
    assert_eq!(fate(&old, &one("BSE,I,99,"), "IDX_I:846"), "=IDX_I:846");
    assert_eq!(fate(&old, &one("BSE,I,846,"), "IDX_I:846"), "");
    // A symbol in another case is the same; another symbol is another thing.
    let lower = load("2026-02-10", &[&CASH.replace(",NIFTY,", ",Nifty,")]);
    assert_eq!(fate(&old, &lower, "NIFTY"), "=IDX_I:13");
    let renamed = load("2026-02-10", &[&CASH.replace(",RELIANCE,", ",JIO,")]);
    assert_eq!(fate(&old, &renamed, "RELIANCE"), "");
    assert_eq!(repointed(&old, &renamed).len(), 2);
}

#[test]
fn one_contract_under_two_ids_stays_under_both() {
    let twice = [options("17FEB2026", 100), options("17FEB2026", 200)].concat();
    let old = load("2026-02-09", &[&twice]);
    for id in ["NSE_FNO:100", "NSE_FNO:200"] {
        assert_eq!(fate(&old, &old, id), format!("={id}"));
    }
    let new = load("2026-02-10", &[&options("17FEB2026", 100)]);
    assert_eq!(fate(&old, &new, "NSE_FNO:203"), "=NSE_FNO:103");
    let same = |a: Instrument<'_>, b: &str| a.is_same_contract(&new.find(b).unwrap().instrument);
    assert!(same(
        old.find("NSE_FNO:203").unwrap().instrument,
        "NSE_FNO:103"
    ));
    assert!(!same(
        old.find("NSE_FNO:203").unwrap().instrument,
        "NSE_FNO:104"
    ));
}
