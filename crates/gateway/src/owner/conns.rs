use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;

use strikewire_broker::ConnEvent;
use strikewire_types::{ConnId, Mono, Now, Utc};

use super::Owner;
use crate::hub::HubCommand;
use crate::{ConnState, ConnectionStatus, Error, Readiness, Reason, WsStatus};

/// A connection that is down for longer is spoken of.
const WORTH_A_LOOK: Duration = Duration::from_secs(30);

/// How often packets per second are taken.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// What is known of the connections, for people and for readiness.
#[derive(Debug)]
pub(super) struct Conns {
    conns: Vec<Conn>,
    /// Connections that may have something to write.
    awake: BTreeSet<ConnId>,
    next_sample: Mono,
    ever_up: bool,
    all_down_since: Utc,
    /// Since when the store fails, and why.
    store: Option<(Utc, String)>,
    /// Since when what is written behind cannot be written.
    behind: Option<Utc>,
    /// Since when the instrument master is an old one, and why.
    master: Option<(Utc, String)>,
}

#[derive(Debug)]
struct Conn {
    state: ConnState,
    since: Utc,
    attempts: u32,
    last_error: Option<String>,
    next_retry: Option<Utc>,
    packets: u64,
    packets_per_s: u64,
}

impl Conns {
    pub(super) fn new(connections: usize, now: Now) -> Self {
        let conn = |_| Conn {
            state: ConnState::Connecting,
            since: now.utc,
            attempts: 0,
            last_error: None,
            next_retry: None,
            packets: 0,
            packets_per_s: 0,
        };
        Self {
            conns: (0..connections).map(conn).collect(),
            awake: BTreeSet::new(),
            next_sample: now.mono + SAMPLE_EVERY,
            ever_up: false,
            all_down_since: now.utc,
            store: None,
            behind: None,
            master: None,
        }
    }

    pub(super) fn wake(&mut self, conn: ConnId) {
        self.awake.insert(conn);
    }

    pub(super) fn next_awake(&mut self) -> Option<ConnId> {
        self.awake.pop_first()
    }

    pub(super) const fn next_sample(&self) -> Mono {
        self.next_sample
    }

    fn is_live(&self, conn: ConnId) -> bool {
        let conn = self.conns.get(conn.index());
        conn.is_some_and(|conn| conn.state == ConnState::Live)
    }

    fn up(&self) -> usize {
        self.conns
            .iter()
            .filter(|conn| conn.state == ConnState::Live)
            .count()
    }
}

impl Owner {
    pub(super) fn handle_conn(&mut self, now: Now, event: &ConnEvent) {
        if let ConnEvent::Down { conn, cause, .. } = event
            && self.conns.is_live(*conn)
        {
            // Before the book hands anything to other connections.
            self.gap_begins(*conn, cause);
        }
        let cause = Arc::clone(&self.records.causes.ordered);
        self.change(&cause, |book, effects| {
            book.handle_conn(now, event, effects);
        });
        self.conns.wake(event.conn());
        self.settle(now);
        let up_before = self.conns.up();
        let speed = self.speed;
        let Some(conn) = self.conns.conns.get_mut(event.conn().index()) else {
            return;
        };
        match event {
            ConnEvent::Ready { .. } => return,
            ConnEvent::Up { conn: id, .. } => {
                self.feed.is_up();
                tracing::info!(conn = %id, "Connection up");
                conn.state = ConnState::Live;
                conn.since = now.utc;
                conn.attempts = 0;
                conn.next_retry = None;
                self.conns.ever_up = true;
                let id = *id;
                self.gap_may_end(now, id);
                if up_before == 0 {
                    self.notice_all("feed_up", "the broker's feed is up");
                }
            }
            ConnEvent::Down {
                conn: id,
                cause,
                retry_in,
                ..
            } => {
                tracing::warn!(conn = %id, %cause, ?retry_in, "Connection down");
                metrics::counter!("strikewire_connection_downs_total", "connection" => id.to_string())
                    .increment(1);
                if conn.state == ConnState::Live || conn.state == ConnState::Connecting {
                    conn.since = now.utc;
                }
                conn.state = match retry_in {
                    Some(_) => ConnState::Backoff,
                    None => ConnState::Stopped,
                };
                conn.attempts += 1;
                conn.last_error = Some(cause.to_string());
                conn.next_retry = retry_in.map(|wait| now.utc + wait.mul_f64(speed));
                if up_before > 0 && self.conns.up() == 0 {
                    self.conns.all_down_since = now.utc;
                    self.notice_all("feed_down", "no broker connection is up");
                }
            }
        }
        self.publish_readiness(now);
    }

    fn notice_all(&self, code: &'static str, detail: &str) {
        self.tell_hub(HubCommand::NoticeAll {
            code,
            detail: detail.to_owned(),
        });
    }

