//! The scenarios that ship with the stand-in: what each does to connections, seen
//! without sockets. Each test proves that its file plays what it says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::*;
use crate::fixture::option;

const TEN: &str = "2026-02-09T10:00:00+05:30";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

/// A test for each scenario, named like its file; and their names.
macro_rules! scenarios {
    ($($name:ident: $check:expr;)*) => {
        const NAMES: &[&str] = &[$(stringify!($name)),*];

        $(
            #[test]
            fn $name() {
                let check: fn(&str) = $check;
                let text = std::fs::read_to_string(folder().join(concat!(stringify!($name), ".toml")));
                check(&text.unwrap());
            }
        )*
    };
}

/// What a connection saw.
#[derive(Debug, Default)]
struct Seen {
    /// When, and the bytes.
    frames: Vec<(f64, Vec<u8>)>,
    end: Option<(f64, Output)>,
}

impl Seen {
    fn packets(&self) -> Vec<Packet> {
        self.frames
            .iter()
            .flat_map(|(_, frame)| split(frame))
            .collect()
    }

    /// When data came, other than a goodbye.
    fn data(&self) -> Vec<f64> {
        let data = self.frames.iter().filter(|(_, frame)| frame[0] != 50);
        data.map(|(at, _)| *at).collect()
    }

    /// The reason of the goodbye, if it ended with one.
    fn goodbye(&self) -> Option<u16> {
        assert!(
            matches!(self.end, Some((_, Output::Close))),
            "{:?}",
            self.end
        );
        let (_, last) = self.frames.last()?;
        (last[0] == 50 && last.len() == 10).then(|| u16::from_le_bytes([last[8], last[9]]))
    }

    fn ended_at(&self) -> Option<f64> {
        self.end.as_ref().map(|(at, _)| *at)
    }
}

struct Play {
    core: Core,
    start: Now,
    seconds: f64,
    seen: BTreeMap<SessionId, Seen>,
}

impl Play {
    fn new(script: &str) -> Self {
        Self::at(script, TEN)
    }

    fn at(script: &str, start: &str) -> Self {
        let config = Config {
            script: script.parse().unwrap(),
            ..Config::default()
        };
        Self::with(config, start)
    }

    fn with(config: Config, start: &str) -> Self {
        let clock: strikewire_types::ClockSpec = start.parse().unwrap();
        let start = Now {
            utc: clock.start,
            ..Now::default()
        };
        Self {
            core: Core::new(registry(), config, start),
            start,
            seconds: 0.0,
            seen: BTreeMap::new(),
        }
    }

    fn now(&self) -> Now {
        self.start + Duration::from_secs_f64(self.seconds)
    }

    fn try_connect(&mut self, token: &str) -> Result<SessionId, Refusal> {
        let query = format!("version=2&token={token}&clientId=1&authType=2");
        let now = self.now();
        let answer = self.core.handle_connect(now, &query);
        self.collect();
        answer
    }

    fn connect(&mut self) -> SessionId {
        self.try_connect("t").unwrap()
    }

    /// Connections with five liquid instruments each.
    fn connect_all(&mut self, count: usize) -> Vec<SessionId> {
        (0..count)
            .map(|_| {
                let id = self.connect();
                self.ask(id, 15, &liquid());
                id
            })
            .collect()
    }

    fn ask(&mut self, id: SessionId, code: u8, keys: &[InstrumentKey]) {
        let now = self.now();
        self.core
            .handle_text(now, id, &message(code, keys.len(), keys));
        self.collect();
    }

    fn collect(&mut self) {
        let mut out = Vec::new();
        self.core.flush(&mut out);
        self.take(out);
    }

    fn take(&mut self, out: Vec<(SessionId, Output)>) {
        for (id, output) in out {
            let seen = self.seen.entry(id).or_default();
            assert!(seen.end.is_none(), "something follows the end of {id}");
            match output {
                Output::Frame(frame) => seen.frames.push((self.seconds, frame.to_vec())),
                Output::Transport(_) => {}
                end => seen.end = Some((self.seconds, end)),
            }
        }
    }

