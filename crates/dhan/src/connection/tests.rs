use super::*;

const START: Mono = Mono::from_nanos(1_000_000_000_000);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn after(count: u64) -> Mono {
    START + seconds(count)
}

fn new() -> Connection {
    Connection::new(&Limits::default(), 7, 0, START)
}

fn queued() -> Connection {
    let mut connection = new();
    connection.queue(START);
    connection
}

fn connecting() -> Connection {
    let mut connection = queued();
    connection.begin(START);
    connection
}

fn upgrading() -> Connection {
    let mut connection = connecting();
    connection.tcp(START);
    connection
}

fn waiting() -> Connection {
    let mut connection = upgrading();
    connection.up(START);
    connection
}

fn live() -> Connection {
    let mut connection = waiting();
    assert!(connection.data(START));
    connection
}

fn closing() -> Connection {
    let mut connection = live();
    connection.close(START, true);
    connection
}

#[test]
fn the_moves_are_these_and_no_others() {
    use Phase::{Backoff, Closing, Connecting, Live, Queued, Stopped, Upgrading, Waiting};
    let moves = [
        (Backoff, vec![Queued, Stopped]),
        (Queued, vec![Connecting, Stopped]),
        (Connecting, vec![Upgrading, Backoff, Stopped]),
        (Upgrading, vec![Waiting, Backoff, Stopped]),
        (Waiting, vec![Live, Backoff, Closing, Stopped]),
        (Live, vec![Backoff, Closing, Stopped]),
        (Closing, vec![Queued, Stopped]),
        (Stopped, vec![Queued]),
    ];
    for (index, (from, to)) in moves.into_iter().enumerate() {
        assert_eq!(Phase::ALL[index], from);
        assert_eq!(from as usize, index);
        for next in Phase::ALL {
            assert_eq!(
                from.leads_to(next),
                to.contains(&next),
                "{from:?} to {next:?}"
            );
        }
    }
}

#[test]
fn a_life_in_order() {
    for (connection, phase) in [
        (new(), Phase::Backoff),
        (queued(), Phase::Queued),
        (connecting(), Phase::Connecting),
        (upgrading(), Phase::Upgrading),
        (waiting(), Phase::Waiting),
        (live(), Phase::Live),
        (closing(), Phase::Closing),
    ] {
        assert_eq!(connection.phase(), phase);
        assert_eq!(
            phase.is_up(),
            matches!(phase, Phase::Waiting | Phase::Live),
            "{phase:?}"
        );
        assert_eq!(
            phase.is_attempt(),
            matches!(phase, Phase::Connecting | Phase::Upgrading),
            "{phase:?}"
        );
    }
}

/// The connection falls due at `at` and not a nanosecond before, for `due`.
fn check(connection: &Connection, at: Mono, due: &Due) {
    assert_eq!(connection.poll_timeout(), Some(at), "{due:?}");
    assert_eq!(connection.due(at - Duration::from_nanos(1)), None);
    assert_eq!(connection.due(at).as_ref(), Some(due));
}

#[test]
fn every_state_has_its_limit() {
    check(&new(), START, &Due::Queue);
    assert_eq!(queued().poll_timeout(), None);
    let late = |words: &str| Due::Fall(DownCause::Connect(words.to_owned()));
    check(&connecting(), after(5), &late("no connection within 5 s"));
    check(
        &upgrading(),
        after(10),
        &late("connected, but no upgrade within 10 s"),
    );
    check(&closing(), after(1), &Due::LetGo);
    let mut stopped = live();
    stopped.fall(START, Return::Never { code: 806 });
    assert_eq!(stopped.poll_timeout(), None);
}

#[test]
fn silence_is_nothing_at_all_for_40_seconds() {
    let silent = |limit| Due::Fall(DownCause::Silent(seconds(limit)));
    for make in [waiting, live] {
        let mut connection = make();
        check(&connection, after(40), &silent(40));
        connection.hear(after(39));
        check(&connection, after(79), &silent(40));
        // A little late, and it says for how long it was silent.
        assert_eq!(connection.due(after(85)), Some(silent(46)));
        connection.hear(after(20));
        check(&connection, after(79), &silent(40));
    }
}

