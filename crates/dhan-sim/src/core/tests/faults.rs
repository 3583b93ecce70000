//! Faults that tests bring about, and what is counted.

use super::*;
use crate::faults::{Incident, Sockets, Token};
use crate::script::{Entry, MAX_ENTRIES, Script, When};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn scripted(text: &str) -> Bench {
    Bench::new(Config {
        script: text.parse().unwrap(),
        ..Config::default()
    })
}

impl Bench {
    fn inject(&mut self, incident: impl Into<Incident>) -> usize {
        let now = self.now();
        self.core.inject(now, incident)
    }

    fn five(&mut self) -> Vec<SessionId> {
        (0..5)
            .map(|_| {
                let id = self.connect(1);
                self.send(id, 15, &[key("RELIANCE")]);
                id
            })
            .collect()
    }

    /// Which connections get data in the next quarter of a second.
    fn lively(&mut self) -> Vec<SessionId> {
        let mut got = self.poll(0.25);
        got.retain(|_, got| got.frames > 0);
        got.into_keys().collect()
    }
}

#[test]
fn all_means_those_that_come_too_and_others_stay_with_whom_they_befell() {
    let mut bench = Bench::new(Config::default());
    let ids = bench.five();
    bench.poll(0.0);
    assert_eq!(bench.inject(Fault::Stall.lasting(seconds(60))), 5);
    assert!(bench.lively().is_empty());
    let now = bench.now();
    bench.core.handle_close(now, ids[0]);
    let late = bench.connect(1);
    bench.send(late, 15, &[key("RELIANCE")]);
    assert!(bench.lively().is_empty());
    bench.poll(60.0);
    assert_eq!(bench.lively(), [ids[1], ids[2], ids[3], ids[4], late]);

    // By position: the first of those that are there now, and still when it has gone.
    assert_eq!(
        bench.inject(Fault::Stall.on(Sockets::Positions(vec![1, 3, 9]))),
        2
    );
    assert_eq!(bench.lively(), [ids[2], ids[4], late]);
    let now = bench.now();
    bench.core.handle_close(now, ids[1]);
    assert_eq!(bench.lively(), [ids[2], ids[4], late]);
    bench.poll(10_000.0);
    assert_eq!(bench.lively(), [ids[2], ids[4], late]);
    let named = vec![late, ids[0]];
    assert_eq!(bench.inject(Fault::Mute.on(Sockets::Sessions(named))), 1);
    assert_eq!(bench.lively(), [ids[2], ids[4]]);
    assert_eq!(bench.inject(Fault::Deaf.on(Sockets::Random(3))), 3);
    let now = bench.now();
    bench.core.clear_faults(now);
    assert_eq!(bench.lively(), [ids[2], ids[3], ids[4], late]);
}

#[test]
fn the_later_fault_of_a_kind_replaces_the_earlier() {
    let mut bench = Bench::new(Config::default());
    bench.five();
    for bytes in [100, 0, 3] {
        bench.inject(Fault::Split { bytes }.lasting(seconds(10)));
    }
    bench.inject(Fault::SlowReader { bytes_per_s: 1 }.on(Sockets::Positions(vec![1])));
    let transports = |bench: &Bench| -> Vec<Transport> {
        let ids = bench.core.wire_state().into_keys();
        ids.map(|id| bench.core.transport(id).unwrap()).collect()
    };
    let cut = Transport {
        split: Some(3),
        ..Transport::default()
    };
    let slow = Transport {
        bytes_per_s: Some(20),
        ..cut
    };
    assert_eq!(transports(&bench), [slow, cut, cut, cut, cut]);
    bench.poll(10.0);
    let slow = Transport {
        split: None,
        ..slow
    };
    assert_eq!(transports(&bench)[..2], [slow, Transport::default()]);
}

