//! `strikewire instruments generate`: written whole or not at all.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Serialize;
use strikewire_dhan_sim::generate::{Spec, Summary, generate_to_path};

use crate::output::{Output, grouped};

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
    let summary = write_whole(spec, path)?;
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

/// Writes beside `path` and renames, so that a reader never sees half a master.
fn write_whole(spec: &Spec, path: &Path) -> anyhow::Result<Summary> {
    // A device or a pipe is written to, not replaced by a file.
    let is_special = fs::metadata(path).is_ok_and(|there| !there.is_file());
    if is_special {
        return Ok(generate_to_path(spec, path)?);
    }
    let Some(name) = path.file_name() else {
        bail!("cannot write {}: it has no file name", path.display());
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        bail!(
            "cannot write {}: {} is not a folder",
            path.display(),
            folder.display()
        );
    }
    let temporary = temporary(folder, name);
    let written = generate_to_path(spec, &temporary)
        .map_err(anyhow::Error::new)
        .and_then(|summary| {
            fs::rename(&temporary, path)
                .with_context(|| format!("cannot write {}", path.display()))?;
            Ok(summary)
        });
    if written.is_err() {
        // There may be none, and the first error is the one to be told.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Ends as `name` does: the ending says whether it is compressed.
fn temporary(folder: &Path, name: &std::ffi::OsStr) -> PathBuf {
    let mut hidden = OsString::from(format!(".{}-", std::process::id()));
    hidden.push(name);
    folder.join(hidden)
}
