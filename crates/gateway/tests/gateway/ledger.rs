//! A journal whose database is a few maps, that fails when the test says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use jiff::civil::Date;
use strikewire_gateway::Journal;
use strikewire_gateway::store::{
    Action, AtmRow, AuditRecord, Change, Item, Outcome, Recovered, Seq, SubscriptionRow, Use,
};
use tokio::sync::mpsc::UnboundedSender;

/// What is durable, seen from the test.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    items: BTreeMap<u64, Item>,
    ended: BTreeMap<String, Date>,
    ends: Vec<(String, Date)>,
    last_item: u64,
    audit: Vec<(Action, String, String)>,
    active: BTreeSet<String>,
    broken: bool,
    /// Nothing is answered until the test says so.
    held: bool,
    owed: Vec<Change>,
    /// Groups that are taken and neither written nor refused, while the disk hangs.
    stalled: Option<Vec<Seq>>,
    /// How many audit records there were at each start.
    starts: Vec<usize>,
    waiting: Option<Seq>,
    outcome: Option<UnboundedSender<Outcome>>,
}

impl Kept {
    fn apply(&mut self, change: Change) {
        match change {
            Change::Put(item) => {
                self.last_item = self.last_item.max(item.id);
                self.items.insert(item.id, *item);
            }
            Change::Remove { id, .. } => {
                self.items.remove(&id);
            }
            Change::State { id, state, .. } => {
                if let Some(item) = self.items.get_mut(&id) {
                    item.state = state;
                }
            }
            Change::EndOfDay {
                class,
                day,
                removed,
                ..
            } => {
                for (_, id) in removed {
                    self.items.remove(&id);
                }
                self.ended.insert(class.to_owned(), day);
                self.ends.push((class.to_owned(), day));
            }
        }
    }

    fn tell(&self, outcome: Outcome) {
        if let Some(sender) = &self.outcome {
            let _ = sender.send(outcome);
        }
    }
}

impl Ledger {
    pub(crate) fn journal(&self) -> impl FnOnce(UnboundedSender<Outcome>) -> LedgerJournal + use<> {
        let ledger = self.clone();
        move |outcome| {
            ledger.0.lock().unwrap().outcome = Some(outcome);
            LedgerJournal {
                ledger,
                last: 0,
                pending: Vec::new(),
            }
        }
    }

    /// What a restart finds.
    pub(crate) fn recovered(&self) -> Recovered {
        let mut kept = self.0.lock().unwrap();
        let start = kept.audit.len();
        kept.starts.push(start);
        let mut items: Vec<Item> = kept.items.values().cloned().collect();
        items.sort_by_key(|item| item.used);
        Recovered {
            items,
            ended: kept.ended.clone().into_iter().collect(),
            last_item: kept.last_item,
            subscribed: kept
                .active
                .iter()
                .map(|token| token.as_str().into())
                .collect(),
        }
    }

    pub(crate) fn items(&self) -> Vec<Item> {
        let mut items: Vec<Item> = self.0.lock().unwrap().items.values().cloned().collect();
        items.sort_by_key(|item| item.used);
        items
    }

    /// Every end of day that was written, in order.
    pub(crate) fn ends(&self) -> Vec<(String, String)> {
        let kept = self.0.lock().unwrap();
        kept.ends
            .iter()
            .map(|(class, day)| (class.clone(), day.to_string()))
            .collect()
    }

    /// Tokens of the audit records of one kind, in order.
    pub(crate) fn audited(&self, action: Action) -> Vec<String> {
        let kept = self.0.lock().unwrap();
        kept.audit
            .iter()
            .filter(|(of, ..)| *of == action)
            .map(|(_, token, _)| token.clone())
            .collect()
    }

    /// The owners of the audit records of one kind, each once.
    pub(crate) fn owners(&self, action: Action) -> BTreeSet<String> {
        let kept = self.0.lock().unwrap();
        kept.audit
            .iter()
            .filter(|(of, ..)| *of == action)
            .map(|(.., owner)| owner.clone())
            .collect()
    }

    /// What was subscribed at the end, by the log alone.
    pub(crate) fn subscribed_by_log(&self) -> BTreeSet<String> {
        let kept = self.0.lock().unwrap();
        let mut subscribed = BTreeSet::new();
        // What a run held when it ended comes again in the next one.
        let mut again = BTreeSet::new();
        for (at, (action, token, _)) in kept.audit.iter().enumerate() {
            if kept.starts.contains(&at) {
                again.clone_from(&subscribed);
            }
            match action.subscribes() {
                Some(true) => {
                    let is_new = subscribed.insert(token.clone());
                    assert!(is_new || again.remove(token), "{token} came twice");
                }
                Some(false) => {
                    assert!(subscribed.remove(token), "{token} went without being there");
                }
                None => {}
            }
        }
        subscribed
    }

