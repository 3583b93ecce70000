//! A dry run says what the real thing then does.

use core::time::Duration;
use std::collections::BTreeSet;

use strikewire_gateway::store::Action;
use strikewire_gateway::{Error, ItemRequest};

use crate::ledger::Ledger;
use crate::play::{Run, item, settle};

#[tokio::test(start_paused = true)]
async fn a_plan_is_what_then_happens_and_changes_nothing() {
    let ledger = Ledger::default();
    let mut run = Run {
        ledger: ledger.clone(),
        ..Run::default()
    };
    run.config.book.total = 42;
    run.with(async |gateway, broker| {
        gateway.add_item(&item(1, 11, Some(2_900.0))).await.unwrap();
        tokio::time::sleep(Duration::from_secs(61)).await;
        gateway.add_item(&item(2, 9, Some(3_120.0))).await.unwrap();
        tokio::time::sleep(Duration::from_secs(61)).await;
        let before = broker.on_wire();
        let wanted = item(3, 15, Some(3_000.0));
        let plan = gateway.plan(std::slice::from_ref(&wanted)).await.unwrap();
        settle().await;
        assert_eq!(broker.on_wire(), before);
        assert!(plan.fits);
        // Two contracts between the two windows, of which one slot is free.
        assert_eq!((plan.needed, plan.free), (2, 1));
        let evict: Vec<_> = plan.evict.iter().map(|it| (it.user_id, it.frees)).collect();
        assert_eq!(evict, [(Some(1), 6)]);
        assert_eq!(plan.by_connection.values().sum::<usize>(), 2);

        let (added, _) = gateway.add_item(&wanted).await.unwrap();
        assert_eq!(added.newly_on_wire, plan.needed);
        settle().await;
        let gone = ledger.audited(Action::RateLimitEvict);
        assert_eq!(gone.len(), plan.evict[0].frees);

        // What cannot fit says what it lacks.
        let both: Vec<ItemRequest> = vec![item(4, 21, Some(3_000.0))];
        let plan = gateway.plan(&both).await.unwrap();
        assert!(!plan.fits);
        let error = gateway.add_item(&both[0]).await.unwrap_err();
        let Error::Capacity(refusal) = error else {
            panic!("{error}");
        };
        assert_eq!(
            (refusal.needed, refusal.free, Some(refusal.evictable)),
            (plan.needed, plan.free, plan.evictable)
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_plan_names_the_request_that_means_nothing() {
    Run::default()
        .with(async |gateway, _broker| {
            let unknown = ItemRequest {
                symbol: "NOBODY".into(),
                ..item(1, 3, None)
            };
            let known = item(1, 3, Some(3_000.0));
            let requests = [known.clone(), known, unknown.clone(), unknown];
            let failed = gateway.plan(&requests).await.unwrap_err();
            assert_eq!(failed.request, Some(2));
            assert!(matches!(failed.error, Error::Lookup(_)), "{failed}");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_user_above_the_quota_loses_their_own_first() {
    let ledger = Ledger::default();
    let mut run = Run {
        ledger: ledger.clone(),
        ..Run::default()
    };
    run.config.book.quota = Some(20);
    run.with(async |gateway, _| {
        gateway.add_item(&item(1, 3, Some(2_900.0))).await.unwrap();
        gateway.add_item(&item(2, 5, Some(3_000.0))).await.unwrap();
        let other = ItemRequest {
            list: strikewire_gateway::List::Explicit,
            ..item(2, 5, Some(3_100.0))
        };
        gateway.add_item(&other).await.unwrap();
        settle().await;
        let owners: BTreeSet<String> = ledger.owners(Action::RateLimitEvict);
        assert_eq!(
            owners,
            ["watchlist of user 2: NSE STOCK_OPTION TCS 24FEB2026".to_owned()].into()
        );
        let error = gateway.add_item(&item(3, 21, Some(3_000.0))).await;
        let Err(Error::Capacity(refusal)) = error else {
            panic!("{error:?}");
        };
        assert_eq!(refusal.quota.map(|over| over.quota), Some(20));
    })
    .await;
}
