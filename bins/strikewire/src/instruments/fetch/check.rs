//! Whether a file is a whole master.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use csv::ByteRecord;
use flate2::read::MultiGzDecoder;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use strikewire_registry::{LoadOptions, Registry};

/// The share of rows that may make no sense. The broker's own files have next to none.
const MAX_BAD_SHARE: f64 = 0.01;

/// The columns that a reader of the detailed layout needs. Others came and went.
const DETAILED: [&str; 14] = [
    "EXCH_ID",
    "SEGMENT",
    "SECURITY_ID",
    "INSTRUMENT",
    "UNDERLYING_SYMBOL",
    "SYMBOL_NAME",
    "DISPLAY_NAME",
    "SERIES",
    "LOT_SIZE",
    "SM_EXPIRY_DATE",
    "STRIKE_PRICE",
    "OPTION_TYPE",
    "TICK_SIZE",
    "EXPIRY_FLAG",
];
/// A column that only the compact layout has.
const COMPACT: &str = "SEM_SMST_SECURITY_ID";

const BUFFER: usize = 128 * 1024;
/// So much of the beginning tells what a file is.
const HEAD: u64 = 512;
const GZIP: [u8; 2] = [0x1f, 0x8b];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    Compact,
    Detailed,
}

impl Layout {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Compact => "compact",
            Self::Detailed => "detailed",
        }
    }

    /// What the broker calls the file.
    pub(super) const fn file_name(self) -> &'static str {
        match self {
            Self::Compact => "api-scrip-master.csv",
            Self::Detailed => "api-scrip-master-detailed.csv",
        }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Checked {
    /// Rows without the header.
    pub(super) rows: u64,
    /// Instruments, where the layout can be loaded.
    pub(super) loaded: Option<u64>,
    /// Rows that make no sense.
    pub(super) rejected: u64,
    /// Whether the file is compressed.
    #[serde(skip)]
    pub(super) is_gzip: bool,
}

pub(super) fn check(path: &Path, layout: Layout, as_of: Date) -> anyhow::Result<Checked> {
    let open = || File::open(path).with_context(|| format!("cannot open {}", path.display()));
    check_text(layout, as_of, open)
}

/// As [`check`], of what `open` gives, twice.
fn check_text<R: Read>(
    layout: Layout,
    as_of: Date,
    open: impl Fn() -> anyhow::Result<R>,
) -> anyhow::Result<Checked> {
    let mut input = BufReader::with_capacity(BUFFER, open()?);
    let mut magic = Vec::new();
    input
        .by_ref()
        .take(2)
        .read_to_end(&mut magic)
        .context("cannot read it")?;
    let is_gzip = magic == GZIP;
    let input = Cursor::new(magic).chain(input);
    let input: Box<dyn Read> = if is_gzip {
        Box::new(MultiGzDecoder::new(input))
    } else {
        Box::new(input)
    };
    let mut checked = check_rows(input, layout).map_err(|error| {
        let is_io = error.downcast_ref::<io::Error>().is_some();
        match is_gzip && is_io {
            true => error.context("it is a damaged or cut-off gzip stream"),
            false => error,
        }
    })?;
    checked.is_gzip = is_gzip;
    if layout == Layout::Compact {
        let options = LoadOptions {
            max_rejected_share: MAX_BAD_SHARE,
            ..LoadOptions::new(as_of)
        };
        let registry = Registry::from_reader(open()?, &options)?;
        let report = registry.report();
        ensure!(
            report.loaded > 0,
            "none of its {} rows is an instrument",
            report.rows
        );
        checked.loaded = Some(report.loaded);
        checked.rejected = report.rejected;
    }
    Ok(checked)
}

/// Whether there is a header of the layout, and rows that are as wide.
fn check_rows(mut input: impl Read, layout: Layout) -> anyhow::Result<Checked> {
    let mut head = Vec::new();
    input.by_ref().take(HEAD).read_to_end(&mut head)?;
    look_at(&head)?;
    let mut rows = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(BUFFER)
        .from_reader(Cursor::new(head).chain(input));
    let mut record = ByteRecord::new();
    if !next(&mut rows, &mut record)? {
        bail!("it is empty");
    }
    let mut names: Vec<String> = record
        .iter()
        .map(|name| String::from_utf8_lossy(name))
        .map(|name| name.trim_start_matches('\u{feff}').trim().to_owned())
        .collect();
    // Lines may end in a comma.
    while names.last().is_some_and(String::is_empty) {
        names.pop();
    }
    check_names(&names, layout)?;
    let (mut count, mut bad, mut is_last_bad) = (0_u64, 0_u64, false);
    while next(&mut rows, &mut record)? {
        count += 1;
        let is_wide = record.len() >= names.len();
        is_last_bad = !is_wide || record.iter().skip(names.len()).any(|more| !more.is_empty());
        bad += u64::from(is_last_bad);
    }
    ensure!(count > 0, "it has a header and no rows");
    ensure!(
        !is_last_bad,
        "it breaks off in row {count}, which has {} columns of {}",
        record.len(),
        names.len()
    );
    ensure!(
        bad as f64 <= count as f64 * MAX_BAD_SHARE,
        "{bad} of its {count} rows have not the {} columns of its header",
        names.len()
    );
    Ok(Checked {
        rows: count,
        rejected: bad,
        ..Checked::default()
    })
}

/// Reads the next record; at the end the last one stays and this is false.
fn next(rows: &mut csv::Reader<impl Read>, record: &mut ByteRecord) -> anyhow::Result<bool> {
    let mut read = ByteRecord::new();
    let more = rows
        .read_byte_record(&mut read)
        .map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(error) => error,
            // Widths may differ and nothing is decoded: only reading can fail.
            other => io::Error::other(format!("{other:?}")),
        })?;
    if more {
        *record = read;
    }
    Ok(more)
}

/// Whether a master can begin like this.
fn look_at(head: &[u8]) -> anyhow::Result<()> {
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let glimpse = || -> String {
        let line = text.lines().next().unwrap_or_default();
        line.chars().filter(|c| !c.is_control()).take(80).collect()
    };
    match text.chars().next() {
        None => bail!("it is empty"),
        Some('<') => bail!("it is a page: `{}`", glimpse()),
        Some('{' | '[') => bail!("it is JSON: `{}`", glimpse()),
        Some(_) if !text.lines().next().unwrap_or_default().contains(',') => {
            bail!("it does not begin with a line of columns: `{}`", glimpse())
        }
        Some(_) => Ok(()),
    }
}

fn check_names(names: &[String], layout: Layout) -> anyhow::Result<()> {
    let has = |name: &str| names.iter().any(|there| there == name);
    let is_compact = has(COMPACT);
    match layout {
        Layout::Compact => ensure!(
            is_compact || !has("SECURITY_ID"),
            "it is the detailed layout, not the compact one"
        ),
        Layout::Detailed => {
            ensure!(
                !is_compact,
                "it is the compact layout, not the detailed one"
            );
            let missing: Vec<&str> = DETAILED.into_iter().filter(|name| !has(name)).collect();
            ensure!(
                missing.is_empty(),
                "its header lacks {} of the detailed layout",
                missing.join(", ")
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
