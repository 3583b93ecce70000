//! The suite on Redis, and what only Redis has to do.

use std::collections::BTreeMap;
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
            let name = rest.strip_prefix("indicator_sub:").unwrap();
            let places = format!("{prefix}indicator_lease:places:{name}");
            let places: BTreeMap<String, usize> = raw.hgetall(places).await.unwrap();
            assert_eq!(places.len(), record.subscribers.len() + 1, "{json}");
            for subscriber in record.subscribers.keys() {
                let entry = &json[places[subscriber] + 1..];
                let begins = format!("\n\"{subscriber}\":{{\"last_active\":");
                assert!(entry.starts_with(&begins), "{subscriber} {json}");
            }
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
    let mut names: Vec<_> = left
        .iter()
        .map(|(name, _)| name.strip_prefix(&rig.prefix).unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["indicator_lease:data", "indicator_lease:probe"]);
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

/// The places of entries beside a record are believed by nobody.
#[tokio::test]
async fn places_that_are_lost_or_wrong_do_no_harm() {
    let Some(rig) = server("places_that_are_lost").await else {
        return;
    };
    let mut raw = rig.raw.clone();
    let leases = &rig.leases;
    let rsi = &keys(&["NIFTY:5min:RSI_14"]);
    let all = [who(7, "a"), who(8, "b"), who(9, "c")];
    let other = who(10, "d");
    let places = format!("{}indicator_lease:places:NIFTY:5min:RSI_14", rig.prefix);
    for round in 0..15 {
        for who in &all {
            leases.subscribe(at(0), who, None, rsi).await.unwrap();
        }
        match round / 5 {
            0 => raw.del::<_, ()>(&places).await.unwrap(),
            1 => {
                for who in &all {
                    let far = raw.hset::<_, _, _, ()>(&places, who.to_string(), 1_000_000);
                    far.await.unwrap();
                }
            }
            _ => {
                // The place of another.
                let others: usize = raw.hget(&places, all[1].to_string()).await.unwrap();
                let same = raw.hset::<_, _, _, ()>(&places, all[0].to_string(), others);
                same.await.unwrap();
            }
        }
        match round % 5 {
            0 => {
                for who in &all {
                    assert_eq!(leases.heartbeat(at(1), who, rsi).await.unwrap(), [true]);
                }
                assert_eq!(leases.heartbeat(at(1), &other, rsi).await.unwrap(), [false]);
            }
            1 => {
                let leased = leases.subscribe(at(1), &all[0], Some("x"), rsi).await;
                assert_eq!(leased.unwrap()[0].ref_count, 3);
            }
            2 => {
                let leased = leases.subscribe(at(1), &other, None, rsi).await.unwrap()[0];
                assert_eq!((leased.is_new, leased.ref_count), (false, 4));
                let ended = leases.unsubscribe(&other, rsi).await.unwrap()[0];
                assert_eq!((ended.was_held, ended.ref_count), (true, 3));
            }
            3 => {
                assert!(!leases.unsubscribe(&other, rsi).await.unwrap()[0].was_held);
                let ended = leases.unsubscribe(&all[0], rsi).await.unwrap()[0];
                assert_eq!((ended.was_held, ended.ref_count), (true, 2));
            }
            _ => {
                assert_eq!(leases.release(at(1), "a", None).await.unwrap().len(), 1);
                assert_eq!(leases.sweep(at(306)).await.unwrap().len(), 2);
                assert_eq!(leases.record(&rsi[0]).await.unwrap(), None);
                continue;
            }
        }
        // Whatever else was wrong is found when it is needed.
        for who in &all {
            leases.subscribe(at(2), who, None, rsi).await.unwrap();
        }
        let record = leases.record(&rsi[0]).await.unwrap().unwrap();
        assert_eq!((record.ref_count, record.subscribers.len()), (3, 3));
        rig.check().await;
    }
}

/// Blanks that entries leave behind are taken out before they are more than the record.
#[tokio::test]
async fn a_record_does_not_grow_while_they_come_and_go() {
    let Some(rig) = server("a_record_does_not_grow").await else {
        return;
    };
    let rsi = &keys(&["NIFTY:5min:RSI_14"]);
    let name = format!("{}indicator_sub:NIFTY:5min:RSI_14", rig.prefix);
    for user in 0..3 {
        rig.leases
            .subscribe(at(0), &who(user, "a"), None, rsi)
            .await
            .unwrap();
    }
    for round in 0..200 {
        let socket = "s".repeat(round);
        let (one, other) = (who(100 + round as u64, "b"), who(round as u64 % 3, "a"));
        rig.leases
            .subscribe(at(1), &one, Some(&socket), rsi)
            .await
            .unwrap();
        // The first entry goes too, and another becomes the first.
        rig.leases.unsubscribe(&other, rsi).await.unwrap();
        let leased = rig
            .leases
            .subscribe(at(1), &other, None, rsi)
            .await
            .unwrap();
        assert_eq!(leased[0].ref_count, 4);
        rig.leases.unsubscribe(&one, rsi).await.unwrap();
        let length: usize = rig.raw.clone().strlen(&name).await.unwrap();
        assert!(length < 4_096, "{length}");
        rig.check().await;
    }
}

/// Two nodes on one server: what one has heard the other knows, and what ends is told once.
#[tokio::test]
async fn two_nodes_sweep_as_one() {
    let Some(rig) = server("two_nodes_sweep").await else {
        return;
    };
    let url = shared("two_nodes_sweep").unwrap();
    let second = RedisLeases::connect(config(&url, &rig.prefix), settings())
        .await
        .unwrap();
    let (a, b) = (who(7, "a"), who(8, "b"));
    let rsi = &keys(&["NIFTY:5min:RSI_14"]);
    rig.leases.subscribe(at(0), &a, None, rsi).await.unwrap();
    second.subscribe(at(0), &b, None, rsi).await.unwrap();
    assert_eq!(second.heartbeat(at(304), &a, rsi).await.unwrap(), [true]);
    for (now, expected) in [
        (304, vec![]),
        (307, vec![&b]),
        (608, vec![]),
        (610, vec![&a]),
    ] {
        let (one, other) = tokio::join!(rig.leases.sweep(at(now)), second.sweep(at(now)));
        let gone = [one.unwrap(), other.unwrap()].concat();
        let those: Vec<_> = gone.iter().map(|it| &it.subscriber).collect();
        assert_eq!(those, expected, "{now}");
    }
    assert_eq!(second.totals().await.unwrap().keys, 0);
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
