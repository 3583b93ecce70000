//! What is no HTTP, or takes its time.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::raw::{Outcome, exchange};
use super::world::{Others, World};
use crate::harness::SOON;

/// Answers that HTTP itself has for what it does not understand.
fn is_refusal(status: u16) -> bool {
    (400..500).contains(&status) || [501, 505].contains(&status)
}

/// What has no meaning in HTTP/1.1, or more than one.
fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let with = |head: &str| {
        format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n{head}\r\n\r\n").into_bytes()
    };
    // What a second request that hides in a body would do.
    let body =
        json!({"user_id": 4, "symbol": "RELIANCE", "expiry": "24FEB2026", "width": 1}).to_string();
    let hidden = format!(
        "POST /api/v2/watchlist/add HTTP/1.1\r\nhost: localhost\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let post = |head: &str, body: &str| {
        format!(
            "POST /api/v2/plan HTTP/1.1\r\nhost: localhost\r\n\
             content-type: application/json\r\n{head}\r\n\r\n{body}"
        )
        .into_bytes()
    };
    vec![
        ("nothing", Vec::new()),
        ("line breaks", b"\r\n\r\n\r\n\r\n".to_vec()),
        ("zeros", vec![0; 4_096]),
        (
            "a handshake of TLS",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        ),
        (
            "the preface of HTTP/2",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00".to_vec(),
        ),
        ("HTTP/0.9", b"GET /healthz\r\n\r\n".to_vec()),
        ("HTTP/9.9", b"GET /healthz HTTP/9.9\r\n\r\n".to_vec()),
        ("no version", b"GET /healthz HTTP/\r\n\r\n".to_vec()),
        (
            "a space in the target",
            b"GET /health z HTTP/1.1\r\nhost: a\r\n\r\n".to_vec(),
        ),
        (
            "a control character in the target",
            b"GET /health\x01z HTTP/1.1\r\nhost: a\r\n\r\n".to_vec(),
        ),
        (
            "a zero in the target",
            b"GET /health\0z HTTP/1.1\r\nhost: a\r\n\r\n".to_vec(),
        ),
        (
            "no method",
            b" /healthz HTTP/1.1\r\nhost: a\r\n\r\n".to_vec(),
        ),
        (
            "a method with a bracket",
            b"GE(T /healthz HTTP/1.1\r\nhost: a\r\n\r\n".to_vec(),
        ),
        (
            "a very long method",
            [b"A".repeat(70_000), b" / HTTP/1.1\r\n\r\n".to_vec()].concat(),
        ),
        (
            "a very long target",
            [
                b"GET /".to_vec(),
                b"a".repeat(400_000),
                b" HTTP/1.1\r\n\r\n".to_vec(),
            ]
            .concat(),
        ),
        (
            "a very long header",
            with(&format!("x: {}", "a".repeat(600_000))),
        ),
        ("a flood of headers", with(&"x: y\r\n".repeat(2_000))),
        ("a header without a colon", with("nonsense")),
        ("a space before the colon", with("content-length : 5")),
        ("a folded header", with("x: a\r\n b")),
        ("a zero in a header", with("x: a\0b")),
        ("a bare carriage return in a header", with("x: a\rb: c")),
        ("a header without a name", with(": x")),
        (
            "a length that is no number",
            post("content-length: five", "{}"),
        ),
        ("a negative length", post("content-length: -1", "{}")),
        ("a length with a sign", post("content-length: +2", "{}")),
        (
            "a length beyond all",
            post("content-length: 99999999999999999999999", "{}"),
        ),
        (
            "two lengths",
            post(
                &format!("content-length: 2\r\ncontent-length: {}", 2 + hidden.len()),
                &format!("{{}}{hidden}"),
            ),
        ),
        ("a list of lengths", post("content-length: 2, 3", "{}")),
        (
            "an encoding that there is not",
            post("transfer-encoding: xchunked", &hidden),
        ),
        (
            "an encoding after chunked",
            post(
                "transfer-encoding: chunked, identity",
                &format!("0\r\n\r\n{hidden}"),
            ),
        ),
        (
            "a chunk's size that is none",
            post("transfer-encoding: chunked", "zz\r\n{}\r\n0\r\n\r\n"),
        ),
        (
            "a chunk's size beyond all",
            post(
                "transfer-encoding: chunked",
                "fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
            ),
        ),
        (
            "a negative chunk",
            post("transfer-encoding: chunked", "-2\r\n{}\r\n0\r\n\r\n"),
        ),
        (
            "a chunk that is longer than said",
            post(
                "transfer-encoding: chunked",
                &format!("2\r\n{{}}{hidden}\r\n0\r\n\r\n"),
            ),
        ),
        (
            "a chunk's endless extension",
            post(
                "transfer-encoding: chunked",
                &format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "a".repeat(40_000)),
            ),
        ),
        (
            "an endless trailer",
            post(
                "transfer-encoding: chunked",
                &format!("2\r\n{{}}\r\n0\r\n{}\r\n", "x: y\r\n".repeat(20_000)),
            ),
        ),
        ("a body that does not come", post("content-length: 50", "{")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_is_refused_or_dropped() {
    let world = World::start("").await;
    let others = Others::start(&world);
    let before = world.state().await;
    for (what, bytes) in malformed() {
        let outcome = exchange(world.addr(), &bytes, true, SOON).await;
        assert!(outcome.closed, "{what}: the connection stays");
        for answer in &outcome.answers {
            assert!(is_refusal(answer.status), "{what}: {outcome:?}");
        }
        assert!(outcome.answers.len() <= 1, "{what}: {outcome:?}");
    }
    world.unchanged(&before, "all of it").await;
    others.end().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unusual_but_lawful_http_is_served() {
    let world = World::start("").await;
    let addr = world.addr();
    let one = format!("GET /healthz HTTP/1.1\r\nhost: {addr}\r\n\r\n");
    let last = format!("GET /healthz HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n");
    let plan = json!({"requests": [{"user_id": 1, "symbol": "RELIANCE", "expiry": "24FEB2026"}]})
        .to_string();
    let (first, second) = plan.split_at(9);
    let cases = [
        (
            "one after the other at once",
            format!("{one}{one}{last}"),
            3,
        ),
        ("an empty line before", format!("\r\n{last}"), 1),
        ("HTTP/1.0", "GET /healthz HTTP/1.0\r\n\r\n".to_owned(), 1),
        (
            "capitals",
            last.to_uppercase().replace("/HEALTHZ", "/healthz"),
            1,
        ),
        (
            "the whole address as target",
            last.replacen("/healthz", &format!("http://{addr}/healthz"), 1),
            1,
        ),
        (
            "a body in chunks",
            format!(
                "POST /api/v2/plan HTTP/1.1\r\nhost: {addr}\r\ncontent-type: application/json\r\n\
                 transfer-encoding: chunked\r\nconnection: close\r\n\r\n\
                 {:x};ext=1\r\n{first}\r\n{:X}\r\n{second}\r\n0\r\n\r\n",
                first.len(),
                second.len()
            ),
            1,
        ),
        (
            "a body that is asked for",
            format!(
                "POST /api/v2/plan HTTP/1.1\r\nhost: {addr}\r\ncontent-type: application/json\r\n\
                 expect: 100-continue\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{plan}",
                plan.len()
            ),
            1,
        ),
    ];
    for (what, text, count) in cases {
        let outcome = exchange(addr, text.as_bytes(), false, SOON).await;
        let statuses = |outcome: &Outcome| -> Vec<u16> {
            outcome.answers.iter().map(|answer| answer.status).collect()
        };
        assert_eq!(statuses(&outcome), vec![200; count], "{what}: {outcome:?}");
        assert!(outcome.closed, "{what}");
        // Whoever closes their side with the last word may be taken for gone.
        let outcome = exchange(addr, text.as_bytes(), true, SOON).await;
        let answered = statuses(&outcome);
        assert!(answered.len() <= count, "{what}: {outcome:?}");
        assert!(
            answered.iter().all(|status| *status == 200),
            "{what}: {outcome:?}"
        );
        assert!(outcome.closed, "{what}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_vanishing_clients_hold_nobody_up() {
    let world = World::start("[http]\nheader_timeout_s = 1\n").await;
    let others = Others::start(&world);
    let mut slow = Vec::new();
    for at in 0..100_u32 {
        let addr = world.addr().to_owned();
        slow.push(tokio::spawn(async move {
            let mut socket = TcpStream::connect(&*addr)
                .await
                .expect("the server accepts");
            let _ = socket.write_all(b"GET /healthz HTTP/1.1\r\n").await;
            // A byte at a time, each well within what a look at the last byte would allow.
            for byte in b"x-slow: ".iter().chain(std::iter::repeat_n(&b'y', 200)) {
                if at % 2 == 0 && socket.write_all(&[*byte]).await.is_err() {
                    return;
                }
                let mut piece = [0; 1024];
                let read = timeout(Duration::from_millis(100), socket.read(&mut piece)).await;
                // Closed, or told so; then closed.
                if let Ok(Ok(0) | Err(_)) = read {
                    return;
                }
            }
            panic!("a head may take a second, and took twenty");
        }));
    }
    // These say that a body comes, and go.
    for _ in 0..100 {
        let mut socket = TcpStream::connect(world.addr()).await.expect("it accepts");
        let head = b"POST /api/v2/watchlist/add HTTP/1.1\r\nhost: localhost\r\n\
                     content-type: application/json\r\ncontent-length: 100\r\n\r\n{\"user_id\": 1";
        socket.write_all(head).await.expect("the head is taken");
    }
    // These ask and do not listen.
    for _ in 0..100 {
        let mut socket = TcpStream::connect(world.addr()).await.expect("it accepts");
        let ask = b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n";
        socket.write_all(ask).await.expect("the head is taken");
    }
    for slow in slow {
        slow.await.expect("slow ones are let go");
    }
    others.end().await;
    world.end().await;
}
