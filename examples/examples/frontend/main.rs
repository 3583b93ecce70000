//! A front end's client: puts a chain on a watchlist by REST, streams it, keeps it up to
//! date by the changes that come, and prints the rows around the money. A connection that
//! drops is made again, and the stream goes on where it was.
//!
//! ```text
//! cargo run --release --bin strikewired -- --clock 2026-02-09T10:00:00+05:30@1
//! cargo run -p strikewire-examples --example frontend -- RELIANCE
//! STRIKEWIRE_API_KEY=... cargo run -p strikewire-examples --example frontend -- NIFTY 10FEB2026 \
//!     --server https://strikewire.example --rows 7
//! ```
//!
//! It links nothing of Strikewire's: what it knows is in docs/API.md.

mod chain;
mod client;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use clap::Parser;

use client::{Client, Event};

/// Shows the rows of a chain around the money, live.
#[derive(Debug, Clone, Parser)]
struct Args {
    /// The underlying.
    #[arg(default_value = "NIFTY")]
    symbol: String,
    /// Such as 24FEB2026; absent: the nearest.
    expiry: Option<String>,
    /// Where the server is.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// An API key, where the server wants one.
    #[arg(long, env = "STRIKEWIRE_API_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Whose watchlist; a server with keys knows it by the key.
    #[arg(long, default_value_t = 1)]
    user: u64,
    /// Strikes that are shown.
    #[arg(long, default_value_t = 5)]
    rows: usize,
    /// Ends after so many pictures; absent: never.
    #[arg(long)]
    pictures: Option<usize>,
}

/// A person does not want to see more of them.
const PICTURE_EVERY: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let mut left = args.pictures.unwrap_or(usize::MAX);
    let mut last: Option<Instant> = None;
    let rows = args.rows;
    Client::new(args)
        .run(|event| {
            match event {
                Event::Said(text) => eprintln!("-- {text}"),
                Event::Changed(chain) => {
                    if last.is_none_or(|last| last.elapsed() >= PICTURE_EVERY) {
                        last = Some(Instant::now());
                        println!("{}", chain.picture(rows));
                        left -= 1;
                    }
                }
            }
            if left == 0 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .await
}
