use std::collections::VecDeque;

use crate::{Durability, Error, Seq};

/// Replies that wait for the journal, in its order.
#[derive(Default)]
pub(super) struct Parked {
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    seq: Seq,
    /// The item to let go of if the journal fails.
    item: Option<u64>,
    reply: Box<dyn FnOnce(Result<(), Error>) + Send>,
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
        item: Option<u64>,
        reply: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) {
        self.waiting.push_back(Waiting {
            seq,
            item,
            reply: Box::new(reply),
        });
    }

    /// Answers what the journal decided; gives the items that it could not keep.
    pub(super) fn decide(&mut self, outcome: &Durability) -> Vec<u64> {
        let (up_to, failure) = match outcome {
            Durability::Durable(seq) => (*seq, None),
            Durability::Failed { up_to, reason } => (*up_to, Some(reason)),
        };
        let mut lost = Vec::new();
        while self
            .waiting
            .front()
            .is_some_and(|waiting| waiting.seq <= up_to)
        {
            let Some(waiting) = self.waiting.pop_front() else {
                break;
            };
            match failure {
                None => (waiting.reply)(Ok(())),
                Some(reason) => {
                    lost.extend(waiting.item);
                    (waiting.reply)(Err(Error::NotDurable {
                        reason: reason.clone(),
                    }));
                }
            }
        }
        lost
    }
}
