//! What is always on, from the start of the process.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use strikewire_dhan_sim::core::Event;
use strikewire_types::InstrumentKey;

use crate::harness::{Gateway, Launch, StandIn, master, quiet};
use crate::listing::Prices;

#[tokio::test(flavor = "multi_thread")]
async fn prices_come_first_then_windows_and_a_reset_loses_nothing() {
    let listing = &master().listing;
    let (ladders, futures) = listing.always_on();
    // Nobody is there at first.
    let elsewhere = StandIn::any();
    let addr = StandIn::any().stop();
    let gateway = Gateway::launch_at_once(
        &elsewhere,
        Launch {
            toml: "# tier_b as by default\n",
            feed: Some(addr),
            ..Launch::default()
        },
    );
    let status = gateway.status().await;
    let waiting = status["tier_b"]["waiting"].as_array().expect("a list");
    assert_eq!(waiting.len(), ladders.len());
    for window in waiting {
        let reason = window["reason"].as_str().expect("a reason");
        assert!(reason.contains("price"), "{window}");
    }
    assert_eq!(status["tier_b"]["held"], futures.len());

    let standin = StandIn::start(addr, quiet());
    let mut prices = Prices::new(&master().registry, standin.clock);
    let underlyings: BTreeSet<InstrumentKey> = ladders
        .iter()
        .filter_map(|ladder| ladder.underlying)
        .collect();
    let mut wanted: BTreeMap<InstrumentKey, usize> =
        futures.iter().map(|future| (future.key, 1)).collect();
    wanted.extend(underlyings.iter().map(|key| (*key, 1)));
    for ladder in &ladders {
        let price = prices.of(ladder.underlying.expect("it has one"));
        wanted.extend(ladder.window(price, 101).into_iter().map(|key| (key, 1)));
    }
    gateway
        .until("everything is on the wire", async || {
            standin.on_wire() == wanted
        })
        .await;
    assert_eq!(standin.asked_since(0), wanted, "each once");
    let status = gateway.status().await;
    assert_eq!(status["tier_b"]["waiting"], json!([]));
    assert_eq!(status["tier_b"]["held"], ladders.len() + futures.len());
    assert_eq!(status["tier_b_count"], wanted.len());

    // On every connection what windows wait for comes before the windows.
    let mut windows_began = BTreeSet::new();
    for entry in standin.handle.log() {
        if let Event::Request { keys, .. } = entry.event {
            for key in keys {
                if underlyings.contains(&key) {
                    assert!(!windows_began.contains(&entry.session), "{key} comes late");
                } else if !futures.iter().any(|future| future.key == key) {
                    windows_began.insert(entry.session);
                }
            }
        }
    }
    assert!(!windows_began.is_empty());

    let connected = standin.connected();
    standin.handle.drop_all_connections();
    gateway
        .until("everything is sent again", async || {
            standin.connected() >= connected + 5 && standin.on_wire() == wanted
        })
        .await;
    assert_eq!(standin.asked_since(connected), wanted, "each once again");
    assert_eq!(standin.report().total().duplicates, 0);
}
