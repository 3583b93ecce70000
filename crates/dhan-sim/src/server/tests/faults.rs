//! What faults look like from the other end of a socket.

use core::pin::Pin;
use core::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::Error;

use super::super::wire::{Control, Socket, Wire};
use super::*;
use crate::core::Transport;
use crate::faults::{Fault, Sockets};

const REQUEST: &str = "GET /?version=2&token=t&clientId=1&authType=2 HTTP/1.1\r\nHost: x\r\n\
    Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A connection by hand, after the upgrade.
async fn raw(running: &Running) -> TcpStream {
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(REQUEST.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    stream
}

/// How a connection ends on which nothing was asked for: the bytes before, and what
/// reading says.
async fn end(stream: &mut TcpStream) -> (Vec<u8>, std::io::Result<()>) {
    let mut bytes = Vec::new();
    let result = timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes)).await;
    (bytes, result.expect("an end in time").map(|_| ()))
}

#[tokio::test]
async fn a_reset_is_bare() {
    let running = Running::start(Config::default()).await;
    let mut stream = raw(&running).await;
    assert_eq!(running.handle.inject(Fault::Reset), 1);
    let (bytes, result) = end(&mut stream).await;
    assert!(bytes.is_empty(), "no close frame: {bytes:?}");
    assert_eq!(
        result.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionReset
    );
    // Other ends are no resets.
    let mut stream = raw(&running).await;
    running.handle.drop_all_connections();
    assert!(end(&mut stream).await.1.is_ok());
    assert_eq!(running.handle.counters().connected, 2);
}

#[tokio::test]
async fn a_close_frame_has_its_code_and_text() {
    let running = Running::start(Config::default()).await;
    let mut stream = raw(&running).await;
    let (code, reason) = (1011, "why".to_owned());
    running.handle.inject(Fault::Close { code, reason });
    // Final, close, five bytes: 1011, "why".
    let mut frame = [0; 7];
    stream.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame, [0x88, 5, 3, 0xf3, b'w', b'h', b'y']);
    assert!(running.handle.wire_state().is_empty());
}

#[tokio::test]
async fn a_disconnect_packet_comes_before_the_close() {
    let running = Running::start(Config::default()).await;
    let mut stream = raw(&running).await;
    running.handle.inject(Fault::Disconnect { code: 806 });
    let mut frame = [0; 14];
    stream.read_exact(&mut frame).await.unwrap();
    // A binary frame of ten bytes, reason 806 = 0x326; then an empty close frame.
    let expected = [0x82, 10, 50, 10, 0, 0, 0, 0, 0, 0, 0x26, 3, 0x88, 0];
    assert_eq!(frame, expected);
}

#[tokio::test]
async fn upgrades_are_refused_with_status_and_retry_after() {
    let running = Running::start(Config::default()).await;
    let retry_after = Some(Duration::from_secs(120));
    running.handle.inject(Fault::Refuse {
        status: 429,
        retry_after,
    });
    let url = format!("{}/?{QUERY}", running.url);
    let Error::Http(response) = connect_async(&url).await.unwrap_err() else {
        panic!("an answer")
    };
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "120");
    running.handle.clear_faults();
    assert!(connect_async(&url).await.is_ok());
    let report = running.handle.counters();
    assert_eq!((report.refused, report.connected), (1, 1));
    assert_eq!(report.attempts.values().sum::<u64>(), 2);
}

#[tokio::test]
async fn an_upgrade_that_is_none_is_refused() {
    let running = Running::start(Config::default()).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let request = REQUEST.replace("Version: 13", "Version: 12");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 400");
    assert_eq!(running.handle.counters().attempts.len(), 0);
}

#[tokio::test]
async fn cut_writes_lose_nothing() {
    let running = Running::start(Config::default()).await;
    let (mut whole, mut cut) = (running.connect().await, running.connect().await);
    running
        .handle
        .inject(Fault::Split { bytes: 1 }.on(Sockets::Positions(vec![2])));
    let contract = [option(NIFTY, 0, true)];
    subscribe(&mut whole, 21, &contract).await;
    subscribe(&mut cut, 21, &contract).await;
    let mut prices: [BTreeMap<u32, Vec<u8>>; 2] = Default::default();
    for (client, seen) in [&mut whole, &mut cut].into_iter().zip(&mut prices) {
        while seen.len() < 4 {
            for packet in split(&frame(client).await.unwrap()) {
                assert_eq!((packet[0], packet.len()), (8, 162));
                // By volume, which grows with each trade.
                seen.insert(word(&packet, 22), packet);
            }
        }
    }
    let both: Vec<_> = prices[0]
        .keys()
        .filter(|volume| prices[1].contains_key(volume))
        .collect();
    assert!(!both.is_empty());
    for volume in both {
        assert_eq!(prices[0][volume], prices[1][volume]);
    }
}

