//! Values: small messages that somebody else makes, of which only the latest counts.

use core::mem;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::hub::send;
use crate::message::Message;
use crate::outlet::{ClientId, Outlet, Push};
use crate::slab::Slab;
use crate::stats::Stats;

/// A value, as whoever runs the hub numbers them. A number is never used for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(pub u64);

/// What there is of a value, and who has how much of it.
///
/// Its messages are numbered from 1, and a member has everything up to a number: what it
/// has still to get follows from that, and takes no memory of its own.
#[derive(Debug)]
pub(crate) struct Value {
    id: ValueId,
    /// Number of the latest message.
    number: u64,
    /// Number of the latest one that was final.
    final_number: u64,
    /// The latest message, kept for those who come; none before the first, and none while
    /// the value is not there.
    latest: Option<Message>,
    /// The latest that was final: one who missed it still gets it.
    latest_final: Option<Message>,
    /// Whether the latest was sent to somebody.
    sent: bool,
    /// Whether the latest is new in the window under way.
    pub(crate) fresh: bool,
    /// Whether it is on the list of those to look at in the next flush.
    pub(crate) due: bool,
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    /// Index of the client.
    at: u32,
    client: ClientId,
    /// How many of its subscriptions have the value.
    subs: u32,
    /// Number of the last message it was sent, or need not be.
    has: u64,
}

impl Value {
    const fn new(id: ValueId) -> Self {
        Self {
            id,
            number: 0,
            final_number: 0,
            latest: None,
            latest_final: None,
            sent: false,
            fresh: false,
            due: false,
            members: Vec::new(),
        }
    }

    /// Takes note of the next message.
    pub(crate) fn set(&mut self, message: Message, is_final: bool) {
        self.number += 1;
        if is_final {
            self.final_number = self.number;
            self.latest_final = Some(message.clone());
        }
        self.latest = Some(message);
        self.sent = false;
        self.fresh = !is_final;
    }

    /// Whether anybody has subscribed it.
    pub(crate) const fn is_wanted(&self) -> bool {
        !self.members.is_empty()
    }

    /// Sends every member what it has not got; whether something is left that found no room.
    /// `new`: it is new to all of them.
    pub(crate) fn serve(&mut self, new: bool, post: &mut Post<'_, impl Outlet>) -> bool {
        let mut left = false;
        for place in 0..self.members.len() {
            let all = self.serve_one(place, post);
            left |= !all;
            post.stats.conflated += u64::from(new && !all);
        }
        left
    }

    /// Sends one client what it has not got.
    pub(crate) fn greet(&mut self, at: u32, post: &mut Post<'_, impl Outlet>) {
        if let Some(place) = self.place_of(at) {
            self.serve_one(place, post);
        }
    }

    /// The final one that the member missed, then the latest. False if there is no room.
    fn serve_one(&mut self, place: usize, post: &mut Post<'_, impl Outlet>) -> bool {
        let member = &mut self.members[place];
        while member.has < self.number {
            let (message, number) = if member.has < self.final_number {
                (&self.latest_final, self.final_number)
            } else {
                (&self.latest, self.number)
            };
            let Some(message) = message.clone() else {
                break;
            };
            let bytes = message.len() as u64;
            match send(post.stats, member.client, message, post.outlet, post.gone) {
                Push::Taken => {
                    let first = number == self.number && !mem::replace(&mut self.sent, true);
                    post.stats.made += if first { bytes } else { 0 };
                    post.stats.shared += u64::from(!first);
                    member.has = number;
                }
                Push::Full => return false,
                Push::Gone => break,
            }
        }
        true
    }

    fn place_of(&self, at: u32) -> Option<usize> {
        self.members.iter().position(|one| one.at == at)
    }

    /// Whether somebody has still to get something.
    pub(crate) fn is_owed(&self) -> bool {
        self.latest.is_some() && self.members.iter().any(|one| one.has < self.number)
    }

    /// Whether nobody knows or wants anything of it.
    const fn is_idle(&self) -> bool {
        self.latest.is_none() && self.members.is_empty()
    }

