//! The suite on Redis, and what only Redis has to do.

use std::sync::Arc;

use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use strikewire_leases::{
    Error, LeaseKey, Leases, LoginSession, Record, RedisLeases, Settings, TimeSource,
};
use strikewire_types::Now;

use crate::server::{config, endings, raw, shared};
use crate::suite::{Rig, contract, settings};
use crate::{at, key, keys, who};

struct Redis {
    leases: Arc<RedisLeases>,
    raw: MultiplexedConnection,
    prefix: String,
}

impl Rig for Redis {
    type Store = RedisLeases;

    fn leases(&self) -> &Arc<RedisLeases> {
        &self.leases
    }

    async fn pass(&self, now: Now) {
        // Its clock cannot be set: what would have ended is ended.
        let mut raw = self.raw.clone();
        let passed = now.utc.since(at(30).utc).as_millis();
        for (name, left) in endings(&mut raw, &self.prefix).await {
            if name.contains("indicator_value:") && i128::from(left) <= passed.try_into().unwrap() {
                let _: () = raw.del(name).await.unwrap();
            }
        }
    }

    async fn check(&self) {
        check(&self.raw, &self.prefix).await;
    }
}

/// Every key ends by itself, and every record is what it should be.
pub(crate) async fn check(raw: &MultiplexedConnection, prefix: &str) {
    let mut raw = raw.clone();
    let all = endings(&mut raw, prefix).await;
    assert!(!all.is_empty());
    for (name, left) in &all {
        assert!(*left > 0, "{name} never ends");
        let rest = name.strip_prefix(prefix).unwrap();
        let known = [
            "indicator_sub:",
            "indicator_lease:",
            "indicator_value:",
            "login_session:",
        ];
        assert!(known.iter().any(|it| rest.starts_with(it)), "{name}");
        if rest.starts_with("indicator_sub:") {
            assert!(*left <= 600_000, "{name} {left}");
            let json: String = raw.get(name).await.unwrap();
            let record: Record = serde_json::from_str(&json).unwrap();
            assert_eq!(
                record.ref_count as usize,
                record.subscribers.len(),
                "{json}"
            );
            let key = LeaseKey::new(&record.symbol, &record.timeframe, &record.indicator_id);
            assert_eq!(key.lease_key(), rest);
            let members = serde_json::from_str::<serde_json::Value>(&json).unwrap();
            assert_eq!(members.as_object().unwrap().len(), 8, "{json}");
        }
    }
}

async fn server(rule: &str) -> Option<Redis> {
    let url = shared(rule)?;
    let prefix = format!("{}:{rule}:", std::process::id());
    let leases = RedisLeases::connect(config(&url, &prefix), settings())
        .await
        .unwrap();
    Some(Redis {
        leases: Arc::new(leases),
        raw: raw(&url).await,
        prefix,
    })
}

contract!(server);

#[tokio::test]
async fn nothing_is_left_when_all_have_gone() {
    let Some(rig) = server("nothing_is_left").await else {
        return;
    };
    let all = keys(&["NIFTY:5min:RSI_14", "ITC:5min:RSI_14"]);
    for round in 0..200 {
        let who = who(round, &format!("s{round}"));
        rig.leases
            .subscribe(at(round), &who, Some("x"), &all)
            .await
            .unwrap();
        match round % 3 {
            0 => drop(rig.leases.unsubscribe(&who, &all).await.unwrap()),
            1 => drop(
                rig.leases
                    .release(at(round), &who.session, None)
                    .await
                    .unwrap(),
            ),
            _ => {}
        }
    }
    rig.leases.sweep(at(10_000)).await.unwrap();
    let left = endings(&mut rig.raw.clone(), &rig.prefix).await;
    let names: Vec<_> = left
        .iter()
        .map(|(name, _)| name.strip_prefix(&rig.prefix).unwrap())
        .collect();
    assert_eq!(names, ["indicator_lease:probe"]);
}

