//! Any order of events, against rules that are kept by other means: a bucket that counts
//! all attempts there ever were, and notes of who is up and who is tried.

use core::fmt::Write;

use rand::Rng;
use rand_pcg::Pcg64;

use super::*;

/// The moves of a life, spelled out once more.
const MOVES: [(Phase, Phase); 19] = [
    (Phase::Backoff, Phase::Queued),
    (Phase::Backoff, Phase::Stopped),
    (Phase::Queued, Phase::Connecting),
    (Phase::Queued, Phase::Stopped),
    (Phase::Connecting, Phase::Upgrading),
    (Phase::Connecting, Phase::Backoff),
    (Phase::Connecting, Phase::Stopped),
    (Phase::Upgrading, Phase::Waiting),
    (Phase::Upgrading, Phase::Backoff),
    (Phase::Upgrading, Phase::Stopped),
    (Phase::Waiting, Phase::Live),
    (Phase::Waiting, Phase::Backoff),
    (Phase::Waiting, Phase::Closing),
    (Phase::Waiting, Phase::Stopped),
    (Phase::Live, Phase::Backoff),
    (Phase::Live, Phase::Closing),
    (Phase::Live, Phase::Stopped),
    (Phase::Closing, Phase::Queued),
    (Phase::Closing, Phase::Stopped),
];

/// What a run came across; the suite is worth nothing if it misses something.
#[derive(Debug, Default)]
struct Met {
    attempts: u32,
    ups: u32,
    total_losses: u32,
    lockouts: u32,
    refused_tokens: u32,
    contentions: u32,
    calms: u32,
    renewals: u32,
    restarts: u32,
    stops: u32,
    held_by_budget: u32,
    turned_away: u32,
    revived: u32,
    stalls: u32,
    silences: u32,
    garbled: u32,
    blocked: u32,
    late: u32,
}

/// What is there, on one connection, by what the driver was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    None,
    Attempt,
    Up,
    Leaving,
}

struct Model {
    config: FleetConfig,
    fleet: Fleet,
    now: Now,
    /// Time that has really passed, across restarts.
    passed: Duration,
    stored: Option<Stored>,
    links: Vec<Link>,
    epochs: Vec<Epoch>,
    /// When attempts were made, since the beginning.
    attempts: Vec<Duration>,
    /// No attempt before then, and what says so.
    not_before: (Duration, &'static str),
    /// The one that may try while the account is contended, once it has.
    contended: Option<Option<usize>>,
    /// With which token each connection was made, and which there is.
    made_with: Vec<u32>,
    token: u32,
    /// A refused token keeps all away until then.
    token_hold: Duration,
    /// The one that goes first after a 429.
    verifies: Option<usize>,
    stopped: bool,
    met: Met,
    story: String,
}

impl Model {
    fn new(seed: u64) -> Self {
        let config = FleetConfig {
            connections: 1 + (seed % 5) as usize,
            budget: BudgetConfig {
                size: 3 + (seed % 3) as u32 * 4,
                ..BudgetConfig::default()
            },
            seed,
            ..FleetConfig::default()
        };
        let connections = config.connections;
        Self {
            fleet: Fleet::new(config.clone(), None, START),
            config,
            now: START,
            passed: Duration::ZERO,
            stored: None,
            links: vec![Link::None; connections],
            epochs: vec![Epoch::default(); connections],
            attempts: Vec::new(),
            not_before: (Duration::ZERO, "nothing"),
            contended: None,
            made_with: vec![0; connections],
            token: 0,
            token_hold: Duration::ZERO,
            verifies: None,
            stopped: false,
            met: Met::default(),
            story: String::new(),
        }
    }

    fn advance(&mut self, duration: Duration) {
        self.now = self.now + duration;
        self.passed += duration;
    }

    fn hold(&mut self, for_at_least: Duration, why: &'static str) {
        self.not_before = self.not_before.max((self.passed + for_at_least, why));
    }

