//! What a packet costs that comes over sockets: Dhan's driver with the gateway's tick path,
//! beside bare `tokio-tungstenite` that counts bytes and looks at nothing. 25,000 instruments
//! in full mode on five sockets, on loopback.
//!
//!     cargo run --release --features numbers --bin receive [steady]
//!
//! With `steady`: 125,000 packets a second for ten seconds, and what share of a processor
//! that takes. Time is the CPU time of the receiving thread, its system calls included; the
//! sender has a thread of its own.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use compat::feed::{Frames, Kind, keys, tick_path};
use cpu_time::ThreadTime;
use futures_util::StreamExt;
use strikewire_broker::{Feed, port};
use strikewire_dhan::{BudgetConfig, DhanFeed, FeedConfig, TokenSource};
use strikewire_types::ConnId;
use tokio_tungstenite::tungstenite;

const SOCKETS: usize = 5;
const INSTRUMENTS: usize = 25_000;
const ROUNDS: usize = 5;

/// How the packets come.
#[derive(Debug, Clone, Copy)]
struct Regime {
    name: &'static str,
    per_frame: usize,
    /// Frames in one write; 0 for as many as fit into 64 KiB.
    per_write: usize,
    packets: usize,
    /// Packets per second; as fast as they are taken when absent.
    rate: Option<usize>,
}

const BULK: [Regime; 3] = [
    Regime {
        name: "1 packet in a frame, bulk",
        per_frame: 1,
        per_write: 0,
        packets: 1_000_000,
        rate: None,
    },
    Regime {
        name: "100 packets in a frame, bulk",
        per_frame: 100,
        per_write: 0,
        packets: 2_000_000,
        rate: None,
    },
    Regime {
        name: "1 packet in a write",
        per_frame: 1,
        per_write: 1,
        packets: 200_000,
        rate: None,
    },
];

const STEADY: Regime = Regime {
    name: "125,000 packets a second",
    per_frame: 1,
    per_write: 5,
    packets: 1_250_000,
    rate: Some(125_000),
};

