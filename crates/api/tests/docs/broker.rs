//! A broker in memory: its connections are up at once, and each instrument ticks once as soon
//! as it is subscribed, and whenever the test says so.

use core::task::Poll;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use strikewire_broker::{
    Candle, CandleRequest, Capabilities, ConnEvent, DayPrices, DepthLevel, Feed, Full, Interval,
    Oi, Port, Quote, Reference, ReferenceError, Sink, Ticker, Update, WireOp,
};
use strikewire_gateway::types::{
    ConnId, Epoch, ExchangeTime, InstrumentKey, Mode, Price, Segment, Utc,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The index, the equity on NSE.
pub(crate) const NIFTY: InstrumentKey = InstrumentKey::new(Segment::IdxI, 13);
pub(crate) const RELIANCE: InstrumentKey = InstrumentKey::new(Segment::NseEq, 2885);

/// What the test sees of the broker, and what it can make it do.
#[derive(Clone)]
pub(crate) struct Broker {
    wire: Arc<Mutex<BTreeMap<InstrumentKey, (ConnId, Mode)>>>,
    ticks: UnboundedSender<(InstrumentKey, f64)>,
}

impl Broker {
    pub(crate) fn tick(&self, key: InstrumentKey, rupees: f64) {
        self.ticks.send((key, rupees)).unwrap();
    }
}

pub(crate) struct Memory {
    broker: Broker,
    ticks: UnboundedReceiver<(InstrumentKey, f64)>,
    at: ExchangeTime,
}

/// A feed whose trades all happen at `at`.
pub(crate) fn broker(at: Utc) -> (Memory, Broker) {
    let (ticks, receiver) = unbounded_channel();
    let broker = Broker {
        wire: Arc::default(),
        ticks,
    };
    let memory = Memory {
        broker: broker.clone(),
        ticks: receiver,
        at: ExchangeTime::from_seconds(at.as_seconds()),
    };
    (memory, broker)
}

/// What the broker is asked for: the candles of any instrument, always the same.
pub(crate) struct Candles;

impl Reference for Candles {
    async fn candles(&self, request: &CandleRequest) -> Result<Vec<Candle>, ReferenceError> {
        let length = match request.interval {
            Interval::Minutes(minutes) => i64::from(minutes) * 60,
            Interval::Day => DAY,
        };
        let base = first_price(request.key);
        let (from, to) = (request.from.as_seconds(), request.to.as_seconds());
        let mut candles = Vec::new();
        // From the midnight in UTC before: sessions begin at 03:45 UTC.
        let mut day = from - from.rem_euclid(DAY);
        while day < to {
            let open = day + 3 * 3_600 + 45 * 60;
            let close = day + 10 * 3_600;
            // 1970-01-01 was a Thursday.
            let is_weekend = [2, 3].contains(&day.div_euclid(DAY).rem_euclid(7));
            let mut at = open;
            while !is_weekend && at < close && at < to {
                if at >= from {
                    candles.push(candle(base, at));
                }
                at += length;
            }
            day += DAY;
        }
        Ok(candles)
    }
}

const DAY: i64 = 24 * 3_600;

/// Prices go up and down by a few hundredths of a percent, in a rhythm of their own.
fn candle(base: f64, at: i64) -> Candle {
    let minute = at / 60;
    let wave = (minute % 47 - 23).abs() + (minute % 13 - 6).abs();
    let close = base * (1.0 + 0.000_05 * (wave - 15) as f64);
    let rounded = |rupees| price(rupees).unwrap();
    Candle {
        at: ExchangeTime::from_seconds(at),
        open: rounded(close - 1.5),
        high: rounded(close + 2.0),
        low: rounded(close - 2.5),
        close: rounded(close),
        volume: 0,
        oi: None,
    }
}

/// The first price of an instrument.
fn first_price(key: InstrumentKey) -> f64 {
    match key {
        NIFTY => 25_512.4,
        RELIANCE => 1_441.5,
        // Contracts: any price will do, as long as it is always the same.
        other => 80.0 + f64::from(other.id.0 % 100) * 1.05,
    }
}

impl Memory {
    fn apply(&self, sink: &mut impl Sink, key: InstrumentKey, rupees: f64) {
        let held = self.broker.wire.lock().unwrap().get(&key).copied();
        if let (Some((conn, mode)), Some(target)) = (held, sink.resolve(key)) {
            let now = sink.now();
            sink.apply(conn, &target, now, &packet(mode, rupees, self.at));
            sink.turn_done(now);
        }
    }
}

impl Feed for Memory {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            connections: 5,
            per_connection: 5_000,
            per_batch: 100,
        }
    }

    async fn run(
        mut self,
        mut port: Port,
        mut sink: impl Sink,
    ) -> Result<(), strikewire_broker::Error> {
        let epoch = Epoch(1);
        for index in 0..port.connections() {
            let conn = ConnId::from_index(index);
            port.report(ConnEvent::Up { conn, epoch });
            port.report(ConnEvent::Ready { conn, epoch });
        }
        core::future::poll_fn(|cx| {
            loop {
                let mut busy = false;
                for index in 0..port.connections() {
                    let conn = ConnId::from_index(index);
                    let batch = match port.poll_batch(conn, cx) {
                        Poll::Ready(None) => return Poll::Ready(()),
                        Poll::Ready(Some(batch)) => batch,
                        Poll::Pending => continue,
                    };
                    busy = true;
                    for key in &batch.keys {
                        if let WireOp::Subscribe(mode) = batch.op {
                            self.broker.wire.lock().unwrap().insert(*key, (conn, mode));
                            self.apply(&mut sink, *key, first_price(*key));
                        } else {
                            self.broker.wire.lock().unwrap().remove(key);
                        }
                    }
                    port.report(ConnEvent::Ready { conn, epoch });
                }
                while let Poll::Ready(Some((key, rupees))) = self.ticks.poll_recv(cx) {
                    busy = true;
                    self.apply(&mut sink, key, rupees);
                }
                if !busy {
                    return Poll::Pending;
                }
            }
        })
        .await;
        Ok(())
    }
}

fn price(rupees: f64) -> Option<Price> {
    Price::from_f64((rupees * 20.0).round() / 20.0)
}

fn packet(mode: Mode, rupees: f64, at: ExchangeTime) -> Update {
    let ticker = Ticker {
        ltp: price(rupees),
        ltt: Some(at),
    };
    let quote = Quote {
        ticker,
        ltq: 75,
        atp: price(rupees - 0.35),
        volume: 182_400,
        total_sell_qty: 41_250,
        total_buy_qty: 38_700,
        day: DayPrices {
            open: price(rupees - 4.0),
            high: price(rupees + 6.5),
            low: price(rupees - 7.25),
            prev_close: price(rupees - 2.1),
        },
    };
    let level = |step: u16| DepthLevel {
        bid: price(rupees - 0.05 * f64::from(step)),
        bid_qty: 150 * u32::from(step),
        bid_orders: step,
        ask: price(rupees + 0.05 * f64::from(step)),
        ask_qty: 75 * u32::from(step),
        ask_orders: step,
    };
    match mode {
        Mode::Ticker => Update::Ticker(ticker),
        Mode::Quote => Update::Quote(quote),
        Mode::Full => Update::Full(Full {
            quote,
            oi: Oi {
                oi: 96_450,
                ..Oi::default()
            },
            depth: [1, 2, 3, 4, 5].map(level),
        }),
    }
}
