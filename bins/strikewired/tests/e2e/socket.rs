//! A client of the stream.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::harness::SOON;

/// A client of the stream.
pub(crate) struct Socket {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Messages that were passed over while another was waited for.
    pub(crate) said: Vec<Value>,
}

impl Socket {
    pub(crate) async fn send(&mut self, message: &Value) {
        self.send_text(&message.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.socket
            .send(Message::text(text))
            .await
            .expect("the socket is open");
    }

    /// The next message that `wanted` accepts; none when the server closed.
    pub(crate) async fn find(&mut self, mut wanted: impl FnMut(&Value) -> bool) -> Option<Value> {
        if let Some(index) = self.said.iter().position(&mut wanted) {
            return Some(self.said.remove(index));
        }
        let found = tokio::time::timeout(SOON, async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => {
                        let value: Value = serde_json::from_str(&text).expect("JSON");
                        if wanted(&value) {
                            return Some(value);
                        }
                        self.said.push(value);
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                    Some(Ok(_)) => {}
                }
            }
        });
        match found.await {
            Ok(found) => found,
            Err(_) => panic!("no such message within {SOON:?}; others: {:?}", self.said),
        }
    }

    pub(crate) async fn of_type(&mut self, kind: &str) -> Value {
        self.find(|message| message["type"] == kind)
            .await
            .unwrap_or_else(|| panic!("the server closed before {kind}"))
    }

    /// Reads on in the background; what is of this type is kept.
    pub(crate) fn keep(mut self, kind: &'static str) -> Arc<Mutex<Vec<Value>>> {
        let kept = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn({
            let kept = Arc::clone(&kept);
            async move {
                while let Some(Ok(message)) = self.socket.next().await {
                    let Message::Text(text) = message else {
                        continue;
                    };
                    let value: Value = serde_json::from_str(&text).expect("JSON");
                    if value["type"] == kind {
                        kept.lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(value);
                    }
                }
            }
        });
        kept
    }

    /// Waits for the server's close, and gives its code.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        let closed = tokio::time::timeout(SOON, async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return None,
                }
            }
        });
        closed.await.expect("the server closes soon")
    }
}
