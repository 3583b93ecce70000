//! Chains, their channels, and how long what nobody hears is remembered.

use core::time::Duration;
use std::sync::Arc;

use strikewire_types::{Mode, Mono};

use super::{Chain, Hub, Sub};
use crate::chain::{ChainBody, ChainId, Position};
use crate::channel::{Channel, Standing, Subscriber};
use crate::class::Class;
use crate::history::KEEP;
use crate::outlet::{ClientId, SubId};

/// What is old is looked for no more often than this.
const SWEEP: Duration = Duration::from_secs(1);

impl Hub {
    /// Streams a chain: a snapshot in the next flush of the class that comes after the
    /// chain's first [`set_chain`](Self::set_chain), then deltas. A subscription of the same
    /// number is replaced.
    ///
    /// With a position to `resume` from, and if every delta after it is still there, these
    /// are sent instead of the snapshot: then it says true. Else the snapshot says that it
    /// is a beginning.
    pub fn subscribe_chain(
        &mut self,
        client: ClientId,
        sub: SubId,
        chain: ChainId,
        mode: Mode,
        class: Class,
        resume: Option<&Position>,
    ) -> bool {
        self.unsubscribe(client, sub);
        let Some(at) = self.client_at.get(&client).copied() else {
            return false;
        };
        let index = self.channel(chain, class, mode);
        let Some(channel) = self.channels.get_mut(index) else {
            return false;
        };
        let next = resume
            .filter(|from| from.epoch == channel.epoch && channel.can_resume(from.seq))
            .map(|from| from.seq + 1);
        let standing = match next {
            Some(next) => Standing::Resuming { next },
            None => Standing::Waiting {
                refused: resume.is_some(),
            },
        };
        channel.subscribe(Subscriber {
            client: at,
            sub,
            standing,
        });
        self.make_due(index);
        if let Some(client) = self.clients.get_mut(at) {
            client.subs.insert(sub, Sub::Chain { channel: index });
        }
        self.stats.subscriptions += 1;
        self.stats.resumed += u64::from(next.is_some());
        self.stats.resume_refused += u64::from(next.is_none() && resume.is_some());
        next.is_some()
    }

    /// Says what a chain is, first and whenever it changes: a new calculation, a roll. What
    /// is said between two flushes of a class becomes one delta there.
    pub fn set_chain(&mut self, chain: ChainId, body: ChainBody) {
        let body = Arc::new(body);
        let known = self.chain(chain);
        known.body = Some(Arc::clone(&body));
        known.gone_since = None;
        for index in known.channels.clone() {
            if let Some(channel) = self.channels.get_mut(index) {
                channel.set_body(Some(Arc::clone(&body)));
                if channel.idle_since.is_none() {
                    self.make_due(index);
                }
            }
        }
    }

    /// Ends the subscriptions of a chain. For 30 s it is remembered under its number: if it
    /// comes back in that time, clients can resume.
    pub fn remove_chain(&mut self, chain: ChainId) {
        let now = self.now;
        let Some(known) = self.chains.get_mut(&chain) else {
            return;
        };
        known.body = None;
        known.gone_since.get_or_insert(now);
        for index in known.channels.clone() {
            let Some(channel) = self.channels.get_mut(index) else {
                continue;
            };
            channel.set_body(None);
            for subscriber in std::mem::take(&mut channel.subscribers) {
                if let Some(client) = self.clients.get_mut(subscriber.client) {
                    client.subs.remove(&subscriber.sub);
                    self.stats.subscriptions -= 1;
                }
            }
            self.rest_if_unheard(index);
        }
    }

    /// Takes a client out of a channel.
    pub(super) fn leave_channel(&mut self, index: u32, client: u32, sub: SubId) {
        if let Some(channel) = self.channels.get_mut(index) {
            channel
                .subscribers
                .retain(|one| (one.client, one.sub) != (client, sub));
        }
        self.rest_if_unheard(index);
    }

