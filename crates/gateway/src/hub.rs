//! The task that serves streaming clients: it turns the hub's windows and puts what comes
//! out of them into the clients' queues.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use strikewire_fanout::{Class, ClientId, Hub, Message, Outlet, Push, ValueId};
use strikewire_leases::LeaseKey;
use strikewire_types::Mono;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, MissedTickBehavior};

use crate::outbox::Outbox;
use crate::tick::Wakers;

mod command;
mod leased;
mod meters;
#[cfg(test)]
mod tests;

pub(crate) use command::{ChainAck, HubCommand};
use leased::Leased;
pub(crate) use leased::{Held, socket_name};
use meters::Meters;

/// The windows of all classes are multiples of this.
const BEAT: Duration = Duration::from_millis(50);

const BEATS_PER_SECOND: u64 = 20;

/// Bytes of text made before the clients' tasks have a turn: what they write is then still
/// in the processor's cache.
const PART: usize = 256 * 1024;

/// Commands taken before the clients they concern are woken.
const PER_TURN: usize = 256;

/// The queues of the clients. Bounded; what does not fit is the hub's to conflate.
#[derive(Debug, Default)]
struct Queues {
    by_client: HashMap<ClientId, Queue>,
    /// Clients with something new to read.
    touched: Vec<ClientId>,
    /// Whose window is under way.
    window: Option<Class>,
    /// Messages in the longest queue, since that was shown last.
    deepest: usize,
}

#[derive(Debug)]
struct Queue {
    outbox: Outbox,
    touched: bool,
}

impl Queue {
    /// Notes that there is something new to read.
    fn touch(&mut self, client: ClientId, touched: &mut Vec<ClientId>) {
        if !core::mem::replace(&mut self.touched, true) {
            touched.push(client);
        }
    }
}

impl Queues {
    /// Sends the answer to something a client asked for. There is room kept for it; a
    /// client that asks on without reading answers is let go.
    fn answer(&mut self, client: ClientId, message: Message) {
        let Some(queue) = self.by_client.get_mut(&client) else {
            return;
        };
        if queue.outbox.answer(message) {
            queue.touch(client, &mut self.touched);
        } else {
            // The socket's task finds out why.
            self.by_client.remove(&client);
        }
    }

    fn answer_if(&mut self, client: ClientId, message: Option<Message>) {
        if let Some(message) = message {
            self.answer(client, message);
        }
    }

    /// Wakes everybody with something new to read: once, however much it is.
    fn wake(&mut self) {
        for client in self.touched.drain(..) {
            if let Some(queue) = self.by_client.get_mut(&client) {
                queue.touched = false;
                queue.outbox.wake();
                self.deepest = self.deepest.max(queue.outbox.len());
            }
        }
    }
}

impl Outlet for Queues {
    fn push(&mut self, client: ClientId, message: Message) -> Push {
        let Some(queue) = self.by_client.get_mut(&client) else {
            return Push::Gone;
        };
        let pushed = queue.outbox.push(message, self.window);
        match pushed {
            Push::Taken => queue.touch(client, &mut self.touched),
            Push::Full => {}
            Push::Gone => {
                self.by_client.remove(&client);
            }
        }
        pushed
    }

    fn room(&mut self, client: ClientId) -> Push {
        let Some(queue) = self.by_client.get(&client) else {
            return Push::Gone;
        };
        let room = queue.outbox.room();
        if room == Push::Gone {
            self.by_client.remove(&client);
        }
        room
    }
}

/// Serves streaming clients until the owner has gone.
///
/// # Cancel safety
///
/// Not safe to resume; meant to be dropped when everything stops.
pub(crate) async fn run(
    hub: Hub,
    mut commands: UnboundedReceiver<HubCommand>,
    wakers: Arc<Wakers>,
) {
    let mut service = Service {
        hub,
        queues: Queues::default(),
        leased: Leased::default(),
        meters: Meters::new(),
        origin: Instant::now(),
    };
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut beats: u64 = 0;
    loop {
        tokio::select! {
            biased;
            _ = beat.tick() => {
                beats += 1;
                service.beat(beats).await;
            }
            command = commands.recv() => {
                let Some(mut command) = command else { return };
                for taken in 1.. {
                    service.handle(command);
                    if taken == PER_TURN {
                        break;
                    }
                    match commands.try_recv() {
                        Ok(next) => command = next,
                        Err(_) => break,
                    }
                }
            }
            () = wakers.batch.notified() => service.flush(Class::BATCH).await,
        }
        service.queues.wake();
    }
}

struct Service {
    hub: Hub,
    queues: Queues,
    leased: Leased,
    meters: Meters,
    origin: Instant,
}

impl Service {
    fn now(&self) -> Mono {
        Mono::default() + self.origin.elapsed()
    }

