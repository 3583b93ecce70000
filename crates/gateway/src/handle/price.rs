//! Waiting for the price of a chain, in the task of the request that needs it.

use core::pin::pin;

use strikewire_broker::Snapshot;
use strikewire_chain::{PriceSource, Width};
use strikewire_registry::{Instrument, Ladder};
use strikewire_types::{Mode, Price};
use tokio::time::Instant;

use super::Gateway;
use crate::Error;
use crate::command::Command;
use crate::master::Master;
use crate::owner::{legs, middle_window, source_leg, source_of};
use crate::price::{Pricing, row_price, source_price};

impl Gateway {
    /// Sees to it that the price of a ladder's underlying is known. Where the quote table
    /// has none, the broker is asked for a quote. `claim` is the width and mode of the
    /// chain that will be claimed: its underlying is held at once, and whichever price
    /// comes first will do. One that is only read (none) holds it when the quote does not
    /// come or takes long.
    pub(crate) async fn await_price(
        &self,
        master: &Master,
        ladder: Ladder<'_>,
        claim: Option<(Width, Mode)>,
    ) -> Result<Option<Hold>, Error> {
        let source = source_of(ladder)?;
        let (key, clock) = (source.key(), self.shared.clock);
        let pricing = Pricing {
            table: &self.shared.table,
            desk: &self.shared.desk,
            config: &self.shared.config,
            calendar: &self.shared.calendar,
            registry: &master.registry,
        };
        let row = || row_price(&pricing, clock.now(), key);
        if row().is_some() {
            return Ok(None);
        }
        let wait = self.shared.config.price_wait;
        let begun = Instant::now();
        let mut asked = pin!(self.quote_of(source));
        // Why there is no quote, once that is known.
        let mut refused = None;
        if claim.is_none() && self.shared.table.resolve(key).is_none() {
            match tokio::time::timeout(wait / 2, &mut asked).await {
                Ok(Ok(Quoted::Price)) => return Ok(None),
                Ok(Ok(Quoted::Nothing(reason))) => refused = Some(reason),
                Ok(Err(error)) => return Err(error),
                Err(_) => {}
            }
        }
        let hold = self.hold(master, ladder, source, claim).await;
        let mut arrives = pin!(self.price_arrives(|| {
            // The previous close may arrive a moment before the first price. That may be
            // an old one, where the market is closed: there is no other then.
            row().is_some_and(|price| price.source != PriceSource::PrevClose)
        }));
        let mut too_late = pin!(tokio::time::sleep_until(begun + wait));
        loop {
            if hold.is_err() && (claim.is_some() || refused.is_some()) {
                return hold.map(Some);
            }
            tokio::select! {
                biased;
                () = &mut arrives => return Ok(hold.ok()),
                quoted = &mut asked, if refused.is_none() => match quoted? {
                    Quoted::Price => return Ok(hold.ok()),
                    Quoted::Nothing(reason) => refused = Some(reason),
                },
                () = &mut too_late => break,
            }
        }
        if source_price(&pricing, clock.now(), key).is_some() {
            return Ok(hold.ok());
        }
        Err(Error::PriceUnavailable {
            symbol: ladder.symbol().to_owned(),
            instrument: key,
            waited_ms: wait.as_millis(),
            quote: refused.unwrap_or_else(|| "the broker has not answered yet".into()),
        })
    }

    /// Asks the broker for the price of an underlying.
    async fn quote_of(&self, source: Instrument<'_>) -> Result<Quoted, Error> {
        let desk = &self.shared.desk;
        match desk.shared_quote(source.key(), source.tick()).await {
            Ok(quote) if has_price(&quote) => Ok(Quoted::Price),
            Ok(_) => Ok(Quoted::Nothing("it has no price".into())),
            Err(Error::NoQuote { reason, .. }) => Ok(Quoted::Nothing(reason)),
            // The feed may do without it.
            Err(error @ Error::Stopping) => Ok(Quoted::Nothing(error.to_string())),
            Err(error) => Err(error),
        }
    }

    /// Waits until `arrived` is true, which is asked after every update of a row that a
    /// request waits for.
    async fn price_arrives(&self, arrived: impl Fn() -> bool) {
        loop {
            let mut notified = pin!(self.shared.wakers.price.notified());
            notified.as_mut().enable();
            if arrived() {
                return;
            }
            notified.await;
        }
    }

    /// Holds an underlying for a request.
    async fn hold(
        &self,
        master: &Master,
        ladder: Ladder<'_>,
        source: Instrument<'_>,
        claim: Option<(Width, Mode)>,
    ) -> Result<Hold, Error> {
        let chain = claim
            .map(|(width, mode)| {
                let window = middle_window(ladder, width)?;
                legs(&master.registry, window.span(), mode)
            })
            .transpose()?;
        let hold = Hold {
            gateway: self.clone(),
            request: self.next_id(),
        };
        let leg = source_leg(source);
        self.ask_of(master, |reply| Command::Hold {
            request: hold.request,
            leg,
            chain,
            reply,
        })
        .await?;
        Ok(hold)
    }
}

/// What came of asking for a quote.
enum Quoted {
    /// There is a price now.
    Price,
    /// There is none, and why.
    Nothing(String),
}

/// Whether a chain can be calculated from a quote.
fn has_price(quote: &Snapshot) -> bool {
    let prices = [quote.ltp, quote.day.prev_close];
    prices
        .into_iter()
        .flatten()
        .any(|price| price > Price::ZERO)
}

/// Holds an underlying for as long as a request needs its price.
#[derive(Debug)]
pub(crate) struct Hold {
    gateway: Gateway,
    request: u64,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.gateway.send_detached(Command::Unhold {
            request: self.request,
        });
    }
}
