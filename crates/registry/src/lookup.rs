//! From what people write to what is listed: references, and the exchange rule.

mod current;

use strikewire_types::{Exchange, Expiry, ExpiryKind, OptionType, Strike};

use crate::symbols::SymbolId;
use crate::{Expiring, Instrument, Kind, Ladder, LadderId, LookupError, Registry, alias, similar};
pub use current::Current;
use current::Miss;

/// An instrument that was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// The instrument.
    pub instrument: Instrument<'a>,
    /// That its expiry led to a later exchange, if it did.
    pub warning: Option<OtherExchange>,
}

/// A chain that was asked for.
#[derive(Debug, Clone, Copy)]
pub struct ResolvedChain<'a> {
    /// Its ladder.
    pub ladder: Ladder<'a>,
    /// That its expiry led to a later exchange, if it did.
    pub warning: Option<OtherExchange>,
}

/// No exchange was named, and the expiry is not listed on the first exchange that
/// lists such contracts, but on a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherExchange {
    /// The expiry there that is nearest to the one asked for.
    pub nearest: Expiry,
    /// The exchange that was passed over.
    pub on: Exchange,
}

/// Contracts that are asked for by the symbol they are on.
#[derive(Debug, Clone, Copy)]
pub struct ChainQuery<'q> {
    /// The underlying, in any case; aliases of an index are understood.
    pub symbol: &'q str,
    /// Only contracts of this kind.
    pub kind: Option<Kind>,
    /// Only on this exchange; otherwise the first of NSE, BSE and MCX that lists
    /// them.
    pub exchange: Option<Exchange>,
    /// Only this expiry; otherwise the nearest from the as-of day on. That one's last
    /// session may have ended, see [`Registry::current`].
    pub expiry: Option<Expiry>,
}

