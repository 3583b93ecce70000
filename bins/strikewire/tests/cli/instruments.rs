use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Value, json};

use crate::naive::{self, Row};
use crate::program::{AS_OF, json, master, run, table};

fn count<K: Ord>(keys: impl Iterator<Item = K>) -> BTreeMap<K, u64> {
    let mut counts = BTreeMap::new();
    for key in keys {
        *counts.entry(key).or_default() += 1;
    }
    counts
}

/// The columns of a row as `find` shows them.
fn check_record(record: &Value, row: &Row<'_>) {
    let expected = json!({
        "segment": row.feed_segment(),
        "security_id": row.id,
        "symbol": row.symbol(),
        "kind": row.kind,
        "exchange": row.exchange,
        "series": (row.kind == "EQUITY").then_some(row.series),
        "expiry": (!row.expiry.is_empty()).then(|| naive::expiry(row.expiry)),
        "strike": row.is_option().then_some(row.strike),
        "option_type": row.is_option().then_some(row.option_type),
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&record[key], value, "{key} of {row:?}");
    }
    assert_eq!(record["lot_size"].as_u64(), Some(row.lot as u64), "{row:?}");
    // Rupees for an index, paise for the rest; 0 says nothing.
    let tick = if row.kind == "INDEX" {
        row.tick
    } else {
        row.tick / 100.0
    };
    assert_eq!(record["tick_size"].as_f64().unwrap_or(0.0), tick, "{row:?}");
    for key in ["token", "name"] {
        assert!(
            !record[key].as_str().unwrap().is_empty(),
            "{key} of {row:?}"
        );
    }
}

#[test]
fn stats_account_for_every_row() {
    let rows = master().rows();
    for day in [AS_OF, "2026-02-24", "2026-02-25", "2026-04-01"] {
        let stats = json(&["instruments", "stats", master().path(), "--as-of", day]);
        let loaded: Vec<&Row<'_>> = rows.iter().filter(|row| row.skip(day).is_none()).collect();
        let derivatives = loaded.iter().filter(|row| !row.expiry.is_empty());
        let underlyings: BTreeSet<(&str, &str)> = derivatives
            .map(|row| (row.exchange, row.symbol()))
            .collect();
        let load_ms = stats["load_ms"].as_u64().unwrap();
        assert!(load_ms > 0);
        assert_eq!(
            stats,
            json!({
                "rows": rows.len(),
                "loaded": loaded.len(),
                "skipped": count(rows.iter().filter_map(|row| row.skip(day))),
                "rejected": 0,
                "rejected_samples": [],
                "by_segment": count(loaded.iter().filter_map(|row| row.feed_segment())),
                "underlyings": underlyings.len(),
                "option_contracts": loaded.iter().filter(|row| row.is_option()).count(),
                "load_ms": load_ms,
            }),
            "as of {day}"
        );
    }
}

#[test]
fn stats_show_what_was_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dirty.csv");
    let mut text = master().text.trim_end().to_owned();
    let line = text.lines().count() + 1;
    text += "\nNSE,D,4000000000,OPTSTK,0,RELIANCE-Feb2026-1440-CE,500.0,,2026-02-30 14:30:00,1440.00000,CE,5.0000,M,OP,,\n";
    fs::write(&path, text).unwrap();
    let arguments = [
        "instruments",
        "stats",
        path.to_str().unwrap(),
        "--as-of",
        AS_OF,
    ];
    let stats = json(&arguments);
    let n = |key: &str| stats[key].as_u64().unwrap();
    let skipped: u64 = stats["skipped"]
        .as_object()
        .unwrap()
        .values()
        .map(|n| n.as_u64().unwrap())
        .sum();
    assert_eq!(n("rejected"), 1);
    assert_eq!(n("rows"), n("loaded") + skipped + n("rejected"));
    let samples = stats["rejected_samples"].as_array().unwrap();
    assert_eq!(samples.len(), 1);
    assert_eq!(samples[0]["line"], json!(line));
    assert_eq!(samples[0]["field"], "SEM_EXPIRY_DATE");
    assert!(
        samples[0]["reason"]
            .as_str()
            .unwrap()
            .contains("2026-02-30")
    );

    let shown = table(&arguments);
    assert!(
        shown.contains(&format!("rejected: line {line}, SEM_EXPIRY_DATE")),
        "{shown}"
    );
}

