//! What concerns the account: tokens, 429, 805, being turned away.

use super::*;

fn down(done: &[Action]) -> (&DownCause, Option<Duration>) {
    let mut downs = done.iter().filter_map(|action| match action {
        Action::Down {
            cause, retry_in, ..
        } => Some((cause, *retry_in)),
        _ => None,
    });
    downs.next_back().unwrap()
}

fn is_held(notice: &Notice, words: &str) -> bool {
    matches!(notice, Notice::Held { wait, reason } if *wait > Duration::ZERO && reason.contains(words))
}

fn is_free(notice: &Notice) -> bool {
    matches!(
        notice,
        Notice::Held {
            wait: Duration::ZERO,
            ..
        }
    )
}

#[test]
fn a_refused_token_is_not_tried_again_for_half_a_minute() {
    for what in ["807", "808", "809", "refused 401", "refused 403"] {
        let mut rig = Rig::new(1);
        rig.fleet.handle_token_changed(rig.now);
        rig.until_connect();
        rig.fleet.handle_tcp(rig.now, id(0));
        if !what.starts_with("refused") {
            rig.fleet.handle_connected(rig.now, id(0));
        }
        rig.take();
        let fell = rig.now;
        happen(&mut rig, what);
        let done = rig.take();
        let (_, retry_in) = down(&done);
        assert!(retry_in.unwrap() >= seconds(30), "{what}");
        assert!(
            done.iter()
                .any(|a| matches!(a, Action::Notice(Notice::NoCredentials(_)))),
            "{what}: {done:?}"
        );
        rig.until_connect();
        let waited = rig.now.mono.since(fell.mono);
        assert_eq!(Some(waited), retry_in, "{what}");
        assert!(waited <= seconds(31), "{what}: {waited:?}");
        // Refused once more: said once, waited for once more.
        rig.take();
        rig.refuse(0, 401, None);
        let done = rig.take();
        assert!(down(&done).1.unwrap() >= seconds(30));
        assert!(
            !done
                .iter()
                .any(|a| matches!(a, Action::Notice(Notice::NoCredentials(_))))
        );
        // It was the broker's mistake: data shows that the token is fine.
        rig.until_connect();
        rig.up(0);
        rig.take();
        rig.fleet.handle_data(rig.now, id(0));
        assert_eq!(
            rig.take(),
            [Action::Notice(Notice::Credentials { expires_in: None })]
        );
    }
}

#[test]
fn another_token_ends_the_wait_at_once() {
    let mut rig = Rig::new(3);
    rig.all_up();
    for index in 0..3 {
        rig.disconnect(index, 807);
    }
    rig.wait(seconds(3));
    let notices = rig.notices();
    assert!(matches!(&notices[0], Notice::NoCredentials(words) if words.contains("807")));
    assert!(is_held(&notices[1], "token"), "{notices:?}");
    assert_eq!(notices.len(), 2);
    assert_eq!(rig.attempts(), []);
    rig.take();
    rig.fleet
        .set_token_expiry(Some(rig.now.utc + seconds(86_400)));
    rig.fleet.handle_token_changed(rig.now);
    let at = rig.now;
    let probe = rig.until_connect();
    assert_eq!(rig.now, at, "at once");
    assert_eq!(
        rig.notices()[0],
        Notice::Credentials {
            expires_in: Some(seconds(86_400))
        }
    );
    assert!(is_free(&rig.notices()[1]));
    // All come back, behind one.
    rig.up(probe);
    rig.wait(seconds(2));
    assert_eq!(rig.attempts().len(), 3);
}

#[test]
fn a_token_that_there_is_no_longer_may_be_refused_without_a_wait() {
    let mut rig = Rig::new(3);
    rig.all_up();
    rig.wait(seconds(20));
    rig.take();
    // The old one dies when the new one is made; the driver has just seen the new one.
    rig.fleet.handle_token_changed(rig.now);
    for index in 0..3 {
        rig.disconnect(index, 807);
        let done = rig.take();
        assert!(down(&done).1.unwrap() <= millis(500), "{done:?}");
        assert!(
            !done
                .iter()
                .any(|a| matches!(a, Action::Notice(Notice::NoCredentials(_))))
        );
        assert!(
            !done.iter().any(|a| matches!(a, Action::Goodbye { .. })),
            "{done:?}"
        );
    }
}

