//! One connection, from the first request to the end.

use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderValue, RETRY_AFTER, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::wire::{Control, Socket, Wire};
use super::{Line, RestState, Shared};
use crate::core::{Refusal, SessionId};

const HANDSHAKE: Duration = Duration::from_secs(10);
const PING: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(40);
const FAREWELL: Duration = Duration::from_secs(2);
/// How long an upgrade that is not to be answered is kept, if the client has so much
/// patience.
const PATIENCE: Duration = Duration::from_secs(300);
/// Frames written between two flushes.
const BURST: usize = 256;

type Stream = WebSocketStream<TokioIo<Upgraded>>;

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

/// A connection that was admitted to the feed and waits for its upgrade.
struct Admitted {
    guard: Guard,
    frames: mpsc::Receiver<Bytes>,
    upgrade: OnUpgrade,
}

/// An upgrade that is never answered.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("left unanswered")]
struct Unanswered;

/// Serves a socket until either side ends it.
pub(super) async fn serve(socket: impl Socket, shared: Arc<Shared>) {
    let mut drops = shared.drops.subscribe();
    let control = Arc::new(Control::default());
    let wire = Wire::new(socket, Arc::clone(&control));
    tokio::select! {
        // A reset comes before the last words.
        biased;
        () = control.is_to_be_reset() => {}
        result = talk(wire, &control, &shared) => {
            if let Err(error) = result {
                tracing::debug!(%error, "connection ended");
            }
        }
        _ = drops.changed() => {}
    }
}

async fn talk(
    wire: Wire<impl Socket>,
    control: &Arc<Control>,
    shared: &Arc<Shared>,
) -> Result<(), Error> {
    let admitted = Mutex::new(None);
    let service = service_fn(|request| answer(shared, control, request, &admitted));
    let http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE)
        .serve_connection(TokioIo::new(wire), service)
        .with_upgrades();
    if let Err(error) = http.await {
        tracing::debug!(%error, "connection ended");
        return Ok(());
    }
    let Some(Admitted {
        guard,
        frames,
        upgrade,
    }) = admitted.into_inner()
    else {
        return Ok(());
    };
    // From here on the guard is dropped on every way out.
    let Ok(upgraded) = upgrade.await else {
        return Ok(());
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .write_buffer_size(64 * 1024)
        .max_write_buffer_size(4 * 1024 * 1024)
        .max_message_size(Some(256 * 1024))
        .max_frame_size(Some(256 * 1024));
    let stream =
        WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
    let (sink, stream) = stream.split();
    let writing = write(sink, frames, control);
    let reading = read(stream, &guard, control);
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

/// A request for the feed is one that asks to become a WebSocket; the rest is REST.
async fn answer(
    shared: &Arc<Shared>,
    control: &Arc<Control>,
    mut request: Request<Incoming>,
    admitted: &Mutex<Option<Admitted>>,
) -> Result<Response<Full<Bytes>>, Unanswered> {
    if !wants_feed(request.headers()) {
        let state = RestState::new(Arc::clone(shared));
        return Ok(crate::rest::handle(&state, request).await);
    }
    let response = match create_response_with_body(&request, Full::default) {
        Ok(response) => response,
        Err(error) => return Ok(plain(StatusCode::BAD_REQUEST, error.to_string())),
    };
    let now = shared.clock.now();
    let query = request.uri().query().unwrap_or_default();
    let taken = shared.with(|state| {
        let id = state.core.handle_connect(now, query)?;
        let (frames, receiver) = mpsc::channel(state.core.config().queue.max(1));
        let control = Arc::clone(control);
        state.lines.insert(id, Line { frames, control });
        Ok((id, receiver))
    });
    match taken {
        Ok((id, frames)) => {
            let shared = Arc::clone(shared);
            *admitted.lock() = Some(Admitted {
                guard: Guard { shared, id },
                frames,
                upgrade: hyper::upgrade::on(&mut request),
            });
            Ok(response)
        }
        Err(refusal) => refuse(refusal).await,
    }
}

async fn refuse(refusal: Refusal) -> Result<Response<Full<Bytes>>, Unanswered> {
    if !refusal.is_answered() {
        sleep(PATIENCE).await;
        return Err(Unanswered);
    }
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = plain(status, refusal.reason);
    if let Some(after) = refusal.retry_after {
        let after = HeaderValue::from(after.as_secs());
        response.headers_mut().insert(RETRY_AFTER, after);
    }
    Ok(response)
}

fn wants_feed(headers: &HeaderMap) -> bool {
    headers
        .get(UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response
}

/// Writes frames until there will be none, then closes. Pings in between.
async fn write(
    mut sink: SplitSink<Stream, Message>,
    mut frames: mpsc::Receiver<Bytes>,
    control: &Control,
) -> Result<(), Error> {
    let mut pings = interval_at(Instant::now() + PING, PING);
    let mut burst = Vec::with_capacity(BURST);
    loop {
        tokio::select! {
            count = frames.recv_many(&mut burst, BURST) => {
                if count == 0 {
                    break;
                }
                for frame in burst.drain(..) {
                    sink.feed(Message::Binary(frame)).await?;
                }
                sink.flush().await?;
            }
            _ = pings.tick() => {
                if control.transport().pings() {
                    sink.send(Message::Ping(Bytes::new())).await?;
                }
            }
        }
    }
    if control.is_reset() || !control.transport().pings() {
        return Ok(());
    }
    if let Some((code, reason)) = control.farewell() {
        let (code, reason) = (code.into(), reason.into());
        sink.send(Message::Close(Some(CloseFrame { code, reason })))
            .await?;
    }
    sink.close().await
}

/// Reads until the client is gone or silent for too long.
async fn read(
    mut stream: SplitStream<Stream>,
    guard: &Guard,
    control: &Control,
) -> Result<(), Error> {
    loop {
        let message = match timeout(SILENCE, stream.next()).await {
            Ok(Some(message)) => message?,
            // Who does not listen hears no silence, and who sends no pings has no answers
            // to miss.
            Err(_) if !control.transport().pings() => continue,
            Ok(None) | Err(_) => return Ok(()),
        };
        // Anything else is a sign of life: pongs, and the binary farewell of the
        // official Python client.
        if let Message::Text(text) = message {
            let now = guard.shared.clock.now();
            guard
                .shared
                .with(|state| state.core.handle_text(now, guard.id, text.as_str()));
        }
    }
}
