//! A feed that runs, with a case at both of its ends.

use core::cell::RefCell;
use core::fmt::Write;
use core::future::Future;
use core::pin::{Pin, pin};
use core::time::Duration;
use std::rc::Rc;

use futures_util::future::{Either, select};
use strikewire_types::{ConnId, Epoch, InstrumentKey, Mode, Price, Slot};

use super::recorder::{Book, Recorder, Seen};
use super::{Listed, Rig, Seat};
use crate::{
    Capabilities, ConnEvent, DownCause, Error, Feed, Gap, Link, Target, WireBatch, WireOp, port,
};

/// Why a case failed, in words.
pub(super) type Reason = String;

/// How long the feed runs before the case looks again.
const STEP: Duration = Duration::from_millis(2);

/// A connection, by what was reported about it.
#[derive(Debug, Clone, Default)]
pub(super) struct Line {
    /// The life it is up in.
    pub(super) up: Option<Epoch>,
    /// Whether it can take a batch.
    pub(super) ready: bool,
    /// The greatest life that was spoken of.
    last: Option<Epoch>,
    /// Every end of a life and every failed attempt.
    pub(super) downs: Vec<(DownCause, Option<Duration>)>,
}

pub(super) struct Bench<R: Rig> {
    pub(super) rig: R,
    pub(super) capabilities: Capabilities,
    pub(super) lines: Vec<Line>,
    pub(super) instruments: Vec<Listed>,
    /// All that was reported, as it would be printed.
    pub(super) printed: Vec<String>,
    link: Option<Link>,
    feed: Pin<Box<dyn Future<Output = Result<(), Error>>>>,
    ended: Option<Result<(), String>>,
    book: Rc<RefCell<Book>>,
}

impl<R: Rig> Bench<R> {
    /// A feed that has been made and not been polled yet.
    pub(super) fn new(mut rig: R) -> Result<Self, Reason> {
        let feed = rig.feed();
        let capabilities = feed.capabilities();
        let again = feed.capabilities();
        if capabilities != again {
            return Err(format!(
                "the capabilities are {capabilities:?} first and then {again:?}"
            ));
        }
        if !(1..=255).contains(&capabilities.connections) {
            return Err(format!(
                "capabilities.connections is {}: expected 1 to 255",
                capabilities.connections
            ));
        }
        let instruments = rig.instruments();
        if instruments.len() < 2 * capabilities.connections {
            return Err(format!(
                "the rig has {} instruments: expected at least 2 for each of {} connections",
                instruments.len(),
                capabilities.connections
            ));
        }
        let book = Rc::new(RefCell::new(Book::default()));
        for (listed, slot) in instruments.iter().zip(0..) {
            let target = Target {
                key: listed.key,
                slot: Slot(slot),
                step: listed.step,
            };
            book.borrow_mut().targets.insert(listed.key, target);
        }
        let (port, link) = port(capabilities.connections);
        let sink = Recorder::new(Rc::clone(&book));
        Ok(Self {
            capabilities,
            lines: vec![Line::default(); capabilities.connections],
            instruments,
            printed: Vec::new(),
            link: Some(link),
            feed: Box::pin(feed.run(port, sink)),
            ended: None,
            book,
            rig,
        })
    }

