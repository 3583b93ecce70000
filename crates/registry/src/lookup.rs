//! From what people write to what is listed: references, and the exchange rule.

use strikewire_types::{Exchange, Expiry, ExpiryKind, OptionType, Strike};

use crate::instrument::has_prefix;
use crate::reference::{Reference, Shape, When};
use crate::symbols::SymbolId;
use crate::{Instrument, Kind, Ladder, LadderId, LookupError, Registry, alias, similar};

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
    /// Only this expiry; otherwise the nearest from the as-of day on. Whether that
    /// one's last session has ended is for the caller to know.
    pub expiry: Option<Expiry>,
}

/// Which contracts on a symbol.
#[derive(Clone, Copy)]
struct Wanted {
    options: bool,
    kind: Option<Kind>,
}

impl Wanted {
    const OPTIONS: Self = Self {
        options: true,
        kind: None,
    };
    const FUTURES: Self = Self {
        options: false,
        kind: None,
    };
}

/// Why nothing was found, before the choices are looked for.
#[derive(Clone, Copy)]
enum Miss {
    NotListed,
    /// The first exchange that lists other expiries.
    Expiry(Exchange),
    Strike(LadderId, Strike, OptionType),
    Ambiguous(SymbolId),
}

type Hit<T> = Result<(T, Option<OtherExchange>), Miss>;

