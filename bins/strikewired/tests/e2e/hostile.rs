//! Hostile input over real sockets: whatever is sent, the answer is the sender's mistake or
//! none, nothing that was refused has changed anything, and other users notice nothing.

mod document;
mod raw;
mod streams;
mod wire;
mod world;

use std::collections::BTreeSet;

use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_pcg::Pcg64Mcg;
use serde_json::{Value, json};

use document::{Maker, Operation, WRONG_TEXTS, encoded};
use raw::Answer;
use world::{Others, World, judge};

use crate::harness::SOON;

const STREAM: &str = "/api/v2/stream";
const VALUE: &str = "/api/v2/indicators/{symbol}/{timeframe}/{indicator_id}";

/// A request that is as it should be, in an order in which each makes sense.
struct Good {
    method: &'static str,
    /// As the document has it.
    path: &'static str,
    target: &'static str,
    body: Option<Value>,
}

fn get(path: &'static str, target: &'static str) -> Good {
    Good {
        method: "GET",
        path,
        target,
        body: None,
    }
}

fn post(path: &'static str, body: Value) -> Good {
    Good {
        method: "POST",
        path,
        target: path,
        body: Some(body),
    }
}

fn good_requests() -> Vec<Good> {
    let chain = json!({"user_id": 1, "symbol": "RELIANCE", "expiry": "24FEB2026", "width": 3});
    let mut tier = chain.clone();
    tier["tier"] = "TIER_A".into();
    tier["user_id"] = "2".into();
    let item = json!({"user_id": 1, "symbol": "RELIANCE"});
    let read = "/api/v2/option-chain/RELIANCE?expiry=24FEB2026&width=3&underlying_ltp=1400.5";
    let expiries = "/api/v2/instruments/{symbol}/expiries";
    let held = json!({"user_id": 1, "session_id": "web", "symbol": "RELIANCE",
                      "timeframe": "5min", "indicators": [{"indicator_id": "RSI_14"}]});
    let beat = json!({"user_id": "1", "session_id": "web", "subscriptions": [
        {"symbol": "RELIANCE", "timeframe": "5min", "indicator": "RSI_14"}]});
    vec![
        get("/healthz", "/healthz"),
        get("/readyz", "/readyz"),
        get("/metrics", "/metrics"),
        get("/openapi.json", "/openapi.json"),
        get("/docs", "/docs"),
        get("/docs/{file}", "/docs/start.js"),
        post("/api/v2/watchlist/add", chain.clone()),
        get("/api/v2/watchlist/{user_id}", "/api/v2/watchlist/1"),
        get("/api/v2/option-chain/{symbol}", read),
        post("/api/v2/option-chain/subscribe", tier),
        get(
            "/api/v2/subscriptions/status",
            "/api/v2/subscriptions/status",
        ),
        get(
            "/api/v2/subscriptions/active",
            "/api/v2/subscriptions/active?limit=3&tier=TIER_A",
        ),
        get(
            "/api/v2/subscriptions/{token}",
            "/api/v2/subscriptions/NSE_EQ%3A2885",
        ),
        get(
            "/api/v2/instruments/search",
            "/api/v2/instruments/search?q=nifty+25500&limit=3",
        ),
        get(expiries, "/api/v2/instruments/M%26M/expiries?exchange=NSE"),
        get(
            "/api/v2/quotes",
            "/api/v2/quotes?instruments=RELIANCE,NSE_EQ:2885,NOSUCH",
        ),
        post("/api/v2/plan", json!({"requests": [chain]})),
        get("/api/v2/admin/ws-status", "/api/v2/admin/ws-status"),
        post("/api/v2/admin/rebalance-ws", json!({})),
        post(
            "/api/v2/admin/invalidate-expiry",
            json!({"symbol": "RELIANCE", "expiry": "24FEB2026"}),
        ),
        post("/api/v2/admin/reload-config", json!({})),
        get(
            "/api/v2/audit",
            "/api/v2/audit?limit=2&since=2026-02-09T00:00:00%2B05:30",
        ),
        post("/api/v2/indicators/subscribe", held.clone()),
        post("/api/v2/indicators/heartbeat", beat),
        get(
            "/api/v2/indicators/active",
            "/api/v2/indicators/active?symbol=NSE_EQ%3A2885&timeframe=5min",
        ),
        get("/api/v2/indicators/metrics", "/api/v2/indicators/metrics"),
        get("/api/v2/indicators/catalog", "/api/v2/indicators/catalog"),
        get(VALUE, "/api/v2/indicators/RELIANCE/5min/rsi_14"),
        post("/api/v2/indicators/unsubscribe", held),
        post("/api/v2/watchlist/remove", item),
        post("/api/v2/admin/unsubscribe-all-tier-a", json!({})),
        post("/api/v2/auth/login", json!({"user_id": 1})),
    ]
}

