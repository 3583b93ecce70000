//! From what a caller asks to what is listed.

use strikewire_calendar::Calendar;
use strikewire_chain::Width;
use strikewire_fanout::Class;
use strikewire_registry::{
    ChainQuery, Expiring, Instrument, Kind, Ladder, OtherExchange, Registry,
};
use strikewire_subscriptions::{Leg, Role};
use strikewire_types::{Exchange, Expiry, Mode, Now, Price, Tier};

use crate::item::{Holding, ItemKey, ItemSpec};
use crate::{Error, Gateway, InstrumentType, List};

/// A request for an item of a list.
#[derive(Debug, Clone)]
pub struct ItemRequest {
    /// On which list.
    pub list: List,
    /// Whose.
    pub user: u64,
    /// The underlying's symbol, or the instrument's own.
    pub symbol: String,
    /// What kind of thing; absent: an option chain of any kind.
    pub instrument_type: Option<InstrumentType>,
    /// Absent: the nearest.
    pub expiry: Option<Expiry>,
    /// Absent: by the exchange rule.
    pub exchange: Option<Exchange>,
    /// The caller's price of the underlying.
    pub price: Option<Price>,
    /// Strikes; absent: by the kind of chain.
    pub width: Option<u16>,
    /// Absent: full, ticker for an index.
    pub mode: Option<Mode>,
    /// Whether the window follows the price.
    pub follow: bool,
    /// The tier of its claim.
    pub tier: Tier,
    /// Calculate the chain anew whatever is cached.
    pub force: bool,
}

/// A request for a chain.
#[derive(Debug, Clone)]
pub struct ChainRequest {
    /// The underlying's symbol.
    pub symbol: String,
    /// Absent: the nearest.
    pub expiry: Option<Expiry>,
    /// Absent: by the exchange rule.
    pub exchange: Option<Exchange>,
    /// The caller's price of the underlying.
    pub price: Option<Price>,
    /// Strikes; absent: by the kind of chain.
    pub width: Option<u16>,
    /// Calculate it anew whatever is cached. Streams never do.
    pub force: bool,
}

/// A request for a stream of ticks.
#[derive(Debug, Clone)]
pub struct TicksRequest {
    /// References or tokens; an unknown one fails the request.
    pub instruments: Vec<String>,
    /// Absent: full, ticker for an index.
    pub mode: Option<Mode>,
    /// How often.
    pub class: Class,
}

