mod faults;

use core::time::Duration;

use futures_util::{SinkExt, StreamExt};
use strikewire_types::{ClockSpec, Segment};
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async, connect_async};

use super::*;
use crate::fixture::{NIFTY, key, option, registry};

const QUERY: &str = "version=2&token=t&clientId=1&authType=2";

type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

struct Running {
    url: String,
    address: SocketAddr,
    handle: SimHandle,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn start(config: Config) -> Self {
        let clock = Clock::simulated("2026-02-09T10:00:00+05:30".parse::<ClockSpec>().unwrap());
        let any = "127.0.0.1:0".parse().unwrap();
        let server = SimServer::bind(any, registry(), clock, config)
            .await
            .unwrap();
        let (url, address, handle) = (server.url(), server.local_addr(), server.handle());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Self {
            url,
            address,
            handle,
            stop: Some(stop),
            task,
        }
    }

    async fn connect(&self) -> Client {
        connect_async(format!("{}/?{QUERY}", self.url))
            .await
            .unwrap()
            .0
    }
}

async fn subscribe(client: &mut Client, code: u8, keys: &[InstrumentKey]) {
    let list: Vec<String> = keys
        .iter()
        .map(|key| {
            format!(
                r#"{{"ExchangeSegment":"{}","SecurityId":"{}"}}"#,
                key.segment, key.id
            )
        })
        .collect();
    let text = format!(
        r#"{{"RequestCode":{code},"InstrumentCount":{},"InstrumentList":[{}]}}"#,
        keys.len(),
        list.join(",")
    );
    client.send(Message::text(text)).await.unwrap();
}

/// The next binary frame; none when the connection ends. A test that waits longer
/// than this fails.
async fn frame(client: &mut Client) -> Option<Vec<u8>> {
    loop {
        let message = timeout(Duration::from_secs(20), client.next())
            .await
            .expect("a frame in time");
        match message {
            Some(Ok(Message::Binary(bytes))) => return Some(bytes.to_vec()),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
            Some(Ok(_)) => {}
        }
    }
}

/// The packets of a frame by their own lengths: bytes 1 and 2.
fn split(mut frame: &[u8]) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    while !frame.is_empty() {
        let (packet, rest) = frame.split_at(usize::from(u16::from_le_bytes([frame[1], frame[2]])));
        packets.push(packet.to_vec());
        frame = rest;
    }
    packets
}

fn word(packet: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(packet[at..at + 4].try_into().unwrap())
}

fn rupees(packet: &[u8], at: usize) -> f32 {
    f32::from_bits(word(packet, at))
}

