use rand::prelude::*;
use rand_pcg::Pcg64;
use strikewire_subscriptions::{Config, Leg, Role, WireState};
use strikewire_types::Mode;

use crate::desk::{A, B, Desk, leg, legs, owner};

/// What the messages subscribe on each connection, and how many of them do.
fn subscribed(messages: &[String], connections: usize) -> (Vec<usize>, usize) {
    let mut by_connection = vec![0; connections];
    let mut count = 0;
    for message in messages {
        let mut words = message.split(' ');
        let conn: usize = words.next().unwrap().parse().unwrap();
        if words.next().unwrap().starts_with('+') {
            by_connection[conn - 1] += words.count();
            count += 1;
        }
    }
    (by_connection, count)
}

#[test]
fn says_where_a_plan_goes() {
    let mut desk = Desk::new(3, 4, 2).up();
    desk.admit(1, A, legs(&[1, 2, 3, 4]));
    desk.pump();
    assert_eq!(desk.charged(), [2, 1, 1]);
    let mut wanted = legs(&[4, 5, 6, 7, 8]);
    wanted.push(leg(9, Mode::Ticker, 9));
    let plan = desk.plan(2, A, wanted).unwrap();
    let forecast = desk.book.forecast(&plan);
    assert_eq!(forecast.by_connection, [1, 2, 2]);
    // The last one is in another mode.
    assert_eq!((forecast.messages, forecast.leaves), (4, 0));
    // A full book: what is evicted makes room.
    desk.admit(2, A, legs(&[5, 6, 7, 8, 9, 10, 11, 12]));
    desk.pump();
    desk.wait(100);
    let plan = desk.plan(3, A, legs(&[21, 22])).unwrap();
    let forecast = desk.book.forecast(&plan);
    assert_eq!(forecast.by_connection.iter().sum::<usize>(), 2);
    assert_eq!(forecast.leaves, 4);
    assert_eq!(desk.book.status().desired, 12);
}

/// A forecast of anything that can be asked of a quiet book whose connections are up is
/// what happens then.
#[test]
fn is_what_happens() {
    let (mut roomy, mut full, mut evictions, mut shared) = (0, 0, 0, 0);
    for seed in 0..300 {
        let mut rng = Pcg64::seed_from_u64(seed);
        let mut desk = Desk::with(Config {
            connections: 3,
            per_connection: 7,
            total: if seed % 3 == 0 { 18 } else { 21 },
            per_batch: 2,
            ..Config::default()
        })
        .up();
        for _ in 0..30 {
            let id = rng.random_range(0..6);
            if rng.random_range(0..4) == 0 {
                desk.release(id);
                desk.pump();
                continue;
            }
            let mode = Mode::ALL[rng.random_range(0..3)];
            let from = rng.random_range(0..40);
            let width = rng.random_range(1..9);
            let place = |place: u32| Leg {
                role: if place == 3 {
                    Role::Underlying
                } else {
                    Role::Contract
                },
                ..leg(from + place, mode, place as u16)
            };
            let mut wanted: Vec<Leg> = (0..width).map(place).collect();
            wanted.push(leg(from + 4, Mode::ALL[rng.random_range(0..3)], 2));
            let tier = if id == 0 { B } else { A };
            let before: Vec<_> = desk.book.instruments().map(|i| i.key).collect();
            let Ok(plan) = desk.plan(id, tier, wanted) else {
                continue;
            };
            let forecast = desk.book.forecast(&plan);
            let status = desk.book.status();
            let evicted: usize = plan.victims().iter().map(|victim| victim.frees).sum();
            assert_eq!(forecast.leaves, evicted);
            desk.book.apply(desk.now, plan, &mut desk.effects);
            let had_to_wait = desk.book.status().unplaced > 0;
            let claim = desk.book.claim(owner(id)).unwrap();
            let new = claim.legs().filter(|leg| !before.contains(&leg.key));
            let new = new.count();
            // Modes that change are messages, too, but not of what is new.
            let changes = desk.book.instruments().any(|i| {
                let on_wire = WireState::Subscribed(i.mode);
                before.contains(&i.key) && i.holders > 0 && i.wire != on_wire
            });
            let messages = desk.pump();
            let (by_connection, count) = subscribed(&messages, 3);
            assert_eq!(forecast.by_connection.iter().sum::<usize>(), new);
            assert_eq!(status.unplaced, 0);
            if changes {
                continue;
            }
            if had_to_wait {
                assert_eq!(by_connection.iter().sum::<usize>(), new);
                full += 1;
            } else {
                assert_eq!(
                    (by_connection, count),
                    (forecast.by_connection, forecast.messages)
                );
                roomy += u64::from(new > 0);
                shared += u64::from(new < 5 && count > 0);
            }
            evictions += u64::from(evicted > 0);
        }
    }
    assert!(
        roomy > 100 && full > 100 && evictions > 100 && shared > 10,
        "{roomy} {full} {evictions} {shared}"
    );
}
