//! Indicators by the stream: a whole server with the stand-in inside, on a clock on which a
//! minute passes in a second.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use strikewire_dhan_sim::SimHandle;
use strikewire_types::{Clock, InstrumentKey, Price, Segment};
use strikewired::{Args, Config, Server};
use tempfile::TempDir;

use crate::harness::{Rest, master};
use crate::socket::Socket;

const NIFTY: InstrumentKey = InstrumentKey::new(Segment::IdxI, 13);
/// A lease that lasts as long as a test, and one that a test can wait for.
const LONG: u32 = 86_400;
const SHORT: u32 = 600;
/// On a Monday.
const FAST: &str = "2026-02-09T10:00:00+05:30@60";

struct World {
    rest: Rest,
    standin: SimHandle,
    server: Server,
    _data: TempDir,
}

impl World {
    /// With leases that last `ttl` seconds without a sign of life.
    async fn start(ttl: u32, toml: &str) -> Self {
        let data = TempDir::new().expect("a temporary directory");
        let path = data.path().join("strikewire.toml");
        let text = format!(
            "tier_b = []\nlisten = '127.0.0.1:0'\n[sim]\nvolatility = 0.0\n\
             [indicators]\nttl_s = {ttl}\n{toml}"
        );
        std::fs::write(&path, text).expect("the configuration");
        let spec = FAST.parse().expect("a clock");
        let config = Config::load(&Args {
            config: Some(path),
            data_dir: Some(data.path().join("data")),
            instruments: Some(master().path.clone()),
            clock: Some(spec),
            ..Args::default()
        })
        .expect("a configuration");
        let server = Server::start_at(config, Clock::simulated(spec), String::new)
            .await
            .expect("it starts");
        Self {
            rest: Rest::at(server.addr()),
            standin: server.standin().expect("it is embedded").clone(),
            server,
            _data: data,
        }
    }

    async fn active(&self) -> Value {
        self.rest.ok("/api/v2/indicators/active").await
    }

    /// Waits until nobody holds an indicator, and nothing is on the wire.
    async fn until_nothing_is_left(&self) {
        let rest = &self.rest;
        rest.until("no lease", async || self.active().await == json!({}))
            .await;
        rest.until("an empty wire", async || {
            let mut sessions = self.standin.wire_state().into_values();
            sessions.all(|keys| keys.is_empty())
        })
        .await;
    }

    async fn stop(self) {
        self.server.stop().await.expect("it stops");
    }
}

fn subscription(session: &str, timeframe: &str, indicators: &[&str]) -> Value {
    let items: Vec<Value> = indicators
        .iter()
        .map(|name| json!({"symbol": "NIFTY", "timeframe": timeframe, "indicator": name}))
        .collect();
    json!({"action": "subscribe", "channel": "indicators", "session_id": session,
           "subscriptions": items})
}

fn subscriber(session: &str) -> String {
    format!("0_session_{session}")
}

/// Subscribes, and gives the answer.
async fn subscribe(
    socket: &mut Socket,
    session: &str,
    timeframe: &str,
    indicators: &[&str],
) -> Value {
    ask(socket, subscription(session, timeframe, indicators)).await
}

/// Asks, and gives the answer to that.
async fn ask(socket: &mut Socket, mut message: Value) -> Value {
    static LAST_ID: AtomicU64 = AtomicU64::new(0);
    let id = LAST_ID.fetch_add(1, Relaxed);
    message["id"] = id.into();
    socket.send(&message).await;
    let answer = socket.find(|answer| answer["id"] == id).await;
    answer.expect("the server answers")
}

async fn value_of(socket: &mut Socket, indicator: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let found = socket.find(|message| {
        message["type"] == "indicator" && message["indicator_id"] == indicator && wanted(message)
    });
    found.await.expect("the server goes on")
}

/// The time of a message's bar in seconds.
fn bar_time(message: &Value) -> i64 {
    let text = message["bar_time"].as_str().expect("a time");
    assert!(text.ends_with("+05:30"), "{text}");
    let time: jiff::Timestamp = text.parse().expect("a time");
    time.as_second()
}

