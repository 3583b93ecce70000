//! Differences between masters, against plain maps over the rows.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::PathBuf;

use flate2::read::GzDecoder;
use strikewire_registry::{Change, Diff, LoadOptions, Registry};

use crate::fixture;

/// A row by splitting: its id within its segment, what it is but for the expiry, and
/// the rest.
struct Row<'t> {
    id: (&'t str, &'t str, u32),
    contract: (&'t str, &'t str, &'t str, &'t str, &'t str, &'t str),
    expiry: &'t str,
    lot: &'t str,
    tick: &'t str,
}

fn rows<'t>(master: &'t str, as_of: &str) -> Vec<Row<'t>> {
    let mut rows = Vec::new();
    for line in master.lines().skip(1) {
        let field: Vec<&str> = line.split(',').collect();
        let is_option = field[3].starts_with("OPT");
        let is_derivative = is_option || field[3].starts_with("FUT");
        let expiry = if is_derivative { &field[8][..10] } else { "" };
        let is_left_out = (field[0], field[1]) == ("NSE", "M")
            || field[5].contains("NSETEST")
            || field[5] == "CAPINS"
            || (is_derivative && expiry < as_of);
        if is_left_out {
            continue;
        }
        let parts = if is_option {
            4
        } else if is_derivative {
            3
        } else {
            1
        };
        let symbol = field[5].rsplitn(parts, '-').last().unwrap();
        // IDX_I is one segment for both exchanges.
        let exchange = if field[1] == "I" { "" } else { field[0] };
        let strike = if is_option { field[9] } else { "" };
        let leg = if is_option { field[10] } else { "" };
        let series = if is_derivative { "" } else { field[14] };
        rows.push(Row {
            id: (exchange, field[1], field[2].parse().unwrap()),
            contract: (field[0], field[3], symbol, strike, leg, series),
            expiry,
            lot: field[6],
            tick: field[11],
        });
    }
    rows
}

/// Added, removed, moved ids, moved expiries, re-pointed ids, lots, ticks.
fn counts(diff: &Diff) -> [usize; 7] {
    [
        diff.added.len(),
        diff.removed.len(),
        diff.moved_ids.len(),
        diff.moved_expiries.len(),
        diff.repointed_ids.len(),
        diff.changed_lots.len(),
        diff.changed_ticks.len(),
    ]
}

/// The same by joins of maps, which need each contract to be listed once: all but the
/// two indices CAPINS, which no test changes.
fn naive(old: &str, new: &str, as_of: &str) -> [usize; 7] {
    let (old, new) = (rows(old, as_of), rows(new, as_of));
    let by_id: BTreeMap<_, &Row<'_>> = new.iter().map(|row| (row.id, row)).collect();
    let listed = |rows: &[Row<'_>]| -> BTreeSet<_> {
        rows.iter()
            .map(|row| format!("{:?}{}", row.contract, row.expiry))
            .collect()
    };
    let (before, now) = (listed(&old), listed(&new));
    assert_eq!((before.len(), now.len()), (old.len(), new.len()));
    let by_contract: BTreeMap<_, &Row<'_>> = new
        .iter()
        .map(|row| (format!("{:?}{}", row.contract, row.expiry), row))
        .collect();
    let [
        mut kept,
        mut removed,
        mut moved,
        mut other_day,
        mut repointed,
        mut lots,
        mut ticks,
    ] = [0; 7];
    for row in &old {
        let contract = format!("{:?}{}", row.contract, row.expiry);
        let under_id = by_id.get(&row.id);
        let heir = if let Some(same) = by_contract.get(&contract) {
            kept += 1;
            moved += usize::from(same.id != row.id);
            repointed += usize::from(same.id != row.id && under_id.is_some());
            Some(*same)
        } else {
            let other = under_id.filter(|now| {
                now.contract == row.contract
                    && !before.contains(&format!("{:?}{}", now.contract, now.expiry))
            });
            match other {
                Some(_) => other_day += 1,
                None => {
                    removed += 1;
                    repointed += usize::from(under_id.is_some());
                }
            }
            other.copied()
        };
        if let Some(heir) = heir {
            lots += usize::from(heir.lot != row.lot);
            ticks += usize::from(heir.tick != row.tick);
        }
    }
    [
        new.len() - kept - other_day,
        removed,
        moved,
        other_day,
        repointed,
        lots,
        ticks,
    ]
}

