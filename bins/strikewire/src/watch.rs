//! `strikewire watch`: live prices over the stream.

mod board;
mod link;
mod message;
mod view;

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use strikewire_chain::Width;
use strikewire_types::{Exchange, Expiry, Mode, ParseError};
use tokio::time::{Instant, MissedTickBehavior};

use self::board::{Board, Change, again};
use self::link::{Ended, Link};
use self::message::{ChainWish, Wish};
use crate::arguments::width;
use crate::client::{Client, Server};
use crate::output::Output;
use crate::signals::stopped;
use crate::terminal::Page;

/// How often a table is drawn again, if something has changed.
const DRAW_EVERY: Duration = Duration::from_millis(100);
/// How long `--json` waits for first values.
const FIRST_VALUES: Duration = Duration::from_secs(10);
/// The first wait before a lost connection is made again; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(15);

#[derive(Debug, Args)]
pub(crate) struct WatchArguments {
    /// SEGMENT:ID or tokens: NSE_FNO:35060, RELIANCE, RELIANCE_24FEB2026_1440CE
    #[arg(value_name = "TOKEN", required_unless_present = "chain")]
    tokens: Vec<String>,
    /// A chain too, of the nearest expiry unless one is named; it follows the price
    #[arg(long, num_args = 1..=2, value_names = ["SYMBOL", "EXPIRY"])]
    chain: Vec<String>,
    /// How many strikes of the chain: odd, 1 to 1001
    #[arg(long, value_name = "N", value_parser = width, requires = "chain")]
    width: Option<Width>,
    /// NSE, BSE or MCX, for the chain; otherwise the first that lists it
    #[arg(long, requires = "chain")]
    exchange: Option<Exchange>,
    /// ticker, quote or full [default: full, for indices ticker]
    #[arg(long)]
    mode: Option<Mode>,
    /// How many milliseconds are put together: 0, 100, 250, 500 or 1000
    #[arg(long, value_name = "MS", default_value_t = 250, value_parser = every)]
    every: u32,
    /// Stop after so many seconds [default: until interrupted; with --json 10, or sooner when
    /// everything has a value]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    #[command(flatten)]
    server: Server,
}

fn every(text: &str) -> Result<u32, ParseError> {
    let every = text
        .parse()
        .ok()
        .filter(|ms| [0, 100, 250, 500, 1000].contains(ms));
    every.ok_or_else(|| ParseError::new(text, "0, 100, 250, 500 or 1000 milliseconds"))
}

fn seconds(text: &str) -> Result<Duration, ParseError> {
    let seconds = text
        .parse::<f64>()
        .ok()
        .filter(|seconds| (0.1..=1e6).contains(seconds));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| ParseError::new(text, "a number of seconds from 0.1 to 1000000"))
}

impl WatchArguments {
    fn wish(&self) -> anyhow::Result<Wish> {
        let chain = match self.chain.as_slice() {
            [] => None,
            [symbol, more @ ..] => {
                let expiry = more.first().map(|text| text.parse::<Expiry>());
                Some(ChainWish {
                    symbol: symbol.clone(),
                    expiry: expiry.transpose()?,
                    exchange: self.exchange,
                    width: self.width.map(Width::get),
                })
            }
        };
        Ok(Wish {
            tokens: self.tokens.clone(),
            chain,
            mode: self.mode,
            every: self.every,
        })
    }
}

/// How it is shown.
enum Show {
    /// In place.
    Page(Page),
    /// A line per change.
    Lines,
    /// At the end.
    Document,
}

pub(crate) fn run(arguments: &WatchArguments) -> anyhow::Result<()> {
    let wish = arguments.wish()?;
    let client = Client::new(&arguments.server)?;
    let is_json = arguments.server.format.json;
    let show = match Page::new() {
        _ if is_json => Show::Document,
        Some(page) => Show::Page(page),
        None => Show::Lines,
    };
    let limit = arguments
        .timeout
        .or_else(|| is_json.then_some(FIRST_VALUES));
    client.block_on(async {
        Watch {
            client: &client,
            board: Board::new(&wish),
            wish: &wish,
            show,
            out: Output::new(),
            is_dirty: true,
        }
        .run(limit)
        .await
    })
}

struct Watch<'a> {
    client: &'a Client,
    wish: &'a Wish,
    board: Board,
    show: Show,
    out: Output,
    /// Whether something is not shown yet.
    is_dirty: bool,
}

