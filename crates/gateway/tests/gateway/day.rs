//! The trading day: ends of day, suspension, the open.

use core::time::Duration;
use std::collections::BTreeSet;

use strikewire_fanout::Class;
use strikewire_gateway::calendar::Calendar;
use strikewire_gateway::store::Action;
use strikewire_gateway::types::{Exchange, InstrumentKey, Price, Segment, Tier};
use strikewire_gateway::{ChainRequest, Error, ItemRequest, List, TicksRequest};

use crate::ledger::Ledger;
use crate::play::{
    Rows, Run, SPOT, chain, config, filter, item, limits, of_type, settle, streamed, strikes,
    until, waiting,
};

const CRUDE: InstrumentKey = InstrumentKey::new(Segment::McxComm, 467_013);

/// A stock and a commodity, with options on both.
fn two_exchanges() -> Rows {
    Rows::new()
        .equity(11_536, "TCS")
        .options(50_001, "OPTSTK", "TCS", "2026-02-24", (2_800, 3_200, 20))
        .future(467_013, "CRUDEOIL", "2026-02-19")
        .options(
            90_001,
            "OPTFUT",
            "CRUDEOIL",
            "2026-02-17",
            (5_500, 6_000, 50),
        )
}

fn crude(user: u64) -> ItemRequest {
    ItemRequest {
        symbol: "CRUDEOIL".into(),
        ..item(user, 3, Some(5_750.0))
    }
}

fn end(class: &str, day: &str) -> (String, String) {
    (class.to_owned(), day.to_owned())
}

