//! A broker and a feed in memory. Each poll of the feed is a turn: it looks at every
//! connection once.

use core::cell::{Cell, RefCell};
use core::future::{Future, poll_fn};
use core::task::Poll;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use bytes::Bytes;
use strikewire_types::{ConnId, Epoch, InstrumentKey, Mode, Now, Price, PriceStep, Segment, Slot};

use crate::conformance::{Case, Listed, Rig, Seat};
use crate::{
    Capabilities, ConnEvent, DownCause, Error, Feed, Gap, Port, Sink, Target, Ticker, Update,
    WireBatch, WireOp,
};

pub(super) const SECRET: &str = "s3cr3t";
const CONNECTIONS: usize = 3;
const PER_CONNECTION: usize = 7;
const PER_BATCH: usize = 2;

/// One mistake of a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bug {
    CapabilitiesChange,
    NothingFitsABatch,
    ReadyBeforeUp,
    ReadyTwice,
    SubscribesByItself,
    OneConnectionMissing,
    DropsBatches,
    WritesHalf,
    TakesStaleBatches,
    ReadyForStaleBatches,
    WaitsForASecondBatch,
    ForgetsToUnsubscribe,
    AsksForTheLowestMode,
    AppliesTwice,
    AppliesEverySecondOne,
    AppliesToTheNeighbour,
    Truncates,
    SaysTheFirstConnection,
    AppliesWhatNobodyWants,
    StaysDown,
    ComesBackInTheSameLife,
    ForgetsItsConnection,
    CloseIsTheEnd,
    CutIsOurOwn,
    NoGap,
    GapTwice,
    GapBackwards,
    GapFromTheBeginning,
    SilentRefusal,
    RefusalIsTheEnd,
    NoFrames,
    FrameAfter,
    NoTurnDone,
    LeavesWithoutAWord,
    NeverLeaves,
    EndsWithAnError,
    ShowsItsToken,
}

impl Bug {
    /// Every mistake and a case that has to notice it.
    pub(super) const ALL: [(Self, Case); 41] = [
        (Self::CapabilitiesChange, Case::Capabilities),
        (Self::NothingFitsABatch, Case::Capabilities),
        (Self::ReadyBeforeUp, Case::UpThenReady),
        (Self::ReadyTwice, Case::UpThenReady),
        (Self::SubscribesByItself, Case::UpThenReady),
        (Self::OneConnectionMissing, Case::UpThenReady),
        (Self::DropsBatches, Case::ReadyMeansWritten),
        (Self::WritesHalf, Case::ReadyMeansWritten),
        (Self::TakesStaleBatches, Case::StaleBatch),
        (Self::ReadyForStaleBatches, Case::StaleBatch),
        (Self::WaitsForASecondBatch, Case::OneAtATime),
        (Self::DropsBatches, Case::OneAtATime),
        (Self::ForgetsToUnsubscribe, Case::Modes),
        (Self::AsksForTheLowestMode, Case::Modes),
        (Self::AppliesTwice, Case::UpdateOnce),
        (Self::AppliesEverySecondOne, Case::UpdateOnce),
        (Self::AppliesToTheNeighbour, Case::UpdateOnce),
        (Self::Truncates, Case::Rounded),
        (Self::SaysTheFirstConnection, Case::RightConnection),
        (Self::AppliesWhatNobodyWants, Case::Unresolved),
        (Self::StaysDown, Case::BackFromCut),
        (Self::ComesBackInTheSameLife, Case::BackFromCut),
        (Self::ForgetsItsConnection, Case::BackFromCut),
        (Self::CutIsOurOwn, Case::BackFromCut),
        (Self::CloseIsTheEnd, Case::BackFromClose),
        (Self::ComesBackInTheSameLife, Case::BackFromClose),
        (Self::NoGap, Case::GapTold),
        (Self::GapTwice, Case::GapTold),
        (Self::GapBackwards, Case::GapTold),
        (Self::GapFromTheBeginning, Case::GapTold),
        (Self::CutIsOurOwn, Case::GapTold),
        (Self::SilentRefusal, Case::Refused),
        (Self::RefusalIsTheEnd, Case::Refused),
        (Self::NoFrames, Case::FrameFirst),
        (Self::FrameAfter, Case::FrameFirst),
        (Self::NoTurnDone, Case::TurnDone),
        (Self::LeavesWithoutAWord, Case::Goodbye),
        (Self::NeverLeaves, Case::Goodbye),
        (Self::EndsWithAnError, Case::Goodbye),
        (Self::ShowsItsToken, Case::Secret),
        (Self::StaysDown, Case::StaleBatch),
    ];
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Cut,
    Closed,
}

