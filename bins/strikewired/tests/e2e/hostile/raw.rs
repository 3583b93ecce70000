//! HTTP by hand: what no client library would send can be sent.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::SOON;

/// A server's answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let of = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers.iter().find(of).map(|(_, value)| &**value)
    }

    /// The body; null when it is no JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// What came of bytes that were sent.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) answers: Vec<Answer>,
    /// Whether the server closed the connection.
    pub(crate) closed: bool,
}

/// Sends a request as it is described, well-formed on the outside.
pub(crate) async fn request(
    addr: &str,
    method: &str,
    target: &str,
    headers: &[(&str, &[u8])],
    body: &[u8],
) -> Answer {
    let mut bytes = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
    let has = |name: &str| {
        headers
            .iter()
            .any(|(key, _)| key.eq_ignore_ascii_case(name))
    };
    if !has("host") {
        bytes.extend(format!("host: {addr}\r\n").bytes());
    }
    if !body.is_empty() && !has("content-length") {
        bytes.extend(format!("content-length: {}\r\n", body.len()).bytes());
    }
    for (name, value) in headers {
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"connection: close\r\n\r\n");
    bytes.extend_from_slice(body);
    let outcome = exchange(addr, &bytes, false, SOON).await;
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
    assert_eq!(outcome.answers.len(), 1, "{shown}: {outcome:?}");
    assert!(outcome.closed, "{shown}: asked to close, but did not");
    outcome.answers.into_iter().next().expect("one answer")
}

/// Sends bytes as they are, and reads until the server closes or `limit` has passed.
/// `half` closes the sending side after them.
pub(crate) async fn exchange(addr: &str, bytes: &[u8], half: bool, limit: Duration) -> Outcome {
    let mut socket = TcpStream::connect(addr).await.expect("the server accepts");
    let (mut reading, mut writing) = socket.split();
    let mut heard = Vec::new();
    let talk = async {
        let write = async {
            // The server may close before all is written.
            let _ = writing.write_all(bytes).await;
            if half {
                let _ = writing.shutdown().await;
            }
        };
        let read = async {
            let mut piece = [0; 16 * 1024];
            // A reset is an end too: it comes when not all that was sent has been read.
            while let Ok(count @ 1..) = reading.read(&mut piece).await {
                heard.extend_from_slice(&piece[..count]);
            }
        };
        tokio::join!(write, read);
    };
    let closed = timeout(limit, talk).await.is_ok();
    Outcome {
        answers: answers(&heard),
        closed,
    }
}

/// The answers in a connection's bytes. One that is not whole is left out; `100 Continue`
/// is none.
fn answers(mut bytes: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let Some(status) = status.and_then(|status| status.parse().ok()) else {
            panic!("no answer of HTTP: {head}");
        };
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        bytes = &bytes[end + 4..];
        let mut answer = Answer {
            status,
            headers,
            body: Vec::new(),
        };
        if (100..200).contains(&status) {
            continue;
        }
        let length = answer.header("content-length").map(str::parse::<usize>);
        let chunked = answer.header("transfer-encoding") == Some("chunked");
        match length {
            Some(Ok(length)) => {
                // None follows the head of an answer to HEAD.
                let length = length.min(bytes.len());
                answer.body = bytes[..length].to_vec();
                bytes = &bytes[length..];
            }
            _ if chunked => (answer.body, bytes) = chunks(bytes),
            _ => {
                answer.body = bytes.to_vec();
                bytes = &[];
            }
        }
        answers.push(answer);
    }
    answers
}

/// The body in chunks at the beginning of `bytes`, and what follows it.
fn chunks(mut bytes: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&bytes[..end]).expect("a chunk's size");
        let size = usize::from_str_radix(size, 16).expect("a chunk's size");
        let start = end + 2;
        if size == 0 || bytes.len() < start + size + 2 {
            return (body, bytes.get(start + 2..).unwrap_or_default());
        }
        body.extend_from_slice(&bytes[start..start + size]);
        bytes = &bytes[start + size + 2..];
    }
    (body, bytes)
}
