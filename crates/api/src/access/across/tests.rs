//! Two nodes that share a Redis, where there is one: `scripts/test` starts it.

use strikewire_gateway::leases::{RedisConfig, RedisLeases, Settings};

use super::*;

const IDLE: Duration = Duration::from_secs(3_600);

/// Where the Redis of the tests is.
const REDIS: &str = "STRIKEWIRE_TEST_REDIS";

fn at(seconds: u64) -> Mono {
    Mono::from_nanos(seconds * 1_000_000_000)
}

/// A node that shares the sessions under `prefix`.
async fn node(url: &str, prefix: &str) -> Access {
    let config = RedisConfig {
        prefix: prefix.to_owned(),
        ..RedisConfig::new(url.parse().unwrap())
    };
    let leases = RedisLeases::connect(config, Settings::default())
        .await
        .unwrap();
    Access::open().with_shared_sessions(leases.sessions())
}

/// A Redis that is there, and a prefix that nobody else has.
fn redis() -> Option<(String, String)> {
    let Ok(url) = std::env::var(REDIS) else {
        eprintln!("skipped: {REDIS} names no Redis");
        return None;
    };
    let mut random = [0; 8];
    getrandom::fill(&mut random).unwrap();
    Some((
        url,
        format!("sessions-{:016x}:", u64::from_be_bytes(random)),
    ))
}

/// Where no Redis is.
fn nobody() -> String {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("redis://{}", gone.local_addr().unwrap())
}

#[tokio::test]
async fn a_session_goes_on_at_another_node() {
    let Some((url, prefix)) = redis() else { return };
    let (a, b) = (node(&url, &prefix).await, node(&url, &prefix).await);
    let id = a.begin_session(7, at(0), IDLE).await.unwrap();
    assert_eq!(b.session_owner(&id).await, Some(7));
    assert_eq!(b.sessions.user_of(&id), None);
    assert!(b.use_session(&id, at(1), IDLE).await);
    assert_eq!(b.sessions.user_of(&id), Some(7));
    assert!(a.use_session(&id, at(2), IDLE).await);
    // Not used at the first for too long, but it is not over.
    assert_eq!(a.sweep(at(2 + 3_600), IDLE).await, []);
    assert!(a.sessions.is_empty());
    assert!(a.use_session(&id, at(3 + 3_600), IDLE).await);
    for unknown in ["made-up", "", "0f8e2c5a9b7d41e6a3c4d5e6f7081920"] {
        assert_eq!(b.session_owner(unknown).await, None);
        assert!(!b.use_session(unknown, at(4), IDLE).await);
    }
}

#[tokio::test]
async fn a_logout_at_one_node_ends_it_at_all() {
    let Some((url, prefix)) = redis() else { return };
    let (a, b) = (node(&url, &prefix).await, node(&url, &prefix).await);
    let id = a.begin_session(7, at(0), IDLE).await.unwrap();
    let other = a.begin_session(7, at(0), IDLE).await.unwrap();
    b.end_session(&id, at(1), IDLE).await;
    assert!(!a.use_session(&id, at(1), IDLE).await);
    assert_eq!(a.sessions.user_of(&id), None);
    assert!(!a.use_session(&id, at(1), IDLE).await);
    assert!(a.use_session(&other, at(1), IDLE).await);
}

#[tokio::test]
async fn a_session_that_redis_has_lost_is_put_back() {
    let Some((url, prefix)) = redis() else { return };
    // It began while this node was alone.
    let alone = Access::open();
    let id = alone.begin_session(7, at(0), IDLE).await.unwrap();
    let (a, b) = (node(&url, &prefix).await, node(&url, &prefix).await);
    let a = Access {
        sessions: alone.sessions,
        ..a
    };
    assert_eq!(b.session_owner(&id).await, None);
    assert!(a.use_session(&id, at(1), IDLE).await);
    assert_eq!(b.session_owner(&id).await, Some(7));
}

#[tokio::test]
async fn what_is_known_here_goes_on_without_redis() {
    let node = node(&nobody(), "").await;
    let id = node.begin_session(7, at(0), IDLE).await.unwrap();
    assert_eq!(node.session_owner(&id).await, Some(7));
    assert!(node.use_session(&id, at(1), IDLE).await);
    assert_eq!(node.session_owner("another-nodes").await, None);
    assert!(!node.use_session("another-nodes", at(1), IDLE).await);
    // Nobody says that it is in use elsewhere.
    let ended = node.sweep(at(1 + 3_600), IDLE).await;
    assert_eq!(ended.len(), 1);
    assert_eq!((&*ended[0].session_id, ended[0].user), (&*id, 7));
    let id = node.begin_session(7, at(0), IDLE).await.unwrap();
    node.end_session(&id, at(1), IDLE).await;
    assert!(!node.use_session(&id, at(1), IDLE).await);
}

#[tokio::test]
async fn a_logout_while_redis_is_away_holds_and_is_told_later() {
    let Some((url, prefix)) = redis() else { return };
    let (a, b) = (node(&url, &prefix).await, node(&url, &prefix).await);
    let id = b.begin_session(7, at(0), IDLE).await.unwrap();
    assert!(a.use_session(&id, at(1), IDLE).await);
    // Redis goes away for one of them.
    let (away, back) = (node(&nobody(), "").await, a.shared);
    let a = Access {
        sessions: a.sessions,
        ..away
    };
    a.end_session(&id, at(2), IDLE).await;
    assert!(!a.use_session(&id, at(3), IDLE).await);
    assert_eq!(a.sweep(at(3), IDLE).await, []);
    // It is back, and does not know.
    let a = Access { shared: back, ..a };
    assert_eq!(b.session_owner(&id).await, Some(7));
    assert_eq!(a.session_owner(&id).await, None);
    assert!(!a.use_session(&id, at(4), IDLE).await);
    assert!(!a.is_under_way(&id).await);
    assert_eq!(a.sweep(at(5), IDLE).await, []);
    // Now it does.
    assert!(!a.untold.has(&id));
    assert!(!b.use_session(&id, at(6), IDLE).await);
    assert!(!a.use_session(&id, at(6), IDLE).await);
}
