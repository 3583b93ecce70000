//! What clients make of the messages of chains: the same as REST says, whoever they are,
//! however slowly they read, and whenever they come back.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Map, Value, json};
use strikewire_dhan_sim::faults::Fault;
use strikewire_types::{InstrumentKey, Price, Segment};
use tokio::net::TcpSocket;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Gateway, SOON, Socket, StandIn};

const NIFTY: InstrumentKey = InstrumentKey::new(Segment::IdxI, 13);

/// What a client makes of one subscription's messages.
#[derive(Debug, Default, Clone)]
struct Known {
    epoch: Value,
    seq: u64,
    chain: Map<String, Value>,
    quotes: Map<String, Value>,
    snapshots: usize,
    deltas: usize,
    lagged: usize,
    /// The number that the next delta or snapshot may have, after it was told of a gap.
    told: Option<u64>,
}

fn merge(object: &mut Map<String, Value>, changes: &Value) {
    for (name, value) in changes.as_object().into_iter().flatten() {
        if value.is_null() {
            object.remove(name);
        } else {
            object.insert(name.clone(), value.clone());
        }
    }
}

impl Known {
    /// Takes a message as a front end would; a gap that nobody told of is a mistake.
    fn take(&mut self, message: &Value) {
        let seq = message["seq"].as_u64();
        match message["type"].as_str() {
            Some("snapshot") => {
                let seq = seq.expect("a number");
                if self.snapshots > 0 && message["epoch"] == self.epoch {
                    let told = self.told.take().expect("it was told before");
                    assert_eq!(seq, told, "{}", message["type"]);
                }
                self.snapshots += 1;
                self.chain = message["chain"].as_object().cloned().expect("a chain");
                self.quotes = message["quotes"].as_object().cloned().expect("quotes");
                self.seq = seq;
            }
            Some("delta") => {
                assert_eq!(message["epoch"], self.epoch, "another chain");
                assert_eq!(seq, Some(self.seq + 1), "a gap that nobody told of");
                assert_eq!(self.told, None, "a snapshot has to come first");
                self.deltas += 1;
                self.seq += 1;
                merge(&mut self.chain, &message["chain"]);
                for token in message["remove"].as_array().into_iter().flatten() {
                    self.quotes.remove(token.as_str().expect("a token"));
                }
                for (token, fields) in message["set"].as_object().into_iter().flatten() {
                    let quote = self.quotes.entry(token.clone()).or_insert(json!({}));
                    merge(quote.as_object_mut().expect("a quote"), fields);
                }
            }
            Some("lagged") => {
                self.lagged += 1;
                let (from, to) = (&message["from_seq"], message["to_seq"].as_u64());
                let expected = self.told.unwrap_or(self.seq) + 1;
                assert_eq!(from, &json!(expected), "{message}");
                assert_eq!(
                    message["dropped"],
                    json!(to.expect("a number") + 1 - expected)
                );
                self.told = to;
                return;
            }
            _ => return,
        }
        self.epoch = message["epoch"].clone();
    }

    /// What can be compared: the window, and the quotes without the times of reception.
    fn view(&self) -> Value {
        view(
            &Value::Object(self.chain.clone()),
            &Value::Object(self.quotes.clone()),
        )
    }
}

fn view(chain: &Value, quotes: &Value) -> Value {
    let names = [
        "symbol",
        "exchange",
        "expiry",
        "underlying",
        "underlying_ltp",
        "live_ltp",
        "atm_strike",
        "strike_step",
        "strikes",
        "strikes_ce_pe",
        "width",
    ];
    let fields: Map<String, Value> = names
        .into_iter()
        .map(|name| (name.to_owned(), chain[name].clone()))
        .collect();
    json!({"chain": fields, "quotes": quotes})
}

/// The chain as REST reads it.
async fn truth(gateway: &Gateway, width: usize) -> Value {
    let chain = gateway
        .ok(&format!("/api/v2/option-chain/NIFTY?width={width}"))
        .await;
    view(&chain, &chain["quotes"])
}

fn subscribe(id: u64, width: usize) -> Value {
    json!({"action": "subscribe", "channel": "chain", "id": id, "symbol": "NIFTY",
           "width": width, "conflate_ms": 100})
}

/// As [`subscribe`], from where `known` ended.
fn resume(id: u64, width: usize, known: &Known) -> Value {
    let mut message = subscribe(id, width);
    message["action"] = "resume".into();
    message["epoch"] = known.epoch.clone();
    message["seq"] = known.seq.into();
    message
}

/// Lets the client take what comes until it is as `done` says.
async fn take_until(socket: &mut Socket, known: &mut Known, mut done: impl FnMut(&Known) -> bool) {
    let taken = tokio::time::timeout(SOON, async {
        for message in socket.said.drain(..) {
            known.take(&message);
        }
        while !done(known) {
            match socket.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    known.take(&serde_json::from_str(&text).expect("JSON"));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("{other:?}"),
            }
        }
    });
    if taken.await.is_err() {
        panic!("not within {SOON:?}: {known:?}");
    }
}

