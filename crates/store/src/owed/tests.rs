use jiff::civil::Date;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use strikewire_types::{Exchange, Mode, Tier, Utc};

use super::*;
use crate::{Item, ItemState};

fn item(id: u64, symbol: &str, width: u16) -> Item {
    Item {
        id,
        list: List::Watchlist,
        user: 1,
        symbol: symbol.into(),
        exchange: Exchange::Nse,
        expiry: None,
        instrument_type: "EQUITY".into(),
        width: Some(width),
        mode: Mode::Full,
        follow: true,
        tier: Tier::A,
        added_at: Utc::default(),
        trading_day: Date::constant(2026, 2, 9),
        last_used_at: Utc::default(),
        used: id,
        state: ItemState::Live,
        anchor: None,
        settled: false,
    }
}

fn random_change(random: &mut Pcg64, ids: u64) -> Change {
    let list = List::Watchlist;
    let id = random.random_range(0..ids);
    match random.random_range(0..10) {
        0..4 => {
            // Mostly a key of its own, sometimes one that another has.
            let key = if random.random_bool(0.8) {
                id
            } else {
                random.random_range(0..ids)
            };
            Change::Put(Box::new(item(id, &format!("S{key}"), random.random())))
        }
        4..7 => Change::State {
            list,
            id,
            state: if random.random() {
                ItemState::Live
            } else {
                ItemState::Evicted
            },
        },
        7..9 => Change::Remove { list, id },
        _ => Change::EndOfDay {
            class: "NSE_FNO",
            day: Date::constant(2026, 2, random.random_range(1..=28)),
            at: Utc::default(),
            removed: vec![(list, id), (list, random.random_range(0..ids))],
        },
    }
}

/// What the changes make of a table: items and markers, by plain search.
fn replay<'a>(table: &[Item], changes: impl Iterator<Item = &'a Change>) -> (Vec<Item>, Vec<Date>) {
    let mut items = table.to_vec();
    let mut markers = Vec::new();
    for change in changes {
        match change {
            Change::Put(new) => {
                items.retain(|old| old.id != new.id && old.symbol != new.symbol);
                items.push((**new).clone());
            }
            Change::Remove { id, .. } => items.retain(|old| old.id != *id),
            Change::State { id, state, .. } => {
                for old in items.iter_mut().filter(|old| old.id == *id) {
                    old.state = *state;
                }
            }
            Change::EndOfDay { day, removed, .. } => {
                items.retain(|old| !removed.iter().any(|(_, id)| *id == old.id));
                markers.push(*day);
            }
        }
    }
    items.sort_by_key(|item| item.id);
    (items, markers)
}

#[test]
fn merging_changes_nothing_but_the_length() {
    let mut merged_away = 0;
    for seed in 0..300 {
        let mut random = Pcg64::seed_from_u64(seed);
        let ids = random.random_range(2..12);
        let table: Vec<Item> = (0..ids / 2).map(|n| item(n, &format!("S{n}"), 1)).collect();
        let changes: Vec<Change> = (0..random.random_range(1..60))
            .map(|_| random_change(&mut random, ids))
            .collect();
        let mut owed = Owed::default();
        for (seq, change) in (1..).zip(&changes) {
            owed.push(Entry {
                seq: Seq(seq),
                change: change.clone(),
                ask: false,
            });
            if random.random_bool(0.1) {
                owed.merge();
            }
        }
        owed.merge();
        let kept = owed.entries().iter().map(|entry| &entry.change);
        assert_eq!(
            replay(&table, kept),
            replay(&table, changes.iter()),
            "seed {seed}: {changes:?}"
        );
        assert_eq!(owed.up_to(), Seq(changes.len() as u64));
        merged_away += changes.len() - owed.entries().len();
    }
    assert!(merged_away > 1_000, "{merged_away}");
}

#[test]
fn what_is_owed_is_bounded_by_the_items() {
    let mut owed = Owed::default();
    for seq in 1..=50_000 {
        let id = seq % 100;
        owed.push(Entry {
            seq: Seq(seq),
            change: Change::Put(Box::new(item(id, &format!("S{id}"), 1))),
            ask: false,
        });
    }
    assert!(owed.entries().len() <= FEW + 1, "{}", owed.entries().len());
    assert_eq!(owed.up_to(), Seq(50_000));
}
