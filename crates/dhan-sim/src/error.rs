use std::io;
use std::path::PathBuf;

use jiff::civil::Date;

/// What can go wrong in the stand-in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A master of that many rows cannot be generated.
    #[error("cannot generate {rows} rows, only 2000 to 400000")]
    Rows {
        /// As asked for.
        rows: usize,
    },
    /// A master of that day cannot be generated.
    #[error("cannot generate a master for {date}, only for the years 2000 to 2100")]
    Date {
        /// As asked for.
        date: Date,
    },
    /// The writer failed.
    #[error("cannot write the generated master")]
    Write(#[source] io::Error),
    /// The file could not be made or finished.
    #[error("cannot write {}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A script of faults that cannot be read.
    #[error("script, line {line}: {problem}")]
    Script {
        /// Where, from 1 on.
        line: usize,
        /// What is wrong there, and what would have been accepted.
        problem: String,
    },
}
