use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use strikewire_fanout::{
    ChainBody, ChainId, Class, ClientId, Hub, Item, Message, Outlet, Push, Stats, SubId,
};
use strikewire_types::{InstrumentKey, Mode, Utc};
use tokio::sync::mpsc::{self, UnboundedReceiver, error::TrySendError};
use tokio::time::{Instant, MissedTickBehavior};

use crate::tick::Wakers;

/// A client whose queue stays full for this long is disconnected.
pub const CLIENT_STALL_LIMIT: Duration = Duration::from_secs(30);

/// Places in a client's queue that are kept for answers to what it asks for: these are
/// never conflated.
pub(crate) const ANSWERS: usize = 64;

/// The windows of all classes are multiples of this.
const BEAT: Duration = Duration::from_millis(50);

const BEATS_PER_SECOND: u64 = 20;

/// What the owner tells the hub.
#[derive(Debug)]
pub(crate) enum HubCommand {
    Open {
        client: ClientId,
        outbox: mpsc::Sender<Message>,
    },
    Close {
        client: ClientId,
    },
    Ticks {
        client: ClientId,
        sub: SubId,
        items: Vec<Item>,
        mode: Mode,
        class: Class,
        /// Absent: the client did not ask for it just now.
        ack: Option<Message>,
    },
    Chain {
        client: ClientId,
        sub: SubId,
        chain: ChainId,
        mode: Mode,
        class: Class,
        /// Absent: the client did not ask for it just now.
        ack: Option<Message>,
    },
    Unsubscribe {
        client: ClientId,
        sub: SubId,
        ack: Option<Message>,
    },
    SetChain {
        chain: ChainId,
        body: Box<ChainBody>,
    },
    RemoveChain {
        chain: ChainId,
    },
    SlotsChanged(Vec<InstrumentKey>),
    Notice {
        client: ClientId,
        sub: Option<SubId>,
        code: &'static str,
        detail: String,
    },
    NoticeAll {
        code: &'static str,
        detail: String,
    },
    Gap {
        keys: Vec<InstrumentKey>,
        from: Utc,
        to: Utc,
        cause: Arc<str>,
    },
}

/// The queues of the clients. Bounded; what does not fit is the hub's to conflate.
#[derive(Debug, Default)]
struct Queues {
    by_client: HashMap<ClientId, Queue>,
}

#[derive(Debug)]
struct Queue {
    outbox: mpsc::Sender<Message>,
    full_since: Option<Instant>,
}

impl Queues {
    /// Sends the answer to something a client asked for. There is room kept for it; a
    /// client that asks on without reading answers is let go.
    fn answer(&mut self, client: ClientId, message: Message) {
        if let Some(queue) = self.by_client.get(&client)
            && queue.outbox.try_send(message).is_err()
        {
            // The socket's task sees its queue end and closes with a reason.
            self.by_client.remove(&client);
        }
    }
}

impl Queues {
    fn answer_if(&mut self, client: ClientId, message: Option<Message>) {
        if let Some(message) = message {
            self.answer(client, message);
        }
    }
}

impl Outlet for Queues {
    fn push(&mut self, client: ClientId, message: Message) -> Push {
        let Some(queue) = self.by_client.get_mut(&client) else {
            return Push::Gone;
        };
        let sent = if queue.outbox.capacity() > ANSWERS {
            queue.outbox.try_send(message)
        } else {
            Err(TrySendError::Full(message))
        };
        match sent {
            Ok(()) => {
                queue.full_since = None;
                Push::Taken
            }
            Err(TrySendError::Closed(_)) => Push::Gone,
            Err(TrySendError::Full(_)) => {
                let now = Instant::now();
                let since = *queue.full_since.get_or_insert(now);
                if now.duration_since(since) < CLIENT_STALL_LIMIT {
                    Push::Full
                } else {
                    // The socket's task sees its queue end and closes with a reason.
                    self.by_client.remove(&client);
                    Push::Gone
                }
            }
        }
    }
}

/// Serves streaming clients until the owner has gone.
///
/// # Cancel safety
///
/// Not safe to resume; meant to be dropped when everything stops.
pub(crate) async fn run(
    mut hub: Hub,
    mut commands: UnboundedReceiver<HubCommand>,
    wakers: Arc<Wakers>,
) {
    let mut queues = Queues::default();
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut beats: u64 = 0;
    loop {
        tokio::select! {
            biased;
            command = commands.recv() => {
                let Some(command) = command else { return };
                handle(&mut hub, &mut queues, command);
            }
            () = wakers.batch.notified() => {
                hub.flush(Class::ALL[0], &mut queues);
            }
            // Without clients there is nothing to send.
            _ = beat.tick(), if !queues.by_client.is_empty() => {
                beats += 1;
                if beats.is_multiple_of(BEATS_PER_SECOND) {
                    record(hub.stats());
                }
                for class in &Class::ALL[1..] {
                    let every = u64::from(class.ms()) / BEAT.as_millis() as u64;
                    if beats.is_multiple_of(every) {
                        hub.flush(*class, &mut queues);
                    }
                }
            }
        }
    }
}

fn handle(hub: &mut Hub, queues: &mut Queues, command: HubCommand) {
    match command {
        HubCommand::Open { client, outbox } => {
            queues.by_client.insert(
                client,
                Queue {
                    outbox,
                    full_since: None,
                },
            );
            hub.add_client(client);
        }
        HubCommand::Close { client } => {
            queues.by_client.remove(&client);
            hub.remove_client(client);
            record(hub.stats());
        }
        HubCommand::Ticks {
            client,
            sub,
            items,
            mode,
            class,
            ack,
        } => {
            queues.answer_if(client, ack);
            hub.subscribe_ticks(client, sub, &items, mode, class);
        }
        HubCommand::Chain {
            client,
            sub,
            chain,
            mode,
            class,
            ack,
        } => {
            queues.answer_if(client, ack);
            hub.subscribe_chain(client, sub, chain, mode, class);
            hub.flush(class, queues);
        }
        HubCommand::Unsubscribe { client, sub, ack } => {
            hub.unsubscribe(client, sub);
            queues.answer_if(client, ack);
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

/// Shows the hub's figures as metrics.
fn record(stats: &Stats) {
    metrics::gauge!("strikewire_stream_clients").set(stats.clients as f64);
    metrics::gauge!("strikewire_stream_subscriptions").set(stats.subscriptions as f64);
    metrics::counter!("strikewire_stream_messages_total").absolute(stats.messages);
    metrics::counter!("strikewire_stream_bytes_total").absolute(stats.bytes);
    metrics::counter!("strikewire_stream_conflated_total").absolute(stats.conflated);
    metrics::counter!("strikewire_stream_dropped_total").absolute(stats.dropped);
}