#[test]
fn credentials_that_cannot_be_read_are_said_and_waited_for() {
    let mut rig = Rig::new(2);
    rig.until_connect();
    rig.take();
    let words = "the file is missing".to_owned();
    rig.fleet
        .handle_no_credentials(rig.now, id(0), words.clone());
    let done = rig.take();
    assert_eq!(down(&done).0, &DownCause::Connect(words.clone()));
    assert!(down(&done).1.unwrap() >= seconds(30));
    assert!(done.contains(&Action::Notice(Notice::NoCredentials(words))));
    rig.until_connect();
    rig.take();
    // It can be read again, and is the same.
    rig.fleet.handle_tcp(rig.now, id(0));
    assert_eq!(
        rig.take(),
        [Action::Notice(Notice::Credentials { expires_in: None })]
    );
}

#[test]
fn sockets_move_to_another_token_one_after_the_other() {
    let mut rig = Rig::new(3);
    rig.all_up();
    rig.wait(seconds(35));
    for index in 0..3 {
        rig.fleet.handle_data(rig.now, id(index));
    }
    rig.take();
    rig.fleet.handle_token_changed(rig.now);
    rig.wait(Duration::ZERO);
    let renewed = |conn| {
        [
            Action::Goodbye { conn: id(conn) },
            Action::Down {
                conn: id(conn),
                epoch: Epoch(1),
                cause: DownCause::Renewed,
                retry_in: Some(Duration::ZERO),
            },
        ]
    };
    assert_eq!(rig.take()[1..], renewed(0));
    // Its socket is closed before the next one is opened.
    rig.wait(millis(300));
    assert_eq!(rig.take(), []);
    rig.fleet.handle_closed(rig.now, id(0), String::new());
    assert_eq!(rig.take(), [Action::Connect { conn: id(0) }]);
    rig.wait(seconds(4));
    assert_eq!(rig.take(), [], "the others wait while it is on its way");
    rig.up(0);
    rig.take();
    rig.wait(seconds(2));
    rig.fleet.handle_data(rig.now, id(0));
    assert_eq!(rig.take(), renewed(1));
    // This one's broker never answers the goodbye.
    rig.wait(seconds(1));
    assert_eq!(
        rig.take(),
        [
            Action::Abort { conn: id(1) },
            Action::Connect { conn: id(1) }
        ]
    );
    // Nothing trades: the next one follows 5 s after it came up.
    rig.up(1);
    rig.take();
    rig.wait(millis(4_999));
    assert_eq!(rig.take(), []);
    rig.wait(millis(1));
    assert_eq!(rig.take(), renewed(2));
    rig.fleet.handle_closed(rig.now, id(2), String::new());
    rig.up(2);
    rig.fleet.handle_data(rig.now, id(2));
    rig.wait(seconds(30));
    assert_eq!(rig.phases(), [Phase::Live, Phase::Waiting, Phase::Live]);
}

#[test]
fn no_socket_is_given_up_for_a_token_that_is_refused() {
    let mut rig = Rig::new(3);
    rig.all_up();
    rig.fleet.handle_token_changed(rig.now);
    rig.wait(Duration::ZERO);
    rig.fleet.handle_closed(rig.now, id(0), String::new());
    for _ in 0..3 {
        rig.until_connect();
        rig.refuse(0, 401, None);
        let now = rig.now;
        for index in 1..3 {
            rig.fleet.handle_traffic(now, id(index));
        }
    }
    assert_eq!(
        rig.phases()[1..],
        [Phase::Live; 2],
        "they live on the old one"
    );
}

