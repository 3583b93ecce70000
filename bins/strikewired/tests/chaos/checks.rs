//! What holds at every instant, and what holds when it has been quiet.

use std::collections::BTreeMap;
use std::time::Duration;

use strikewire_subscriptions::ConnStatus;
use strikewire_types::{ConnId, InstrumentKey, Mode};

use crate::world::World;

/// By then everything has to be right again: a lock-out takes five minutes, a contended
/// account as long again, and attempts come one in 12 s.
const PATIENCE: Duration = Duration::from_secs(45 * 60);

impl World {
    /// The limits of the broker, after each of its messages.
    pub(crate) fn check_caps(&mut self) {
        // What a client has let go of may still be there; that is no connection of ours.
        let ours: Vec<_> = self
            .broker
            .sessions
            .iter()
            .filter(|(socket, _)| self.client.sockets[**socket].is_ours)
            // Who is deaf has not heard yet what was let go of.
            .filter(|(socket, _)| !self.is_deaf(**socket))
            .map(|(_, session)| *session)
            .collect();
        if self.setting.is_large && !self.broker.messages.is_multiple_of(64) {
            return;
        }
        let report = self.broker.core.counters();
        // Of those that were not heard when they let go, more is known than can be.
        let held = |id| match report.sessions.get(id) {
            Some(counters) if counters.kept == 0 => counters.instruments,
            _ => 0,
        };
        let all: usize = ours.iter().map(held).sum();
        // What was let go of on one connection may be heard later than what was asked for
        // on another.
        let room = self.setting.total + self.under_way();
        assert!(all <= room, "{all} instruments in all, there may be {room}");
        for (session, counters) in &report.sessions {
            assert_eq!(
                counters.oversized, 0,
                "instruments in a message of {session}"
            );
            if counters.kept > 0 {
                // It has more than it was left with.
                continue;
            }
            assert_eq!(
                counters.invalid, counters.beyond,
                "bad messages on {session}"
            );
            if !self.is_short() {
                assert_eq!(
                    counters.beyond, 0,
                    "instruments beyond the limit of {session}"
                );
            }
            let resent = self.seen.resend;
            assert!(
                counters.duplicates <= resent,
                "{} instruments were subscribed again on {session}, {resent} were to be",
                counters.duplicates
            );
        }
    }

    /// Nothing goes wrong and nobody asks for anything, until all is well.
    pub(crate) fn be_quiet(&mut self) {
        self.note(|| "== quiet".to_owned());
        self.end_trouble();
        let begun = self.now.mono;
        // What was left of the trouble, such as a token that is yet to come.
        self.run_until(begun + Duration::from_secs(35));
        if self.desk.slandered {
            self.desk.slandered = false;
            self.desk.refused.clear();
            self.note(|| "admin: forgive".to_owned());
            let mut effects = Vec::new();
            self.desk.book.forgive(self.now, &mut effects);
            self.settle(effects);
        }
        self.wait_for_rest(begun);
    }

    fn wait_for_rest(&mut self, begun: strikewire_types::Mono) {
        while let Err(unrest) = self.is_at_rest() {
            assert!(
                self.now.mono.since(begun) < PATIENCE,
                "quiet for {} min, and still {unrest}",
                PATIENCE.as_secs() / 60
            );
            self.run_until(self.now.mono + Duration::from_secs(1));
        }
        let quiet = self.now.mono.since(begun).as_secs();
        self.note(|| format!("== at rest after {quiet} s"));
    }

    /// Holds what is on the wire to what is desired, and then once more later: what is
    /// at rest stays so.
    pub(crate) fn check_rest(&mut self) {
        self.check_desired();
        let messages = self.broker.messages;
        self.run_until(self.now.mono + Duration::from_secs(40));
        // A limit that was found to be smaller is tried again some time.
        if !self.is_short() {
            assert_eq!(self.is_at_rest(), Ok(()));
            assert_eq!(self.broker.messages, messages, "nothing changes");
        }
        // Evened out, no two connections are more than one instrument apart.
        self.even_out();
        self.wait_for_rest(self.now.mono);
        let conns = self.desk.book.status().connections;
        let loads: Vec<usize> = conns.iter().map(|conn| conn.charged).collect();
        // With no room for make-before-break they stay as they are.
        let full = self.desk.users.desired().len() >= self.setting.total;
        if !self.is_short() && !full {
            let least = loads.iter().min().copied().unwrap_or(0);
            let most = loads.iter().max().copied().unwrap_or(0);
            assert!(most <= least + 1, "evened out: {loads:?}");
        }
        self.check_caps();
    }