#[tokio::test(start_paused = true)]
async fn each_class_ends_its_day_at_its_own_close_and_once() {
    let ledger = Ledger::default();
    let run = Run {
        master: two_exchanges().load("2026-02-09"),
        ledger: ledger.clone(),
        ..Run::default()
    };
    run.with(async |gateway, broker| {
        gateway.add_item(&item(1, 3, Some(3_000.0))).await.unwrap();
        gateway.add_item(&crude(1)).await.unwrap();
        until(&gateway, "2026-02-09T15:29:59+05:30").await;
        assert_eq!(gateway.list_items(1).await.unwrap().len(), 2);
        assert_eq!(broker.on_wire().len(), 14);

        until(&gateway, "2026-02-09T15:30:01+05:30").await;
        let left = gateway.list_items(1).await.unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].symbol, "CRUDEOIL");
        let segments: BTreeSet<Segment> = broker.on_wire().iter().map(|key| key.segment).collect();
        assert_eq!(segments, [Segment::McxComm].into());
        assert_eq!(ledger.audited(Action::EodCleanup).len(), 7);
        assert_eq!(
            ledger.owners(Action::EodCleanup),
            ["watchlist of user 1: NSE STOCK_OPTION TCS 24FEB2026".to_owned()].into()
        );

        until(&gateway, "2026-02-09T23:55:01+05:30").await;
        assert!(gateway.list_items(1).await.unwrap().is_empty());
        assert!(broker.on_wire().is_empty());
        until(&gateway, "2026-02-10T09:00:00+05:30").await;
        let ends = ledger.ends();
        let of = |class: &str| ends.iter().filter(|(of, _)| of == class).count();
        assert_eq!(
            of("nse_derivatives"),
            2,
            "of Friday at the start, of Monday"
        );
        assert!(ends.contains(&end("nse_derivatives", "2026-02-06")));
        assert!(ends.contains(&end("nse_derivatives", "2026-02-09")));
        assert!(ends.contains(&end("mcx", "2026-02-09")));
        assert!(ledger.items().is_empty());
        assert!(ledger.subscribed_by_log().is_empty());
        assert!(ledger.active().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_item_added_after_the_close_belongs_to_the_next_day() {
    let ledger = Ledger::default();
    let run = Run {
        clock: "2026-02-06T15:40:00+05:30",
        ledger: ledger.clone(),
        ..Run::default()
    };
    run.with(async |gateway, broker| {
        gateway.add_item(&item(1, 3, Some(3_000.0))).await.unwrap();
        // Friday night, the weekend, and Monday until its close.
        assert_eq!(
            gateway.list_items(1).await.unwrap()[0].trading_day,
            "2026-02-09"
        );
        until(&gateway, "2026-02-09T15:29:00+05:30").await;
        assert_eq!(broker.on_wire().len(), 7);
        until(&gateway, "2026-02-09T15:30:01+05:30").await;
        assert_eq!(broker.on_wire().len(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_runs_the_ends_of_day_that_it_missed_and_no_others() {
    // Where the first run stops, where the second starts, and whether the item is there.
    for (stopped, started, stays) in [
        (
            "2026-02-09T15:29:58+05:30",
            "2026-02-09T15:29:59+05:30",
            true,
        ),
        (
            "2026-02-09T15:29:58+05:30",
            "2026-02-09T15:45:00+05:30",
            false,
        ),
        (
            "2026-02-09T14:00:00+05:30",
            "2026-02-10T10:00:00+05:30",
            false,
        ),
        (
            "2026-02-09T14:00:00+05:30",
            "2026-02-09T14:00:01+05:30",
            true,
        ),
    ] {
        let ledger = Ledger::default();
        let first = Run {
            ledger: ledger.clone(),
            ..Run::default()
        };
        first
            .with(async |gateway, _| {
                gateway.add_item(&item(1, 3, Some(3_000.0))).await.unwrap();
                until(&gateway, stopped).await;
            })
            .await;
        let second = Run {
            clock: started,
            ledger: ledger.clone(),
            ..Run::default()
        };
        second
            .with(async |gateway, broker| {
                settle().await;
                let there = !gateway.list_items(1).await.unwrap().is_empty();
                assert_eq!(there, stays, "{stopped} to {started}");
                assert_eq!(broker.on_wire().len(), if stays { 7 } else { 0 });
                until(&gateway, "2026-02-10T18:00:00+05:30").await;
                assert!(gateway.list_items(1).await.unwrap().is_empty());
            })
            .await;
        let monday = end("nse_derivatives", "2026-02-09");
        let times = ledger.ends().into_iter().filter(|it| *it == monday).count();
        // One that was missed by a whole day is done by the later one.
        assert!(times <= 1, "{stopped} to {started}");
        assert!(ledger.items().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_holiday_has_no_end_of_day() {
    let holiday = "[[holidays]]\nclasses = [\"nse_cash\", \"nse_derivatives\"]\ndays = [{ date = 2026-02-10, name = \"x\" }]\n";
    let calendar = Calendar::builtin().with_overrides(holiday);
    let Ok(calendar) = calendar else {
        panic!("{calendar:?}");
    };
    let ledger = Ledger::default();
    let run = Run {
        clock: "2026-02-09T15:40:00+05:30",
        calendar,
        ledger: ledger.clone(),
        ..Run::default()
    };
    run.with(async |gateway, broker| {
        gateway.add_item(&item(1, 3, Some(3_000.0))).await.unwrap();
        until(&gateway, "2026-02-11T15:29:00+05:30").await;
        assert_eq!(broker.on_wire().len(), 7);
        until(&gateway, "2026-02-11T15:31:00+05:30").await;
        assert_eq!(broker.on_wire().len(), 0);
        assert!(
            !ledger
                .ends()
                .contains(&end("nse_derivatives", "2026-02-10"))
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_time_for_all_ends_every_day_then() {
    let at = "15:30".parse().unwrap();
    let run = Run {
        master: two_exchanges().load("2026-02-09"),
        calendar: Calendar::builtin().with_end_of_day_at(at),
        ..Run::default()
    };
    run.with(async |gateway, broker| {
        gateway.add_item(&item(1, 3, Some(3_000.0))).await.unwrap();
        gateway.add_item(&crude(1)).await.unwrap();
        until(&gateway, "2026-02-09T15:30:01+05:30").await;
        assert!(gateway.list_items(1).await.unwrap().is_empty());
        assert!(broker.on_wire().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn streams_are_suspended_at_the_close_and_resume_before_the_open() {
    let ledger = Ledger::default();
    let run = Run {
        master: two_exchanges().load("2026-02-09"),
        ledger: ledger.clone(),
        ..Run::default()
    };
    run.with(async |gateway, broker| {
        let class = Class::from_ms(100).unwrap();
        // The feed is up.
        settle().await;
        let (mut client, messages) = gateway.open_stream(limits()).await.unwrap();
        let request = ChainRequest {
            price: Price::from_f64(3_000.0),
            ..chain(3)
        };
        client
            .subscribe_chain(&streamed(request), |_, _| "{}".into())
            .await
            .unwrap();
        let ticks = TicksRequest {
            instruments: vec!["CRUDEOIL_19FEB2026_FUT".into(), "TCS".into()],
            mode: None,
            class,
        };
        client
            .subscribe_ticks(&ticks, |_, _| "{}".into())
            .await
            .unwrap();
        settle().await;
        assert_eq!(broker.on_wire().len(), 8);
        until(&gateway, "2026-02-09T15:30:01+05:30").await;
        assert_eq!(broker.on_wire(), [CRUDE].into());
        let said = waiting(&messages);
        let codes: Vec<&str> = of_type(&said, "notice")
            .iter()
            .filter_map(|notice| notice["code"].as_str())
            .collect();
        // The chain once, the ticks for the equity.
        assert_eq!(codes, ["suspended", "suspended"], "{said:?}");

        until(&gateway, "2026-02-10T08:44:00+05:30").await;
        assert!(!broker.on_wire().contains(&SPOT));
        until(&gateway, "2026-02-10T09:00:01+05:30").await;
        assert_eq!(broker.on_wire().len(), 8, "a quarter before the open");
        let said = waiting(&messages);
        let resumed = of_type(&said, "notice");
        let resumed: Vec<_> = resumed
            .iter()
            .filter(|notice| notice["code"] == "resumed")
            .collect();
        // Crude's own night was a suspension too.
        assert_eq!(resumed.len(), 3, "{said:?}");

        // It follows again, and is shown.
        broker.tick(SPOT, 3_060.0, gateway.clock().now().utc);
        until(&gateway, "2026-02-10T09:15:10+05:30").await;
        broker.tick(SPOT, 3_060.0, gateway.clock().now().utc);
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(
            strikes(&gateway.registry(), &broker.on_wire()),
            [3040, 3060, 3080].into()
        );
        let said = waiting(&messages);
        assert!(!of_type(&said, "delta").is_empty(), "{said:?}");
        drop(client);
        settle().await;
        assert!(broker.on_wire().is_empty());
        assert_eq!(ledger.subscribed_by_log(), BTreeSet::new());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn pre_open_prices_move_nothing_until_shortly_before_the_open() {
    let run = Run {
        clock: "2026-02-09T08:50:00+05:30",
        ..Run::default()
    };
    run.with(async |gateway, broker| {
        gateway.add_item(&item(1, 3, Some(3_000.0))).await.unwrap();
        settle().await;
        let at = async |time: &str, price: f64| {
            until(&gateway, time).await;
            broker.tick(SPOT, price, gateway.clock().now().utc);
            settle().await;
        };
        let held = || strikes(&gateway.registry(), &broker.on_wire());
        at("2026-02-09T09:05:00+05:30", 3_040.0).await;
        at("2026-02-09T09:08:30+05:30", 3_060.0).await;
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(held(), [2980, 3000, 3020].into());
        until(&gateway, "2026-02-09T09:13:10+05:30").await;
        assert_eq!(
            held(),
            [3040, 3060, 3080].into(),
            "two minutes before the open"
        );
        // Once: what comes later in the pre-open session waits for the open.
        at("2026-02-09T09:14:00+05:30", 3_100.0).await;
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(held(), [3040, 3060, 3080].into());
        at("2026-02-09T09:15:01+05:30", 3_100.0).await;
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(held(), [3080, 3100, 3120].into());
        // After the close a price is not live.
        at("2026-02-09T15:29:30+05:30", 3_101.0).await;
        let read = gateway.read_chain(&chain(3)).await.unwrap().0;
        assert!(read.price.is_live());
        at("2026-02-09T15:30:05+05:30", 3_101.0).await;
        let read = gateway
            .read_chain(&ChainRequest {
                price: Price::from_f64(3_101.0),
                ..chain(5)
            })
            .await
            .unwrap()
            .0;
        assert!(read.live.is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn contracts_that_had_their_last_session_are_not_chosen_nor_held() {
    let master = Rows::new()
        .equity(11_536, "TCS")
        .options(50_001, "OPTSTK", "TCS", "2026-02-09", (2_800, 3_200, 20))
        .options(60_001, "OPTSTK", "TCS", "2026-02-24", (2_800, 3_200, 20))
        .load("2026-02-09");
    let ledger = Ledger::default();
    let run = Run {
        master,
        ledger: ledger.clone(),
        ..Run::default()
    };
    run.with(async |gateway, broker| {
        let always = ItemRequest {
            list: List::Explicit,
            tier: Tier::B,
            ..item(1, 3, Some(3_000.0))
        };
        gateway.add_item(&always).await.unwrap();
        let (mut client, messages) = gateway.open_stream(limits()).await.unwrap();
        let request = ChainRequest {
            price: Price::from_f64(3_000.0),
            ..chain(3)
        };
        client
            .subscribe_chain(&streamed(request), |_, _| "{}".into())
            .await
            .unwrap();
        settle().await;
        assert_eq!(broker.on_wire().len(), 7);
        until(&gateway, "2026-02-09T15:30:01+05:30").await;
        assert!(broker.on_wire().is_empty());
        let said = waiting(&messages);
        assert_eq!(of_type(&said, "notice")[0]["code"], "expired", "{said:?}");
        assert_eq!(ledger.audited(Action::Expire).len(), 7);
        assert!(ledger.items().is_empty());

        let (added, _) = gateway.add_item(&item(1, 3, Some(3_000.0))).await.unwrap();
        let chain = gateway.render(&added.chain.unwrap());
        assert_eq!(chain.expiry.to_string(), "24FEB2026");
        let late = ItemRequest {
            expiry: Some("2026-02-09".parse().unwrap()),
            exchange: Some(Exchange::Nse),
            ..item(2, 3, Some(3_000.0))
        };
        let error = gateway.add_item(&late).await.unwrap_err();
        assert!(matches!(error, Error::ExpiryEnded { .. }), "{error}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_endless_day_has_no_end() {
    let run = Run {
        calendar: Calendar::endless(),
        ..Run::default()
    };
    run.with(async |gateway, broker| {
        gateway.add_item(&item(1, 3, Some(3_000.0))).await.unwrap();
        until(&gateway, "2026-02-11T12:00:00+05:30").await;
        assert_eq!(broker.on_wire().len(), 7);
        gateway.remove_item(1, filter("TCS")).await.unwrap();
        let _ = config();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_over_days_ends_each_class_once() {
    let ledger = Ledger::default();
    let run = Run {
        master: two_exchanges().load("2026-02-09"),
        ledger: ledger.clone(),
        ..Run::default()
    };
    run.with(async |gateway, broker| {
        gateway.add_item(&item(1, 3, Some(3_000.0))).await.unwrap();
        gateway.add_item(&crude(1)).await.unwrap();
        settle().await;
        // From Monday morning to Wednesday noon, with nothing in between.
        tokio::time::advance(Duration::from_secs(50 * 3_600)).await;
        settle().await;
        assert!(gateway.list_items(1).await.unwrap().is_empty());
        assert!(broker.on_wire().is_empty());
        let ends = ledger.ends();
        for class in ["nse_derivatives", "mcx", "nse_cash"] {
            let days: Vec<&str> = ends
                .iter()
                .filter(|(of, _)| of == class)
                .map(|(_, day)| day.as_str())
                .collect();
            // Friday's at the start; Tuesday's stands for Monday's too.
            assert_eq!(days, ["2026-02-06", "2026-02-10"], "{class}");
        }
    })
    .await;
}
