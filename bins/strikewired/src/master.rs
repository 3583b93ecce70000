use core::time::Duration;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use anyhow::{Context, anyhow};
use jiff::civil::Date;
use strikewire_broker::{MasterLayout, Reference};
use strikewire_dhan::DhanRest;
use strikewire_dhan_sim::SimHandle;
use strikewire_dhan_sim::generate::{Spec, generate_to_path};
use strikewire_gateway::Gateway;
use strikewire_gateway::calendar::Class;
use strikewire_registry::{LoadOptions, Registry};
use strikewire_types::{Utc, ist_date, ist_time};

use crate::Config;

/// How often is looked whether the day or the file has changed.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Where the instrument master of a day comes from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    named: Option<PathBuf>,
    data_dir: PathBuf,
    generated: (usize, u64),
    /// Where it is fetched from when none is named; generated without one.
    broker: Option<DhanRest>,
}

/// What fetched masters are called, with the day they are of between these.
const FETCHED: (&str, &str) = ("api-scrip-master-", ".csv");

/// Fetched masters that are kept.
const KEPT: usize = 3;

impl Source {
    /// What `config` names, or else what `broker` has.
    pub(crate) fn new(config: &Config, broker: Option<DhanRest>) -> Self {
        Self {
            broker,
            named: config.instruments().map(Path::to_owned),
            data_dir: config.data_dir().to_owned(),
            generated: config.generated(),
        }
    }

    /// The instrument master of the day of `now`: the one that is named, or one that is
    /// generated into the data directory.
    pub(crate) fn load(&self, now: Utc) -> anyhow::Result<(Arc<Registry>, PathBuf)> {
        let as_of = ist_date(now);
        let path = match (&self.named, &self.broker) {
            (Some(path), _) => path.clone(),
            (None, Some(_)) => self.fetched().ok_or_else(|| {
                anyhow!("there is no instrument master: none is named, and none could be fetched")
            })?,
            (None, None) => self.generated(as_of)?,
        };
        let started = Instant::now();
        let registry = Registry::from_path(&path, &LoadOptions::new(as_of))
            .with_context(|| format!("the instrument master {}", path.display()))?;
        let report = registry.report();
        tracing::info!(
            path = %path.display(),
            %as_of,
            rows = report.rows,
            loaded = report.loaded,
            skipped = report.skipped_total(),
            rejected = report.rejected,
            ms = started.elapsed().as_millis() as u64,
            "Instrument master loaded"
        );
        Ok((Arc::new(registry), path))
    }

    fn generated(&self, as_of: Date) -> anyhow::Result<PathBuf> {
        let (rows, seed) = self.generated;
        let name = format!("instruments-generated-{as_of}-{rows}-{seed}.csv");
        let path = self.data_dir.join(name);
        if !path.exists() {
            // Whole or not at all: half a file would be taken for the master next time.
            let part = path.with_extension("part");
            generate_to_path(&Spec { as_of, rows, seed }, &part)
                .map_err(anyhow::Error::from)
                .and_then(|_| Ok(std::fs::rename(&part, &path)?))
                .with_context(|| format!("generating {}", path.display()))?;
        }
        Ok(path)
    }

    /// Fetches the master of `today` from the broker unless it is there already, or
    /// another one is named.
    pub(crate) async fn fetch(&self, today: Date) -> anyhow::Result<()> {
        let (None, Some(broker)) = (&self.named, &self.broker) else {
            return Ok(());
        };
        let (before, after) = FETCHED;
        let path = self.data_dir.join(format!("{before}{today}{after}"));
        if path.exists() {
            return Ok(());
        }
        tracing::info!(path = %path.display(), "Fetching the instrument master");
        let file = broker
            .instrument_master(MasterLayout::Compact, &path)
            .await
            .context("fetching the instrument master")?;
        tracing::info!(bytes = file.bytes, modified = ?file.modified, "Instrument master fetched");
        for old in self.all_fetched().into_iter().rev().skip(KEPT) {
            if let Err(error) = std::fs::remove_file(&old) {
                tracing::warn!(path = %old.display(), %error, "An old master cannot be removed");
            }
        }
        Ok(())
    }

    /// The latest master that was fetched.
    fn fetched(&self) -> Option<PathBuf> {
        self.all_fetched().pop()
    }

