//! Requests, prices and streams, one after the other.

use core::time::Duration;
use std::collections::BTreeSet;

use strikewire_fanout::{Class, SubId};
use strikewire_gateway::chain::PriceSource;
use strikewire_gateway::types::Utc;
use strikewire_gateway::{Error, ItemRequest, StreamChainRequest, TicksRequest};

use crate::play::{
    SPOT, add_at_live_price, chain, filter, item, limits, of_type, settle, streamed, strikes,
    waiting, with_gateway,
};

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_the_first_price_and_a_tick_finds_its_way() {
    with_gateway(async |gateway, broker| {
        let added = add_at_live_price(&gateway, &broker, 2_991.0, 5).await;
        assert_eq!(added.strikes_subscribed, 10);
        assert_eq!(added.chain.unwrap().price.source, PriceSource::Live);
        settle().await;
        let expected: BTreeSet<i64> = [2960, 2980, 3000, 3020, 3040].into();
        assert_eq!(strikes(&gateway.registry(), &broker.on_wire()), expected);

        // 20 rupees are a step: below it nothing moves, at it the chain rolls.
        broker.tick(SPOT, 3_010.95, gateway.clock().now().utc);
        settle().await;
        assert_eq!(strikes(&gateway.registry(), &broker.on_wire()), expected);
        broker.tick(SPOT, 3_011.0, gateway.clock().now().utc);
        settle().await;
        let rolling = strikes(&gateway.registry(), &broker.on_wire());
        assert!(
            rolling.contains(&3060) && rolling.contains(&2960),
            "{rolling:?}"
        );
        tokio::time::sleep(Duration::from_secs(6)).await;
        let rolled: BTreeSet<i64> = [2980, 3000, 3020, 3040, 3060].into();
        assert_eq!(strikes(&gateway.registry(), &broker.on_wire()), rolled);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_a_price_there_is_an_error_and_nothing_stays() {
    with_gateway(async |gateway, broker| {
        let error = gateway.add_item(&item(1, 5, None)).await.unwrap_err();
        assert!(
            matches!(
                error,
                Error::PriceUnavailable {
                    instrument: SPOT,
                    ..
                }
            ),
            "{error}"
        );
        settle().await;
        assert_eq!(broker.on_wire(), BTreeSet::new());
        assert_eq!(gateway.status().await.unwrap().total_subscriptions, 0);
        // A request that goes away while it waits lets go as well.
        let request = item(1, 5, None);
        let gone = tokio::time::timeout(Duration::from_millis(500), gateway.add_item(&request));
        assert!(gone.await.is_err());
        settle().await;
        assert_eq!(broker.on_wire(), BTreeSet::new());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_first_live_price_corrects_a_callers_own() {
    with_gateway(async |gateway, broker| {
        let (added, _) = gateway.add_item(&item(1, 3, Some(2_900.0))).await.unwrap();
        assert_eq!(added.chain.unwrap().price.source, PriceSource::Client);
        settle().await;
        assert_eq!(
            strikes(&gateway.registry(), &broker.on_wire()),
            [2880, 2900, 2920].into()
        );
        broker.tick(SPOT, 3_000.0, gateway.clock().now().utc);
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(
            strikes(&gateway.registry(), &broker.on_wire()),
            [2980, 3000, 3020].into()
        );
        // Another caller's price shapes that caller's answer only.
        let (other, _) = gateway.add_item(&item(2, 3, Some(2_850.0))).await.unwrap();
        let view = gateway.render(&other.chain.unwrap());
        assert_eq!(view.atm_strike.raw(), 28_600_000);
        assert_eq!(view.live_atm_strike.unwrap().raw(), 30_000_000);
        assert_eq!(other.newly_on_wire, 0);
        settle().await;
        assert_eq!(
            strikes(&gateway.registry(), &broker.on_wire()),
            [2980, 3000, 3020].into()
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn stale_zero_and_jumping_prices_do_not_move_a_chain() {
    with_gateway(async |gateway, broker| {
        add_at_live_price(&gateway, &broker, 3_000.0, 3).await;
        let before: BTreeSet<i64> = [2980, 3000, 3020].into();
        let old = Utc::from_nanos(gateway.clock().now().utc.as_nanos() - 120_000_000_000);
        broker.tick(SPOT, 3_040.0, old);
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(strikes(&gateway.registry(), &broker.on_wire()), before);
        broker.tick(SPOT, 0.0, gateway.clock().now().utc);
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(strikes(&gateway.registry(), &broker.on_wire()), before);
        // A jump of over 5 % needs a second packet; one that is taken back had none.
        broker.tick(SPOT, 3_180.0, gateway.clock().now().utc);
        settle().await;
        broker.tick(SPOT, 3_001.0, gateway.clock().now().utc);
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(strikes(&gateway.registry(), &broker.on_wire()), before);
        broker.tick(SPOT, 3_180.0, gateway.clock().now().utc);
        settle().await;
        broker.tick(SPOT, 3_181.0, gateway.clock().now().utc);
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(
            strikes(&gateway.registry(), &broker.on_wire()),
            [3160, 3180, 3200].into()
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn reading_a_chain_subscribes_nothing() {
    with_gateway(async |gateway, broker| {
        add_at_live_price(&gateway, &broker, 3_000.0, 3).await;
        settle().await;
        let before = broker.on_wire();
        let (answer, _) = gateway.read_chain(&chain(11)).await.unwrap();
        assert_eq!(gateway.render(&answer).strikes.len(), 11);
        settle().await;
        assert_eq!(broker.on_wire(), before);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_does_not_follow_keeps_its_window() {
    with_gateway(async |gateway, broker| {
        add_at_live_price(&gateway, &broker, 3_000.0, 3).await;
        let (mut client, messages) = gateway.open_stream(limits()).await.unwrap();
        for (id, follow) in [("still", false), ("moving", true)] {
            client
                .subscribe_chain(
                    &StreamChainRequest {
                        follow,
                        ..streamed(chain(3))
                    },
                    |sub, _| format!(r#"{{"type":"ack","id":"{id}","sub":{}}}"#, sub.0).into(),
                )
                .await
                .unwrap();
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        let begun = waiting(&messages);
        assert_eq!(of_type(&begun, "snapshot").len(), 2, "{begun:?}");

        broker.tick(SPOT, 3_020.0, gateway.clock().now().utc);
        tokio::time::sleep(Duration::from_secs(6)).await;
        let moved = waiting(&messages);
        let rolled: Vec<_> = of_type(&moved, "delta")
            .into_iter()
            .filter(|delta| delta["chain"].get("atm_strike").is_some())
            .collect();
        assert_eq!(rolled.len(), 1, "{moved:?}");
        assert_eq!(rolled[0]["sub"], 2);
        // What it shows is what it holds.
        assert_eq!(
            strikes(&gateway.registry(), &broker.on_wire()),
            [2980, 3000, 3020, 3040].into()
        );
        client.unsubscribe(SubId(1), "{}".into()).await.unwrap();
        settle().await;
        assert_eq!(
            strikes(&gateway.registry(), &broker.on_wire()),
            [3000, 3020, 3040].into()
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_with_a_full_queue_still_gets_its_answers() {
    with_gateway(async |gateway, broker| {
        add_at_live_price(&gateway, &broker, 3_000.0, 3).await;
        let class = Class::from_ms(100).unwrap();
        let (mut client, messages) = gateway.open_stream(limits()).await.unwrap();
        let request = TicksRequest {
            instruments: vec!["TCS".into()],
            mode: None,
            class,
        };
        client
            .subscribe_ticks(&request, |_, _| r#"{"type":"ack"}"#.into())
            .await
            .unwrap();
        // More windows than the queue has places, and nobody reads.
        for n in 0..2 * limits().messages {
            let price = 3_000.0 + (n % 2) as f64;
            broker.tick(SPOT, price, gateway.clock().now().utc);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        client
            .unsubscribe(SubId(1), r#"{"type":"bye"}"#.into())
            .await
            .unwrap();
        settle().await;
        let got = waiting(&messages);
        assert_eq!(got.len(), limits().messages + 1);
        assert_eq!(got.last().unwrap()["type"], "bye");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_nobody_followed_is_read_where_the_price_is() {
    with_gateway(async |gateway, broker| {
        // Another width keeps the underlying on the wire.
        add_at_live_price(&gateway, &broker, 2_900.0, 3).await;
        let read = async || {
            let (answer, _) = gateway.read_chain(&chain(5)).await.unwrap();
            gateway.render(&answer).atm_strike.raw() / 10_000
        };
        assert_eq!(read().await, 2_900);
        for price in [2_980.0, 3_060.0, 3_140.0] {
            broker.tick(SPOT, price, gateway.clock().now().utc);
            settle().await;
        }
        assert_eq!(read().await, 3_140);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn slots_do_not_run_out_however_fast_instruments_come_and_go() {
    with_gateway(async |gateway, broker| {
        // Each round takes 43 slots; all of it happens within the second for which one rests.
        for round in 0..40 {
            gateway
                .add_item(&item(round, 21, Some(3_000.0)))
                .await
                .unwrap();
            settle().await;
            gateway.remove_item(round, filter("TCS")).await.unwrap();
            settle().await;
        }
        let added = add_at_live_price(&gateway, &broker, 3_000.0, 3).await;
        assert_eq!(added.chain.unwrap().price.source, PriceSource::Live);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn before_any_live_price_each_claim_is_where_its_caller_says() {
    with_gateway(async |gateway, broker| {
        gateway.add_item(&item(1, 3, Some(2_900.0))).await.unwrap();
        let (second, _) = gateway.add_item(&item(2, 3, Some(3_100.0))).await.unwrap();
        assert_eq!(second.newly_on_wire, 6);
        let stays = ItemRequest {
            follow: false,
            width: Some(1),
            ..item(3, 3, Some(2_860.0))
        };
        gateway.add_item(&stays).await.unwrap();
        settle().await;
        let each: BTreeSet<i64> = [2860, 2880, 2900, 2920, 3080, 3100, 3120].into();
        assert_eq!(strikes(&gateway.registry(), &broker.on_wire()), each);
        // What a caller says is nobody else's price.
        let error = gateway.read_chain(&chain(3)).await.unwrap_err();
        assert!(matches!(error, Error::PriceUnavailable { .. }), "{error}");

        // The first live price corrects them all, those that stay once and for all.
        broker.tick(SPOT, 3_000.0, gateway.clock().now().utc);
        tokio::time::sleep(Duration::from_secs(6)).await;
        let one: BTreeSet<i64> = [2980, 3000, 3020].into();
        assert_eq!(strikes(&gateway.registry(), &broker.on_wire()), one);
        broker.tick(SPOT, 3_040.0, gateway.clock().now().utc);
        tokio::time::sleep(Duration::from_secs(6)).await;
        let rolled: BTreeSet<i64> = [3000, 3020, 3040, 3060].into();
        assert_eq!(strikes(&gateway.registry(), &broker.on_wire()), rolled);
    })
    .await;
}
