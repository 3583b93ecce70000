//! Minute bars, built where ticks arrive.
//!
//! A bar's high and low are true only if every tick is looked at, so minutes are built on
//! the feed's thread, by its [`Tap`], of the packets of slots with
//! [`Interest::BARS`](strikewire_quotes::Interest::BARS). Who computes says by [`Bars`] of
//! which instruments, and collects what there is every now and then: bars that closed wait
//! for it, of forming ones the latest state is enough. The feed's thread never waits.

mod tap;
#[cfg(test)]
mod tests;

use core::cell::RefCell;
use core::convert::Infallible;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use strikewire_calendar::Class;
use strikewire_indicators::Bar;
use strikewire_types::{InstrumentKey, Utc};
use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;

use crate::TickPath;

pub(crate) use tap::Tap;

/// Commands that may wait for the feed's thread before those who send them wait too.
const COMMANDS: usize = 256;

/// Commands done before the feed has its turn again.
const PER_TURN: usize = 64;

/// What is asked of the feed's thread. `master` is the number of the instrument master
/// that the key is of.
#[derive(Debug)]
pub(crate) enum BarCommand {
    /// Builds minutes of an instrument, if it does not already.
    Watch {
        master: u64,
        key: InstrumentKey,
        class: Class,
    },
    /// Ends that.
    Unwatch { master: u64, key: InstrumentKey },
    /// Closes the minutes that have ended, and gives what there is.
    Collect {
        now: Utc,
        /// Its memory is used for the answer.
        batch: BarBatch,
        reply: oneshot::Sender<BarBatch>,
    },
}

/// What the feed's thread has built since it was last asked.
#[derive(Debug, Default)]
pub(crate) struct BarBatch {
    /// The number of the instrument master that the keys are of.
    pub(crate) master: u64,
    /// Minutes that have ended; those of one instrument in order.
    pub(crate) closed: Vec<(InstrumentKey, Bar)>,
    /// Minutes that have not ended, of instruments that something changed of: one, or in
    /// the moment of grace after its end also the one after it, next to each other.
    pub(crate) forming: Vec<(InstrumentKey, Bar)>,
    /// Instruments that were found to get no packets although they might, and since when.
    pub(crate) missing: Vec<(InstrumentKey, Utc)>,
    /// Starts of minutes that were over, given out or not, and then missed a tick that came
    /// too late; mostly once each.
    pub(crate) lost: Vec<(InstrumentKey, Utc)>,
    /// Instruments that are on the wire, whether they trade or not: told with the first
    /// packet after the start or a gap, and again every half a minute in which some come.
    pub(crate) heard: Vec<InstrumentKey>,
    /// Ticks of minutes that had been closed.
    pub(crate) late: u64,
    /// Ticks of times in which nothing trades.
    pub(crate) out_of_session: u64,
}

impl BarBatch {
    fn clear(&mut self) {
        self.closed.clear();
        self.forming.clear();
        self.missing.clear();
        self.lost.clear();
        self.heard.clear();
        self.late = 0;
        self.out_of_session = 0;
    }
}

/// The number of the instrument master in force, as the owner tells the feed's thread
/// before it binds anything of a new one: an id may mean another contract from one to the
/// next.
#[derive(Debug, Clone, Default)]
pub(crate) struct Era(Arc<AtomicU64>);

impl Era {
    pub(crate) fn set(&self, master: u64) {
        self.0.store(master, Ordering::Release);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// The queue between those who compute and the feed's thread.
pub(crate) fn channel() -> (Bars, mpsc::Receiver<BarCommand>) {
    let (commands, queue) = mpsc::channel(COMMANDS);
    (Bars { commands }, queue)
}

/// Asks the feed's thread for bars. Every call waits until there is room in its queue; all
/// are safe to cancel, one that was cancelled may have been done.
#[derive(Debug, Clone)]
pub(crate) struct Bars {
    commands: mpsc::Sender<BarCommand>,
}

impl Bars {
    /// Builds minutes of an instrument from now on. False when the feed has ended.
    pub(crate) async fn watch(&self, master: u64, key: InstrumentKey, class: Class) -> bool {
        self.send(BarCommand::Watch { master, key, class }).await
    }

    /// Ends that; what was not collected is lost.
    pub(crate) async fn unwatch(&self, master: u64, key: InstrumentKey) -> bool {
        self.send(BarCommand::Unwatch { master, key }).await
    }

    /// What was built since the last time, in the memory of an earlier batch; none when the
    /// feed has ended.
    pub(crate) async fn collect(&self, now: Utc, batch: BarBatch) -> Option<BarBatch> {
        let (reply, answer) = oneshot::channel();
        let collect = BarCommand::Collect { now, batch, reply };
        if !self.send(collect).await {
            return None;
        }
        answer.await.ok()
    }

    async fn send(&self, command: BarCommand) -> bool {
        self.commands.send(command).await.is_ok()
    }
}

/// Does what is asked, in between the turns of the feed.
pub(crate) async fn serve(
    path: &RefCell<TickPath>,
    mut commands: mpsc::Receiver<BarCommand>,
) -> Infallible {
    let mut done = 0;
    while let Some(command) = commands.recv().await {
        match command {
            BarCommand::Collect {
                now,
                mut batch,
                reply,
            } => {
                while !path.borrow_mut().tap().close_some(now) {
                    yield_now().await;
                }
                path.borrow_mut().tap().begin(&mut batch);
                while !path.borrow_mut().tap().take_some(&mut batch) {
                    yield_now().await;
                }
                // Whoever asked may have gone.
                let _ = reply.send(batch);
            }
            command => {
                path.borrow_mut().bar_command(&command);
                done += 1;
                if done % PER_TURN == 0 {
                    yield_now().await;
                }
            }
        }
    }
    core::future::pending().await
}
