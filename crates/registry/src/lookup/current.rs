//! Look-ups that pick an expiry.

use core::fmt;

use strikewire_types::{Exchange, Expiry, ExpiryKind, OptionType, Strike};

use super::{ChainQuery, Found, OtherExchange, ResolvedChain, exchanges};
use crate::reference::{Reference, Shape, When};
use crate::symbols::SymbolId;
use crate::{
    Expiring, Instrument, InstrumentIdx, Kind, Ladder, LadderId, LookupError, Registry, similar,
};

/// A registry without what has ended today; made by [`Registry::current`].
///
/// Where an expiry is left open, the nearest that has not ended is taken. One that is
/// named is found as long as it is listed. Where only the year is left out, one that
/// has ended is taken if no other is listed on that day and month.
#[derive(Clone, Copy)]
pub struct Current<'a, 'e> {
    registry: &'a Registry,
    ended: Option<&'e dyn Fn(&Expiring<'_>) -> bool>,
}

impl fmt::Debug for Current<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current")
            .field("registry", &self.registry)
            .finish_non_exhaustive()
    }
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
pub(super) enum Miss {
    NotListed,
    /// The first exchange that lists other expiries.
    Expiry(Exchange),
    Strike(LadderId, Strike, OptionType),
    Ambiguous(SymbolId),
}

type Hit<T> = Result<(T, Option<OtherExchange>), Miss>;

