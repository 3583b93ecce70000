//! What tests do to the broker, and what they ask it.

use std::collections::BTreeMap;

use strikewire_gateway::types::Mode;

use super::{Bazaar, Line};

impl Bazaar {
    /// The sessions and what each holds.
    pub(crate) fn seats(&self) -> BTreeMap<u64, BTreeMap<u32, Mode>> {
        let floor = self.floor.lock();
        let seats = floor.seats.iter();
        seats.map(|(id, seat)| (*id, seat.held.clone())).collect()
    }

    /// How many clients said goodbye.
    pub(crate) fn goodbyes(&self) -> usize {
        self.floor.lock().goodbyes
    }

    /// How often a price of `id` was sent.
    pub(crate) fn sent(&self, id: u32) -> u64 {
        self.floor.lock().sent.get(&id).copied().unwrap_or(0)
    }

    /// Turns down the next so many sessions.
    pub(crate) fn refuse(&self, sessions: usize) {
        self.floor.lock().refuse = sessions;
    }

    /// Ends a session without a word.
    pub(crate) fn cut(&self, seat: u64) {
        self.floor.lock().seats.remove(&seat);
    }

    /// Ends a session politely.
    pub(crate) fn close(&self, seat: u64) {
        if let Some(seat) = self.floor.lock().seats.remove(&seat) {
            let _ = seat.lines.send(Line::Closing("maintenance"));
        }
    }

    /// Trades `id` at `paise`.
    pub(crate) fn trade(&self, id: u32, paise: i64) {
        let at = self.clock.now().utc.as_seconds();
        let mut floor = self.floor.lock();
        if let Some(stall) = floor.stalls.get_mut(&id) {
            stall.trade(paise, at);
        }
        floor.tell(id);
    }
}
