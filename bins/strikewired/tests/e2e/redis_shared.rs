//! Servers that share a Redis, each with a broker of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{CLOCK, Gateway, Launch, Rest, StandIn, master, quiet};
use crate::indicators::{active, beat, body, done, metric, subscription};
use crate::redis_server::RedisServer;

/// Seconds of the servers' clock in a real one.
const SPEED: u32 = 6;
/// What a subscriber may be silent for, in seconds of that clock.
const TTL: u32 = 60;
const SWEEP: u32 = 10;

/// A stand-in and a server on it, that shares `redis`.
async fn node(redis: &RedisServer, more: &str) -> (StandIn, Gateway) {
    let start = format!("{CLOCK}@{SPEED}");
    let standin = StandIn::start_at(&start, master(), ([127, 0, 0, 1], 0).into(), quiet());
    let toml = format!("{more}\n[indicators]\nttl_s = {TTL}\nsweep_s = {SWEEP}\n");
    let clock = format!("{}@{SPEED}", standin.clock.now().utc);
    let url = redis.url();
    let launch = Launch {
        toml: &toml,
        clock: Some(&clock),
        args: &["--redis", &url],
        ..Launch::default()
    };
    let gateway = Gateway::launch(&standin, launch).await;
    (standin, gateway)
}

/// Who holds what, by what the records say, and that they count right.
async fn held(rest: &Rest) -> BTreeSet<(String, String)> {
    let mut pairs = BTreeSet::new();
    for (key, record) in active(rest).await {
        let subscribers = record["subscribers"].as_object().expect("subscribers");
        assert_eq!(record["ref_count"], subscribers.len(), "{key}: {record}");
        for who in subscribers.keys() {
            pairs.insert((who.clone(), key.clone()));
        }
    }
    pairs
}

/// One who holds an indicator by request and says so from time to time.
#[derive(Debug, Clone)]
struct User {
    user: u64,
    session: String,
    id: String,
}

impl User {
    fn new(user: u64, node: &str) -> Self {
        Self {
            user,
            session: format!("{node}{user}"),
            // Some share a key, also with those of another server.
            id: format!("SMA_{}", 2 + user % 7),
        }
    }

    async fn subscribe(&self, rest: &Rest) {
        let body = body(self.user, &self.session, "NIFTY", "1min", &[&self.id]);
        done(rest, "indicators/subscribe", &body).await;
    }

    async fn beat(&self, rest: &Rest) -> bool {
        let body = beat(self.user, &self.session, "NIFTY", "1min", &[&self.id]);
        let answer = done(rest, "indicators/heartbeat", &body).await;
        answer["results"][0]["alive"] == true
    }

    fn pair(&self) -> (String, String) {
        let key = format!("indicator_sub:NIFTY:1min:{}", self.id);
        (format!("{}_session_{}", self.user, self.session), key)
    }
}