#[tokio::test]
async fn a_script_runs_by_itself() {
    let script = "[[fault]]\nkind = \"disconnect\"\ncode = 800\nafter_packets = 3";
    let running = Running::start(Config {
        script: script.parse().unwrap(),
        ..Config::default()
    })
    .await;
    let mut client = running.connect().await;
    subscribe(&mut client, 15, &[key("RELIANCE")]).await;
    let mut packets = Vec::new();
    while let Some(frame) = frame(&mut client).await {
        packets.extend(split(&frame));
    }
    let codes: Vec<u8> = packets.iter().map(|packet| packet[0]).collect();
    assert_eq!(codes, [2, 2, 2, 50]);
    assert_eq!(running.handle.sent(key("RELIANCE")), 3);
}

/// Nothing but these pings in two minutes.
async fn pings_in_two_minutes(client: &mut WebSocketStream<DuplexStream>) -> usize {
    let mut pings = 0;
    let _ = timeout(Duration::from_secs(120), async {
        while let Some(message) = client.next().await {
            let message = message.unwrap();
            assert!(message.is_ping(), "{message:?}");
            pings += 1;
        }
    })
    .await;
    pings
}

async fn ask(client: &mut WebSocketStream<DuplexStream>) {
    let text = r#"{"RequestCode":15,"InstrumentCount":1,"InstrumentList":[{"ExchangeSegment":"IDX_I","SecurityId":"13"}]}"#;
    client.send(Message::text(text)).await.unwrap();
    // It has its turn.
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_stalled_connection_has_pings_and_a_mute_one_has_not() {
    for (fault, pings) in [(Fault::Stall, 11..=12), (Fault::Mute, 0..=0)] {
        let (mut client, handle) = in_memory().await;
        assert_eq!(handle.inject(fault.clone()), 1);
        ask(&mut client).await;
        assert_eq!(handle.wire_state().values().next().unwrap().len(), 1);
        let counted = pings_in_two_minutes(&mut client).await;
        assert!(pings.contains(&counted), "{fault:?}: {counted}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deaf_connection_hears_later_and_does_not_close() {
    let (mut client, handle) = in_memory().await;
    handle.inject(Fault::Deaf);
    ask(&mut client).await;
    assert_eq!(pings_in_two_minutes(&mut client).await, 0);
    // It does not know that its peer has gone.
    let held = handle.wire_state();
    assert_eq!(held.values().map(BTreeMap::len).collect::<Vec<_>>(), [0]);
    handle.clear_faults();
    let first = timeout(Duration::from_secs(1), client.next()).await;
    assert!(first.unwrap().unwrap().unwrap().is_binary());
    assert_eq!(handle.sent(key(NIFTY)), 2);

    handle.inject(Fault::Deaf);
    drop(client);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(handle.wire_state().len(), 1);
    handle.clear_faults();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(handle.wire_state().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_can_stay_unanswered() {
    let clock = Clock::simulated("2026-02-09T10:00:00+05:30".parse::<ClockSpec>().unwrap());
    let shared = Arc::new(Shared::new(registry(), clock, Config::default()));
    let (near, far) = tokio::io::duplex(1 << 16);
    let handle = SimHandle {
        shared: Arc::clone(&shared),
    };
    handle.inject(Fault::Hang);
    tokio::spawn(connection::serve(far, shared));
    let upgrade = client_async(format!("ws://memory/?{QUERY}"), near);
    assert!(timeout(Duration::from_secs(60), upgrade).await.is_err());
    assert_eq!(handle.counters().refused_by_status[&0], 1);
}

/// Remembers how much was written at a time.
struct Recorder {
    stream: DuplexStream,
    sizes: Arc<Mutex<Vec<usize>>>,
}

impl Socket for Recorder {
    fn abort(&self) {}
}

impl AsyncRead for Recorder {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Recorder {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.sizes.lock().push(bytes.len());
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

fn wire(transport: Transport) -> (DuplexStream, Wire<Recorder>, Arc<Mutex<Vec<usize>>>) {
    let (near, stream) = tokio::io::duplex(1 << 16);
    let control = Arc::new(Control::default());
    control.set_transport(transport);
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let recorder = Recorder {
        stream,
        sizes: Arc::clone(&sizes),
    };
    (near, Wire::new(recorder, control), sizes)
}

#[tokio::test]
async fn writes_are_cut_to_size() {
    for (split, expected) in [
        (None, vec![20]),
        (Some(7), vec![7, 7, 6]),
        (Some(1), vec![1; 20]),
    ] {
        let (mut near, mut wire, sizes) = wire(Transport {
            split,
            ..Transport::default()
        });
        wire.write_all(b"twenty bytes of data").await.unwrap();
        assert_eq!(*sizes.lock(), expected);
        let mut bytes = [0; 20];
        near.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"twenty bytes of data");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_takes_its_time() {
    for (bytes_per_s, seconds) in [(None, 0..=0), (Some(200), 4..=5), (Some(20), 49..=50)] {
        let (mut near, mut wire, _) = wire(Transport {
            bytes_per_s,
            ..Transport::default()
        });
        near.write_all(&[7; 1_000]).await.unwrap();
        let start = tokio::time::Instant::now();
        let mut bytes = [0; 1_000];
        wire.read_exact(&mut bytes).await.unwrap();
        assert_eq!(bytes, [7; 1_000]);
        let took = start.elapsed().as_secs();
        assert!(seconds.contains(&took), "{bytes_per_s:?}: {took} s");
    }
}