impl<'a, 'e> Current<'a, 'e> {
    pub(crate) const fn new(
        registry: &'a Registry,
        ended: Option<&'e dyn Fn(&Expiring<'_>) -> bool>,
    ) -> Self {
        Self { registry, ended }
    }

    /// The registry, ended contracts and all.
    #[must_use]
    pub const fn registry(&self) -> &'a Registry {
        self.registry
    }

    /// As [`Registry::find`].
    ///
    /// # Errors
    ///
    /// When nothing is listed under that name, or more than one thing; with what
    /// could have been meant.
    pub fn find(&self, reference: &str) -> Result<Found<'a>, LookupError> {
        let registry = self.registry;
        let unknown = |choices| LookupError::UnknownReference {
            reference: reference.chars().take(128).collect(),
            choices,
        };
        let (exchange, shape) = match Reference::of(reference) {
            Reference::Token(exchange, shape) => (exchange, shape),
            Reference::Key(key) => {
                let instrument = registry.by_key(key).ok_or_else(|| unknown(Vec::new()))?;
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
                    unknown(registry.near_strikes(ladder, strike, option_type))
                }
                (Miss::Ambiguous(symbol), _) => LookupError::Ambiguous {
                    reference: reference.to_owned(),
                    choices: registry.cash_of(symbol).map(|cash| cash.token()).collect(),
                },
                (miss, Shape::Option { symbol, when, .. }) => {
                    self.explain(miss, symbol, Wanted::OPTIONS, when)
                }
                (miss, Shape::Future { symbol, when }) => {
                    self.explain(miss, symbol, Wanted::FUTURES, when)
                }
                (_, Shape::Cash(name)) => unknown(registry.instead_of_cash(name)),
            })
    }

    /// As [`find`](Self::find), without looking for choices.
    pub(crate) fn find_quietly(&self, reference: &str) -> Option<Instrument<'a>> {
        match Reference::of(reference) {
            Reference::Token(exchange, shape) => {
                self.locate(exchange, shape).ok().map(|(found, _)| found)
            }
            Reference::Key(key) => self.registry.by_key(key),
            Reference::Malformed => None,
        }
    }

    /// As [`resolve_chain`](Self::resolve_chain), without looking for choices.
    pub(crate) fn chain_quietly(&self, query: &ChainQuery<'_>) -> Option<LadderId> {
        let found = self.pick(
            query.symbol,
            Wanted::OPTIONS,
            query.exchange,
            query.expiry.into(),
        );
        found.ok().map(|(ladder, _)| LadderId(ladder))
    }

    /// As [`resolve_future`](Self::resolve_future), without looking for choices.
    pub(crate) fn future_quietly(&self, query: &ChainQuery<'_>) -> Option<InstrumentIdx> {
        let found = self.pick(
            query.symbol,
            Wanted::FUTURES,
            query.exchange,
            query.expiry.into(),
        );
        found.ok().map(|(row, _)| InstrumentIdx(row))
    }

    /// As [`Registry::resolve_chain`].
    ///
    /// # Errors
    ///
    /// When there is no such symbol, no such expiry or no such options; with the
    /// choices there are.
    pub fn resolve_chain(&self, query: &ChainQuery<'_>) -> Result<ResolvedChain<'a>, LookupError> {
        let (ladder, warning) = self.resolve(
            query,
            Wanted {
                options: true,
                kind: query.kind,
            },
        )?;
        let ladder = Ladder::new(self.registry, LadderId(ladder));
        Ok(ResolvedChain { ladder, warning })
    }

    /// As [`Registry::resolve_future`].
    ///
    /// # Errors
    ///
    /// When there is no such symbol, no such expiry or no such future; with the
    /// choices there are.
    pub fn resolve_future(&self, query: &ChainQuery<'_>) -> Result<Found<'a>, LookupError> {
        let (row, warning) = self.resolve(
            query,
            Wanted {
                options: false,
                kind: query.kind,
            },
        )?;
        Ok(Found {
            instrument: self.registry.at(row),
            warning,
        })
    }

    /// As [`Registry::expiries`].
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
        let id = self.registry.underlying_symbol(name);
        for wanted in [Wanted::OPTIONS, Wanted::FUTURES] {
            for exchange in exchanges(exchange) {
                let listed = || {
                    id.into_iter()
                        .flat_map(|id| self.listed(exchange, id, wanted))
                        .map(|(contracts, _)| contracts)
                };
                let mut all: Vec<Expiry> = listed().map(|contracts| contracts.expiry).collect();
                all.dedup();
                // The kinds are those of the whole list: an expiry does not become
                // another one because an earlier one has ended.
                let mut expiries = with_kinds(&all);
                expiries.retain(|(expiry, _)| {
                    listed().any(|contracts| contracts.expiry == *expiry && self.trades(&contracts))
                });
                if !expiries.is_empty() {
                    return Ok((exchange, expiries));
                }
            }
        }
        Err(self.explain(Miss::NotListed, name, Wanted::OPTIONS, When::Nearest))
    }

    fn trades(&self, contracts: &Expiring<'_>) -> bool {
        self.ended.is_none_or(|ended| !ended(contracts))
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

    fn locate(&self, exchange: Option<Exchange>, shape: Shape<'_>) -> Hit<Instrument<'a>> {
        let registry = self.registry;
        match shape {
            Shape::Option {
                symbol,
                when,
                strike,
                option_type,
            } => {
                let (ladder, warning) = self.pick(symbol, Wanted::OPTIONS, exchange, when)?;
                let ladder = Ladder::new(registry, LadderId(ladder));
                ladder
                    .leg(strike, option_type)
                    .map(|leg| (leg, warning))
                    .ok_or(Miss::Strike(ladder.id(), strike, option_type))
            }
            Shape::Future { symbol, when } => {
                let (row, warning) = self.pick(symbol, Wanted::FUTURES, exchange, when)?;
                Ok((registry.at(row), warning))
            }
            Shape::Cash(name) => {
                if let Some(equity) = registry.equity(exchange, name) {
                    return Ok((equity, None));
                }
                registry.index(exchange, name).map(|index| (index, None))
            }
        }
    }

    /// The exchange rule: the first exchange that lists such contracts and, if an
    /// expiry is named, that expiry.
    fn pick(&self, name: &str, wanted: Wanted, exchange: Option<Exchange>, when: When) -> Hit<u32> {
        let symbol = self
            .registry
            .underlying_symbol(name)
            .ok_or(Miss::NotListed)?;
        let mut passed = None;
        for exchange in exchanges(exchange) {
            let mut listed = self.listed(exchange, symbol, wanted).peekable();
            if listed.peek().is_none() {
                continue;
            }
            match self.nearest(listed, when) {
                Some((expiry, found)) => {
                    let warning = passed.and_then(|on| {
                        let listed = self.listed(on, symbol, wanted);
                        let nearest = listed
                            .map(|(contracts, _)| contracts.expiry)
                            .min_by_key(|other| days_between(*other, expiry))?;
                        Some(OtherExchange { nearest, on })
                    });
                    return Ok((found, warning));
                }
                // Everything there has ended: it is as if there were nothing.
                None if when == When::Nearest => {}
                None => passed = passed.or(Some(exchange)),
            }
        }
        Err(passed.map_or(Miss::NotListed, Miss::Expiry))
    }

    /// Of contracts that are soonest first, the first that are meant.
    fn nearest<'r>(
        &self,
        listed: impl Iterator<Item = (Expiring<'r>, u32)>,
        when: When,
    ) -> Option<(Expiry, u32)> {
        let mut ended = None;
        for (contracts, found) in listed.filter(|(contracts, _)| when.matches(contracts.expiry)) {
            let found = (contracts.expiry, found);
            if matches!(when, When::On(_)) || self.trades(&contracts) {
                return Some(found);
            }
            ended = ended.or(Some(found));
        }
        ended.filter(|_| when != When::Nearest)
    }

    /// Ladders (by id) or futures (by row) of a symbol, soonest first.
    fn listed(
        &self,
        exchange: Exchange,
        symbol: SymbolId,
        wanted: Wanted,
    ) -> impl Iterator<Item = (Expiring<'a>, u32)> + use<'a> {
        let registry = self.registry;
        let of_kind = move |kind| wanted.kind.is_none_or(|wanted| wanted == kind);
        let ladders = wanted
            .options
            .then(|| registry.ladders_of(exchange, symbol))
            .into_iter()
            .flatten()
            .filter(move |ladder| of_kind(ladder.kind()))
            .map(|ladder| (ladder.expiring(), ladder.id().0));
        let futures = (!wanted.options)
            .then(|| registry.futures_of(exchange, symbol))
            .into_iter()
            .flatten()
            .filter(move |future| of_kind(future.kind()))
            .filter_map(|future| Some((future.expiring()?, future.idx().0)));
        ladders.chain(futures)
    }

    fn explain(&self, miss: Miss, name: &str, wanted: Wanted, when: When) -> LookupError {
        let registry = self.registry;
        let listed = registry
            .underlying_symbol(name)
            .map(|symbol| (symbol, registry.kinds_of(symbol)));
        let Some((symbol, kinds)) = listed.filter(|(_, kinds)| !kinds.is_empty()) else {
            return LookupError::UnknownSymbol {
                symbol: name.chars().take(128).collect(),
                choices: similar::symbols(registry, name),
            };
        };
        let listed = |exchange| {
            let mut choices: Vec<Expiry> = self
                .listed(exchange, symbol, wanted)
                .filter(|(contracts, _)| self.trades(contracts))
                .map(|(contracts, _)| contracts.expiry)
                .collect();
            choices.dedup();
            choices
        };
        let symbol = registry.symbols.get(symbol).to_owned();
        if let (Miss::Expiry(exchange), Some(expiry)) = (miss, when.dated(registry.as_of)) {
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
