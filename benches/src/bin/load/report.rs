//! What came of a run.

use core::fmt::Write;

use serde_json::{Value, json};
use strikewire_benches::reads;
use strikewire_benches::scrape::{Metrics, quantile};

use crate::clients::Seen;

/// Memory may be more at the end than after the first fifth by this much.
const GROWTH: f64 = 0.10;

/// Runs of so many seconds are long enough for memory to be flat after a fifth, and for
/// stuck clients to be let go.
const LONG: f64 = 200.0;

/// Packets that the server counted may differ from those sent by what is under way.
const UNDER_WAY: f64 = 0.005;

#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) offered: f64,
    pub(crate) sent: u64,
    pub(crate) due: u64,
    pub(crate) subscribed: usize,
    pub(crate) longest_write_us: u64,
}

pub(crate) struct Report {
    pub(crate) seconds: f64,
    pub(crate) clients: Vec<Seen>,
    pub(crate) feed: Feed,
    pub(crate) memory_kib: Vec<u64>,
    /// Share of a core that the server and this process used.
    pub(crate) cpu: (f64, f64),
    pub(crate) reads: reads::Seen,
    /// What the server counted meanwhile.
    pub(crate) metrics: Metrics,
}

fn ms(micros: Option<u32>) -> String {
    micros.map_or("-".into(), |micros| {
        format!("{:.1}", f64::from(micros) / 1000.0)
    })
}

impl Report {
    /// Messages that the clients of a class should have got: one in each window.
    fn expected(&self, class: &Seen) -> f64 {
        self.seconds * 1000.0 / class.window_ms.max(1) as f64 * class.readers as f64
    }

    fn counted(&self, name: &str) -> f64 {
        self.metrics.sum(name).unwrap_or_default()
    }

    /// Memory after the first fifth of the run, at the end, and at most, in MiB.
    fn memory(&self) -> (f64, f64, f64) {
        let mib = |kib: Option<&u64>| kib.copied().unwrap_or_default() as f64 / 1024.0;
        (
            mib(self.memory_kib.get(self.memory_kib.len() / 5)),
            mib(self.memory_kib.last()),
            mib(self.memory_kib.iter().max()),
        )
    }

    fn server_quantile(&self, class: &Seen, share: f64) -> Option<f64> {
        let label = format!("class=\"{}\"", class.window_ms);
        let histogram = "strikewire_stream_flush_seconds";
        Some(self.metrics.quantile(histogram, &label, share)? * 1000.0)
    }

