//! Where values go, and where they are read.

use core::time::Duration;
use std::sync::Arc;

use serde_json::json;
use strikewire_indicators::Output;
use strikewire_leases::Leases;
use strikewire_types::{Clock, Now};
use tokio::time::advance;

use super::fake::{Node, Server, key, settled, want, who};
use crate::indicators::{IndicatorConfig, Latest, Published};
use crate::{Error, IndicatorValue};

const RSI: &str = "NIFTY 5min RSI_14";
const MACD: &str = "NIFTY 5min MACD_12_26_9";
const WRITTEN: Duration = Duration::from_millis(600);

fn latest(name: &str, outputs: &'static [&'static str], numbers: &[f64], mock: bool) -> Latest {
    let now = Now::default();
    Latest {
        key: key(name),
        value: Output::of(numbers),
        outputs,
        bar_time: now.utc,
        is_final: true,
        warm: true,
        mock,
        at: now.utc,
    }
}

fn published(latest: &Latest) -> Published {
    Published {
        key: latest.key.clone(),
        json: latest.to_json(),
        ttl: Duration::from_secs(300),
        mock: latest.mock,
    }
}

fn mock_node(server: &Arc<Server>) -> Node {
    let config = IndicatorConfig::default();
    Node::made(config, Some((Arc::clone(server), 9)), true, Clock::system())
}

#[tokio::test(start_paused = true)]
async fn what_the_engine_writes_is_what_is_read() {
    let node = Node::alone();
    let one = latest(RSI, &["value"], &[61.25], false);
    let three = latest(
        MACD,
        &["macd", "signal", "histogram"],
        &[1.5, 1.0, 0.5],
        false,
    );
    let none = Latest {
        value: None,
        warm: false,
        is_final: false,
        ..three.clone()
    };
    for it in [&one, &three, &none] {
        let text = it.to_json();
        let value = IndicatorValue::from(it);
        assert_eq!(
            serde_json::from_str::<IndicatorValue>(&text).unwrap(),
            value
        );
        let same: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_value(&value).unwrap(), same);
    }
    node.engine.find(three);
    let read = node.indicators.value(&want("nifty 5m macd")).await.unwrap();
    assert_eq!(
        serde_json::to_value(read).unwrap(),
        json!({
            "symbol": "NIFTY", "timeframe": "5min", "indicator_id": "MACD_12_26_9",
            "outputs": {"macd": 1.5, "signal": 1.0, "histogram": 0.5},
            "bar_time": Now::default().utc.to_string(),
            "final": true, "warm": true, "mock": false
        })
    );
}

#[tokio::test(start_paused = true)]
async fn why_there_is_no_value() {
    let server = Server::new();
    let (a, b) = (Node::on(&server, 1), Node::on(&server, 2));
    let no_value = async |node: &Node| node.indicators.value(&want(RSI)).await.unwrap_err();
    assert!(matches!(no_value(&a).await, Error::NotComputed { .. }));
    b.indicators
        .subscribe(&who(1, "s"), None, &[want(RSI)])
        .await
        .unwrap();
    assert!(matches!(no_value(&b).await, Error::NoValue { .. }));
    let error = no_value(&a).await;
    assert!(matches!(error, Error::NoValue { .. }));
    assert_eq!(
        error.to_string(),
        "indicator_sub:NIFTY:5min:RSI_14 has no value yet: another node computes it, and has none"
    );
}

#[tokio::test(start_paused = true)]
async fn other_nodes_read_what_a_node_left_and_it_lasts_while_it_is_leased() {
    let server = Server::new();
    let (a, b) = (Node::on(&server, 1), Node::on(&server, 2));
    a.indicators
        .subscribe(&who(1, "s"), None, &[want(RSI)])
        .await
        .unwrap();
    let first = latest(RSI, &["value"], &[50.0], false);
    let second = latest(RSI, &["value"], &[55.0], false);
    a.sink.publish(vec![published(&first)]);
    a.sink.publish(vec![published(&second)]);
    tokio::time::sleep(WRITTEN).await;
    let read = b.indicators.value(&want(RSI)).await.unwrap();
    assert_eq!(read, IndicatorValue::from(&second));
    // A sign of life now and then keeps the lease, and with it the value.
    for _ in 0..40 {
        tokio::time::sleep(Duration::from_secs(25)).await;
        a.indicators
            .heartbeat(&who(1, "s"), &[want(RSI)])
            .await
            .unwrap();
    }
    assert!(b.indicators.value(&want(RSI)).await.is_ok());
    a.indicators.release_session("s", None).await.unwrap();
    assert!(a.is_clean());
    assert!(b.indicators.value(&want(RSI)).await.is_ok());
    advance(Duration::from_secs(301)).await;
    let error = b.indicators.value(&want(RSI)).await.unwrap_err();
    assert!(matches!(error, Error::NotComputed { .. }));
}

