//! `instruments diff`, on two small masters written out here and on real ones.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;

use serde_json::json;

use crate::naive::Row;
use crate::program::{json, run, table};

const OLD: &str = "\
SEM_EXM_EXCH_ID,SEM_SEGMENT,SEM_SMST_SECURITY_ID,SEM_INSTRUMENT_NAME,SEM_EXPIRY_CODE,SEM_TRADING_SYMBOL,SEM_LOT_UNITS,SEM_CUSTOM_SYMBOL,SEM_EXPIRY_DATE,SEM_STRIKE_PRICE,SEM_OPTION_TYPE,SEM_TICK_SIZE,SEM_EXPIRY_FLAG,SEM_EXCH_INSTRUMENT_TYPE,SEM_SERIES,SM_SYMBOL_NAME
NSE,I,13,INDEX,0,NIFTY,1.0,Nifty 50,0001-01-01,,XX,0.0500,,INDEX,X,NIFTY
NSE,E,2885,EQUITY,0,RELIANCE,1.0,Reliance Industries,,,,10.0000,NA,ES,EQ,RELIANCE INDUSTRIES LTD
NSE,D,51714,FUTIDX,0,NIFTY-Mar2026-FUT,75.0,NIFTY MAR FUT,2026-03-31 14:30:00,-0.01000,XX,10.0000,M,FUT,,
NSE,D,35060,OPTIDX,0,NIFTY-Feb2026-26000-CE,65.0,NIFTY 24 FEB 26000 CALL,2026-02-24 14:30:00,26000.00000,CE,5.0000,M,OP,,
NSE,D,35061,OPTIDX,0,NIFTY-Feb2026-26000-PE,65.0,NIFTY 24 FEB 26000 PUT,2026-02-24 14:30:00,26000.00000,PE,5.0000,M,OP,,
NSE,D,35062,OPTIDX,0,NIFTY-Feb2026-26050-CE,65.0,NIFTY 24 FEB 26050 CALL,2026-02-24 14:30:00,26050.00000,CE,5.0000,M,OP,,
";

/// The future expires a day earlier with another lot; the call of 26,000 has a new id
/// and its old one is that of a call of 26,100; the call of 26,050 is gone.
fn new() -> String {
    OLD.replace(
        "75.0,NIFTY MAR FUT,2026-03-31",
        "65.0,NIFTY MAR FUT,2026-03-30",
    )
    .replace("NSE,D,35060,", "NSE,D,40000,")
    .replace("26050", "26100")
    .replace("NSE,D,35062,", "NSE,D,35060,")
}

fn files(old: &str, new: &str) -> (tempfile::TempDir, [String; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let files = [("old.csv", old), ("new.csv", new)].map(|(name, text)| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    });
    (folder, files)
}

#[test]
fn every_change_is_counted_and_shown() {
    let (_folder, [old, new]) = files(OLD, &new());
    let diff = json(&["instruments", "diff", &old, &new, "--as-of", "2026-02-09"]);
    let counts: BTreeMap<&str, u64> = diff
        .as_object()
        .unwrap()
        .iter()
        .filter_map(|(key, value)| Some((key.as_str(), value.as_u64()?)))
        .collect();
    let expected = [
        ("added", 1),
        ("changed_lots", 1),
        ("changed_ticks", 0),
        ("moved_expiries", 1),
        ("moved_ids", 1),
        ("new", 6),
        ("old", 6),
        ("removed", 1),
        ("repointed_ids", 1),
        ("unchanged_ids", 3),
    ];
    assert_eq!(counts, BTreeMap::from(expected));
    assert_eq!(diff["as_of"], "2026-02-09");
    let sample = |kind: &str| {
        let samples = diff["samples"][kind].as_array().unwrap();
        assert_eq!(samples.len(), 1, "{kind}");
        let sample = &samples[0];
        let fields = [
            "token",
            "old_token",
            "old_id",
            "new_id",
            "old_expiry",
            "new_expiry",
            "old_lot",
            "new_lot",
        ];
        fields.map(|field| sample[field].clone())
    };
    let future = [
        json!("NIFTY_30MAR2026_FUT"),
        json!("NIFTY_31MAR2026_FUT"),
        json!(51714),
        json!(51714),
        json!("31MAR2026"),
        json!("30MAR2026"),
        json!(75),
        json!(65),
    ];
    assert_eq!(sample("moved_expiries"), future);
    assert_eq!(sample("changed_lots"), future);
    let day = json!("24FEB2026");
    let option = |token: &str, was: Option<&str>, old: Option<u32>, new: Option<u32>| {
        let when = |id: Option<u32>| json!(id.map(|_| &day));
        let lot = |id: Option<u32>| json!(id.map(|_| 65));
        [
            json!(token),
            json!(was),
            json!(old),
            json!(new),
            when(old),
            when(new),
            lot(old),
            lot(new),
        ]
    };
    assert_eq!(
        sample("repointed_ids"),
        option(
            "NIFTY_24FEB2026_26100CE",
            Some("NIFTY_24FEB2026_26000CE"),
            Some(35060),
            Some(35060)
        )
    );
    assert_eq!(
        sample("moved_ids"),
        option("NIFTY_24FEB2026_26000CE", None, Some(35060), Some(40000))
    );
    assert_eq!(
        sample("added"),
        option("NIFTY_24FEB2026_26100CE", None, None, Some(35060))
    );
    assert_eq!(
        sample("removed"),
        option("NIFTY_24FEB2026_26050CE", None, Some(35062), None)
    );

    let text = table(&["instruments", "diff", &old, &new, "--as-of", "2026-02-09"]);
    let lines: Vec<String> = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    for line in [
        "re-pointed ids 1",
        "changed ticks 0",
        "moved expiries",
        "NIFTY_30MAR2026_FUT NSE_FNO 51714 51714 31MAR2026 30MAR2026 75 65 0.1 0.1 NIFTY_31MAR2026_FUT",
    ] {
        assert!(lines.iter().any(|found| found == line), "{line}:\n{text}");
    }
}

