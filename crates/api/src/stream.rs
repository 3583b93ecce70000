//! The stream: `GET /api/v2/stream`, a WebSocket of JSON texts.
//!
//! Two tasks serve a client. One writes what the hub has for it, and is woken for that
//! alone: it is what happens most. The other one listens, obeys one message after the other,
//! and waits for a reason to end, all at the same time; whichever ends first ends the others.

mod action;
mod answer;
mod backlog;
mod end;
mod listen;
mod meters;
mod obey;
mod pulse;
mod seats;
mod write;

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::sync::Arc;

use axum::Extension;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, State};
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::StreamExt;
use serde_json::Value;
use strikewire_gateway::StreamLimits;
use tokio::sync::{mpsc, oneshot};

use crate::router::origin_allowed;
use crate::settings::Stream as Settings;
use crate::{Api, Caller, Code, Problem};

use end::End;
use meters::METERS;
pub(crate) use seats::Seats;
use seats::{Seat, Stool};
use write::Writer;

/// How long a client may take to say who it is.
const AUTH_LIMIT: Duration = Duration::from_secs(10);

/// Bytes that a client may go beyond its limit and still be told in good order. Beyond
/// that, too, but with the rest of its message unread, so it may not hear it.
const SLACK: usize = 64 * 1024;

/// Bytes read from a socket at once, and gathered before they are written to it. The
/// defaults are made for few sockets.
const READ_BUFFER: usize = 4 * 1024;
const WRITE_BUFFER: usize = 16 * 1024;

pub(crate) async fn upgrade(
    State(api): State<Api>,
    caller: Option<Extension<Caller>>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|rejection| {
        let detail = format!("a WebSocket is expected here: {}", rejection.body_text());
        Problem::new(Code::InvalidValue, detail)
    })?;
    let settings = api.settings.load_full();
    if !origin_allowed(&settings.http, &headers) {
        METERS.refused_origin.increment(1);
        return Err(Problem::new(
            Code::Forbidden,
            "pages of this origin may not use the stream; see http.cors_origins",
        ));
    }
    let stream = &settings.stream;
    let from = peer.map(|Extension(ConnectInfo(peer))| peer.ip());
    let who = match caller {
        Some(Extension(caller)) => seat(&api, &caller).map(|seat| {
            Who::Known(Known {
                caller,
                seat,
                hello: None,
            })
        }),
        None => Seats::wait(&api.seats, from).map(Who::Stranger),
    };
    let who = who.inspect_err(|_| METERS.refused_clients.increment(1))?;
    let visitor = Visitor {
        api: api.clone(),
        from,
        who,
    };
    let most = stream.message_bytes.saturating_add(SLACK);
    Ok(upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(most)
        .max_frame_size(most)
        .on_upgrade(move |socket| visitor.serve(socket)))
}

/// A place for one more client.
fn seat(api: &Api, caller: &Caller) -> Result<Seat, Problem> {
    let settings = &api.settings.load().stream;
    Seats::take(&api.seats, settings.max_clients)?.of_user(caller.user(), settings.clients_per_user)
}

/// Somebody who has come for the stream.
struct Visitor {
    api: Api,
    from: Option<IpAddr>,
    who: Who,
}

enum Who {
    Known(Known),
    /// It has to say who it is.
    Stranger(Stool),
}

/// Somebody who may use the stream.
struct Known {
    caller: Caller,
    seat: Seat,
    /// What it is answered that has just said who it is.
    hello: Option<String>,
}

/// What the parts of a client's task share.
struct Session {
    api: Api,
    caller: Caller,
    from: Option<IpAddr>,
}

impl Session {
    /// What holds now: it may change at any time.
    fn settings(&self) -> Settings {
        self.api.settings.load().stream.clone()
    }
}

impl Visitor {
    async fn serve(self, socket: WebSocket) {
        let Self { api, from, who } = self;
        let (writer, mut reader) = socket.split();
        let known = match who {
            Who::Known(known) => Ok(known),
            Who::Stranger(stool) => {
                let known = introduced(&api, from, &mut reader).await;
                drop(stool);
                known
            }
        };
        let (writer, end) = match known {
            Ok(Known {
                caller,
                seat,
                hello,
            }) => {
                let session = Session { api, caller, from };
                let ended = session.run(writer, &mut reader, hello).await;
                drop(seat);
                ended
            }
            Err(end) => (Some(writer), end),
        };
        METERS.ended(&end);
        if let Some(writer) = writer {
            write::goodbye(writer, reader, end).await;
        }
    }
}

/// Finds out who it is, and has a seat for it.
async fn introduced(
    api: &Api,
    from: Option<IpAddr>,
    reader: &mut listen::Reader,
) -> Result<Known, End> {
    let asks = async {
        let first = tokio::time::timeout(AUTH_LIMIT, listen::first(reader, api)).await;
        let (id, key) = match first {
            Err(_) => return Err(End::unauthorized(Value::Null, "no key came in time")),
            Ok(heard) => heard?,
        };
        let rates = api.settings.load().rates.clone();
        // The address was counted when it opened the socket.
        match api.access.admit_key(Some(&key), from, &rates).await {
            Ok(caller) => Ok((id, caller)),
            Err(problem) => Err(End::refused(id, problem)),
        }
    };
    let (id, caller) = tokio::select! {
        asked = asks => asked.inspect_err(|end| METERS.turned_away(end))?,
        () = api.stop.cancelled() => return Err(End::Stopping),
    };
    match seat(api, &caller) {
        Ok(seat) => {
            let hello = Some(answer::welcome(&id, &caller));
            Ok(Known {
                caller,
                seat,
                hello,
            })
        }
        Err(problem) => {
            METERS.refused_clients.increment(1);
            Err(End::TooManyClients { id, problem })
        }
    }
}

impl Session {
    /// Serves the client until something ends it; gives the writing side back.
    async fn run(
        self,
        writer: Writer,
        reader: &mut listen::Reader,
        hello: Option<String>,
    ) -> (Option<Writer>, End) {
        let settings = self.settings();
        let limits = StreamLimits {
            messages: settings.client_queue,
            bytes: settings.client_queue_bytes,
            stall: settings.stall_limit,
        };
        let Ok((client, inbox)) = self.api.gateway.open_stream(limits).await else {
            return (Some(writer), End::Stopping);
        };
        if let Some(hello) = hello {
            client.answer(hello.into());
        }
        let inbox = Arc::new(inbox);
        let (backlog, waiting) = backlog::backlog();
        // One ping at a time: another one before it was written says nothing more.
        let (ping, pings) = mpsc::channel(1);
        let (quit, quitting) = oneshot::channel();
        let clock = self.api.gateway.clock();
        let mut writing = tokio::spawn(write::write(
            writer,
            Arc::clone(&inbox),
            pings,
            clock,
            quitting,
        ));
        let mut written = None;
        let end = tokio::select! {
            biased;
            () = self.api.stop.cancelled() => End::Stopping,
            end = inbox.ended() => end.into(),
            given_up = &mut writing => {
                written = Some(given_up);
                End::Lost
            }
            end = listen::listen(reader, &backlog, &ping, &self) => end,
            end = obey::obey(waiting, client, &self) => end,
        };
        drop(quit);
        let given_up = match written {
            Some(given_up) => given_up,
            None => writing.await,
        };
        let mut writer = given_up.ok();
        if let Some(writer) = &mut writer
            && end.lets_finish()
        {
            write::rest(writer, &inbox).await;
        }
        (writer, end)
    }
}
