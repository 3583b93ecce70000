//! What clients ask for in text messages.

use rand::Rng;
use strikewire_dhan::wire::{Reason, RequestCode, SubscribeRequest};
use strikewire_types::{InstrumentKey, Mode, Now, Segment};

use super::wheel::Due;
use super::{Core, Event, Output, SessionId, packets};

impl Core {
    /// A text message from a connection. Whatever it is, it is answered or counted.
    pub fn handle_text(&mut self, now: Now, id: SessionId, text: &str) {
        self.catch_up(now);
        self.hear(now, id, text);
    }

    pub(super) fn hear(&mut self, now: Now, id: SessionId, text: &str) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if session.behaviour.transport.deaf {
            session.overhear(text);
            return;
        }
        session.counters.messages += 1;
        self.market.advance(now);
        match self.request(now, id, text) {
            Ok(()) => {}
            Err(reason) => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.counters.invalid += 1;
                }
                self.disconnect(now, id, reason);
            }
        }
    }

    fn request(&mut self, now: Now, id: SessionId, text: &str) -> Result<(), Reason> {
        let request: SubscribeRequest =
            serde_json::from_str(text).map_err(|_| Reason::InvalidRequest)?;
        let code = RequestCode::from_code(request.request_code).ok_or(Reason::InvalidRequest)?;
        let Some(mode) = code.mode() else {
            if code == RequestCode::Disconnect {
                self.note(now, id, Event::Left);
                self.finish(id);
                self.queue.push((id, Output::Close));
            }
            return Ok(());
        };
        let list = &request.instrument_list;
        if list.is_empty() || request.instrument_count != list.len() {
            return Err(Reason::InvalidRequest);
        }
        let mut keys = Vec::with_capacity(list.len());
        for instrument in list {
            if instrument.exchange_segment.parse::<Segment>().is_err() {
                return Err(Reason::InvalidRequest);
            }
            keys.push(instrument.key().ok_or(Reason::InvalidSecurityId)?);
        }
        if self.config.log > 0 {
            let keys = keys.clone();
            self.note(now, id, Event::Request { code, keys });
        }
        if keys.len() > self.config.per_message {
            if let Some(session) = self.sessions.get_mut(&id) {
                session.counters.oversized += 1;
            }
            return Err(Reason::TooManyInstruments);
        }
        if code.is_subscribe() {
            let done = self.subscribe(now, id, mode, &keys);
            self.note_peak();
            done
        } else {
            self.unsubscribe(id, mode, &keys);
            Ok(())
        }
    }

    fn subscribe(
        &mut self,
        now: Now,
        id: SessionId,
        mode: Mode,
        keys: &[InstrumentKey],
    ) -> Result<(), Reason> {
        for &key in keys {
            let Some(session) = self.sessions.get_mut(&id) else {
                return Ok(());
            };
            let lost = session.behaviour.lost;
            if lost > 0.0 && self.rng.random_bool(lost) {
                session.counters.lost += 1;
                continue;
            }
            if session.held.len() >= self.config.instruments && !session.held.contains_key(&key) {
                session.counters.beyond += 1;
                return Err(Reason::TooManyInstruments);
            }
            self.generation += 1;
            let (modes, is_new) = session.add(now, key, mode, self.generation);
            let Some(quote) = self.market.quote(key) else {
                continue;
            };
            if is_new && let Some(at) = self.market.next_trade(key) {
                self.wheel.push(Due {
                    at,
                    session: id,
                    key,
                    generation: self.generation,
                });
            }
            if key.segment == Segment::IdxI {
                self.send(now, id, key, &packets::prev_close(&quote));
            }
            self.send_quote(now, id, quote, modes);
        }
        Ok(())
    }

    fn unsubscribe(&mut self, id: SessionId, mode: Mode, keys: &[InstrumentKey]) {
        if let Some(session) = self.sessions.get_mut(&id) {
            if session.behaviour.keeps {
                session.counters.kept += keys.len() as u64;
                return;
            }
            for &key in keys {
                session.remove(key, mode);
            }
        }
    }
}
