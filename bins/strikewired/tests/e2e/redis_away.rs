//! A Redis that is named and does not answer stops nothing, and its password is shown
//! nowhere.

use std::net::TcpListener;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Gateway, Launch, StandIn};

/// Somebody who takes connections and never says a word.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address");
    (listener, format!("redis://someone:hunter2@{addr}/3"))
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_on_without_the_redis_that_is_named() {
    let standin = StandIn::any();
    let (_silent, url) = silent();
    let gateway = Gateway::launch(
        &standin,
        Launch {
            toml: "[redis]\ntimeout_ms = 50\n",
            env: &[("STRIKEWIRE_REDIS", &url)],
            ..Launch::default()
        },
    )
    .await;
    let (status, ready) = gateway.get("/readyz").await;
    assert_eq!(status, StatusCode::OK, "{ready}");
    assert_eq!(ready["status"], "degraded", "{ready}");
    let reasons = ready["reasons"].as_array().expect("reasons");
    let away = reasons.iter().find(|reason| reason["code"] == "redis_down");
    let away = away.unwrap_or_else(|| panic!("nobody says so: {ready}"));
    assert!(away["since"].is_string(), "{away}");

    let body = json!({"user_id": 7, "session_id": "a", "symbol": "NIFTY", "timeframe": "1min",
                      "indicators": [{"indicator_id": "RSI_14"}, {"indicator_id": "SMA_20"}]});
    let (status, held) = gateway.post("/api/v2/indicators/subscribe", &body).await;
    assert_eq!(status, StatusCode::OK, "{held}");
    assert_eq!(
        held["results"][0],
        json!({"indicator_id": "RSI_14", "key": "indicator_sub:NIFTY:1min:RSI_14",
               "is_new": true, "ref_count": 1})
    );
    let beat = json!({"user_id": 7, "session_id": "a", "subscriptions": [
        {"symbol": "NIFTY", "timeframe": "1min", "indicator": "RSI_14"}]});
    let (_, alive) = gateway.post("/api/v2/indicators/heartbeat", &beat).await;
    assert_eq!(alive["results"][0]["alive"], true, "{alive}");
    let active = gateway.ok("/api/v2/indicators/active").await;
    assert_eq!(active.as_object().map(serde_json::Map::len), Some(2));
    let (status, session) = gateway
        .post("/api/v2/auth/login", &json!({"user_id": 7}))
        .await;
    assert_eq!(status, StatusCode::OK, "{session}");
    let (status, out) = gateway
        .post("/api/v2/auth/logout", &json!({"session_id": "a"}))
        .await;
    assert_eq!((status, &out["released"]), (StatusCode::OK, &json!(2)));
    let totals = gateway.ok("/api/v2/indicators/metrics").await;
    assert_eq!(totals["total_subscriptions"], 0, "{totals}");

    let metrics = gateway.ok("/metrics").await;
    let metrics = metrics.as_str().expect("a text");
    for line in [
        "strikewire_redis_up 0",
        "strikewire_readiness_reason{code=\"redis_down\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}");
    }
    let shown = format!("{ready}{held}{alive}{active}{metrics}");
    assert!(!shown.contains("hunter2"), "{shown}");
    let (status, log) = gateway.terminate().await;
    assert!(status.success(), "{log}");
    assert!(log.contains("redis        redis://"), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_names_no_redis_is_refused_and_not_repeated() {
    let standin = StandIn::any();
    for url in ["http://someone:hunter2@localhost", "hunter2"] {
        let launch = Launch {
            args: &["--redis", url],
            ..Launch::default()
        };
        let (status, said) = Gateway::run_to_its_end(&standin, launch).await;
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains("redis.url"), "{said}");
        assert!(said.contains("redis://"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

/// What is said of it without a Redis: nothing.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_redis_nobody_misses_it() {
    let standin = StandIn::any();
    let gateway = Gateway::start(&standin).await;
    let ready = gateway.ok("/readyz").await;
    assert_eq!(
        ready,
        json!({"status": "ready", "reasons": Value::Array(Vec::new())})
    );
    let (_, log) = gateway.terminate().await;
    assert!(!log.contains("redis"), "{log}");
}