    /// Time passes, and the driver looks at its timer as often as it should, or only at
    /// the end.
    fn wait(&mut self, duration: Duration, held_up: bool) {
        let end = self.passed + duration;
        while !held_up
            && let Some(due) = self.fleet.poll_timeout()
            && self.passed + due.since(self.now.mono) < end
        {
            self.advance(due.since(self.now.mono));
            self.timeout();
        }
        self.advance(end - self.passed);
        self.timeout();
    }

    fn timeout(&mut self) {
        let before = self.phases();
        self.fleet.handle_timeout(self.now);
        self.check(&before, true);
        let due = self.fleet.poll_timeout();
        assert!(
            due.is_none_or(|due| due > self.now.mono),
            "still due\n{}",
            self.story
        );
    }

    fn phases(&self) -> Vec<Phase> {
        (0..self.links.len())
            .map(|index| self.fleet.phase(id(index)))
            .collect()
    }

    /// Moves are legal, and so are the actions.
    fn check(&mut self, before: &[Phase], several_moves: bool) {
        let mut paid = false;
        while let Some(action) = self.fleet.poll_action() {
            let _ = writeln!(self.story, "{:?}: {action:?}", self.passed);
            match action {
                Action::Store(stored) => {
                    self.stored = Some(stored);
                    paid = true;
                    continue;
                }
                Action::Connect { conn } => {
                    assert!(paid, "an attempt before it was paid for\n{}", self.story);
                    self.check_attempt(conn.index());
                }
                Action::Abort { conn } => self.links[conn.index()] = Link::None,
                Action::Goodbye { conn } => {
                    assert_eq!(self.links[conn.index()], Link::Up, "{}", self.story);
                    self.links[conn.index()] = Link::Leaving;
                }
                Action::Up { conn, epoch } => {
                    let index = conn.index();
                    assert_eq!(self.links[index], Link::Up, "{}", self.story);
                    assert!(epoch > self.epochs[index], "{}", self.story);
                    self.epochs[index] = epoch;
                    self.met.ups += 1;
                }
                Action::Down {
                    conn,
                    cause,
                    retry_in,
                    ..
                } => {
                    self.check_down(conn.index(), &cause, retry_in);
                }
                Action::Notice(notice) => match notice {
                    Notice::Contended(contended) => {
                        assert_ne!(self.contended.is_some(), contended, "{}", self.story);
                        self.contended = contended.then_some(None);
                        if contended {
                            self.met.contentions += 1;
                        } else {
                            self.met.calms += 1;
                        }
                    }
                    Notice::Held { reason, wait }
                        if wait > Duration::ZERO && reason.contains("budget") =>
                    {
                        self.met.held_by_budget += 1;
                    }
                    Notice::TurnedAway(_) => self.met.turned_away += 1,
                    _ => {}
                },
            }
            paid = false;
        }
        if !several_moves {
            for (index, &from) in before.iter().enumerate() {
                let to = self.fleet.phase(id(index));
                let revived = (from, to) == (Phase::Stopped, Phase::Queued) && !self.stopped;
                let legal = |from, to| from == to || MOVES.contains(&(from, to));
                let mut between = Phase::ALL.into_iter();
                assert!(
                    revived || between.any(|mid| legal(from, mid) && legal(mid, to)),
                    "{from:?} to {to:?}\n{}",
                    self.story
                );
                self.met.revived += u32::from(revived);
            }
        }
        for (index, link) in self.links.iter().enumerate() {
            let phase = self.fleet.phase(id(index));
            let expected = match link {
                Link::None => matches!(phase, Phase::Backoff | Phase::Queued | Phase::Stopped),
                Link::Attempt => phase.is_attempt(),
                Link::Up => phase.is_up(),
                Link::Leaving => phase == Phase::Closing,
            };
            assert!(
                expected,
                "{index} is {phase:?} with {link:?}\n{}",
                self.story
            );
        }
    }

