//! The adapter without its sockets: the connection machine, and a sink.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use strikewire_broker::{
    ConnEvent, DownCause, Gap, MarketState, Notice, Sink, Target, Update, WireBatch,
};
use strikewire_dhan::budget::Stored;
use strikewire_dhan::control::messages;
use strikewire_dhan::deliver::deliver;
use strikewire_dhan::fleet::{Action, Fleet, FleetConfig};
use strikewire_dhan::wire::DISCONNECT_REQUEST;
use strikewire_types::{ConnId, Epoch, InstrumentKey, Mode, Mono, Now, PriceStep, Segment, Slot};

use crate::broker::ToBroker;
use crate::judges::{Attempts, Outages};
use crate::world::{Setting, What, World};

/// What arrives on a socket.
#[derive(Debug)]
pub(crate) enum ToClient {
    Tcp,
    Failed(&'static str),
    Accepted,
    Refused(u16, Option<Duration>),
    Frame(Bytes),
    Ping,
    Ended(&'static str),
}

/// A socket, from both of its ends.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) conn: ConnId,
    /// Whether the client still has it.
    pub(crate) is_ours: bool,
    /// When the last message in each direction arrives.
    pub(crate) to_broker: Mono,
    pub(crate) to_client: Mono,
}

/// Where packets of a slot are accepted from, as the effects say, and what came.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) key: InstrumentKey,
    pub(crate) home: ConnId,
    pub(crate) next: Option<ConnId>,
    /// When a packet came last, by mode.
    pub(crate) heard: [Option<Mono>; 3],
    /// When it was sent again, if it was.
    pub(crate) resent: Option<Mono>,
}

/// The driver's account of a time without data.
#[derive(Debug, Clone, Default)]
struct Outage {
    /// When data last arrived, in the present life.
    data_at: Option<Now>,
    /// The same in an earlier life, and why that ended, until there is data again.
    gap: Option<(Now, DownCause)>,
}

impl Outage {
    fn down(&mut self, cause: &DownCause) {
        if let Some(from) = self.data_at.take() {
            self.gap = Some((from, cause.clone()));
        }
    }

