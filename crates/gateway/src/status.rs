use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;
use strikewire_broker::Gap;
use strikewire_types::{ConnId, InstrumentKey, Mode, Mono, Segment, Tier, Utc};

/// What the feed thread counts.
#[derive(Debug)]
pub struct Counters {
    conns: Box<[ConnCounters]>,
    unresolved: AtomicU64,
    rare: Mutex<Rare>,
}

/// What comes seldom, and is kept to be looked at.
#[derive(Debug, Default)]
struct Rare {
    market_states: BTreeMap<Segment, MarketStateView>,
    undecoded: BTreeMap<u8, UndecodedView>,
    last_gaps: BTreeMap<ConnId, GapView>,
}

/// So many bytes of a packet that is not understood are kept.
const SAMPLE_BYTES: usize = 256;

impl Counters {
    pub(crate) fn new(connections: usize) -> Self {
        Self {
            conns: (0..connections).map(|_| ConnCounters::default()).collect(),
            unresolved: AtomicU64::new(0),
            rare: Mutex::default(),
        }
    }

    /// The last time a connection had no data.
    #[must_use]
    pub fn last_gap(&self, conn: ConnId) -> Option<GapView> {
        self.rare.lock().last_gaps.get(&conn).cloned()
    }

    pub(crate) fn gap(&self, conn: ConnId, gap: &Gap) {
        self.conn(conn).gap();
        let view = GapView {
            from: gap.from.utc,
            to: Some(gap.to.utc),
            cause: gap.cause.to_string().into(),
        };
        self.rare.lock().last_gaps.insert(conn, view);
    }

    /// What the broker last said of the markets.
    #[must_use]
    pub fn market_states(&self) -> BTreeMap<Segment, MarketStateView> {
        self.rare.lock().market_states.clone()
    }

    pub(crate) fn market_state(&self, segment: Segment, code: u32, at: Utc) {
        let view = MarketStateView { code, at };
        self.rare.lock().market_states.insert(segment, view);
    }

    /// Packets that were not understood, by the broker's code, with the last of each.
    #[must_use]
    pub fn undecoded(&self) -> BTreeMap<u8, UndecodedView> {
        self.rare.lock().undecoded.clone()
    }

    /// Keeps the last of each kind; what comes in floods is kept once a second.
    pub(crate) fn undecoded_packet(&self, code: u8, at: Utc, bytes: &[u8]) {
        let mut rare = self.rare.lock();
        let view = rare.undecoded.entry(code).or_insert_with(|| UndecodedView {
            count: 0,
            last: Utc::default(),
            sample: String::new(),
        });
        view.count += 1;
        if view.sample.is_empty() || at.since(view.last) >= Duration::from_secs(1) {
            view.last = at;
            view.sample = bytes
                .iter()
                .take(SAMPLE_BYTES)
                .flat_map(|byte| [byte >> 4, byte & 15])
                .filter_map(|digit| char::from_digit(digit.into(), 16))
                .collect();
        }
    }

    /// Those of one connection.
    #[must_use]
    pub fn conn(&self, conn: ConnId) -> &ConnCounters {
        &self.conns[conn.index()]
    }

    /// Those of every connection, in order.
    pub fn conns(&self) -> impl Iterator<Item = (ConnId, &ConnCounters)> {
        self.conns
            .iter()
            .enumerate()
            .map(|(index, counters)| (ConnId::from_index(index), counters))
    }

    /// Packets of instruments that nobody wants any more.
    #[must_use]
    pub fn unresolved_packets(&self) -> u64 {
        self.unresolved.load(Relaxed)
    }

    pub(crate) fn unresolved(&self) {
        self.unresolved.fetch_add(1, Relaxed);
    }
}

/// Counts on. The feed thread alone counts: an addition that lets others count too would
/// cost several times as much, and there are some per packet.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(more), Relaxed);
}

/// What the feed thread counts on one connection.
#[derive(Debug, Default)]
pub struct ConnCounters {
    frames: AtomicU64,
    bytes: AtomicU64,
    packets: AtomicU64,
    strangers: AtomicU64,
    undecoded: AtomicU64,
    gaps: AtomicU64,
    last_frame: AtomicU64,
    last_packet: AtomicU64,
}

impl ConnCounters {
    pub(crate) fn frame(&self, at: Mono, bytes: usize) {
        add(&self.frames, 1);
        add(&self.bytes, bytes as u64);
        self.last_frame.store(at.as_nanos(), Relaxed);
    }

