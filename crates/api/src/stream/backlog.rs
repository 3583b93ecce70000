//! What a client has asked for and is not done yet: so many messages, and so many bytes.

use std::sync::Arc;

use axum::extract::ws::Utf8Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::end::End;

/// Messages that wait until those before them are done.
const MESSAGES: usize = 8;

/// Bytes of them. A single message may be longer.
const BYTES: u32 = 512 * 1024;

/// What came from a client.
#[derive(Debug)]
pub(super) enum Asked {
    /// A message.
    Text(Utf8Bytes),
    /// Something that is not done, and the answer to it.
    Refused(String),
    /// There is nothing more to be heard, and why.
    End(Box<End>),
}

/// The bytes of a message, until it is done.
#[derive(Debug)]
pub(super) struct Held {
    _bytes: OwnedSemaphorePermit,
}

/// Where it is put.
#[derive(Debug)]
pub(super) struct Backlog {
    asked: mpsc::Sender<(Asked, Held)>,
    bytes: Arc<Semaphore>,
}

/// Where it is taken from.
#[derive(Debug)]
pub(super) struct Waiting {
    asked: mpsc::Receiver<(Asked, Held)>,
}

/// Nothing was asked yet.
pub(super) fn backlog() -> (Backlog, Waiting) {
    let (sender, receiver) = mpsc::channel(MESSAGES);
    let backlog = Backlog {
        asked: sender,
        bytes: Arc::new(Semaphore::new(BYTES as usize)),
    };
    (backlog, Waiting { asked: receiver })
}

impl Backlog {
    /// Puts it behind all that waits, once there is room; whether anybody is there to do it.
    pub(super) async fn put(&self, asked: Asked) -> bool {
        let length = match &asked {
            Asked::Text(text) => text.len(),
            Asked::Refused(answer) => answer.len(),
            Asked::End(_) => 0,
        };
        let length = u32::try_from(length).unwrap_or(u32::MAX).min(BYTES);
        let room = tokio::select! {
            room = Arc::clone(&self.bytes).acquire_many_owned(length) => room,
            () = self.asked.closed() => return false,
        };
        match room {
            Ok(bytes) => {
                let held = Held { _bytes: bytes };
                self.asked.send((asked, held)).await.is_ok()
            }
            Err(_) => false,
        }
    }
}

impl Waiting {
    /// The next that was asked, with its bytes, which are to be held until it is done.
    pub(super) async fn next(&mut self) -> Option<(Asked, Held)> {
        self.asked.recv().await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn text(length: usize) -> Asked {
        Asked::Text("x".repeat(length).into())
    }

    /// How many of this length find room.
    fn room_for(backlog: &Backlog, length: usize) -> usize {
        (0..100)
            .take_while(|_| backlog.put(text(length)).now_or_never() == Some(true))
            .count()
    }

    #[tokio::test]
    async fn so_many_messages_wait_and_so_many_bytes() {
        let (backlog, mut waiting) = backlog();
        assert_eq!(room_for(&backlog, 10), MESSAGES);
        while waiting.next().now_or_never().is_some() {}
        assert_eq!(room_for(&backlog, 256 * 1024), 2);
        // Taken is not done.
        let (_, held) = waiting.next().await.unwrap();
        assert_eq!(room_for(&backlog, 256 * 1024), 0);
        drop(held);
        assert_eq!(room_for(&backlog, 256 * 1024), 1);
        while waiting.next().now_or_never().is_some() {}
        assert_eq!(
            room_for(&backlog, 4 * BYTES as usize),
            1,
            "alone it may be longer"
        );
    }

    #[tokio::test]
    async fn nobody_waits_for_who_has_gone() {
        let (backlog, waiting) = backlog();
        assert_eq!(room_for(&backlog, BYTES as usize), 1);
        drop(waiting);
        assert!(!backlog.put(text(1)).await);
    }
}
