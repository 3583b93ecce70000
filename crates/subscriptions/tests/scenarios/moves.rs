use strikewire_subscriptions::Effect;
use strikewire_types::ConnId;

use crate::desk::{A, Desk, key, legs};

/// Instruments 1, 3, 5 and 7 on the first connection, nothing on the second.
fn lopsided() -> Desk {
    let mut desk = Desk::new(2, 10, 10).up();
    for id in 1..=8 {
        desk.admit(u64::from(id), A, legs(&[id]));
    }
    desk.pump();
    for id in [2, 4, 6, 8] {
        desk.release(id);
    }
    desk.pump();
    assert_eq!(desk.charged(), [4, 0]);
    desk.effects.clear();
    desk
}

#[test]
fn a_move_is_made_before_it_breaks() {
    let (one, two) = (ConnId::from_index(0), ConnId::from_index(1));
    let mut desk = lopsided();
    assert_eq!(desk.book.rebalance(desk.now, &mut desk.effects), 2);
    let slot = desk.slot(1);
    let migrate = Effect::Migrate {
        slot,
        from: one,
        to: two,
    };
    assert!(desk.effects.contains(&migrate));
    assert_eq!(desk.charged(), [4, 2]);
    assert_eq!(desk.pump(), ["2 +full 3 1"]);
    // A packet from the old side says nothing.
    desk.effects.clear();
    desk.book
        .handle_first_packet(desk.now, slot, one, &mut desk.effects);
    assert_eq!(desk.effects, []);
    desk.book
        .handle_first_packet(desk.now, slot, two, &mut desk.effects);
    assert!(desk.effects.contains(&Effect::Homed { slot, conn: two }));
    assert_eq!(desk.pump(), ["1 -full 1"]);
    // The other one never sends anything.
    desk.wait(4);
    assert_eq!(desk.pump(), [""; 0]);
    desk.wait(1);
    assert_eq!(desk.pump(), ["1 -full 3"]);
    assert_eq!(desk.charged(), [2, 2]);
    assert_eq!(desk.book.rebalance(desk.now, &mut desk.effects), 0);
}

#[test]
fn a_move_survives_either_side() {
    let (one, two) = (ConnId::from_index(0), ConnId::from_index(1));
    for (lost, left) in [(one, two), (two, one)] {
        let mut desk = lopsided();
        desk.book.rebalance(desk.now, &mut desk.effects);
        desk.pump();
        desk.effects.clear();
        desk.disconnect(lost.index() + 1);
        for id in [1, 3] {
            let conn = left;
            let slot = desk.slot(id);
            assert!(desk.effects.contains(&Effect::Homed { slot, conn }));
            let view = desk.book.instrument(key(id)).unwrap();
            assert_eq!((view.home, view.migrating_to), (Some(left), None));
        }
        assert_eq!(desk.book.poll_timeout(), None);
        desk.connect(lost.index() + 1);
        desk.pump();
        assert_eq!(desk.charged().iter().sum::<usize>(), 4);
    }
}

#[test]
fn what_was_never_sent_moves_at_once() {
    let (one, two) = (ConnId::from_index(0), ConnId::from_index(1));
    let mut desk = Desk::new(2, 10, 10);
    for id in 1..=4 {
        desk.admit(u64::from(id), A, legs(&[id]));
    }
    desk.release(2);
    desk.release(4);
    let mut desk = desk.up();
    desk.effects.clear();
    assert_eq!(desk.book.rebalance(desk.now, &mut desk.effects), 1);
    let (slot, conn) = (desk.slot(1), two);
    let wakes = [one, two].map(|conn| Effect::Wake { conn });
    assert_eq!(
        desk.effects,
        [Effect::Homed { slot, conn }, wakes[0], wakes[1]]
    );
    assert_eq!(desk.pump(), ["1 +full 3", "2 +full 1"]);
}
