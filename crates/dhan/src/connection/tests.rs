use proptest::prelude::*;

use super::*;

const START: Mono = Mono::from_nanos(1_000_000_000_000);

fn new() -> Connection {
    Connection::new(Limits::default(), 7, 0, START)
}

fn connecting() -> Connection {
    let mut connection = new();
    connection.handle_timeout(START);
    assert_eq!(connection.poll_action(), Some(Action::Connect));
    connection
}

fn live() -> Connection {
    let mut connection = connecting();
    connection.handle_connected(START);
    assert_eq!(
        connection.poll_action(),
        Some(Action::Up { epoch: Epoch(1) })
    );
    connection
}

fn stopped() -> Connection {
    let mut connection = new();
    connection.handle_stop();
    connection
}

fn actions(connection: &mut Connection) -> Vec<Action> {
    core::iter::from_fn(|| connection.poll_action()).collect()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Things that can happen to a connection, `after` its start.
fn happen(connection: &mut Connection, what: &str, at: Mono) {
    match what {
        "timeout" => connection.handle_timeout(at),
        "connected" => connection.handle_connected(at),
        "failed" => connection.handle_failed(at, DownCause::Connect("refused".to_owned())),
        "refused 429" => connection.handle_failed(at, DownCause::Refused { status: 429 }),
        "refused 401" => connection.handle_failed(at, DownCause::Refused { status: 401 }),
        "refused 403" => connection.handle_failed(at, DownCause::Refused { status: 403 }),
        "refused 500" => connection.handle_failed(at, DownCause::Refused { status: 500 }),
        "traffic" => connection.handle_traffic(at),
        "closed" => connection.handle_closed(at, "reset".to_owned()),
        "stop" => connection.handle_stop(),
        code => connection.handle_disconnect(at, Reason::from_code(code.parse().unwrap())),
    }
}

#[test]
fn every_event_in_every_state() {
    use Phase::{Backoff, Connecting, Live, Stopped};
    let phases = [
        (new as fn() -> Connection, Backoff),
        (connecting, Connecting),
        (live, Live),
        (stopped, Stopped),
    ];
    // What happens long after every limit, and where it leads to from each state.
    for (what, expected) in [
        ("timeout", [Connecting, Backoff, Backoff, Stopped]),
        ("connected", [Backoff, Live, Live, Stopped]),
        ("failed", [Backoff, Backoff, Live, Stopped]),
        ("refused 429", [Backoff, Backoff, Live, Stopped]),
        ("refused 401", [Backoff, Backoff, Live, Stopped]),
        ("refused 500", [Backoff, Backoff, Live, Stopped]),
        ("traffic", [Backoff, Connecting, Live, Stopped]),
        ("closed", [Backoff, Connecting, Backoff, Stopped]),
        ("800", [Backoff, Connecting, Backoff, Stopped]),
        ("804", [Backoff, Connecting, Backoff, Stopped]),
        ("805", [Backoff, Connecting, Backoff, Stopped]),
        ("806", [Backoff, Connecting, Stopped, Stopped]),
        ("807", [Backoff, Connecting, Backoff, Stopped]),
        ("808", [Backoff, Connecting, Backoff, Stopped]),
        ("809", [Backoff, Connecting, Backoff, Stopped]),
        ("810", [Backoff, Connecting, Stopped, Stopped]),
        ("999", [Backoff, Connecting, Backoff, Stopped]),
        ("stop", [Stopped, Stopped, Stopped, Stopped]),
    ] {
        for ((make, from), to) in phases.into_iter().zip(expected) {
            let mut connection = make();
            assert_eq!(connection.phase(), from);
            happen(&mut connection, what, START + seconds(3600));
            assert_eq!(connection.phase(), to, "{what} in {from:?}");
        }
    }
}

#[test]
fn the_way_up_and_down() {
    let mut connection = new();
    assert_eq!(
        connection.poll_timeout(),
        Some(START),
        "the first attempt may go at once"
    );
    assert_eq!(connection.poll_action(), None);
    connection.handle_timeout(START);
    assert_eq!(actions(&mut connection), [Action::Connect]);
    assert_eq!(connection.poll_timeout(), Some(START + seconds(10)));

    connection.handle_connected(START + seconds(1));
    assert_eq!(actions(&mut connection), [Action::Up { epoch: Epoch(1) }]);
    assert!(connection.is_live_in(Epoch(1)) && !connection.is_live_in(Epoch(2)));
    assert_eq!(connection.poll_timeout(), Some(START + seconds(41)));

    connection.handle_traffic(START + seconds(20));
    connection.handle_timeout(START + seconds(41));
    assert_eq!(
        connection.phase(),
        Phase::Live,
        "anything that arrives counts"
    );
    assert_eq!(connection.poll_timeout(), Some(START + seconds(60)));

    connection.handle_timeout(START + seconds(60));
    let fallen = actions(&mut connection);
    assert_eq!(fallen[0], Action::Abort);
    let Action::Down {
        epoch,
        cause,
        retry_in: Some(delay),
    } = &fallen[1]
    else {
        panic!("{fallen:?}")
    };
    assert_eq!((*epoch, cause), (Epoch(1), &DownCause::Silent(seconds(40))));
    assert_eq!(
        connection.poll_timeout(),
        Some(START + seconds(60) + *delay)
    );
    assert!(!connection.is_live_in(Epoch(1)));
}

#[test]
fn an_attempt_that_takes_too_long_is_given_up() {
    let mut connection = connecting();
    connection.handle_timeout(START + seconds(10));
    let fallen = actions(&mut connection);
    assert_eq!(fallen[0], Action::Abort);
    assert!(
        matches!(
            &fallen[1],
            Action::Down { epoch: Epoch(1), cause: DownCause::Connect(detail), retry_in: Some(_) }
                if detail == "no connection within 10 s"
        ),
        "{fallen:?}"
    );
    connection.handle_connected(START + seconds(10));
    assert_eq!(connection.phase(), Phase::Backoff, "too late is too late");
}

#[test]
fn stopping_takes_leave_only_where_there_is_somebody() {
    for (mut connection, expected) in [
        (new(), None),
        (connecting(), Some(Action::Abort)),
        (live(), Some(Action::Goodbye)),
        (stopped(), None),
    ] {
        connection.handle_stop();
        let found = actions(&mut connection);
        assert_eq!(found.first(), expected.as_ref());
        assert_eq!(found.len(), if expected.is_some() { 2 } else { 0 });
        assert_eq!(connection.poll_timeout(), None);
    }
}

#[test]
fn a_fatal_reason_stops_and_says_so() {
    for code in [806, 810] {
        let mut connection = live();
        connection.handle_disconnect(START, Reason::from_code(code));
        assert_eq!(
            actions(&mut connection),
            [
                Action::Abort,
                Action::Down {
                    epoch: Epoch(1),
                    cause: DownCause::Disconnected { code },
                    retry_in: None
                }
            ]
        );
        assert_eq!(connection.poll_timeout(), None);
    }
}

/// The delays after the same thing has happened again and again, the connection
/// having been up for `up` before each.
fn delays(what: &str, times: usize, up: Option<u64>) -> Vec<Duration> {
    let mut connection = new();
    let mut now = START;
    (0..times)
        .map(|_| {
            connection.handle_timeout(now);
            if let Some(up) = up {
                connection.handle_connected(now);
                now = now + seconds(up);
                connection.handle_traffic(now);
            }
            happen(&mut connection, what, now);
            let Some(Action::Down {
                retry_in: Some(delay),
                ..
            }) = actions(&mut connection).pop()
            else {
                panic!("{what} does not bring it down")
            };
            now = now + delay;
            delay
        })
        .collect()
}

#[test]
fn every_cause_has_its_floor_and_its_spread() {
    let limits = Limits::default();
    // (what, seconds up, floors in seconds); above the floor 0.5, 1, 2, ... 30 s at random.
    for (what, up, floors) in [
        ("failed", None, [0; 10]),
        ("refused 500", None, [0; 10]),
        ("refused 401", None, [30; 10]),
        ("refused 403", None, [30; 10]),
        (
            "refused 429",
            None,
            [60, 120, 240, 300, 300, 300, 300, 300, 300, 300],
        ),
        ("closed", Some(5), [0; 10]),
        ("800", Some(5), [0; 10]),
        ("805", Some(5), [30; 10]),
        ("807", Some(5), [0; 10]),
        ("813", Some(5), [0; 10]),
    ] {
        let mut cap = limits.first_backoff;
        for (delay, floor) in delays(what, 10, up).into_iter().zip(floors) {
            assert!(delay >= seconds(floor), "{what}: {delay:?} under {floor} s");
            assert!(
                delay <= seconds(floor) + cap,
                "{what}: {delay:?} over {floor} s and {cap:?}"
            );
            cap = (cap * 2).min(limits.max_backoff);
        }
    }
}

#[test]
fn stable_traffic_forgets_earlier_failures() {
    // The 5 minutes after which the broker's sockets have been seen to be reset.
    assert!(
        delays("closed", 50, Some(300))
            .iter()
            .all(|&delay| delay <= Duration::from_millis(500))
    );
    assert!(
        delays("closed", 50, Some(30))
            .iter()
            .all(|&delay| delay <= Duration::from_millis(500))
    );
    // The 5 to 6 seconds of the resets that led to a storm.
    assert!(
        delays("closed", 50, Some(29))
            .iter()
            .any(|&delay| delay > seconds(15))
    );
}

#[test]
fn jitter_is_full_seeded_and_not_in_step() {
    let spread = |seed, stream| {
        let mut connection = Connection::new(Limits::default(), seed, stream, START);
        let mut now = START;
        (0..200)
            .map(|_| {
                connection.handle_timeout(now);
                connection.handle_failed(now, DownCause::Refused { status: 502 });
                let until = connection.poll_timeout().unwrap();
                let delay = until.since(now);
                now = until;
                delay
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(spread(1, 0), spread(1, 0));
    assert_ne!(spread(1, 0), spread(1, 1));
    assert_ne!(spread(1, 0), spread(2, 0));
    let late = spread(1, 0).split_off(10);
    assert!(
        late.iter().any(|&delay| delay < seconds(5))
            && late.iter().any(|&delay| delay > seconds(25))
    );
}

const EVENTS: [&str; 18] = [
    "timeout",
    "timeout",
    "timeout",
    "connected",
    "connected",
    "failed",
    "refused 429",
    "refused 401",
    "refused 500",
    "traffic",
    "traffic",
    "closed",
    "800",
    "805",
    "806",
    "807",
    "813",
    "stop",
];

proptest! {
    #[test]
    fn no_order_of_events_breaks_it(
        seed: u64,
        steps in prop::collection::vec((0..EVENTS.len(), 0_u64..60_000), 1..300),
    ) {
        // The moves that a life is made of, spelled out once more.
        const MOVES: [(Phase, Phase); 7] = [
            (Phase::Backoff, Phase::Connecting),
            (Phase::Connecting, Phase::Live),
            (Phase::Connecting, Phase::Backoff),
            (Phase::Live, Phase::Backoff),
            (Phase::Backoff, Phase::Stopped),
            (Phase::Connecting, Phase::Stopped),
            (Phase::Live, Phase::Stopped),
        ];
        let mut connection = Connection::new(Limits::default(), seed, 0, START);
        let mut now = START;
        let mut attempt = false;
        let mut socket = false;
        let mut last_up = Epoch(0);
        for (event, millis) in steps {
            // Stopping ends the story: let it be rare.
            let event = if EVENTS[event] == "stop" && millis % 8 != 0 { "traffic" } else { EVENTS[event] };
            now = now + Duration::from_millis(millis);
            let before = connection.phase();
            // What a driver would see: only what is there can end.
            if event == "connected" && attempt {
                attempt = false;
                socket = true;
            } else if event == "failed" || event.starts_with("refused") {
                attempt = false;
            }
            happen(&mut connection, event, now);
            let after = connection.phase();
            prop_assert!(before == after || MOVES.contains(&(before, after)), "{before:?} to {after:?}");

            for action in actions(&mut connection) {
                match action {
                    Action::Connect => {
                        prop_assert!(!attempt && !socket, "a second attempt");
                        attempt = true;
                    }
                    Action::Abort | Action::Goodbye => {
                        prop_assert!(attempt || socket, "nothing to let go of");
                        attempt = false;
                        socket = false;
                    }
                    Action::Up { epoch } => {
                        prop_assert!(epoch > last_up, "an epoch twice");
                        last_up = epoch;
                    }
                    Action::Down { epoch, retry_in, .. } => {
                        prop_assert_eq!(epoch, connection.epoch());
                        prop_assert_eq!(retry_in.map(|delay| now + delay), connection.poll_timeout());
                    }
                }
            }
            prop_assert_eq!(attempt, connection.phase() == Phase::Connecting);
            prop_assert_eq!(socket, connection.phase() == Phase::Live);
            prop_assert_eq!(connection.poll_timeout().is_none(), connection.phase() == Phase::Stopped);
        }
    }
}
