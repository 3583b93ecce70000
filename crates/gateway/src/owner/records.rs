use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use strikewire_fanout::ChainId;
use strikewire_registry::{Instrument, Registry};
use strikewire_store::{Action, AuditRecord, SubscriptionRow};
use strikewire_subscriptions::{Owner as Holder, State, Why};
use strikewire_types::{ConnId, InstrumentKey, Mode, Mono, Now, Slot, Tier, Utc};

use super::Owner;

/// Records made in one turn; the rest waits for the next, so that a large change does
/// not hold up what comes after it.
const PER_TURN: usize = 1024;

/// Whose doing it is where nobody asked for it.
const BY_ITSELF: &str = "the gateway";

/// How often the order of use is written down.
const USES_EVERY: Duration = Duration::from_secs(1);

/// Why the book is being changed: what the audit log calls it.
#[derive(Debug)]
pub(super) struct Cause {
    came: Action,
    went: Action,
    reason: Arc<str>,
}

impl Cause {
    pub(super) fn new(came: Action, went: Action, reason: impl Into<Arc<str>>) -> Arc<Self> {
        Arc::new(Self {
            came,
            went,
            reason: reason.into(),
        })
    }
}

/// The causes that need no words of their own.
#[derive(Debug)]
pub(super) struct Causes {
    pub(super) waited: Arc<Cause>,
    pub(super) asked: Arc<Cause>,
    pub(super) streamed: Arc<Cause>,
    pub(super) computed: Arc<Cause>,
    pub(super) configured: Arc<Cause>,
    pub(super) rolled: Arc<Cause>,
    pub(super) restored: Arc<Cause>,
    pub(super) undone: Arc<Cause>,
    pub(super) suspended: Arc<Cause>,
    pub(super) resumed: Arc<Cause>,
    pub(super) expired: Arc<Cause>,
    pub(super) repointed: Arc<Cause>,
    pub(super) vanished: Arc<Cause>,
    pub(super) ordered: Arc<Cause>,
}

impl Default for Causes {
    fn default() -> Self {
        use Action::{Expire, Restore, Resume, RollIn, RollOut, Subscribe, Suspend, Unsubscribe};
        let asked = |reason: &str| Cause::new(Subscribe, Unsubscribe, reason);
        Self {
            waited: asked("a request waits for its price"),
            asked: asked("asked for"),
            streamed: asked("a stream client's subscription"),
            computed: asked("indicators are computed of it"),
            configured: asked("always on by configuration"),
            rolled: Cause::new(RollIn, RollOut, "the window moved with the price"),
            restored: Cause::new(Restore, Unsubscribe, "held before the restart"),
            undone: asked("could not be made durable"),
            suspended: Cause::new(Subscribe, Suspend, "its market closed"),
            resumed: Cause::new(Resume, Unsubscribe, "its market opens soon"),
            expired: Cause::new(Subscribe, Expire, "its last session ended"),
            // What the change of master touches at all was let go first, so what comes
            // is subscribed again, under whichever id it has now.
            repointed: Cause::new(Subscribe, Unsubscribe, "the instrument master changed"),
            vanished: asked("not in the instrument master any more"),
            ordered: asked("an administrator's order"),
        }
    }
}

/// What is yet to be written behind: the audit log and the projections.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) causes: Causes,
    notes: VecDeque<Note>,
    changed: BTreeSet<InstrumentKey>,
    /// The rows of the projection as they were written last.
    shown: HashMap<InstrumentKey, Shown>,
    atm: BTreeSet<ChainId>,
    /// Whose instrument a slot is.
    keys: HashMap<Slot, InstrumentKey>,
    /// The holder of the last note and its name: a chain's legs come one after the other.
    named: Option<(Holder, Arc<str>)>,
    /// The eviction under way.
    evicting: Option<(Holder, Arc<str>)>,
    used: BTreeSet<u64>,
    next_uses: Mono,
}

#[derive(Debug)]
struct Note {
    at: Utc,
    action: Action,
    key: InstrumentKey,
    owner: Arc<str>,
    reason: Arc<str>,
}

#[derive(Debug, Clone, Copy)]
struct Shown {
    tier: Tier,
    mode: Mode,
    since: Utc,
}

impl Records {
    pub(super) fn new(now: Now) -> Self {
        Self {
            causes: Causes::default(),
            notes: VecDeque::new(),
            changed: BTreeSet::new(),
            shown: HashMap::new(),
            atm: BTreeSet::new(),
            keys: HashMap::new(),
            named: None,
            evicting: None,
            used: BTreeSet::new(),
            next_uses: now.mono + USES_EVERY,
        }
    }

    /// The row of an instrument is no longer what was written.
    pub(super) fn changed(&mut self, key: InstrumentKey) {
        self.changed.insert(key);
    }

