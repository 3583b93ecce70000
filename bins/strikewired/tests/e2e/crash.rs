//! The real process is killed, at named points and at random instants, and started
//! again on what it left: what was acknowledged is there, what was removed is not.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use reqwest::StatusCode;
use serde_json::json;
use strikewire_types::InstrumentKey;
use tempfile::TempDir;
use tokio::sync::Notify;

use crate::database::Database;
use crate::harness::{Gateway, Launch, StandIn, master};
use crate::listing::Prices;
use crate::model::{Call, Model, Thing, palette};

/// The process was aborted, as a crash point does.
const SIGABRT: i32 = 6;

/// How many times a random round kills.
fn kills() -> usize {
    match std::env::var("STRIKEWIRE_KILLS") {
        Ok(kills) => kills.parse().expect("STRIKEWIRE_KILLS is a number"),
        Err(_) => 20,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_a_named_point_it_keeps_what_was_acknowledged() {
    if !cfg!(debug_assertions) {
        eprintln!("skipped: a release build has no crash points");
        return;
    }
    let standin = StandIn::any();
    let mut prices = Prices::new(&master().registry, standin.clock);
    let palette = palette(&mut prices);
    let mut rng = Pcg64::seed_from_u64(1);
    let mut model = Model::default();
    let gateway = Gateway::start(&standin).await;
    let mut data = gateway.kill().await;
    for point in [
        "after_apply",
        "before_commit",
        "after_commit",
        "before_reply",
    ] {
        for nth in [1, 2, 4] {
            let crash_at = format!("{point}:{nth}");
            let gateway = Gateway::launch(
                &standin,
                Launch {
                    data: Some(data),
                    env: &[("STRIKEWIRE_CRASH_AT", &crash_at)],
                    ..Launch::default()
                },
            )
            .await;
            model.check(&gateway, &standin, &crash_at).await;
            // Uses are written too: every call of this workload is a commit, but not
            // every commit is a call.
            for turn in 0.. {
                assert!(turn < 20, "{crash_at} was not reached");
                let user = rng.random_range(1..=2);
                let list = model.lists.entry(user).or_default();
                let call = Call::any(list, &palette, &mut rng);
                if call.ask(&gateway, user).await {
                    call.done_to(list);
                } else {
                    model.open.insert(user, call);
                    break;
                }
            }
            data = Arc::clone(&gateway.data);
            let (status, log) = gateway.ended().await;
            assert_eq!(status.signal(), Some(SIGABRT), "{crash_at}: {log}");
        }
    }
    let gateway = Gateway::launch(
        &standin,
        Launch {
            data: Some(data),
            ..Launch::default()
        },
    )
    .await;
    model.check(&gateway, &standin, "at the end").await;
}

/// Kills it so many times while users work, each time after a random number of
/// acknowledged calls.
async fn random_kills(rounds: usize, seed: u64, args: &[&str]) {
    const USERS: u64 = 4;
    let standin = StandIn::any();
    let mut prices = Prices::new(&master().registry, standin.clock);
    let palette = palette(&mut prices);
    let mut rng = Pcg64::seed_from_u64(seed);
    let mut model = Model {
        lists: (1..=USERS).map(|user| (user, Vec::new())).collect(),
        ..Model::default()
    };
    let mut data: Option<Arc<TempDir>> = None;
    let mut acknowledged = 0;
    for round in 1..=rounds {
        let when = format!("seed {seed}, round {round}");
        let launch = Launch {
            data: data.take(),
            args,
            ..Launch::default()
        };
        let gateway = Gateway::launch(&standin, launch).await;
        model.check(&gateway, &standin, &when).await;

        let (count, enough) = (AtomicUsize::new(0), Notify::new());
        let wanted = rng.random_range(1..60);
        let delay = Duration::from_micros(rng.random_range(0..5_000));
        let works = model.lists.iter_mut().map(|(user, list)| {
            let mut rng = Pcg64::seed_from_u64(rng.random());
            let (gateway, palette, count, enough) = (&gateway, &palette, &count, &enough);
            async move {
                loop {
                    let call = Call::any(list, palette, &mut rng);
                    if !call.ask(gateway, *user).await {
                        return (*user, call);
                    }
                    call.done_to(list);
                    if count.fetch_add(1, Relaxed) + 1 == wanted {
                        enough.notify_one();
                    }
                }
            }
        });
        let works = futures_util::future::join_all(works);
        let killer = async {
            enough.notified().await;
            let at = Instant::now() + delay;
            while Instant::now() < at {
                tokio::task::yield_now().await;
            }
            gateway.signal("KILL");
        };
        let (open, ()) = tokio::join!(works, killer);
        model.open = open.into_iter().collect();
        acknowledged += count.into_inner();
        data = Some(gateway.kill().await);
    }
    let launch = Launch {
        data,
        args,
        ..Launch::default()
    };
    let gateway = Gateway::launch(&standin, launch).await;
    model.check(&gateway, &standin, "at the end").await;
    assert!(
        acknowledged > rounds,
        "{acknowledged} calls were acknowledged"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_instant_it_keeps_what_was_acknowledged() {
    random_kills(kills(), 7, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgresql_too() {
    let Some(database) = Database::on_postgres().await else {
        eprintln!("skipped: STRIKEWIRE_TEST_POSTGRES names no server");
        return;
    };
    random_kills(5, 8, &["--database", &database.url]).await;
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_inside_the_end_of_day_it_runs_it_once() {
    if !cfg!(debug_assertions) {
        eprintln!("skipped: a release build has no crash points");
        return;
    }
    const CLOSES: [&str; 4] = ["bse_cash", "bse_derivatives", "nse_cash", "nse_derivatives"];
    for (crashed_at, nth, again_at) in [
        // As its time comes, and in a start that finds it missed.
        ("2026-02-09T15:29:58+05:30", 1, "2026-02-09T15:30:05+05:30"),
        ("2026-02-09T15:29:58+05:30", 3, "2026-02-09T15:45:00+05:30"),
        ("2026-02-09T15:30:01+05:30", 2, "2026-02-09T15:30:05+05:30"),
    ] {
        let standin = StandIn::any();
        let gateway = Gateway::start(&standin).await;
        gateway.add(1, "RELIANCE", json!({"width": 5})).await;
        gateway.add(1, "NIFTY", json!({"width": 7})).await;
        gateway
            .add(2, "RELIANCE", json!({"instrument_type": "EQUITY"}))
            .await;
        let crude = json!({"width": 5, "exchange": "MCX", "expiry": "17FEB2026"});
        gateway.add(2, "CRUDEOIL", crude).await;
        let data = gateway.kill().await;

        let (status, log) = Gateway::run_to_its_end(
            &standin,
            Launch {
                data: Some(Arc::clone(&data)),
                clock: Some(crashed_at),
                env: &[("STRIKEWIRE_CRASH_AT", &format!("inside_eod:{nth}"))],
                ..Launch::default()
            },
        )
        .await;
        assert_eq!(status.signal(), Some(SIGABRT), "{crashed_at}: {log}");

        let connected = standin.connected();
        let gateway = Gateway::launch(
            &standin,
            Launch {
                data: Some(data),
                clock: Some(again_at),
                ..Launch::default()
            },
        )
        .await;
        gateway
            .until("what is left is on the wire", async || standin.held() == 11)
            .await;
        let symbols = async |user: u64| {
            let list = gateway.ok(&format!("/api/v2/watchlist/{user}")).await;
            let items = list["items"].as_array().expect("items").clone();
            items
                .iter()
                .map(|item| item["symbol"].as_str().expect("a symbol").to_owned())
                .collect::<Vec<_>>()
        };
        assert!(symbols(1).await.is_empty());
        assert_eq!(symbols(2).await, ["CRUDEOIL"]);
        let crude: BTreeSet<InstrumentKey> = {
            let ladder = master().listing.ladder("MCX", "CRUDEOIL", "2026-02-17");
            let underlying = ladder.underlying.expect("a future");
            let price = Prices::new(&master().registry, standin.clock).of(underlying);
            let mut keys = ladder.window(price, 5);
            keys.insert(underlying);
            keys
        };
        // What was cleared did not even come back for a moment.
        let asked = standin.asked_since(connected);
        assert_eq!(asked.into_keys().collect::<BTreeSet<_>>(), crude);

        let database = Database::at(&gateway.database());
        gateway
            .until("the markers are written", async || {
                database.count("eod_markers WHERE day = '2026-02-09'").await == 4
            })
            .await;
        let classes = database
            .texts("SELECT class FROM eod_markers WHERE day = '2026-02-09' ORDER BY class")
            .await;
        assert_eq!(classes, CLOSES);
        // Nothing comes back, however often it starts.
        let data = gateway.kill().await;
        let gateway = Gateway::launch(
            &standin,
            Launch {
                data: Some(data),
                clock: Some(again_at),
                ..Launch::default()
            },
        )
        .await;
        gateway
            .until("the same is on the wire", async || standin.held() == 11)
            .await;
        assert_eq!(gateway.ok("/api/v2/watchlist/1").await["items"], json!([]));
        let database = Database::at(&gateway.database());
        assert_eq!(
            database.count("eod_markers WHERE day = '2026-02-09'").await,
            4
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_use_survives() {
    let standin = StandIn::any();
    // Room for two chains and an underlying each, not for three.
    let toml = "[subscriptions]\ntotal = 80\nin_use_s = 0\n";
    let gateway = Gateway::start_with(&standin, toml).await;
    let chain = |width: usize| json!({"width": width, "instrument_type": "STOCK_OPTION"});
    gateway.add(1, "RELIANCE", chain(15)).await;
    gateway.add(2, "TCS", chain(15)).await;
    let used = Instant::now();
    // The first is the last one used now.
    let again = gateway.add(1, "RELIANCE", chain(15)).await;
    assert_eq!(again["already_present"], true);
    let database = Database::at(&gateway.database());
    gateway
        .until("the use is written down", async || {
            let order = "SELECT symbol FROM watchlist ORDER BY used";
            database.texts(order).await == ["TCS", "RELIANCE"]
        })
        .await;
    let written = used.elapsed();
    assert!(written < Duration::from_secs(2), "after {written:?}");

    let data = gateway.kill().await;
    let gateway = Gateway::launch(
        &standin,
        Launch {
            toml,
            data: Some(data),
            ..Launch::default()
        },
    )
    .await;
    gateway.until_on_wire(&standin, 62).await;
    gateway.add(3, "INFY", chain(15)).await;
    let state = async |user: u64| {
        gateway.ok(&format!("/api/v2/watchlist/{user}")).await["items"][0]["state"].clone()
    };
    assert_eq!(state(1).await, "live");
    assert_eq!(state(2).await, "evicted");
    assert_eq!(state(3).await, "live");
    gateway.until_on_wire(&standin, 62).await;
}

/// From the start of the process until everything is on the wire again. Debug builds are
/// given less to do, and more time.
#[tokio::test(flavor = "multi_thread")]
async fn killed_with_a_full_book_it_sends_everything_again_once() {
    let (total, limit) = if cfg!(debug_assertions) {
        (5_000, Duration::from_secs(60))
    } else {
        (25_000, Duration::from_secs(15))
    };
    let standin = StandIn::any();
    let mut prices = Prices::new(&master().registry, standin.clock);
    // Chains as wide as they are listed, then shares that no chain needs.
    let mut wanted: BTreeSet<InstrumentKey> = BTreeSet::new();
    let mut things = Vec::new();
    for ladder in &master().listing.ladders {
        let is_option = matches!(ladder.instrument_type(), "STOCK_OPTION" | "INDEX_OPTION");
        if ladder.exchange == "MCX" || !is_option || ladder.underlying.is_none() {
            continue;
        }
        let chain = Thing::chain(&mut prices, ladder, 1_001, "full", true);
        let mut more = wanted.clone();
        more.extend(chain.contracts.iter().chain(&chain.underlying));
        if more.len() > total {
            break;
        }
        wanted = more;
        things.push(chain);
    }
    for (symbol, key) in &master().listing.equities {
        if wanted.len() < total && !symbol.contains("TEST") && wanted.insert(*key) {
            things.push(Thing::equity(symbol));
        }
    }
    assert_eq!(wanted.len(), total);

    let gateway = Gateway::start(&standin).await;
    for thing in &things {
        let (status, answer) = gateway.post("/api/v2/watchlist/add", &thing.add(1)).await;
        assert_eq!(status, StatusCode::OK, "{thing:?}: {answer}");
    }
    gateway
        .until("everything is on the wire", async || {
            standin.held() == total
        })
        .await;
    let data = gateway.kill().await;
    gateway_is_gone(&standin).await;

    let connected = standin.connected();
    let start = Instant::now();
    let launch = Launch {
        data: Some(data),
        ..Launch::default()
    };
    let gateway = Gateway::launch_at_once(&standin, launch);
    let listening = start.elapsed();
    while standin.held() != total {
        assert!(start.elapsed() < limit, "{} of {total}", standin.held());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    eprintln!(
        "{total} instruments on the wire again {:?} after the start; listening after {listening:?}",
        start.elapsed()
    );
    let once: BTreeMap<InstrumentKey, usize> = wanted.iter().map(|key| (*key, 1)).collect();
    assert_eq!(standin.asked_since(connected), once);
    assert_eq!(standin.on_wire(), once);
    assert_eq!(standin.report().total().duplicates, 0);
    drop(gateway);
}

/// The stand-in has seen the end of all its connections.
async fn gateway_is_gone(standin: &StandIn) {
    let start = Instant::now();
    while standin.held() > 0 {
        assert!(start.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
