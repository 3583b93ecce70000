//! The text of a calculated chain with the last quotes of its contracts.
//!
//! What a calculation fixes is written once. A quote is written again when its row was
//! written since; what lies between is copied from the text of the last read.

use core::ops::Range;
use std::sync::OnceLock;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::Serialize;
use strikewire_chain::at_the_money;
use strikewire_fanout::json;
use strikewire_quotes::{Mark, Table};
use strikewire_types::{InstrumentKey, Mode, Price, Strike};

use crate::ChainAnswer;
use crate::handle::render;

/// About how long the quote of a contract with depth is.
const QUOTE: usize = 900;
/// By how much a text may grow from one read to the next without being moved.
const SLACK: usize = 4096;

/// The text of a chain, shared by all who read the same calculation.
#[derive(Debug, Default)]
pub(crate) struct Page {
    fixed: OnceLock<Fixed>,
    /// The text of the last read. Who finds it in use writes all quotes anew.
    last: Mutex<Option<Last>>,
}

/// What stays as long as the calculation does.
#[derive(Debug)]
struct Fixed {
    /// Up to what the underlying's live price decides.
    head: String,
    /// From there to the quotes.
    middle: String,
    legs: Vec<Leg>,
}

#[derive(Debug)]
struct Leg {
    key: InstrumentKey,
    /// The token as the name of a member.
    name: String,
}

#[derive(Debug)]
struct Last {
    text: Bytes,
    /// What the underlying's live price decided.
    live: String,
    /// Of each contract, the state of its row and where its text ends.
    quotes: Vec<(Option<Mark>, usize)>,
    /// Where the text of the first contract begins.
    start: usize,
}

impl Fixed {
    fn new(answer: &ChainAnswer) -> Self {
        let mut view = render(answer);
        // Where the live members stand, and that none of them is left.
        (view.price_stale, view.live_ltp, view.live_atm_strike) = (false, None, None);
        let text = serde_json::to_string(&view).unwrap_or_default();
        let (head, middle) = text
            .split_once(r#""price_stale":false"#)
            .unwrap_or((&text, ""));
        let mut middle = middle.to_owned();
        // The object goes on.
        middle.pop();
        middle.push_str(r#","quotes":{"#);
        let legs = answer.span.legs(&answer.registry).map(|(idx, _, _)| {
            let contract = answer.registry.instrument(idx);
            Leg {
                key: contract.key(),
                name: format!("{}:", serde_json::Value::from(contract.token())),
            }
        });
        Self {
            head: head.to_owned(),
            middle,
            legs: legs.collect(),
        }
    }
}

/// The members that the underlying's live price decides.
#[derive(Serialize)]
struct Live {
    price_stale: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    live_ltp: Option<Price>,
    #[serde(skip_serializing_if = "Option::is_none")]
    live_atm_strike: Option<Strike>,
}

/// Those of an answer, without the braces of their object.
fn live_members(answer: &ChainAnswer) -> String {
    let rungs = answer.registry.ladder_at(answer.span.ladder).rungs();
    let live_ltp = answer.live.map(|live| live.price);
    let atm = live_ltp.and_then(|price| at_the_money(rungs, price));
    let live = Live {
        price_stale: answer.price_stale(),
        live_ltp,
        live_atm_strike: atm.map(|rung| rungs[rung].strike),
    };
    let mut text = serde_json::to_string(&live).unwrap_or_default();
    text.pop();
    text.split_off(1)
}

impl Page {
    /// The chain and the quotes that its contracts have now, as a JSON object; and whether
    /// the page has a text from now on, and had none before.
    pub(crate) fn write(&self, answer: &ChainAnswer, table: &Table) -> (Bytes, bool) {
        let fixed = self.fixed.get_or_init(|| Fixed::new(answer));
        let live = live_members(answer);
        let Some(mut last) = self.last.try_lock() else {
            return (fixed.write(table, live, None).text, false);
        };
        // Not there should writing fail half-way.
        let before = last.take();
        let is_new = before.is_none();
        let next = fixed.write(table, live, before);
        let text = next.text.clone();
        *last = Some(next);
        (text, is_new)
    }

    /// Frees what only makes the next read faster.
    pub(crate) fn forget(&self) {
        *self.last.lock() = None;
    }
}

impl Fixed {
    /// The text now, made of the last one where that is still true.
    fn write(&self, table: &Table, live: String, last: Option<Last>) -> Last {
        let Some(last) = last else {
            let capacity = self.head.len() + self.middle.len() + self.legs.len() * QUOTE;
            let (mut text, start) = self.begin(&live, capacity);
            let quotes = self.legs.iter().map(|leg| {
                let mark = table.mark(leg.key);
                leg.write(&mut text, table);
                (mark, text.len())
            });
            let quotes = quotes.collect();
            return end(text, live, start, quotes);
        };
        let Last {
            text: old,
            live: old_live,
            mut quotes,
            start: old_start,
        } = last;
        let is_new = |(leg, quote): (&Leg, &(Option<Mark>, usize))| table.mark(leg.key) != quote.0;
        let mut each = self.legs.iter().zip(&quotes);
        let first = each.position(is_new);
        if first.is_none() && old_live == live {
            return Last {
                text: old,
                live,
                quotes,
                start: old_start,
            };
        }
        let first = first.unwrap_or(quotes.len());
        let (mut text, start) = self.begin(&live, old.len() + SLACK);
        let old_end = quotes.last().map_or(old_start, |quote| quote.1);
        // What is not yet copied of the old text.
        let mut run = old_start..old_start;
        for (place, (leg, quote)) in self.legs.iter().zip(&mut quotes).enumerate() {
            let (old_mark, leg_end) = *quote;
            // Those before the first that changed were looked at.
            let mark = if place < first {
                old_mark
            } else {
                table.mark(leg.key)
            };
            if mark == old_mark {
                run.end = leg_end;
            } else {
                copy(&mut text, &old, run, old_end);
                leg.write(&mut text, table);
                run = leg_end..leg_end;
            }
            *quote = (mark, text.len() + run.len());
        }
        copy(&mut text, &old, run, old_end);
        end(text, live, start, quotes)
    }

    /// The text up to the first quote, and where that begins.
    fn begin(&self, live: &str, capacity: usize) -> (Vec<u8>, usize) {
        let mut text = Vec::with_capacity(capacity);
        for part in [&self.head, live, &self.middle] {
            text.extend_from_slice(part.as_bytes());
        }
        let start = text.len();
        (text, start)
    }
}

impl Leg {
    /// Writes the contract's member and a comma, if it has a quote.
    fn write(&self, text: &mut Vec<u8>, table: &Table) {
        if let Some(quote) = table.quote(self.key) {
            text.extend_from_slice(self.name.as_bytes());
            json::write_quote(text, &quote, Mode::Full);
            text.push(b',');
        }
    }
}

/// Copies quotes from an old text. The last of them, which ends at `end`, has a brace there
/// instead of its comma.
fn copy(text: &mut Vec<u8>, old: &[u8], run: Range<usize>, end: usize) {
    let is_last = run.end == end && !run.is_empty();
    text.extend_from_slice(&old[run]);
    if is_last {
        text.pop();
        text.push(b',');
    }
}

/// Ends a text after the comma of its last quote, or without quotes.
fn end(mut text: Vec<u8>, live: String, start: usize, quotes: Vec<(Option<Mark>, usize)>) -> Last {
    if text.len() > start {
        text.pop();
    }
    text.extend_from_slice(b"}}");
    Last {
        text: text.into(),
        live,
        quotes,
        start,
    }
}
