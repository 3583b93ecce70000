//! What happened to instruments, asked for over REST.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use strikewire_types::{ClockSpec, InstrumentKey, Price, Segment};

use crate::harness::{Gateway, StandIn, master};
use crate::listing::Prices;

const NIFTY: InstrumentKey = InstrumentKey::new(Segment::IdxI, 13);

fn tokens(keys: impl IntoIterator<Item = InstrumentKey>) -> BTreeSet<String> {
    keys.into_iter()
        .map(|key| {
            let registry = &master().registry;
            registry.by_key(key).expect("it is listed").token()
        })
        .collect()
}

/// The rows that a query gives, over all pages.
async fn rows(gateway: &Gateway, query: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = gateway
            .ok(&format!("/api/v2/audit?limit=20&{query}{cursor}"))
            .await;
        all.extend(page["items"].as_array().expect("items").iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

fn of(rows: &[Value]) -> BTreeSet<String> {
    rows.iter()
        .map(|row| row["token"].as_str().expect("a token").to_owned())
        .collect()
}

/// Waits until there are so many rows.
async fn until(gateway: &Gateway, query: &str, count: usize) -> Vec<Value> {
    gateway
        .until(&format!("{count} records of {query}"), async || {
            rows(gateway, query).await.len() == count
        })
        .await;
    rows(gateway, query).await
}

/// The moment after the millisecond that a record names, as a query has it: `+` means a
/// space there.
fn just_after(time: &str) -> String {
    let at = time.parse::<ClockSpec>().expect("a time").start;
    (at + Duration::from_millis(1))
        .to_string()
        .replace('+', "%2B")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_tells_what_happened_and_what_was() {
    let standin = StandIn::any();
    let toml = "[subscriptions]\ntotal = 40\nin_use_s = 0\n[chain]\nlinger_s = 1\n";
    let gateway = Gateway::start_with(&standin, toml).await;
    let ladder = master().listing.of("NSE", "NIFTY").next().expect("options");
    let price = Prices::new(&master().registry, standin.clock).of(NIFTY);

    gateway.add(1, "NIFTY", json!({"width": 5})).await;
    gateway.until_on_wire(&standin, 11).await;
    let first: BTreeSet<InstrumentKey> = standin.on_wire().into_keys().collect();
    let came = until(&gateway, "action=SUBSCRIBE", 11).await;
    assert_eq!(of(&came), tokens(first.iter().copied()));
    for row in &came {
        let owner = row["owner"].as_str().expect("an owner");
        assert!(owner.contains("user 1") || row["token"] == "NIFTY", "{row}");
    }

    // The price goes by two steps.
    let moved = price + 100.0;
    let moved = Price::from_f64(moved).expect("a price");
    assert!(standin.handle.set_price(NIFTY, moved));
    let mut second = ladder.window(moved.as_f64(), 5);
    second.insert(NIFTY);
    gateway
        .until("the chain rolled", async || {
            standin.on_wire().into_keys().collect::<BTreeSet<_>>() == second
        })
        .await;
    let (came, went) = (&second - &first, &first - &second);
    let rolled_in = until(&gateway, "action=ROLL_IN", came.len()).await;
    assert_eq!(of(&rolled_in), tokens(came));
    let rolled_out = until(&gateway, "action=ROLL_OUT", went.len()).await;
    assert_eq!(of(&rolled_out), tokens(went));
    let everything = rows(&gateway, "").await;
    let then = everything
        .iter()
        .map(|row| row["at"].as_str().expect("a time"))
        .max()
        .expect("records")
        .to_owned();

    // 31 more do not fit beside the 11.
    gateway.add(2, "BANKNIFTY", json!({"width": 15})).await;
    gateway.until_on_wire(&standin, 31).await;
    let third: BTreeSet<InstrumentKey> = standin.on_wire().into_keys().collect();
    let evicted = until(&gateway, "action=RATE_LIMIT_EVICT", 11).await;
    assert_eq!(of(&evicted), tokens(second.iter().copied()));
    for row in &evicted {
        let (owner, reason) = (row["owner"].as_str(), row["reason"].as_str());
        assert!(owner.expect("an owner").contains("user 1"), "{row}");
        let reason = reason.expect("a reason");
        assert!(
            reason.contains("user 2") && reason.contains("BANKNIFTY"),
            "{row}"
        );
    }
    gateway.remove(2, "BANKNIFTY").await;
    gateway.until_on_wire(&standin, 0).await;
    let gone = until(&gateway, "action=UNSUBSCRIBE", 31).await;
    assert_eq!(of(&gone), tokens(third));

    // One contract's whole story, the newest first.
    let contract = tokens(second.iter().copied().filter(|key| !first.contains(key)));
    let contract = contract.first().expect("one rolled in");
    let story: Vec<Value> = rows(&gateway, &format!("token={contract}"))
        .await
        .iter()
        .map(|row| row["action"].clone())
        .collect();
    assert_eq!(story, ["RATE_LIMIT_EVICT", "ROLL_IN"]);

    let was = rows(&gateway, &format!("as_of={}", just_after(&then))).await;
    assert_eq!(of(&was), tokens(second));
    let now = rows(&gateway, "").await;
    let last = now[0]["at"].as_str().expect("a time");
    assert_eq!(
        rows(&gateway, &format!("as_of={}", just_after(last)))
            .await
            .len(),
        0
    );
}