#[tokio::test(flavor = "multi_thread")]
async fn values_come_while_a_bar_is_under_way_and_when_it_has_ended() {
    let world = World::start(LONG, "").await;
    let mut socket = world.rest.stream().await;
    let ack = subscribe(&mut socket, "s", "1min", &["sma_2", "macd"]).await;
    assert_eq!(ack["type"], "ack", "{ack}");
    let result = |id: &str| {
        json!({"symbol": "NIFTY", "timeframe": "1min", "indicator_id": id,
               "key": format!("indicator_sub:NIFTY:1min:{id}"), "is_new": true, "ref_count": 1})
    };
    assert_eq!(
        ack["results"],
        json!([result("SMA_2"), result("MACD_12_26_9")])
    );

    // Bars end one after the other, and each is said to have ended once.
    let is_final = |message: &Value| message["final"] == true;
    let mut last = bar_time(&value_of(&mut socket, "SMA_2", is_final).await);
    for _ in 0..3 {
        let next = value_of(&mut socket, "SMA_2", is_final).await;
        assert!(bar_time(&next) >= last, "{next} after {last}");
        assert_eq!(bar_time(&next) % 60, 0, "{next}");
        assert_eq!(next["mock"], true, "{next}");
        last = bar_time(&next);
    }
    // What is under way comes after the last that has ended.
    let forming = value_of(&mut socket, "SMA_2", |message| {
        message["final"] == false && bar_time(message) > last
    });
    forming.await;
    let several = value_of(&mut socket, "MACD_12_26_9", is_final).await;
    let names: Vec<&String> = several["outputs"]
        .as_object()
        .expect("outputs")
        .keys()
        .collect();
    assert_eq!(names.len(), 3, "{several}");
    assert_eq!(several.get("value"), None, "{several}");

    // The average of two bars at one price is that price, by the stream and by REST.
    let price = 24_321.35;
    let is_it = |message: &Value| {
        let value = message["value"].as_f64();
        value.is_some_and(|value| (value - price).abs() < 1e-6)
    };
    world
        .standin
        .set_price(NIFTY, Price::from_f64(price).expect("a price"));
    let forming = value_of(&mut socket, "SMA_2", |message| {
        message["final"] == false && is_it(message)
    });
    forming.await;
    let ended = value_of(&mut socket, "SMA_2", |message| {
        is_final(message) && is_it(message)
    });
    ended.await;
    let said = world.rest.ok("/api/v2/indicators/NIFTY/1min/SMA_2").await;
    assert!(is_it(&said), "{said}");

    let ended = ask(
        &mut socket,
        json!({"action": "unsubscribe", "sub": ack["sub"]}),
    )
    .await;
    assert_eq!(ended["type"], "ack", "{ended}");
    assert_eq!(world.active().await, json!({}));
    world.until_nothing_is_left().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_heard_of_loses_its_indicators_and_is_told() {
    let world = World::start(SHORT, "").await;
    let (mut kept, mut silent) = (world.rest.stream().await, world.rest.stream().await);
    let key = "indicator_sub:NIFTY:5min:RSI_14";
    subscribe(&mut kept, "kept", "5min", &["RSI_14"]).await;
    let ack = subscribe(&mut silent, "silent", "5min", &["RSI_14"]).await;
    assert_eq!(ack["results"][0]["is_new"], false, "{ack}");
    assert_eq!(ack["results"][0]["ref_count"], 2, "{ack}");

    // One says that it is there, the other one says nothing for ten minutes of the clock.
    let notice = {
        let mut notice = core::pin::pin!(silent.of_type("notice"));
        loop {
            tokio::select! {
                notice = &mut notice => break notice,
                () = tokio::time::sleep(Duration::from_millis(200)) => {}
            }
            let pong = ask(&mut kept, json!({"action": "ping"})).await;
            assert_eq!(
                pong["results"],
                json!([{"symbol": "NIFTY", "timeframe": "5min", "indicator": "RSI_14",
                        "indicator_id": "RSI_14", "alive": true}])
            );
        }
    };
    assert_eq!(notice["code"], "expired", "{notice}");
    assert_eq!(notice["sub"], ack["sub"], "{notice}");
    assert!(
        notice["detail"].as_str().expect("a text").contains(key),
        "{notice}"
    );
    let active = world.active().await;
    assert_eq!(active[key]["ref_count"], 1, "{active}");
    let subscribers = active[key]["subscribers"].as_object().expect("subscribers");
    let names: Vec<&String> = subscribers.keys().collect();
    assert_eq!(names, [&subscriber("kept")]);

    // The subscription has ended.
    let error = ask(
        &mut silent,
        json!({"action": "unsubscribe", "sub": ack["sub"]}),
    )
    .await;
    assert_eq!(error["code"], "unknown_subscription", "{error}");
    let these = json!([{"symbol": "NIFTY", "timeframe": "5min", "indicator_id": "rsi"}]);
    let beat =
        |session: &str| json!({"action": "ping", "session_id": session, "subscriptions": these});
    let pong = ask(&mut silent, beat("silent")).await;
    assert_eq!(pong["results"][0]["alive"], false, "{pong}");
    // A heartbeat for what another socket has subscribed counts.
    let pong = ask(&mut silent, beat("kept")).await;
    assert_eq!(pong["results"][0]["alive"], true, "{pong}");
    assert_eq!(pong["results"][0]["indicator_id"], "RSI_14", "{pong}");
    world.until_nothing_is_left().await;
    assert_eq!(kept.of_type("notice").await["code"], "expired");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_holds_an_indicator_as_long_as_one_of_its_sockets_does() {
    let world = World::start(LONG, "").await;
    let key = "indicator_sub:NIFTY:1min:EMA_5";
    let (mut first, mut second) = (world.rest.stream().await, world.rest.stream().await);
    let ack = subscribe(&mut first, "s", "1min", &["EMA_5"]).await;
    assert_eq!(ack["results"][0]["is_new"], true, "{ack}");
    let active = world.active().await;
    let socket = active[key]["subscribers"][subscriber("s")]["websocket_id"].clone();
    assert!(socket.is_string(), "{active}");
    let ack = subscribe(&mut second, "s", "1min", &["EMA_5"]).await;
    assert_eq!(ack["results"][0]["is_new"], false, "{ack}");
    assert_eq!(ack["results"][0]["ref_count"], 1, "{ack}");
    // Twice by one socket is once, too.
    let again = subscribe(&mut second, "s", "1min", &["ema_5", "EMA_5"]).await;
    assert_eq!(again["results"][1]["ref_count"], 1, "{again}");

    let closed = first.socket.close(None).await;
    closed.expect("it was open");
    first.closed().await;
    let latest = value_of(&mut second, "EMA_5", |_| true).await;
    let latest = bar_time(&latest);
    value_of(&mut second, "EMA_5", |message| bar_time(message) > latest).await;
    assert_eq!(world.active().await[key]["ref_count"], 1);
    // With one of its subscriptions the other stays.
    let ended = ask(
        &mut second,
        json!({"action": "unsubscribe", "sub": again["sub"]}),
    )
    .await;
    assert_eq!(ended["type"], "ack", "{ended}");
    assert_eq!(world.active().await[key]["ref_count"], 1);

    // By REST it goes whole, and the socket is told.
    let body = json!({"user_id": 0, "session_id": "s", "symbol": "NIFTY", "timeframe": "1min",
                      "indicators": [{"indicator_id": "EMA_5"}]});
    let (status, answer) = world
        .rest
        .post("/api/v2/indicators/unsubscribe", &body)
        .await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["results"][0]["stopped"], true, "{answer}");
    let notice = second.of_type("notice").await;
    assert_eq!(
        (&notice["code"], &notice["sub"]),
        (&json!("expired"), &ack["sub"])
    );
    assert_eq!(world.active().await, json!({}));

    // A socket that closes lets go by itself, of all it has.
    let mut third = world.rest.stream().await;
    subscribe(&mut third, "t", "1min", &["EMA_5", "RSI_14"]).await;
    subscribe(&mut third, "u", "5min", &["ATR_14"]).await;
    assert_eq!(
        world.active().await.as_object().map(serde_json::Map::len),
        Some(3)
    );
    drop(third);
    world.until_nothing_is_left().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_had_is_refused_whole_and_says_which() {
    let world = World::start(LONG, "[stream]\nsubscriptions = 2\n").await;
    let mut socket = world.rest.stream().await;
    for (place, value, code, field) in [
        (
            "indicator",
            "NOSUCH_3",
            "unknown_indicator",
            "subscriptions[1].indicator",
        ),
        (
            "indicator",
            "RSI_0",
            "invalid_indicator",
            "subscriptions[1].indicator",
        ),
        (
            "timeframe",
            "7weeks",
            "unknown_timeframe",
            "subscriptions[1].timeframe",
        ),
        ("symbol", "NOSUCH", "unknown_symbol", "symbol"),
        (
            "symbol",
            &"x".repeat(129),
            "invalid_value",
            "subscriptions[1].symbol",
        ),
    ] {
        let mut message = subscription("s", "5min", &["RSI_14", "SMA_20"]);
        message["subscriptions"][1][place] = value.into();
        let error = ask(&mut socket, message).await;
        assert_eq!(error["type"], "error", "{value}: {error}");
        assert_eq!(error["code"], code, "{value}: {error}");
        assert_eq!(error["field"], field, "{value}: {error}");
        assert_eq!(world.active().await, json!({}), "{value}");
    }
    let error = subscribe(&mut socket, "no session", "5min", &["RSI_14"]).await;
    assert_eq!(error["field"], "session_id", "{error}");

    // Subscriptions of all kinds count together.
    let ticks = json!({"action": "subscribe", "channel": "ticks", "instruments": ["RELIANCE"]});
    let first = ask(&mut socket, ticks.clone()).await;
    assert_eq!(first["type"], "ack", "{first}");
    let second = subscribe(&mut socket, "s", "5min", &["RSI_14"]).await;
    assert_eq!(second["type"], "ack", "{second}");
    for message in [ticks.clone(), subscription("s", "5min", &["SMA_20"])] {
        let error = ask(&mut socket, message).await;
        assert_eq!(error["code"], "limit_exceeded", "{error}");
    }
    assert_eq!(
        world.active().await.as_object().map(serde_json::Map::len),
        Some(1)
    );
    for sub in [&second["sub"], &first["sub"]] {
        let ended = ask(&mut socket, json!({"action": "unsubscribe", "sub": sub})).await;
        assert_eq!(ended["type"], "ack", "{ended}");
    }
    for _ in 0..2 {
        let ack = subscribe(&mut socket, "s", "5min", &["RSI_14"]).await;
        assert_eq!(ack["type"], "ack", "{ack}");
    }
    drop(socket);
    world.until_nothing_is_left().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_hardly_any_room_gets_the_latest_of_everything() {
    let world = World::start(LONG, "[stream]\nclient_queue = 4\n").await;
    let mut socket = world.rest.stream().await;
    let names: Vec<String> = (2..14).map(|period| format!("SMA_{period}")).collect();
    let asked: Vec<&str> = names.iter().map(String::as_str).collect();
    let ack = subscribe(&mut socket, "s", "1min", &asked).await;
    assert_eq!(ack["results"].as_array().map(Vec::len), Some(12), "{ack}");
    // Of each the end of some bars, in their order.
    let mut ends: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    while ends.len() < names.len() || ends.values().any(|times| times.len() < 2) {
        let message = socket
            .find(|message| message["type"] == "indicator")
            .await
            .expect("the server goes on");
        if message["final"] == true {
            let name = message["indicator_id"].as_str().expect("an id").to_owned();
            let times = ends.entry(name).or_default();
            let time = bar_time(&message);
            // One may come again when more is known of the bars before.
            assert!(times.last().is_none_or(|last| *last <= time), "{message}");
            if times.last() != Some(&time) {
                times.push(time);
            }
        }
    }
    drop(socket);
    world.until_nothing_is_left().await;
    world.stop().await;
}
