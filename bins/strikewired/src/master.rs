use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use strikewire_dhan_sim::generate::{Spec, generate_to_path};
use strikewire_registry::{LoadOptions, Registry};
use strikewire_types::{Utc, ist_date};

use crate::{Config, DataDir};

/// The instrument master of the day of `now`: the one that is named, or one that is
/// generated into the data directory.
pub(crate) fn load(
    config: &Config,
    data_dir: &DataDir,
    now: Utc,
) -> anyhow::Result<(Arc<Registry>, PathBuf)> {
    let as_of = ist_date(now);
    let path = match config.instruments() {
        Some(path) => path.to_owned(),
        None => generated(config, data_dir.path(), as_of)?,
    };
    let options = LoadOptions::new(as_of);
    let started = Instant::now();
    let registry = Registry::from_path(&path, &options)
        .with_context(|| format!("the instrument master {}", path.display()))?;
    let report = registry.report();
    tracing::info!(
        path = %path.display(),
        rows = report.rows,
        loaded = report.loaded,
        skipped = report.skipped_total(),
        rejected = report.rejected,
        ms = started.elapsed().as_millis() as u64,
        "Instrument master loaded"
    );
    Ok((Arc::new(registry), path))
}

fn generated(
    config: &Config,
    data_dir: &Path,
    as_of: jiff::civil::Date,
) -> anyhow::Result<PathBuf> {
    let (rows, seed) = config.generated();
    let path = data_dir.join(format!("instruments-generated-{as_of}-{rows}-{seed}.csv"));
    if !path.exists() {
        generate_to_path(&Spec { as_of, rows, seed }, &path)
            .with_context(|| format!("generating {}", path.display()))?;
    }
    Ok(path)
}
