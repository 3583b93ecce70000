use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use jiff::fmt::rfc2822;
use secrecy::{ExposeSecret, SecretString};
use strikewire_broker::DownCause;
use strikewire_types::Utc;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use crate::credentials::{Endpoint, presentable};
use crate::wire::DISCONNECT_REQUEST;

pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

const KIB: usize = 1024;

/// The buffers of a socket. Frames of the feed are small: a large read buffer costs
/// more than it saves. A batch of requests is about 7 KiB, and the next one is asked for
/// when it has been written. A peer that announces a frame of more than 1 MiB (6,400
/// full packets) is not the broker.
fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(16 * KIB)
        .write_buffer_size(16 * KIB)
        .max_write_buffer_size(256 * KIB)
        .max_message_size(Some(KIB * KIB))
        .max_frame_size(Some(KIB * KIB))
}

/// Why an upgrade failed, and what the broker asks for.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) cause: DownCause,
    pub(super) retry_after: Option<Duration>,
}

impl From<DownCause> for Failure {
    fn from(cause: DownCause) -> Self {
        Self {
            cause,
            retry_after: None,
        }
    }
}

/// The first half of an attempt: name look-up and TCP. Its time is limited by the
/// machine, which drops it.
pub(super) async fn reach(endpoint: Endpoint) -> Result<TcpStream, Failure> {
    let (host, port) = endpoint.address();
    let failed = |error: io::Error| DownCause::Connect(format!("{host}:{port}: {error}"));
    let stream = TcpStream::connect((host, port)).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    Ok(stream)
}

/// The second half: TLS and the upgrade.
pub(super) async fn upgrade(
    stream: TcpStream,
    endpoint: Endpoint,
    client_id: String,
    token: SecretString,
    tls: Option<Arc<rustls::ClientConfig>>,
    now: Utc,
) -> Result<Socket, Failure> {
    let url = endpoint.with_query(&client_id, &token);
    let connector = tls.map(Connector::Rustls);
    let upgrade = async {
        let request = url.expose_secret().into_client_request()?;
        client_async_tls_with_config(request, stream, Some(config()), connector).await
    };
    match upgrade.await {
        Ok((socket, _)) => Ok(socket),
        Err(WsError::Http(response)) => {
            let retry_after = response.headers().get("retry-after");
            Err(Failure {
                cause: DownCause::Refused {
                    status: response.status().as_u16(),
                },
                retry_after: retry_after
                    .and_then(|value| value.to_str().ok())
                    .and_then(|text| retry_after_in(text, now)),
            })
        }
        Err(error) => Err(DownCause::Connect(describe(&error, &token)).into()),
    }
}

/// What a `Retry-After` says (RFC 9110, 10.2.3): a number of seconds, or a date. None
/// for anything else.
fn retry_after_in(text: &str, now: Utc) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    let nanos = i64::try_from(date.as_nanosecond()).ok()?;
    Some(Utc::from_nanos(nanos).since(now))
}

/// An error of a socket in words that can be shown.
pub(super) fn describe(error: &WsError, token: &SecretString) -> String {
    match error {
        // Their text may contain the address, and so the token.
        WsError::Url(_) | WsError::HttpFormat(_) | WsError::Http(_) => {
            "the upgrade could not be asked for or was refused".to_owned()
        }
        other => presentable(&other.to_string(), token),
    }
}

/// Messages that make up one batch, on their way out.
#[derive(Debug)]
pub(super) struct Outbox(VecDeque<String>);

impl Outbox {
    pub(super) fn new(messages: impl Iterator<Item = String>) -> Self {
        Self(messages.collect())
    }

    /// Ready once everything has been written to the socket.
    pub(super) fn poll_flush(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), WsError>> {
        while !self.0.is_empty() {
            ready!(socket.poll_ready_unpin(cx))?;
            if let Some(text) = self.0.pop_front() {
                socket.start_send_unpin(Message::text(text))?;
            }
        }
        socket.poll_flush_unpin(cx)
    }
}

/// Tells the broker that the client leaves, and waits for its answer. Its time is
/// limited by the machine, which drops it.
pub(super) async fn take_leave(mut socket: Socket) {
    let leave = async {
        socket.send(Message::text(DISCONNECT_REQUEST)).await?;
        socket.close(None).await?;
        while let Some(message) = socket.next().await {
            message?;
        }
        Ok::<_, WsError>(())
    };
    // What goes wrong now concerns nobody: the socket is dropped in any case.
    let _ = leave.await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        // 1994-11-06T08:49:37Z, the date of the example in RFC 9110.
        let date = Utc::default() + Duration::from_secs(784_111_777);
        for (text, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(90)),
            ("Sun, 06 Nov 1994 08:40:00 GMT", Some(0)),
            ("", None),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(
                retry_after_in(text, date - Duration::from_secs(90)),
                seconds.map(Duration::from_secs),
                "{text}"
            );
        }
    }
}