    /// The chain was calculated anew.
    pub(super) fn calculated(&mut self, chain: ChainId) {
        self.atm.insert(chain);
    }

    /// An item was used.
    pub(super) fn used(&mut self, item: u64) {
        self.used.insert(item);
    }

    /// Whether there is more to write than one turn takes.
    pub(super) fn is_behind(&self) -> bool {
        !self.notes.is_empty() || !self.changed.is_empty() || !self.atm.is_empty()
    }
}

impl Owner {
    pub(super) fn record_desired(
        &mut self,
        now: Now,
        cause: &Cause,
        key: InstrumentKey,
        holder: Holder,
    ) {
        let reason = Arc::clone(&cause.reason);
        self.note(now, cause.came, key, holder, reason);
        self.records.changed(key);
    }

    pub(super) fn record_undesired(
        &mut self,
        now: Now,
        cause: &Cause,
        key: InstrumentKey,
        holder: Holder,
        why: Why,
    ) {
        let evicting = self.records.evicting.as_ref();
        let (action, reason) = match why {
            Why::Evicted => (
                Action::RateLimitEvict,
                match evicting.filter(|(victim, _)| *victim == holder) {
                    Some((_, reason)) => Arc::clone(reason),
                    None => Arc::clone(&cause.reason),
                },
            ),
            _ => (cause.went, Arc::clone(&cause.reason)),
        };
        self.note(now, action, key, holder, reason);
        self.records.changed(key);
    }

    /// A claim goes to make room for another: what it frees follows.
    pub(super) fn record_eviction(&mut self, holder: Holder, by: Holder, freed: usize) {
        let made_room = format!("made room for {}", self.name(by));
        self.records.evicting = Some((holder, made_room.into()));
        let displaced = self.name(holder);
        // It is gone by the time that what it held is noted.
        self.records.named = Some((holder, Arc::clone(&displaced)));
        self.displaced(by, displaced, freed);
    }

    /// An instrument goes over to another connection.
    pub(super) fn record_move(&mut self, now: Now, slot: Slot, from: ConnId, to: ConnId) {
        if let Some(key) = self.records.keys.get(&slot).copied() {
            let reason = format!("from connection {from} to {to}");
            self.note_by(now, Action::Move, key, &reason);
            self.records.changed(key);
        }
    }

    /// Records what the gateway itself did to an instrument.
    pub(super) fn note_by(&mut self, now: Now, action: Action, key: InstrumentKey, reason: &str) {
        self.records.notes.push_back(Note {
            at: now.utc,
            action,
            key,
            owner: BY_ITSELF.into(),
            reason: reason.into(),
        });
    }

    pub(super) fn record_slot(&mut self, slot: Slot, key: Option<InstrumentKey>) {
        match key {
            Some(key) => self.records.keys.insert(slot, key),
            None => self.records.keys.remove(&slot),
        };
    }

    pub(super) fn record_home(&mut self, slot: Slot) {
        if let Some(key) = self.records.keys.get(&slot) {
            self.records.changed.insert(*key);
        }
    }

    fn note(
        &mut self,
        now: Now,
        action: Action,
        key: InstrumentKey,
        holder: Holder,
        reason: Arc<str>,
    ) {
        let owner = match &self.records.named {
            Some((named, name)) if *named == holder => Arc::clone(name),
            _ => {
                let name = self.name(holder);
                self.records.named = Some((holder, Arc::clone(&name)));
                name
            }
        };
        tracing::debug!(%key, %action, %owner, %reason, "Subscription");
        self.records.notes.push_back(Note {
            at: now.utc,
            action,
            key,
            owner,
            reason,
        });
    }

    /// Hands the journal what a turn can take of what happened.
    pub(super) fn write_records(&mut self, now: Now) {
        self.write_some(PER_TURN, &Arc::clone(&self.registry));
        if now.mono >= self.records.next_uses {
            self.records.next_uses = now.mono + USES_EVERY;
            self.write_uses();
        }
    }

    fn write_uses(&mut self) {
        let used = core::mem::take(&mut self.records.used);
        let uses: Vec<_> = used.into_iter().filter_map(|id| self.use_of(id)).collect();
        if !uses.is_empty() {
            self.journal.used(uses);
        }
    }

    /// Hands the journal all that is left: nothing comes after it.
    pub(super) fn write_the_rest(&mut self) {
        self.write_all_records(&Arc::clone(&self.registry));
        self.write_uses();
        self.journal.commit();
    }

    /// Hands the journal everything: the instrument master that its keys are of goes.
    pub(super) fn write_all_records(&mut self, registry: &Registry) {
        self.write_some(usize::MAX, registry);
    }

