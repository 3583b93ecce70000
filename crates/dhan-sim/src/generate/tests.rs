use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::civil::{Date, Weekday};
use strikewire_registry::{Kind, LoadOptions, Registry, SkipReason};
use strikewire_types::{Exchange, InstrumentKey, Segment};

use super::*;

fn master(rows: usize, as_of: &str, seed: u64) -> (String, Summary) {
    let as_of = as_of.parse().unwrap();
    let mut bytes = Vec::new();
    let summary = generate(&Spec { as_of, rows, seed }, &mut bytes).unwrap();
    (String::from_utf8(bytes).unwrap(), summary)
}

fn load(text: &str, as_of: &str) -> Registry {
    Registry::from_reader(text.as_bytes(), &LoadOptions::new(as_of.parse().unwrap())).unwrap()
}

#[test]
fn the_same_specification_gives_the_same_bytes() {
    let (first, _) = master(5_000, "2026-02-09", 1);
    assert!(first == master(5_000, "2026-02-09", 1).0);
    assert!(first != master(5_000, "2026-02-09", 2).0);
    assert!(first != master(5_000, "2026-02-11", 1).0);
}

#[test]
fn what_cannot_be_made_is_refused() {
    let as_of = "2026-02-09".parse().unwrap();
    for rows in [0, 1_999, 400_001, usize::MAX] {
        let error = generate(
            &Spec {
                as_of,
                rows,
                seed: 1,
            },
            &mut Vec::new(),
        )
        .unwrap_err();
        assert!(matches!(error, Error::Rows { .. }), "{error}");
    }
    for year in [-9999, 1999, 2101, 9999] {
        let as_of = Date::new(year, 12, 31).unwrap();
        let error = generate(&Spec::new(as_of), &mut Vec::new()).unwrap_err();
        assert!(matches!(error, Error::Date { .. }), "{error}");
    }
}

