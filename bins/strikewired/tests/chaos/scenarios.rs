//! The scenarios of `crates/dhan-sim/scenarios`, machine against machine: what was seen at
//! the broker, and what must come out of it. Each test is named after its file.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use strikewire_broker::{DownCause, Notice};
use strikewire_dhan::connection::Phase;
use strikewire_dhan_sim::faults::Fault;
use strikewire_types::{ConnId, InstrumentKey, Mono};

use crate::client::Down;
use crate::world::World;

struct Scene {
    world: World,
    begun: Mono,
}

/// Plays a scenario from ten in the morning on.
fn play(name: &str) -> Scene {
    play_at(name, "10:00:00")
}

fn play_at(name: &str, at: &str) -> Scene {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/dhan-sim/scenarios");
    let path = folder.join(format!("{name}.toml"));
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let script = text.parse().unwrap_or_else(|error| panic!("{error}"));
    let mut world = World::scene(script, at);
    for _ in 0..6 {
        let wish = world.desk.users.wish(&mut world.rng);
        world.add(wish);
    }
    let begun = world.now.mono;
    Scene { world, begun }
}

impl Scene {
    fn at(&self, seconds: u64) -> Mono {
        self.begun + Duration::from_secs(seconds)
    }

    /// Until so many seconds after the beginning.
    fn until(&mut self, seconds: u64) {
        let end = self.at(seconds);
        self.world.run_until(end);
    }

    /// Everything that is desired is on the wire, and nothing else.
    fn is_whole(&self) {
        if let Err(unrest) = self.world.is_at_rest() {
            self.world.log.show(60);
            panic!("{unrest}");
        }
    }

    /// Attempts between two times.
    fn attempts(&self, from: u64, to: u64) -> Vec<Mono> {
        let all = self.world.client.attempts.at.iter().copied();
        all.filter(|at| (self.at(from)..self.at(to)).contains(at))
            .collect()
    }

    fn downs(&self) -> &[Down] {
        &self.world.client.downs
    }

    fn goodbyes_with(&self, wanted: u16) -> usize {
        let of = |down: &&Down| matches!(down.cause, DownCause::Disconnected { code, .. } if code == wanted);
        self.downs().iter().filter(of).count()
    }

    fn is_told(&self, is: impl Fn(&Notice) -> bool) -> bool {
        self.world.client.notices.iter().any(|(_, told)| is(told))
    }

    /// Which connection each instrument is on.
    fn homes(&self) -> BTreeMap<InstrumentKey, ConnId> {
        let rows = self.world.client.rows.values();
        rows.map(|row| (row.key, row.home)).collect()
    }

    fn phases(&self) -> Vec<Phase> {
        let conns = (0..5).map(ConnId::from_index);
        conns
            .map(|conn| self.world.client.fleet.phase(conn))
            .collect()
    }

    fn gaps(&self) -> u64 {
        self.world.seen.gap
    }

    /// Another token is in the file from now on.
    fn new_token(&mut self, token: &str) {
        self.world.client.token_file = token.to_owned();
    }
}

/// Whether no two of these are closer together than `seconds`.
fn are_apart(attempts: &[Mono], seconds: u64) -> bool {
    let least = Duration::from_secs(seconds);
    attempts.windows(2).all(|two| two[1].since(two[0]) >= least)
}

/// Three 805 in five minutes are contention, and then one connection probes.
#[test]
fn account_contended() {
    let mut scene = play("account_contended");
    scene.until(55);
    scene.is_whole();
    scene.until(360);
    assert!(scene.is_told(|told| *told == Notice::Contended(true)));
    assert!(scene.goodbyes_with(805) >= 3);
    // From then on one attempt at a time, half a minute apart at least.
    let contended = scene.world.client.notices.iter();
    let since = contended
        .filter(|(_, told)| *told == Notice::Contended(true))
        .map(|(at, _)| at.since(scene.begun).as_secs())
        .next()
        .unwrap();
    assert!(are_apart(&scene.attempts(since + 1, 360), 30));
}

/// All five come back within seconds, and nothing is moved between them.
#[test]
fn all_reset_at_once() {
    let mut scene = play("all_reset_at_once");
    scene.until(59);
    scene.is_whole();
    let homes = scene.homes();
    scene.until(75);
    assert_eq!(scene.downs().len(), 5);
    assert_eq!(scene.attempts(59, 75).len(), 5);
    scene.is_whole();
    assert_eq!(scene.homes(), homes);
    let seen = &scene.world.seen;
    assert_eq!((seen.handed_over, seen.rebalanced), (0, 0));
    assert_eq!(scene.gaps(), 5);
}

