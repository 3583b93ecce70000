use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use strikewire_broker::{
    Error, Feed, Gap, MarketState, Packed, Port, Sink, Snapshot, Target, Update,
};
use strikewire_types::{ConnId, InstrumentKey, Mode, Now, Segment};
use tokio::sync::mpsc;
use tokio::task::coop::unconstrained;

use super::Desk;
use crate::TickPath;
use crate::bars::{self, BarCommand};

/// Answers that may wait for the feed's thread before the desk waits too.
pub(crate) const ANSWERS: usize = 8;

/// Rows written before the feed has its turn again.
const PER_TURN: usize = 64;

/// What came of one call, for the rows.
#[derive(Debug)]
pub(crate) struct Answers {
    /// Whose ids these are.
    pub(super) generation: u64,
    /// What the feed brought since is newer.
    pub(super) asked_at: Now,
    pub(super) at: Now,
    pub(super) snapshots: Vec<Arc<Snapshot>>,
}

/// Runs a broker's feed. In between, writes what the desk was answered into the rows, as
/// the tick path is their only writer, and does what is asked of the bars.
pub(crate) async fn run_feed<F: Feed>(
    feed: F,
    port: Port,
    path: TickPath,
    desk: Desk,
    answers: mpsc::Receiver<Answers>,
    bar_commands: mpsc::Receiver<BarCommand>,
) -> Result<(), Error> {
    let path = Rc::new(RefCell::new(path));
    let sink = Shared(Rc::clone(&path));
    let others = async {
        tokio::join!(
            write_answers(&path, &desk, answers),
            bars::serve(&path, bar_commands)
        )
        .0
    };
    tokio::select! {
        biased;
        ended = feed.run(port, sink) => ended,
        // A busy feed uses up the turn's budget: that must not keep others from their turn.
        never = unconstrained(others) => match never {},
    }
}

async fn write_answers(
    path: &RefCell<TickPath>,
    desk: &Desk,
    mut answers: mpsc::Receiver<Answers>,
) -> core::convert::Infallible {
    while let Some(answer) = answers.recv().await {
        for some in answer.snapshots.chunks(PER_TURN) {
            if answer.generation != desk.generation() {
                break;
            }
            write(&mut path.borrow_mut(), &answer, some);
            tokio::task::yield_now().await;
        }
    }
    core::future::pending().await
}

fn write(path: &mut TickPath, answer: &Answers, some: &[Arc<Snapshot>]) {
    for snapshot in some {
        path.snapshot(answer.at, answer.asked_at, snapshot);
    }
    path.turn_done(answer.at);
}

/// The tick path, lent to the feed for the length of each call.
struct Shared(Rc<RefCell<TickPath>>);

impl Sink for Shared {
    fn now(&self) -> Now {
        self.0.borrow().now()
    }

    fn resolve(&self, key: InstrumentKey) -> Option<Target> {
        self.0.borrow().resolve(key)
    }

    fn apply(&mut self, conn: ConnId, target: &Target, at: Now, update: &Update) {
        self.0.borrow_mut().apply(conn, target, at, update);
    }

    #[inline]
    fn prepare(&self, target: &Target, mode: Mode) {
        self.0.borrow().prepare(target, mode);
    }

    #[inline]
    fn apply_packed(&mut self, conn: ConnId, target: &Target, at: Now, packed: &Packed) {
        self.0.borrow_mut().apply_packed(conn, target, at, packed);
    }

    fn market_state(&mut self, conn: ConnId, at: Now, segment: Segment, state: MarketState) {
        self.0.borrow_mut().market_state(conn, at, segment, state);
    }

    fn gap(&mut self, conn: ConnId, gap: Gap) {
        self.0.borrow_mut().gap(conn, gap);
    }

    fn frame(&mut self, conn: ConnId, at: Now, frame: &Bytes) {
        self.0.borrow_mut().frame(conn, at, frame);
    }

    fn undecoded(&mut self, conn: ConnId, at: Now, code: u8, bytes: &[u8]) {
        self.0.borrow_mut().undecoded(conn, at, code, bytes);
    }

    fn turn_done(&mut self, at: Now) {
        self.0.borrow_mut().turn_done(at);
    }
}
