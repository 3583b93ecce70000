//! A gap at the open, with hundreds of chains and all that is always on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::json;
use strikewire_types::InstrumentKey;

use crate::harness::{Gateway, StandIn, WHOLE_MACHINE, master, quiet, request};
use crate::listing::{Ladder, Prices};

/// NSE and BSE have just opened. Chains that are asked for before lie where the first live
/// price puts them, which would hide what the gap moves.
const OPEN: &str = "2026-02-09T09:15:05+05:30";
const CHAINS: usize = 400;
const WIDTH: usize = 17;

/// What chains hold whose windows lie at these prices.
fn held<'a>(
    chains: &[(&'a Ladder, usize)],
    mut at: impl FnMut(&'a Ladder) -> f64,
) -> BTreeSet<InstrumentKey> {
    let mut keys = BTreeSet::new();
    for (ladder, width) in chains {
        keys.extend(ladder.window(at(ladder), *width));
        keys.extend(ladder.underlying);
    }
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_at_the_open_settles_and_sends_nothing_twice() {
    let _alone = WHOLE_MACHINE.lock().await;
    let limit = Duration::from_secs(if cfg!(debug_assertions) { 30 } else { 3 });
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let standin = StandIn::start_at(OPEN, master(), any, quiet());
    let listing = &master().listing;
    let mut prices = Prices::new(&master().registry, standin.clock);

    // Stocks of both exchanges, in every expiry; some twice, in another width.
    let stocks: Vec<&Ladder> = listing
        .ladders
        .iter()
        .filter(|ladder| ladder.instrument == "OPTSTK" && ladder.underlying.is_some())
        .collect();
    let asked: Vec<(&Ladder, usize)> = stocks
        .iter()
        .map(|ladder| (*ladder, WIDTH))
        .chain(stocks.iter().map(|ladder| (*ladder, WIDTH - 6)))
        .take(CHAINS)
        .collect();
    assert_eq!(asked.len(), CHAINS);
    let (standing, futures) = listing.always_on();
    let mut chains = asked.clone();
    chains.extend(standing.iter().map(|ladder| (*ladder, 101)));

    let gateway = Gateway::start_with(&standin, "# tier_b as by default\n").await;
    for (at, (ladder, width)) in asked.iter().enumerate() {
        let add = request(
            at as u64 % 40,
            &ladder.symbol,
            json!({"exchange": ladder.exchange, "expiry": ladder.expiry_text(),
                   "instrument_type": "STOCK_OPTION", "width": width}),
        );
        // A user has one width of a chain.
        let add = if *width == WIDTH {
            add
        } else {
            request(
                1_000 + at as u64,
                &ladder.symbol,
                json!({"exchange": ladder.exchange, "expiry": ladder.expiry_text(),
                       "instrument_type": "STOCK_OPTION", "width": width}),
            )
        };
        let (status, answer) = gateway.post("/api/v2/watchlist/add", &add).await;
        assert_eq!(status, StatusCode::OK, "{add}: {answer}");
    }
    let mut anchors: BTreeMap<*const Ladder, f64> = BTreeMap::new();
    for (ladder, _) in &chains {
        let underlying = ladder.underlying.expect("it has an underlying");
        anchors.insert(std::ptr::from_ref(*ladder), prices.of(underlying));
    }
    let futures: BTreeSet<InstrumentKey> = futures.iter().map(|future| future.key).collect();
    let before = &held(&chains, |ladder| anchors[&std::ptr::from_ref(ladder)]) | &futures;
    gateway
        .until("everything is on the wire", async || {
            standin.on_wire().into_keys().collect::<BTreeSet<_>>() == before
        })
        .await;
    let sent = standin.subscribed();
    assert_eq!(sent, before.len());

    let messages = standin.messages();
    let gap = Instant::now();
    assert!(standin.handle.move_prices(1.02));
    prices.move_by(1.02);
    let mut rolled = 0;
    for (ladder, _) in &chains {
        let anchor = anchors
            .get_mut(&std::ptr::from_ref(*ladder))
            .expect("it is there");
        let price = prices.of(ladder.underlying.expect("it has one"));
        let next = ladder.anchor(*anchor, price);
        rolled += usize::from(next != *anchor);
        *anchor = next;
    }
    let after = &held(&chains, |ladder| anchors[&std::ptr::from_ref(ladder)]) | &futures;
    let new: BTreeSet<InstrumentKey> = after.difference(&before).copied().collect();
    let old = before.difference(&after).count();
    assert!(rolled > CHAINS / 2, "{rolled} chains roll");

    let start = Instant::now();
    let missing = || {
        let wire = standin.on_wire();
        after.iter().filter(|key| !wire.contains_key(key)).count()
    };
    let settled = loop {
        let missing = missing();
        if missing == 0 {
            break gap.elapsed();
        }
        assert!(
            start.elapsed() < limit,
            "{missing} of {} are missing",
            new.len()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    eprintln!(
        "{rolled} of {} chains rolled; {} new on the wire {settled:?} after the gap",
        chains.len(),
        new.len()
    );
    // What was left behind lingers for a moment.
    let start = Instant::now();
    let tokens = |keys: &mut dyn Iterator<Item = InstrumentKey>| -> Vec<String> {
        let registry = &master().registry;
        keys.take(30)
            .map(|key| registry.by_key(key).expect("it is listed").token())
            .collect()
    };
    loop {
        let wire: BTreeSet<InstrumentKey> = standin.on_wire().into_keys().collect();
        if wire == after {
            break;
        }
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "not wanted: {:?}; missing: {:?}; {}",
            tokens(&mut wire.difference(&after).copied()),
            tokens(&mut after.difference(&wire).copied()),
            gateway.status().await
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let total = standin.report().total();
    assert_eq!((total.duplicates, total.not_held), (0, 0));
    assert_eq!(standin.subscribed() - sent, new.len());
    // Five connections, a hundred in a message: what is asked for is a difference, in
    // batches as they come together.
    let messages = standin.messages() - messages;
    eprintln!("{messages} messages for {} new and {old} old", new.len());
    assert!(
        messages as usize <= 40 + (new.len() + old) / 20,
        "{messages} messages"
    );
}
