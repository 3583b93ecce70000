//! Reading chains.

use std::sync::Arc;

use bytes::Bytes;
use strikewire_chain::{ChainFacts, ChainView, PriceSource, Width};
use strikewire_registry::{Ladder, OtherExchange};

use super::Gateway;
use crate::command::{ChainAsk, Command};
use crate::master::Master;
use crate::page::Page;
use crate::price::{Pricing, row_price, source_price};
use crate::published::PublishedChain;
use crate::{ChainAnswer, ChainRequest, Error, SourcePrice};

impl Gateway {
    /// A chain, without subscribing it.
    ///
    /// One that is calculated and would stay as it is costs no more than looking it up;
    /// any other is asked of the owner.
    ///
    /// # Errors
    ///
    /// When it is not listed or there is no price.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn read_chain(
        &self,
        request: &ChainRequest,
    ) -> Result<(ChainAnswer, Option<OtherExchange>), Error> {
        self.in_master(|master| async move {
            let (ladder, width, warning) = self.resolve_chain(&master.registry, request)?;
            let answer = match self.published_chain(&master, ladder, width, request) {
                Some(answer) => answer,
                None => self.ask_chain(&master, ladder, width, request).await?,
            };
            Ok((answer, warning))
        })
        .await
    }

    /// Asks the owner for a chain.
    async fn ask_chain(
        &self,
        master: &Master,
        ladder: Ladder<'_>,
        width: Width,
        request: &ChainRequest,
    ) -> Result<ChainAnswer, Error> {
        let _hold = match request.price {
            None => self.await_price(master, ladder, None).await?,
            Some(_) => None,
        };
        let (ladder, ask) = (
            ladder.id(),
            ChainAsk {
                price: request.price,
                force: request.force,
            },
        );
        self.ask_of(master, |reply| Command::ReadChain {
            ladder,
            width,
            ask,
            reply,
        })
        .await
    }

    /// What the owner would answer, where that is known without asking it.
    fn published_chain(
        &self,
        master: &Master,
        ladder: Ladder<'_>,
        width: Width,
        request: &ChainRequest,
    ) -> Option<ChainAnswer> {
        if request.price.is_some() || request.force {
            return None;
        }
        let chain = master.chains.get(ladder.id(), width)?;
        let now = self.shared.clock.now();
        let pricing = Pricing {
            table: &self.shared.table,
            desk: &self.shared.desk,
            config: &self.shared.config,
            calendar: &self.shared.calendar,
            registry: &master.registry,
        };
        // Without a row, the broker has to be asked.
        let row = row_price(&pricing, now, chain.source)?;
        let price = match row.source {
            PriceSource::PrevClose => source_price(&pricing, now, chain.source)?,
            _ => row,
        };
        if !chain.holds(now, self.shared.config.chain_ttl, &price) {
            return None;
        }
        master.chains.note_read(now, &chain);
        Some(ChainAnswer {
            registry: Arc::clone(&master.registry),
            span: chain.span,
            price: chain.price,
            live: Some(price).filter(SourcePrice::is_live),
            calculated_at: chain.calculated_at,
        })
    }

    /// A calculated chain in the form of the contract.
    #[must_use]
    pub fn render(&self, answer: &ChainAnswer) -> ChainView {
        render(answer)
    }

    /// The JSON object of a [rendered](Self::render) chain, with one more member `quotes`:
    /// the last [quotes](Self::quote) of its contracts, where there are any, in the order of
    /// strikes.
    #[must_use]
    pub fn chain_json(&self, answer: &ChainAnswer) -> Bytes {
        let table = &self.shared.table;
        let master = self.shared.master.load();
        let is_it = |chain: &Arc<PublishedChain>| {
            Arc::ptr_eq(&master.registry, &answer.registry)
                && chain.span == answer.span
                && chain.price == answer.price
                && chain.calculated_at == answer.calculated_at
        };
        let chains = &master.chains;
        match chains.get(answer.span.ladder, answer.span.width) {
            Some(chain) if is_it(&chain) => chains.write(&chain.page, answer, table),
            // Shaped by one caller's price, or calculated anew a moment ago.
            _ => Page::default().write(answer, table).0,
        }
    }
}

/// A calculated chain in the form of the contract.
pub(crate) fn render(answer: &ChainAnswer) -> ChainView {
    ChainView::new(
        &answer.span.window(&answer.registry, answer.price.price),
        &ChainFacts {
            price_source: answer.price.source,
            price_time: answer.price.time,
            price_stale: answer.price_stale(),
            live_ltp: answer.live.map(|live| live.price),
            calculated_at: answer.calculated_at,
        },
    )
}
