//! A feed without a broker: every instrument that is subscribed has a packet at a time.

use core::time::Duration;
use std::collections::BTreeMap;

use strikewire_broker::{
    Capabilities, ConnEvent, DayPrices, DepthLevel, Error, Feed, Full, Oi, Port, Quote, Sink,
    Ticker, Update, WireOp,
};
use strikewire_types::{ConnId, Epoch, ExchangeTime, InstrumentKey, Mode, Price};
use tokio::time::MissedTickBehavior;

/// Sends a packet for every instrument once in each period.
pub(crate) struct Pulse {
    pub(crate) every: Duration,
}

impl Feed for Pulse {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            connections: 5,
            per_connection: 5_000,
            per_batch: 100,
        }
    }

    async fn run(self, mut port: Port, mut sink: impl Sink) -> Result<(), Error> {
        let epoch = Epoch(1);
        let mut wire: BTreeMap<InstrumentKey, (ConnId, Mode)> = BTreeMap::new();
        let connections: Vec<ConnId> = (0..port.connections()).map(ConnId::from_index).collect();
        for &conn in &connections {
            port.report(ConnEvent::Up { conn, epoch });
            port.report(ConnEvent::Ready { conn, epoch });
        }
        let mut turns = tokio::time::interval(self.every);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut nth = 0;
        while !port.is_closed() {
            turns.tick().await;
            for &conn in &connections {
                while let Some(batch) = port.try_batch(conn) {
                    for key in &batch.keys {
                        match batch.op {
                            WireOp::Subscribe(mode) => wire.insert(*key, (conn, mode)),
                            WireOp::Unsubscribe(_) => wire.remove(key),
                        };
                    }
                    port.report(ConnEvent::Ready { conn, epoch });
                    tokio::task::yield_now().await;
                }
            }
            nth += 1;
            let now = sink.now();
            for (key, (conn, mode)) in &wire {
                if let Some(target) = sink.resolve(*key) {
                    let time = ExchangeTime::from_seconds(now.utc.as_seconds());
                    sink.apply(*conn, &target, now, &update(*mode, nth, time));
                }
            }
            sink.turn_done(now);
        }
        Ok(())
    }
}

fn update(mode: Mode, nth: i64, ltt: ExchangeTime) -> Update {
    // In steps of 5 paise.
    let price = |steps: i64| Some(Price::from_raw(1_440_000 + 500 * (nth % 1_000 + steps)));
    let count = (nth % 100_000) as u32;
    let ticker = Ticker {
        ltp: price(0),
        ltt: Some(ltt),
    };
    let quote = Quote {
        ticker,
        ltq: 75 + count % 50,
        atp: price(40),
        volume: 1_000_000 + count,
        total_sell_qty: 1_234_500 + count,
        total_buy_qty: 1_543_200 + count,
        day: DayPrices {
            open: price(7),
            prev_close: price(-9),
            high: price(400),
            low: price(-300),
        },
    };
    match mode {
        Mode::Ticker => Update::Ticker(ticker),
        Mode::Quote => Update::Quote(quote),
        Mode::Full => Update::Full(Full {
            quote,
            oi: Oi {
                oi: 2_345_675 + count,
                ..Oi::default()
            },
            depth: core::array::from_fn(|level| DepthLevel {
                bid: price(-1 - level as i64),
                bid_qty: 75 * (level as u32 + 3) + count % 75,
                bid_orders: level as u16 + 2,
                ask: price(1 + level as i64),
                ask_qty: 75 * (level as u32 + 5) + count % 75,
                ask_orders: level as u16 + 4,
            }),
        }),
    }
}
