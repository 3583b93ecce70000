//! The life of a client's socket: who may come, how many, how long, and how it ends.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::StatusCode;
use serde_json::{Value, json};
use strikewire_store::{Keys, NewKey, Role};
use strikewire_types::Utc;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::harness::{Gateway, SOON, Socket, StandIn};

/// A socket that was refused: its status and its problem.
type Refused = (StatusCode, Value);

/// Opens the stream with some headers.
async fn open(gateway: &Gateway, headers: &[(&'static str, &str)]) -> Result<Socket, Refused> {
    let url = format!("ws://{}/api/v2/stream", gateway.authority());
    let mut request = url.into_client_request().expect("a request");
    for (name, value) in headers {
        let value = value.parse().expect("a header");
        request.headers_mut().insert(*name, value);
    }
    match tokio_tungstenite::connect_async(request).await {
        Ok((socket, _)) => Ok(Socket {
            socket,
            said: Vec::new(),
        }),
        Err(Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            let problem = serde_json::from_slice(body).unwrap_or_default();
            Err((response.status(), problem))
        }
        Err(error) => panic!("{error}"),
    }
}

async fn refused(gateway: &Gateway, headers: &[(&'static str, &str)]) -> (u16, String) {
    let Err((status, problem)) = open(gateway, headers).await else {
        panic!("the stream opens");
    };
    let code = problem["code"].as_str().unwrap_or_default();
    (status.as_u16(), code.to_owned())
}

/// A key that was just made for a running server.
async fn new_key(gateway: &Gateway, user: u64) -> (NewKey, u64) {
    let url = format!("sqlite:{}", gateway.database().display());
    let mut keys = Keys::open(&url.parse().expect("a URL"))
        .await
        .expect("the database");
    let key = NewKey::generate().expect("a key");
    let id = keys
        .add(key.hash(), user, Role::User, None, Utc::from_nanos(0))
        .await
        .expect("it is kept");
    keys.close().await;
    (key, id)
}

/// Has the server know that there are keys now, by using one.
async fn used(gateway: &Gateway, key: &NewKey) {
    let header = format!("Bearer {}", key.expose());
    drop(
        open(gateway, &[("authorization", &header)])
            .await
            .expect("it opens"),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_elsewhere_may_not_use_the_stream() {
    let standin = StandIn::any();
    let toml = "[http]\ncors_origins = [\"https://desk.example\"]\n";
    let gateway = Gateway::start_with(&standin, toml).await;
    let own = format!("http://{}", gateway.authority());
    for origin in [own.as_str(), "https://desk.example"] {
        let mut socket = open(&gateway, &[("origin", origin)]).await.expect(origin);
        socket.send(&json!({"action": "ping"})).await;
        socket.of_type("pong").await;
    }
    for origin in ["https://evil.example", "http://desk.example", "null", "x"] {
        let refused = refused(&gateway, &[("origin", origin)]).await;
        assert_eq!(refused, (403, "forbidden".to_owned()), "{origin}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_so_many_clients_and_no_more() {
    let standin = StandIn::any();
    let gateway = Gateway::start_with(&standin, "[stream]\nmax_clients = 3\n").await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(gateway.stream().await);
    }
    let full = (503, "too_many_clients".to_owned());
    assert_eq!(refused(&gateway, &[]).await, full);
    // A place is free when its client has gone.
    clients.pop();
    gateway
        .until("a place is free", async || {
            open(&gateway, &[]).await.is_ok()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_and_instruments_are_limited() {
    let standin = StandIn::any();
    let toml = "[stream]\nsubscriptions = 2\ninstruments = 3\n";
    let gateway = Gateway::start_with(&standin, toml).await;
    let mut socket = gateway.stream().await;
    let ticks = |id: u64, instruments: &[&str]| json!({"action": "subscribe", "channel": "ticks", "id": id, "instruments": instruments});
    socket
        .send(&ticks(1, &["NIFTY", "RELIANCE", "TCS", "INFY"]))
        .await;
    let error = socket.of_type("error").await;
    assert_eq!(
        (&error["id"], &error["code"]),
        (&json!(1), &json!("limit_exceeded"))
    );
    socket.send(&ticks(2, &["NIFTY", "RELIANCE"])).await;
    let first = socket.of_type("ack").await;
    assert_eq!(first["tokens"], json!(["NIFTY", "RELIANCE"]));
    socket.send(&ticks(3, &["NSE_EQ:2885"])).await;
    assert_eq!(socket.of_type("ack").await["tokens"], json!(["RELIANCE"]));
    for message in [
        ticks(4, &["NIFTY"]),
        json!({"action": "subscribe", "channel": "chain", "id": 4, "symbol": "NIFTY"}),
    ] {
        socket.send(&message).await;
        let error = socket.of_type("error").await;
        assert_eq!(error["code"], "limit_exceeded", "{error}");
    }
    let sub = &first["sub"];
    socket
        .send(&json!({"action": "unsubscribe", "sub": sub}))
        .await;
    assert_eq!(&socket.of_type("ack").await["sub"], sub);
    socket.send(&ticks(5, &["NIFTY"])).await;
    assert_eq!(socket.of_type("ack").await["id"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_too_much_is_told_and_then_let_go() {
    let standin = StandIn::any();
    let toml = "[stream]\nmessages_per_s = 1\nmessage_burst = 5\n";
    let gateway = Gateway::start_with(&standin, toml).await;
    let mut other = gateway.stream().await;
    let mut socket = gateway.stream().await;
    for id in 0..60 {
        let message = json!({"action": "ping", "id": id}).to_string();
        // The server may close in the middle of it.
        if socket.socket.send(Message::text(message)).await.is_err() {
            break;
        }
    }
    let mut pongs = Vec::new();
    let mut refusals = Vec::new();
    let closed = tokio::time::timeout(SOON, async {
        while let Some(Ok(message)) = socket.socket.next().await {
            match message {
                Message::Text(text) => {
                    let value: Value = serde_json::from_str(&text).expect("JSON");
                    let id = value["id"].as_u64().expect("an id");
                    if value["type"] == "pong" {
                        pongs.push(id);
                    } else {
                        assert_eq!(value["code"], "rate_limited", "{value}");
                        refusals.push(id);
                    }
                }
                Message::Close(frame) => return frame.map(|frame| u16::from(frame.code)),
                _ => {}
            }
        }
        None
    });
    let closed = closed.await.expect("it is closed soon");
    assert!(closed.is_none_or(|code| code == 1008), "{closed:?}");
    // Answers came in the order of the questions. The bucket may have gained a token or two
    // on the way, on a slow machine.
    assert!(pongs.starts_with(&[0, 1, 2, 3, 4]), "{pongs:?}");
    assert!(refusals.is_sorted() && refusals.len() >= 9, "{refusals:?}");
    other.send(&json!({"action": "ping", "id": 1})).await;
    assert_eq!(other.of_type("pong").await["id"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_long_is_refused_and_ends_the_socket() {
    let standin = StandIn::any();
    let gateway = Gateway::start_with(&standin, "[stream]\nmessage_kib = 4\n").await;
    let mut socket = gateway.stream().await;
    let long = |bytes: usize| json!({"action": "ping", "id": "x".repeat(bytes)}).to_string();
    socket.send_text(&long(3_000)).await;
    assert_eq!(socket.of_type("error").await["field"], "id");
    socket.send_text(&long(5_000)).await;
    let error = socket.of_type("error").await;
    assert_eq!(error["code"], "too_large", "{error}");
    assert_eq!(socket.closed().await, Some(1009));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_client_is_pinged_and_one_that_is_dead_is_let_go() {
    let standin = StandIn::any();
    let toml = "[stream]\nping_s = 1\nidle_s = 3\n";
    let gateway = Gateway::start_with(&standin, toml).await;
    let subscribe = json!({"action": "subscribe", "channel": "ticks", "id": 1,
                           "instruments": ["NIFTY"], "conflate_ms": 1000});
    // One reads, so that its side answers pings; it says nothing itself.
    let mut alive = gateway.stream().await;
    alive.send(&subscribe).await;
    alive.of_type("ack").await;
    // The other one is as a program that hangs: nothing of it is ever read.
    let mut dead = gateway.stream().await;
    dead.send(&json!({"action": "subscribe", "channel": "ticks", "id": 1,
                      "instruments": ["RELIANCE"], "conflate_ms": 1000}))
        .await;
    gateway.until_on_wire(&standin, 2).await;
    let mut pings = 0;
    let released = tokio::time::timeout(SOON, async {
        while standin.on_wire().len() == 2 {
            let next = tokio::time::timeout(Duration::from_millis(50), alive.socket.next());
            match next.await {
                Ok(Some(Ok(Message::Ping(_)))) => pings += 1,
                Ok(Some(Ok(Message::Close(frame)))) => panic!("{frame:?}"),
                Ok(Some(Err(error))) => panic!("{error}"),
                Ok(None) => panic!("the server closed"),
                _ => {}
            }
        }
    });
    released.await.expect("what the dead one held is released");
    assert!(pings >= 1, "a silent client is pinged");
    let code = dead.closed().await;
    assert_eq!(code, Some(4408));
    alive.send(&json!({"action": "ping"})).await;
    alive.of_type("pong").await;
    let (_, metrics) = gateway.get("/metrics").await;
    let text = metrics.as_str().expect("text");
    let idle = "strikewire_stream_disconnected_total{reason=\"idle\"} 1";
    assert!(text.contains(idle), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_says_who_it_is_with_its_first_message() {
    let standin = StandIn::any();
    let gateway = Gateway::start_with(&standin, "[stream]\nclients_per_user = 2\n").await;
    let (key, _) = new_key(&gateway, 7).await;
    let (other, _) = new_key(&gateway, 8).await;
    used(&gateway, &key).await;

    let hello = |key: &str| json!({"action": "auth", "id": "a", "key": key});
    let mut socket = gateway.stream().await;
    socket.send(&hello(key.expose())).await;
    let ack = socket.of_type("ack").await;
    assert_eq!(
        ack,
        json!({"type": "ack", "id": "a", "user_id": 7, "role": "user"})
    );
    socket
        .send(&json!({"action": "subscribe", "channel": "ticks", "id": 2,
                      "instruments": ["NIFTY"], "conflate_ms": 100}))
        .await;
    assert_eq!(socket.of_type("ack").await["id"], 2);
    socket.of_type("ticks").await;

    // Whatever else comes first ends it, and is not done.
    for (first, detail) in [
        (hello("sw_nobody-has-this"), "known"),
        (json!({"action": "ping", "id": "a"}), "auth"),
        (json!({"action": "auth", "id": "a"}), "key"),
        (
            json!({"action": "subscribe", "channel": "ticks", "id": "a",
                "instruments": ["RELIANCE"]}),
            "auth",
        ),
    ] {
        let mut socket = gateway.stream().await;
        socket.send(&first).await;
        let error = socket.of_type("error").await;
        assert_eq!(
            (&error["id"], &error["code"]),
            (&json!("a"), &json!("unauthorized"))
        );
        let said = error["detail"].as_str().expect("a detail");
        assert!(said.contains(detail), "{said}");
        assert_eq!(socket.closed().await, Some(4401), "{first}");
    }
    assert_eq!(standin.on_wire().len(), 1);

    // Each user has so many; another one is not concerned.
    let mut second = gateway.stream().await;
    second.send(&hello(key.expose())).await;
    second.of_type("ack").await;
    let mut third = gateway.stream().await;
    third.send(&hello(key.expose())).await;
    assert_eq!(third.of_type("error").await["code"], "too_many_clients");
    assert_eq!(third.closed().await, Some(4429));
    let header = format!("Bearer {}", key.expose());
    let full = (503, "too_many_clients".to_owned());
    assert_eq!(refused(&gateway, &[("authorization", &header)]).await, full);
    let mut others = gateway.stream().await;
    others.send(&hello(other.expose())).await;
    assert_eq!(others.of_type("ack").await["user_id"], 8);

    // Saying it again is fine; being somebody else is not.
    others.send(&hello(other.expose())).await;
    assert_eq!(others.of_type("ack").await["user_id"], 8);
    others.send(&hello(key.expose())).await;
    assert_eq!(others.of_type("error").await["code"], "forbidden");
    others.send(&hello("sw_nobody-has-this")).await;
    assert_eq!(others.of_type("error").await["code"], "unauthorized");
    assert_eq!(others.closed().await, Some(4401));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_without_a_key_ends_when_there_are_keys_and_so_does_a_revoked_one() {
    let standin = StandIn::any();
    let gateway = Gateway::start_with(&standin, "[stream]\nping_s = 1\n").await;
    let mut early = gateway.stream().await;
    early.send(&json!({"action": "ping"})).await;
    early.of_type("pong").await;
    let (key, id) = new_key(&gateway, 7).await;
    used(&gateway, &key).await;
    assert_eq!(early.of_type("error").await["code"], "unauthorized");
    assert_eq!(early.closed().await, Some(4401));

    let mut socket = gateway.stream().await;
    socket
        .send(&json!({"action": "auth", "key": key.expose()}))
        .await;
    socket.of_type("ack").await;
    let url = format!("sqlite:{}", gateway.database().display());
    let mut keys = Keys::open(&url.parse().expect("a URL"))
        .await
        .expect("it opens");
    keys.revoke(id, Utc::from_nanos(1))
        .await
        .expect("it is revoked");
    keys.close().await;
    let error = socket.of_type("error").await;
    assert_eq!(error["code"], "unauthorized", "{error}");
    assert_eq!(socket.closed().await, Some(4401));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waits_holds_up_neither_pings_nor_others() {
    let standin = StandIn::any();
    let gateway = Gateway::start(&standin).await;
    let mut socket = gateway.stream().await;
    let mut other = gateway.stream().await;
    // Nothing is known of this one yet, so its price has to come first.
    socket
        .send(
            &json!({"action": "subscribe", "channel": "chain", "id": 1, "symbol": "NIFTY",
                      "width": 3, "conflate_ms": 100}),
        )
        .await;
    socket
        .socket
        .send(Message::Ping("probe".into()))
        .await
        .expect("it is open");
    socket.send(&json!({"action": "ping", "id": 2})).await;
    other.send(&json!({"action": "ping", "id": 3})).await;
    assert_eq!(other.of_type("pong").await["id"], 3);
    let mut answers = Vec::new();
    let mut pong = false;
    let all = tokio::time::timeout(SOON, async {
        while answers.len() < 2 || !pong {
            match socket.socket.next().await {
                Some(Ok(Message::Pong(payload))) => pong = payload == "probe",
                Some(Ok(Message::Text(text))) => {
                    let value: Value = serde_json::from_str(&text).expect("JSON");
                    if let Some(id) = value["id"].as_u64() {
                        answers.push(id);
                    }
                }
                other => assert!(matches!(other, Some(Ok(_))), "{other:?}"),
            }
        }
    });
    all.await.expect("all are answered");
    assert_eq!(answers, [1, 2], "answers are in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_says_goodbye() {
    let standin = StandIn::any();
    let gateway = Gateway::start(&standin).await;
    let mut sockets = Vec::new();
    for _ in 0..3 {
        let mut socket = gateway.stream().await;
        socket.send(&json!({"action": "ping"})).await;
        socket.of_type("pong").await;
        sockets.push(socket);
    }
    let (ended, ()) = tokio::join!(gateway.terminate(), async {
        let mut codes = BTreeSet::new();
        for socket in &mut sockets {
            codes.insert(socket.closed().await);
        }
        assert_eq!(codes, [Some(1001)].into());
    });
    assert!(ended.0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_takes_no_seat_of_those_with_a_key() {
    let standin = StandIn::any();
    let gateway = Gateway::start_with(&standin, "[stream]\nmax_clients = 1\n").await;
    let (key, _) = new_key(&gateway, 7).await;
    let header = format!("Bearer {}", key.expose());
    used(&gateway, &key).await;
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(gateway.stream().await);
    }
    let mut socket = None;
    gateway
        .until("the first seat is free again", async || {
            socket = open(&gateway, &[("authorization", &header)]).await.ok();
            socket.is_some()
        })
        .await;
    // Now it is taken, which who says who it is late is told.
    let mut late = silent.pop().expect("three");
    late.send(&json!({"action": "auth", "id": 1, "key": key.expose()}))
        .await;
    let error = late.of_type("error").await;
    assert_eq!(
        (&error["id"], &error["code"]),
        (&json!(1), &json!("too_many_clients"))
    );
    assert_eq!(late.closed().await, Some(4429));
    let mut socket = socket.expect("it is open");
    socket.send(&json!({"action": "ping"})).await;
    socket.of_type("pong").await;

    // Of one address there are 64 that say nothing.
    for _ in silent.len()..64 {
        silent.push(gateway.stream().await);
    }
    let full = (503, "too_many_clients".to_owned());
    assert_eq!(refused(&gateway, &[]).await, full);
    silent.pop();
    gateway
        .until("a place is free", async || {
            open(&gateway, &[]).await.is_ok()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_used_too_often_is_not_called_a_wrong_one() {
    let standin = StandIn::any();
    let toml = "[auth]\nkey_requests_per_s = 1\nkey_burst = 5\n";
    let gateway = Gateway::start_with(&standin, toml).await;
    let (key, _) = new_key(&gateway, 7).await;
    used(&gateway, &key).await;
    let hello = json!({"action": "auth", "id": "a", "key": key.expose()});
    let header = format!("Bearer {}", key.expose());
    let mut known = open(&gateway, &[("authorization", &header)])
        .await
        .expect("it opens");
    for _ in 0..40 {
        known.send(&hello).await;
    }
    let error = known.of_type("error").await;
    assert_eq!(
        (&error["id"], &error["code"]),
        (&json!("a"), &json!("rate_limited"))
    );
    assert!(error["retry_after"].as_u64().is_some(), "{error}");
    // It is told, and goes on.
    known.send(&json!({"action": "ping"})).await;
    known.of_type("pong").await;

    // A second may have passed: then the key may be used once more.
    for _ in 0..20 {
        let mut socket = gateway.stream().await;
        socket.send(&hello).await;
        let answer = socket.find(|_| true).await.expect("an answer");
        if answer["type"] == "error" {
            assert_eq!(answer["code"], "rate_limited", "{answer}");
            assert_eq!(socket.closed().await, Some(4429));
            return;
        }
    }
    panic!("the key was never used too often");
}

#[tokio::test(flavor = "multi_thread")]
async fn pongs_that_nobody_asked_for_count_as_messages() {
    let standin = StandIn::any();
    let toml = "[stream]\nmessages_per_s = 1\nmessage_burst = 5\n";
    let gateway = Gateway::start_with(&standin, toml).await;
    let endless = async |mut socket: Socket, message: fn() -> Message| {
        for _ in 0..60 {
            // The server may close in the middle of it.
            if socket.socket.send(message()).await.is_err() {
                break;
            }
        }
        let code = socket.closed().await;
        assert!(code.is_none_or(|code| code == 1008), "{code:?}");
    };
    let pong = || Message::Pong("".into());
    endless(gateway.stream().await, pong).await;
    // Nor does who has not said who it is.
    let (key, _) = new_key(&gateway, 7).await;
    used(&gateway, &key).await;
    endless(gateway.stream().await, pong).await;
    endless(gateway.stream().await, || Message::Ping("".into())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_uses_the_session_it_names() {
    let standin = StandIn::any();
    let gateway = Gateway::start(&standin).await;
    let beat = |id: &str| json!({"action": "ping", "id": 1, "session_id": id});
    // Without keys any is taken as it is.
    let mut socket = gateway.stream().await;
    socket.send(&beat("my.own_session-1")).await;
    assert_eq!(socket.of_type("pong").await["id"], 1);

    let (key, _) = new_key(&gateway, 7).await;
    let (other, _) = new_key(&gateway, 8).await;
    used(&gateway, &key).await;
    let url = format!("http://{}/api/v2/auth/login", gateway.authority());
    let login = crate::harness::http()
        .post(url)
        .bearer_auth(key.expose())
        .header("content-type", "application/json")
        .body("{}")
        .send()
        .await
        .expect("an answer");
    let login: Value = serde_json::from_str(&login.text().await.expect("a body")).expect("JSON");
    let session = login["session_id"].as_str().expect("an id");
    for (key, session, refused) in [
        (&key, session, None),
        (&other, session, Some("forbidden")),
        (&key, "my.own_session-1", Some("unknown_session")),
    ] {
        let header = format!("Bearer {}", key.expose());
        let mut socket = open(&gateway, &[("authorization", &header)])
            .await
            .expect("it opens");
        socket.send(&beat(session)).await;
        match refused {
            None => assert_eq!(socket.of_type("pong").await["id"], 1),
            Some(code) => {
                let error = socket.of_type("error").await;
                assert_eq!((&error["id"], &error["code"]), (&json!(1), &json!(code)));
                assert_eq!(error["field"], "session_id");
            }
        }
    }
}
