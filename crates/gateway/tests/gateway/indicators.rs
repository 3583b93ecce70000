//! What indicators hold of the broker, as it is seen from outside.

use core::time::Duration;

use strikewire_gateway::leases::Subscriber;
use strikewire_gateway::store::Action;
use strikewire_gateway::types::{InstrumentKey, Mode};
use strikewire_gateway::{Gateway, IndicatorWant};

use crate::ledger::Ledger;
use crate::play::{Rows, Run, SPOT, settle, until};

fn user(user: u64) -> Subscriber {
    Subscriber::new(user, "tab").unwrap()
}

fn want(symbol: &str, timeframe: &str, indicator: &str) -> IndicatorWant {
    IndicatorWant {
        symbol: symbol.into(),
        timeframe: timeframe.into(),
        indicator: indicator.into(),
    }
}

async fn subscribe(gateway: &Gateway, who: u64, want: IndicatorWant) {
    let (who, wants) = (user(who), [want]);
    let subscribed = gateway.indicators().subscribe(&who, None, &wants).await;
    assert_eq!(subscribed.unwrap().len(), 1);
    settle().await;
}

async fn unsubscribe(gateway: &Gateway, who: u64, want: IndicatorWant) {
    let released = gateway.indicators().unsubscribe(&user(who), &[want]).await;
    assert!(released.unwrap()[0].was_held);
    settle().await;
}

async fn holders(gateway: &Gateway, key: InstrumentKey) -> Vec<String> {
    let found = gateway.explain(key).await.unwrap();
    let holders = found.map(|found| found.holders).unwrap_or_default();
    holders.into_iter().map(|holder| holder.why).collect()
}

#[tokio::test(start_paused = true)]
async fn an_instrument_is_held_once_for_all_its_indicators_and_goes_with_the_last() {
    let ledger = Ledger::default();
    let run = Run {
        ledger: ledger.clone(),
        ..Run::default()
    };
    run.with(async |gateway, broker| {
        subscribe(&gateway, 1, want("TCS", "5min", "RSI_14")).await;
        subscribe(&gateway, 1, want("tcs", "1min", "sma_20")).await;
        subscribe(&gateway, 2, want("TCS", "5min", "rsi")).await;
        assert_eq!(broker.on_wire(), [SPOT].into());
        assert_eq!(holders(&gateway, SPOT).await, ["indicators of TCS"]);
        let status = gateway.status().await.unwrap();
        assert_eq!(status.total_subscriptions, 1);
        assert_eq!(status.by_mode[&Mode::Quote], 1);

        unsubscribe(&gateway, 1, want("TCS", "5min", "RSI_14")).await;
        unsubscribe(&gateway, 1, want("TCS", "1min", "SMA_20")).await;
        assert_eq!(broker.on_wire(), [SPOT].into());
        unsubscribe(&gateway, 2, want("TCS", "5min", "RSI_14")).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(broker.on_wire().is_empty());
        let named = ["indicators of TCS".to_owned()].into();
        assert_eq!(ledger.owners(Action::Subscribe), named);
        assert_eq!(ledger.owners(Action::Unsubscribe), named);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_leaves_the_wire_a_moment_after_the_close() {
    let run = Run {
        clock: "2026-02-09T15:27:00+05:30",
        ..Run::default()
    };
    run.with(async |gateway, broker| {
        subscribe(&gateway, 1, want("TCS", "5min", "RSI_14")).await;
        until(&gateway, "2026-02-09T15:30:03+05:30").await;
        assert_eq!(broker.on_wire(), [SPOT].into());
        until(&gateway, "2026-02-09T15:30:07+05:30").await;
        assert!(broker.on_wire().is_empty());
        let wants = [want("TCS", "5min", "RSI_14")];
        let alive = gateway.indicators().heartbeat(&user(1), &wants).await;
        assert_eq!(alive.unwrap(), [true]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_at_night_comes_to_the_wire_before_the_open() {
    let run = Run {
        clock: "2026-02-10T08:57:00+05:30",
        ..Run::default()
    };
    run.with(async |gateway, broker| {
        subscribe(&gateway, 1, want("TCS", "5min", "RSI_14")).await;
        until(&gateway, "2026-02-10T08:59:58+05:30").await;
        assert!(broker.on_wire().is_empty());
        until(&gateway, "2026-02-10T09:00:02+05:30").await;
        assert_eq!(broker.on_wire(), [SPOT].into());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn its_contract_is_followed_into_another_master() {
    let run = Run {
        master: Rows::new()
            .equity(11_536, "TCS")
            .equity(11_537, "INFY")
            .load("2026-02-09"),
        ..Run::default()
    };
    run.with(async |gateway, broker| {
        subscribe(&gateway, 1, want("TCS", "1min", "SMA_2")).await;
        subscribe(&gateway, 1, want("INFY", "1min", "SMA_2")).await;
        assert_eq!(broker.on_wire().len(), 2);
        unsubscribe(&gateway, 1, want("INFY", "1min", "SMA_2")).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(broker.on_wire(), [SPOT].into());
        // The ids change places.
        let swapped = Rows::new()
            .equity(11_537, "TCS")
            .equity(11_536, "INFY")
            .load("2026-02-09");
        gateway.swap_master(swapped).await.unwrap();
        tokio::time::sleep(Duration::from_secs(6)).await;
        let moved = InstrumentKey::new(SPOT.segment, 11_537);
        assert_eq!(broker.on_wire(), [moved].into());
        assert_eq!(holders(&gateway, moved).await, ["indicators of TCS"]);
        unsubscribe(&gateway, 1, want("TCS", "1min", "SMA_2")).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(broker.on_wire().is_empty());
    })
    .await;
}
