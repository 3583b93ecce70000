//! Writes what the hub has for a client: all that waits, then one flush.

use core::cell::RefCell;
use core::future::poll_fn;
use core::time::Duration;
use std::sync::Arc;

use axum::extract::ws::{Message as WsMessage, Utf8Bytes, WebSocket};
use bytes::Bytes;
use futures_util::{Sink, SinkExt, StreamExt, stream::SplitSink};
use strikewire_fanout::{Class, Message};
use strikewire_gateway::types::{Clock, Utc};
use strikewire_gateway::{Delivery, Inbox};
use tokio::sync::{mpsc, oneshot};

use super::answer;
use super::end::End;
use super::listen::Reader;
use super::meters::METERS;

/// How long a goodbye may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// The socket's side on which the client is written to.
pub(super) type Writer = SplitSink<WebSocket, WsMessage>;

/// Writes until the client is gone, there is nothing to be written any more, or `quit` says
/// so; a write under way is then broken off, to be gone on with by whoever takes the writer.
pub(super) async fn write(
    mut writer: Writer,
    inbox: Arc<Inbox>,
    pings: mpsc::Receiver<()>,
    clock: Clock,
    quit: oneshot::Receiver<()>,
) -> Writer {
    tokio::select! {
        biased;
        () = write_on(&mut writer, &inbox, pings, clock) => {}
        _ = quit => {}
    }
    writer
}

async fn write_on(writer: &mut Writer, inbox: &Inbox, mut pings: mpsc::Receiver<()>, clock: Clock) {
    loop {
        let written = tokio::select! {
            biased;
            ready = inbox.ready() => match ready {
                Ok(()) => write_all(writer, || inbox.try_next(), &mut pings, clock).await,
                Err(_) => return,
            },
            Some(()) = pings.recv() => writer.send(ping()).await,
        };
        if written.is_err() {
            return;
        }
    }
}

/// Writes what waits, and flushes once. For a client that reads slowly there may always be
/// more that waits: a ping goes out in between.
///
/// # Cancel safety
///
/// Safe: nothing is taken that is not with the writer at once, so that nothing is lost.
async fn write_all<W: Sink<WsMessage> + Unpin>(
    writer: &mut W,
    mut next: impl FnMut() -> Option<Delivery>,
    pings: &mut mpsc::Receiver<()>,
    clock: Clock,
) -> Result<(), W::Error> {
    let mut oldest: [Option<Utc>; Class::ALL.len()] = [None; _];
    loop {
        poll_fn(|context| writer.poll_ready_unpin(context)).await?;
        if pings.try_recv().is_ok() {
            writer.start_send_unpin(ping())?;
            continue;
        }
        let Some(Delivery { message, class }) = next() else {
            break;
        };
        if let (Some(class), Some(received)) = (class, message.received()) {
            let oldest = &mut oldest[class.index()];
            *oldest = Some(oldest.map_or(received, |oldest| oldest.min(received)));
        }
        writer.start_send_unpin(text(message))?;
    }
    writer.flush().await?;
    if oldest.iter().any(Option::is_some) {
        let now = clock.now().utc;
        for (class, received) in Class::ALL.into_iter().zip(oldest) {
            if let Some(received) = received {
                METERS.flushed(class, now.since(received));
            }
        }
    }
    Ok(())
}

/// Writes what still waits, for as long as a goodbye may take.
pub(super) async fn rest(writer: &mut Writer, inbox: &Inbox) {
    let _ = tokio::time::timeout(CLOSE_LIMIT, async {
        while let Some(next) = inbox.try_next() {
            // What is broken off here is the last that the client is sent.
            if writer.feed(text(next.message)).await.is_err() {
                break;
            }
        }
    })
    .await;
}

