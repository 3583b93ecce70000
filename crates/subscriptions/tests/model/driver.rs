//! The driver: sockets that come and go, and reports that arrive late.

use std::collections::VecDeque;
use std::time::Duration;

use rand::prelude::*;
use strikewire_broker::{ConnEvent, DownCause, Fault, WireBatch, WireOp};
use strikewire_subscriptions::{Effect, State, WireState};
use strikewire_types::{ConnId, Epoch, InstrumentKey, Mode, Slot};

use crate::run::{CONNECTIONS, Run, conn, key};
use crate::seen::Seen;

/// One connection as its driver sees it, and what the book has not heard yet.
#[derive(Debug, Default)]
pub(crate) struct Socket {
    pub(crate) alive: bool,
    pub(crate) epoch: Epoch,
    /// Taken from the book, not written yet.
    pub(crate) outbox: Option<WireBatch>,
    /// Written, and the book has not been told.
    written: Option<WireBatch>,
    pub(crate) events: VecDeque<ConnEvent>,
}

impl Run {
    pub(crate) fn connect(&mut self, at: usize) {
        let socket = &mut self.sockets[at];
        if socket.alive {
            return;
        }
        let conn = conn(at);
        let epoch = socket.epoch.next();
        socket.epoch = epoch;
        // Now and then the attempt fails.
        socket.alive = self.rng.random_range(0..5) > 0;
        if socket.alive {
            socket.events.push_back(ConnEvent::Up { conn, epoch });
            socket.events.push_back(ConnEvent::Ready { conn, epoch });
        } else {
            // Even for good, until somebody has done something about it.
            let retry = self.rng.random_range(0..4) > 0;
            let closed = DownCause::Closed("refused".into());
            socket.events.push_back(down(conn, epoch, closed, retry));
        }
    }

    pub(crate) fn disconnect(&mut self, at: usize) {
        let retry = self.rng.random_range(0..8) > 0;
        self.kill(at, DownCause::Closed("reset".into()), retry);
    }

    fn kill(&mut self, at: usize, cause: DownCause, retry: bool) {
        let socket = &mut self.sockets[at];
        if !socket.alive {
            return;
        }
        socket.alive = false;
        socket.outbox = None;
        let event = down(conn(at), socket.epoch, cause, retry);
        socket.events.push_back(event);
        self.broker.drop_conn(conn(at));
    }

    /// All connections are lost from rest, and come back one after the other, perhaps
    /// after a long time: nothing moves.
    pub(crate) fn lose_all(&mut self, seen: &mut Seen) {
        self.settle(seen);
        let homes = |run: &Self| -> Vec<(InstrumentKey, ConnId)> {
            let rows = run.mirror.rows.values();
            rows.map(|row| (row.key, row.home)).collect()
        };
        let before = homes(self);
        let mut order: Vec<usize> = (0..CONNECTIONS).collect();
        order.shuffle(&mut self.rng);
        for &at in &order {
            self.kill(at, DownCause::Closed("reset".into()), true);
            self.deliver(at, seen);
        }
        let seconds = [2, 90][self.rng.random_range(0..2)];
        seen.total_loss += 1;
        seen.total_loss_for_long += u64::from(seconds == 90);
        for _ in 0..4 {
            self.now = self.now + Duration::from_secs(seconds) / 4;
            self.timeout(seen);
        }
        for &at in &order {
            while !self.sockets[at].alive {
                self.connect(at);
            }
            self.sockets[at].events.retain(|event| {
                // Not this time.
                !matches!(event, ConnEvent::Down { retry_in: None, .. })
            });
            for _ in 0..40 {
                self.deliver(at, seen);
                self.poll(at, seen);
                self.write(at);
            }
            self.now = self.now + Duration::from_millis(500);
            self.timeout(seen);
        }
        assert_eq!(self.book.status().migrating, 0);
        assert_eq!(homes(self), before);
        self.settle(seen);
        assert_eq!(homes(self), before);
    }

    /// Something about a life that the book knows is over.
    pub(crate) fn speak_of_the_past(&mut self, at: usize, seen: &mut Seen) {
        let Some(known) = self.book.status().connections[at].epoch else {
            return;
        };
        let epoch = Epoch(known.0.wrapping_sub(self.rng.random_range(1..3)));
        let conn = conn(at);
        let before = self.book.status();
        let event = match self.rng.random_range(0..3) {
            0 => ConnEvent::Up { conn, epoch },
            1 => ConnEvent::Ready { conn, epoch },
            _ => down(conn, epoch, DownCause::Closed("past".into()), false),
        };
        self.book.handle_conn(self.now, &event, &mut self.effects);
        assert_eq!(self.effects, []);
        assert_eq!(self.book.status(), before);
        seen.stale_epoch += 1;
    }