    fn data(&mut self, at: Now) -> Option<Gap> {
        self.data_at = Some(at);
        let (from, cause) = self.gap.take()?;
        Some(Gap {
            from,
            to: at,
            cause,
        })
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Down {
    pub(crate) at: Mono,
    pub(crate) conn: ConnId,
    pub(crate) cause: DownCause,
    pub(crate) retry_in: Option<Duration>,
}

pub(crate) struct Client {
    pub(crate) fleet: Fleet,
    /// What is in the file of the budget.
    pub(crate) stored: Option<Stored>,
    pub(crate) sockets: Vec<Socket>,
    /// The present socket of each connection.
    pub(crate) present: Vec<Option<usize>>,
    outages: Vec<Outage>,
    pub(crate) judge: Outages,
    pub(crate) attempts: Attempts,
    pub(crate) rows: BTreeMap<Slot, Row>,
    pub(crate) slots: BTreeMap<InstrumentKey, Slot>,
    /// The token in the file, and the one that was read last.
    pub(crate) token_file: String,
    token: String,
    pub(crate) contended: bool,
    /// Every end of a life and every failed attempt, and all that concerned no single
    /// connection.
    pub(crate) downs: Vec<Down>,
    pub(crate) notices: Vec<(Mono, Notice)>,
    /// Packets of instruments that nobody wanted.
    pub(crate) unresolved: u64,
    /// When data came last on each connection.
    pub(crate) last_data: Vec<Option<Mono>>,
    /// Attempts whose fate is to fail while this lasts.
    pub(crate) unreachable_until: Mono,
}

impl Client {
    pub(crate) fn new(setting: Setting, seed: u64, stored: Option<Stored>, now: Now) -> Self {
        let config = FleetConfig {
            connections: setting.connections,
            seed,
            ..FleetConfig::default()
        };
        Self {
            fleet: Fleet::new(config, stored.clone(), now),
            stored,
            sockets: Vec::new(),
            present: vec![None; setting.connections],
            outages: vec![Outage::default(); setting.connections],
            judge: Outages::default(),
            attempts: Attempts::default(),
            rows: BTreeMap::new(),
            slots: BTreeMap::new(),
            token_file: "token-0".to_owned(),
            token: String::new(),
            contended: false,
            downs: Vec::new(),
            notices: Vec::new(),
            unresolved: 0,
            last_data: vec![None; setting.connections],
            unreachable_until: Mono::default(),
        }
    }
}

impl World {
    /// Does what the machine wants done.
    pub(crate) fn act(&mut self) {
        while let Some(action) = self.client.fleet.poll_action() {
            if !matches!(action, Action::Store(_)) {
                self.note(|| format!("fleet: {action:?}"));
            }
            match action {
                Action::Store(stored) => self.client.stored = Some(stored),
                Action::Connect { conn } => self.connect(conn),
                Action::Abort { conn } => self.abort(conn),
                Action::Goodbye { conn } => {
                    if let Some(socket) = self.client.present[conn.index()] {
                        self.send(socket, ToBroker::Text(DISCONNECT_REQUEST.to_owned()));
                    }
                }
                Action::Up { conn, epoch } => {
                    self.tell_owner(What::Event(ConnEvent::Up { conn, epoch }));
                    self.tell_owner(What::Event(ConnEvent::Ready { conn, epoch }));
                }
                Action::Down {
                    conn,
                    epoch,
                    cause,
                    retry_in,
                } => {
                    self.count_down(&cause);
                    self.client.judge.down(conn, &cause);
                    self.client.outages[conn.index()].down(&cause);
                    self.client.downs.push(Down {
                        at: self.now.mono,
                        conn,
                        cause: cause.clone(),
                        retry_in,
                    });
                    self.tell_owner(What::Event(ConnEvent::Down {
                        conn,
                        epoch,
                        cause,
                        retry_in,
                    }));
                }
                Action::Notice(notice) => self.heed(&notice),
            }
        }
    }

    fn count_down(&mut self, cause: &DownCause) {
        let seen = &mut self.seen;
        *match cause {
            DownCause::Connect(_) => &mut seen.down_connect,
            DownCause::Refused { .. } => &mut seen.down_refused,
            DownCause::Disconnected { .. } => &mut seen.down_disconnected,
            DownCause::Closed(_) => &mut seen.down_closed,
            DownCause::Silent(_) => &mut seen.down_silent,
            DownCause::Stalled(_) => &mut seen.down_stalled,
            DownCause::Garbled(_) => &mut seen.down_garbled,
            DownCause::Blocked(_) => &mut seen.down_blocked,
            DownCause::Renewed => &mut seen.down_renewed,
            other => panic!("nobody stopped it: {other:?}"),
        } += 1;
    }

    fn heed(&mut self, notice: &Notice) {
        self.client.notices.push((self.now.mono, notice.clone()));
        match notice {
            Notice::Contended(contended) => {
                assert_ne!(self.client.contended, *contended, "told twice");
                self.client.contended = *contended;
                self.seen.contended += u64::from(*contended);
                self.seen.no_longer_contended += u64::from(!contended);
            }
            Notice::NoCredentials(_) => self.seen.no_credentials += 1,
            Notice::TurnedAway(_) => self.seen.turned_away += 1,
            Notice::Held { reason, .. } => {
                self.seen.lock_out += u64::from(reason.contains("429"));
            }
            _ => {}
        }
    }

    fn connect(&mut self, conn: ConnId) {
        self.client.attempts.begin(self.now.mono);
        let socket = self.client.sockets.len();
        self.client.sockets.push(Socket {
            conn,
            is_ours: true,
            to_broker: self.now.mono,
            to_client: self.now.mono,
        });
        let before = self.client.present[conn.index()].replace(socket);
        assert_eq!(before, None, "a second attempt of connection {conn}");
        self.read_token();
        let unreachable = self.now.mono < self.client.unreachable_until;
        if !unreachable {
            self.receive(socket, ToClient::Tcp);
        } else if socket.is_multiple_of(2) {
            self.receive(socket, ToClient::Failed("connection refused"));
        }
        // Otherwise nobody answers.
    }

    fn abort(&mut self, conn: ConnId) {
        if let Some(socket) = self.client.present[conn.index()].take() {
            self.let_go(socket);
        }
    }

    /// The client's end of a socket is closed. What it says of that may get lost, and
    /// then the broker notices late.
    pub(crate) fn let_go(&mut self, socket: usize) {
        self.client.sockets[socket].is_ours = false;
        self.lose(socket);
        let is_lost = self.is_troubled() && rand::Rng::random_range(&mut self.rng, 0..12) == 0;
        if is_lost {
            self.after(
                Duration::from_secs(40),
                What::ToBroker(socket, ToBroker::Gone),
            );
        } else {
            self.send(socket, ToBroker::Gone);
        }
    }

    /// Sends to the broker.
    pub(crate) fn send(&mut self, socket: usize, message: ToBroker) {
        let delay = self.between(1, 60);
        let end = &mut self.client.sockets[socket].to_broker;
        *end = (*end).max(self.now.mono + delay);
        let at = *end;
        self.at(at, What::ToBroker(socket, message));
    }

    /// Sends to the client.
    pub(crate) fn receive(&mut self, socket: usize, message: ToClient) {
        let delay = self.between(1, 60);
        let end = &mut self.client.sockets[socket].to_client;
        *end = (*end).max(self.now.mono + delay);
        let at = *end;
        self.at(at, What::ToClient(socket, message));
    }

    pub(crate) fn client_hears(&mut self, socket: usize, message: ToClient) {
        let conn = self.client.sockets[socket].conn;
        if self.client.present[conn.index()] != Some(socket) {
            return;
        }
        let now = self.now;
        match message {
            ToClient::Tcp => {
                self.client.fleet.handle_tcp(now, conn);
                let query = format!(
                    "version=2&token={}&clientId=1000000001&authType=2",
                    self.client.token
                );
                self.send(socket, ToBroker::Upgrade(query));
            }
            ToClient::Failed(detail) => {
                self.client.present[conn.index()] = None;
                let cause = DownCause::Connect(detail.to_owned());
                self.client.fleet.handle_failed(now, conn, cause, None);
            }
            ToClient::Accepted => self.client.fleet.handle_connected(now, conn),
            ToClient::Refused(status, retry_after) => {
                self.client.present[conn.index()] = None;
                // Whatever was refused may be the token that there is no longer.
                self.read_token();
                let cause = DownCause::Refused { status };
                self.client
                    .fleet
                    .handle_failed(now, conn, cause, retry_after);
            }
            ToClient::Frame(frame) => self.take(conn, &frame),
            ToClient::Ping => {
                self.client.fleet.handle_traffic(now, conn);
            }
            ToClient::Ended(detail) => {
                self.client.present[conn.index()] = None;
                self.let_go(socket);
                self.client
                    .fleet
                    .handle_closed(now, conn, detail.to_owned());
            }
        }
        self.act();
    }

    /// Takes a frame as the driver does.
    fn take(&mut self, conn: ConnId, frame: &Bytes) {
        let now = self.now;
        if !self.client.fleet.phase(conn).is_up() {
            return;
        }
        self.client.fleet.handle_traffic(now, conn);
        let mut rows = Rows {
            now,
            rows: &mut self.client.rows,
            slots: &self.client.slots,
            flipped: Vec::new(),
            states: 0,
        };
        let told = deliver(&mut rows, conn, now, frame);
        let Rows {
            flipped, states, ..
        } = rows;
        self.seen.market_status += states;
        self.client.unresolved += told.unresolved;
        for (slot, key) in flipped {
            self.tell_owner(What::FirstPacket(slot, conn, key));
        }
        if told.applied + told.unresolved > 0 {
            let gap: Option<Gap> = self.client.outages[conn.index()].data(now);
            let is_gap = self.client.judge.data(conn, now, gap.as_ref());
            self.seen.gap += u64::from(is_gap);
            self.client.last_data[conn.index()] = Some(now.mono);
            self.client.fleet.handle_data(now, conn);
        } else if told.market_status == 0 && told.disconnect.is_none() {
            self.client.fleet.handle_undecodable(now, conn);
        }
        if let Some(reason) = told.disconnect {
            self.read_token();
            self.client.fleet.handle_disconnect(now, conn, reason);
        }
    }

    pub(crate) fn client_writes(&mut self, batch: &WireBatch) {
        let conn = batch.conn;
        let Some(socket) = self.client.present[conn.index()] else {
            return;
        };
        if !self.client.fleet.is_live_in(conn, batch.epoch) {
            return;
        }
        let mut blocked = Duration::ZERO;
        for text in messages(batch.op, &batch.keys) {
            blocked += self.broker.time_to_read(socket, &text);
            self.send(socket, ToBroker::Text(text));
        }
        if blocked > Duration::ZERO {
            self.client.fleet.handle_blocked(self.now, conn);
        }
        self.after(blocked, What::Written(conn, batch.epoch));
    }

    pub(crate) fn client_has_written(&mut self, conn: ConnId, epoch: Epoch) {
        if self.client.fleet.is_live_in(conn, epoch) {
            self.client.fleet.handle_written(self.now, conn);
            self.tell_owner(What::Event(ConnEvent::Ready { conn, epoch }));
            self.act();
        }
    }

    fn read_token(&mut self) {
        if self.client.token != self.client.token_file {
            self.client.token = self.client.token_file.clone();
            self.client.fleet.handle_token_changed(self.now);
        }
    }

    pub(crate) fn look_at_token(&mut self) {
        // Before the first attempt nothing has been read.
        if !self.client.token.is_empty() {
            self.read_token();
            self.act();
        }
    }
}

/// The rows as a sink.
struct Rows<'a> {
    now: Now,
    rows: &'a mut BTreeMap<Slot, Row>,
    slots: &'a BTreeMap<InstrumentKey, Slot>,
    flipped: Vec<(Slot, InstrumentKey)>,
    states: u64,
}

impl Sink for Rows<'_> {
    fn now(&self) -> Now {
        self.now
    }

