//! A made-up broker in this process: what stands on the other side of the socket.
//!
//! A client gets a [`Session`] with a key. It sends lines of text, `sub quote 50001 50002`,
//! `unsub quote 50001` and `bye`; and gets lines of JSON, a [`Print`] each. Prices are whole
//! paise. There are two sessions at most, of a thousand instruments each.

#[cfg(test)]
mod mishaps;

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rand::Rng;
use serde::{Deserialize, Serialize};
use strikewire_gateway::registry::Registry;
use strikewire_gateway::types::{Clock, Mode, OptionType, SCALE};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Units of a price in a paisa.
const PAISA: i64 = SCALE / 100;
/// All prices are whole multiples of this, in paise.
const TICK: i64 = 5;
/// What the stock costs at first, in paise.
const FIRST: i64 = 264_150;
pub(crate) const SESSIONS: usize = 2;
pub(crate) const PER_SESSION: usize = 1_000;

/// What the broker says of an instrument.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Print {
    pub(crate) id: u32,
    /// The last price.
    pub(crate) last: i64,
    /// When it traded: seconds since 1970.
    pub(crate) at: i64,
    /// With `quote` and `full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) day: Option<Day>,
    /// The best bid and ask, with `full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) best: Option<Best>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Day {
    pub(crate) open: i64,
    pub(crate) high: i64,
    pub(crate) low: i64,
    pub(crate) close_before: i64,
    pub(crate) volume: u32,
    /// Of the last trade.
    pub(crate) quantity: u32,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Best {
    pub(crate) bid: i64,
    pub(crate) ask: i64,
}

/// What is traded, as of now.
#[derive(Debug)]
struct Stall {
    /// Strike and side of an option; absent for the stock.
    option: Option<(i64, OptionType)>,
    last: i64,
    at: i64,
    day: Day,
}

impl Stall {
    fn trade(&mut self, last: i64, at: i64) {
        self.last = last;
        self.at = at;
        self.day.high = self.day.high.max(last);
        self.day.low = self.day.low.min(last);
        self.day.volume = self.day.volume.saturating_add(self.day.quantity);
    }

    fn print(&self, id: u32, mode: Mode) -> Print {
        Print {
            id,
            last: self.last,
            at: self.at,
            day: (mode >= Mode::Quote).then_some(self.day),
            best: (mode >= Mode::Full).then_some(Best {
                bid: self.last - TICK,
                ask: self.last + TICK,
            }),
        }
    }
}

/// What a client hears.
#[derive(Debug)]
pub(crate) enum Line {
    Print(Bytes),
    /// The broker ends the session, and says why.
    Closing(&'static str),
}

#[derive(Debug)]
struct Seat {
    held: BTreeMap<u32, Mode>,
    lines: UnboundedSender<Line>,
}

#[derive(Debug, Default)]
struct Floor {
    stalls: BTreeMap<u32, Stall>,
    seats: BTreeMap<u64, Seat>,
    last_seat: u64,
    /// Sessions that will be turned down.
    refuse: usize,
    goodbyes: usize,
    sent: BTreeMap<u32, u64>,
}

impl Floor {
    /// Tells everybody who wants to know of `id`.
    fn tell(&mut self, id: u32) {
        let Some(stall) = self.stalls.get(&id) else {
            return;
        };
        for seat in self.seats.values() {
            if let Some(mode) = seat.held.get(&id) {
                *self.sent.entry(id).or_default() += 1;
                let line = serde_json::to_vec(&stall.print(id, *mode)).unwrap_or_default();
                // A client that has gone hears nothing.
                let _ = seat.lines.send(Line::Print(line.into()));
            }
        }
    }
}

/// The broker.
#[derive(Debug, Clone)]
pub(crate) struct Bazaar {
    floor: Arc<Mutex<Floor>>,
    clock: Clock,
}

impl Bazaar {
    /// One that trades what is listed.
    pub(crate) fn of(registry: &Registry, clock: Clock) -> Self {
        let mut stalls = BTreeMap::new();
        let at = clock.now().utc.as_seconds();
        for instrument in registry.instruments() {
            let option = instrument
                .strike()
                .zip(instrument.option_type())
                .map(|(strike, side)| (strike.raw() / PAISA, side));
            let last = worth(option, FIRST);
            let day = Day {
                open: last,
                high: last,
                low: last,
                close_before: last,
                volume: 0,
                quantity: instrument.lot_size(),
            };
            let stall = Stall {
                option,
                last,
                at,
                day,
            };
            stalls.insert(instrument.key().id.0, stall);
        }
        let floor = Floor {
            stalls,
            ..Floor::default()
        };
        Self {
            floor: Arc::new(Mutex::new(floor)),
            clock,
        }
    }

