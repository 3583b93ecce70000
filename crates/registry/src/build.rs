//! From rows to indexes.

use core::ops::Range;

use jiff::civil::Date;
use strikewire_types::{Exchange, Expiry, InstrumentKey, OptionType, SecurityId, Segment, Strike};

use crate::ladder::{LadderRow, Rung};
use crate::load::{Draft, Reject, Terms};
use crate::pages::Pages;
use crate::symbols::{MAX_TEXT, SymbolId, Symbols};
use crate::{InstrumentIdx, Kind, LoadReport, Registry};

/// One instrument; texts lie in the registry's arena.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// In raw units; 0 unless it is an option.
    pub(crate) strike: i64,
    pub(crate) id: SecurityId,
    pub(crate) symbol: SymbolId,
    pub(crate) name_at: u32,
    pub(crate) lot: u32,
    /// In raw units.
    pub(crate) tick: u32,
    /// Means nothing unless it is a derivative.
    pub(crate) expiry: Expiry,
    pub(crate) series: u16,
    pub(crate) name_len: u8,
    pub(crate) kind: Kind,
    pub(crate) segment: Segment,
    pub(crate) exchange: Exchange,
    pub(crate) option_type: Option<OptionType>,
    /// The readable token would mean another instrument too, so it is `SEGMENT:ID`.
    pub(crate) token_is_key: bool,
}

impl Row {
    pub(crate) const fn key(&self) -> InstrumentKey {
        InstrumentKey {
            segment: self.segment,
            id: self.id,
        }
    }
}

/// What is listed on one symbol at one exchange, besides cash.
#[derive(Debug)]
pub(crate) struct Underlying {
    pub(crate) symbol: SymbolId,
    pub(crate) exchange: Exchange,
    /// Ladders by expiry.
    pub(crate) ladders: Range<u32>,
    /// Places in the list of futures, by expiry.
    pub(crate) futures: Range<u32>,
}

/// Collects rows in the order of the file.
#[derive(Default)]
pub(crate) struct Builder {
    rows: Vec<Row>,
    texts: String,
    series: Vec<String>,
    symbols: Symbols,
    pages: Pages,
    /// Rows come in groups of one underlying.
    last_symbol: Option<SymbolId>,
}

impl Builder {
    /// Takes a row, unless its key was there before or its texts are too long.
    pub(crate) fn add(&mut self, draft: &Draft<'_>) -> Result<(), Reject> {
        let reject = |field, reason: String| Err(Reject { field, reason });
        let too_long =
            || format!("a text is longer than {MAX_TEXT} bytes, or all of them are too long");
        let row = u32::try_from(self.rows.len())
            .ok()
            .filter(|row| *row < u32::MAX);
        let (Some(row), Ok(name_at)) = (row, u32::try_from(self.texts.len())) else {
            return reject("row", "the file is too large".to_owned());
        };
        let Ok(name_len) = u8::try_from(draft.name.len()) else {
            return reject("name", too_long());
        };
        let Some(symbol) = self.symbol(draft.symbol) else {
            return reject("symbol", too_long());
        };
        let Some(series) = self.series(draft.series) else {
            return reject(
                "series",
                format!("`{}` is one series too many", draft.series),
            );
        };
        if !self.pages.insert(draft.key, row) {
            return reject(
                "security id",
                format!("{} was given to an earlier row", draft.key),
            );
        }
        self.texts.push_str(draft.name);
        let (expiry, strike, option_type) = match draft.terms {
            Terms::Cash => (Expiry::new(Date::ZERO), 0, None),
            Terms::Future(expiry) => (expiry, 0, None),
            Terms::Option(expiry, strike, option_type) => (expiry, strike.raw(), Some(option_type)),
        };
        self.rows.push(Row {
            strike,
            id: draft.key.id,
            symbol,
            name_at,
            lot: draft.lot,
            tick: draft.tick.raw(),
            expiry,
            series,
            name_len,
            kind: draft.kind,
            segment: draft.key.segment,
            exchange: draft.exchange,
            option_type,
            token_is_key: false,
        });
        Ok(())
    }

    fn symbol(&mut self, name: &str) -> Option<SymbolId> {
        if let Some(last) = self.last_symbol
            && self.symbols.get(last) == name
        {
            return Some(last);
        }
        self.last_symbol = self.symbols.intern(name);
        self.last_symbol
    }

    fn series(&mut self, name: &str) -> Option<u16> {
        let known = self.series.iter().position(|series| series == name);
        let index = known.unwrap_or(self.series.len());
        let id = u16::try_from(index).ok()?;
        if known.is_none() {
            self.series.push(name.to_owned());
        }
        Some(id)
    }

    pub(crate) fn finish(self, as_of: Date, mut report: LoadReport) -> Registry {
        let Self {
            mut rows,
            mut texts,
            series,
            symbols,
            mut pages,
            ..
        } = self;
        let (symbols, new_ids) = symbols.sorted();
        for row in &mut rows {
            row.symbol = new_ids[row.symbol.index()];
        }
        rows.shrink_to_fit();
        texts.shrink_to_fit();
        pages.shrink();
        for row in &rows {
            *report.by_segment.entry(row.segment).or_default() += 1;
            report.option_contracts += u64::from(row.kind.is_option());
        }
        report.loaded = rows.len() as u64;

        let (cash, cash_from) = cash(&rows, symbols.len());
        let (rungs, ladders, twins) = ladders(&rows);
        let futures = futures(&rows);
        let (underlyings, underlyings_from) = underlyings(&rows, &ladders, &futures, symbols.len());
        report.underlyings = underlyings.len() as u64;
        for twin in twins {
            rows[twin as usize].token_is_key = true;
        }
        let mut registry = Registry {
            as_of,
            report,
            rows,
            texts,
            series,
            symbols,
            pages,
            cash,
            cash_from,
            rungs,
            ladders,
            futures,
            underlyings,
            underlyings_from,
        };
        registry.find_price_sources();
        registry.settle_tokens();
        registry
    }
}

