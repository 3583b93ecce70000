use std::time::Duration;

use strikewire_broker::Fault;
use strikewire_subscriptions::{Effect, WireState};

use crate::desk::{A, Desk, key, leg, legs};

#[test]
fn a_connection_with_too_many_holds_fewer_for_an_hour() {
    let mut desk = Desk::new(2, 6, 2).up();
    for id in 1..=10 {
        desk.admit(u64::from(id), A, legs(&[id]));
    }
    desk.pump();
    assert_eq!(desk.charged(), [5, 5]);
    // Five were on it, so it holds three; the other one has room for one more.
    desk.fault(1, Fault::TooMany);
    assert_eq!(desk.charged(), [3, 6]);
    let status = desk.book.status();
    assert_eq!((status.connections[0].cap, status.unplaced), (3, 1));
    // What matters least went: 1 first, then 3, which waits and has no row.
    assert_eq!([1, 3].map(|id| desk.home_of(id)), [2, 0]);
    let (slot, key) = (desk.slot(3), key(3));
    assert!(desk.effects.contains(&Effect::Unbind { slot, key }));
    assert_eq!(desk.told(), ["1 holds 3"]);
    desk.connect(1);
    assert_eq!(desk.pump(), ["1 +full 9 7", "2 +full 1", "1 +full 5"]);
    // Who waits comes where room comes, in the slot it has.
    desk.release(7);
    assert_eq!(desk.pump(), ["1 -full 7", "1 +full 3"]);
    assert_eq!(desk.slot(3), slot);
    desk.admit(11, A, legs(&[11]));
    assert_eq!(desk.book.status().unplaced, 1);
    desk.pass(3_599);
    assert_eq!(desk.book.status().unplaced, 1);
    desk.pass(1);
    let status = desk.book.status();
    assert_eq!((status.connections[0].cap, status.unplaced), (6, 0));
    assert_eq!(desk.book.poll_timeout(), None);
}

#[test]
fn a_cap_never_falls_below_a_message() {
    let mut desk = Desk::new(1, 6, 2).up();
    desk.admit(1, A, legs(&[1]));
    desk.fault(1, Fault::TooMany);
    assert_eq!(desk.told(), ["1 holds 2"]);
    assert_eq!(desk.book.status().connections[0].cap, 2);
    // With nothing held any more all is as it was.
    desk.release(1);
    assert_eq!(desk.book.status().connections[0].cap, 6);
    assert_eq!(desk.book.poll_timeout(), None);
    // Nor does it ever rise.
    let mut desk = Desk::new(1, 1, 100).up();
    desk.admit(1, A, legs(&[1]));
    desk.fault(1, Fault::TooMany);
    assert_eq!(desk.told(), ["1 holds 1"]);
}

/// The broker closes a connection as soon as it is asked for 13. What it was sent until
/// it takes everything else, one line for each life.
fn find_13(desk: &mut Desk) -> Vec<String> {
    let mut lives = Vec::new();
    let mut life = Vec::new();
    loop {
        let message = desk.poll(1);
        if let Some(message) = message {
            let is_bad = message.starts_with("1 +") && message.contains("13");
            life.push(message);
            desk.written(1);
            if !is_bad {
                continue;
            }
            desk.fault(1, Fault::BadRequest);
            desk.now = desk.now + Duration::from_secs(1);
            desk.connect(1);
            lives.push(core::mem::take(&mut life).join(", "));
            continue;
        }
        let Some(next) = desk.book.poll_timeout() else {
            lives.push(life.join(", "));
            return lives;
        };
        desk.now = desk.now + next.since(desk.now.mono);
        desk.wait(0);
    }
}

