use strikewire_subscriptions::{Effect, State, Why};

use crate::desk::{A, B, Desk, key, legs};

#[test]
fn a_roll_lingers_and_sends_only_the_difference() {
    let mut desk = Desk::new(1, 10, 5).up();
    desk.admit(1, A, legs(&[3, 2, 4, 1, 5]));
    desk.pump();
    desk.effects.clear();
    desk.roll(1, &[4, 3, 5, 2, 6]);
    assert_eq!(desk.pump(), ["1 +full 6"]);
    let gone = desk.book.instrument(key(1)).unwrap();
    assert_eq!((gone.state, gone.holders), (State::Lingering, 0));
    assert_eq!(desk.book.status().free, 5);
    // Back again before the linger ends: nothing is sent.
    desk.wait(4);
    desk.roll(1, &[3, 2, 4, 1, 5]);
    assert_eq!(desk.pump(), [""; 0]);
    assert_eq!(
        desk.book.instrument(key(6)).unwrap().state,
        State::Lingering
    );
    desk.wait(4);
    assert_eq!(desk.pump(), [""; 0]);
    desk.wait(1);
    assert_eq!(desk.pump(), ["1 -full 6"]);
    assert_eq!(desk.book.instrument(key(6)), None);
    assert_eq!(desk.book.poll_timeout(), None);
    let owners: Vec<Why> = desk
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Undesired { why, .. } => Some(*why),
            _ => None,
        })
        .collect();
    assert_eq!(owners, [Why::Rolled, Why::Rolled]);
}

#[test]
fn a_roll_of_a_full_book_lets_go_of_its_own_first() {
    let mut desk = Desk::new(1, 6, 2).up();
    desk.admit(1, A, legs(&[4, 3, 2, 1]));
    desk.admit(2, A, legs(&[8, 9]));
    desk.pump();
    desk.effects.clear();
    // A jump: only 4 stays. The farthest from the money go first.
    desk.roll(1, &[6, 5, 7, 4]);
    assert_eq!(desk.book.status().unplaced, 3);
    assert_eq!(
        desk.pump(),
        ["1 -full 1 2", "1 -full 3", "1 +full 6 5", "1 +full 7"]
    );
    assert!(
        !desk
            .effects
            .iter()
            .any(|e| matches!(e, Effect::Evicted { .. }))
    );
    assert_eq!(desk.book.status().unplaced, 0);
    // What goes is shared: there is no room, and nobody is evicted for it.
    desk.admit(3, A, legs(&[4, 5, 6, 7]));
    desk.roll(1, &[11, 12]);
    assert_eq!(desk.pump(), [""; 0]);
    let status = desk.book.status();
    assert_eq!((status.desired, status.free, status.unplaced), (8, 0, 2));
    assert_eq!(desk.book.instrument(key(11)).unwrap().home, None);
    // It comes as room comes.
    assert_eq!(desk.release(2), (2, 2));
    assert_eq!(desk.pump(), ["1 -full 9 8", "1 +full 11 12"]);
}

#[test]
fn an_admission_uses_the_room_of_what_lingers() {
    let mut desk = Desk::new(1, 4, 2).up();
    desk.admit(1, A, legs(&[1, 2]));
    desk.admit(2, A, legs(&[3, 4]));
    desk.pump();
    desk.roll(1, &[2]);
    desk.wait(1);
    desk.roll(2, &[3]);
    assert_eq!(
        (desk.book.status().free, desk.book.status().lingering),
        (2, 2)
    );
    // The oldest goes first, and only as many as it takes.
    desk.effects.clear();
    desk.admit(3, A, legs(&[5]));
    assert_eq!(desk.pump(), ["1 -full 1", "1 +full 5"]);
    assert_eq!(desk.book.status().lingering, 1);
    assert!(
        !desk
            .effects
            .iter()
            .any(|e| matches!(e, Effect::Evicted { .. }))
    );
}

#[test]
fn what_rolls_in_goes_where_the_fewest_will_be() {
    let mut desk = Desk::new(2, 5, 5).up();
    desk.admit(1, A, legs(&[1, 2, 3, 4]));
    desk.pump();
    assert_eq!(desk.charged(), [2, 2]);
    // 1 and 3 linger on the first connection, which has as many as the second.
    desk.roll(1, &[2, 4, 5, 6]);
    assert_eq!(desk.pump(), ["1 +full 5 6"]);
    desk.wait(5);
    assert_eq!(desk.pump(), ["1 -full 3 1"]);
    assert_eq!(desk.charged(), [2, 2]);
}

#[test]
fn the_nearest_to_the_money_get_the_room_there_is() {
    let mut desk = Desk::new(1, 4, 4).up();
    desk.admit(1, A, legs(&[9]));
    desk.admit(2, A, legs(&[9]));
    desk.admit(3, A, legs(&[8]));
    desk.roll(1, &[5, 3, 4, 1, 2]);
    assert_eq!(desk.pump(), ["1 +full 8 9 5 3"]);
    assert_eq!(desk.release(3), (1, 1));
    assert_eq!(desk.pump(), ["1 -full 8", "1 +full 4"]);
    assert_eq!(desk.release(2), (1, 1));
    assert_eq!(desk.pump(), ["1 -full 9", "1 +full 1"]);
    assert_eq!(desk.book.status().unplaced, 1);
}

#[test]
fn who_waits_is_served_before_who_comes() {
    let mut desk = Desk::new(1, 2, 4);
    desk.admit(1, B, legs(&[1]));
    desk.admit(2, A, legs(&[1]));
    desk.admit(3, A, legs(&[8]));
    desk.roll(1, &[5]);
    assert_eq!(desk.book.status().unplaced, 1);
    // In the place of 8 comes 5, which is tier B, and not 7.
    desk.admit(3, A, legs(&[7]));
    assert!(desk.book.instrument(key(5)).unwrap().home.is_some());
    assert_eq!(desk.book.instrument(key(7)).unwrap().home, None);
}