    /// Polls four times a second until that many seconds after the start.
    fn until(&mut self, seconds: f64) {
        while self.seconds < seconds {
            self.seconds += 0.25;
            let (mut out, now) = (Vec::new(), self.now());
            self.core.poll(now, &mut out);
            self.take(out);
        }
    }

    fn see(&self, id: SessionId) -> &Seen {
        &self.seen[&id]
    }

    fn alive(&self) -> Vec<SessionId> {
        self.core.wire_state().into_keys().collect()
    }

    /// The status of an attempt at each of the times.
    fn statuses<const N: usize>(&mut self, times: [f64; N]) -> [u16; N] {
        times.map(|at| {
            self.until(at);
            self.try_connect("t")
                .map_or_else(|refusal| refusal.status, |_| 101)
        })
    }
}

/// Trade four times a second.
fn liquid() -> [InstrumentKey; 2] {
    [key(NIFTY), key("RELIANCE")]
}

/// Whether data came in every second from `from` to `to`.
fn flows(seen: &Seen, from: f64, to: f64) -> bool {
    let data = seen.data();
    let mut second = from;
    while second < to {
        if !data.iter().any(|at| (second..second + 1.0).contains(at)) {
            return false;
        }
        second += 1.0;
    }
    true
}

fn is_silent(seen: &Seen, from: f64, to: f64) -> bool {
    !seen.data().iter().any(|at| (from..to).contains(at))
}