    fn resolve(&self, key: InstrumentKey) -> Option<Target> {
        let slot = *self.slots.get(&key)?;
        let step = PriceStep::PAISA;
        Some(Target { key, slot, step })
    }

    fn apply(&mut self, conn: ConnId, target: &Target, at: Now, update: &Update) {
        let Some(row) = self.rows.get_mut(&target.slot) else {
            return;
        };
        assert_eq!(row.key, target.key);
        if row.next == Some(conn) {
            (row.home, row.next) = (conn, None);
            row.heard = [None; 3];
            self.flipped.push((target.slot, target.key));
        }
        let mode = match update {
            Update::Ticker(_) => Mode::Ticker,
            Update::Quote(_) => Mode::Quote,
            Update::Full(_) => Mode::Full,
            _ => return,
        };
        if row.home == conn {
            row.heard[mode as usize] = Some(at.mono);
        }
    }

    fn market_state(&mut self, _: ConnId, _: Now, _: Segment, _: MarketState) {
        self.states += 1;
    }

    fn gap(&mut self, _: ConnId, _: Gap) {}

    fn frame(&mut self, _: ConnId, _: Now, _: &Bytes) {}

    fn undecoded(&mut self, _: ConnId, _: Now, _: u8, _: &[u8]) {}

    fn turn_done(&mut self, _: Now) {}
}