#[derive(Debug, Default)]
struct Line {
    held: BTreeMap<InstrumentKey, Mode>,
    /// Prices under way, as the wire has them.
    frames: VecDeque<(InstrumentKey, f32)>,
    ended: Option<End>,
}

/// The broker.
#[derive(Debug, Default)]
struct Broker {
    lines: BTreeMap<u64, Line>,
    next: u64,
    refuse: usize,
    goodbyes: usize,
    sent: BTreeMap<InstrumentKey, u64>,
}

impl Broker {
    fn connect(&mut self) -> Option<u64> {
        if self.refuse > 0 {
            self.refuse -= 1;
            return None;
        }
        self.next += 1;
        self.lines.insert(self.next, Line::default());
        Some(self.next)
    }

    fn receive(&mut self, id: u64, op: WireOp, keys: &[InstrumentKey]) {
        let Some(line) = self.lines.get_mut(&id) else {
            return;
        };
        for &key in keys {
            match op {
                WireOp::Subscribe(mode) => line.held.insert(key, mode),
                WireOp::Unsubscribe(_) => line.held.remove(&key),
            };
        }
    }

    fn end(&mut self, id: u64, end: End) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.held.clear();
            line.ended = Some(end);
        }
    }
}

/// The rig.
#[derive(Debug)]
pub(super) struct Memory {
    broker: Rc<RefCell<Broker>>,
    bug: Option<Bug>,
}

impl Memory {
    pub(super) fn new(bug: Option<Bug>) -> Self {
        Self {
            broker: Rc::default(),
            bug,
        }
    }
}

impl Rig for Memory {
    type Feed = MemoryFeed;

    fn feed(&mut self) -> MemoryFeed {
        MemoryFeed {
            broker: Rc::clone(&self.broker),
            bug: self.bug,
            asked: Cell::new(0),
        }
    }

    fn instruments(&self) -> Vec<Listed> {
        let all = 0..u32::try_from(CONNECTIONS * PER_CONNECTION).unwrap();
        all.map(|id| Listed {
            key: InstrumentKey::new(Segment::NseFno, 1_000 + id),
            step: PriceStep::from_raw(500),
        })
        .collect()
    }

    fn secret(&self) -> String {
        SECRET.to_owned()
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(400)
    }

    fn seats(&self) -> Vec<Seat> {
        let broker = self.broker.borrow();
        let open = broker.lines.iter().filter(|(_, line)| line.ended.is_none());
        open.map(|(id, line)| Seat {
            id: *id,
            held: line.held.clone(),
        })
        .collect()
    }

    fn goodbyes(&self) -> usize {
        self.broker.borrow().goodbyes
    }

    fn cut(&mut self, seat: u64) {
        self.broker.borrow_mut().end(seat, End::Cut);
    }

    fn close(&mut self, seat: u64) {
        self.broker.borrow_mut().end(seat, End::Closed);
    }

    fn refuse(&mut self, attempts: usize) {
        self.broker.borrow_mut().refuse = attempts;
    }

    fn update(&mut self, key: InstrumentKey, price: Price) {
        let mut broker = self.broker.borrow_mut();
        let Broker { lines, sent, .. } = &mut *broker;
        for line in lines.values_mut() {
            if line.held.contains_key(&key) {
                line.frames.push_back((key, price.as_f64() as f32));
                *sent.entry(key).or_default() += 1;
            }
        }
    }

    fn sent(&self, key: InstrumentKey) -> u64 {
        self.broker.borrow().sent.get(&key).copied().unwrap_or(0)
    }

    fn sleep(&self, _: Duration) -> impl Future<Output = ()> {
        once()
    }
}

/// Waits for the next turn.
fn once() -> impl Future<Output = ()> {
    let mut waited = false;
    poll_fn(move |_| {
        if waited {
            return Poll::Ready(());
        }
        waited = true;
        Poll::Pending
    })
}

#[derive(Debug)]
pub(super) struct MemoryFeed {
    broker: Rc<RefCell<Broker>>,
    bug: Option<Bug>,
    asked: Cell<usize>,
}

impl Feed for MemoryFeed {
    fn capabilities(&self) -> Capabilities {
        self.asked.set(self.asked.get() + 1);
        let more = usize::from(self.bug == Some(Bug::CapabilitiesChange)) * self.asked.get();
        Capabilities {
            connections: CONNECTIONS,
            per_connection: PER_CONNECTION + more,
            per_batch: match self.bug {
                Some(Bug::NothingFitsABatch) => 0,
                _ => PER_BATCH,
            },
        }
    }

