//! A broker that the test plays, instrument masters of a few rows, and a gateway on one
//! thread that lives in paused time and can be started again.

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use core::task::Poll;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::{Arc, Mutex};

use strikewire_broker::{
    Capabilities, ConnEvent, DayPrices, Feed, Full, Oi, Port, Quote, Sink, Ticker, Update,
    WireBatch, WireOp,
};
use strikewire_fanout::Class;
use strikewire_gateway::calendar::Calendar;
use strikewire_gateway::registry::{LoadOptions, Registry};
use strikewire_gateway::types::{
    Clock, ClockSpec, ConnId, Epoch, ExchangeTime, InstrumentKey, Mode, Price, Segment, Tier, Utc,
};
use strikewire_gateway::{
    Added, ChainRequest, Config, Gateway, Inbox, ItemFilter, ItemRequest, LeaseSetup, List, Parts,
    Setup, StreamChainRequest, StreamLimits,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;

use crate::ledger::Ledger;
use crate::rest::Rest;

/// An instrument master, row by row, in the compact layout.
pub(crate) struct Rows(String);

impl Rows {
    pub(crate) fn new() -> Self {
        Self(
            "SEM_EXM_EXCH_ID,SEM_SEGMENT,SEM_SMST_SECURITY_ID,SEM_INSTRUMENT_NAME,SEM_EXPIRY_CODE,\
             SEM_TRADING_SYMBOL,SEM_LOT_UNITS,SEM_CUSTOM_SYMBOL,SEM_EXPIRY_DATE,SEM_STRIKE_PRICE,\
             SEM_OPTION_TYPE,SEM_TICK_SIZE,SEM_EXPIRY_FLAG,SEM_EXCH_INSTRUMENT_TYPE,SEM_SERIES,\
             SM_SYMBOL_NAME\n"
                .into(),
        )
    }

    pub(crate) fn equity(mut self, id: u32, symbol: &str) -> Self {
        let row = format!("NSE,E,{id},EQUITY,0,{symbol},1.0,{symbol},,,,10.0000,NA,ES,EQ,{symbol}");
        writeln!(self.0, "{row}").unwrap();
        self
    }

    pub(crate) fn index(mut self, id: u32, symbol: &str) -> Self {
        let row = format!(
            "NSE,I,{id},INDEX,0,{symbol},1.0,{symbol},0001-01-01,,XX,0.0500,,INDEX,X,{symbol}"
        );
        writeln!(self.0, "{row}").unwrap();
        self
    }

    /// A future of MCX.
    pub(crate) fn future(mut self, id: u32, symbol: &str, expiry: &str) -> Self {
        let named = named(expiry);
        let row = format!(
            "MCX,M,{id},FUTCOM,0,{symbol}-{named}-FUT,1.0,{symbol} FUT,{expiry} 00:00:00,0.00000,\
             XX,100.0000,M,FUTCOM,2,{symbol}"
        );
        writeln!(self.0, "{row}").unwrap();
        self
    }

    /// A ladder from `first` to `last`; its contracts are numbered from `id` on, the call
    /// before the put.
    pub(crate) fn options(
        mut self,
        id: u32,
        kind: &str,
        symbol: &str,
        expiry: &str,
        (first, last, step): (u32, u32, usize),
    ) -> Self {
        let exchange = if kind == "OPTFUT" { "MCX,M" } else { "NSE,D" };
        let (mut id, named) = (id, named(expiry));
        for strike in (first..=last).step_by(step) {
            for leg in ["CE", "PE"] {
                let row = format!(
                    "{exchange},{id},{kind},0,{symbol}-{named}-{strike}-{leg},75.0,{symbol} {strike} \
                     {leg},{expiry} 14:30:00,{strike}.00000,{leg},5.0000,M,OP,,{symbol}"
                );
                writeln!(self.0, "{row}").unwrap();
                id += 1;
            }
        }
        self
    }

    pub(crate) fn load(self, as_of: &str) -> Arc<Registry> {
        let options = LoadOptions::new(as_of.parse().unwrap());
        Arc::new(Registry::from_reader(self.0.as_bytes(), &options).unwrap())
    }
}

/// A day as trading symbols have it, such as 24Feb2026.
fn named(expiry: &str) -> String {
    let date: jiff::civil::Date = expiry.parse().unwrap();
    date.strftime("%d%b%Y").to_string()
}

/// One stock with strikes 2800 to 3200 by 20, and its options on the 24th.
pub(crate) fn master() -> Arc<Registry> {
    Rows::new()
        .equity(11_536, "TCS")
        .options(50_001, "OPTSTK", "TCS", "2026-02-24", (2_800, 3_200, 20))
        .load("2026-02-09")
}

pub(crate) const SPOT: InstrumentKey = InstrumentKey::new(Segment::NseEq, 11_536);

/// What the test sees of the broker, and what it can make it do.
#[derive(Clone)]
pub(crate) struct Broker {
    wire: Arc<Mutex<BTreeMap<InstrumentKey, (usize, Mode)>>>,
    /// Messages written to any connection.
    written: Arc<AtomicUsize>,
    ticks: UnboundedSender<(InstrumentKey, Price, ExchangeTime)>,
}

impl Broker {
    pub(crate) fn on_wire(&self) -> BTreeSet<InstrumentKey> {
        self.wire.lock().unwrap().keys().copied().collect()
    }

    pub(crate) fn written(&self) -> usize {
        self.written.load(Relaxed)
    }

    pub(crate) fn tick(&self, key: InstrumentKey, rupees: f64, at: Utc) {
        let price = Price::from_f64(rupees).unwrap();
        let time = ExchangeTime::from_seconds(at.as_seconds());
        self.ticks.send((key, price, time)).unwrap();
    }
}

/// A feed without sockets: two connections that are up at once and write at once.
pub(crate) struct Play {
    broker: Broker,
    ticks: UnboundedReceiver<(InstrumentKey, Price, ExchangeTime)>,
    dead: bool,
}

pub(crate) fn play() -> (Play, Broker) {
    let (tick_tx, tick_rx) = unbounded_channel();
    let broker = Broker {
        wire: Arc::default(),
        written: Arc::default(),
        ticks: tick_tx,
    };
    (
        Play {
            broker: broker.clone(),
            ticks: tick_rx,
            dead: false,
        },
        broker,
    )
}

impl Play {
    fn write(&self, batch: &WireBatch) {
        let mut wire = self.broker.wire.lock().unwrap();
        self.broker.written.fetch_add(1, Relaxed);
        for key in &batch.keys {
            match batch.op {
                WireOp::Subscribe(mode) => {
                    let held = wire.insert(*key, (batch.conn.index(), mode));
                    assert_eq!(held, None, "{key} twice");
                }
                WireOp::Unsubscribe(mode) => {
                    let held = wire.remove(key);
                    assert_eq!(
                        held,
                        Some((batch.conn.index(), mode)),
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
        let connections = if self.dead { 0 } else { port.connections() };
        for index in 0..connections {
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
                    if let (Some((index, mode)), Some(target)) = (conn, sink.resolve(key)) {
                        let now = sink.now();
                        let update = packet(mode, ltp, ltt);
                        sink.apply(ConnId::from_index(index), &target, now, &update);
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

/// A packet of `mode` that says no more than the last price.
pub(crate) fn packet(mode: Mode, ltp: Price, ltt: ExchangeTime) -> Update {
    let ticker = Ticker {
        ltp: Some(ltp),
        ltt: Some(ltt),
    };
    let quote = Quote {
        ticker,
        ltq: 1,
        atp: None,
        volume: 1,
        total_sell_qty: 0,
        total_buy_qty: 0,
        day: DayPrices::default(),
    };
    match mode {
        Mode::Ticker => Update::Ticker(ticker),
        Mode::Quote => Update::Quote(quote),
        Mode::Full => Update::Full(Full {
            quote,
            oi: Oi::default(),
            depth: Default::default(),
        }),
    }
}

pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.book.connections = 2;
    config.book.per_connection = 30;
    config.book.total = 60;
    config.book.per_batch = 10;
    config.tier_b = Vec::new();
    config
}

pub(crate) fn item(user: u64, width: u16, price: Option<f64>) -> ItemRequest {
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

pub(crate) fn chain(width: u16) -> ChainRequest {
    ChainRequest {
        symbol: "TCS".into(),
        expiry: None,
        exchange: None,
        price: None,
        width: Some(width),
        force: false,
    }
}

/// Lets everything that is due happen; time goes on by a millisecond.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

pub(crate) fn strikes(registry: &Registry, keys: &BTreeSet<InstrumentKey>) -> BTreeSet<i64> {
    keys.iter()
        .filter_map(|key| registry.by_key(*key)?.strike())
        .map(|strike| strike.raw() / 10_000)
        .collect()
}

pub(crate) async fn add_at_live_price(
    gateway: &Gateway,
    broker: &Broker,
    price: f64,
    width: u16,
) -> Added {
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

pub(crate) fn filter(symbol: &str) -> ItemFilter {
    ItemFilter {
        symbol: symbol.into(),
        exchange: None,
        expiry: None,
        instrument_type: None,
    }
}

/// What a test starts a gateway with.
pub(crate) struct Run {
    pub(crate) config: Config,
    pub(crate) master: Arc<Registry>,
    pub(crate) clock: &'static str,
    pub(crate) calendar: Calendar,
    pub(crate) ledger: Ledger,
    pub(crate) rest: Rest,
    /// No connection ever comes up.
    pub(crate) dead_feed: bool,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            config: config(),
            master: master(),
            clock: "2026-02-09T10:00:00+05:30",
            calendar: Calendar::builtin(),
            ledger: Ledger::default(),
            rest: Rest::default(),
            dead_feed: false,
        }
    }
}

impl Run {
    /// Starts a gateway with what the ledger has, as after a crash, and runs a test
    /// against it.
    pub(crate) async fn with(self, test: impl AsyncFnOnce(Gateway, Broker)) {
        let (mut feed, broker) = play();
        feed.dead = self.dead_feed;
        self.with_feed(feed, async |gateway| test(gateway, broker).await)
            .await;
    }

    /// The same on another feed.
    pub(crate) async fn with_feed(
        self,
        feed: impl Feed + Send + 'static,
        test: impl AsyncFnOnce(Gateway),
    ) {
        let spec: ClockSpec = self.clock.parse().unwrap();
        let Parts {
            gateway,
            feed,
            owner,
            hub,
            desk,
            indicators,
        } = strikewire_gateway::build(Setup {
            config: self.config,
            registry: self.master,
            clock: Clock::simulated(spec),
            calendar: self.calendar,
            feed,
            reference: self.rest,
            recovered: self.ledger.recovered(),
            journal: self.ledger.journal(),
            audit: None,
            leases: LeaseSetup::default(),
        })
        .unwrap();
        LocalSet::new()
            .run_until(async {
                let feed = tokio::task::spawn_local(feed());
                let owner = tokio::task::spawn_local(owner);
                let hub = tokio::task::spawn_local(hub);
                let desk = tokio::task::spawn_local(desk);
                let indicators = tokio::task::spawn_local(indicators);
                test(gateway.clone()).await;
                gateway.stop().await;
                owner.await.unwrap();
                feed.await.unwrap().unwrap();
                hub.await.unwrap();
                desk.await.unwrap();
                indicators.await.unwrap();
            })
            .await;
    }
}

pub(crate) async fn with_gateway(test: impl AsyncFnOnce(Gateway, Broker)) {
    Run::default().with(test).await;
}

/// Lets time go on until the gateway's clock shows `at`: in strides of a few minutes, and
/// the last half minute second by second.
pub(crate) async fn until(gateway: &Gateway, at: &str) {
    let spec: ClockSpec = at.parse().unwrap();
    let clock = gateway.clock();
    let (stride, last) = (Duration::from_secs(300), Duration::from_secs(30));
    loop {
        let left = spec.start.since(clock.now().utc);
        if left <= last {
            clock.sleep(left).await;
            return settle().await;
        }
        tokio::time::advance(stride.min(left - last)).await;
        settle().await;
    }
}

/// The messages that wait for a client, read.
pub(crate) fn waiting(inbox: &Inbox) -> Vec<serde_json::Value> {
    core::iter::from_fn(|| inbox.try_next())
        .map(|next| serde_json::from_str(next.message.as_str()).unwrap())
        .collect()
}

/// What may wait for a client: less than the defaults.
pub(crate) fn limits() -> StreamLimits {
    StreamLimits {
        messages: 8,
        ..StreamLimits::default()
    }
}

/// A chain that a client follows, every 100 ms.
pub(crate) fn streamed(chain: ChainRequest) -> StreamChainRequest {
    StreamChainRequest {
        chain,
        mode: None,
        follow: true,
        class: Class::ALL[1],
        resume: None,
    }
}

pub(crate) fn of_type<'a>(
    messages: &'a [serde_json::Value],
    kind: &str,
) -> Vec<&'a serde_json::Value> {
    messages
        .iter()
        .filter(|message| message["type"] == kind)
        .collect()
}
