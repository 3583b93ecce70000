//! From frames to the sink.

use bytes::Bytes;
use strikewire_broker::{Gap, MarketState, Oi, Sink, Target, Ticker, Update};
use strikewire_types::{ConnId, ExchangeTime, InstrumentKey, Now, Segment};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{NIFTY, OPTION, Rig, Seen, disconnect, on_runtime, patient, tick, ticker};

fn ltp(text: &str) -> Box<Update> {
    Box::new(Update::Ticker(Ticker {
        ltp: Some(text.parse().unwrap()),
        ltt: Some(ExchangeTime::from_seconds(1_781_065_197)),
    }))
}

#[test]
fn every_packet_of_every_frame_reaches_the_sink_once() {
    on_runtime(async {
        let mut rig = Rig::new(1, &patient()).await;
        let (mut peer, conn, _) = rig.connected().await;
        let stranger = InstrumentKey::new(Segment::NseFno, 1);
        let mut oi = vec![5, 12, 0, 2];
        oi.extend(35_060_u32.to_le_bytes());
        oi.extend(11_760_060_u32.to_le_bytes());
        let mut nowhere = ticker(OPTION, 3.0);
        nowhere[3] = 6;
        let status = vec![7, 8, 0, 2, 0, 0, 0, 0];
        let unknown = vec![99, 10, 0, 2, 0, 0, 0, 0, 1, 2];

        let several = [
            ticker(NIFTY, 23378.35),
            oi,
            ticker(stranger, 1.0),
            unknown,
            status,
            nowhere,
            ticker(OPTION, 152.3),
            vec![0; 30],
        ];
        let bytes: usize = several.iter().map(Vec::len).sum();
        peer.send(Message::binary(several.concat())).await;
        assert_eq!(rig.seen().await, Seen::Frame(conn, bytes));
        let (mut updates, mut others) = (Vec::new(), Vec::new());
        loop {
            match rig.seen().await {
                Seen::TurnDone => break,
                update @ Seen::Update(..) => updates.push(update),
                other => others.push(other),
            }
        }
        let oi = Update::Oi(Oi {
            oi: 11_760_060,
            high: None,
            low: None,
        });
        assert_eq!(
            updates,
            [
                Seen::Update(conn, NIFTY, ltp("23378.35")),
                Seen::Update(conn, OPTION, Box::new(oi)),
                Seen::Update(conn, OPTION, ltp("152.3")),
            ]
        );
        assert_eq!(
            others,
            [
                Seen::Undecoded(conn, 99, 10),
                Seen::MarketState(conn, Segment::NseFno, 0),
                Seen::Undecoded(conn, 2, 16),
                Seen::Undecoded(conn, 0, 30),
            ]
        );

        // Nothing applied: nobody has to be woken, and the next frame says so.
        peer.send(Message::binary(ticker(stranger, 2.0))).await;
        peer.send(Message::text("hello")).await;
        peer.send(Message::binary(ticker(NIFTY, 23378.4))).await;
        for expected in [
            Seen::Frame(conn, 16),
            Seen::Frame(conn, 16),
            Seen::Update(conn, NIFTY, ltp("23378.4")),
            Seen::TurnDone,
        ] {
            assert_eq!(rig.seen().await, expected);
        }

        let stats = rig.stats.connection(conn).unwrap();
        assert_eq!(stats.frames, 4);
        assert_eq!(stats.bytes, bytes as u64 + 16 + 5 + 16);
        assert_eq!(stats.packets, 8);
        assert_eq!(
            (stats.unresolved, stats.undecoded, stats.market_status),
            (2, 4, 1)
        );
        assert!(stats.last_packet.is_some());
        assert_eq!(rig.stats.connection(ConnId::from_index(1)), None);
    });
}

#[test]
fn a_flood_on_one_socket_is_served_in_bounded_turns() {
    on_runtime(async {
        let mut rig = Rig::new(1, &patient()).await;
        let (mut peer, _, _) = rig.connected().await;
        // All in one write, so that everything is there before the first is read.
        let frames = 500;
        for _ in 0..frames {
            futures_util::SinkExt::feed(&mut peer.socket, Message::binary(ticker(NIFTY, 1.0)))
                .await
                .unwrap();
        }
        futures_util::SinkExt::flush(&mut peer.socket)
            .await
            .unwrap();
        let (mut all, mut in_turn) = (0, 0);
        while all < frames {
            match rig.seen().await {
                Seen::Frame(..) => {
                    all += 1;
                    in_turn += 1;
                    assert!(in_turn <= 64, "a turn of more than 64 frames");
                }
                Seen::TurnDone => in_turn = 0,
                _ => {}
            }
        }
    });
}