#[test]
fn stats_for_people_are_aligned() {
    let shown = table(&["instruments", "stats", master().path(), "--as-of", AS_OF]);
    let lines: Vec<&str> = shown.lines().collect();
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("rows ") && line.ends_with(" 5,000"))
    );
    let width = lines[0].chars().count();
    assert!(
        lines.iter().all(|line| line.chars().count() == width),
        "{shown}"
    );
    assert!(
        !shown.contains('\u{1b}'),
        "no colour where there is no terminal"
    );
}

#[test]
fn find_takes_keys_and_tokens_of_every_kind() {
    let rows = master().rows();
    let loaded = || rows.iter().filter(|row| row.skip(AS_OF).is_none());
    let kinds: BTreeSet<(&str, &str)> = loaded().map(|row| (row.exchange, row.kind)).collect();
    assert!(kinds.len() >= 12, "{kinds:?}");
    for (exchange, kind) in kinds {
        let row = loaded()
            .rfind(|row| (row.exchange, row.kind) == (exchange, kind))
            .unwrap();
        let key = format!("{}:{}", row.feed_segment().unwrap(), row.id);
        let find = |reference: &str| {
            json(&[
                "instruments",
                "find",
                master().path(),
                reference,
                "--as-of",
                AS_OF,
            ])
        };
        let record = find(&key);
        check_record(&record, row);
        assert_eq!(find(record["token"].as_str().unwrap()), record);
    }
}

#[test]
fn find_reads_tokens_as_people_write_them() {
    let rows = master().rows();
    let dates = naive::option_expiries(&rows, "NSE", "RELIANCE", AS_OF);
    let date = dates[0];
    let row = rows
        .iter()
        .find(|row| {
            (row.exchange, row.symbol(), row.expiry, row.option_type)
                == ("NSE", "RELIANCE", date, "PE")
        })
        .unwrap();
    let expiry = naive::expiry(date);
    let day_month = &expiry[..5];
    let strike = row.strike;
    for reference in [
        format!("RELIANCE_{expiry}_{strike}PE"),
        format!("reliance_{day_month}_{strike}pe"),
        format!("NSE:RELIANCE_{expiry}_{strike}PE"),
    ] {
        let record = json(&[
            "instruments",
            "find",
            master().path(),
            &reference,
            "--as-of",
            AS_OF,
        ]);
        check_record(&record, row);
        assert_eq!(
            record["token"],
            json!(format!("RELIANCE_{expiry}_{strike}PE"))
        );
        let stock = rows.iter().find(|row| {
            (row.exchange, row.kind, row.trading_symbol, row.series)
                == ("NSE", "EQUITY", "RELIANCE", "EQ")
        });
        assert_eq!(
            record["underlying"],
            json!(format!("NSE_EQ:{}", stock.unwrap().id))
        );
    }
    let shown = table(&[
        "instruments",
        "find",
        master().path(),
        "NIFTY",
        "--as-of",
        "9feb2026",
    ]);
    assert!(
        shown.contains("IDX_I:13") && shown.contains("Nifty 50"),
        "{shown}"
    );
}

#[test]
fn search_gives_the_best_first() {
    let search = |more: &[&str]| {
        let arguments = ["instruments", "search", master().path(), "--as-of", AS_OF];
        let hits = json(&[&arguments, more].concat());
        let hits = hits.as_array().unwrap().clone();
        let scores: Vec<u64> = hits
            .iter()
            .map(|hit| hit["score"].as_u64().unwrap())
            .collect();
        assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
        for hit in &hits {
            let row = master().rows().into_iter().find(|row| {
                row.feed_segment() == hit["segment"].as_str()
                    && Some(row.id) == hit["security_id"].as_u64()
            });
            check_record(hit, &row.unwrap());
        }
        hits
    };
    let hits = search(&["nifty"]);
    assert_eq!(hits.len(), 10);
    assert_eq!(hits[0]["token"], "NIFTY");
    assert_eq!(search(&["nifty", "--limit", "3"]).len(), 3);
    let futures = search(&["reliance", "--kind", "FUTSTK", "--segment", "BSE_FNO"]);
    assert!(!futures.is_empty());
    for hit in futures {
        assert_eq!(
            (&hit["kind"], &hit["segment"]),
            (&json!("FUTSTK"), &json!("BSE_FNO"))
        );
    }
    // Several words need no quotes.
    let options = search(&["reliance", "1440", "ce"]);
    assert_eq!(
        (&options[0]["strike"], &options[0]["option_type"]),
        (&json!(1440.0), &json!("CE"))
    );
    assert_eq!(search(&["no such thing"]).len(), 0);

    let shown = table(&[
        "instruments",
        "search",
        master().path(),
        "xyzzy",
        "--as-of",
        AS_OF,
    ]);
    assert_eq!(shown, "nothing fits `xyzzy`\n");
}

