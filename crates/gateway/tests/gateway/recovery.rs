//! What comes back after a restart.

use core::time::Duration;

use strikewire_gateway::types::Tier;
use strikewire_gateway::{ItemRequest, ItemState, List};

use crate::ledger::Ledger;
use crate::play::{Run, SPOT, filter, item, settle, strikes};

fn run(ledger: &Ledger) -> Run {
    Run {
        ledger: ledger.clone(),
        ..Run::default()
    }
}

#[tokio::test(start_paused = true)]
async fn items_come_back_where_their_windows_lay() {
    let ledger = Ledger::default();
    run(&ledger)
        .with(async |gateway, broker| {
            gateway.add_item(&item(1, 3, Some(2_900.0))).await.unwrap();
            let still = ItemRequest {
                follow: false,
                width: Some(1),
                ..item(2, 1, Some(2_900.0))
            };
            gateway.add_item(&still).await.unwrap();
            let explicit = ItemRequest {
                list: List::Explicit,
                tier: Tier::B,
                ..item(3, 5, Some(2_900.0))
            };
            gateway.add_item(&explicit).await.unwrap();
            gateway.add_item(&item(4, 7, Some(2_900.0))).await.unwrap();
            gateway.remove_item(4, filter("TCS")).await.unwrap();
            settle().await;
            broker.tick(SPOT, 3_000.0, gateway.clock().now().utc);
            settle().await;
            // It stays here, the others move on.
            broker.tick(SPOT, 3_100.0, gateway.clock().now().utc);
            tokio::time::sleep(Duration::from_secs(7)).await;
            assert_eq!(
                strikes(&gateway.registry(), &broker.on_wire()),
                [3000, 3060, 3080, 3100, 3120, 3140].into()
            );
        })
        .await;
    run(&ledger)
        .with(async |gateway, broker| {
            settle().await;
            // Without a price, at once, where they were.
            assert_eq!(
                strikes(&gateway.registry(), &broker.on_wire()),
                [3000, 3060, 3080, 3100, 3120, 3140].into()
            );
            let one = gateway.list_items(1).await.unwrap();
            assert_eq!((one[0].width, one[0].state), (Some(3), ItemState::Live));
            assert!(!gateway.list_items(2).await.unwrap()[0].follow);
            assert!(gateway.list_items(4).await.unwrap().is_empty());
            let status = gateway.status().await.unwrap();
            assert_eq!((status.tier_a_count, status.tier_b_count), (2, 11));
            // They follow again.
            broker.tick(SPOT, 3_040.0, gateway.clock().now().utc);
            tokio::time::sleep(Duration::from_secs(7)).await;
            assert_eq!(
                strikes(&gateway.registry(), &broker.on_wire()),
                [3000, 3020, 3040, 3060, 3080].into()
            );
            // A number is never given twice.
            gateway.add_item(&item(4, 3, None)).await.unwrap();
            assert_eq!(gateway.list_items(4).await.unwrap()[0].added_order, 5);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_order_of_use_comes_back() {
    let ledger = Ledger::default();
    let run = |ledger: &Ledger| {
        let mut run = run(ledger);
        run.config.book.total = 40;
        run
    };
    run(&ledger)
        .with(async |gateway, broker| {
            gateway.add_item(&item(1, 9, Some(2_900.0))).await.unwrap();
            gateway.add_item(&item(2, 9, Some(3_120.0))).await.unwrap();
            settle().await;
            assert_eq!(broker.on_wire().len(), 37);
            // The first is used again: the second is now the one to go.
            gateway.add_item(&item(1, 9, Some(2_900.0))).await.unwrap();
            tokio::time::sleep(Duration::from_secs(2)).await;
        })
        .await;
    run(&ledger)
        .with(async |gateway, _| {
            tokio::time::sleep(Duration::from_secs(90)).await;
            gateway.add_item(&item(3, 15, Some(3_000.0))).await.unwrap();
            let state = async |user| gateway.list_items(user).await.unwrap()[0].state;
            assert_eq!(state(2).await, ItemState::Evicted);
            assert_eq!(state(1).await, ItemState::PendingPrice);
        })
        .await;
    run(&ledger)
        .with(async |gateway, _| {
            // One that was evicted is not revived.
            let state = async |user| gateway.list_items(user).await.unwrap()[0].state;
            assert_eq!(state(2).await, ItemState::Evicted);
            assert_eq!(state(3).await, ItemState::PendingPrice);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_listed_today_rests_until_it_is_or_has_expired() {
    let ledger = Ledger::default();
    run(&ledger)
        .with(async |gateway, _| {
            gateway.add_item(&item(1, 3, Some(2_900.0))).await.unwrap();
        })
        .await;
    let without = Run {
        master: crate::play::Rows::new()
            .equity(11_536, "TCS")
            .load("2026-02-09"),
        ..run(&ledger)
    };
    without
        .with(async |gateway, broker| {
            settle().await;
            assert!(gateway.list_items(1).await.unwrap().is_empty());
            assert!(broker.on_wire().is_empty());
        })
        .await;
    // A master that lacks it may be an incomplete one.
    run(&ledger)
        .with(async |gateway, _| {
            settle().await;
            assert_eq!(gateway.list_items(1).await.unwrap().len(), 1);
        })
        .await;
    let expired = Run {
        clock: "2026-02-25T10:00:00+05:30",
        master: crate::play::Rows::new()
            .equity(11_536, "TCS")
            .load("2026-02-25"),
        ..run(&ledger)
    };
    expired.with(async |_, _| settle().await).await;
    assert!(ledger.items().is_empty());
}