/// 808 is a matter of the token: attempts come in small lots half a minute apart, and it
/// is said.
#[test]
fn authentication_failed() {
    let mut scene = play("authentication_failed");
    scene.until(300);
    assert!(scene.is_told(|told| matches!(told, Notice::NoCredentials(_))));
    assert!(scene.goodbyes_with(808) >= 2);
    let attempts = scene.attempts(5, 300).len();
    assert!(attempts <= 30, "{attempts} attempts");
}

/// Wrong times in packets are no reason for anything.
#[test]
fn clock_skew() {
    let mut scene = play("clock_skew");
    scene.until(120);
    scene.is_whole();
    assert!(scene.downs().is_empty());
}

/// Many packets in a frame are all taken.
#[test]
fn coalesced() {
    let mut scene = play("coalesced");
    scene.until(120);
    scene.is_whole();
    assert!(scene.downs().is_empty());
    assert_eq!(scene.world.seen.resend, 0);
}

/// With two connections less for half an hour the exchange of 805 ends, the others live,
/// and afterwards all are back.
#[test]
fn depth_sockets_take_two() {
    let mut scene = play("depth_sockets_take_two");
    scene.until(55);
    scene.is_whole();
    scene.until(1_800);
    let kicks = scene.goodbyes_with(805);
    assert!((3..=30).contains(&kicks), "{kicks} times 805");
    let up = scene.phases().iter().filter(|phase| phase.is_up()).count();
    assert!(up >= 2, "{:?}", scene.phases());
    scene.until(3_000);
    scene.is_whole();
}

/// A stall after a few packets is noticed, and tried again with growing waits.
#[test]
fn four_packets_then_silence() {
    let mut scene = play("four_packets_then_silence");
    scene.until(600);
    let stalls = scene.downs().iter();
    let stalls = stalls.filter(|down| matches!(down.cause, DownCause::Stalled(_)));
    assert!(stalls.count() >= 5);
    assert!(!scene.phases().contains(&Phase::Stopped));
}

/// Random bytes between the packets end nothing, but where by chance they are a goodbye:
/// hardly ever among 60,000 frames.
#[test]
fn garbage() {
    let mut scene = play("garbage");
    scene.until(100);
    scene.is_whole();
    let goodbye = |down: &Down| matches!(down.cause, DownCause::Disconnected { .. });
    assert!(scene.downs().iter().all(goodbye), "{:?}", scene.downs());
    assert!(scene.downs().len() <= 10);
}

/// Two half-open sockets are ended by the limit on silence, and everything comes back.
#[test]
fn half_open() {
    let mut scene = play("half_open");
    scene.until(200);
    let silent = scene.downs().iter();
    let silent = silent.filter(|down| matches!(down.cause, DownCause::Silent(_)));
    assert_eq!(silent.count(), 2, "{:?}", scene.downs());
    scene.is_whole();
}

/// With 401 for an answer attempts are half a minute apart.
#[test]
fn handshake_401() {
    let mut scene = play("handshake_401");
    scene.until(60);
    assert!(are_apart(&scene.attempts(0, 60), 30));
    assert!(scene.is_told(|told| matches!(told, Notice::NoCredentials(_))));
    scene.until(200);
    scene.is_whole();
}

/// With 429 for an answer one connection tries, a minute apart at least.
#[test]
fn handshake_429() {
    let mut scene = play("handshake_429");
    scene.until(299);
    assert!(are_apart(&scene.attempts(0, 299), 60));
    scene.until(900);
    scene.is_whole();
}

/// What `Retry-After` says is kept to.
#[test]
fn handshake_429_retry_after() {
    let mut scene = play("handshake_429_retry_after");
    scene.until(59);
    scene.is_whole();
    scene.until(600);
    let attempts = scene.attempts(60, 600);
    assert!(are_apart(&attempts[..2], 120));
    scene.is_whole();
}

/// Resets of idle connections at night cost one attempt each, and the budget is full in
/// the morning.
#[test]
fn idle_resets_overnight() {
    let mut scene = play_at("idle_resets_overnight", "23:58:00");
    scene.world.desk.market_is_open = false;
    scene.until(65 * 60);
    assert_eq!(scene.downs().len(), 20);
    assert_eq!(scene.attempts(60, 65 * 60).len(), 20);
    scene.is_whole();
    let now = scene.world.now.mono;
    assert_eq!(scene.world.client.fleet.attempts_left(now), 10);
}

/// Late data is data.
#[test]
fn late_data() {
    let mut scene = play("late_data");
    scene.until(200);
    scene.is_whole();
    assert!(scene.downs().is_empty());
}

/// Instruments that the broker lost are asked for once more, and then they are there.
#[test]
fn lost_subscriptions() {
    let mut scene = play("lost_subscriptions");
    scene.until(200);
    assert!(scene.world.seen.resend > 0);
    scene.is_whole();
}

