//! From bytes to rows. A layout turns one record into a [`Draft`]; everything after
//! that is the same for all layouts.

mod compact;
mod symbol;

use std::io::{BufReader, Cursor, ErrorKind, Read};

use csv::{ByteRecord, ReaderBuilder};
use flate2::read::MultiGzDecoder;
use jiff::civil::Date;
use strikewire_types::{Exchange, Expiry, InstrumentKey, OptionType, PriceStep, Strike};

use crate::build::Builder;
use crate::{Error, Kind, LoadReport, Registry, Rejection, SkipReason};

/// How to load a master.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoadOptions {
    /// Contracts that expired before this day, in India, are left out.
    pub as_of: Date,
    /// The share of rows, 0 to 1, that may be rejected before the whole file is
    /// refused. Default 0.05.
    pub max_rejected_share: f64,
}

impl LoadOptions {
    /// The defaults, for the day `as_of`.
    #[must_use]
    pub const fn new(as_of: Date) -> Self {
        Self {
            as_of,
            max_rejected_share: 0.05,
        }
    }
}

/// How many rejected rows are kept to be shown.
const MAX_SAMPLES: usize = 20;
const BUFFER: usize = 256 * 1024;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// One row, whatever the layout it came in.
pub(crate) struct Draft<'r> {
    pub(crate) key: InstrumentKey,
    pub(crate) exchange: Exchange,
    pub(crate) kind: Kind,
    /// The underlying's symbol for a derivative, else its own.
    pub(crate) symbol: &'r str,
    pub(crate) name: &'r str,
    pub(crate) series: &'r str,
    pub(crate) lot: u32,
    pub(crate) tick: PriceStep,
    pub(crate) terms: Terms,
}

/// What makes a contract of it.
#[derive(Clone, Copy)]
pub(crate) enum Terms {
    Cash,
    Future(Expiry),
    Option(Expiry, Strike, OptionType),
}

/// What a layout makes of a record that is in order.
enum Decoded<'r> {
    Row(Draft<'r>),
    Skip(SkipReason),
}

/// What is wrong with a record.
pub(crate) struct Reject {
    pub(crate) field: &'static str,
    pub(crate) reason: String,
}

/// The layouts that can be loaded.
enum Layout {
    Compact(compact::Columns),
}

impl Layout {
    fn of(header: &ByteRecord) -> Result<Self, Error> {
        let names: Vec<String> = header
            .iter()
            .map(|name| {
                let name = String::from_utf8_lossy(name);
                name.trim_start_matches('\u{feff}').trim().to_owned()
            })
            .collect();
        if let Some(columns) = compact::Columns::of(&names)? {
            return Ok(Self::Compact(columns));
        }
        let detailed = ["EXCH_ID", "SECURITY_ID", "UNDERLYING_SYMBOL"];
        // The detailed layout is also met with tabs between its columns.
        if detailed
            .iter()
            .all(|wanted| names.iter().any(|name| name.contains(wanted)))
        {
            return Err(Error::DetailedLayout);
        }
        Err(Error::NotAMaster {
            first_line: names.join(",").chars().take(80).collect(),
        })
    }

    fn decode<'r>(&self, record: &'r ByteRecord, as_of: Date) -> Result<Decoded<'r>, Reject> {
        match self {
            Self::Compact(columns) => columns.decode(record, as_of),
        }
    }
}

/// Loads a master, plain or gzip by its first bytes.
pub(crate) fn load(mut reader: impl Read, options: &LoadOptions) -> Result<Registry, Error> {
    let mut head = Vec::with_capacity(GZIP.len());
    reader
        .by_ref()
        .take(GZIP.len() as u64)
        .read_to_end(&mut head)
        .map_err(|source| Error::Read { line: 0, source })?;
    let is_gzip = head == GZIP;
    let input = Cursor::new(head).chain(reader);
    if is_gzip {
        let input = MultiGzDecoder::new(BufReader::with_capacity(BUFFER, input));
        load_plain(input, options).map_err(|error| match error {
            Error::Read { line, source } if is_damage(&source) => Error::Gzip { line, source },
            other => other,
        })
    } else {
        load_plain(input, options)
    }
}

fn is_damage(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof | ErrorKind::InvalidInput | ErrorKind::InvalidData
    )
}

fn load_plain(input: impl Read, options: &LoadOptions) -> Result<Registry, Error> {
    let mut csv = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(BUFFER)
        .from_reader(input);
    let mut record = ByteRecord::new();
    if !read(&mut csv, &mut record)? {
        return Err(Error::Empty);
    }
    let layout = Layout::of(&record)?;
    let mut builder = Builder::default();
    let mut report = LoadReport::default();
    while read(&mut csv, &mut record)? {
        report.rows += 1;
        let outcome = match layout.decode(&record, options.as_of) {
            Ok(Decoded::Row(draft)) => builder.add(&draft),
            Ok(Decoded::Skip(reason)) => {
                *report.skipped.entry(reason).or_default() += 1;
                Ok(())
            }
            Err(reject) => Err(reject),
        };
        if let Err(Reject { field, reason }) = outcome {
            report.rejected += 1;
            if report.samples.len() < MAX_SAMPLES {
                report.samples.push(Rejection {
                    line: line_of(&record),
                    field,
                    reason,
                });
            }
        }
    }
    if report.rows == 0 {
        return Err(Error::NoRows);
    }
    if report.rejected as f64 > report.rows as f64 * options.max_rejected_share {
        return Err(Error::TooManyRejected {
            rejected: report.rejected,
            rows: report.rows,
            max_share: options.max_rejected_share,
            samples: report.samples,
        });
    }
    Ok(builder.finish(options.as_of, report))
}

/// Reads the next record; false at the end.
fn read(csv: &mut csv::Reader<impl Read>, record: &mut ByteRecord) -> Result<bool, Error> {
    let before = csv.position().line();
    let more = csv.read_byte_record(record).map_err(|error| {
        let line = before.saturating_sub(1);
        let source = match error.into_kind() {
            csv::ErrorKind::Io(source) => source,
            // Lengths may differ and nothing is decoded here: only reading can fail.
            other => std::io::Error::other(format!("{other:?}")),
        };
        Error::Read { line, source }
    })?;
    // A field never has a line break in it, so this is a quote left open, which
    // swallows rows. Blank lines, which are no rows, also make the lines go on.
    if csv.position().line() > before + 1 && record.as_slice().contains(&b'\n') {
        return Err(Error::OpenQuote { line: before });
    }
    Ok(more)
}

fn line_of(record: &ByteRecord) -> u64 {
    record.position().map_or(0, csv::Position::line)
}
