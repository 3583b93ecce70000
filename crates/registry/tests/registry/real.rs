//! The complete master of February 2026. The counts are those measured with other
//! tools when the file was collected.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::sync::OnceLock;

use flate2::read::GzDecoder;
use strikewire_registry::{Kind, LoadOptions, Registry, SearchFilter, SkipReason};
use strikewire_types::{Exchange, Segment};

use crate::oracle;

fn real() -> Option<&'static (PathBuf, Registry)> {
    static REAL: OnceLock<Option<(PathBuf, Registry)>> = OnceLock::new();
    let load = || {
        let folder = std::env::var_os("STRIKEWIRE_REAL_DATA")?;
        let path = PathBuf::from(folder).join("api-scrip-master.compact.2026-02.csv.gz");
        let options = LoadOptions::new("2026-02-09".parse().unwrap());
        let registry = Registry::from_path(&path, &options).unwrap();
        Some((path, registry))
    };
    let real = REAL.get_or_init(load).as_ref();
    if real.is_none() {
        eprintln!("skipped: STRIKEWIRE_REAL_DATA is not set");
    }
    real
}

#[test]
fn the_counts_are_the_measured_ones() {
    let Some((_, registry)) = real() else { return };
    let report = registry.report();
    assert_eq!(report.rows, 273_027);
    assert_eq!(
        report.rows,
        report.loaded + report.skipped_total() + report.rejected
    );
    assert_eq!(report.rejected, 0, "{:?}", report.samples);
    assert_eq!(report.skipped[&SkipReason::SegmentNotInFeed], 44_642);
    assert_eq!(report.skipped[&SkipReason::TestInstrument], 41);
    assert_eq!(report.by_segment[&Segment::IdxI], 119 + 75);
    // Without the 18 and 22 test instruments.
    assert_eq!(
        report.by_segment[&Segment::NseFno],
        11_226 + 89_550 + 15 + 636 - 18
    );
    assert_eq!(
        report.by_segment[&Segment::NseEq] + report.by_segment[&Segment::BseEq],
        9_021 + 13_248 - 22
    );
    assert_eq!(
        report.by_segment[&Segment::BseFno],
        9 + 5_796 + 612 + 35_980
    );
    assert_eq!(
        report.by_segment[&Segment::McxComm],
        140 + 36_422 + 6 + 1_368
    );
    let mut underlyings = BTreeMap::new();
    for ladder in registry.ladders() {
        *underlyings
            .entry((ladder.exchange(), ladder.kind(), ladder.symbol()))
            .or_insert(0) += 1;
    }
    let count = |exchange, kind| {
        underlyings
            .keys()
            .filter(|key| (key.0, key.1) == (exchange, kind))
            .count()
    };
    assert_eq!(count(Exchange::Nse, Kind::OptionStock), 207);
    assert_eq!(count(Exchange::Nse, Kind::OptionIndex), 5);
    assert_eq!(count(Exchange::Bse, Kind::OptionStock), 205);
    assert_eq!(count(Exchange::Bse, Kind::OptionIndex), 3);
    assert_eq!(count(Exchange::Mcx, Kind::OptionCommodity), 10);
    assert_eq!(
        underlyings[&(Exchange::Nse, Kind::OptionIndex, "NIFTY")],
        18
    );
    let nifty = registry
        .ladder(Exchange::Nse, "NIFTY", "10FEB2026".parse().unwrap())
        .unwrap();
    assert_eq!((nifty.rungs().len(), nifty.lot_size()), (238, 65));
    assert!(
        registry.heap_bytes() < 48 << 20,
        "{} bytes",
        registry.heap_bytes()
    );
}

#[test]
fn ladders_are_the_files() {
    let Some((path, registry)) = real() else {
        return;
    };
    let mut master = String::new();
    GzDecoder::new(std::fs::File::open(path).unwrap())
        .read_to_string(&mut master)
        .unwrap();
    assert!(oracle::ladders_are_those_of(registry, &master) > 1_000);
}

#[test]
fn every_token_is_unique_and_found() {
    let Some((_, registry)) = real() else { return };
    oracle::tokens_are_unique_and_found(registry);
    let mut by_key: Vec<&str> = registry
        .instruments()
        .filter(|instrument| instrument.token() == instrument.key().to_string())
        .map(|instrument| instrument.symbol())
        .collect();
    by_key.sort_unstable();
    // Indices with an equity's symbol, and one symbol for two indices.
    assert_eq!(
        by_key,
        ["CAPINS", "CAPINS", "ENERGY", "METAL", "MID150", "MIDCAP"]
    );
}

#[test]
fn every_listed_chain_has_a_price_source() {
    let Some((_, registry)) = real() else { return };
    for ladder in registry.ladders() {
        let source = ladder.price_source();
        let expected = match (ladder.exchange(), ladder.kind()) {
            (Exchange::Mcx, _) => Segment::McxComm,
            (_, Kind::OptionIndex) => Segment::IdxI,
            (Exchange::Nse, Kind::OptionCurrency) => Segment::NseCurrency,
            (_, Kind::OptionCurrency) => Segment::BseCurrency,
            _ => Segment::NseEq,
        };
        assert_eq!(
            source.map(|source| source.key().segment),
            Some(expected),
            "{ladder:?}"
        );
        if ladder.exchange() == Exchange::Mcx {
            assert!(source.unwrap().expiry().unwrap() >= ladder.expiry());
        }
    }
}

#[test]
fn search_ranks_what_people_mean_first() {
    let Some((_, registry)) = real() else { return };
    for (query, expected) in [
        ("RELIANCE", "RELIANCE"),
        ("reliance industries", "RELIANCE"),
        ("nifty 10feb 25000 ce", "NIFTY_10FEB2026_25000CE"),
        ("banknifty fut", "BANKNIFTY_24FEB2026_FUT"),
        ("nifty next 50", "NIFTY NEXT 50"),
        ("bajaj-auto", "BAJAJ-AUTO"),
        ("hdfc bank", "HDFCBANK"),
    ] {
        let hits = registry.search(query, 10, SearchFilter::default());
        let tokens: Vec<String> = hits.iter().map(|hit| hit.instrument.token()).collect();
        assert_eq!(
            tokens.first().map(String::as_str),
            Some(expected),
            "{query}: {tokens:?}"
        );
    }
}