#[test]
fn a_stall_is_pings_without_data_where_data_is_expected() {
    let mut connection = live();
    let ping = |connection: &mut Connection, at| {
        connection.hear(after(at));
    };
    for at in [10, 20, 30, 40, 50, 60] {
        ping(&mut connection, at);
    }
    check(
        &connection,
        after(100),
        &Due::Fall(DownCause::Silent(seconds(40))),
    );
    // The time without data counts from when it is expected.
    connection.expect(after(65), true);
    ping(&mut connection, 70);
    let stalled = Due::Fall(DownCause::Stalled(seconds(30)));
    check(&connection, after(95), &stalled);
    connection.expect(after(75), true);
    check(&connection, after(95), &stalled);
    connection.data(after(80));
    ping(&mut connection, 90);
    check(&connection, after(110), &stalled);
    connection.expect(after(105), false);
    ping(&mut connection, 106);
    check(
        &connection,
        after(146),
        &Due::Fall(DownCause::Silent(seconds(40))),
    );
    connection.expect(after(120), true);
    check(
        &connection,
        after(146),
        &Due::Fall(DownCause::Silent(seconds(40))),
    );
    ping(&mut connection, 121);
    check(&connection, after(150), &stalled);
}

#[test]
fn without_any_sign_of_life_a_stall_is_called_silence() {
    let mut connection = live();
    connection.expect(START, true);
    check(
        &connection,
        after(30),
        &Due::Fall(DownCause::Silent(seconds(30))),
    );
    connection.hear(after(1));
    check(
        &connection,
        after(30),
        &Due::Fall(DownCause::Stalled(seconds(30))),
    );
}

#[test]
fn first_data_is_waited_for_once_it_was_asked_for() {
    let limits = Limits {
        first_data: seconds(7),
        ..Limits::default()
    };
    let mut connection = Connection::new(&limits, 7, 0, START);
    connection.queue(START);
    connection.begin(START);
    connection.tcp(START);
    connection.up(START);
    connection.expect(START, true);
    connection.hear(after(5));
    assert_eq!(connection.poll_timeout(), Some(after(45)));
    connection.written(after(6));
    connection.written(after(8));
    connection.hear(after(9));
    check(
        &connection,
        after(13),
        &Due::Fall(DownCause::Stalled(seconds(7))),
    );
    connection.data(after(12));
    connection.hear(after(20));
    check(
        &connection,
        after(42),
        &Due::Fall(DownCause::Stalled(seconds(30))),
    );
}

#[test]
fn a_batch_that_cannot_be_written_ends_it() {
    let mut connection = live();
    connection.blocked(after(3));
    connection.blocked(after(8));
    connection.hear(after(12));
    check(
        &connection,
        after(13),
        &Due::Fall(DownCause::Blocked(seconds(10))),
    );
    connection.written(after(12));
    assert_eq!(connection.poll_timeout(), Some(after(52)));
    // Nothing of it outlives the life.
    connection.blocked(after(13));
    connection.fall(after(14), Return::Retry);
    connection.queue(after(15));
    connection.begin(after(15));
    connection.tcp(after(15));
    connection.up(after(15));
    assert_eq!(connection.poll_timeout(), Some(after(55)));
}

#[test]
fn frames_that_are_garbage_for_10_seconds_end_it() {
    let mut connection = live();
    for at in 1..11 {
        assert_eq!(connection.undecodable(after(at)), None, "{at}");
    }
    assert_eq!(
        connection.undecodable(after(11)),
        Some(DownCause::Garbled(seconds(10)))
    );
    // A decodable one among them begins the time anew.
    let mut connection = live();
    assert_eq!(connection.undecodable(after(1)), None);
    connection.data(after(6));
    assert_eq!(connection.undecodable(after(7)), None);
    assert_eq!(connection.undecodable(after(16)), None);
    assert_eq!(
        connection.undecodable(after(17)),
        Some(DownCause::Garbled(seconds(10)))
    );
    // So does a pause: a frame every 10 s in a quiet night is no flood of them.
    let mut connection = live();
    for at in (10..1000).step_by(10) {
        assert_eq!(connection.undecodable(after(at)), None, "{at}");
    }
    // They are signs of life.
    assert_eq!(connection.poll_timeout(), Some(after(990 + 40)));
}

