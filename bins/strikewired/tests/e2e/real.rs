//! On the real instrument master of February 2026, where it is there.

use std::net::SocketAddr;

use serde_json::{Value, json};
use strikewire_types::{InstrumentKey, Price, Segment};

use crate::harness::{Gateway, StandIn, quiet, real_master, strikes_in_text, window_in_text};

fn strikes(chain: &Value) -> Vec<f64> {
    let strikes = chain["strikes"].as_array().expect("strikes");
    strikes
        .iter()
        .map(|strike| strike.as_f64().expect("a number"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn reliance_and_nifty_of_february_2026() {
    let Some(master) = real_master() else {
        eprintln!("skipped: STRIKEWIRE_REAL_DATA does not name a folder with the real master");
        return;
    };
    let standin = StandIn::start_with(master, SocketAddr::from(([127, 0, 0, 1], 0)), quiet());
    let gateway = Gateway::start(&standin).await;
    let mut stream = gateway.stream().await;

    let add = json!({"expiry": "24FEB2026", "instrument_type": "STOCK_OPTION"});
    let added = gateway.add(1, "RELIANCE", add.clone()).await;
    let chain = &added["option_chain"];
    let price = chain["underlying_ltp"].as_f64().expect("a price");
    let listed = strikes_in_text(master, "NSE", "RELIANCE", "2026-02-24");
    assert_eq!(strikes(chain), window_in_text(&listed, price, 25));
    assert_eq!(strikes(chain).len(), 25);
    assert_eq!(added["strikes_subscribed"], 50);
    gateway.until_on_wire(&standin, 51).await;
    let sizes = standin.sizes();
    assert!(
        sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1,
        "{sizes:?}"
    );

    let messages = standin.messages();
    let token = chain["strikes_ce_pe"]["1400"]["CE"]
        .as_str()
        .expect("a token");
    stream
        .send(&json!({"action": "subscribe", "channel": "ticks", "instruments": [token]}))
        .await;
    let ticks = stream.of_type("ticks").await;
    assert_eq!(ticks["items"][0]["token"], token);
    gateway.add(2, "RELIANCE", add).await;
    gateway.remove(1, "RELIANCE").await;
    assert_eq!(
        standin.messages(),
        messages,
        "what is shared costs no message"
    );
    drop(stream);
    gateway.remove(2, "RELIANCE").await;
    gateway.until_on_wire(&standin, 0).await;

    let added = gateway
        .add(1, "NIFTY", json!({"expiry": "10FEB2026"}))
        .await;
    assert_eq!(added["strikes_subscribed"], 202);
    let price = added["option_chain"]["underlying_ltp"]
        .as_f64()
        .expect("a price")
        + 50.0;
    let nifty = InstrumentKey::new(Segment::IdxI, 13);
    standin
        .handle
        .set_price(nifty, Price::from_f64(price).unwrap());
    let listed = strikes_in_text(master, "NSE", "NIFTY", "2026-02-10");
    gateway
        .until("the chain has rolled", async || {
            let chain = gateway
                .ok("/api/v2/option-chain/NIFTY?expiry=10FEB2026")
                .await;
            strikes(&chain) == window_in_text(&listed, price, 101)
        })
        .await;
    gateway.until_on_wire(&standin, 203).await;
    assert_eq!(standin.report().total().duplicates, 0);
}
