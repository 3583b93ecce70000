//! Sending: what a window changed, to whom it concerns.

use strikewire_types::Mono;

use super::serve::{Delta, Round, send};
use super::values::VALUES;
use super::{Hub, Sub, UnderWay};
use crate::bundle::{Behind, join};
use crate::channel::Standing;
use crate::class::Class;
use crate::frames;
use crate::message::Message;
use crate::outlet::{ClientId, Outlet, Push, SubId};

impl Hub {
    /// Sends what one window of a class changed. To be called after every batch of the feed
    /// for class 0, and once per window for the others.
    ///
    /// A client gets at most one `ticks` message, and of each chain one delta. Values that
    /// are not urgent go with the default class. What its queue
    /// has no room for is conflated, or counted and followed by a snapshot, in a later flush.
    ///
    /// This is also what lets time pass: what is remembered for clients that may come back
    /// is forgotten in a flush, of whichever class.
    pub fn flush(&mut self, class: Class, now: Mono, outlet: &mut impl Outlet) {
        self.begin_flush(class, now, outlet);
        self.flush_some(usize::MAX, outlet);
    }

    /// Begins a [`flush`](Self::flush) that [`flush_some`](Self::flush_some) goes on with.
    /// One that is still under way is finished first.
    pub fn begin_flush(&mut self, class: Class, now: Mono, outlet: &mut impl Outlet) {
        self.flush_some(usize::MAX, outlet);
        self.pass_time(now);
        let mut gone = Vec::new();
        self.deliver_letters(outlet, &mut gone);
        let mut changed = std::mem::take(&mut self.changed);
        self.instruments.begin(class, &mut changed);
        for index in &changed {
            self.distribute(*index, class);
        }
        self.changed = changed;
        self.under_way = UnderWay {
            bundles: std::mem::take(&mut self.bundles.active[class.index()]),
            channels: std::mem::take(&mut self.due[class.index()]),
            values: if class == VALUES {
                self.values.take_due()
            } else {
                Vec::new()
            },
        };
        self.let_go(gone);
    }

    /// Goes on with a flush until about `bytes` of text were made; whether there is more to
    /// do. Whoever lets the clients' sockets be written to in between has less text in
    /// memory at a time, and still in the processor's cache when it is written.
    pub fn flush_some(&mut self, bytes: usize, outlet: &mut impl Outlet) -> bool {
        let mut gone = Vec::new();
        let enough = self.stats.made.saturating_add(bytes as u64);
        while self.stats.made < enough {
            if let Some(at) = self.under_way.bundles.pop() {
                self.send_ticks(at, outlet, &mut gone);
            } else if let Some(at) = self.under_way.channels.pop() {
                self.send_chain(at, outlet, &mut gone);
            } else if let Some(at) = self.under_way.values.pop() {
                self.send_value(at, outlet, &mut gone);
            } else {
                break;
            }
        }
        self.let_go(gone);
        !self.under_way.is_empty()
    }

    /// Sends a client what its new subscriptions begin with, without waiting for the end of
    /// a window, and without ending anybody else's.
    pub fn greet(&mut self, client: ClientId, now: Mono, outlet: &mut impl Outlet) {
        self.pass_time(now);
        let Some(at) = self.client_at.get(&client).copied() else {
            return;
        };
        let Some(client) = self.clients.get(at) else {
            return;
        };
        let mut gone = Vec::new();
        let bundles = client.bundles;
        let channels: Vec<u32> = client
            .subs
            .values()
            .filter_map(|sub| match sub {
                Sub::Chain { channel } => Some(*channel),
                Sub::Ticks { .. } | Sub::Values(_) => None,
            })
            .collect();
        self.instruments.refresh();
        for bundle in bundles.into_iter().flatten() {
            self.greet_ticks(bundle, at, outlet, &mut gone);
        }
        for channel in channels {
            self.greet_chain(channel, at, outlet, &mut gone);
        }
        self.greet_values(at, outlet, &mut gone);
        self.let_go(gone);
    }

    pub(super) fn let_go(&mut self, gone: Vec<ClientId>) {
        for client in gone {
            self.remove_client(client);
        }
    }

    /// Notes a changed instrument with everybody who wants it.
    fn distribute(&mut self, index: u32, class: Class) {
        for watcher in self.instruments.watchers(index, class) {
            self.bundles.changed(*watcher);
        }
        for at in self.instruments.channels(index, class) {
            if let Some(channel) = self.channels.get_mut(*at) {
                channel.instrument_changed(index);
                if !std::mem::replace(&mut channel.due, true) {
                    self.due[class.index()].push(*at);
                }
            }
        }
    }

