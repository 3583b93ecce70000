//! Chains that are read without asking the owner.

use core::time::Duration;

use rand::{RngCore, SeedableRng};
use rand_pcg::Pcg64;
use serde_json::{Map, Value, json};
use strikewire_fanout::QuoteJson;
use strikewire_gateway::types::{InstrumentKey, Mode, Segment};
use strikewire_gateway::{
    ChainAnswer, ChainRequest, Gateway, ItemFilter, ItemRequest, ItemState, ItemView,
};

use crate::play::{Rows, Run, SPOT, add_at_live_price, chain, config, item, settle, with_gateway};

/// What is written by hand, as JSON.
fn written(gateway: &Gateway, answer: &ChainAnswer) -> Value {
    serde_json::from_slice(&gateway.chain_json(answer)).unwrap()
}

/// The same by way of serde and the list of quotes.
fn naive(gateway: &Gateway, answer: &ChainAnswer) -> Value {
    let legs = answer.span.legs(&answer.registry);
    let quotes: Map<String, Value> = legs
        .filter_map(|(idx, _, _)| {
            let contract = answer.registry.instrument(idx);
            let quote = gateway.quote(contract.key())?;
            Some((contract.token(), json!(QuoteJson(&quote, Mode::Full))))
        })
        .collect();
    let mut whole = json!(gateway.render(answer));
    whole["quotes"] = quotes.into();
    whole
}