/// Look-ups; nothing that is listed counts as ended.
impl Registry {
    /// The same look-ups, for which contracts that have `ended` are not the nearest
    /// ones any more.
    ///
    /// The registry of a day lists what expires on that day until the next one is
    /// loaded; whether it still trades is for a calendar to know. `ended` is asked
    /// about the soonest contracts first, until one has not ended.
    ///
    /// ```
    /// # use strikewire_registry::{ChainQuery, Expiring, LoadOptions, Registry};
    /// # let master = "\
    /// # SEM_EXM_EXCH_ID,SEM_SEGMENT,SEM_SMST_SECURITY_ID,SEM_INSTRUMENT_NAME,SEM_EXPIRY_CODE,SEM_TRADING_SYMBOL,SEM_LOT_UNITS,SEM_CUSTOM_SYMBOL,SEM_EXPIRY_DATE,SEM_STRIKE_PRICE,SEM_OPTION_TYPE,SEM_TICK_SIZE,SEM_EXPIRY_FLAG,SEM_EXCH_INSTRUMENT_TYPE,SEM_SERIES,SM_SYMBOL_NAME
    /// # NSE,D,42001,OPTIDX,0,NIFTY-Feb2026-25900-CE,65.0,NIFTY 10 FEB 25900 CALL,2026-02-10 14:30:00,25900,CE,5.0000,W,OP,,
    /// # NSE,D,42101,OPTIDX,0,NIFTY-Feb2026-25900-CE,65.0,NIFTY 17 FEB 25900 CALL,2026-02-17 14:30:00,25900,CE,5.0000,W,OP,,
    /// # ";
    /// let registry = Registry::from_reader(master.as_bytes(), &LoadOptions::new("2026-02-10".parse()?))?;
    /// let nifty = ChainQuery { symbol: "NIFTY", kind: None, exchange: None, expiry: None };
    /// assert_eq!(registry.resolve_chain(&nifty)?.ladder.expiry(), "10FEB2026".parse()?);
    ///
    /// // At four in the afternoon of that day:
    /// let tuesday = "10FEB2026".parse()?;
    /// let ended = |contracts: &Expiring<'_>| contracts.expiry <= tuesday;
    /// let now = registry.current(&ended);
    /// assert_eq!(now.resolve_chain(&nifty)?.ladder.expiry(), "17FEB2026".parse()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn current<'a, 'e>(
        &'a self,
        ended: &'e dyn Fn(&Expiring<'_>) -> bool,
    ) -> Current<'a, 'e> {
        Current::new(self, Some(ended))
    }

    pub(crate) const fn listed(&self) -> Current<'_, 'static> {
        Current::new(self, None)
    }

    /// The instrument that `reference` names: `SEGMENT:ID`, or a token in any
    /// spelling that is accepted (see the front page of the crate).
    ///
    /// # Errors
    ///
    /// When nothing is listed under that name, or more than one thing; with what
    /// could have been meant.
    pub fn find(&self, reference: &str) -> Result<Found<'_>, LookupError> {
        self.listed().find(reference)
    }

    /// The chain that is asked for.
    ///
    /// # Errors
    ///
    /// When there is no such symbol, no such expiry or no such options; with the
    /// choices there are.
    pub fn resolve_chain(&self, query: &ChainQuery<'_>) -> Result<ResolvedChain<'_>, LookupError> {
        self.listed().resolve_chain(query)
    }

    /// The future that is asked for.
    ///
    /// # Errors
    ///
    /// When there is no such symbol, no such expiry or no such future; with the
    /// choices there are.
    pub fn resolve_future(&self, query: &ChainQuery<'_>) -> Result<Found<'_>, LookupError> {
        self.listed().resolve_future(query)
    }

    /// When contracts on `symbol` expire, soonest first, and where: options, or
    /// futures where there are no options.
    ///
    /// # Errors
    ///
    /// When there is no such symbol, or nothing that expires on it.
    pub fn expiries(
        &self,
        exchange: Option<Exchange>,
        symbol: &str,
    ) -> Result<(Exchange, Vec<(Expiry, ExpiryKind)>), LookupError> {
        self.listed().expiries(exchange, symbol)
    }

    /// The equity that is asked for: series EQ on NSE, the row on BSE, or
    /// `SYMBOL-SERIES`.
    ///
    /// # Errors
    ///
    /// When nothing of that name is listed, or something else than an equity.
    pub fn resolve_equity(
        &self,
        exchange: Option<Exchange>,
        symbol: &str,
    ) -> Result<Found<'_>, LookupError> {
        let name = symbol.trim();
        if let Some(instrument) = self.equity(exchange, name) {
            return Ok(Found {
                instrument,
                warning: None,
            });
        }
        let names = core::iter::once(&name).chain(alias::names(name));
        let mut listed = names
            .filter_map(|name| self.symbols.find(name))
            .map(|symbol| (symbol, self.kinds_of(symbol)));
        match listed.find(|(_, kinds)| !kinds.is_empty()) {
            Some((symbol, kinds)) if !kinds.contains(&Kind::Equity) => {
                Err(LookupError::WrongKind {
                    symbol: self.symbols.get(symbol).to_owned(),
                    asked: Kind::Equity,
                    listed: kinds,
                })
            }
            _ => Err(LookupError::UnknownSymbol {
                symbol: name.chars().take(128).collect(),
                choices: self.instead_of_cash(name),
            }),
        }
    }

    /// An equity by its bare symbol or `SYMBOL-SERIES`, exchange by exchange.
    fn equity(&self, exchange: Option<Exchange>, name: &str) -> Option<Instrument<'_>> {
        let symbol = self.symbols.find(name);
        let with_series = name
            .rsplit_once('-')
            .filter(|(_, series)| !series.is_empty())
            .and_then(|(symbol, series)| Some((self.symbols.find(symbol)?, series)));
        exchanges(exchange).find_map(|exchange| {
            symbol
                .and_then(|symbol| self.main_equity(exchange, symbol))
                .or_else(|| {
                    let (symbol, series) = with_series?;
                    self.cash_of(symbol).find(|cash| {
                        cash.kind() == Kind::Equity
                            && cash.exchange() == exchange
                            && cash.series().eq_ignore_ascii_case(series)
                    })
                })
        })
    }

    /// An index by its symbol or, where that would hide nothing, an alias.
    fn index(&self, exchange: Option<Exchange>, name: &str) -> Result<Instrument<'_>, Miss> {
        let literal = self.symbols.find(name);
        let may_be_alias = literal.is_none_or(|symbol| !self.has_equity(symbol));
        let aliases = if may_be_alias {
            alias::names(name)
        } else {
            &[]
        };
        let aliases = aliases.iter().filter_map(|name| self.symbols.find(name));
        for symbol in literal.into_iter().chain(aliases) {
            let mut indices = self.cash_of(symbol).filter(|cash| {
                cash.kind() == Kind::Index
                    && exchange.is_none_or(|exchange| cash.exchange() == exchange)
            });
            match (indices.next(), indices.next()) {
                (None, _) => {}
                (Some(index), None) => return Ok(index),
                (Some(_), Some(_)) => return Err(Miss::Ambiguous(symbol)),
            }
        }
        Err(Miss::NotListed)
    }

    /// What a symbol is listed as.
    fn kinds_of(&self, symbol: SymbolId) -> Vec<Kind> {
        let mut kinds: Vec<Kind> = self.cash_of(symbol).map(|cash| cash.kind()).collect();
        for exchange in Exchange::ALL {
            kinds.extend(
                self.futures_of(exchange, symbol)
                    .map(|future| future.kind()),
            );
            kinds.extend(
                self.ladders_of(exchange, symbol)
                    .map(|ladder| ladder.kind()),
            );
        }
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// Tokens of the strikes on both sides of one that is not listed.
    fn near_strikes(
        &self,
        ladder: LadderId,
        strike: Strike,
        option_type: OptionType,
    ) -> Vec<String> {
        let rungs = Ladder::new(self, ladder).rungs();
        let at = rungs.partition_point(|rung| rung.strike < strike);
        rungs[at.saturating_sub(3)..rungs.len().min(at + 3)]
            .iter()
            .filter_map(|rung| rung.leg(option_type))
            .map(|leg| self.instrument(leg).token())
            .collect()
    }

    /// What somebody may have meant by a bare name that is no equity or index: its
    /// first futures, its equities of other series, or a similar symbol.
    fn instead_of_cash(&self, name: &str) -> Vec<String> {
        let mut choices = Vec::new();
        if let Some(symbol) = self.underlying_symbol(name) {
            choices.extend(self.cash_of(symbol).map(|cash| cash.token()));
            for exchange in Exchange::ALL {
                choices.extend(
                    self.futures_of(exchange, symbol)
                        .take(2)
                        .map(|future| future.token()),
                );
            }
        }
        if choices.is_empty() {
            choices = similar::symbols(self, name);
        }
        choices
    }
}

fn exchanges(named: Option<Exchange>) -> impl Iterator<Item = Exchange> {
    Exchange::ALL
        .into_iter()
        .filter(move |exchange| named.is_none_or(|named| named == *exchange))
}
