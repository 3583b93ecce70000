//! What one subscriber of a channel is sent in a round.

use bytes::Bytes;

use crate::channel::{Channel, Standing};
use crate::frames;
use crate::message::Message;
use crate::outlet::{ClientId, Outlet, Push, SubId};
use crate::stats::Stats;

/// The delta of a round.
pub(super) struct Delta {
    /// Its text after `sub`.
    pub(super) tail: Bytes,
    /// The message for the latest number there was.
    pub(super) sub: SubId,
    pub(super) message: Message,
    /// Whether anybody has the message.
    pub(super) used: bool,
}

impl Delta {
    /// The message for a number, and whether it is another's too.
    fn of(&mut self, sub: SubId, stats: &mut Stats) -> (Message, bool) {
        if self.sub != sub {
            let text = frames::delta(sub, &self.tail);
            stats.made += text.len() as u64;
            self.message = Message::new(text, self.message.received());
            self.sub = sub;
            self.used = false;
        }
        (
            self.message.clone(),
            std::mem::replace(&mut self.used, true),
        )
    }
}

/// One channel's round of its subscribers, who come in the order of their numbers: most
/// front ends count from 1, so that neighbours share one text.
pub(super) struct Round<'a, O> {
    delta: Option<Delta>,
    snapshot: Option<(SubId, bool, Message)>,
    stats: &'a mut Stats,
    outlet: &'a mut O,
    gone: &'a mut Vec<ClientId>,
}

impl<'a, O: Outlet> Round<'a, O> {
    pub(super) const fn new(
        delta: Option<Delta>,
        stats: &'a mut Stats,
        outlet: &'a mut O,
        gone: &'a mut Vec<ClientId>,
    ) -> Self {
        Self {
            delta,
            snapshot: None,
            stats,
            outlet,
            gone,
        }
    }

    fn send(&mut self, client: ClientId, message: Message) -> Push {
        send(self.stats, client, message, self.outlet, self.gone)
    }

    /// Sends one subscriber what it may have now; its standing after that.
    pub(super) fn serve(
        &mut self,
        channel: &mut Channel,
        client: ClientId,
        sub: SubId,
        standing: Standing,
    ) -> Standing {
        match standing {
            Standing::Live => self.go_on(channel.seq, client, sub),
            Standing::Waiting { refused } => {
                if self.begin(channel, client, sub, refused) {
                    Standing::Live
                } else {
                    standing
                }
            }
            Standing::Resuming { next } => self.resume(channel, client, sub, next),
            Standing::Behind { from_seq } => {
                self.stats.dropped += u64::from(self.delta.is_some());
                self.catch_up(channel, client, sub, from_seq)
            }
        }
    }

    /// Sends the round's delta, if there is one.
    fn go_on(&mut self, seq: u64, client: ClientId, sub: SubId) -> Standing {
        let Some(delta) = &mut self.delta else {
            return Standing::Live;
        };
        let (message, shared) = delta.of(sub, self.stats);
        match self.send(client, message) {
            Push::Taken => self.stats.shared += u64::from(shared),
            Push::Full => {
                self.stats.dropped += 1;
                return Standing::Behind { from_seq: seq };
            }
            Push::Gone => {}
        }
        Standing::Live
    }

    /// Sends the deltas from `next` on, each as it was.
    fn resume(
        &mut self,
        channel: &mut Channel,
        client: ClientId,
        sub: SubId,
        next: u64,
    ) -> Standing {
        let Some(deltas) = channel.history.since(next, channel.seq) else {
            // Forgotten since it subscribed.
            self.stats.dropped += channel.seq + 1 - next;
            return self.catch_up(channel, client, sub, next);
        };
        for (seq, tail) in deltas {
            let message = Message::new(frames::delta(sub, tail), None);
            self.stats.made += message.len() as u64;
            if self.send(client, message) == Push::Full {
                self.stats.dropped += channel.seq + 1 - seq;
                return Standing::Behind { from_seq: seq };
            }
        }
        Standing::Live
    }

    /// Says which deltas were not sent, and begins anew.
    fn catch_up(
        &mut self,
        channel: &mut Channel,
        client: ClientId,
        sub: SubId,
        from_seq: u64,
    ) -> Standing {
        if !self.has_room(client) {
            return Standing::Behind { from_seq };
        }
        if from_seq <= channel.seq {
            let message = frames::lagged(sub, from_seq, channel.seq);
            if self.send(client, message) == Push::Full {
                return Standing::Behind { from_seq };
            }
            self.stats.lagged += 1;
        }
        if self.begin(channel, client, sub, false) {
            Standing::Live
        } else {
            Standing::Behind {
                from_seq: channel.seq + 1,
            }
        }
    }

    /// Sends a snapshot; false if there is no room for it.
    fn begin(
        &mut self,
        channel: &mut Channel,
        client: ClientId,
        sub: SubId,
        refused: bool,
    ) -> bool {
        if !self.has_room(client) {
            return false;
        }
        let known = self.snapshot.as_ref();
        let known = known.filter(|(number, said, _)| (*number, *said) == (sub, refused));
        let shared = known.is_some();
        let message = match known {
            Some((_, _, message)) => message.clone(),
            None => {
                let text = frames::snapshot(sub, refused, &channel.snapshot());
                let message = Message::new(text, None);
                self.stats.made += message.len() as u64;
                self.snapshot = Some((sub, refused, message.clone()));
                message
            }
        };
        let pushed = self.send(client, message);
        self.stats.shared += u64::from(shared && pushed == Push::Taken);
        pushed != Push::Full
    }

    fn has_room(&mut self, client: ClientId) -> bool {
        match self.outlet.room(client) {
            Push::Taken => true,
            Push::Full => false,
            Push::Gone => {
                self.gone.push(client);
                false
            }
        }
    }
}

/// Puts a message into a client's queue. The gone are noted, perhaps several times.
pub(crate) fn send(
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
        Push::Gone => gone.push(client),
    }
    pushed
}