#[test]
fn what_the_broker_does_not_take_is_found() {
    let mut desk = Desk::new(1, 100, 4).up();
    desk.admit(1, A, legs(&[10, 11, 12, 13, 14, 15, 16, 17]));
    assert_eq!(
        find_13(&mut desk),
        [
            "1 +full 10 11 12 13",
            // Last, by two, and with a pause after each.
            "1 +full 14 15 16 17, 1 +full 10 11, 1 +full 12 13",
            "1 +full 10 11 14 15, 1 +full 16 17, 1 +full 12, 1 +full 13",
            "1 +full 10 11 12 14, 1 +full 15 16 17",
        ]
    );
    assert_eq!(desk.told(), ["13 refused"]);
    let status = desk.book.status();
    assert_eq!((status.refused, status.suspects), (1, 0));
    let view = desk.book.instrument(key(13)).unwrap();
    assert!(view.refused);
    assert_eq!(view.wire, WireState::Idle);
    assert!(!desk.book.instrument(key(12)).unwrap().refused);
    // Another mode does not help.
    desk.admit(2, A, vec![leg(13, strikewire_types::Mode::Ticker, 0)]);
    assert_eq!(desk.pump(), [""; 0]);
    // Its last holder lets go: somebody else may try.
    desk.release(1);
    desk.release(2);
    desk.pump();
    assert_eq!(desk.book.status().refused, 0);
    desk.admit(3, A, legs(&[13]));
    assert_eq!(desk.pump(), ["1 +full 13"]);
}

#[test]
fn a_new_master_forgives() {
    let mut desk = Desk::new(1, 100, 4).up();
    desk.admit(1, A, legs(&[12, 13]));
    find_13(&mut desk);
    assert_eq!(desk.book.status().refused, 1);
    desk.effects.clear();
    desk.book.forgive(desk.now, &mut desk.effects);
    assert_eq!(desk.book.status().refused, 0);
    assert_eq!(desk.pump(), ["1 +full 13"]);
}

#[test]
fn suspects_are_tried_one_message_at_a_time() {
    let mut desk = Desk::new(1, 100, 4).up();
    desk.admit(1, A, legs(&[1, 2, 3, 4, 5, 6]));
    assert_eq!(desk.poll(1).as_deref(), Some("1 +full 1 2 3 4"));
    desk.written(1);
    // Under way, or just written: one of them it was.
    assert_eq!(desk.poll(1).as_deref(), Some("1 +full 5 6"));
    desk.fault(1, Fault::BadRequest);
    assert_eq!(desk.book.status().suspects, 6);
    desk.connect(1);
    desk.admit(2, A, legs(&[7]));
    assert_eq!(desk.poll(1).as_deref(), Some("1 +full 7"));
    desk.written(1);
    // A tenth of the pause, so that a message that is not taken is known.
    assert_eq!(desk.poll(1), None);
    let pause = Duration::from_millis(100);
    assert_eq!(desk.book.poll_timeout(), Some(desk.now.mono + pause));
    desk.now = desk.now + pause;
    desk.wait(0);
    // What is no suspect may follow now.
    desk.admit(5, A, legs(&[14]));
    assert_eq!(desk.poll(1).as_deref(), Some("1 +full 14"));
    desk.written(1);
    desk.now = desk.now + pause;
    desk.wait(0);
    // The others only once it cannot be the fault of that.
    assert_eq!(desk.poll(1), None);
    let pause = Duration::from_millis(900);
    assert_eq!(desk.book.poll_timeout(), Some(desk.now.mono + pause));
    desk.now = desk.now + pause;
    desk.wait(0);
    for (message, left) in [("1 +full 1 2", 4), ("1 +full 3 4", 2), ("1 +full 5 6", 0)] {
        assert_eq!(desk.poll(1).as_deref(), Some(message));
        desk.written(1);
        desk.admit(3, A, legs(&[8]));
        assert_eq!(desk.poll(1), None);
        desk.release(3);
        desk.now = desk.now + Duration::from_millis(999);
        desk.wait(0);
        assert_eq!(desk.poll(1), None);
        desk.now = desk.now + Duration::from_millis(1);
        desk.wait(0);
        assert_eq!(desk.book.status().suspects, left);
    }
    // Nothing is thought of it any more.
    assert_eq!(desk.book.poll_timeout(), None);
    desk.admit(4, A, legs(&[9, 10, 11, 12, 13]));
    assert_eq!(desk.pump(), ["1 +full 9 10 11 12", "1 +full 13"]);
    assert_eq!(desk.told(), [""; 0]);
}

