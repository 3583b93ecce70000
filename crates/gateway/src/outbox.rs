//! The bounded queue between the hub and the task of one client's socket.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use strikewire_fanout::{Class, Message, Push};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Places in a client's queue that are kept for answers to what it asks for: these are
/// never conflated. An answer takes one when there is no room among all that waits.
const ANSWERS: usize = 64;

/// Bytes kept for those that take such a place; the last one may go beyond.
const ANSWER_BYTES: usize = 256 * 1024;

/// How much may wait for one client of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// Messages. Answers have some places of their own.
    pub messages: usize,
    /// Bytes. A single message may be longer.
    pub bytes: usize,
    /// How long the queue may be full, with nothing read, until the client is let go.
    pub stall: Duration,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            messages: 1024,
            bytes: 1024 * 1024,
            stall: Duration::from_secs(30),
        }
    }
}

/// Why a client is sent nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamEnd {
    /// Its queue was full, and nothing was read, for too long.
    TooSlow,
    /// It asks on and on without reading what it is answered.
    Unread,
    /// The gateway is stopping.
    Stopping,
}

/// A message that waits.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// What is to be sent.
    pub message: Message,
    /// Whose window it is of; absent for answers, notices, and what a subscription begins
    /// with.
    pub class: Option<Class>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Told when there is something to read, or the end.
    ready: Notify,
    /// Told at the end only.
    ended: Notify,
}

/// What waits in one of the two rooms of a queue.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    messages: usize,
    bytes: usize,
}

/// The room whose load a message counts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    /// That of everything.
    Common,
    /// That which is kept for answers.
    Kept,
}

#[derive(Debug, Default)]
struct Queue {
    /// In the order in which they are sent, whatever room they are in.
    waiting: VecDeque<(Delivery, Room)>,
    common: Load,
    kept: Load,
    /// Since when there was no room although nothing is read; absent: there was room, or
    /// something was read since.
    full_since: Option<Instant>,
    end: Option<StreamEnd>,
    /// Nobody reads it any more.
    abandoned: bool,
}

impl Queue {
    /// Whether a message of so many bytes fits among all that waits.
    const fn fits(&self, bytes: usize, limits: &StreamLimits) -> bool {
        let Load {
            messages,
            bytes: waiting,
        } = self.common;
        messages == 0 || messages < limits.messages && waiting.saturating_add(bytes) <= limits.bytes
    }

    const fn load(&mut self, room: Room) -> &mut Load {
        match room {
            Room::Common => &mut self.common,
            Room::Kept => &mut self.kept,
        }
    }

    fn put(&mut self, message: Message, class: Option<Class>, room: Room) {
        let load = self.load(room);
        load.messages += 1;
        load.bytes += message.len();
        self.waiting.push_back((Delivery { message, class }, room));
    }

    fn take(&mut self) -> Option<Delivery> {
        let (first, room) = self.waiting.pop_front()?;
        let load = self.load(room);
        load.messages -= 1;
        load.bytes -= first.message.len();
        self.full_since = None;
        if self.waiting.is_empty() {
            // What a crowded moment took is given back.
            self.waiting.shrink_to(ANSWERS);
        }
        Some(first)
    }

    fn clear(&mut self) {
        self.waiting = VecDeque::new();
        self.common = Load::default();
        self.kept = Load::default();
    }
}

/// The hub's end of the queue.
#[derive(Debug)]
pub(crate) struct Outbox {
    shared: Arc<Shared>,
    limits: StreamLimits,
}

/// The socket's end of the queue: the messages for one client, in order.
#[derive(Debug)]
pub struct Inbox {
    shared: Arc<Shared>,
}

/// A queue of these limits.
pub(crate) fn outbox(limits: StreamLimits) -> (Outbox, Inbox) {
    let shared = Arc::new(Shared::default());
    let outbox = Outbox {
        shared: Arc::clone(&shared),
        limits,
    };
    (outbox, Inbox { shared })
}

impl Outbox {
    /// Puts a message into the queue, and wakes nobody. [`Push::Gone`] ends it.
    pub(crate) fn push(&self, message: Message, class: Option<Class>) -> Push {
        let bytes = message.len();
        self.admit(|queue, limits| {
            let fits = queue.fits(bytes, limits);
            if fits {
                queue.put(message, class, Room::Common);
            }
            fits
        })
    }