    fn check_attempt(&mut self, index: usize) {
        let story = &self.story;
        assert!(!self.stopped, "an attempt after the end\n{story}");
        assert_eq!(self.links[index], Link::None, "{story}");
        let (not_before, why) = self.not_before;
        assert!(
            self.passed >= not_before,
            "an attempt in spite of {why}\n{story}"
        );
        assert!(
            self.passed >= self.token_hold,
            "with a refused token\n{story}"
        );
        // In no time were there more than the bucket holds and what it gained meanwhile.
        self.attempts.push(self.passed);
        let budget = &self.config.budget;
        for (first, &from) in self.attempts.iter().enumerate() {
            let gained = (self.passed - from).as_secs_f64() / budget.refill.as_secs_f64();
            let most = f64::from(budget.size) + gained;
            let made = self.attempts.len() - first;
            assert!(
                made as f64 <= most,
                "{made} attempts, {most} allowed\n{story}"
            );
        }
        if let [.., before, now] = self.attempts[..] {
            let restarted = self.epochs.iter().all(|&epoch| epoch == Epoch::default());
            assert!(
                restarted || now - before >= budget.spacing,
                "too close\n{story}"
            );
        }
        // Alone where it has to be.
        let others = self
            .links
            .iter()
            .filter(|&&link| link == Link::Attempt)
            .count();
        if !self.links.contains(&Link::Up) || self.contended.is_some() {
            assert_eq!(others, 0, "two probes\n{story}");
        }
        match self.contended {
            Some(None) => self.contended = Some(Some(index)),
            Some(Some(probe)) => {
                let over = self.fleet.connections[probe].phase() == Phase::Stopped;
                assert!(
                    probe == index || over,
                    "another one while contended\n{story}"
                );
                self.contended = Some(Some(index));
            }
            None => {}
        }
        if let Some(probe) = self.verifies {
            let over = self.fleet.connections[probe].phase() == Phase::Stopped;
            assert!(
                probe == index || over || self.contended.is_some(),
                "another one than after a 429\n{story}"
            );
        }
        self.links[index] = Link::Attempt;
        self.met.attempts += 1;
    }

    fn check_down(&mut self, index: usize, cause: &DownCause, retry_in: Option<Duration>) {
        match cause {
            DownCause::Stalled(_) => self.met.stalls += 1,
            DownCause::Silent(_) => self.met.silences += 1,
            DownCause::Garbled(_) => self.met.garbled += 1,
            DownCause::Blocked(_) => self.met.blocked += 1,
            DownCause::Renewed => {
                self.met.renewals += 1;
                assert_eq!(self.links[index], Link::Leaving, "{}", self.story);
                return;
            }
            DownCause::Stopped => {
                self.met.stops += 1;
                return;
            }
            DownCause::Connect(words) if words.contains("within") => self.met.late += 1,
            _ => {}
        }
        assert_eq!(self.links[index], Link::None, "{}", self.story);
        if !self.links.contains(&Link::Up) {
            self.met.total_losses += 1;
        }
        assert_eq!(
            retry_in.is_none(),
            self.fleet.phase(id(index)) == Phase::Stopped,
            "{}",
            self.story
        );
    }

    /// The process ends, and another one begins after `pause` with what was stored, its
    /// clock perhaps behind.
    fn restart(&mut self, pause: Duration, back: Duration) {
        self.met.restarts += 1;
        self.advance(pause);
        self.now = Now {
            mono: Mono::from_nanos(self.passed.as_nanos() as u64 % 977),
            utc: self.now.utc - back,
        };
        self.fleet = Fleet::new(self.config.clone(), self.stored.clone(), self.now);
        let count = self.links.len();
        self.links = vec![Link::None; count];
        self.epochs = vec![Epoch::default(); count];
        self.made_with = vec![0; count];
        self.token = 0;
        self.token_hold = Duration::ZERO;
        self.contended = None;
        self.verifies = None;
        if self.not_before.1 != "a 429" {
            self.not_before = (Duration::ZERO, "nothing");
        }
        let _ = writeln!(self.story, "{:?}: restart", self.passed);
    }