    async fn run(self, port: Port, sink: impl Sink) -> Result<(), Error> {
        let mut driver = Driver {
            broker: self.broker,
            bug: self.bug,
            port,
            sink,
            applied: 0,
        };
        let mut conns: [Conn; CONNECTIONS] = Default::default();
        while !driver.port.is_closed() || driver.has(Bug::NeverLeaves) {
            for (index, conn) in conns.iter_mut().enumerate() {
                driver.turn(ConnId::from_index(index), conn);
            }
            once().await;
        }
        let mut broker = driver.broker.borrow_mut();
        for seat in conns.iter().filter_map(|conn| conn.seat) {
            broker.lines.remove(&seat);
            broker.goodbyes += usize::from(driver.bug != Some(Bug::LeavesWithoutAWord));
        }
        match driver.bug {
            Some(Bug::EndsWithAnError) => Err(Error::new("memory", "nobody wants it")),
            _ => Ok(()),
        }
    }
}

#[derive(Debug, Default)]
struct Conn {
    seat: Option<u64>,
    epoch: Epoch,
    over: bool,
    /// Turns until the next attempt.
    wait: usize,
    heard: Now,
    lost: Option<DownCause>,
    held_back: Option<WireBatch>,
}

struct Driver<S> {
    broker: Rc<RefCell<Broker>>,
    bug: Option<Bug>,
    port: Port,
    sink: S,
    applied: u64,
}

impl<S: Sink> Driver<S> {
    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    fn turn(&mut self, id: ConnId, conn: &mut Conn) {
        let Some(seat) = conn.seat else {
            // Batches for a life that is over go nowhere.
            while self.port.try_batch(id).is_some() {}
            if !conn.over && conn.wait == 0 {
                self.connect(id, conn);
            }
            conn.wait = conn.wait.saturating_sub(1);
            return;
        };
        let ended = self
            .broker
            .borrow()
            .lines
            .get(&seat)
            .and_then(|line| line.ended);
        if let Some(end) = ended {
            self.fall(id, conn, end);
            return;
        }
        self.write(id, conn, seat);
        self.read(id, conn, seat);
    }

    fn connect(&mut self, id: ConnId, conn: &mut Conn) {
        if self.has(Bug::OneConnectionMissing) && id.index() == CONNECTIONS - 1 {
            conn.over = true;
            return;
        }
        let same = self.has(Bug::ComesBackInTheSameLife) && conn.epoch.0 > 0;
        if !same {
            conn.epoch = conn.epoch.next();
        }
        let epoch = conn.epoch;
        conn.seat = self.broker.borrow_mut().connect();
        let Some(seat) = conn.seat else {
            conn.wait = 3;
            conn.over = self.has(Bug::RefusalIsTheEnd);
            if !self.has(Bug::SilentRefusal) {
                self.port.report(ConnEvent::Down {
                    conn: id,
                    epoch,
                    cause: DownCause::Refused { status: 503 },
                    retry_in: (!conn.over).then_some(Duration::from_millis(6)),
                });
            }
            return;
        };
        if self.has(Bug::SubscribesByItself) {
            let key = InstrumentKey::new(Segment::NseFno, 1_000);
            let op = WireOp::Subscribe(Mode::Ticker);
            self.broker.borrow_mut().receive(seat, op, &[key]);
        }
        let up = ConnEvent::Up { conn: id, epoch };
        let ready = ConnEvent::Ready { conn: id, epoch };
        if self.has(Bug::ReadyBeforeUp) {
            self.port.report(ready.clone());
        }
        self.port.report(up);
        self.port.report(ready.clone());
        if self.has(Bug::ReadyTwice) {
            self.port.report(ready);
        }
    }

    fn fall(&mut self, id: ConnId, conn: &mut Conn, end: End) {
        conn.seat = None;
        conn.wait = 3;
        conn.over =
            self.has(Bug::StaysDown) || (end == End::Closed && self.has(Bug::CloseIsTheEnd));
        let detail = if self.has(Bug::ShowsItsToken) {
            format!("reset by peer at /?token={SECRET}")
        } else {
            format!("{end:?}")
        };
        let cause = if self.has(Bug::CutIsOurOwn) {
            DownCause::Stopped
        } else {
            DownCause::Closed(detail)
        };
        conn.lost.get_or_insert(cause.clone());
        if self.has(Bug::ForgetsItsConnection) {
            return;
        }
        self.port.report(ConnEvent::Down {
            conn: id,
            epoch: conn.epoch,
            cause,
            retry_in: (!conn.over).then_some(Duration::from_millis(6)),
        });
    }