impl Gateway {
    pub(crate) fn resolve_chain<'a>(
        &self,
        registry: &'a Registry,
        request: &ChainRequest,
    ) -> Result<(Ladder<'a>, Width, Option<OtherExchange>), Error> {
        let ended = |it: &Expiring<'_>| self.has_ended(it);
        let resolved = registry.current(&ended).resolve_chain(&ChainQuery {
            symbol: &request.symbol,
            kind: None,
            exchange: request.exchange,
            expiry: request.expiry,
        })?;
        let width = self.width(request.width, resolved.ladder.kind())?;
        Ok((resolved.ladder, width, resolved.warning))
    }

    fn width(&self, asked: Option<u16>, kind: Kind) -> Result<Width, Error> {
        Ok(match asked {
            Some(width) => Width::new(u32::from(width))?,
            None => self.config().widths.for_kind(kind),
        })
    }

    /// Refuses contracts whose last session has ended: nobody trades them any more.
    pub(crate) fn must_be_current(
        &self,
        registry: &Registry,
        contracts: Option<Expiring<'_>>,
    ) -> Result<(), Error> {
        must_be_current(self.calendar(), self.clock().now(), registry, contracts)
    }

    pub(crate) fn resolve_item(
        &self,
        registry: &Registry,
        request: &ItemRequest,
    ) -> Result<(ItemSpec, Option<OtherExchange>), Error> {
        let ended = |it: &Expiring<'_>| self.has_ended(it);
        let current = registry.current(&ended);
        let query = ChainQuery {
            symbol: &request.symbol,
            kind: request
                .instrument_type
                .and_then(InstrumentType::option_kind),
            exchange: request.exchange,
            expiry: request.expiry,
        };
        let single = match request.instrument_type {
            Some(InstrumentType::Equity) => {
                Some(registry.resolve_equity(request.exchange, &request.symbol)?)
            }
            Some(InstrumentType::Future) => Some(current.resolve_future(&query)?),
            _ => None,
        };
        let (symbol, exchange, expiry, instrument_type, holding, warning, mode) = match single {
            Some(found) => {
                let instrument = found.instrument;
                self.must_be_current(registry, instrument.expiring())?;
                // It means nothing here, but a bad one is a mistake here too.
                request.width.map(u32::from).map(Width::new).transpose()?;
                (
                    name_of(instrument),
                    instrument.exchange(),
                    instrument.expiry(),
                    match instrument.kind() {
                        Kind::Equity => InstrumentType::Equity,
                        _ => InstrumentType::Future,
                    },
                    Holding::Single {
                        key: instrument.key(),
                    },
                    found.warning,
                    mode_of(instrument.kind(), request.mode),
                )
            }
            None => {
                let resolved = current.resolve_chain(&query)?;
                let ladder = resolved.ladder;
                self.must_be_current(registry, Some(ladder.expiring()))?;
                (
                    ladder.symbol().to_owned(),
                    ladder.exchange(),
                    Some(ladder.expiry()),
                    InstrumentType::of_options(ladder.kind()),
                    Holding::Chain {
                        ladder: ladder.id(),
                        width: self.width(request.width, ladder.kind())?,
                    },
                    resolved.warning,
                    mode_of(ladder.kind(), request.mode),
                )
            }
        };
        let spec = ItemSpec {
            key: ItemKey {
                user: request.user,
                list: request.list,
                symbol: symbol.into(),
                exchange,
                instrument_type,
                expiry,
            },
            holding,
            mode,
            follow: request.follow,
            tier: request.tier,
        };
        Ok((spec, warning))
    }
}

/// Refuses contracts whose last session has ended by `now`: nobody trades them any more.
pub(crate) fn must_be_current(
    calendar: &Calendar,
    now: Now,
    registry: &Registry,
    contracts: Option<Expiring<'_>>,
) -> Result<(), Error> {
    let ended = |it: &Expiring<'_>| crate::owner::ended(calendar, now, it);
    let Some(it) = contracts.filter(|it| ended(it)) else {
        return Ok(());
    };
    let current = registry.current(&ended);
    let choices = match current.expiries(Some(it.exchange), it.symbol) {
        Ok((_, expiries)) => expiries.into_iter().map(|(expiry, _)| expiry).collect(),
        Err(_) => Vec::new(),
    };
    Err(Error::ExpiryEnded {
        symbol: it.symbol.to_owned(),
        expiry: it.expiry,
        choices,
    })
}

/// The mode of an instrument: full unless asked otherwise, and for an index ticker,
/// at most quote.
pub(crate) fn mode_of(kind: Kind, asked: Option<Mode>) -> Mode {
    match kind {
        Kind::Index => asked.unwrap_or(Mode::Ticker).min(Mode::Quote),
        _ => asked.unwrap_or(Mode::Full),
    }
}

pub(crate) fn leg(instrument: Instrument<'_>, mode: Mode) -> Leg {
    Leg {
        key: instrument.key(),
        step: instrument.tick(),
        mode,
        role: Role::Contract,
        distance: 0,
    }
}

/// What an item on one instrument is called: the symbol, and for an equity of another
/// series than the usual one that too, `MOTHERSON-D1`.
fn name_of(instrument: Instrument<'_>) -> String {
    match instrument.kind() {
        Kind::Equity => {
            let token = instrument.token();
            match token.split_once(':') {
                Some((_, name)) => name.to_owned(),
                None => token,
            }
        }
        _ => instrument.symbol().to_owned(),
    }
}
