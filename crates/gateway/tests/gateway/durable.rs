//! What is acknowledged is durable; what cannot be is refused and taken back.

use core::time::Duration;
use std::collections::BTreeSet;

use strikewire_gateway::Error;
use strikewire_gateway::store::Action;

use crate::ledger::Ledger;
use crate::play::{Run, filter, item, settle, strikes};

#[tokio::test(start_paused = true)]
async fn a_reply_waits_until_the_change_is_durable() {
    let ledger = Ledger::default();
    ledger.hold();
    let run = Run {
        ledger: ledger.clone(),
        ..Run::default()
    };
    run.with(async |gateway, broker| {
        let added = tokio::spawn({
            let gateway = gateway.clone();
            async move { gateway.add_item(&item(1, 3, Some(3_000.0))).await }
        });
        tokio::time::sleep(Duration::from_secs(5)).await;
        // The wire does not wait for the disk, the answer does.
        assert_eq!(broker.on_wire().len(), 7);
        assert!(!added.is_finished());
        ledger.let_go();
        added.await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_made_durable_is_taken_back_and_caught_up_with() {
    let ledger = Ledger::default();
    let run = Run {
        ledger: ledger.clone(),
        ..Run::default()
    };
    run.with(async |gateway, broker| {
        gateway.add_item(&item(1, 3, Some(3_000.0))).await.unwrap();
        settle().await;
        ledger.break_down();
        let error = gateway.add_item(&item(2, 5, Some(3_000.0))).await;
        let error = error.unwrap_err();
        assert!(matches!(error, Error::NotDurable { .. }), "{error}");
        settle().await;
        assert_eq!(
            strikes(&gateway.registry(), &broker.on_wire()),
            [2980, 3000, 3020].into()
        );
        assert!(gateway.list_items(2).await.unwrap().is_empty());
        // From now on it is refused before anything changes, and readiness says so.
        let readiness = gateway.readiness();
        assert_eq!(readiness.status, "degraded");
        assert_eq!(readiness.reasons[0].code, "store_failing");
        let error = gateway.remove_item(1, filter("TCS")).await.unwrap_err();
        assert!(matches!(error, Error::NotDurable { .. }), "{error}");
        assert_eq!(gateway.list_items(1).await.unwrap().len(), 1);
        // It goes on serving.
        let again = gateway.add_item(&item(1, 3, Some(3_000.0))).await.unwrap();
        assert!(again.0.already_present);

        ledger.repair();
        settle().await;
        assert_eq!(gateway.readiness().status, "ready");
        gateway.add_item(&item(2, 5, Some(3_000.0))).await.unwrap();
        let users: Vec<u64> = ledger.items().iter().map(|item| item.user).collect();
        assert_eq!(users, [1, 2]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_item_whose_removal_fails_stays() {
    let ledger = Ledger::default();
    let run = Run {
        ledger: ledger.clone(),
        ..Run::default()
    };
    run.with(async |gateway, broker| {
        gateway.add_item(&item(1, 3, Some(3_000.0))).await.unwrap();
        settle().await;
        let before = broker.on_wire();
        ledger.break_down();
        let error = gateway.remove_item(1, filter("TCS")).await.unwrap_err();
        assert!(matches!(error, Error::NotDurable { .. }), "{error}");
        settle().await;
        assert_eq!(broker.on_wire(), before);
        assert_eq!(gateway.list_items(1).await.unwrap().len(), 1);
        ledger.repair();
        settle().await;
        assert_eq!(ledger.items().len(), 1);
        gateway.remove_item(1, filter("TCS")).await.unwrap();
        assert!(ledger.items().is_empty());
        settle().await;
        assert!(broker.on_wire().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn evictions_are_told_in_the_log_and_explained() {
    let ledger = Ledger::default();
    let mut run = Run {
        ledger: ledger.clone(),
        ..Run::default()
    };
    run.config.book.total = 42;
    run.with(async |gateway, broker| {
        // 41 of 42 slots; the two contracts between them need one more.
        gateway.add_item(&item(1, 11, Some(2_900.0))).await.unwrap();
        tokio::time::sleep(Duration::from_secs(61)).await;
        gateway.add_item(&item(2, 9, Some(3_120.0))).await.unwrap();
        tokio::time::sleep(Duration::from_secs(61)).await;
        gateway.add_item(&item(3, 15, Some(3_000.0))).await.unwrap();
        settle().await;
        let evicted = ledger.owners(Action::RateLimitEvict);
        assert_eq!(evicted.len(), 1, "{evicted:?}");
        let registry = gateway.registry();
        let key = registry
            .find("TCS_24FEB2026_3020CE")
            .unwrap()
            .instrument
            .key();
        let explanation = gateway.explain(key).await.unwrap().unwrap();
        let displaced: BTreeSet<&str> = explanation
            .holders
            .iter()
            .flat_map(|holder| &holder.displaced)
            .map(String::as_str)
            .collect();
        assert_eq!(displaced.len(), 1, "{explanation:?}");
        let states: Vec<_> = ledger.items().iter().map(|item| item.state).collect();
        assert_eq!(states.len(), 3);
        assert_eq!(ledger.subscribed_by_log().len(), broker.on_wire().len());
        assert_eq!(ledger.active(), ledger.subscribed_by_log());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_order_clears_tier_a_for_good() {
    let ledger = Ledger::default();
    let first = Run {
        ledger: ledger.clone(),
        ..Run::default()
    };
    first
        .with(async |gateway, broker| {
            gateway.add_item(&item(1, 3, Some(3_000.0))).await.unwrap();
            assert_eq!(gateway.unsubscribe_tier_a().await.unwrap(), 7);
            settle().await;
            assert!(broker.on_wire().is_empty());
            assert_eq!(gateway.unsubscribe_tier_a().await.unwrap(), 0);
        })
        .await;
    let second = Run {
        ledger: ledger.clone(),
        ..Run::default()
    };
    second
        .with(async |gateway, broker| {
            settle().await;
            assert!(broker.on_wire().is_empty());
            assert_eq!(gateway.list_items(1).await.unwrap().len(), 1);
        })
        .await;
}