/// Sends a good request; its answer.
async fn send(world: &World, good: &Good) -> Answer {
    let body = good.body.as_ref().map(Value::to_string);
    world.ask(good.method, good.target, body.as_deref()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_of_the_document_answers_a_good_request() {
    let world = World::start("").await;
    let document = world.document().await;
    let mut asked = BTreeSet::new();
    for good in good_requests() {
        let mut answer = send(&world, &good).await;
        while good.path == VALUE && answer.status == 404 {
            // It is computed as soon as the broker has given its candles.
            assert_eq!(answer.json()["code"], "no_value");
            tokio::task::yield_now().await;
            answer = send(&world, &good).await;
        }
        assert_eq!(answer.status, 200, "{}: {}", good.target, answer.text());
        asked.insert((good.method.to_owned(), good.path.to_owned()));
        if good.path == "/api/v2/auth/login" {
            let session = &answer.json()["session_id"];
            let logout = post("/api/v2/auth/logout", json!({"session_id": session}));
            let answer = send(&world, &logout).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            asked.insert((logout.method.to_owned(), logout.path.to_owned()));
        }
    }
    for Operation { method, path, .. } in document.operations() {
        // The stream is no call that is answered.
        let asked = asked.remove(&(method.clone(), path.clone())) || path == STREAM;
        assert!(asked, "no good request of {method} {path}");
    }
    assert_eq!(asked, BTreeSet::new(), "these are not in the document");
    world.end().await;
}

/// Bodies that are never taken, whatever the call.
fn broken_bodies(good: &str) -> Vec<(&'static str, Vec<u8>)> {
    let mut unknown: Value = serde_json::from_str(good).expect("JSON");
    unknown["__proto__"] = json!({"admin": true});
    let utf16 = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut bom = b"\xef\xbb\xbf".to_vec();
    bom.extend_from_slice(good.as_bytes());
    vec![
        ("null", b"null".to_vec()),
        ("an array", b"[]".to_vec()),
        ("a number", b"1".to_vec()),
        ("a text", b"\"x\"".to_vec()),
        ("a brace", b"{".to_vec()),
        ("no value", b"{\"user_id\":}".to_vec()),
        ("no quotes", b"{user_id:1}".to_vec()),
        ("two bodies", format!("{good}{good}").into_bytes()),
        ("a comma too many", good.replacen('}', ",}", 1).into_bytes()),
        ("a comment", format!("/* */{good}").into_bytes()),
        ("NaN", b"{\"underlying_ltp\":NaN}".to_vec()),
        ("-Infinity", b"{\"underlying_ltp\":-Infinity}".to_vec()),
        ("a huge number", b"{\"underlying_ltp\":1e999}".to_vec()),
        ("hexadecimal", b"{\"user_id\":0x10}".to_vec()),
        ("half a surrogate", b"{\"symbol\":\"\\ud800\"}".to_vec()),
        ("a line break in a text", b"{\"symbol\":\"a\nb\"}".to_vec()),
        ("no UTF-8", b"{\"symbol\":\"\xff\xfe\"}".to_vec()),
        ("UTF-16", utf16),
        ("a byte order mark", bom),
        ("a deep nest", b"[".repeat(60_000)),
        ("a deep nest of objects", b"{\"a\":".repeat(10_000)),
        ("an unknown field", unknown.to_string().into_bytes()),
        ("a thousand fields", {
            let fields: Vec<String> = (0..1_000).map(|at| format!("\"f{at}\":{at}")).collect();
            format!("{{{}}}", fields.join(",")).into_bytes()
        }),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_body_is_refused_and_changes_nothing() {
    let world = World::start("").await;
    let others = Others::start(&world);
    for good in good_requests().iter().take(8) {
        // Something to lose.
        send(&world, good).await;
    }
    let before = world.state().await;
    let mut too_large = 0;
    for good in good_requests() {
        let Some(body) = &good.body else { continue };
        let body = body.to_string();
        let path = good.path;
        for (what, bytes) in broken_bodies(&body) {
            let what = format!("POST {path} with {what}");
            let json: &[(&str, &[u8])] = &[("content-type", b"application/json")];
            let answer = raw::request(world.addr(), "POST", path, json, &bytes).await;
            judge(&what, &answer);
            assert_eq!(answer.status, 400, "{what}: {}", answer.text());
        }
        let kinds: [&[u8]; 8] = [
            b"text/plain",
            b"application/x-www-form-urlencoded",
            b"multipart/form-data; boundary=x",
            b"application/jsonx",
            b"text/json",
            b"application/json\xff",
            b",application/json",
            b"",
        ];
        for kind in kinds {
            let shown = String::from_utf8_lossy(kind);
            let what = format!("POST {path} as {shown:?}");
            let headers: &[(&str, &[u8])] = &[("content-type", kind)];
            let answer = raw::request(world.addr(), "POST", path, headers, body.as_bytes()).await;
            judge(&what, &answer);
            assert_eq!(answer.status, 415, "{what}: {}", answer.text());
        }
        // Whoever sends too much may find the connection closed before all of it is sent,
        // and the answer lost with it.
        let large = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: 600000\r\nconnection: close\r\n\r\n{{\"a\":\"{}\"}}",
            "x".repeat(600_000 - 8)
        );
        let outcome = raw::exchange(world.addr(), large.as_bytes(), false, SOON).await;
        assert!(outcome.closed, "POST {path}, too large: {outcome:?}");
        for answer in outcome.answers {
            judge("too large", &answer);
            assert_eq!(answer.status, 413, "POST {path}: {}", answer.text());
            too_large += 1;
        }
        world
            .unchanged(&before, &format!("all of POST {path}"))
            .await;
    }
    assert!(too_large > 0, "at least one hears that it was too much");
    others.end().await;
    world.end().await;
}

/// Targets that nobody means, besides what is made up from the document.
fn odd_targets() -> Vec<String> {
    let long = "A".repeat(7_000);
    let mut targets: Vec<String> = [
        "/",
        "//",
        "/api",
        "/api/v2",
        "/api/v2/",
        "//api//v2//subscriptions//status",
        "/api/v2/subscriptions/status/",
        "/API/V2/SUBSCRIPTIONS/STATUS",
        "/api/v2/watchlist/../admin/ws-status",
        "/api/v2/watchlist/%2e%2e/admin/ws-status",
        "/api/v2/watchlist/1/../../admin/ws-status",
        "/api/v2/option-chain/..%2f..%2f..%2fetc%2fpasswd",
        "/docs/../../../../etc/passwd",
        "/docs/..%2f..%2f..%2fetc%2fpasswd",
        "/docs/%2e%2e/%2e%2e/Cargo.toml",
        "/docs/....//....//etc/passwd",
        "/api/v2/option-chain/",
        "/api/v2/option-chain/%",
        "/api/v2/option-chain/%zz",
        "/api/v2/option-chain/%ff%fe",
        "/api/v2/option-chain/%00",
        "/api/v2/option-chain/%c0%ae%c0%ae",
        "/api/v2/option-chain/NIFTY;jsessionid=1",
        "/api/v2/option-chain/NIFTY%0d%0ax-injected:%201",
        "/api/v2/option-chain/NIFTY?expiry=%",
        "/api/v2/option-chain/NIFTY?expiry=%ff",
        "/api/v2/option-chain/NIFTY?width=3&width=5",
        "/api/v2/option-chain/NIFTY?width[]=3",
        "/api/v2/option-chain/NIFTY?width=%33",
        "/api/v2/option-chain/NIFTY?underlying_ltp=NaN",
        "/api/v2/option-chain/NIFTY?underlying_ltp=inf",
        "/api/v2/option-chain/NIFTY?underlying_ltp=-0",
        "/api/v2/option-chain/NIFTY?underlying_ltp=1e308",
        "/api/v2/option-chain/NIFTY?underlying_ltp=0.00001",
        "/api/v2/option-chain/NIFTY?force_recalc=maybe",
        "/api/v2/option-chain/NIFTY?=&&=&",
        "/api/v2/option-chain/NIFTY??expiry",
        "/api/v2/watchlist/-1",
        "/api/v2/watchlist/1e3",
        "/api/v2/watchlist/%31",
        "/api/v2/watchlist/18446744073709551616",
        "/api/v2/watchlist/340282366920938463463374607431768211456",
        "/api/v2/subscriptions/active?limit=0",
        "/api/v2/subscriptions/active?limit=-1",
        "/api/v2/subscriptions/active?limit=99999999999999999999",
        "/api/v2/subscriptions/active?ws=256",
        "/api/v2/subscriptions/active?cursor=AAAA",
        "/api/v2/subscriptions/active?cursor=%00",
        "/api/v2/audit?since=0001-01-01T00:00:00Z",
        "/api/v2/audit?since=9999-12-31T23:59:59Z",
        "/api/v2/audit?since=-009999-01-01T00:00:00Z",
        "/api/v2/audit?as_of=2026-02-09",
        "/api/v2/audit?cursor=9223372036854775808",
        "/api/v2/indicators/active?symbol=",
        "/api/v2/indicators/active?timeframe=0min",
        "/api/v2/indicators/active?timeframe=99999999999999999999min",
        "/api/v2/indicators/RELIANCE/5min/",
        "/api/v2/indicators/RELIANCE/5min",
        "/api/v2/indicators//5min/RSI_14",
        "/api/v2/indicators/RELIANCE/%00/RSI_14",
        "/api/v2/indicators/RELIANCE/5min/RSI_99999999999999999999",
        "/api/v2/indicators/RELIANCE/5min/RSI_-1",
        "/api/v2/indicators/RELIANCE/5min/RSI_14_",
        "/api/v2/indicators/RELIANCE/5min/BB_20_NaN",
        "/api/v2/indicators/RELIANCE/5min/RSI_14:latest",
        "/api/v2/indicators/indicator_sub%3ANIFTY/5min/RSI_14",
        "/api/v2/quotes",
        "/api/v2/quotes?instruments=",
        "/api/v2/quotes?instruments=,,,,",
        "/api/v2/instruments/search?q=%00",
        "/api/v2/instruments/search?q=%F0%9F%A7%BF",
        "/api/v2/instruments/search?q=a&limit=101",
        "/api/v2/stream",
        "/metrics/../healthz",
        "/healthz?x=y",
    ]
    .map(str::to_owned)
    .to_vec();
    targets.extend([
        format!("/api/v2/option-chain/{long}"),
        format!("/api/v2/subscriptions/{long}"),
        format!("/api/v2/watchlist/{}", "9".repeat(7_000)),
        format!("/api/v2/instruments/search?q={long}"),
        format!("/api/v2/instruments/search?q={}", "nifty%20".repeat(900)),
        format!("/api/v2/quotes?instruments={}", "A,".repeat(3_000)),
        format!("/api/v2/option-chain/NIFTY?{}", "a=1&".repeat(1_500)),
        format!("/api/v2/audit?cursor={long}"),
        format!("/{}", "a/".repeat(3_000)),
    ]);
    for text in WRONG_TEXTS {
        let text = encoded(text);
        targets.extend([
            format!("/api/v2/option-chain/{text}"),
            format!("/api/v2/option-chain/RELIANCE?expiry={text}"),
            format!("/api/v2/option-chain/RELIANCE?exchange={text}"),
            format!("/api/v2/option-chain/RELIANCE?width={text}"),
            format!("/api/v2/subscriptions/{text}"),
            format!("/api/v2/subscriptions/active?symbol={text}"),
            format!("/api/v2/watchlist/{text}"),
            format!("/api/v2/instruments/search?q={text}"),
            format!("/api/v2/instruments/{text}/expiries"),
            format!("/api/v2/quotes?instruments={text},RELIANCE"),
            format!("/api/v2/audit?token={text}"),
            format!("/api/v2/indicators/{text}/5min/RSI_14"),
            format!("/api/v2/indicators/RELIANCE/{text}/RSI_14"),
            format!("/api/v2/indicators/RELIANCE/5min/{text}"),
            format!("/api/v2/indicators/active?symbol={text}"),
            format!("/api/v2/audit?as_of={text}"),
        ]);
    }
    targets
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_paths_queries_methods_and_headers_are_answered() {
    let world = World::start("").await;
    let others = Others::start(&world);
    for target in odd_targets() {
        let answer = world.ask("GET", &target, None).await;
        let shown: String = target.chars().take(120).collect();
        judge(&format!("GET {shown}"), &answer);
        // No file of the machine, however it is asked for.
        assert!(
            !answer.text().contains("root:"),
            "{shown}: {}",
            answer.text()
        );
        assert!(answer.header("x-injected").is_none(), "{shown}");
    }
    let methods = [
        "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "HEAD", "CONNECT", "PROPFIND", "get", "X",
    ];
    let before = world.state().await;
    for good in good_requests() {
        let body = good.body.as_ref().map(Value::to_string);
        for method in methods {
            let answer = world.ask(method, good.target, body.as_deref()).await;
            judge(&format!("{method} {}", good.target), &answer);
            let read = good.method == "GET" && method == "HEAD";
            let asked = method == "OPTIONS" && answer.status < 300;
            assert!(
                answer.status >= 400 || read || asked,
                "{method} {}: {}",
                good.target,
                answer.status
            );
        }
        // A GET with a body, a POST without its body.
        let turned = if good.method == "GET" { "POST" } else { "GET" };
        let answer = world.ask(turned, good.target, Some("{}")).await;
        judge(&format!("{turned} {}", good.target), &answer);
    }
    world.unchanged(&before, "all wrong methods").await;

    let headers: [(&str, &[u8]); 12] = [
        ("x-request-id", b"\xff\xfe"),
        ("x-request-id", b"\"},{\"a\":\""),
        ("x-request-id", b"<script>"),
        ("accept", b"application/xml;q=NaN"),
        ("accept-encoding", b"gzip;q=9, br;q=-1, *;q=x"),
        ("if-none-match", b"\"\", W/, *, ,,,"),
        ("if-modified-since", b"yesterday"),
        ("range", b"bytes=99999999999-0"),
        ("authorization", b"Bearer"),
        ("authorization", b"Basic \xff"),
        ("origin", b"null"),
        ("forwarded", b"for=127.0.0.1;host=evil"),
    ];
    for (name, value) in headers {
        for target in [
            "/api/v2/subscriptions/status",
            "/no/such/path",
            "/openapi.json",
        ] {
            let headers = &[(name, value)];
            let answer = raw::request(world.addr(), "GET", target, headers, b"").await;
            let shown = String::from_utf8_lossy(value);
            judge(&format!("GET {target} with {name}: {shown}"), &answer);
        }
    }
    others.end().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_made_up_from_the_document_are_answered_as_it_says() {
    let long = std::env::var_os("STRIKEWIRE_LONG").is_some();
    let (seed, rounds) = (20_260_209, if long { 20_000 } else { 1_000 });
    let world = World::start("").await;
    let others = Others::start(&world);
    let document = world.document().await;
    let operations: Vec<Operation> = document
        .operations()
        .into_iter()
        .filter(|operation| operation.path != STREAM)
        .collect();
    let mut maker = Maker {
        document: &document,
        rng: Pcg64Mcg::seed_from_u64(seed),
    };
    let mut before = world.state().await;
    let (mut taken, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..rounds {
        let operation = operations.choose(&mut maker.rng).expect("there are calls");
        let Operation { method, path, .. } = operation;
        let made = maker.request(operation);
        let what = format!("{method} {made:?} (seed {seed}, round {round})");
        let answer = world.ask(method, &made.target, made.body.as_deref()).await;
        judge(&what, &answer);
        assert!(
            operation.statuses.contains(&answer.status),
            "{what}: {} is none of {:?}: {}",
            answer.status,
            operation.statuses,
            answer.text()
        );
        let name = (method.clone(), path.clone());
        if answer.status < 300 {
            taken.insert(name);
            if method != "GET" {
                before = world.state().await;
            }
        } else {
            if method != "GET" {
                world.unchanged(&before, &what).await;
            }
            refused.insert(name);
        }
    }
    world.unchanged(&before, "what came last").await;
    // It was worth it only if both happened, nearly everywhere.
    assert!(
        taken.len() + 4 >= operations.len(),
        "taken were only {taken:?}"
    );
    assert!(
        refused.len() * 2 >= operations.len(),
        "refused were only {refused:?}"
    );
    others.end().await;
    world.end().await;
}
