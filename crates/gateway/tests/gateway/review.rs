//! What two failures together, a wrong clock and a restart must not do.

use core::time::Duration;
use std::collections::BTreeSet;

use strikewire_fanout::Class;
use strikewire_gateway::chain::Width;
use strikewire_gateway::registry::Registry;
use strikewire_gateway::types::{InstrumentKey, Mode, Price, Segment};
use strikewire_gateway::{
    ChainRequest, Config, Contracts, Error, Gateway, ItemRequest, ItemState, TicksRequest,
    TierBRule,
};

use crate::ledger::Ledger;
use crate::play::{
    Broker, Rows, Run, SPOT, add_at_live_price, chain, config, filter, item, limits, of_type,
    settle, streamed, strikes, until, waiting,
};

const LADDER: (u32, u32, usize) = (2_800, 3_200, 20);

fn run(ledger: &Ledger) -> Run {
    Run {
        ledger: ledger.clone(),
        ..Run::default()
    }
}

fn tokens(registry: &Registry, broker: &Broker) -> BTreeSet<String> {
    let keys = broker.on_wire();
    let token = |key: &InstrumentKey| Some(registry.by_key(*key)?.token());
    keys.iter().filter_map(token).collect()
}

fn ticks(token: &str) -> TicksRequest {
    TicksRequest {
        instruments: vec![token.into()],
        mode: None,
        class: Class::from_ms(100).unwrap(),
    }
}

