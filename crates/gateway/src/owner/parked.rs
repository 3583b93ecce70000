use std::collections::VecDeque;
use std::sync::Arc;

use strikewire_store::{Change, Outcome, Seq};
use strikewire_types::Now;

use super::Owner;
use super::items::Item;
use crate::{Error, ItemState};

/// Replies that wait for the journal, in its order.
#[derive(Default)]
pub(super) struct Parked {
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    seq: Seq,
    undo: Option<Undo>,
    reply: Box<dyn FnOnce(Result<(), Error>) + Send>,
}

/// How a change is taken back that could not be made durable.
#[derive(Debug)]
pub(super) enum Undo {
    /// An item was added; `before`, if there was one, is what it was: evicted.
    Added { id: u64, before: Option<Item> },
    /// An item was removed.
    Removed(Box<Item>),
}

impl core::fmt::Debug for Parked {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Parked")
            .field("waiting", &self.waiting.len())
            .finish()
    }
}

impl Parked {
    pub(super) fn park(
        &mut self,
        seq: Seq,
        undo: Option<Undo>,
        reply: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) {
        self.waiting.push_back(Waiting {
            seq,
            undo,
            reply: Box::new(reply),
        });
    }

    fn next_up_to(&mut self, seq: Seq) -> Option<Waiting> {
        self.waiting.pop_front_if(|waiting| waiting.seq <= seq)
    }
}

impl Owner {
    /// Does what the store's news asks for: answers, takes back, says how it stands.
    pub(super) fn handle_outcome(&mut self, now: Now, outcome: Outcome) {
        match outcome {
            Outcome::Durable(seq) => {
                while let Some(waiting) = self.parked.next_up_to(seq) {
                    (waiting.reply)(Ok(()));
                }
            }
            Outcome::Failed { up_to, reason } => {
                let mut failed = Vec::new();
                while let Some(waiting) = self.parked.next_up_to(up_to) {
                    failed.push(waiting);
                }
                // The newest first: each finds what it found when it was made.
                for waiting in failed.into_iter().rev() {
                    if let Some(undo) = waiting.undo {
                        self.take_back(now, undo);
                    }
                    (waiting.reply)(Err(Error::NotDurable {
                        reason: reason.clone(),
                    }));
                }
            }
            Outcome::Down { reason } => self.store_down(now, reason),
            Outcome::Up => self.store_up(now),
        }
    }

    /// Takes back what could not be made durable. A failed commit may have been one
    /// after all, so the journal is told what became of the item.
    fn take_back(&mut self, now: Now, undo: Undo) {
        let cause = Arc::clone(&self.records.causes.undone);
        match undo {
            Undo::Added { id, before } => {
                let Some((item, _)) = self.let_go_of_item(now, id, &cause) else {
                    return;
                };
                match before {
                    None => {
                        let list = item.spec.key.list;
                        self.journal.must(Change::Remove { list, id });
                    }
                    Some(before) => {
                        self.journal.must(Change::Put(Box::new(before.record())));
                        self.items.insert(before);
                    }
                }
            }
            Undo::Removed(item) => {
                let evicted = item.state == ItemState::Evicted;
                let record = item.record();
                self.journal.must(Change::Put(Box::new(record)));
                if evicted {
                    self.items.insert(*item);
                } else {
                    self.restore_item(now, *item, &cause);
                }
            }
        }
    }
}
