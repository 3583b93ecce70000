//! Streams in the instrument master of another day.

use std::sync::Arc;

use strikewire_chain::Window as ChainWindow;
use strikewire_fanout::ChainId;
use strikewire_registry::LadderId;
use strikewire_subscriptions::{Leg, Owner as Holder};
use strikewire_types::{InstrumentKey, Now};

use super::{Ended, What, Window, holder};
use crate::SourcePrice;
use crate::command::ChainAnswer;
use crate::hub::HubCommand;
use crate::owner::Owner;
use crate::owner::records::Cause;

impl Owner {
    /// Goes over to another master. `ladders` and `instruments` say what became of them.
    pub(in crate::owner) fn remaster_streams(
        &mut self,
        now: Now,
        ladders: impl Fn(LadderId) -> Option<LadderId>,
        instruments: impl Fn(InstrumentKey) -> Option<InstrumentKey>,
    ) {
        let cause = Arc::clone(&self.records.causes.vanished);
        let ids: Vec<u64> = self.streams.claims.keys().copied().collect();
        let mut ticks = Vec::new();
        for id in ids {
            let Some(claim) = self.streams.claims.get_mut(&id) else {
                continue;
            };
            let listed = match &mut claim.what {
                What::Chain(window) => match ladders(window.ladder) {
                    Some(ladder) => {
                        window.ladder = ladder;
                        true
                    }
                    None => false,
                },
                What::Ticks { legs, items } => {
                    legs.retain_mut(|leg| match instruments(leg.key) {
                        Some(key) => {
                            leg.key = key;
                            true
                        }
                        None => false,
                    });
                    items.retain_mut(|item| match instruments(item.key) {
                        Some(key) => {
                            item.key = key;
                            true
                        }
                        None => false,
                    });
                    ticks.push(id);
                    !legs.is_empty()
                }
            };
            if !listed {
                // Its chain went with its ladder.
                self.end_vanished(now, holder(id), &cause);
            }
        }
        // First all of them let go of what they knew, so that no id means two contracts.
        for again in [false, true] {
            for id in &ticks {
                self.show_ticks(*id, again);
            }
        }
    }

    fn end_vanished(&mut self, now: Now, holder: Holder, cause: &Arc<Cause>) {
        if let Some(claim) = self.streams.claims.get_mut(&holder.id)
            && let What::Chain(window) = &claim.what
        {
            let shown = window.shown;
            // There is nothing left to unfollow.
            claim.what = What::Ticks {
                legs: Vec::new(),
                items: Vec::new(),
            };
            self.tell_hub(HubCommand::RemoveChain { chain: shown });
        }
        self.end_stream(now, holder, Ended::NotListed, cause);
    }

    /// Takes a subscription of ticks from the hub, or gives it again.
    fn show_ticks(&mut self, id: u64, again: bool) {
        let registry = Arc::clone(&self.registry);
        let Some(claim) = self.streams.claims.get_mut(&id) else {
            return;
        };
        let (client, sub) = (claim.client, claim.sub);
        let (mode, class) = (claim.mode, claim.class);
        let What::Ticks { legs, items } = &mut claim.what else {
            return;
        };
        if !again {
            let ack = None;
            return self.tell_hub(HubCommand::Unsubscribe { client, sub, ack });
        }
        for item in items.iter_mut() {
            if let Some(instrument) = registry.by_key(item.key) {
                item.token = instrument.token().into();
            }
        }
        for leg in legs.iter_mut() {
            if let Some(instrument) = registry.by_key(leg.key) {
                leg.step = instrument.tick();
            }
        }
        let items = items.clone();
        self.tell_hub(HubCommand::Ticks {
            client,
            sub,
            items,
            mode,
            class,
            ack: None,
        });
    }

    /// Sees to it that every stream that follows a chain is with the one there is now.
    pub(in crate::owner) fn rejoin_streams(&mut self) {
        let joins: Vec<_> = self
            .streams
            .claims
            .iter()
            .filter_map(|(id, claim)| match &claim.what {
                What::Chain(window) if window.follows && claim.suspended.is_empty() => {
                    Some((holder(*id), window.ladder, window.width, claim.mode))
                }
                _ => None,
            })
            .collect();
        for (holder, ladder, width, mode) in joins {
            if let Some(chain) = self.rejoin(ladder, width, holder, mode, false) {
                self.show_stream(holder, chain);
            }
        }
    }

    /// The legs that every stream's claim holds in the master of today.
    pub(in crate::owner) fn stream_legs(&self) -> Vec<(Holder, Vec<Leg>)> {
        let mut all = Vec::new();
        for (id, claim) in &self.streams.claims {
            let legs = match &claim.what {
                What::Ticks { legs, .. } => {
                    let active = |leg: &&Leg| {
                        self.class_of_key(leg.key)
                            .is_none_or(|class| !claim.suspended.contains(&class))
                    };
                    Some(legs.iter().filter(active).copied().collect())
                }
                What::Chain(_) if !claim.suspended.is_empty() => None,
                What::Chain(window) => {
                    let span = self
                        .span_of(window.ladder, window.width)
                        .filter(|_| window.follows);
                    match span {
                        Some(span) => self.window_legs(span, claim.mode).ok(),
                        None => self.still_legs(window, claim.mode).ok(),
                    }
                }
            };
            if let Some(legs) = legs {
                all.push((holder(*id), legs));
            }
        }
        all
    }

    /// Shows the chains of streams again, as they are in the master of today.
    pub(in crate::owner) fn show_streams(&mut self, now: Now) {
        for chain in self.streamed_chains() {
            self.show_chain(now, chain);
        }
        let still: Vec<(ChainId, ChainAnswer)> = self
            .streams
            .claims
            .values()
            .filter_map(|claim| match &claim.what {
                What::Chain(window) if !window.follows => {
                    Some((window.shown, self.still_answer(now, window)?))
                }
                _ => None,
            })
            .collect();
        for (shown, answer) in still {
            self.show_answer(shown, &answer);
        }
    }

    fn still_answer(&self, now: Now, window: &Window) -> Option<ChainAnswer> {
        let ladder = self.registry.ladder_at(window.ladder);
        let still = ChainWindow::new(ladder, window.at, window.width).ok()?;
        Some(ChainAnswer {
            registry: Arc::clone(&self.registry),
            span: still.span(),
            price: SourcePrice::from_client(window.at),
            live: None,
            calculated_at: now.utc,
        })
    }
}
