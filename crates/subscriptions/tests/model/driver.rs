//! The driver: sockets that come and go, and reports that arrive late.

use std::collections::VecDeque;
use std::time::Duration;

use rand::prelude::*;
use strikewire_broker::{ConnEvent, DownCause, WireBatch, WireOp};
use strikewire_subscriptions::Effect;
use strikewire_types::{ConnId, Epoch, Mode, Slot};

use crate::run::{CONNECTIONS, Run, conn, key};
use crate::seen::Seen;

/// One connection as its driver sees it, and what the book has not heard yet.
#[derive(Debug, Default)]
pub(crate) struct Socket {
    pub(crate) alive: bool,
    pub(crate) epoch: Epoch,
    /// Taken from the book, not written yet.
    pub(crate) outbox: Option<WireBatch>,
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
            socket.events.push_back(down(conn, epoch));
        }
    }

    pub(crate) fn disconnect(&mut self, at: usize) {
        let socket = &mut self.sockets[at];
        if !socket.alive {
            return;
        }
        socket.alive = false;
        socket.outbox = None;
        socket.events.push_back(down(conn(at), socket.epoch));
        self.broker.drop_conn(conn(at));
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
            _ => down(conn, epoch),
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
        self.book.handle_conn(self.now, &event, &mut self.effects);
        self.read(seen);
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
            if let WireOp::Subscribe(mode) = batch.op {
                assert!(row.home == conn(at) || row.target == Some(conn(at)));
                let (_, wanted) = self.mirror.desired[&key];
                assert_eq!(mode, wanted, "{key}");
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

    pub(crate) fn write(&mut self, at: usize) {
        let socket = &mut self.sockets[at];
        let Some(batch) = socket.outbox.take() else {
            return;
        };
        self.broker.receive(&batch, &self.mirror.migrating);
        let (conn, epoch) = (batch.conn, batch.epoch);
        socket.events.push_back(ConnEvent::Ready { conn, epoch });
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
        if arrives {
            assert!(self.effects.contains(&Effect::Homed { slot, conn }));
            seen.migration_by_first_packet += 1;
        } else {
            assert_eq!(self.effects, []);
        }
        self.read(seen);
    }

    /// Everything comes up, everything is answered, every timer runs out.
    pub(crate) fn settle(&mut self, seen: &mut Seen) {
        for round in 0.. {
            assert!(
                round < 200,
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
            let Some(next) = self.book.poll_timeout() else {
                break;
            };
            if next > self.now.mono {
                self.now = self.now + next.since(self.now.mono);
            }
            self.timeout(seen);
            self.check();
        }
        self.check_rest();
    }
}

fn down(conn: ConnId, epoch: Epoch) -> ConnEvent {
    ConnEvent::Down {
        conn,
        epoch,
        cause: DownCause::Closed("reset".into()),
        retry_in: Some(Duration::from_secs(1)),
    }
}
