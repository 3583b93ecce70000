use std::time::Duration;

use strikewire_broker::{ConnEvent, DownCause};
use strikewire_subscriptions::{Effect, OnWire, Role, WireState};
use strikewire_types::{ConnId, Epoch, Mode, Slot, Tier};

use crate::desk::{A, B, Desk, key, leg, legs, owner};

#[test]
fn the_most_valuable_goes_first() {
    let mut desk = Desk::new(1, 100, 3);
    desk.admit(1, A, legs(&[10, 11, 12, 13]));
    desk.admit(2, A, legs(&[20, 21]));
    desk.admit(3, B, legs(&[30, 31]));
    desk.admit(4, B, legs(&[40]));
    let mut underlying = leg(50, Mode::Ticker, 0);
    underlying.role = Role::Underlying;
    desk.admit(5, A, vec![underlying, leg(51, Mode::Full, 1)]);
    // Read again: now more recently used than 2 and 5.
    desk.book.touch(desk.now, owner(1));
    let mut desk = desk.up();
    assert_eq!(
        desk.pump(),
        [
            "1 +ticker 50",
            // Tier B in the order it was made, then tier A by use.
            "1 +full 30 31 40",
            "1 +full 10 11 12",
            "1 +full 13 51 20",
            "1 +full 21",
        ]
    );
}

#[test]
fn a_mode_changes_by_letting_go_first() {
    let mut desk = Desk::new(1, 10, 2).up();
    let one = |mode| vec![leg(1, mode, 0)];
    desk.admit(1, A, one(Mode::Ticker));
    assert_eq!(desk.pump(), ["1 +ticker 1"]);
    desk.admit(2, A, one(Mode::Full));
    assert_eq!(desk.pump(), ["1 -ticker 1", "1 +full 1"]);
    // A lower one changes nothing, nor does the same again.
    desk.admit(3, B, one(Mode::Quote));
    desk.admit(2, A, one(Mode::Full));
    assert_eq!(desk.pump(), [""; 0]);
    assert_eq!(desk.release(2), (1, 0));
    assert_eq!(desk.pump(), ["1 -full 1", "1 +quote 1"]);
    // There and back while the first message is under way.
    desk.admit(2, A, one(Mode::Full));
    assert_eq!(desk.poll(1).as_deref(), Some("1 -quote 1"));
    assert_eq!(desk.release(2), (1, 0));
    desk.written(1);
    assert_eq!(desk.pump(), ["1 +quote 1"]);
    // There and back before it.
    desk.admit(2, A, one(Mode::Full));
    assert_eq!(desk.release(2), (1, 0));
    assert_eq!(desk.pump(), [""; 0]);
    let view = desk.book.instrument(key(1)).unwrap();
    assert_eq!((view.tier, view.mode, view.holders), (B, Mode::Quote, 2));
    assert_eq!(view.wire, WireState::Subscribed(Mode::Quote));
    let modes: Vec<(u64, Tier, Mode)> = desk
        .book
        .holders(key(1))
        .iter()
        .map(|holder| (holder.owner.id, holder.tier, holder.mode))
        .collect();
    assert_eq!(modes, [(1, A, Mode::Ticker), (3, B, Mode::Quote)]);
}

#[test]
fn room_on_one_connection_is_no_room_on_another() {
    let mut desk = Desk::new(2, 2, 2).up();
    desk.admit(1, A, legs(&[1, 2]));
    desk.admit(2, A, legs(&[3, 4]));
    desk.pump();
    assert_eq!(desk.release(1), (2, 2));
    desk.admit(3, A, legs(&[5, 6]));
    // 1 and 3 are on the first connection, 2 and 4 on the second.
    assert_eq!(desk.poll(1).as_deref(), Some("1 -full 1"));
    assert_eq!(desk.poll(2).as_deref(), Some("2 -full 2"));
    desk.written(2);
    assert_eq!(desk.pump(), ["2 +full 5"]);
    desk.written(1);
    assert_eq!(desk.pump(), ["1 +full 6"]);
}

#[test]
fn what_changed_while_down_is_part_of_the_difference() {
    let mut desk = Desk::new(1, 10, 10).up();
    desk.admit(1, A, legs(&[1, 2]));
    desk.admit(2, A, legs(&[3, 4]));
    desk.pump();
    desk.disconnect(1);
    desk.effects.clear();
    assert_eq!(desk.release(1), (2, 2));
    let unbound = desk
        .effects
        .iter()
        .filter(|e| matches!(e, Effect::Unbind { .. }));
    assert_eq!(unbound.count(), 2);
    desk.admit(3, A, legs(&[5]));
    desk.book.touch(desk.now, owner(2));
    assert_eq!(desk.pump(), [""; 0]);
    desk.connect(1);
    assert_eq!(desk.pump(), ["1 +full 3 4 5"]);
}