#[test]
fn no_socket_is_given_up_while_there_is_no_attempt_for_it() {
    let mut rig = Rig::with(with_budget(2, 2));
    rig.all_up();
    let at = rig.now;
    rig.fleet.handle_token_changed(at);
    rig.wait(seconds(9));
    assert_eq!(rig.phases(), [Phase::Live; 2]);
    rig.wait(seconds(3));
    assert_eq!(rig.phases(), [Phase::Closing, Phase::Live]);
}

#[test]
fn who_is_turned_away_stays_away_until_there_is_another_token() {
    for code in [806, 810] {
        let mut rig = Rig::new(2);
        rig.all_up();
        rig.disconnect(1, code);
        let done = rig.take();
        assert_eq!(
            done[1],
            Action::Down {
                conn: id(1),
                epoch: Epoch(1),
                cause: DownCause::Disconnected { code, fault: None },
                retry_in: None,
            }
        );
        let Action::Notice(Notice::TurnedAway(words)) = &done[2] else {
            panic!("{done:?}")
        };
        assert!(words.contains(&code.to_string()), "{words}");
        assert_eq!(
            rig.fleet.state(id(1)),
            State::Stopped {
                why: Why::TurnedAway { code }
            }
        );
        for _ in 0..100 {
            rig.wait(seconds(30));
            rig.fleet.handle_traffic(rig.now, id(0));
        }
        assert_eq!(rig.attempts(), []);
        rig.fleet.handle_token_changed(rig.now);
        assert_eq!(rig.until_connect(), 1);
    }
}

#[test]
fn the_next_one_probes_when_the_probe_is_turned_away() {
    let mut rig = Rig::new(3);
    for expected in 0..3 {
        assert_eq!(rig.until_connect(), expected);
        rig.up(expected);
        rig.disconnect(expected, 806);
    }
    rig.wait(seconds(3600));
    assert_eq!(rig.phases(), [Phase::Stopped; 3]);
    assert!(!rig.fleet.is_over(), "it was not asked to stop");
}

#[test]
fn after_an_805_nobody_tries_for_half_a_minute_and_who_lives_stays() {
    let mut rig = Rig::new(5);
    rig.all_up();
    rig.close(1);
    rig.disconnect(2, 805);
    let fell = rig.now;
    let done = rig.take();
    assert!(down(&done).1.unwrap() >= seconds(30));
    assert!(
        done.iter()
            .any(|a| matches!(a, Action::Notice(n) if is_held(n, "805"))),
        "{done:?}"
    );
    // One that falls meanwhile waits with them.
    rig.wait(seconds(10));
    for index in [0, 4] {
        rig.fleet.handle_traffic(rig.now, id(index));
    }
    rig.disconnect(3, 800);
    assert!(down(&rig.take()).1.unwrap() >= seconds(20));
    let first = rig.until_connect();
    let waited = rig.now.mono.since(fell.mono);
    assert!(waited >= seconds(30) && waited <= seconds(31), "{waited:?}");
    rig.up(first);
    rig.wait(seconds(2));
    assert_eq!(rig.attempts().len(), 3);
    assert_eq!(rig.phases()[0], Phase::Live);
    assert!(!rig.fleet.is_contended());
}

