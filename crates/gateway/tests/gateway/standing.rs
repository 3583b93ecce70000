//! What is always on.

use core::time::Duration;

use strikewire_gateway::chain::Width;
use strikewire_gateway::types::{Exchange, InstrumentKey, Mode, Segment};
use strikewire_gateway::{Config, Contracts, TierBRule};

use crate::play::{Rows, Run, config, item, settle, strikes, until};

const INDEX: InstrumentKey = InstrumentKey::new(Segment::IdxI, 13);

fn rule(contracts: Contracts, symbol: &str, width: u32) -> TierBRule {
    TierBRule {
        contracts,
        symbols: vec![symbol.into()],
        exchange: None,
        width: Some(Width::new(width).unwrap()),
        mode: Mode::Full,
        expiries: None,
    }
}

fn rows() -> Rows {
    Rows::new()
        .equity(11_536, "TCS")
        .options(70_001, "OPTSTK", "TCS", "2026-02-24", (2_800, 3_200, 20))
        .index(13, "NIFTY")
        .options(
            50_001,
            "OPTIDX",
            "NIFTY",
            "2026-02-10",
            (25_000, 26_000, 50),
        )
        .options(
            51_001,
            "OPTIDX",
            "NIFTY",
            "2026-02-17",
            (25_000, 26_000, 50),
        )
        .future(467_013, "CRUDEOIL", "2026-02-19")
        .future(472_789, "CRUDEOIL", "2026-03-19")
}

fn standing() -> Config {
    Config {
        tier_b: vec![
            rule(Contracts::Options, "NIFTY", 3),
            rule(Contracts::Futures, "CRUDEOIL", 1),
            rule(Contracts::Options, "NOSUCH", 3),
        ],
        ..config()
    }
}

fn run(clock: &'static str) -> Run {
    Run {
        config: standing(),
        master: rows().load("2026-02-09"),
        clock,
        ..Run::default()
    }
}

#[tokio::test(start_paused = true)]
async fn prices_come_first_then_windows_and_they_follow() {
    run("2026-02-09T10:00:00+05:30")
        .with(async |gateway, broker| {
            settle().await;
            // The index and the futures at once; the windows wait and say so.
            assert_eq!(broker.on_wire().len(), 3);
            assert!(broker.on_wire().contains(&INDEX));
            let view = gateway.status().await.unwrap().tier_b;
            assert_eq!((view.windows, view.held), (4, 2));
            assert_eq!(view.waiting.len(), 2);
            assert_eq!(view.not_listed, ["NOSUCH"]);
            // They do not block what users want.
            gateway.add_item(&item(1, 3, Some(3_000.0))).await.unwrap();

            broker.tick(INDEX, 25_510.0, gateway.clock().now().utc);
            settle().await;
            let view = gateway.status().await.unwrap().tier_b;
            assert_eq!((view.windows, view.held), (4, 4));
            assert_eq!(
                strikes(&gateway.registry(), &broker.on_wire()),
                [2980, 3000, 3020, 25450, 25500, 25550].into()
            );
            let status = gateway.status().await.unwrap();
            assert_eq!((status.tier_b_count, status.tier_a_count), (15, 7));
            broker.tick(INDEX, 25_560.0, gateway.clock().now().utc);
            tokio::time::sleep(Duration::from_secs(6)).await;
            assert_eq!(
                strikes(&gateway.registry(), &broker.on_wire()),
                [2980, 3000, 3020, 25500, 25550, 25600].into()
            );
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn it_survives_the_end_of_day_and_rolls_at_expiry() {
    run("2026-02-09T10:00:00+05:30")
        .with(async |gateway, broker| {
            settle().await;
            broker.tick(INDEX, 25_510.0, gateway.clock().now().utc);
            settle().await;
            gateway.add_item(&item(1, 3, Some(3_000.0))).await.unwrap();
            until(&gateway, "2026-02-09T15:31:00+05:30").await;
            let status = gateway.status().await.unwrap();
            assert_eq!((status.tier_b_count, status.tier_a_count), (15, 0));
            // The nearest expiry ends with its last session.
            until(&gateway, "2026-02-10T15:31:00+05:30").await;
            let status = gateway.status().await.unwrap();
            assert_eq!(status.tier_b_count, 9);
            assert_eq!(status.tier_b.windows, 3);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn it_takes_the_place_of_watchlists_and_never_gives_it() {
    let mut run = run("2026-02-09T10:00:00+05:30");
    run.config.book.total = 40;
    run.with(async |gateway, broker| {
        settle().await;
        // 37 slots were free; one chain takes 31 of them.
        gateway.add_item(&item(1, 15, Some(3_000.0))).await.unwrap();
        settle().await;
        broker.tick(INDEX, 25_510.0, gateway.clock().now().utc);
        settle().await;
        let status = gateway.status().await.unwrap();
        assert_eq!((status.tier_b_count, status.tier_a_count), (15, 0));
        let error = gateway.add_item(&item(1, 15, Some(3_000.0))).await;
        assert!(error.is_err(), "25 are left for 31");
        gateway.add_item(&item(1, 11, Some(3_000.0))).await.unwrap();
        assert_eq!(gateway.status().await.unwrap().tier_b_count, 15);
        let _ = Exchange::Nse;
    })
    .await;
}