/// Lets the client take what comes until it knows what REST says. The market is quiet then.
async fn converge(gateway: &Gateway, socket: &mut Socket, known: &mut Known, width: usize) {
    let begun = std::time::Instant::now();
    loop {
        for message in socket.said.drain(..) {
            known.take(&message);
        }
        while let Ok(next) =
            tokio::time::timeout(Duration::from_millis(150), socket.socket.next()).await
        {
            match next {
                Some(Ok(Message::Text(text))) => {
                    known.take(&serde_json::from_str(&text).expect("JSON"));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("{other:?}"),
            }
        }
        let truth = truth(gateway, width).await;
        if known.view() == truth {
            return;
        }
        assert!(
            begun.elapsed() < SOON,
            "the client knows\n{}\nbut REST says\n{truth}",
            known.view()
        );
    }
}

fn set(standin: &StandIn, price: f64) {
    let price = Price::from_f64(price).expect("a price");
    assert!(standin.handle.set_price(NIFTY, price));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_ends_up_with_what_rest_says() {
    let standin = StandIn::any();
    let gateway = Gateway::start_with(&standin, "[chain]\nlinger_s = 1\n").await;
    let mut clients = Vec::new();
    for (id, width) in [(1, 5), (2, 11), (3, 11), (4, 51)] {
        let mut socket = gateway.stream().await;
        socket.send(&subscribe(id, width)).await;
        assert_eq!(socket.of_type("ack").await["id"], id);
        clients.push((socket, Known::default(), width));
    }
    for (socket, known, width) in &mut clients {
        take_until(socket, known, |known| known.quotes.len() == 2 * *width).await;
    }
    // Two rolls there and one back, with ticks of every leg in between.
    let known = &clients[0].1;
    let price = known.chain["underlying_ltp"].as_f64().expect("a price");
    let step = known.chain["strike_step"].as_f64().expect("a step");
    for move_by in [1.1, 2.2, 1.0] {
        let atm = clients[0].1.chain["atm_strike"].clone();
        set(&standin, price + move_by * step);
        for (socket, known, _) in &mut clients {
            take_until(socket, known, |known| known.chain["atm_strike"] != atm).await;
        }
    }
    standin.handle.inject(Fault::Stall);
    for (socket, known, width) in &mut clients {
        converge(&gateway, socket, known, *width).await;
        assert_eq!((known.snapshots, known.lagged), (1, 0));
        assert!(known.deltas >= 3);
    }
    // Two clients of one channel were sent the same.
    let (second, third) = (&clients[1].1, &clients[2].1);
    assert_eq!(second.epoch, third.epoch);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_socket_comes_back_without_missing_anything() {
    let standin = StandIn::any();
    let gateway = Gateway::start(&standin).await;
    let mut socket = gateway.stream().await;
    socket.send(&subscribe(1, 11)).await;
    let mut known = Known::default();
    take_until(&mut socket, &mut known, |known| known.quotes.len() == 22).await;
    let price = known.chain["underlying_ltp"].as_f64().expect("a price");

    for round in 1..=3 {
        // Torn off, without a word.
        let (seq, epoch) = (known.seq, known.epoch.clone());
        drop(socket);
        for step in 0..5 {
            set(&standin, price + f64::from(round * 10 + step) / 10.0);
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        socket = gateway.stream().await;
        socket.send(&resume(7, 11, &known)).await;
        let ack = socket.of_type("ack").await;
        assert_eq!(ack["resumed"], true, "{ack}");
        take_until(&mut socket, &mut known, |known| known.seq > seq).await;
        assert_eq!(known.epoch, epoch);
        assert_eq!(known.snapshots, 1, "deltas went on");
    }

    // Somebody else may go on from there as well: a second window of the same page.
    let mut other = gateway.stream().await;
    let mut others = known.clone();
    other.send(&resume(8, 11, &others)).await;
    assert_eq!(other.of_type("ack").await["resumed"], true);
    standin.handle.inject(Fault::Stall);
    converge(&gateway, &mut socket, &mut known, 11).await;
    converge(&gateway, &mut other, &mut others, 11).await;
    assert_eq!((others.snapshots, others.seq), (1, known.seq));
    assert_eq!(others.view(), known.view());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_resumed_begins_with_a_snapshot_that_says_so() {
    let standin = StandIn::any();
    let gateway = Gateway::start(&standin).await;
    let mut socket = gateway.stream().await;
    socket.send(&subscribe(1, 5)).await;
    let mut known = Known::default();
    take_until(&mut socket, &mut known, |known| known.quotes.len() == 10).await;
    let mut of_another_run = known.clone();
    of_another_run.epoch = "0123456789abcdef-100-full".into();
    let mut to_come = known.clone();
    to_come.seq += 1_000_000;
    for (message, what) in [
        (resume(2, 5, &of_another_run), "another run"),
        (resume(2, 5, &to_come), "a number to come"),
        (resume(2, 7, &known), "another width"),
    ] {
        socket.send(&message).await;
        let ack = socket.find(|message| message["id"] == 2).await.expect(what);
        assert_eq!(
            (&ack["type"], &ack["resumed"]),
            (&json!("ack"), &json!(false)),
            "{what}"
        );
        let sub = ack["sub"].clone();
        let snapshot = socket
            .find(|message| message["type"] == "snapshot" && message["sub"] == sub)
            .await
            .expect(what);
        assert_eq!(snapshot["resumed"], false, "{what}");
    }
    // Ticks have nothing to be resumed, and a position has two parts.
    let mut ticks = resume(3, 5, &known);
    ticks["channel"] = "ticks".into();
    let mut half = resume(3, 5, &known);
    half.as_object_mut().expect("an object").remove("epoch");
    for (message, field) in [(ticks, "channel"), (half, "epoch")] {
        socket.send(&message).await;
        let error = socket.of_type("error").await;
        assert_eq!(
            (&error["id"], &error["field"]),
            (&json!(3), &json!(field)),
            "{error}"
        );
    }
}

/// A client whose machine takes little at once, so that what it does not read soon piles up
/// at the server.
async fn narrow(gateway: &Gateway) -> Socket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("it is set");
    let address = gateway.authority().parse().expect("an address");
    let stream = socket.connect(address).await.expect("it connects");
    let url = format!("ws://{}/api/v2/stream", gateway.authority());
    let (socket, _) = tokio_tungstenite::client_async(url, MaybeTlsStream::Plain(stream))
        .await
        .expect("it opens");
    Socket {
        socket,
        said: Vec::new(),
    }
}

/// The value of a metric, which is 0 until it is there.
async fn metric(gateway: &Gateway, name: &str) -> f64 {
    let (_, metrics) = gateway.get("/metrics").await;
    metrics
        .as_str()
        .expect("text")
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_is_told_what_it_missed_and_slows_nobody() {
    const SUBS: u64 = 60;
    let standin = StandIn::any();
    let toml = "[stream]\nstall_s = 5\n";
    let gateway = Gateway::start_with(&standin, toml).await;
    let mut quick = gateway.stream().await;
    quick
        .send(&json!({"action": "subscribe", "channel": "ticks", "id": 1,
                      "instruments": ["NIFTY"], "conflate_ms": 100}))
        .await;
    let first = quick.of_type("ticks").await;
    let base = first["items"][0]["ltp"].as_f64().expect("a price");
    let mut price = base;

    // Wide chains, many times over: more than any socket buffers by itself.
    let mut slow = narrow(&gateway).await;
    for id in 0..SUBS {
        slow.send(&subscribe(id, 101)).await;
    }
    // Nothing of it is read, and all the while the quick one has every price.
    let begun = std::time::Instant::now();
    while metric(&gateway, "strikewire_stream_dropped_total").await == 0.0 {
        assert!(begun.elapsed() < SOON, "the slow one does not fall behind");
        price += 0.05;
        set(&standin, price);
        let now = price;
        quick
            .find(|message| {
                (message["items"][0]["ltp"].as_f64()).is_some_and(|it| (it - now).abs() < 1e-6)
            })
            .await
            .expect("the quick one is served");
    }
    // It reads on: what it missed it is told, and it begins anew from a snapshot.
    let mut known: Vec<Known> = vec![Known::default(); SUBS as usize + 1];
    let caught_up = tokio::time::timeout(SOON, async {
        while !known
            .iter()
            .skip(1)
            .all(|known| known.snapshots > 0 && known.told.is_none())
            || known.iter().all(|known| known.lagged == 0)
        {
            match slow.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    let message: Value = serde_json::from_str(&text).expect("JSON");
                    if let Some(sub) = message["sub"].as_u64() {
                        known[sub as usize].take(&message);
                    }
                }
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    });
    caught_up.await.expect("it catches up");
    assert!(metric(&gateway, "strikewire_stream_lagged_total").await > 0.0);

    // It stops for good: it is let go, and what it held is released.
    let gone = "strikewire_stream_disconnected_total{reason=\"too_slow\"}";
    let begun = std::time::Instant::now();
    while metric(&gateway, gone).await == 0.0 {
        assert!(begun.elapsed() < SOON * 3, "the slow one is not let go");
        price += 0.05;
        set(&standin, price);
        let now = price;
        quick
            .find(|message| {
                (message["items"][0]["ltp"].as_f64()).is_some_and(|it| (it - now).abs() < 1e-6)
            })
            .await
            .expect("the quick one is served");
    }
    gateway.until_on_wire(&standin, 1).await;
    let code = slow.closed().await;
    assert!(code.is_none_or(|code| code == 4008), "{code:?}");
    // From the reception of a price to the end of the write that carried it.
    let count = "strikewire_stream_flush_seconds_count{class=\"100\"}";
    assert!(metric(&gateway, count).await > 0.0);
    let _ = slow.socket.close(None).await;
}