    /// The active rows of the projection.
    pub(crate) fn active(&self) -> BTreeSet<String> {
        self.0.lock().unwrap().active.clone()
    }

    /// Nothing more can be written.
    pub(crate) fn break_down(&self) {
        self.0.lock().unwrap().broken = true;
    }

    /// Everything can be written again, and what was owed has been.
    pub(crate) fn repair(&self) {
        let mut kept = self.0.lock().unwrap();
        kept.broken = false;
        for change in std::mem::take(&mut kept.owed) {
            kept.apply(change);
        }
        kept.tell(Outcome::Up);
    }

    /// From now on groups are taken, and nothing becomes of them.
    pub(crate) fn stall(&self) {
        self.0.lock().unwrap().stalled = Some(Vec::new());
    }

    /// What hung fails, group by group; what happened anyway is owed.
    pub(crate) fn fail_stalled(&self) {
        let mut kept = self.0.lock().unwrap();
        kept.broken = true;
        let reason = "disk hung".to_owned();
        for (at, up_to) in kept.stalled.take().into_iter().flatten().enumerate() {
            let reason = reason.clone();
            kept.tell(Outcome::Failed { up_to, reason });
            if at == 0 {
                let reason = "disk hung".to_owned();
                kept.tell(Outcome::Down { reason });
            }
        }
    }

    /// The process is gone, and with it what it owed; the disk is whole again.
    pub(crate) fn forget_owed(&self) {
        let mut kept = self.0.lock().unwrap();
        kept.broken = false;
        kept.owed.clear();
    }

    /// Keeps the answers until [`let_go`](Self::let_go).
    pub(crate) fn hold(&self) {
        self.0.lock().unwrap().held = true;
    }

    /// Says that everything written so far is durable.
    pub(crate) fn let_go(&self) {
        let mut kept = self.0.lock().unwrap();
        kept.held = false;
        if let Some(seq) = kept.waiting.take() {
            kept.tell(Outcome::Durable(seq));
        }
    }
}

#[derive(Debug)]
pub(crate) struct LedgerJournal {
    ledger: Ledger,
    last: u64,
    pending: Vec<(bool, Change)>,
}

impl LedgerJournal {
    fn take(&mut self, must: bool, change: Change) -> Seq {
        self.last += 1;
        self.pending.push((must, change));
        Seq(self.last)
    }
}

impl Journal for LedgerJournal {
    fn ask(&mut self, change: Change) -> Seq {
        self.take(false, change)
    }

    fn must(&mut self, change: Change) -> Seq {
        self.take(true, change)
    }

    fn commit(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let mut kept = self.ledger.0.lock().unwrap();
        let up_to = Seq(self.last);
        let pending = std::mem::take(&mut self.pending);
        if let Some(stalled) = &mut kept.stalled {
            stalled.push(up_to);
            let musts = pending.into_iter().filter(|(must, _)| *must);
            kept.owed.extend(musts.map(|(_, change)| change));
            return;
        }
        if kept.broken {
            let musts = pending.into_iter().filter(|(must, _)| *must);
            kept.owed.extend(musts.map(|(_, change)| change));
            let reason = "disk full".to_owned();
            kept.tell(Outcome::Down {
                reason: reason.clone(),
            });
            kept.tell(Outcome::Failed { up_to, reason });
            return;
        }
        for (_, change) in pending {
            kept.apply(change);
        }
        if kept.held {
            kept.waiting = Some(up_to);
        } else {
            kept.tell(Outcome::Durable(up_to));
        }
    }

    fn used(&mut self, uses: Vec<Use>) {
        let mut kept = self.ledger.0.lock().unwrap();
        for used in uses {
            if let Some(item) = kept.items.get_mut(&used.id) {
                item.used = used.used;
                item.last_used_at = used.at;
                item.anchor = used.anchor;
                item.settled = used.settled;
            }
        }
    }

    fn audit(&mut self, record: AuditRecord) {
        let record = (record.action, record.token.into(), record.owner.into());
        self.ledger.0.lock().unwrap().audit.push(record);
    }

    fn subscription(&mut self, row: SubscriptionRow) {
        let mut kept = self.ledger.0.lock().unwrap();
        if row.active {
            kept.active.insert(row.token.into());
        } else {
            kept.active.remove(&*row.token);
        }
    }

    fn atm(&mut self, _row: AtmRow) {}

    fn is_failing(&self) -> bool {
        self.ledger.0.lock().unwrap().broken
    }
}
