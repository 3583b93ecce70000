//! A book at a small desk, and short words for what is asked of it.

use std::time::Duration;

use strikewire_broker::{ConnEvent, DownCause, Fault, WireBatch, WireOp};
use strikewire_subscriptions::{
    Book, Config, Effect, Leg, Owner, OwnerKind, Plan, Refusal, Request, Role,
};
use strikewire_types::{ConnId, Epoch, InstrumentKey, Mode, Now, PriceStep, Segment, Slot, Tier};

pub(crate) const A: Tier = Tier::A;
pub(crate) const B: Tier = Tier::B;

pub(crate) fn owner(id: u64) -> Owner {
    let kind = OwnerKind::Watchlist;
    Owner { kind, id }
}

pub(crate) fn key(id: u32) -> InstrumentKey {
    InstrumentKey::new(Segment::NseFno, id)
}

pub(crate) fn leg(id: u32, mode: Mode, distance: u16) -> Leg {
    Leg {
        key: key(id),
        step: PriceStep::PAISA,
        mode,
        role: Role::Contract,
        distance,
    }
}

/// Contracts in full mode; the first is nearest to the money.
pub(crate) fn legs(ids: &[u32]) -> Vec<Leg> {
    let places = 0..;
    places
        .zip(ids)
        .map(|(place, &id)| leg(id, Mode::Full, place))
        .collect()
}

/// A book with a driver that answers at once.
pub(crate) struct Desk {
    pub(crate) book: Book,
    pub(crate) now: Now,
    pub(crate) effects: Vec<Effect>,
    pub(crate) epochs: Vec<u32>,
}

impl Desk {
    /// Everything is down.
    pub(crate) fn new(connections: usize, per_connection: usize, per_batch: usize) -> Self {
        let config = Config {
            connections,
            per_connection,
            total: connections * per_connection,
            per_batch,
            ..Config::default()
        };
        Self::with(config)
    }

    /// Everything is down.
    pub(crate) fn with(config: Config) -> Self {
        Self {
            book: Book::new(config).unwrap(),
            now: Now::default() + Duration::from_secs(1_000),
            effects: Vec::new(),
            epochs: vec![0; config.connections],
        }
    }

    pub(crate) fn up(mut self) -> Self {
        for conn in 1..=self.epochs.len() {
            self.connect(conn);
        }
        self
    }

    pub(crate) fn event(&mut self, event: &ConnEvent) {
        self.book.handle_conn(self.now, event, &mut self.effects);
    }

    pub(crate) fn connect(&mut self, conn: usize) {
        self.epochs[conn - 1] += 1;
        let (conn, epoch) = (ConnId::from_index(conn - 1), Epoch(self.epochs[conn - 1]));
        self.event(&ConnEvent::Up { conn, epoch });
        self.event(&ConnEvent::Ready { conn, epoch });
    }

    fn down(&mut self, conn: usize, cause: DownCause, retry_in: Option<Duration>) {
        self.event(&ConnEvent::Down {
            conn: ConnId::from_index(conn - 1),
            epoch: Epoch(self.epochs[conn - 1]),
            cause,
            retry_in,
        });
    }

    pub(crate) fn disconnect(&mut self, conn: usize) {
        let cause = DownCause::Closed("reset".into());
        self.down(conn, cause, Some(Duration::from_secs(1)));
    }

    /// It will not try to come back.
    pub(crate) fn stop(&mut self, conn: usize) {
        let code = 810;
        let cause = DownCause::Disconnected { code, fault: None };
        self.down(conn, cause, None);
    }

    /// The broker closes it, and comes back.
    pub(crate) fn fault(&mut self, conn: usize, fault: Fault) {
        let fault = Some(fault);
        let cause = DownCause::Disconnected { code: 0, fault };
        self.down(conn, cause, Some(Duration::from_secs(1)));
    }

    pub(crate) fn plan(&self, id: u64, tier: Tier, legs: Vec<Leg>) -> Result<Plan, Refusal> {
        let owner = owner(id);
        self.book.plan(self.now, &Request::new(owner, tier, legs))
    }