fn load(master: &str, as_of: &str) -> Registry {
    let options = LoadOptions::new(as_of.parse().unwrap());
    Registry::from_reader(master.as_bytes(), &options).unwrap()
}

/// The sums that a partition has.
fn check_sums(old: &Registry, new: &Registry, diff: &Diff) {
    let matched = diff.unchanged_ids + diff.moved_ids.len() + diff.moved_expiries.len();
    assert_eq!(matched + diff.removed.len(), old.len());
    assert_eq!(matched + diff.added.len(), new.len());
    for list in [
        &diff.moved_ids,
        &diff.moved_expiries,
        &diff.repointed_ids,
        &diff.changed_lots,
    ] {
        assert!(list.is_sorted());
    }
    for Change {
        old: before,
        new: now,
    } in &diff.repointed_ids
    {
        let (before, now) = (old.instrument(*before), new.instrument(*now));
        assert_eq!(before.key(), now.key());
        assert!(!before.is_same_contract(&now));
    }
    for Change {
        old: before,
        new: now,
    } in &diff.moved_ids
    {
        let (before, now) = (old.instrument(*before), new.instrument(*now));
        assert!(before.key() != now.key() && before.is_same_contract(&now));
        assert_eq!(new.successor(before).current(), Some(now));
    }
}

/// Every `nth` option row of `segment`, changed by `change`.
fn edit(master: &str, start: &str, change: impl Fn(usize, &mut Vec<String>)) -> String {
    let mut out = String::new();
    let mut count = 0;
    for line in master.lines() {
        let mut fields: Vec<String> = line.split(',').map(str::to_owned).collect();
        if line.starts_with(start) {
            change(count, &mut fields);
            count += 1;
        }
        if !fields.is_empty() {
            out += &fields.join(",");
            out.push('\n');
        }
    }
    out
}

#[test]
fn every_kind_of_change_is_told_apart() {
    let master = fixture::master();
    let as_of = "2026-02-09";
    let same = load(&master, as_of);
    let nothing = same.diff(&same);
    assert_eq!(counts(&nothing), [0; 7]);
    assert_eq!(nothing.unchanged_ids, same.len());

    // The four RELIANCE strikes of 30 March move to the 31st; two NIFTY legs exchange
    // their ids; a lot and a tick change; SENSEX' call goes, a strike of 84,100 comes
    // under its id; ITC's 315 CE gets an unused id.
    let text = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    let mut next = master.clone();
    for (from, to) in [
        text("NSE,D,42001,", "NSE,D,x,"),
        text("NSE,D,42002,", "NSE,D,42001,"),
        text("NSE,D,x,", "NSE,D,42002,"),
        text(
            "NSE,D,50001,OPTSTK,0,M&M-Feb2026-3100-CE,500.0",
            "NSE,D,50001,OPTSTK,0,M&M-Feb2026-3100-CE,450.0",
        ),
        text("14:30:00,9000,CE,5.0000", "14:30:00,9000,CE,10.0000"),
        text(
            "SENSEX-Feb2026-84000-CE,65.0,SENSEX 84000 CE,2026-02-26 14:30:00,84000",
            "SENSEX-Feb2026-84100-CE,65.0,SENSEX 84100 CE,2026-02-26 14:30:00,84100",
        ),
        text("NSE,D,49904,", "NSE,D,77777,"),
    ] {
        assert!(next.contains(&from), "{from}");
        next = next.replace(&from, &to);
    }
    let next = edit(&next, "NSE,D,1316", |_, row| {
        row[8] = row[8].replace("03-30", "03-31");
    });
    let new = load(&next, as_of);
    let diff = same.diff(&new);
    check_sums(&same, &new, &diff);
    // SENSEX' 84,000 call is gone and its id re-pointed; so are the two exchanged ones.
    assert_eq!(counts(&diff), [1, 1, 3, 8, 3, 1, 1]);
    assert_eq!(counts(&diff), naive(&master, &next, as_of));
    let tokens = |list: &[Change]| -> Vec<String> {
        list.iter()
            .map(|change| new.instrument(change.new).token())
            .collect()
    };
    assert_eq!(
        new.instrument(diff.added[0]).token(),
        "SENSEX_26FEB2026_84100CE"
    );
    assert_eq!(
        same.instrument(diff.removed[0]).token(),
        "SENSEX_26FEB2026_84000CE"
    );
    assert_eq!(tokens(&diff.changed_lots), ["M&M_24FEB2026_3100CE"]);
    assert_eq!(tokens(&diff.changed_ticks), ["BAJAJ-AUTO_24FEB2026_9000CE"]);
    assert_eq!(tokens(&diff.moved_expiries)[0], "RELIANCE_31MAR2026_1430CE");
    assert_eq!(
        tokens(&diff.moved_ids),
        [
            "ITC_24FEB2026_315CE",
            "NIFTY_10FEB2026_25900CE",
            "NIFTY_10FEB2026_25900PE"
        ]
    );
    // The other way round, added and removed change places.
    let [added, removed, rest @ ..] = counts(&new.diff(&same));
    assert_eq!([added, removed], [1, 1]);
    assert_eq!(rest, counts(&diff)[2..]);
}