#[test]
fn a_day_later_what_expired_is_in_neither() {
    let (_folder, [old, new]) = files(OLD, &new());
    let diff = json(&["instruments", "diff", &old, &new, "--as-of", "2026-02-25"]);
    for (count, expected) in [
        ("old", 3),
        ("removed", 0),
        ("moved_expiries", 1),
        ("unchanged_ids", 2),
    ] {
        assert_eq!(diff[count], expected, "{count}");
    }
    let missing = run(&[
        "instruments",
        "diff",
        &old,
        "nowhere.csv",
        "--as-of",
        "2026-02-25",
    ]);
    assert_eq!(missing.code, Some(1));
    assert!(missing.stderr.contains("nowhere.csv"), "{}", missing.stderr);
    assert_eq!(run(&["instruments", "diff", &old]).code, Some(2));
}

/// Where there is a real master: against itself with some rows changed, counted by a
/// plain map from id to row.
#[test]
fn the_real_master_is_compared_with_an_edited_one() {
    let Some(folder) = std::env::var_os("STRIKEWIRE_REAL_DATA") else {
        eprintln!("skipped: STRIKEWIRE_REAL_DATA is not set");
        return;
    };
    let path = Path::new(&folder).join("api-scrip-master.compact.2026-02.csv.gz");
    let master = unzip(&path);
    const DAY: &str = "2026-02-09";
    let next: String = master
        .lines()
        .enumerate()
        .filter(|(at, line)| at % 1_000 != 999 || !line.contains(",OPT"))
        .map(|(at, line)| {
            let mut fields: Vec<&str> = line.split(',').collect();
            if fields[8].starts_with("2026-03-30") && fields[0] == "NSE" && fields[1] == "D" {
                fields[8] = "2026-03-31 14:30:00";
            }
            if at % 500 == 7 && fields[3].starts_with("OPT") {
                fields[6] = "12345.0";
            }
            fields.join(",") + "\n"
        })
        .collect();
    let (_folder, [_, file]) = files("", &next);
    let diff = json(&[
        "instruments",
        "diff",
        path.to_str().unwrap(),
        &file,
        "--as-of",
        DAY,
    ]);
    let rows = |text: &'_ str| -> Vec<Row<'static>> {
        let text: &'static str = text.to_owned().leak();
        let rows = text.lines().skip(1).map(Row::of);
        rows.filter(|row| row.skip(DAY).is_none()).collect()
    };
    let (old, new) = (rows(&master), rows(&next));
    let by_id: BTreeMap<_, &Row<'_>> = new
        .iter()
        .map(|row| ((row.feed_segment(), row.id), row))
        .collect();
    let (mut removed, mut moved, mut lots) = (0_usize, 0, 0);
    for row in &old {
        match by_id.get(&(row.feed_segment(), row.id)) {
            None => removed += 1,
            Some(now) => {
                moved += usize::from(now.expiry != row.expiry);
                lots += usize::from(now.lot != row.lot);
            }
        }
    }
    assert!(removed > 50 && moved > 10_000 && lots > 100);
    for (count, expected) in [
        ("old", old.len()),
        ("new", new.len()),
        ("added", 0),
        ("removed", removed),
        ("repointed_ids", 0),
        ("moved_ids", 0),
        ("moved_expiries", moved),
        ("changed_lots", lots),
        ("changed_ticks", 0),
        ("unchanged_ids", old.len() - removed - moved),
    ] {
        assert_eq!(diff[count], expected, "{count}");
    }
}

/// By the tool, so that no code is shared.
fn unzip(path: &Path) -> String {
    let mut child = std::process::Command::new("gzip")
        .arg("-dc")
        .arg(path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut text = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert!(child.wait().unwrap().success());
    text
}