    /// Opens a session.
    pub(crate) fn connect(&self, _key: &str) -> Result<Session, &'static str> {
        let mut floor = self.floor.lock();
        if floor.refuse > 0 {
            floor.refuse -= 1;
            return Err("come back later");
        }
        if floor.seats.len() == SESSIONS {
            return Err("you have as many sessions as you may have");
        }
        floor.last_seat += 1;
        let seat = floor.last_seat;
        let (sender, lines) = unbounded_channel();
        floor.seats.insert(
            seat,
            Seat {
                held: BTreeMap::new(),
                lines: sender,
            },
        );
        Ok(Session {
            bazaar: self.clone(),
            seat,
            lines,
        })
    }

    /// What one instrument costs now: the broker's answer to a single question.
    pub(crate) fn ask(&self, id: u32) -> Option<Print> {
        let floor = self.floor.lock();
        floor
            .stalls
            .get(&id)
            .map(|stall| stall.print(id, Mode::Full))
    }

    /// The stock moves a little, and everything with it.
    pub(crate) fn walk(&self, rng: &mut impl Rng) {
        let at = self.clock.now().utc.as_seconds();
        let mut floor = self.floor.lock();
        let stock = |stall: &&Stall| stall.option.is_none();
        let Some(before) = floor.stalls.values().find(stock).map(|stall| stall.last) else {
            return;
        };
        let now = (before + TICK * rng.random_range(-40..=40)).max(TICK);
        let ids: Vec<u32> = floor.stalls.keys().copied().collect();
        for id in ids {
            if let Some(stall) = floor.stalls.get_mut(&id) {
                stall.trade(worth(stall.option, now), at);
            }
            floor.tell(id);
        }
    }
}

/// What something is worth when the stock costs `stock`: no model, but calls and puts move
/// the right way.
fn worth(option: Option<(i64, OptionType)>, stock: i64) -> i64 {
    let Some((strike, side)) = option else {
        return stock;
    };
    let inside = match side {
        OptionType::Call => stock - strike,
        OptionType::Put => strike - stock,
    };
    let time = (4_000 - (stock - strike).abs() / 4).max(0);
    (inside.max(0) + time) / TICK * TICK + TICK
}

/// A client's end of a session.
#[derive(Debug)]
pub(crate) struct Session {
    bazaar: Bazaar,
    seat: u64,
    lines: UnboundedReceiver<Line>,
}

impl Session {
    /// The next line; none when the session has ended without a word.
    pub(crate) async fn line(&mut self) -> Option<Line> {
        self.lines.recv().await
    }

    /// The next line if it is there already.
    pub(crate) fn line_at_hand(&mut self) -> Option<Line> {
        self.lines.try_recv().ok()
    }

    /// Sends a line.
    pub(crate) fn say(&self, line: &str) {
        let mut floor = self.bazaar.floor.lock();
        let mut words = line.split(' ');
        let (verb, mode) = (words.next(), words.next().map(Mode::from_str));
        let ids: Vec<u32> = words.filter_map(|id| id.parse().ok()).collect();
        let Some(seat) = floor.seats.get_mut(&self.seat) else {
            return;
        };
        match (verb, mode) {
            (Some("sub"), Some(Ok(mode))) => {
                for &id in &ids {
                    seat.held.insert(id, mode);
                }
                // Whoever asks is told at once.
                for id in ids {
                    floor.tell(id);
                }
            }
            (Some("unsub"), Some(Ok(_))) => seat.held.retain(|id, _| !ids.contains(id)),
            (Some("bye"), None) => {
                floor.seats.remove(&self.seat);
                floor.goodbyes += 1;
            }
            _ => {
                let _ = seat.lines.send(Line::Closing("this is not understood"));
                floor.seats.remove(&self.seat);
            }
        }
    }
}