scenarios! {
    handshake_429: |script| {
        let mut play = Play::new(script);
        assert_eq!(play.try_connect("t").unwrap_err().retry_after, None);
        let statuses = play.statuses([0.0, 60.0, 299.75, 300.0]);
        assert_eq!(statuses, [429, 429, 429, 101]);
        let report = play.core.counters();
        assert_eq!(report.refused_by_status, BTreeMap::from([(429, 4)]));
        assert_eq!(report.attempts, BTreeMap::from([(0, 2), (1, 1), (4, 1), (5, 1)]));
    };
    handshake_429_retry_after: |script| {
        let mut play = Play::new(script);
        let id = play.connect_all(1)[0];
        play.until(60.0);
        assert_eq!(play.see(id).end, Some((60.0, Output::Reset)));
        let refusal = play.try_connect("t").unwrap_err();
        assert_eq!((refusal.status, refusal.retry_after), (429, Some(Duration::from_secs(120))));
        assert_eq!(play.statuses([179.75, 180.0]), [429, 101]);
    };
    handshake_401: |script| {
        assert_eq!(Play::new(script).statuses([0.0, 59.75, 60.0]), [401, 401, 101]);
    };
    upgrade_502: |script| {
        assert_eq!(Play::new(script).statuses([0.0, 29.75, 30.0]), [502, 502, 101]);
    };
    unanswered_upgrade: |script| {
        let mut play = Play::new(script);
        assert!(!play.try_connect("t").unwrap_err().is_answered());
        assert_eq!(play.statuses([119.75, 120.0]), [0, 101]);
    };
    reset_after_300s: |script| {
        let mut play = Play::new(script);
        let first = play.connect_all(1)[0];
        play.until(100.0);
        let second = play.connect_all(1)[0];
        play.until(400.0);
        // Each by its own age, and no word of it.
        assert_eq!(play.see(first).end, Some((300.0, Output::Reset)));
        assert_eq!(play.see(second).end, Some((400.0, Output::Reset)));
        assert!(flows(play.see(first), 0.0, 299.0));
        assert!(play.see(first).packets().iter().all(|packet| packet.code() != 50));
    };
    reset_after_connect: |script| {
        let mut play = Play::new(script);
        let mut ages = Vec::new();
        for _ in 0..20 {
            let (id, begun) = (play.connect_all(1)[0], play.seconds);
            play.until(begun + 10.0);
            let seen = play.see(id);
            assert!(matches!(seen.end, Some((_, Output::Reset))));
            ages.push(seen.ended_at().unwrap() - begun);
        }
        assert!(ages.iter().all(|age| (5.0..=6.25).contains(age)), "{ages:?}");
        let distinct: BTreeSet<u64> = ages.iter().map(|age| (age * 4.0) as u64).collect();
        assert!(distinct.len() > 1, "by chance: {ages:?}");
    };
    reset_storm_429: |script| {
        let mut play = Play::new(script);
        let mut lives = 0;
        while play.seconds < 60.0 {
            lives += 1;
            let id = play.connect_all(1)[0];
            play.until(play.seconds + 6.0);
            assert!(matches!(play.see(id).end, Some((_, Output::Reset))));
        }
        assert_eq!(lives, 10);
        assert_eq!(play.statuses([60.0, 359.75, 360.0]), [429, 429, 101]);
        let id = play.connect_all(1)[0];
        play.until(400.0);
        assert!(flows(play.see(id), 360.0, 399.0));
    };
    resets_315_an_hour: |script| {
        let mut play = Play::new(script);
        play.connect_all(5);
        let mut resets = 0;
        for second in 1..=3600 {
            play.until(f64::from(second));
            let missing = 5 - play.alive().len();
            assert!(missing <= 1, "one at a time");
            resets += missing;
            play.connect_all(missing);
        }
        assert!((314..=316).contains(&resets), "{resets}");
        // Not always the same one.
        let lives = play.seen.values().filter_map(Seen::ended_at);
        assert!(lives.count() > 300 && play.core.counters().displaced == 0);
    };
    all_reset_at_once: |script| {
        let mut play = Play::new(script);
        let ids = play.connect_all(5);
        play.until(70.0);
        for id in ids {
            assert_eq!(play.see(id).end, Some((60.0, Output::Reset)));
        }
        let id = play.connect_all(1)[0];
        play.until(200.0);
        assert!(play.alive() == [id] && flows(play.see(id), 71.0, 199.0));
    };
    idle_resets_overnight: |script| {
        let mut play = Play::at(script, "2026-02-09T23:59:00+05:30");
        let first = play.connect_all(1)[0];
        play.until(100.0);
        assert_eq!(play.see(first).end, Some((60.0, Output::Reset)));
        let second = play.connect_all(1)[0];
        play.until(1300.0);
        assert_eq!(play.see(second).end, Some((1260.0, Output::Reset)));
    };
    polite_close: |script| {
        let mut play = Play::new(script);
        let ids = play.connect_all(2);
        play.until(100.0);
        let close = |code, reason: &str| Output::CloseFrame { code, reason: reason.to_owned() };
        assert_eq!(play.see(ids[0]).end, Some((30.0, close(1001, "going away"))));
        assert_eq!(play.see(ids[1]).end, Some((90.0, close(1011, "keepalive ping timeout"))));
    };
    silent_stall: |script| {
        let mut play = Play::new(script);
        let ids = play.connect_all(5);
        play.until(120.0);
        for id in &ids {
            assert!(flows(play.see(*id), 0.0, 29.0) && is_silent(play.see(*id), 30.0, 120.0));
            assert!(play.see(*id).end.is_none());
            assert!(play.core.transport(*id).unwrap().pings());
        }
        // Who comes anew is well.
        let now = play.now();
        play.core.handle_close(now, ids[4]);
        let new = play.connect_all(1)[0];
        play.until(180.0);
        assert!(flows(play.see(new), 120.0, 179.0));
    };
    four_packets_then_silence: |script| {
        let mut play = Play::new(script);
        for id in play.connect_all(2) {
            play.until(play.seconds + 60.0);
            assert_eq!(play.see(id).packets().len(), 4);
            assert!(play.core.transport(id).unwrap().pings());
        }
    };
    mute: |script| {
        let mut play = Play::new(script);
        let id = play.connect_all(1)[0];
        assert_eq!(play.core.wire_state()[&id].len(), 2);
        assert!(!play.core.transport(id).unwrap().pings());
        play.until(119.75);
        assert!(play.seen.get(&id).is_none_or(|seen| seen.frames.is_empty()));
        play.until(150.0);
        assert!(flows(play.see(id), 120.0, 149.0));
        assert!(play.core.transport(id).unwrap().pings());
    };
    half_open: |script| {
        let mut play = Play::new(script);
        let ids = play.connect_all(3);
        play.until(30.0);
        for id in &ids[..2] {
            assert!(play.core.transport(*id).unwrap().deaf);
            play.ask(*id, 15, &[option(NIFTY, 0, true)]);
            // Nobody is there to say no.
            let now = play.now();
            play.core.handle_text(now, *id, "not json");
        }
        play.until(600.0);
        for id in &ids[..2] {
            assert!(is_silent(play.see(*id), 30.0, 600.0) && play.see(*id).end.is_none());
            assert_eq!(play.core.wire_state()[id].len(), 2);
        }
        assert!(flows(play.see(ids[2]), 30.0, 599.0));
    };
    out_of_hours: |script| {
        let mut play = Play::new(script);
        let id = play.connect();
        let keys = [key("RELIANCE"), option(NIFTY, 0, true), option(NIFTY, 0, false)];
        play.until(10.0);
        play.ask(id, 21, &keys);
        play.until(600.0);
        let packets = play.see(id).packets();
        let about: Vec<InstrumentKey> = packets.iter().map(Packet::key).collect();
        assert_eq!(about, keys);
        assert!(keys.iter().all(|key| play.core.sent(*key) == 1));
        assert!(play.core.transport(id).unwrap().pings());
    };
    sixth_connection: |script| {
        let mut play = Play::new(script);
        let ids = play.connect_all(5);
        play.until(90.0);
        assert_eq!(play.see(ids[0]).goodbye(), Some(805));
        assert_eq!(play.see(ids[0]).ended_at(), Some(60.0));
        // It has left again: there is room for five.
        play.connect_all(1);
        play.until(120.0);
        assert_eq!((play.alive().len(), play.core.counters().displaced), (5, 1));
    };
    account_contended: |script| {
        let mut play = Play::new(script);
        play.connect_all(5);
        for minute in 1..=3 {
            play.until(f64::from(minute) * 60.0);
            assert_eq!(play.alive().len(), 4);
            // Coming back pushes the next one out.
            play.connect_all(1);
            assert_eq!(play.alive().len(), 4);
            play.until(f64::from(minute) * 60.0 + 50.0);
            play.connect_all(1);
            assert_eq!(play.alive().len(), 5);
        }
        assert_eq!(play.core.counters().displaced, 6);
        let ends = play.seen.values().filter(|seen| seen.end.is_some());
        assert!(ends.clone().count() == 6 && ends.clone().all(|seen| seen.goodbye() == Some(805)));
    };
    depth_sockets_take_two: |script| {
        let mut play = Play::new(script);
        let ids = play.connect_all(5);
        play.until(61.0);
        assert_eq!(play.alive(), ids[2..]);
        play.connect_all(2);
        assert_eq!(play.alive().len(), 3);
        play.until(60.0 + 30.0 * 60.0);
        play.connect_all(2);
        assert_eq!(play.alive().len(), 5);
    };
    token_expired: |script| {
        let mut play = Play::new(script);
        let ids = play.connect_all(5);
        play.until(61.0);
        for id in ids {
            assert_eq!(play.see(id).goodbye(), Some(807));
            assert_eq!(play.see(id).ended_at(), Some(60.0));
        }
        assert_eq!(play.try_connect("t").unwrap_err().status, 401);
        assert_eq!(play.core.check_credentials(play.now(), "1", "t"), Err(Reason::TokenExpired));
        assert!(play.try_connect("another").is_ok());
        assert_eq!(play.core.check_credentials(play.now(), "1", "another"), Ok(()));
    };
    token_rollover_at_once: |script| {
        let mut play = Play::new(script);
        let ids = play.connect_all(2);
        play.until(61.0);
        assert!(ids.iter().all(|id| play.see(*id).goodbye() == Some(807)));
        assert_eq!(play.try_connect("t").unwrap_err().status, 401);
        assert_eq!(play.try_connect("another").unwrap_err().status, 401);
        assert!(play.try_connect("the-next-token").is_ok());
        assert!(!format!("{:?}", play.core).contains("the-next-token"));
    };
    token_rollover_with_grace: |script| {
        let mut play = Play::new(script);
        let old = play.connect_all(1)[0];
        play.until(120.0);
        let new = play.try_connect("the-next-token").unwrap();
        play.ask(new, 15, &liquid());
        assert!(play.try_connect("t").is_ok());
        play.until(659.75);
        assert!(flows(play.see(old), 0.0, 659.0));
        play.until(700.0);
        assert_eq!(play.see(old).goodbye(), Some(807));
        assert_eq!(play.see(old).ended_at(), Some(660.0));
        assert_eq!(play.try_connect("t").unwrap_err().status, 401);
        assert!(play.alive() == [new] && flows(play.see(new), 120.0, 699.0));
    };
    authentication_failed: |script| {
        let mut play = Play::new(script);
        for _ in 0..3 {
            let (id, begun) = (play.connect_all(1)[0], play.seconds);
            play.until(begun + 5.0);
            assert_eq!(play.see(id).goodbye(), Some(808));
            assert_eq!(play.see(id).ended_at(), Some(begun + 1.0));
        }
    };
    not_subscribed: |script| {
        let mut play = Play::new(script);
        let id = play.connect_all(1)[0];
        play.until(5.0);
        assert_eq!(play.see(id).goodbye(), Some(806));
        assert_eq!(play.see(id).ended_at(), Some(1.0));
    };
    lost_subscriptions: |script| {
        let mut play = Play::new(script);
        let id = play.connect();
        let all = contracts(1_000);
        for keys in all.chunks(100) {
            play.ask(id, 15, keys);
        }
        let lost = play.core.counters().sessions[&id].lost;
        assert!((60..=140).contains(&lost), "{lost} of 1000");
        let held = play.core.wire_state()[&id].len();
        assert_eq!(held as u64 + lost, 1_000);
        // Of what is lost nothing is ever sent; asked for again later, it is there.
        play.until(120.0);
        let about: BTreeSet<InstrumentKey> =
            play.see(id).packets().iter().map(Packet::key).collect();
        assert_eq!(about.len(), held);
        for keys in all.chunks(100) {
            play.ask(id, 15, keys);
        }
        assert_eq!(play.core.wire_state()[&id].len(), 1_000);
    };
    lost_unsubscriptions: |script| {
        let mut play = Play::new(script);
        let id = play.connect_all(1)[0];
        play.ask(id, 16, &liquid());
        play.until(599.0);
        assert!(flows(play.see(id), 0.0, 598.0));
        assert_eq!(play.core.counters().sessions[&id].kept, 2);
        play.until(600.0);
        play.ask(id, 16, &liquid());
        play.until(660.0);
        assert!(is_silent(play.see(id), 600.5, 660.0));
    };
    coalesced: |script| {
        let mut play = Play::new(script);
        let id = play.connect();
        for keys in contracts(600).chunks(100) {
            play.ask(id, 17, keys);
        }
        // What a message leads to goes out at once: quotes and open interest.
        let of_frames: Vec<usize> =
            play.see(id).frames.iter().map(|(_, frame)| split(frame).len()).collect();
        assert_eq!(of_frames, [200; 6]);
        let (mut out, now) = (Vec::new(), at(4000.0));
        play.core.poll(now, &mut out);
        let Some((_, Output::Frame(frame))) = out.first() else { panic!("{out:?}") };
        assert_eq!(split(frame).len(), 500);
    };
    split_writes: |script| {
        let mut play = Play::new(script);
        let ids = play.connect_all(2);
        let splits = |play: &Play| ids.iter().map(|id| play.core.transport(*id).unwrap().split).collect::<Vec<_>>();
        assert_eq!(splits(&play), [Some(7); 2]);
        play.until(30.0);
        assert_eq!(splits(&play), [Some(1), Some(7)]);
        let late = play.connect();
        assert_eq!(play.core.transport(late).unwrap().split, Some(7));
    };
    zero_frames: |script| {
        let mut play = Play::new(script);
        let id = play.connect_all(1)[0];
        play.until(120.0);
        let zeros: Vec<f64> = play.see(id).frames.iter().filter(|(_, frame)| frame[..] == [0; 162]).map(|(at, _)| *at).collect();
        assert!((89_000..=90_000).contains(&zeros.len()), "{}", zeros.len());
        assert!(zeros.iter().all(|at| (30.0..=90.0).contains(at)));
        let data = play.see(id).frames.iter().filter(|(_, frame)| frame[0] != 0);
        let data = Seen { frames: data.cloned().collect(), end: None };
        assert!(flows(&data, 0.0, 119.0));
        assert_eq!(play.core.counters().sessions[&id].noise, zeros.len() as u64);
    };
    garbage: |script| {
        let mut play = Play::new(script);
        let id = play.connect_all(1)[0];
        play.until(120.0);
        let noise = play.core.counters().sessions[&id].noise;
        assert!((11_900..=12_000).contains(&noise), "{noise}");
        let frames = &play.see(id).frames;
        assert!(frames.iter().all(|(_, frame)| frame[0] != 50));
        // Hardly any two alike.
        let distinct: BTreeSet<&[u8]> = frames.iter().map(|(_, frame)| &frame[..]).collect();
        assert!(distinct.len() > 11_000);
        assert!(play.see(id).end.is_none());
    };
    unknown_codes: |script| {
        let mut play = Play::new(script);
        let id = play.connect_all(1)[0];
        play.until(30.0);
        let packets = play.see(id).packets();
        let mut good = packets.chunks(2).map(|pair| {
            assert_eq!((pair[1].code(), pair[1].0.len()), (41, 332));
            pair[0].code()
        });
        assert!(good.all(|code| code == 2 || code == 6) && packets.len() > 100);
    };
    market_status: |script| {
        let mut play = Play::at(script, "2026-02-09T09:14:00+05:30");
        let id = play.connect_all(1)[0];
        play.until(120.0);
        let status: Vec<Packet> = play.see(id).packets().into_iter().filter(|packet| packet.code() == 7).collect();
        // Code 7, 8 bytes, NSE_EQ, 1.
        assert_eq!(status, [Packet(vec![7, 8, 0, 1, 1, 0, 0, 0])]);
    };
    late_data: |script| {
        let mut play = Play::new(script);
        let id = play.connect_all(1)[0];
        play.until(170.0);
        let lag = |at: f64| {
            let (_, frame) = play.see(id).frames.iter().rfind(|(seen, _)| *seen <= at).unwrap();
            let packets = split(frame);
            // Ten o'clock, by the wall clock of India.
            at - f64::from(packets.last().unwrap().u32(12) - 1_770_631_200)
        };
        assert!(lag(29.0) < 1.5 && lag(165.0) < 1.5, "{} {}", lag(29.0), lag(165.0));
        assert!((4.75..6.5).contains(&lag(60.0)) && (4.75..6.5).contains(&lag(149.0)), "{} {}", lag(60.0), lag(149.0));
        // In order, and nothing is lost: four times a second for each.
        let times: Vec<u32> = play.see(id).packets().iter().filter(|packet| packet.code() == 2 && packet.key() == key(NIFTY)).map(|packet| packet.u32(12)).collect();
        assert!(times.is_sorted());
        assert_eq!(times.len(), 170 * 4 + 1);
    };
    clock_skew: |script| {
        let mut play = Play::new(script);
        let ids = play.connect_all(3);
        play.until(20.0);
        let last = |id| play.see(id).packets().last().unwrap().u32(12);
        let true_time = last(ids[2]);
        assert_eq!((last(ids[0]), last(ids[1])), (true_time + 90, true_time - 90));
    };
    slow_reader: |script| {
        let mut play = Play::new(script);
        let id = play.connect_all(1)[0];
        assert_eq!(play.core.transport(id).unwrap().bytes_per_s, Some(2_000));
        play.until(60.0);
        assert_eq!(play.core.transport(id).unwrap(), Transport::default());
    };
    rest_502: |script| {
        let mut play = Play::new(script);
        assert_eq!(play.core.rest_error(play.now()), Some(502));
        assert!(play.try_connect("t").is_ok());
        play.until(60.0);
        assert_eq!(play.core.rest_error(play.now()), None);
    };
}

#[test]
fn every_scenario_has_a_test_and_says_where_it_was_seen() {
    let mut found = BTreeSet::new();
    for file in std::fs::read_dir(folder()).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(path.extension().unwrap(), "toml", "{}", path.display());
        let text = std::fs::read_to_string(&path).unwrap();
        for part in ["\n# Seen: ", "\n# Must come out: "] {
            assert!(
                text.starts_with("# ") && text.contains(part),
                "{}",
                path.display()
            );
        }
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let script: crate::script::Script = text.parse().unwrap();
        assert!(!script.entries.is_empty(), "{name}");
        found.insert(name);
    }
    let tested: BTreeSet<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(found, tested);
}