/// The server's own clock says when somebody was heard of.
#[tokio::test]
async fn time_is_the_servers() {
    let Some(url) = shared("time_is_the_servers") else {
        return;
    };
    let prefix = format!("{}:time:", std::process::id());
    let config = strikewire_leases::RedisConfig {
        time: TimeSource::Server,
        ..config(&url, &prefix)
    };
    let leases = RedisLeases::connect(config, Settings::default())
        .await
        .unwrap();
    let mut raw = raw(&url).await;
    let mut clock = async || {
        let (seconds, _): (i64, i64) = redis::cmd("TIME").query_async(&mut raw).await.unwrap();
        seconds
    };
    let (who, rsi) = (who(7, "a"), keys(&["NIFTY:5min:RSI_14"]));
    let before = clock().await;
    // The caller's clock is years off.
    leases.subscribe(at(0), &who, None, &rsi).await.unwrap();
    leases.heartbeat(at(1 << 30), &who, &rsi).await.unwrap();
    assert_eq!(leases.sweep(at(1 << 30)).await.unwrap(), []);
    let after = clock().await;
    let record = leases.record(&rsi[0]).await.unwrap().unwrap();
    for time in [
        record.created_at,
        record.last_accessed,
        record.subscribers["7_session_a"].last_active,
    ] {
        assert!((before..=after).contains(&time), "{time}");
    }
    assert_eq!(leases.release(at(0), "a", None).await.unwrap().len(), 1);
}

/// A record, or an index, that ended by itself while nobody swept.
#[tokio::test]
async fn what_ended_by_itself_leaves_nothing() {
    let Some(mut rig) = server("what_ended_by_itself").await else {
        return;
    };
    let leases = Arc::clone(&rig.leases);
    let (a, b) = (who(7, "a"), who(8, "b"));
    let all = keys(&["NIFTY:5min:RSI_14", "ITC:5min:RSI_14"]);
    for who in [&a, &b] {
        leases.subscribe(at(0), who, None, &all).await.unwrap();
    }
    let name = format!("{}{}", rig.prefix, all[0].lease_key());
    let _: () = rig.raw.del(&name).await.unwrap();
    assert_eq!(
        leases.heartbeat(at(1), &a, &all).await.unwrap(),
        [false, true]
    );
    assert_eq!(leases.active(None, None).await.unwrap().len(), 1);
    assert!(leases.subscribe(at(2), &b, None, &all[..1]).await.unwrap()[0].is_new);
    let gone = leases.release(at(3), "a", None).await.unwrap();
    assert_eq!(gone.len(), 1);
    assert_eq!((&gone[0].key, gone[0].stopped), (&all[1], false));
    // The session's index: the sweep does without.
    let name = format!("{}indicator_lease:session:b", rig.prefix);
    let _: () = rig.raw.del(&name).await.unwrap();
    let _: () = rig
        .raw
        .del(format!("{}{}", rig.prefix, all[1].lease_key()))
        .await
        .unwrap();
    let gone = leases.sweep(at(1_000)).await.unwrap();
    assert_eq!(gone.len(), 1);
    assert_eq!((&gone[0].key, gone[0].stopped), (&all[0], true));
    assert_eq!(leases.totals().await.unwrap().keys, 0);
    assert_eq!(leases.totals().await.unwrap().subscribers, 0);
    // The index of deadlines: a heartbeat brings it back.
    let one = &all[..1];
    for who in [&a, &b] {
        leases.subscribe(at(2_000), who, None, one).await.unwrap();
    }
    let index = format!("{}indicator_lease:keys", rig.prefix);
    let _: () = rig.raw.del(index).await.unwrap();
    assert_eq!(leases.sweep(at(2_400)).await.unwrap(), []);
    assert_eq!(leases.heartbeat(at(2_400), &b, one).await.unwrap(), [true]);
    assert_eq!(leases.sweep(at(2_800)).await.unwrap().len(), 2);
    rig.check().await;
}

