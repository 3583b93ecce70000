//! `strikewire instruments generate`.

use std::path::Path;

use serde::Serialize;
use strikewire_dhan_sim::generate::{Spec, generate};

use super::whole;
use crate::output::{Output, grouped};
use crate::progress::{Progress, Unit, Writing};

#[derive(Serialize)]
struct Generated<'a> {
    file: &'a Path,
    as_of: String,
    seed: u64,
    rows: u64,
    futures: u64,
    options: u64,
}

pub(crate) fn run(spec: &Spec, path: &Path, json: bool) -> anyhow::Result<()> {
    let summary = whole::write(path, |out| {
        let progress = Progress::new(
            path.display().to_string(),
            Unit::Rows,
            Some(spec.rows as u64),
        );
        Ok(generate(spec, &mut Writing::new(out, progress))?)
    })?;
    let mut out = Output::new();
    if json {
        out.json(&Generated {
            file: path,
            as_of: spec.as_of.to_string(),
            seed: spec.seed,
            rows: summary.rows,
            futures: summary.futures,
            options: summary.options,
        })
    } else {
        out.lines(&format!(
            "{}: {} rows as of {}, {} futures and {} options",
            path.display(),
            grouped(summary.rows),
            spec.as_of,
            grouped(summary.futures),
            grouped(summary.options)
        ))
    }
}
