use core::fmt;

use strikewire_store::{AtmRow, AuditRecord, Change, Outcome, Recorder, Seq, SubscriptionRow, Use};
use tokio::sync::mpsc::UnboundedSender;

/// Where changes go before they are acknowledged. No call waits: what became of them
/// comes back through the sender that the journal was made with.
pub trait Journal: fmt::Debug + Send {
    /// Takes a change for a request that is answered once it is durable. It may fail.
    fn ask(&mut self, change: Change) -> Seq;

    /// Takes a change that happened whatever becomes of it: it is tried until it is
    /// durable.
    fn must(&mut self, change: Change) -> Seq;

    /// Makes everything taken so far durable, as one group.
    fn commit(&mut self);

    /// Takes the last uses of items, to be written behind.
    fn used(&mut self, uses: Vec<Use>);

    /// Takes a record of the audit log, to be written behind, in order.
    fn audit(&mut self, record: AuditRecord);

    /// Takes a row of the projection of subscriptions, to be written behind.
    fn subscription(&mut self, row: SubscriptionRow);

    /// Takes a row of the projection of calculated chains, to be written behind.
    fn atm(&mut self, row: AtmRow);

    /// Whether the last thing that was tried could not be written, be it only what is
    /// written behind.
    fn is_failing(&self) -> bool;
}

impl Journal for Recorder {
    fn ask(&mut self, change: Change) -> Seq {
        self.ask(change)
    }

    fn must(&mut self, change: Change) -> Seq {
        self.must(change)
    }

    fn commit(&mut self) {
        self.commit();
    }

    fn used(&mut self, uses: Vec<Use>) {
        self.used(uses);
    }

    fn audit(&mut self, record: AuditRecord) {
        self.audit(record);
    }

    fn subscription(&mut self, row: SubscriptionRow) {
        self.subscription(row);
    }

    fn atm(&mut self, row: AtmRow) {
        self.atm(row);
    }

    fn is_failing(&self) -> bool {
        self.stats().failing()
    }
}

/// A journal for a gateway without a database: everything in it is as durable as
/// the process, at once.
#[derive(Debug)]
pub struct MemoryJournal {
    last: Seq,
    reported: Seq,
    outcome: UnboundedSender<Outcome>,
}

impl MemoryJournal {
    /// A journal that reports to `outcome`.
    #[must_use]
    pub const fn new(outcome: UnboundedSender<Outcome>) -> Self {
        Self {
            last: Seq(0),
            reported: Seq(0),
            outcome,
        }
    }
}

impl Journal for MemoryJournal {
    fn ask(&mut self, _change: Change) -> Seq {
        self.last.0 += 1;
        self.last
    }

    fn must(&mut self, change: Change) -> Seq {
        self.ask(change)
    }

    fn commit(&mut self) {
        if self.reported < self.last {
            self.reported = self.last;
            // The owner holds the other end for as long as it can call this.
            let _ = self.outcome.send(Outcome::Durable(self.last));
        }
    }

    fn used(&mut self, _uses: Vec<Use>) {}

    fn audit(&mut self, _record: AuditRecord) {}

    fn subscription(&mut self, _row: SubscriptionRow) {}

    fn atm(&mut self, _row: AtmRow) {}

    fn is_failing(&self) -> bool {
        false
    }
}
