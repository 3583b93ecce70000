use crate::market::Step;
use strikewire_types::InstrumentKey;

use super::SessionId;

/// More than the farthest next trade.
const SLOTS: u64 = 512;

/// When an instrument is to be sent next on a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    pub(super) at: Step,
    pub(super) session: SessionId,
    pub(super) key: InstrumentKey,
    /// Of the subscription that asked for it; another one's is stale.
    pub(super) generation: u64,
}

/// What is due, by step, so that a poll touches only what traded.
#[derive(Debug)]
pub(super) struct Wheel {
    slots: Vec<Vec<Due>>,
    /// Up to and including this step everything was taken.
    done: Step,
}

impl Wheel {
    pub(super) fn starting_at(step: Step) -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            done: step,
        }
    }

    pub(super) fn push(&mut self, due: Due) {
        self.slots[(due.at.count() % SLOTS) as usize].push(due);
    }

    /// Everything due up to `step`, in the order of steps.
    pub(super) fn take_until(&mut self, step: Step) -> Vec<Due> {
        let mut taken = Vec::new();
        let passed = step.since(self.done).min(SLOTS);
        for back in (0..passed).rev() {
            let slot = &mut self.slots[((step.count() - back) % SLOTS) as usize];
            slot.retain(|due| {
                let is_due = due.at <= step;
                if is_due {
                    taken.push(*due);
                }
                !is_due
            });
        }
        self.done = self.done.max(step);
        taken
    }
}