    fn write(&mut self, id: ConnId, conn: &mut Conn, seat: u64) {
        let Some(mut batch) = self.port.try_batch(id) else {
            return;
        };
        if batch.epoch != conn.epoch {
            if self.has(Bug::ReadyForStaleBatches) {
                let epoch = conn.epoch;
                self.port.report(ConnEvent::Ready { conn: id, epoch });
            }
            if self.has(Bug::TakesStaleBatches) {
                self.broker
                    .borrow_mut()
                    .receive(seat, batch.op, &batch.keys);
            }
            return;
        }
        let epoch = conn.epoch;
        if self.has(Bug::WaitsForASecondBatch) {
            let Some(before) = conn.held_back.replace(batch) else {
                self.port.report(ConnEvent::Ready { conn: id, epoch });
                return;
            };
            batch = before;
        }
        if self.has(Bug::AsksForTheLowestMode) && matches!(batch.op, WireOp::Subscribe(_)) {
            batch.op = WireOp::Subscribe(Mode::Ticker);
        }
        let keys = match self.bug {
            Some(Bug::DropsBatches) => &[],
            Some(Bug::WritesHalf) => &batch.keys[..batch.keys.len().div_ceil(2)],
            Some(Bug::ForgetsToUnsubscribe) if matches!(batch.op, WireOp::Unsubscribe(_)) => &[],
            _ => &batch.keys[..],
        };
        self.broker.borrow_mut().receive(seat, batch.op, keys);
        self.port.report(ConnEvent::Ready { conn: id, epoch });
    }

    fn read(&mut self, id: ConnId, conn: &mut Conn, seat: u64) {
        let frame = self
            .broker
            .borrow_mut()
            .lines
            .get_mut(&seat)
            .and_then(|line| line.frames.pop_front());
        let Some((key, rupees)) = frame else {
            return;
        };
        let at = self.sink.now();
        let bytes = Bytes::from_static(b"a frame");
        if let Some(cause) = conn.lost.take() {
            self.gap(id, conn.heard, at, &cause);
        }
        conn.heard = at;
        if !self.has(Bug::NoFrames) && !self.has(Bug::FrameAfter) {
            self.sink.frame(id, at, &bytes);
        }
        self.apply(id, at, key, rupees);
        if self.has(Bug::FrameAfter) {
            self.sink.frame(id, at, &bytes);
        }
        if !self.has(Bug::NoTurnDone) {
            self.sink.turn_done(at);
        }
    }

    fn gap(&mut self, id: ConnId, from: Now, to: Now, cause: &DownCause) {
        let cause = cause.clone();
        let gap = match self.bug {
            Some(Bug::NoGap) => return,
            Some(Bug::GapBackwards) => Gap {
                from: to,
                to: from,
                cause,
            },
            Some(Bug::GapFromTheBeginning) => Gap {
                from: Now::default(),
                to,
                cause,
            },
            _ => Gap { from, to, cause },
        };
        if self.has(Bug::GapTwice) {
            self.sink.gap(id, gap.clone());
        }
        self.sink.gap(id, gap);
    }

    fn apply(&mut self, id: ConnId, at: Now, key: InstrumentKey, rupees: f32) {
        let asked = if self.has(Bug::AppliesToTheNeighbour) {
            InstrumentKey::new(key.segment, key.id.0 ^ 1)
        } else {
            key
        };
        let step = PriceStep::from_raw(500);
        let stray = Target {
            key,
            slot: Slot(0),
            step,
        };
        let target = match self.sink.resolve(asked) {
            Some(target) => target,
            None if self.has(Bug::AppliesWhatNobodyWants) => stray,
            None => return,
        };
        let ltp = if self.has(Bug::Truncates) {
            Some(Price::from_raw((f64::from(rupees) * 10_000.0) as i64))
        } else {
            Price::from_wire(rupees, target.step)
        };
        let update = Update::Ticker(Ticker { ltp, ltt: None });
        self.applied += 1;
        if self.has(Bug::AppliesEverySecondOne) && self.applied.is_multiple_of(2) {
            return;
        }
        let conn = if self.has(Bug::SaysTheFirstConnection) {
            ConnId::from_index(0)
        } else {
            id
        };
        self.sink.apply(conn, &target, at, &update);
        if self.has(Bug::AppliesTwice) {
            self.sink.apply(conn, &target, at, &update);
        }
    }
}
