//! What it costs to deliver a tick to a WebSocket client: processor time of the serving
//! process, its system calls included, over the ticks that a thousand clients got. 64 ticks
//! are due for every client at a time.
//!
//!     benches/fanout.sh
//!
//! The serving process and the clients (one process for all) are pinned to a core each.

mod pulse;
mod rivals;
mod sink;

use core::time::Duration;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use axum::Router;
use clap::{Parser, Subcommand, ValueEnum};
use strikewire_benches::Error;
use strikewire_benches::master::Master;
use strikewire_benches::product;
use strikewire_benches::scrape::cpu_of;
use strikewire_types::{Clock, InstrumentKey, Segment};

use pulse::Pulse;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Ticks that are due for a client at a time.
const BURST: usize = 64;

/// What serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Who {
    /// The product.
    Strikewire,
    /// Sockets that are written one frame of 64 ticks, the same for all: the bound.
    Bare,
    /// axum and a broadcast channel of tokio: each tick a message, each message a flush.
    Axum,
    /// `websockets.broadcast` of Python, a message for each tick.
    Python,
}

/// Measures the fan-out.
#[derive(Debug, Parser)]
#[command(disable_version_flag = true)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Serves, on a core of its own
    #[command(hide = true)]
    Serve {
        who: Who,
        #[arg(value_name = "MS")]
        every: u64,
    },
    /// Takes what is served, on another
    #[command(hide = true)]
    Sink(sink::Arguments),
    /// Starts both and tells what came of it
    Run {
        /// What serves; absent: all of them, in all ways
        #[arg(long)]
        who: Option<Who>,
        /// ticker, quote or full; absent: all
        #[arg(long)]
        mode: Option<String>,
        #[arg(long, value_name = "N", default_value_t = 1_000)]
        clients: usize,
        /// How long each is measured
        #[arg(long, value_name = "N", default_value_t = 10)]
        seconds: u64,
        /// Python with the package websockets
        #[arg(long, value_name = "FILE", default_value = "python3")]
        python: String,
        /// Cores of the serving process and of the clients
        #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "0,1")]
        cores: Vec<usize>,
    },
}

fn main() -> Result<(), Error> {
    match Arguments::parse().what {
        What::Serve { who, every } => {
            // As many workers as there are cores to run on: one.
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()?;
            runtime.block_on(serve(who, Duration::from_millis(every)))
        }
        What::Sink(arguments) => sink::run(&arguments),
        What::Run {
            who,
            mode,
            clients,
            seconds,
            python,
            cores,
        } => {
            let [server, sink] = cores[..] else {
                return Err("--cores takes two numbers".into());
            };
            let stage = Stage {
                clients,
                seconds,
                python,
                server,
                sink,
            };
            println!(
                "| what | mode | subscriptions | ticks/s | bytes each | ns/tick | share of the core |\n\
                 |---|---|---|---|---|---|---|"
            );
            let modes = ["ticker", "quote", "full"];
            for name in modes
                .into_iter()
                .filter(|name| mode.as_deref().is_none_or(|mode| mode == *name))
            {
                for own in [false, true] {
                    if who.is_none_or(|who| who == Who::Strikewire) {
                        stage.measure(Who::Strikewire, name, own, 100)?;
                    }
                }
            }
            // Those with a message for each tick need longer.
            for (rival, every) in [(Who::Bare, 100), (Who::Axum, 250), (Who::Python, 1_000)] {
                if who.is_none_or(|who| who == rival) {
                    stage.measure(rival, "ticker", false, every)?;
                }
            }
            Ok(())
        }
    }
}

/// The instruments there are to subscribe.
fn instruments(master: &Master) -> Result<Vec<InstrumentKey>, Error> {
    const MOST: usize = 5_000;
    let registry = master.registry()?;
    let options = registry.segment(Segment::NseFno);
    let keys: Vec<InstrumentKey> = options
        .filter(|instrument| instrument.strike().is_some())
        .map(|instrument| instrument.key())
        .take(MOST)
        .collect();
    Ok(keys)
}