    /// Whether the broker gives less than the book was told.
    const fn is_short(&self) -> bool {
        self.setting.given < self.setting.per_connection
    }

    /// Whether all is well; what is not, otherwise.
    pub(crate) fn is_at_rest(&self) -> Result<(), String> {
        for at in 0..self.setting.connections {
            let phase = self.client.fleet.phase(ConnId::from_index(at));
            if !phase.is_up() {
                return Err(format!("connection {} is {}", at + 1, phase.as_str()));
            }
        }
        if self.client.contended {
            return Err("contended".to_owned());
        }
        let status = self.desk.book.status();
        // Where there is less room than was thought a suspect may wait for some.
        let short = self.is_short();
        let untried = |c: &ConnStatus| c.cap < self.setting.per_connection;
        if !short && status.connections.iter().any(untried) {
            return Err("a limit is yet to be found wrong".to_owned());
        }
        let suspects = if short { 0 } else { status.suspects };
        if status.migrating + status.lingering + suspects > 0 {
            return Err(format!("under way: {status:?}"));
        }
        if status
            .connections
            .iter()
            .any(|conn| conn.in_flight.is_some())
        {
            return Err("a batch is under way".to_owned());
        }
        let soon = self.now.mono + Duration::from_secs(10);
        if self.desk.book.poll_timeout().is_some_and(|due| due < soon) {
            return Err("the book has plans".to_owned());
        }
        let wire = self.wire()?;
        let mut desired = self.desk.users.desired();
        for key in &self.desk.refused {
            if Some(*key) == self.broker.bad {
                desired.remove(key);
            }
        }
        if short || desired.len() > self.setting.total {
            // Rolls may go beyond the total. And there may be less room than was admitted for. How much there is is not known
            // exactly: what was under way when the broker complained does not count.
            let mut room = 0;
            for conn in &status.connections {
                let untouched = conn.cap == self.setting.per_connection;
                if !untouched && !(1..=self.setting.given).contains(&conn.cap) {
                    let given = self.setting.given;
                    return Err(format!("a limit of {given} is said to be {}", conn.cap));
                }
                room += conn.cap;
            }
            // What is set aside keeps its place.
            let aside = self.desk.refused.len();
            let most = desired.len().min(room).min(self.setting.total);
            if !(most.saturating_sub(aside)..=most).contains(&wire.len()) {
                return Err(format!("{} of {} on the wire", wire.len(), desired.len()));
            }
            for (key, mode) in &wire {
                if desired.get(key) != Some(mode) {
                    return Err(format!("{key} on the wire in {mode}"));
                }
            }
            return Ok(());
        }
        for (key, mode) in &desired {
            if wire.get(key) != Some(mode) {
                return Err(format!(
                    "{key}: {mode} is desired, {:?} is sent",
                    wire.get(key)
                ));
            }
        }
        match wire.keys().find(|key| !desired.contains_key(key)) {
            Some(key) => Err(format!("{key} is on the wire, and nobody wants it")),
            None => Ok(()),
        }
    }

    /// What the broker sends on all connections together, by its own account.
    fn wire(&self) -> Result<BTreeMap<InstrumentKey, Mode>, String> {
        let mut wire = BTreeMap::new();
        for (session, held) in self.broker.core.wire_state() {
            for (key, modes) in held {
                let all: Vec<Mode> = modes.iter().collect();
                let [mode] = all[..] else {
                    return Err(format!("{key} on session {session} in {modes:?}"));
                };
                if wire.insert(key, mode).is_some() {
                    return Err(format!("{key} is on two connections"));
                }
            }
        }
        Ok(wire)
    }
}
