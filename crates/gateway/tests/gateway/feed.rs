//! What the feed tells beside data: gaps, silence, modes that do not come, notices about
//! the account. The test plays the broker connection by connection.

use core::task::Poll;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use strikewire_broker::{
    Capabilities, ConnEvent, DownCause, Feed, Gap, MarketState, Notice, Port, Sink, WireBatch,
    WireOp,
};
use strikewire_fanout::Class;
use strikewire_gateway::types::{ConnId, Epoch, ExchangeTime, InstrumentKey, Mode, Price, Segment};
use strikewire_gateway::{Gateway, MissingWhat, TicksRequest};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::play::{Run, SPOT, item, limits, of_type, packet, settle, waiting};
use crate::rest::Rest;

const FIRST: ConnId = ConnId::from_index(0);
const SECOND: ConnId = ConnId::from_index(1);

/// What the test makes the broker do.
pub(crate) enum Act {
    Up(ConnId),
    Down(ConnId, DownCause, Option<Duration>),
    /// A packet of an instrument, in a mode, on whichever connection has it.
    Packet(InstrumentKey, Mode, f64),
    Notice(Notice),
    State(Segment, u32),
    Garbage(u8, Vec<u8>),
    Gap(ConnId, DownCause),
}

/// Which instruments are where, in which mode.
type Wire = Arc<Mutex<BTreeMap<InstrumentKey, (usize, Mode)>>>;

#[derive(Clone)]
pub(crate) struct Stage {
    wire: Wire,
    /// Every subscription, in order.
    asked: Arc<Mutex<Vec<(InstrumentKey, Mode)>>>,
    acts: UnboundedSender<Act>,
}

impl Stage {
    pub(crate) async fn act(&self, act: Act) {
        assert!(self.acts.send(act).is_ok(), "the feed runs");
        settle().await;
    }

    pub(crate) fn conn_of(&self, key: InstrumentKey) -> Option<usize> {
        self.wire.lock().unwrap().get(&key).map(|(conn, _)| *conn)
    }

    pub(crate) fn keys(&self) -> Vec<InstrumentKey> {
        self.wire.lock().unwrap().keys().copied().collect()
    }

    fn times_asked(&self, key: InstrumentKey, mode: Mode) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|one| **one == (key, mode)).count()
    }

    /// Every instrument but those of `but` ticks, in the mode it is subscribed in.
    async fn all_tick_but(&self, but: &[InstrumentKey]) {
        let wire: Vec<(InstrumentKey, Mode)> = {
            let wire = self.wire.lock().unwrap();
            wire.iter().map(|(key, (_, mode))| (*key, *mode)).collect()
        };
        for (key, mode) in wire.into_iter().filter(|(key, _)| !but.contains(key)) {
            let price = if key == SPOT { 3_000.0 } else { 100.0 };
            assert!(self.acts.send(Act::Packet(key, mode, price)).is_ok());
        }
        settle().await;
    }
}

struct Played {
    stage: Stage,
    acts: UnboundedReceiver<Act>,
    epochs: [Epoch; 2],
    live: [bool; 2],
}

fn stage() -> (Played, Stage) {
    let (acts_tx, acts_rx) = unbounded_channel();
    let stage = Stage {
        wire: Wire::default(),
        asked: Arc::default(),
        acts: acts_tx,
    };
    let played = Played {
        stage: stage.clone(),
        acts: acts_rx,
        epochs: [Epoch::default(); 2],
        live: [false; 2],
    };
    (played, stage)
}

impl Played {
    fn write(&self, batch: &WireBatch) {
        let mut wire = self.stage.wire.lock().unwrap();
        for key in &batch.keys {
            match batch.op {
                WireOp::Subscribe(mode) => {
                    wire.insert(*key, (batch.conn.index(), mode));
                    self.stage.asked.lock().unwrap().push((*key, mode));
                }
                WireOp::Unsubscribe(_) => {
                    wire.remove(key);
                }
            }
        }
    }

