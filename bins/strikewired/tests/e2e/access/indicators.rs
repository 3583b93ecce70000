//! Indicators of the stream where keys are on: sessions come from login.

use reqwest::StatusCode;
use serde_json::json;
use strikewire_store::Role;

use super::Holder;
use crate::harness::{Gateway, StandIn};

#[tokio::test(flavor = "multi_thread")]
async fn indicators_hang_on_a_session_of_the_keys_user() {
    let standin = StandIn::any();
    let gateway = Gateway::start(&standin).await;
    let user = Holder::new(&gateway, 7, Role::User).await;
    let other = Holder::new(&gateway, 8, Role::User).await;
    let login = user.post("/api/v2/auth/login", &json!({})).await;
    assert_eq!(login.status, StatusCode::OK, "{}", login.body);
    let session = login.body["session_id"].clone();
    let subscribe = |id: u64, session: &serde_json::Value| {
        json!({"action": "subscribe", "channel": "indicators", "id": id, "session_id": session,
               "subscriptions": [{"symbol": "NIFTY", "timeframe": "5min", "indicator": "RSI_14"}]})
    };
    let mut theirs = other.stream().await.expect("it opens");
    theirs.send(&subscribe(1, &session)).await;
    assert_eq!(theirs.of_type("error").await["code"], "forbidden");
    theirs.send(&subscribe(2, &json!("made-up"))).await;
    assert_eq!(theirs.of_type("error").await["code"], "unknown_session");
    theirs
        .send(&json!({"action": "ping", "id": 3, "session_id": session}))
        .await;
    assert_eq!(theirs.of_type("error").await["code"], "forbidden");

    let mut own = user.stream().await.expect("it opens");
    own.send(&subscribe(4, &session)).await;
    let ack = own.of_type("ack").await;
    assert_eq!(ack["results"][0]["ref_count"], 1, "{ack}");
    let active = user.get("/api/v2/indicators/active").await.body;
    let record = &active["indicator_sub:NIFTY:5min:RSI_14"];
    let name = format!("7_session_{}", session.as_str().expect("a text"));
    assert!(record["subscribers"][&name].is_object(), "{active}");
    gateway.until_on_wire(&standin, 1).await;

    // With the session goes what hangs on it.
    let logout = json!({"session_id": session});
    let answer = user.post("/api/v2/auth/logout", &logout).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.body["released"], 1, "{}", answer.body);
    let notice = own.of_type("notice").await;
    assert_eq!(notice["code"], "expired", "{notice}");
    assert_eq!(notice["sub"], ack["sub"], "{notice}");
    own.send(&subscribe(5, &session)).await;
    assert_eq!(own.of_type("error").await["code"], "unknown_session");
    gateway.until_on_wire(&standin, 0).await;
}
