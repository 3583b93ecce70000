use strikewire_subscriptions::{Effect, State, Why};
use strikewire_types::Mode;

use crate::desk::{A, B, Desk, key, leg, legs, owner};

fn even(key: strikewire_types::InstrumentKey) -> bool {
    key.id.0.is_multiple_of(2)
}

#[test]
fn some_legs_of_a_claim_go() {
    let mut desk = Desk::new(1, 10, 10).up();
    desk.admit(1, A, legs(&[1, 2, 3, 4]));
    desk.admit(2, A, vec![leg(4, Mode::Ticker, 0)]);
    desk.pump();
    desk.effects.clear();
    let dropped = desk
        .book
        .drop_legs(desk.now, owner(1), even, &mut desk.effects);
    assert_eq!((dropped.held, dropped.leaving), (2, 1));
    assert_eq!((dropped.contracts_held, dropped.contracts_leaving), (2, 1));
    let slot = desk.slot(2);
    assert_eq!(
        desk.effects[..2],
        [
            Effect::Undesired {
                slot,
                key: key(2),
                owner: owner(1),
                why: Why::Released,
            },
            Effect::Changed {
                slot: desk.slot(4),
                key: key(4),
                tier: A,
                mode: Mode::Ticker,
            },
        ]
    );
    // It does not linger.
    let state = desk.book.instrument(key(2)).unwrap().state;
    assert_eq!(state, State::Leaving);
    assert_eq!(desk.pump(), ["1 -full 4", "1 +ticker 4", "1 -full 2"]);
    let kept: Vec<u32> = desk
        .book
        .claim(owner(1))
        .unwrap()
        .legs()
        .map(|leg| leg.key.id.0)
        .collect();
    assert_eq!(kept, [1, 3]);
    // Nothing to let go of, nobody to do it.
    desk.effects.clear();
    for id in [1, 7] {
        let dropped = desk
            .book
            .drop_legs(desk.now, owner(id), even, &mut desk.effects);
        assert_eq!((dropped.held, dropped.leaving), (0, 0));
    }
    assert_eq!(desk.effects, []);
}

#[test]
fn a_claim_whose_last_leg_goes_ends() {
    let mut desk = Desk::new(1, 10, 10).up();
    desk.admit(1, B, legs(&[2, 4]));
    let dropped = desk
        .book
        .drop_legs(desk.now, owner(1), even, &mut desk.effects);
    assert_eq!((dropped.held, dropped.leaving), (2, 2));
    assert!(desk.book.claim(owner(1)).is_none());
    assert_eq!(desk.pump(), [""; 0]);
    // One that holds nothing yet does not.
    desk.admit(1, B, legs(&[]));
    desk.book
        .drop_legs(desk.now, owner(1), even, &mut desk.effects);
    assert!(desk.book.claim(owner(1)).is_some());
}

/// A change of day: everything is released and claimed again under the new master, in
/// one turn. The wires see what is different, and slots stay.
#[test]
fn what_is_wanted_again_at_once_costs_no_message() {
    let mut desk = Desk::new(2, 10, 3).up();
    desk.admit(1, B, legs(&[1, 2, 3, 4]));
    desk.admit(2, A, legs(&[3, 4, 5, 6]));
    desk.admit(3, A, legs(&[7, 8]));
    desk.pump();
    let kept = [1, 2, 3, 5, 6, 8];
    let slots = kept.map(|id| desk.slot(id));
    desk.effects.clear();
    for id in 1..=3 {
        desk.release(id);
    }
    assert_eq!(desk.book.status().desired, 0);
    // 4 and 7 are gone, 9 is new.
    desk.admit(1, B, legs(&[1, 2, 3]));
    desk.admit(2, A, legs(&[3, 5, 6]));
    desk.admit(3, A, legs(&[9, 8]));
    let count = |is: fn(&Effect) -> bool| desk.effects.iter().filter(|e| is(e)).count();
    assert_eq!(count(|e| matches!(e, Effect::Undesired { .. })), 8);
    assert_eq!(count(|e| matches!(e, Effect::Desired { .. })), 7);
    assert_eq!(count(|e| matches!(e, Effect::Bind { .. })), 1);
    assert_eq!(count(|e| matches!(e, Effect::Unbind { .. })), 0);
    assert_eq!(kept.map(|id| desk.slot(id)), slots);
    let mut messages = desk.pump();
    messages.sort_unstable();
    assert_eq!(messages, ["1 +full 9", "1 -full 7", "2 -full 4"]);
    // Another mode is a difference.
    desk.release(3);
    desk.admit(3, A, vec![leg(8, Mode::Quote, 0), leg(9, Mode::Full, 1)]);
    assert_eq!(desk.pump(), ["2 -full 8", "2 +quote 8"]);
    // Where no wire is up nothing stays.
    desk.disconnect(1);
    desk.disconnect(2);
    desk.effects.clear();
    desk.release(3);
    desk.admit(3, A, legs(&[9, 8]));
    let bound = |e: &&Effect| matches!(e, Effect::Bind { .. } | Effect::Unbind { .. });
    assert_eq!(desk.effects.iter().filter(bound).count(), 4);
}
