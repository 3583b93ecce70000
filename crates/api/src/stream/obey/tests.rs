//! Indicators of a socket whose sessions end.

use core::time::Duration;

use serde_json::json;
use strikewire_gateway::store::{KeyHash, KeyRecord, Role};
use strikewire_gateway::types::Utc;
use strikewire_gateway::{Inbox, StreamLimits};

use super::*;
use crate::rest::tests::Server;

const IDLE: Duration = Duration::from_secs(3_600);

/// A socket of user 7.
async fn socket(server: &Server) -> (Session, StreamClient, Inbox) {
    let api = server.api.clone();
    api.access.set_keys(vec![KeyRecord {
        id: 1,
        hash: KeyHash::of("sw_7"),
        user: 7,
        role: Role::User,
        label: None,
        created_at: Utc::default(),
        revoked_at: None,
    }]);
    let limits = StreamLimits {
        messages: 100,
        bytes: 1_000_000,
        stall: IDLE,
    };
    let (client, inbox) = api.gateway.open_stream(limits).await.unwrap();
    let session = Session {
        caller: api.access.authenticate(Some("sw_7")).unwrap(),
        api,
        from: None,
    };
    (session, client, inbox)
}

fn begin(session: &Session) -> String {
    let now = session.api.gateway.clock().now().mono;
    let id = session.api.access.sessions().begin(7, now).unwrap();
    id.to_string()
}

async fn say(session: &Session, client: &mut StreamClient, message: Value) -> Option<Value> {
    let answer = act(client, &message.to_string(), session).await.unwrap();
    answer.map(|text| serde_json::from_str(&text).unwrap())
}

fn subscribe(id: &str, indicators: &[&str]) -> Value {
    let wants: Vec<Value> = indicators
        .iter()
        .map(|it| json!({"symbol": "NIFTY", "timeframe": "5min", "indicator": it}))
        .collect();
    json!({"action": "subscribe", "channel": "indicators", "session_id": id,
           "subscriptions": wants})
}

/// How many indicators are held, and by how many.
async fn held(session: &Session) -> (u64, u64) {
    let totals = session.api.gateway.indicators().totals().await.unwrap();
    (totals.keys, totals.subscribers)
}

#[tokio::test]
async fn a_ping_does_not_keep_alive_what_hangs_on_a_session_that_has_ended() {
    let server = Server::start();
    let (session, mut client, _inbox) = socket(&server).await;
    let (first, second) = (begin(&session), begin(&session));
    for (id, names) in [
        (&first, ["RSI_14", "SMA_20"]),
        (&second, ["RSI_14", "EMA_9"]),
    ] {
        let refused = say(&session, &mut client, subscribe(id, &names)).await;
        assert_eq!(refused, None);
    }
    assert_eq!(held(&session).await, (3, 2));
    let ping = json!({"action": "ping", "id": 1});
    let pong = say(&session, &mut client, ping.clone()).await.unwrap();
    assert_eq!(pong["results"].as_array().unwrap().len(), 4, "{pong}");

    // As if it was logged out at another node, which cannot tell this one.
    assert!(session.api.access.sessions().end(&first));
    let pong = say(&session, &mut client, ping).await.unwrap();
    let results = pong["results"].as_array().unwrap();
    let mut ids: Vec<&str> = results
        .iter()
        .map(|it| it["indicator_id"].as_str().unwrap())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, ["EMA_9", "RSI_14"], "{pong}");
    assert!(results.iter().all(|it| it["alive"] == true), "{pong}");
    assert_eq!(held(&session).await, (2, 1));
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn a_logout_wins_against_leases_that_were_about_to_be_taken() {
    let server = Server::start();
    let (session, client, _inbox) = socket(&server).await;
    let id = begin(&session);
    let named = Named {
        user: None,
        session: id.clone(),
    };
    // The session was there; then it ended; then the lease was taken.
    let who = subscriber(&session, &named).await.unwrap();
    assert!(session.api.access.sessions().end(&id));
    let want = IndicatorWant {
        symbol: "NIFTY".into(),
        timeframe: "5min".into(),
        indicator: "RSI".into(),
    };
    let indicators = session.api.gateway.indicators();
    indicators.subscribe(&who, None, &[want]).await.unwrap();
    assert_eq!(held(&session).await, (1, 1));
    let problem = session.api.confirm(&session.caller, &who).await;
    assert_eq!(problem.unwrap_err().code, Code::UnknownSession);
    assert_eq!(held(&session).await, (0, 0));
    drop(client);
    server.stop().await;
}