    /// What a run before this one held and this one does not: nobody was there to say so.
    pub(super) fn record_restart(&mut self, now: Now, before: &[Box<str>]) {
        if before.is_empty() {
            return;
        }
        let held = self.desired_tokens(&Arc::clone(&self.registry));
        for token in before.iter().filter(|token| !held.contains_key(*token)) {
            self.journal.audit(AuditRecord {
                action: Action::Unsubscribe,
                token: token.clone(),
                reason: "nobody holds it since the restart".into(),
                owner: BY_ITSELF.into(),
                at: now.utc,
            });
        }
    }

    /// Every instrument that somebody holds, by the name it has in `registry`.
    pub(super) fn desired_tokens(&self, registry: &Registry) -> BTreeMap<Box<str>, InstrumentKey> {
        self.book
            .instruments()
            .filter(|view| view.state == State::Desired)
            .map(|view| (token_of(registry, view.key), view.key))
            .collect()
    }

    /// Records what the change of the instrument master did, in place of what was noted of
    /// it by id: an id may mean one contract before and another after, without its wire
    /// having changed. `before` is what was held under the names of the `old` master.
    pub(super) fn record_swap(
        &mut self,
        now: Now,
        old: &Registry,
        before: &BTreeMap<Box<str>, InstrumentKey>,
    ) {
        let owners: HashMap<InstrumentKey, Arc<str>> = core::mem::take(&mut self.records.notes)
            .into_iter()
            .map(|note| (note.key, note.owner))
            .collect();
        let after = self.desired_tokens(&Arc::clone(&self.registry));
        let note = |owner: &mut Self, action, token: &str, key| {
            owner.journal.audit(AuditRecord {
                action,
                token: token.into(),
                reason: "the instrument master changed".into(),
                owner: owners.get(key).map_or(BY_ITSELF, |owner| owner).into(),
                at: now.utc,
            });
        };
        for (token, key) in before {
            let is_now = after.get(token);
            if is_now == Some(key) {
                continue;
            }
            let shown = self.records.shown.remove(key);
            if is_now.is_some() {
                continue;
            }
            note(self, Action::Unsubscribe, token, key);
            if let (Some(instrument), Some(shown)) = (old.by_key(*key), shown) {
                self.journal
                    .subscription(row(instrument, shown, None, false));
            }
        }
        for (token, key) in &after {
            let action = match before.get(token) {
                Some(was) if was == key => continue,
                Some(_) => Action::Repoint,
                None => Action::Subscribe,
            };
            note(self, action, token, key);
            self.records.changed(*key);
        }
    }

    fn write_some(&mut self, most: usize, registry: &Registry) {
        // Names are of the turn: an item that went may have given its number to another.
        self.records.named = None;
        self.records.evicting = None;
        for _ in 0..most.min(self.records.notes.len()) {
            let Some(note) = self.records.notes.pop_front() else {
                break;
            };
            self.journal.audit(AuditRecord {
                action: note.action,
                token: token_of(registry, note.key),
                reason: note.reason.as_ref().into(),
                owner: note.owner.as_ref().into(),
                at: note.at,
            });
        }
        for _ in 0..most.min(self.records.changed.len()) {
            let Some(key) = self.records.changed.pop_first() else {
                break;
            };
            self.write_subscription(key, registry);
        }
        while let Some(chain) = self.records.atm.pop_first() {
            if let Some(row) = self.atm_row(chain) {
                self.journal.atm(row);
            }
        }
    }

    fn write_subscription(&mut self, key: InstrumentKey, registry: &Registry) {
        let Some(instrument) = registry.by_key(key) else {
            return;
        };
        let view = self
            .book
            .instrument(key)
            .filter(|view| view.state == State::Desired);
        let shown = match view {
            Some(view) => {
                let shown = Shown {
                    tier: view.tier,
                    mode: view.mode,
                    since: view.since,
                };
                self.records.shown.insert(key, shown);
                shown
            }
            None => match self.records.shown.remove(&key) {
                Some(shown) => shown,
                // It came and went before it was ever written.
                None => return,
            },
        };
        let conn = view.and_then(|view| view.home);
        self.journal
            .subscription(row(instrument, shown, conn, view.is_some()));
    }
}

/// What an instrument is called in the audit log.
fn token_of(registry: &Registry, key: InstrumentKey) -> Box<str> {
    let token = match registry.by_key(key) {
        Some(instrument) => instrument.token(),
        None => key.to_string(),
    };
    token.into()
}

fn row(
    instrument: Instrument<'_>,
    shown: Shown,
    conn: Option<ConnId>,
    active: bool,
) -> SubscriptionRow {
    let key = instrument.key();
    SubscriptionRow {
        token: instrument.token().into(),
        segment: key.segment,
        security_id: key.id.0,
        symbol: instrument.symbol().into(),
        exchange: instrument.exchange(),
        expiry: instrument.expiry(),
        strike: instrument.strike(),
        option_type: instrument.option_type(),
        tier: shown.tier,
        mode: shown.mode,
        subscribed_at: shown.since,
        conn: conn.map(ConnId::number),
        active,
    }
}
