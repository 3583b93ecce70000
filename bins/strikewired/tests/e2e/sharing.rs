use std::collections::BTreeSet;

use serde_json::{Value, json};
use strikewire_types::{InstrumentKey, Price, Segment};

use crate::harness::{Gateway, StandIn, master, strikes_in_text, window_in_text};

const RELIANCE: InstrumentKey = InstrumentKey::new(Segment::NseEq, 2885);
const NIFTY: InstrumentKey = InstrumentKey::new(Segment::IdxI, 13);

fn numbers(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .expect("an array")
        .iter()
        .map(|number| number.as_f64().expect("a number"))
        .collect()
}

/// The keys of a chain's contracts, by the tokens of its JSON.
fn contracts(chain: &Value) -> BTreeSet<InstrumentKey> {
    chain["strikes_ce_pe"]
        .as_object()
        .expect("legs")
        .values()
        .flat_map(|legs| legs.as_object().expect("legs").values())
        .map(|token| {
            let token = token.as_str().expect("a token");
            master()
                .registry
                .find(token)
                .expect("a listed token")
                .instrument
                .key()
        })
        .collect()
}

/// The nearest expiry of a chain, as the CLI of the answers writes it and as the file does.
async fn nearest(gateway: &Gateway, symbol: &str) -> (String, String) {
    let answer = gateway
        .ok(&format!("/api/v2/instruments/{symbol}/expiries"))
        .await;
    let expiry = answer["expiries"][0]["expiry"]
        .as_str()
        .expect("an expiry")
        .to_owned();
    let parsed: strikewire_types::Expiry = expiry.parse().expect("an expiry");
    (expiry, parsed.date().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_users_share_a_chain_and_the_last_one_out_takes_it_off_the_wire() {
    let standin = StandIn::any();
    let gateway = Gateway::start(&standin).await;
    let (expiry, day) = nearest(&gateway, "RELIANCE").await;

    let added = gateway
        .add(
            1,
            "RELIANCE",
            json!({"instrument_type": "STOCK_OPTION", "expiry": expiry}),
        )
        .await;
    let chain = &added["option_chain"];
    let price = chain["underlying_ltp"].as_f64().expect("a price");
    let expected = window_in_text(
        &strikes_in_text(standin.master, "NSE", "RELIANCE", &day),
        price,
        25,
    );
    assert_eq!(expected.len(), 25);
    assert_eq!(numbers(&chain["strikes"]), expected);
    assert_eq!(chain["price_source"], "live");
    assert_eq!(added["strikes_subscribed"], 50);
    assert_eq!(added["newly_on_wire"], 50);

    gateway.until_on_wire(&standin, 51).await;
    let mut wanted = contracts(chain);
    wanted.insert(RELIANCE);
    assert_eq!(
        standin.on_wire().into_keys().collect::<BTreeSet<_>>(),
        wanted
    );
    let sizes = standin.sizes();
    assert_eq!(sizes.len(), 5);
    assert!(
        sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1,
        "{sizes:?}"
    );
    let status = gateway.status().await;
    assert_eq!(status["total_subscriptions"], 51);
    assert_eq!(status["tier_a_count"], 51);
    let mut usage: Vec<u64> = status["ws_usage"]
        .as_object()
        .expect("usage")
        .values()
        .map(|n| n.as_u64().expect("a count"))
        .collect();
    let mut counted: Vec<u64> = sizes.iter().map(|size| *size as u64).collect();
    usage.sort_unstable();
    counted.sort_unstable();
    assert_eq!(usage, counted);

    // A second user costs the wire nothing.
    let messages = standin.messages();
    let again = gateway.add(2, "reliance", json!({"expiry": expiry})).await;
    assert_eq!(again["strikes_subscribed"], 50);
    assert_eq!(again["newly_on_wire"], 0);
    let repeat = gateway.add(2, "RELIANCE", json!({"expiry": expiry})).await;
    assert_eq!(repeat["already_present"], true);
    let removed = gateway.remove(1, "RELIANCE").await;
    assert_eq!(
        (
            &removed["strikes_released"],
            &removed["strikes_unsubscribed"]
        ),
        (&json!(50), &json!(0))
    );
    assert_eq!(gateway.status().await["total_subscriptions"], 51);
    assert_eq!(standin.messages(), messages);

    let token = chain["strikes_ce_pe"]
        .as_object()
        .unwrap()
        .values()
        .next()
        .unwrap()["CE"]
        .as_str()
        .unwrap();
    let held = gateway.ok(&format!("/api/v2/subscriptions/{token}")).await;
    assert_eq!(held["holders"].as_array().map(Vec::len), Some(1));
    assert_eq!(held["holders"][0]["user_id"], 2);
    assert_eq!(held["mode"], "full");

    let removed = gateway.remove(2, "RELIANCE").await;
    assert_eq!(
        (
            &removed["strikes_released"],
            &removed["strikes_unsubscribed"]
        ),
        (&json!(50), &json!(50))
    );
    gateway.until_on_wire(&standin, 0).await;
    let total = standin.report().total();
    assert_eq!(total.duplicates, 0);
    assert_eq!(gateway.ok("/api/v2/watchlist/2").await["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_underlying_stays_for_as_long_as_anybody_needs_it() {
    let standin = StandIn::any();
    let gateway = Gateway::start(&standin).await;
    gateway
        .add(1, "RELIANCE", json!({"instrument_type": "EQUITY"}))
        .await;
    gateway.until_on_wire(&standin, 1).await;
    gateway
        .add(
            1,
            "RELIANCE",
            json!({"instrument_type": "STOCK_OPTION", "width": 3}),
        )
        .await;
    gateway.until_on_wire(&standin, 7).await;
    let ambiguous = gateway
        .post(
            "/api/v2/watchlist/remove",
            &json!({"user_id": 1, "symbol": "RELIANCE"}),
        )
        .await;
    assert_eq!(
        (ambiguous.0.as_u16(), &ambiguous.1["code"]),
        (422, &json!("ambiguous"))
    );
    let body = json!({"user_id": 1, "symbol": "RELIANCE", "instrument_type": "STOCK_OPTION"});
    let (_, removed) = gateway.post("/api/v2/watchlist/remove", &body).await;
    assert_eq!(removed["strikes_unsubscribed"], 6);
    gateway.until_on_wire(&standin, 1).await;
    assert_eq!(standin.on_wire().into_keys().next(), Some(RELIANCE));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_rolls_when_its_underlying_moves_by_a_step() {
    let standin = StandIn::any();
    let gateway = Gateway::start_with(&standin, "[chain]\nlinger_s = 1\n").await;
    let (expiry, day) = nearest(&gateway, "NIFTY").await;
    let added = gateway.add(7, "NIFTY", json!({"expiry": expiry})).await;
    let chain = &added["option_chain"];
    assert_eq!(added["strikes_subscribed"], 202);
    assert_eq!(numbers(&chain["strikes"]).len(), 101);
    gateway.until_on_wire(&standin, 203).await;
    let before = contracts(chain);

    let step = chain["strike_step"].as_f64().expect("a step");
    let price = chain["underlying_ltp"].as_f64().expect("a price") + step;
    let after = window_in_text(
        &strikes_in_text(standin.master, "NSE", "NIFTY", &day),
        price,
        101,
    );
    assert!(
        standin
            .handle
            .set_price(NIFTY, Price::from_f64(price).unwrap())
    );

    gateway
        .until("the chain has rolled", async || {
            let chain = gateway
                .ok(&format!("/api/v2/option-chain/NIFTY?expiry={expiry}"))
                .await;
            numbers(&chain["strikes"]) == after
        })
        .await;
    let chain = gateway
        .ok(&format!("/api/v2/option-chain/NIFTY?expiry={expiry}"))
        .await;
    let now = contracts(&chain);
    assert_eq!(now.difference(&before).count(), 2);
    // The old legs linger, then only the difference has gone over the wire.
    let mut wanted = now.clone();
    wanted.insert(NIFTY);
    gateway
        .until("the wire is the new window", async || {
            standin.on_wire().into_keys().collect::<BTreeSet<_>>() == wanted
        })
        .await;
    let total = standin.report().total();
    assert_eq!(total.duplicates, 0);
    assert_eq!(
        standin.subscribed(),
        203 + 2,
        "only the difference is subscribed"
    );
    assert_eq!(gateway.status().await["total_subscriptions"], 203);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_house_evicts_the_least_recently_used_chain_whole() {
    let standin = StandIn::any();
    // Room for three stock chains of 50 contracts and an underlying each.
    let toml = "[dhan]\nper_connection = 31\n[subscriptions]\ntotal = 155\nin_use_s = 0\n";
    let gateway = Gateway::start_with(&standin, toml).await;
    let symbols: Vec<String> = master()
        .registry
        .ladders()
        .filter(|ladder| {
            ladder.exchange().as_str() == "NSE"
                && ladder.kind().as_str() == "OPTSTK"
                && ladder
                    .rungs()
                    .iter()
                    .filter(|rung| rung.is_complete())
                    .count()
                    >= 27
        })
        .map(|ladder| ladder.symbol().to_owned())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .take(4)
        .collect();
    let [a, b, c, d] = symbols.as_slice() else {
        panic!("four long stock chains")
    };
    for (user, symbol) in [(1, a), (2, b), (3, c)] {
        gateway
            .add(user, symbol, json!({"instrument_type": "STOCK_OPTION"}))
            .await;
    }
    gateway.until_on_wire(&standin, 153).await;
    // The first is used again, so the second is the oldest.
    gateway
        .add(1, a, json!({"instrument_type": "STOCK_OPTION"}))
        .await;
    let added = gateway
        .add(4, d, json!({"instrument_type": "STOCK_OPTION"}))
        .await;
    assert_eq!(added["newly_on_wire"], 50);
    let state = async |user: u64| {
        gateway.ok(&format!("/api/v2/watchlist/{user}")).await["items"][0]["state"].clone()
    };
    assert_eq!(state(1).await, "live");
    assert_eq!(state(2).await, "evicted");
    assert_eq!(state(3).await, "live");
    assert_eq!(state(4).await, "live");
    gateway.until_on_wire(&standin, 153).await;
    assert!(standin.sizes().iter().all(|size| *size <= 31));

    // What cannot fit changes nothing and says why.
    let before = gateway.status().await;
    let (status, problem) = gateway
        .post(
            "/api/v2/watchlist/add",
            &json!({"user_id": 5, "symbol": "NIFTY", "width": 101, "instrument_type": "INDEX_OPTION"}),
        )
        .await;
    assert_eq!(
        (status.as_u16(), &problem["code"]),
        (503, &json!("capacity_exhausted"))
    );
    assert!(problem["needed"].as_u64().unwrap() > 155);
    // The underlying that was held for its price is let go of.
    gateway
        .until("nothing has changed", async || {
            gateway.status().await == before
        })
        .await;
    assert_eq!(state(1).await, "live");
}