    /// All masters that were fetched, the latest last.
    fn all_fetched(&self) -> Vec<PathBuf> {
        let is_fetched = |name: &str| {
            name.strip_prefix(FETCHED.0)
                .and_then(|name| name.strip_suffix(FETCHED.1))
                .is_some_and(|date| date.parse::<Date>().is_ok())
        };
        let mut paths: Vec<PathBuf> = std::fs::read_dir(&self.data_dir)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_name().to_str().is_some_and(is_fetched))
            .map(|entry| entry.path())
            .collect();
        // By name, which is by day.
        paths.sort_unstable();
        paths
    }

    /// The file that the master is read from; absent when it is generated.
    fn file(&self) -> Option<PathBuf> {
        match &self.named {
            Some(path) => Some(path.clone()),
            None => self.broker.as_ref().and_then(|_| self.fetched()),
        }
    }

    /// When that file was changed last; absent when there is none.
    fn changed(&self) -> Option<SystemTime> {
        std::fs::metadata(self.file()?)
            .and_then(|meta| meta.modified())
            .ok()
    }

    /// Says so when the file was written before `today`: it is the instrument master
    /// of another day, by whichever day it was loaded.
    fn is_old(&self, today: Date) -> Option<String> {
        let changed = written_on(self.changed()?)?;
        let name = self.file()?;
        let name = name.display();
        (changed < today).then(|| format!("{name} was last written on {changed}"))
    }
}

/// The day in India of a file's time.
fn written_on(time: SystemTime) -> Option<Date> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let nanos = i64::try_from(since.as_nanos()).ok()?;
    Some(ist_date(Utc::from_nanos(nanos)))
}

/// Goes over to the instrument master of each new day, and to a file that was replaced.
///
/// # Cancel safety
///
/// Not safe to resume; meant to be dropped when everything stops.
pub(crate) async fn keep(
    source: Source,
    gateway: Gateway,
    standin: Option<SimHandle>,
    reload_at: jiff::civil::Time,
) {
    let clock = gateway.clock();
    let mut loaded = source.changed();
    let mut seen = loaded;
    // The stand-in trades whatever it is given, and files know no simulated time.
    let can_be_old = standin.is_none() && !clock.is_simulated();
    let is_old = |source: &Source, today: Date| {
        let trades = || {
            gateway
                .calendar()
                .is_trading_day(Class::NseDerivatives, today)
        };
        source.is_old(today).filter(|_| can_be_old && trades())
    };
    if let Some(detail) = is_old(&source, ist_date(clock.now().utc)) {
        gateway.master_stale(Some(detail)).await;
    }
    loop {
        clock.sleep(LOOK_EVERY).await;
        let now = clock.now().utc;
        let today = ist_date(now);
        let is_time = ist_time(now) >= reload_at;
        let new_day = today > gateway.registry().as_of() && is_time;
        if is_time && let Err(error) = source.fetch(today).await {
            tracing::warn!(
                error = format!("{error:#}"),
                "No instrument master of today"
            );
            let as_of = gateway.registry().as_of();
            let detail = format!("the instruments are those of {as_of}: {error:#}");
            gateway.master_stale(Some(detail)).await;
        }
        let changed = source.changed();
        // A file that changed since the last look may still be being written.
        let is_whole = core::mem::replace(&mut seen, changed) == changed;
        if !is_whole || (!new_day && changed == loaded) {
            continue;
        }
        let from = source.clone();
        let load = tokio::task::spawn_blocking(move || from.load(now));
        let had = gateway.registry().len();
        let whole = |registry: &Registry| {
            let has = registry.len();
            anyhow::ensure!(
                has * 2 >= had,
                "it has {has} instruments where yesterday's had {had}: half a file, it seems"
            );
            Ok(())
        };
        let loading = load.await.map(|loaded| {
            let (registry, _) = loaded?;
            whole(&registry)?;
            Ok::<_, anyhow::Error>(registry)
        });
        let registry = match loading {
            Ok(Ok(registry)) => registry,
            Ok(Err(error)) => {
                let as_of = gateway.registry().as_of();
                let detail = format!("the instruments are those of {as_of}: {error:#}");
                tracing::warn!(%detail, "No instrument master of today");
                gateway.master_stale(Some(detail)).await;
                continue;
            }
            Err(panicked) => {
                tracing::error!(%panicked, "Loading the instrument master panicked");
                continue;
            }
        };
        loaded = changed;
        if let Some(standin) = &standin {
            standin.set_registry(Arc::clone(&registry));
        }
        if gateway.swap_master(registry).await.is_err() {
            return;
        }
        if let Some(detail) = is_old(&source, today) {
            tracing::warn!(%detail, "The instrument master may be an old one");
            gateway.master_stale(Some(detail)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn a_file_of_another_day_is_called_old() {
        let file = tempfile::NamedTempFile::new().unwrap();
        // 2026-02-09 00:00:01 in India, still the 8th in UTC.
        let written = SystemTime::UNIX_EPOCH + Duration::from_secs(1_770_575_401);
        file.as_file().set_modified(written).unwrap();
        let source = Source {
            named: Some(file.path().to_owned()),
            data_dir: PathBuf::new(),
            generated: (0, 0),
            broker: None,
        };
        assert_eq!(source.is_old(date(2026, 2, 9)), None);
        let detail = source.is_old(date(2026, 2, 10)).unwrap();
        assert!(
            detail.ends_with("was last written on 2026-02-09"),
            "{detail}"
        );
        let generated = Source {
            named: None,
            ..source
        };
        assert_eq!(generated.is_old(date(2026, 2, 10)), None);
    }
}
