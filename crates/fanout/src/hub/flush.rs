//! Sending: what a window changed, to whom it concerns.

use strikewire_types::Mode;

use crate::channel::{Channel, Standing};
use crate::class::Class;
use crate::frames;
use crate::hub::{ClientId, Hub, LETTERS, MODES, Message, Outlet, Push, Stats, SubId};

const TICKS: &str = "{\"type\":\"ticks\",\"items\":[";

impl Hub {
    /// Sends what one window of a class changed. To be called after every batch of the feed
    /// for class 0, and once per window for the others.
    ///
    /// A client gets at most one `ticks` message, and of each chain one delta. What its queue
    /// has no room for is conflated, or counted and followed by a snapshot, in a later flush.
    pub fn flush(&mut self, class: Class, outlet: &mut impl Outlet) {
        let mut gone = Vec::new();
        self.deliver_letters(outlet, &mut gone);
        let mut changed = std::mem::take(&mut self.changed);
        self.instruments.begin(class, &mut changed);
        for index in &changed {
            self.distribute(*index, class);
        }
        self.changed = changed;
        for at in std::mem::take(&mut self.active[class.index()]) {
            self.send_ticks(at, class, outlet, &mut gone);
        }
        for at in std::mem::take(&mut self.due[class.index()]) {
            self.send_chain(at, outlet, &mut gone);
        }
        for client in gone {
            self.remove_client(client);
        }
    }

    /// Notes a changed instrument with everybody who wants it.
    fn distribute(&mut self, index: u32, class: Class) {
        for at in self.instruments.watchers(index, class) {
            if let Some(client) = self.clients.get_mut(*at) {
                let ticks = &mut client.ticks[class.index()];
                if ticks.pending.is_empty() {
                    self.active[class.index()].push(*at);
                }
                ticks.pending.push(index);
            }
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

    fn send_ticks(
        &mut self,
        at: u32,
        class: Class,
        outlet: &mut impl Outlet,
        gone: &mut Vec<ClientId>,
    ) {
        let Some(client) = self.clients.get_mut(at) else {
            return;
        };
        let ticks = &mut client.ticks[class.index()];
        if ticks.held {
            ticks.pending.sort_unstable();
            ticks.pending.dedup();
        }
        let mut message = String::from(TICKS);
        // What is not watched any more, or not known, is not pending.
        ticks.pending.retain(|index| {
            let mode = ticks.watched.get(index).and_then(highest);
            let Some(item) = mode.and_then(|mode| self.instruments.fragment(*index, mode)) else {
                return false;
            };
            if message.len() > TICKS.len() {
                message.push(',');
            }
            message.push_str(item);
            true
        });
        let pushed = if message.len() > TICKS.len() {
            message.push_str("]}");
            send(&mut self.stats, client.id, message, outlet, gone)
        } else {
            Push::Taken
        };
        let ticks = &mut client.ticks[class.index()];
        ticks.held = pushed == Push::Full;
        if ticks.held {
            self.stats.conflated += ticks.pending.len() as u64;
            self.active[class.index()].push(at);
        } else {
            ticks.pending.clear();
        }
    }

    fn send_chain(&mut self, at: u32, outlet: &mut impl Outlet, gone: &mut Vec<ClientId>) {
        let Some(channel) = self.channels.get_mut(at) else {
            return;
        };
        channel.due = false;
        if !channel.has_body() {
            return;
        }
        let delta = channel.advance(at, &mut self.instruments);
        let mut sender = Sender {
            delta,
            snapshot: None,
            stats: &mut self.stats,
            outlet,
            gone,
        };
        // The list is taken out while the channel is asked for snapshots.
        let mut subscribers = std::mem::take(&mut channel.subscribers);
        let mut waiting = false;
        for one in &mut subscribers {
            if let Some(client) = self.clients.get(one.client) {
                let standing = sender.serve(channel, client.id, one.sub, one.standing);
                one.standing = standing;
                waiting |= standing != Standing::Live;
            }
        }
        channel.subscribers = subscribers;
        if waiting {
            self.make_due(at);
        }
    }

    fn deliver_letters(&mut self, outlet: &mut impl Outlet, gone: &mut Vec<ClientId>) {
        for at in std::mem::take(&mut self.mail) {
            let Some(client) = self.clients.get_mut(at) else {
                continue;
            };
            while let Some(letter) = client.letters.front() {
                match send(&mut self.stats, client.id, letter.clone(), outlet, gone) {
                    Push::Taken => {
                        client.letters.pop_front();
                    }
                    Push::Full => {
                        self.mail.push(at);
                        break;
                    }
                    Push::Gone => break,
                }
            }
        }
    }

    /// Sends a message at once, or when there is room.
    pub(super) fn post(&mut self, at: u32, message: Message, outlet: &mut impl Outlet) {
        let Some(client) = self.clients.get_mut(at) else {
            return;
        };
        let mut gone = Vec::new();
        // Behind those that wait already, so that the order stays.
        let waits = !client.letters.is_empty();
        if waits
            || send(
                &mut self.stats,
                client.id,
                message.clone(),
                outlet,
                &mut gone,
            ) == Push::Full
        {
            if client.letters.len() == LETTERS {
                client.letters.pop_front();
                self.stats.dropped += 1;
            }
            client.letters.push_back(message);
            if !waits {
                self.mail.push(at);
            }
        }
        for client in gone {
            self.remove_client(client);
        }
    }
}

/// One channel's round of its subscribers. Texts are made once, when first needed.
struct Sender<'a, O> {
    delta: Option<String>,
    snapshot: Option<String>,
    stats: &'a mut Stats,
    outlet: &'a mut O,
    gone: &'a mut Vec<ClientId>,
}

impl<O: Outlet> Sender<'_, O> {
    fn send(&mut self, client: ClientId, message: Message) -> Push {
        send(self.stats, client, message, self.outlet, self.gone)
    }

