//! The gateway against a broker that the test plays itself, on one thread and in
//! paused time: what the owner, the tick path and the hub do together.

use core::task::Poll;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use strikewire_broker::{
    Capabilities, ConnEvent, Feed, Port, Sink, Ticker, Update, WireBatch, WireOp,
};
use strikewire_fanout::{Class, SubId};
use strikewire_gateway::chain::PriceSource;
use strikewire_gateway::registry::{LoadOptions, Registry};
use strikewire_gateway::types::{
    Clock, ClockSpec, ConnId, Epoch, ExchangeTime, InstrumentKey, Price, Segment, Tier, Utc,
};
use strikewire_gateway::{
    Added, ChainRequest, Config, Durability, Entry, Error, Gateway, ItemFilter, ItemRequest,
    Journal, List, MemoryJournal, Parts, Seq, TicksRequest,
};
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;

const SPOT: InstrumentKey = InstrumentKey::new(Segment::NseEq, 11_536);

/// One stock with strikes 2800 to 3200 by 20, and its options on the 24th.
fn master() -> Arc<Registry> {
    let mut text = String::from(
        "SEM_EXM_EXCH_ID,SEM_SEGMENT,SEM_SMST_SECURITY_ID,SEM_INSTRUMENT_NAME,SEM_EXPIRY_CODE,\
         SEM_TRADING_SYMBOL,SEM_LOT_UNITS,SEM_CUSTOM_SYMBOL,SEM_EXPIRY_DATE,SEM_STRIKE_PRICE,\
         SEM_OPTION_TYPE,SEM_TICK_SIZE,SEM_EXPIRY_FLAG,SEM_EXCH_INSTRUMENT_TYPE,SEM_SERIES,\
         SM_SYMBOL_NAME\n\
         NSE,E,11536,EQUITY,0,TCS,1.0,Tata Consultancy,,,,10.0000,NA,ES,EQ,TATA CONSULTANCY\n",
    );
    let mut id = 50_000;
    for strike in (2800..=3200).step_by(20) {
        for kind in ["CE", "PE"] {
            id += 1;
            text += &format!(
                "NSE,D,{id},OPTSTK,0,TCS-Feb2026-{strike}-{kind},175.0,TCS 24 FEB {strike} {kind},\
                 2026-02-24 14:30:00,{strike}.00000,{kind},5.0000,M,OP,,\n"
            );
        }
    }
    let as_of = "2026-02-09".parse().unwrap();
    Arc::new(Registry::from_reader(text.as_bytes(), &LoadOptions::new(as_of)).unwrap())
}

/// What the test sees of the broker, and what it can make it do.
#[derive(Clone)]
struct Broker {
    wire: Arc<Mutex<BTreeMap<InstrumentKey, usize>>>,
    ticks: UnboundedSender<(InstrumentKey, Price, ExchangeTime)>,
}

impl Broker {
    fn on_wire(&self) -> BTreeSet<InstrumentKey> {
        self.wire.lock().unwrap().keys().copied().collect()
    }

    fn tick(&self, key: InstrumentKey, rupees: f64, at: Utc) {
        let price = Price::from_f64(rupees).unwrap();
        let time = ExchangeTime::from_seconds(at.as_seconds());
        self.ticks.send((key, price, time)).unwrap();
    }
}

/// A feed without sockets: two connections that are up at once and write at once.
struct Play {
    broker: Broker,
    ticks: UnboundedReceiver<(InstrumentKey, Price, ExchangeTime)>,
}

fn play() -> (Play, Broker) {
    let (tick_tx, tick_rx) = unbounded_channel();
    let broker = Broker {
        wire: Arc::default(),
        ticks: tick_tx,
    };
    (
        Play {
            broker: broker.clone(),
            ticks: tick_rx,
        },
        broker,
    )
}

impl Play {
    fn write(&self, batch: &WireBatch) {
        let mut wire = self.broker.wire.lock().unwrap();
        for key in &batch.keys {
            match batch.op {
                WireOp::Subscribe(_) => {
                    assert_eq!(wire.insert(*key, batch.conn.index()), None, "{key} twice");
                }
                WireOp::Unsubscribe(_) => {
                    assert_eq!(
                        wire.remove(key),
                        Some(batch.conn.index()),
                        "{key} was not there"
                    );
                }
            }
        }
    }
}