    pub(crate) fn deliver(&mut self, at: usize, seen: &mut Seen) {
        let Some(event) = self.sockets[at].events.pop_front() else {
            return;
        };
        let was_up = self.book.status().connections[at].up;
        if was_up && matches!(event, ConnEvent::Down { .. }) {
            let torn = self.mirror.rows.values().filter(|row| {
                row.target.is_some() && (row.home == conn(at) || row.target == Some(conn(at)))
            });
            seen.drop_during_a_migration += torn.count() as u64;
        }
        let before = self.book.status();
        let unplaced = before.unplaced;
        self.book.handle_conn(self.now, &event, &mut self.effects);
        let told = self.read(seen);
        assert_eq!(told.handed_over, []);
        match &event {
            ConnEvent::Ready { epoch, .. } => {
                let socket = &mut self.sockets[at];
                if let Some(batch) = socket.written.take_if(|batch| batch.epoch == *epoch)
                    && let WireOp::Subscribe(_) = batch.op
                {
                    let now = self.now.mono;
                    self.confirmed
                        .extend(batch.keys.into_iter().map(|key| (key, now)));
                }
            }
            ConnEvent::Down { cause, .. } => {
                let fault = match cause {
                    DownCause::Disconnected { fault, .. } => *fault,
                    _ => None,
                };
                let is_heard = was_up && fault == Some(Fault::TooMany);
                assert_eq!(told.shrunk, usize::from(is_heard));
                let unplaced = self.book.status().unplaced.saturating_sub(unplaced);
                seen.shrunk += told.shrunk as u64;
                seen.shrunk_and_unplaced += u64::from(told.shrunk > 0 && unplaced > 0);
                if told.refused > 0 {
                    seen.refused += 1;
                    assert_eq!((told.refused, fault), (1, Some(Fault::BadRequest)));
                    seen.refused_while_others_wait += u64::from(before.suspects > 1);
                }
                let back = told.rehomed.iter().filter(|(from, _)| *from == conn(at));
                if told.shrunk == 0 {
                    seen.back_to_the_old_side += back.count() as u64;
                }
                self.broker.resent.retain(|&(on, _)| on != conn(at));
            }
            ConnEvent::Up { .. } => {}
        }
        match &event {
            ConnEvent::Up { .. } => self.gone_for_good[at] = false,
            ConnEvent::Down { retry_in, .. } => self.gone_for_good[at] = retry_in.is_none(),
            ConnEvent::Ready { .. } => {}
        }
        match (was_up, self.book.status().connections[at].up) {
            (false, true) => self.up_since[at] = Some(self.now),
            (true, true) if matches!(event, ConnEvent::Up { .. }) => {
                self.up_since[at] = Some(self.now);
            }
            (_, false) => self.up_since[at] = None,
            _ => {}
        }
    }

    /// Somebody finds an instrument too silent.
    pub(crate) fn resend(&mut self, seen: &mut Seen) {
        let keys: Vec<(Slot, InstrumentKey)> = self
            .mirror
            .rows
            .iter()
            .map(|(&slot, row)| (slot, row.key))
            .collect();
        let Some(&(slot, key)) = keys.choose(&mut self.rng) else {
            assert!(!self.book.resend(self.now, Slot(9), &mut self.effects));
            return;
        };
        let view = self.book.instrument(key).expect("bound");
        let wire = self.book.on_wire(slot);
        let is_there = wire.is_some_and(|wire| wire.mode == view.mode);
        let may = view.state == State::Desired
            && view.migrating_to.is_none()
            && view.wire == WireState::Subscribed(view.mode);
        assert_eq!(is_there, may);
        let done = self.book.resend(self.now, slot, &mut self.effects);
        assert!(may || !done);
        self.read(seen);
        if done {
            let home = wire.expect("on the wire").conn;
            let is_new = self.broker.resent.insert((home, key));
            assert!(is_new || self.home_is_lost(home));
            // As long as it is not under way, it is where it was.
            assert_eq!(self.book.on_wire(slot), wire);
            assert!(!self.book.resend(self.now, slot, &mut self.effects));
            seen.resend += 1;
        } else {
            let is_queued = |home| self.broker.resent.contains(&(home, key));
            assert!(!may || wire.is_some_and(|wire| is_queued(wire.conn)));
            seen.resend_of_nothing += 1;
        }
    }

