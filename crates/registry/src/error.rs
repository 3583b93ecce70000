use std::io;
use std::path::PathBuf;

use strikewire_types::{Exchange, Expiry};

use crate::{Kind, Rejection};

/// A master that cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be opened.
    #[error("cannot open the instrument master {}", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Reading broke off.
    #[error("reading the instrument master failed after line {line}")]
    Read {
        /// The last line that was read whole; 0 when there was none.
        line: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The gzip stream is cut short or damaged.
    #[error("the instrument master is a damaged or cut-off gzip stream after line {line}")]
    Gzip {
        /// The last line that was read whole; 0 when there was none.
        line: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is nothing in it.
    #[error("the instrument master is empty; expected a header and rows")]
    Empty,
    /// There is a header and nothing else.
    #[error("the instrument master has a header and no rows")]
    NoRows,
    /// The first line is no header of a master.
    #[error(
        "not an instrument master: the first line is `{first_line}`; expected a header with \
         SEM_EXM_EXCH_ID, SEM_SEGMENT, SEM_SMST_SECURITY_ID, ..."
    )]
    NotAMaster {
        /// The beginning of the first line.
        first_line: String,
    },
    /// The header is a compact master's, but not all of it.
    #[error("the header of the compact instrument master lacks {}", missing.join(", "))]
    MissingColumns {
        /// The names that were looked for.
        missing: Vec<&'static str>,
    },
    /// The file is the detailed layout.
    #[error(
        "this is the detailed layout of the instrument master (EXCH_ID, SEGMENT, SECURITY_ID, \
         ...); only the compact layout (SEM_EXM_EXCH_ID, SEM_SEGMENT, ...) can be loaded"
    )]
    DetailedLayout,
    /// A quoted field goes on over the end of its line, so rows would be lost.
    #[error("line {line} of the instrument master has a quote that is not closed on that line")]
    OpenQuote {
        /// Where the row begins.
        line: u64,
    },
    /// Too many rows make no sense: the file is not trusted at all.
    #[error(
        "{rejected} of {rows} rows of the instrument master were rejected, more than the \
         {:.1} % allowed; the first: {}",
        max_share * 100.0,
        samples.first().map_or_else(|| "none".to_owned(), ToString::to_string)
    )]
    TooManyRejected {
        /// Rows that were rejected.
        rejected: u64,
        /// Rows in the file.
        rows: u64,
        /// The share that was allowed, 0 to 1.
        max_share: f64,
        /// The first of them.
        samples: Vec<Rejection>,
    },
}

/// A question about instruments that has no single answer, with what could have been
/// asked instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// Nothing of that name is listed.
    #[error("unknown symbol `{symbol}`{}", did_you_mean(choices))]
    UnknownSymbol {
        /// As it was asked for.
        symbol: String,
        /// Similar symbols, the most similar first.
        choices: Vec<String>,
    },
    /// The symbol has contracts, but none that expire then.
    #[error(
        "{symbol} has no expiry {expiry}{}; listed: {}",
        exchange.map_or_else(String::new, |exchange| format!(" on {exchange}")),
        list(choices)
    )]
    UnlistedExpiry {
        /// The symbol as it is listed.
        symbol: String,
        /// Where the choices are listed.
        exchange: Option<Exchange>,
        /// As it was asked for.
        expiry: Expiry,
        /// The expiries there are, soonest first.
        choices: Vec<Expiry>,
    },
    /// Nothing has that token or key.
    #[error("unknown instrument `{reference}`{}", did_you_mean(choices))]
    UnknownReference {
        /// As it was asked for.
        reference: String,
        /// Tokens that come close.
        choices: Vec<String>,
    },
    /// The symbol is listed, but not as what was asked for.
    #[error("{symbol} is not listed as {asked}, only as {}", list(listed))]
    WrongKind {
        /// The symbol as it is listed.
        symbol: String,
        /// As what it was asked for.
        asked: Kind,
        /// As what it is listed.
        listed: Vec<Kind>,
    },
    /// The symbol is listed, but no options on it (where it was asked for).
    #[error("no options on {symbol} are listed")]
    NoOptions {
        /// The symbol as it is listed.
        symbol: String,
    },
    /// The symbol is listed, but no futures on it (where it was asked for).
    #[error("no futures on {symbol} are listed")]
    NoFutures {
        /// The symbol as it is listed.
        symbol: String,
    },
    /// More than one instrument has that name.
    #[error("`{reference}` is ambiguous; one of {}", list(choices))]
    Ambiguous {
        /// As it was asked for.
        reference: String,
        /// The tokens of all of them.
        choices: Vec<String>,
    },
}

impl LookupError {
    /// What could have been asked instead, as texts.
    #[must_use]
    pub fn choices(&self) -> Vec<String> {
        match self {
            Self::UnknownSymbol { choices, .. }
            | Self::UnknownReference { choices, .. }
            | Self::Ambiguous { choices, .. } => choices.clone(),
            Self::UnlistedExpiry { choices, .. } => choices.iter().map(Expiry::to_string).collect(),
            Self::WrongKind { listed, .. } => listed.iter().map(Kind::to_string).collect(),
            Self::NoOptions { .. } | Self::NoFutures { .. } => Vec::new(),
        }
    }
}

fn list<T: ToString>(items: &[T]) -> String {
    let texts: Vec<String> = items.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

fn did_you_mean(choices: &[String]) -> String {
    if choices.is_empty() {
        String::new()
    } else {
        format!("; similar: {}", choices.join(", "))
    }
}
