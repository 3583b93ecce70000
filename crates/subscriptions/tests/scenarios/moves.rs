use strikewire_subscriptions::Effect;
use strikewire_types::{ConnId, Mode};

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
        // Nothing waits for a packet any more, but for the connection.
        let patience = std::time::Duration::from_secs(10);
        assert_eq!(desk.book.poll_timeout(), Some(desk.now.mono + patience));
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

#[test]
fn a_rebalance_of_many_goes_a_few_at_a_time() {
    let config = strikewire_subscriptions::Config {
        connections: 2,
        per_connection: 20,
        total: 40,
        per_batch: 10,
        moves_at_once: 2,
        ..strikewire_subscriptions::Config::default()
    };
    let mut desk = Desk::with(config).up();
    for id in 1..=20 {
        desk.admit(u64::from(id), A, legs(&[id]));
    }
    desk.pump();
    for id in 1..=10 {
        desk.release(2 * id);
    }
    desk.pump();
    assert_eq!(desk.charged(), [10, 0]);
    assert_eq!(desk.book.rebalance(desk.now, &mut desk.effects), 5);
    assert_eq!(desk.charged(), [10, 2]);
    assert_eq!(desk.pump(), ["2 +full 3 1"]);
    // One arrives: the next one begins, though the first is still on both.
    let (slot, conn) = (desk.slot(1), ConnId::from_index(1));
    desk.book
        .handle_first_packet(desk.now, slot, conn, &mut desk.effects);
    assert_eq!(desk.book.status().migrating, 2);
    assert_eq!(desk.pump(), ["1 -full 1", "2 +full 5"]);
    // What is to move next is let go of: another one does.
    desk.release(7);
    desk.pump();
    desk.pass(60);
    assert_eq!(desk.charged(), [5, 4]);
    assert_eq!([1, 3, 5, 9].map(|id| desk.home_of(id)), [2; 4]);
    assert_eq!(desk.book.rebalance(desk.now, &mut desk.effects), 0);
}

#[test]
fn with_no_room_for_both_it_goes_on_as_room_comes() {
    let mut desk = Desk::new(2, 4, 4).up();
    for id in 1..=8 {
        desk.admit(u64::from(id), A, legs(&[id]));
    }
    desk.pump();
    assert_eq!(desk.book.rebalance(desk.now, &mut desk.effects), 0);
    let config = strikewire_subscriptions::Config {
        connections: 2,
        per_connection: 6,
        total: 7,
        per_batch: 4,
        ..strikewire_subscriptions::Config::default()
    };
    let mut desk = Desk::with(config).up();
    for id in 1..=7 {
        desk.admit(u64::from(id), A, legs(&[id]));
    }
    desk.pump();
    desk.release(2);
    desk.release(4);
    desk.pump();
    desk.admit(9, A, legs(&[9]));
    desk.release(9);
    desk.release(6);
    desk.pump();
    assert_eq!(desk.charged(), [4, 0]);
    // Three places are free, two moves fit at once.
    assert_eq!(desk.book.rebalance(desk.now, &mut desk.effects), 2);
    desk.pump();
    desk.pass(20);
    assert_eq!(desk.charged(), [2, 2]);
}

#[test]
fn a_packet_while_the_mode_changes_does_not_end_a_move() {
    let (one, two) = (ConnId::from_index(0), ConnId::from_index(1));
    let mut desk = lopsided();
    desk.book.rebalance(desk.now, &mut desk.effects);
    assert_eq!(desk.poll(2).as_deref(), Some("2 +full 3 1"));
    desk.written(2);
    // Everybody of 1 is content with less, and then somebody wants all again.
    desk.admit(20, A, vec![crate::desk::leg(1, Mode::Ticker, 0)]);
    desk.release(1);
    assert_eq!(desk.poll(2).as_deref(), Some("2 -full 1"));
    desk.admit(21, A, legs(&[1]));
    desk.effects.clear();
    let slot = desk.slot(1);
    desk.book
        .handle_first_packet(desk.now, slot, two, &mut desk.effects);
    let again = Effect::Migrate {
        slot,
        from: one,
        to: two,
    };
    assert_eq!(desk.effects, [again]);
    desk.written(2);
    assert_eq!(desk.pump(), ["2 +full 1"]);
    desk.book
        .handle_first_packet(desk.now, slot, two, &mut desk.effects);
    assert_eq!(desk.pump(), ["1 -full 1"]);
}

#[test]
fn the_old_side_stays_until_the_new_one_delivers_what_is_wanted() {
    let two = ConnId::from_index(1);
    let mut desk = lopsided();
    desk.book.rebalance(desk.now, &mut desk.effects);
    assert_eq!(desk.poll(2).as_deref(), Some("2 +full 3 1"));
    desk.written(2);
    desk.admit(20, A, vec![crate::desk::leg(1, Mode::Ticker, 0)]);
    let slot = desk.slot(1);
    desk.book
        .handle_first_packet(desk.now, slot, two, &mut desk.effects);
    assert_eq!(desk.home_of(1), 2);
    // The mode falls before anything is written.
    desk.release(1);
    assert_eq!(desk.poll(1), None);
    assert_eq!(desk.poll(2).as_deref(), Some("2 -full 1"));
    desk.written(2);
    assert_eq!(desk.poll(1), None);
    assert_eq!(desk.poll(2).as_deref(), Some("2 +ticker 1"));
    assert_eq!(desk.poll(1), None);
    desk.written(2);
    assert_eq!(desk.poll(1).as_deref(), Some("1 -full 1"));
}