    /// Whether it makes sense to push something: not while something did not fit and nothing
    /// was read since.
    pub(crate) fn room(&self) -> Push {
        self.admit(|queue, limits| {
            queue.full_since.is_none()
                && queue.common.messages < limits.messages
                && queue.common.bytes < limits.bytes
        })
    }

    fn admit(&self, fits: impl FnOnce(&mut Queue, &StreamLimits) -> bool) -> Push {
        let mut queue = self.shared.queue.lock();
        if queue.abandoned || queue.end.is_some() {
            return Push::Gone;
        }
        if fits(&mut queue, &self.limits) {
            return Push::Taken;
        }
        let now = Instant::now();
        let since = *queue.full_since.get_or_insert(now);
        if now.duration_since(since) < self.limits.stall {
            return Push::Full;
        }
        drop(queue);
        self.end(StreamEnd::TooSlow);
        Push::Gone
    }

    /// Puts the answer to something the client asked for into the queue. There is room
    /// kept for it; false when even that is used up, which ends the queue.
    pub(crate) fn answer(&self, message: Message) -> bool {
        let mut queue = self.shared.queue.lock();
        if queue.abandoned || queue.end.is_some() {
            return false;
        }
        let room = if queue.fits(message.len(), &self.limits) {
            Some(Room::Common)
        } else if queue.kept.messages < ANSWERS && queue.kept.bytes < ANSWER_BYTES {
            Some(Room::Kept)
        } else {
            None
        };
        if let Some(room) = room {
            queue.put(message, None, room);
            return true;
        }
        drop(queue);
        self.end(StreamEnd::Unread);
        false
    }

    /// Messages that wait.
    pub(crate) fn len(&self) -> usize {
        self.shared.queue.lock().waiting.len()
    }

    /// Wakes the socket's task.
    pub(crate) fn wake(&self) {
        self.shared.ready.notify_one();
    }

    /// Ends the queue. What waits for a client that is too slow is dropped at once.
    fn end(&self, end: StreamEnd) {
        let mut queue = self.shared.queue.lock();
        if queue.end.is_some() {
            return;
        }
        queue.end = Some(end);
        if end != StreamEnd::Stopping {
            queue.clear();
        }
        drop(queue);
        self.shared.ready.notify_one();
        self.shared.ended.notify_one();
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.end(StreamEnd::Stopping);
    }
}

impl Inbox {
    /// The next message; waits for it, and says why when there will be none.
    ///
    /// # Errors
    ///
    /// When the client is sent nothing any more.
    ///
    /// # Cancel safety
    ///
    /// Safe: no message is lost.
    pub async fn next(&self) -> Result<Delivery, StreamEnd> {
        loop {
            self.ready().await?;
            if let Some(delivery) = self.try_next() {
                return Ok(delivery);
            }
        }
    }

    /// Waits until there is a message, and leaves it where it is; says why when there will
    /// be none.
    ///
    /// # Errors
    ///
    /// When the client is sent nothing any more.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn ready(&self) -> Result<(), StreamEnd> {
        loop {
            {
                let queue = self.shared.queue.lock();
                if !queue.waiting.is_empty() {
                    return Ok(());
                }
                if let Some(end) = queue.end {
                    return Err(end);
                }
            }
            self.shared.ready.notified().await;
        }
    }

    /// The next message if there is one now.
    #[must_use]
    pub fn try_next(&self) -> Option<Delivery> {
        self.shared.queue.lock().take()
    }

    /// Waits for the end, whatever there is to be read before it. For one waiter.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn ended(&self) -> StreamEnd {
        loop {
            if let Some(end) = self.shared.queue.lock().end {
                return end;
            }
            self.shared.ended.notified().await;
        }
    }

    /// Messages that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.queue.lock().waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let queue = self.shared.queue.lock();
        queue.common.bytes + queue.kept.bytes
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let mut queue = self.shared.queue.lock();
        queue.abandoned = true;
        queue.clear();
    }
}

#[cfg(test)]
mod tests;
