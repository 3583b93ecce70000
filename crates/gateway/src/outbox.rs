//! The bounded queue between the hub and the task of one client's socket.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use strikewire_fanout::{Class, Message, Push};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Places in a client's queue that are kept for answers to what it asks for: these are
/// never conflated.
const ANSWERS: usize = 64;

/// Bytes kept for them; the last answer may go beyond.
const ANSWER_BYTES: usize = 256 * 1024;

/// How much may wait for one client of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// Messages. Answers have some places of their own.
    pub messages: usize,
    /// Bytes. A single message may be longer.
    pub bytes: usize,
    /// How long the queue may stay full until the client is let go.
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
    /// Its queue stayed full.
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

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Delivery>,
    bytes: usize,
    /// Since when there was no room although nothing is read; absent: there was room, or
    /// something was read since.
    full_since: Option<Instant>,
    end: Option<StreamEnd>,
    /// Nobody reads it any more.
    abandoned: bool,
}

impl Queue {
    fn put(&mut self, message: Message, class: Option<Class>) {
        self.bytes += message.len();
        self.waiting.push_back(Delivery { message, class });
    }

    fn take(&mut self) -> Option<Delivery> {
        let first = self.waiting.pop_front()?;
        self.bytes -= first.message.len();
        self.full_since = None;
        if self.waiting.is_empty() {
            // What a crowded moment took is given back.
            self.waiting.shrink_to(ANSWERS);
        }
        Some(first)
    }

    fn clear(&mut self) {
        self.waiting = VecDeque::new();
        self.bytes = 0;
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
            let fits = queue.waiting.is_empty()
                || queue.waiting.len() < limits.messages && queue.bytes + bytes <= limits.bytes;
            if fits {
                queue.put(message, class);
            }
            fits
        })
    }

    /// Whether it makes sense to push something: not while something did not fit and nothing
    /// was read since.
    pub(crate) fn room(&self) -> Push {
        self.admit(|queue, limits| {
            queue.full_since.is_none()
                && queue.waiting.len() < limits.messages
                && queue.bytes < limits.bytes
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
        let fits = queue.waiting.len() < self.limits.messages.saturating_add(ANSWERS)
            && queue.bytes < self.limits.bytes.saturating_add(ANSWER_BYTES);
        if fits {
            queue.put(message, None);
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
            {
                let mut queue = self.shared.queue.lock();
                if let Some(delivery) = queue.take() {
                    return Ok(delivery);
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
        self.shared.queue.lock().bytes
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
