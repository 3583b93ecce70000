//! Nodes that share a store.

use core::time::Duration;
use std::collections::BTreeSet;

use strikewire_leases::Leases;
use tokio::time::advance;

use super::fake::{IDLE, Node, SWEEP, Server, key, settled, want, who};
use crate::indicators::IndicatorConfig;

const RSI: &str = "NIFTY 5min RSI_14";
const SMA: &str = "NIFTY 5min SMA_20";

/// The store is told again what it missed within this time.
const RETRIED: Duration = Duration::from_secs(2);

#[tokio::test(start_paused = true)]
async fn counts_and_sessions_hold_across_nodes() {
    let server = Server::new();
    let (a, mut b) = (Node::on(&server, 1), Node::on(&server, 2));
    let (me, you) = (who(1, "s"), who(2, "t"));
    let first = a
        .indicators
        .subscribe(&me, None, &[want(RSI)])
        .await
        .unwrap();
    assert!(first[0].is_new);
    let second = b
        .indicators
        .subscribe(&you, Some("w"), &[want(RSI)])
        .await
        .unwrap();
    assert_eq!((second[0].is_new, second[0].ref_count), (false, 2));
    // Each computes for its own.
    assert_eq!(a.engine.wanted(), BTreeSet::from([key(RSI)]));
    assert_eq!(b.engine.wanted(), BTreeSet::from([key(RSI)]));
    for node in [&a, &b] {
        assert_eq!(node.indicators.totals().await.unwrap().subscribers, 2);
        let active = node.indicators.active(None, None).await.unwrap();
        assert_eq!(active[&key(RSI).lease_key()].ref_count, 2);
    }
    // The end of a session is the end of it everywhere.
    assert_eq!(a.indicators.release_session("t", Some(2)).await.unwrap(), 1);
    advance(SWEEP + Duration::from_secs(1)).await;
    settled().await;
    assert!(b.is_clean());
    let lost = ("w".to_owned(), RSI.to_owned(), "let go of on another node");
    assert_eq!(b.lost(), [lost]);
    let gone = a.indicators.unsubscribe(&me, &[want(RSI)]).await.unwrap();
    assert!(gone[0].stopped);
    assert!(a.is_clean());
    assert!(server.leases().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_hears_what_another_node_did() {
    let server = Server::new();
    let (a, mut b) = (Node::on(&server, 1), Node::on(&server, 2));
    let me = who(1, "s");
    b.indicators
        .subscribe(&me, Some("w"), &[want(RSI), want(SMA)])
        .await
        .unwrap();
    let gone = a.indicators.unsubscribe(&me, &[want(RSI)]).await.unwrap();
    assert!(gone[0].was_held && gone[0].stopped);
    let mut beaten = b.indicators.heartbeat_socket("w").await;
    beaten.sort_by_key(|(want, _)| want.indicator.clone());
    assert_eq!(beaten, [(want(RSI), false), (want(SMA), true)]);
    assert_eq!(b.engine.wanted(), BTreeSet::from([key(SMA)]));
    assert_eq!(b.lost().len(), 1);
    b.check().await;
}

#[tokio::test(start_paused = true)]
async fn who_comes_from_a_node_that_died_is_adopted() {
    let server = Server::new();
    let (a, b) = (Node::on(&server, 1), Node::on(&server, 2));
    let me = who(1, "s");
    a.indicators
        .subscribe(&me, Some("w"), &[want(RSI)])
        .await
        .unwrap();
    a.indicators
        .subscribe(&who(2, "t"), None, &[want(SMA)])
        .await
        .unwrap();
    a.kill().await;
    // Before its time is over; what is not its own stays another's.
    advance(IDLE - Duration::from_secs(10)).await;
    let beaten = b
        .indicators
        .heartbeat(&me, &[want(SMA), want("nifty 5m rsi")])
        .await;
    assert_eq!(beaten.unwrap(), [false, true]);
    assert_eq!(b.engine.wanted(), BTreeSet::from([key(RSI)]));
    assert_eq!(b.held(), BTreeSet::from([(me.clone(), key(RSI))]));
    b.check().await;
    // Who does not come goes.
    advance(SWEEP + Duration::from_secs(15)).await;
    settled().await;
    assert_eq!(server.all().await, BTreeSet::from([(me, key(RSI))]));
    advance(IDLE + SWEEP).await;
    settled().await;
    assert!(b.is_clean());
    assert!(server.leases().is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_the_store_a_node_goes_on_and_makes_up_for_it() {
    let server = Server::new();
    let node = Node::on(&server, 1);
    let it = &node.indicators;
    let (me, you) = (who(1, "s"), who(2, "t"));
    it.subscribe(&me, Some("w"), &[want(RSI), want(SMA)])
        .await
        .unwrap();
    it.subscribe(&you, None, &[want(RSI)]).await.unwrap();
    assert_eq!(it.degraded(), None);

    node.link().down();
    assert!(it.degraded().is_some() && it.degraded_since().is_some());
    let calls = node.link().calls();
    let third = it
        .subscribe(&who(3, "u"), None, &[want(RSI)])
        .await
        .unwrap();
    assert_eq!((third[0].is_new, third[0].ref_count), (false, 3));
    assert_eq!(
        it.heartbeat(&you, &[want(RSI), want(SMA)]).await.unwrap(),
        [true, false]
    );
    let gone = it.unsubscribe(&you, &[want(RSI)]).await.unwrap();
    assert_eq!((gone[0].was_held, gone[0].ref_count), (true, 2));
    assert_eq!(it.release_session("s", Some(1)).await.unwrap(), 2);
    assert_eq!(it.totals().await.unwrap().subscribers, 1);
    assert_eq!(node.link().calls(), calls, "one that is down is not asked");
    node.check().await;
    assert_eq!(server.all().await.len(), 3, "it knows nothing of this");

    node.link().up();
    settled().await;
    assert_eq!(it.degraded(), None);
    assert_eq!(
        server.all().await,
        BTreeSet::from([(who(3, "u"), key(RSI))])
    );
    node.check().await;
    it.unsubscribe(&who(3, "u"), &[want(RSI)]).await.unwrap();
    assert!(node.is_clean());
    assert!(server.leases().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_lost_everything_hears_it_again_before_it_is_believed() {
    let server = Server::new();
    let node = Node::on(&server, 1);
    let it = &node.indicators;
    let me = who(1, "s");
    it.subscribe(&me, Some("w"), &[want(RSI)]).await.unwrap();
    // It was away for less than anybody noticed.
    server.forget();
    node.link().up();
    assert_eq!(
        it.heartbeat(&me, &[want(RSI), want(SMA)]).await.unwrap(),
        [true, false]
    );
    assert_eq!(server.all().await, node.held());
    let record = server.leases().record(&key(RSI)).await.unwrap().unwrap();
    let seen = &record.subscribers["1_session_s"];
    assert_eq!(seen.websocket_id.as_deref(), Some("w"));
    node.check().await;
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_is_lost_counts_nobody_twice_and_forgets_nobody() {
    let server = Server::new();
    let node = Node::on(&server, 1);
    let it = &node.indicators;
    let (me, you) = (who(1, "s"), who(2, "t"));
    it.subscribe(&you, None, &[want(SMA)]).await.unwrap();
    node.link().trouble(Duration::ZERO, 0, 100);
    let lease = it.subscribe(&me, None, &[want(RSI)]).await.unwrap();
    assert_eq!(lease[0].ref_count, 1);
    it.unsubscribe(&you, &[want(SMA)]).await.unwrap();
    it.release_session("x", None).await.unwrap();
    node.link().trouble(Duration::ZERO, 0, 0);
    tokio::time::sleep(RETRIED).await;
    assert_eq!(server.all().await, node.held());
    assert_eq!(server.all().await, BTreeSet::from([(me.clone(), key(RSI))]));
    node.check().await;
    it.release_session("s", None).await.unwrap();
    assert!(node.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ended_without_the_store_ends_everywhere() {
    let server = Server::new();
    let (a, b) = (Node::on(&server, 1), Node::on(&server, 2));
    let me = who(1, "s");
    b.indicators
        .subscribe(&me, Some("w"), &[want(RSI)])
        .await
        .unwrap();
    a.link().down();
    assert_eq!(a.indicators.release_session("s", None).await.unwrap(), 0);
    let twice = a.indicators.release_session("t", Some(4)).await.unwrap();
    assert_eq!(twice, 0);
    a.link().up();
    settled().await;
    assert!(server.leases().is_empty());
    assert!(a.is_clean());
    // What is taken after it is not let go by it.
    a.link().down();
    a.indicators.release_session("s", Some(1)).await.unwrap();
    a.link().up();
    a.indicators
        .subscribe(&me, None, &[want(SMA)])
        .await
        .unwrap();
    settled().await;
    assert_eq!(server.all().await, BTreeSet::from([(me, key(SMA))]));
}

#[tokio::test(start_paused = true)]
async fn what_is_owed_for_long_is_forgotten() {
    let server = Server::new();
    let node = Node::on(&server, 1);
    let it = &node.indicators;
    node.link().down();
    for n in 0..200_u64 {
        let me = who(n, &format!("s{n}"));
        it.subscribe(&me, Some("w"), &[want(RSI)]).await.unwrap();
        it.release_session(&me.session, Some(n)).await.unwrap();
        it.release_session(&format!("t{n}"), None).await.unwrap();
    }
    assert!(!node.is_clean());
    advance(IDLE + SWEEP).await;
    settled().await;
    assert!(node.is_clean());
}

#[tokio::test(start_paused = true)]
async fn an_outage_longer_than_a_lease_lets_nobody_go_who_is_there() {
    let server = Server::new();
    let (a, b) = (Node::on(&server, 1), Node::on(&server, 2));
    let (me, you) = (who(1, "s"), who(2, "t"));
    a.indicators
        .subscribe(&me, None, &[want(RSI)])
        .await
        .unwrap();
    b.indicators
        .subscribe(&you, Some("w"), &[want(RSI)])
        .await
        .unwrap();
    for node in [&a, &b] {
        node.link().down();
    }
    for _ in 0..10 {
        advance(SWEEP).await;
        settled().await;
        assert_eq!(
            a.indicators.heartbeat(&me, &[want(RSI)]).await.unwrap(),
            [true]
        );
        assert_eq!(
            b.indicators.heartbeat_socket("w").await,
            [(want(RSI), true)]
        );
    }
    // One is back a good while before the other, and sweeps.
    a.link().up();
    advance(SWEEP + Duration::from_secs(1)).await;
    settled().await;
    assert_eq!(server.all().await, a.held());
    b.link().up();
    settled().await;
    let both = BTreeSet::from([(me, key(RSI)), (you, key(RSI))]);
    assert_eq!(server.all().await, both);
    a.check().await;
    b.check().await;
}

#[tokio::test(start_paused = true)]
async fn who_moves_to_another_node_is_computed_there_and_not_let_go() {
    let server = Server::new();
    let (a, b) = (Node::on(&server, 1), Node::on(&server, 2));
    let me = who(1, "s");
    a.indicators
        .subscribe(&me, None, &[want(RSI)])
        .await
        .unwrap();
    for _ in 0..8 {
        advance(SWEEP).await;
        settled().await;
        let beaten = b.indicators.heartbeat(&me, &[want(RSI)]).await.unwrap();
        assert_eq!(beaten, [true]);
    }
    assert!(a.is_clean(), "it heard nothing for long");
    assert_eq!(server.all().await, b.held());
    assert_eq!(b.held().len(), 1);
}

/// Its connection to one node was lost, and it came to another before the first noticed.
#[tokio::test(start_paused = true)]
async fn a_socket_that_ends_late_takes_nothing_from_another_node() {
    let server = Server::new();
    let (a, b) = (Node::on(&server, 1), Node::on(&server, 2));
    let me = who(1, "s");
    for (is_away, names) in [(false, ["a1", "b1"]), (true, ["a2", "b2"])] {
        a.indicators
            .subscribe(&me, Some(names[0]), &[want(RSI), want(SMA)])
            .await
            .unwrap();
        b.indicators
            .subscribe(&me, Some(names[1]), &[want(RSI)])
            .await
            .unwrap();
        if is_away {
            a.link().down();
        }
        a.indicators.release_socket(names[0]);
        settled().await;
        if is_away {
            a.link().up();
            tokio::time::sleep(RETRIED).await;
        }
        assert!(a.is_clean());
        assert_eq!(server.all().await, b.held());
        assert_eq!(
            b.indicators.heartbeat_socket(names[1]).await,
            [(want(RSI), true)]
        );
        b.indicators.release_socket(names[1]);
        settled().await;
        assert!(b.is_clean() && server.leases().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_of_several_sockets_lets_go_whichever_came_last() {
    let server = Server::new();
    let node = Node::on(&server, 1);
    let me = who(1, "s");
    for order in [["w", "v"], ["v", "w"]] {
        for socket in ["v", "w"] {
            node.indicators
                .subscribe(&me, Some(socket), &[want(RSI)])
                .await
                .unwrap();
        }
        node.indicators.release_socket(order[0]);
        settled().await;
        // The store hears of it anew, in the name of the one that is known to it.
        server.forget();
        node.link().up();
        settled().await;
        assert_eq!(server.all().await, node.held());
        node.indicators.release_socket(order[1]);
        settled().await;
        assert!(server.leases().is_empty(), "{order:?}");
        assert!(node.is_clean());
    }
}

#[tokio::test(start_paused = true)]
async fn what_another_node_let_go_of_is_not_brought_back() {
    let server = Server::new();
    let (a, mut b) = (Node::on(&server, 1), Node::on(&server, 2));
    let me = who(1, "s");
    b.indicators
        .subscribe(&me, Some("w"), &[want(RSI)])
        .await
        .unwrap();
    b.link().down();
    b.indicators
        .subscribe(&me, Some("w"), &[want(SMA)])
        .await
        .unwrap();
    a.indicators.unsubscribe(&me, &[want(RSI)]).await.unwrap();
    b.link().up();
    tokio::time::sleep(RETRIED).await;
    // What was taken meanwhile is another matter.
    assert_eq!(server.all().await, BTreeSet::from([(me.clone(), key(SMA))]));
    assert_eq!(b.held(), server.all().await);
    let lost = ("w".to_owned(), RSI.to_owned(), "let go of on another node");
    assert_eq!(b.lost(), [lost]);
    b.check().await;
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_is_no_sign_of_life() {
    let server = Server::new();
    let node = Node::on(&server, 1);
    let me = who(1, "s");
    node.indicators
        .subscribe(&me, None, &[want(RSI)])
        .await
        .unwrap();
    tokio::time::sleep(IDLE - Duration::from_secs(20)).await;
    node.link().up();
    settled().await;
    tokio::time::sleep(SWEEP + Duration::from_secs(20)).await;
    assert!(node.is_clean());
    assert!(server.leases().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_logout_that_comes_late_takes_nothing_that_came_after() {
    let server = Server::new();
    let node = Node::on(&server, 1);
    let it = &node.indicators;
    let me = who(1, "s");
    it.subscribe(&me, None, &[want(RSI)]).await.unwrap();
    node.link().down();
    it.release_session("s", None).await.unwrap();
    it.subscribe(&me, None, &[want(SMA)]).await.unwrap();
    // It answers slowly when it is back, and not always.
    node.link().trouble(Duration::from_millis(400), 20, 20);
    node.link().up();
    for _ in 0..40 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let alive = it.heartbeat(&me, &[want(SMA)]).await;
        assert_eq!(alive.unwrap(), [true]);
    }
    node.link().trouble(Duration::ZERO, 0, 0);
    tokio::time::sleep(RETRIED).await;
    assert_eq!(server.all().await, BTreeSet::from([(me, key(SMA))]));
    node.check().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_node_has_no_room_for_is_not_alive_there() {
    let server = Server::new();
    let a = Node::on(&server, 1);
    let config = IndicatorConfig {
        max_keys: 1,
        ..IndicatorConfig::default()
    };
    let clock = strikewire_types::Clock::system();
    let b = Node::made(
        config,
        Some((std::sync::Arc::clone(&server), 2)),
        false,
        clock,
    );
    let me = who(1, "s");
    a.indicators
        .subscribe(&me, None, &[want(RSI)])
        .await
        .unwrap();
    b.indicators
        .subscribe(&me, None, &[want(SMA)])
        .await
        .unwrap();
    let beaten = b.indicators.heartbeat(&me, &[want(RSI), want(SMA)]).await;
    assert_eq!(beaten.unwrap(), [false, true]);
    b.check().await;
}