#[test]
fn what_a_deaf_connection_was_told_it_does_afterwards() {
    let mut bench = Bench::new(Config::default());
    let ids = bench.five();
    bench.inject(Fault::Deaf.lasting(seconds(30)));
    let (nifty, share) = (key(NIFTY), key("RELIANCE"));
    bench.send(ids[0], 15, &[nifty]);
    bench.send(ids[0], 16, &[share]);
    let now = bench.now();
    bench.core.handle_text(now, ids[1], "nonsense");
    bench.poll(29.0);
    assert_eq!(bench.core.wire_state()[&ids[0]].len(), 1);
    assert_eq!(bench.core.counters().sessions[&ids[0]].messages, 1);
    let mut got = bench.poll(1.0);
    let held: Vec<_> = bench.core.wire_state()[&ids[0]].keys().copied().collect();
    assert_eq!(held, [nifty]);
    assert_eq!(bench.core.counters().sessions[&ids[0]].messages, 3);
    // The nonsense is answered too.
    let goodbye = got.remove(&ids[1]).unwrap();
    assert!(goodbye.closed && goodbye.packets.last().unwrap().u16(8) == 814);

    // What it keeps has a bound.
    bench.inject(Fault::Deaf.on(Sockets::Positions(vec![1])));
    let long = "x".repeat(100_000);
    let now = bench.now();
    for _ in 0..1_000 {
        bench.core.handle_text(now, ids[0], &long);
    }
    assert!(format!("{:?}", bench.core).len() < 20_000_000);
}

#[test]
fn goodbyes_of_silent_connections_are_silent() {
    for fault in [Fault::Mute, Fault::Deaf] {
        let mut bench = Bench::new(Config::default());
        let ids = bench.five();
        bench.poll(0.0);
        bench.inject(fault);
        bench.inject(Fault::Displace { connections: 1 });
        bench.inject(
            Fault::Close {
                code: 1001,
                reason: String::new(),
            }
            .on(Sockets::Sessions(vec![ids[1]])),
        );
        let mut out = Vec::new();
        bench.core.flush(&mut out);
        assert_eq!(out.len(), 7, "{out:?}");
        assert_eq!(out[5..], [(ids[0], Output::Close), (ids[1], Output::Close)]);
    }
}

#[test]
fn late_data_stays_in_order_and_goes_before_a_goodbye_but_not_a_reset() {
    for (end, packets) in [(Fault::Disconnect { code: 800 }, 6), (Fault::Reset, 0)] {
        let mut bench = Bench::new(Config::default());
        let id = bench.connect(1);
        bench.inject(Fault::Delay { by: seconds(60) });
        bench.send(id, 15, &[key("RELIANCE")]);
        for _ in 0..4 {
            assert!(bench.lively().is_empty());
        }
        // A shorter delay overtakes nothing.
        bench.inject(Fault::Delay { by: seconds(0) });
        assert!(bench.lively().is_empty());
        bench.inject(end);
        let got = bench.poll(0.0).remove(&id).unwrap();
        assert!(got.closed);
        assert_eq!(got.packets.len(), packets + usize::from(packets > 0));
    }
}