#[test]
fn an_earlier_life_is_not_listened_to() {
    let mut desk = Desk::new(1, 10, 10).up();
    desk.admit(1, A, legs(&[1]));
    let old = Epoch(1);
    assert_eq!(desk.poll(1).as_deref(), Some("1 +full 1"));
    desk.disconnect(1);
    desk.connect(1);
    assert_eq!(desk.poll(1).as_deref(), Some("1 +full 1"));
    desk.effects.clear();
    let conn = ConnId::from_index(0);
    let before = desk.book.status();
    let cause = DownCause::Stopped;
    for event in [
        ConnEvent::Ready { conn, epoch: old },
        ConnEvent::Up { conn, epoch: old },
        ConnEvent::Down {
            conn,
            epoch: old,
            cause,
            retry_in: None,
        },
    ] {
        desk.event(&event);
        assert_eq!(
            (desk.book.status(), &desk.effects[..]),
            (before.clone(), &[][..])
        );
    }
    // A connection that there is not.
    let conn = ConnId::from_index(7);
    desk.event(&ConnEvent::Up { conn, epoch: old });
    assert_eq!(desk.book.status(), before);
}

#[test]
fn an_up_without_a_down_is_a_new_life() {
    let mut desk = Desk::new(1, 10, 10).up();
    desk.admit(1, A, legs(&[1]));
    assert_eq!(desk.pump(), ["1 +full 1"]);
    desk.connect(1);
    assert_eq!(desk.pump(), ["1 +full 1"]);
}

#[test]
fn a_slot_rests_before_it_is_used_again() {
    let mut desk = Desk::new(1, 10, 10).up();
    desk.admit(1, A, legs(&[1]));
    desk.pump();
    let slot = desk.slot(1);
    desk.release(1);
    desk.pump();
    desk.now = desk.now + Duration::from_millis(999);
    desk.admit(2, A, legs(&[2]));
    assert_ne!(desk.slot(2), slot);
    desk.now = desk.now + Duration::from_millis(1);
    desk.admit(3, A, legs(&[3]));
    assert_eq!(desk.slot(3), slot);
}

#[test]
fn what_stays_silent_is_subscribed_once_more() {
    let mut desk = Desk::new(1, 10, 10).up();
    desk.admit(1, A, legs(&[1, 2]));
    let slot = desk.slot(1);
    assert_eq!(desk.book.on_wire(slot), None);
    assert!(!desk.book.resend(desk.now, slot, &mut desk.effects));
    assert_eq!(desk.poll(1).as_deref(), Some("1 +full 1 2"));
    assert_eq!(desk.book.on_wire(slot), None);
    assert!(!desk.book.resend(desk.now, slot, &mut desk.effects));
    desk.written(1);
    let first = OnWire {
        conn: ConnId::from_index(0),
        mode: Mode::Full,
        since: desk.now.mono,
    };
    assert_eq!(desk.book.on_wire(slot), Some(first));
    desk.wait(10);
    desk.effects.clear();
    assert!(desk.book.resend(desk.now, slot, &mut desk.effects));
    let conn = first.conn;
    assert_eq!(desk.effects, [Effect::Wake { conn }]);
    // Once is enough, and it is on the wire all the while.
    assert!(!desk.book.resend(desk.now, slot, &mut desk.effects));
    assert_eq!(desk.book.on_wire(slot), Some(first));
    let view = desk.book.instrument(key(1)).unwrap();
    assert_eq!(view.wire, WireState::Subscribed(Mode::Full));
    assert_eq!(desk.pump(), ["1 +full 1"]);
    let since = desk.now.mono;
    let renewed = OnWire { since, ..first };
    assert_eq!(desk.book.on_wire(slot), Some(renewed));
    let other = desk.slot(2);
    assert_eq!(desk.book.on_wire(other), Some(first));
}

#[test]
fn what_is_to_be_subscribed_once_more_may_go_or_change() {
    // Released while it is queued: it is still to be let go of.
    let queued = || {
        let mut desk = Desk::new(1, 10, 10).up();
        desk.admit(1, A, legs(&[1]));
        desk.pump();
        let slot = desk.slot(1);
        assert!(desk.book.resend(desk.now, slot, &mut desk.effects));
        (desk, slot)
    };
    let (mut desk, slot) = queued();
    desk.release(1);
    assert!(!desk.book.resend(desk.now, slot, &mut desk.effects));
    assert_eq!(desk.book.on_wire(slot), None);
    assert_eq!(desk.pump(), ["1 -full 1"]);
    // And while it is under way.
    let (mut desk, _) = queued();
    assert_eq!(desk.poll(1).as_deref(), Some("1 +full 1"));
    desk.release(1);
    desk.written(1);
    assert_eq!(desk.pump(), ["1 -full 1"]);
    // Another mode is reason enough.
    let (mut desk, slot) = queued();
    desk.admit(1, A, vec![leg(1, Mode::Quote, 0)]);
    assert_eq!(desk.pump(), ["1 -full 1", "1 +quote 1"]);
    let wire = desk.book.on_wire(slot).unwrap();
    assert_eq!((wire.mode, wire.since), (Mode::Quote, desk.now.mono));
    // A new life sends it anyway.
    let (mut desk, slot) = queued();
    desk.disconnect(1);
    assert_eq!(desk.book.on_wire(slot), None);
    assert!(!desk.book.resend(desk.now, slot, &mut desk.effects));
    desk.connect(1);
    assert_eq!(desk.pump(), ["1 +full 1"]);
    // What lingers is not worth it.
    let (mut desk, slot) = queued();
    desk.roll(1, &[2]);
    assert_eq!(desk.pump(), ["1 +full 2"]);
    assert_eq!(desk.book.on_wire(slot), None);
    // A slot that there is not.
    let slot = Slot(99);
    assert_eq!(desk.book.on_wire(slot), None);
    assert!(!desk.book.resend(desk.now, slot, &mut desk.effects));
}
