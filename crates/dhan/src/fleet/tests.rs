use super::*;

mod account;
mod model;

const START: Now = Now {
    mono: Mono::from_nanos(1_000_000_000_000),
    // 2026-02-09T10:00:00+05:30
    utc: Utc::from_nanos(1_770_611_400_000_000_000),
};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// So many connections and attempts.
fn with_budget(connections: usize, size: u32) -> FleetConfig {
    FleetConfig {
        connections,
        budget: BudgetConfig {
            size,
            ..BudgetConfig::default()
        },
        ..FleetConfig::default()
    }
}

/// A fleet, the time, and what it did when.
struct Rig {
    fleet: Fleet,
    now: Now,
    stored: Option<Stored>,
    /// All but what is to be stored, with the time since the start.
    done: Vec<(Duration, Action)>,
}

impl Rig {
    fn new(connections: usize) -> Self {
        Self::with(FleetConfig {
            connections,
            seed: 7,
            ..FleetConfig::default()
        })
    }

    fn with(config: FleetConfig) -> Self {
        Self {
            fleet: Fleet::new(config, None, START),
            now: START,
            stored: None,
            done: Vec::new(),
        }
    }

    /// One connection with a fresh fleet, in this phase.
    fn in_phase(phase: Phase) -> Self {
        let mut rig = Self::new(1);
        let conn = id(0);
        let steps: [fn(&mut Self); 6] = [
            |rig| rig.fleet.handle_timeout(rig.now),
            |rig| rig.fleet.handle_tcp(rig.now, id(0)),
            |rig| rig.fleet.handle_connected(rig.now, id(0)),
            |rig| rig.fleet.handle_data(rig.now, id(0)),
            |rig| {
                rig.fleet.handle_token_changed(rig.now);
                rig.wait(millis(500));
            },
            |rig| rig.fleet.handle_stop(rig.now),
        ];
        for step in steps {
            if rig.fleet.phase(conn) == phase {
                break;
            }
            if phase == Phase::Stopped {
                rig.fleet.handle_stop(rig.now);
                break;
            }
            step(&mut rig);
        }
        if phase == Phase::Queued {
            // With an empty budget nobody is permitted to try.
            rig = Self::with(with_budget(1, 1));
            rig.until_connect();
            rig.fail(0);
            rig.wait(seconds(1));
        }
        assert_eq!(rig.fleet.phase(conn), phase);
        rig.take();
        rig
    }

    fn drain(&mut self) {
        while let Some(action) = self.fleet.poll_action() {
            match action {
                Action::Store(stored) => self.stored = Some(stored),
                other => self.done.push((self.now.mono.since(START.mono), other)),
            }
        }
    }

    /// Goes on to the next time that the fleet wants, or to `end`.
    fn step(&mut self, end: Now) {
        let due = self
            .fleet
            .poll_timeout()
            .map_or(end.mono, |due| due.min(end.mono));
        self.now = self.now + due.since(self.now.mono);
        self.fleet.handle_timeout(self.now);
        self.drain();
        assert!(
            self.fleet
                .poll_timeout()
                .is_none_or(|due| due > self.now.mono),
            "what is due has been done"
        );
    }

    fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.drain();
        loop {
            self.step(end);
            if self.now.mono >= end.mono {
                break;
            }
        }
    }

    /// What it did since this was last asked.
    fn take(&mut self) -> Vec<Action> {
        self.drain();
        self.done.drain(..).map(|(_, action)| action).collect()
    }

    /// The attempts since [`take`](Self::take), and when they were.
    fn attempts(&self) -> Vec<(Duration, usize)> {
        let attempts = self.done.iter().filter_map(|(at, action)| match action {
            Action::Connect { conn } => Some((*at, conn.index())),
            _ => None,
        });
        attempts.collect()
    }

    fn notices(&self) -> Vec<Notice> {
        let notices = self.done.iter().filter_map(|(_, action)| match action {
            Action::Notice(notice) => Some(notice.clone()),
            _ => None,
        });
        notices.collect()
    }

    /// Waits for the next attempt, an hour at most, and says whose it is.
    fn until_connect(&mut self) -> usize {
        let before = self.attempts().len();
        let end = self.now + seconds(3600);
        self.drain();
        while self.attempts().len() == before {
            assert!(self.now.mono < end.mono, "no attempt within an hour");
            self.step(end);
        }
        self.attempts()[before].1
    }

    /// The attempt under way of `index` comes up.
    fn up(&mut self, index: usize) {
        self.fleet.handle_tcp(self.now, id(index));
        self.fleet.handle_connected(self.now, id(index));
        self.drain();
    }

    /// All connections come up, at the earliest, and bring data.
    fn all_up(&mut self) {
        for _ in 0..self.fleet.connections.len() {
            let index = self.until_connect();
            self.up(index);
            self.fleet.handle_data(self.now, id(index));
        }
        self.take();
    }

    fn fail(&mut self, index: usize) {
        let cause = DownCause::Connect("refused".to_owned());
        self.fleet.handle_failed(self.now, id(index), cause, None);
        self.drain();
    }

    fn refuse(&mut self, index: usize, status: u16, retry_after: Option<Duration>) {
        let cause = DownCause::Refused { status };
        let fleet = &mut self.fleet;
        fleet.handle_tcp(self.now, id(index));
        fleet.handle_failed(self.now, id(index), cause, retry_after);
        self.drain();
    }

    fn disconnect(&mut self, index: usize, code: u16) {
        let reason = Reason::from_code(code);
        self.fleet.handle_disconnect(self.now, id(index), reason);
        self.drain();
    }

    fn close(&mut self, index: usize) {
        let detail = "reset".to_owned();
        self.fleet.handle_closed(self.now, id(index), detail);
        self.drain();
    }

    fn phases(&self) -> Vec<Phase> {
        self.fleet
            .connections
            .iter()
            .map(Connection::phase)
            .collect()
    }
}

