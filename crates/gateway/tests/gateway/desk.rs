//! Prices that are asked for instead of being streamed.

use core::time::Duration;

use strikewire_broker::DownCause;
use strikewire_gateway::chain::{ChainView, PriceSource, Width};
use strikewire_gateway::types::{ConnId, Exchange, InstrumentKey, Mode, Price, Segment, Utc};
use strikewire_gateway::{Config, Contracts, Error, Gateway, ItemState, TierBRule};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::feed::{Act, on_stage};
use crate::play::{Rows, Run, SPOT, add_at_live_price, chain, config, item, settle, strikes};
use crate::rest::Rest;

const SOON: Duration = Duration::from_millis(50);
const NEVER: Duration = Duration::from_secs(3_600);

fn run(rest: &Rest) -> Run {
    Run {
        rest: rest.clone(),
        ..Run::default()
    }
}

fn now(gateway: &Gateway) -> Utc {
    gateway.clock().now().utc
}

fn ago(gateway: &Gateway, seconds: i64) -> Utc {
    Utc::from_nanos(now(gateway).as_nanos() - seconds * 1_000_000_000)
}

fn rupees(rupees: f64) -> Price {
    Price::from_f64(rupees).unwrap()
}

async fn read(gateway: &Gateway) -> ChainView {
    let (answer, _) = gateway.read_chain(&chain(5)).await.unwrap();
    gateway.render(&answer)
}

fn atm(view: &ChainView) -> i64 {
    view.atm_strike.raw() / 10_000
}