    /// Sends one subscriber what it may have now; its standing after that.
    fn serve(
        &mut self,
        channel: &Channel,
        client: ClientId,
        sub: SubId,
        standing: Standing,
    ) -> Standing {
        match standing {
            Standing::Live => {
                let Some(delta) = &self.delta else {
                    return Standing::Live;
                };
                let message = frames::delta(sub, delta);
                if self.send(client, message) == Push::Full {
                    self.stats.dropped += 1;
                    return Standing::Behind {
                        from_seq: channel.seq,
                        dropped: 1,
                    };
                }
                Standing::Live
            }
            Standing::Waiting => self.send_snapshot(channel, client, sub, standing),
            Standing::Behind {
                from_seq,
                mut dropped,
            } => {
                if self.delta.is_some() {
                    dropped += 1;
                    self.stats.dropped += 1;
                }
                if dropped > 0 {
                    let message = frames::lagged(sub, dropped, from_seq);
                    if self.send(client, message) == Push::Full {
                        return Standing::Behind { from_seq, dropped };
                    }
                }
                let told = Standing::Behind {
                    from_seq: channel.seq + 1,
                    dropped: 0,
                };
                self.send_snapshot(channel, client, sub, told)
            }
        }
    }

    fn send_snapshot(
        &mut self,
        channel: &Channel,
        client: ClientId,
        sub: SubId,
        otherwise: Standing,
    ) -> Standing {
        let tail = self.snapshot.get_or_insert_with(|| channel.snapshot());
        let message = frames::snapshot(sub, tail);
        if self.send(client, message) == Push::Full {
            otherwise
        } else {
            Standing::Live
        }
    }
}

fn send(
    stats: &mut Stats,
    client: ClientId,
    message: Message,
    outlet: &mut impl Outlet,
    gone: &mut Vec<ClientId>,
) -> Push {
    let bytes = message.len() as u64;
    let pushed = outlet.push(client, message);
    match pushed {
        Push::Taken => {
            stats.messages += 1;
            stats.bytes += bytes;
        }
        Push::Full => {}
        Push::Gone => {
            if !gone.contains(&client) {
                gone.push(client);
            }
        }
    }
    pushed
}

/// The highest mode that any subscription has.
fn highest(counts: &[u32; MODES]) -> Option<Mode> {
    Mode::ALL
        .into_iter()
        .rev()
        .find(|mode| counts[*mode as usize] > 0)
}