#[test]
fn tokens_roll_by_hand_too() {
    let mut bench = Bench::new(Config {
        credentials: Some(Credentials {
            client_id: "1000".to_owned(),
            token: "secret".to_owned(),
        }),
        ..Config::default()
    });
    let with = |token: &str| QUERY.replace("secret", token);
    let connect = |bench: &mut Bench, token: &str| {
        let now = bench.now();
        let answer = bench.core.handle_connect(now, &with(token));
        answer.map_err(|refusal| refusal.status)
    };
    let old = connect(&mut bench, "secret").unwrap();
    assert_eq!(connect(&mut bench, "secret-2"), Err(401));
    let now = bench.now();
    bench.core.set_token(now, "secret-2", seconds(10));
    let new = connect(&mut bench, "secret-2").unwrap();
    assert!(connect(&mut bench, "secret").is_ok());
    bench.poll(10.0);
    assert_eq!(
        bench.core.wire_state().into_keys().collect::<Vec<_>>(),
        [new]
    );
    assert_eq!(connect(&mut bench, "secret"), Err(401));
    let now = bench.now();
    assert_eq!(
        bench.core.check_credentials(now, "1000", "secret"),
        Err(Reason::TokenExpired)
    );
    for (client, token, reason) in [
        ("1000", "", Reason::AuthenticationFailed),
        ("1001", "secret-2", Reason::ClientIdInvalid),
        ("", "guess", Reason::TokenInvalid),
    ] {
        assert_eq!(
            bench.core.check_credentials(now, client, token),
            Err(reason)
        );
    }
    assert_eq!(bench.core.check_credentials(now, "", "secret-2"), Ok(()));
    bench.inject(Fault::TokenExpired);
    assert!(bench.core.wire_state().is_empty());
    assert_eq!(connect(&mut bench, "secret-2"), Err(401));
    assert!(!format!("{:?} {old}", bench.core).contains("secret"));
}

#[test]
fn a_fault_can_wait_for_packets() {
    // On each connection for itself.
    let mut bench = scripted("[[fault]]\nkind = \"reset\"\nafter_packets = 10");
    let ids = bench.five();
    let mut counts: BTreeMap<SessionId, usize> = BTreeMap::new();
    for _ in 0..20 {
        for (id, got) in bench.poll(0.25) {
            *counts.entry(id).or_default() += got.packets.len();
        }
    }
    assert_eq!(counts, ids.iter().map(|id| (*id, 10)).collect());
    assert!(bench.core.wire_state().is_empty());

    // Of the account: in all.
    let mut bench = scripted("[[fault]]\nkind = \"token_expired\"\nafter_packets = 12");
    bench.five();
    let mut packets = 0;
    for _ in 0..20 {
        for got in bench.poll(0.25).values() {
            packets += got
                .packets
                .iter()
                .filter(|packet| packet.code() != 50)
                .count();
        }
    }
    assert_eq!(packets, 12);
    assert!(bench.core.wire_state().is_empty());
}

#[test]
fn repeating_faults_skip_what_nobody_saw() {
    let mut bench = scripted(
        "[[fault]]\nkind = \"market_status\"\nsegment = \"IDX_I\"\nevery = \"10s\"\ntimes = 4",
    );
    let id = bench.connect(1);
    assert!(bench.codes(id, 9.75).is_empty());
    assert_eq!(bench.codes(id, 0.25), [7]);
    // Five of its times pass unseen: once, and then in step again.
    assert_eq!(bench.codes(id, 55.0), [7]);
    assert!(bench.codes(id, 4.0).is_empty());
    assert_eq!(bench.codes(id, 1.0), [7]);
    assert_eq!(bench.codes(id, 10.0), [7]);
    assert!(bench.codes(id, 1_000.0).is_empty());
    assert_eq!(bench.core.poll_timeout(), None);
}

#[test]
fn a_time_of_day_that_has_passed_is_tomorrow() {
    // The bench starts at ten.
    for (at, after) in [("10:00", 0), ("10:00:05", 5), ("09:59:59", 86_399)] {
        let bench = scripted(&format!("[[fault]]\nkind = \"reset\"\nat = \"{at}\""));
        let due = bench.core.poll_timeout().unwrap();
        assert_eq!(due.since(bench.now().mono), seconds(after), "{at}");
    }
}