#[test]
fn a_gap_lasts_from_the_last_data_to_the_first_after_with_the_first_cause() {
    on_runtime(async {
        let mut rig = Rig::new(1, &patient()).await;
        let (mut peer, conn, _) = rig.connected().await;
        peer.send(Message::binary(ticker(NIFTY, 1.0))).await;
        // Read on its own, so that the clock of the sink moves.
        for expected in [
            Seen::Frame(conn, 16),
            Seen::Update(conn, NIFTY, ltp("1")),
            Seen::TurnDone,
        ] {
            assert_eq!(rig.seen().await, expected);
        }
        // Frames without data are no data.
        peer.send(Message::binary(vec![0; 40])).await;
        assert_eq!(rig.seen().await, Seen::Frame(conn, 40));
        assert_eq!(rig.seen().await, Seen::Undecoded(conn, 0, 40));
        assert_eq!(rig.seen().await, Seen::TurnDone);
        drop(peer);
        let (_, _, first_cause, _) = rig.down().await;
        // A life without data does not end the gap, and its end is not the cause.
        let (mut peer, _, _) = rig.connected().await;
        peer.send(disconnect(800)).await;
        assert_eq!(rig.seen().await, Seen::Frame(conn, 10));
        assert_eq!(rig.seen().await, Seen::TurnDone);
        let (_, _, second_cause, _) = rig.down().await;
        assert_ne!(first_cause, second_cause);

        let (mut peer, _, _) = rig.connected().await;
        peer.send(Message::binary(vec![7, 8, 0, 2, 0, 0, 0, 0]))
            .await;
        assert_eq!(rig.seen().await, Seen::Frame(conn, 8));
        assert!(matches!(rig.seen().await, Seen::MarketState(..)));
        assert_eq!(rig.seen().await, Seen::TurnDone);
        peer.send(Message::binary(ticker(NIFTY, 2.0))).await;
        for expected in [
            Seen::Gap(
                conn,
                Gap {
                    from: tick(1),
                    to: tick(5),
                    cause: first_cause,
                },
            ),
            Seen::Frame(conn, 16),
            Seen::Update(conn, NIFTY, ltp("2")),
            Seen::TurnDone,
        ] {
            assert_eq!(rig.seen().await, expected);
        }
        // It is told once.
        peer.send(Message::binary(ticker(NIFTY, 2.0))).await;
        assert_eq!(rig.seen().await, Seen::Frame(conn, 16));
    });
}

#[test]
fn what_comes_before_a_goodbye_in_a_frame_is_kept() {
    on_runtime(async {
        let mut rig = Rig::new(1, &patient()).await;
        let (mut peer, conn, _) = rig.connected().await;
        let goodbye = disconnect(800).into_data();
        peer.send(Message::binary(
            [ticker(NIFTY, 1.0), goodbye.to_vec()].concat(),
        ))
        .await;
        for expected in [
            Seen::Frame(conn, 26),
            Seen::Update(conn, NIFTY, ltp("1")),
            Seen::TurnDone,
        ] {
            assert_eq!(rig.seen().await, expected);
        }
        rig.down().await;
    });
}

/// A sink that knows nothing.
pub(crate) fn deaf() -> impl Sink {
    struct Deaf;
    impl Sink for Deaf {
        fn now(&self) -> Now {
            Now::default()
        }
        fn resolve(&self, _: InstrumentKey) -> Option<Target> {
            None
        }
        fn apply(&mut self, _: ConnId, _: &Target, _: Now, _: &Update) {}
        fn market_state(&mut self, _: ConnId, _: Now, _: Segment, _: MarketState) {}
        fn gap(&mut self, _: ConnId, _: Gap) {}
        fn frame(&mut self, _: ConnId, _: Now, _: &Bytes) {}
        fn undecoded(&mut self, _: ConnId, _: Now, _: u8, _: &[u8]) {}
        fn turn_done(&mut self, _: Now) {}
    }
    Deaf
}
