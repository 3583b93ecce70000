use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use strikewire_registry::{Error, Kind, LoadOptions, Registry, SkipReason};
use strikewire_types::{Exchange, InstrumentKey, Segment};

use crate::fixture::{self, HEADER, ROWS, load, options, registry, registry_of};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Everything that can be seen of a registry, to compare two.
fn everything(registry: &Registry) -> Vec<String> {
    let describe = |instrument: strikewire_registry::Instrument<'_>| {
        format!(
            "{} {} {:?} {} {} {} {:?} {:?} {:?} {} {:?} {:?}",
            instrument.key(),
            instrument.token(),
            instrument.kind(),
            instrument.symbol(),
            instrument.name(),
            instrument.series(),
            instrument.expiry(),
            instrument.strike(),
            instrument.option_type(),
            instrument.lot_size(),
            instrument.tick(),
            instrument.underlying().map(|underlying| underlying.key()),
        )
    };
    registry.instruments().map(describe).collect()
}

#[test]
fn every_row_is_accounted_for() {
    let registry = registry();
    let report = registry.report();
    assert_eq!(
        report.rows,
        report.loaded + report.skipped_total() + report.rejected
    );
    assert_eq!(report.loaded, registry.len() as u64);
    let skipped: Vec<_> = report
        .skipped
        .iter()
        .map(|(reason, count)| (reason.as_str(), *count))
        .collect();
    assert_eq!(
        skipped,
        [
            ("segment_not_in_feed", 1),
            ("expired", 1),
            ("test_instrument", 2)
        ]
    );
    assert_eq!(report.rejected, 0, "{:?}", report.samples);
    assert_eq!(report.by_segment.values().sum::<u64>(), report.loaded);
    assert_eq!(report.by_segment[&Segment::IdxI], 10);
    // Three chains of RELIANCE with 8, ITC 6, M&M 2, BAJAJ-AUTO 2, NIFTY 4 x 6, NIFTYNXT50 2,
    // SENSEX 2, SENSEX50 2, CRUDEOIL 4, MCXBULLDEX 2, USDINR 4 and 2.
    assert_eq!(report.option_contracts, 76);
    // NSE: RELIANCE ITC M&M BAJAJ-AUTO NIFTY NIFTYNXT50 USDINR; BSE: RELIANCE SENSEX SENSEX50
    // USDINR; MCX: CRUDEOIL MCXBULLDEX GOLD.
    assert_eq!(report.underlyings, 14);
    assert_eq!(registry.as_of().to_string(), "2026-02-09");
}

#[test]
fn the_fields_of_a_row_mean_what_the_broker_means() {
    let registry = registry();
    let get = |segment, id| registry.by_key(InstrumentKey::new(segment, id)).unwrap();

    let call = get(Segment::NseFno, 131_523);
    assert_eq!(call.symbol(), "RELIANCE");
    assert_eq!(call.kind(), Kind::OptionStock);
    assert_eq!(call.exchange(), Exchange::Nse);
    assert_eq!(call.expiry().unwrap().to_string(), "24FEB2026");
    assert_eq!(call.strike().unwrap().to_string(), "1440");
    assert_eq!(call.option_type().unwrap().as_str(), "CE");
    assert_eq!(call.lot_size(), 500);
    // 5 paise.
    assert_eq!(call.tick().raw(), 500);

    // The same id in another segment is another instrument.
    assert_eq!(
        get(Segment::McxComm, 131_527).token(),
        "CRUDEOIL_17FEB2026_5800CE"
    );
    assert_eq!(
        get(Segment::NseFno, 131_527).token(),
        "RELIANCE_24FEB2026_1470CE"
    );

    // Rupees.
    let index = get(Segment::IdxI, 13);
    assert_eq!(
        (
            index.tick().raw(),
            index.name(),
            index.expiry(),
            index.strike()
        ),
        (500, "Nifty 50", None, None)
    );
    assert_eq!(get(Segment::IdxI, 5024).tick().raw(), 0);
    assert_eq!(get(Segment::IdxI, 51).exchange(), Exchange::Bse);
    // A quarter of a paisa.
    assert_eq!(get(Segment::NseCurrency, 1065).tick().raw(), 25);
    assert_eq!(get(Segment::BseEq, 975_196).lot_size(), 10_000_000);

    let future = get(Segment::BseFno, 1_167_577);
    assert_eq!(
        (future.symbol(), future.option_type(), future.strike()),
        ("RELIANCE", None, None)
    );
    let equity = get(Segment::NseEq, 2885);
    assert_eq!(
        (equity.series(), equity.name(), equity.lot_size()),
        ("EQ", "RELIANCE INDUSTRIES LTD", 1)
    );
    assert_eq!(
        registry.by_key(InstrumentKey::new(Segment::NseFno, 1)),
        None
    );
    assert_eq!(
        registry.by_key(InstrumentKey::new(Segment::NseFno, u32::MAX)),
        None
    );
}