    /// Takes the packet rates of the second that passed.
    pub(super) fn sample(&mut self, now: Now) {
        if now.mono < self.conns.next_sample {
            return;
        }
        self.conns.next_sample = now.mono + SAMPLE_EVERY;
        for ((_, counters), conn) in self.counters.conns().zip(&mut self.conns.conns) {
            let packets = counters.packets();
            conn.packets_per_s = packets - conn.packets;
            conn.packets = packets;
        }
        self.conns.behind = self
            .journal
            .is_failing()
            .then(|| self.conns.behind.unwrap_or(now.utc));
        self.watch_token(now);
        self.publish_readiness(now);
    }

    /// The store cannot write: what it cannot make durable is refused until it can.
    pub(super) fn store_down(&mut self, now: Now, reason: String) {
        tracing::error!(%reason, "The store is failing");
        self.conns.store = Some((now.utc, reason));
        self.publish_readiness(now);
    }

    /// The store writes again, and has written what it owed.
    pub(super) fn store_up(&mut self, now: Now) {
        tracing::info!("The store works again");
        self.conns.store = None;
        self.publish_readiness(now);
    }

    /// The instrument master of the day could not be had, or could.
    pub(super) fn master_stale(&mut self, now: Now, detail: Option<String>) {
        self.conns.master = detail.map(|detail| (now.utc, detail));
        self.publish_readiness(now);
    }

    /// Refuses what could not be made durable.
    pub(super) fn must_be_durable(&self) -> Result<(), Error> {
        match &self.conns.store {
            Some((_, reason)) => Err(Error::NotDurable {
                reason: reason.clone(),
            }),
            None => Ok(()),
        }
    }

    pub(super) fn publish_readiness(&self, now: Now) {
        let readiness = self.readiness_now(now);
        if **self.readiness.load() != readiness {
            tracing::info!(status = readiness.status, reasons = ?readiness.reasons, "Readiness");
            self.readiness.store(Arc::new(readiness));
        }
    }

    fn readiness_now(&self, now: Now) -> Readiness {
        if !self.conns.ever_up {
            let mut starting = Readiness::starting(self.conns.all_down_since);
            self.feed.reasons(now, false, &mut starting.reasons);
            return starting;
        }
        let mut reasons = Vec::new();
        let up = self.conns.up();
        if up == 0 {
            reasons.push(Reason {
                code: "broker_down",
                detail: "no broker connection is up".into(),
                since: self.conns.all_down_since,
            });
        }
        for (index, conn) in self.conns.conns.iter().enumerate() {
            // A connection that is being tried again is the normal course of things
            // for a while; one that is not, or that stays down, is worth a look.
            let stuck = conn.state == ConnState::Stopped
                || (conn.state != ConnState::Live
                    && now.utc.since(conn.since) > WORTH_A_LOOK.mul_f64(self.speed));
            if up > 0 && stuck {
                let error = conn.last_error.as_deref().unwrap_or("not connected yet");
                reasons.push(Reason {
                    code: "broker_connection_down",
                    detail: format!("connection {} is down: {error}", index + 1),
                    since: conn.since,
                });
            }
        }
        self.feed
            .reasons(now, up == self.conns.conns.len(), &mut reasons);
        if let Some((since, reason)) = &self.conns.store {
            reasons.push(Reason {
                code: "store_failing",
                detail: format!("changes are refused until they can be made durable: {reason}"),
                since: *since,
            });
        } else if let Some(since) = self.conns.behind {
            reasons.push(Reason {
                code: "store_failing",
                detail: "the audit log and the projections cannot be written; they wait".into(),
                since,
            });
        }
        if let Some((since, detail)) = &self.conns.master {
            reasons.push(Reason {
                code: "stale_instruments",
                detail: detail.clone(),
                since: *since,
            });
        }
        Readiness {
            status: if reasons.is_empty() {
                "ready"
            } else {
                "degraded"
            },
            reasons,
        }
    }

    pub(super) fn ws_status(&self, now: Now) -> WsStatus {
        let book = self.book.status();
        let per_connection = self
            .counters
            .conns()
            .zip(&self.conns.conns)
            .map(|((id, counters), conn)| {
                let status = ConnectionStatus {
                    state: conn.state,
                    since: conn.since,
                    subscriptions: book.connections[id.index()].charged,
                    attempts: conn.attempts,
                    last_error: conn.last_error.clone(),
                    last_packet_age_ms: counters
                        .last_packet_age(now.mono)
                        .map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
                    packets_per_s: conn.packets_per_s,
                    next_retry: conn.next_retry,
                    gaps: counters.gaps(),
                    last_gap: self.counters.last_gap(id),
                    handed_over: book.connections[id.index()].handed_over > 0,
                };
                (id.number(), status)
            })
            .collect();
        WsStatus {
            total_connections: self.conns.conns.len(),
            connected_connections: self.conns.up(),
            per_connection,
            account_contended: self.feed.contended(),
            held: self.feed.held(now),
            token_expires_at: self.feed.expires_at(),
            market_states: self.counters.market_states(),
            undecoded: self.counters.undecoded(),
        }
    }

    pub(super) fn connected(&self) -> usize {
        self.conns.up()
    }
}
