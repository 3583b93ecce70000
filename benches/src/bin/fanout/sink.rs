//! The clients: they count what they get, and look at nothing but the first of it.

use core::cell::Cell;
use core::time::Duration;
use std::io::Write;
use std::rc::Rc;

use clap::Args;
use rand::SeedableRng;
use rand::seq::index;
use rand_pcg::Pcg64;
use strikewire_benches::Error;
use strikewire_benches::master::Master;
use strikewire_benches::ws::{self, Opcode, Reader};
use strikewire_types::InstrumentKey;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::BURST;

/// The ticks of one message of this many are counted.
const SAMPLE: u64 = 16;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    address: String,
    #[arg(long)]
    clients: usize,
    /// The mode to subscribe in; absent: nothing is subscribed
    #[arg(long)]
    mode: Option<String>,
    /// Every client has instruments of its own choice
    #[arg(long)]
    own: bool,
}

#[derive(Debug, Default)]
struct Counts {
    messages: Cell<u64>,
    ticks: Cell<u64>,
    bytes: Cell<u64>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, clients(arguments))
}

async fn clients(arguments: &Arguments) -> Result<(), Error> {
    let all = match arguments.mode {
        Some(_) => crate::instruments(&Master::full()?)?,
        None => Vec::new(),
    };
    let counts = Rc::new(Counts::default());
    for number in 0..arguments.clients {
        let socket = TcpStream::connect(&arguments.address).await?;
        let mut reader = Reader::connect(socket, "/api/v2/stream").await?;
        let mut writer = reader.take_writer()?;
        if let Some(mode) = &arguments.mode {
            let seed = if arguments.own { number } else { 0 };
            let text = subscription(&all, seed as u64, mode);
            let mut out = Vec::new();
            ws::write_masked(&mut out, Opcode::Text, text.as_bytes());
            writer.write_all(&out).await?;
            let answer = reader.next().await?.payload;
            if answer.starts_with(b"{\"type\":\"error\"") {
                return Err(String::from_utf8_lossy(answer).into());
            }
        }
        let counts = Rc::clone(&counts);
        tokio::task::spawn_local(async move {
            // Ends with the connection, which shows in the counts.
            while let Ok(frame) = reader.next().await {
                match frame.opcode {
                    Opcode::Text if frame.payload.starts_with(b"{\"type\":\"ticks\"") => {
                        counts
                            .bytes
                            .set(counts.bytes.get() + frame.payload.len() as u64);
                        let nth = counts.messages.get();
                        counts.messages.set(nth + 1);
                        // Counting is dear: one message stands for some of its kind.
                        if nth.is_multiple_of(SAMPLE) {
                            let ticks = ticks(frame.payload) * SAMPLE;
                            counts.ticks.set(counts.ticks.get() + ticks);
                        }
                    }
                    Opcode::Ping => {
                        let mut out = Vec::new();
                        ws::write_masked(&mut out, Opcode::Pong, frame.payload);
                        if writer.write_all(&out).await.is_err() {
                            return;
                        }
                    }
                    _ => {}
                }
            }
        });
    }
    println!("ready");
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    loop {
        seconds.tick().await;
        println!("{} {}", counts.ticks.get(), counts.bytes.get());
        std::io::stdout().flush()?;
    }
}

/// How many ticks are in a message.
fn ticks(message: &[u8]) -> u64 {
    let message = str::from_utf8(message).unwrap_or_default();
    message.matches("\"token\":").count() as u64
}

/// A subscription of 64 instruments.
fn subscription(all: &[InstrumentKey], seed: u64, mode: &str) -> String {
    let mut random = Pcg64::seed_from_u64(seed);
    let chosen = index::sample(&mut random, all.len(), BURST);
    let references: Vec<String> = chosen
        .iter()
        .map(|place| format!("\"{}\"", all[place]))
        .collect();
    format!(
        r#"{{"action":"subscribe","id":1,"channel":"ticks","instruments":[{}],"mode":"{mode}","conflate_ms":100}}"#,
        references.join(",")
    )
}
