use std::collections::VecDeque;
use std::sync::Arc;

use strikewire_store::{self as store, Change, List, Outcome, Seq};
use strikewire_types::Now;

use super::Owner;
use super::items::Item;
use super::records::Cause;
use crate::Error;

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
    /// An item was added; `before`, if there was one, is what was there: evicted, or
    /// another one whose removal was taken back.
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

    /// What there will be instead should the addition of item `id` fail too.
    fn before_addition_of(&mut self, id: u64) -> Option<&mut Option<Item>> {
        let mut undos = self.waiting.iter_mut().map(|waiting| &mut waiting.undo);
        undos.find_map(|undo| match undo {
            Some(Undo::Added { id: added, before }) if *added == id => Some(before),
            _ => None,
        })
    }

    /// The removal of item `id` takes nothing back any more. The list that it was on.
    fn forget_removal_of(&mut self, id: u64) -> Option<List> {
        let mut undos = self.waiting.iter_mut().map(|waiting| &mut waiting.undo);
        undos.find_map(|undo| match undo.take() {
            Some(Undo::Removed(item)) if item.id == id => Some(item.spec.key.list),
            other => {
                *undo = other;
                None
            }
        })
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
                let list = match self.let_go_of_item(now, id, &cause) {
                    Some((item, _)) => Some(item.spec.key.list),
                    None => self.parked.forget_removal_of(id),
                };
                if let Some(list) = list {
                    self.journal.must(Change::Remove { list, id });
                }
                if let Some(before) = before {
                    self.bring_back(now, &before.record(), &cause);
                }
            }
            Undo::Removed(item) => {
                // Another one may have been put in its place meanwhile.
                let newer = self.items.by_key(&item.spec.key).map(|newer| newer.id);
                match newer.map(|id| self.parked.before_addition_of(id)) {
                    None => self.bring_back(now, &item.record(), &cause),
                    Some(Some(before)) => *before = Some(*item),
                    Some(None) => {}
                }
            }
        }
    }

    /// Puts an item back where it was, as the instrument master of now has it: there may
    /// have been another one when it went.
    fn bring_back(&mut self, now: Now, record: &store::Item, cause: &Arc<Cause>) {
        let Some(item) = self.recovered_item(record) else {
            let (list, id) = (record.list, record.id);
            self.journal.must(Change::Remove { list, id });
            return;
        };
        self.journal.must(Change::Put(Box::new(item.record())));
        self.restore_item(now, item, cause);
    }
}
