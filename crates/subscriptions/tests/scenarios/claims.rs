use strikewire_subscriptions::{Book, Config, ConfigError};
use strikewire_types::{ConnId, InstrumentKey, Mode, Slot};

use crate::desk::{A, B, Desk, key, leg, legs, owner};

#[test]
fn a_chain_spreads_evenly() {
    let mut desk = Desk::new(5, 5_000, 100);
    let ids: Vec<u32> = (1..=51).collect();
    desk.admit(1, A, legs(&ids));
    assert_eq!(desk.charged(), [11, 10, 10, 10, 10]);
    // The next one begins where the fewest are.
    desk.admit(2, A, legs(&[101]));
    assert_eq!(
        desk.book
            .instrument(key(101))
            .unwrap()
            .home
            .unwrap()
            .number(),
        2
    );
    // A roll fills the gaps that it leaves itself.
    let rolled: Vec<u32> = (5..=55).collect();
    let mut desk = desk.up();
    desk.pump();
    desk.roll(1, &rolled);
    desk.pump();
    desk.wait(5);
    desk.pump();
    let charged = desk.charged();
    let (least, most) = (charged.iter().min(), charged.iter().max());
    assert!(most <= least.map(|least| least + 1).as_ref(), "{charged:?}");
}

#[test]
fn the_highest_of_two_modes_in_one_request_counts() {
    let mut desk = Desk::new(1, 10, 2).up();
    let twice = vec![
        leg(1, Mode::Ticker, 7),
        leg(1, Mode::Full, 3),
        leg(1, Mode::Quote, 5),
    ];
    desk.admit(1, A, twice.clone());
    assert_eq!(desk.pump(), ["1 +full 1"]);
    desk.admit(1, A, twice);
    assert_eq!(desk.pump(), [""; 0]);
    let held: Vec<(InstrumentKey, Mode, u16)> = desk
        .book
        .claim(owner(1))
        .unwrap()
        .legs()
        .map(|leg| (leg.key, leg.mode, leg.distance))
        .collect();
    assert_eq!(held, [(key(1), Mode::Full, 3)]);
}

#[test]
fn a_plan_that_is_too_old_is_made_again() {
    let mut desk = Desk::new(1, 4, 4).up();
    desk.admit(1, A, legs(&[1, 2]));
    desk.pump();
    let plan = desk.plan(2, A, legs(&[2, 3])).unwrap();
    let stale = plan.clone();
    desk.release(1);
    desk.pump();
    let applied = desk.book.apply(desk.now, plan, &mut desk.effects);
    assert_eq!((applied.held, applied.new_on_wire), (2, 2));
    assert_eq!(desk.pump(), ["1 +full 2 3"]);
    // Should it not fit any more, nobody goes and it waits.
    desk.release(2);
    desk.admit(3, B, legs(&[4, 5, 6]));
    let applied = desk.book.apply(desk.now, stale, &mut desk.effects);
    assert_eq!(
        (applied.held, applied.new_on_wire, applied.evicted),
        (2, 2, 0)
    );
    desk.pump();
    assert_eq!(desk.book.status().unplaced, 1);
}

#[test]
fn strangers_are_let_be() {
    let mut desk = Desk::new(1, 4, 4).up();
    desk.effects.clear();
    assert_eq!(desk.release(1), (0, 0));
    desk.roll(1, &[1, 2]);
    desk.book.touch(desk.now, owner(1));
    desk.book.set_streaming(owner(1), true);
    desk.book
        .handle_first_packet(desk.now, Slot(99), ConnId::from_index(0), &mut desk.effects);
    assert_eq!(desk.effects, []);
    assert_eq!(desk.book.status().desired, 0);
    assert!(desk.book.holders(key(1)).is_empty());
    assert!(desk.book.claim(owner(1)).is_none());
    // A claim may hold nothing for now.
    desk.admit(1, A, Vec::new());
    assert!(desk.book.claim(owner(1)).unwrap().is_empty());
    assert_eq!(desk.release(1), (0, 0));
}

#[test]
fn limits_that_no_broker_means_are_refused() {
    let good = Config::default();
    assert_eq!(Book::new(good).err(), None);
    let check = |config: Config, message: &str| {
        let error: ConfigError = Book::new(config).unwrap_err();
        assert_eq!(error.to_string(), message);
    };
    let connections = 0;
    check(
        Config {
            connections,
            ..good
        },
        "connections = 0: expected 1 to 255",
    );
    let per_connection = 0;
    check(
        Config {
            per_connection,
            ..good
        },
        "per_connection = 0: expected at least 1 instrument",
    );
    let per_batch = 0;
    check(
        Config { per_batch, ..good },
        "per_batch = 0: expected at least 1 instrument",
    );
    let total = 25_001;
    check(
        Config { total, ..good },
        "total = 25001: expected 1 to 25000 instruments, what the connections hold",
    );
    let quota = Some(0);
    check(
        Config { quota, ..good },
        "quota = 0: expected at least 1 instrument, or none for no limit",
    );
}

#[test]
fn the_order_of_use_can_be_kept_and_made_anew() {
    let order = |desk: &Desk| {
        let mut claims: Vec<(u64, u64)> = desk
            .book
            .claims()
            .map(|claim| (claim.used(), claim.owner().id))
            .collect();
        claims.sort_unstable();
        claims.into_iter().map(|(_, id)| id).collect::<Vec<u64>>()
    };
    let mut desk = Desk::new(1, 9, 9);
    for id in 1..=4 {
        desk.admit(id, A, legs(&[id as u32]));
    }
    desk.book.touch(desk.now, owner(1));
    desk.admit(3, A, legs(&[3]));
    // Neither a roll nor letting go is a use.
    desk.roll(2, &[7, 8]);
    desk.book
        .drop_legs(desk.now, owner(2), |k| k == key(8), &mut desk.effects);
    assert_eq!(order(&desk), [2, 4, 1, 3]);
    let mut again = Desk::new(1, 9, 9).up();
    for id in order(&desk) {
        let claim = desk.book.claim(owner(id)).unwrap();
        let ids: Vec<u32> = claim.legs().map(|leg| leg.key.id.0).collect();
        again.admit(id, A, legs(&ids));
    }
    assert_eq!(order(&again), [2, 4, 1, 3]);
    // The most recently used goes to the wire first, the least is evicted first.
    assert_eq!(again.pump(), ["1 +full 3 1 4 7"]);
    again.wait(61);
    let plan = again.plan(9, A, legs(&[11, 12, 13, 14, 15, 16])).unwrap();
    assert_eq!(plan.victims()[0].owner, owner(2));
}