    async fn beat(&mut self, beats: u64) {
        for class in &Class::ALL[1..] {
            let every = u64::from(class.ms()) / BEAT.as_millis() as u64;
            if beats.is_multiple_of(every) {
                self.flush(*class).await;
            }
        }
        // What changed although the feed is silent, or found no room.
        self.flush(Class::BATCH).await;
        if beats.is_multiple_of(BEATS_PER_SECOND) {
            let deepest = core::mem::take(&mut self.queues.deepest);
            self.meters.show(self.hub.stats(), deepest);
        }
    }

    async fn flush(&mut self, class: Class) {
        self.queues.window = Some(class);
        self.hub.begin_flush(class, self.now(), &mut self.queues);
        while self.hub.flush_some(PART, &mut self.queues) {
            self.queues.wake();
            tokio::task::yield_now().await;
        }
        self.queues.wake();
        self.queues.window = None;
    }

    fn handle(&mut self, command: HubCommand) {
        let now = self.now();
        let Self {
            hub,
            queues,
            leased,
            ..
        } = self;
        match command {
            HubCommand::Open { client, outbox } => {
                let touched = false;
                queues.by_client.insert(client, Queue { outbox, touched });
                hub.add_client(client);
            }
            HubCommand::Close { client } => {
                queues.by_client.remove(&client);
                leased.remove_client(client);
                hub.remove_client(client);
            }
            HubCommand::Ticks {
                client,
                sub,
                items,
                mode,
                class,
                ack,
            } => {
                let asked = ack.is_some();
                queues.answer_if(client, ack);
                hub.subscribe_ticks(client, sub, &items, mode, class);
                if asked {
                    hub.greet(client, now, queues);
                }
            }
            HubCommand::Chain {
                client,
                sub,
                chain,
                mode,
                class,
                ack,
            } => {
                let at = match &ack {
                    Some(ChainAck::Resumed { at, .. }) => Some(at),
                    _ => None,
                };
                let resumed = hub.subscribe_chain(client, sub, chain, mode, class, at);
                match ack {
                    Some(ChainAck::Begun(message)) => queues.answer(client, message),
                    Some(ChainAck::Resumed { done, refused, .. }) => {
                        queues.answer(client, if resumed { done } else { refused });
                    }
                    None => {}
                }
                hub.greet(client, now, queues);
            }
            HubCommand::Unsubscribe { client, sub, ack } => {
                hub.unsubscribe(client, sub);
                queues.answer_if(client, ack);
            }
            HubCommand::Values {
                client,
                socket,
                sub,
                held,
                ack,
            } => {
                // One that has gone meanwhile holds nothing.
                if !queues.by_client.contains_key(&client) {
                    return;
                }
                queues.answer(client, ack);
                let ids: Vec<ValueId> = held.keys.iter().map(|(_, id)| *id).collect();
                leased.insert(client, &socket, sub, held);
                hub.subscribe_values(client, sub, &ids);
                hub.greet(client, now, queues);
            }
            HubCommand::EndValues { client, sub, reply } => {
                let held = leased.remove(client, sub);
                if held.is_some() {
                    hub.unsubscribe(client, sub);
                }
                // Whoever asked may have gone.
                let _ = reply.send(held);
            }
            HubCommand::Subscribers { client, reply } => {
                // Whoever asked may have gone.
                let _ = reply.send(leased.subscribers(client));
            }
            HubCommand::Released {
                socket,
                who,
                keys,
                detail,
            } => {
                for lost in leased.release(&socket, &who, &keys) {
                    let (client, sub) = (lost.client, lost.sub);
                    hub.drop_values(client, sub, &lost.values);
                    let names: Vec<String> = lost.keys.iter().map(LeaseKey::lease_key).collect();
                    let detail = format!("{detail}: {}", names.join(", "));
                    hub.notice(client, Some(sub), "expired", &detail, queues);
                }
            }
            HubCommand::SetValue {
                id,
                message,
                urgent,
            } => hub.set_value(id, message, urgent, queues),
            HubCommand::RemoveValue { id } => hub.remove_value(id),
            HubCommand::CountSubs { client, reply } => {
                // Whoever asked may have gone.
                let _ = reply.send(hub.subscriptions_of(client));
            }
            HubCommand::Answer { client, message } => queues.answer(client, message),
            HubCommand::Settle { done } => {
                // Whoever asked may have gone.
                let _ = done.send(());
            }
            HubCommand::SetChain { chain, body } => hub.set_chain(chain, *body),
            HubCommand::RemoveChain { chain } => hub.remove_chain(chain),
            HubCommand::SlotsChanged(keys) => hub.slots_changed(&keys),
            HubCommand::Notice {
                client,
                sub,
                code,
                detail,
            } => {
                hub.notice(client, sub, code, &detail, queues);
            }
            HubCommand::NoticeAll { code, detail } => {
                hub.announce(code, &detail, queues);
            }
            HubCommand::Gap {
                keys,
                from,
                to,
                cause,
            } => hub.gap(&keys, from, to, &cause, queues),
        }
    }
}