/// Everything that holds whatever the size and day.
fn check(rows: usize, as_of: &str, seed: u64) -> Registry {
    let (text, summary) = master(rows, as_of, seed);
    assert_eq!(summary.rows, rows as u64);
    assert_eq!(summary.by_segment.values().sum::<u64>(), rows as u64);
    assert!(text.is_ascii() && !text.contains('"') && !text.ends_with('\n'));
    assert!(text.starts_with("SEM_EXM_EXCH_ID,SEM_SEGMENT,SEM_SMST_SECURITY_ID,"));
    assert_eq!(text.lines().count(), rows + 1);

    let mut ids: HashMap<(&str, &str), HashSet<&str>> = HashMap::new();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        assert_eq!(fields.len(), 16, "{line}");
        let is_new = ids
            .entry((fields[0], fields[1]))
            .or_default()
            .insert(fields[2]);
        assert!(is_new, "twice: {line}");
    }
    // Ids are shared between segments of one exchange, but not between the indices.
    let shared = |a, b| ids[&a].intersection(&ids[&b]).count();
    assert!(shared(("NSE", "M"), ("NSE", "D")) > 10);
    assert_eq!(shared(("NSE", "I"), ("BSE", "I")), 0);

    let registry = load(&text, as_of);
    let report = registry.report();
    assert_eq!(
        (report.rows, report.rejected),
        (rows as u64, 0),
        "{:?}",
        report.samples
    );
    assert_eq!(
        report.loaded + report.skipped.values().sum::<u64>(),
        rows as u64
    );
    for reason in [
        SkipReason::Expired,
        SkipReason::SegmentNotInFeed,
        SkipReason::TestInstrument,
    ] {
        assert!(
            report.skipped[&reason] > 0,
            "{reason:?} in {:?}",
            report.skipped
        );
    }

    for (segment, id, symbol) in [
        (Segment::IdxI, 13, "NIFTY"),
        (Segment::IdxI, 25, "BANKNIFTY"),
        (Segment::IdxI, 27, "FINNIFTY"),
        (Segment::IdxI, 442, "MIDCPNIFTY"),
        (Segment::IdxI, 38, "NIFTY NEXT 50"),
        (Segment::IdxI, 21, "INDIA VIX"),
        (Segment::IdxI, 51, "SENSEX"),
        (Segment::IdxI, 69, "BANKEX"),
        (Segment::IdxI, 83, "SNSX50"),
        (Segment::NseEq, 2885, "RELIANCE"),
        (Segment::NseEq, 1594, "INFY"),
        (Segment::BseEq, 500_325, "RELIANCE"),
    ] {
        let key = InstrumentKey::new(segment, id);
        assert_eq!(
            registry.by_key(key).map(|found| found.symbol()),
            Some(symbol),
            "{key}"
        );
    }
    for symbol in ["M&M", "BAJAJ-AUTO", "ITC", "KOTAKBANK"] {
        assert!(registry.is_fno_eligible(Exchange::Nse, symbol), "{symbol}");
    }

    // Every chain has something to follow, and it expires no earlier.
    for ladder in registry.ladders() {
        let source = ladder
            .price_source()
            .unwrap_or_else(|| panic!("{ladder:?} follows nothing"));
        assert!(
            source
                .expiry()
                .is_none_or(|expiry| expiry >= ladder.expiry()),
            "{ladder:?}"
        );
    }
    let all_on = |exchange, symbol, weekday| {
        registry
            .option_expiries(exchange, symbol)
            .iter()
            .all(|expiry| expiry.date().weekday() == weekday)
    };
    assert!(all_on(Exchange::Nse, "NIFTY", Weekday::Tuesday));
    assert!(all_on(Exchange::Bse, "SENSEX", Weekday::Thursday));
    for (exchange, symbol) in [(Exchange::Nse, "NIFTY"), (Exchange::Bse, "SENSEX")] {
        let nearest = registry.option_expiries(exchange, symbol)[0].date();
        let today: Date = as_of.parse().unwrap();
        assert!(
            (0..7).contains(&today.until(nearest).unwrap().get_days()),
            "{symbol} {nearest}"
        );
    }
    let one_legged = |symbol| {
        let expiry = registry.option_expiries(Exchange::Nse, symbol)[0];
        let ladder = registry.ladder(Exchange::Nse, symbol, expiry).unwrap();
        ladder
            .rungs()
            .iter()
            .filter(|rung| !rung.is_complete())
            .count()
    };
    assert!(one_legged("ITC") > 0 && one_legged("KOTAKBANK") > 0);
    assert_eq!(one_legged("RELIANCE"), 0);
    registry
}

/// Distances between neighbouring strikes, in rupees.
fn steps(
    registry: &Registry,
    exchange: Exchange,
    symbol: &str,
    ahead: usize,
) -> BTreeMap<String, usize> {
    let expiry = registry.option_expiries(exchange, symbol)[ahead];
    let mut steps = BTreeMap::new();
    for pair in registry
        .ladder(exchange, symbol, expiry)
        .unwrap()
        .rungs()
        .windows(2)
    {
        let step = strikewire_types::Price::from_raw(pair[1].strike.raw() - pair[0].strike.raw());
        *steps.entry(step.to_string()).or_default() += 1;
    }
    steps
}

#[test]
fn small_masters_have_everything_in_small() {
    for rows in [2_000, 2_500, 7_000, 20_000] {
        check(rows, "2026-02-09", 1);
    }
}

#[test]
fn any_day_will_do() {
    // An expiry's day, month ends, a leap day, a year's end, a Sunday; other seeds.
    for (seed, as_of) in [
        "2026-02-10",
        "2026-02-24",
        "2024-02-29",
        "2026-12-31",
        "2026-11-22",
        "2000-01-01",
        "2100-12-31",
    ]
    .into_iter()
    .enumerate()
    {
        check(2_000, as_of, seed as u64);
    }
}