#[test]
fn instruments_and_attempts_are_counted_from_outside() {
    let mut bench = Bench::new(Config {
        instruments: 10,
        ..Config::default()
    });
    let (first, second) = (bench.connect(1), bench.connect(1));
    let all = contracts(11);
    bench.send(first, 15, &all[..10]);
    bench.seconds = 7.0;
    bench.send(second, 21, &all[..5]);
    bench.send(first, 16, &all[..10]);
    bench.send(second, 21, &all[5..]);
    bench.poll(60.0);
    let report = bench.core.counters();
    assert_eq!((report.peak_connections, report.peak_instruments), (2, 15));
    assert_eq!((report.total().beyond, report.total().oversized), (1, 0));
    assert_eq!(report.sessions[&second].peak, 10);

    let third = bench.connect(1);
    bench.send(third, 15, &all[..1]);
    let holders = bench.core.holders(all[0]);
    let [holder] = holders[..] else {
        panic!("{holders:?}")
    };
    assert_eq!((holder.session, holder.since), (third, bench.now()));
    assert_eq!(holder.modes.highest(), Some(Mode::Ticker));
    let before = bench.core.sent(all[0]);
    let got = bench.poll(600.0).remove(&third).unwrap();
    assert_eq!(
        bench.core.sent(all[0]) - before,
        got.packets.len() as u64 - 1
    );
    assert_eq!(bench.core.sent(InstrumentKey::new(Segment::NseFno, 1)), 0);

    let now = bench.now();
    assert!(bench.core.handle_connect(now, "").is_err());
    bench.inject(Fault::Hang.lasting(seconds(1)));
    assert!(bench.core.handle_connect(now, QUERY).is_err());
    let report = bench.core.counters();
    assert_eq!(report.attempts, BTreeMap::from([(0, 2), (1, 1), (11, 2)]));
    assert_eq!(report.refused_by_status, BTreeMap::from([(0, 1), (400, 1)]));
}

#[test]
fn faults_are_in_the_log_without_tokens() {
    let mut bench = Bench::new(Config {
        log: 10,
        ..Config::default()
    });
    let id = bench.connect(1);
    bench.inject(Fault::Stall);
    let token = Token::from("secret");
    let grace = Duration::ZERO;
    bench.inject(Fault::TokenRollover { token, grace });
    let events: Vec<Event> = bench.core.log().map(|entry| entry.event.clone()).collect();
    assert_eq!(
        events,
        [
            Event::Connected,
            Event::Fault(Fault::Stall),
            Event::Disconnected(Reason::TokenExpired)
        ]
    );
    assert!(bench.core.transport(id).is_none());
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::MAX),
        (0_u64..100_000_000_000).prop_map(Duration::from_nanos),
    ]
}

