//! Reads of one path over REST, at a steady rate.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;
use std::time::Instant;

use tokio::task::JoinHandle;

use crate::ws;

/// Connections that share the reads.
const CONNECTIONS: usize = 4;

/// What came of the reads.
#[derive(Debug, Default)]
pub struct Seen {
    /// Reads a second that were wanted.
    pub wanted: f64,
    /// Bytes of all bodies.
    pub bytes: u64,
    /// From the request to the last byte, in microseconds.
    pub took: Vec<u32>,
}

/// Reads that go on.
#[derive(Debug)]
pub struct Reads {
    wanted: f64,
    stop: Rc<Cell<bool>>,
    tasks: Vec<JoinHandle<Seen>>,
}

/// Begins to read `path` so many times a second, on the present [`LocalSet`](tokio::task::LocalSet).
#[must_use]
pub fn start(address: &str, path: &str, rate: f64) -> Reads {
    let stop = Rc::new(Cell::new(false));
    let connections = if rate > 0.0 { CONNECTIONS } else { 0 };
    let tasks = (0..connections)
        .map(|_| {
            let every = Duration::from_secs_f64(connections as f64 / rate);
            let (address, path) = (address.to_owned(), path.to_owned());
            let stop = Rc::clone(&stop);
            tokio::task::spawn_local(async move {
                let mut seen = Seen::default();
                // A connection that breaks shows in the number of reads.
                let _ = read(&address, &path, every, &stop, &mut seen).await;
                seen
            })
        })
        .collect();
    Reads {
        wanted: rate,
        stop,
        tasks,
    }
}

async fn read(
    address: &str,
    path: &str,
    every: Duration,
    stop: &Cell<bool>,
    seen: &mut Seen,
) -> std::io::Result<()> {
    let (mut reader, mut writer) = ws::http(address).await?;
    let mut due = Instant::now();
    while !stop.get() {
        due += every;
        tokio::time::sleep_until(due.into()).await;
        let begun = Instant::now();
        let body = ws::get(&mut reader, &mut writer, path).await?;
        seen.bytes += body.len() as u64;
        let took = begun.elapsed().as_micros();
        seen.took.push(u32::try_from(took).unwrap_or(u32::MAX));
    }
    Ok(())
}

impl Reads {
    /// Ends them, and says what came of them.
    ///
    /// # Cancel safety
    ///
    /// Not safe: what came of them is lost.
    pub async fn stop(self) -> Seen {
        self.stop.set(true);
        let mut all = Seen {
            wanted: self.wanted,
            ..Seen::default()
        };
        for task in self.tasks {
            if let Ok(seen) = task.await {
                all.bytes += seen.bytes;
                all.took.extend(seen.took);
            }
        }
        all
    }
}
