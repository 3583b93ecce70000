//! The little that needs a socket.

use std::sync::Arc;

use strikewire_types::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::{SimHandle, SimServer};

async fn serve() -> (SimHandle, std::net::SocketAddr) {
    let clock = Clock::simulated("2026-02-09T10:00:00+05:30".parse().unwrap());
    let any_port = "127.0.0.1:0".parse().unwrap();
    let server = SimServer::bind(any_port, Arc::clone(&registry()), clock, Config::default())
        .await
        .unwrap();
    let (handle, address) = (server.handle(), server.local_addr());
    tokio::spawn(server.run(core::future::pending()));
    (handle, address)
}

/// Sends it as it is; the answer up to the end of the connection.
async fn talk(address: std::net::SocketAddr, request: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

async fn call(address: std::net::SocketAddr, line: &str, body: &str) -> String {
    let length = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\
         access-token: t\r\nClient-Id: 1\r\n\r\n{body}"
    );
    talk(address, request.as_bytes()).await
}

#[tokio::test]
async fn calls_are_answered_on_the_address_of_the_feed() {
    let (handle, address) = serve().await;
    let path = "/v2/marketfeed/ltp";
    let answer = call(address, &format!("POST {path}?x=y"), r#"{"IDX_I":[13]}"#).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.contains("content-type: application/json\r\n"),
        "{answer}"
    );
    assert!(
        answer.contains(r#"{"data":{"IDX_I":{"13":{"last_price":"#),
        "{answer}"
    );

    let master = call(address, "GET /api-scrip-master.csv", "").await;
    assert!(master.contains("last-modified: Mon, 09 Feb 2026 02:30:00 GMT\r\n"));
    assert!(master.contains("\r\n\r\nSEM_EXM_EXCH_ID,"));

    let limits = RestLimits {
        quote_every: Duration::ZERO,
        ..RestLimits::default()
    };
    handle.set_rest_limits(limits);
    handle.fail_rest("/v2/marketfeed", 502, bodies::BAD_GATEWAY, 1);
    let answer = call(address, &format!("POST {path}"), r#"{"IDX_I":[13]}"#).await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    handle.add_rest_fault(RestFault::slow("/", Duration::from_millis(1), 1));
    handle.set_untraded([InstrumentKey::new(Segment::IdxI, 13)]);
    let answer = call(address, &format!("POST {path}"), r#"{"IDX_I":[13]}"#).await;
    assert!(answer.contains(r#"{"last_price":0}"#), "{answer}");

    let long = "x".repeat(MOST_BYTES + 1);
    let answer = call(address, &format!("POST {path}"), &long).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");

    handle.clear_rest_faults();
    handle.set_master(Some(Bytes::from_static(b"as it is")));
    let answer = call(address, "GET /api-scrip-master.csv", "").await;
    assert!(answer.ends_with("as it is"), "{answer}");
    let counters = handle.rest_counters();
    assert_eq!(counters.calls[path], 3);
    assert_eq!((counters.faulted, counters.failed), (2, 1));
}
