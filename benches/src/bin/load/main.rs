//! The load run: `strikewired` on one core; the feed and a thousand stream clients, all of
//! them this process, on the other. `benches/load.sh` pins both.
//!
//! Every packet carries the time of its sending, so that a client knows how old what it is
//! told is. A client that never reads is there five times. The run fails when a delta is
//! missing without notice, when the feed is not taken as it is sent, or when the server's
//! memory grows.

mod clients;
mod report;
mod server;

use core::time::Duration;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use clap::Parser;
use strikewire_benches::Error;
use strikewire_benches::feeder::{Counts, Feeder, Stamps};
use strikewire_benches::market::{Market, WIDE};
use strikewire_benches::reads;
use strikewire_benches::scrape::cpu_of;
use tokio::net::TcpListener;
use tokio::task::LocalSet;

use clients::{Class, Clients, Run};
use report::{Feed, Report};
use server::Server;

/// Puts a server under load.
#[derive(Debug, Parser)]
#[command(disable_version_flag = true)]
struct Arguments {
    /// The server's binary
    #[arg(long, value_name = "FILE")]
    server: PathBuf,
    /// The core that the server is pinned to
    #[arg(long, value_name = "N", default_value_t = 0)]
    core: usize,
    /// How long, after all clients are subscribed
    #[arg(long, value_name = "N", default_value_t = 600)]
    seconds: u64,
    /// Packets per second that the feed sends
    #[arg(long, value_name = "N", default_value_t = 25_000.0)]
    rate: f64,
    /// Packets in a frame of the feed
    #[arg(long, value_name = "N", default_value_t = 8)]
    packets_per_frame: usize,
    /// Chains of 50 contracts that the clients share
    #[arg(long, value_name = "N", default_value_t = 100)]
    chains: usize,
    /// Clients, as WINDOW:CLIENTS or WINDOW:CLIENTS:STUCK, with the window in milliseconds
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "500:700,250:250,1000:40,100:10:5"
    )]
    clients: Vec<Class>,
    /// Reads of a chain of 202 contracts per second, beside all that
    #[arg(long, value_name = "N", default_value_t = 0.0)]
    reads: f64,
    /// Look at the age of what is in one message of this many
    #[arg(long, value_name = "N", default_value_t = 2)]
    sample: u64,
    /// Where the result goes as JSON; the table goes to the standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> Result<(), Error> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let passed = LocalSet::new().block_on(&runtime, run(&arguments))?;
    if passed {
        Ok(())
    } else {
        Err("the run failed".into())
    }
}

async fn run(arguments: &Arguments) -> Result<bool, Error> {
    let market = Market::new(arguments.chains)?;
    let stamps = Stamps::begin();
    let feed = TcpListener::bind("127.0.0.1:0").await?;
    let feed_address = feed.local_addr()?;
    let feeder = Arc::new(Feeder {
        rate: arguments.rate,
        per_frame: arguments.packets_per_frame,
        prices: market.prices.clone(),
        clock: market.clock,
        stamps,
        counts: Counts::default(),
    });
    let serving = tokio::spawn(Arc::clone(&feeder).serve(feed));
    let server = Server::start(arguments, &market, feed_address).await?;
    eprintln!("the server is ready at {}", server.address);
    if arguments.reads > 0.0 {
        let wide = &market.wide;
        wide.subscribe(&server.address, WIDE).await?;
    }

    let run = Rc::new(Run::new(stamps, arguments.sample, server.address.clone()));
    let clients = Clients::start(&run, &arguments.clients, &market).await?;
    eprintln!("{} clients are subscribed", clients.count());
    // What a subscription begins with is over.
    tokio::time::sleep(Duration::from_secs(3)).await;

    let before = server.metrics().await?;
    let (packets, due) = (&feeder.counts.packets, &feeder.counts.due);
    let sent = (packets.load(Relaxed), due.load(Relaxed));
    let begun = Instant::now();
    let cpu = (server.cpu()?, cpu_of("self")?);
    run.measure(true);
    let reads = reads::start(&server.address, &market.wide.path(WIDE), arguments.reads);
    let mut memory = vec![server.memory()?];
    let end = begun + Duration::from_secs(arguments.seconds);
    while Instant::now() < end {
        let next = (Instant::now() + Duration::from_secs(5)).min(end);
        tokio::time::sleep_until(next.into()).await;
        memory.push(server.memory()?);
    }
    run.measure(false);
    let seconds = begun.elapsed().as_secs_f64();
    let reads = reads.stop().await;
    let used = (server.cpu()? - cpu.0, cpu_of("self")? - cpu.1);
    let sent = (packets.load(Relaxed) - sent.0, due.load(Relaxed) - sent.1);
    let subscribed = feeder.counts.subscribed.load(Relaxed);
    // What is under way arrives.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let after = server.metrics().await?;
    let clients = clients.end().await;
    let report = Report {
        seconds,
        clients,
        feed: Feed {
            offered: arguments.rate,
            sent: sent.0,
            due: sent.1,
            subscribed,
            longest_write_us: feeder.counts.longest_write_us.load(Relaxed),
        },
        memory_kib: memory,
        cpu: (used.0 / seconds, used.1 / seconds),
        reads,
        metrics: after.since(&before),
    };
    serving.abort();
    server.stop().await?;
    println!("{}", report.table());
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report.json())?)?;
    }
    let faults = report.faults();
    for fault in &faults {
        eprintln!("FAULT: {fault}");
    }
    Ok(faults.is_empty())
}
