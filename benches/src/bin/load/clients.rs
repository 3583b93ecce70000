//! The stream's clients.

use core::cell::{Cell, RefCell};
use core::str::FromStr;
use core::time::Duration;
use std::rc::Rc;

use strikewire_benches::Error;
use strikewire_benches::feeder::Stamps;
use strikewire_benches::market::{Chain, Market, WIDTH};
use strikewire_benches::ws::{self, Opcode, Reader};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::JoinHandle;

/// What comes between two clients that arrive.
const ARRIVAL: Duration = Duration::from_millis(3);
/// How long a stuck client is given, when it reads again in the end, to learn its fate.
const VERDICT: Duration = Duration::from_secs(3);

/// Clients of one window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Class {
    pub(crate) window_ms: u64,
    pub(crate) clients: usize,
    /// Of those, the ones that never read.
    pub(crate) stuck: usize,
}

impl FromStr for Class {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text}: expected WINDOW:CLIENTS or WINDOW:CLIENTS:STUCK");
        let numbers: Result<Vec<u64>, _> = text.split(':').map(str::parse).collect();
        let [window_ms, clients, ref rest @ ..] = numbers.map_err(|_| wrong())?[..] else {
            return Err(wrong());
        };
        let stuck = match rest {
            [] => 0,
            [stuck] => *stuck as usize,
            _ => return Err(wrong()),
        };
        Ok(Self {
            window_ms,
            clients: clients as usize,
            stuck,
        })
    }
}

/// What all clients share.
#[derive(Debug)]
pub(crate) struct Run {
    stamps: Stamps,
    sample: u64,
    address: String,
    measuring: Cell<bool>,
}

impl Run {
    pub(crate) fn new(stamps: Stamps, sample: u64, address: String) -> Self {
        Self {
            stamps,
            sample: sample.max(1),
            address,
            measuring: Cell::new(false),
        }
    }

    /// From now on messages count, or no longer do.
    pub(crate) fn measure(&self, measuring: bool) {
        self.measuring.set(measuring);
    }
}

/// What became of the clients of a class.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) window_ms: u64,
    /// Those that read.
    pub(crate) readers: usize,
    pub(crate) stuck: usize,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    /// Deltas that were missing and of which nothing was said.
    pub(crate) lost: u64,
    /// Notices of missing deltas, and how many of those there were.
    pub(crate) lagged: u64,
    pub(crate) dropped: u64,
    /// Snapshots after the first.
    pub(crate) snapshots: u64,
    /// Readers whose connection ended before the run did.
    pub(crate) gone: u64,
    /// Stuck clients that the server let go of.
    pub(crate) disconnected: u64,
    /// The ages of the youngest and the oldest packet of a message, in microseconds.
    pub(crate) youngest: Vec<u32>,
    pub(crate) oldest: Vec<u32>,
}

type Shared = Rc<RefCell<Seen>>;

pub(crate) struct Clients {
    classes: Vec<Shared>,
    readers: Vec<JoinHandle<()>>,
    stuck: Vec<(Shared, Reader, OwnedWriteHalf)>,
}

impl Clients {
    /// Connects all clients and subscribes each to a chain.
    pub(crate) async fn start(
        run: &Rc<Run>,
        classes: &[Class],
        market: &Market,
    ) -> Result<Self, Error> {
        let mut chains = market.chains.iter().cycle();
        let mut all = Self {
            classes: Vec::new(),
            readers: Vec::new(),
            stuck: Vec::new(),
        };
        for class in classes {
            let seen = Rc::new(RefCell::new(Seen {
                window_ms: class.window_ms,
                readers: class.clients.saturating_sub(class.stuck),
                stuck: class.stuck,
                ..Seen::default()
            }));
            for place in 0..class.clients {
                let chain = chains.next().ok_or("there are no chains")?;
                let (reader, writer) = subscribe(run, chain, class.window_ms)
                    .await
                    .map_err(|error| format!("client {}: {error}", all.count()))?;
                if place < class.stuck {
                    all.stuck.push((Rc::clone(&seen), reader, writer));
                } else {
                    let client = Client {
                        run: Rc::clone(run),
                        seen: Rc::clone(&seen),
                        next: None,
                    };
                    let reading = client.read(reader, writer);
                    all.readers.push(tokio::task::spawn_local(reading));
                }
                tokio::time::sleep(ARRIVAL).await;
            }
            all.classes.push(seen);
        }
        Ok(all)
    }

    pub(crate) fn count(&self) -> usize {
        self.readers.len() + self.stuck.len()
    }

    /// Ends them all, and says what they saw.
    pub(crate) async fn end(self) -> Vec<Seen> {
        for reader in &self.readers {
            reader.abort();
        }
        for reader in self.readers {
            let _ = reader.await;
        }
        for (seen, mut reader, _writer) in self.stuck {
            // All that was sent to it is still there to be read; then comes the end, if the
            // server made one.
            let ended = tokio::time::timeout(VERDICT, async {
                loop {
                    match reader.next().await {
                        Ok(frame) if frame.opcode != Opcode::Close => {}
                        _ => return,
                    }
                }
            });
            if ended.await.is_ok() {
                seen.borrow_mut().disconnected += 1;
            }
        }
        let taken = self.classes.into_iter();
        taken.map(|seen| seen.take()).collect()
    }
}

