//! The same on the real master of February 2026, where `STRIKEWIRE_REAL_DATA` names the
//! folder it lies in.

use std::path::Path;

use serde_json::json;

use crate::program::json;

const DAY: [&str; 2] = ["--as-of", "2026-02-09"];

fn master() -> Option<String> {
    let Some(folder) = std::env::var_os("STRIKEWIRE_REAL_DATA") else {
        eprintln!("skipped: STRIKEWIRE_REAL_DATA is not set");
        return None;
    };
    let path = Path::new(&folder).join("api-scrip-master.compact.2026-02.csv.gz");
    Some(path.to_str().unwrap().to_owned())
}

#[test]
fn every_row_is_accounted_for() {
    let Some(file) = master() else { return };
    let stats = json(&[&["instruments", "stats", &file], &DAY[..]].concat());
    let n = |key: &str| stats[key].as_u64().unwrap();
    let skipped = stats["skipped"].as_object().unwrap();
    let all_skipped: u64 = skipped.values().map(|n| n.as_u64().unwrap()).sum();
    // Counted with grep and wc.
    assert_eq!(n("rows"), 273_027);
    assert_eq!(n("rejected"), 0);
    assert_eq!(n("rows"), n("loaded") + all_skipped);
    assert_eq!(skipped["segment_not_in_feed"], 44_642);
    assert_eq!(skipped["test_instrument"], 41);
    assert_eq!(stats["by_segment"]["IDX_I"], 119 + 75);
    let by_segment = stats["by_segment"].as_object().unwrap().values();
    assert_eq!(
        by_segment.map(|n| n.as_u64().unwrap()).sum::<u64>(),
        n("loaded")
    );
}

#[test]
fn contracts_are_found() {
    let Some(file) = master() else { return };
    let call = json(
        &[
            &["instruments", "find", &file, "RELIANCE_24FEB2026_1440CE"],
            &DAY[..],
        ]
        .concat(),
    );
    // NSE,D,131527,OPTSTK,0,RELIANCE-Feb2026-1440-CE,500.0,...
    assert_eq!(
        (&call["segment"], &call["security_id"]),
        (&json!("NSE_FNO"), &json!(131_527))
    );
    assert_eq!(
        (&call["lot_size"], &call["underlying"]),
        (&json!(500), &json!("NSE_EQ:2885"))
    );
}

#[test]
fn chains_lie_around_the_money() {
    let Some(file) = master() else { return };
    let chain = |symbol: &str, expiry: &str, ltp: &str| {
        json(&[&["chain", &file, symbol, expiry, "--ltp", ltp], &DAY[..]].concat())
    };
    let reliance = chain("RELIANCE", "24FEB2026", "1441.5");
    let around: Vec<f64> = (1320..=1560).step_by(10).map(f64::from).collect();
    assert_eq!(reliance["strikes"], json!(around));
    assert_eq!(
        (&reliance["atm_strike"], &reliance["strike_step"]),
        (&json!(1440.0), &json!(10.0))
    );
    assert_eq!(
        reliance["strikes_ce_pe"]["1440"]["CE"],
        "RELIANCE_24FEB2026_1440CE"
    );

    let nifty = chain("NIFTY", "10FEB2026", "25867.3");
    let around: Vec<f64> = (25_850 - 2_500..=25_850 + 2_500)
        .step_by(50)
        .map(f64::from)
        .collect();
    assert_eq!(nifty["strikes"], json!(around));
    assert_eq!(nifty["strikes"].as_array().unwrap().len(), 101);
    assert_eq!(
        (&nifty["atm_strike"], &nifty["strike_step"]),
        (&json!(25_850.0), &json!(50.0))
    );
}

#[test]
fn the_defaults_take_what_the_specification_counts() {
    let Some(file) = master() else { return };
    let plan = json(&[&["plan", "--instruments", &file], &DAY[..]].concat());
    assert_eq!(plan["index_options"], 6_768);
    assert_eq!(plan["commodity_options"], 804);
    assert_eq!(plan["futures"], 27);
    assert_eq!(plan["other_options"], 0);
    for nothing in ["does_not_fit", "not_listed"] {
        assert_eq!(plan[nothing], json!([]), "{nothing}");
    }
}
