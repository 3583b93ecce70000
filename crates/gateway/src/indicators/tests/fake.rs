//! A node with an engine that only takes notes, and a shared store that can be troubled.

use core::time::Duration;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rand::Rng;
use rand::SeedableRng;
use rand_pcg::Pcg64;
use strikewire_calendar::Calendar;
use strikewire_fanout::ValueId;
use strikewire_leases::{
    Error as LeaseError, Gone, Health, LeaseKey, Leased, Leases, MemoryLeases, Record, Released,
    Settings, Subscriber, Totals,
};
use strikewire_registry::{LoadOptions, Registry};
use strikewire_types::{Clock, Now};
use tokio::sync::{mpsc, watch};

use crate::indicators::make::{Setting, assemble};
use crate::indicators::service::{Lost, Service};
use crate::indicators::store::{Connected, Store};
use crate::indicators::{
    Compute, ComputeSpec, ComputeState, IndicatorConfig, IndicatorWant, Indicators, Latest, Sink,
};
use crate::master::Master;

pub(super) const IDLE: Duration = Duration::from_secs(300);
pub(super) const SWEEP: Duration = Duration::from_secs(60);

const MASTER: &str = "\
SEM_EXM_EXCH_ID,SEM_SEGMENT,SEM_SMST_SECURITY_ID,SEM_INSTRUMENT_NAME,SEM_EXPIRY_CODE,SEM_TRADING_SYMBOL,SEM_LOT_UNITS,SEM_CUSTOM_SYMBOL,SEM_EXPIRY_DATE,SEM_STRIKE_PRICE,SEM_OPTION_TYPE,SEM_TICK_SIZE,SEM_EXPIRY_FLAG,SEM_EXCH_INSTRUMENT_TYPE,SEM_SERIES,SM_SYMBOL_NAME
NSE,I,13,INDEX,0,NIFTY,1.0,Nifty 50,0001-01-01,,XX,0.0500,,INDEX,X,NIFTY
NSE,D,59182,FUTIDX,0,NIFTY-Feb2026-FUT,65.0,NIFTY FEB FUT,2026-02-24 14:30:00,-0.01000,XX,10.0000,M,FUT,,
NSE,E,2885,EQUITY,0,RELIANCE,1.0,Reliance Industries,,,,10.0000,NA,ES,EQ,RELIANCE INDUSTRIES LTD
BSE,E,500325,EQUITY,0,RELIANCE,1.0,Reliance Industries,,,,5.0000,NA,ES,A,RELIANCE INDUSTRIES LTD.
NSE,D,52301,OPTSTK,0,RELIANCE-Feb2026-1440-CE,500.0,RELIANCE 24 FEB 1440 CALL,2026-02-24 14:30:00,1440.00000,CE,5.0000,M,OP,,
MCX,M,467013,FUTCOM,0,CRUDEOIL-19Feb2026-FUT,1.0,CRUDEOIL FEB FUT,2026-02-19 00:00:00,0.00000,XX,100.0000,M,FUTCOM,2,CRUDEOIL
MCX,M,472789,FUTCOM,0,CRUDEOIL-19Mar2026-FUT,1.0,CRUDEOIL MAR FUT,2026-03-19 00:00:00,0.00000,XX,100.0000,M,FUTCOM,2,CRUDEOIL
NSE,C,1065,FUTCUR,0,USDINR-Feb2026-FUT,1.0,USDINR FEB FUT,2026-02-25 14:30:00,-0.01000,XX,0.2500,M,FUT,,
";

pub(super) fn registry() -> Arc<Registry> {
    let options = LoadOptions::new("2026-02-09".parse().unwrap());
    Arc::new(Registry::from_reader(MASTER.as_bytes(), &options).unwrap())
}

/// Notes what is wanted.
#[derive(Debug, Default)]
pub(super) struct Engine {
    wanted: Mutex<HashMap<LeaseKey, bool>>,
    ids: Mutex<HashMap<LeaseKey, u64>>,
    latest: Mutex<HashMap<LeaseKey, Arc<Latest>>>,
}

impl Engine {
    pub(super) fn wanted(&self) -> BTreeSet<LeaseKey> {
        self.wanted.lock().keys().cloned().collect()
    }

    /// Whether it is wanted, and then whether it is streamed.
    pub(super) fn is_streamed(&self, key: &LeaseKey) -> Option<bool> {
        self.wanted.lock().get(key).copied()
    }