impl Feed for Play {
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
        let epoch = Epoch(1);
        for index in 0..port.connections() {
            let conn = ConnId::from_index(index);
            port.report(ConnEvent::Up { conn, epoch });
            port.report(ConnEvent::Ready { conn, epoch });
        }
        core::future::poll_fn(|cx| {
            loop {
                let mut busy = false;
                for index in 0..port.connections() {
                    let conn = ConnId::from_index(index);
                    match port.poll_batch(conn, cx) {
                        Poll::Ready(None) => return Poll::Ready(()),
                        Poll::Ready(Some(batch)) => {
                            self.write(&batch);
                            port.report(ConnEvent::Ready { conn, epoch });
                            busy = true;
                        }
                        Poll::Pending => {}
                    }
                }
                while let Poll::Ready(Some((key, ltp, ltt))) = self.ticks.poll_recv(cx) {
                    busy = true;
                    let conn = self.broker.wire.lock().unwrap().get(&key).copied();
                    if let (Some(index), Some(target)) = (conn, sink.resolve(key)) {
                        let ticker = Ticker {
                            ltp: Some(ltp),
                            ltt: Some(ltt),
                        };
                        let now = sink.now();
                        sink.apply(
                            ConnId::from_index(index),
                            &target,
                            now,
                            &Update::Ticker(ticker),
                        );
                        sink.turn_done(now);
                    }
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

fn config() -> Config {
    let mut config = Config::default();
    config.book.connections = 2;
    config.book.per_connection = 30;
    config.book.total = 60;
    config.book.per_batch = 10;
    config.client_queue = 8;
    config
}

fn item(user: u64, width: u16, price: Option<f64>) -> ItemRequest {
    ItemRequest {
        list: List::Watchlist,
        user,
        symbol: "TCS".into(),
        instrument_type: None,
        expiry: None,
        exchange: None,
        price: price.map(|rupees| Price::from_f64(rupees).unwrap()),
        width: Some(width),
        mode: None,
        follow: true,
        tier: Tier::A,
        force: false,
    }
}

fn chain(width: u16) -> ChainRequest {
    ChainRequest {
        symbol: "TCS".into(),
        expiry: None,
        exchange: None,
        price: None,
        width: Some(width),
        force: false,
    }
}

/// Runs a test against a gateway with the journal that `journal` makes.
async fn with_journal<J: Journal + 'static>(
    journal: impl FnOnce(UnboundedSender<Durability>) -> J,
    test: impl AsyncFnOnce(Gateway, Broker),
) {
    let (feed, broker) = play();
    let spec: ClockSpec = "2026-02-09T10:00:00+05:30".parse().unwrap();
    let Parts {
        gateway,
        feed,
        owner,
        hub,
    } = strikewire_gateway::build(config(), master(), Clock::simulated(spec), feed, journal)
        .unwrap();
    LocalSet::new()
        .run_until(async {
            let feed = tokio::task::spawn_local(feed());
            let owner = tokio::task::spawn_local(owner);
            let hub = tokio::task::spawn_local(hub);
            test(gateway.clone(), broker).await;
            gateway.stop().await;
            owner.await.unwrap();
            feed.await.unwrap().unwrap();
            hub.await.unwrap();
        })
        .await;
}

async fn with_gateway(test: impl AsyncFnOnce(Gateway, Broker)) {
    with_journal(MemoryJournal::new, test).await;
}

/// Lets everything that is due happen; time goes on by a millisecond.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

fn strikes(registry: &Registry, keys: &BTreeSet<InstrumentKey>) -> BTreeSet<i64> {
    keys.iter()
        .filter_map(|key| registry.by_key(*key)?.strike())
        .map(|strike| strike.raw() / 10_000)
        .collect()
}

async fn add_at_live_price(gateway: &Gateway, broker: &Broker, price: f64, width: u16) -> Added {
    let request = item(1, width, None);
    let now = gateway.clock().now().utc;
    let (added, ()) = tokio::join!(gateway.add_item(&request), async {
        while !broker.on_wire().contains(&SPOT) {
            settle().await;
        }
        broker.tick(SPOT, price, now);
    });
    added.unwrap().0
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_the_first_price_and_a_tick_finds_its_way() {
    with_gateway(async |gateway, broker| {
        let added = add_at_live_price(&gateway, &broker, 2_991.0, 5).await;
        assert_eq!(added.strikes_subscribed, 10);
        assert_eq!(added.chain.unwrap().price.source, PriceSource::Live);
        settle().await;
        let expected: BTreeSet<i64> = [2960, 2980, 3000, 3020, 3040].into();
        assert_eq!(strikes(gateway.registry(), &broker.on_wire()), expected);

        // 20 rupees are a step: below it nothing moves, at it the chain rolls.
        broker.tick(SPOT, 3_010.95, gateway.clock().now().utc);
        settle().await;
        assert_eq!(strikes(gateway.registry(), &broker.on_wire()), expected);
        broker.tick(SPOT, 3_011.0, gateway.clock().now().utc);
        settle().await;
        let rolling = strikes(gateway.registry(), &broker.on_wire());
        assert!(
            rolling.contains(&3060) && rolling.contains(&2960),
            "{rolling:?}"
        );
        tokio::time::sleep(Duration::from_secs(6)).await;
        let rolled: BTreeSet<i64> = [2980, 3000, 3020, 3040, 3060].into();
        assert_eq!(strikes(gateway.registry(), &broker.on_wire()), rolled);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_a_price_there_is_an_error_and_nothing_stays() {
    with_gateway(async |gateway, broker| {
        let error = gateway.add_item(&item(1, 5, None)).await.unwrap_err();
        assert!(
            matches!(
                error,
                Error::PriceUnavailable {
                    instrument: SPOT,
                    ..
                }
            ),
            "{error}"
        );
        settle().await;
        assert_eq!(broker.on_wire(), BTreeSet::new());
        assert_eq!(gateway.status().await.unwrap().total_subscriptions, 0);
        // A request that goes away while it waits lets go as well.
        let request = item(1, 5, None);
        let gone = tokio::time::timeout(Duration::from_millis(500), gateway.add_item(&request));
        assert!(gone.await.is_err());
        settle().await;
        assert_eq!(broker.on_wire(), BTreeSet::new());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_first_live_price_corrects_a_callers_own() {
    with_gateway(async |gateway, broker| {
        let (added, _) = gateway.add_item(&item(1, 3, Some(2_900.0))).await.unwrap();
        assert_eq!(added.chain.unwrap().price.source, PriceSource::Client);
        settle().await;
        assert_eq!(
            strikes(gateway.registry(), &broker.on_wire()),
            [2880, 2900, 2920].into()
        );
        broker.tick(SPOT, 3_000.0, gateway.clock().now().utc);
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(
            strikes(gateway.registry(), &broker.on_wire()),
            [2980, 3000, 3020].into()
        );
        // Another caller's price shapes that caller's answer only.
        let (other, _) = gateway.add_item(&item(2, 3, Some(2_850.0))).await.unwrap();
        let view = gateway.render(&other.chain.unwrap());
        assert_eq!(view.atm_strike.raw(), 28_600_000);
        assert_eq!(view.live_atm_strike.unwrap().raw(), 30_000_000);
        assert_eq!(other.newly_on_wire, 0);
        settle().await;
        assert_eq!(
            strikes(gateway.registry(), &broker.on_wire()),
            [2980, 3000, 3020].into()
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn stale_zero_and_jumping_prices_do_not_move_a_chain() {
    with_gateway(async |gateway, broker| {
        add_at_live_price(&gateway, &broker, 3_000.0, 3).await;
        let before: BTreeSet<i64> = [2980, 3000, 3020].into();
        let old = Utc::from_nanos(gateway.clock().now().utc.as_nanos() - 120_000_000_000);
        broker.tick(SPOT, 3_040.0, old);
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(strikes(gateway.registry(), &broker.on_wire()), before);
        broker.tick(SPOT, 0.0, gateway.clock().now().utc);
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(strikes(gateway.registry(), &broker.on_wire()), before);
        // A jump of over 5 % needs a second packet; one that is taken back had none.
        broker.tick(SPOT, 3_180.0, gateway.clock().now().utc);
        settle().await;
        broker.tick(SPOT, 3_001.0, gateway.clock().now().utc);
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(strikes(gateway.registry(), &broker.on_wire()), before);
        broker.tick(SPOT, 3_180.0, gateway.clock().now().utc);
        settle().await;
        broker.tick(SPOT, 3_181.0, gateway.clock().now().utc);
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(
            strikes(gateway.registry(), &broker.on_wire()),
            [3160, 3180, 3200].into()
        );
    })
    .await;
}

/// A journal that decides when the test says so.
#[derive(Debug)]
struct Slow {
    last: u64,
    entries: Arc<Mutex<Vec<Entry>>>,
}

impl Journal for Slow {
    fn append(&mut self, _at: Utc, entry: Entry) -> Seq {
        self.last += 1;
        self.entries.lock().unwrap().push(entry);
        Seq(self.last)
    }

    fn commit(&mut self) {}
}

#[tokio::test(start_paused = true)]
async fn a_reply_waits_for_the_journal_and_a_failed_one_takes_the_claim_back() {
    let entries: Arc<Mutex<Vec<Entry>>> = Arc::default();
    let outcome: Arc<Mutex<Option<UnboundedSender<Durability>>>> = Arc::default();
    let journal = |sender: UnboundedSender<Durability>| {
        *outcome.lock().unwrap() = Some(sender);
        Slow {
            last: 0,
            entries: entries.clone(),
        }
    };
    let say = |durability: Durability| {
        outcome
            .lock()
            .unwrap()
            .as_ref()
            .unwrap()
            .send(durability)
            .unwrap();
    };
    with_journal(journal, async |gateway, broker| {
        let first = tokio::spawn({
            let gateway = gateway.clone();
            async move { gateway.add_item(&item(1, 3, Some(3_000.0))).await }
        });
        let second = tokio::spawn({
            let gateway = gateway.clone();
            async move { gateway.add_item(&item(2, 5, Some(3_000.0))).await }
        });
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(entries.lock().unwrap().len(), 2);
        assert!(!first.is_finished() && !second.is_finished());

        say(Durability::Durable(Seq(1)));
        first.await.unwrap().unwrap();
        assert!(!second.is_finished());
        say(Durability::Failed {
            up_to: Seq(2),
            reason: "disk full".into(),
        });
        let error = second.await.unwrap().unwrap_err();
        assert!(matches!(error, Error::NotDurable { .. }), "{error}");
        settle().await;
        assert_eq!(
            strikes(gateway.registry(), &broker.on_wire()),
            [2980, 3000, 3020].into()
        );
        assert_eq!(gateway.list_items(1).await.unwrap().len(), 1);
        assert_eq!(gateway.list_items(2).await.unwrap().len(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn reading_a_chain_subscribes_nothing() {
    with_gateway(async |gateway, broker| {
        add_at_live_price(&gateway, &broker, 3_000.0, 3).await;
        settle().await;
        let before = broker.on_wire();
        let (answer, _) = gateway.read_chain(&chain(11)).await.unwrap();
        assert_eq!(gateway.render(&answer).strikes.len(), 11);
        settle().await;
        assert_eq!(broker.on_wire(), before);
    })
    .await;
}

/// The messages that wait for a client, read.
fn waiting(messages: &mut Receiver<String>) -> Vec<serde_json::Value> {
    let mut read = Vec::new();
    while let Ok(message) = messages.try_recv() {
        read.push(serde_json::from_str(&message).unwrap());
    }
    read
}

fn of_type<'a>(messages: &'a [serde_json::Value], kind: &str) -> Vec<&'a serde_json::Value> {
    messages
        .iter()
        .filter(|message| message["type"] == kind)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_does_not_follow_keeps_its_window() {
    with_gateway(async |gateway, broker| {
        add_at_live_price(&gateway, &broker, 3_000.0, 3).await;
        let class = Class::from_ms(100).unwrap();
        let (mut client, mut messages) = gateway.open_stream().await.unwrap();
        for (id, follow) in [("still", false), ("moving", true)] {
            client
                .subscribe_chain(&chain(3), None, follow, class, |sub| {
                    format!(r#"{{"type":"ack","id":"{id}","sub":{}}}"#, sub.0)
                })
                .await
                .unwrap();
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        let begun = waiting(&mut messages);
        assert_eq!(of_type(&begun, "snapshot").len(), 2, "{begun:?}");

        broker.tick(SPOT, 3_020.0, gateway.clock().now().utc);
        tokio::time::sleep(Duration::from_secs(6)).await;
        let moved = waiting(&mut messages);
        let rolled: Vec<_> = of_type(&moved, "delta")
            .into_iter()
            .filter(|delta| delta["chain"].get("atm_strike").is_some())
            .collect();
        assert_eq!(rolled.len(), 1, "{moved:?}");
        assert_eq!(rolled[0]["sub"], 2);
        // What it shows is what it holds.
        assert_eq!(
            strikes(gateway.registry(), &broker.on_wire()),
            [2980, 3000, 3020, 3040].into()
        );
        client.unsubscribe(SubId(1), "{}".into()).await.unwrap();
        settle().await;
        assert_eq!(
            strikes(gateway.registry(), &broker.on_wire()),
            [3000, 3020, 3040].into()
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_with_a_full_queue_still_gets_its_answers() {
    with_gateway(async |gateway, broker| {
        add_at_live_price(&gateway, &broker, 3_000.0, 3).await;
        let class = Class::from_ms(100).unwrap();
        let (mut client, mut messages) = gateway.open_stream().await.unwrap();
        let request = TicksRequest {
            instruments: vec!["TCS".into()],
            mode: None,
            class,
        };
        client
            .subscribe_ticks(&request, |_| r#"{"type":"ack"}"#.into())
            .await
            .unwrap();
        // More windows than the queue has places, and nobody reads.
        for n in 0..2 * config().client_queue {
            let price = 3_000.0 + (n % 2) as f64;
            broker.tick(SPOT, price, gateway.clock().now().utc);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        client
            .unsubscribe(SubId(1), r#"{"type":"bye"}"#.into())
            .await
            .unwrap();
        settle().await;
        let got = waiting(&mut messages);
        assert_eq!(got.len(), config().client_queue + 1);
        assert_eq!(got.last().unwrap()["type"], "bye");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_nobody_followed_is_read_where_the_price_is() {
    with_gateway(async |gateway, broker| {
        // Another width keeps the underlying on the wire.
        add_at_live_price(&gateway, &broker, 2_900.0, 3).await;
        let read = async || {
            let (answer, _) = gateway.read_chain(&chain(5)).await.unwrap();
            gateway.render(&answer).atm_strike.raw() / 10_000
        };
        assert_eq!(read().await, 2_900);
        for price in [2_980.0, 3_060.0, 3_140.0] {
            broker.tick(SPOT, price, gateway.clock().now().utc);
            settle().await;
        }
        assert_eq!(read().await, 3_140);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn slots_do_not_run_out_however_fast_instruments_come_and_go() {
    with_gateway(async |gateway, broker| {
        // Each round takes 43 slots; all of it happens within the second for which one rests.
        for round in 0..40 {
            gateway
                .add_item(&item(round, 21, Some(3_000.0)))
                .await
                .unwrap();
            settle().await;
            let filter = ItemFilter {
                symbol: "TCS".into(),
                exchange: None,
                expiry: None,
                instrument_type: None,
            };
            gateway.remove_item(round, filter).await.unwrap();
            settle().await;
        }
        let added = add_at_live_price(&gateway, &broker, 3_000.0, 3).await;
        assert_eq!(added.chain.unwrap().price.source, PriceSource::Live);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn before_any_live_price_each_claim_is_where_its_caller_says() {
    with_gateway(async |gateway, broker| {
        gateway.add_item(&item(1, 3, Some(2_900.0))).await.unwrap();
        let (second, _) = gateway.add_item(&item(2, 3, Some(3_100.0))).await.unwrap();
        assert_eq!(second.newly_on_wire, 6);
        let stays = ItemRequest {
            follow: false,
            width: Some(1),
            ..item(3, 3, Some(2_860.0))
        };
        gateway.add_item(&stays).await.unwrap();
        settle().await;
        let each: BTreeSet<i64> = [2860, 2880, 2900, 2920, 3080, 3100, 3120].into();
        assert_eq!(strikes(gateway.registry(), &broker.on_wire()), each);
        // What a caller says is nobody else's price.
        let error = gateway.read_chain(&chain(3)).await.unwrap_err();
        assert!(matches!(error, Error::PriceUnavailable { .. }), "{error}");

        // The first live price corrects them all, those that stay once and for all.
        broker.tick(SPOT, 3_000.0, gateway.clock().now().utc);
        tokio::time::sleep(Duration::from_secs(6)).await;
        let one: BTreeSet<i64> = [2980, 3000, 3020].into();
        assert_eq!(strikes(gateway.registry(), &broker.on_wire()), one);
        broker.tick(SPOT, 3_040.0, gateway.clock().now().utc);
        tokio::time::sleep(Duration::from_secs(6)).await;
        let rolled: BTreeSet<i64> = [3000, 3020, 3040, 3060].into();
        assert_eq!(strikes(gateway.registry(), &broker.on_wire()), rolled);
    })
    .await;
}
