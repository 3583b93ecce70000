//! Logs of the binary, on standard error: for people on a terminal, JSON otherwise, or as
//! configured. A process has one set of them, whose levels and looks can change while it
//! runs.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::io::IsTerminal;
use std::sync::{Arc, OnceLock};

use anyhow::Context;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, Full, Json, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::Config;
use crate::config::LogFormat;

/// What can change about the logs of this process; unset until they begin.
static LOGS: OnceLock<Logs> = OnceLock::new();

#[derive(Debug)]
struct Logs {
    filter: reload::Handle<EnvFilter, Registry>,
    json: Arc<AtomicBool>,
}

/// Starts logging. The levels are those of `RUST_LOG`, or else of `config`.
///
/// # Errors
///
/// When `RUST_LOG` makes no sense.
pub fn init(config: &Config) -> anyhow::Result<()> {
    let (filter, handle) = reload::Layer::new(filter(config)?);
    let json = Arc::new(AtomicBool::new(is_json(config.log_format())));
    let looks = Looks {
        json: Arc::clone(&json),
        human: Format::default(),
        machine: Format::default()
            .json()
            .with_current_span(false)
            .with_span_list(false),
    };
    let layer = tracing_subscriber::fmt::layer()
        .event_format(looks)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // A second start in one process keeps the first one's logs.
    let started = tracing_subscriber::registry()
        .with(filter)
        .with(layer)
        .try_init();
    if started.is_ok() {
        let _ = LOGS.set(Logs {
            filter: handle,
            json,
        });
    }
    Ok(())
}

/// The levels of a configuration, ready to be taken.
#[derive(Debug)]
pub(crate) struct Levels(EnvFilter);

/// Looks whether the levels that hold with `config` make sense.
pub(crate) fn prepare(config: &Config) -> anyhow::Result<Levels> {
    filter(config).map(Levels)
}

/// Logs from now on with `levels`, looking as `config` says. Nothing happens in a process
/// whose logs are not ours.
pub(crate) fn take(levels: Levels, config: &Config) {
    if let Some(logs) = LOGS.get() {
        logs.json.store(is_json(config.log_format()), Relaxed);
        // Fails only when there is no subscriber any more.
        let _ = logs.filter.reload(levels.0);
    }
}

/// Whether `RUST_LOG` holds, and not the levels of a configuration.
pub(crate) fn is_overridden() -> bool {
    rust_log().is_some()
}

fn rust_log() -> Option<String> {
    let levels = std::env::var("RUST_LOG").ok()?;
    (!levels.trim().is_empty()).then_some(levels)
}

fn filter(config: &Config) -> anyhow::Result<EnvFilter> {
    match rust_log() {
        Some(levels) => EnvFilter::try_new(&levels)
            .with_context(|| format!("RUST_LOG = {levels}: expected levels such as info")),
        None => EnvFilter::try_new(config.log_directives()).context("[log]"),
    }
}

fn is_json(format: LogFormat) -> bool {
    match format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Human => false,
        LogFormat::Json => true,
    }
}

/// One of two looks, which may change between any two lines.
#[derive(Debug)]
struct Looks {
    json: Arc<AtomicBool>,
    human: Format<Full>,
    machine: Format<Json>,
}

impl<S, N> FormatEvent<S, N> for Looks
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if self.json.load(Relaxed) {
            self.machine.format_event(context, writer, event)
        } else {
            self.human.format_event(context, writer, event)
        }
    }
}