impl Watch<'_> {
    /// Until interrupted, the time is up, or everything asked for is there.
    async fn run(mut self, limit: Option<Duration>) -> anyhow::Result<()> {
        let mut stop = std::pin::pin!(stopped().context("cannot listen for signals")?);
        let mut time_is_up = std::pin::pin!(async {
            match limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        });
        let mut failures = 0;
        let is_late = loop {
            let since = Instant::now();
            let ended = tokio::select! {
                () = &mut stop => break false,
                () = &mut time_is_up => break true,
                ended = self.session() => ended?,
            };
            let lost = match ended {
                Ended::Done => break false,
                Ended::Refused(error) => return Err(error),
                // Nothing was ever there to be waited for.
                Ended::Lost { why, .. } if !self.board.was_served() => return Err(why),
                Ended::Lost { why, after } => (why, after),
            };
            // One that held for a while has made up for those before it.
            if since.elapsed() > LONGEST_WAIT {
                failures = 0;
            }
            failures += 1;
            let wait = lost.1.unwrap_or_else(|| backoff(failures));
            self.board.lost(&format!("{:#}", lost.0), wait);
            self.note(&format!("{:#}; {}", lost.0, again(wait)))?;
            self.draw()?;
            tokio::select! {
                () = &mut stop => break false,
                () = &mut time_is_up => break true,
                () = tokio::time::sleep(wait) => {}
            }
        };
        if let Some(limit) = limit.filter(|_| is_late && !self.board.was_served()) {
            bail!(
                "the server at {} has not given what was asked for within {limit:?}",
                self.client.server()
            );
        }
        match self.show {
            Show::Document => self.out.json(&self.board.document()),
            Show::Page(_) => self.draw(),
            Show::Lines => Ok(()),
        }
    }

    /// One connection, until it ends.
    async fn session(&mut self) -> anyhow::Result<Ended> {
        let mut link = match Link::open(self.client, self.wish, self.board.place()).await {
            Ok(link) => link,
            Err(ended) => return Ok(ended),
        };
        self.is_dirty = true;
        let mut drawing = tokio::time::interval(DRAW_EVERY);
        drawing.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = link.next() => match message {
                    Ok(Some(message)) => {
                        let change = self.board.apply(message);
                        if let Some(ended) = self.shown(change)? {
                            return Ok(ended);
                        }
                    }
                    Ok(None) => {}
                    Err(ended) => return Ok(ended),
                },
                _ = drawing.tick() => self.draw()?,
            }
        }
    }

    /// Shows what has changed; says so when that ends the connection.
    fn shown(&mut self, change: Change) -> anyhow::Result<Option<Ended>> {
        self.is_dirty = true;
        match change {
            Change::Nothing => {}
            Change::Quotes(tokens) => {
                if matches!(self.show, Show::Lines) {
                    let lines = view::lines(&self.board, &tokens);
                    if !lines.is_empty() {
                        self.out.lines(&lines)?;
                    }
                }
                if matches!(self.show, Show::Document) && self.board.is_complete() {
                    return Ok(Some(Ended::Done));
                }
            }
            Change::Note(note) => self.note(&note)?,
            Change::Lost => {
                let why = anyhow::anyhow!("messages of the chain are missing");
                return Ok(Some(Ended::Lost {
                    why,
                    after: Some(Duration::ZERO),
                }));
            }
            Change::Refused(problem) => {
                let why = anyhow::anyhow!("{}", self.client.explained(&problem, None));
                return Ok(Some(link::refused(&problem, why)));
            }
        }
        Ok(None)
    }

    fn draw(&mut self) -> anyhow::Result<()> {
        if let Show::Page(page) = &mut self.show
            && core::mem::take(&mut self.is_dirty)
        {
            let text = view::page(&self.board, self.client.server(), Page::rows());
            page.draw(&mut self.out, &text)?;
        }
        Ok(())
    }

    /// Says something that is no price; on a page it is part of the page.
    fn note(&mut self, note: &str) -> anyhow::Result<()> {
        if !matches!(self.show, Show::Page(_)) {
            // Nobody is left to tell when this fails.
            let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{note}\n"));
        }
        Ok(())
    }
}

/// How long to wait after that many failures.
fn backoff(failures: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    FIRST_WAIT.saturating_mul(doubled).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use proptest::prelude::*;

    use super::*;
    use crate::arguments::{Arguments, Command};

    fn parsed(more: &[&str]) -> Result<WatchArguments, clap::Error> {
        let line = [&["strikewire", "watch"], more].concat();
        match Arguments::try_parse_from(line)?.command {
            Command::Watch(arguments) => Ok(arguments),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_asked_becomes_a_wish() {
        let wish = |more: &[&str]| parsed(more).unwrap().wish().unwrap();
        let both = wish(&[
            "NIFTY",
            "IDX_I:25",
            "--chain",
            "NIFTY",
            "2026-02-10",
            "--width",
            "11",
            "--mode",
            "quote",
            "--every",
            "1000",
        ]);
        assert_eq!(both.tokens, ["NIFTY", "IDX_I:25"]);
        let chain = both.chain.unwrap();
        assert_eq!(chain.symbol, "NIFTY");
        assert_eq!(chain.expiry.unwrap().to_string(), "10FEB2026");
        assert_eq!((chain.width, both.every), (Some(11), 1000));
        assert!(wish(&["--chain", "NIFTY"]).chain.unwrap().expiry.is_none());
        for bad in [
            &[][..],
            &["NIFTY", "--width", "11"],
            &["NIFTY", "--every", "300"],
            &["NIFTY", "--timeout", "0"],
            &["NIFTY", "--mode", "depth"],
        ] {
            assert!(parsed(bad).is_err(), "{bad:?}");
        }
        let error = parsed(&["--chain", "NIFTY", "soon"]).unwrap().wish();
        assert!(error.unwrap_err().to_string().contains("soon"));
    }

    #[test]
    fn waits_double_up_to_a_limit() {
        let waits: Vec<u128> = (1..=7).map(|n| backoff(n).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
    }

    proptest! {
        #[test]
        fn no_number_panics(text in ".*", number: f64) {
            for text in [text, number.to_string()] {
                let _ = (every(&text), seconds(&text));
            }
        }
    }
}