    pub(crate) fn poll(&mut self, at: usize, seen: &mut Seen) {
        let mut batch = WireBatch {
            conn: conn(CONNECTIONS),
            epoch: Epoch::default(),
            op: WireOp::Subscribe(Mode::Full),
            keys: vec![key(0)],
        };
        if !self.book.poll_wire(self.now, conn(at), &mut batch) {
            return;
        }
        assert!(
            self.mirror.woken.remove(&conn(at)),
            "nobody was told to poll"
        );
        assert_eq!(batch.conn, conn(at));
        for &key in &batch.keys {
            let (_, row) = self.mirror.row(key).expect("bound before it is sent");
            let wanted = self.mirror.desired.get(&key).map(|&(_, mode)| mode);
            match batch.op {
                WireOp::Subscribe(mode) => {
                    assert!(row.home == conn(at) || row.target == Some(conn(at)));
                    assert_eq!(Some(mode), wanted, "{key}");
                    assert!(!self.mirror.refused.contains(&key), "{key} is not taken");
                }
                // What is held and delivered as wanted is let go of only where it is
                // delivered elsewhere, too.
                WireOp::Unsubscribe(mode) if Some(mode) == wanted => {
                    assert_ne!(row.home, conn(at), "{key}");
                    let home = &self.sockets[row.home.index()];
                    let sent = home.outbox.iter().any(|batch| batch.keys.contains(&key));
                    let there = self.broker.on(key).contains(&row.home);
                    assert!(there || sent || self.home_is_lost(row.home), "{key}");
                }
                WireOp::Unsubscribe(_) => {}
            }
        }
        let socket = &mut self.sockets[at];
        if socket.alive && socket.epoch == batch.epoch {
            assert_eq!(socket.outbox, None, "two batches under way");
            socket.outbox = Some(batch);
        } else {
            seen.batch_lost += 1;
        }
        let mut again = WireBatch {
            conn: conn(at),
            epoch: Epoch::default(),
            op: WireOp::Subscribe(Mode::Full),
            keys: Vec::new(),
        };
        assert!(!self.book.poll_wire(self.now, conn(at), &mut again));
    }

    /// Whether a connection fell, or lives anew, which the book has not heard yet.
    fn home_is_lost(&self, home: ConnId) -> bool {
        let socket = &self.sockets[home.index()];
        let known = self.book.status().connections[home.index()].epoch;
        !socket.alive || known != Some(socket.epoch)
    }

    pub(crate) fn write(&mut self, at: usize) {
        let socket = &mut self.sockets[at];
        let Some(batch) = socket.outbox.take() else {
            return;
        };
        let fault = self.broker.receive(&batch, &self.mirror.migrating);
        let (conn, epoch) = (batch.conn, batch.epoch);
        socket.written = Some(batch);
        // Where the broker closes the connection, its driver may come to report that the
        // message was written, or not.
        if fault.is_none() || self.rng.random() {
            socket.events.push_back(ConnEvent::Ready { conn, epoch });
        }
        if fault.is_some() {
            let code = 0;
            self.kill(at, DownCause::Disconnected { code, fault }, true);
        }
    }

    /// The feed saw a packet; it reports those from where a migration goes to.
    pub(crate) fn packet(&mut self, seen: &mut Seen) {
        let rows: Vec<(Slot, ConnId, bool)> = self
            .mirror
            .rows
            .iter()
            .flat_map(|(&slot, row)| {
                let from = self.broker.on(row.key).into_iter();
                from.map(move |conn| (slot, conn, row.target == Some(conn)))
            })
            .collect();
        let arrived: Vec<_> = rows.iter().filter(|row| row.2).collect();
        let Some(&&(slot, conn, arrives)) = arrived
            .choose(&mut self.rng)
            .or(rows.iter().collect::<Vec<_>>().choose(&mut self.rng))
        else {
            return;
        };
        self.book
            .handle_first_packet(self.now, slot, conn, &mut self.effects);
        let ends = self.effects.contains(&Effect::Homed { slot, conn });
        if arrives && ends {
            seen.migration_by_first_packet += 1;
        } else if arrives {
            // The mode is being changed where it goes to.
            assert_eq!(self.effects.len(), 1);
        } else {
            assert_eq!(self.effects, []);
        }
        let told = self.read(seen);
        assert_eq!(told.migrated_again, usize::from(arrives && !ends));
        seen.migration_said_again += told.migrated_again as u64;
    }

    /// Everything comes up, everything is answered, every timer runs out.
    pub(crate) fn settle(&mut self, seen: &mut Seen) {
        for round in 0.. {
            assert!(
                round < 600,
                "does not come to rest: {:?}",
                self.book.status()
            );
            for at in 0..CONNECTIONS {
                while !self.sockets[at].alive {
                    self.connect(at);
                }
            }
            let mut busy = false;
            for at in 0..CONNECTIONS {
                while !self.sockets[at].events.is_empty() {
                    busy = true;
                    self.deliver(at, seen);
                }
                self.poll(at, seen);
                self.write(at);
                if self.rng.random_range(0..8) == 0 {
                    busy = true;
                    self.packet(seen);
                }
                self.check();
            }
            if busy || self.sockets.iter().any(|socket| !socket.events.is_empty()) {
                continue;
            }
            // A cap is restored so late that this is no time to wait for it.
            let soon = self.now.mono + Duration::from_secs(60);
            let Some(next) = self.book.poll_timeout().filter(|&next| next < soon) else {
                break;
            };
            if next > self.now.mono {
                self.now = self.now + next.since(self.now.mono);
            }
            self.timeout(seen);
            self.check();
        }
        self.check_rest();
        self.evens_out = false;
    }
}

fn down(conn: ConnId, epoch: Epoch, cause: DownCause, retry: bool) -> ConnEvent {
    ConnEvent::Down {
        conn,
        epoch,
        cause,
        retry_in: retry.then_some(Duration::from_secs(1)),
    }
}
