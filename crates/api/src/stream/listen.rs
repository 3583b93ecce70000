//! Hears what a client sends: its messages, and that it is alive.

use axum::extract::ws::{Message, WebSocket};
use futures_util::{StreamExt, stream::SplitStream};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite;

use super::action::{self, Auth};
use super::backlog::{Asked, Backlog};
use super::end::End;
use super::meters::METERS;
use super::pulse::{Bucket, Pulse, Verdict};
use super::{Session, answer};
use crate::{Api, Code, Problem};

/// The socket's side on which the client is heard.
pub(super) type Reader = SplitStream<WebSocket>;

/// Listens until there is nobody to be heard any more. While `backlog` is full, because
/// something the client asked for takes its time, nothing is read.
pub(super) async fn listen(
    reader: &mut Reader,
    backlog: &Backlog,
    ping: &mpsc::Sender<()>,
    session: &Session,
) -> End {
    let end = listen_on(reader, backlog, ping, session).await;
    if !end.lets_finish() {
        return end;
    }
    // What was asked before is answered before.
    if backlog.put(Asked::End(Box::new(end))).await {
        core::future::pending().await
    } else {
        End::Stopping
    }
}

async fn listen_on(
    reader: &mut Reader,
    backlog: &Backlog,
    ping: &mpsc::Sender<()>,
    session: &Session,
) -> End {
    let begin = Instant::now();
    let (mut pulse, mut bucket) = (Pulse::new(begin), Bucket::new(begin));
    let mut timer = core::pin::pin!(tokio::time::sleep_until(pulse.next(&session.settings())));
    loop {
        let message = tokio::select! {
            message = reader.next() => message,
            () = &mut timer => {
                let settings = session.settings();
                let now = Instant::now();
                let due = pulse.due(now, &settings);
                if due.idle {
                    return End::Idle;
                }
                if due.look && !session.api.access.still_valid(&session.caller) {
                    let problem = Problem::new(Code::Unauthorized, "the key was revoked");
                    return End::Unauthorized { id: Value::Null, problem };
                }
                // One that was not written yet is as good.
                if due.ping && ping.try_send(()).is_ok() {
                    pulse.pinged();
                }
                timer.as_mut().reset(pulse.next(&settings));
                continue;
            }
        };
        let message = match heard(message, &session.api) {
            Ok(message) => message,
            Err(end) => return end,
        };
        let now = Instant::now();
        pulse.heard(now);
        if matches!(message, Message::Pong(_)) && pulse.ponged() {
            continue;
        }
        let settings = session.settings();
        let verdict = bucket.take(now, &settings);
        if verdict == Verdict::Flood {
            return End::Flood;
        }
        let ask = match message {
            // A ping is answered by the socket itself.
            Message::Ping(_) | Message::Pong(_) => continue,
            Message::Text(text) if text.len() > settings.message_bytes => {
                let most = settings.message_bytes;
                return End::TooLarge { most };
            }
            Message::Text(text) if verdict == Verdict::Taken => Asked::Text(text),
            Message::Text(text) => {
                METERS.refused_rate.increment(1);
                Asked::Refused(too_often(&action::id_of(&text), &settings))
            }
            _ => {
                let problem = Problem::new(Code::InvalidValue, "messages are JSON text");
                Asked::Refused(answer::error(&Value::Null, &problem))
            }
        };
        if !backlog.put(ask).await {
            return End::Stopping;
        }
    }
}

fn too_often(id: &Value, settings: &crate::settings::Stream) -> String {
    let detail = format!(
        "{} messages a second are accepted, {} at once",
        settings.messages_per_s, settings.message_burst
    );
    answer::error(id, &Problem::new(Code::RateLimited, detail))
}

/// The client's first message: its id, and the key in it. Pings may come before it, not
/// more often than messages may.
pub(super) async fn first(reader: &mut Reader, api: &Api) -> Result<(Value, String), End> {
    let mut bucket = Bucket::new(Instant::now());
    loop {
        let message = heard(reader.next().await, api)?;
        let settings = api.settings.load();
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(_) => {
                return Err(End::unauthorized(Value::Null, "a key is needed"));
            }
            _ if bucket.take(Instant::now(), &settings.stream) == Verdict::Flood => {
                return Err(End::Flood);
            }
            _ => continue,
        };
        let most = settings.stream.message_bytes;
        if text.len() > most {
            return Err(End::TooLarge { most });
        }
        return match action::auth(&text) {
            (id, Ok(Auth { key })) => Ok((id, key)),
            (id, Err(problem)) => Err(End::unauthorized(id, &problem.detail)),
        };
    }
}

/// What came, or what its not coming means.
fn heard(message: Option<Result<Message, axum::Error>>, api: &Api) -> Result<Message, End> {
    match message {
        Some(Ok(Message::Close(_))) => Err(End::Client),
        Some(Ok(message)) => Ok(message),
        Some(Err(error)) => Err(unheard(error, api)),
        None => Err(End::Lost),
    }
}

fn unheard(error: axum::Error, api: &Api) -> End {
    let inner = error.into_inner();
    match inner.downcast_ref::<tungstenite::Error>() {
        Some(tungstenite::Error::Capacity(_)) => End::TooLarge {
            most: api.settings.load().stream.message_bytes,
        },
        Some(tungstenite::Error::Utf8(_)) => End::NoText,
        Some(tungstenite::Error::Protocol(
            tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
        )) => End::Lost,
        Some(tungstenite::Error::Protocol(_)) => End::Protocol,
        _ => End::Lost,
    }
}
