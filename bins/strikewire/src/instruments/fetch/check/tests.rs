use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;

const COMPACT_HEADER: &str = "SEM_EXM_EXCH_ID,SEM_SEGMENT,SEM_SMST_SECURITY_ID,SEM_INSTRUMENT_NAME,SEM_EXPIRY_CODE,SEM_TRADING_SYMBOL,SEM_LOT_UNITS,SEM_CUSTOM_SYMBOL,SEM_EXPIRY_DATE,SEM_STRIKE_PRICE,SEM_OPTION_TYPE,SEM_TICK_SIZE,SEM_EXPIRY_FLAG,SEM_EXCH_INSTRUMENT_TYPE,SEM_SERIES,SM_SYMBOL_NAME";
const COMPACT_ROW: &str =
    "NSE,I,13,INDEX,0,NIFTY,1.0,Nifty 50,0001-01-01,,XX,0.0500,,INDEX,X,NIFTY";
/// As of August 2026: lines end in a comma.
const DETAILED_HEADER: &str = "EXCH_ID,SEGMENT,SECURITY_ID,ISIN,INSTRUMENT,UNDERLYING_SECURITY_ID,UNDERLYING_SYMBOL,SYMBOL_NAME,DISPLAY_NAME,INSTRUMENT_TYPE,SERIES,LOT_SIZE,SM_EXPIRY_DATE,STRIKE_PRICE,OPTION_TYPE,TICK_SIZE,EXPIRY_FLAG,SM_FREEZE_QTY,";
const DETAILED_ROW: &str = "NSE,D,35084,NA,OPTIDX,26000,NIFTY,NIFTY-Sep2026-29150-CE,NIFTY 29 SEP 29150 CALL,OP,NA,65.0,2026-09-29,29150.00000,CE,5.0000,M,1756,";

fn checked(layout: Layout, text: &[u8]) -> Result<Checked, String> {
    let as_of = Date::constant(2026, 2, 9);
    check_text(layout, as_of, || Ok(text)).map_err(|error| format!("{error:#}"))
}

fn gzip(text: &str) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(text.as_bytes()).unwrap();
    gz.finish().unwrap()
}

#[test]
fn whole_masters_are_counted() {
    // Neither a final line break nor the bytes before the header make a difference.
    let compact = format!("{COMPACT_HEADER}\n{COMPACT_ROW}\n{COMPACT_ROW}");
    let rows = checked(Layout::Compact, compact.as_bytes()).unwrap_err();
    assert!(rows.contains("rejected"), "the same id twice: {rows}");
    let compact = format!("\u{feff}{COMPACT_HEADER}\n{COMPACT_ROW}");
    let expected = Checked {
        rows: 1,
        loaded: Some(1),
        rejected: 0,
        is_gzip: false,
    };
    assert_eq!(
        checked(Layout::Compact, compact.as_bytes()),
        Ok(expected.clone())
    );
    let packed = Checked {
        is_gzip: true,
        ..expected
    };
    assert_eq!(checked(Layout::Compact, &gzip(&compact)), Ok(packed));
    let detailed = format!("{DETAILED_HEADER}\r\n{DETAILED_ROW}\r\n{DETAILED_ROW}\r\n");
    let expected = Checked {
        rows: 2,
        loaded: None,
        rejected: 0,
        is_gzip: false,
    };
    assert_eq!(checked(Layout::Detailed, detailed.as_bytes()), Ok(expected));
}

#[test]
fn what_is_no_whole_master_is_named() {
    let compact = format!("{COMPACT_HEADER}\n{COMPACT_ROW}\n");
    let detailed = format!("{DETAILED_HEADER}\n{DETAILED_ROW}\n");
    let packed = gzip(&compact);
    let broken = format!("{DETAILED_HEADER}\n{DETAILED_ROW}\nNSE,D,35085,NA");
    let wide = format!("{DETAILED_HEADER}\n{DETAILED_ROW}x,y\n");
    let narrow = format!("{DETAILED_HEADER}\nNSE,D\n{DETAILED_ROW}\n");
    let lacking = DETAILED_HEADER.replace("STRIKE_PRICE,", "");
    let lacking = format!("{lacking}\n{DETAILED_ROW}\n");
    let header = format!("{COMPACT_HEADER}\n");
    for (layout, text, named) in [
        (Layout::Compact, &b""[..], "empty"),
        (Layout::Compact, b" \n\n ", "empty"),
        (Layout::Compact, b"<!DOCTYPE html><p>, no", "a page"),
        (Layout::Compact, b"{\"error\":1,\"a\":2}", "JSON"),
        (Layout::Compact, b"Not found\n", "a line of columns"),
        (Layout::Compact, b"a,b\n1,2\n", "not an instrument master"),
        (Layout::Compact, header.as_bytes(), "no rows"),
        (Layout::Compact, detailed.as_bytes(), "detailed layout"),
        (Layout::Detailed, compact.as_bytes(), "compact layout"),
        (Layout::Detailed, lacking.as_bytes(), "STRIKE_PRICE"),
        (Layout::Detailed, broken.as_bytes(), "breaks off in row 2"),
        (Layout::Detailed, wide.as_bytes(), "breaks off in row 1"),
        (Layout::Detailed, narrow.as_bytes(), "1 of its 2 rows"),
        (Layout::Compact, &packed[..packed.len() - 9], "cut-off gzip"),
        (Layout::Compact, &packed[..12], "gzip"),
    ] {
        let error = checked(layout, text).unwrap_err();
        assert!(error.contains(named), "{named}: {error}");
    }
}

#[test]
fn real_detailed_masters_are_whole() {
    let Some(folder) = std::env::var_os("STRIKEWIRE_REAL_DATA") else {
        eprintln!("STRIKEWIRE_REAL_DATA is not set: skipped");
        return;
    };
    let folder = Path::new(&folder);
    // Counts of SOURCES.md beside the files.
    for (name, rows) in [
        (
            "api-scrip-master-detailed.nse-eq-idx.2026-04-15.csv.gz",
            9_469,
        ),
        (
            "api-scrip-master-detailed.nse-futstk.2025-07-22.csv.gz",
            662,
        ),
    ] {
        let as_of = Date::constant(2026, 2, 9);
        let checked = check(&folder.join(name), Layout::Detailed, as_of).unwrap();
        assert_eq!((checked.rows, checked.rejected), (rows, 0), "{name}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "(?s).{0,200}") {
        for layout in [Layout::Compact, Layout::Detailed] {
            let _ = checked(layout, &bytes);
            let _ = checked(layout, text.as_bytes());
            let mut after = gzip(&text);
            after.extend(&bytes);
            let _ = checked(layout, &after);
            let after = format!("{DETAILED_HEADER}\n{text}");
            let _ = checked(layout, after.as_bytes());
        }
    }
}
