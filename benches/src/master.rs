//! The instrument master that is measured with.

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::PathBuf;

use flate2::read::MultiGzDecoder;
use jiff::civil::{Date, date};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;
use strikewire_dhan_sim::generate::{Spec, generate};
use strikewire_registry::{Ladder, LoadOptions, Registry};
use strikewire_types::{Exchange, InstrumentKey};

const REAL: &str = "api-scrip-master.compact.2026-02.csv.gz";
const AS_OF: Date = date(2026, 2, 9);
const ROWS_OF_A_TEST: usize = 6_000;

/// A master, as bytes of CSV.
#[derive(Debug, Clone)]
pub struct Master {
    /// The file, not compressed.
    pub csv: Vec<u8>,
    /// The day it is of.
    pub as_of: Date,
}

impl Master {
    /// The master for a benchmark: a [full](Self::full) one when measuring, and a small
    /// made-up one in a test.
    ///
    /// # Errors
    ///
    /// As [`full`](Self::full).
    pub fn for_bench() -> Result<Self, Box<dyn Error>> {
        if crate::is_measuring() {
            Self::full()
        } else {
            Self::made_up(ROWS_OF_A_TEST)
        }
    }

    /// The real master where `STRIKEWIRE_REAL_DATA` names its folder; otherwise a
    /// made-up one, of `STRIKEWIRE_BENCH_ROWS` rows if that is set.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or the number of rows cannot be generated.
    pub fn full() -> Result<Self, Box<dyn Error>> {
        if let Some(folder) = std::env::var_os("STRIKEWIRE_REAL_DATA") {
            let path = PathBuf::from(folder).join(REAL);
            let file = File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let mut csv = Vec::new();
            MultiGzDecoder::new(BufReader::new(file)).read_to_end(&mut csv)?;
            eprintln!("with the real master {REAL}");
            return Ok(Self { csv, as_of: AS_OF });
        }
        let rows = match std::env::var("STRIKEWIRE_BENCH_ROWS") {
            Ok(rows) => rows
                .parse()
                .map_err(|_| format!("STRIKEWIRE_BENCH_ROWS={rows}: expected a number"))?,
            Err(_) => Spec::DEFAULT_ROWS,
        };
        Self::made_up(rows)
    }

    /// A made-up master of `rows` rows.
    ///
    /// # Errors
    ///
    /// When so many or so few cannot be generated.
    pub fn made_up(rows: usize) -> Result<Self, Box<dyn Error>> {
        let spec = Spec {
            rows,
            ..Spec::new(AS_OF)
        };
        let mut csv = Vec::new();
        generate(&spec, &mut csv)?;
        eprintln!("with a made-up master of {rows} rows");
        Ok(Self { csv, as_of: AS_OF })
    }

    /// Loads it.
    ///
    /// # Errors
    ///
    /// Whatever the registry says.
    pub fn registry(&self) -> Result<Registry, strikewire_registry::Error> {
        Registry::from_reader(&self.csv[..], &LoadOptions::new(self.as_of))
    }
}

/// Every key of the registry, or as many as `at_most`, shuffled.
#[must_use]
pub fn shuffled_keys(registry: &Registry, at_most: usize) -> Vec<InstrumentKey> {
    let mut keys: Vec<_> = registry
        .instruments()
        .map(|instrument| instrument.key())
        .collect();
    keys.shuffle(&mut Pcg64::seed_from_u64(1));
    keys.truncate(at_most);
    keys
}

/// The longest ladder of NSE with one distance between all its strikes, and the longest
/// with several; every token on them is plain.
///
/// # Panics
///
/// When the master has no such ladder.
#[must_use]
pub fn even_and_uneven(registry: &Registry) -> (Ladder<'_>, Ladder<'_>) {
    let is_even = |ladder: &Ladder<'_>| {
        let mut gaps = ladder
            .rungs()
            .windows(2)
            .map(|pair| pair[1].strike.raw() - pair[0].strike.raw());
        let first = gaps.next();
        gaps.all(|gap| Some(gap) == first)
    };
    let longest = |even: bool| {
        registry
            .ladders()
            .filter(|ladder| ladder.exchange() == Exchange::Nse && is_even(ladder) == even)
            .max_by_key(|ladder| ladder.rungs().len())
            .expect("every master has ladders of both kinds")
    };
    (longest(true), longest(false))
}
