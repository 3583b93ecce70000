//! One connection, from the handshake to the end.

use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::Shared;
use crate::core::SessionId;

const HANDSHAKE: Duration = Duration::from_secs(10);
const PING: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(40);
const FAREWELL: Duration = Duration::from_secs(2);
/// Frames written between two flushes.
const BURST: usize = 256;

/// What a connection runs over.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Socket for T {}

/// Tells the core when the connection ends, however it ends.
struct Guard {
    shared: Arc<Shared>,
    id: SessionId,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let now = self.shared.clock.now();
        self.shared.with(|state| {
            state.lines.remove(&self.id);
            state.core.handle_close(now, self.id);
        });
    }
}

/// Serves a socket until either side ends it.
pub(super) async fn serve(socket: impl Socket, shared: Arc<Shared>) {
    let mut drops = shared.drops.subscribe();
    tokio::select! {
        result = talk(socket, &shared) => {
            if let Err(error) = result {
                tracing::debug!(%error, "connection ended");
            }
        }
        _ = drops.changed() => {}
    }
}

async fn talk(socket: impl Socket, shared: &Arc<Shared>) -> Result<(), Error> {
    let config = WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .write_buffer_size(64 * 1024)
        .max_write_buffer_size(4 * 1024 * 1024)
        .max_message_size(Some(256 * 1024))
        .max_frame_size(Some(256 * 1024));
    let mut admitted = None;
    let accepted = timeout(
        HANDSHAKE,
        tokio_tungstenite::accept_hdr_async_with_config(
            socket,
            |request: &Request, response| admit(shared, request, response, &mut admitted),
            Some(config),
        ),
    );
    let Ok(accepted) = accepted.await else {
        return Ok(());
    };
    // From here on the guard, if there is one, is dropped on every way out.
    let stream = accepted?;
    let Some((guard, frames)) = admitted else {
        return Ok(());
    };
    let (sink, stream) = stream.split();
    let writing = write(sink, frames);
    let reading = read(stream, &guard);
    tokio::pin!(writing, reading);
    tokio::select! {
        result = &mut reading => result,
        result = &mut writing => {
            result?;
            // The last words are under way. Closing while the client still sends would
            // reset the connection and might lose them.
            timeout(FAREWELL, reading).await.unwrap_or(Ok(()))
        }
    }
}
fn admit(
    shared: &Arc<Shared>,
    request: &Request,
    response: Response,
    admitted: &mut Option<(Guard, mpsc::Receiver<Bytes>)>,
) -> Result<Response, ErrorResponse> {
    let now = shared.clock.now();
    let query = request.uri().query().unwrap_or_default();
    let taken = shared.with(|state| {
        let id = state.core.handle_connect(now, query)?;
        let (line, frames) = mpsc::channel(state.core.config().queue.max(1));
        state.lines.insert(id, line);
        Ok((id, frames))
    });
    match taken {
        Ok((id, frames)) => {
            let shared = Arc::clone(shared);
            *admitted = Some((Guard { shared, id }, frames));
            Ok(response)
        }
        Err(refusal) => {
            let refusal: crate::core::Refusal = refusal;
            let mut response = ErrorResponse::new(Some(refusal.reason.to_owned()));
            *response.status_mut() =
                StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
            Err(response)
        }
    }
}

/// Writes frames until there will be none, then closes. Pings in between.
async fn write<S: Socket>(
    mut sink: SplitSink<WebSocketStream<S>, Message>,
    mut frames: mpsc::Receiver<Bytes>,
) -> Result<(), Error> {
    let mut pings = interval_at(Instant::now() + PING, PING);
    let mut burst = Vec::with_capacity(BURST);
    loop {
        tokio::select! {
            count = frames.recv_many(&mut burst, BURST) => {
                if count == 0 {
                    return sink.close().await;
                }
                for frame in burst.drain(..) {
                    sink.feed(Message::Binary(frame)).await?;
                }
                sink.flush().await?;
            }
            _ = pings.tick() => sink.send(Message::Ping(Bytes::new())).await?,
        }
    }
}

/// Reads until the client is gone or silent for too long.
async fn read<S: Socket>(
    mut stream: SplitStream<WebSocketStream<S>>,
    guard: &Guard,
) -> Result<(), Error> {
    while let Ok(Some(message)) = timeout(SILENCE, stream.next()).await {
        // Anything else is a sign of life: pongs, and the binary farewell of the
        // official Python client.
        if let Message::Text(text) = message? {
            let now = guard.shared.clock.now();
            guard
                .shared
                .with(|state| state.core.handle_text(now, guard.id, text.as_str()));
        }
    }
    Ok(())
}
