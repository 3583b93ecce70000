//! Indices and the cash segments, which also make up the number of rows.

use std::collections::HashSet;
use std::io;

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_pcg::Pcg64;

use super::catalog::{BONDS, INDICES, Stock};
use super::derivatives::{share_tick, test_symbol};
use super::ladder::{Ids, Size};
use super::sheet::{Share, Sheet};

/// The indices this size has, NSE's and BSE's mixed as the real file mixes them.
pub(super) fn indices(sheet: &mut Sheet<'_>, size: Size) -> io::Result<()> {
    for index in &INDICES[..size.up_to(10, INDICES.len(), INDICES.len())] {
        sheet.index(*index)?;
    }
    Ok(())
}

/// The shares of `stocks`, bonds that share their symbols, and test rows.
pub(super) fn shares(sheet: &mut Sheet<'_>, size: Size, stocks: &[Stock]) -> io::Result<()> {
    for stock in stocks {
        let share = Share {
            id: stock.nse_id,
            symbol: stock.symbol,
            lot: 1,
            name: stock.name,
            tick: share_tick(stock.price),
            kind: "ES",
            series: "EQ",
            registered: stock.registered,
        };
        sheet.share("NSE", &share)?;
        let share = Share {
            id: stock.bse_id,
            series: "A",
            tick: "5.0000",
            ..share
        };
        sheet.share("BSE", &share)?;
    }
    for (symbol, id, name) in BONDS {
        let bond = Share {
            id,
            symbol,
            lot: 1,
            name,
            tick: "5.0000",
            kind: "DEB",
            series: "D1",
            registered: name,
        };
        sheet.share("NSE", &bond)?;
    }
    for number in 1..=size.up_to(4, 18, 18) {
        let symbol = test_symbol(number);
        let test = Share {
            id: 14_740 + u32::try_from(number).unwrap_or_default() * 3,
            symbol: &symbol,
            lot: 1,
            name: &symbol,
            tick: "5.0000",
            kind: "Other",
            series: "EQ",
            registered: &symbol,
        };
        sheet.share("NSE", &test)?;
    }
    Ok(())
}

/// Shares, bonds and funds that nobody has options on, until the sheet has `rows`.
pub(super) fn fill(sheet: &mut Sheet<'_>, rng: &mut Pcg64, seed: u64, rows: u64) -> io::Result<()> {
    let mut nse = Ids::from(700_000, seed);
    let mut bse = Ids::from(600_000, seed);
    let mut taken = [HashSet::new(), HashSet::new()];
    while sheet.rows() < rows {
        let on_nse = rng.random_ratio(2, 5);
        let (exchange, ids, side, groups) = if on_nse {
            ("NSE", &mut nse, 0, &NSE_GROUPS[..])
        } else {
            ("BSE", &mut bse, 1, &BSE_GROUPS[..])
        };
        let Ok(group) = groups.choose_weighted(rng, |group| group.weight) else {
            return Ok(());
        };
        let (mut symbol, name) = if group.kind == "ES" {
            company(rng)
        } else {
            bond(rng)
        };
        while !taken[side].insert(symbol.clone()) {
            symbol.push(char::from(b'A' + rng.random_range(0..26)));
        }
        let registered = name.to_uppercase();
        let share = Share {
            id: ids.pair().1,
            symbol: &symbol,
            lot: if group.lot == 0 {
                100 * rng.random_range(1..100)
            } else {
                group.lot
            },
            name: &name,
            tick: if group.kind == "ES" {
                share_tick(rng.random_range(1_000..600_000))
            } else {
                "1.0000"
            },
            kind: group.kind,
            series: group.series,
            registered: &registered,
        };
        sheet.share(exchange, &share)?;
    }
    Ok(())
}

/// A series, how often it occurs, and its lot; 0 where every row has its own.
struct Group {
    series: &'static str,
    kind: &'static str,
    weight: u32,
    lot: u32,
}

const fn group(series: &'static str, kind: &'static str, weight: u32, lot: u32) -> Group {
    Group {
        series,
        kind,
        weight,
        lot,
    }
}

const NSE_GROUPS: [Group; 11] = [
    group("SG", "DBT", 3970, 100),
    group("EQ", "ES", 2200, 1),
    group("N0", "DEB", 740, 1),
    group("SM", "ES", 460, 0),
    group("MF", "MF", 200, 1),
    group("GS", "DBT", 140, 1),
    group("N1", "DEB", 110, 1),
    group("BE", "ES", 94, 1),
    group("TB", "TB", 85, 1),
    group("ST", "ES", 71, 0),
    group("GB", "GB", 46, 1),
];

const BSE_GROUPS: [Group; 9] = [
    group("F", "DEB", 6590, 1),
    group("B", "ES", 1619, 1),
    group("X", "ES", 1351, 1),
    group("G", "DBT", 1100, 1),
    group("NS", "ES", 581, 0),
    group("A", "ES", 520, 1),
    group("XT", "ES", 422, 1),
    group("M", "ES", 354, 0),
    group("T", "ES", 101, 1),
];

const FIRST: [&str; 24] = [
    "Aarna", "Bhavya", "Chirag", "Dhruv", "Eshan", "Garuda", "Harit", "Indra", "Jaya", "Kiran",
    "Lakshya", "Manas", "Nirmal", "Ojas", "Pavan", "Rachna", "Sagar", "Tejas", "Utkarsh", "Vasant",
    "Yash", "Suvarna", "Malhar", "Kaveri",
];
const SECOND: [&str; 20] = [
    "Agro",
    "Alloys",
    "Auto",
    "Cables",
    "Castings",
    "Cement",
    "Chem",
    "Ceramics",
    "Drugs",
    "Energy",
    "Exports",
    "Finvest",
    "Foods",
    "Infra",
    "Logistics",
    "Paper",
    "Polymers",
    "Steel",
    "Textiles",
    "Ware",
];

/// A made-up company: symbol and name.
fn company(rng: &mut Pcg64) -> (String, String) {
    let first = FIRST[rng.random_range(0..FIRST.len())];
    let second = SECOND[rng.random_range(0..SECOND.len())];
    let symbol = format!("{first}{}", &second[..3]).to_uppercase();
    (symbol, format!("{first} {second}"))
}

/// A made-up bond: symbol and name.
fn bond(rng: &mut Pcg64) -> (String, String) {
    const STATES: [&str; 12] = [
        "AP", "AS", "GJ", "HP", "KA", "MH", "MP", "RJ", "TN", "TS", "UK", "UP",
    ];
    let state = STATES[rng.random_range(0..STATES.len())];
    let rate = rng.random_range(550..999);
    let year = rng.random_range(27..56);
    let symbol = format!("{rate}{state}{year}");
    let name = format!("SDL {state} {}.{:02}% 20{year}", rate / 100, rate % 100);
    (symbol, name)
}