    /// Serves a bundle: one message for all who have what all have, and to each of the
    /// others its own.
    fn send_ticks(&mut self, at: u32, outlet: &mut impl Outlet, gone: &mut Vec<ClientId>) {
        let Some(bundle) = self.bundles.get_mut(at) else {
            return;
        };
        bundle.active = false;
        let mut common: Option<Message> = None;
        if !bundle.changed.is_empty() && bundle.members.iter().any(|one| one.behind.is_none()) {
            common = join(
                &bundle.watches,
                bundle.changed.iter().copied(),
                true,
                &mut self.instruments,
                &mut self.fragments,
            );
            self.stats.made += common.as_ref().map_or(0, Message::len) as u64;
        }
        let mut first = true;
        let alone = bundle.members.len() == 1;
        for member in &mut bundle.members {
            let Some(client) = self.clients.get(member.client) else {
                continue;
            };
            if let Some(behind) = &mut member.behind {
                for place in &bundle.changed {
                    behind.add(*place);
                }
                let conflated = bundle.changed.len() as u64;
                match outlet.room(client.id) {
                    Push::Taken => {}
                    Push::Full => {
                        self.stats.conflated += conflated;
                        continue;
                    }
                    Push::Gone => {
                        gone.push(client.id);
                        continue;
                    }
                }
                let own = join(
                    &bundle.watches,
                    behind.places(),
                    !behind.begins,
                    &mut self.instruments,
                    &mut self.fragments,
                );
                self.stats.made += own.as_ref().map_or(0, Message::len) as u64;
                let pushed = own.map(|own| send(&mut self.stats, client.id, own, outlet, gone));
                if pushed == Some(Push::Full) {
                    self.stats.conflated += conflated;
                } else {
                    // What is not known of any instrument is not waited for.
                    member.behind = None;
                }
            } else {
                let message = if alone { common.take() } else { common.clone() };
                let Some(message) = message else { continue };
                match send(&mut self.stats, client.id, message, outlet, gone) {
                    Push::Taken => self.stats.shared += u64::from(!first),
                    Push::Full => {
                        let mut behind = Behind::new(&bundle.watches);
                        for place in &bundle.changed {
                            behind.add(*place);
                        }
                        self.stats.conflated += bundle.changed.len() as u64;
                        member.behind = Some(behind);
                    }
                    Push::Gone => {}
                }
                first = false;
            }
        }
        bundle.changed.clear();
        if bundle.members.iter().any(|one| one.behind.is_some()) {
            bundle.active = true;
            self.bundles.active[bundle.class.index()].push(at);
        }
    }

    /// Sends one member of a bundle what it has still to get.
    fn greet_ticks(
        &mut self,
        bundle: u32,
        client: u32,
        outlet: &mut impl Outlet,
        gone: &mut Vec<ClientId>,
    ) {
        let Some(bundle) = self.bundles.get_mut(bundle) else {
            return;
        };
        let mut members = bundle.members.iter_mut();
        let Some(member) = members.find(|one| one.client == client) else {
            return;
        };
        let (Some(behind), Some(client)) = (&member.behind, self.clients.get(client)) else {
            return;
        };
        if outlet.room(client.id) != Push::Taken {
            return;
        }
        let own = join(
            &bundle.watches,
            behind.places(),
            !behind.begins,
            &mut self.instruments,
            &mut self.fragments,
        );
        self.stats.made += own.as_ref().map_or(0, Message::len) as u64;
        let pushed = own.map(|own| send(&mut self.stats, client.id, own, outlet, gone));
        if pushed != Some(Push::Full) {
            member.behind = None;
        }
    }

    /// Moves a channel on and serves all its subscribers.
    fn send_chain(&mut self, at: u32, outlet: &mut impl Outlet, gone: &mut Vec<ClientId>) {
        let Some(channel) = self.channels.get_mut(at) else {
            return;
        };
        channel.due = false;
        if !channel.has_body() {
            return;
        }
        let advanced = channel.advance(at, &mut self.instruments, &mut self.scratch);
        let delta = advanced.map(|advanced| {
            let mut live = channel.subscribers.iter();
            let live = live.find(|one| one.standing == Standing::Live);
            let sub = live.map_or(SubId(0), |one| one.sub);
            let message = Message::new(frames::delta(sub, &self.scratch.tail), advanced.received);
            self.stats.made += message.len() as u64;
            let head = message.len() - self.scratch.tail.len();
            let tail = message.bytes().slice(head..);
            // The first state of a channel leads from none that a client may have.
            if advanced.follows {
                let before = channel.history.bytes();
                channel.history.push(channel.seq, self.now, tail.clone());
                self.history_bytes = self.history_bytes - before + channel.history.bytes();
            }
            Delta {
                tail,
                sub,
                message,
                used: false,
            }
        });
        // The list is taken out while the channel is asked for snapshots.
        let mut subscribers = std::mem::take(&mut channel.subscribers);
        let mut round = Round::new(delta, &mut self.stats, outlet, gone);
        let mut waiting = false;
        for one in &mut subscribers {
            if let Some(client) = self.clients.get(one.client) {
                one.standing = round.serve(channel, client.id, one.sub, one.standing);
                waiting |= one.standing != Standing::Live;
            }
        }
        channel.subscribers = subscribers;
        if waiting {
            self.make_due(at);
        }
        self.bound_history();
    }

    /// Serves one subscriber of a channel.
    fn greet_chain(
        &mut self,
        at: u32,
        client: u32,
        outlet: &mut impl Outlet,
        gone: &mut Vec<ClientId>,
    ) {
        let Some(channel) = self.channels.get_mut(at) else {
            return;
        };
        let mut mine = channel
            .subscribers
            .iter()
            .filter(|one| one.client == client);
        if !channel.has_body() || mine.all(|one| one.standing == Standing::Live) {
            return;
        }
        if channel
            .subscribers
            .iter()
            .all(|one| one.standing != Standing::Live)
        {
            // Nobody's window is cut short: it can begin with what is true now.
            self.due[channel.class.index()].retain(|due| *due != at);
            self.send_chain(at, outlet, gone);
            return;
        }
        let mut subscribers = std::mem::take(&mut channel.subscribers);
        let mut round = Round::new(None, &mut self.stats, outlet, gone);
        for one in subscribers.iter_mut().filter(|one| one.client == client) {
            if let Some(client) = self.clients.get(one.client) {
                one.standing = round.serve(channel, client.id, one.sub, one.standing);
            }
        }
        channel.subscribers = subscribers;
    }
}
