//! Servers that answer what they are told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpSocket;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use crate::program::{Ran, program};

/// Nothing takes that long unless it hangs.
const LONG: Duration = Duration::from_secs(60);

/// What was asked: the first line, the headers in lower case, the body.
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) headers: Vec<String>,
    pub(crate) body: String,
}

impl Asked {
    /// The value of a header, in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find_map(|header| header.strip_prefix(name)?.strip_prefix(": "))
    }

    fn read(socket: &TcpStream) -> Self {
        let mut lines = BufReader::new(socket.try_clone().unwrap());
        let mut line = || {
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        };
        let mut asked = Self {
            line: line(),
            headers: std::iter::repeat_with(|| line().to_lowercase())
                .take_while(|line| !line.is_empty())
                .collect(),
            body: String::new(),
        };
        let length = asked.header("content-length");
        let length = length.map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        lines.read_exact(&mut body).unwrap();
        asked.body = String::from_utf8(body).unwrap();
        asked
    }
}

/// An address that nobody else gets, and where nobody listens but who is told to.
pub(crate) struct Held {
    _socket: TcpSocket,
    addr: SocketAddr,
    pub(crate) url: String,
}

impl Held {
    pub(crate) fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // A listener can take it too, as long as this does not listen.
        socket.set_reuseaddr(true).unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let addr = socket.local_addr().unwrap();
        Self {
            _socket: socket,
            addr,
            url: format!("http://{addr}"),
        }
    }

    /// Answers there as [`serve`] does, and then no more.
    pub(crate) fn serve(&self, answers: Vec<(&'static str, String)>) -> JoinHandle<Vec<Asked>> {
        let listener = TcpListener::bind(self.addr).unwrap();
        serve_at(listener, documents(answers))
    }
}

fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (socket, _) = listener.accept().unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    socket.set_write_timeout(Some(LONG)).unwrap();
    socket
}

/// Answers one request after the other with these bytes, one to a connection.
pub(crate) fn serve_bytes(answers: Vec<Vec<u8>>) -> (String, JoinHandle<Vec<Asked>>) {
    let (listener, url) = listen();
    (url, serve_at(listener, answers))
}

fn serve_at(listener: TcpListener, answers: Vec<Vec<u8>>) -> JoinHandle<Vec<Asked>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        for answer in answers {
            let mut socket = accept(&listener);
            all.push(Asked::read(&socket));
            socket.write_all(&answer).unwrap();
        }
        all
    })
}

/// The bytes of an answer: a status line, header lines, and a body, of which only so many
/// bytes may come.
pub(crate) fn answer(status: &str, headers: &[&str], body: &[u8], sent: usize) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\n");
    for header in headers {
        bytes += &format!("{header}\r\n");
    }
    bytes += &format!(
        "content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let mut bytes = bytes.into_bytes();
    bytes.extend(&body[..sent.min(body.len())]);
    bytes
}

/// Answers one request after the other, each with a status line and a document.
pub(crate) fn serve(answers: Vec<(&'static str, String)>) -> (String, JoinHandle<Vec<Asked>>) {
    serve_bytes(documents(answers))
}

fn documents(answers: Vec<(&'static str, String)>) -> Vec<Vec<u8>> {
    let json = ["content-type: application/json"];
    let answers = answers.into_iter();
    answers
        .map(|(status, body)| answer(status, &json, body.as_bytes(), usize::MAX))
        .collect()
}

/// One client of a stream.
pub(crate) struct Socket {
    socket: WebSocket<TcpStream>,
    /// Its key.
    pub(crate) key: Option<String>,
}

impl Socket {
    // The signature that tungstenite asks for.
    #[allow(clippy::result_large_err)]
    pub(crate) fn accept(listener: &TcpListener) -> Self {
        let mut key = None;
        let look = |request: &Request, response: Response| {
            assert_eq!(request.uri().path(), "/api/v2/stream");
            let header = request.headers().get("authorization");
            key = header.map(|key| key.to_str().unwrap().to_owned());
            Ok(response)
        };
        let socket = tungstenite::accept_hdr(accept(listener), look).unwrap();
        Self { socket, key }
    }

    /// The next message of the client; none when it went.
    pub(crate) fn heard(&mut self) -> Option<Value> {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Whether it could be sent.
    pub(crate) fn say(&mut self, message: &Value) -> bool {
        self.socket.send(Message::text(message.to_string())).is_ok()
    }
}

/// Has `play` deal with those who connect.
pub(crate) fn serve_stream<T: Send + 'static>(
    play: impl FnOnce(&TcpListener) -> T + Send + 'static,
) -> (String, JoinHandle<T>) {
    let (listener, url) = listen();
    (url, thread::spawn(move || play(&listener)))
}

/// Runs the program against a server.
pub(crate) fn ask(url: &str, key: Option<&str>, line: &[&str]) -> Ran {
    let mut command = program();
    command.args(line).env("STRIKEWIRE_SERVER", url);
    if let Some(key) = key {
        command.env("STRIKEWIRE_API_KEY", key);
    }
    Ran::of(command)
}
