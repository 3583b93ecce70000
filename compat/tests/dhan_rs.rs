//! `dhan-rs`, a client of Dhan's feed that shares no code with Strikewire, subscribes on the
//! stand-in in every mode and decodes what it receives. Strikewire's decoder is given the
//! very same frames and must say the same, field by field.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use compat::{Said, decoded};
use dhan_rs::types::enums::FeedRequestCode;
use dhan_rs::ws::manager::{ConnectionId, DhanFeedManagerBuilder};
use dhan_rs::ws::market_feed::{Instrument, MarketFeedEvent, PacketHeader};
use strikewire_dhan_sim::generate::{Spec, generate};
use strikewire_dhan_sim::{Config, SimServer};
use strikewire_registry::{LoadOptions, Registry};
use strikewire_types::{Clock, ClockSpec, Exchange, InstrumentKey, Price, PriceStep};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// A price of the wire, rounded by way of its decimal text. 0 is none.
fn price(rupees: f32) -> Option<i64> {
    let text = format!("{:.2}", f64::from(rupees));
    let price: Price = text.parse().expect("two decimals are a price");
    Some(price.raw()).filter(|&raw| raw != 0)
}

/// The wire's clock is that of India shown as if it were UTC.
fn time(wall_clock: i32) -> Option<i64> {
    (wall_clock != 0).then(|| i64::from(wall_clock.cast_unsigned()) - 19_800)
}

fn count(number: i32) -> Option<i64> {
    Some(i64::from(number.cast_unsigned()))
}

/// Where 0 means that it is not known.
fn some(number: i32) -> Option<i64> {
    count(number).filter(|&number| number != 0)
}

fn theirs(event: &MarketFeedEvent) -> Said {
    let said = |kind, header: &PacketHeader, fields: Vec<(&str, Option<i64>)>| {
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
        (kind, header.exchange_segment_raw, header.security_id, fields.collect())
    };
    match event {
        MarketFeedEvent::Ticker { header, ltp, ltt } => said(
            "ticker",
            header,
            vec![("ltp", price(*ltp)), ("ltt", time(*ltt))],
        ),
        MarketFeedEvent::PrevClose {
            header,
            prev_close,
            prev_oi,
        } => said(
            "previous close",
            header,
            vec![("prev_close", price(*prev_close)), ("oi", count(*prev_oi))],
        ),
        MarketFeedEvent::OI { header, oi } => {
            said("open interest", header, vec![("oi", count(*oi))])
        }
        MarketFeedEvent::Quote {
            header,
            ltp,
            last_qty,
            ltt,
            atp,
            volume,
            total_sell_qty,
            total_buy_qty,
            open,
            close,
            high,
            low,
        } => said(
            "quote",
            header,
            vec![
                ("ltp", price(*ltp)),
                ("ltt", time(*ltt)),
                ("ltq", Some(last_qty.cast_unsigned().into())),
                ("atp", price(*atp)),
                ("volume", count(*volume)),
                ("total_sell_qty", count(*total_sell_qty)),
                ("total_buy_qty", count(*total_buy_qty)),
                ("open", price(*open)),
                ("prev_close", price(*close)),
                ("high", price(*high)),
                ("low", price(*low)),
            ],
        ),
        MarketFeedEvent::Full {
            header,
            ltp,
            last_qty,
            ltt,
            atp,
            volume,
            total_sell_qty,
            total_buy_qty,
            oi,
            oi_day_high,
            oi_day_low,
            open,
            close,
            high,
            low,
            depth,
        } => {
            let mut full = said(
                "full",
                header,
                vec![
                    ("ltp", price(*ltp)),
                    ("ltt", time(*ltt)),
                    ("ltq", Some(last_qty.cast_unsigned().into())),
                    ("atp", price(*atp)),
                    ("volume", count(*volume)),
                    ("total_sell_qty", count(*total_sell_qty)),
                    ("total_buy_qty", count(*total_buy_qty)),
                    ("open", price(*open)),
                    ("prev_close", price(*close)),
                    ("high", price(*high)),
                    ("low", price(*low)),
                    ("oi", count(*oi)),
                    ("oi_high", some(*oi_day_high)),
                    ("oi_low", some(*oi_day_low)),
                ],
            );
            for (index, level) in depth.iter().enumerate() {
                full.3.extend(
                    [
                        ("bid", price(level.bid_price)),
                        ("bid_qty", count(level.bid_qty)),
                        ("bid_orders", Some(level.bid_orders.cast_unsigned().into())),
                        ("ask", price(level.ask_price)),
                        ("ask_qty", count(level.ask_qty)),
                        ("ask_orders", Some(level.ask_orders.cast_unsigned().into())),
                    ]
                    .map(|(name, value)| (format!("{name} of level {index}"), value)),
                );
            }
            full
        }
        other => panic!("nothing of this kind was asked for: {other:?}"),
    }
}