    fn refused_token(&mut self, index: usize) {
        if self.made_with[index] == self.token {
            self.met.refused_tokens += 1;
            self.token_hold = self.token_hold.max(self.passed + seconds(30));
        }
    }

    /// One event on one connection, more often than not on one that is tried.
    fn happen(&mut self, rng: &mut Pcg64) {
        let attempt = self.links.iter().position(|&link| link == Link::Attempt);
        let index = attempt
            .filter(|_| rng.random_bool(0.5))
            .unwrap_or_else(|| rng.random_range(0..self.links.len()));
        let event = rng.random_range(0..100);
        self.event(rng, index, event);
    }

    /// One event on `index`, of a hundred, if it makes sense there.
    fn event(&mut self, rng: &mut Pcg64, index: usize, event: usize) {
        let (now, conn) = (self.now, id(index));
        let before = self.phases();
        let _ = writeln!(self.story, "{:?}: event {event} on {index}", self.passed);
        let fleet = &mut self.fleet;
        match (self.links[index], event) {
            (Link::Attempt, 0..=74) => {
                if before[index] == Phase::Connecting {
                    fleet.handle_tcp(now, conn);
                    self.made_with[index] = self.token;
                } else {
                    self.links[index] = Link::Up;
                    if self.verifies == Some(index) {
                        self.verifies = None;
                    }
                    fleet.handle_connected(now, conn);
                }
            }
            (Link::Attempt, 75..=99) => {
                self.links[index] = Link::None;
                match event {
                    75..=86 => {
                        let cause = DownCause::Connect("refused".to_owned());
                        fleet.handle_failed(now, conn, cause, None);
                    }
                    87..=89 => {
                        let cause = DownCause::Refused { status: 503 };
                        fleet.handle_failed(now, conn, cause, None);
                    }
                    90..=93 => {
                        let asked = rng
                            .random_bool(0.3)
                            .then(|| seconds(rng.random_range(0..400)));
                        self.met.lockouts += 1;
                        self.verifies = Some(index);
                        self.hold(asked.unwrap_or_default().max(seconds(60)), "a 429");
                        let cause = DownCause::Refused { status: 429 };
                        self.fleet.handle_failed(now, conn, cause, asked);
                    }
                    94..=96 => {
                        if before[index] == Phase::Upgrading {
                            self.refused_token(index);
                            let cause = DownCause::Refused { status: 401 };
                            self.fleet.handle_failed(now, conn, cause, None);
                        } else {
                            self.made_with[index] = self.token;
                            self.refused_token(index);
                            let words = "no such file".to_owned();
                            self.fleet.handle_no_credentials(now, conn, words);
                        }
                    }
                    _ => self.links[index] = Link::Attempt,
                }
            }
            (Link::Up, 0..=39) => fleet.handle_data(now, conn),
            (Link::Up, 40..=59) => fleet.handle_traffic(now, conn),
            (Link::Up, 60..=66) => fleet.handle_undecodable(now, conn),
            (Link::Up, 67..=70) => fleet.handle_written(now, conn),
            (Link::Up, 71..=72) => fleet.handle_blocked(now, conn),
            (Link::Up, 73..=78) => fleet.handle_expectation(now, conn, event > 74),
            (Link::Up, 79..=84) => {
                self.links[index] = Link::None;
                fleet.handle_closed(now, conn, "reset".to_owned());
            }
            (Link::Up, 85..=96) => {
                let codes = [800, 804, 805, 805, 805, 806, 807, 807, 808, 814, 999, 805];
                let code = codes[event - 85];
                match code {
                    805 => self.hold(seconds(30), "an 805"),
                    807 | 808 => self.refused_token(index),
                    _ => {}
                }
                let reason = Reason::from_code(code);
                self.fleet.handle_disconnect(now, conn, reason);
            }
            (Link::Leaving, 0..=60) => {
                self.links[index] = Link::None;
                fleet.handle_closed(now, conn, String::new());
            }
            // What does not fit: changes nothing.
            (Link::None, 0..=30) => {
                fleet.handle_tcp(now, conn);
                fleet.handle_connected(now, conn);
                fleet.handle_data(now, conn);
                fleet.handle_undecodable(now, conn);
                fleet.handle_blocked(now, conn);
                fleet.handle_disconnect(now, conn, Reason::TooManyConnections);
                fleet.handle_closed(now, conn, String::new());
                fleet.handle_failed(now, conn, DownCause::Refused { status: 429 }, None);
            }
            _ => {}
        }
        self.check(&before, false);
    }