/// Cash rows by symbol; those of symbol `n` from `from[n]` up to `from[n + 1]`.
fn cash(rows: &[Row], symbols: usize) -> (Vec<u32>, Vec<u32>) {
    let mut cash: Vec<u32> = (0..rows.len() as u32)
        .filter(|row| !rows[*row as usize].kind.is_derivative())
        .collect();
    cash.sort_by_key(|row| rows[*row as usize].symbol);
    let from = starts(symbols, cash.iter().map(|row| rows[*row as usize].symbol));
    (cash, from)
}

/// Where each symbol begins in a list that is sorted by symbol.
fn starts(symbols: usize, sorted: impl Iterator<Item = SymbolId>) -> Vec<u32> {
    let mut from = vec![0; symbols + 1];
    for symbol in sorted {
        from[symbol.index() + 1] += 1;
    }
    for i in 1..from.len() {
        from[i] += from[i - 1];
    }
    from
}

/// The order of ladders, rungs in a ladder and legs in a rung. The row comes last:
/// of two rows for one leg the earlier one is first.
type LegKey = (
    SymbolId,
    Exchange,
    Expiry,
    Kind,
    i64,
    Option<OptionType>,
    u32,
);

/// All rungs, ladder after ladder; the ladders; and the rows that are the same
/// contract as an earlier one.
fn ladders(rows: &[Row]) -> (Vec<Rung>, Vec<LadderRow>, Vec<u32>) {
    let mut legs: Vec<LegKey> = rows
        .iter()
        .enumerate()
        .filter(|(_, row)| row.kind.is_option())
        .map(|(index, row)| {
            let index = index as u32;
            (
                row.symbol,
                row.exchange,
                row.expiry,
                row.kind,
                row.strike,
                row.option_type,
                index,
            )
        })
        .collect();
    legs.sort_unstable();
    let mut rungs: Vec<Rung> = Vec::with_capacity(legs.len() / 2);
    let mut ladders: Vec<LadderRow> = Vec::new();
    let mut twins = Vec::new();
    for (symbol, exchange, expiry, kind, strike, option_type, row) in legs {
        let is_same = |ladder: &LadderRow| {
            (ladder.symbol, ladder.exchange, ladder.expiry, ladder.kind)
                == (symbol, exchange, expiry, kind)
        };
        let end = rungs.len() as u32;
        if !ladders.last().is_some_and(is_same) {
            let lot = rows[row as usize].lot;
            ladders.push(LadderRow {
                symbol,
                exchange,
                kind,
                expiry,
                rungs: end..end,
                lot,
                price_source: None,
            });
        }
        let Some(ladder) = ladders.last_mut() else {
            continue;
        };
        let strike = Strike::from_raw(strike);
        if ladder.rungs.is_empty() || rungs.last().is_none_or(|rung| rung.strike != strike) {
            rungs.push(Rung::new(strike));
            ladder.rungs.end += 1;
        }
        let (Some(rung), Some(option_type)) = (rungs.last_mut(), option_type) else {
            continue;
        };
        if !rung.set(option_type, InstrumentIdx(row)) {
            twins.push(row);
        }
    }
    rungs.shrink_to_fit();
    (rungs, ladders, twins)
}

fn futures(rows: &[Row]) -> Vec<u32> {
    let mut futures: Vec<u32> = (0..rows.len() as u32)
        .filter(|row| rows[*row as usize].kind.is_future())
        .collect();
    futures.sort_by_key(|index| {
        let row = &rows[*index as usize];
        (row.symbol, row.exchange, row.expiry, row.kind)
    });
    futures
}

fn underlyings(
    rows: &[Row],
    ladders: &[LadderRow],
    futures: &[u32],
    symbols: usize,
) -> (Vec<Underlying>, Vec<u32>) {
    let of_ladders = ladders
        .iter()
        .map(|ladder| (ladder.symbol, ladder.exchange));
    let of_futures = futures
        .iter()
        .map(|row| &rows[*row as usize])
        .map(|row| (row.symbol, row.exchange));
    let mut pairs: Vec<(SymbolId, Exchange)> =
        of_ladders.clone().chain(of_futures.clone()).collect();
    pairs.sort_unstable();
    pairs.dedup();
    let ladder_pairs: Vec<_> = of_ladders.collect();
    let future_pairs: Vec<_> = of_futures.collect();
    let range = |list: &[(SymbolId, Exchange)], pair: (SymbolId, Exchange)| {
        let start = list.partition_point(|other| *other < pair) as u32;
        let end = list.partition_point(|other| *other <= pair) as u32;
        start..end
    };
    let underlyings: Vec<Underlying> = pairs
        .into_iter()
        .map(|pair| Underlying {
            symbol: pair.0,
            exchange: pair.1,
            ladders: range(&ladder_pairs, pair),
            futures: range(&future_pairs, pair),
        })
        .collect();
    let from = starts(
        symbols,
        underlyings.iter().map(|underlying| underlying.symbol),
    );
    (underlyings, from)
}
