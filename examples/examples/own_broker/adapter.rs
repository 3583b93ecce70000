//! The adapter: what turns the made-up broker's sessions and lines into what Strikewire
//! wants to know. It knows no instruments and decides nothing.

use std::cell::RefCell;
use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use strikewire_broker::{
    Capabilities, ConnEvent, DayPrices, DepthLevel, DownCause, Error, Feed, Full, Gap, Oi, Port,
    Quote, Reference, ReferenceError, Sink, Snapshot, Ticker, Update, WireBatch, WireOp,
};
use strikewire_types::{
    ConnId, Epoch, ExchangeTime, InstrumentKey, Now, Price, PriceStep, SCALE, Segment,
};

use crate::bazaar::{Bazaar, Best, Day, Line, PER_SESSION, Print, SESSIONS, Session};

/// Before the first attempt after a failed one; doubled with each that fails too.
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The broker's ids are unique, but not across markets as Strikewire has them: the stock
/// trades in one, its options in another.
const STOCK: u32 = 11_536;

fn key_of(id: u32) -> InstrumentKey {
    let segment = if id == STOCK {
        Segment::NseEq
    } else {
        Segment::NseFno
    };
    InstrumentKey::new(segment, id)
}

fn price(paise: i64) -> Option<Price> {
    paise.checked_mul(SCALE / 100).map(Price::from_raw)
}

fn day_prices(day: &Day) -> DayPrices {
    DayPrices {
        open: price(day.open),
        high: price(day.high),
        low: price(day.low),
        prev_close: price(day.close_before),
    }
}

fn depth(best: &Best) -> [DepthLevel; 5] {
    let mut levels = [DepthLevel::default(); 5];
    levels[0].bid = price(best.bid);
    levels[0].ask = price(best.ask);
    levels
}

/// In the words of Strikewire.
fn update_of(print: &Print) -> Update {
    let ticker = Ticker {
        ltp: price(print.last),
        ltt: Some(ExchangeTime::from_seconds(print.at)),
    };
    let Some(day) = &print.day else {
        return Update::Ticker(ticker);
    };
    let quote = Quote {
        ticker,
        ltq: day.quantity,
        atp: None,
        volume: day.volume,
        total_sell_qty: 0,
        total_buy_qty: 0,
        day: day_prices(day),
    };
    match &print.best {
        None => Update::Quote(quote),
        Some(best) => Update::Full(Full {
            quote,
            oi: Oi::default(),
            depth: depth(best),
        }),
    }
}

/// The streaming side of the adapter.
pub(crate) struct BazaarFeed {
    bazaar: Bazaar,
    key: String,
}

impl BazaarFeed {
    pub(crate) const CAPABILITIES: Capabilities = Capabilities {
        connections: SESSIONS,
        per_connection: PER_SESSION,
        per_batch: 50,
    };

    pub(crate) fn new(bazaar: Bazaar, key: &str) -> Self {
        Self {
            bazaar,
            key: key.to_owned(),
        }
    }
}

impl Feed for BazaarFeed {
    fn capabilities(&self) -> Capabilities {
        Self::CAPABILITIES
    }

    async fn run(self, port: Port, sink: impl Sink) -> Result<(), Error> {
        // All connections are kept by one task, so they can share both without a lock. No
        // borrow lasts over an await.
        let (port, sink) = (RefCell::new(port), RefCell::new(sink));
        let connections = (0..SESSIONS).map(|index| {
            let keeper = Keeper {
                feed: &self,
                conn: ConnId::from_index(index),
                port: &port,
                sink: &sink,
                heard: None,
                lost: None,
            };
            keeper.run()
        });
        join_all(connections).await;
        Ok(())
    }
}

/// Keeps one connection alive.
struct Keeper<'a, S> {
    feed: &'a BazaarFeed,
    conn: ConnId,
    port: &'a RefCell<Port>,
    sink: &'a RefCell<S>,
    /// When the last line came.
    heard: Option<Now>,
    /// Why there has been nothing since.
    lost: Option<DownCause>,
}

