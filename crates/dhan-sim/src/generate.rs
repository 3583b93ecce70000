//! Makes an instrument master as the broker publishes it, in the compact layout.
//!
//! The composition is that of the real file: the same columns and formats, the same
//! kinds of rows in the same proportions, and the same traps (ids that segments
//! share, expired rows, test rows, bonds with the symbol of a share, ladders with
//! several steps and with single legs, symbols with `-` and `&`). Underlyings are
//! real; shares that nobody has options on are made up. Expiries follow today's
//! weekdays without holidays.

mod cash;
mod catalog;
mod dates;
mod derivatives;
mod ladder;
mod sheet;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use jiff::civil::Date;
use rand::SeedableRng;
use rand_pcg::Pcg64;

use crate::Error;
use derivatives::Plan;
use ladder::Size;
use sheet::Sheet;

/// What to generate. The same specification gives the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spec {
    /// The day on which the master is today's: expiries count from it. From 2000 to
    /// 2100.
    pub as_of: Date,
    /// How many rows, without the header; 2,000 to 400,000.
    pub rows: usize,
    /// Chooses ids, prices and made-up names.
    pub seed: u64,
}

impl Spec {
    /// The number of rows of a master of today.
    pub const DEFAULT_ROWS: usize = 289_000;

    /// A master of the usual size for `as_of`, with seed 1.
    #[must_use]
    pub const fn new(as_of: Date) -> Self {
        Self {
            as_of,
            rows: Self::DEFAULT_ROWS,
            seed: 1,
        }
    }
}

/// What was generated.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Rows without the header.
    pub rows: u64,
    /// Rows by exchange and segment, as the first two columns have them.
    pub by_segment: BTreeMap<(&'static str, &'static str), u64>,
    /// Rows that are futures, expired ones included.
    pub futures: u64,
    /// Rows that are options, expired ones included.
    pub options: u64,
}

/// The largest size tried, in thousandths of a real master.
const LARGEST: u32 = 2_000;

/// Writes a master to `out`.
///
/// # Errors
///
/// [`Error::Rows`] and [`Error::Date`] for what cannot be generated, [`Error::Write`]
/// when `out` fails.
pub fn generate(spec: &Spec, out: &mut impl Write) -> Result<Summary, Error> {
    if !(2_000..=400_000).contains(&spec.rows) {
        return Err(Error::Rows { rows: spec.rows });
    }
    if !(2_000..=2_100).contains(&spec.as_of.year()) {
        return Err(Error::Date { date: spec.as_of });
    }
    let rows = spec.rows as u64;
    let counted = |size| -> io::Result<u64> {
        let mut sheet = Sheet::new(None)?;
        derivatives_and_shares(spec, Size(size), &mut sheet)?;
        Ok(sheet.rows())
    };
    // The largest size that leaves a share of the rows to be filled.
    let room = rows - rows / 14;
    let (mut fits, mut too_large) = (0, LARGEST + 1);
    while too_large - fits > 1 {
        let middle = u32::midpoint(fits, too_large);
        if counted(middle).map_err(Error::Write)? <= room {
            fits = middle;
        } else {
            too_large = middle;
        }
    }
    write(spec, Size(fits), out).map_err(Error::Write)
}

fn write(spec: &Spec, size: Size, out: &mut dyn Write) -> io::Result<Summary> {
    let mut sheet = Sheet::new(Some(out))?;
    let mut rng = derivatives_and_shares(spec, size, &mut sheet)?;
    cash::fill(&mut sheet, &mut rng, spec.seed, spec.rows as u64)?;
    let summary = sheet.finish();
    out.flush()?;
    Ok(summary)
}

fn derivatives_and_shares(spec: &Spec, size: Size, sheet: &mut Sheet<'_>) -> io::Result<Pcg64> {
    let mut rng = Pcg64::seed_from_u64(spec.seed);
    let stocks = catalog::stocks();
    let stocks = &stocks[..size.up_to(12, 40, stocks.len())];
    cash::indices(sheet, size)?;
    Plan {
        sheet,
        rng: &mut rng,
        as_of: spec.as_of,
        size,
        seed: spec.seed,
        stocks,
    }
    .write()?;
    cash::shares(sheet, size, stocks)?;
    Ok(rng)
}

/// Writes a master to the file at `path`, compressed when its name ends in `.gz`. A
/// file that was there is replaced.
///
/// # Errors
///
/// As [`generate`], and [`Error::File`] when the file cannot be made.
pub fn generate_to_path(spec: &Spec, path: &Path) -> Result<Summary, Error> {
    let file = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    let mut out = BufWriter::with_capacity(1 << 17, File::create(path).map_err(file)?);
    if path.extension().is_some_and(|extension| extension == "gz") {
        let mut gz = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
        let summary = generate(spec, &mut gz)?;
        gz.finish().and_then(|mut out| out.flush()).map_err(file)?;
        Ok(summary)
    } else {
        generate(spec, &mut out)
    }
}