    pub(super) fn find(&self, latest: Latest) {
        let key = latest.key.clone();
        self.latest.lock().insert(key, Arc::new(latest));
    }
}

struct Shared(Arc<Engine>);

impl Compute for Shared {
    fn want(&self, spec: ComputeSpec) {
        self.0.wanted.lock().insert(spec.key, spec.streamed);
    }

    fn unwant(&self, key: &LeaseKey) {
        let was = self.0.wanted.lock().remove(key);
        assert!(was.is_some(), "{key} was not wanted");
    }

    fn latest(&self, key: &LeaseKey) -> Option<Arc<Latest>> {
        self.0.latest.lock().get(key).cloned()
    }

    fn value_id(&self, key: &LeaseKey) -> ValueId {
        let mut ids = self.0.ids.lock();
        let next = ids.len() as u64;
        ValueId(*ids.entry(key.clone()).or_insert(next))
    }

    fn state(&self, key: &LeaseKey) -> Option<ComputeState> {
        self.is_wanted(key).then_some(ComputeState::Warming)
    }
}

impl Shared {
    fn is_wanted(&self, key: &LeaseKey) -> bool {
        self.0.wanted.lock().contains_key(key)
    }
}

/// A server that several nodes share.
#[derive(Debug)]
pub(super) struct Server {
    settings: Settings,
    leases: Mutex<Arc<MemoryLeases>>,
    /// How often it forgot everything.
    forgot: AtomicU64,
}

impl Server {
    pub(super) fn new() -> Arc<Self> {
        let settings = Settings::default();
        Arc::new(Self {
            settings,
            leases: Mutex::new(Arc::new(MemoryLeases::new(settings))),
            forgot: AtomicU64::new(0),
        })
    }

    pub(super) fn leases(&self) -> Arc<MemoryLeases> {
        Arc::clone(&self.leases.lock())
    }

    /// It has forgotten everything.
    pub(super) fn forget(&self) {
        *self.leases.lock() = Arc::new(MemoryLeases::new(self.settings));
        self.forgot.fetch_add(1, Ordering::Relaxed);
    }

    /// Every (subscriber, key) of its records.
    pub(super) async fn all(&self) -> BTreeSet<(Subscriber, LeaseKey)> {
        all(&self.leases()).await
    }
}

pub(super) async fn all(leases: &MemoryLeases) -> BTreeSet<(Subscriber, LeaseKey)> {
    let mut pairs = BTreeSet::new();
    for (key, record) in leases.active(None, None).await.unwrap() {
        assert_eq!(record.ref_count as usize, record.subscribers.len(), "{key}");
        for who in record.subscribers.keys() {
            pairs.insert((who.parse().unwrap(), key.clone()));
        }
    }
    pairs
}

/// A node's connection to the server.
#[derive(Debug)]
pub(super) struct Link {
    server: Arc<Server>,
    health: watch::Sender<Health>,
    trouble: Mutex<Trouble>,
}

#[derive(Debug)]
struct Trouble {
    rng: Pcg64,
    /// The longest that a call takes.
    slow: Duration,
    /// How many calls in a hundred fail before they are done, and how many after.
    fails: u32,
    loses: u32,
    calls: u64,
}

impl Link {
    fn new(server: Arc<Server>, seed: u64) -> Arc<Self> {
        let up = Health {
            up: true,
            generation: 1,
            data: server.forgot.load(Ordering::Relaxed),
        };
        Arc::new(Self {
            server,
            health: watch::channel(up).0,
            trouble: Mutex::new(Trouble {
                rng: Pcg64::seed_from_u64(seed),
                slow: Duration::ZERO,
                fails: 0,
                loses: 0,
                calls: 0,
            }),
        })
    }

    pub(super) fn trouble(&self, slow: Duration, fails: u32, loses: u32) {
        let mut trouble = self.trouble.lock();
        (trouble.slow, trouble.fails, trouble.loses) = (slow, fails, loses);
    }

    pub(super) fn down(&self) {
        self.health.send_modify(|health| health.up = false);
    }

    pub(super) fn up(&self) {
        self.health.send_modify(|health| {
            health.up = true;
            health.generation += 1;
            health.data = self.server.forgot.load(Ordering::Relaxed);
        });
    }

    pub(super) fn is_up(&self) -> bool {
        self.health.borrow().up
    }

    pub(super) fn calls(&self) -> u64 {
        self.trouble.lock().calls
    }

