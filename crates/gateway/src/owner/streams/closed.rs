//! Streams while their market is closed.

use std::collections::BTreeSet;
use std::sync::Arc;

use strikewire_calendar::Class as ProductClass;
use strikewire_fanout::ChainId;
use strikewire_subscriptions::{Leg, Owner as Holder};
use strikewire_types::{InstrumentKey, Now};

use super::{Ended, What, holder, stream_request};
use crate::Error;
use crate::hub::HubCommand;
use crate::owner::{Owner, chains};

impl Owner {
    /// The market of `class` closed: what streams hold of it leaves the wire, and what
    /// expired with it ends.
    pub(in crate::owner) fn suspend_streams(&mut self, now: Now, class: ProductClass) {
        let ids: Vec<u64> = self.streams.claims.keys().copied().collect();
        for id in ids {
            self.suspend_stream(now, holder(id), class);
        }
    }

    fn suspend_stream(&mut self, now: Now, holder: Holder, class: ProductClass) {
        let Some(claim) = self.streams.claims.get(&holder.id) else {
            return;
        };
        match &claim.what {
            What::Chain(window) => {
                let window = *window;
                if self.class_of_window(&window) != class {
                    return;
                }
                let ladder = self.registry.ladder_at(window.ladder);
                if chains::ended(&self.calendar, now, &ladder.expiring()) {
                    let cause = Arc::clone(&self.records.causes.expired);
                    return self.end_stream(now, holder, Ended::Expired, &cause);
                }
                if window.follows {
                    self.unfollow(now, window.ladder, window.width, holder);
                }
                let cause = Arc::clone(&self.records.causes.suspended);
                self.change(&cause, |book, effects| book.release(now, holder, effects));
            }
            What::Ticks { legs, .. } => {
                let of_class = |key| self.class_of_key(key) == Some(class);
                let going: BTreeSet<InstrumentKey> = legs
                    .iter()
                    .map(|leg| leg.key)
                    .filter(|key| of_class(*key))
                    .collect();
                if going.is_empty() {
                    return;
                }
                let cause = Arc::clone(&self.records.causes.suspended);
                self.change(&cause, |book, effects| {
                    book.drop_legs(now, holder, |key| going.contains(&key), effects)
                });
            }
        }
        self.settle(now);
        let Some(claim) = self.streams.claims.get_mut(&holder.id) else {
            return;
        };
        claim.suspended.insert(class);
        self.tell_stream(holder, "suspended", "is off the wire: its market closed");
    }

    /// Whether something waits for the next open of `class`.
    pub(in crate::owner) fn has_suspended(&self, class: ProductClass) -> bool {
        let mut claims = self.streams.claims.values();
        claims.any(|claim| claim.suspended.contains(&class))
    }

    /// The market of `class` opens soon: what was suspended is claimed again.
    pub(in crate::owner) fn resume_streams(&mut self, now: Now, class: ProductClass) {
        let suspended: Vec<u64> = self
            .streams
            .claims
            .iter_mut()
            .filter_map(|(id, claim)| claim.suspended.remove(&class).then_some(*id))
            .collect();
        for id in suspended {
            match self.resume_stream(now, holder(id)) {
                Ok(()) => {
                    self.tell_stream(holder(id), "resumed", "is on the wire again");
                }
                Err(error) => {
                    tracing::warn!(stream = id, %error, "A suspended subscription cannot resume");
                    self.stream_evicted(now, holder(id));
                }
            }
        }
    }

    fn resume_stream(&mut self, now: Now, holder: Holder) -> Result<(), Error> {
        let Some(claim) = self.streams.claims.get(&holder.id) else {
            return Ok(());
        };
        let mode = claim.mode;
        let (legs, follows) = match &claim.what {
            What::Ticks { legs, .. } => {
                let active = |leg: &&Leg| {
                    self.class_of_key(leg.key)
                        .is_some_and(|class| !claim.suspended.contains(&class))
                };
                (legs.iter().filter(active).copied().collect(), None)
            }
            What::Chain(window) => {
                let window = *window;
                if window.follows {
                    let at = Some(window.at);
                    let chain = self.chain_for(now, window.ladder, window.width, at, false)?;
                    let first = self.followed_at(chain);
                    let answer = self.claim_window(now, chain, first.or(at))?;
                    let legs = self.window_legs(answer.span, mode)?;
                    (legs, Some((chain, first, answer.price.price)))
                } else {
                    (self.still_legs(&window, mode)?, None)
                }
            }
        };
        let plan = self.book.plan(now, &stream_request(holder, legs))?;
        let cause = Arc::clone(&self.records.causes.resumed);
        self.change(&cause, |book, effects| book.apply(now, plan, effects));
        self.book.set_streaming(holder, true);
        self.settle(now);
        if let Some((chain, first, at)) = follows {
            let mut known = true;
            if let Some(claim) = self.streams.claims.get_mut(&holder.id)
                && let What::Chain(window) = &mut claim.what
            {
                known = window.shown == chain;
                window.at = at;
            }
            self.follow(now, chain, holder, mode, false);
            if known {
                self.show_chain(now, chain);
            } else {
                self.show_followed(now, chain, first, Some(at));
            }
            self.show_stream(holder, chain);
        }
        Ok(())
    }

    /// Sees to it that a stream is shown the chain of this number.
    pub(super) fn show_stream(&mut self, holder: Holder, chain: ChainId) {
        let Some(claim) = self.streams.claims.get_mut(&holder.id) else {
            return;
        };
        let What::Chain(window) = &mut claim.what else {
            return;
        };
        if core::mem::replace(&mut window.shown, chain) != chain {
            let (client, sub) = (claim.client, claim.sub);
            let (mode, class) = (claim.mode, claim.class);
            self.tell_hub(HubCommand::Chain {
                client,
                sub,
                chain,
                mode,
                class,
                ack: None,
            });
        }
    }
}
