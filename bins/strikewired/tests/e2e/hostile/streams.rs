//! Hostile clients of the stream.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::document::WRONG_TEXTS;
use super::world::{Others, World};
use crate::harness::SOON;

/// Messages that are answered with an error, or harmless; never with silence.
fn messages() -> Vec<String> {
    let mut messages: Vec<String> = [
        "",
        "null",
        "[]",
        "1",
        "\"subscribe\"",
        "{",
        "{}",
        "{\"id\":1}",
        "{\"action\":null,\"id\":1}",
        "{\"action\":[\"subscribe\"],\"id\":1}",
        "{\"action\":\"shutdown\",\"id\":1}",
        "{\"action\":\"auth\",\"id\":1}",
        "{\"action\":\"auth\",\"key\":null,\"id\":1}",
        "{\"action\":\"auth\",\"key\":\"\\u0000\",\"id\":1}",
        "{\"action\":\"subscribe\",\"id\":1}",
        "{\"action\":\"subscribe\",\"channel\":\"admin\",\"id\":1}",
        "{\"action\":\"subscribe\",\"channel\":\"ticks\",\"id\":1}",
        "{\"action\":\"subscribe\",\"channel\":\"ticks\",\"instruments\":[],\"id\":1}",
        "{\"action\":\"subscribe\",\"channel\":\"ticks\",\"instruments\":[null],\"id\":1}",
        "{\"action\":\"subscribe\",\"channel\":\"ticks\",\"instruments\":{\"a\":1},\"id\":1}",
        "{\"action\":\"subscribe\",\"channel\":\"ticks\",\"instruments\":[\"NIFTY\"],\"conflate_ms\":-1,\"id\":1}",
        "{\"action\":\"subscribe\",\"channel\":\"ticks\",\"instruments\":[\"NIFTY\"],\"conflate_ms\":1e99,\"id\":1}",
        "{\"action\":\"subscribe\",\"channel\":\"ticks\",\"instruments\":[\"NIFTY\"],\"mode\":\"all\",\"id\":1}",
        "{\"action\":\"subscribe\",\"channel\":\"chain\",\"symbol\":\"NIFTY\",\"width\":2,\"id\":1}",
        "{\"action\":\"subscribe\",\"channel\":\"chain\",\"symbol\":\"NIFTY\",\"underlying_ltp\":NaN,\"id\":1}",
        "{\"action\":\"subscribe\",\"channel\":\"chain\",\"symbol\":\"NIFTY\",\"colour\":\"red\",\"id\":1}",
        "{\"action\":\"resume\",\"channel\":\"chain\",\"id\":1}",
        "{\"action\":\"resume\",\"channel\":\"chain\",\"symbol\":\"NIFTY\",\"epoch\":1,\"seq\":-1,\"id\":1}",
        "{\"action\":\"unsubscribe\",\"id\":1}",
        "{\"action\":\"unsubscribe\",\"sub\":18446744073709551615,\"id\":1}",
        "{\"action\":\"unsubscribe\",\"sub\":-1,\"id\":1}",
        "{\"action\":\"unsubscribe\",\"sub\":{},\"id\":1}",
        "{\"action\":\"ping\",\"subscriptions\":7,\"id\":1}",
        "{\"action\":\"ping\",\"subscriptions\":[],\"id\":1}",
        "{\"action\":\"ping\",\"session_id\":\"\\u0000\",\"id\":1}",
        "{\"action\":\"ping\",\"session_id\":\"s\",\"subscriptions\":[{}],\"id\":1}",
        "{\"action\":\"subscribe\",\"channel\":\"indicators\",\"id\":1}",
        "{\"action\":\"subscribe\",\"channel\":\"indicators\",\"session_id\":\"s\",\"id\":1}",
        "{\"action\":\"subscribe\",\"channel\":\"indicators\",\"session_id\":\"s\",\"subscriptions\":[null],\"id\":1}",
        "{\"action\":\"subscribe\",\"channel\":\"indicators\",\"session_id\":\"s\",\"user_id\":-1,\"subscriptions\":[],\"id\":1}",
        "{\"symbol\":\"\\ud800\",\"id\":1}",
    ]
    .map(str::to_owned)
    .to_vec();
    messages.push("[".repeat(100_000));
    messages.push("{\"a\":".repeat(20_000));
    for text in WRONG_TEXTS {
        let mut base = json!({"action": "subscribe", "channel": "chain", "symbol": text, "id": 1});
        messages.push(base.to_string());
        base["symbol"] = "RELIANCE".into();
        base["expiry"] = json!(text);
        messages.push(base.to_string());
        let mut ticks = json!({"action": "subscribe", "channel": "ticks", "id": 1});
        ticks["instruments"] = json!(["RELIANCE", text]);
        messages.push(ticks.to_string());
        let good = json!({"symbol": "NIFTY", "timeframe": "5min", "indicator": "RSI_14"});
        for name in ["symbol", "timeframe", "indicator"] {
            let mut wrong = good.clone();
            wrong[name] = json!(text);
            let mut asked = json!({"action": "subscribe", "channel": "indicators", "id": 1});
            asked["session_id"] = "s".into();
            asked["subscriptions"] = json!([good, wrong]);
            messages.push(asked.to_string());
            asked["action"] = "ping".into();
            asked.as_object_mut().expect("an object").remove("channel");
            messages.push(asked.to_string());
        }
        let session = json!({"action": "subscribe", "channel": "indicators", "id": 1,
                             "session_id": text, "subscriptions": [good]});
        messages.push(session.to_string());
    }
    messages
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_of_the_stream_is_answered() {
    let world = World::start("").await;
    let others = Others::start(&world);
    let before = world.state().await;
    // A socket for some of them: one client may not send any number.
    for messages in messages().chunks(40) {
        let mut socket = world.gateway.stream().await;
        for text in messages {
            let shown: String = text.chars().take(120).collect();
            socket.send_text(text).await;
            let answer = socket
                .find(|message| {
                    ["ack", "error", "pong"]
                        .iter()
                        .any(|kind| message["type"] == *kind)
                })
                .await
                .unwrap_or_else(|| panic!("{shown}: the server closed"));
            if answer["type"] == "error" {
                let said = |name: &str| answer[name].as_str().is_some_and(|text| !text.is_empty());
                assert!(said("code") && said("detail"), "{shown}: {answer}");
                assert_ne!(answer["code"], "internal", "{shown}: {answer}");
                let echoed = text.contains("\"id\":1") && text.parse::<Value>().is_ok();
                assert_eq!(answer["id"] == 1, echoed, "{shown}: {answer}");
            }
        }
    }
    // All sockets are closed: nothing is left of what they held.
    world.unchanged(&before, "what closed sockets held").await;
    others.end().await;
    world.end().await;
}

/// A frame of a client.
fn frame(first: u8, masked: bool, length: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mask_bit = if masked { 0x80 } else { 0 };
    match length {
        0..126 => bytes.push(mask_bit | length as u8),
        126..65_536 => {
            bytes.push(mask_bit | 126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(mask_bit | 127);
            bytes.extend_from_slice(&length.to_be_bytes());
        }
    }
    let mask = [7, 11, 13, 17];
    if masked {
        bytes.extend_from_slice(&mask);
    }
    let body = body.iter().zip(mask.iter().cycle());
    bytes.extend(body.map(|(byte, mask)| if masked { byte ^ mask } else { *byte }));
    bytes
}

fn whole(first: u8, body: &[u8]) -> Vec<u8> {
    frame(first, true, body.len() as u64, body)
}

/// Frames that no client may send; each ends the connection.
fn broken_frames() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("an unmasked frame", frame(0x81, false, 2, b"{}")),
        ("a reserved bit", whole(0xc1, b"{}")),
        ("a reserved opcode", whole(0x83, b"{}")),
        ("a reserved control frame", whole(0x8b, b"")),
        ("a text that is no UTF-8", whole(0x81, b"\xff\xfe\xfd")),
        ("a continuation of nothing", whole(0x80, b"{}")),
        (
            "a second beginning",
            [whole(0x01, b"{"), whole(0x01, b"}")].concat(),
        ),
        ("a ping in fragments", whole(0x09, b"x")),
        ("a ping that is too long", whole(0x89, &[b'x'; 126])),
        ("a length beyond all", frame(0x81, true, u64::MAX, b"{}")),
        (
            "a length with the highest bit",
            frame(0x81, true, 1 << 63, b"{}"),
        ),
        (
            "a message that is too large",
            frame(0x81, true, 1 << 20, &[b' '; 4_096]),
        ),
        (
            "fragments that are too large together",
            [
                whole(0x01, &[b' '; 60_000]),
                whole(0x00, &[b' '; 60_000]).repeat(8),
            ]
            .concat(),
        ),
        ("a close with half a code", whole(0x88, b"\x03")),
        (
            "a close with a code that is none",
            whole(0x88, &999_u16.to_be_bytes()),
        ),
        (
            "a close with a reason that is no UTF-8",
            whole(0x88, b"\x03\xe8\xff\xfe"),
        ),
        (
            "HTTP after the upgrade",
            b"GET / HTTP/1.1\r\n\r\n".repeat(20),
        ),
        ("zeros", vec![0; 8_192]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_frames_end_their_connection_alone() {
    let world = World::start("").await;
    let others = Others::start(&world);
    for (what, bytes) in broken_frames() {
        let mut socket = TcpStream::connect(world.addr()).await.expect("it accepts");
        let head = "GET /api/v2/stream HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\n\
                    connection: upgrade\r\nsec-websocket-version: 13\r\n\
                    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        socket
            .write_all(head.as_bytes())
            .await
            .expect("it is taken");
        let mut heard = Vec::new();
        let ended = timeout(SOON, async {
            let mut piece = [0; 4_096];
            while !heard.ends_with(b"\r\n\r\n") {
                let count = socket.read(&mut piece).await.expect("an answer");
                assert!(count > 0, "{what}: no upgrade");
                heard.extend_from_slice(&piece[..count]);
            }
            // The server may have enough before all is written.
            let _ = socket.write_all(&bytes).await;
            while let Ok(1..) = socket.read(&mut piece).await {}
        });
        assert!(ended.await.is_ok(), "{what}: the connection stays");
        // The answer to the key of RFC 6455, section 1.3.
        let heard = String::from_utf8_lossy(&heard).into_owned();
        assert!(heard.starts_with("HTTP/1.1 101 "), "{heard}");
        assert!(heard.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{heard}");
    }
    others.end().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_messages_ends_or_slows_its_sender_alone() {
    let world = World::start("").await;
    let others = Others::start(&world);
    let url = format!("ws://{}/api/v2/stream", world.addr());
    let mut flooding = Vec::new();
    for _ in 0..5 {
        let url = url.clone();
        flooding.push(tokio::spawn(async move {
            let (socket, _) = tokio_tungstenite::connect_async(&url)
                .await
                .expect("it opens");
            let (mut sender, mut receiver) = socket.split();
            // Answers are read, or the flood would only block itself.
            let reader =
                tokio::spawn(async move { while let Some(Ok(_)) = receiver.next().await {} });
            let message = Message::text(r#"{"action":"ping","id":"flood"}"#);
            for _ in 0..5_000 {
                let sent = timeout(SOON, sender.send(message.clone())).await;
                if !matches!(sent, Ok(Ok(()))) {
                    break;
                }
            }
            drop(sender);
            reader.abort();
        }));
    }
    for flood in flooding {
        timeout(SOON * 3, flood)
            .await
            .expect("it ends")
            .expect("it did not fail");
    }
    // Pages that open sockets and leave them.
    for _ in 0..50 {
        drop(world.gateway.stream().await);
    }
    tokio::time::timeout(Duration::from_secs(20), others.end())
        .await
        .expect("the others go on");
    world.end().await;
}