    async fn call<T, F>(&self, call: impl FnOnce(Arc<MemoryLeases>) -> F) -> Result<T, LeaseError>
    where
        F: Future<Output = Result<T, LeaseError>>,
    {
        let (delay, fails, loses) = {
            let mut trouble = self.trouble.lock();
            let slow = u64::try_from(trouble.slow.as_millis()).unwrap();
            let (fails, loses) = (trouble.fails, trouble.loses);
            let rng = &mut trouble.rng;
            let delay = Duration::from_millis(rng.random_range(0..=slow));
            let dice = rng.random_range(0..100);
            trouble.calls += 1;
            (delay, dice < fails, (fails..fails + loses).contains(&dice))
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay / 2).await;
        }
        if !self.is_up() || fails {
            return Err(away("not reached"));
        }
        // A generation that changes on the way is that of another connection.
        let health = *self.health.borrow();
        let answer = call(self.server.leases()).await;
        if !delay.is_zero() {
            tokio::time::sleep(delay / 2).await;
        }
        if loses || *self.health.borrow() != health {
            return Err(away("the reply was lost"));
        }
        answer
    }
}

fn away(reason: &str) -> LeaseError {
    LeaseError::Unavailable {
        server: "a fake".into(),
        reason: reason.into(),
    }
}

impl Leases for Link {
    async fn subscribe(
        &self,
        now: Now,
        who: &Subscriber,
        websocket: Option<&str>,
        keys: &[LeaseKey],
    ) -> Result<Vec<Leased>, LeaseError> {
        self.call(|it| async move { it.subscribe(now, who, websocket, keys).await })
            .await
    }

    async fn unsubscribe(
        &self,
        who: &Subscriber,
        keys: &[LeaseKey],
    ) -> Result<Vec<Released>, LeaseError> {
        self.call(|it| async move { it.unsubscribe(who, keys).await })
            .await
    }

    async fn leave(
        &self,
        who: &Subscriber,
        websocket: &str,
        keys: &[LeaseKey],
    ) -> Result<Vec<Released>, LeaseError> {
        self.call(|it| async move { it.leave(who, websocket, keys).await })
            .await
    }

    async fn heartbeat(
        &self,
        now: Now,
        who: &Subscriber,
        keys: &[LeaseKey],
    ) -> Result<Vec<bool>, LeaseError> {
        self.call(|it| async move { it.heartbeat(now, who, keys).await })
            .await
    }

    async fn release(
        &self,
        now: Now,
        session: &str,
        user: Option<u64>,
    ) -> Result<Vec<Gone>, LeaseError> {
        self.call(|it| async move { it.release(now, session, user).await })
            .await
    }

    async fn sweep(&self, now: Now) -> Result<Vec<Gone>, LeaseError> {
        self.call(|it| async move { it.sweep(now).await }).await
    }

    async fn alive(&self, pairs: &[(Subscriber, LeaseKey)]) -> Result<Vec<bool>, LeaseError> {
        self.call(|it| async move { it.alive(pairs).await }).await
    }

    async fn record(&self, key: &LeaseKey) -> Result<Option<Record>, LeaseError> {
        self.call(|it| async move { it.record(key).await }).await
    }

    async fn active(
        &self,
        symbol: Option<&str>,
        timeframe: Option<&str>,
    ) -> Result<Vec<(LeaseKey, Record)>, LeaseError> {
        self.call(|it| async move { it.active(symbol, timeframe).await })
            .await
    }

    async fn totals(&self) -> Result<Totals, LeaseError> {
        self.call(|it| async move { it.totals().await }).await
    }

    async fn put_values(
        &self,
        now: Now,
        values: &[(LeaseKey, String, Duration)],
    ) -> Result<(), LeaseError> {
        self.call(|it| async move { it.put_values(now, values).await })
            .await
    }

    async fn value(&self, now: Now, key: &LeaseKey) -> Result<Option<String>, LeaseError> {
        self.call(|it| async move { it.value(now, key).await })
            .await
    }

    async fn renew_values(
        &self,
        now: Now,
        keys: &[(LeaseKey, Duration)],
    ) -> Result<(), LeaseError> {
        self.call(|it| async move { it.renew_values(now, keys).await })
            .await
    }

    async fn drop_values(&self, keys: &[LeaseKey]) -> Result<(), LeaseError> {
        self.call(|it| async move { it.drop_values(keys).await })
            .await
    }
}