/// Packets of what the broker keeps sending are counted and go nowhere; a new connection
/// is clean.
#[test]
fn lost_unsubscriptions() {
    let mut scene = play("lost_unsubscriptions");
    scene.until(10);
    let owner = scene.world.desk.users.claims[0].owner;
    scene.world.desk.users.remove(owner);
    let mut effects = Vec::new();
    let now = scene.world.now;
    scene.world.desk.book.release(now, owner, &mut effects);
    scene.world.settle(effects);
    scene.until(60);
    assert!(scene.world.client.unresolved > 0);
    scene.until(601);
    let now = scene.world.now;
    scene.world.broker.core.inject(now, Fault::Reset);
    scene.world.flush_broker();
    scene.until(660);
    scene.is_whole();
}

/// Packets about the market are handed on, and are neither data nor trouble.
#[test]
fn market_status() {
    let mut scene = play_at("market_status", "09:14:00");
    scene.until(120);
    assert_eq!(scene.world.seen.market_status, 5);
    assert!(scene.downs().is_empty());
    scene.is_whole();
}

/// Connections that bring nothing at all are ended, and others tried.
#[test]
fn mute() {
    let mut scene = play("mute");
    scene.until(119);
    assert!(!scene.downs().is_empty());
    let silent = |down: &Down| matches!(down.cause, DownCause::Silent(_) | DownCause::Stalled(_));
    assert!(scene.downs().iter().all(silent), "{:?}", scene.downs());
    scene.until(400);
    scene.is_whole();
}

/// 806 is final: every connection stops, and nobody tries any more.
#[test]
fn not_subscribed() {
    let mut scene = play("not_subscribed");
    scene.until(600);
    assert!(scene.is_told(|told| matches!(told, Notice::TurnedAway(_))));
    assert_eq!(scene.phases(), [Phase::Stopped; 5]);
    assert_eq!(scene.attempts(0, 600).len(), 5);
}

/// Silence of a closed market is no fault.
#[test]
fn out_of_hours() {
    let mut scene = play("out_of_hours");
    scene.world.desk.market_is_open = false;
    scene.until(900);
    assert!(scene.downs().is_empty());
    assert_eq!(scene.attempts(0, 900).len(), 5);
    scene.is_whole();
}

/// A polite close is the same as a reset.
#[test]
fn polite_close() {
    let mut scene = play("polite_close");
    scene.until(130);
    assert_eq!(scene.downs().len(), 6);
    let closed = |down: &Down| matches!(down.cause, DownCause::Closed(_));
    assert!(scene.downs().iter().all(closed));
    scene.is_whole();
}

/// After 300 s of traffic each time nothing has to be waited for.
#[test]
fn reset_after_300s() {
    let mut scene = play("reset_after_300s");
    scene.until(960);
    assert_eq!(scene.downs().len(), 15);
    let soon = |down: &Down| {
        down.retry_in
            .is_some_and(|wait| wait < Duration::from_secs(4))
    };
    assert!(scene.downs().iter().all(soon), "{:?}", scene.downs());
    assert_eq!(scene.gaps(), 15);
    scene.is_whole();
}

/// Nothing is ever stable, so waits grow, and the budget holds.
#[test]
fn reset_after_connect() {
    let mut scene = play("reset_after_connect");
    scene.until(900);
    let (early, late) = (scene.attempts(0, 60).len(), scene.attempts(600, 900).len());
    assert!(early <= 15, "{early} attempts in the first minute");
    assert!(late <= 26, "{late} attempts in five minutes");
    assert!(!scene.phases().contains(&Phase::Stopped));
}

/// Few attempts before a lock-out, single ones during it, and everything afterwards.
#[test]
fn reset_storm_429() {
    let mut scene = play("reset_storm_429");
    scene.until(360);
    assert!(scene.attempts(0, 60).len() <= 15);
    assert!(are_apart(&scene.attempts(62, 360), 60));
    scene.until(1_200);
    scene.is_whole();
}

/// One connection after the other falls, for ever: none is given up.
#[test]
fn resets_315_an_hour() {
    let mut scene = play("resets_315_an_hour");
    scene.until(600);
    let downs = scene.downs().len();
    assert!((45..=53).contains(&downs), "{downs} downs");
    assert!(!scene.phases().contains(&Phase::Stopped));
    let up = scene.phases().iter().filter(|phase| phase.is_up()).count();
    assert!(up >= 3, "{:?}", scene.phases());
}

/// Pings without data are a stall where data is expected, and nowhere else.
#[test]
fn silent_stall() {
    let mut scene = play("silent_stall");
    scene.until(120);
    assert_eq!(scene.downs().len(), 5);
    let stalled = |down: &Down| matches!(down.cause, DownCause::Stalled(_));
    assert!(scene.downs().iter().all(stalled), "{:?}", scene.downs());
    assert_eq!(scene.gaps(), 5);
    scene.is_whole();
}

