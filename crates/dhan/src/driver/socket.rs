use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::collections::VecDeque;
use std::io;

use futures_util::{SinkExt, StreamExt};
use secrecy::{ExposeSecret, SecretString};
use strikewire_broker::DownCause;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use crate::credentials::{Endpoint, presentable};
use crate::wire::DISCONNECT_REQUEST;

pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

const KIB: usize = 1024;

/// The buffers of a socket. Frames of the feed are small: a large read buffer costs
/// more than it saves. A batch of requests is about 7 KiB.
fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(16 * KIB)
        .write_buffer_size(16 * KIB)
        .max_write_buffer_size(256 * KIB)
        .max_message_size(Some(KIB * KIB))
        .max_frame_size(Some(KIB * KIB))
}

/// One attempt: look-up, TCP, TLS, upgrade. Its time is limited by the machine, which
/// drops it.
pub(super) async fn connect(
    endpoint: Endpoint,
    client_id: String,
    token: SecretString,
) -> Result<Socket, DownCause> {
    let (host, port) = endpoint.address();
    let failed = |error: io::Error| DownCause::Connect(format!("{host}:{port}: {error}"));
    let stream = TcpStream::connect((host, port)).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let url = endpoint.with_query(&client_id, &token);
    let upgrade = async {
        let request = url.expose_secret().into_client_request()?;
        client_async_tls_with_config(request, stream, Some(config()), None).await
    };
    match upgrade.await {
        Ok((socket, _)) => Ok(socket),
        Err(WsError::Http(response)) => Err(DownCause::Refused {
            status: response.status().as_u16(),
        }),
        Err(error) => Err(DownCause::Connect(describe(&error, &token))),
    }
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

/// Tells the broker on all `sockets` that the client leaves, and waits for its answer
/// no longer than `limit`.
pub(crate) async fn say_goodbye(sockets: Vec<Socket>, limit: Duration) {
    let goodbyes = sockets.into_iter().map(|mut socket| async move {
        socket.send(Message::text(DISCONNECT_REQUEST)).await?;
        socket.close(None).await?;
        while let Some(message) = socket.next().await {
            message?;
        }
        Ok::<_, WsError>(())
    });
    // What goes wrong now concerns nobody: the sockets are dropped in any case.
    let _ = tokio::time::timeout(limit, futures_util::future::join_all(goodbyes)).await;
}
