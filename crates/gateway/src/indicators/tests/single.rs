//! A node with its own memory alone.

use core::time::Duration;

use tokio::time::advance;

use super::fake::{IDLE, Node, SWEEP, key, settled, want, who};
use crate::indicators::IndicatorConfig;
use crate::{Error, IndicatorWant};
use strikewire_types::Clock;

const RSI: &str = "NIFTY 5min RSI_14";
const SMA: &str = "NIFTY 5min SMA_20";

#[tokio::test(start_paused = true)]
async fn the_first_starts_it_and_the_last_one_out_ends_it() {
    let node = Node::alone();
    let it = &node.indicators;
    let (me, you) = (who(1, "a"), who(2, "b"));
    let leases = it
        .subscribe(&me, None, &[want("nifty 5MIN rsi"), want(SMA)])
        .await
        .unwrap();
    let said = leases
        .iter()
        .map(|it| (it.key.clone(), it.is_new, it.ref_count));
    assert_eq!(
        said.collect::<Vec<_>>(),
        [(key(RSI), true, 1), (key(SMA), true, 1)]
    );
    assert_eq!(leases[0].instrument.to_string(), "IDX_I:13");
    assert_eq!(leases[0].want, want("nifty 5MIN rsi"));
    assert_eq!(node.engine.is_streamed(&key(RSI)), Some(false));

    // Again is the same; another counts.
    let again = it.subscribe(&me, None, &[want(RSI)]).await.unwrap();
    assert_eq!((again[0].is_new, again[0].ref_count), (false, 1));
    let other = it.subscribe(&you, None, &[want(RSI)]).await.unwrap();
    assert_eq!((other[0].is_new, other[0].ref_count), (false, 2));
    assert_eq!(other[0].value, leases[0].value);
    let totals = it.totals().await.unwrap();
    assert_eq!((totals.keys, totals.subscribers), (2, 2));
    let active = it.active(Some("NIFTY 50"), Some("5m")).await.unwrap();
    assert_eq!(active.len(), 2);
    assert_eq!(active[&key(RSI).lease_key()].ref_count, 2);
    assert!(it.active(Some("RELIANCE"), None).await.unwrap().is_empty());

    let gone = it.unsubscribe(&me, &[want(RSI), want(SMA)]).await.unwrap();
    let said = gone
        .iter()
        .map(|it| (it.was_held, it.stopped, it.ref_count));
    assert_eq!(
        said.collect::<Vec<_>>(),
        [(true, false, 1), (true, true, 0)]
    );
    assert_eq!(node.engine.is_streamed(&key(SMA)), None);
    node.check().await;
    let gone = it.unsubscribe(&me, &[want(RSI)]).await.unwrap();
    assert_eq!((gone[0].was_held, gone[0].ref_count), (false, 1));
    it.unsubscribe(&you, &[want(RSI)]).await.unwrap();
    assert!(node.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_mistake_takes_nothing() {
    let node = Node::alone();
    let it = &node.indicators;
    let me = who(1, "a");
    let bad = |second: &str| [want(SMA), want(second)];
    let refused = async |second: &str| {
        let error = it.subscribe(&me, None, &bad(second)).await.unwrap_err();
        assert!(node.is_clean());
        error
    };
    assert!(matches!(
        refused("NIFTY 5min RZI_14").await,
        Error::UnknownIndicator { at: 1, choices, .. } if !choices.is_empty()
    ));
    assert!(matches!(
        refused("NIFTY 5min RSI_0").await,
        Error::IndicatorParameter { at: 1, .. }
    ));
    assert!(matches!(
        refused("NIFTY 5weeks RSI_14").await,
        Error::UnknownTimeframe { at: 1, .. }
    ));
    assert!(matches!(
        refused("NIFTI 5min RSI_14").await,
        Error::Lookup(_)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_user_and_the_node_have_limits() {
    let config = IndicatorConfig {
        max_per_user: 3,
        max_keys: 4,
        ..IndicatorConfig::default()
    };
    let node = Node::made(config, None, false, Clock::system());
    let it = &node.indicators;
    let smas = |range: core::ops::Range<u32>| -> Vec<IndicatorWant> {
        range
            .map(|n| want(&format!("NIFTY 5min SMA_{n}")))
            .collect()
    };
    it.subscribe(&who(1, "a"), None, &smas(2..4)).await.unwrap();
    // Sessions of a user count together, repeats do not count.
    let error = it
        .subscribe(&who(1, "b"), None, &smas(4..6))
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        Error::TooManyIndicators {
            user: 1,
            held: 2,
            most: 3
        }
    ));
    let twice = [smas(2..4), smas(2..4)].concat();
    it.subscribe(&who(1, "a"), None, &twice).await.unwrap();
    it.subscribe(&who(1, "b"), None, &smas(2..3)).await.unwrap();
    it.subscribe(&who(2, "c"), None, &smas(4..6)).await.unwrap();
    let error = it
        .subscribe(&who(3, "d"), None, &smas(6..7))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::TooManyKeys { held: 4, most: 4 }));
    // What is computed already costs nothing.
    it.subscribe(&who(3, "d"), None, &smas(2..5)).await.unwrap();
    it.release_session("c", None).await.unwrap();
    it.subscribe(&who(4, "e"), None, &smas(7..8)).await.unwrap();
    node.check().await;
}

#[tokio::test(start_paused = true)]
async fn a_socket_takes_its_own_along_and_no_more() {
    let mut node = Node::alone();
    let me = who(1, "a");
    let it = node.indicators.clone();
    it.subscribe(&me, Some("s1"), &[want(RSI), want(SMA)])
        .await
        .unwrap();
    it.subscribe(&me, Some("s2"), &[want(RSI)]).await.unwrap();
    it.subscribe(&who(2, "b"), Some("s1"), &[want(SMA)])
        .await
        .unwrap();
    it.subscribe(&me, None, &[want("RELIANCE 1d EMA_9")])
        .await
        .unwrap();
    assert_eq!(node.engine.is_streamed(&key(SMA)), Some(true));
    assert!(it.holds(&me, "s1", &key(SMA)) && !it.holds(&me, "s2", &key(SMA)));
    it.release_socket("s1");
    settled().await;
    let held: Vec<_> = node.held().into_iter().map(|(_, key)| key).collect();
    assert_eq!(held, [key(RSI), key("RELIANCE 1d EMA_9")]);
    assert_eq!(node.engine.is_streamed(&key(RSI)), Some(true));
    node.check().await;
    // Somebody who streams makes an old one streamed, and the last one ends that.
    it.subscribe(&who(3, "c"), None, &[want(RSI)])
        .await
        .unwrap();
    it.release_held(&me, "s2", &[key(RSI), key(SMA)]).await;
    assert_eq!(node.engine.is_streamed(&key(RSI)), Some(false));
    assert_eq!(node.lost(), [], "a socket that lets go need not be told");
    it.release_session("a", Some(1)).await.unwrap();
    it.release_session("c", None).await.unwrap();
    assert!(node.is_clean());
}

#[tokio::test(start_paused = true)]
async fn whoever_is_let_go_by_others_is_told() {
    let mut node = Node::alone();
    let it = node.indicators.clone();
    let me = who(1, "a");
    it.subscribe(&me, Some("s1"), &[want(RSI), want(SMA)])
        .await
        .unwrap();
    it.subscribe(&me, Some("s2"), &[want(RSI)]).await.unwrap();
    it.unsubscribe(&me, &[want(RSI)]).await.unwrap();
    let said = |socket: &str, key: &str, why| (socket.to_owned(), key.to_owned(), why);
    let request = "unsubscribed by request";
    assert_eq!(
        node.lost(),
        [said("s1", RSI, request), said("s2", RSI, request)]
    );
    assert_eq!(it.release_session("b", None).await.unwrap(), 0);
    assert_eq!(it.release_session("a", Some(2)).await.unwrap(), 0);
    assert_eq!(it.release_session("a", Some(1)).await.unwrap(), 1);
    assert_eq!(node.lost(), [said("s1", SMA, "the session has ended")]);
    it.subscribe(&me, Some("s1"), &[want(SMA)]).await.unwrap();
    node.sink.gone(vec![key(SMA), key(RSI)]);
    settled().await;
    let delisted = "its instrument is not listed any more";
    assert_eq!(node.lost(), [said("s1", SMA, delisted)]);
    assert!(node.is_clean());
}

#[tokio::test(start_paused = true)]
async fn who_gives_no_sign_of_life_is_swept() {
    let mut node = Node::alone();
    let it = node.indicators.clone();
    let (me, you) = (who(1, "a"), who(2, "b"));
    it.subscribe(&me, Some("s1"), &[want(RSI), want(SMA)])
        .await
        .unwrap();
    it.subscribe(&you, None, &[want(SMA)]).await.unwrap();
    let beats = IDLE.as_secs() / SWEEP.as_secs();
    for _ in 0..beats {
        advance(SWEEP).await;
        settled().await;
        assert_eq!(
            it.heartbeat(&you, &[want(SMA), want(RSI), want("X 5min SMA_2")])
                .await
                .unwrap(),
            [true, false, false]
        );
    }
    advance(SWEEP + Duration::from_secs(1)).await;
    settled().await;
    let held: Vec<_> = node.held().into_iter().collect();
    assert_eq!(held, [(you.clone(), key(SMA))]);
    let late = "no sign of life in time";
    let mut lost = node.lost();
    lost.sort();
    assert_eq!(
        lost,
        [
            ("s1".into(), RSI.into(), late),
            ("s1".into(), SMA.into(), late)
        ]
    );
    assert_eq!(it.heartbeat(&me, &[want(SMA)]).await.unwrap(), [false]);
    assert!(it.heartbeat_socket("s1").await.is_empty());
    node.check().await;
    advance(IDLE + SWEEP).await;
    settled().await;
    assert!(node.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_socket_beats_for_all_it_holds() {
    let node = Node::alone();
    let it = &node.indicators;
    let (me, you) = (who(1, "a"), who(2, "b"));
    it.subscribe(&me, Some("s1"), &[want("nifty 5m rsi")])
        .await
        .unwrap();
    it.subscribe(&you, Some("s1"), &[want(SMA)]).await.unwrap();
    it.subscribe(&me, None, &[want(SMA)]).await.unwrap();
    advance(IDLE - Duration::from_secs(5)).await;
    let mut beaten = it.heartbeat_socket("s1").await;
    beaten.sort_by_key(|(want, _)| want.indicator.clone());
    assert_eq!(beaten, [(want(RSI), true), (want(SMA), true)]);
    advance(SWEEP + Duration::from_secs(5)).await;
    settled().await;
    // What was held by request alone is gone.
    let held: Vec<_> = node.held().into_iter().collect();
    assert_eq!(held, [(me, key(RSI)), (you, key(SMA))]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_dropped_leaves_no_half() {
    let node = Node::alone();
    let it = &node.indicators;
    let me = who(1, "a");
    // Asked for, and gone before there is an answer.
    {
        let wants = [want(RSI)];
        let mut asked = core::pin::pin!(it.subscribe(&me, Some("s1"), &wants));
        let polled = core::future::poll_fn(|context| {
            core::task::Poll::Ready(asked.as_mut().poll(context).is_pending())
        });
        assert!(polled.await);
    }
    it.release_socket("s1");
    settled().await;
    assert!(node.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_ends_says_so() {
    let node = Node::alone();
    let it = node.indicators.clone();
    node.kill().await;
    let me = who(1, "a");
    let stopping = |error| matches!(error, Error::Stopping);
    assert!(
        it.subscribe(&me, None, &[want(RSI)])
            .await
            .is_err_and(stopping)
    );
    assert!(it.heartbeat(&me, &[want(RSI)]).await.is_err_and(stopping));
    assert!(it.release_session("a", None).await.is_err_and(stopping));
    it.release_socket("s1");
    it.release_held(&me, "s1", &[key(RSI)]).await;
    assert!(it.heartbeat_socket("s1").await.is_empty());
}