async fn serve(who: Who, every: Duration) -> Result<(), Error> {
    match who {
        Who::Strikewire => {
            let registry = Arc::new(Master::full()?.registry()?);
            let feed = Pulse { every };
            let product = product::start(feed, registry, Clock::system(), Router::new()).await?;
            println!("{}", product.address);
            core::future::pending().await
        }
        Who::Bare => rivals::bare(every).await,
        Who::Axum => rivals::axum(every).await,
        Who::Python => Err("Python serves by its own script".into()),
    }
}

/// Where it is measured, and how.
struct Stage {
    clients: usize,
    seconds: u64,
    python: String,
    server: usize,
    sink: usize,
}

type Lines = std::io::Lines<BufReader<std::process::ChildStdout>>;

/// A process that ends with its owner.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn start(core: usize, program: &str, arguments: &[String]) -> Result<Self, Error> {
        let child = Command::new("taskset")
            .args(["--cpu-list", &core.to_string(), program])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Self(child))
    }

    fn lines(&mut self) -> Result<Lines, Error> {
        let stdout = self.0.stdout.take().ok_or("no output")?;
        Ok(BufReader::new(stdout).lines())
    }
}

impl Stage {
    fn measure(&self, who: Who, mode: &str, own: bool, every: u64) -> Result<(), Error> {
        let this = std::env::current_exe()?.display().to_string();
        let every_text = every.to_string();
        let mut server = match who {
            Who::Python => {
                let script = "benches/python/broadcast.py".to_owned();
                let (message, clients) = (rivals::tick(0), self.clients.to_string());
                let arguments = [script, every_text, message, clients];
                Process::start(self.server, &self.python, &arguments)?
            }
            Who::Strikewire | Who::Bare | Who::Axum => {
                let name = match who {
                    Who::Bare => "bare",
                    Who::Axum => "axum",
                    _ => "strikewire",
                };
                let arguments = ["serve", name, &every_text].map(str::to_owned);
                Process::start(self.server, &this, &arguments)?
            }
        };
        let address = server.lines()?.next().ok_or("the server ended")??;
        let mut arguments = vec!["sink".to_owned(), address];
        arguments.extend(["--clients".to_owned(), self.clients.to_string()]);
        if who == Who::Strikewire {
            arguments.extend(["--mode".to_owned(), mode.to_owned()]);
            if own {
                arguments.push("--own".to_owned());
            }
        }
        let mut sink = Process::start(self.sink, &this, &arguments)?;
        let mut answers = sink.lines()?;
        let first = answers.next().ok_or("the clients ended")??;
        if first != "ready" {
            return Err(first.into());
        }
        let pid = server.0.id().to_string();
        let mut got = || -> Result<(f64, f64, f64), Error> {
            let line = answers.next().ok_or("the clients ended")??;
            let cpu = cpu_of(&pid)?;
            let mut numbers = line.split(' ').map(str::parse::<f64>);
            let mut next = || numbers.next().ok_or("a short line");
            Ok((next()??, next()??, cpu))
        };
        // A line comes each second, and is waited for; what begins a run is not looked at.
        for _ in 0..3 {
            got()?;
        }
        let begin = got()?;
        let begun = std::time::Instant::now();
        let mut end = begin;
        while begun.elapsed().as_secs_f64() < self.seconds as f64 - 0.5 {
            end = got()?;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let (ticks, bytes, cpu) = (end.0 - begin.0, end.1 - begin.1, end.2 - begin.2);
        println!(
            "| {who:?} | {mode} | {} | {:.0} | {:.0} | {:.0} | {:.1} % |",
            if own { "own" } else { "identical" },
            ticks / seconds,
            bytes / ticks,
            cpu * 1e9 / ticks,
            100.0 * cpu / seconds,
        );
        Ok(())
    }
}