async fn compare(mode: FeedRequestCode, expected: &[&'static str]) {
    let as_of = "2026-02-09".parse().unwrap();
    let mut master = Vec::new();
    let spec = Spec {
        rows: 6_000,
        ..Spec::new(as_of)
    };
    generate(&spec, &mut master).unwrap();
    let registry = Registry::from_reader(&master[..], &LoadOptions::new(as_of)).unwrap();
    let registry = Arc::new(registry);
    // An index, a share, and the options of five strikes around the money.
    let mut keys: Vec<InstrumentKey> = ["NIFTY", "RELIANCE"]
        .map(|token| registry.find(token).unwrap().instrument.key())
        .to_vec();
    let expiry = registry.option_expiries(Exchange::Nse, "NIFTY")[0];
    let ladder = registry.ladder(Exchange::Nse, "NIFTY", expiry).unwrap();
    let middle = ladder.rungs().len() / 2;
    for rung in &ladder.rungs()[middle - 2..=middle + 2] {
        let legs = [rung.call(), rung.put()].into_iter().flatten();
        keys.extend(legs.map(|leg| registry.instrument(leg).key()));
    }

    let clock = Clock::simulated("2026-02-09T10:00:00+05:30@20".parse::<ClockSpec>().unwrap());
    let any_port = "127.0.0.1:0".parse().unwrap();
    let config = Config::default();
    let server = SimServer::bind(any_port, Arc::clone(&registry), clock, config)
        .await
        .unwrap();
    let url = server.url();
    let server = tokio::spawn(server.run(std::future::pending()));

    let mut manager = DhanFeedManagerBuilder::new("1000000001", "any-token")
        .max_connections(1)
        .enable_raw_frames(true)
        .market_feed_url(url)
        .build();
    let id = ConnectionId(0);
    let mut frames = manager.get_raw_channel(id).expect("raw frames are on");
    let mut events = manager.get_parsed_channel(id).expect("events are on");
    manager.start().await.unwrap();
    let instruments: Vec<Instrument> = keys
        .iter()
        .map(|key| Instrument::new(key.segment.as_str(), key.id.to_string()))
        .collect();
    manager.subscribe(&instruments, mode).await.unwrap();

    let step = |key| {
        registry
            .by_key(key)
            .map_or(PriceStep::PAISA, |instrument| instrument.tick())
    };
    let mut missing: BTreeSet<&str> = expected.iter().copied().collect();
    let mut heard = BTreeSet::new();
    let mut packets = 0;
    while !missing.is_empty() || heard.len() < keys.len() || packets < 200 {
        let frame = timeout(PATIENCE, frames.recv())
            .await
            .unwrap_or_else(|_| panic!("{mode:?}: no more frames, {missing:?} missing"))
            .unwrap();
        for said in decoded(&frame, step) {
            let event = timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
            assert_eq!(said, theirs(&event), "{event:?}");
            missing.remove(said.0);
            heard.insert((said.1, said.2));
            packets += 1;
        }
    }
    let wanted: BTreeSet<(u8, u32)> = keys
        .iter()
        .map(|key| (key.segment.code(), key.id.0))
        .collect();
    assert_eq!(heard, wanted, "nothing else was asked for");
    manager.shutdown().await.unwrap();
    server.abort();
}

#[tokio::test]
async fn ticker_mode() {
    compare(FeedRequestCode::SubscribeTicker, &["ticker", "previous close"]).await;
}

#[tokio::test]
async fn quote_mode() {
    let expected = ["quote", "open interest", "previous close"];
    compare(FeedRequestCode::SubscribeQuote, &expected).await;
}

#[tokio::test]
async fn full_mode() {
    // An index has no depth: it comes as a quote.
    let expected = ["full", "quote", "previous close"];
    compare(FeedRequestCode::SubscribeFull, &expected).await;
}