#[test]
fn layout_and_packing_do_not_matter() {
    let plain = fixture::master();
    let expected = everything(&registry());
    let same = |bytes: &[u8], what: &str| {
        let registry = Registry::from_reader(bytes, &options()).unwrap();
        assert_eq!(everything(&registry), expected, "{what}");
    };
    same(&gzip(plain.as_bytes()), "gzip");
    let (a, b) = plain.split_at(plain.len() / 2);
    same(
        &[gzip(a.as_bytes()), gzip(b.as_bytes())].concat(),
        "two gzip members",
    );
    same(plain.replace('\n', "\r\n").as_bytes(), "CRLF");
    same(format!("\u{feff}{plain}").as_bytes(), "byte order mark");
    same(plain.trim_end().as_bytes(), "no final line break");
    same(plain.replace('\n', "\n\n").as_bytes(), "blank lines");
    let spaced = format!(
        "{}\n{ROWS}{}",
        HEADER.replace(',', " , "),
        fixture::chains()
    );
    same(spaced.as_bytes(), "spaces in the header");
    let reversed = |line: &str| line.split(',').rev().collect::<Vec<_>>().join(",");
    let other_order: String = plain
        .lines()
        .map(|line| format!("more,{},,\n", reversed(line)))
        .collect();
    same(other_order.as_bytes(), "other order, more columns");
    let quoted: String = plain
        .lines()
        .map(|line| {
            line.split(',')
                .map(|field| format!("\"{field}\""))
                .collect::<Vec<_>>()
                .join(",")
                + "\n"
        })
        .collect();
    same(quoted.as_bytes(), "quotes");
}

#[test]
fn files_are_recognised_by_content() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [
        ("packed.csv", gzip(fixture::master().as_bytes())),
        ("plain.csv.gz", fixture::master().into_bytes()),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let registry = Registry::from_path(&path, &options()).unwrap();
        assert_eq!(
            everything(&registry),
            everything(&fixture::registry()),
            "{name}"
        );
    }
    let error = Registry::from_path(&folder.path().join("none.csv"), &options()).unwrap_err();
    assert!(error.to_string().ends_with("none.csv"), "{error}");
}