/// A node, with its task running.
pub(super) struct Node {
    pub(super) indicators: Indicators,
    pub(super) service: Arc<Service>,
    pub(super) engine: Arc<Engine>,
    pub(super) sink: Arc<dyn Sink>,
    /// Its connection to the shared store, where it has one.
    pub(super) link: Option<Arc<Link>>,
    lost: mpsc::UnboundedReceiver<Lost>,
    task: tokio::task::JoinHandle<()>,
}

impl Node {
    /// One with its own memory alone.
    pub(super) fn alone() -> Self {
        Self::made(IndicatorConfig::default(), None, false, Clock::system())
    }

    pub(super) fn on(server: &Arc<Server>, seed: u64) -> Self {
        let server = Some((Arc::clone(server), seed));
        Self::made(IndicatorConfig::default(), server, false, Clock::system())
    }

    pub(super) fn made(
        config: IndicatorConfig,
        server: Option<(Arc<Server>, u64)>,
        is_mock: bool,
        clock: Clock,
    ) -> Self {
        let engine = Arc::new(Engine::default());
        let link = server.map(|(server, seed)| Link::new(server, seed));
        let store = link.clone().map(|link| -> Box<dyn Store> {
            let health = link.health.subscribe();
            Box::new(Connected::new(link, health))
        });
        let (tell, lost) = mpsc::unbounded_channel();
        let service = Service::new(
            &config,
            Settings::default(),
            clock,
            Box::new(Shared(Arc::clone(&engine))),
            store,
            Box::new(move |lost| {
                let _ = tell.send(lost);
            }),
        );
        let setting = Setting {
            master: Master::first(registry()),
            calendar: Arc::new(Calendar::builtin()),
            is_mock,
            sweep: config.sweep,
        };
        let (indicators, sink, task) = assemble(service, setting);
        let service = indicators.service();
        Self {
            indicators,
            service,
            engine,
            sink,
            link,
            lost,
            task: tokio::spawn(task),
        }
    }

    pub(super) fn link(&self) -> &Link {
        self.link.as_deref().unwrap()
    }

    /// It is no more: nothing of it is told to anybody.
    pub(super) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }

    /// What sockets were told since somebody asked: socket, key, why.
    pub(super) fn lost(&mut self) -> Vec<(String, String, &'static str)> {
        let mut all = Vec::new();
        while let Ok(lost) = self.lost.try_recv() {
            for key in lost.keys {
                all.push((lost.socket.to_string(), name(&key), lost.detail));
            }
        }
        all
    }

    /// Every (subscriber, key) that is held here.
    pub(super) fn held(&self) -> BTreeSet<(Subscriber, LeaseKey)> {
        self.service.book.lock().holders.all()
    }

    /// What is computed, what the mirror has and what is held are one, and who holds nothing
    /// has left nothing.
    pub(super) async fn check(&self) {
        let held = self.held();
        assert_eq!(all(&self.service.mirror).await, held);
        let keys: BTreeSet<LeaseKey> = held.iter().map(|(_, key)| key.clone()).collect();
        assert_eq!(self.engine.wanted(), keys);
    }

    /// Nothing is left of anybody.
    pub(super) fn is_clean(&self) -> bool {
        let book = self.service.book.lock();
        book.holders.entries() == 0
            && book.ledger.entries() == 0
            && self.service.mirror.is_empty()
            && self.engine.wanted().is_empty()
    }
}

pub(super) fn who(user: u64, session: &str) -> Subscriber {
    Subscriber::new(user, session).unwrap()
}

/// `NIFTY 5min SMA_14` and the like.
pub(super) fn want(text: &str) -> IndicatorWant {
    let mut words = text.rsplitn(3, ' ');
    let indicator = words.next().unwrap().to_owned();
    let timeframe = words.next().unwrap().to_owned();
    IndicatorWant {
        symbol: words.next().unwrap().to_owned(),
        timeframe,
        indicator,
    }
}

/// Back from a key.
pub(super) fn name(key: &LeaseKey) -> String {
    format!(
        "{} {} {}",
        key.symbol(),
        key.timeframe(),
        key.indicator_id()
    )
}

pub(super) fn key(text: &str) -> LeaseKey {
    let want = want(text);
    LeaseKey::new(&want.symbol, &want.timeframe, &want.indicator)
}

/// Lets everything that can be done now be done, and a little time pass.
pub(super) async fn settled() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}
