//! From what somebody asks for to what is computed.

use strikewire_broker::InstrumentClass;
use strikewire_calendar::Calendar;
use strikewire_indicators::{Error as StudyError, IndicatorId, Timeframe};
use strikewire_leases::LeaseKey;
use strikewire_registry::{ChainQuery, Current, Expiring, Found, Instrument, Kind, LookupError};
use strikewire_types::{Exchange, Now};

use super::{ComputeSpec, IndicatorWant};
use crate::Error;
use crate::master::Master;
use crate::resolve::must_be_current;

/// Where instruments are looked up, as of a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resolver<'a> {
    pub(super) master: &'a Master,
    pub(super) calendar: &'a Calendar,
    pub(super) now: Now,
}

impl<'a> Resolver<'a> {
    /// What `want`, the `at`-th of a request, is.
    ///
    /// # Errors
    ///
    /// When its instrument, timeframe or indicator is unknown, or cannot be.
    pub(super) fn spec(&self, at: usize, want: &IndicatorWant) -> Result<ComputeSpec, Error> {
        let id = parse_id(at, &want.indicator)?;
        let timeframe = parse_timeframe(at, &want.timeframe)?;
        let instrument = self.instrument(&want.symbol)?;
        let kind = instrument.kind();
        let token = instrument.token();
        let key = LeaseKey::new(&token, &timeframe.to_string(), &id.to_string());
        let lacks = match kind {
            Kind::Index if id.needs_volume() => Some("volume"),
            kind if id.needs_oi() && !kind.is_derivative() => Some("open interest"),
            _ => None,
        };
        if let Some(lacks) = lacks {
            return Err(Error::IndicatorParameter {
                at,
                text: shortened(&want.indicator),
                reason: format!("{id} is made of {lacks}, and {token} ({kind}) has none"),
            });
        }
        Ok(ComputeSpec {
            key,
            instrument: instrument.key(),
            master: self.master.number,
            class: self.calendar.class_of(
                instrument.exchange(),
                instrument.key().segment,
                instrument.symbol(),
            ),
            instrument_class: class_of(kind),
            step: instrument.tick(),
            timeframe,
            id,
            streamed: false,
        })
    }

    /// As [`spec`](Self::spec), for what is to be computed from now on: a contract must
    /// still be traded.
    ///
    /// # Errors
    ///
    /// As [`spec`](Self::spec), and when the contract's last session has ended.
    pub(super) fn current_spec(
        &self,
        at: usize,
        want: &IndicatorWant,
    ) -> Result<ComputeSpec, Error> {
        let spec = self.spec(at, want)?;
        let registry = &self.master.registry;
        let contract = registry.by_key(spec.instrument);
        must_be_current(
            self.calendar,
            self.now,
            registry,
            contract.and_then(|it| it.expiring()),
        )?;
        Ok(spec)
    }

    /// The instrument of a token or symbol: what is listed under that name or, where that
    /// is nothing that is traded itself, its front future.
    ///
    /// # Errors
    ///
    /// When there is none; with what could have been meant.
    pub(super) fn instrument(&self, symbol: &str) -> Result<Instrument<'a>, LookupError> {
        let ended = |it: &Expiring<'_>| crate::owner::ended(self.calendar, self.now, it);
        let current = self.master.registry.current(&ended);
        match current.find(symbol) {
            Ok(found) => Ok(found.instrument),
            Err(unknown @ LookupError::UnknownReference { .. }) => {
                front_future(&current, symbol).map_or(Err(unknown), |found| Ok(found.instrument))
            }
            Err(error) => Err(error),
        }
    }
}

fn front_future<'a>(current: &Current<'a, '_>, symbol: &str) -> Option<Found<'a>> {
    let (exchange, symbol) = match symbol.trim().split_once(':') {
        Some((prefix, symbol)) => {
            let named = |exchange: &Exchange| exchange.as_str().eq_ignore_ascii_case(prefix);
            (Some(Exchange::ALL.into_iter().find(named)?), symbol)
        }
        None => (None, symbol.trim()),
    };
    let query = ChainQuery {
        symbol,
        kind: None,
        exchange,
        expiry: None,
    };
    current.resolve_future(&query).ok()
}

/// A timeframe as somebody writes it.
pub(super) fn parse_timeframe(at: usize, text: &str) -> Result<Timeframe, Error> {
    text.trim()
        .parse()
        .map_err(|reason| Error::UnknownTimeframe { at, reason })
}

fn parse_id(at: usize, text: &str) -> Result<IndicatorId, Error> {
    text.trim().parse().map_err(|error| match error {
        StudyError::UnknownIndicator { choices, .. } => Error::UnknownIndicator {
            at,
            text: shortened(text),
            choices: choices.iter().map(ToString::to_string).collect(),
        },
        error => Error::IndicatorParameter {
            at,
            text: shortened(text),
            reason: error.to_string(),
        },
    })
}

/// So much of what somebody wrote is said back.
fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

const fn class_of(kind: Kind) -> InstrumentClass {
    match kind {
        Kind::Index => InstrumentClass::Index,
        Kind::Equity => InstrumentClass::Equity,
        Kind::FutureIndex => InstrumentClass::IndexFuture,
        Kind::FutureStock => InstrumentClass::StockFuture,
        Kind::FutureCurrency => InstrumentClass::CurrencyFuture,
        Kind::FutureCommodity => InstrumentClass::CommodityFuture,
        Kind::OptionIndex => InstrumentClass::IndexOption,
        Kind::OptionStock => InstrumentClass::StockOption,
        Kind::OptionCurrency => InstrumentClass::CurrencyOption,
        Kind::OptionCommodity => InstrumentClass::CommodityOption,
    }
}

#[cfg(test)]
mod tests;
