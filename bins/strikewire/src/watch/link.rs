//! A connection to a server's stream.

use std::time::Duration;

use anyhow::anyhow;
use futures_util::{SinkExt, StreamExt};
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, RETRY_AFTER};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message as WsMessage};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
};

use super::message::{Message, Place, Wish};
use crate::client::{CONNECT_LIMIT, Client};
use crate::problem::Problem;

/// After how long without a sign of life the server is asked for one.
const SILENCE: Duration = Duration::from_secs(30);
/// The largest message that is read: a chain of a thousand strikes is smaller.
const LARGEST: usize = 16 * 1024 * 1024;

/// Why a connection has ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// Nothing more is wanted of it.
    Done,
    /// It may work another time.
    Lost {
        why: anyhow::Error,
        /// How long to wait, where that is known.
        after: Option<Duration>,
    },
    /// It will not work like this.
    Refused(anyhow::Error),
}

fn lost(why: anyhow::Error) -> Ended {
    Ended::Lost { why, after: None }
}

pub(super) struct Link {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// When the server was last heard of, or asked for a sign of life.
    since: Instant,
    /// Whether it owes one.
    is_asked: bool,
}

impl Link {
    /// Connects, and asks for everything that is wished for.
    pub(super) async fn open(
        client: &Client,
        wish: &Wish,
        place: Option<&Place>,
    ) -> Result<Self, Ended> {
        let mut url = client
            .at(&["api", "v2", "stream"])
            .map_err(Ended::Refused)?;
        let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
        if url.set_scheme(scheme).is_err() {
            return Err(Ended::Refused(anyhow!("{url} has no stream")));
        }
        let mut request = url
            .as_str()
            .into_client_request()
            .map_err(|error| Ended::Refused(anyhow!("{url} has no stream: {error}")))?;
        if let Some(key) = client.key() {
            request.headers_mut().insert(AUTHORIZATION, key.clone());
        }
        let config = WebSocketConfig::default()
            .max_message_size(Some(LARGEST))
            .max_frame_size(Some(LARGEST));
        let connector = Connector::Rustls(client.tls());
        let connecting =
            connect_async_tls_with_config(request, Some(config), true, Some(connector));
        let (socket, _) = match timeout(CONNECT_LIMIT, connecting).await {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => return Err(not_connected(client, &error)),
            Err(_) => {
                return Err(lost(anyhow!(
                    "the server at {} did not answer within {CONNECT_LIMIT:?}",
                    client.server()
                )));
            }
        };
        let mut link = Self {
            socket,
            since: Instant::now(),
            is_asked: false,
        };
        for request in wish.requests(place) {
            link.send(WsMessage::text(request)).await?;
        }
        Ok(link)
    }

    async fn send(&mut self, message: WsMessage) -> Result<(), Ended> {
        let sent = self.socket.send(message).await;
        sent.map_err(|error| lost(anyhow!("the connection broke: {error}")))
    }

    /// The next message; none for what is no message of ours.
    ///
    /// # Cancel safety
    ///
    /// No message is lost.
    pub(super) async fn next(&mut self) -> Result<Option<Message>, Ended> {
        let Ok(message) = timeout_at(self.since + SILENCE, self.socket.next()).await else {
            if self.is_asked {
                return Err(lost(anyhow!("nothing comes from the server any more")));
            }
            (self.since, self.is_asked) = (Instant::now(), true);
            self.send(WsMessage::Ping(Vec::new().into())).await?;
            return Ok(None);
        };
        (self.since, self.is_asked) = (Instant::now(), false);
        match message {
            Some(Ok(WsMessage::Text(text))) => Ok(Message::parse(&text)),
            Some(Ok(WsMessage::Close(frame))) => {
                let said = frame.map(|frame| frame.reason.to_string());
                Err(lost(match said.filter(|said| !said.is_empty()) {
                    Some(said) => anyhow!("the server closed the connection: {said}"),
                    None => anyhow!("the server closed the connection"),
                }))
            }
            Some(Ok(_)) => Ok(None),
            Some(Err(error)) => Err(lost(anyhow!("the connection broke: {error}"))),
            None => Err(lost(anyhow!("the connection ended"))),
        }
    }
}

/// Why there is no connection.
fn not_connected(client: &Client, error: &Error) -> Ended {
    let Error::Http(answer) = error else {
        return match error {
            Error::Io(_) | Error::Tls(_) => lost(client.unreachable(error)),
            _ => lost(anyhow!(
                "{} has no stream of a Strikewire server: {error}",
                client.server()
            )),
        };
    };
    let after = answer
        .headers()
        .get(RETRY_AFTER)
        .and_then(|after| after.to_str().ok()?.trim().parse().ok());
    let body = answer.body().as_deref().unwrap_or_default();
    let status = answer.status();
    let why = client.refused(status, after, body);
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        Ended::Lost {
            why,
            after: after.map(Duration::from_secs),
        }
    } else {
        Ended::Refused(why)
    }
}

/// What an error of the stream means for the connection.
pub(super) fn refused(problem: &Problem, why: anyhow::Error) -> Ended {
    match problem.code.as_str() {
        "not_ready" | "not_durable" | "store_unavailable" | "price_unavailable"
        | "capacity_exhausted" | "rate_limited" | "too_many_clients" | "internal" | "timeout" => {
            lost(why)
        }
        _ => Ended::Refused(why),
    }
}