impl Registry {
    /// The instrument that `reference` names: `SEGMENT:ID`, or a token in any
    /// spelling that is accepted (see the front page of the crate).
    ///
    /// # Errors
    ///
    /// When nothing is listed under that name, or more than one thing; with what
    /// could have been meant.
    pub fn find(&self, reference: &str) -> Result<Found<'_>, LookupError> {
        let unknown = |choices| LookupError::UnknownReference {
            reference: reference.chars().take(128).collect(),
            choices,
        };
        let (exchange, shape) = match Reference::of(reference) {
            Reference::Token(exchange, shape) => (exchange, shape),
            Reference::Key(key) => {
                let instrument = self.by_key(key).ok_or_else(|| unknown(Vec::new()))?;
                return Ok(Found {
                    instrument,
                    warning: None,
                });
            }
            Reference::Malformed => return Err(unknown(Vec::new())),
        };
        self.locate(exchange, shape)
            .map(|(instrument, warning)| Found {
                instrument,
                warning,
            })
            .map_err(|miss| match (miss, shape) {
                (Miss::Strike(ladder, strike, option_type), _) => {
                    unknown(self.near_strikes(ladder, strike, option_type))
                }
                (Miss::Ambiguous(symbol), _) => LookupError::Ambiguous {
                    reference: reference.to_owned(),
                    choices: self.cash_of(symbol).map(|cash| cash.token()).collect(),
                },
                (miss, Shape::Option { symbol, when, .. }) => {
                    self.explain(miss, symbol, Wanted::OPTIONS, when)
                }
                (miss, Shape::Future { symbol, when }) => {
                    self.explain(miss, symbol, Wanted::FUTURES, when)
                }
                (_, Shape::Cash(name)) => unknown(self.instead_of_cash(name)),
            })
    }

    /// As [`find`](Self::find), without looking for choices.
    pub(crate) fn find_quietly(&self, reference: &str) -> Option<Instrument<'_>> {
        match Reference::of(reference) {
            Reference::Token(exchange, shape) => {
                self.locate(exchange, shape).ok().map(|(found, _)| found)
            }
            Reference::Key(key) => self.by_key(key),
            Reference::Malformed => None,
        }
    }

    /// The chain that is asked for.
    ///
    /// # Errors
    ///
    /// When there is no such symbol, no such expiry or no such options; with the
    /// choices there are.
    pub fn resolve_chain(&self, query: &ChainQuery<'_>) -> Result<ResolvedChain<'_>, LookupError> {
        let (ladder, warning) = self.resolve(
            query,
            Wanted {
                options: true,
                kind: query.kind,
            },
        )?;
        let ladder = Ladder::new(self, LadderId(ladder));
        Ok(ResolvedChain { ladder, warning })
    }

    /// The future that is asked for.
    ///
    /// # Errors
    ///
    /// When there is no such symbol, no such expiry or no such future; with the
    /// choices there are.
    pub fn resolve_future(&self, query: &ChainQuery<'_>) -> Result<Found<'_>, LookupError> {
        let (row, warning) = self.resolve(
            query,
            Wanted {
                options: false,
                kind: query.kind,
            },
        )?;
        Ok(Found {
            instrument: self.at(row),
            warning,
        })
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
        let name = symbol.trim();
        let id = self.underlying_symbol(name);
        for wanted in [Wanted::OPTIONS, Wanted::FUTURES] {
            for exchange in exchanges(exchange) {
                let mut expiries: Vec<Expiry> = id
                    .into_iter()
                    .flat_map(|id| self.listed(exchange, id, wanted))
                    .map(|(expiry, _)| expiry)
                    .collect();
                expiries.dedup();
                if !expiries.is_empty() {
                    return Ok((exchange, with_kinds(&expiries)));
                }
            }
        }
        Err(self.explain(Miss::NotListed, name, Wanted::OPTIONS, When::Nearest))
    }

    fn resolve(
        &self,
        query: &ChainQuery<'_>,
        wanted: Wanted,
    ) -> Result<(u32, Option<OtherExchange>), LookupError> {
        let name = query.symbol.trim();
        let when = When::from(query.expiry);
        self.pick(name, wanted, query.exchange, when)
            .map_err(|miss| self.explain(miss, name, wanted, when))
    }

    fn locate(&self, exchange: Option<Exchange>, shape: Shape<'_>) -> Hit<Instrument<'_>> {
        match shape {
            Shape::Option {
                symbol,
                when,
                strike,
                option_type,
            } => {
                let (ladder, warning) = self.pick(symbol, Wanted::OPTIONS, exchange, when)?;
                let ladder = Ladder::new(self, LadderId(ladder));
                let rungs = ladder.rungs();
                rungs
                    .binary_search_by_key(&strike, |rung| rung.strike)
                    .ok()
                    .and_then(|rung| rungs[rung].leg(option_type))
                    .map(|leg| (self.instrument(leg), warning))
                    .ok_or(Miss::Strike(ladder.id(), strike, option_type))
            }
            Shape::Future { symbol, when } => {
                let (row, warning) = self.pick(symbol, Wanted::FUTURES, exchange, when)?;
                Ok((self.at(row), warning))
            }
            Shape::Cash(name) => {
                if let Some(equity) = self.equity(exchange, name) {
                    return Ok((equity, None));
                }
                self.index(exchange, name).map(|index| (index, None))
            }
        }
    }

    /// The exchange rule: the first exchange that lists such contracts and, if an
    /// expiry is named, that expiry.
    fn pick(&self, name: &str, wanted: Wanted, exchange: Option<Exchange>, when: When) -> Hit<u32> {
        let symbol = self.underlying_symbol(name).ok_or(Miss::NotListed)?;
        let mut passed = None;
        for exchange in exchanges(exchange) {
            let mut listed = self.listed(exchange, symbol, wanted).peekable();
            if listed.peek().is_none() {
                continue;
            }
            match listed.find(|(expiry, _)| when.matches(*expiry)) {
                Some((expiry, found)) => {
                    let warning = passed.and_then(|on| {
                        let listed = self.listed(on, symbol, wanted).map(|(expiry, _)| expiry);
                        let nearest = listed.min_by_key(|other| days_between(*other, expiry))?;
                        Some(OtherExchange { nearest, on })
                    });
                    return Ok((found, warning));
                }
                None => passed = passed.or(Some(exchange)),
            }
        }
        Err(passed.map_or(Miss::NotListed, Miss::Expiry))
    }

    /// Ladders (by id) or futures (by row) of a symbol, soonest first.
    fn listed(
        &self,
        exchange: Exchange,
        symbol: SymbolId,
        wanted: Wanted,
    ) -> impl Iterator<Item = (Expiry, u32)> {
        let of_kind = move |kind| wanted.kind.is_none_or(|wanted| wanted == kind);
        let ladders = wanted.options.then(|| self.ladders_of(exchange, symbol));
        let ladders = ladders
            .into_iter()
            .flatten()
            .filter(move |ladder| of_kind(ladder.kind()))
            .map(|ladder| (ladder.expiry(), ladder.id().0));
        let futures = (!wanted.options).then(|| self.futures_of(exchange, symbol));
        let futures = futures
            .into_iter()
            .flatten()
            .filter(move |future| of_kind(future.kind()))
            .map(|future| (future.row().expiry, future.idx().0));
        ladders.chain(futures)
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

    fn explain(&self, miss: Miss, name: &str, wanted: Wanted, when: When) -> LookupError {
        let listed = self
            .underlying_symbol(name)
            .map(|symbol| (symbol, self.kinds_of(symbol)));
        let Some((symbol, kinds)) = listed.filter(|(_, kinds)| !kinds.is_empty()) else {
            return LookupError::UnknownSymbol {
                symbol: name.chars().take(128).collect(),
                choices: similar::symbols(self, name),
            };
        };
        let listed = |exchange| {
            let mut choices: Vec<Expiry> = self
                .listed(exchange, symbol, wanted)
                .map(|(expiry, _)| expiry)
                .collect();
            choices.dedup();
            choices
        };
        let symbol = self.symbols.get(symbol).to_owned();
        if let (Miss::Expiry(exchange), Some(expiry)) = (miss, when.dated(self.as_of)) {
            let choices = listed(exchange);
            let exchange = Some(exchange);
            return LookupError::UnlistedExpiry {
                symbol,
                exchange,
                expiry,
                choices,
            };
        }
        match wanted.kind {
            Some(asked) if !kinds.contains(&asked) => LookupError::WrongKind {
                symbol,
                asked,
                listed: kinds,
            },
            _ if wanted.options => LookupError::NoOptions { symbol },
            _ => LookupError::NoFutures { symbol },
        }
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

    /// Makes every token unique: an instrument that its readable token does not find
    /// is named by its key.
    pub(crate) fn settle_tokens(&mut self) {
        let mut by_key = Vec::new();
        for ladder in self.ladders() {
            let legs = || {
                ladder
                    .rungs()
                    .iter()
                    .flat_map(|rung| rung.call().into_iter().chain(rung.put()))
            };
            let Some(leg) = legs().next() else { continue };
            let exchange = has_prefix(self.instrument(leg).row()).then_some(Exchange::Bse);
            let when = When::On(ladder.expiry());
            let found = self.pick(ladder.symbol(), Wanted::OPTIONS, exchange, when);
            if !matches!(found, Ok((id, _)) if id == ladder.id().0) {
                by_key.extend(legs());
            }
        }
        for future in self.futures.iter().map(|row| self.at(*row)) {
            let exchange = has_prefix(future.row()).then_some(Exchange::Bse);
            let when = When::On(future.row().expiry);
            let found = self.pick(future.symbol(), Wanted::FUTURES, exchange, when);
            if !matches!(found, Ok((row, _)) if row == future.idx().0) {
                by_key.push(future.idx());
            }
        }
        let mut token = String::new();
        for cash in self.cash.iter().map(|row| self.at(*row)) {
            token.clear();
            // Writing into a string cannot fail.
            let _ = cash.write_plain_token(&mut token);
            let is_shared_index = cash.kind() == Kind::Index && self.has_equity(cash.row().symbol);
            if is_shared_index || self.find_quietly(&token) != Some(cash) {
                by_key.push(cash.idx());
            }
        }
        for idx in by_key {
            self.rows[idx.index()].token_is_key = true;
        }
    }
}

fn exchanges(named: Option<Exchange>) -> impl Iterator<Item = Exchange> {
    Exchange::ALL
        .into_iter()
        .filter(move |exchange| named.is_none_or(|named| named == *exchange))
}

fn days_between(a: Expiry, b: Expiry) -> u64 {
    a.date()
        .duration_since(b.date())
        .abs()
        .as_hours()
        .unsigned_abs()
        / 24
}

/// The last expiry of a calendar month is monthly, the others weekly.
fn with_kinds(expiries: &[Expiry]) -> Vec<(Expiry, ExpiryKind)> {
    let month = |expiry: &Expiry| (expiry.date().year(), expiry.date().month());
    expiries
        .iter()
        .enumerate()
        .map(|(i, expiry)| {
            let is_last = expiries
                .get(i + 1)
                .is_none_or(|next| month(next) != month(expiry));
            let kind = if is_last {
                ExpiryKind::Monthly
            } else {
                ExpiryKind::Weekly
            };
            (*expiry, kind)
        })
        .collect()
}