    /// Waits until `done` is true. `what` says for what.
    pub(super) async fn until(
        &mut self,
        what: &str,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Result<(), Reason> {
        let patience = self.rig.patience();
        let mut waited = Duration::ZERO;
        loop {
            self.read()?;
            if done(self) {
                return Ok(());
            }
            if waited > patience {
                return Err(format!(
                    "waited {} s until {what}; {}",
                    patience.as_secs_f64(),
                    self.scene()
                ));
            }
            self.turn().await;
            waited += STEP;
            if let (Some(ended), Some(_)) = (&self.ended, &self.link) {
                return Err(format!("the feed ended by itself: {ended:?}"));
            }
        }
    }

    /// Lets the feed run for a few steps.
    pub(super) async fn settle(&mut self) -> Result<(), Reason> {
        for _ in 0..10 {
            self.turn().await;
            self.read()?;
        }
        Ok(())
    }

    async fn turn(&mut self) {
        let step = pin!(self.rig.sleep(STEP));
        if self.ended.is_some() {
            step.await;
        } else if let Either::Left((ended, _)) = select(self.feed.as_mut(), step).await {
            self.ended = Some(ended.map_err(|error| format!("{error} ({error:?})")));
        }
    }

    /// Takes what was reported, and holds it to what always holds.
    fn read(&mut self) -> Result<(), Reason> {
        let Some(link) = &mut self.link else {
            return Ok(());
        };
        while let Some(notice) = link.try_notice() {
            self.printed.push(format!("{notice:?}"));
        }
        while let Some(event) = link.try_event() {
            self.printed.push(format!("{event:?}"));
            let Some(line) = self.lines.get_mut(event.conn().index()) else {
                return Err(format!("{event:?} is about a connection that there is not"));
            };
            match event {
                ConnEvent::Up { epoch, .. } => {
                    if line.up.is_some() {
                        return Err(format!("{event:?} without a Down before"));
                    }
                    if line.last.is_some_and(|last| !is_after(epoch, last)) {
                        return Err(format!("{event:?}, but there was a life {:?}", line.last));
                    }
                    line.up = Some(epoch);
                    line.last = Some(epoch);
                    line.ready = false;
                }
                ConnEvent::Ready { epoch, .. } => {
                    if line.up != Some(epoch) {
                        return Err(format!("{event:?}, but it is up in {:?}", line.up));
                    }
                    if line.ready {
                        return Err(format!("{event:?} a second time without a batch"));
                    }
                    line.ready = true;
                }
                ConnEvent::Down {
                    epoch,
                    cause,
                    retry_in,
                    ..
                } => {
                    if line.up.is_some_and(|up| up != epoch) {
                        let up = line.up;
                        return Err(format!("Down of life {epoch:?}, but it is up in {up:?}"));
                    }
                    self.printed.push(cause.to_string());
                    line.up = None;
                    line.ready = false;
                    if line.last.is_none_or(|last| is_after(epoch, last)) {
                        line.last = Some(epoch);
                    }
                    line.downs.push((cause, retry_in));
                }
            }
        }
        Ok(())
    }

    /// Waits until every connection can take a batch.
    pub(super) async fn all_ready(&mut self) -> Result<(), Reason> {
        self.until("every connection is ready", |bench| {
            bench.lines.iter().all(|line| line.ready)
        })
        .await
    }

    /// Hands a batch to a connection that is ready for it.
    pub(super) fn send(&mut self, conn: ConnId, op: WireOp, keys: &[InstrumentKey]) {
        let line = &mut self.lines[conn.index()];
        let (true, Some(epoch)) = (line.ready, line.up) else {
            return;
        };
        line.ready = false;
        self.send_for(epoch, conn, op, keys);
    }

    /// Hands a batch made for the life `epoch` to a connection, whatever it is up in.
    pub(super) fn send_for(
        &mut self,
        epoch: Epoch,
        conn: ConnId,
        op: WireOp,
        keys: &[InstrumentKey],
    ) {
        if let Some(link) = &mut self.link {
            link.send(WireBatch {
                conn,
                epoch,
                op,
                keys: keys.to_vec(),
            });
        }
    }

    /// Waits until a connection can take a batch.
    pub(super) async fn ready(&mut self, conn: ConnId) -> Result<(), Reason> {
        self.until(&format!("connection {conn} is ready"), |bench| {
            bench.lines[conn.index()].ready
        })
        .await
    }

    /// Subscribes on a connection that is ready, and waits until the broker has it.
    pub(super) async fn subscribe(
        &mut self,
        conn: ConnId,
        mode: Mode,
        keys: &[InstrumentKey],
    ) -> Result<(), Reason> {
        self.ready(conn).await?;
        self.send(conn, WireOp::Subscribe(mode), keys);
        self.held(keys, Some(mode)).await?;
        self.ready(conn).await
    }

    /// Waits until the broker sends each of `keys` in `mode`, on one connection; or,
    /// without a mode, on none.
    pub(super) async fn held(
        &mut self,
        keys: &[InstrumentKey],
        mode: Option<Mode>,
    ) -> Result<(), Reason> {
        let keys = keys.to_vec();
        let what = match mode {
            Some(mode) => format!("the broker sends {} instruments in mode {mode}", keys.len()),
            None => format!("the broker sends {} instruments no more", keys.len()),
        };
        self.until(&what, |bench| {
            let seats = bench.rig.seats();
            keys.iter().all(|key| {
                let modes: Vec<Mode> = modes_of(&seats, *key).collect();
                modes.as_slice() == mode.as_slice()
            })
        })
        .await
    }

    /// The broker's number for the connection that holds `key`.
    pub(super) fn seat_of(&self, key: InstrumentKey) -> Result<u64, Reason> {
        let seats = self.rig.seats();
        seats
            .iter()
            .find(|seat| seat.held.contains_key(&key))
            .map(|seat| seat.id)
            .ok_or_else(|| format!("no connection of the broker holds {key}; {}", self.scene()))
    }

    /// Has the broker send `price`, and waits until it is applied to `key`. Where in
    /// what the sink was told.
    pub(super) async fn update(
        &mut self,
        key: InstrumentKey,
        price: Price,
    ) -> Result<usize, Reason> {
        let before = self.seen().len();
        self.rig.update(key, price);
        let mut found = 0;
        self.until(&format!("{key} at {price} is applied"), |bench| {
            let book = bench.book.borrow();
            let at = book.seen[before..]
                .iter()
                .position(|seen| is_price(seen, key, price));
            found = before + at.unwrap_or_default();
            at.is_some()
        })
        .await
        .map_err(|reason| format!("{reason}; applied were {:?}", self.prices_of(key)))?;
        Ok(found)
    }

    /// What the sink was told so far.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.book.borrow().seen.clone()
    }