#[tokio::test(start_paused = true)]
async fn values_that_could_not_be_written_are_written_later_unless_they_are_too_old() {
    let server = Server::new();
    let node = Node::on(&server, 1);
    node.link().down();
    let old = latest(
        MACD,
        &["macd", "signal", "histogram"],
        &[1.0, 2.0, 3.0],
        false,
    );
    node.sink.publish(vec![published(&old)]);
    tokio::time::sleep(Duration::from_secs(290)).await;
    let new = latest(RSI, &["value"], &[50.0], false);
    node.sink.publish(vec![published(&new)]);
    // Here it can be read all the time.
    tokio::time::sleep(WRITTEN).await;
    let read = node.indicators.value(&want(RSI)).await.unwrap();
    assert_eq!(read, IndicatorValue::from(&new));
    tokio::time::sleep(Duration::from_secs(20)).await;
    node.link().up();
    tokio::time::sleep(Duration::from_secs(30)).await;
    let now = node.service.clock.now();
    let leases = server.leases();
    assert_eq!(leases.value(now, &key(MACD)).await.unwrap(), None);
    let text = leases.value(now, &key(RSI)).await.unwrap().unwrap();
    assert_eq!(*text, *new.to_json());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_lost_its_values_is_given_the_latest_again() {
    let server = Server::new();
    let node = Node::on(&server, 1);
    node.indicators
        .subscribe(&who(1, "s"), None, &[want(RSI)])
        .await
        .unwrap();
    let latest = latest(RSI, &["value"], &[50.0], false);
    node.sink.publish(vec![published(&latest)]);
    tokio::time::sleep(WRITTEN).await;
    node.link().down();
    server.forget();
    settled().await;
    node.link().up();
    tokio::time::sleep(WRITTEN).await;
    let now = node.service.clock.now();
    let text = server.leases().value(now, &key(RSI)).await.unwrap();
    assert_eq!(text.as_deref(), Some(&*latest.to_json()));
}

#[tokio::test(start_paused = true)]
async fn a_mock_run_leaves_no_value_and_reads_none() {
    let server = Server::new();
    let (mock, real) = (mock_node(&server), Node::on(&server, 1));
    let now = mock.service.clock.now();
    mock.indicators
        .subscribe(&who(1, "s"), None, &[want(RSI)])
        .await
        .unwrap();
    let made_up = latest(RSI, &["value"], &[1.0], true);
    mock.sink.publish(vec![published(&made_up)]);
    tokio::time::sleep(WRITTEN).await;
    assert!(mock.indicators.is_mock() && !real.indicators.is_mock());
    let read = mock.indicators.value(&want(RSI)).await.unwrap();
    assert!(read.mock);
    assert_eq!(server.leases().value(now, &key(RSI)).await.unwrap(), None);
    assert_eq!(
        mock.service.mirror.value(now, &key(RSI)).await.unwrap(),
        None
    );
    let error = real.indicators.value(&want(RSI)).await.unwrap_err();
    assert!(matches!(error, Error::NoValue { .. }));
    // It lasts for five minutes.
    tokio::time::sleep(Duration::from_secs(301)).await;
    assert!(mock.indicators.value(&want(RSI)).await.is_err());

    // A real one is of no use to a mock run.
    let true_one = latest(RSI, &["value"], &[2.0], false);
    real.sink.publish(vec![published(&true_one)]);
    tokio::time::sleep(WRITTEN).await;
    assert!(real.indicators.value(&want(RSI)).await.is_ok());
    assert!(mock.indicators.value(&want(RSI)).await.is_err());

    // Should a made-up one lie where real ones are, nobody takes it for one.
    let text = made_up.to_json().to_string();
    let ttl = Duration::from_secs(60);
    let planted = [(key(RSI), text, ttl)];
    real.service.mirror.drop_values(&[key(RSI)]).await.unwrap();
    let now = real.service.clock.now();
    server.leases().put_values(now, &planted).await.unwrap();
    assert!(real.indicators.value(&want(RSI)).await.is_err());
    settled().await;
}