#[test]
fn a_fall_for_another_reason_proves_nothing() {
    let mut desk = Desk::new(1, 100, 4).up();
    desk.admit(1, A, legs(&[1, 2]));
    desk.pump();
    desk.fault(1, Fault::BadRequest);
    desk.connect(1);
    assert_eq!(desk.poll(1).as_deref(), Some("1 +full 1 2"));
    desk.written(1);
    desk.disconnect(1);
    assert_eq!(desk.book.status().suspects, 2);
    // Nothing was sent in this life, so it is nobody's fault.
    desk.connect(1);
    desk.fault(1, Fault::BadRequest);
    desk.connect(1);
    assert_eq!(desk.book.status().suspects, 2);
    assert_eq!(desk.poll(1).as_deref(), Some("1 +full 1 2"));
    desk.written(1);
    desk.pass(1);
    assert_eq!(desk.book.status().suspects, 0);
}

#[test]
fn suspects_are_not_handed_over() {
    let mut desk = Desk::new(2, 10, 2).up();
    for id in 1..=4 {
        desk.admit(u64::from(id), A, legs(&[id]));
    }
    desk.pump();
    desk.pass(60);
    // Two on each; on the second 2 is not in the last message.
    desk.admit(6, A, legs(&[5, 6, 7, 8]));
    desk.pump();
    desk.fault(2, Fault::BadRequest);
    let suspects = desk.book.status().suspects;
    assert_eq!(suspects, 2);
    desk.effects.clear();
    desk.pass(10);
    assert_eq!(desk.told(), ["2 hands over 2"]);
    assert_eq!(desk.charged(), [6, 2]);
}

#[test]
fn only_what_was_sent_alone_in_this_life_is_refused() {
    // One instrument, which is a suspect.
    let suspected = || {
        let mut desk = Desk::new(1, 100, 4).up();
        desk.admit(1, A, legs(&[1]));
        desk.pump();
        desk.fault(1, Fault::BadRequest);
        desk.connect(1);
        assert_eq!(desk.poll(1).as_deref(), Some("1 +full 1"));
        desk
    };
    // The broker is quicker than the driver, which has not said yet that it wrote it.
    let mut desk = suspected();
    desk.fault(1, Fault::BadRequest);
    assert_eq!(desk.told(), ["1 refused"]);
    // Nobody holds it any more.
    let mut desk = suspected();
    desk.release(1);
    desk.fault(1, Fault::BadRequest);
    assert_eq!(desk.told(), [""; 0]);
    // Whatever the broker says before anything is sent anew is not about it.
    for is_written in [true, false] {
        let mut desk = suspected();
        if is_written {
            desk.written(1);
        }
        desk.disconnect(1);
        desk.connect(1);
        desk.fault(1, Fault::BadRequest);
        let status = desk.book.status();
        assert_eq!((status.suspects, status.refused), (1, 0));
    }
    // Nor is what is sent then a suspect of the life before.
    let mut desk = suspected();
    desk.written(1);
    desk.disconnect(1);
    desk.connect(1);
    desk.admit(2, A, legs(&[2]));
    assert_eq!(desk.poll(1).as_deref(), Some("1 +full 2"));
    desk.fault(1, Fault::BadRequest);
    let status = desk.book.status();
    assert_eq!((status.suspects, status.refused), (2, 0));
    // What an earlier life took is above suspicion until it is sent again.
    let mut desk = Desk::new(1, 100, 4).up();
    desk.admit(1, A, legs(&[1]));
    desk.pump();
    desk.disconnect(1);
    desk.connect(1);
    desk.fault(1, Fault::BadRequest);
    assert_eq!(desk.book.status().suspects, 0);
}