/// An unmasked binary frame of WebSocket around `payload`.
fn frame(out: &mut Vec<u8>, payload: &[u8]) {
    out.push(0x82);
    match payload.len() {
        0..126 => out.push(payload.len() as u8),
        126..65_536 => {
            out.push(126);
            out.extend((payload.len() as u16).to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend((payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

/// What a socket is written, one vector for each write.
fn writes(regime: Regime, socket: usize) -> Vec<Vec<u8>> {
    let all = keys(INSTRUMENTS);
    let own: Vec<_> = all.iter().copied().skip(socket).step_by(SOCKETS).collect();
    let frames = Frames::new(Kind::Full, &own, own.len(), regime.per_frame);
    let mut writes = vec![Vec::new()];
    let mut in_write = 0;
    for nth in 0..frames.count() {
        let last = writes.last_mut().expect("there is one from the beginning");
        frame(last, frames.get(nth));
        in_write += 1;
        let full = match regime.per_write {
            0 => last.len() >= 64 * 1024,
            frames => in_write >= frames,
        };
        if full {
            writes.push(Vec::new());
            in_write = 0;
        }
    }
    writes.retain(|write| !write.is_empty());
    writes
}

/// Takes five sockets, says where to connect, and sends once it is told to.
struct Sender {
    url: String,
    go: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<usize>,
}

impl Sender {
    fn start(regime: Regime) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback is free");
        let address = listener.local_addr().expect("it is bound");
        let go = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let go = Arc::clone(&go);
            move || send(&listener, regime, &go)
        });
        Self {
            url: format!("ws://{address}"),
            go,
            thread,
        }
    }
}

/// How many packets were sent.
fn send(listener: &TcpListener, regime: Regime, go: &AtomicBool) -> usize {
    let mut sockets: Vec<TcpStream> = (0..SOCKETS)
        .map(|_| {
            let (stream, _) = listener.accept().expect("a client comes");
            stream.set_nodelay(true).expect("the socket is open");
            let socket = tungstenite::accept(stream).expect("it wants an upgrade");
            socket.into_inner()
        })
        .collect();
    let scripts: Vec<_> = (0..SOCKETS).map(|socket| writes(regime, socket)).collect();
    while !go.load(Ordering::Acquire) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let begin = Instant::now();
    let mut sent = 0;
    let mut turn = 0;
    while sent < regime.packets {
        for (socket, script) in sockets.iter_mut().zip(&scripts) {
            let write = &script[turn % script.len()];
            socket.write_all(write).expect("the receiver reads");
            sent += packets_in(write, regime.per_frame);
        }
        turn += 1;
        if let Some(rate) = regime.rate {
            let due = begin + Duration::from_secs_f64(sent as f64 / rate as f64);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }
    // The sockets stay open until the receiver has gone.
    let mut rest = [0];
    for socket in &mut sockets {
        let _ = socket.set_read_timeout(Some(Duration::from_secs(20)));
        while matches!(std::io::Read::read(socket, &mut rest), Ok(1)) {}
    }
    sent
}

/// How many packets a write has: all are full packets, in frames of one size.
fn packets_in(write: &[u8], per_frame: usize) -> usize {
    let payload = per_frame * Kind::Full.bytes();
    let head = if payload < 126 { 2 } else { 4 };
    write.len() / (payload + head) * per_frame
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made")
}

/// What came, and what this thread spent on it.
#[derive(Debug, Clone, Copy)]
struct Received {
    packets: usize,
    cpu: Duration,
    wall: Duration,
}

/// Bare `tokio-tungstenite`, a task for each socket.
fn bare(regime: Regime) -> Received {
    let sender = Sender::start(regime);
    let received = runtime().block_on(async {
        let mut sockets = Vec::new();
        for _ in 0..SOCKETS {
            let (socket, _) = tokio_tungstenite::connect_async(&sender.url)
                .await
                .expect("the sender listens");
            sockets.push(socket);
        }
        let want = regime.packets * Kind::Full.bytes();
        let (cpu, wall) = (ThreadTime::now(), Instant::now());
        sender.go.store(true, Ordering::Release);
        let bytes = std::cell::Cell::new(0);
        let readers = sockets.iter_mut().map(|socket| {
            let bytes = &bytes;
            async move {
                while bytes.get() < want {
                    let Some(Ok(message)) = socket.next().await else {
                        break;
                    };
                    bytes.set(bytes.get() + message.len());
                }
            }
        });
        let mut readers: futures_util::stream::FuturesUnordered<_> = readers.collect();
        readers.next().await;
        Received {
            packets: bytes.get() / Kind::Full.bytes(),
            cpu: cpu.elapsed(),
            wall: wall.elapsed(),
        }
    });
    sender.thread.join().expect("the sender ends");
    received
}

/// The driver, the decoder and the tick path.
fn strikewire(regime: Regime) -> Received {
    let sender = Sender::start(regime);
    let received = runtime().block_on(async {
        let feed = DhanFeed::new(FeedConfig {
            url: sender.url.clone(),
            client_id: "1000000001".to_owned(),
            token: TokenSource::Fixed("any-token".to_owned().into()),
            connections: SOCKETS,
            budget: BudgetConfig {
                spacing: Duration::ZERO,
                ..BudgetConfig::default()
            },
            ..FeedConfig::default()
        })
        .expect("this is a configuration");
        let keys = keys(INSTRUMENTS);
        let (table, path) = tick_path(&keys, SOCKETS, |nth| ConnId::from_index(nth % SOCKETS));
        let counters = Arc::clone(path.counters());
        let packets = move || -> u64 { counters.conns().map(|(_, conn)| conn.packets()).sum() };
        let (port, mut link) = port(SOCKETS);
        let measured = async {
            let mut up = 0;
            while up < SOCKETS {
                if let Some(strikewire_broker::ConnEvent::Up { .. }) = link.event().await {
                    up += 1;
                }
            }
            let (cpu, wall) = (ThreadTime::now(), Instant::now());
            sender.go.store(true, Ordering::Release);
            while packets() < regime.packets as u64 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let received = Received {
                packets: packets() as usize,
                cpu: cpu.elapsed(),
                wall: wall.elapsed(),
            };
            drop(link);
            received
        };
        let (ended, received) = tokio::join!(feed.run(port, path), measured);
        ended.expect("the feed runs until it is told to stop");
        assert!(keys.iter().all(|key| table.quote(*key).is_some()));
        received
    });
    sender.thread.join().expect("the sender ends");
    received
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    if std::env::args().nth(1).as_deref() == Some("steady") {
        for (name, receive) in [("bare", bare as fn(Regime) -> Received), ("Strikewire", strikewire)] {
            let Received { packets, cpu, wall } = receive(STEADY);
            println!(
                "{name}: {packets} packets in {:.1} s, {:.1} % of a processor, {:.0} ns per packet",
                wall.as_secs_f64(),
                cpu.as_secs_f64() / wall.as_secs_f64() * 100.0,
                cpu.as_nanos() as f64 / packets as f64,
            );
        }
        return;
    }
    println!("| packets come | bare | Strikewire | more | times |");
    println!("|---|---|---|---|---|");
    for regime in BULK {
        let mut rows = Vec::new();
        for _ in 0..ROUNDS {
            let [bare, ours] = [bare(regime), strikewire(regime)]
                .map(|received| received.cpu.as_nanos() as f64 / received.packets as f64);
            rows.push([bare, ours, ours - bare, ours / bare]);
        }
        let [bare, ours, more, times] =
            std::array::from_fn(|column| median(rows.iter().map(|row| row[column]).collect()));
        println!(
            "| {} | {bare:.0} ns | {ours:.0} ns | {more:.0} ns | {times:.2} |",
            regime.name
        );
    }
}