    /// What must not be.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for class in &self.clients {
            let window = class.window_ms;
            if class.lost > 0 {
                faults.push(format!(
                    "{window} ms: {} deltas lost without notice",
                    class.lost
                ));
            }
            if self.seconds >= LONG && class.disconnected < class.stuck as u64 {
                faults.push(format!("{window} ms: a stuck client is still connected"));
            }
            if class.gone > 0 {
                faults.push(format!("{window} ms: {} readers disconnected", class.gone));
            }
            if (class.messages as f64) < 0.97 * self.expected(class) - class.readers as f64 {
                faults.push(format!(
                    "{window} ms: {} of {:.0} messages",
                    class.messages,
                    self.expected(class)
                ));
            }
        }
        let (sent, taken) = (
            self.feed.sent as f64,
            self.counted("strikewire_feed_packets_total"),
        );
        // Two reads of the counter and one of the sender are not made at one moment.
        if (taken - sent).abs() > sent * UNDER_WAY + self.feed.offered {
            faults.push(format!("{taken} packets taken of {sent} sent"));
        }
        for strays in ["stranger", "unresolved", "undecoded"] {
            let count = self.counted(&format!("strikewire_feed_{strays}_packets_total"));
            if count > 0.0 {
                faults.push(format!("{count} {strays} packets"));
            }
        }
        let offered = self.feed.offered * self.seconds;
        if sent < 0.99 * offered {
            faults.push(format!("{sent} packets sent of {offered:.0} offered"));
        }
        // A shorter run ends before the clients' history is full.
        let (begin, end, _) = self.memory();
        if self.seconds >= LONG && end > begin * (1.0 + GROWTH) {
            faults.push(format!("memory grew from {begin:.0} to {end:.0} MiB"));
        }
        faults
    }

    /// For people, in Markdown.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        // Writing to a text cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> core::fmt::Result {
        let Self { seconds, feed, .. } = self;
        writeln!(
            out,
            "| window | clients | messages | of those due | per second | MB/s | lost | lagged | \
             youngest p50 | p99 | oldest p50 | p99 | server p50 | p99 |\n\
             |---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
        )?;
        for class in &self.clients {
            let server = |share| {
                (self.server_quantile(class, share)).map_or("-".into(), |ms| format!("{ms:.1}"))
            };
            writeln!(
                out,
                "| {} ms | {}{} | {} | {:.1} % | {:.0} | {:.1} | {} | {} | {} | {} | {} | {} | {} | {} |",
                class.window_ms,
                class.readers,
                match (class.stuck, class.disconnected) {
                    (0, _) => String::new(),
                    (stuck, gone) => format!(" and {stuck} stuck, {gone} of them disconnected"),
                },
                class.messages,
                100.0 * class.messages as f64 / self.expected(class),
                class.messages as f64 / seconds,
                class.bytes as f64 / seconds / 1e6,
                class.lost,
                class.lagged,
                ms(quantile(&class.youngest, 0.5)),
                ms(quantile(&class.youngest, 0.99)),
                ms(quantile(&class.oldest, 0.5)),
                ms(quantile(&class.oldest, 0.99)),
                server(0.5),
                server(0.99),
            )?;
        }
        let taken = self.counted("strikewire_feed_packets_total");
        let (begin, end, most) = self.memory();
        writeln!(
            out,
            "\nAges in milliseconds, from the sending of a packet to the client that reads it.\n\n\
             - {seconds:.1} s; server {:.1} % of its core, load {:.1} % of the other.\n\
             - Feed: {:.0} packets/s offered, {:.0} sent, {:.0} counted by the server; {} instruments; \
             the longest write took {:.1} ms.\n\
             - Memory: {begin:.1} MiB after a fifth of the run, {end:.1} MiB at its end, {most:.1} MiB at most.",
            100.0 * self.cpu.0,
            100.0 * self.cpu.1,
            feed.offered,
            feed.sent as f64 / seconds,
            taken / seconds,
            feed.subscribed,
            feed.longest_write_us as f64 / 1000.0,
        )?;
        if self.reads.wanted > 0.0 {
            let took = &self.reads.took;
            writeln!(
                out,
                "- Chain reads: {:.0} a second wanted, {:.0} done, {:.0} KB each; by the client p50 {} ms, \
                 p99 {} ms.",
                self.reads.wanted,
                took.len() as f64 / seconds,
                self.reads.bytes as f64 / took.len().max(1) as f64 / 1000.0,
                ms(quantile(took, 0.5)),
                ms(quantile(took, 0.99)),
            )?;
        }
        Ok(())
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let classes: Vec<Value> = self
            .clients
            .iter()
            .map(|class| {
                json!({
                    "window_ms": class.window_ms,
                    "readers": class.readers,
                    "stuck": class.stuck,
                    "stuck_disconnected": class.disconnected,
                    "messages": class.messages,
                    "messages_due": self.expected(class),
                    "bytes": class.bytes,
                    "lost": class.lost,
                    "lagged": class.lagged,
                    "dropped": class.dropped,
                    "snapshots_again": class.snapshots,
                    "readers_gone": class.gone,
                    "youngest_us": {
                        "p50": quantile(&class.youngest, 0.5),
                        "p99": quantile(&class.youngest, 0.99),
                    },
                    "oldest_us": {
                        "p50": quantile(&class.oldest, 0.5),
                        "p99": quantile(&class.oldest, 0.99),
                    },
                    "server_ms": {
                        "p50": self.server_quantile(class, 0.5),
                        "p99": self.server_quantile(class, 0.99),
                    },
                })
            })
            .collect();
        json!({
            "seconds": self.seconds,
            "classes": classes,
            "feed": {
                "offered_per_s": self.feed.offered,
                "due": self.feed.due,
                "sent": self.feed.sent,
                "counted": self.counted("strikewire_feed_packets_total"),
                "instruments": self.feed.subscribed,
                "longest_write_us": self.feed.longest_write_us,
            },
            "memory_kib": self.memory_kib,
            "cpu": { "server": self.cpu.0, "load": self.cpu.1 },
            "reads": {
                "wanted_per_s": self.reads.wanted,
                "done": self.reads.took.len(),
                "bytes": self.reads.bytes,
                "p50_us": quantile(&self.reads.took, 0.5),
                "p99_us": quantile(&self.reads.took, 0.99),
            },
            "faults": self.faults(),
        })
    }
}