    fn up(&mut self, conn: ConnId, port: &mut Port) {
        let epoch = self.epochs[conn.index()].next();
        self.epochs[conn.index()] = epoch;
        self.live[conn.index()] = true;
        port.report(ConnEvent::Up { conn, epoch });
        port.report(ConnEvent::Ready { conn, epoch });
    }

    fn act(&mut self, act: Act, port: &mut Port, sink: &mut impl Sink) {
        let now = sink.now();
        match act {
            Act::Up(conn) => self.up(conn, port),
            Act::Down(conn, cause, retry_in) => {
                let mut wire = self.stage.wire.lock().unwrap();
                wire.retain(|_, (held_by, _)| *held_by != conn.index());
                self.live[conn.index()] = false;
                let epoch = self.epochs[conn.index()];
                port.report(ConnEvent::Down {
                    conn,
                    epoch,
                    cause,
                    retry_in,
                });
            }
            Act::Packet(key, mode, rupees) => {
                let conn = self.stage.conn_of(key).unwrap_or_default();
                let Some(target) = sink.resolve(key) else {
                    return;
                };
                let ltp = Price::from_f64(rupees).unwrap();
                let ltt = ExchangeTime::from_seconds(now.utc.as_seconds());
                let update = packet(mode, ltp, ltt);
                sink.apply(ConnId::from_index(conn), &target, now, &update);
                sink.turn_done(now);
            }
            Act::Notice(notice) => port.notice(notice),
            Act::State(segment, code) => {
                sink.market_state(FIRST, now, segment, MarketState { code });
            }
            Act::Garbage(code, bytes) => sink.undecoded(FIRST, now, code, &bytes),
            Act::Gap(conn, cause) => sink.gap(
                conn,
                Gap {
                    from: now,
                    to: now,
                    cause,
                },
            ),
        }
    }
}

impl Feed for Played {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            connections: 2,
            per_connection: 30,
            per_batch: 10,
        }
    }

    async fn run(
        mut self,
        mut port: Port,
        mut sink: impl Sink,
    ) -> Result<(), strikewire_broker::Error> {
        for conn in [FIRST, SECOND] {
            self.up(conn, &mut port);
        }
        core::future::poll_fn(|cx| {
            loop {
                let mut busy = false;
                for conn in [FIRST, SECOND] {
                    match port.poll_batch(conn, cx) {
                        Poll::Ready(None) => return Poll::Ready(()),
                        Poll::Ready(Some(batch)) => {
                            busy = true;
                            let epoch = self.epochs[conn.index()];
                            if self.live[conn.index()] && batch.epoch == epoch {
                                self.write(&batch);
                                port.report(ConnEvent::Ready { conn, epoch });
                            }
                        }
                        Poll::Pending => {}
                    }
                }
                while let Poll::Ready(Some(act)) = self.acts.poll_recv(cx) {
                    busy = true;
                    self.act(act, &mut port, &mut sink);
                }
                if !busy {
                    return Poll::Pending;
                }
            }
        })
        .await;
        Ok(())
    }
}

pub(crate) async fn on_stage(run: Run, test: impl AsyncFnOnce(Gateway, Stage)) {
    let (played, stage) = stage();
    run.with_feed(played, async |gateway| test(gateway, stage).await)
        .await;
}

/// Five strikes of TCS around 3,000 and the share itself, all of which have ticked.
async fn held(gateway: &Gateway, stage: &Stage) {
    gateway
        .add_item(&item(1, 5, Some(3_000.0)))
        .await
        .expect("there is room");
    settle().await;
    assert_eq!(stage.keys().len(), 11);
    stage.all_tick_but(&[]).await;
}