fn pairs<'a>(users: impl IntoIterator<Item = &'a User>) -> BTreeSet<(String, String)> {
    users.into_iter().map(User::pair).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_server_is_killed_its_own_expire_and_the_others_stay_exact() {
    let test = "when_a_server_is_killed_its_own_expire_and_the_others_stay_exact";
    let Some(redis) = RedisServer::start(test).await else {
        return;
    };
    let ((_standin_a, a), (standin_b, b)) = tokio::join!(node(&redis, ""), node(&redis, ""));
    let at_a: Vec<User> = (0..30).map(|user| User::new(user, "a")).collect();
    let at_b: Vec<User> = (100..120).map(|user| User::new(user, "b")).collect();
    for user in &at_a {
        user.subscribe(&a).await;
    }
    for user in &at_b {
        user.subscribe(&b).await;
    }
    // A client of the stream on each.
    let mut sockets = Vec::new();
    for (rest, session) in [(&a, "wa"), (&b, "wb")] {
        let mut socket = rest.stream().await;
        socket
            .send(&subscription(session, "1min", &["EMA_9"]))
            .await;
        let ack = socket.of_type("ack").await;
        sockets.push((socket, ack["results"][0]["ref_count"].clone()));
    }
    assert_eq!((&sockets[0].1, &sockets[1].1), (&json!(1), &json!(2)));
    let streamed = |session: &str| {
        let key = "indicator_sub:NIFTY:1min:EMA_9".to_owned();
        (format!("0_session_{session}"), key)
    };
    let mut all = pairs(at_a.iter().chain(&at_b));
    all.extend([streamed("wa"), streamed("wb")]);
    assert_eq!(held(&a).await, all);
    assert_eq!(held(&b).await, all);

    // Some come and go on it all the time, until it is no more.
    let stop = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..4)
        .map(|lane| {
            let (stop, rest) = (
                Arc::clone(&stop),
                Rest::at(a.authority().parse().expect("an address")),
            );
            tokio::spawn(async move {
                for turn in 0.. {
                    let session = format!("busy{lane}-{}", turn % 20);
                    let body = body(
                        1_000 + lane,
                        &session,
                        "NIFTY",
                        "1min",
                        &["SMA_3", "EMA_20"],
                    );
                    let call = ["subscribe", "subscribe", "unsubscribe"][turn % 3];
                    let path = format!("/api/v2/indicators/{call}");
                    if stop.load(Relaxed) || rest.try_post(&path, &body).await.is_none() {
                        return turn;
                    }
                }
                0
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    a.kill().await;
    stop.store(true, Relaxed);
    for lane in busy {
        assert!(lane.await.expect("it ends") > 5, "it was hardly under load");
    }

    // A third of its users comes to the other one. Everybody else of it is never heard of again.
    let moved: Vec<User> = at_a
        .iter()
        .filter(|user| user.user % 3 == 0)
        .cloned()
        .collect();
    for user in &moved {
        assert!(user.beat(&b).await, "{user:?} is not adopted");
    }
    assert!(metric(&b, "strikewire_indicator_adopted_total").await >= moved.len() as f64);
    let stay = {
        let mut stay = pairs(at_b.iter().chain(&moved));
        stay.insert(streamed("wb"));
        stay
    };
    let socket = &mut sockets[1].0;
    let mut beats = 0;
    b.until_within(
        Duration::from_secs(60),
        "those of the dead server are gone",
        async || {
            for user in at_b.iter().chain(&moved) {
                assert!(user.beat(&b).await, "{user:?} was let go");
            }
            socket.send(&json!({"action": "ping", "id": beats})).await;
            let pong = socket
                .find(|it| it["type"] == "pong" && it["id"] == beats)
                .await;
            let pong = pong.expect("the server goes on");
            assert_eq!(pong["results"][0]["alive"], true, "{pong}");
            beats += 1;
            let held = held(&b).await;
            assert!(held.is_superset(&stay), "{:?}", stay.difference(&held));
            held == stay
        },
    )
    .await;
    // What was adopted is computed here.
    let id = &moved[0].id;
    b.until("a value", async || {
        let (status, value) = b.get(&format!("/api/v2/indicators/NIFTY/1min/{id}")).await;
        status == StatusCode::OK && value["value"].is_number()
    })
    .await;
    b.until_on_wire(&standin_b, 1).await;

    // And when these go too, hardly anything is left but values, which end by themselves.
    drop(sockets);
    for user in at_b.iter().chain(&moved) {
        let body = body(user.user, &user.session, "NIFTY", "1min", &[&user.id]);
        done(&b, "indicators/unsubscribe", &body).await;
    }
    b.until_on_wire(&standin_b, 0).await;
    b.until("an empty list", async || held(&b).await.is_empty())
        .await;
    assert_eq!(metric(&b, "strikewire_indicator_keys").await, 0.0);
    for key in redis.keys().await {
        let left = redis.left(&key).await;
        // What servers know the data by.
        if key == "indicator_lease:data" {
            assert!(left > 0, "{key}: {left} ms");
            continue;
        }
        assert!(key.starts_with("indicator_value:NIFTY:1min:"), "{key}");
        assert!(
            (-2..=60_000).contains(&left) && left != -1,
            "{key}: {left} ms"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_lets_go_of_nothing() {
    let test = "a_server_that_stops_lets_go_of_nothing";
    let Some(redis) = RedisServer::start(test).await else {
        return;
    };
    let ((_standin_a, a), (_standin_b, b)) = tokio::join!(node(&redis, ""), node(&redis, ""));
    let mut sockets = Vec::new();
    for session in ["w0", "w1", "w2"] {
        let mut socket = a.stream().await;
        socket
            .send(&subscription(session, "1min", &["EMA_9"]))
            .await;
        socket.of_type("ack").await;
        sockets.push(socket);
    }
    let user = User::new(7, "a");
    user.subscribe(&a).await;
    let all = held(&b).await;
    assert_eq!(all.len(), 4);
    let (status, log) = a.terminate().await;
    assert!(status.success(), "{log}");
    assert_eq!(held(&b).await, all);
    assert!(user.beat(&b).await, "it goes on elsewhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_goes_on_while_redis_is_restarted_and_then_tells_it_everything() {
    let test = "a_server_goes_on_while_redis_is_restarted_and_then_tells_it_everything";
    let Some(mut redis) = RedisServer::start(test).await else {
        return;
    };
    let ((_standin_a, a), (_standin_b, b)) = tokio::join!(node(&redis, ""), node(&redis, ""));
    let mut users: BTreeMap<u64, User> = (0..20).map(|user| (user, User::new(user, "a"))).collect();
    let at_b: Vec<User> = (100..110).map(|user| User::new(user, "b")).collect();
    for user in users.values() {
        user.subscribe(&a).await;
    }
    for user in &at_b {
        user.subscribe(&b).await;
    }
    let mut socket = a.stream().await;
    socket.send(&subscription("w", "1min", &["EMA_9"])).await;
    socket.of_type("ack").await;

    redis.kill();
    let is_degraded = async |rest: &Rest| {
        let ready = rest.ok("/readyz").await;
        let mut reasons = ready["reasons"].as_array().expect("reasons").iter();
        ready["status"] == "degraded" && reasons.any(|reason| reason["code"] == "redis_down")
    };
    // Each finds out with its next call.
    for (rest, user) in [(&a, &users[&0]), (&b, &at_b[0])] {
        assert!(user.beat(rest).await, "it lives on");
        rest.until("it says so", async || is_degraded(rest).await)
            .await;
    }
    // Life goes on: some come, some go, some are heard of.
    for user in 20..25 {
        let new = User::new(user, "a");
        new.subscribe(&a).await;
        users.insert(user, new);
    }
    for user in 0..5 {
        let gone = users.remove(&user).expect("it is there");
        let body = body(user, &gone.session, "NIFTY", "1min", &[&gone.id]);
        let answer = done(&a, "indicators/unsubscribe", &body).await;
        let count = users.values().filter(|it| it.id == gone.id).count();
        assert_eq!(
            answer["results"][0]["ref_count"], count,
            "as far as it knows by itself"
        );
    }
    let gone = users.remove(&5).expect("it is there");
    let out = done(&a, "auth/logout", &json!({"session_id": gone.session})).await;
    assert_eq!(out["released"], 1);
    for user in users.values() {
        assert!(user.beat(&a).await, "{user:?}");
    }
    let mut here = pairs(users.values());
    here.insert((
        "0_session_w".into(),
        "indicator_sub:NIFTY:1min:EMA_9".into(),
    ));
    assert_eq!(held(&a).await, here);
    assert_eq!(held(&b).await, pairs(&at_b));
    let found = a.ok("/api/v2/indicators/metrics").await;
    assert_eq!(found["total_subscribers"], here.len(), "{found}");

    // It is back, and knows nothing.
    redis.run().await;
    let mut all = here;
    all.extend(pairs(&at_b));
    for rest in [&a, &b] {
        rest.until("it is well again", async || !is_degraded(rest).await)
            .await;
        rest.until("everybody is counted", async || held(rest).await == all)
            .await;
    }
    assert!(metric(&a, "strikewire_indicator_reconciled_total").await >= users.len() as f64);
    for user in users.values() {
        assert!(user.beat(&a).await, "{user:?}");
    }
    for key in redis.keys().await {
        assert!(redis.left(&key).await != -1, "{key} never ends");
    }
    // Nobody counts twice, whoever asks.
    for user in users.values() {
        user.subscribe(&b).await;
    }
    assert_eq!(held(&a).await, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mock_run_leaves_no_value_where_a_real_one_reads() {
    let test = "a_mock_run_leaves_no_value_where_a_real_one_reads";
    let Some(redis) = RedisServer::start(test).await else {
        return;
    };
    let (mocked, real) = tokio::join!(node(&redis, "mock = true"), node(&redis, ""));
    let path = "/api/v2/indicators/NIFTY/1min/SMA_2";
    let user = User::new(0, "m");
    user.subscribe(&mocked.1).await;
    let value_of = async |rest: &Rest| -> Option<Value> {
        let (status, value) = rest.get(path).await;
        (status == StatusCode::OK && value["value"].is_number()).then_some(value)
    };
    let mut made_up = None;
    mocked
        .1
        .until("a value", async || {
            made_up = value_of(&mocked.1).await;
            made_up.is_some()
        })
        .await;
    assert_eq!(made_up.expect("a value")["mock"], true);
    // It has had the time to be written, and is not; the lease is.
    let written = metric(&mocked.1, "indicator_cleanup_runs_total").await + 1.0;
    mocked
        .1
        .until("time passes", async || {
            user.beat(&mocked.1).await;
            metric(&mocked.1, "indicator_cleanup_runs_total").await >= written
        })
        .await;
    let values = async || {
        let mut keys = redis.keys().await;
        keys.retain(|key| key.contains("indicator_value"));
        keys
    };
    assert_eq!(values().await, Vec::<String>::new());
    assert!(redis.keys().await.iter().any(|key| key == &user.pair().1));
    let (status, refused) = real.1.get(path).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{refused}");

    // A real one is written, and read by those that are real alone.
    User::new(7, "r").subscribe(&real.1).await;
    real.1
        .until("a value is shared", async || !values().await.is_empty())
        .await;
    assert_eq!(values().await, ["indicator_value:NIFTY:1min:SMA_2:latest"]);
    assert_eq!(value_of(&real.1).await.expect("a value")["mock"], false);
    assert_eq!(value_of(&mocked.1).await.expect("a value")["mock"], true);
    // Mock mode is left with the process, and its values with it.
    let data = mocked.1.kill().await;
    let clock = format!("{}@{SPEED}", mocked.0.clock.now().utc);
    let url = redis.url();
    let launch = Launch {
        clock: Some(&clock),
        args: &["--redis", &url],
        data: Some(data),
        ..Launch::default()
    };
    let again = Gateway::launch(&mocked.0, launch).await;
    let read = value_of(&again).await.expect("the one that is shared");
    assert_eq!(read["mock"], false, "{read}");
}
