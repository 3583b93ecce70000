//! Another instrument master while claims are held.

use core::time::Duration;
use std::collections::BTreeSet;

use strikewire_fanout::Class;
use strikewire_gateway::TicksRequest;
use strikewire_gateway::store::Action;
use strikewire_gateway::types::{InstrumentKey, Segment};

use crate::ledger::Ledger;
use crate::play::{Rows, Run, SPOT, item, limits, of_type, settle, strikes, until, waiting};

const LADDER: (u32, u32, usize) = (2_800, 3_200, 20);

fn yesterday() -> Rows {
    Rows::new()
        .equity(11_536, "TCS")
        .options(50_001, "OPTSTK", "TCS", "2026-02-24", LADDER)
}

fn tokens(
    registry: &strikewire_gateway::registry::Registry,
    keys: &BTreeSet<InstrumentKey>,
) -> BTreeSet<String> {
    keys.iter()
        .filter_map(|key| Some(registry.by_key(*key)?.token()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn claims_are_carried_over_by_contract_not_by_id() {
    let ledger = Ledger::default();
    let run = Run {
        master: yesterday().load("2026-02-06"),
        clock: "2026-02-06T15:45:00+05:30",
        ledger: ledger.clone(),
        ..Run::default()
    };
    run.with(async |gateway, broker| {
        gateway.add_item(&item(1, 3, Some(3_000.0))).await.unwrap();
        until(&gateway, "2026-02-06T15:46:00+05:30").await;
        let before = broker.on_wire();
        let old = gateway.registry();
        // The same contracts, two ids further: most ids mean another contract now.
        let today = Rows::new()
            .equity(11_536, "TCS")
            .options(50_005, "OPTSTK", "TCS", "2026-02-24", LADDER)
            .load("2026-02-09");
        // A price under an id that will mean another contract.
        let shared = InstrumentKey::new(Segment::NseFno, 50_025);
        let stranger = old.by_key(shared).unwrap().token();
        assert_ne!(today.by_key(shared).unwrap().token(), stranger);
        broker.tick(shared, 12.5, gateway.clock().now().utc);
        settle().await;

        gateway.swap_master(today.clone()).await.unwrap();
        settle().await;
        tokio::time::sleep(Duration::from_secs(6)).await;
        let after = broker.on_wire();
        assert_eq!(tokens(&old, &before), tokens(&today, &after));
        assert_ne!(before, after);
        // Nobody sees the price of the contract that the id meant before.
        for key in &after {
            assert!(gateway.quote(*key).is_none(), "{key}");
        }
        assert!(!ledger.audited(Action::Repoint).is_empty());
        // It follows in the new master.
        until(&gateway, "2026-02-09T09:15:05+05:30").await;
        broker.tick(SPOT, 3_060.0, gateway.clock().now().utc);
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(
            strikes(&today, &broker.on_wire()),
            [3040, 3060, 3080].into()
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_wire_is_left_alone_where_nothing_changed() {
    let run = Run {
        master: yesterday().load("2026-02-06"),
        clock: "2026-02-06T15:45:00+05:30",
        ..Run::default()
    };
    run.with(async |gateway, broker| {
        gateway.add_item(&item(1, 3, Some(3_000.0))).await.unwrap();
        broker.tick(SPOT, 3_000.0, gateway.clock().now().utc);
        settle().await;
        // The played broker refuses a second subscription of the same instrument.
        let before = broker.on_wire();
        gateway
            .swap_master(yesterday().load("2026-02-09"))
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(broker.on_wire(), before);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_is_let_go_and_a_moved_expiry_is_followed() {
    let ledger = Ledger::default();
    let run = Run {
        master: yesterday()
            .options(60_001, "OPTSTK", "TCS", "2026-03-31", LADDER)
            .equity(99, "GONE")
            .load("2026-02-06"),
        clock: "2026-02-06T15:45:00+05:30",
        ledger: ledger.clone(),
        ..Run::default()
    };
    run.with(async |gateway, broker| {
        let march = strikewire_gateway::ItemRequest {
            expiry: Some("2026-03-31".parse().unwrap()),
            ..item(1, 3, Some(3_000.0))
        };
        gateway.add_item(&march).await.unwrap();
        gateway.add_item(&item(2, 3, Some(3_000.0))).await.unwrap();
        let (mut client, messages) = gateway.open_stream(limits()).await.unwrap();
        let ticks = TicksRequest {
            instruments: vec!["GONE".into()],
            mode: None,
            class: Class::from_ms(100).unwrap(),
        };
        client
            .subscribe_ticks(&ticks, |_, _| "{}".into())
            .await
            .unwrap();
        settle().await;
        assert_eq!(broker.on_wire().len(), 14);

        // The March contracts expire a day earlier; February's are not listed any more.
        let today = Rows::new()
            .equity(11_536, "TCS")
            .options(60_001, "OPTSTK", "TCS", "2026-03-30", LADDER)
            .load("2026-02-09");
        gateway.swap_master(today).await.unwrap();
        tokio::time::sleep(Duration::from_secs(6)).await;
        let moved = gateway.list_items(1).await.unwrap();
        assert_eq!(moved[0].expiry.unwrap().to_string(), "30MAR2026");
        assert!(gateway.list_items(2).await.unwrap().is_empty());
        assert_eq!(broker.on_wire().len(), 7);
        let said = waiting(&messages);
        assert_eq!(of_type(&said, "notice")[0]["code"], "expired", "{said:?}");
        let kept = ledger.items();
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].expiry.unwrap().to_string(), "30MAR2026");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_ticks_goes_on_under_the_new_id() {
    let run = Run {
        master: yesterday().load("2026-02-06"),
        clock: "2026-02-06T10:00:00+05:30",
        ..Run::default()
    };
    run.with(async |gateway, broker| {
        let (mut client, messages) = gateway.open_stream(limits()).await.unwrap();
        let token = "TCS_24FEB2026_3000CE";
        let ticks = TicksRequest {
            instruments: vec![token.into()],
            mode: None,
            class: Class::from_ms(100).unwrap(),
        };
        client
            .subscribe_ticks(&ticks, |_, _| "{}".into())
            .await
            .unwrap();
        settle().await;
        let today = Rows::new()
            .equity(11_536, "TCS")
            .options(50_005, "OPTSTK", "TCS", "2026-02-24", LADDER)
            .load("2026-02-06");
        let key = today.find(token).unwrap().instrument.key();
        gateway.swap_master(today).await.unwrap();
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(broker.on_wire(), [key].into());
        waiting(&messages);
        broker.tick(key, 41.5, gateway.clock().now().utc);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let said = waiting(&messages);
        let item = &of_type(&said, "ticks")[0]["items"][0];
        assert_eq!(
            (&item["token"], &item["ltp"]),
            (&token.into(), &41.5.into())
        );
    })
    .await;
}