/// The waits after the same way of falling again and again, each after `up` seconds of
/// life with data.
fn waits(how: Return, times: usize, up: Option<u64>) -> Vec<Duration> {
    let mut connection = new();
    let mut now = START;
    (0..times)
        .map(|_| {
            connection.queue(now);
            connection.begin(now);
            if let Some(up) = up {
                connection.tcp(now);
                connection.up(now);
                connection.data(now);
                now = now + seconds(up);
                connection.data(now);
                if connection.is_stable() {
                    connection.forgive();
                }
            }
            let wait = connection.fall(now, how).unwrap();
            assert_eq!(connection.poll_timeout(), Some(now + wait));
            now = now + wait;
            wait
        })
        .collect()
}

#[test]
fn waits_grow_and_what_we_did_wrong_makes_them_longer() {
    for (how, floors) in [
        (Return::Retry, [0; 8]),
        (Return::Token, [0; 8]),
        (Return::Fault, [5, 10, 20, 40, 60, 60, 60, 60]),
    ] {
        let mut cap = Duration::from_millis(500);
        for (wait, floor) in waits(how, 8, None).into_iter().zip(floors) {
            assert!(wait >= seconds(floor), "{how:?}: {wait:?} under {floor} s");
            assert!(
                wait <= seconds(floor) + cap,
                "{how:?}: {wait:?} over {floor} s and {cap:?}"
            );
            cap = (cap * 2).min(seconds(30));
        }
    }
}

#[test]
fn stable_traffic_forgets_earlier_failures() {
    let short = |waits: &[Duration]| waits.iter().all(|&wait| wait <= Duration::from_millis(500));
    // The 5 minutes after which the broker's sockets have been seen to be reset.
    assert!(short(&waits(Return::Retry, 50, Some(300))));
    assert!(short(&waits(Return::Retry, 50, Some(30))));
    // The 5 to 6 seconds of the resets that led to a storm.
    let storm = waits(Return::Retry, 50, Some(29));
    assert!(storm.iter().any(|&wait| wait > seconds(15)));
    assert!(
        waits(Return::Fault, 9, Some(30))
            .iter()
            .all(|&wait| wait < seconds(6))
    );
}

#[test]
fn jitter_is_full_seeded_and_not_in_step() {
    let spread = |seed, stream| {
        let mut connection = Connection::new(&Limits::default(), seed, stream, START);
        (0..200)
            .map(|_| {
                connection.queue(START);
                connection.begin(START);
                connection.fall(START, Return::Retry).unwrap()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(spread(1, 0), spread(1, 0));
    assert_ne!(spread(1, 0), spread(1, 1));
    assert_ne!(spread(1, 0), spread(2, 0));
    let late = spread(1, 0).split_off(10);
    assert!(late.iter().any(|&wait| wait < seconds(5)));
    assert!(late.iter().any(|&wait| wait > seconds(25)));
}

#[test]
fn only_who_waits_for_a_token_is_hurried_by_one() {
    let fallen = |how| {
        let mut connection = connecting();
        connection.fall(START, how);
        connection
    };
    for (mut connection, hurries) in [
        (new(), false),
        (fallen(Return::Retry), false),
        (fallen(Return::Fault), false),
        (fallen(Return::Token), true),
        (fallen(Return::Never { code: 806 }), true),
        (connecting(), false),
        (live(), false),
    ] {
        let before = connection.phase();
        assert_eq!(connection.hurry(after(1)), hurries);
        let expected = if hurries { Phase::Queued } else { before };
        assert_eq!(connection.phase(), expected);
    }
    let mut asked = live();
    asked.stop(Why::Asked);
    assert!(!asked.hurry(after(1)));
}