fn any_fault() -> impl Strategy<Value = Fault> {
    let number = || prop_oneof![Just(0), Just(u32::MAX), 0_u32..100];
    prop_oneof![
        Just(Fault::Reset),
        any::<u16>().prop_map(|code| Fault::Close {
            code,
            reason: "because".to_owned()
        }),
        any::<u16>().prop_map(|code| Fault::Disconnect { code }),
        number().prop_map(|n| Fault::Displace {
            connections: n as usize
        }),
        (any::<u16>(), prop::option::of(duration())).prop_map(|(status, retry_after)| {
            Fault::Refuse {
                status,
                retry_after,
            }
        }),
        Just(Fault::Hang),
        Just(Fault::Mute),
        Just(Fault::Stall),
        Just(Fault::OutOfHours),
        Just(Fault::Deaf),
        any::<f64>().prop_map(|share| Fault::DropSubscriptions { share }),
        Just(Fault::IgnoreUnsubscribe),
        duration().prop_map(|by| Fault::Delay { by }),
        number().prop_map(|n| Fault::Coalesce {
            packets: n as usize
        }),
        number().prop_map(|n| Fault::Split { bytes: n as usize }),
        number().prop_map(|frames_per_s| Fault::Zeros { frames_per_s }),
        number().prop_map(|frames_per_s| Fault::Garbage { frames_per_s }),
        (any::<u8>(), any::<u16>()).prop_map(|(code, length)| Fault::Unknown { code, length }),
        any::<u32>().prop_map(|state| Fault::MarketStatus {
            segment: Segment::NseEq,
            state
        }),
        number().prop_map(|bytes_per_s| Fault::SlowReader { bytes_per_s }),
        any::<i64>().prop_map(|seconds| Fault::ClockSkew { seconds }),
        Just(Fault::TokenExpired),
        duration().prop_map(|grace| Fault::TokenRollover {
            token: Token::from("t"),
            grace
        }),
        any::<u16>().prop_map(|status| Fault::RestError { status }),
    ]
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let when = prop_oneof![
        (0_i8..24).prop_map(|hour| When::At(jiff::civil::time(hour, 0, 0, 0))),
        duration().prop_map(When::After),
        (0_u64..50).prop_map(When::AfterPackets),
        (duration(), duration()).prop_map(|(after, jitter)| When::Age { after, jitter }),
    ];
    let sockets = prop_oneof![
        Just(Sockets::All),
        prop::collection::vec(0_usize..7, 0..4).prop_map(Sockets::Positions),
        (0_usize..9).prop_map(Sockets::Random),
    ];
    (
        when,
        prop::option::of(duration()),
        prop::option::of(0_u32..5),
        any_fault(),
        sockets,
        prop::option::of(duration()),
    )
        .prop_map(|(when, every, times, fault, sockets, lasts)| Entry {
            when,
            every,
            times,
            incident: Incident {
                fault,
                sockets,
                lasts,
            },
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Also scripts that no text could say.
    #[test]
    fn no_script_makes_it_panic_loop_or_grow(
        entries in prop::collection::vec(any_entry(), 0..12),
        seed in any::<u64>(),
        steps in prop::collection::vec(prop_oneof![0.0..1.0, 0.0..1e6], 1..40),
    ) {
        let mut bench = Bench::new(Config {
            script: Script { seed, entries },
            instruments: 50,
            ..Config::default()
        });
        let keys = contracts(40);
        let mut frames = 0;
        for (number, step) in steps.iter().enumerate() {
            bench.seconds += step;
            let now = bench.now();
            if let Ok(id) = bench.core.handle_connect(now, "version=2&token=t&clientId=1&authType=2") {
                for code in [15, 21, 16] {
                    bench.send(id, code, &keys[number % 30..][..10]);
                }
            }
            let mut out = Vec::new();
            bench.core.poll(now, &mut out);
            // Five connections, two kinds of noise for a second each, and data.
            prop_assert!(out.len() < 5 * 2 * 10_000 + 5_000, "{} at once", out.len());
            let bytes: usize = out.iter().map(|(_, output)| match output {
                Output::Frame(frame) => frame.len(),
                _ => 0,
            }).sum();
            prop_assert!(bytes < 64 << 20);
            frames += out.len();
            // It asks to be called later, not again and again now.
            prop_assert!(bench.core.poll_timeout().is_none_or(|next| next > now.mono));
            prop_assert!(bench.core.counters().peak_connections <= 6);
        }
        prop_assert!(frames < 40 * 105_000);
    }

    #[test]
    fn entries_beyond_the_limit_are_ignored(more in 0_usize..3) {
        let entry = Entry {
            when: When::After(Duration::ZERO),
            every: None,
            times: None,
            incident: Fault::MarketStatus { segment: Segment::IdxI, state: 1 }.into(),
        };
        let entries = vec![entry; MAX_ENTRIES - 1 + more];
        let expected = entries.len().min(MAX_ENTRIES);
        let mut bench = Bench::new(Config {
            script: Script { entries, ..Script::default() },
            packets_per_frame: 10_000,
            ..Config::default()
        });
        // They are due at once, and wait for somebody to call.
        bench.core.sessions.insert(SessionId(1), Session::new(
            "1".to_owned(), Token::from("t"), crate::ModeSemantics::Set, 10_000, Mono::default(),
        ));
        let got = bench.poll(0.0).remove(&SessionId(1)).unwrap();
        prop_assert_eq!(got.packets.len(), expected);
    }
}
