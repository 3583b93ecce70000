//! The account behind the feed: tokens that end and change, connections that the broker
//! counts, subscriptions it loses, modes it understands in its own way.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;
use strikewire_dhan_sim::core::SessionId;
use strikewire_dhan_sim::faults::Fault;
use strikewire_dhan_sim::{Config, Credentials, ModeSemantics};
use strikewire_types::Mode;
use tempfile::TempDir;

use crate::harness::{Gateway, Launch, StandIn};
use crate::standin::quiet;

const FIRST: &str = "first-secret-token";
const SECOND: &str = "second-secret-token";

fn standin(config: Config) -> StandIn {
    StandIn::start(SocketAddr::from(([127, 0, 0, 1], 0)), config)
}

/// A stand-in that wants credentials, and a gateway that reads its token from a file.
async fn with_token_file() -> (StandIn, Gateway, std::path::PathBuf) {
    let standin = standin(Config {
        credentials: Some(Credentials {
            client_id: "1000000001".into(),
            token: FIRST.into(),
        }),
        ..quiet()
    });
    let data = Arc::new(TempDir::new().expect("a temporary directory"));
    let file = data.path().join("token");
    std::fs::write(&file, format!("{FIRST}\n")).expect("the token");
    let path = file.to_str().expect("a path in Unicode").to_owned();
    let gateway = Gateway::launch(
        &standin,
        Launch {
            env: &[("DHAN_ACCESS_TOKEN_FILE", &path)],
            data: Some(Arc::clone(&data)),
            ..Launch::default()
        },
    )
    .await;
    gateway.add(1, "NIFTY", json!({"width": 21})).await;
    gateway.until_on_wire(&standin, 43).await;
    (standin, gateway, file)
}

fn sessions(standin: &StandIn) -> BTreeSet<SessionId> {
    standin.handle.wire_state().into_keys().collect()
}

