//! Writes what the hub has for a client: all that waits, then one flush.

use core::cell::RefCell;
use core::time::Duration;
use std::sync::Arc;

use axum::extract::ws::{Message as WsMessage, Utf8Bytes, WebSocket};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream::SplitSink};
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
            first = inbox.next() => match first {
                Ok(first) => write_all(writer, inbox, first, clock).await,
                Err(_) => return,
            },
            Some(()) = pings.recv() => writer.send(WsMessage::Ping(Bytes::new())).await,
        };
        if written.is_err() {
            return;
        }
    }
}

/// Writes what waits, and flushes once.
async fn write_all(
    writer: &mut Writer,
    inbox: &Inbox,
    first: Delivery,
    clock: Clock,
) -> Result<(), axum::Error> {
    let mut oldest: [Option<Utc>; Class::ALL.len()] = [None; _];
    let mut next = Some(first);
    while let Some(Delivery { message, class }) = next {
        if let (Some(class), Some(received)) = (class, message.received()) {
            let oldest = &mut oldest[class.index()];
            *oldest = Some(oldest.map_or(received, |oldest| oldest.min(received)));
        }
        writer.feed(text(message)).await?;
        next = inbox.try_next();
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