    pub(crate) fn packet(&self, at: Mono) {
        add(&self.packets, 1);
        self.last_packet.store(at.as_nanos(), Relaxed);
    }

    pub(crate) fn stranger(&self) {
        self.strangers.fetch_add(1, Relaxed);
    }

    pub(crate) fn undecoded(&self) {
        self.undecoded.fetch_add(1, Relaxed);
    }

    fn gap(&self) {
        self.gaps.fetch_add(1, Relaxed);
    }

    /// Frames received.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.frames.load(Relaxed)
    }

    /// Bytes in those frames.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Packets of wanted instruments.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.packets.load(Relaxed)
    }

    /// Packets dropped because another connection is the instrument's home.
    #[must_use]
    pub fn strangers(&self) -> u64 {
        self.strangers.load(Relaxed)
    }

    /// Parts of frames that could not be decoded.
    #[must_use]
    pub fn undecoded_packets(&self) -> u64 {
        self.undecoded.load(Relaxed)
    }

    /// Times without data.
    #[must_use]
    pub fn gaps(&self) -> u64 {
        self.gaps.load(Relaxed)
    }

    /// How long ago the last packet of a wanted instrument arrived; absent when none
    /// ever did.
    #[must_use]
    pub fn last_packet_age(&self, now: Mono) -> Option<Duration> {
        match self.last_packet.load(Relaxed) {
            0 => None,
            at => Some(now.since(Mono::from_nanos(at))),
        }
    }
}

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ConnState {
    /// It was never up.
    Connecting,
    /// It is up.
    Live,
    /// It is down and will be tried again.
    Backoff,
    /// It is down for good.
    Stopped,
}

impl ConnState {
    /// `live` and so on.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Live => "live",
            Self::Backoff => "backoff",
            Self::Stopped => "stopped",
        }
    }
}

/// One connection in `ws-status`.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConnectionStatus {
    /// Where it stands.
    pub state: ConnState,
    /// Since when.
    pub since: Utc,
    /// Wire slots it is charged for.
    pub subscriptions: usize,
    /// Attempts since it was last up.
    pub attempts: u32,
    /// Why it was last down; null when it never was.
    pub last_error: Option<String>,
    /// Milliseconds since the last packet; null when none ever arrived.
    pub last_packet_age_ms: Option<u64>,
    /// Packets in the last whole second.
    pub packets_per_s: u64,
    /// When it is tried again; null while it is up or when it will not be.
    pub next_retry: Option<Utc>,
    /// Times without data since the start.
    pub gaps: u64,
    /// The last of them; null when there was none.
    pub last_gap: Option<GapView>,
    /// Whether its instruments were handed to the other connections, because it was
    /// down for too long.
    pub handed_over: bool,
}

/// A time without data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GapView {
    /// When the last data came.
    pub from: Utc,
    /// When data came again; null while it lasts.
    pub to: Option<Utc>,
    /// What made it.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub cause: Arc<str>,
}

/// Attempts to connect that are held back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HeldView {
    /// Until when.
    pub until: Utc,
    /// Why.
    pub reason: String,
}

/// What a subscription lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum MissingWhat {
    /// Data: it is silent while its neighbours tick.
    Data,
    /// Data in its mode: after a change of mode it goes on in another one.
    Mode,
}

/// Something that a subscription lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MissingView {
    /// What.
    pub what: MissingWhat,
    /// Since when that is known.
    pub since: Utc,
    /// Whether it was asked for once more.
    pub resent: bool,
}

/// What the broker last said of a segment of the market.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MarketStateView {
    /// The broker's number; Dhan does not document what it means.
    pub code: u32,
    /// When it came.
    pub at: Utc,
}

/// Packets of one kind that could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UndecodedView {
    /// How many.
    pub count: u64,
    /// When the last one came.
    pub last: Utc,
    /// Its first bytes, in hexadecimal.
    pub sample: String,
}

/// All connections.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WsStatus {
    /// Connections there are.
    pub total_connections: usize,
    /// Connections that are up.
    pub connected_connections: usize,
    /// By number, from 1.
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, ConnectionStatus>))]
    pub per_connection: BTreeMap<u8, ConnectionStatus>,
    /// Whether others use up the account's connections.
    pub account_contended: bool,
    /// Why no connection is tried at the moment; null when that is not so.
    pub held: Option<HeldView>,
    /// When the token in use expires; null when it does not say.
    pub token_expires_at: Option<Utc>,
    /// What the broker says of the markets, by segment.
    pub market_states: BTreeMap<Segment, MarketStateView>,
    /// Packets that were not understood, by the broker's code.
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, UndecodedView>))]
    pub undecoded: BTreeMap<u8, UndecodedView>,
}

