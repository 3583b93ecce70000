use std::time::Duration;

use strikewire_subscriptions::{Config, Effect};
use strikewire_types::ConnId;

use crate::desk::{A, Desk, key, legs};

/// Three connections of five with the instruments 1 to 9, the last one asked for most
/// recently: 3, 6 and 9 are on the third connection. All have been up for long.
fn nine() -> Desk {
    let config = Config {
        connections: 3,
        per_connection: 4,
        total: 12,
        per_batch: 2,
        ..Config::default()
    };
    let mut desk = Desk::with(config).up();
    for id in 1..=9 {
        desk.admit(u64::from(id), A, legs(&[id]));
    }
    desk.pump();
    desk.pass(60);
    desk.effects.clear();
    assert_eq!([3, 6, 9].map(|id| desk.home_of(id)), [3, 3, 3]);
    desk
}

#[test]
fn what_matters_most_goes_where_there_is_room() {
    let mut desk = nine();
    // Used again: it matters most.
    desk.book.touch(desk.now, crate::desk::owner(3));
    desk.disconnect(3);
    desk.pass(9);
    assert_eq!((desk.told(), desk.charged()), (vec![], vec![3, 3, 3]));
    desk.now = desk.now + Duration::from_secs(1);
    desk.book.handle_timeout(desk.now, &mut desk.effects);
    let (slot, conn) = (desk.slot(3), ConnId::from_index(0));
    assert!(desk.effects.contains(&Effect::Homed { slot, conn }));
    assert_eq!(desk.told(), ["3 hands over 2"]);
    assert_eq!(desk.pump(), ["1 +full 3", "2 +full 9"]);
    assert_eq!([3, 9, 6].map(|id| desk.home_of(id)), [1, 2, 3]);
    assert_eq!(desk.book.status().connections[2].handed_over, 2);
    // There is room for the last one, too, once somebody else lets go.
    assert_eq!(desk.book.poll_timeout(), None);
    desk.release(1);
    desk.pump();
    desk.pass(5);
    assert_eq!(desk.told(), ["3 hands over 1"]);
    assert_eq!(desk.charged(), [4, 4, 0]);
    // What comes now has no other place.
    desk.admit(10, A, legs(&[10]));
    assert_eq!(desk.home_of(10), 3);
    // It is back, and after a while has its share.
    desk.connect(3);
    assert_eq!(desk.pump(), ["3 +full 10"]);
    desk.pass(4);
    assert_eq!(desk.told(), [""; 0]);
    desk.pass(1);
    assert_eq!(desk.told(), ["2 even out"]);
    desk.pass(10);
    assert_eq!(desk.charged(), [3, 3, 3]);
    assert_eq!(desk.book.status().connections[2].handed_over, 0);
    // What matters least moved: 2 and 4 had been asked for first.
    assert_eq!([2, 4].map(|id| desk.home_of(id)), [3, 3]);
    assert_eq!(desk.book.poll_timeout(), None);
}

#[test]
fn one_that_is_there_for_long_is_enough() {
    let mut desk = nine();
    desk.disconnect(2);
    desk.disconnect(3);
    desk.pass(8);
    // The second is back just now; the first has been there all the time.
    desk.connect(2);
    desk.pump();
    desk.pass(2);
    assert_eq!(desk.told(), ["3 hands over 2"]);
}

#[test]
fn one_that_is_away_takes_nothing_while_another_has_room() {
    let mut desk = nine();
    desk.release(9);
    desk.release(6);
    desk.pump();
    // Down for a moment: it takes its share.
    desk.disconnect(3);
    desk.admit(20, A, legs(&[20]));
    assert_eq!(desk.home_of(20), 3);
    desk.pass(10);
    assert_eq!(desk.told(), ["3 hands over 2"]);
    desk.release(1);
    desk.pump();
    desk.admit(21, A, legs(&[21]));
    assert_eq!(desk.home_of(21), 1);
    // Just back it does not, either.
    desk.release(21);
    desk.pump();
    desk.connect(3);
    desk.admit(22, A, legs(&[22]));
    assert_eq!(desk.home_of(22), 1);
    // A rebalance leaves it alone.
    assert_eq!(desk.book.rebalance(desk.now, &mut desk.effects), 0);
    desk.pass(5);
    assert_eq!(desk.told(), ["2 even out"]);
}

#[test]
fn one_that_comes_and_goes_causes_no_waves() {
    let mut desk = nine();
    desk.disconnect(3);
    desk.pass(10);
    assert_eq!(desk.told(), ["3 hands over 2"]);
    for _ in 0..10 {
        desk.connect(3);
        desk.pass(4);
        desk.disconnect(3);
        desk.pass(7);
        assert_eq!(desk.told(), [""; 0]);
    }
    // Who falls again and again without having settled is not waited for anew.
    let mut desk = nine();
    for _ in 0..2 {
        desk.disconnect(3);
        desk.pass(3);
        desk.connect(3);
        desk.pass(1);
    }
    desk.disconnect(3);
    desk.pass(2);
    assert_eq!(desk.told(), ["3 hands over 2"]);
}