    /// The last prices that were applied to `key`, in order.
    pub(super) fn prices_of(&self, key: InstrumentKey) -> Vec<Price> {
        let book = self.book.borrow();
        let prices = book.seen.iter().filter_map(|seen| match seen {
            Seen::Applied { target, price, .. } if target.key == key => *price,
            _ => None,
        });
        prices.collect()
    }

    /// How many updates were applied to `key`, of whatever kind.
    pub(super) fn applied_to(&self, key: InstrumentKey) -> u64 {
        let book = self.book.borrow();
        let of = |seen: &&Seen| matches!(seen, Seen::Applied { target, .. } if target.key == key);
        book.seen.iter().filter(of).count() as u64
    }

    /// The gaps that were told about a connection.
    pub(super) fn gaps(&self, conn: ConnId) -> Vec<Gap> {
        let book = self.book.borrow();
        let gaps = book.seen.iter().filter_map(|seen| match seen {
            Seen::Gap { conn: of, gap } if *of == conn => Some(gap.clone()),
            _ => None,
        });
        gaps.collect()
    }

    /// From now on nobody wants `key`.
    pub(super) fn forget(&mut self, key: InstrumentKey) {
        self.book.borrow_mut().targets.remove(&key);
    }

    /// Nobody wants the feed any more: waits until it has ended.
    pub(super) async fn leave(&mut self) -> Result<(), Reason> {
        self.link = None;
        self.until("the feed ends", |bench| bench.ended.is_some())
            .await?;
        match &self.ended {
            Some(Err(error)) => Err(format!("the feed ended with an error: {error}")),
            _ => Ok(()),
        }
    }

    /// How things are, for a failure.
    fn scene(&self) -> String {
        let mut text = String::from("reported: ");
        for (index, line) in self.lines.iter().enumerate() {
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "connection {} up {:?}, ready {}, downs {:?}; ",
                index + 1,
                line.up.map(|epoch| epoch.0),
                line.ready,
                line.downs
            );
        }
        text.push_str("the broker has: ");
        for seat in self.rig.seats() {
            let _ = write!(text, "connection {} with {}; ", seat.id, seat.held.len());
        }
        text
    }
}

/// The modes in which an instrument is sent, over all connections.
fn modes_of(seats: &[Seat], key: InstrumentKey) -> impl Iterator<Item = Mode> {
    seats
        .iter()
        .filter_map(move |seat| seat.held.get(&key).copied())
}

fn is_price(seen: &Seen, key: InstrumentKey, at: Price) -> bool {
    matches!(
        seen,
        Seen::Applied { target, price: Some(price), .. } if target.key == key && *price == at
    )
}

/// Whether `epoch` comes after `last`, counted round.
const fn is_after(epoch: Epoch, last: Epoch) -> bool {
    epoch.0 != last.0 && epoch.0.wrapping_sub(last.0) <= u32::MAX / 2
}