impl<S: Sink> Keeper<'_, S> {
    /// Until nobody wants the feed any more.
    async fn run(mut self) {
        let mut epoch = Epoch::default();
        let mut wait = FIRST_WAIT;
        loop {
            epoch = epoch.next();
            let cause = match self.feed.bazaar.connect(&self.feed.key) {
                Ok(session) => {
                    wait = FIRST_WAIT;
                    match self.live(session, epoch).await {
                        Some(cause) => cause,
                        None => return,
                    }
                }
                Err(reason) => DownCause::Connect(reason.to_owned()),
            };
            if self.heard.is_some() {
                self.lost.get_or_insert_with(|| cause.clone());
            }
            self.report(ConnEvent::Down {
                conn: self.conn,
                epoch,
                cause,
                retry_in: Some(wait),
            });
            tokio::select! {
                () = tokio::time::sleep(wait) => wait = LONGEST_WAIT.min(wait * 2),
                () = self.unwanted() => return,
            }
        }
    }

    /// One life of the connection; why it ended, or none when nobody wants it any more.
    async fn live(&mut self, mut session: Session, epoch: Epoch) -> Option<DownCause> {
        let conn = self.conn;
        self.report(ConnEvent::Up { conn, epoch });
        self.report(ConnEvent::Ready { conn, epoch });
        loop {
            tokio::select! {
                batch = self.batch() => match batch {
                    Some(batch) if batch.epoch == epoch => {
                        session.say(&request(&batch));
                        self.report(ConnEvent::Ready { conn, epoch });
                    }
                    // It was made for an earlier life of this connection.
                    Some(_) => {}
                    None => {
                        session.say("bye");
                        return None;
                    }
                },
                line = session.line() => {
                    let at = self.sink.borrow().now();
                    let mut next = line;
                    loop {
                        match next {
                            Some(Line::Print(line)) => self.take(&line, at),
                            Some(Line::Closing(why)) => {
                                return Some(DownCause::Closed(why.to_owned()));
                            }
                            None => return Some(DownCause::Closed("cut".to_owned())),
                        }
                        // What waits is taken with it, in one turn.
                        match session.line_at_hand() {
                            Some(line) => next = Some(line),
                            None => break,
                        }
                    }
                    self.sink.borrow_mut().turn_done(at);
                }
            }
        }
    }

    /// Takes one line.
    fn take(&mut self, line: &Bytes, at: Now) {
        let mut sink = self.sink.borrow_mut();
        if let (Some(cause), Some(from)) = (self.lost.take(), self.heard) {
            let to = at;
            sink.gap(self.conn, Gap { from, to, cause });
        }
        self.heard = Some(at);
        sink.frame(self.conn, at, line);
        let Ok(print) = serde_json::from_slice::<Print>(line) else {
            sink.undecoded(self.conn, at, 0, line);
            return;
        };
        // None: nobody wants it any more.
        if let Some(target) = sink.resolve(key_of(print.id)) {
            sink.apply(self.conn, &target, at, &update_of(&print));
        }
    }

    fn report(&self, event: ConnEvent) {
        self.port.borrow_mut().report(event);
    }

    /// The next batch; none when nobody wants the feed any more.
    async fn batch(&self) -> Option<WireBatch> {
        poll_fn(|cx| self.port.borrow_mut().poll_batch(self.conn, cx)).await
    }

    /// Until nobody wants the feed any more. Batches for a life that is over go nowhere.
    async fn unwanted(&self) {
        while self.batch().await.is_some() {}
    }
}

/// A batch in the broker's words.
fn request(batch: &WireBatch) -> String {
    let mut line = match batch.op {
        WireOp::Subscribe(mode) => format!("sub {mode}"),
        WireOp::Unsubscribe(mode) => format!("unsub {mode}"),
    };
    for key in &batch.keys {
        line.push(' ');
        line += &key.id.0.to_string();
    }
    line
}

/// The request side of the adapter: single quotes, and nothing else that
/// [`Reference`] knows. Strikewire asks it for the price of an underlying that is not
/// streamed yet.
pub(crate) struct BazaarReference {
    bazaar: Bazaar,
}

impl BazaarReference {
    pub(crate) const fn new(bazaar: Bazaar) -> Self {
        Self { bazaar }
    }
}

impl Reference for BazaarReference {
    async fn quotes(
        &self,
        wanted: &[(InstrumentKey, PriceStep)],
    ) -> Result<Vec<Snapshot>, ReferenceError> {
        let prints = wanted.iter().filter_map(|(key, _)| {
            let print = self.bazaar.ask(key.id.0)?;
            Some(Snapshot {
                ltp: price(print.last),
                ltt: Some(ExchangeTime::from_seconds(print.at)),
                day: print.day.as_ref().map(day_prices).unwrap_or_default(),
                depth: print.best.as_ref().map(depth),
                ..Snapshot::new(*key)
            })
        });
        Ok(prints.collect())
    }
}