/// After an 805 nobody tries for half a minute.
#[test]
fn sixth_connection() {
    let mut scene = play("sixth_connection");
    scene.until(89);
    assert_eq!(scene.goodbyes_with(805), 1);
    assert_eq!(scene.attempts(60, 90).len(), 0);
    scene.until(200);
    scene.is_whole();
    assert!(!scene.is_told(|told| *told == Notice::Contended(true)));
}

/// A broker that reads slowly gets one batch after the other, and all of them.
#[test]
fn slow_reader() {
    let mut scene = play("slow_reader");
    scene.until(59);
    scene.is_whole();
    assert!(scene.downs().is_empty());
}

/// However writes are cut, nothing is lost. What that does to a socket is tested on
/// sockets.
#[test]
fn split_writes() {
    let mut scene = play("split_writes");
    scene.until(60);
    scene.is_whole();
    assert!(scene.downs().is_empty());
}

/// With a dead token attempts are far apart; with a new one everything comes back.
#[test]
fn token_expired() {
    let mut scene = play("token_expired");
    scene.until(59);
    scene.is_whole();
    scene.until(360);
    assert!(scene.is_told(|told| matches!(told, Notice::NoCredentials(_))));
    let attempts = scene.attempts(60, 360).len();
    assert!((1..=12).contains(&attempts), "{attempts} attempts");
    let now = scene.world.now;
    scene
        .world
        .broker
        .core
        .set_token(now, "another", Duration::ZERO);
    scene.new_token("another");
    scene.until(400);
    scene.is_whole();
    assert_eq!(scene.gaps(), 5);
}

/// A new token that kills the old one is read, and everything comes back.
#[test]
fn token_rollover_at_once() {
    let mut scene = play("token_rollover_at_once");
    scene.until(59);
    scene.is_whole();
    scene.new_token("the-next-token");
    scene.until(100);
    assert!(scene.attempts(60, 100).len() <= 7);
    scene.is_whole();
    assert_eq!(scene.gaps(), 5);
}

/// With a grace the connections move to the new token one after the other.
#[test]
fn token_rollover_with_grace() {
    let mut scene = play("token_rollover_with_grace");
    scene.until(61);
    scene.is_whole();
    scene.new_token("the-next-token");
    scene.until(150);
    let renewed: Vec<&Down> = scene.downs().iter().collect();
    assert_eq!(renewed.len(), 5);
    assert!(renewed.iter().all(|down| down.cause == DownCause::Renewed));
    let conns: std::collections::BTreeSet<ConnId> = renewed.iter().map(|down| down.conn).collect();
    assert_eq!(conns.len(), 5);
    let at: Vec<Mono> = renewed.iter().map(|down| down.at).collect();
    let apart = Duration::from_millis(500);
    assert!(at.windows(2).all(|two| two[1].since(two[0]) >= apart));
    scene.is_whole();
    // When the old token dies nobody uses it.
    scene.until(700);
    assert_eq!(scene.downs().len(), 5);
}

/// An upgrade that nobody answers is given up at its own limit.
#[test]
fn unanswered_upgrade() {
    let mut scene = play("unanswered_upgrade");
    scene.until(119);
    assert!(scene.downs().len() >= 2);
    let late = |down: &Down| matches!(&down.cause, DownCause::Connect(detail) if detail.contains("upgrade"));
    assert!(scene.downs().iter().all(late), "{:?}", scene.downs());
    scene.until(240);
    scene.is_whole();
}

/// Unknown packets between the good ones cost none of them.
#[test]
fn unknown_codes() {
    let mut scene = play("unknown_codes");
    scene.until(120);
    scene.is_whole();
    assert!(scene.downs().is_empty());
}

/// A gateway that fails is tried again, with waits that grow.
#[test]
fn upgrade_502() {
    let mut scene = play("upgrade_502");
    scene.until(29);
    assert!((2..=10).contains(&scene.attempts(0, 29).len()));
    scene.until(120);
    scene.is_whole();
}

/// Zeros between the packets end nothing.
#[test]
fn zero_frames() {
    let mut scene = play("zero_frames");
    scene.until(45);
    scene.is_whole();
    assert!(scene.downs().is_empty());
}

/// Every scenario has a test here, or says why not.
#[test]
fn every_scenario_is_played() {
    // REST is no part of this simulation; crates/dhan tests it.
    const ELSEWHERE: [&str; 1] = ["rest_502"];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/dhan-sim/scenarios");
    let here = include_str!("scenarios.rs");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let is_played = here.contains(&format!("fn {name}()"));
        assert!(is_played || ELSEWHERE.contains(&name), "{name}");
    }
}