/// Totals of the subscription book.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StatusView {
    /// Distinct instruments desired: tier A and tier B together.
    pub total_subscriptions: usize,
    /// How many there may be.
    pub max_capacity: usize,
    /// The share in use, in percent.
    pub utilization_percent: f64,
    /// Wire slots by connection; may exceed the total during a migration or a roll.
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, usize>))]
    pub ws_usage: BTreeMap<u8, usize>,
    /// Instruments held in tier A only.
    pub tier_a_count: usize,
    /// Instruments held in tier B.
    pub tier_b_count: usize,
    /// Instruments by the highest mode asked for.
    pub by_mode: BTreeMap<Mode, usize>,
    /// Connections that are up.
    pub connected_connections: usize,
    /// Connections there are.
    pub total_connections: usize,
    /// Instruments that nobody wants any more but that stay on the wire for a moment.
    pub lingering: usize,
    /// Instruments that wait for room on a connection.
    pub unplaced: usize,
    /// Instruments that are silent while their neighbours tick.
    pub silent: usize,
    /// Instruments that go on in their old mode after a change.
    pub unconfirmed_modes: usize,
    /// Instruments that the broker does not take.
    pub refused: usize,
    /// What is always on.
    pub tier_b: TierBView,
}

/// The always-on windows and futures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TierBView {
    /// How many there are.
    pub windows: usize,
    /// How many are held.
    pub held: usize,
    /// Those that are not held yet, and why.
    pub waiting: Vec<WaitingView>,
    /// Symbols of the configuration on which nothing of the kind is listed.
    pub not_listed: Vec<String>,
}

/// An always-on window that is not held yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WaitingView {
    /// Which one.
    pub window: String,
    /// Why it waits.
    pub reason: String,
}

/// One instrument that somebody holds.
#[derive(Debug, Clone, Copy)]
pub struct ActiveRow {
    /// Which one.
    pub key: InstrumentKey,
    /// The highest tier it is held in.
    pub tier: Tier,
    /// The highest mode it is held in.
    pub mode: Mode,
    /// How it stands on the wire: `pending`, `subscribing`, `subscribed`, `changing`, or
    /// `refused` when the broker does not take it.
    pub state: &'static str,
    /// Its connection; absent while it waits for one.
    pub connection: Option<ConnId>,
    /// Since when it is desired.
    pub since: Utc,
    /// What it lacks on the wire; absent when it comes as it should.
    pub missing: Option<MissingView>,
    /// How many hold it.
    pub holders: usize,
}

/// Who holds an instrument.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HolderView {
    /// `watchlist`, `explicit`, `tier_b`, `stream`, `indicator` or `request`.
    pub kind: &'static str,
    /// The user, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<u64>,
    /// For what: the item, the channel or the request.
    pub why: String,
    /// In which tier.
    pub tier: Tier,
    /// In which mode.
    pub mode: Mode,
    /// Since when.
    pub since: Utc,
    /// Whose claims made room for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub displaced: Vec<String>,
}

/// All about the subscription of one instrument.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The highest tier it is held in.
    pub tier: Tier,
    /// The highest mode it is held in.
    pub mode: Mode,
    /// How it stands on the wire: `pending`, `subscribing`, `subscribed`, `changing`, or
    /// `refused` when the broker does not take it.
    pub state: &'static str,
    /// Its connection; absent while it waits for one.
    pub connection: Option<ConnId>,
    /// Since when it is desired.
    pub since: Utc,
    /// What it lacks on the wire; absent when it comes as it should.
    pub missing: Option<MissingView>,
    /// The last time without data; absent when there was none since it is subscribed.
    pub last_gap: Option<GapView>,
    /// Who holds it.
    pub holders: Vec<HolderView>,
}

/// Whether the gateway does its job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Readiness {
    /// `ready`, `degraded` or `starting`.
    pub status: &'static str,
    /// What there is to say.
    pub reasons: Vec<Reason>,
}

impl Readiness {
    /// Not serving yet.
    pub(crate) fn starting(since: Utc) -> Self {
        Self {
            status: "starting",
            reasons: vec![Reason {
                code: "broker_connecting",
                detail: "no broker connection has been up yet".into(),
                since,
            }],
        }
    }
}

/// One thing to know about readiness.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reason {
    /// A stable code.
    pub code: &'static str,
    /// A sentence for people.
    pub detail: String,
    /// Since when.
    pub since: Utc,
}
