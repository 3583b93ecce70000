use std::sync::Arc;

use strikewire_registry::Registry;
use strikewire_types::{InstrumentKey, Now};

use super::{Action, Engine};
use crate::indicators::engine::claim::Claim;
use crate::owner::successor;

/// From one instrument master to the next.
impl Engine {
    /// What an instrument of an earlier master is in this one.
    pub(super) fn translate(&self, master: u64, key: InstrumentKey) -> Option<InstrumentKey> {
        if master == self.master {
            return Some(key);
        }
        let (before, registry) = self.swap.as_ref()?;
        (master + 1 == self.master)
            .then(|| successor(before, registry, key))
            .flatten()
    }

    /// Goes over to another instrument master. The feed's thread has forgotten what it
    /// built, claims went over by themselves.
    pub(super) fn change_master(
        &mut self,
        now: Now,
        number: u64,
        before: Arc<Registry>,
        registry: Arc<Registry>,
    ) {
        self.master = number;
        self.calls.clear();
        self.wakes.clear();
        self.changed.clear();
        let mut gone = Vec::new();
        for (old, mut instrument) in core::mem::take(&mut self.instruments) {
            let Some(new) = successor(&before, &registry, old) else {
                gone.extend(instrument.keys().cloned());
                continue;
            };
            instrument.wakes = None;
            if let Claim::Asked { refusals, .. } = instrument.claim {
                let at = now.mono;
                instrument.claim = Claim::Due { at, refusals };
            }
            instrument.tape.stop(now.utc);
            instrument.heard = false;
            if let Some(listed) = registry.by_key(new) {
                instrument.step = listed.tick();
            }
            for key in instrument.keys() {
                if let Some(home) = self.homes.get_mut(key) {
                    home.instrument = new;
                }
            }
            if self.instruments.contains_key(&new) {
                // Two have become one.
                self.call(now, new, |known, ctx| known.take_over(ctx, instrument));
            } else {
                self.actions.push(Action::Watch {
                    master: number,
                    key: new,
                    class: instrument.class,
                });
                self.instruments.insert(new, instrument);
            }
        }
        self.swap = Some((before, registry));
        self.gone(now, gone);
        let later = core::mem::take(&mut self.later);
        for spec in later.into_values() {
            // All are looked at below.
            let _ = self.want(now, spec);
        }
        let keys: Vec<InstrumentKey> = self.instruments.keys().copied().collect();
        for key in keys {
            self.look(now, key);
        }
    }
}
