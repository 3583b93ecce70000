//! A server that is always the same: its clock, its listing, its broker and its keys.

use core::future::Future;
use std::fmt::Write;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use serde_json::Value;
use strikewire_api::{Access, Api, Control, Metrics, Reloaded, Setup, router};
use strikewire_gateway::calendar::Calendar;
use strikewire_gateway::registry::{LoadOptions, Registry};
use strikewire_gateway::store::{
    Action, AuditRecord, KeyHash, KeyRecord, Options, Reader, Role, Store,
};
use strikewire_gateway::types::{Clock, ClockSpec, Utc};
use strikewire_gateway::{Config, Gateway, MemoryJournal, Parts, build};
use tokio::io::DuplexStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::broker::{Broker, Candles, broker};
use crate::json::Json;

pub(crate) const CLOCK: &str = "2026-02-09T10:00:00+05:30";

/// Keys as they look; nobody has them.
pub(crate) const USER_KEY: &str = "sw_the-key-of-user-7";
pub(crate) const ADMIN_KEY: &str = "sw_the-key-of-an-admin";

/// An index with options of two expiries, an equity on two exchanges with options on one.
fn registry() -> Arc<Registry> {
    let mut text = "\
SEM_EXM_EXCH_ID,SEM_SEGMENT,SEM_SMST_SECURITY_ID,SEM_INSTRUMENT_NAME,SEM_EXPIRY_CODE,SEM_TRADING_SYMBOL,SEM_LOT_UNITS,SEM_CUSTOM_SYMBOL,SEM_EXPIRY_DATE,SEM_STRIKE_PRICE,SEM_OPTION_TYPE,SEM_TICK_SIZE,SEM_EXPIRY_FLAG,SEM_EXCH_INSTRUMENT_TYPE,SEM_SERIES,SM_SYMBOL_NAME
NSE,I,13,INDEX,0,NIFTY,1.0,Nifty 50,0001-01-01,,XX,0.0500,,INDEX,X,NIFTY
NSE,E,2885,EQUITY,0,RELIANCE,1.0,Reliance Industries,,,,10.0000,NA,ES,EQ,RELIANCE INDUSTRIES LTD
BSE,E,500325,EQUITY,0,RELIANCE,1.0,Reliance Industries,,,,5.0000,NA,ES,A,RELIANCE INDUSTRIES LTD.
"
    .to_owned();
    let mut id = 35_000;
    for (kind, symbol, expiry, first, step, lot) in [
        ("OPTIDX", "NIFTY", "2026-02-10", 25_000, 50, 65),
        ("OPTIDX", "NIFTY", "2026-02-17", 25_000, 50, 65),
        ("OPTSTK", "RELIANCE", "2026-02-24", 1_300, 10, 500),
    ] {
        for strike in (first..).step_by(step).take(21) {
            for leg in ["CE", "PE"] {
                id += 1;
                writeln!(
                    text,
                    "NSE,D,{id},{kind},0,{symbol}-Feb2026-{strike}-{leg},{lot}.0,,{expiry} \
                     14:30:00,{strike},{leg},5.0000,M,OP,,"
                )
                .unwrap();
            }
        }
    }
    let options = LoadOptions::new("2026-02-09".parse().unwrap());
    Arc::new(Registry::from_reader(text.as_bytes(), &options).unwrap())
}

/// Minute by minute from ten o'clock: three contracts come, the second goes again.
async fn audited(folder: &std::path::Path) -> Reader {
    let url = format!("sqlite:{}", folder.join("strikewire.db").display());
    let store = Store::open(&Options::new(url.parse().unwrap()))
        .await
        .unwrap();
    let reader = store.reader();
    let (outcomes, _owner) = unbounded_channel();
    let (mut recorder, writer) = store.start(outcomes);
    for (minute, (action, token)) in [
        (Action::Subscribe, "NIFTY_10FEB2026_25500CE"),
        (Action::Subscribe, "NIFTY_10FEB2026_25500PE"),
        (Action::Subscribe, "RELIANCE_24FEB2026_1440CE"),
        (Action::Unsubscribe, "NIFTY_10FEB2026_25500PE"),
    ]
    .into_iter()
    .enumerate()
    {
        recorder.audit(AuditRecord {
            action,
            token: token.into(),
            reason: "asked for".into(),
            owner: "watchlist of user 7".into(),
            at: Utc::from_nanos((1_770_611_400 + 60 * minute as i64) * 1_000_000_000),
        });
    }
    drop(recorder);
    writer.run().await;
    reader
}