/// Things that can happen to the connection of a fleet of one.
fn happen(rig: &mut Rig, what: &str) {
    let (now, conn) = (rig.now, id(0));
    let fleet = &mut rig.fleet;
    match what {
        "tcp" => fleet.handle_tcp(now, conn),
        "connected" => fleet.handle_connected(now, conn),
        "failed" => fleet.handle_failed(now, conn, DownCause::Connect(String::new()), None),
        "no credentials" => fleet.handle_no_credentials(now, conn, "none".to_owned()),
        "traffic" => fleet.handle_traffic(now, conn),
        "data" => fleet.handle_data(now, conn),
        "undecodable" => fleet.handle_undecodable(now, conn),
        "written" => fleet.handle_written(now, conn),
        "blocked" => fleet.handle_blocked(now, conn),
        "expected" => fleet.handle_expectation(now, conn, true),
        "closed" => fleet.handle_closed(now, conn, String::new()),
        "stop" => fleet.handle_stop(now),
        other => match other.strip_prefix("refused ") {
            Some(status) => {
                let status = status.parse().unwrap();
                fleet.handle_failed(now, conn, DownCause::Refused { status }, None);
            }
            None => fleet.handle_disconnect(now, conn, Reason::from_code(other.parse().unwrap())),
        },
    }
}

#[test]
fn every_event_in_every_phase() {
    use Phase::{Backoff, Closing, Connecting, Live, Queued, Stopped, Upgrading, Waiting};
    // Where each event leads to from each phase, in the order of their numbers.
    let same = Phase::ALL;
    let fails = [
        Backoff, Queued, Backoff, Backoff, Waiting, Live, Closing, Stopped,
    ];
    let ends = [
        Backoff, Queued, Connecting, Upgrading, Backoff, Backoff, Closing, Stopped,
    ];
    let fatal = [
        Backoff, Queued, Connecting, Upgrading, Stopped, Stopped, Closing, Stopped,
    ];
    for (what, expected) in [
        (
            "tcp",
            [
                Backoff, Queued, Upgrading, Upgrading, Waiting, Live, Closing, Stopped,
            ],
        ),
        (
            "connected",
            [
                Backoff, Queued, Connecting, Waiting, Waiting, Live, Closing, Stopped,
            ],
        ),
        (
            "data",
            [
                Backoff, Queued, Connecting, Upgrading, Live, Live, Closing, Stopped,
            ],
        ),
        ("traffic", same),
        ("undecodable", same),
        ("written", same),
        ("blocked", same),
        ("expected", same),
        ("failed", fails),
        ("no credentials", fails),
        ("refused 401", fails),
        ("refused 403", fails),
        ("refused 429", fails),
        ("refused 500", fails),
        ("800", ends),
        ("804", ends),
        ("805", ends),
        ("806", fatal),
        ("807", ends),
        ("808", ends),
        ("809", ends),
        ("810", fatal),
        ("811", ends),
        ("812", ends),
        ("813", ends),
        ("814", ends),
        ("999", ends),
        (
            "closed",
            [
                Backoff, Queued, Connecting, Upgrading, Backoff, Backoff, Connecting, Stopped,
            ],
        ),
        (
            "stop",
            [
                Stopped, Stopped, Stopped, Stopped, Closing, Closing, Closing, Stopped,
            ],
        ),
    ] {
        for (from, to) in Phase::ALL.into_iter().zip(expected) {
            let mut rig = Rig::in_phase(from);
            happen(&mut rig, what);
            assert_eq!(rig.fleet.phase(id(0)), to, "{what} while {from:?}");
            if from == to {
                let told = rig.take();
                let told: Vec<_> = told
                    .iter()
                    .filter(|a| !matches!(a, Action::Notice(_)))
                    .collect();
                assert!(told.is_empty(), "{what} while {from:?}: {told:?}");
            }
        }
    }
}