    fn enter(&mut self, at: u32, client: ClientId) {
        // A subscription begins with the latest; what was before is not its concern.
        let has = self.number - u64::from(self.latest.is_some());
        if let Some(place) = self.place_of(at) {
            let member = &mut self.members[place];
            member.subs += 1;
            member.has = member.has.min(has);
            return;
        }
        self.members.push(Member {
            at,
            client,
            subs: 1,
            has,
        });
    }

    fn leave(&mut self, at: u32) {
        let Some(place) = self.place_of(at) else {
            return;
        };
        let member = &mut self.members[place];
        member.subs -= 1;
        if member.subs == 0 {
            self.members.swap_remove(place);
        }
    }

    /// Bytes of the messages that are kept.
    pub(crate) fn bytes(&self) -> usize {
        let latest = self.latest.as_ref().map_or(0, Message::len);
        let of_final = self.latest_final.as_ref().map_or(0, Message::len);
        if self.number == self.final_number {
            latest
        } else {
            latest + of_final
        }
    }

    /// How many of the members have still to get something.
    pub(crate) fn behind(&self) -> usize {
        let members = self.members.iter();
        members.filter(|one| one.has < self.number).count()
    }
}

/// How messages are sent in a round.
pub(crate) struct Post<'a, O> {
    pub(crate) stats: &'a mut Stats,
    pub(crate) outlet: &'a mut O,
    pub(crate) gone: &'a mut Vec<ClientId>,
}

/// All values that are known or wanted.
#[derive(Debug, Default)]
pub(crate) struct Values {
    slab: Slab<Value>,
    by_id: HashMap<ValueId, u32, FixedState>,
    /// Values to look at in the next flush of their class, in the order in which they came
    /// to be so.
    pub(crate) due: Vec<u32>,
}

impl Values {
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Value> {
        self.slab.get_mut(index)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Value> {
        self.slab.iter().map(|(_, value)| value)
    }

    pub(crate) fn find(&self, id: ValueId) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    /// The index of a value, which is made if there is none.
    pub(crate) fn find_or_make(&mut self, id: ValueId) -> u32 {
        let slab = &mut self.slab;
        let index = self.by_id.entry(id);
        *index.or_insert_with(|| slab.insert(Value::new(id)))
    }

    /// Adds a subscription of a client.
    pub(crate) fn enter(&mut self, id: ValueId, at: u32, client: ClientId) -> u32 {
        let index = self.find_or_make(id);
        if let Some(value) = self.slab.get_mut(index) {
            value.enter(at, client);
            if value.is_owed() {
                self.make_due(index);
            }
        }
        index
    }

    /// Takes a subscription of a client away.
    pub(crate) fn leave(&mut self, index: u32, at: u32) {
        if let Some(value) = self.slab.get_mut(index) {
            value.leave(at);
        }
        self.drop_if_idle(index);
    }

    /// Forgets what was said of a value. Who has a subscription of it keeps that.
    pub(crate) fn forget(&mut self, index: u32) {
        if let Some(value) = self.slab.get_mut(index) {
            value.latest = None;
            value.latest_final = None;
            value.fresh = false;
            for member in &mut value.members {
                member.has = value.number;
            }
        }
        self.drop_if_idle(index);
    }

    pub(crate) fn make_due(&mut self, index: u32) {
        if let Some(value) = self.slab.get_mut(index)
            && !mem::replace(&mut value.due, true)
        {
            self.due.push(index);
        }
    }

    /// Takes the values that are due, the first one at the end. Those that found no room
    /// have come before those that changed since, so that a client with little room gets
    /// all of them in turn.
    pub(crate) fn take_due(&mut self) -> Vec<u32> {
        let mut due = mem::take(&mut self.due);
        due.reverse();
        due
    }

    fn drop_if_idle(&mut self, index: u32) {
        if !self.slab.get(index).is_some_and(Value::is_idle) {
            return;
        }
        let Some(value) = self.slab.remove(index) else {
            return;
        };
        if value.due {
            self.due.retain(|one| *one != index);
        }
        self.by_id.remove(&value.id);
    }
}