#[test]
fn what_is_no_master_is_one_clear_error() {
    let check = |bytes: &[u8], expected: &str| {
        let error = Registry::from_reader(bytes, &options()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(b"", "is empty");
    check(b"\n\n", "is empty");
    check(HEADER.as_bytes(), "no rows");
    check(
        b"<!DOCTYPE html>\n<html>",
        "the first line is `<!DOCTYPE html>`",
    );
    check(b"{\"status\":\"failure\"}", "not an instrument master");
    check(b"\x00\x01\x02\xff\xfe", "not an instrument master");
    check(
        &HEADER.replace("SEM_STRIKE_PRICE,", "").into_bytes(),
        "lacks SEM_STRIKE_PRICE",
    );
    let detailed = "EXCH_ID,SEGMENT,SECURITY_ID,ISIN,INSTRUMENT,UNDERLYING_SECURITY_ID,UNDERLYING_SYMBOL,SYMBOL_NAME";
    check(detailed.as_bytes(), "detailed layout");
    check(detailed.replace(',', "\t").as_bytes(), "detailed layout");
    let packed = gzip(fixture::master().as_bytes());
    for cut in [
        2,
        5,
        20,
        packed.len() / 2,
        packed.len() - 4,
        packed.len() - 1,
    ] {
        let error = Registry::from_reader(&packed[..cut], &options()).unwrap_err();
        assert!(
            matches!(error, Error::Gzip { .. }),
            "cut at {cut}: {error:?}"
        );
    }
    let mut damaged = packed.clone();
    let middle = damaged.len() - 6;
    damaged[middle] ^= 0xff;
    assert!(matches!(
        Registry::from_reader(&damaged[..], &options()),
        Err(Error::Gzip { .. })
    ));
}

#[test]
fn an_open_quote_does_not_swallow_rows() {
    let master = fixture::master().replacen("Reliance Industries", "\"Reliance Industries", 1);
    let error = load(&master).unwrap_err();
    assert!(matches!(error, Error::OpenQuote { line: 12 }), "{error:?}");
}

#[test]
fn rows_that_make_no_sense_are_rejected_with_line_and_column() {
    let good = "NSE,D,52301,OPTSTK,0,RELIANCE-Feb2026-1440-CE,500.0,RELIANCE,2026-02-24 14:30:00,1440.00000,CE,5.0000,M,OP,,";
    assert_eq!(registry_of(good).len(), 1);
    let check = |from: &str, to: &str, field: &str, reason: &str| {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good);
        let registry = registry_of(&format!("{good}\n{}", bad.replace(",52301,", ",52302,")));
        let report = registry.report();
        assert_eq!(
            (report.loaded, report.rejected, report.rows),
            (1, 1, 2),
            "{bad}"
        );
        let sample = &report.samples[0];
        assert_eq!((sample.line, sample.field), (3, field), "{bad}: {sample}");
        assert!(sample.reason.contains(reason), "{bad}: {sample}");
    };
    check(
        "NSE,D",
        "nse,D",
        "SEM_EXM_EXCH_ID",
        "`nse` is not an exchange",
    );
    check("NSE,D", ",D", "SEM_EXM_EXCH_ID", "`` is not an exchange");
    check("NSE,D", "NSE,DD", "SEM_SEGMENT", "`DD` is not a segment");
    check(
        "NSE,D",
        "NSE,E",
        "SEM_INSTRUMENT_NAME",
        "`OPTSTK` is not a kind of instrument of segment NSE_EQ",
    );
    check("OPTSTK", "OPTBLN", "SEM_INSTRUMENT_NAME", "`OPTBLN` is not");
    check(
        ",52301,",
        ",x,",
        "SEM_SMST_SECURITY_ID",
        "`x` is not an integer",
    );
    check(
        ",52301,",
        ",-1,",
        "SEM_SMST_SECURITY_ID",
        "`-1` is not an integer",
    );
    check(
        ",52301,",
        ",99999999999,",
        "SEM_SMST_SECURITY_ID",
        "is not an integer",
    );
    check(
        "1440-CE",
        "1450-CE",
        "SEM_TRADING_SYMBOL",
        "does not agree with SEM_STRIKE_PRICE 1440",
    );
    check(
        "1440-CE",
        "1440-PE",
        "SEM_TRADING_SYMBOL",
        "does not agree with SEM_OPTION_TYPE CE",
    );
    check(
        "Feb2026",
        "Mar2026",
        "SEM_TRADING_SYMBOL",
        "does not agree with SEM_EXPIRY_DATE 2026-02-24",
    );
    check(
        "Feb2026",
        "25Feb2026",
        "SEM_TRADING_SYMBOL",
        "does not agree with SEM_EXPIRY_DATE",
    );
    check(
        "RELIANCE-Feb2026-1440-CE",
        "RELIANCE",
        "SEM_TRADING_SYMBOL",
        "is not UNDERLYING-",
    );
    check(
        "RELIANCE-Feb2026-1440-CE",
        "RELIANCE-Feb2026-FUT",
        "SEM_TRADING_SYMBOL",
        "SEM_INSTRUMENT_NAME OPTSTK",
    );
    check("RELIANCE-Feb", "A:B-Feb", "SEM_TRADING_SYMBOL", "colon");
    check(
        "RELIANCE-Feb2026-1440-CE",
        "",
        "SEM_TRADING_SYMBOL",
        "empty",
    );
    check(
        "2026-02-24 14:30:00",
        "",
        "SEM_EXPIRY_DATE",
        "`` is not YYYY-MM-DD",
    );
    check(
        "2026-02-24 14:30:00",
        "24/02/26",
        "SEM_EXPIRY_DATE",
        "`24/02/26` is not",
    );
    check(
        "2026-02-24 14",
        "2026-02-30 14",
        "SEM_EXPIRY_DATE",
        "`2026-02-30 14:30:00` is not",
    );
    check("1440.00000", "-0.01000", "SEM_STRIKE_PRICE", "above 0");
    check("1440.00000", "0.00000", "SEM_STRIKE_PRICE", "above 0");
    check("1440.00000", "", "SEM_STRIKE_PRICE", "above 0");
    check(",CE,", ",XX,", "SEM_OPTION_TYPE", "`XX` is not CE or PE");
    check("500.0,", "0.0,", "SEM_LOT_UNITS", "`0.0` is not");
    check("500.0,", "500.5,", "SEM_LOT_UNITS", "`500.5` is not");
    check("500.0,", ",", "SEM_LOT_UNITS", "`` is not");
    check("5.0000,M", "0.00001,M", "SEM_TICK_SIZE", "`0.00001` is not");
    check("5.0000,M", "-5,M", "SEM_TICK_SIZE", "`-5` is not");
    check(",CE,5.0000,M,OP,,", ",CE", "SEM_EXM_EXCH_ID", "11 fields");
}

#[test]
fn bytes_that_are_not_text_reject_a_row() {
    let mut master = fixture::master().into_bytes();
    let at = fixture::master().find("Nifty Bank").unwrap();
    master[at] = 0xff;
    let registry = Registry::from_reader(&master[..], &options()).unwrap();
    let samples = &registry.report().samples;
    assert_eq!(samples.len(), 1);
    assert_eq!(
        samples[0].to_string(),
        "line 3, SEM_CUSTOM_SYMBOL: not UTF-8"
    );
}

#[test]
fn of_two_rows_with_one_key_the_first_stays() {
    let row = "NSE,E,2885,EQUITY,0,RELIANCE,1.0,Reliance Industries,,,,10.0000,NA,ES,EQ,RELIANCE INDUSTRIES LTD\n";
    let registry = registry_of(&format!("{row}{}", row.replace("RELIANCE", "OTHER")));
    assert_eq!(registry.report().rejected, 1);
    assert!(
        registry.report().samples[0]
            .to_string()
            .contains("NSE_EQ:2885")
    );
    assert_eq!(
        registry
            .by_key(InstrumentKey::new(Segment::NseEq, 2885))
            .unwrap()
            .symbol(),
        "RELIANCE"
    );
    assert!(registry.find("OTHER").is_err());
}

#[test]
fn too_many_rejected_rows_refuse_the_file() {
    let good = "NSE,E,{},EQUITY,0,S{},1.0,,,,,10.0000,NA,ES,EQ,\n";
    let mut rows: String = (0..95)
        .map(|i| good.replace("{}", &i.to_string()))
        .collect();
    for i in 0..5 {
        rows += &format!("NSE,E,x{i},EQUITY,0,S,1.0,,,,,10.0000,NA,ES,EQ,\n");
    }
    // 5 of 100 are as many as may be.
    assert_eq!(
        load(&format!("{HEADER}\n{rows}"))
            .unwrap()
            .report()
            .rejected,
        5
    );
    rows += "NSE,E,x,EQUITY,0,S,1.0,,,,,10.0000,NA,ES,EQ,\n";
    let error = load(&format!("{HEADER}\n{rows}")).unwrap_err();
    assert!(
        matches!(
            error,
            Error::TooManyRejected {
                rejected: 6,
                rows: 101,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("line 97, SEM_SMST_SECURITY_ID"),
        "{error}"
    );
    let all: String = (0..50)
        .map(|_| "x,x,x,x,x,x,x,x,x,x,x,x,x,x,x,x\n")
        .collect();
    assert_eq!(registry_of(&all).report().samples.len(), 20);
}

#[test]
fn the_as_of_date_decides_what_has_expired() {
    let registry = |as_of: &str| {
        let options = LoadOptions::new(as_of.parse().unwrap());
        Registry::from_reader(fixture::master().as_bytes(), &options).unwrap()
    };
    let expired = |as_of| {
        registry(as_of)
            .report()
            .skipped
            .get(&SkipReason::Expired)
            .copied()
    };
    assert_eq!(expired("2024-08-28"), None);
    assert_eq!(expired("2024-08-29"), Some(1));
    // On the day itself a contract is still listed.
    assert_eq!(expired("2026-02-10"), Some(1));
    assert_eq!(expired("2026-02-11"), Some(7));
    let late = registry("2040-01-01");
    assert_eq!(late.ladders().count(), 0);
    assert_eq!(late.report().loaded, 24);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Registry::from_reader(&bytes[..], &options());
        let with_header = [HEADER.as_bytes(), b"\n", &bytes].concat();
        let _ = Registry::from_reader(&with_header[..], &options());
    }

    #[test]
    fn no_damage_panics(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40)) {
        let mut bytes = fixture::master().into_bytes();
        for (at, byte) in edits {
            let at = HEADER.len() + 1 + at.index(bytes.len() - HEADER.len() - 1);
            bytes[at] = byte;
        }
        if let Ok(registry) = Registry::from_reader(&bytes[..], &LoadOptions { max_rejected_share: 1.0, ..options() }) {
            let report = registry.report();
            prop_assert_eq!(report.rows, report.loaded + report.skipped_total() + report.rejected);
            crate::oracle::tokens_are_unique_and_found(&registry);
        }
    }
}