#[tokio::test]
async fn ticks_arrive_on_a_socket() {
    let running = Running::start(Config::default()).await;
    let mut client = running.connect().await;
    let contract = option(NIFTY, 0, true);
    subscribe(&mut client, 17, &[key(NIFTY)]).await;
    subscribe(&mut client, 21, &[contract]).await;

    let mut of_index = Vec::new();
    let mut of_contract = Vec::new();
    while of_index.len() < 5 || of_contract.len() < 2 {
        for packet in split(&frame(&mut client).await.unwrap()) {
            match (packet[0], packet[3], word(&packet, 4)) {
                (6, 0, 13) => assert_eq!(packet.len(), 16),
                (4, 0, 13) => of_index.push(packet),
                (8, 2, id) if id == contract.id.0 => of_contract.push(packet),
                other => panic!("unexpected {other:?}"),
            }
        }
    }
    for quote in &of_index {
        assert_eq!(quote.len(), 50);
        let (ltp, high, low) = (rupees(quote, 8), rupees(quote, 42), rupees(quote, 46));
        assert!(
            low > 20_000.0 && low <= ltp && ltp <= high && high < 31_000.0,
            "{low} {ltp} {high}"
        );
        // Between 10:00 and 10:01 in India on 2026-02-09, as if that were UTC.
        assert!((1_770_631_200..1_770_631_260).contains(&word(quote, 14)));
        assert_eq!(word(quote, 22), 0);
    }
    for full in &of_contract {
        assert_eq!(full.len(), 162);
        let ltp = rupees(full, 8);
        assert!(ltp > 0.0 && word(full, 22) > 0 && word(full, 34) > 0);
        let bids: Vec<f32> = (0..5).map(|row| rupees(full, 62 + 20 * row + 12)).collect();
        let asks: Vec<f32> = (0..5).map(|row| rupees(full, 62 + 20 * row + 16)).collect();
        assert!(
            bids.is_sorted_by(|a, b| a > b) && asks.is_sorted_by(|a, b| a < b),
            "{bids:?} {asks:?}"
        );
        assert!(bids[0] <= ltp && ltp <= asks[0]);
    }
    let held = running.handle.wire_state().into_values().next().unwrap();
    assert_eq!(
        held.keys().copied().collect::<Vec<_>>(),
        [key(NIFTY), contract]
    );

    // The volume grows, and goes on growing while nobody looks.
    let before = word(&of_contract[0], 22);
    assert!(word(of_contract.last().unwrap(), 22) >= before);
    subscribe(&mut client, 22, &[contract]).await;
    subscribe(&mut client, 18, &[key(NIFTY)]).await;
    subscribe(&mut client, 21, &[contract]).await;
    let again = loop {
        let packets = split(&frame(&mut client).await.unwrap());
        if let Some(full) = packets.into_iter().rfind(|packet| packet[0] == 8) {
            break full;
        }
    };
    assert!(word(&again, 22) >= before);

    client
        .send(Message::text(r#"{"RequestCode":12}"#))
        .await
        .unwrap();
    while frame(&mut client).await.is_some() {}
    assert!(running.handle.wire_state().is_empty());
}

#[tokio::test]
async fn a_handshake_without_credentials_gets_a_status() {
    let running = Running::start(Config::default()).await;
    for (query, expected) in [("", 400), ("version=2&authType=2&clientId=1", 401)] {
        let error = connect_async(format!("{}/?{query}", running.url))
            .await
            .unwrap_err();
        let tokio_tungstenite::tungstenite::Error::Http(response) = error else {
            panic!("{error}");
        };
        assert_eq!(response.status(), expected);
    }
    assert_eq!(running.handle.counters().refused, 2);
}

#[tokio::test]
async fn the_oldest_of_six_is_told_and_closed() {
    let running = Running::start(Config::default()).await;
    let mut clients = Vec::new();
    for _ in 0..6 {
        clients.push(running.connect().await);
    }
    let goodbye = frame(&mut clients[0]).await.unwrap();
    assert_eq!(goodbye, [50, 10, 0, 0, 0, 0, 0, 0, 0x25, 3]);
    assert_eq!(frame(&mut clients[0]).await, None);
    subscribe(&mut clients[5], 15, &[key(NIFTY)]).await;
    assert!(frame(&mut clients[5]).await.is_some());
    assert_eq!(running.handle.wire_state().len(), 5);
}

#[tokio::test]
async fn connections_can_be_dropped_and_the_server_stopped_and_started() {
    let mut running = Running::start(Config::default()).await;
    let (mut first, mut second) = (running.connect().await, running.connect().await);
    subscribe(&mut first, 15, &[key(NIFTY)]).await;
    assert!(frame(&mut first).await.is_some());
    running.handle.drop_all_connections();
    while frame(&mut first).await.is_some() {}
    assert_eq!(frame(&mut second).await, None);
    assert!(running.handle.wire_state().is_empty());

    let mut third = running.connect().await;
    subscribe(&mut third, 15, &[key(NIFTY)]).await;
    assert!(frame(&mut third).await.is_some());
    running.stop.take().unwrap().send(()).unwrap();
    running.task.await.unwrap();
    while frame(&mut third).await.is_some() {}
    assert!(
        connect_async(format!("{}/?{QUERY}", running.url))
            .await
            .is_err()
    );

    // The address is free again at once.
    let server = SimServer::bind(
        running.address,
        registry(),
        Clock::system(),
        Config::default(),
    )
    .await;
    assert_eq!(server.unwrap().local_addr(), running.address);
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_ticks_and_slows_nobody() {
    let config = Config {
        queue: 4,
        packets_per_frame: 1,
        ..Config::default()
    };
    let running = Running::start(config).await;
    let mut slow = running.connect().await;
    let mut brisk = running.connect().await;
    let keys: Vec<InstrumentKey> = registry()
        .segment(Segment::NseFno)
        .take(100)
        .map(|found| found.key())
        .collect();
    // One message is answered with a hundred frames; four fit the queue.
    subscribe(&mut slow, 21, &keys).await;
    while running.handle.counters().total().dropped == 0 {
        tokio::task::yield_now().await;
    }
    subscribe(&mut brisk, 15, &[key(NIFTY)]).await;
    for _ in 0..3 {
        assert!(frame(&mut brisk).await.is_some());
    }
    let report = running.handle.counters();
    let dropped: Vec<u64> = report
        .sessions
        .values()
        .map(|counters| counters.dropped)
        .collect();
    assert!(dropped[0] >= 96 && dropped[1] == 0, "{dropped:?}");
    drop(slow);
}

#[tokio::test]
async fn a_stranger_on_the_socket_harms_nobody() {
    let running = Running::start(Config::default()).await;
    let mut stranger = TcpStream::connect(running.address).await.unwrap();
    stranger
        .write_all(b"\x16\x03\x01 not http at all\r\n\r\n")
        .await
        .unwrap();
    let mut client = running.connect().await;
    // The farewell of the official Python client is binary: a sign of life, no request.
    client.send(Message::binary(vec![12; 83])).await.unwrap();
    subscribe(&mut client, 15, &[key(NIFTY)]).await;
    assert!(frame(&mut client).await.is_some());
    client.send(Message::text("not json")).await.unwrap();
    let mut last = Vec::new();
    while let Some(frame) = frame(&mut client).await {
        last = frame;
    }
    // Reason 814 = 0x32e.
    assert_eq!(last, [50, 10, 0, 0, 0, 0, 0, 0, 0x2e, 3]);
}

/// A connection in memory, whose time is paused.
async fn in_memory() -> (WebSocketStream<DuplexStream>, SimHandle) {
    let clock = Clock::simulated("2026-02-09T10:00:00+05:30".parse::<ClockSpec>().unwrap());
    let shared = Arc::new(Shared::new(registry(), clock, Config::default()));
    let (near, far) = tokio::io::duplex(1 << 16);
    let handle = SimHandle {
        shared: Arc::clone(&shared),
    };
    tokio::spawn(connection::serve(far, shared));
    let (client, _) = client_async(format!("ws://memory/?{QUERY}"), near)
        .await
        .unwrap();
    (client, handle)
}

#[tokio::test(start_paused = true)]
async fn pings_come_every_ten_seconds() {
    let (mut client, handle) = in_memory().await;
    let start = tokio::time::Instant::now();
    // Reading answers them, which keeps the connection alive.
    for number in 1..=12 {
        let message = client.next().await.unwrap().unwrap();
        assert!(message.is_ping(), "{message:?}");
        assert_eq!(start.elapsed().as_secs(), 10 * number);
    }
    assert_eq!(handle.wire_state().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_silent_for_forty_seconds_is_dropped() {
    let (client, handle) = in_memory().await;
    tokio::time::advance(Duration::from_secs(39)).await;
    tokio::task::yield_now().await;
    assert_eq!(handle.wire_state().len(), 1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(handle.wire_state().is_empty());
    drop(client);
}

#[test]
fn packets_of_a_frame_are_counted() {
    let ticker = [2, 16, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(packets_in(&[]), 0);
    assert_eq!(packets_in(&ticker), 1);
    assert_eq!(packets_in(&ticker.repeat(3)), 3);
}
