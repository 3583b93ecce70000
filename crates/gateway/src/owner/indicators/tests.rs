use std::collections::BTreeSet;

use strikewire_broker::{ConnEvent, DownCause, Link, Port, Sink, Ticker, Update, WireOp, port};
use strikewire_calendar::Calendar;
use strikewire_indicators::GRACE;
use strikewire_quotes::Table;
use strikewire_registry::LoadOptions;
use strikewire_store::Recovered;
use strikewire_subscriptions::{Book, Role};
use strikewire_types::{
    Clock, ClockSpec, ConnId, Epoch, ExchangeTime, Mode, Mono, Price, PriceStep, Segment,
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;

use super::super::run::Input;
use super::super::{Made, Owner};
use super::*;
use crate::bars::{BarBatch, BarCommand, Tap};
use crate::command::{Command, Envelope};
use crate::desk::Desk;
use crate::hub::HubCommand;
use crate::master::Master;
use crate::tick::TickEvent;
use crate::{Config, Counters, MemoryJournal, Readiness, TickPath};

const ONE: ConnId = ConnId::from_index(0);
const TWO: ConnId = ConnId::from_index(1);

const HEADER: &str = "SEM_EXM_EXCH_ID,SEM_SEGMENT,SEM_SMST_SECURITY_ID,SEM_INSTRUMENT_NAME,\
    SEM_EXPIRY_CODE,SEM_TRADING_SYMBOL,SEM_LOT_UNITS,SEM_CUSTOM_SYMBOL,SEM_EXPIRY_DATE,\
    SEM_STRIKE_PRICE,SEM_OPTION_TYPE,SEM_TICK_SIZE,SEM_EXPIRY_FLAG,SEM_EXCH_INSTRUMENT_TYPE,\
    SEM_SERIES,SM_SYMBOL_NAME\n";

/// A master of equities and of futures that expire on the 9th, by id and symbol.
fn master(as_of: &str, equities: &[(u32, &str)], futures: &[(u32, &str)]) -> Arc<Registry> {
    use core::fmt::Write;
    let mut rows = HEADER.to_owned();
    for (id, symbol) in equities {
        writeln!(
            rows,
            "NSE,E,{id},EQUITY,0,{symbol},1.0,{symbol},,,,10.0000,NA,ES,EQ,{symbol}"
        )
        .unwrap();
    }
    for (id, symbol) in futures {
        writeln!(
            rows,
            "NSE,D,{id},FUTSTK,0,{symbol}-09Feb2026-FUT,75.0,{symbol} FUT,2026-02-09 14:30:00,\
             0.00000,XX,5.0000,M,FUTSTK,,{symbol}"
        )
        .unwrap();
    }
    let options = LoadOptions::new(as_of.parse().unwrap());
    Arc::new(Registry::from_reader(rows.as_bytes(), &options).unwrap())
}

fn equity(id: u32) -> InstrumentKey {
    InstrumentKey::new(Segment::NseEq, id)
}

fn future(id: u32) -> InstrumentKey {
    InstrumentKey::new(Segment::NseFno, id)
}

fn utc(text: &str) -> Utc {
    let spec: ClockSpec = format!("2026-02-{text}+05:30").parse().unwrap();
    spec.start
}

fn at(text: &str) -> Now {
    let utc = utc(text);
    let mono = Mono::from_nanos(utc.as_nanos().cast_unsigned());
    Now { mono, utc }
}

/// An owner and the tick path of its feed on one thread, with a broker that takes what it
/// is sent at once.
struct Rig {
    owner: Owner,
    link: Link,
    port: Port,
    path: TickPath,
    table: Arc<Table>,
    ticks: UnboundedReceiver<TickEvent>,
    events: UnboundedReceiver<OwnerEvent>,
    hub: UnboundedReceiver<HubCommand>,
    on_wire: BTreeMap<InstrumentKey, (ConnId, Mode)>,
    now: Now,
}

fn rig(capacity: usize, registry: Arc<Registry>, now: Now) -> Rig {
    let mut config = Config::default();
    config.book.connections = 2;
    config.book.per_connection = capacity;
    config.book.total = capacity;
    config.tier_b = Vec::new();
    let clock = Clock::system();
    let calendar = Arc::new(Calendar::builtin());
    let (table, writer) = strikewire_quotes::table(config.book.slots());
    let counters = Arc::new(Counters::new(2));
    let era = Era::default();
    let tap = Tap::new(table.clone(), calendar.clone(), era.clone(), GRACE);
    let (tick_tx, ticks) = unbounded_channel();
    let (outcomes, _) = unbounded_channel();
    let (hub_tx, hub) = unbounded_channel();
    let (event_tx, events) = unbounded_channel();
    let path = TickPath::new(
        writer,
        clock,
        tap,
        tick_tx,
        Arc::default(),
        counters.clone(),
    );
    let owner = Owner::new(Made {
        desk: Desk::new(&config, clock),
        book: Book::new(config.book).unwrap(),
        config,
        master: Master::first(registry),
        calendar,
        recovered: Recovered::default(),
        table: table.clone(),
        counters,
        readiness: Arc::new(arc_swap::ArcSwap::from_pointee(Readiness::starting(
            now.utc,
        ))),
        hub: hub_tx,
        indicators: event_tx,
        era,
        journal: Box::new(MemoryJournal::new(outcomes)),
        now,
        speed: 1.0,
    });
    let (port, link) = port(2);
    let mut rig = Rig {
        owner,
        link,
        port,
        path,
        table,
        ticks,
        events,
        hub,
        on_wire: BTreeMap::new(),
        now,
    };
    for conn in [ONE, TWO] {
        rig.up(conn, Epoch(1));
    }
    rig
}

impl Rig {
    fn up(&mut self, conn: ConnId, epoch: Epoch) {
        self.port.report(ConnEvent::Up { conn, epoch });
        self.port.report(ConnEvent::Ready { conn, epoch });
        self.turn();
    }

    fn down(&mut self, conn: ConnId) {
        self.on_wire.retain(|_, (on, _)| *on != conn);
        self.port.report(ConnEvent::Down {
            conn,
            epoch: Epoch(1),
            cause: DownCause::Connect("reset".into()),
            retry_in: None,
        });
        self.turn();
    }

    /// It is `time`, and everything that is due happens.
    fn go(&mut self, time: &str) {
        self.now = at(time);
        self.turn();
    }

    fn turn(&mut self) {
        let now = self.now;
        loop {
            let mut quiet = true;
            while let Some(event) = self.link.try_event() {
                self.owner.handle(now, Input::Conn(event));
                quiet = false;
            }
            while let Ok(event) = self.ticks.try_recv() {
                self.owner.handle(now, Input::Tick(event));
                quiet = false;
            }
            self.owner.finish_turn(now, &mut self.link);
            for conn in [ONE, TWO] {
                while let Some(batch) = self.port.try_batch(conn) {
                    quiet = false;
                    for key in batch.keys {
                        match batch.op {
                            WireOp::Subscribe(mode) => {
                                // What stays silent is asked for again.
                                let before = self.on_wire.insert(key, (conn, mode));
                                assert!(before.is_none_or(|it| it == (conn, mode)), "{key}");
                            }
                            WireOp::Unsubscribe(_) => assert!(self.on_wire.remove(&key).is_some()),
                        }
                    }
                    let epoch = batch.epoch;
                    self.port.report(ConnEvent::Ready { conn, epoch });
                }
            }
            if quiet {
                return;
            }
        }
    }

    fn command(&mut self, master: u64, command: Command) {
        let envelope = Envelope { master, command };
        self.owner.handle(self.now, Input::Command(envelope));
        self.turn();
    }

    fn claim_in(&mut self, master: u64, key: InstrumentKey) -> Result<(), Error> {
        let (reply, mut answer) = oneshot::channel();
        let leg = leg(key);
        self.command(master, Command::ClaimIndicator { leg, reply });
        answer.try_recv().unwrap()
    }

    fn claim(&mut self, key: InstrumentKey) {
        self.claim_in(0, key).unwrap();
    }

    fn release(&mut self, master: u64, key: InstrumentKey) {
        self.command(master, Command::ReleaseIndicator { key });
    }

    /// A request that waits for a price holds an instrument.
    fn hold(&mut self, request: u64, key: InstrumentKey) -> Result<(), Error> {
        let (reply, mut answer) = oneshot::channel();
        let hold = Command::Hold {
            request,
            leg: leg(key),
            chain: Some(vec![leg(key)]),
            reply,
        };
        self.command(0, hold);
        answer.try_recv().unwrap()
    }

    fn swap(&mut self, registry: &Arc<Registry>) {
        let (reply, _) = oneshot::channel();
        let registry = Arc::clone(registry);
        self.command(0, Command::SwapMaster { registry, reply });
    }

    fn wire(&self) -> BTreeSet<InstrumentKey> {
        self.on_wire.keys().copied().collect()
    }

    fn has_bars(&self, key: InstrumentKey) -> bool {
        let Some((slot, _)) = self.table.resolve(key) else {
            return false;
        };
        self.table.interest(slot).contains(Interest::BARS)
    }

    fn watch(&mut self, master: u64, key: InstrumentKey) {
        let class = Class::NseCash;
        let command = BarCommand::Watch { master, key, class };
        self.path.tap().handle(self.now.utc, &command);
    }

    fn tick(&mut self, key: InstrumentKey, rupees: i32) {
        let (conn, _) = self.on_wire[&key];
        let Some(target) = self.path.resolve(key) else {
            panic!("{key} has no slot");
        };
        let update = Update::Ticker(Ticker {
            ltp: Some(Price::from_rupees(rupees)),
            ltt: Some(ExchangeTime::from_seconds(self.now.utc.as_seconds())),
        });
        self.path.apply(conn, &target, self.now, &update);
        self.path.turn_done(self.now);
        self.turn();
    }

    fn collect(&mut self) -> BarBatch {
        while !self.path.tap().close_some(self.now.utc) {}
        self.path.tap().take(BarBatch::default())
    }

    /// What the owner said since the last time, in short.
    fn events(&mut self) -> Vec<String> {
        let event = |event| match event {
            OwnerEvent::Bound { key } => format!("bound {key}"),
            OwnerEvent::Evicted { key, .. } => format!("evicted {key}"),
            OwnerEvent::Suspended { key, .. } => format!("suspended {key}"),
            OwnerEvent::Resumed { key } => format!("resumed {key}"),
            OwnerEvent::Gone { key, .. } => format!("gone {key}"),
            OwnerEvent::Gap { key, from, to } => format!("gap {key} {from} {to}"),
            OwnerEvent::SessionClosed { class, .. } => format!("closed {class}"),
            OwnerEvent::MasterChanged { number, .. } => format!("master {number}"),
        };
        core::iter::from_fn(|| self.events.try_recv().ok())
            .map(event)
            .collect()
    }

    /// How often the hub was told of slots since the last time.
    fn slots_changed(&mut self) -> usize {
        core::iter::from_fn(|| self.hub.try_recv().ok())
            .filter(|command| matches!(command, HubCommand::SlotsChanged(_)))
            .count()
    }

    fn holders(&self, key: InstrumentKey) -> Vec<String> {
        let found = self.owner.explain(key);
        let holders = found.map(|found| found.holders).unwrap_or_default();
        holders.into_iter().map(|holder| holder.why).collect()
    }
}

fn leg(key: InstrumentKey) -> Leg {
    Leg {
        key,
        step: PriceStep::PAISA,
        mode: Mode::Quote,
        role: Role::Contract,
        distance: 0,
    }
}

fn few() -> Arc<Registry> {
    let equities = [(1, "AAA"), (2, "BBB"), (3, "CCC"), (4, "DDD")];
    master("2026-02-09", &equities, &[(9, "AAA")])
}

#[test]
fn an_instrument_is_claimed_once_however_often_it_is_asked_for() {
    let mut rig = rig(4, few(), at("09T10:00:00"));
    let key = equity(1);
    for _ in 0..3 {
        rig.claim(key);
    }
    assert_eq!(rig.on_wire, [(key, (ONE, Mode::Quote))].into());
    assert_eq!(rig.holders(key), ["indicators of AAA"]);
    assert!(rig.has_bars(key));
    assert_eq!(rig.events(), ["bound NSE_EQ:1"]);
    // Somebody else holds it too, and goes on holding it.
    rig.hold(1, key).unwrap();
    rig.release(0, key);
    assert_eq!(rig.wire(), [key].into());
    assert_eq!(rig.holders(key), ["a request that waits for a price"]);
    assert!(!rig.has_bars(key), "nobody wants bars of it");
    rig.command(0, Command::Unhold { request: 1 });
    assert!(rig.wire().is_empty());
    rig.release(0, key);
    rig.release(0, equity(4));
    // Again, from nothing.
    rig.claim(key);
    assert!(rig.has_bars(key));
    rig.release(0, key);
    assert!(rig.wire().is_empty() && !rig.has_bars(key));
    let indicators = &rig.owner.indicators;
    assert!(indicators.claims.is_empty() && indicators.keys.is_empty());
}

#[test]
fn a_claim_of_an_instrument_that_others_hold_has_its_bars_at_once() {
    let mut rig = rig(4, few(), at("09T10:00:00"));
    rig.hold(1, equity(1)).unwrap();
    rig.claim(equity(1));
    assert!(rig.has_bars(equity(1)));
    assert_eq!(rig.events(), ["bound NSE_EQ:1"]);
}

#[test]
fn it_is_evicted_after_what_nobody_uses_and_told() {
    let mut rig = rig(2, few(), at("09T10:00:00"));
    rig.claim(equity(1));
    rig.hold(1, equity(2)).unwrap();
    rig.events();
    // A while later neither was asked for again; the request's price is used by nobody.
    rig.go("09T10:05:00");
    rig.hold(2, equity(3)).unwrap();
    assert_eq!(rig.wire(), [equity(1), equity(3)].into());
    assert_eq!(rig.events(), [""; 0]);
    // Now all is in use: the one that was asked for longest ago goes. Asking again counts.
    rig.claim(equity(1));
    rig.hold(3, equity(4)).unwrap();
    assert_eq!(rig.wire(), [equity(1), equity(4)].into());
    rig.hold(4, equity(2)).unwrap();
    assert_eq!(rig.wire(), [equity(2), equity(4)].into());
    assert_eq!(rig.events(), ["evicted NSE_EQ:1"]);
    assert!(!rig.has_bars(equity(1)));
    // It is claimed again like any other; with all in use the oldest goes.
    rig.claim(equity(1));
    assert_eq!(rig.wire(), [equity(1), equity(2)].into());
    assert_eq!(rig.events(), ["bound NSE_EQ:1"]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut rig = rig(1, few(), at("09T10:00:00"));
    rig.claim(equity(1));
    // A claim of indicators makes room for another of its kind.
    rig.claim(equity(2));
    assert_eq!(
        rig.events(),
        ["bound NSE_EQ:1", "evicted NSE_EQ:1", "bound NSE_EQ:2"]
    );
    let stale = rig.claim_in(7, equity(1));
    assert!(matches!(stale, Err(Error::MasterChanged)), "{stale:?}");
}

#[test]
fn it_leaves_the_wire_a_moment_after_the_close_and_is_back_before_the_open() {
    let mut rig = rig(8, few(), at("09T15:00:00"));
    rig.claim(equity(1));
    rig.watch(0, equity(1));
    rig.tick(equity(1), 90);
    rig.events();
    rig.go("09T15:29:59");
    rig.tick(equity(1), 100);
    rig.go("09T15:30:01");
    assert_eq!(rig.wire(), [equity(1)].into());
    // The last trade of the session comes late, and is in its bar.
    let last = rig.collect();
    assert_eq!(last.closed.len(), 2);
    assert_eq!(last.closed[1].1.close, Price::from_rupees(100));
    assert!(last.closed[1].1.complete);
    rig.go("09T15:30:04");
    assert_eq!(rig.wire(), [equity(1)].into());
    rig.go("09T15:30:05");
    assert!(rig.wire().is_empty());
    assert_eq!(rig.events(), ["suspended NSE_EQ:1", "closed nse_cash"]);
    assert!(!rig.has_bars(equity(1)));
    // Claimed at night: kept, and off the wire.
    rig.go("09T20:00:00");
    rig.claim(equity(2));
    rig.claim(equity(1));
    assert!(rig.wire().is_empty());
    assert_eq!(rig.events(), ["suspended NSE_EQ:2"]);
    for closed in ["10T03:00:00", "10T08:59:59"] {
        rig.go(closed);
        rig.collect();
        assert!(rig.wire().is_empty(), "{closed}");
    }
    rig.go("10T09:00:00");
    assert_eq!(rig.wire(), [equity(1), equity(2)].into());
    assert_eq!(
        rig.events(),
        [
            "bound NSE_EQ:1",
            "bound NSE_EQ:2",
            "resumed NSE_EQ:1",
            "resumed NSE_EQ:2"
        ]
    );
    // Nothing was missed in the night: the first bar is complete.
    rig.go("10T09:00:01");
    rig.tick(equity(1), 100);
    rig.go("10T09:15:02");
    rig.tick(equity(1), 101);
    rig.go("10T09:16:01");
    let first = rig.collect();
    assert_eq!(first.closed.len(), 1);
    assert!(first.closed[0].1.complete);
    assert_eq!(rig.events(), [""; 0]);
}

#[test]
fn a_clock_that_jumps_over_the_night_leaves_all_as_it_should_be() {
    let mut rig = rig(8, few(), at("09T15:00:00"));
    rig.claim(equity(1));
    rig.go("10T10:00:00");
    assert_eq!(rig.wire(), [equity(1)].into());
    // Saturday, and then a Monday.
    rig.go("14T12:00:00");
    assert!(rig.wire().is_empty());
    rig.go("16T09:00:00");
    assert_eq!(rig.wire(), [equity(1)].into());
    rig.go("14T12:00:00");
    assert!(rig.wire().is_empty());
}

#[test]
fn what_cannot_resume_is_evicted_and_told() {
    let mut rig = rig(1, few(), at("09T15:00:00"));
    rig.claim(equity(1));
    rig.go("09T16:00:00");
    assert!(rig.wire().is_empty());
    // Tier B has the only slot by now.
    let request = Request::new(
        Holder {
            kind: OwnerKind::TierB,
            id: 1,
        },
        Tier::B,
        vec![leg(equity(2))],
    );
    let plan = rig.owner.book.plan(rig.now, &request).unwrap();
    let cause = Arc::clone(&rig.owner.records.causes.configured);
    let now = rig.now;
    rig.owner
        .change(&cause, |book, effects| book.apply(now, plan, effects));
    rig.events();
    rig.go("10T09:00:00");
    assert_eq!(rig.wire(), [equity(2)].into());
    assert_eq!(rig.events(), ["evicted NSE_EQ:1"]);
    assert!(rig.claim_in(0, equity(1)).is_err());
    let indicators = &rig.owner.indicators;
    assert!(indicators.claims.is_empty() && indicators.keys.is_empty());
}

#[test]
fn all_of_a_class_leave_and_come_back_in_one_go() {
    let mut rig = rig(2, few(), at("09T20:00:00"));
    for id in 1..=3 {
        rig.claim(equity(id));
    }
    rig.events();
    rig.slots_changed();
    // One of them has no room, and takes that of the one that came first.
    rig.go("10T09:00:00");
    assert_eq!(rig.wire(), [equity(2), equity(3)].into());
    assert_eq!(
        rig.events(),
        [
            "evicted NSE_EQ:1",
            "bound NSE_EQ:2",
            "bound NSE_EQ:3",
            "resumed NSE_EQ:2",
            "resumed NSE_EQ:3"
        ]
    );
    assert!(!rig.has_bars(equity(1)));
    assert!(rig.has_bars(equity(2)) && rig.has_bars(equity(3)));
    assert_eq!(rig.slots_changed(), 1);
    rig.go("10T15:30:05");
    assert!(rig.wire().is_empty());
    assert_eq!(
        rig.events(),
        [
            "suspended NSE_EQ:2",
            "suspended NSE_EQ:3",
            "closed nse_cash"
        ]
    );
    let indicators = &rig.owner.indicators;
    assert_eq!((indicators.claims.len(), indicators.keys.len()), (2, 2));
}

#[test]
fn a_contract_is_gone_with_its_last_session() {
    let mut rig = rig(8, few(), at("09T15:00:00"));
    rig.claim(future(9));
    rig.claim(equity(1));
    rig.events();
    rig.go("09T15:30:04");
    assert_eq!(rig.wire(), [equity(1), future(9)].into());
    rig.go("09T15:30:05");
    assert!(rig.wire().is_empty());
    let events = rig.events();
    assert!(events.contains(&"gone NSE_FNO:9".to_owned()), "{events:?}");
    assert!(
        events.contains(&"suspended NSE_EQ:1".to_owned()),
        "{events:?}"
    );
    assert!(!events.contains(&"gone NSE_EQ:1".to_owned()), "{events:?}");
    rig.claim(future(9));
    assert_eq!(
        rig.events(),
        ["suspended NSE_FNO:9", "gone NSE_FNO:9"],
        "too late"
    );
    rig.go("10T09:00:00");
    assert_eq!(rig.wire(), [equity(1)].into());
}

#[test]
fn a_gap_is_told_and_its_bars_are_incomplete() {
    let mut rig = rig(8, few(), at("09T10:00:00"));
    rig.claim(equity(1));
    rig.watch(0, equity(1));
    rig.go("09T10:00:01");
    rig.tick(equity(1), 100);
    rig.go("09T10:01:10");
    rig.tick(equity(1), 101);
    rig.events();
    let (conn, _) = rig.on_wire[&equity(1)];
    rig.go("09T10:01:30");
    rig.down(conn);
    rig.go("09T10:01:35");
    rig.up(conn, Epoch(2));
    rig.go("09T10:01:40");
    rig.tick(equity(1), 105);
    let (from, to) = (utc("09T10:01:10"), utc("09T10:01:40"));
    assert_eq!(rig.events(), [format!("gap NSE_EQ:1 {from} {to}")]);
    rig.go("09T10:02:20");
    rig.tick(equity(1), 106);
    rig.go("09T10:03:01");
    let bars = rig.collect().closed;
    let complete: Vec<(Utc, bool)> = bars
        .iter()
        .map(|(_, bar)| (bar.start, bar.complete))
        .collect();
    let minute = |text| utc(&format!("09T10:{text}:00"));
    assert_eq!(
        complete,
        [
            (minute("00"), false),
            (minute("01"), false),
            (minute("02"), true)
        ]
    );
}

#[test]
fn claims_follow_their_contracts_when_ids_change_places() {
    let mut rig = rig(8, few(), at("10T08:00:00"));
    rig.go("10T09:05:00");
    for id in [1, 2, 3] {
        rig.claim(equity(id));
        rig.watch(0, equity(id));
        rig.tick(equity(id), 100 * i32::try_from(id).unwrap());
    }
    rig.events();
    // AAA and BBB change places, CCC is not listed any more.
    let old = few();
    let new = master("2026-02-10", &[(2, "AAA"), (1, "BBB"), (4, "DDD")], &[]);
    assert_eq!(successor(&old, &new, equity(1)), Some(equity(2)));
    assert_eq!(successor(&old, &new, equity(3)), None);
    rig.swap(&new);
    assert_eq!(rig.wire(), [equity(1), equity(2)].into());
    assert_eq!(rig.holders(equity(2)), ["indicators of AAA"]);
    assert_eq!(rig.holders(equity(1)), ["indicators of BBB"]);
    let events = rig.events();
    assert_eq!(events.last().map(String::as_str), Some("master 1"));
    assert!(!events.iter().any(|event| event.starts_with("gone")));
    // No builder of the day before hears of them, whatever is under its id now.
    rig.tick(equity(1), 999);
    let batch = rig.collect();
    assert!(batch.closed.is_empty() && batch.forming.is_empty());
    rig.watch(1, equity(2));
    rig.go("10T09:15:01");
    rig.tick(equity(1), 201);
    rig.tick(equity(2), 101);
    let forming = rig.collect().forming;
    assert_eq!(forming.len(), 1);
    assert_eq!(forming[0].0, equity(2));
    assert_eq!(forming[0].1.close, Price::from_rupees(101));
    // A release that was under way means what the id meant when it was sent.
    rig.release(0, equity(1));
    assert_eq!(rig.wire(), [equity(1)].into());
    assert_eq!(rig.holders(equity(1)), ["indicators of BBB"]);
    assert!(!rig.has_bars(equity(2)) && rig.has_bars(equity(1)));
    rig.release(0, equity(3));
    rig.release(1, equity(2));
    assert_eq!(rig.wire(), [equity(1)].into());
    let stale = rig.claim_in(0, equity(4));
    assert!(matches!(stale, Err(Error::MasterChanged)));
    rig.release(1, equity(1));
    assert!(rig.wire().is_empty());
    let indicators = &rig.owner.indicators;
    assert!(indicators.claims.is_empty() && indicators.keys.is_empty());
}

#[test]
fn a_claim_made_today_is_not_what_its_id_was_yesterday() {
    let mut rig = rig(8, few(), at("10T09:05:00"));
    let new = master("2026-02-10", &[(2, "AAA"), (1, "BBB")], &[]);
    rig.swap(&new);
    rig.claim_in(1, equity(1)).unwrap();
    // Sent yesterday, for AAA.
    rig.release(0, equity(1));
    assert_eq!(rig.holders(equity(1)), ["indicators of BBB"]);
}