#[tokio::test(start_paused = true)]
async fn the_log_tells_after_a_restart_what_nobody_holds_any_more() {
    for (clock, left) in [
        ("2026-02-09T14:00:01+05:30", 7),
        // The end of day took the item, while nobody was there.
        ("2026-02-10T10:00:00+05:30", 0),
    ] {
        let ledger = Ledger::default();
        let mut client = None;
        run(&ledger)
            .with(async |gateway, _| {
                gateway.add_item(&item(1, 3, Some(3_000.0))).await.unwrap();
                let (mut stream, messages) = gateway.open_stream(limits()).await.unwrap();
                let request = ticks("TCS_24FEB2026_3200CE");
                stream
                    .subscribe_ticks(&request, |_, _| "{}".into())
                    .await
                    .unwrap();
                settle().await;
                assert_eq!(ledger.subscribed_by_log().len(), 8);
                // It is there until the end, as when the process is killed.
                client = Some((stream, messages));
            })
            .await;
        let again = Run {
            clock,
            ..run(&ledger)
        };
        again
            .with(async |gateway, broker| {
                settle().await;
                assert_eq!(broker.on_wire().len(), left);
                let on_wire = tokens(&gateway.registry(), &broker);
                assert_eq!(ledger.subscribed_by_log(), on_wire, "{clock}");
            })
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_log_tells_what_another_master_changed() {
    let ledger = Ledger::default();
    let run = Run {
        master: Rows::new()
            .equity(11_536, "TCS")
            .options(50_001, "OPTSTK", "TCS", "2026-02-24", LADDER)
            .options(60_001, "OPTSTK", "TCS", "2026-03-31", LADDER)
            .load("2026-02-06"),
        clock: "2026-02-06T15:45:00+05:30",
        ..run(&ledger)
    };
    run.with(async |gateway, broker| {
        gateway.add_item(&item(1, 5, Some(3_000.0))).await.unwrap();
        let march = ItemRequest {
            expiry: Some("2026-03-31".parse().unwrap()),
            ..item(2, 3, Some(3_000.0))
        };
        gateway.add_item(&march).await.unwrap();
        settle().await;
        assert_eq!(
            ledger.subscribed_by_log(),
            tokens(&gateway.registry(), &broker)
        );
        // Ids mean neighbours; two contracts of the window and one expiry are not listed
        // any more.
        let today = Rows::new()
            .equity(11_536, "TCS")
            .options(50_003, "OPTSTK", "TCS", "2026-02-24", (2_800, 3_000, 20))
            .options(60_101, "OPTSTK", "TCS", "2026-02-24", (3_040, 3_200, 20))
            .load("2026-02-09");
        gateway.swap_master(today.clone()).await.unwrap();
        settle().await;
        tokio::time::sleep(Duration::from_secs(6)).await;
        let on_wire = tokens(&today, &broker);
        assert!(on_wire.len() > 7, "{on_wire:?}");
        assert_eq!(ledger.subscribed_by_log(), on_wire);
        assert_eq!(ledger.active(), on_wire);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_once_was_ahead_does_not_cost_an_end_of_day() {
    let ledger = Ledger::default();
    let ahead = Run {
        clock: "2026-02-10T16:00:00+05:30",
        ..run(&ledger)
    };
    ahead.with(async |_, _| settle().await).await;
    run(&ledger)
        .with(async |gateway, broker| {
            for day in ["2026-02-09", "2026-02-10"] {
                until(&gateway, &format!("{day}T10:00:00+05:30")).await;
                gateway.add_item(&item(1, 3, Some(3_000.0))).await.unwrap();
                until(&gateway, &format!("{day}T15:29:00+05:30")).await;
                assert_eq!(broker.on_wire().len(), 7, "{day}");
                until(&gateway, &format!("{day}T15:30:01+05:30")).await;
                assert!(gateway.list_items(1).await.unwrap().is_empty(), "{day}");
                assert!(broker.on_wire().is_empty(), "{day}");
            }
        })
        .await;
}

async fn later<T: Send + 'static>(
    gateway: &Gateway,
    work: impl AsyncFnOnce(Gateway) -> T + 'static,
) -> tokio::task::JoinHandle<T> {
    let gateway = gateway.clone();
    let handle = tokio::task::spawn_local(async move { work(gateway).await });
    settle().await;
    handle
}

#[tokio::test(start_paused = true)]
async fn a_removal_and_an_addition_that_hang_and_fail_leave_what_was_there() {
    let ledger = Ledger::default();
    run(&ledger)
        .with(async |gateway, broker| {
            gateway.add_item(&item(1, 3, Some(3_000.0))).await.unwrap();
            settle().await;
            let before = broker.on_wire();
            ledger.stall();
            let removed = later(&gateway, async |it| it.remove_item(1, filter("TCS")).await).await;
            let wider = item(1, 5, Some(3_000.0));
            let added = later(&gateway, async move |it| it.add_item(&wider).await).await;
            assert!(!removed.is_finished() && !added.is_finished());
            ledger.fail_stalled();
            settle().await;
            let error = removed.await.unwrap().unwrap_err();
            assert!(matches!(error, Error::NotDurable { .. }), "{error}");
            let error = added.await.unwrap().unwrap_err();
            assert!(matches!(error, Error::NotDurable { .. }), "{error}");
            let list = gateway.list_items(1).await.unwrap();
            assert_eq!(list.len(), 1, "{list:?}");
            assert_eq!(
                (list[0].width, list[0].state),
                (Some(3), ItemState::PendingPrice)
            );
            assert_eq!(broker.on_wire(), before);
            ledger.repair();
            settle().await;
            let kept = ledger.items();
            assert_eq!(kept.len(), 1);
            assert_eq!(kept[0].width, Some(3));
            gateway.remove_item(1, filter("TCS")).await.unwrap();
            settle().await;
            assert!(broker.on_wire().is_empty(), "nothing has leaked");
            assert!(ledger.items().is_empty());
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_addition_and_its_removal_that_hang_and_fail_leave_nothing() {
    let ledger = Ledger::default();
    run(&ledger)
        .with(async |gateway, broker| {
            ledger.stall();
            let asked = item(1, 3, Some(3_000.0));
            let added = later(&gateway, async move |it| it.add_item(&asked).await).await;
            let removed = later(&gateway, async |it| it.remove_item(1, filter("TCS")).await).await;
            ledger.fail_stalled();
            settle().await;
            assert!(added.await.unwrap().is_err() && removed.await.unwrap().is_err());
            assert!(gateway.list_items(1).await.unwrap().is_empty());
            assert!(broker.on_wire().is_empty());
            ledger.repair();
            settle().await;
            assert!(ledger.items().is_empty());
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_fails_in_another_master_is_taken_back_there() {
    let ledger = Ledger::default();
    let run = Run {
        master: Rows::new()
            .equity(11_535, "ABB")
            .equity(11_536, "TCS")
            .options(40_001, "OPTSTK", "ABB", "2026-02-24", (5_000, 5_400, 50))
            .options(50_001, "OPTSTK", "TCS", "2026-02-24", LADDER)
            .load("2026-02-09"),
        ..run(&ledger)
    };
    run.with(async |gateway, broker| {
        gateway.add_item(&item(1, 3, Some(3_000.0))).await.unwrap();
        settle().await;
        let before = broker.on_wire();
        ledger.stall();
        let removed = later(&gateway, async |it| it.remove_item(1, filter("TCS")).await).await;
        gateway.swap_master(crate::play::master()).await.unwrap();
        ledger.fail_stalled();
        settle().await;
        assert!(removed.await.unwrap().is_err());
        assert_eq!(broker.on_wire(), before);
        assert_eq!(gateway.list_items(1).await.unwrap().len(), 1);
        // It follows again.
        broker.tick(SPOT, 3_040.0, gateway.clock().now().utc);
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(
            strikes(&gateway.registry(), &broker.on_wire()),
            [3020, 3040, 3060].into()
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_always_on_comes_when_there_is_room_at_last() {
    let config = Config {
        tier_b: vec![
            TierBRule {
                contracts: Contracts::Futures,
                symbols: vec!["CRUDEOIL".into()],
                exchange: None,
                width: None,
                mode: Mode::Full,
                expiries: None,
            },
            TierBRule {
                contracts: Contracts::Options,
                symbols: vec!["TCS".into()],
                exchange: None,
                width: Some(Width::new(1).unwrap()),
                mode: Mode::Full,
                expiries: None,
            },
        ],
        ..config()
    };
    let future = |id| InstrumentKey::new(Segment::McxComm, id);
    let rows = || {
        Rows::new()
            .future(1, "CRUDEOIL", "2026-02-09")
            .future(2, "CRUDEOIL", "2026-03-19")
    };
    let of = |total, master| {
        let mut run = Run {
            config: config.clone(),
            master,
            ..Run::default()
        };
        run.config.book.total = total;
        run
    };
    of(1, rows().load("2026-02-09"))
        .with(async |gateway, broker| {
            settle().await;
            assert_eq!(broker.on_wire(), [future(1)].into());
            until(&gateway, "2026-02-09T23:56:00+05:30").await;
            assert_eq!(broker.on_wire(), [future(2)].into());
            assert_eq!(gateway.status().await.unwrap().tier_b.waiting.len(), 0);
        })
        .await;
    let options = Rows::new()
        .equity(11_536, "TCS")
        .options(50_001, "OPTSTK", "TCS", "2026-02-24", LADDER)
        .future(1, "CRUDEOIL", "2026-02-09");
    let mut late = of(3, options.load("2026-02-09"));
    // All but the underlying of the window's fits; then nothing else does.
    late.config.book.total = 1;
    late.with(async |gateway, broker| {
        settle().await;
        assert_eq!(broker.on_wire(), [future(1)].into());
        until(&gateway, "2026-02-09T23:56:00+05:30").await;
        assert_eq!(broker.on_wire(), [SPOT].into(), "its price comes first");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_addition_changes_nothing() {
    let ledger = Ledger::default();
    run(&ledger)
        .with(async |gateway, broker| {
            add_at_live_price(&gateway, &broker, 3_000.0, 3).await;
            let error = gateway.add_item(&item(2, 3, Some(0.0))).await;
            assert!(error.is_err());
            assert!(gateway.list_items(2).await.unwrap().is_empty());
            gateway.remove_item(1, filter("TCS")).await.unwrap();
            settle().await;
            assert!(broker.on_wire().is_empty());
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn yesterdays_price_is_called_stale() {
    let ledger = Ledger::default();
    run(&ledger)
        .with(async |gateway, broker| {
            add_at_live_price(&gateway, &broker, 3_000.0, 3).await;
            let fresh = gateway.read_chain(&chain(3)).await.unwrap().0;
            assert!(!gateway.render(&fresh).price_stale);
            until(&gateway, "2026-02-10T09:05:00+05:30").await;
            gateway.add_item(&item(1, 3, Some(3_000.0))).await.unwrap();
            settle().await;
            broker.tick(SPOT, 3_001.0, gateway.clock().now().utc);
            settle().await;
            let old = gateway.read_chain(&chain(3)).await.unwrap().0;
            assert!(old.live.is_none());
            assert!(gateway.render(&old).price_stale);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_night_with_another_master_does_not_stop_a_stream_from_following() {
    let ledger = Ledger::default();
    run(&ledger)
        .with(async |gateway, broker| {
            let (mut client, messages) = gateway.open_stream(limits()).await.unwrap();
            let request = ChainRequest {
                price: Price::from_f64(3_000.0),
                ..chain(3)
            };
            client
                .subscribe_chain(&streamed(request), |_, _| "{}".into())
                .await
                .unwrap();
            let option = ticks("TCS_24FEB2026_2800CE");
            client
                .subscribe_ticks(&option, |_, _| "{}".into())
                .await
                .unwrap();
            until(&gateway, "2026-02-09T15:31:00+05:30").await;
            assert!(broker.on_wire().is_empty());
            let today = Rows::new()
                .equity(11_535, "ABB")
                .equity(11_536, "TCS")
                .options(40_001, "OPTSTK", "ABB", "2026-02-24", (5_000, 5_400, 50))
                .options(50_005, "OPTSTK", "TCS", "2026-02-24", LADDER)
                .load("2026-02-10");
            until(&gateway, "2026-02-10T08:30:00+05:30").await;
            gateway.swap_master(today.clone()).await.unwrap();
            settle().await;
            assert!(broker.on_wire().is_empty());
            until(&gateway, "2026-02-10T09:00:01+05:30").await;
            assert_eq!(
                strikes(&today, &broker.on_wire()),
                [2800, 2980, 3000, 3020].into()
            );
            until(&gateway, "2026-02-10T09:15:01+05:30").await;
            for price in [3_040.0, 3_060.0, 3_080.0] {
                broker.tick(SPOT, price, gateway.clock().now().utc);
                tokio::time::sleep(Duration::from_secs(6)).await;
            }
            assert_eq!(
                strikes(&today, &broker.on_wire()),
                [2800, 3060, 3080, 3100].into()
            );
            assert_eq!(ledger.subscribed_by_log(), tokens(&today, &broker));
            // What did not fit into the client's queue meanwhile comes now.
            waiting(&messages);
            tokio::time::sleep(Duration::from_millis(300)).await;
            waiting(&messages);
            let leg = today.find("TCS_24FEB2026_3080CE").unwrap();
            broker.tick(leg.instrument.key(), 55.5, gateway.clock().now().utc);
            tokio::time::sleep(Duration::from_millis(300)).await;
            let said = waiting(&messages);
            let delta = &of_type(&said, "delta")[0]["set"];
            assert_eq!(delta["TCS_24FEB2026_3080CE"]["ltp"], 55.5, "{said:?}");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_end_of_day_while_the_disk_fails_is_not_lost() {
    let ledger = Ledger::default();
    run(&ledger)
        .with(async |gateway, broker| {
            gateway.add_item(&item(1, 3, Some(3_000.0))).await.unwrap();
            until(&gateway, "2026-02-09T15:29:00+05:30").await;
            ledger.break_down();
            until(&gateway, "2026-02-09T15:30:01+05:30").await;
            assert!(broker.on_wire().is_empty());
        })
        .await;
    // Killed before the disk was repaired: nothing of it was written.
    assert_eq!(ledger.items().len(), 1);
    ledger.forget_owed();
    let again = Run {
        clock: "2026-02-09T15:45:00+05:30",
        ..run(&ledger)
    };
    again
        .with(async |gateway, broker| {
            settle().await;
            assert!(gateway.list_items(1).await.unwrap().is_empty());
            assert!(broker.on_wire().is_empty());
        })
        .await;
    assert!(ledger.items().is_empty());
    let monday = ("nse_derivatives".to_owned(), "2026-02-09".to_owned());
    assert_eq!(
        ledger.ends().iter().filter(|end| **end == monday).count(),
        1
    );
}