    fn step(&mut self, rng: &mut Pcg64) {
        match rng.random_range(0..1000) {
            0..=9 => {
                self.token += 1;
                self.token_hold = Duration::ZERO;
                let before = self.phases();
                self.fleet.handle_token_changed(self.now);
                self.check(&before, false);
            }
            10..=14 => {
                let pause = millis(rng.random_range(0..20_000));
                let back = seconds(rng.random_range(0..3) * rng.random_range(0..10_000));
                self.restart(pause, back);
            }
            15..=16 => {
                // The broker is well for a while.
                for _ in 0..rng.random_range(0..80) {
                    for index in 0..self.links.len() {
                        self.event(rng, index, 0);
                        self.event(rng, index, 0);
                    }
                    self.wait(seconds(5), false);
                }
            }
            17..=19 => {
                // It sends nothing but garbage on one.
                let index = rng.random_range(0..self.links.len());
                for _ in 0..12 {
                    self.event(rng, index, 60);
                    self.wait(seconds(1), false);
                }
            }
            20..=22 => {
                // Somebody else takes the connections.
                for index in 0..self.links.len() {
                    self.event(rng, index, 87);
                }
            }
            23..=300 => {
                let most = [100, 1_000, 5_000, 60_000][rng.random_range(0..4)];
                self.wait(millis(rng.random_range(0..most)), rng.random_bool(0.2));
            }
            _ => self.happen(rng),
        }
    }

    fn stop(&mut self) {
        let before = self.phases();
        self.stopped = true;
        self.fleet.handle_stop(self.now);
        self.check(&before, false);
        self.wait(seconds(2), false);
        assert!(self.fleet.is_over(), "{}", self.story);
        assert_eq!(self.fleet.poll_timeout(), None);
    }
}

#[test]
fn no_order_of_events_breaks_it() {
    let mut sum = Met::default();
    for seed in 0..250 {
        let mut rng = Pcg64::new(u128::from(seed), 11);
        let mut model = Model::new(seed);
        for _ in 0..600 {
            model.step(&mut rng);
        }
        model.stop();
        let met = model.met;
        for (sum, more) in [
            (&mut sum.attempts, met.attempts),
            (&mut sum.ups, met.ups),
            (&mut sum.total_losses, met.total_losses),
            (&mut sum.lockouts, met.lockouts),
            (&mut sum.refused_tokens, met.refused_tokens),
            (&mut sum.contentions, met.contentions),
            (&mut sum.calms, met.calms),
            (&mut sum.renewals, met.renewals),
            (&mut sum.restarts, met.restarts),
            (&mut sum.stops, met.stops),
            (&mut sum.held_by_budget, met.held_by_budget),
            (&mut sum.turned_away, met.turned_away),
            (&mut sum.revived, met.revived),
            (&mut sum.stalls, met.stalls),
            (&mut sum.silences, met.silences),
            (&mut sum.garbled, met.garbled),
            (&mut sum.blocked, met.blocked),
            (&mut sum.late, met.late),
        ] {
            *sum += more;
        }
    }
    let shown = format!("{sum:?}");
    assert!(
        !shown.contains(": 0,") && !shown.contains(": 0 }"),
        "never met: {shown}"
    );
}
