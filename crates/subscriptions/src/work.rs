//! What a connection has to do.

use core::cmp::Reverse;
use std::collections::BinaryHeap;

use strikewire_types::{ConnId, Mode, Slot};

use crate::rank::Rank;
use crate::table::{Table, Task};

/// What a connection has to do: a heap of slots for each message it could send, the
/// most valuable on top, and among those that leave the least valuable.
///
/// Whether a slot really is to be in a message is kept with its instrument alone
/// ([`Side::task`](crate::table::Side::task)). What is in a heap is a hint: one that
/// the instrument does not confirm, in task and rank, is passed over. So an instrument
/// that changes its mind, as most do between two messages, only adds hints; nothing is
/// searched for. Two equal hints do no harm: the first one takes the task away.
#[derive(Debug, Default)]
pub(crate) struct Work {
    heaps: [Heap; 12],
    /// Slots that have a task on the connection.
    tasks: usize,
}

type Heap = BinaryHeap<Hint>;

/// That a slot may have a task, with the rank it had when it got it.
pub(crate) type Hint = Reverse<(Rank, Slot)>;

/// The heap of a task, and what `rank` is in there.
const fn place(task: Task, rank: Rank) -> (usize, Rank) {
    match task {
        Task::Enter(mode) => (mode as usize, rank),
        Task::Change(mode) => (3 + mode as usize, rank),
        Task::Leave(mode) => (6 + mode as usize, rank.reversed()),
        Task::Try(mode) => (9 + mode as usize, rank),
    }
}

impl Work {
    /// A slot gets a task.
    pub(crate) fn insert(&mut self, task: Task, rank: Rank, slot: Slot) {
        self.tasks += 1;
        self.rerank(task, rank, slot);
    }

    /// A slot that has a task gets a new rank.
    pub(crate) fn rerank(&mut self, task: Task, rank: Rank, slot: Slot) {
        let (heap, rank) = place(task, rank);
        self.heaps[heap].push(Reverse((rank, slot)));
    }

    /// A slot has its task no more.
    pub(crate) fn remove(&mut self) {
        self.tasks -= 1;
        if self.tasks == 0 {
            self.clear();
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.tasks = 0;
        self.heaps.iter_mut().for_each(Heap::clear);
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.tasks == 0
    }

    /// Throws out what is outdated once that is the greater part, so that a connection
    /// that is down for long does not collect it.
    pub(crate) fn tidy(&mut self, conn: ConnId, table: &Table) {
        let hints: usize = self.heaps.iter().map(Heap::len).sum();
        if hints <= 2 * self.tasks + 64 {
            return;
        }
        for task in Mode::ALL.into_iter().flat_map(tasks) {
            let (heap, _) = place(task, Rank::LAST);
            let heap = &mut self.heaps[heap];
            let mut hints = core::mem::take(heap).into_vec();
            hints.retain(|&hint| holds(table, conn, task, hint));
            hints.sort_unstable();
            hints.dedup();
            *heap = Heap::from(hints);
        }
    }

    /// The most valuable message. Letting go comes last unless its room is needed,
    /// and then first. What the broker may not take comes after everything.
    pub(crate) fn next(&mut self, conn: ConnId, table: &Table, room_needed: bool) -> Option<Task> {
        let mut first = |kind: fn(Mode) -> Task| {
            let tasks = Mode::ALL.into_iter().map(kind);
            tasks
                .filter_map(|task| Some((self.peek(conn, table, task)?, task)))
                .min_by_key(|&(rank, _)| rank)
        };
        let leave = first(Task::Leave).map(|(_, task)| task);
        if room_needed && leave.is_some() {
            return leave;
        }
        [first(Task::Enter), first(Task::Change)]
            .into_iter()
            .flatten()
            .min_by_key(|&(rank, _)| rank)
            .map(|(_, task)| task)
            .or(leave)
            .or_else(|| first(Task::Try).map(|(_, task)| task))
    }

    /// The place of the first one that has `task`.
    fn peek(&mut self, conn: ConnId, table: &Table, task: Task) -> Option<Rank> {
        let heap = &mut self.heaps[place(task, Rank::LAST).0];
        while let Some(&hint) = heap.peek() {
            if holds(table, conn, task, hint) {
                return Some(hint.0.0);
            }
            heap.pop();
        }
        None
    }

    /// Takes out the first hints for `task`, at most so many. What of it is not so,
    /// [`holds`] says when it is looked at. All are taken before the first one is looked
    /// at so that memory is waited for once and not for each.
    pub(crate) fn pop(&mut self, task: Task, most: usize, hints: &mut Vec<Hint>) {
        let heap = &mut self.heaps[place(task, Rank::LAST).0];
        let all = core::iter::from_fn(|| heap.pop());
        hints.extend(all.take(most));
    }

    /// A slot whose hint was taken out has its task no more.
    pub(crate) const fn done(&mut self) {
        self.tasks -= 1;
    }
}

const fn tasks(mode: Mode) -> [Task; 4] {
    [
        Task::Enter(mode),
        Task::Change(mode),
        Task::Leave(mode),
        Task::Try(mode),
    ]
}

/// Whether what a heap says of a slot is so.
pub(crate) fn holds(table: &Table, conn: ConnId, task: Task, hint: Hint) -> bool {
    let Reverse((rank, slot)) = hint;
    let entry = &table[slot];
    place(task, entry.rank).1 == rank && entry.is_queued(conn, task)
}