#[test]
fn what_expired_in_between_is_removed() {
    let master = fixture::master();
    let (old, new) = (load(&master, "2026-02-10"), load(&master, "2026-02-11"));
    let diff = old.diff(&new);
    check_sums(&old, &new, &diff);
    // NIFTY's three strikes of 10 February.
    assert_eq!(counts(&diff), [0, 6, 0, 0, 0, 0, 0]);
    // Their ids for the week after, on the next morning: re-pointed, not moved.
    let next = edit(&master, "NSE,D,4200", |_, row| {
        row[8] = row[8].replace("02-10", "02-18");
    });
    let new = load(&next, "2026-02-11");
    let diff = old.diff(&new);
    check_sums(&old, &new, &diff);
    assert_eq!(counts(&diff), [6, 6, 0, 0, 6, 0, 0]);
    assert_eq!(new.repointed(&old).count(), 6);
}

#[test]
fn the_real_master_against_an_edited_one() {
    let Some(folder) = std::env::var_os("STRIKEWIRE_REAL_DATA") else {
        eprintln!("skipped: STRIKEWIRE_REAL_DATA is not set");
        return;
    };
    let path = PathBuf::from(folder).join("api-scrip-master.compact.2026-02.csv.gz");
    let mut master = String::new();
    GzDecoder::new(std::fs::File::open(path).unwrap())
        .read_to_string(&mut master)
        .unwrap();
    // The other way round from what happened: 30 March back to the holiday of the 31st.
    let next = edit(&master, "NSE,D,", |count, row| {
        row[8] = row[8].replace("2026-03-30", "2026-03-31");
        match count {
            _ if row[8].starts_with("2026-02-10") && count % 2 == 0 => row.clear(),
            _ if count % 97 == 0 => row[2] = (10_000_000 + count).to_string(),
            _ if count % 89 == 0 => row[6] = "7.0".to_owned(),
            _ => {}
        }
    });
    // Two contracts in a row exchange their ids, here and there.
    let mut lines: Vec<String> = next.lines().map(str::to_owned).collect();
    for at in (1_001..lines.len() - 1).step_by(501) {
        let field = |line: &str, n: usize| line.split(',').nth(n).unwrap().to_owned();
        let (a, b) = (lines[at].clone(), lines[at + 1].clone());
        if (0..2).all(|n| field(&a, n) == field(&b, n)) {
            let with = |line: &str, id: &str| {
                let mut fields: Vec<&str> = line.split(',').collect();
                fields[2] = id;
                fields.join(",")
            };
            lines[at] = with(&a, &field(&b, 2));
            lines[at + 1] = with(&b, &field(&a, 2));
        }
    }
    let next = lines.join("\n");
    let as_of = "2026-02-09";
    let (old, new) = (load(&master, as_of), load(&next, as_of));
    let start = std::time::Instant::now();
    let diff = old.diff(&new);
    eprintln!("{:?} in {:?}", counts(&diff), start.elapsed());
    check_sums(&old, &new, &diff);
    let found = counts(&diff);
    assert!(found[1..6].iter().all(|count| *count > 10), "{found:?}");
    assert_eq!(found, naive(&master, &next, as_of));
    for ladder in old.ladders() {
        let moved = ladder.expiry() == "30MAR2026".parse().unwrap()
            && ladder.exchange() == strikewire_types::Exchange::Nse;
        let now = new.successor_ladder(ladder).current().unwrap();
        assert_eq!(now.expiry() != ladder.expiry(), moved, "{ladder:?}");
    }
}
