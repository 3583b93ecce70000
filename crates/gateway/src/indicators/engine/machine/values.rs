use std::collections::HashMap;
use std::sync::Arc;

use strikewire_leases::LeaseKey;
use strikewire_types::{Mono, Now};

use super::{Action, Engine, NAMED_FOR, RETAINED};
use crate::indicators::engine::{ComputeState, Latest, Published, meters};

/// What others can see of keys, and for how long.
impl Engine {
    /// Gives out the values that are new.
    pub(super) fn publish(&mut self, now: Now) {
        if self.values.is_empty() {
            return;
        }
        meters::updated(self.values.len() as u64);
        // Of several values of a key that came at once only the last one is kept.
        let mut published: HashMap<LeaseKey, Published> = HashMap::new();
        for value in self.values.drain(..) {
            let Some(home) = self.homes.get(&value.key) else {
                continue;
            };
            let latest = Arc::new(Latest {
                key: value.key.clone(),
                value: value.value,
                outputs: value.outputs,
                bar_time: value.bar_time,
                is_final: value.is_final,
                warm: value.warm,
                mock: self.settings.mock,
                at: now.utc,
            });
            let json = latest.to_json();
            let id = {
                let mut place = self.computing.shared.place(&value.key);
                place.latest = Some(Arc::clone(&latest));
                place.id
            };
            if value.streamed {
                self.actions.push(Action::Show {
                    id,
                    message: latest.to_message(),
                    urgent: latest.is_final,
                });
            }
            let new = Published {
                key: value.key.clone(),
                json,
                ttl: self.settings.ttl(home.timeframe),
                mock: self.settings.mock,
            };
            published.insert(value.key, new);
        }
        if !published.is_empty() {
            let values = published.into_values().collect();
            self.actions.push(Action::Publish(values));
        }
    }

    pub(super) fn expire(&mut self, now: Now) {
        self.calls.expire(now);
        while let Some((at, _)) = self.ends.first()
            && *at <= now.mono
        {
            self.forget_first(now);
        }
        while self.retained.len() > RETAINED {
            self.forget_first(now);
        }
    }

    /// Forgets the key that is to be forgotten first, unless somebody was told its number
    /// not long ago and may be about to want it.
    fn forget_first(&mut self, now: Now) {
        let Some((_, key)) = self.ends.pop_first() else {
            return;
        };
        self.retained.remove(&key);
        let board = &self.computing.shared.board;
        let named = board.get_mut(&key).is_some_and(|mut place| {
            place.latest = None;
            core::mem::take(&mut place.is_named)
        });
        if named {
            self.retain(&key, now.mono + NAMED_FOR);
        } else {
            board.remove_if(&key, |_, place| !place.is_named);
        }
    }

    pub(super) fn retain(&mut self, key: &LeaseKey, until: Mono) {
        if let Some(before) = self.retained.insert(key.clone(), until) {
            self.ends.remove(&(before, key.clone()));
        }
        self.ends.insert((until, key.clone()));
    }

    /// Nothing is streamed of a key any more.
    pub(super) fn hide(&mut self, key: &LeaseKey, state: Option<ComputeState>) {
        if let Some(mut place) = self.computing.shared.board.get_mut(key) {
            place.state = state;
            self.actions.push(Action::Hide { id: place.id });
        }
    }
}