/// What another program wrote under the name of a record.
#[tokio::test]
async fn a_text_of_others_counts_as_no_record() {
    let Some(mut rig) = server("a_text_of_others").await else {
        return;
    };
    let leases = Arc::clone(&rig.leases);
    let rsi = keys(&["NIFTY:5min:RSI_14"]);
    let name = format!("{}{}", rig.prefix, rsi[0].lease_key());
    let who = who(7, "a");
    for text in [
        "",
        "null",
        "not JSON",
        r#"{"subscribers": {"7_session_a": {"last_active": 1, "websocket_id": null}}, "ref_count": 1}"#,
    ] {
        let _: () = rig.raw.set(&name, text).await.unwrap();
        assert_eq!(leases.heartbeat(at(0), &who, &rsi).await.unwrap(), [false]);
        assert!(!leases.unsubscribe(&who, &rsi).await.unwrap()[0].was_held);
        assert!(matches!(
            leases.record(&rsi[0]).await,
            Err(Error::Record { .. })
        ));
        let leased = leases.subscribe(at(0), &who, None, &rsi).await.unwrap()[0];
        assert_eq!((leased.is_new, leased.ref_count), (true, 1));
        assert_eq!(leases.record(&rsi[0]).await.unwrap().unwrap().ref_count, 1);
        assert!(leases.unsubscribe(&who, &rsi).await.unwrap()[0].stopped);
    }
    // Not even a text: an error, which says whose.
    let _: () = rig.raw.rpush(&name, "x").await.unwrap();
    let error = leases.subscribe(at(0), &who, None, &rsi).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    let _: () = rig.raw.del(&name).await.unwrap();
    assert!(leases.health().borrow().up);
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_given_again() {
    // Of its own: the scripts of a server are everybody's.
    let Some(server) = crate::server::Server::start("scripts_that_the_server_forgot") else {
        return;
    };
    let leases = RedisLeases::connect(config(&server.url(), ""), settings())
        .await
        .unwrap();
    leases.health().wait_for(|it| it.up).await.unwrap();
    let (who, rsi) = (who(7, "a"), keys(&["NIFTY:5min:RSI_14"]));
    let mut raw = raw(&server.url()).await;
    for round in 0..3 {
        let leased = leases.subscribe(at(round), &who, None, &rsi).await.unwrap()[0];
        assert_eq!(leased.ref_count, 1);
        let _: () = redis::cmd("SCRIPT")
            .arg("FLUSH")
            .query_async(&mut raw)
            .await
            .unwrap();
    }
    assert_eq!(leases.health().borrow().generation, 1);
}

#[tokio::test]
async fn login_sessions_are_shared() {
    let Some(url) = shared("login_sessions_are_shared") else {
        return;
    };
    let prefix = format!("{}:login:", std::process::id());
    let one = RedisLeases::connect(config(&url, &prefix), settings())
        .await
        .unwrap()
        .sessions();
    let other = RedisLeases::connect(config(&url, &prefix), settings())
        .await
        .unwrap()
        .sessions();
    let idle = std::time::Duration::from_secs(43_200);
    assert_eq!(one.peek("s").await.unwrap(), LoginSession::Unknown);
    assert_eq!(one.touch("s", idle).await.unwrap(), LoginSession::Unknown);
    one.put("s", u64::MAX, std::time::Duration::from_secs(100))
        .await
        .unwrap();
    assert_eq!(other.peek("s").await.unwrap(), LoginSession::Of(u64::MAX));
    let mut raw = raw(&url).await;
    let name = format!("{prefix}login_session:s");
    let left: i64 = raw.pttl(&name).await.unwrap();
    assert!((1..=100_000).contains(&left), "{left}");
    assert_eq!(
        other.touch("s", idle).await.unwrap(),
        LoginSession::Of(u64::MAX)
    );
    let left: i64 = raw.pttl(&name).await.unwrap();
    assert!((100_001..=43_200_000).contains(&left), "{left}");
    other.end("s", idle).await.unwrap();
    assert_eq!(one.touch("s", idle).await.unwrap(), LoginSession::Ended);
    assert!(one.put("a:b", 7, idle).await.is_err());
    let _: () = raw.set(&name, "what").await.unwrap();
    assert!(matches!(one.peek("s").await, Err(Error::Answer { .. })));
    let _: () = raw.del(&name).await.unwrap();
    check(&raw, &prefix).await;
}

#[tokio::test]
async fn prefixes_keep_apart() {
    let Some(url) = shared("prefixes_keep_apart") else {
        return;
    };
    let base = format!("{}:apart", std::process::id());
    let one = RedisLeases::connect(config(&url, &base), settings())
        .await
        .unwrap();
    let other = RedisLeases::connect(config(&url, &format!("{base}:")), settings())
        .await
        .unwrap();
    let (who, rsi) = (who(7, "a"), key("NIFTY:5min:RSI_14"));
    let rsi = std::slice::from_ref(&rsi);
    assert!(one.subscribe(at(0), &who, None, rsi).await.unwrap()[0].is_new);
    assert!(other.subscribe(at(0), &who, None, rsi).await.unwrap()[0].is_new);
    assert_eq!(one.release(at(0), "a", None).await.unwrap().len(), 1);
    assert_eq!(other.totals().await.unwrap().keys, 1);
    assert_eq!(other.release(at(0), "a", None).await.unwrap().len(), 1);
}
