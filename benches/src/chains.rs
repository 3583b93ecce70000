//! A chain with a quote of every contract, for what writes one.

use std::sync::Arc;

use strikewire_chain::{ChainFacts, ChainView, PriceSource, Width, Window};
use strikewire_fanout::{ChainBody, Item};
use strikewire_quotes::{DepthLevel, Quote, Table, Writer, table};
use strikewire_registry::{Registry, Rung};
use strikewire_types::{
    ConnId, ExchangeTime, InstrumentKey, Mode, Price, PriceStep, Segment, Slot, Utc,
};

use crate::Error;

/// What is written.
#[derive(Debug)]
pub struct Chain {
    /// As it is shown to users.
    pub view: ChainView,
    /// As the fan-out wants it.
    pub body: ChainBody,
    /// Its contracts.
    pub legs: Vec<(InstrumentKey, Arc<str>)>,
    /// The rows of their quotes.
    pub table: Arc<Table>,
    writer: Writer,
    mode: Mode,
    written: u32,
}

impl Chain {
    /// So many strikes, an odd number, in the middle of the first ladder that has both legs
    /// of each, with a quote in `mode` for every contract.
    ///
    /// # Errors
    ///
    /// When there is no such ladder.
    pub fn new(registry: &Registry, strikes: usize, mode: Mode) -> Result<Self, Error> {
        let width = Width::new(u32::try_from(strikes)?)?;
        let window = registry
            .ladders()
            .filter_map(|ladder| {
                let rungs = ladder.rungs();
                let price = Price::from_raw(rungs.get(rungs.len() / 2)?.strike.raw());
                Window::new(ladder, price, width).ok()
            })
            .find(|window| {
                window.rungs().len() == strikes && window.rungs().iter().all(Rung::is_complete)
            })
            .ok_or("no ladder has so many strikes")?;
        let price = window.price();
        let at = Utc::from_nanos(1_770_611_400_123_000_000);
        let view = ChainView::new(
            &window,
            &ChainFacts {
                price_source: PriceSource::Live,
                price_time: Some(ExchangeTime::from_seconds(1_770_611_400)),
                price_stale: false,
                live_ltp: Some(price),
                calculated_at: at,
            },
        );
        let legs: Vec<(InstrumentKey, Arc<str>)> = window
            .legs()
            .map(|(leg, ..)| {
                let contract = registry.instrument(leg);
                (contract.key(), contract.token().into())
            })
            .collect();
        let serde_json::Value::Object(fields) = serde_json::to_value(&view)? else {
            return Err("a chain is an object".into());
        };
        let items = legs.iter().map(|(key, token)| Item {
            key: *key,
            token: Arc::clone(token),
        });
        let body = ChainBody {
            fields,
            legs: items.collect(),
            underlying: None,
        };
        let (table, writer) = table(legs.len());
        for (place, (key, _)) in legs.iter().enumerate() {
            let slot = Slot(place as u32);
            table.bind(*key, slot, PriceStep::from_raw(500), ConnId::from_index(0));
        }
        let mut chain = Self {
            view,
            body,
            legs,
            table,
            writer,
            mode,
            written: 0,
        };
        chain.write(0, 1);
        Ok(chain)
    }

    /// Writes the quote of every `every`th contract from `first` on anew.
    pub fn write(&mut self, first: usize, every: usize) {
        for (place, (key, _)) in self.legs.iter().enumerate().skip(first).step_by(every) {
            self.written += 1;
            let quote = quote(*key, self.mode, self.written);
            let slot = Slot(place as u32);
            self.writer.write(slot, *key, quote.recv, |row| {
                row.mode(self.mode);
                row.ltp(quote.ltp);
                row.ltt(quote.ltt);
                row.ltq(quote.ltq);
                row.atp(quote.atp);
                row.volume(quote.volume);
                row.oi(quote.oi);
                row.open(quote.open);
                row.high(quote.high);
                row.low(quote.low);
                row.prev_close(quote.prev_close);
                row.total_buy_qty(quote.total_buy_qty);
                row.total_sell_qty(quote.total_sell_qty);
                for (level, depth) in quote.depth.iter().flatten().enumerate() {
                    row.depth(level, *depth);
                }
            });
        }
    }
}

/// A quote like those of a busy option, other ones for other numbers.
#[must_use]
pub fn quote(key: InstrumentKey, mode: Mode, number: u32) -> Quote {
    let price = |steps: i64| {
        Some(Price::from_raw(
            1_440_500 + 500 * (steps + i64::from(number % 997)),
        ))
    };
    let recv = 1_770_611_400_000_000_000 + i64::from(number % 100_000) * 7_000_000;
    Quote {
        ltp: price(0),
        ltt: Some(ExchangeTime::from_seconds(recv / 1_000_000_000)),
        mode: Some(mode),
        ltq: Some(75 + number % 50),
        atp: price(41),
        volume: Some(1_234_500 + number % 10_000),
        oi: Some(2_345_675 + number % 1_000),
        open: price(7),
        high: price(400),
        low: price(-300),
        prev_close: price(-9),
        total_buy_qty: Some(1_543_200 + number % 10_000),
        total_sell_qty: Some(1_234_500 + number % 10_000),
        depth: (mode == Mode::Full).then(|| {
            core::array::from_fn(|level| DepthLevel {
                bid: price(-1 - level as i64),
                bid_qty: 75 * (level as u32 + 3 + number % 20),
                bid_orders: level as u16 + 2,
                ask: price(1 + level as i64),
                ask_qty: 75 * (level as u32 + 5 + number % 30),
                ask_orders: level as u16 + 4,
            })
        }),
        ..Quote::new(key, Utc::from_nanos(recv))
    }
}

/// The instrument of a tick.
#[must_use]
pub const fn some_key() -> InstrumentKey {
    InstrumentKey::new(Segment::NseFno, 35_060)
}