#[test]
fn the_way_up_and_down() {
    let mut rig = Rig::new(1);
    let conn = id(0);
    assert_eq!(
        rig.fleet.poll_timeout(),
        Some(START.mono),
        "it may try at once"
    );
    rig.fleet.handle_timeout(START);
    assert!(matches!(rig.fleet.poll_action(), Some(Action::Store(_))));
    assert_eq!(rig.fleet.poll_action(), Some(Action::Connect { conn }));
    rig.up(0);
    let epoch = Epoch(1);
    assert_eq!(rig.take(), [Action::Up { conn, epoch }]);
    assert!(rig.fleet.is_live_in(conn, epoch) && !rig.fleet.is_live_in(conn, Epoch(2)));
    rig.wait(seconds(40));
    let done = rig.take();
    assert_eq!(done[0], Action::Abort { conn });
    let Action::Down {
        retry_in: Some(delay),
        cause,
        ..
    } = &done[1]
    else {
        panic!("{done:?}")
    };
    assert_eq!(cause, &DownCause::Silent(seconds(40)));
    assert!(!rig.fleet.is_live_in(conn, epoch));
    let fell = rig.now;
    rig.until_connect();
    assert_eq!(
        rig.now.mono.since(fell.mono),
        *delay,
        "it tries when it said so"
    );
    assert_eq!(rig.fleet.epoch(conn), Epoch(2));
}

#[test]
fn every_cause_of_a_live_connection_is_told_with_its_fault() {
    use strikewire_broker::Fault;
    for (code, fault) in [
        (800, None),
        (804, Some(Fault::TooMany)),
        (813, Some(Fault::BadRequest)),
        (814, Some(Fault::BadRequest)),
        (999, None),
    ] {
        let mut rig = Rig::in_phase(Phase::Live);
        rig.disconnect(0, code);
        let done = rig.take();
        assert_eq!(done[0], Action::Abort { conn: id(0) });
        let cause = DownCause::Disconnected { code, fault };
        assert!(
            matches!(&done[1], Action::Down { cause: found, retry_in: Some(_), .. } if *found == cause),
            "{done:?}"
        );
    }
}

#[test]
fn one_goes_first_and_the_others_follow_spaced() {
    let mut rig = Rig::new(5);
    assert_eq!(rig.until_connect(), 0);
    // However long it takes, nobody else tries.
    rig.wait(millis(4_900));
    rig.fleet.handle_tcp(rig.now, id(0));
    rig.wait(seconds(9));
    assert_eq!(rig.attempts().len(), 1);
    rig.fleet.handle_connected(rig.now, id(0));
    let first = rig.now.mono.since(START.mono);
    rig.take();
    rig.wait(seconds(3));
    // Their attempts may overlap.
    let expected: Vec<_> = (1..5)
        .map(|k| (first + millis(500) * k as u32, k))
        .collect();
    assert_eq!(rig.attempts(), expected);
}

#[test]
fn a_probe_that_fails_hands_over_to_itself() {
    let mut rig = Rig::new(5);
    for _ in 0..6 {
        assert_eq!(rig.until_connect(), 0);
        rig.fail(0);
        assert_eq!(rig.phases()[1..], [Phase::Queued; 4]);
    }
    assert_eq!(rig.until_connect(), 0);
    rig.up(0);
    rig.take();
    rig.wait(seconds(2));
    let order: Vec<_> = rig.attempts().iter().map(|&(_, index)| index).collect();
    assert!(order.len() >= 3, "{order:?}: the budget had ten");
    assert_eq!(order, [1, 2, 3, 4][..order.len()]);
}

#[test]
fn all_at_once_come_back_behind_one() {
    let mut rig = Rig::new(5);
    rig.all_up();
    rig.wait(seconds(20));
    for index in 0..5 {
        rig.close(index);
    }
    rig.take();
    let probe = rig.until_connect();
    rig.wait(seconds(4));
    assert_eq!(rig.attempts().len(), 1);
    rig.up(probe);
    rig.wait(seconds(3));
    assert_eq!(rig.attempts().len(), 5);
    let gaps: Vec<_> = rig
        .attempts()
        .windows(2)
        .map(|pair| pair[1].0 - pair[0].0)
        .collect();
    assert_eq!(gaps[1..], [millis(500); 3]);
}