async fn subscribe(
    run: &Run,
    chain: &Chain,
    window_ms: u64,
) -> Result<(Reader, OwnedWriteHalf), Error> {
    let socket = TcpStream::connect(&run.address).await?;
    socket.set_nodelay(true)?;
    let mut reader = Reader::connect(socket, "/api/v2/stream").await?;
    let mut writer = reader.take_writer()?;
    let Chain {
        symbol,
        expiry,
        price,
        ..
    } = chain;
    let text = format!(
        r#"{{"action":"subscribe","id":1,"channel":"chain","symbol":"{symbol}","expiry":"{expiry}","width":{WIDTH},"conflate_ms":{window_ms},"underlying_ltp":{price}}}"#
    );
    let mut out = Vec::new();
    ws::write_masked(&mut out, Opcode::Text, text.as_bytes());
    writer.write_all(&out).await?;
    loop {
        let frame = reader.next().await?;
        match kind(frame.payload) {
            "ack" => return Ok((reader, writer)),
            "error" => return Err(String::from_utf8_lossy(frame.payload).into()),
            _ => {}
        }
    }
}

/// A client that reads.
struct Client {
    run: Rc<Run>,
    seen: Shared,
    /// The number that the next delta must have.
    next: Option<u64>,
}

impl Client {
    async fn read(mut self, mut reader: Reader, mut writer: OwnedWriteHalf) {
        loop {
            let Ok(frame) = reader.next().await else {
                break;
            };
            match frame.opcode {
                Opcode::Text => self.take(frame.payload),
                Opcode::Ping => {
                    let mut out = Vec::new();
                    ws::write_masked(&mut out, Opcode::Pong, frame.payload);
                    if writer.write_all(&out).await.is_err() {
                        break;
                    }
                }
                Opcode::Close => break,
                Opcode::Binary | Opcode::Pong => {}
            }
        }
        self.seen.borrow_mut().gone += 1;
    }

    fn take(&mut self, text: &[u8]) {
        let mut seen = self.seen.borrow_mut();
        match kind(text) {
            "delta" => {
                let Some(seq) = number(text, b"\"seq\":") else {
                    return;
                };
                if let Some(next) = self.next {
                    seen.lost += seq.saturating_sub(next);
                }
                self.next = Some(seq + 1);
            }
            "snapshot" => {
                seen.snapshots += u64::from(self.next.is_some());
                self.next = number(text, b"\"seq\":").map(|seq| seq + 1);
            }
            "lagged" => {
                seen.lagged += 1;
                seen.dropped += number(text, b"\"dropped\":").unwrap_or_default();
                self.next = number(text, b"\"to_seq\":").map(|seq| seq + 1);
            }
            _ => return,
        }
        if !self.run.measuring.get() {
            return;
        }
        seen.messages += 1;
        seen.bytes += text.len() as u64;
        if seen.messages.is_multiple_of(self.run.sample)
            && let Some((oldest, youngest)) = stamps(text)
        {
            let now = self.run.stamps.now();
            let age = |stamp: u32| now.saturating_sub(stamp) * 100;
            seen.oldest.push(age(oldest));
            seen.youngest.push(age(youngest));
        }
    }
}

/// The type of a message. It is the first member of all that are large.
fn kind(text: &[u8]) -> &str {
    find(text, b"\"type\":\"")
        .and_then(|at| text[at..].split(|byte| *byte == b'"').next())
        .and_then(|kind| str::from_utf8(kind).ok())
        .unwrap_or_default()
}

fn find(text: &[u8], name: &[u8]) -> Option<usize> {
    text.windows(name.len())
        .position(|part| part == name)
        .map(|at| at + name.len())
}

fn digits(text: &[u8]) -> u64 {
    text.iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}

/// The first number with that name.
fn number(text: &[u8], name: &[u8]) -> Option<u64> {
    find(text, name).map(|at| digits(&text[at..]))
}

/// The lowest and the highest stamp in a message.
fn stamps(text: &[u8]) -> Option<(u32, u32)> {
    const NAME: &str = "\"volume\":";
    // Whatever is sent is text.
    let text = str::from_utf8(text).ok()?;
    let mut range: Option<(u32, u32)> = None;
    for (at, _) in text.match_indices(NAME) {
        let stamp = digits(&text.as_bytes()[at + NAME.len()..]) as u32;
        let (low, high) = range.unwrap_or((stamp, stamp));
        range = Some((low.min(stamp), high.max(stamp)));
    }
    range
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_apart() {
        let text = br#"{"type":"delta","sub":7,"epoch":"x","seq":41,"set":{"A":{"volume":12,"oi":3},"B":{"volume":7}}}"#;
        assert_eq!(kind(text), "delta");
        assert_eq!(kind(br#"{"id":1,"sub":1,"type":"ack"}"#), "ack");
        assert_eq!(number(text, b"\"seq\":"), Some(41));
        assert_eq!(stamps(text), Some((7, 12)));
        assert_eq!(stamps(b"{}"), None);
        let class: Class = "100:10:5".parse().unwrap();
        assert_eq!((class.window_ms, class.clients, class.stuck), (100, 10, 5));
        assert!("100".parse::<Class>().is_err());
    }
}
