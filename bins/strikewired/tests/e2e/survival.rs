use serde_json::json;
use std::io::Write;
use std::net::TcpStream;

use crate::harness::{Gateway, StandIn, master, quiet, strikewired};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_added_while_the_broker_was_away_is_on_the_wire_when_it_is_back() {
    let standin = StandIn::any();
    let gateway = Gateway::start(&standin).await;
    gateway.add(1, "NIFTY", json!({"width": 21})).await;
    gateway.until_on_wire(&standin, 43).await;

    let addr = standin.stop();
    gateway
        .until("all connections are down", async || {
            gateway.ok("/api/v2/admin/ws-status").await["connected_connections"] == 0
        })
        .await;
    let readiness = gateway.ok("/readyz").await;
    assert_eq!(readiness["status"], "degraded");
    assert_eq!(readiness["reasons"][0]["code"], "broker_down");
    // No price can come now, so the caller gives one.
    gateway
        .add(2, "RELIANCE", json!({"width": 5, "underlying_ltp": 1440.0}))
        .await;
    gateway
        .add(3, "RELIANCE", json!({"instrument_type": "EQUITY"}))
        .await;
    gateway.add(4, "NIFTY", json!({"width": 11})).await;
    gateway.remove(1, "NIFTY").await;

    let standin = StandIn::start(addr, quiet());
    let expected = gateway.status().await["total_subscriptions"]
        .as_u64()
        .unwrap() as usize;
    assert_eq!(expected, 23 + 11);
    gateway
        .until("the wire is as desired", async || {
            let status = gateway.status().await;
            standin.on_wire().len() as u64 == status["total_subscriptions"].as_u64().unwrap()
                && status["connected_connections"] == 5
        })
        .await;
    assert!(
        standin
            .on_wire()
            .values()
            .all(|connections| *connections == 1)
    );
    assert_eq!(standin.report().total().duplicates, 0);
    assert_eq!(gateway.ok("/readyz").await["status"], "ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn resets_of_all_sockets_lose_nothing() {
    let standin = StandIn::any();
    let gateway = Gateway::start(&standin).await;
    gateway.add(1, "BANKNIFTY", json!({"width": 31})).await;
    gateway.until_on_wire(&standin, 63).await;
    for _ in 0..3 {
        let connected = standin.report().total().messages;
        standin.handle.drop_all_connections();
        gateway
            .until("everything is sent again", async || {
                standin.report().total().messages > connected && standin.on_wire().len() == 63
            })
            .await;
    }
    assert!(
        standin
            .on_wire()
            .values()
            .all(|connections| *connections == 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_says_goodbye_to_clients_and_broker() {
    let standin = StandIn::any();
    let gateway = Gateway::start(&standin).await;
    gateway.add(1, "NIFTY", json!({"width": 5})).await;
    let mut socket = gateway.stream().await;
    socket.send(&json!({"action": "ping"})).await;
    socket.of_type("pong").await;
    let ended = gateway.terminate();
    let (code, (status, log)) = tokio::join!(socket.closed(), ended);
    assert_eq!(code, Some(1001));
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("a-secret-token"), "the token is in the log");
    assert_eq!(standin.goodbyes(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_requests_that_never_end() {
    let standin = StandIn::any();
    let gateway = Gateway::start(&standin).await;
    let mut sockets = Vec::new();
    for unfinished in [
        "GET /readyz HT",
        "POST /api/v2/watchlist/add HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: 100\r\n\r\n{",
    ] {
        let mut socket = TcpStream::connect(gateway.authority()).expect("it listens");
        socket.write_all(unfinished.as_bytes()).expect("it reads");
        sockets.push(socket);
    }
    // Its answer says that the server has taken up the others.
    gateway.ok("/readyz").await;
    let (status, log) = gateway.terminate().await;
    assert_eq!(status.code(), Some(0), "{log}");
    drop(sockets);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_has_one_owner() {
    let standin = StandIn::any();
    let gateway = Gateway::start(&standin).await;
    let second = strikewired()
        .args(["--listen", "127.0.0.1:0", "--instruments"])
        .arg(&master().path)
        .arg("--data-dir")
        .arg(gateway.data.path().join("data"))
        .output()
        .expect("the binary runs");
    assert!(!second.status.success());
    let error = String::from_utf8_lossy(&second.stderr);
    assert!(
        error.contains(&format!("process {}", gateway.process())),
        "{error}"
    );
}