#[tokio::test(start_paused = true)]
async fn what_is_read_without_asking_is_what_the_rule_says() {
    let mut random = Pcg64::seed_from_u64(7);
    with_gateway(async |gateway, broker| {
        add_at_live_price(&gateway, &broker, 3_000.0, 5).await;
        settle().await;
        let now = || gateway.clock().now();
        // The rule: calculated where the price leaves the band of one step, and at a read
        // that comes 300 s after.
        let (mut price, mut calculated, mut at) = (3_000_u32, 3_000_u32, now().mono);
        let (mut rolled, mut expired, mut stayed, mut quotes) = (0, 0, 0, 0);
        for _ in 0..1_000 {
            match random.next_u32() % 8 {
                0 => {
                    // Nothing is silent for so long that it is subscribed again.
                    for _ in 0..random.next_u32() % 16 {
                        tokio::time::sleep(Duration::from_secs(5)).await;
                        for key in broker.on_wire() {
                            let price = if key == SPOT { price } else { 10 };
                            broker.tick(key, price.into(), now().utc);
                        }
                        settle().await;
                    }
                }
                1 | 2 => {
                    price = (price + random.next_u32() % 21 - 10).clamp(2_850, 3_150);
                    broker.tick(SPOT, price.into(), now().utc);
                    settle().await;
                    if price.abs_diff(calculated) >= 20 {
                        (calculated, at, rolled) = (price, now().mono, rolled + 1);
                    }
                }
                _ => {
                    let id = 50_001 + random.next_u32() % 42;
                    let key = InstrumentKey::new(Segment::NseFno, id);
                    let premium = f64::from(random.next_u32() % 1000) / 20.0;
                    broker.tick(key, premium, now().utc);
                    settle().await;
                }
            }
            if now().mono.since(at) >= Duration::from_secs(300) {
                (calculated, at, expired) = (price, now().mono, expired + 1);
            } else {
                stayed += 1;
            }
            let (answer, _) = gateway.read_chain(&chain(5)).await.unwrap();
            let seen = written(&gateway, &answer);
            assert_eq!(seen, naive(&gateway, &answer));
            assert_eq!(seen["underlying_ltp"], json!(f64::from(calculated)));
            assert_eq!(seen["live_ltp"], json!(f64::from(price)));
            let atm = (calculated + 10) / 20 * 20;
            assert_eq!(seen["atm_strike"], json!(f64::from(atm)));
            assert_eq!(
                seen["live_atm_strike"],
                json!(f64::from((price + 10) / 20 * 20))
            );
            assert_eq!(seen["price_stale"], false);
            let age = now().utc.since(answer.calculated_at);
            let off = age.abs_diff(now().mono.since(at));
            assert!(off < Duration::from_millis(2), "{off:?}");
            quotes += seen["quotes"].as_object().unwrap().len();
            // A caller's price shapes a page of its own.
            let shaped = ChainRequest {
                price: strikewire_gateway::types::Price::from_f64(2_903.0),
                ..chain(5)
            };
            let (shaped, _) = gateway.read_chain(&shaped).await.unwrap();
            assert_eq!(written(&gateway, &shaped), naive(&gateway, &shaped));
        }
        assert!(
            rolled > 3 && expired > 3 && stayed > 200 && quotes > 1000,
            "{rolled} {expired} {stayed} {quotes}"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_price_that_grows_old_is_called_stale_without_a_word_of_the_owner() {
    with_gateway(async |gateway, broker| {
        add_at_live_price(&gateway, &broker, 3_000.0, 5).await;
        let read = async || {
            let (answer, _) = gateway.read_chain(&chain(5)).await.unwrap();
            written(&gateway, &answer)
        };
        assert_eq!(read().await["price_stale"], false);
        tokio::time::sleep(Duration::from_secs(62)).await;
        let old = read().await;
        assert_eq!(old["price_stale"], true);
        assert_eq!(old.get("live_ltp"), None);
        assert_eq!(old.get("live_atm_strike"), None);
        assert_eq!(old["atm_strike"], 3_000.0);
        broker.tick(SPOT, 3_001.0, gateway.clock().now().utc);
        settle().await;
        assert_eq!(read().await["live_ltp"], 3_001.0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_read_that_does_not_ask_the_owner_is_a_use() {
    const SPOTS: [InstrumentKey; 3] = [
        InstrumentKey::new(Segment::NseEq, 101),
        InstrumentKey::new(Segment::NseEq, 102),
        InstrumentKey::new(Segment::NseEq, 103),
    ];
    const NAMES: [&str; 3] = ["AAA", "BBB", "CCC"];
    let mut rows = Rows::new();
    for (place, name) in (0..).zip(NAMES) {
        let options = 50_000 + 100 * place;
        rows = rows.equity(101 + place, name).options(
            options,
            "OPTSTK",
            name,
            "2026-02-24",
            (2_900, 3_100, 20),
        );
    }
    // Two chains of eleven instruments fit.
    let mut config = config();
    config.book.per_connection = 12;
    config.book.total = 24;
    let run = Run {
        config,
        master: rows.load("2026-02-09"),
        ..Run::default()
    };
    run.with(async |gateway, broker| {
        let of = |place: usize| ItemRequest {
            symbol: NAMES[place].into(),
            ..item(place as u64 + 1, 5, Some(3_000.0))
        };
        for place in [0, 1] {
            gateway.add_item(&of(place)).await.unwrap();
            settle().await;
            broker.tick(SPOTS[place], 3_000.0, gateway.clock().now().utc);
            settle().await;
        }
        let state = async |place: usize| {
            let items: Vec<ItemView> = gateway.list_items(place as u64 + 1).await.unwrap();
            items[0].state
        };
        let read = ChainRequest {
            symbol: NAMES[0].into(),
            ..chain(5)
        };
        // The first may still ask; the second does not.
        for _ in 0..2 {
            gateway.read_chain(&read).await.unwrap();
            settle().await;
        }
        let other = ChainRequest {
            symbol: NAMES[1].into(),
            ..chain(5)
        };
        gateway.read_chain(&other).await.unwrap();
        settle().await;
        gateway.read_chain(&read).await.unwrap();
        gateway.add_item(&of(2)).await.unwrap();
        assert_eq!(state(0).await, ItemState::Live);
        assert_eq!(state(1).await, ItemState::Evicted);
        let filter = ItemFilter {
            symbol: NAMES[2].into(),
            exchange: None,
            expiry: None,
            instrument_type: None,
        };
        gateway.remove_item(3, filter).await.unwrap();
    })
    .await;
}
