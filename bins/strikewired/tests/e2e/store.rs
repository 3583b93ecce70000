//! A database that fails, one of a newer version, and what a stop leaves in it.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use serde_json::json;
use strikewire_types::{InstrumentKey, Price, Segment};

use crate::database::Database;
use crate::harness::{Gateway, Launch, StandIn, request};

const NIFTY: InstrumentKey = InstrumentKey::new(Segment::IdxI, 13);

/// Has every write fail, as a full disk would.
async fn break_down(database: &Database) {
    for table in ["watchlist", "meta"] {
        for what in ["INSERT", "UPDATE", "DELETE"] {
            let sql = format!(
                "CREATE TRIGGER broken_{table}_{what} BEFORE {what} ON {table} \
                 BEGIN SELECT RAISE(ABORT, 'the disk is on fire'); END"
            );
            database.execute(&sql).await;
        }
    }
}

async fn mend(database: &Database) {
    for table in ["watchlist", "meta"] {
        for what in ["INSERT", "UPDATE", "DELETE"] {
            let sql = format!("DROP TRIGGER broken_{table}_{what}");
            database.execute(&sql).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_database_is_told_and_survived() {
    let standin = StandIn::any();
    let gateway = Gateway::start(&standin).await;
    gateway.add(1, "NIFTY", json!({"width": 5})).await;
    gateway.until_on_wire(&standin, 11).await;
    let before = standin.on_wire();
    let failing = async || {
        let metrics = gateway.ok("/metrics").await;
        let text = metrics.as_str().expect("a text").to_owned();
        text.lines()
            .find_map(|line| line.strip_prefix("strikewire_store_failing "))
            .map(str::to_owned)
    };
    assert_ne!(failing().await.as_deref(), Some("1"));

    let database = Database::at(&gateway.database());
    break_down(&database).await;
    let add = request(2, "BANKNIFTY", json!({"width": 7}));
    // The first finds out, the second is refused at once.
    for turn in 1..=2 {
        let (status, retry, problem) = gateway.post_with_retry("/api/v2/watchlist/add", &add).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{turn}: {problem}");
        assert_eq!(problem["code"], "not_durable");
        let retry = retry.expect("when to try again");
        assert!(retry.parse::<u64>().expect("seconds") > 0);
    }
    let remove = json!({"user_id": 1, "symbol": "NIFTY"});
    let (status, problem) = gateway.post("/api/v2/watchlist/remove", &remove).await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("not_durable"))
    );
    gateway
        .until("readiness says so", async || {
            let readiness = gateway.ok("/readyz").await;
            readiness["status"] == "degraded" && readiness["reasons"][0]["code"] == "store_failing"
        })
        .await;
    gateway
        .until("the metric says so", async || {
            failing().await.as_deref() == Some("1")
        })
        .await;

    // It goes on with what it has.
    gateway
        .until("what was refused is off the wire", async || {
            standin.on_wire() == before
        })
        .await;
    let mut stream = gateway.stream().await;
    stream
        .send(&json!({"action": "subscribe", "channel": "ticks", "instruments": ["NIFTY"]}))
        .await;
    stream.of_type("ack").await;
    standin
        .handle
        .set_price(NIFTY, Price::from_f64(24_321.35).expect("a price"));
    stream
        .find(|message| {
            message["items"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|item| item["ltp"] == 24_321.35)
        })
        .await
        .expect("the new price");
    drop(stream);
    let list = gateway.ok("/api/v2/watchlist/1").await;
    assert_eq!(list["items"][0]["state"], "live");
    assert_eq!(gateway.ok("/api/v2/watchlist/2").await["items"], json!([]));
    gateway.ok("/api/v2/option-chain/NIFTY?width=5").await;

    mend(&database).await;
    gateway
        .until("it is ready again", async || {
            gateway.ok("/readyz").await["status"] == "ready"
        })
        .await;
    gateway
        .until("the metric is back", async || {
            failing().await.as_deref() == Some("0")
        })
        .await;
    gateway.add(2, "BANKNIFTY", json!({"width": 7})).await;
    let data = gateway.kill().await;
    let gateway = Gateway::launch(
        &standin,
        Launch {
            data: Some(data),
            ..Launch::default()
        },
    )
    .await;
    for user in [1, 2] {
        let list = gateway.ok(&format!("/api/v2/watchlist/{user}")).await;
        assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{list}");
    }
    gateway.until_on_wire(&standin, 11 + 15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_a_newer_version_is_refused_and_not_touched() {
    let standin = StandIn::any();
    let gateway = Gateway::start(&standin).await;
    gateway.add(1, "NIFTY", json!({"width": 5})).await;
    let path = gateway.database();
    let data = gateway.data.clone();
    gateway.terminate().await;
    let database = Database::at(&path);
    database
        .execute(
            "INSERT INTO _sqlx_migrations \
             (version, description, installed_on, success, checksum, execution_time) \
             VALUES (9999, 'of the future', CURRENT_TIMESTAMP, 1, x'00', 0); \
             PRAGMA wal_checkpoint(TRUNCATE)",
        )
        .await;
    let before = std::fs::read(&path).expect("the database");
    let (status, log) = Gateway::run_to_its_end(
        &standin,
        Launch {
            data: Some(data.clone()),
            ..Launch::default()
        },
    )
    .await;
    assert!(!status.success());
    assert!(
        log.contains("newer") && log.contains("strikewire.db"),
        "{log}"
    );
    assert!(
        std::fs::read(&path).expect("the database") == before,
        "it was changed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_writes_everything_down() {
    let standin = StandIn::any();
    let gateway = Gateway::start(&standin).await;
    gateway.add(1, "NIFTY", json!({"width": 21})).await;
    gateway.add(2, "BANKNIFTY", json!({"width": 31})).await;
    gateway
        .add(3, "RELIANCE", json!({"instrument_type": "EQUITY"}))
        .await;
    gateway.until_on_wire(&standin, 43 + 63 + 1).await;
    gateway.remove(1, "NIFTY").await;
    gateway.until_on_wire(&standin, 64).await;
    let wire: BTreeSet<String> = standin.on_wire().keys().map(ToString::to_string).collect();
    let asked: BTreeSet<String> = standin
        .asked_since(0)
        .keys()
        .map(|key| token(*key))
        .collect();
    let path = gateway.database();
    let data = gateway.data.clone();
    let (status, log) = gateway.terminate().await;
    assert_eq!(status.code(), Some(0), "{log}");

    let database = Database::at(&path);
    let active = database
        .texts("SELECT segment || ':' || security_id FROM subscriptions WHERE active = 1")
        .await;
    assert_eq!(active.len(), wire.len());
    assert_eq!(active.into_iter().collect::<BTreeSet<_>>(), wire);
    assert_eq!(database.count("subscriptions WHERE active = 0").await, 43);
    let subscribed = database
        .texts("SELECT instrument_token FROM subscription_log WHERE action = 'SUBSCRIBE'")
        .await;
    assert_eq!(subscribed.len(), asked.len());
    assert_eq!(subscribed.into_iter().collect::<BTreeSet<_>>(), asked);
    assert_eq!(
        database
            .count("subscription_log WHERE action = 'UNSUBSCRIBE'")
            .await,
        43
    );
    assert_eq!(database.count("watchlist").await, 2);
    assert!(database.count("atm_cache").await >= 2);
    drop(data);
}

fn token(key: InstrumentKey) -> String {
    let registry = &crate::harness::master().registry;
    registry.by_key(key).expect("it is listed").token()
}
