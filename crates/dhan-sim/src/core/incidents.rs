//! How faults come about.

use core::time::Duration;

use bytes::Bytes;
use rand::Rng;
use rand::seq::SliceRandom;
use strikewire_dhan::wire::{Reason, code};
use strikewire_types::{Mono, Now};

use super::agenda::Turn;
use super::session::Session;
use super::{Core, Event, Output, SessionId, packets};
use crate::faults::{Fault, Incident, Sockets, Token};

/// Bytes of a frame of zeros: as many as the longest packet has.
const ZEROS: [u8; 162] = [0; 162];
/// Bytes of a frame of garbage at most.
const GARBAGE: usize = 200;
/// Noise is made up for no longer than this.
const NOISE_S: f64 = 1.0;

impl Core {
    /// Brings a fault about, now. How many connections it befell; none for a fault of
    /// the account, unless it disconnects them.
    pub fn inject(&mut self, now: Now, incident: impl Into<Incident>) -> usize {
        self.catch_up(now);
        let struck = self.strike(now, &incident.into(), None);
        self.plan();
        struck
    }

    /// From now on `token` is valid. The others live on for `grace`, or not at all when
    /// it is zero: then their connections get 807.
    pub fn set_token(&mut self, now: Now, token: &str, grace: Duration) {
        self.inject(
            now,
            Fault::TokenRollover {
                token: Token::from(token),
                grace,
            },
        );
    }