#[tokio::test(start_paused = true)]
async fn ten_readers_of_a_chain_that_nobody_watches_share_one_quote() {
    let rest = Rest::answering_after(SOON);
    run(&rest)
        .with(async |gateway, broker| {
            let at = now(&gateway);
            rest.knows(SPOT, 3_004.0, at);
            let mut readers = JoinSet::new();
            for n in 0..10 {
                let gateway = gateway.clone();
                readers.spawn_local(async move {
                    // Some come while the call is under way.
                    tokio::time::sleep(Duration::from_millis(4 * n)).await;
                    read(&gateway).await
                });
            }
            for view in readers.join_all().await {
                assert_eq!(view.price_source, PriceSource::Rest);
                assert_eq!(view.underlying_ltp, rupees(3_004.0));
                assert_eq!(
                    view.price_time.unwrap().to_utc().as_seconds(),
                    at.as_seconds()
                );
                assert_eq!(
                    (view.price_stale, view.live_ltp),
                    (false, Some(rupees(3_004.0)))
                );
                assert_eq!(atm(&view), 3_000);
            }
            assert_eq!(rest.calls(), [[SPOT]]);
            // An answer of a moment ago is good enough, a later one is asked for.
            rest.knows(SPOT, 3_065.0, now(&gateway));
            assert_eq!(atm(&read(&gateway).await), 3_000);
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert_eq!(atm(&read(&gateway).await), 3_060);
            assert_eq!(rest.calls().len(), 2);
            settle().await;
            assert_eq!(broker.written(), 0, "a read subscribes nothing");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn old_prices_and_closes_say_what_they_are_and_the_latest_counts() {
    let rest = Rest::answering_after(SOON);
    run(&rest)
        .with(async |gateway, broker| {
            rest.knows_close(SPOT, 2_961.0);
            let view = read(&gateway).await;
            assert_eq!(view.price_source, PriceSource::PrevClose);
            assert_eq!((view.price_stale, view.price_time), (true, None));
            assert_eq!(atm(&view), 2_960);
            for (age, price, expected) in [(900, 2_981.0, 2_980), (800, 3_021.0, 3_020)] {
                tokio::time::sleep(Duration::from_secs(2)).await;
                rest.knows(SPOT, price, ago(&gateway, age));
                let view = read(&gateway).await;
                assert_eq!(view.price_source, PriceSource::Rest);
                assert_eq!((view.price_stale, view.live_ltp), (true, None));
                assert_eq!(atm(&view), expected);
            }
            assert_eq!(broker.written(), 0);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_read_holds_the_underlying_when_the_broker_does_not_answer() {
    // What the broker does, and by when a tick is in the answer that comes at once.
    for (rest, within) in [
        (Rest::default(), 50),
        (Rest::failing_after(SOON), 100),
        (Rest::answering_after(NEVER), 1_050),
    ] {
        run(&rest)
            .with(async |gateway, broker| {
                let begun = Instant::now();
                let (view, ()) = tokio::join!(read(&gateway), async {
                    while !broker.on_wire().contains(&SPOT) {
                        settle().await;
                    }
                    broker.tick(SPOT, 3_004.0, now(&gateway));
                });
                assert_eq!(view.price_source, PriceSource::Live);
                assert!(begun.elapsed() < Duration::from_millis(within));
                settle().await;
                assert!(broker.on_wire().is_empty());
            })
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn without_any_price_the_error_says_what_was_tried() {
    for (rest, says) in [
        (Rest::default(), "this broker adapter has no quotes"),
        (Rest::failing_after(SOON), "out of order"),
        (Rest::answering_after(NEVER), "has not answered yet"),
        (Rest::answering_after(SOON), "does not know it"),
    ] {
        run(&rest)
            .with(async |gateway, _| {
                let begun = Instant::now();
                let error = gateway.read_chain(&chain(5)).await.unwrap_err();
                let waited = begun.elapsed();
                assert!(waited < Duration::from_millis(2_050), "{says}: {waited:?}");
                assert!(matches!(error, Error::PriceUnavailable { .. }), "{error}");
                assert!(error.to_string().contains(says), "{error}");
                let error = gateway.add_item(&item(1, 5, None)).await.unwrap_err();
                assert!(error.to_string().contains(says), "{error}");
                settle().await;
                assert_eq!(gateway.status().await.unwrap().total_subscriptions, 0);
            })
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_broker_delays_no_price_of_the_feed() {
    let rest = Rest::answering_after(NEVER);
    run(&rest)
        .with(async |gateway, broker| {
            let begun = Instant::now();
            let added = add_at_live_price(&gateway, &broker, 3_004.0, 3).await;
            assert_eq!(added.chain.unwrap().price.source, PriceSource::Live);
            assert!(begun.elapsed() < Duration::from_millis(50));
            tokio::time::sleep(SOON).await;
            assert_eq!(rest.calls().len(), 0, "nobody waits for a quote any more");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_starts_at_a_quote_and_follows_the_feed() {
    for (age, before) in [(0, ItemState::Live), (600, ItemState::PendingPrice)] {
        let rest = Rest::answering_after(SOON);
        run(&rest)
            .with(async |gateway, broker| {
                rest.knows(SPOT, 3_004.0, ago(&gateway, age));
                let (added, _) = gateway.add_item(&item(1, 3, None)).await.unwrap();
                assert_eq!(added.chain.unwrap().price.source, PriceSource::Rest);
                settle().await;
                let held = || strikes(&gateway.registry(), &broker.on_wire());
                assert_eq!(held(), [2980, 3000, 3020].into());
                // It is in the row as well, as what it is.
                let row = gateway.quote(SPOT).unwrap();
                assert_eq!(row.ltp, Some(rupees(3_004.0)));
                assert!(row.from_rest.is_some());
                let state = async || gateway.list_items(1).await.unwrap()[0].state;
                assert_eq!(state().await, before, "{age}");

                broker.tick(SPOT, 3_044.0, now(&gateway));
                tokio::time::sleep(Duration::from_secs(6)).await;
                assert_eq!(held(), [3020, 3040, 3060].into());
                assert_eq!(state().await, ItemState::Live);
                assert_eq!(rest.calls().len(), 1);
            })
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_quote_never_overwrites_what_the_feed_brought_since_it_was_asked_for() {
    let rest = Rest::answering_after(Duration::from_millis(500));
    run(&rest)
        .with(async |gateway, broker| {
            rest.knows(SPOT, 2_904.0, now(&gateway));
            let request = item(1, 3, None);
            let (added, ()) = tokio::join!(gateway.add_item(&request), async {
                while rest.calls().is_empty() {
                    settle().await;
                }
                broker.tick(SPOT, 3_004.0, now(&gateway));
            });
            assert_eq!(
                added.unwrap().0.chain.unwrap().price.source,
                PriceSource::Live
            );
            tokio::time::sleep(Duration::from_secs(6)).await;
            assert_eq!(rest.calls(), [[SPOT]]);
            assert_eq!(gateway.quote(SPOT).unwrap().ltp, Some(rupees(3_004.0)));
            assert_eq!(
                strikes(&gateway.registry(), &broker.on_wire()),
                [2980, 3000, 3020].into()
            );
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_quote_of_another_reader_corrects_a_callers_own_price() {
    let rest = Rest::answering_after(SOON);
    run(&rest)
        .with(async |gateway, broker| {
            gateway.add_item(&item(1, 3, Some(2_904.0))).await.unwrap();
            rest.knows(SPOT, 3_004.0, now(&gateway));
            assert_eq!(atm(&read(&gateway).await), 3_000);
            tokio::time::sleep(Duration::from_secs(6)).await;
            assert_eq!(
                strikes(&gateway.registry(), &broker.on_wire()),
                [2980, 3000, 3020].into()
            );
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_quote_moves_no_chain_that_follows_the_feed() {
    let rest = Rest::answering_after(SOON);
    on_stage(run(&rest), async |gateway, stage| {
        gateway.add_item(&item(1, 3, Some(3_000.0))).await.unwrap();
        settle().await;
        stage.act(Act::Packet(SPOT, Mode::Ticker, 3_000.0)).await;
        let held = || strikes(&gateway.registry(), &stage.keys().into_iter().collect());
        let before = [2980, 3000, 3020].into();
        assert_eq!(held(), before);

        // The gap of its connection is closed by a quote.
        let conn = ConnId::from_index(stage.conn_of(SPOT).unwrap());
        let cause = DownCause::Closed("reset".into());
        stage.act(Act::Down(conn, cause, Some(SOON))).await;
        stage.act(Act::Up(conn)).await;
        rest.knows(SPOT, 3_064.0, now(&gateway));
        tokio::time::sleep(Duration::from_secs(12)).await;
        let row = gateway.quote(SPOT).unwrap();
        assert_eq!(row.ltp, Some(rupees(3_064.0)));
        assert!(row.from_rest.is_some());
        assert_eq!(held(), before);
        let (answer, _) = gateway.read_chain(&chain(3)).await.unwrap();
        let view = gateway.render(&answer);
        assert_eq!((atm(&view), view.live_ltp), (3_000, Some(rupees(3_064.0))));

        stage.act(Act::Packet(SPOT, Mode::Ticker, 3_064.0)).await;
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(held(), [3040, 3060, 3080].into());
    })
    .await;
}

const INDEX: InstrumentKey = InstrumentKey::new(Segment::IdxI, 13);
const CRUDE: InstrumentKey = InstrumentKey::new(Segment::McxComm, 467_013);

fn standing(rest: &Rest) -> Run {
    let rule = |symbol: &str, exchange| TierBRule {
        contracts: Contracts::Options,
        symbols: vec![symbol.into()],
        exchange: Some(exchange),
        width: Some(Width::new(3).unwrap()),
        mode: Mode::Full,
        expiries: None,
    };
    Run {
        config: Config {
            tier_b: vec![
                rule("NIFTY", Exchange::Nse),
                rule("CRUDEOIL", Exchange::Mcx),
            ],
            ..config()
        },
        master: Rows::new()
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
            .options(
                60_001,
                "OPTFUT",
                "CRUDEOIL",
                "2026-02-17",
                (5_000, 6_000, 50),
            )
            .load("2026-02-09"),
        ..run(rest)
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_always_on_starts_by_quotes_when_the_feed_is_dead() {
    let rest = Rest::answering_after(SOON);
    let dead = Run {
        dead_feed: true,
        ..standing(&rest)
    };
    dead.with(async |gateway, _| {
        rest.knows(INDEX, 25_510.0, now(&gateway));
        let view = async || gateway.status().await.unwrap().tier_b;
        tokio::time::sleep(Duration::from_secs(2)).await;
        // One call for all of them; the future has no price yet.
        assert_eq!(rest.calls(), [[INDEX, CRUDE]]);
        let tier_b = view().await;
        assert_eq!((tier_b.windows, tier_b.held), (3, 2), "{tier_b:?}");
        // Those that still wait are asked for again, now and then.
        rest.knows(CRUDE, 5_510.0, ago(&gateway, 900));
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(rest.calls().len(), 1);
        tokio::time::sleep(Duration::from_secs(15)).await;
        assert_eq!(rest.calls()[1..], [[CRUDE]]);
        assert_eq!(view().await.held, 3);
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert_eq!(rest.calls().len(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_feed_corrects_windows_that_a_quote_started() {
    let rest = Rest::answering_after(SOON);
    standing(&rest)
        .with(async |gateway, broker| {
            rest.knows(INDEX, 25_510.0, ago(&gateway, 600));
            rest.knows(CRUDE, 5_510.0, ago(&gateway, 10));
            tokio::time::sleep(Duration::from_secs(2)).await;
            let held = || strikes(&gateway.registry(), &broker.on_wire());
            assert_eq!(held(), [25450, 25500, 25550, 5450, 5500, 5550].into());
            broker.tick(INDEX, 25_704.0, now(&gateway));
            broker.tick(CRUDE, 5_560.0, now(&gateway));
            tokio::time::sleep(Duration::from_secs(6)).await;
            assert_eq!(held(), [25650, 25700, 25750, 5500, 5550, 5600].into());
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_no_call() {
    let rest = Rest::answering_after(NEVER);
    let mut waiting = JoinSet::new();
    let begun = Instant::now();
    run(&rest)
        .with(async |gateway, _| {
            waiting.spawn_local(async move { gateway.read_chain(&chain(5)).await });
            tokio::time::sleep(SOON).await;
            assert_eq!(rest.calls().len(), 1);
        })
        .await;
    assert!(begun.elapsed() < Duration::from_millis(100));
}