#[test]
fn one_that_will_not_come_back_hands_over_at_once() {
    let mut desk = nine();
    desk.stop(3);
    assert!(desk.book.poll_timeout() <= Some(desk.now.mono));
    desk.wait(0);
    assert_eq!(desk.told(), ["3 hands over 2"]);
    // While it is known to be gone it takes nothing more, whoever has room.
    let mut desk = nine();
    desk.stop(3);
    desk.admit(10, A, legs(&[10]));
    assert_eq!(desk.home_of(10), 1);
    // Somebody started it again.
    let mut desk = nine();
    desk.stop(3);
    desk.disconnect(3);
    desk.pass(9);
    assert_eq!(desk.told(), [""; 0]);
}

#[test]
fn a_total_loss_moves_nothing() {
    for lost in [1, 9, 60, 3_600] {
        let mut desk = nine();
        for conn in 1..=3 {
            desk.disconnect(conn);
        }
        desk.pass(lost);
        // One probes whether the broker is there; the others follow.
        desk.connect(2);
        for conn in [1, 3] {
            desk.pump();
            desk.now = desk.now + Duration::from_millis(500);
            desk.wait(0);
            desk.connect(conn);
        }
        desk.pump();
        desk.pass(60);
        assert_eq!((desk.told(), desk.charged()), (vec![], vec![3, 3, 3]));
    }
    // Two of them stay away, one for good.
    let mut desk = nine();
    for conn in 1..=3 {
        desk.disconnect(conn);
    }
    desk.stop(1);
    desk.pass(60);
    desk.connect(2);
    desk.pass(4);
    assert_eq!(desk.told(), [""; 0]);
    desk.pass(1);
    assert_eq!(desk.told(), ["1 hands over 1"]);
    desk.release(2);
    desk.release(5);
    desk.pass(4);
    assert_eq!(desk.told(), [""; 0]);
    desk.pass(1);
    // The first has waited for longer, but both are looked at.
    assert_eq!(desk.told(), ["1 hands over 2"]);
    assert_eq!(desk.charged(), [0, 4, 3]);
}

#[test]
fn one_that_never_came_up_is_away_after_the_grace() {
    let mut desk = Desk::new(3, 4, 2);
    for id in 1..=6 {
        desk.admit(u64::from(id), A, legs(&[id]));
    }
    desk.pass(60);
    desk.connect(1);
    desk.connect(2);
    desk.pump();
    desk.pass(9);
    assert_eq!((desk.told(), desk.charged()), (vec![], vec![2, 2, 2]));
    desk.pass(1);
    assert_eq!(desk.told(), ["3 hands over 2"]);
    assert_eq!(desk.charged(), [3, 3, 0]);
}

#[test]
fn small_differences_stay() {
    // The third was away with nothing on it.
    let lopsided = |released: &[u64]| {
        let mut desk = nine();
        for id in [3, 6, 9] {
            desk.release(id);
        }
        for &id in released {
            desk.release(id);
        }
        desk.pump();
        desk.disconnect(3);
        desk.pass(60);
        desk.connect(3);
        desk.pass(10);
        desk.told()
    };
    // A message holds two: one to move is not worth it, two are.
    assert_eq!(lopsided(&[1, 2, 4, 5, 7]), [""; 0]);
    assert_eq!(lopsided(&[1, 2, 4, 5]), [""; 0]);
    assert_eq!(lopsided(&[1]), [""; 0]);
    assert_eq!(lopsided(&[]), ["2 even out"]);
}

#[test]
fn what_has_not_left_its_old_connection_goes_back_there() {
    let mut desk = nine();
    for id in [3, 6, 9] {
        desk.release(id);
    }
    desk.pump();
    assert_eq!(desk.book.rebalance(desk.now, &mut desk.effects), 2);
    assert_eq!(desk.poll(3).as_deref(), Some("3 +full 2 1"));
    desk.written(3);
    let slot = desk.slot(1);
    let conn = ConnId::from_index(2);
    desk.book
        .handle_first_packet(desk.now, slot, conn, &mut desk.effects);
    assert_eq!(desk.home_of(1), 3);
    desk.effects.clear();
    desk.disconnect(3);
    let conn = ConnId::from_index(0);
    assert!(desk.effects.contains(&Effect::Homed { slot, conn }));
    assert_eq!(desk.pump(), [""; 0]);
    assert_eq!(desk.charged(), [3, 3, 0]);
    assert_eq!(
        desk.book.on_wire(slot).map(|wire| wire.conn),
        Some(ConnId::from_index(0))
    );
    assert_eq!(desk.book.instrument(key(1)).unwrap().migrating_to, None);
}