#[test]
fn one_that_falls_alone_comes_back_alone() {
    let mut rig = Rig::new(5);
    rig.all_up();
    rig.wait(seconds(30));
    rig.close(3);
    let fell = rig.now;
    assert_eq!(rig.until_connect(), 3);
    let wait = rig.now.mono.since(fell.mono);
    assert!(wait <= millis(500), "{wait:?}");
}

#[test]
fn ten_restarts_in_a_minute_open_no_more_sockets_than_the_budget() {
    // Five connections each time, all of which come up at once, and a crash 6 s later.
    let mut stored = None;
    let mut attempts = 0;
    for restart in 0..10 {
        let mut rig = Rig::new(5);
        rig.now.utc = START.utc + seconds(6 * restart);
        rig.fleet = Fleet::new(FleetConfig::default(), stored.clone(), rig.now);
        let end = rig.now + seconds(6);
        while rig.now.mono < end.mono {
            let before = rig.attempts().len();
            rig.step(end);
            if rig.attempts().len() > before {
                let index = rig.attempts()[before].1;
                rig.up(index);
            }
        }
        attempts += rig.attempts().len();
        stored = rig.stored.or(stored);
    }
    assert_eq!(attempts, 14, "ten, and one more every 12 s");
}

#[test]
fn what_is_to_be_stored_comes_before_the_attempt_and_has_paid_for_it() {
    let mut rig = Rig::new(2);
    rig.fleet.handle_timeout(rig.now);
    let Some(Action::Store(stored)) = rig.fleet.poll_action() else {
        panic!("nothing stored")
    };
    assert!(matches!(
        rig.fleet.poll_action(),
        Some(Action::Connect { .. })
    ));
    let crashed = Fleet::new(FleetConfig::default(), Some(stored), rig.now);
    assert_eq!(crashed.attempts_left(rig.now.mono), 9);
}

#[test]
fn stopping_takes_leave_and_is_over_when_all_have_left() {
    let mut rig = Rig::new(4);
    for _ in 0..3 {
        let index = rig.until_connect();
        rig.up(index);
    }
    let index = rig.until_connect();
    rig.fleet.handle_tcp(rig.now, id(index));
    rig.fail(2);
    rig.close(2);
    rig.take();
    rig.fleet.handle_stop(rig.now);
    let stopped = |conn, epoch| Action::Down {
        conn: id(conn),
        epoch: Epoch(epoch),
        cause: DownCause::Stopped,
        retry_in: None,
    };
    assert_eq!(
        rig.take(),
        [
            Action::Goodbye { conn: id(0) },
            stopped(0, 1),
            Action::Goodbye { conn: id(1) },
            stopped(1, 1),
            Action::Abort { conn: id(3) },
            stopped(3, 1),
        ]
    );
    assert!(!rig.fleet.is_over());
    rig.fleet.handle_closed(rig.now, id(0), String::new());
    assert_eq!(rig.phases()[0], Phase::Stopped);
    // Asked again, and with another token, nothing happens.
    rig.fleet.handle_stop(rig.now);
    rig.fleet.handle_token_changed(rig.now);
    rig.wait(millis(999));
    assert_eq!(rig.take(), []);
    // The other one never answers.
    rig.wait(millis(1));
    assert_eq!(rig.take(), [Action::Abort { conn: id(1) }]);
    assert!(rig.fleet.is_over());
    assert_eq!(rig.fleet.poll_timeout(), None);
    rig.wait(seconds(3600));
    assert_eq!(rig.take(), []);
}

#[test]
fn holds_are_told_once_and_their_end() {
    let mut rig = Rig::with(with_budget(1, 2));
    for _ in 0..2 {
        rig.until_connect();
        rig.fail(0);
    }
    while rig.notices().is_empty() {
        rig.step(rig.now + seconds(60));
    }
    let Notice::Held { wait, reason } = &rig.notices()[0] else {
        panic!("{:?}", rig.notices())
    };
    assert!(*wait > seconds(1) && *wait <= seconds(12), "{wait:?}");
    assert!(reason.contains("budget"), "{reason}");
    let until = rig.now.mono + *wait;
    assert_eq!(rig.fleet.held_until(), Some(until));
    rig.until_connect();
    assert_eq!(rig.now.mono, until);
    assert_eq!(rig.fleet.held_until(), None);
    assert!(matches!(
        &rig.notices()[1],
        Notice::Held {
            wait: Duration::ZERO,
            ..
        }
    ));
    assert_eq!(rig.notices().len(), 2);
}
