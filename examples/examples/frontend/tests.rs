#[path = "../../support/server.rs"]
mod server;
#[path = "../../support/truth.rs"]
mod truth;

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::Args;
use crate::chain::Chain;
use crate::client::{Client, Event};
use server::Running;

fn args(addr: SocketAddr) -> Args {
    Args {
        symbol: "RELIANCE".to_owned(),
        expiry: Some("24FEB2026".to_owned()),
        server: format!("http://{addr}"),
        key: None,
        user: 1,
        rows: 5,
        pictures: None,
    }
}

#[test]
fn a_snapshot_and_deltas_lead_to_the_truth() {
    for seed in 0..50 {
        let (states, messages) = truth::history(seed, 60);
        let mut chain = Chain::of(&messages[0]).unwrap();
        for (state, message) in states.iter().zip(&messages) {
            assert!(message["type"] == "snapshot" || chain.apply(message));
            let known = json!({"chain": chain.fields, "quotes": chain.quotes});
            assert_eq!(known, *state, "seed {seed}, {message}");
        }
        // What does not follow changes nothing.
        let before = chain.clone();
        for wrong in [&messages[0], &messages[10], &messages[59]] {
            assert!(!chain.apply(wrong));
        }
        let mut other = messages[59].clone();
        other["seq"] = (before.seq + 1).into();
        other["epoch"] = "another".into();
        assert!(!chain.apply(&other));
        assert_eq!(chain, before);
    }
}

#[test]
fn a_picture_shows_the_rows_around_the_money() {
    let legs = |strike: &str| json!({"CE": format!("{strike}CE"), "PE": format!("{strike}PE")});
    let snapshot = json!({
        "epoch": "e", "seq": 3,
        "chain": {"symbol": "ITC", "expiry": "24FEB2026", "exchange": "NSE", "live_ltp": 312.4,
                  "atm_strike": 312.5, "strikes": [307.5, 310.0, 312.5, 315.0],
                  "strikes_ce_pe": {"307.5": legs("307.5"), "310": legs("310"),
                                    "312.5": legs("312.5"), "315": legs("315")}},
        "quotes": {"312.5CE": {"ltp": 4.05}, "310PE": {"ltp": 2.1}},
    });
    let picture = Chain::of(&snapshot).unwrap().picture(3);
    let lines: Vec<String> = picture
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        lines,
        [
            "ITC 24FEB2026 on NSE at 312.4 #3",
            "- 310 2.1",
            "4.05 312.5* -",
            "- 315 -"
        ]
    );
}

/// Stands between client and server, cuts all connections when told, and counts snapshots.
struct Between {
    addr: SocketAddr,
    cut: Arc<Notify>,
    /// What the server sent on upgraded connections.
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Between {
    async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let between = Self {
            addr: listener.local_addr().unwrap(),
            cut: Arc::default(),
            heard: Arc::default(),
        };
        let (cut, heard) = (between.cut.clone(), between.heard.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (cut, heard) = (cut.clone(), heard.clone());
                tokio::spawn(async move {
                    let cut = cut.notified();
                    let server = TcpStream::connect(server).await.unwrap();
                    let (mut from_client, mut to_client) = client.into_split();
                    let (mut from_server, mut to_server) = server.into_split();
                    let down = async {
                        let mut piece = [0; 4096];
                        while let Ok(count @ 1..) = from_server.read(&mut piece).await {
                            heard.lock().extend_from_slice(&piece[..count]);
                            if to_client.write_all(&piece[..count]).await.is_err() {
                                break;
                            }
                        }
                    };
                    tokio::select! {
                        _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
                        () = down => {}
                        () = cut => {}
                    }
                });
            }
        });
        between
    }

    fn snapshots(&self) -> usize {
        let heard = self.heard.lock();
        let word = br#""type":"snapshot""#;
        heard
            .windows(word.len())
            .filter(|window| window == word)
            .count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_connection_is_made_again_and_goes_on_where_it_was() {
    let server = Running::start("").await;
    let between = Between::start(server.addr).await;
    let (mut changes, mut lost) = (0, 0);
    let mut last: Option<Chain> = None;
    let run = Client::new(args(between.addr)).run(|event| {
        match event {
            Event::Changed(chain) => {
                if let Some(last) = &last {
                    assert_eq!(chain.epoch, last.epoch);
                    assert!(chain.seq > last.seq, "nothing comes twice");
                }
                last = Some(chain.clone());
                changes += 1;
                if changes % 4 == 0 {
                    between.cut.notify_waiters();
                }
            }
            Event::Said(text) => lost += usize::from(text.contains("again in")),
        }
        match changes {
            14.. if lost > 1 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    });
    run.await.unwrap();
    // The first, and none for what was missed in between.
    assert_eq!(between.snapshots(), 1);

    let chain = last.unwrap();
    let url = format!(
        "http://{}/api/v2/option-chain/RELIANCE?expiry=24FEB2026",
        server.addr
    );
    let read: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    assert_eq!(chain.fields["strikes"], read["strikes"]);
    let legs = read["strikes_ce_pe"].as_object().unwrap().values();
    let tokens: Vec<&str> = legs
        .flat_map(|legs| [&legs["CE"], &legs["PE"]])
        .filter_map(Value::as_str)
        .collect();
    assert!(!chain.quotes.is_empty());
    for token in chain.quotes.keys() {
        assert!(tokens.contains(&&**token), "{token} is no leg of the chain");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_refuses_is_told_in_its_words() {
    let server = Running::start("").await;
    let wrong = Args {
        symbol: "RELIANSE".to_owned(),
        ..args(server.addr)
    };
    let refused = Client::new(wrong).run(|_| ControlFlow::Continue(())).await;
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("404") && said.contains("RELIANSE"), "{said}");
    server.stop().await;
}
