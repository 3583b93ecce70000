//! From ladders and prices to windows and legs.

use std::sync::Arc;

use strikewire_calendar::Calendar;
use strikewire_chain::{Span, Width, Window};
use strikewire_registry::{Expiring, Instrument, Kind, Ladder, LadderId, Registry};
use strikewire_subscriptions::{Leg, Role};
use strikewire_types::{Exchange, Mode, Now, Price, Segment};

use crate::command::ChainAnswer;
use crate::{Error, SourcePrice};

/// Whether the last session of some contracts has ended.
pub(crate) fn ended(calendar: &Calendar, now: Now, it: &Expiring<'_>) -> bool {
    let class = calendar.class_of(
        it.exchange,
        segment_of_kind(it.exchange, it.kind),
        it.symbol,
    );
    calendar.expiry_ended(class, it.expiry, now.utc)
}

/// The segment of derivatives.
const fn segment_of_kind(exchange: Exchange, kind: Kind) -> Segment {
    match (exchange, kind) {
        (Exchange::Mcx, _) => Segment::McxComm,
        (Exchange::Nse, Kind::FutureCurrency | Kind::OptionCurrency) => Segment::NseCurrency,
        (Exchange::Bse, Kind::FutureCurrency | Kind::OptionCurrency) => Segment::BseCurrency,
        (Exchange::Nse, _) => Segment::NseFno,
        (Exchange::Bse, _) => Segment::BseFno,
    }
}

pub(super) fn segment_of(ladder: Ladder<'_>) -> Segment {
    segment_of_kind(ladder.exchange(), ladder.kind())
}

/// The instrument that gives a ladder its price.
pub(crate) fn source_of(ladder: Ladder<'_>) -> Result<Instrument<'_>, Error> {
    ladder.price_source().ok_or_else(|| Error::NoPriceSource {
        symbol: ladder.symbol().to_owned(),
    })
}

/// The chain as one caller's price makes it.
pub(super) fn shaped(
    registry: &Arc<Registry>,
    now: Now,
    ladder: LadderId,
    width: Width,
    price: Price,
    live: Option<SourcePrice>,
) -> Result<ChainAnswer, Error> {
    let window = Window::new(registry.ladder_at(ladder), price, width)?;
    Ok(ChainAnswer {
        registry: Arc::clone(registry),
        span: window.span(),
        price: SourcePrice::from_client(price),
        live,
        calculated_at: now.utc,
    })
}

/// A window in the middle of a ladder: about what a claim takes whose price is unknown.
pub(crate) fn middle_window(ladder: Ladder<'_>, width: Width) -> Result<Window<'_>, Error> {
    let rungs = ladder.rungs();
    let middle = rungs
        .get(rungs.len() / 2)
        .map_or(Price::ZERO, |rung| Price::from_raw(rung.strike.raw()));
    Ok(Window::new(ladder, middle, width)?)
}

/// An underlying, held for the price of a chain.
pub(crate) fn source_leg(source: Instrument<'_>) -> Leg {
    Leg {
        key: source.key(),
        step: source.tick(),
        mode: Mode::Ticker,
        role: Role::Underlying,
        distance: 0,
    }
}

/// A claim's instruments for a window: the contracts and the underlying they need.
pub(crate) fn legs(registry: &Registry, span: Span, mode: Mode) -> Result<Vec<Leg>, Error> {
    let source = source_of(registry.ladder_at(span.ladder))?;
    let mut legs = Vec::with_capacity(2 * span.rungs(registry).len() + 1);
    legs.push(source_leg(source));
    legs.extend(span.legs(registry).map(|(idx, _, distance)| {
        let contract = registry.instrument(idx);
        Leg {
            key: contract.key(),
            step: contract.tick(),
            mode,
            role: Role::Contract,
            distance,
        }
    }));
    Ok(legs)
}