#[test]
fn chains_are_wider_than_windows_from_fifty_thousand_rows_on() {
    let registry = check(50_000, "2026-02-09", 1);
    for ladder in registry.ladders() {
        let (nearest, least) = match ladder.kind() {
            Kind::OptionIndex if ladder.exchange() != Exchange::Mcx => (
                registry.option_expiries(ladder.exchange(), ladder.symbol())[0],
                102,
            ),
            Kind::OptionStock => (ladder.expiry(), 26),
            _ => continue,
        };
        if ladder.expiry() == nearest {
            assert!(ladder.rungs().len() >= least, "{ladder:?}");
        }
    }
}

#[test]
fn a_whole_master_is_composed_like_the_real_one() {
    let registry = check(Spec::DEFAULT_ROWS, "2026-02-09", 1);
    let report = registry.report();
    let count = |segment| report.by_segment[&segment];
    // The master of February 2026 had 101,427, 42,397 and 37,936 rows there, of 273,027.
    assert!(
        (85_000..120_000).contains(&count(Segment::NseFno)),
        "{report:?}"
    );
    assert!(
        (35_000..60_000).contains(&count(Segment::BseFno)),
        "{report:?}"
    );
    assert!(
        (30_000..50_000).contains(&count(Segment::McxComm)),
        "{report:?}"
    );
    let stocks: BTreeSet<&str> = registry
        .ladders()
        .filter(|ladder| ladder.kind() == Kind::OptionStock && ladder.exchange() == Exchange::Nse)
        .map(|ladder| ladder.symbol())
        .collect();
    assert_eq!(stocks.len(), 207);
    // A bond has its company's symbol and another series.
    assert!(registry.find("MOTHERSON-D1").is_ok());
    assert_eq!(
        registry.find("MOTHERSON").unwrap().instrument.series(),
        "EQ"
    );
    let series: BTreeSet<&str> = registry
        .segment(Segment::NseEq)
        .map(|share| share.series())
        .collect();
    assert!(series.len() >= 8, "{series:?}");

    assert_eq!(steps(&registry, Exchange::Nse, "NIFTY", 0).len(), 1);
    assert_eq!(steps(&registry, Exchange::Bse, "SENSEX", 0).len(), 1);
    assert_eq!(
        steps(&registry, Exchange::Nse, "BANKNIFTY", 0)
            .keys()
            .collect::<Vec<_>>(),
        ["100", "500"]
    );
    assert_eq!(
        steps(&registry, Exchange::Nse, "RELIANCE", 0)
            .keys()
            .collect::<Vec<_>>(),
        ["10", "20"]
    );
    assert_eq!(
        steps(&registry, Exchange::Nse, "RELIANCE", 2)
            .keys()
            .collect::<Vec<_>>(),
        ["20", "40"]
    );
    assert!(steps(&registry, Exchange::Nse, "ITC", 0).len() >= 4);
    assert!(steps(&registry, Exchange::Nse, "KOTAKBANK", 0).len() >= 4);
    assert!(registry.option_expiries(Exchange::Nse, "NIFTY").len() >= 15);
    assert!(
        registry
            .option_expiries(Exchange::Nse, "NIFTY")
            .last()
            .unwrap()
            .date()
            .year()
            >= 2029
    );
}

#[test]
fn the_largest_master_loads() {
    let (text, summary) = master(400_000, "2026-11-22", 9);
    assert_eq!(summary.rows, 400_000);
    let registry = load(&text, "2026-11-22");
    assert_eq!(
        registry.report().rejected,
        0,
        "{:?}",
        registry.report().samples
    );
}