/// A configuration file that somebody has changed.
#[derive(Debug)]
struct Changed;

impl Control for Changed {
    fn reload(&self) -> Result<Reloaded, String> {
        Ok(Reloaded {
            changed: vec!["stream.max_clients".into()],
            needs_restart: vec!["listen".into()],
        })
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(String, String)>,
    /// A text that is no JSON is a JSON text here.
    pub(crate) body: Value,
    /// The same as it was written.
    pub(crate) text: Json,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// The server; asked without a socket.
#[derive(Clone)]
pub(crate) struct Server {
    router: axum::Router,
    pub(crate) broker: Broker,
    streams: UnboundedSender<DuplexStream>,
}

impl Server {
    pub(crate) async fn ask(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 1 << 24).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let named = parts.headers.iter();
        Answer {
            status: parts.status,
            headers: named
                .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                .collect(),
            text: Json::read(&text),
            body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
        }
    }

    /// A connection whose other end the server has accepted.
    pub(crate) fn connect(&self) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        self.streams.send(theirs).unwrap();
        ours
    }
}

struct Listener(UnboundedReceiver<DuplexStream>);

impl axum::serve::Listener for Listener {
    type Io = DuplexStream;
    type Addr = ();

    async fn accept(&mut self) -> (DuplexStream, ()) {
        match self.0.recv().await {
            Some(stream) => (stream, ()),
            None => core::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Runs a test against a server.
pub(crate) async fn with_server<F: Future<Output = ()>>(test: impl FnOnce(Server) -> F) {
    let folder = tempfile::tempdir().unwrap();
    let spec: ClockSpec = CLOCK.parse().unwrap();
    let clock = Clock::simulated(spec);
    let (feed, broker) = broker(clock.now().utc);
    let Parts {
        gateway,
        feed,
        owner,
        hub,
        desk,
        indicators,
    } = build(strikewire_gateway::Setup {
        config: Config {
            tier_b: Vec::new(),
            ..Config::default()
        },
        registry: registry(),
        clock,
        calendar: Calendar::builtin(),
        feed,
        reference: Candles,
        journal: MemoryJournal::new,
        recovered: Default::default(),
        audit: Some(audited(folder.path()).await),
        leases: Default::default(),
    })
    .unwrap();
    let access = Access::default();
    let key = |id, key: &str, user, role| KeyRecord {
        id,
        hash: KeyHash::of(key),
        user,
        role,
        label: None,
        created_at: Utc::default(),
        revoked_at: None,
    };
    access.set_keys(vec![
        key(1, USER_KEY, 7, Role::User),
        key(2, ADMIN_KEY, 1, Role::Admin),
    ]);
    let stop = CancellationToken::new();
    let router = router(Api::new(Setup {
        gateway: gateway.clone(),
        metrics: Metrics::new(|| {
            "# TYPE strikewire_subscriptions gauge\nstrikewire_subscriptions{tier=\"a\"} 17\n"
                .into()
        }),
        notes: Vec::new(),
        stop: stop.clone(),
        run: 0x5f3a_9c01,
        access: Arc::new(access),
        settings: Arc::default(),
        control: Some(Arc::new(Changed)),
    }));
    let (streams, accepted) = unbounded_channel();
    let server = Server {
        router: router.clone(),
        broker,
        streams,
    };
    LocalSet::new()
        .run_until(async {
            let feed = tokio::task::spawn_local(feed());
            let owner = tokio::task::spawn_local(owner);
            let hub = tokio::task::spawn_local(hub);
            let desk = tokio::task::spawn_local(desk);
            let indicators = tokio::task::spawn_local(indicators);
            let stopped = stop.clone();
            let served = tokio::task::spawn_local(async move {
                axum::serve(Listener(accepted), router)
                    .with_graceful_shutdown(stopped.cancelled_owned())
                    .await
                    .unwrap();
            });
            test(server).await;
            stop.cancel();
            served.await.unwrap();
            ended(gateway, owner).await;
            feed.await.unwrap().unwrap();
            hub.await.unwrap();
            desk.await.unwrap();
            indicators.await.unwrap();
        })
        .await;
}

async fn ended(gateway: Gateway, owner: tokio::task::JoinHandle<()>) {
    gateway.stop().await;
    owner.await.unwrap();
}
