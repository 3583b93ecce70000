//! The recorder of the process's metrics, and those that are read from the system and the
//! broker's feed when somebody asks.

use core::time::Duration;
use std::path::Path;
use std::time::SystemTime;

use metrics::{counter, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use strikewire_api::{Kind, METRICS};
use strikewire_dhan::{Ended, FeedStats};

/// Collects the metrics of this process.
#[derive(Debug, Clone)]
pub struct Recorder(PrometheusHandle);

/// How often measured times are put into their buckets. Until then each takes memory.
const UPKEEP: Duration = Duration::from_secs(2);

impl Recorder {
    /// Makes the recorder of this process; before anything that counts is made.
    ///
    /// # Errors
    ///
    /// When there is one already.
    pub fn install() -> anyhow::Result<Self> {
        let mut builder = PrometheusBuilder::new();
        for metric in METRICS {
            if let Kind::Histogram(buckets) = metric.kind {
                let name = Matcher::Full(metric.name.to_owned());
                builder = builder.set_buckets_for_metric(name, buckets)?;
            }
        }
        let recorder = Self(builder.install_recorder()?);
        strikewire_api::describe_metrics();
        gauge!("strikewire_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        gauge!("process_start_time_seconds").set(since.unwrap_or_default().as_secs_f64());
        Ok(recorder)
    }

    /// Everything, in the text format of Prometheus.
    #[must_use]
    pub fn render(&self) -> String {
        show_process(Path::new("/proc/self"));
        self.0.render()
    }

    /// Keeps measured times from piling up while nobody reads them. Goes on for good.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn keep(self) {
        let mut every = tokio::time::interval(UPKEEP);
        loop {
            every.tick().await;
            self.0.run_upkeep();
        }
    }
}

/// Brings the metrics up to date that the driver of Dhan's feed counts by itself.
pub(crate) fn show_feed(stats: &FeedStats) {
    gauge!("strikewire_connect_attempts_left").set(f64::from(stats.attempts_left()));
    for (conn, state) in stats.connections() {
        let id = conn.to_string();
        counter!("strikewire_connection_attempts_total", "connection" => id.clone())
            .absolute(state.attempts);
        for ((cause, code), times) in causes(&stats.ends(conn)) {
            counter!(
                "strikewire_connection_ends_total",
                "connection" => id.clone(), "cause" => cause, "code" => code
            )
            .absolute(times);
        }
    }
}

/// Cause and code of an end, as labels.
type Cause = (&'static str, String);

/// Ends by the labels they are counted under: several may have the same.
fn causes(ends: &[(Ended, u64)]) -> std::collections::BTreeMap<Cause, u64> {
    let mut causes = std::collections::BTreeMap::new();
    for (end, times) in ends {
        *causes.entry(labels(*end)).or_default() += times;
    }
    causes
}

fn labels(end: Ended) -> Cause {
    /// What Dhan and the proxies before it are known to refuse an upgrade with.
    const KNOWN: [u16; 10] = [400, 401, 403, 404, 408, 429, 500, 502, 503, 504];
    let plain = |cause| (cause, "none".to_owned());
    match end {
        Ended::Connect => plain("connect"),
        Ended::Refused(status) if KNOWN.contains(&status) => ("refused", status.to_string()),
        Ended::Refused(_) => ("refused", "other".to_owned()),
        Ended::Code(0) => ("code", "other".to_owned()),
        Ended::Code(code) => ("code", code.to_string()),
        Ended::CloseFrame => plain("close_frame"),
        Ended::Reset => plain("reset"),
        Ended::Silent => plain("silent"),
        Ended::Stalled => plain("stalled"),
        Ended::Garbled => plain("garbled"),
        Ended::Blocked => plain("blocked"),
        Ended::Renewed => plain("renewed"),
        Ended::Stopped => plain("stopped"),
        _ => plain("other"),
    }
}

/// What Linux says of this process in `proc`; nothing on other systems.
fn show_process(proc: &Path) {
    let read = |name: &str| std::fs::read_to_string(proc.join(name));
    if let Some(kib) = read("status").ok().as_deref().and_then(resident) {
        gauge!("process_resident_memory_bytes").set(kib * 1024.0);
    }
    if let Some(seconds) = read("stat").ok().as_deref().and_then(cpu_seconds) {
        counter!("process_cpu_seconds_total").absolute(seconds);
    }
    if let Some(most) = read("limits").ok().as_deref().and_then(max_files) {
        gauge!("process_max_fds").set(most);
    }
    if let Ok(open) = std::fs::read_dir(proc.join("fd")) {
        gauge!("process_open_fds").set(open.count() as f64);
    }
    let mut threads = THREADS.map(|name| (name, 0));
    let Ok(tasks) = std::fs::read_dir(proc.join("task")) else {
        return;
    };
    for task in tasks.flatten() {
        // One that has just ended is gone.
        let Ok(stat) = std::fs::read_to_string(task.path().join("stat")) else {
            continue;
        };
        let name = thread_name(&stat);
        let place = threads.iter().position(|(known, _)| *known == name);
        let (_, ticks) = &mut threads[place.unwrap_or(0)];
        *ticks += cpu_ticks(&stat).unwrap_or(0);
    }
    for (name, ticks) in threads {
        counter!("strikewire_thread_cpu_seconds_total", "thread" => name).absolute(ticks / HZ);
    }
}

/// Threads that have a task of their own; all others are counted as the first.
const THREADS: [&str; 5] = ["others", "feed", "owner", "store", "stand-in"];

/// Ticks in a second, as the kernel shows them to programs on every architecture
/// (`USER_HZ`, proc(5)).
const HZ: u64 = 100;

/// KiB in RAM (`VmRSS` of /proc/PID/status).
fn resident(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// The name of a thread: the second field of /proc/PID/stat, in parentheses.
fn thread_name(stat: &str) -> &str {
    let inside = stat
        .split_once('(')
        .and_then(|(_, rest)| rest.rsplit_once(')'));
    inside.map_or("", |(name, _)| name)
}

/// Ticks in user mode and in the kernel: fields 14 and 15.
fn cpu_ticks(stat: &str) -> Option<u64> {
    // A name may have anything in it; the third field is the first after it.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

/// Whole seconds of CPU time.
fn cpu_seconds(stat: &str) -> Option<u64> {
    cpu_ticks(stat).map(|ticks| ticks / HZ)
}

/// The soft limit of open files; none when there is no limit.
fn max_files(limits: &str) -> Option<f64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_says_is_read() {
        // Of a process whose name was chosen to confuse.
        let stat = "812 (a) b (c) S 1 812 812 0 -1 4194560 9 0 0 0 1234 66 0 0 20 0 7 0 99";
        assert_eq!(cpu_ticks(stat), Some(1300));
        assert_eq!(cpu_seconds(stat), Some(13));
        assert_eq!(thread_name("813 (feed) R 1 2"), "feed");
        assert_eq!(resident("Name:\tx\nVmRSS:\t   20480 kB\n"), Some(20480.0));
        let limits = "Limit  Soft Limit  Hard Limit  Units\n\
                      Max open files            1024                 4096                 files\n";
        assert_eq!(max_files(limits), Some(1024.0));
        let endless = limits.replace("1024", "unlimited");
        assert_eq!(max_files(&endless), None);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = (resident(&text), cpu_ticks(&text), thread_name(&text), max_files(&text));
        }

        #[test]
        fn labels_are_bounded(number: u16) {
            for end in [Ended::Refused(number), Ended::Code(number)] {
                let (_, code) = labels(end);
                let documented = matches!(end, Ended::Code(_));
                proptest::prop_assert!(documented || code == "other" || number < 505);
            }
        }
    }

    #[test]
    fn ends_with_the_same_labels_are_added_up() {
        let ends = [
            (Ended::Refused(418), 2),
            (Ended::Refused(451), 3),
            (Ended::Refused(429), 5),
            (Ended::Code(805), 7),
            (Ended::Reset, 11),
        ];
        let causes: Vec<_> = causes(&ends).into_iter().collect();
        let expected = [
            (("code", "805"), 7),
            (("refused", "429"), 5),
            (("refused", "other"), 5),
            (("reset", "none"), 11),
        ];
        let expected = expected.map(|((cause, code), times)| ((cause, code.to_owned()), times));
        assert_eq!(causes, expected);
    }
}