#[test]
fn expiries_are_those_of_the_file() {
    let rows = master().rows();
    for (exchange, symbol) in [("NSE", "NIFTY"), ("BSE", "SENSEX"), ("BSE", "RELIANCE")] {
        for day in [AS_OF, "2026-02-24", "2026-02-25"] {
            let expected: Vec<String> = naive::option_expiries(&rows, exchange, symbol, day)
                .into_iter()
                .map(naive::expiry)
                .collect();
            assert!(expected.len() > 1);
            let expiries = json(&[
                "instruments",
                "expiries",
                master().path(),
                symbol,
                "--exchange",
                exchange,
                "--as-of",
                day,
            ]);
            assert_eq!(expiries, json!(expected), "{symbol} as of {day}");
        }
    }
    let shown = table(&[
        "instruments",
        "expiries",
        master().path(),
        "nifty 50",
        "--as-of",
        AS_OF,
    ]);
    assert!(shown.contains("24FEB2026  monthly  NSE"), "{shown}");
}

#[test]
fn ladders_are_those_of_the_file() {
    let rows = master().rows();
    for (exchange, symbol) in [("NSE", "NIFTY"), ("BSE", "RELIANCE"), ("MCX", "GOLD")] {
        for date in naive::option_expiries(&rows, exchange, symbol, AS_OF) {
            let expected: Vec<Value> = naive::ladder(&rows, exchange, symbol, date)
                .into_iter()
                .map(
                    |(strike, [ce, pe])| json!({"strike": strike as f64 / 1e4, "ce": ce, "pe": pe}),
                )
                .collect();
            let ladder = json(&[
                "instruments",
                "ladder",
                master().path(),
                symbol,
                date,
                "--exchange",
                exchange,
                "--as-of",
                AS_OF,
            ]);
            assert_eq!(ladder, json!(expected), "{symbol} {date}");
        }
    }
    let ladder = naive::ladder(&rows, "NSE", "NIFTY", "2026-02-24");
    let shown = table(&[
        "instruments",
        "ladder",
        master().path(),
        "nifty",
        "24feb2026",
        "--as-of",
        AS_OF,
    ]);
    // A heading, an empty line, the names of the columns.
    assert_eq!(shown.lines().count(), 3 + ladder.len(), "{shown}");
}

#[test]
fn generate_is_the_same_for_the_same_arguments() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let generate = |name: &str, seed: &str| {
        json(&[
            "instruments",
            "generate",
            "--as-of",
            AS_OF,
            "--rows",
            "2000",
            "--seed",
            seed,
            "-o",
            &file(name),
        ])
    };
    let said = generate("a.csv", "1");
    generate("b.csv", "1");
    generate("c.csv", "2");
    generate("d.csv.gz", "1");
    let read = |name: &str| fs::read(file(name)).unwrap();
    assert_eq!(said["rows"], 2000);
    // The header, and no line break after the last row, as in the broker's file.
    assert_eq!(read("a.csv").split(|byte| *byte == b'\n').count(), 1 + 2000);
    assert!(read("a.csv") == read("b.csv") && read("a.csv") != read("c.csv"));
    assert_eq!(read("d.csv.gz")[..2], [0x1f, 0x8b]);
    let stats = |name: &str| {
        let mut stats = json(&["instruments", "stats", &file(name), "--as-of", AS_OF]);
        stats["load_ms"].take();
        stats
    };
    assert_eq!(stats("a.csv"), stats("d.csv.gz"));
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["a.csv", "b.csv", "c.csv", "d.csv.gz"],
        "nothing is left beside them"
    );
}

#[test]
fn generate_writes_all_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.csv");
    fs::write(&path, "as it was").unwrap();
    let file = path.to_str().unwrap();
    let ran = run(&[
        "instruments",
        "generate",
        "--as-of",
        AS_OF,
        "--rows",
        "10",
        "-o",
        file,
    ]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stderr.contains("10 rows") && ran.stderr.contains("2000 to 400000"),
        "{ran:?}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "as it was");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

    let nowhere = folder.path().join("no/such/folder.csv");
    let nowhere = nowhere.to_str().unwrap();
    let ran = run(&[
        "instruments",
        "generate",
        "--as-of",
        AS_OF,
        "--rows",
        "2000",
        "-o",
        nowhere,
    ]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains(nowhere), "{ran:?}");
}