/// Whether everything is on the wire once.
fn is_whole(standin: &StandIn) -> bool {
    let on_wire = standin.on_wire();
    on_wire.len() == 43 && on_wire.values().all(|connections| *connections == 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_token_moves_the_sockets_one_after_the_other() {
    let (standin, gateway, file) = with_token_file().await;
    let before = sessions(&standin);
    assert_eq!(before.len(), 5);
    // The old token goes on living: nothing forces anybody.
    standin.handle.set_token(SECOND, Duration::from_secs(3600));
    std::fs::write(&file, SECOND).expect("the token");
    let mut fewest = 5;
    gateway
        .until("all sockets are new ones", async || {
            let now = sessions(&standin);
            fewest = fewest.min(now.len());
            now.len() == 5 && now.is_disjoint(&before)
        })
        .await;
    assert!(fewest >= 4, "{fewest} sockets at a time");
    gateway
        .until("everything is on the wire", async || is_whole(&standin))
        .await;
    let (status, log) = gateway.terminate().await;
    assert_eq!(status.code(), Some(0));
    assert!(!log.contains(FIRST) && !log.contains(SECOND), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_token_ends_everything_comes_back_with_the_new_one_and_gaps_are_told() {
    let (standin, gateway, file) = with_token_file().await;
    let mut socket = gateway.stream().await;
    socket
        .send(&json!({"action": "subscribe", "channel": "ticks", "instruments": ["NIFTY"]}))
        .await;
    socket.of_type("ticks").await;
    // Without a word the old token is none any more: all sockets get 807.
    standin.handle.set_token(SECOND, Duration::ZERO);
    gateway
        .until("the token is refused", async || {
            let readiness = gateway.ok("/readyz").await;
            let reasons = readiness["reasons"].as_array().expect("reasons").clone();
            reasons
                .iter()
                .any(|reason| reason["code"] == "token_refused")
        })
        .await;
    assert!(sessions(&standin).is_empty());
    std::fs::write(&file, SECOND).expect("the token");
    gateway
        .until("everything is on the wire again", async || {
            sessions(&standin).len() == 5 && is_whole(&standin)
        })
        .await;
    let gap = socket.of_type("gap").await;
    assert_eq!(gap["instruments"], json!(["IDX_I:13"]));
    assert_eq!(gap["cause"], "disconnected with code 807");
    let about = gateway.ok("/api/v2/subscriptions/NIFTY").await;
    assert_eq!(about["last_gap"]["cause"], "disconnected with code 807");
    assert_eq!(gateway.ok("/readyz").await["status"], "ready");
    let wires = gateway.ok("/api/v2/admin/ws-status").await;
    let gaps = (1..=5).map(|id| wires["per_connection"][id.to_string()]["gaps"].as_u64());
    assert!(gaps.into_iter().all(|gaps| gaps <= Some(1)), "{wires}");
    let (_, log) = gateway.terminate().await;
    assert!(!log.contains(FIRST) && !log.contains(SECOND), "{log}");
}

/// Attempts are counted on disk: a process that is started again and again makes no more
/// of them.
#[tokio::test(flavor = "multi_thread")]
async fn restarts_do_not_cheat_the_connect_budget() {
    let standin = StandIn::any();
    let toml = "[dhan]\nconnect_burst = 7\nconnect_refill_s = 3600\nconnect_spacing_ms = 0\n";
    let mut data = None;
    for _ in 0..4 {
        let gateway = Gateway::launch_at_once(
            &standin,
            Launch {
                toml,
                data: data.clone(),
                ..Launch::default()
            },
        );
        if data.is_none() {
            gateway
                .until("five connections", async || {
                    gateway.status().await["connected_connections"] == 5
                })
                .await;
        } else {
            gateway
                .until("it has tried what it may", async || {
                    standin.connected() == 7
                        && gateway.ok_or_starting("/readyz").await["reasons"]
                            .as_array()
                            .is_some_and(|reasons| {
                                reasons.iter().any(|it| it["code"] == "connects_held")
                            })
                })
                .await;
        }
        data = Some(gateway.kill().await);
    }
    assert_eq!(standin.connected(), 7, "no more than the budget");
}

/// Whatever the broker makes of modes, an instrument ends in the highest that anybody
/// asked for.
#[tokio::test(flavor = "multi_thread")]
async fn modes_converge_whatever_the_broker_makes_of_them() {
    for modes in ModeSemantics::ALL {
        let standin = standin(Config { modes, ..quiet() });
        let gateway = Gateway::start(&standin).await;
        let in_mode = |key, mode: Mode| {
            let state = standin.handle.wire_state();
            let mut held = state.values().filter_map(|session| session.get(&key));
            held.next().and_then(|modes| modes.highest()) == Some(mode)
        };
        let mut socket = gateway.stream().await;
        let ticks = json!({"action": "subscribe", "channel": "ticks", "mode": "ticker",
                           "instruments": ["NSE_EQ:2885"]});
        socket.send(&ticks).await;
        let share = "NSE_EQ:2885".parse().expect("a key");
        gateway
            .until("ticker", async || in_mode(share, Mode::Ticker))
            .await;
        for _ in 0..2 {
            gateway
                .add(1, "RELIANCE", json!({"instrument_type": "EQUITY"}))
                .await;
            gateway
                .until("full", async || in_mode(share, Mode::Full))
                .await;
            gateway
                .until("depth comes", async || {
                    let quotes = gateway.ok("/api/v2/subscriptions/RELIANCE").await;
                    quotes.get("missing").is_none() && quotes["mode"] == "full"
                })
                .await;
            gateway.remove(1, "RELIANCE").await;
            gateway
                .until("ticker again", async || in_mode(share, Mode::Ticker))
                .await;
        }
        assert_eq!(standin.report().total().not_held, 0, "{modes:?}");
    }
}

/// A broker that loses a third of what it is asked for: what stays silent while its
/// neighbours tick is asked for once more.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_broker_lost_is_asked_for_again() {
    let standin = standin(Config {
        market: Default::default(),
        ..quiet()
    });
    let gateway = Gateway::start(&standin).await;
    standin
        .handle
        .inject(Fault::DropSubscriptions { share: 0.3 });
    gateway.add(1, "NIFTY", json!({"width": 21})).await;
    gateway
        .until("all is asked for", async || standin.subscribed() == 43)
        .await;
    standin.handle.clear_faults();
    let held = standin.on_wire().len();
    assert!((15..43).contains(&held), "{held} of 43 were kept");
    gateway
        .until_within(Duration::from_secs(60), "everything comes", async || {
            is_whole(&standin)
        })
        .await;
    assert!(
        standin.subscribed() <= 43 + (43 - held) + 2,
        "only what was silent is asked for again"
    );
}
