//! What the shared store has been told.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use strikewire_leases::{LeaseKey, Subscriber};
use strikewire_types::Mono;

/// What the shared store knows of the holders here, subscriber by subscriber, as far as it
/// is certain; and what it has not been told yet. A call that fails may have been done or
/// not, and a store that was restarted may have lost everything: both make a subscriber
/// *unsettled*, and its next call, or the keeper, tells the store everything again.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    links: HashMap<Subscriber, Link>,
    /// Sessions that were to be released whoever's they are, and since when.
    sessions: HashMap<Arc<str>, Mono>,
}

#[derive(Debug, Default)]
struct Link {
    /// The connection over which the store was told everything; none: it was not.
    settled: Option<u64>,
    /// Keys that were let go of without the store, and when; with a socket only where the
    /// record names that one.
    owed: BTreeMap<(Option<Arc<str>>, LeaseKey), Mono>,
    /// The whole session was.
    session: Option<Mono>,
    /// The store's data when it was told everything last.
    data: Option<u64>,
    /// When it heard last of the subscriber.
    heard: Option<Mono>,
    /// Keys that were taken since, and that it may not know.
    fresh: BTreeSet<LeaseKey>,
}

impl Link {
    fn is_even(&self) -> bool {
        self.owed.is_empty() && self.session.is_none()
    }
}

/// What the store is to forget of a subscriber.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Owed {
    /// Everything of its session.
    pub(super) session: bool,
    /// By the socket that the record must name, if one.
    pub(super) keys: BTreeMap<Option<Arc<str>>, Vec<LeaseKey>>,
}

impl Ledger {
    /// Whether the store knows everything of a subscriber, over the connection of that
    /// number.
    pub(super) fn is_settled(&self, who: &Subscriber, generation: u64) -> bool {
        self.links
            .get(who)
            .is_some_and(|link| link.settled == Some(generation) && link.is_even())
    }

    /// The store knows everything now.
    pub(super) fn settle(&mut self, who: &Subscriber, generation: u64, data: u64, now: Mono) {
        let link = Link {
            settled: Some(generation),
            data: Some(data),
            heard: Some(now),
            ..Link::default()
        };
        self.links.insert(who.clone(), link);
    }

    /// Nobody knows what the store knows.
    pub(super) fn unsettle(&mut self, who: &Subscriber) {
        self.links.entry(who.clone()).or_default().settled = None;
    }

    /// Some keys are taken that the store may not know yet.
    pub(super) fn take<'k>(
        &mut self,
        who: &Subscriber,
        keys: impl IntoIterator<Item = &'k LeaseKey>,
    ) {
        let link = self.links.entry(who.clone()).or_default();
        link.fresh.extend(keys.into_iter().cloned());
    }

    /// The store has heard of the subscriber, and has these keys. Where it has become
    /// unsettled meanwhile nothing is certain.
    pub(super) fn told(&mut self, who: &Subscriber, keys: &[LeaseKey], now: Mono) {
        let Some(link) = self.links.get_mut(who).filter(|it| it.settled.is_some()) else {
            return;
        };
        link.heard = Some(now);
        for key in keys {
            link.fresh.remove(key);
        }
    }

    /// The keys that the store need not have although they are held; none: any, for it may
    /// have lost its data since it was told, or not have heard of the subscriber for so long
    /// that it let go by itself.
    pub(super) fn fresh(
        &self,
        who: &Subscriber,
        data: u64,
        now: Mono,
        long: Duration,
    ) -> Option<BTreeSet<LeaseKey>> {
        let link = self.links.get(who)?;
        let heard = link.heard.is_some_and(|heard| now.since(heard) < long);
        (heard && link.data == Some(data)).then(|| link.fresh.clone())
    }

    /// Some keys were let go of, and the store was not told.
    pub(super) fn owe(
        &mut self,
        who: &Subscriber,
        socket: Option<&Arc<str>>,
        keys: &[LeaseKey],
        now: Mono,
    ) {
        let link = self.links.entry(who.clone()).or_default();
        link.settled = None;
        let owed = keys.iter().map(|key| ((socket.cloned(), key.clone()), now));
        link.owed.extend(owed);
    }

    /// The whole session was let go of, and the store was not told.
    pub(super) fn owe_session(&mut self, who: &Subscriber, now: Mono) {
        let link = self.links.entry(who.clone()).or_default();
        link.settled = None;
        link.owed.clear();
        link.session = Some(now);
    }

    pub(super) fn owed(&self, who: &Subscriber) -> Owed {
        let mut owed = Owed::default();
        if let Some(link) = self.links.get(who) {
            owed.session = link.session.is_some();
            for (socket, key) in link.owed.keys() {
                let keys = owed.keys.entry(socket.clone()).or_default();
                keys.push(key.clone());
            }
        }
        owed
    }

    /// A session is to be released whoever's it is, and the store may not have done it.
    pub(super) fn owe_any(&mut self, session: &Arc<str>, now: Mono) {
        self.sessions.insert(Arc::clone(session), now);
    }

    pub(super) fn owes_any(&self, session: &str) -> bool {
        self.sessions.contains_key(session)
    }

    pub(super) fn owed_any(&self) -> Vec<Arc<str>> {
        self.sessions.keys().cloned().collect()
    }

    pub(super) fn paid_any(&mut self, session: &str) {
        self.sessions.remove(session);
    }

    /// Forgets a subscriber that holds nothing, unless something is owed.
    pub(super) fn tidy(&mut self, who: &Subscriber) {
        if self.links.get(who).is_some_and(Link::is_even) {
            self.links.remove(who);
        }
    }

    /// Forgets what has been owed for `idle`: the store lets go of it by itself. Those of whom
    /// nothing is left then, and who hold nothing, are forgotten too.
    pub(super) fn forget_older(
        &mut self,
        now: Mono,
        idle: Duration,
        holds: impl Fn(&Subscriber) -> bool,
    ) {
        let is_young = |since: &Mono| now.since(*since) < idle;
        self.sessions.retain(|_, since| is_young(since));
        self.links.retain(|who, link| {
            link.owed.retain(|_, since| is_young(since));
            link.session = link.session.filter(is_young);
            !link.is_even() || holds(who)
        });
    }

    /// Those of whom the store does not know everything over that connection.
    pub(super) fn unsettled(&self, generation: u64) -> Vec<Subscriber> {
        let links = self.links.iter();
        links
            .filter(|(_, link)| link.settled != Some(generation) || !link.is_even())
            .map(|(who, _)| who.clone())
            .collect()
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.links.len() + self.sessions.len()
    }
}
