//! Values: who has them, and what is sent of them when.

use super::{Hub, Sub};
use crate::class::Class;
use crate::message::Message;
use crate::outlet::{ClientId, Outlet, SubId};
use crate::value::{Post, ValueId};

/// The class with whose windows values are sent that are not urgent: the default one.
pub(super) const VALUES: Class = Class::ALL[2];

impl Hub {
    /// Streams values, beginning with the latest message of each that is known, in the next
    /// flush of the default class. A subscription of the same number is replaced.
    ///
    /// A value that several of a client's subscriptions have is sent once; its message says
    /// itself what it is about.
    pub fn subscribe_values(&mut self, client: ClientId, sub: SubId, ids: &[ValueId]) {
        self.unsubscribe(client, sub);
        let Some(at) = self.client_at.get(&client).copied() else {
            return;
        };
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let values = ids.into_iter();
        let values = values.map(|id| self.values.enter(id, at, client)).collect();
        if let Some(client) = self.clients.get_mut(at) {
            client.subs.insert(sub, Sub::Values(values));
            client.values_begin = true;
            self.stats.subscriptions += 1;
        }
    }

    /// Takes values out of a subscription of them, which ends with its last one; whether it
    /// is still there.
    pub fn drop_values(&mut self, client: ClientId, sub: SubId, ids: &[ValueId]) -> bool {
        let Some(at) = self.client_at.get(&client).copied() else {
            return false;
        };
        let Some(client) = self.clients.get_mut(at) else {
            return false;
        };
        let Some(Sub::Values(values)) = client.subs.get_mut(&sub) else {
            return false;
        };
        let mut dropped: Vec<u32> = ids.iter().filter_map(|id| self.values.find(*id)).collect();
        dropped.retain(|one| values.contains(one));
        dropped.sort_unstable();
        dropped.dedup();
        values.retain(|one| dropped.binary_search(one).is_err());
        let stays = !values.is_empty();
        if !stays {
            client.subs.remove(&sub);
            self.stats.subscriptions -= 1;
        }
        self.leave_values(&dropped, at);
        stays
    }

    /// Says what a value is now. An urgent message goes at once to everybody who has
    /// subscribed it; another one with the next flush of the default class, unless there is
    /// a later one by then. Either is kept for those who come.
    ///
    /// Who has no room for an urgent one is sent it later, unless a later urgent one is there
    /// by then; for other ones the latest replaces all before it.
    pub fn set_value(
        &mut self,
        id: ValueId,
        message: Message,
        urgent: bool,
        outlet: &mut impl Outlet,
    ) {
        let index = self.values.find_or_make(id);
        let Some(value) = self.values.get_mut(index) else {
            return;
        };
        value.set(message, urgent);
        if !value.is_wanted() {
            return;
        }
        if !urgent {
            self.values.make_due(index);
            return;
        }
        let mut gone = Vec::new();
        let mut post = Post {
            stats: &mut self.stats,
            outlet,
            gone: &mut gone,
        };
        if value.serve(true, &mut post) {
            self.values.make_due(index);
        }
        self.let_go(gone);
    }

    /// Forgets what a value was. Those who have subscribed it stay so, should it be said
    /// again.
    pub fn remove_value(&mut self, id: ValueId) {
        if let Some(index) = self.values.find(id) {
            self.values.forget(index);
        }
    }

    /// Sends what is new of a value to all, and to those who missed something what they have
    /// not got.
    pub(super) fn send_value(
        &mut self,
        index: u32,
        outlet: &mut impl Outlet,
        gone: &mut Vec<ClientId>,
    ) {
        let Some(value) = self.values.get_mut(index) else {
            return;
        };
        value.due = false;
        let new = core::mem::take(&mut value.fresh);
        let mut post = Post {
            stats: &mut self.stats,
            outlet,
            gone,
        };
        if value.serve(new, &mut post) {
            self.values.make_due(index);
        }
    }

    /// Sends a client what its new subscriptions of values begin with.
    pub(super) fn greet_values(
        &mut self,
        at: u32,
        outlet: &mut impl Outlet,
        gone: &mut Vec<ClientId>,
    ) {
        let Some(client) = self.clients.get_mut(at) else {
            return;
        };
        if !core::mem::take(&mut client.values_begin) {
            return;
        }
        let mut post = Post {
            stats: &mut self.stats,
            outlet,
            gone,
        };
        for sub in client.subs.values() {
            let Sub::Values(values) = sub else { continue };
            for index in values {
                if let Some(value) = self.values.get_mut(*index) {
                    value.greet(at, &mut post);
                }
            }
        }
    }

    pub(super) fn leave_values(&mut self, values: &[u32], at: u32) {
        for index in values {
            self.values.leave(*index, at);
        }
    }
}
