use core::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use jiff::civil::Date;
use strikewire_types::{Exchange, Expiry, InstrumentKey, Segment};

use crate::build::{Row, Underlying};
use crate::ladder::LadderRow;
use crate::pages::Pages;
use crate::symbols::{SymbolId, Symbols};
use crate::{
    Error, Instrument, InstrumentIdx, Kind, Ladder, LadderId, LoadOptions, LoadReport, Rung, alias,
    load,
};

/// All instruments of one day. Immutable; share it in an `Arc`.
pub struct Registry {
    pub(crate) as_of: Date,
    pub(crate) report: LoadReport,
    /// In the order of the file.
    pub(crate) rows: Vec<Row>,
    pub(crate) texts: String,
    pub(crate) series: Vec<String>,
    pub(crate) symbols: Symbols,
    pub(crate) pages: Pages,
    /// Indices and equities by symbol; those of symbol `n` from `cash_from[n]` on.
    pub(crate) cash: Vec<u32>,
    pub(crate) cash_from: Vec<u32>,
    pub(crate) rungs: Vec<Rung>,
    /// By symbol, exchange, expiry and kind.
    pub(crate) ladders: Vec<LadderRow>,
    /// By symbol, exchange, expiry and kind.
    pub(crate) futures: Vec<u32>,
    /// By symbol and exchange; those of symbol `n` from `underlyings_from[n]` on.
    pub(crate) underlyings: Vec<Underlying>,
    pub(crate) underlyings_from: Vec<u32>,
}

impl Registry {
    /// Loads the master at `path`, plain or gzip whatever its name says.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is no master, or too many rows make no sense. See
    /// [`Error`].
    pub fn from_path(path: &Path, options: &LoadOptions) -> Result<Self, Error> {
        let file = File::open(path).map_err(|source| Error::Open {
            path: path.to_owned(),
            source,
        })?;
        load::load(file, options)
    }

    /// Loads a master, plain or gzip.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is no master, or too many rows make no sense. See
    /// [`Error`].
    pub fn from_reader(reader: impl Read, options: &LoadOptions) -> Result<Self, Error> {
        load::load(reader, options)
    }

    /// What became of the rows of the file.
    #[must_use]
    pub const fn report(&self) -> &LoadReport {
        &self.report
    }

    /// The day it was loaded for: no contract in it expired before.
    #[must_use]
    pub const fn as_of(&self) -> Date {
        self.as_of
    }

