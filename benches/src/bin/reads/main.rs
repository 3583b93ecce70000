//! What reading a chain of 202 contracts over REST costs beside a static body of the same
//! size, while the feed brings packets: by the server's own histogram of requests, which runs
//! from the request to the last byte that the socket took.
//!
//!     benches/reads.sh
//!
//! The server (this program as `serve`) and everything else (as `drive`) are processes pinned
//! to a core each. Both routes are in one server, behind the same layers, and are read in turn.

use core::time::Duration;
use std::collections::HashMap;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Path;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::Bytes;
use clap::Parser;
use strikewire_benches::Error;
use strikewire_benches::feeder::{Counts, Feeder, Stamps};
use strikewire_benches::market::{CLOCK, Market, WIDE, WIDTH};
use strikewire_benches::product;
use strikewire_benches::reads;
use strikewire_benches::scrape::{Metrics, quantile};
use strikewire_benches::ws;
use strikewire_dhan::{DhanFeed, FeedConfig, TokenSource};
use strikewire_types::{Clock, ClockSpec};
use tokio::net::TcpListener;
use tokio::task::LocalSet;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CHAIN: &str = "/api/v2/option-chain/{symbol}";
const STATIC: &str = "/static/{bytes}";

/// Reads a chain and a static body in turn.
#[derive(Debug, Parser)]
#[command(disable_version_flag = true)]
enum Arguments {
    /// Serves, with the feed at this URL
    #[command(hide = true)]
    Serve { feed: String, chains: usize },
    /// Starts a server and reads
    Drive {
        /// The core that the server is pinned to
        #[arg(long, value_name = "N", default_value_t = 0)]
        core: usize,
        /// How long each of the two is read in a turn
        #[arg(long, value_name = "N", default_value_t = 5)]
        seconds: u64,
        /// How many turns
        #[arg(long, value_name = "N", default_value_t = 6)]
        turns: usize,
        /// Reads per second
        #[arg(long, value_name = "N", default_value_t = 2_000.0)]
        rate: f64,
        /// Packets per second that the feed sends
        #[arg(long, value_name = "N", default_value_t = 25_000.0)]
        packets: f64,
        /// Chains of 50 contracts that are subscribed besides
        #[arg(long, value_name = "N", default_value_t = 100)]
        chains: usize,
    },
}

fn main() -> Result<(), Error> {
    match Arguments::parse() {
        Arguments::Serve { feed, chains } => tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?
            .block_on(serve(feed, chains)),
        drive @ Arguments::Drive { .. } => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            LocalSet::new().block_on(&runtime, run(&drive))
        }
    }
}

async fn serve(feed: String, chains: usize) -> Result<(), Error> {
    let market = Market::new(chains)?;
    let registry = Arc::new(market.master.registry()?);
    let feed = DhanFeed::new(FeedConfig {
        url: feed,
        client_id: "1000000001".into(),
        token: TokenSource::Fixed("reads".to_owned().into()),
        ..FeedConfig::default()
    })?;
    let bodies: Arc<Mutex<HashMap<usize, Bytes>>> = Arc::default();
    let of_size = move |Path(bytes): Path<usize>| {
        let mut bodies = bodies
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let body = bodies.entry(bytes);
        let body = body.or_insert_with(|| "x".repeat(bytes).into()).clone();
        core::future::ready(([(CONTENT_TYPE, "application/json")], body).into_response())
    };
    let clock: ClockSpec = CLOCK.parse()?;
    let more = Router::new().route(STATIC, get(of_size));
    let product = product::start(feed, registry, Clock::simulated(clock), more).await?;
    println!("{}", product.address);
    core::future::pending().await
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn metrics(address: &str) -> Result<Metrics, Error> {
    let (mut reader, mut writer) = ws::http(address).await?;
    let text = ws::get(&mut reader, &mut writer, "/metrics").await?;
    Ok(Metrics::parse(core::str::from_utf8(text)?))
}

async fn run(arguments: &Arguments) -> Result<(), Error> {
    let &Arguments::Drive {
        core,
        seconds,
        turns,
        rate,
        packets,
        chains,
    } = arguments
    else {
        return Err("not to be driven".into());
    };
    let market = Market::new(chains)?;
    let feed = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}", feed.local_addr()?);
    let feeder = Arc::new(Feeder {
        rate: packets,
        per_frame: 8,
        prices: market.prices.clone(),
        clock: market.clock,
        stamps: Stamps::begin(),
        counts: Counts::default(),
    });
    tokio::spawn(Arc::clone(&feeder).serve(feed));
    let mut server = Server(
        Command::new("taskset")
            .args(["--cpu-list", &core.to_string()])
            .arg(std::env::current_exe()?)
            .args(["serve", &url, &chains.to_string()])
            .stdout(Stdio::piped())
            .spawn()?,
    );
    let stdout = server.0.stdout.take().ok_or("no output")?;
    let first = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).map(|_| line)
    });
    let address = first.await??.trim().to_owned();
    for chain in &market.chains {
        chain.subscribe(&address, WIDTH).await?;
    }
    let wide = &market.wide;
    wide.subscribe(&address, WIDE).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let path = wide.path(WIDE);
    let (mut reader, mut writer) = ws::http(&address).await?;
    let body = ws::get(&mut reader, &mut writer, &path).await?;
    let size = body.len();
    let quotes = body.windows(10).filter(|part| part == b"\"bid_qty\":");
    println!(
        "A chain of {size} bytes, {} instruments subscribed; `\"bid_qty\":` {} times.",
        feeder
            .counts
            .subscribed
            .load(core::sync::atomic::Ordering::Relaxed),
        quotes.count()
    );
    let fixed = format!("/static/{size}");
    let mut took: [Vec<u32>; 2] = Default::default();
    let before = metrics(&address).await?;
    for turn in 0..=turns {
        for (path, took) in [&path, &fixed].into_iter().zip(&mut took) {
            let reading = reads::start(&address, path, rate);
            // The first turn warms up, and is in the histogram with a share of a turn.
            let length = if turn == 0 { 1 } else { seconds };
            tokio::time::sleep(Duration::from_secs(length)).await;
            let seen = reading.stop().await;
            if turn > 0 {
                took.extend(seen.took);
            }
        }
    }
    let counted = metrics(&address).await?.since(&before);
    println!("| what | reads | per second | server p50 | p99 | client p50 | p99 |");
    println!("|---|---|---|---|---|---|---|");
    let mut p99 = Vec::new();
    for (route, took) in [CHAIN, STATIC].into_iter().zip(&took) {
        let label = format!("route=\"{route}\"");
        let server = |share| {
            counted
                .quantile("strikewire_http_request_seconds", &label, share)
                .map_or(f64::NAN, |seconds| seconds * 1e6)
        };
        let client = |share| quantile(took, share).unwrap_or_default();
        println!(
            "| `{route}` | {} | {:.0} | {:.0} us | {:.0} us | {} us | {} us |",
            took.len(),
            took.len() as f64 / (turns as f64 * seconds as f64),
            server(0.5),
            server(0.99),
            client(0.5),
            client(0.99)
        );
        p99.push(server(0.99));
    }
    println!(
        "\np99 of the chain is {:.2} times that of the static body.",
        p99[0] / p99[1]
    );
    println!(
        "{:.0} packets a second counted by the server.",
        counted
            .sum("strikewire_feed_packets_total")
            .unwrap_or_default()
            / ((turns as f64 * seconds as f64 + 1.0) * 2.0)
    );
    Ok(())
}