#[test]
fn rows_look_like_the_brokers() {
    let (text, _) = master(50_000, "2026-02-09", 1);
    let has = |prefix: &str, middle: &str, suffix: &str| {
        assert!(
            text.lines().any(|line| line.starts_with(prefix)
                && line.contains(middle)
                && line.ends_with(suffix)),
            "{prefix} {middle} {suffix}"
        );
    };
    has(
        "NSE,I,13,INDEX,0,NIFTY,1.0,Nifty 50,0001-01-01,,XX,0.0500,,INDEX,X,NIFTY",
        "",
        "",
    );
    has(
        "NSE,E,2885,EQUITY,0,RELIANCE,1.0,Reliance Industries,,,,10.0000,NA,ES,EQ,RELIANCE INDUSTRIES LTD",
        "",
        "",
    );
    has(
        "NSE,D,",
        "FUTIDX,0,NIFTY-Feb2026-FUT,65.0,NIFTY FEB FUT,2026-02-24 14:30:00,-0.01000,XX,10.0000,M,FUT",
        ",,",
    );
    has(
        "NSE,D,",
        "OPTIDX,0,NIFTY-Feb2026-25500-CE,65.0,NIFTY 10 FEB 25500 CALL,2026-02-10 14:30:00,25500.00000,CE,5.0000,W,OP",
        ",,",
    );
    has(
        "NSE,D,",
        "ITC 24 FEB 312.50 PUT,2026-02-24 14:30:00,312.50000,PE,",
        ",M,OP,,",
    );
    has(
        "BSE,D,",
        "RELIANCE FEB  FUT,2026-02-26 15:30:00,0.00000,,5.0000,M,FUTSTK",
        ",,RELIFUT",
    );
    has("BSE,D,", "SENSEX 26 MAR ", ",PE,5.0000,Q,OPTIDX,,BSXOPT");
    has("BSE,D,", "SENSEX 26 MAR ", ",PE,5.0000,M,OPTIDX,,BSXOPT");
    has(
        "MCX,M,",
        "OPTFUT,0,CRUDEOIL-17Feb2026-5500-CE,1.0,CRUDEOIL 17 FEB 5500 CALL,2026-02-17 00:00:00,5500.00000,CE,10.0000,M,OPTFUT",
        ",2,CRUDEOIL",
    );
    has(
        "NSE,M,",
        "OPTFUT,0,CRUDEOIL-17Feb2026-5500-PE,",
        " 20:00:00,5500.00000,PE,10.0000,M,OPTFUT,1,CRUDEOIL",
    );
    has(
        "NSE,C,",
        "FUTCUR,0,USDINR-Feb2026-FUT,1.0,USDINR FEB FUT,2026-02-25 14:30:00,-0.01000,XX,0.2500,M,FUT",
        ",,",
    );
    has(
        "BSE,C,",
        "FUTCUR,0,EURINR-28Aug2024-FUT",
        "2024-08-28 14:30:00,-0.01000,XX,0.2500,M,FUTCUR,,EURINR",
    );
    has(
        "NSE,D,",
        "FUTSTK,0,011NSETEST-Nov2036-FUT,50.0,011NSETEST 27 NOV FUT,2036-11-27 14:30:00,-0.01000,XX,5.0000,W,FUT",
        ",,",
    );
}

#[test]
fn files_are_compressed_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let spec = Spec {
        rows: 2_000,
        ..Spec::new("2026-02-09".parse().unwrap())
    };
    let (plain, packed) = (folder.path().join("a.csv"), folder.path().join("a.csv.gz"));
    assert_eq!(
        generate_to_path(&spec, &plain).unwrap(),
        generate_to_path(&spec, &packed).unwrap()
    );
    let options = LoadOptions::new(spec.as_of);
    let sizes = [&plain, &packed].map(|path| std::fs::metadata(path).unwrap().len());
    assert!(sizes[1] * 3 < sizes[0], "{sizes:?}");
    let loaded = [&plain, &packed].map(|path| Registry::from_path(path, &options).unwrap().len());
    assert_eq!(loaded[0], loaded[1]);

    let nowhere = folder.path().join("missing").join("a.csv");
    let error = generate_to_path(&spec, &nowhere).unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
}
