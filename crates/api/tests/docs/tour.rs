//! Plays every call, and keeps what was said.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use strikewire_gateway::types::{InstrumentKey, Segment};
use tokio::io::DuplexStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::json::Json;
use crate::server::{ADMIN_KEY, Answer, Server, USER_KEY};

/// How long anything may take that should happen at once.
const SOON: Duration = Duration::from_secs(20);

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Nobody,
    User,
    Admin,
}

/// One question with its answer.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    /// The operation's id.
    pub(crate) operation: String,
    pub(crate) method: &'static str,
    /// With its query.
    pub(crate) path: String,
    pub(crate) who: Who,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Option<Json>,
    pub(crate) answer: Answer,
}

/// All of them, by name; where a call has several, the one named as the operation is its
/// example.
#[derive(Default)]
pub(crate) struct Tour {
    pub(crate) exchanges: BTreeMap<String, Exchange>,
    /// Messages of the stream, both ways, by name.
    pub(crate) messages: BTreeMap<String, Json>,
}

/// What is asked.
pub(crate) struct Ask {
    method: &'static str,
    path: String,
    who: Who,
    headers: Vec<(&'static str, String)>,
    /// JSON.
    body: Option<String>,
}

fn get(path: &str) -> Ask {
    Ask {
        method: "GET",
        path: path.to_owned(),
        who: Who::User,
        headers: Vec::new(),
        body: None,
    }
}

fn post(path: &str, body: &str) -> Ask {
    Ask {
        method: "POST",
        body: Some(body.to_owned()),
        ..get(path)
    }
}

impl Ask {
    fn by(self, who: Who) -> Self {
        Self { who, ..self }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// A call and the answer as it came, its volatile parts too.
async fn ask(server: &Server, ask: &Ask) -> Answer {
    let mut request = Request::builder().method(ask.method).uri(&ask.path);
    request = match ask.who {
        Who::Nobody => request,
        Who::User => request.header("authorization", format!("Bearer {USER_KEY}")),
        Who::Admin => request.header("authorization", format!("Bearer {ADMIN_KEY}")),
    };
    for (name, value) in &ask.headers {
        request = request.header(*name, value);
    }
    let body = match &ask.body {
        // A test of other media says so itself.
        Some(body) if ask.headers.iter().any(|(name, _)| *name == "content-type") => {
            Body::from(body.clone())
        }
        Some(body) => {
            request = request.header("content-type", "application/json");
            Body::from(body.clone())
        }
        None => Body::empty(),
    };
    server.ask(request.body(body).unwrap()).await
}

impl Tour {
    async fn note(&mut self, server: &Server, name: &str, operation: &str, asked: Ask) -> Answer {
        let answer = ask(server, &asked).await;
        let exchange = Exchange {
            operation: operation.to_owned(),
            method: asked.method,
            path: asked.path,
            who: asked.who,
            headers: asked.headers,
            body: asked.body.map(|body| Json::read(&body).masked()),
            answer: Answer {
                text: answer.text.clone().masked(),
                ..answer.clone()
            },
        };
        let before = self.exchanges.insert(name.to_owned(), exchange);
        assert!(before.is_none(), "{name} twice");
        answer
    }

    /// The example of a call.
    async fn call(&mut self, server: &Server, operation: &str, asked: Ask) -> Answer {
        self.note(server, operation, operation, asked).await
    }
}

/// Waits until an answer is as it should be; what is waited for comes by itself.
async fn until(server: &Server, asked: Ask, done: impl Fn(&Value) -> bool) {
    let start = Instant::now();
    while start.elapsed() < SOON {
        if done(&ask(server, &asked).await.body) {
            return;
        }
        // Not so often that the key is used up.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{}: it does not come", asked.path);
}

pub(crate) async fn play(server: Server) -> Tour {
    let mut tour = Tour::default();
    let (tour, server) = (&mut tour, &server);
    health(tour, server).await;
    watchlists(tour, server).await;
    reads(tour, server).await;
    problems(tour, server).await;
    indicators(tour, server).await;
    stream(tour, server).await;
    operators(tour, server).await;
    core::mem::take(tour)
}

async fn health(tour: &mut Tour, server: &Server) {
    let open = |path| get(path).by(Who::Nobody);
    tour.call(server, "healthz", open("/healthz")).await;
    until(server, open("/readyz"), |body| body["status"] == "ready").await;
    tour.call(server, "readyz", open("/readyz")).await;
    let metrics = get("/metrics").by(Who::Admin);
    tour.call(server, "metrics", metrics).await;
    for (id, path) in [
        ("openapi", "/openapi.json"),
        ("docs", "/docs"),
        ("docs_file", "/docs/start.js"),
    ] {
        tour.call(server, id, open(path)).await;
    }
}

async fn watchlists(tour: &mut Tour, server: &Server) {
    let search = "/api/v2/instruments/search?q=reliance%201440&limit=2";
    tour.call(server, "instruments_search", get(search)).await;
    let expiries = "/api/v2/instruments/NIFTY/expiries?exchange=NSE";
    tour.call(server, "instruments_expiries", get(expiries))
        .await;

    let add = r#"{"symbol": "NIFTY", "instrument_type": "INDEX_OPTION", "expiry": "10FEB2026", "width": 3}"#;
    let path = "/api/v2/watchlist/add";
    tour.call(server, "watchlist_add", post(path, add)).await;
    tour.note(server, "add_again", "watchlist_add", post(path, add))
        .await;
    let wider = r#"{"symbol": "NIFTY", "expiry": "10FEB2026", "width": 5}"#;
    tour.note(server, "conflict", "watchlist_add", post(path, wider))
        .await;
    let equity = r#"{"symbol": "RELIANCE", "instrument_type": "EQUITY"}"#;
    tour.note(server, "add_equity", "watchlist_add", post(path, equity))
        .await;

    let list = "/api/v2/watchlist/7";
    let listed = tour.call(server, "watchlist", get(list)).await;
    let tag = listed.header("etag").unwrap().to_owned();
    let again = get(list).with("if-none-match", &tag);
    tour.note(server, "not_modified", "watchlist", again).await;

    let subscribe = r#"{"symbol": "RELIANCE", "expiry": "24FEB2026", "width": 3}"#;
    let path = "/api/v2/option-chain/subscribe";
    tour.call(server, "chain_subscribe", post(path, subscribe))
        .await;
    let plan = r#"{"requests": [{"symbol": "NIFTY", "expiry": "17FEB2026", "width": 5, "underlying_ltp": 25512.4}]}"#;
    tour.call(server, "plan", post("/api/v2/plan", plan)).await;
}

async fn reads(tour: &mut Tour, server: &Server) {
    // Two underlyings and six contracts of each chain, all with a price.
    let active = || get("/api/v2/subscriptions/active?limit=1000");
    until(server, active(), |body| {
        let items = body["items"].as_array().unwrap();
        items.len() == 14 && items.iter().all(|item| item["state"] == "subscribed")
    })
    .await;
    let chain = "/api/v2/option-chain/NIFTY?expiry=10FEB2026&width=3";
    until(server, get(chain), |body| {
        body["quotes"]
            .as_object()
            .is_some_and(|quotes| quotes.len() == 6)
    })
    .await;
    tour.call(server, "option_chain", get(chain)).await;
    let quotes = "/api/v2/quotes?instruments=NIFTY,NSE_EQ:2885,NIFTY_17FEB2026_25500CE,NIFTYY";
    tour.call(server, "quotes", get(quotes)).await;
    tour.call(
        server,
        "subscriptions_status",
        get("/api/v2/subscriptions/status"),
    )
    .await;
    let first = get("/api/v2/subscriptions/active?symbol=NIFTY&limit=2");
    let page = tour.call(server, "subscriptions_active", first).await;
    let next = page.body["next_cursor"].as_str().unwrap();
    let next = format!("/api/v2/subscriptions/active?symbol=NIFTY&limit=2&cursor={next}");
    tour.note(server, "next_page", "subscriptions_active", get(&next))
        .await;
    let one = "/api/v2/subscriptions/NIFTY_10FEB2026_25500CE";
    tour.call(server, "subscription", get(one)).await;
    tour.note(
        server,
        "subscription_as_admin",
        "subscription",
        get(one).by(Who::Admin),
    )
    .await;
}

async fn problems(tour: &mut Tour, server: &Server) {
    let add = "/api/v2/watchlist/add";
    let check = [
        (
            "no_key",
            "subscriptions_status",
            get("/api/v2/subscriptions/status").by(Who::Nobody),
        ),
        ("another_user", "watchlist", get("/api/v2/watchlist/8")),
        ("no_admin", "audit", get("/api/v2/audit")),
        (
            "unknown_symbol",
            "watchlist_add",
            post(add, r#"{"symbol": "RELIANSE"}"#),
        ),
        (
            "unlisted_expiry",
            "watchlist_add",
            post(add, r#"{"symbol": "RELIANCE", "expiry": "25FEB2026"}"#),
        ),
        (
            "unknown_field",
            "watchlist_add",
            post(add, r#"{"symbol": "NIFTY", "widht": 3}"#),
        ),
        (
            "even_width",
            "watchlist_add",
            post(add, r#"{"symbol": "NIFTY", "width": 4}"#),
        ),
        (
            "bad_limit",
            "subscriptions_active",
            get("/api/v2/subscriptions/active?limit=5000"),
        ),
        (
            "not_json",
            "watchlist_add",
            post(add, r#""text""#).with("content-type", "text/plain"),
        ),
        (
            "not_subscribed",
            "subscription",
            get("/api/v2/subscriptions/NIFTY_17FEB2026_25000CE"),
        ),
        (
            "unknown_item",
            "watchlist_remove",
            post("/api/v2/watchlist/remove", r#"{"symbol": "TCS"}"#),
        ),
    ];
    for (name, operation, asked) in check {
        let answer = tour.note(server, name, operation, asked).await;
        assert!(answer.status.is_client_error(), "{name}: {}", answer.status);
    }
}

type Socket = WebSocketStream<DuplexStream>;

/// Opens a stream, with a key in its header or without.
async fn open(server: &Server, key: Option<&str>) -> Socket {
    let mut request = "ws://127.0.0.1/api/v2/stream"
        .into_client_request()
        .unwrap();
    if let Some(key) = key {
        let header = format!("Bearer {key}").parse().unwrap();
        request.headers_mut().insert("authorization", header);
    }
    let (socket, _) = client_async(request, server.connect()).await.unwrap();
    socket
}

/// The next message that is `wanted`, as it was written.
async fn hear(socket: &mut Socket, wanted: impl Fn(&Value) -> bool) -> Json {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => {
                let message = Json::read(&text);
                if wanted(&message.value()) {
                    return message;
                }
            }
            Some(Ok(_)) => {}
            other => panic!("the stream ends: {other:?}"),
        }
    }
}

impl Tour {
    async fn say(&mut self, socket: &mut Socket, name: &str, message: &str) {
        socket.send(Message::text(message)).await.unwrap();
        let message = Json::read(message).masked();
        self.messages.insert(format!("client_{name}"), message);
    }

    /// Keeps the next message that is `wanted`.
    async fn hear(
        &mut self,
        socket: &mut Socket,
        name: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let message = hear(socket, wanted).await;
        let heard = message.value();
        self.messages
            .insert(format!("server_{name}"), message.masked());
        heard
    }
}

async fn stream(tour: &mut Tour, server: &Server) {
    let has_id = |id: &str| {
        let id = Value::from(id);
        move |message: &Value| message["id"] == id
    };
    let is = |kind: &str| {
        let kind = Value::from(kind);
        move |message: &Value| message["type"] == kind
    };
    let socket = &mut open(server, Some(USER_KEY)).await;
    let ticks = r#"{"action": "subscribe", "channel": "ticks", "id": "t1", "instruments": ["NIFTY", "RELIANCE_24FEB_1440CE"], "conflate_ms": 100}"#;
    tour.say(socket, "ticks", ticks).await;
    tour.hear(socket, "ack_ticks", has_id("t1")).await;
    tour.hear(socket, "ticks", is("ticks")).await;

    let chain = r#"{"action": "subscribe", "channel": "chain", "id": "c1", "symbol": "NIFTY", "expiry": "10FEB2026", "width": 3, "conflate_ms": 100}"#;
    tour.say(socket, "chain", chain).await;
    tour.hear(socket, "ack_chain", has_id("c1")).await;
    tour.hear(socket, "snapshot", is("snapshot")).await;
    // The call on 25500.
    let call = InstrumentKey::new(Segment::NseFno, 35_021);
    server.broker.tick(call, 101.35);
    let delta = tour.hear(socket, "delta", is("delta")).await;
    let (sub, epoch, seq) = (&delta["sub"], &delta["epoch"], &delta["seq"]);

    let login = ask(server, &post("/api/v2/auth/login", r#"{}"#)).await;
    let session = login.body["session_id"].as_str().unwrap();
    let held = |id: &str, action: &str, indicators: &str| {
        format!(
            r#"{{{action}, "id": "{id}", "session_id": "{session}", "subscriptions": [{indicators}]}}"#
        )
    };
    let rsi = r#"{"symbol": "NIFTY", "timeframe": "5min", "indicator": "RSI_14"}"#;
    let both = format!(
        r#"{rsi}, {{"symbol": "NIFTY", "timeframe": "5min", "indicator": "MACD_12_26_9"}}"#
    );
    let subscribe = held(
        "i1",
        r#""action": "subscribe", "channel": "indicators""#,
        &both,
    );
    tour.say(socket, "indicators", &subscribe).await;
    tour.hear(socket, "ack_indicators", has_id("i1")).await;
    let is_value = |id: &'static str| {
        move |message: &Value| {
            let is_over = message["final"] == true && message["warm"] == true;
            message["indicator_id"] == id && is_over
        }
    };
    tour.hear(socket, "indicator", is_value("RSI_14")).await;
    tour.say(socket, "ping", r#"{"action": "ping", "id": "p1"}"#)
        .await;
    tour.hear(socket, "pong", has_id("p1")).await;
    let ping = held("p2", r#""action": "ping""#, rsi);
    tour.say(socket, "ping_these", &ping).await;
    tour.hear(socket, "pong_these", has_id("p2")).await;
    let wrong = r#"{"action": "subscribe", "channel": "chain", "id": "c2", "symbol": "NIFTY", "expiry": "11FEB2026"}"#;
    tour.say(socket, "wrong", wrong).await;
    tour.hear(socket, "error", has_id("c2")).await;
    let unsubscribe = format!(r#"{{"action": "unsubscribe", "id": "u1", "sub": {sub}}}"#);
    tour.say(socket, "unsubscribe", &unsubscribe).await;
    tour.hear(socket, "ack_unsubscribe", has_id("u1")).await;

    let socket = &mut open(server, None).await;
    let auth = format!(r#"{{"action": "auth", "id": "a1", "key": "{USER_KEY}"}}"#);
    tour.say(socket, "auth", &auth).await;
    tour.hear(socket, "ack_auth", has_id("a1")).await;
    let resume = format!(
        r#"{{"action": "resume", "channel": "chain", "id": "r1", "symbol": "NIFTY", "expiry": "10FEB2026", "width": 3, "conflate_ms": 100, "epoch": {epoch}, "seq": {seq}}}"#
    );
    tour.say(socket, "resume", &resume).await;
    let resumed = tour.hear(socket, "ack_resume", has_id("r1")).await;
    assert_eq!(resumed["resumed"], true);
}

/// What a session does from its login to its logout.
async fn indicators(tour: &mut Tour, server: &Server) {
    let catalog = "/api/v2/indicators/catalog";
    tour.call(server, "indicators_catalog", get(catalog)).await;
    let login = post("/api/v2/auth/login", r#"{}"#);
    let session = tour.call(server, "login", login).await;
    let id = session.body["session_id"].as_str().unwrap().to_owned();
    let of = |indicators: &str| {
        format!(
            r#"{{"session_id": "{id}", "symbol": "NIFTY 50", "timeframe": "5min", "indicators": [{indicators}]}}"#
        )
    };
    let path = "/api/v2/indicators/subscribe";
    let both = of(r#"{"indicator_id": "RSI_14"}, {"indicator_id": "bb"}"#);
    tour.call(server, "indicators_subscribe", post(path, &both))
        .await;
    let wrong = of(r#"{"indicator_id": "RSY_14"}"#);
    tour.note(
        server,
        "unknown_indicator",
        "indicators_subscribe",
        post(path, &wrong),
    )
    .await;
    let beat = format!(
        r#"{{"session_id": "{id}", "subscriptions": [{{"symbol": "NIFTY", "timeframe": "5min", "indicator": "RSI_14"}}, {{"symbol": "NIFTY", "timeframe": "5min", "indicator": "EMA_20"}}]}}"#
    );
    let heartbeat = post("/api/v2/indicators/heartbeat", &beat);
    tour.call(server, "indicators_heartbeat", heartbeat).await;
    let active = get("/api/v2/indicators/active?symbol=NIFTY");
    tour.call(server, "indicators_active", active).await;
    let totals = get("/api/v2/indicators/metrics");
    tour.call(server, "indicators_metrics", totals).await;
    let value = |indicator: &str| get(&format!("/api/v2/indicators/NIFTY/5min/{indicator}"));
    for indicator in ["RSI_14", "BB_20_2"] {
        until(server, value(indicator), |body| body["warm"] == true).await;
    }
    tour.call(server, "indicator", value("RSI_14")).await;
    tour.note(server, "indicator_outputs", "indicator", value("BB_20_2"))
        .await;
    let nobody = value("EMA_20");
    tour.note(server, "not_computed", "indicator", nobody).await;
    let path = "/api/v2/indicators/unsubscribe";
    let unsubscribe = post(path, &of(r#"{"indicator_id": "BB_20_2"}"#));
    tour.call(server, "indicators_unsubscribe", unsubscribe)
        .await;
    let logout = format!(r#"{{"session_id": "{id}"}}"#);
    tour.call(server, "logout", post("/api/v2/auth/logout", &logout))
        .await;
}

async fn operators(tour: &mut Tour, server: &Server) {
    let by_admin = |asked: Ask| asked.by(Who::Admin);
    let admin = |path: &str| format!("/api/v2/admin/{path}");
    let empty = |path: &str| by_admin(post(&admin(path), r#"{}"#));
    tour.call(
        server,
        "admin_ws_status",
        by_admin(get(&admin("ws-status"))),
    )
    .await;
    tour.call(server, "admin_rebalance_ws", empty("rebalance-ws"))
        .await;
    let expiry = r#"{"symbol": "NIFTY", "expiry": "10FEB2026"}"#;
    let invalidate = by_admin(post(&admin("invalidate-expiry"), expiry));
    tour.call(server, "admin_invalidate_expiry", invalidate)
        .await;
    tour.call(server, "admin_reload_config", empty("reload-config"))
        .await;
    let audit = "/api/v2/audit?action=SUBSCRIBE&limit=2";
    tour.call(server, "audit", by_admin(get(audit))).await;
    let then = "/api/v2/audit?as_of=2026-02-09T10:01:30%2B05:30";
    tour.note(server, "audit_as_of", "audit", by_admin(get(then)))
        .await;

    let remove = r#"{"symbol": "NIFTY", "expiry": "10FEB2026"}"#;
    let remove = post("/api/v2/watchlist/remove", remove);
    tour.call(server, "watchlist_remove", remove).await;
    let all = empty("unsubscribe-all-tier-a");
    tour.call(server, "admin_unsubscribe_all_tier_a", all).await;
}