#[test]
fn three_805_in_five_minutes_make_it_contended_until_five_minutes_have_passed_without() {
    let mut rig = Rig::new(3);
    rig.all_up();
    // Somebody else takes the oldest socket whenever one of ours is opened.
    rig.disconnect(0, 805);
    rig.disconnect(1, 805);
    assert!(!rig.fleet.is_contended());
    rig.disconnect(2, 805);
    assert!(rig.fleet.is_contended());
    let contended = Action::Notice(Notice::Contended(true));
    assert_eq!(rig.take().iter().filter(|a| **a == contended).count(), 1);
    let mut last = rig.now;
    for floor in [30, 60, 120, 240, 300, 300] {
        // The one that tries is always the same, and waits longer and longer.
        assert_eq!(rig.until_connect(), 2, "{floor}");
        let waited = rig.now.mono.since(last.mono);
        assert!(waited >= seconds(floor), "{waited:?} under {floor} s");
        assert!(waited <= seconds(floor + 31), "{waited:?} over {floor} s");
        rig.up(2);
        rig.wait(seconds(3));
        rig.disconnect(2, 805);
        last = rig.now;
    }
    rig.take();
    assert_eq!(rig.until_connect(), 2);
    rig.up(2);
    let up = rig.now;
    assert!(up.mono.since(last.mono) >= seconds(300));
    // The last 805 is five minutes ago, but it has to live for a while too.
    rig.wait(seconds(29));
    assert!(rig.fleet.is_contended());
    rig.wait(seconds(3));
    let over = Action::Notice(Notice::Contended(false));
    assert_eq!(rig.done.iter().filter(|(_, a)| *a == over).count(), 1);
    assert!(!rig.fleet.is_contended());
    assert_eq!(rig.attempts().len(), 3);
    // What was is forgotten.
    rig.up(0);
    rig.disconnect(0, 805);
    assert!(!rig.fleet.is_contended());
}

#[test]
fn while_contended_the_others_wait_though_one_lives() {
    let mut rig = Rig::new(3);
    rig.all_up();
    for index in 0..3 {
        rig.disconnect(index, 805);
    }
    assert_eq!(rig.until_connect(), 2);
    rig.up(2);
    let up = rig.now;
    rig.take();
    for _ in 0..26 {
        rig.wait(seconds(10));
        rig.fleet.handle_data(rig.now, id(2));
    }
    assert_eq!(rig.attempts(), []);
    assert!(rig.fleet.is_contended());
    let until = rig.fleet.held_until().unwrap();
    rig.wait(until.since(rig.now.mono));
    assert!(!rig.fleet.is_contended());
    assert!(rig.now.mono.since(up.mono) <= seconds(270));
    rig.wait(seconds(1));
    assert_eq!(rig.attempts().len(), 2);
}

#[test]
fn three_805_in_more_than_five_minutes_are_no_contention() {
    let mut rig = Rig::new(1);
    for _ in 0..4 {
        rig.until_connect();
        rig.up(0);
        for _ in 0..15 {
            rig.wait(seconds(10));
            rig.fleet.handle_traffic(rig.now, id(0));
        }
        rig.disconnect(0, 805);
    }
    assert!(!rig.fleet.is_contended());
}

#[test]
fn a_429_keeps_everybody_away_and_one_comes_back_first() {
    let mut rig = Rig::new(3);
    rig.until_connect();
    rig.up(0);
    assert_eq!(rig.until_connect(), 1);
    rig.fleet.handle_data(rig.now, id(0));
    rig.refuse(1, 429, None);
    let fell = rig.now;
    let done = rig.take();
    assert!(down(&done).1.unwrap() >= seconds(60));
    assert!(
        done.iter()
            .any(|a| matches!(a, Action::Notice(n) if is_held(n, "429")))
    );
    rig.wait(seconds(30));
    rig.fleet.handle_data(rig.now, id(0));
    assert_eq!(rig.until_connect(), 1, "the one that was refused");
    let waited = rig.now.mono.since(fell.mono);
    assert!(waited >= seconds(60) && waited <= seconds(61), "{waited:?}");
    // Though another one lives, the third one waits for it.
    rig.wait(seconds(4));
    assert_eq!(rig.attempts().len(), 1);
    assert_eq!(rig.phases()[0], Phase::Live);
    rig.up(1);
    rig.wait(millis(500));
    assert_eq!(rig.attempts()[1].1, 2);
}

