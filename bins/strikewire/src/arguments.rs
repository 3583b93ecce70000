//! What can be written on the command line. The doc comments are the help texts.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use jiff::civil::Date;
use strikewire_chain::Width;
use strikewire_registry::{Error, Kind, LoadOptions, Registry};
use strikewire_types::{Clock, Exchange, Expiry, ParseError, Price, Segment, ist_date};

use crate::admin::AdminCommand;
use crate::auth::AuthCommand;
use crate::help;
use crate::instruments::fetch::FetchArguments;
use crate::plan::PlanArguments;
use crate::progress::{Progress, Reading, Unit};
use crate::sim::SimArguments;
use crate::status::StatusArguments;
use crate::subs::SubsCommand;
use crate::terminal::Color;
use crate::watch::WatchArguments;
use crate::watchlist::WatchlistCommand;

/// Instruments, option chains, a stand-in for the broker, and questions to a server
#[derive(Debug, Parser)]
#[command(name = "strikewire", version, after_help = help::TOP, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// Colours: auto is on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: Color,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// What an instrument master lists
    #[command(subcommand)]
    Instruments(InstrumentsCommand),
    /// The strikes around the money of one expiry at a given price
    #[command(after_help = help::CHAIN)]
    Chain(ChainArguments),
    /// What the always-on part of a configuration takes, before any server runs
    #[command(after_help = help::PLAN)]
    Plan(PlanArguments),
    /// A stand-in for the broker's feed that serves any instrument of a master
    #[command(after_help = help::SIM)]
    Sim(SimArguments),
    /// How a server stands: sockets, slots, tiers, rates and health
    #[command(after_help = help::STATUS)]
    Status(StatusArguments),
    /// Live prices of instruments or of a chain
    #[command(after_help = help::WATCH)]
    Watch(WatchArguments),
    /// What a server is subscribed to, and for whom
    #[command(subcommand)]
    Subs(SubsCommand),
    /// The watchlist of a user
    #[command(subcommand)]
    Watchlist(WatchlistCommand),
    /// What operators of a server do
    #[command(subcommand)]
    Admin(AdminCommand),
    /// API keys of a server
    #[command(subcommand)]
    Auth(AuthCommand),
    /// A completion script for a shell
    #[command(after_help = help::COMPLETIONS)]
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum InstrumentsCommand {
    /// What became of the rows of a master
    #[command(after_help = help::STATS)]
    Stats {
        #[command(flatten)]
        master: Master,
        #[command(flatten)]
        format: Format,
    },
    /// One instrument by its key or token
    #[command(after_help = help::FIND)]
    Find {
        #[command(flatten)]
        master: Master,
        /// SEGMENT:ID or a token: NSE_FNO:35060, RELIANCE, RELIANCE_24FEB2026_1440CE,
        /// GOLD_02APR2026_FUT, BSE:RELIANCE; the year may be left out
        #[arg(value_name = "REF")]
        reference: String,
        #[command(flatten)]
        format: Format,
    },
    /// Instruments that fit some words, the best first
    #[command(after_help = help::SEARCH)]
    Search {
        #[command(flatten)]
        master: Master,
        /// Words in any order: part of a symbol or company, an expiry, a strike, CE, PE,
        /// FUT, an exchange
        #[arg(required = true)]
        query: Vec<String>,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = limit)]
        limit: usize,
        /// Only of this segment, such as NSE_FNO
        #[arg(long)]
        segment: Option<Segment>,
        /// Only of this kind, such as OPTSTK
        #[arg(long)]
        kind: Option<Kind>,
        #[command(flatten)]
        format: Format,
    },
    /// When options on a symbol expire (futures, if there are no options), soonest first
    #[command(after_help = help::EXPIRIES)]
    Expiries {
        #[command(flatten)]
        master: Master,
        /// The underlying, such as NIFTY
        symbol: String,
        /// NSE, BSE or MCX; otherwise the first that lists contracts on it
        #[arg(long)]
        exchange: Option<Exchange>,
        #[command(flatten)]
        format: Format,
    },
    /// All strikes of an expiry with the contracts on them
    #[command(after_help = help::LADDER)]
    Ladder {
        #[command(flatten)]
        master: Master,
        /// The underlying, such as NIFTY
        symbol: String,
        /// Such as 24FEB2026, 24-Feb-2026 or 2026-02-24
        expiry: Expiry,
        /// NSE, BSE or MCX; otherwise the first that lists that expiry
        #[arg(long)]
        exchange: Option<Exchange>,
        #[command(flatten)]
        format: Format,
    },
    /// What changed from one master to another: contracts that came and went, ids that mean
    /// another contract, expiries that were moved, lots and ticks
    #[command(after_help = help::DIFF)]
    Diff {
        /// The older master in the compact layout, .csv or .csv.gz
        old: PathBuf,
        /// The newer one; of both, contracts that expired before the day are left out
        new: PathBuf,
        #[command(flatten)]
        day: Day,
        #[command(flatten)]
        format: Format,
    },
    /// Makes a realistic master in the compact layout; the same arguments, the same bytes
    #[command(after_help = help::GENERATE)]
    Generate {
        #[command(flatten)]
        day: Day,
        /// How many rows, 2000 to 400000
        #[arg(long, value_name = "N", default_value_t = strikewire_dhan_sim::generate::Spec::DEFAULT_ROWS)]
        rows: usize,
        /// Chooses ids, prices and made-up names
        #[arg(long, value_name = "N", default_value_t = 1)]
        seed: u64,
        /// Where to write it; compressed when the name ends in .gz
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        #[command(flatten)]
        format: Format,
    },
    /// Fetches the broker's own master
    #[command(after_help = help::FETCH)]
    Fetch(FetchArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ChainArguments {
    #[command(flatten)]
    pub(crate) master: Master,
    /// The underlying, such as RELIANCE
    pub(crate) symbol: String,
    /// Such as 24FEB2026, 24-Feb-2026 or 2026-02-24
    pub(crate) expiry: Expiry,
    /// The underlying's price in rupees
    #[arg(long, value_name = "P", value_parser = price, allow_hyphen_values = true)]
    pub(crate) ltp: Price,
    /// How many strikes: odd, 1 to 1001 [default: 25 for stocks, 101 for indices, 51 for others]
    #[arg(long, value_name = "N", value_parser = width)]
    pub(crate) width: Option<Width>,
    /// NSE, BSE or MCX; otherwise the first that lists that expiry
    #[arg(long)]
    pub(crate) exchange: Option<Exchange>,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// How to answer.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Format {
    /// One JSON document instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which day it is.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Day {
    /// The day to go by, as 2026-02-09, 09FEB2026 or 9-Feb-2026 [default: today in India]
    #[arg(long, value_name = "DATE", value_parser = date)]
    as_of: Option<Date>,
}

impl Day {
    pub(crate) fn get(self) -> Date {
        self.get_or(|| None)
    }

    /// As given, else `other`, else today.
    pub(crate) fn get_or(self, other: impl FnOnce() -> Option<Date>) -> Date {
        self.as_of
            .or_else(other)
            .unwrap_or_else(|| ist_date(Clock::system().now().utc))
    }
}

/// A master to be asked about.
#[derive(Debug, Args)]
pub(crate) struct Master {
    /// The instrument master in the compact layout, .csv or .csv.gz
    file: PathBuf,
    #[command(flatten)]
    day: Day,
}

impl Master {
    pub(crate) fn load(&self) -> anyhow::Result<Registry> {
        load(&self.file, self.day.get())
    }
}

pub(crate) fn load(file: &Path, as_of: Date) -> anyhow::Result<Registry> {
    let open = |source| Error::Open {
        path: file.to_owned(),
        source,
    };
    let opened = File::open(file).map_err(open)?;
    // A pipe has no length.
    let about = opened.metadata().map_err(open)?;
    let length = about.is_file().then_some(about.len());
    let progress = Progress::new(file.display().to_string(), Unit::Bytes, length);
    Registry::from_reader(Reading::new(opened, progress), &LoadOptions::new(as_of))
        .with_context(|| format!("cannot load {}", file.display()))
}

fn date(text: &str) -> Result<Date, ParseError> {
    text.parse()
        .map(Expiry::date)
        .map_err(|_| ParseError::new(text, "a date such as 2026-02-09, 09FEB2026 or 9-Feb-2026"))
}

pub(crate) fn price(text: &str) -> Result<Price, ParseError> {
    text.parse()
        .ok()
        .filter(|price| *price > Price::ZERO)
        .ok_or_else(|| {
            ParseError::new(
                text,
                "a price in rupees above 0 with at most four decimals, such as 1440.05",
            )
        })
}

pub(crate) fn width(text: &str) -> Result<Width, ParseError> {
    let strikes = text
        .parse()
        .ok()
        .and_then(|strikes| Width::new(strikes).ok());
    strikes.ok_or_else(|| ParseError::new(text, "an odd number of strikes from 1 to 1001"))
}

pub(crate) fn limit(text: &str) -> Result<usize, ParseError> {
    let limit = text.parse().ok().filter(|limit| (1..=1000).contains(limit));
    limit.ok_or_else(|| ParseError::new(text, "a number from 1 to 1000"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_fit_together() {
        Arguments::command().debug_assert();
    }

    /// Every command that does something.
    fn leaves(command: &clap::Command, path: &str, found: &mut Vec<(String, String)>) {
        for command in command.get_subcommands() {
            let path = format!("{path} {}", command.get_name());
            if command.has_subcommands() {
                leaves(command, &path, found);
            } else {
                let after = command.get_after_help();
                found.push((path, after.map(ToString::to_string).unwrap_or_default()));
            }
        }
    }

    #[test]
    fn every_command_has_an_example_that_is_understood() {
        let command = Arguments::command();
        let mut found = vec![("strikewire".to_owned(), help::TOP.to_owned())];
        leaves(&command, "strikewire", &mut found);
        assert!(found.len() > 20, "{found:?}");
        for (path, text) in found {
            let mut examples = 0;
            let lines = text.lines().map(str::trim);
            for line in lines.filter(|line| line.starts_with("strikewire ")) {
                assert!(line.starts_with(&path), "{line} is none of {path}");
                let end = [" | ", " > ", "     "]
                    .iter()
                    .filter_map(|end| line.find(end));
                let line = &line[..end.min().unwrap_or(line.len())];
                let parsed = Arguments::try_parse_from(line.split_whitespace());
                assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
                examples += 1;
            }
            assert!(examples > 0, "{path} has no example");
        }
    }

    #[test]
    fn a_day_has_three_spellings() {
        let day = Date::constant(2026, 2, 9);
        for text in ["2026-02-09", "09FEB2026", "9-Feb-2026"] {
            assert_eq!(date(text), Ok(day), "{text}");
        }
        for text in ["", "today", "2026-02-30", "9FEB"] {
            assert!(date(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_are_checked_where_they_are_written() {
        assert_eq!(price("1440.05"), Ok(Price::from_raw(14_400_500)));
        for text in ["0", "-1", "nan", "inf", "1e3", ""] {
            assert!(price(text).is_err(), "{text}");
        }
        assert_eq!(width("25").map(Width::get), Ok(25));
        for text in ["0", "24", "1003", "-1", "4294967297", "x"] {
            assert!(width(text).is_err(), "{text}");
        }
        assert_eq!(limit("1000"), Ok(1000));
        assert!(limit("0").is_err());
    }
}