/// Tells a client why its socket ends, and waits a moment for its own goodbye: a socket that
/// is let go of with something unread takes back what was not received yet.
pub(super) async fn goodbye(mut writer: Writer, mut reader: Reader, end: End) {
    let said = async {
        if let Some((id, problem)) = end.error() {
            let error = WsMessage::text(answer::error(&id, &problem));
            writer.feed(error).await?;
        }
        match end.frame() {
            Some(frame) => {
                writer.send(WsMessage::Close(Some(frame))).await?;
                while let Some(Ok(_)) = reader.next().await {}
                Ok(())
            }
            None => writer.flush().await,
        }
    };
    let _: Result<Result<(), axum::Error>, _> = tokio::time::timeout(CLOSE_LIMIT, said).await;
}

const fn ping() -> WsMessage {
    WsMessage::Ping(Bytes::new())
}

fn text(message: Message) -> WsMessage {
    thread_local! {
        /// The text that this thread sent last. Many clients are sent the same one after the
        /// other, and whether it is UTF-8 need be looked at only once.
        static LAST: RefCell<Utf8Bytes> = RefCell::new(Utf8Bytes::default());
    }
    LAST.with_borrow_mut(|last| {
        let bytes = message.into_bytes();
        // It is still held, so nothing else can be where it is.
        if !core::ptr::eq::<[u8]>(last.as_str().as_bytes(), &*bytes) {
            // Put together from texts, so it is one.
            *last = Utf8Bytes::try_from(bytes).unwrap_or_default();
        }
        WsMessage::Text(last.clone())
    })
}

#[cfg(test)]
mod tests {
    use core::convert::Infallible;
    use core::pin::Pin;
    use core::task::{Context, Poll};
    use std::collections::VecDeque;

    use futures_util::FutureExt;

    use super::*;

    /// A socket that takes so many messages and then blocks.
    #[derive(Debug, Default)]
    struct Blocks {
        room: usize,
        written: Vec<String>,
    }

    impl Sink<WsMessage> for Blocks {
        type Error = Infallible;

        fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            if self.room == 0 {
                return Poll::Pending;
            }
            Poll::Ready(Ok(()))
        }

        fn start_send(mut self: Pin<&mut Self>, message: WsMessage) -> Result<(), Infallible> {
            self.room -= 1;
            self.written.push(match message {
                WsMessage::Text(text) => text.to_string(),
                WsMessage::Ping(_) => "ping".to_owned(),
                other => panic!("{other:?}"),
            });
            Ok(())
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }
    }

    fn delivery(number: usize) -> Delivery {
        Delivery {
            message: number.to_string().into(),
            class: None,
        }
    }

    #[test]
    fn a_client_for_which_there_is_always_more_is_pinged() {
        let (ping, mut pings) = mpsc::channel(1);
        let mut socket = Blocks {
            room: 6,
            ..Blocks::default()
        };
        let mut number = 0;
        let next = || {
            number += 1;
            if number == 3 {
                ping.try_send(()).unwrap();
            }
            Some(delivery(number))
        };
        let written = write_all(&mut socket, next, &mut pings, Clock::system());
        assert!(written.now_or_never().is_none(), "there is always more");
        assert_eq!(socket.written, ["1", "2", "3", "ping", "4", "5"]);
    }

    #[test]
    fn a_write_that_is_broken_off_has_lost_nothing() {
        let (_ping, mut pings) = mpsc::channel(1);
        let mut waiting: VecDeque<Delivery> = (1..=5).map(delivery).collect();
        let mut socket = Blocks {
            room: 2,
            ..Blocks::default()
        };
        let clock = Clock::system();
        let blocked = write_all(&mut socket, || waiting.pop_front(), &mut pings, clock);
        assert!(blocked.now_or_never().is_none());
        assert_eq!((socket.written.len(), waiting.len()), (2, 3));
        // Whoever takes the writer goes on where it ended.
        socket.room = 10;
        let rest = write_all(&mut socket, || waiting.pop_front(), &mut pings, clock);
        assert!(rest.now_or_never().is_some());
        assert_eq!(socket.written, ["1", "2", "3", "4", "5"]);
    }
}