#[test]
fn refused_again_and_again_it_stays_away_longer_until_traffic_is_stable() {
    let mut rig = Rig::new(1);
    for floor in [60, 120, 240, 300, 300] {
        rig.until_connect();
        let at = rig.now;
        rig.refuse(0, 429, Some(seconds(5)));
        let wait = down(&rig.take()).1.unwrap();
        assert!(
            wait >= seconds(floor) && wait <= seconds(floor + 30),
            "{wait:?}"
        );
        rig.until_connect();
        assert_eq!(rig.now.mono.since(at.mono), wait);
        rig.fail(0);
    }
    rig.until_connect();
    rig.refuse(0, 429, Some(seconds(900)));
    let wait = down(&rig.take()).1.unwrap();
    assert!(wait >= seconds(900) && wait <= seconds(930), "{wait:?}");
    rig.until_connect();
    rig.up(0);
    for second in 0..=30 {
        rig.stored = None;
        rig.fleet.handle_data(rig.now, id(0));
        rig.take();
        assert_eq!(
            rig.stored.is_some(),
            second == 30,
            "told to store when it is forgotten"
        );
        rig.wait(seconds(1));
    }
    rig.close(0);
    rig.until_connect();
    rig.refuse(0, 429, None);
    assert!(down(&rig.take()).1.unwrap() <= seconds(61));
}

#[test]
fn a_lockout_outlives_the_process() {
    let mut rig = Rig::new(2);
    rig.until_connect();
    rig.refuse(0, 429, Some(seconds(200)));
    let stored = rig.stored.clone();
    let restart = Now {
        mono: Mono::default(),
        utc: rig.now.utc + seconds(20),
    };
    let config = FleetConfig {
        connections: 2,
        ..FleetConfig::default()
    };
    let mut next = Rig::with(config.clone());
    (next.fleet, next.now) = (Fleet::new(config, stored, restart), restart);
    next.until_connect();
    let waited = next.now.utc.since(restart.utc);
    assert!(
        waited >= seconds(180) && waited <= seconds(181),
        "{waited:?}"
    );
    assert!(is_held(&next.notices()[0], "429"));
    next.wait(seconds(4));
    assert_eq!(next.attempts().len(), 1, "one goes first");
}

#[test]
fn several_805_at_once_are_one_complaint_and_who_is_no_probe_waits_for_the_end() {
    let mut rig = Rig::new(5);
    rig.all_up();
    for index in 0..5 {
        rig.disconnect(index, 805);
    }
    assert!(rig.fleet.is_contended());
    let done = rig.take();
    assert!(down(&done).1.unwrap() >= seconds(300), "{done:?}");
    let fell = rig.now;
    assert_eq!(rig.until_connect(), 2);
    let waited = rig.now.mono.since(fell.mono);
    assert!(waited <= seconds(31), "{waited:?}");
}

#[test]
fn a_connection_that_renews_when_all_stop_does_not_come_back() {
    let mut rig = Rig::new(1);
    rig.all_up();
    rig.fleet.handle_token_changed(rig.now);
    rig.wait(millis(500));
    assert_eq!(rig.phases(), [Phase::Closing]);
    rig.fleet.handle_stop(rig.now);
    rig.close(0);
    assert!(rig.fleet.is_over());
    assert_eq!(rig.attempts(), []);
}

#[test]
fn data_on_the_old_token_says_nothing_for_the_new_one() {
    let mut rig = Rig::new(2);
    for index in 0..2 {
        assert_eq!(rig.until_connect(), index);
        rig.up(index);
    }
    rig.fleet.handle_token_changed(rig.now);
    rig.wait(millis(500));
    rig.close(0);
    rig.until_connect();
    rig.refuse(0, 401, None);
    rig.take();
    rig.fleet.handle_data(rig.now, id(1));
    assert_eq!(rig.take(), []);
}

#[test]
fn a_token_that_changes_again_is_gone_over_to_without_a_wait() {
    let mut rig = Rig::new(1);
    rig.all_up();
    for _ in 0..3 {
        rig.fleet.handle_token_changed(rig.now);
        rig.wait(millis(500));
        assert_eq!(rig.phases(), [Phase::Closing]);
        rig.close(0);
        rig.until_connect();
        rig.up(0);
    }
}