    fn chain(&mut self, chain: ChainId) -> &mut Chain {
        let (random, now) = (&mut self.random, self.now);
        self.chains.entry(chain).or_insert_with(|| Chain {
            epoch: format!("{:016x}", draw(random)),
            body: None,
            gone_since: Some(now),
            channels: Vec::new(),
            seqs: Default::default(),
        })
    }

    /// The channel of the chain for a class and mode, made if there is none.
    fn channel(&mut self, id: ChainId, class: Class, mode: Mode) -> u32 {
        let mut channels = self.chain(id).channels.clone().into_iter();
        let found = channels.find(|index| {
            let channel = self.channels.get(*index);
            channel.is_some_and(|channel| (channel.class, channel.mode) == (class, mode))
        });
        if let Some(found) = found {
            return found;
        }
        let chain = self.chain(id);
        let channel = Channel::new(
            id,
            class,
            mode,
            &chain.epoch,
            chain.seqs[class.index()][mode as usize],
            chain.body.clone(),
        );
        let index = self.channels.insert(channel);
        self.chain(id).channels.push(index);
        index
    }

    /// Puts a channel that nobody is subscribed to any more at rest.
    fn rest_if_unheard(&mut self, index: u32) {
        let Some(channel) = self.channels.get_mut(index) else {
            return;
        };
        if !channel.subscribers.is_empty() || channel.idle_since.is_some() {
            return;
        }
        channel.rest(index, self.now, &mut self.instruments);
        if std::mem::take(&mut channel.due) {
            self.due[channel.class.index()].retain(|due| *due != index);
        }
        if !channel.has_begun() {
            self.drop_channel(index);
        }
    }

    /// Forgets a channel at rest.
    fn drop_channel(&mut self, index: u32) {
        let Some(channel) = self.channels.remove(index) else {
            return;
        };
        self.history_bytes -= channel.history.bytes();
        if let Some(chain) = self.chains.get_mut(&channel.chain) {
            chain.seqs[channel.class.index()][channel.mode as usize] = channel.seq;
            chain.channels.retain(|one| *one != index);
        }
    }

    pub(super) fn make_due(&mut self, index: u32) {
        if let Some(channel) = self.channels.get_mut(index)
            && !std::mem::replace(&mut channel.due, true)
        {
            self.due[channel.class.index()].push(index);
        }
    }

    /// Holds what all channels keep together within its bound: those that keep most lose
    /// their oldest.
    pub(super) fn bound_history(&mut self) {
        while self.history_bytes > self.history_most {
            let histories = self.channels.iter_mut().map(|(_, one)| &mut one.history);
            let histories = histories.filter(|history| history.bytes() > 0);
            let Some(largest) = histories.max_by_key(|history| history.bytes()) else {
                return;
            };
            let before = largest.bytes();
            largest.shrink();
            self.history_bytes -= before - largest.bytes();
        }
    }

    /// Lets time pass: what nobody came back for is forgotten.
    pub(super) fn pass_time(&mut self, now: Mono) {
        self.now = self.now.max(now);
        if self.now.since(self.swept) < SWEEP {
            return;
        }
        self.swept = self.now;
        let now = self.now;
        let is_old = |since: Option<Mono>| since.is_some_and(|since| now.since(since) >= KEEP);
        let mut old = Vec::new();
        for (index, channel) in self.channels.iter_mut() {
            let before = channel.history.bytes();
            channel.history.forget(now);
            self.history_bytes -= before - channel.history.bytes();
            if is_old(channel.idle_since) {
                old.push(index);
            }
        }
        for index in old {
            self.drop_channel(index);
        }
        let mut channels = Vec::new();
        self.chains.retain(|_, chain| {
            let heard = chain.channels.iter().any(|index| {
                let channel = self.channels.get(*index);
                channel.is_some_and(|channel| channel.idle_since.is_none())
            });
            let keep = heard || !is_old(chain.gone_since);
            if !keep {
                channels.append(&mut chain.channels);
            }
            keep
        });
        for index in channels {
            self.drop_channel(index);
        }
    }
}

/// The next number of a splitmix64 sequence.
fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