    pub(crate) fn admit(&mut self, id: u64, tier: Tier, legs: Vec<Leg>) {
        let plan = self.plan(id, tier, legs).unwrap();
        self.book.apply(self.now, plan, &mut self.effects);
    }

    /// The claim `id` of a user, in tier A.
    pub(crate) fn plan_for(&self, user: u64, id: u64, legs: Vec<Leg>) -> Result<Plan, Refusal> {
        let request = Request::new(owner(id), A, legs).charged_to(user);
        self.book.plan(self.now, &request)
    }

    pub(crate) fn admit_for(&mut self, user: u64, id: u64, legs: Vec<Leg>) {
        let plan = self.plan_for(user, id, legs).unwrap();
        self.book.apply(self.now, plan, &mut self.effects);
    }

    pub(crate) fn roll(&mut self, id: u64, ids: &[u32]) {
        self.book
            .replace(self.now, owner(id), &legs(ids), &mut self.effects);
    }

    pub(crate) fn release(&mut self, id: u64) -> (usize, usize) {
        let released = self.book.release(self.now, owner(id), &mut self.effects);
        (released.held, released.leaving)
    }

    pub(crate) fn wait(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        self.book.handle_timeout(self.now, &mut self.effects);
    }

    /// One message if there is one for the connection, such as `1 +full 100 101`.
    pub(crate) fn poll(&mut self, conn: usize) -> Option<String> {
        let mut batch = WireBatch {
            conn: ConnId::from_index(0),
            epoch: Epoch(0),
            op: WireOp::Subscribe(Mode::Full),
            keys: Vec::new(),
        };
        let conn = ConnId::from_index(conn - 1);
        if !self.book.poll_wire(self.now, conn, &mut batch) {
            return None;
        }
        assert_eq!(batch.conn, conn);
        let op = match batch.op {
            WireOp::Subscribe(mode) => format!("+{mode}"),
            WireOp::Unsubscribe(mode) => format!("-{mode}"),
        };
        let ids: Vec<String> = batch.keys.iter().map(|key| key.id.to_string()).collect();
        Some(format!("{conn} {op} {}", ids.join(" ")))
    }

    pub(crate) fn written(&mut self, conn: usize) {
        let epoch = Epoch(self.epochs[conn - 1]);
        let conn = ConnId::from_index(conn - 1);
        self.event(&ConnEvent::Ready { conn, epoch });
    }

    /// All messages until there is nothing to do, the connections taking turns.
    pub(crate) fn pump(&mut self) -> Vec<String> {
        let mut messages = Vec::new();
        loop {
            let before = messages.len();
            for conn in 1..=self.epochs.len() {
                if let Some(message) = self.poll(conn) {
                    messages.push(message);
                    self.written(conn);
                }
            }
            if messages.len() == before {
                return messages;
            }
        }
    }

    /// Everything time brings until then, when it is due.
    pub(crate) fn pass(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(next) = self.book.poll_timeout().filter(|&next| next <= end.mono) {
            self.now = self.now + next.since(self.now.mono);
            self.book.handle_timeout(self.now, &mut self.effects);
            self.pump();
        }
        self.now = end;
    }

    /// Who was handed over, and who evens out, since the last look.
    pub(crate) fn told(&mut self) -> Vec<String> {
        let told = self.effects.drain(..).filter_map(|effect| match effect {
            Effect::HandedOver { conn, moved } => Some(format!("{conn} hands over {moved}")),
            Effect::Rebalanced { moved } => Some(format!("{moved} even out")),
            Effect::Shrunk { conn, cap } => Some(format!("{conn} holds {cap}")),
            Effect::Refused { key, .. } => Some(format!("{} refused", key.id)),
            _ => None,
        });
        told.collect()
    }

    /// The instruments on a connection.
    pub(crate) fn home_of(&self, id: u32) -> usize {
        let home = self.book.instrument(key(id)).unwrap().home;
        home.map_or(0, |home| home.number().into())
    }

    pub(crate) fn charged(&self) -> Vec<usize> {
        let status = self.book.status();
        status.connections.iter().map(|conn| conn.charged).collect()
    }

    pub(crate) fn slot(&self, id: u32) -> Slot {
        self.book.instrument(key(id)).unwrap().slot
    }
}