    /// How many instruments there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether every row was left out.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Every instrument, in the order of the file.
    pub fn instruments(&self) -> impl Iterator<Item = Instrument<'_>> {
        (0..self.rows.len() as u32).map(|row| self.at(row))
    }

    /// The instrument at an index of this registry.
    ///
    /// # Panics
    ///
    /// May panic, or give any instrument, for an index of another registry.
    #[must_use]
    pub fn instrument(&self, idx: InstrumentIdx) -> Instrument<'_> {
        assert!(
            idx.index() < self.rows.len(),
            "an index of another registry"
        );
        Instrument::new(self, idx)
    }

    /// The instrument with a key on the wire.
    #[must_use]
    pub fn by_key(&self, key: InstrumentKey) -> Option<Instrument<'_>> {
        self.pages.get(key).map(|row| self.at(row))
    }

    /// The instruments of a segment, in the order of the file.
    pub fn segment(&self, segment: Segment) -> impl Iterator<Item = Instrument<'_>> {
        self.instruments()
            .filter(move |instrument| instrument.row().segment == segment)
    }

    /// Whether derivatives on `symbol` are listed on `exchange`.
    #[must_use]
    pub fn is_fno_eligible(&self, exchange: Exchange, symbol: &str) -> bool {
        self.underlying_symbol(symbol)
            .is_some_and(|symbol| self.underlying(exchange, symbol).is_some())
    }

    /// The options on `symbol` that expire then, strike by strike. Aliases of an
    /// index are understood.
    #[must_use]
    pub fn ladder(&self, exchange: Exchange, symbol: &str, expiry: Expiry) -> Option<Ladder<'_>> {
        let symbol = self.underlying_symbol(symbol)?;
        self.ladders_of(exchange, symbol)
            .find(|ladder| ladder.expiry() == expiry)
    }

    /// The ladder of an id of this registry.
    ///
    /// # Panics
    ///
    /// May panic, or give any ladder, for an id of another registry.
    #[must_use]
    pub fn ladder_at(&self, id: LadderId) -> Ladder<'_> {
        assert!(
            id.index() < self.ladders.len(),
            "a ladder of another registry"
        );
        Ladder::new(self, id)
    }

    /// Every ladder, by symbol, exchange and expiry.
    pub fn ladders(&self) -> impl Iterator<Item = Ladder<'_>> {
        (0..self.ladders.len() as u32).map(|id| Ladder::new(self, LadderId(id)))
    }

    /// When options on `symbol` expire, soonest first; empty when there are none.
    #[must_use]
    pub fn option_expiries(&self, exchange: Exchange, symbol: &str) -> Vec<Expiry> {
        let Some(symbol) = self.underlying_symbol(symbol) else {
            return Vec::new();
        };
        let mut expiries: Vec<Expiry> = self
            .ladders_of(exchange, symbol)
            .map(|ladder| ladder.expiry())
            .collect();
        expiries.dedup();
        expiries
    }

    /// The futures on `symbol`, soonest first.
    pub fn futures(
        &self,
        exchange: Exchange,
        symbol: &str,
    ) -> impl Iterator<Item = Instrument<'_>> {
        self.underlying_symbol(symbol)
            .into_iter()
            .flat_map(move |symbol| self.futures_of(exchange, symbol))
    }

    /// Bytes on the heap, without the report.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Row>()
            + self.texts.capacity()
            + self
                .series
                .iter()
                .map(|series| series.capacity() + size_of::<String>())
                .sum::<usize>()
            + self.symbols.heap_bytes()
            + self.pages.heap_bytes()
            + self.rungs.capacity() * size_of::<Rung>()
            + self.ladders.capacity() * size_of::<LadderRow>()
            + self.underlyings.capacity() * size_of::<Underlying>()
            + [
                &self.cash,
                &self.cash_from,
                &self.futures,
                &self.underlyings_from,
            ]
            .map(|list| list.capacity() * size_of::<u32>())
            .iter()
            .sum::<usize>()
    }

    pub(crate) const fn at(&self, row: u32) -> Instrument<'_> {
        Instrument::new(self, InstrumentIdx(row))
    }

    /// The symbol that derivatives on `name` are listed under, an alias resolved; none
    /// when nothing is listed under it.
    #[must_use]
    pub fn canonical_symbol(&self, name: &str) -> Option<&str> {
        self.underlying_symbol(name.trim())
            .map(|symbol| self.symbols.get(symbol))
    }

    /// What derivatives on `name` are listed under, if `name` is anything at all: an
    /// alias stands in only where the name itself has no derivatives and is not a
    /// listed equity, which it would hide.
    pub(crate) fn underlying_symbol(&self, name: &str) -> Option<SymbolId> {
        let literal = self.symbols.find(name);
        if let Some(symbol) = literal
            && (self.has_derivatives(symbol) || self.has_equity(symbol))
        {
            return literal;
        }
        alias::names(name)
            .iter()
            .filter_map(|name| self.symbols.find(name))
            .find(|symbol| self.has_derivatives(*symbol))
            .or(literal)
    }

    /// Indices and equities of a symbol, in the order of the file.
    pub(crate) fn cash_of(&self, symbol: SymbolId) -> impl Iterator<Item = Instrument<'_>> {
        let range = self.cash_from[symbol.index()]..self.cash_from[symbol.index() + 1];
        self.cash[range.start as usize..range.end as usize]
            .iter()
            .map(|row| self.at(*row))
    }

    pub(crate) fn has_equity(&self, symbol: SymbolId) -> bool {
        self.cash_of(symbol).any(|cash| cash.kind() == Kind::Equity)
    }

    pub(crate) fn underlyings_of(&self, symbol: SymbolId) -> &[Underlying] {
        let from = self.underlyings_from[symbol.index()];
        &self.underlyings[from as usize..self.underlyings_from[symbol.index() + 1] as usize]
    }

    pub(crate) fn has_derivatives(&self, symbol: SymbolId) -> bool {
        !self.underlyings_of(symbol).is_empty()
    }

    fn underlying(&self, exchange: Exchange, symbol: SymbolId) -> Option<&Underlying> {
        self.underlyings_of(symbol)
            .iter()
            .find(|underlying| underlying.exchange == exchange)
    }

    pub(crate) fn ladders_of(
        &self,
        exchange: Exchange,
        symbol: SymbolId,
    ) -> impl Iterator<Item = Ladder<'_>> {
        self.underlying(exchange, symbol)
            .into_iter()
            .flat_map(|underlying| underlying.ladders.clone())
            .map(|id| Ladder::new(self, LadderId(id)))
    }

    pub(crate) fn futures_of(
        &self,
        exchange: Exchange,
        symbol: SymbolId,
    ) -> impl Iterator<Item = Instrument<'_>> {
        self.underlying(exchange, symbol)
            .into_iter()
            .flat_map(|underlying| underlying.futures.clone())
            .map(|place| self.at(self.futures[place as usize]))
    }

    /// Looks up the price source of every ladder once.
    pub(crate) fn find_price_sources(&mut self) {
        let sources: Vec<Option<InstrumentIdx>> = self
            .ladders
            .iter()
            .map(|ladder| {
                let future = || {
                    self.futures_of(ladder.exchange, ladder.symbol)
                        .find(|future| future.row().expiry >= ladder.expiry)
                };
                let source = match ladder.kind {
                    Kind::OptionIndex if ladder.exchange == Exchange::Mcx => future(),
                    Kind::OptionCommodity | Kind::OptionCurrency => future(),
                    kind => self.spot(kind, ladder.exchange, ladder.symbol),
                };
                source.map(|source| source.idx())
            })
            .collect();
        for (ladder, source) in self.ladders.iter_mut().zip(sources) {
            ladder.price_source = source;
        }
    }

    /// The index or equity that a contract of that kind is on.
    fn spot(&self, kind: Kind, exchange: Exchange, symbol: SymbolId) -> Option<Instrument<'_>> {
        match kind {
            Kind::OptionIndex | Kind::FutureIndex => {
                let names = alias::names(self.symbols.get(symbol)).iter();
                let aliases = names.filter_map(|name| self.symbols.find(name));
                core::iter::once(symbol).chain(aliases).find_map(|symbol| {
                    let is_it = |cash: &Instrument<'_>| {
                        cash.kind() == Kind::Index && cash.exchange() == exchange
                    };
                    let mut found = self.cash_of(symbol).filter(is_it);
                    // Two indices of one name: neither can be trusted.
                    found.next().filter(|_| found.next().is_none())
                })
            }
            Kind::OptionStock | Kind::FutureStock => self
                .main_equity(Exchange::Nse, symbol)
                .or_else(|| self.main_equity(Exchange::Bse, symbol)),
            _ => None,
        }
    }

    /// The equity that a bare symbol means: series EQ on NSE, the row on BSE.
    pub(crate) fn main_equity(
        &self,
        exchange: Exchange,
        symbol: SymbolId,
    ) -> Option<Instrument<'_>> {
        self.cash_of(symbol).find(|cash| match exchange {
            Exchange::Nse => cash.row().segment == Segment::NseEq && cash.series() == "EQ",
            Exchange::Bse => cash.row().segment == Segment::BseEq,
            Exchange::Mcx => false,
        })
    }

    pub(crate) fn underlying_of(&self, row: &Row) -> Option<Instrument<'_>> {
        if row.kind.is_option() {
            self.ladders_of(row.exchange, row.symbol)
                .find(|ladder| (ladder.expiry(), ladder.kind()) == (row.expiry, row.kind))?
                .price_source()
        } else {
            self.spot(row.kind, row.exchange, row.symbol)
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("as_of", &self.as_of)
            .field("instruments", &self.rows.len())
            .field("ladders", &self.ladders.len())
            .finish_non_exhaustive()
    }
}