/// Time passes in which everything ticks but `but`.
async fn pass(stage: &Stage, seconds: u64, but: &[InstrumentKey]) {
    for _ in 0..seconds {
        tokio::time::sleep(Duration::from_secs(1)).await;
        stage.all_tick_but(but).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_fall_is_a_gap_of_each_instrument_until_it_ticks_again() {
    on_stage(Run::default(), async |gateway, stage| {
        held(&gateway, &stage).await;
        let on_first: Vec<InstrumentKey> = stage
            .keys()
            .into_iter()
            .filter(|key| stage.conn_of(*key) == Some(0))
            .collect();
        let one = on_first[0];
        let other = stage
            .keys()
            .into_iter()
            .find(|key| stage.conn_of(*key) == Some(1))
            .unwrap();
        let (mut client, messages) = gateway.open_stream(limits()).await.unwrap();
        let request = TicksRequest {
            instruments: vec![one.to_string(), other.to_string()],
            mode: None,
            class: Class::ALL[1],
        };
        client
            .subscribe_ticks(&request, |_, _| "{}".into())
            .await
            .unwrap();
        settle().await;

        let before = gateway.clock().now().utc;
        let cause = DownCause::Closed("reset".into());
        stage
            .act(Act::Down(FIRST, cause, Some(Duration::from_secs(1))))
            .await;
        let open = gateway.explain(one).await.unwrap().unwrap();
        let gap = open.last_gap.unwrap();
        assert!(gap.from <= before && gap.to.is_none());
        assert_eq!(&*gap.cause, "closed by the peer: reset");
        assert!(
            gateway
                .explain(other)
                .await
                .unwrap()
                .unwrap()
                .last_gap
                .is_none()
        );

        tokio::time::sleep(Duration::from_secs(1)).await;
        stage.act(Act::Up(FIRST)).await;
        assert_eq!(stage.keys().len(), 11, "everything is back on the wire");
        stage.act(Act::Packet(one, Mode::Full, 101.0)).await;
        let after = gateway.clock().now().utc;
        let closed = gateway
            .explain(one)
            .await
            .unwrap()
            .unwrap()
            .last_gap
            .unwrap();
        let to = closed.to.unwrap();
        assert!(closed.from == gap.from && to > gap.from && to <= after);

        tokio::time::sleep(Duration::from_secs(1)).await;
        let said = waiting(&messages);
        let gaps = of_type(&said, "gap");
        assert_eq!(gaps.len(), 1, "{gaps:?}");
        assert_eq!(gaps[0]["instruments"], serde_json::json!([one]));
        assert_eq!(gaps[0]["cause"], "closed by the peer: reset");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_does_not_tick_after_a_gap_is_asked_for_by_rest() {
    let rest = Rest::answering_after(Duration::from_millis(10));
    let run = Run {
        rest: rest.clone(),
        ..Run::default()
    };
    on_stage(run, async |gateway, stage| {
        held(&gateway, &stage).await;
        let on_first: Vec<InstrumentKey> = stage
            .keys()
            .into_iter()
            .filter(|key| stage.conn_of(*key) == Some(0))
            .collect();
        let before = rest.calls().len();
        let now = gateway.clock().now().utc;
        let known = on_first[on_first.len() - 1];
        rest.knows(known, 102.0, now);
        let cause = DownCause::Closed("reset".into());
        stage
            .act(Act::Down(FIRST, cause, Some(Duration::from_secs(1))))
            .await;
        stage.act(Act::Up(FIRST)).await;
        let (ticks, silent) = on_first.split_at(2);
        for key in ticks {
            stage.act(Act::Packet(*key, Mode::Full, 101.0)).await;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        let mut asked: Vec<InstrumentKey> = rest.calls()[before..].concat();
        asked.sort_unstable();
        assert_eq!(asked, silent);
        // The answer ends the gap where the broker knows the instrument.
        for key in silent {
            let explanation = gateway.explain(*key).await.unwrap().unwrap();
            assert_eq!(explanation.last_gap.unwrap().to.is_some(), *key == known);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_silent_while_its_neighbours_tick_is_asked_for_once_more() {
    on_stage(Run::default(), async |gateway, stage| {
        gateway.add_item(&item(1, 5, Some(3_000.0))).await.unwrap();
        settle().await;
        let silent = InstrumentKey::new(Segment::NseFno, 50_021);
        assert_eq!(stage.times_asked(silent, Mode::Full), 1);
        pass(&stage, 14, &[silent]).await;
        assert_eq!(stage.times_asked(silent, Mode::Full), 1, "it has time");
        pass(&stage, 10, &[silent]).await;
        assert_eq!(stage.times_asked(silent, Mode::Full), 2);
        pass(&stage, 60, &[silent]).await;
        assert_eq!(stage.times_asked(silent, Mode::Full), 2, "once");
        let missing = gateway.explain(silent).await.unwrap().unwrap().missing;
        let missing = missing.expect("it is still silent");
        assert!(missing.what == MissingWhat::Data && missing.resent);
        assert_eq!(gateway.status().await.unwrap().silent, 1);
        // It comes after all.
        pass(&stage, 10, &[]).await;
        assert!(
            gateway
                .explain(silent)
                .await
                .unwrap()
                .unwrap()
                .missing
                .is_none()
        );
        assert_eq!(gateway.status().await.unwrap().silent, 0);
        for key in stage.keys() {
            let times = stage.times_asked(key, Mode::Full) + stage.times_asked(key, Mode::Quote);
            assert!(times <= 1 + usize::from(key == silent), "{key}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn silence_means_nothing_where_nobody_ticks_or_nothing_is_traded() {
    for clock in ["2026-02-09T10:00:00+05:30", "2026-02-09T20:00:00+05:30"] {
        let run = Run {
            clock,
            ..Run::default()
        };
        on_stage(run, async |gateway, stage| {
            gateway.add_item(&item(1, 5, Some(3_000.0))).await.unwrap();
            settle().await;
            let silent = InstrumentKey::new(Segment::NseFno, 50_021);
            let all = stage.keys();
            // In the session nobody ticks; in the evening all others do.
            let but = if clock.contains("T10") {
                &all[..]
            } else {
                &[silent][..]
            };
            pass(&stage, 90, but).await;
            assert_eq!(stage.times_asked(silent, Mode::Full), 1, "{clock}");
            assert_eq!(gateway.status().await.unwrap().silent, 0, "{clock}");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_mode_that_does_not_come_is_asked_for_once_more_and_shown() {
    on_stage(Run::default(), async |gateway, stage| {
        let option = InstrumentKey::new(Segment::NseFno, 50_021);
        let ticks = |mode| TicksRequest {
            instruments: vec![option.to_string()],
            mode: Some(mode),
            class: Class::ALL[1],
        };
        let (mut client, _messages) = gateway.open_stream(limits()).await.unwrap();
        client
            .subscribe_ticks(&ticks(Mode::Ticker), |_, _| "{}".into())
            .await
            .unwrap();
        settle().await;
        stage.act(Act::Packet(option, Mode::Ticker, 100.0)).await;
        client
            .subscribe_ticks(&ticks(Mode::Full), |_, _| "{}".into())
            .await
            .unwrap();
        settle().await;
        assert_eq!(stage.times_asked(option, Mode::Full), 1);
        // The broker goes on as before.
        for _ in 0..30 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            stage.act(Act::Packet(option, Mode::Ticker, 100.0)).await;
        }
        assert_eq!(stage.times_asked(option, Mode::Full), 2, "once more");
        let missing = gateway.explain(option).await.unwrap().unwrap().missing;
        let missing = missing.expect("the mode is missing");
        assert!(missing.what == MissingWhat::Mode && missing.resent);
        assert_eq!(gateway.status().await.unwrap().unconfirmed_modes, 1);
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            stage.act(Act::Packet(option, Mode::Full, 100.0)).await;
        }
        assert!(
            gateway
                .explain(option)
                .await
                .unwrap()
                .unwrap()
                .missing
                .is_none()
        );
        assert_eq!(stage.times_asked(option, Mode::Full), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn readiness_says_what_the_account_lacks() {
    on_stage(Run::default(), async |gateway, stage| {
        settle().await;
        let codes = || -> Vec<&'static str> {
            let readiness = gateway.readiness();
            readiness.reasons.iter().map(|reason| reason.code).collect()
        };
        assert_eq!(codes(), [""; 0]);
        stage.act(Act::Notice(Notice::Contended(true))).await;
        assert_eq!(codes(), ["account_contended"]);
        assert!(gateway.ws_status().await.unwrap().account_contended);
        stage.act(Act::Notice(Notice::Contended(false))).await;
        stage
            .act(Act::Notice(Notice::NoCredentials("807".into())))
            .await;
        assert_eq!(codes(), ["token_refused"]);
        let two_hours = Duration::from_secs(2 * 60 * 60);
        let expires_in = Some(two_hours);
        stage
            .act(Act::Notice(Notice::Credentials { expires_in }))
            .await;
        assert_eq!(codes(), [""; 0]);
        let expires = gateway.ws_status().await.unwrap().token_expires_at.unwrap();
        let left = expires.since(gateway.clock().now().utc);
        assert!(left <= two_hours && left > Duration::from_secs(7_190));
        tokio::time::sleep(Duration::from_secs(60 * 60 + 2)).await;
        assert_eq!(codes(), ["token_expiring"]);
        tokio::time::sleep(Duration::from_secs(60 * 60)).await;
        assert_eq!(codes(), ["token_expired"]);
        stage
            .act(Act::Notice(Notice::Credentials { expires_in: None }))
            .await;
        // Attempts that are held matter while a connection is down.
        let held = Notice::Held {
            wait: Duration::from_secs(60),
            reason: "the broker answered 429".into(),
        };
        stage.act(Act::Notice(held)).await;
        assert_eq!(codes(), [""; 0]);
        let cause = DownCause::Refused { status: 429 };
        stage
            .act(Act::Down(FIRST, cause, Some(Duration::from_secs(60))))
            .await;
        assert_eq!(codes(), ["connects_held"]);
        assert_eq!(
            gateway.ws_status().await.unwrap().held.unwrap().reason,
            "the broker answered 429"
        );
        stage.act(Act::Up(FIRST)).await;
        assert_eq!(codes(), [""; 0]);
        stage
            .act(Act::Notice(Notice::TurnedAway("806".into())))
            .await;
        assert_eq!(codes(), ["account_turned_away"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn states_of_markets_and_what_is_not_understood_are_kept() {
    on_stage(Run::default(), async |gateway, stage| {
        stage.act(Act::State(Segment::NseFno, 7)).await;
        stage.act(Act::State(Segment::NseFno, 8)).await;
        stage.act(Act::Garbage(99, vec![99, 0, 171])).await;
        stage.act(Act::Garbage(99, vec![99, 1])).await;
        let cause = DownCause::Stalled(Duration::from_secs(30));
        stage.act(Act::Gap(SECOND, cause)).await;
        let status = gateway.ws_status().await.unwrap();
        assert_eq!(status.market_states[&Segment::NseFno].code, 8);
        let undecoded = &status.undecoded[&99];
        assert_eq!((undecoded.count, undecoded.sample.as_str()), (2, "6300ab"));
        let second = &status.per_connection[&2];
        assert_eq!(second.gaps, 1);
        assert_eq!(
            &*second.last_gap.as_ref().unwrap().cause,
            "alive but without data for 30 s"
        );
    })
    .await;
}

/// The second of two connections takes over what matters while the first is away, and the
/// load evens out when it is back.
#[tokio::test(start_paused = true)]
async fn a_connection_that_stays_away_hands_over() {
    on_stage(Run::default(), async |gateway, stage| {
        held(&gateway, &stage).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        let cause = DownCause::Closed("reset".into());
        stage
            .act(Act::Down(FIRST, cause, Some(Duration::from_secs(60))))
            .await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(stage.keys().len() < 11, "it may come back at once");
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(stage.keys().len(), 11);
        assert!(
            stage
                .keys()
                .iter()
                .all(|key| stage.conn_of(*key) == Some(1))
        );
        assert!(gateway.ws_status().await.unwrap().per_connection[&1].handed_over);
        // Packets are taken from where the instruments are now.
        stage.act(Act::Packet(SPOT, Mode::Ticker, 3_001.0)).await;
        assert_eq!(gateway.quote(SPOT).unwrap().ltp, Price::from_f64(3_001.0));
        stage.act(Act::Up(FIRST)).await;
        pass(&stage, 30, &[]).await;
        let usage = gateway.status().await.unwrap().ws_usage;
        assert!(usage[&1] >= 5 && usage[&2] >= 5, "{usage:?}");
    })
    .await;
}