    /// The next time at which a fault begins or ends or late data is due, if nothing
    /// happens before. Ticks are not counted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Mono> {
        let sessions = self.sessions.values();
        let late = sessions.filter_map(Session::next_late).min();
        [self.next_event, late].into_iter().flatten().min()
    }

    /// The HTTP status with which every REST request is answered now, if it is so.
    pub fn rest_error(&mut self, now: Now) -> Option<u16> {
        self.catch_up(now);
        self.account.faults().find_map(|fault| match fault {
            Fault::RestError { status } => Some(*status),
            _ => None,
        })
    }

    /// Does what the script says, and ends what is over.
    pub(super) fn catch_up(&mut self, now: Now) {
        self.now = self.now.max(now.mono);
        let now = Now {
            mono: self.now,
            ..now
        };
        if self.next_event.is_none_or(|next| now.mono < next) {
            return;
        }
        self.common.expire(now.mono);
        self.account.expire(now.mono);
        if self.tokens.settle(now.mono) {
            self.expel(now);
        }
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in ids {
            let changed = self
                .sessions
                .get_mut(&id)
                .is_some_and(|session| session.effects.expire(now.mono));
            if changed {
                self.renew(now, id);
            }
        }
        for turn in self.agenda.take(now.mono) {
            self.take_turn(now, turn);
        }
        self.plan();
    }

    /// Notes when something happens next.
    pub(super) fn plan(&mut self) {
        let sessions = self
            .sessions
            .values()
            .filter_map(|session| session.effects.next_end());
        self.next_event = [
            self.agenda.next(),
            self.common.next_end(),
            self.account.next_end(),
            self.tokens.next_end(),
        ]
        .into_iter()
        .flatten()
        .chain(sessions)
        .min();
    }

    pub(super) fn take_turn(&mut self, now: Now, turn: Turn) {
        let Some(entry) = self.agenda.entry(turn.entry) else {
            return;
        };
        let incident = entry.incident.clone();
        self.strike(now, &incident, turn.session);
    }

    /// Lets an incident happen; `only` is the connection it is about if it is about
    /// one.
    fn strike(&mut self, now: Now, incident: &Incident, only: Option<SessionId>) -> usize {
        let fault = &incident.fault;
        // It ends later than it begins, however short it is.
        let shortest = Duration::from_nanos(1);
        let until = incident.lasts.map(|lasts| now.mono + lasts.max(shortest));
        if fault.is_of_account() {
            return self.strike_account(now, fault, until);
        }
        let chosen = self.choose(&incident.sockets, only);
        for id in &chosen {
            self.note(now, *id, Event::Fault(fault.clone()));
            self.strike_one(now, *id, fault, until);
        }
        if only.is_none() && incident.sockets == Sockets::All && fault.lasts() {
            self.common.add(fault.clone(), until);
        }
        chosen.len()
    }

    fn strike_account(&mut self, now: Now, fault: &Fault, until: Option<Mono>) -> usize {
        let before = self.sessions.len();
        match fault {
            Fault::TokenExpired => {
                self.tokens.expire();
                self.expel(now);
            }
            Fault::TokenRollover { token, grace } => {
                self.tokens.roll(token.clone(), now.mono + *grace);
                if self.tokens.settle(now.mono) {
                    self.expel(now);
                }
            }
            Fault::Displace { connections } => {
                let oldest: Vec<SessionId> =
                    self.sessions.keys().take(*connections).copied().collect();
                for id in oldest {
                    self.report.displaced += 1;
                    self.disconnect(now, id, Reason::TooManyConnections);
                }
                // Without a duration the other client is gone again at once.
                if until.is_some() {
                    self.account.add(fault.clone(), until);
                }
            }
            _ => self.account.add(fault.clone(), until),
        }
        before - self.sessions.len()
    }

    /// Disconnects everybody whose token is dead.
    fn expel(&mut self, now: Now) {
        let dead: Vec<SessionId> = self
            .sessions
            .iter()
            .filter(|(_, session)| !self.tokens.allows(now.mono, session.token.reveal()))
            .map(|(id, _)| *id)
            .collect();
        for id in dead {
            self.disconnect(now, id, Reason::TokenExpired);
        }
    }

    fn choose(&mut self, sockets: &Sockets, only: Option<SessionId>) -> Vec<SessionId> {
        // The oldest first, as they are numbered.
        let all: Vec<SessionId> = self.sessions.keys().copied().collect();
        let chosen = match sockets {
            Sockets::All => all,
            Sockets::Positions(positions) => all
                .into_iter()
                .enumerate()
                .filter(|(index, _)| positions.contains(&(index + 1)))
                .map(|(_, id)| id)
                .collect(),
            Sockets::Random(_) if only.is_some() => all,
            Sockets::Random(count) => {
                let mut all = all;
                let (chosen, _) = all.partial_shuffle(&mut self.rng, *count);
                let mut chosen = chosen.to_vec();
                chosen.sort_unstable();
                chosen
            }
            Sockets::Sessions(ids) => all.into_iter().filter(|id| ids.contains(id)).collect(),
        };
        match only {
            Some(only) => chosen.into_iter().filter(|id| *id == only).collect(),
            None => chosen,
        }
    }

    fn strike_one(&mut self, now: Now, id: SessionId, fault: &Fault, until: Option<Mono>) {
        match fault {
            Fault::Reset => {
                self.drop_session(id);
                self.queue.push((id, Output::Reset));
            }
            Fault::Close { code, reason } => {
                let is_silent = self.is_silent(id);
                self.finish(id);
                self.queue.push(if is_silent {
                    (id, Output::Close)
                } else {
                    let (code, reason) = (*code, reason.clone());
                    (id, Output::CloseFrame { code, reason })
                });
            }
            Fault::Disconnect { code } => self.disconnect(now, id, Reason::from_code(*code)),
            Fault::MarketStatus { segment, state } => {
                let packet = packets::market_status(*segment, *state);
                if let Some(session) = self.sessions.get_mut(&id) {
                    let packet = zerocopy::IntoBytes::as_bytes(&packet);
                    session.send(id, now.mono, packet, &mut self.queue);
                }
            }
            lasting => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.effects.add(lasting.clone(), until);
                    self.renew(now, id);
                }
            }
        }
    }

    /// Gives a connection what befalls all, and awaits what befalls it.
    pub(super) fn begin(&mut self, now: Now, id: SessionId) {
        let counted = self.agenda.begin(id, now.mono, &mut self.rng);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.effects = self.common.clone();
            session.counted = counted;
            self.renew(now, id);
        }
        self.plan();
    }

    /// Works out anew how a connection behaves.
    pub(super) fn renew(&mut self, now: Now, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let before = core::mem::replace(&mut session.behaviour, session.effects.behaviour());
        let behaviour = session.behaviour;
        if before.transport == behaviour.transport {
            return;
        }
        self.queue
            .push((id, Output::Transport(behaviour.transport)));
        if before.transport.deaf && !behaviour.transport.deaf {
            for text in session.hear() {
                self.hear(now, id, &text);
            }
        }
    }

    /// Lets entries happen that wait for so many packets, before the next one goes.
    pub(super) fn trip(&mut self, now: Now, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let sent = session.counters.packets;
        let mut tripped = Vec::new();
        session.counted.retain(|(after, entry)| {
            let is_due = sent >= *after;
            if is_due {
                tripped.push(*entry);
            }
            !is_due
        });
        for entry in self.agenda.take_counted(self.packets) {
            let turn = Turn {
                entry,
                session: None,
            };
            self.take_turn(now, turn);
        }
        for entry in tripped {
            let turn = Turn {
                entry,
                session: Some(id),
            };
            self.take_turn(now, turn);
        }
        self.plan();
    }

    /// Frames of zeros and garbage.
    pub(super) fn make_noise(&mut self) {
        for (id, session) in &mut self.sessions {
            let behaviour = session.behaviour;
            let elapsed = self.now.since(session.noise_at).as_secs_f64().min(NOISE_S);
            session.noise_at = self.now;
            if behaviour.is_silent() {
                continue;
            }
            // What is less than a frame is not lost, it waits for the next time.
            let [zeros, garbage] = &mut session.noise_owed;
            *zeros = zeros.fract() + elapsed * f64::from(behaviour.zeros);
            *garbage = garbage.fract() + elapsed * f64::from(behaviour.garbage);
            let (zeros, garbage) = (*zeros as u64, *garbage as u64);
            session.counters.noise += zeros + garbage;
            for _ in 0..zeros {
                let frame = Bytes::from_static(&ZEROS);
                self.queue.push((*id, Output::Frame(frame)));
            }
            for _ in 0..garbage {
                let length = self.rng.random_range(1..=GARBAGE);
                let mut frame = vec![0; length];
                self.rng.fill(&mut frame[..]);
                // Chance must not make it a goodbye.
                if frame[0] == code::DISCONNECT {
                    frame[0] = u8::MAX;
                }
                self.queue.push((*id, Output::Frame(frame.into())));
            }
        }
    }
}
