//! As much of WebSocket and HTTP as a load generator needs, for as little as possible: frames
//! are looked at where they lie in the buffer, and nothing is checked twice.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The kind of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// Of text.
    Text,
    /// Of bytes.
    Binary,
    /// Ends the connection.
    Close,
    /// Wants a pong.
    Ping,
    /// Answers a ping.
    Pong,
}

impl Opcode {
    const fn code(self) -> u8 {
        match self {
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Text),
            2 => Some(Self::Binary),
            8 => Some(Self::Close),
            9 => Some(Self::Ping),
            10 => Some(Self::Pong),
            _ => None,
        }
    }
}

/// A frame in the buffer of its reader.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Its kind.
    pub opcode: Opcode,
    /// What it carries, without a mask.
    pub payload: &'a [u8],
}

/// The reading end of a WebSocket.
#[derive(Debug)]
pub struct Reader {
    socket: OwnedReadHalf,
    writer: Option<OwnedWriteHalf>,
    buffer: Vec<u8>,
    /// What of the buffer is still to be looked at.
    start: usize,
    end: usize,
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl Reader {
    fn new(socket: TcpStream) -> Self {
        let (socket, writer) = socket.into_split();
        Self {
            socket,
            writer: Some(writer),
            buffer: vec![0; 16 * 1024],
            start: 0,
            end: 0,
        }
    }

    /// Answers the request for an upgrade that comes over `socket`.
    ///
    /// # Errors
    ///
    /// When it is none, or the connection breaks.
    ///
    /// # Cancel safety
    ///
    /// Not safe: what was read is lost.
    pub async fn accept(socket: TcpStream) -> io::Result<Self> {
        let mut reader = Self::new(socket);
        let head = reader.head().await?;
        let key = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))
            .map(|(_, key)| derive_accept_key(key.trim().as_bytes()))
            .ok_or_else(|| broken("a request without a key"))?;
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-accept: {key}\r\n\r\n"
        );
        if let Some(writer) = &mut reader.writer {
            writer.write_all(answer.as_bytes()).await?;
        }
        Ok(reader)
    }

    /// Asks for an upgrade at `path`.
    ///
    /// # Errors
    ///
    /// When it is refused, or the connection breaks.
    ///
    /// # Cancel safety
    ///
    /// Not safe: what was read is lost.
    pub async fn connect(socket: TcpStream, path: &str) -> io::Result<Self> {
        let mut reader = Self::new(socket);
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        if let Some(writer) = &mut reader.writer {
            writer.write_all(request.as_bytes()).await?;
        }
        let head = reader.head().await?;
        if head.starts_with("HTTP/1.1 101") {
            Ok(reader)
        } else {
            Err(broken(head.lines().next().unwrap_or_default()))
        }
    }

    /// The writing end, once.
    ///
    /// # Errors
    ///
    /// The second time.
    pub fn take_writer(&mut self) -> io::Result<OwnedWriteHalf> {
        self.writer.take().ok_or_else(|| broken("taken already"))
    }

    /// The head of a request or an answer, up to its empty line.
    async fn head(&mut self) -> io::Result<String> {
        loop {
            let seen = &self.buffer[self.start..self.end];
            if let Some(length) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&seen[..length]).into_owned();
                self.start += length + 4;
                return Ok(head);
            }
            self.fill(1).await?;
        }
    }

    /// Reads until there are `more` bytes more than there are.
    async fn fill(&mut self, more: usize) -> io::Result<()> {
        let wanted = self.end - self.start + more;
        if self.start + wanted > self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if wanted > self.buffer.len() {
                self.buffer.resize(wanted.next_power_of_two(), 0);
            }
        }
        while self.end - self.start < wanted {
            match self.socket.read(&mut self.buffer[self.end..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.end += count,
            }
        }
        Ok(())
    }

    /// Reads until there are `length` bytes.
    async fn have(&mut self, length: usize) -> io::Result<()> {
        let there = self.end - self.start;
        if there < length {
            self.fill(length - there).await?;
        }
        Ok(())
    }

    /// The next frame. One message in several frames is not understood.
    ///
    /// # Errors
    ///
    /// When the connection ends, or what comes is no frame.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn next(&mut self) -> io::Result<Frame<'_>> {
        self.have(2).await?;
        let [first, second] = [self.buffer[self.start], self.buffer[self.start + 1]];
        let opcode = (first & 0x80 != 0)
            .then(|| Opcode::from_code(first & 15))
            .flatten()
            .ok_or_else(|| broken("a frame of an unknown kind, or a part of one"))?;
        let is_masked = second & 0x80 != 0;
        let wide = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask_at = 2 + wide;
        let head = mask_at + if is_masked { 4 } else { 0 };
        self.have(head).await?;
        let bytes = &self.buffer[self.start..self.start + head];
        let length = if wide == 0 {
            usize::from(second & 0x7f)
        } else {
            (bytes[2..mask_at].iter()).fold(0, |length, byte| length << 8 | usize::from(*byte))
        };
        self.have(head + length).await?;
        let begin = self.start + head;
        if is_masked {
            let (heads, payload) = self.buffer.split_at_mut(begin);
            let mask = &heads[self.start + mask_at..];
            for (byte, mask) in payload[..length].iter_mut().zip(mask.iter().cycle()) {
                *byte ^= mask;
            }
        }
        self.start = begin + length;
        Ok(Frame {
            opcode,
            payload: &self.buffer[begin..begin + length],
        })
    }

    /// The body of an answer to a request without an upgrade, and whether it succeeded. Its
    /// length must be in its head.
    ///
    /// # Errors
    ///
    /// When the connection ends, or the head says no length.
    ///
    /// # Cancel safety
    ///
    /// Not safe: what was read is lost.
    pub async fn answer(&mut self) -> io::Result<(bool, &[u8])> {
        let head = self.head().await?;
        let length = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, length)| length.trim().parse().ok())
            .ok_or_else(|| broken("an answer without a length"))?;
        self.have(length).await?;
        let begin = self.start;
        self.start += length;
        let body = &self.buffer[begin..begin + length];
        Ok((head.starts_with("HTTP/1.1 200"), body))
    }
}

/// A connection that requests without an upgrade go over, one after the other.
///
/// # Errors
///
/// When nobody listens there.
///
/// # Cancel safety
///
/// Safe.
pub async fn http(address: &str) -> io::Result<(Reader, OwnedWriteHalf)> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let mut reader = Reader::new(socket);
    let writer = reader.take_writer()?;
    Ok((reader, writer))
}

/// Asks for `path` and gives the body of the answer, where that is 200.
///
/// # Errors
///
/// When the connection breaks or the answer is another.
///
/// # Cancel safety
///
/// Not safe: the connection may have half an answer.
pub async fn get<'a>(
    reader: &'a mut Reader,
    writer: &mut OwnedWriteHalf,
    path: &str,
) -> io::Result<&'a [u8]> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    writer.write_all(request.as_bytes()).await?;
    match reader.answer().await? {
        (true, body) => Ok(body),
        (false, body) => Err(broken(&String::from_utf8_lossy(body))),
    }
}

/// Writes a frame without a mask, as servers do.
pub fn write_frame(out: &mut Vec<u8>, opcode: Opcode, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    out.push(0x80 | opcode.code());
    if length < 126 {
        out.push(length as u8);
    } else {
        out.push(126);
        out.extend_from_slice(&(length as u16).to_be_bytes());
    }
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Writes a frame as clients do, with a mask of zeros.
pub fn write_masked(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    let head = out.len();
    write_frame(out, opcode, &[]);
    let length = payload.len();
    if length < 126 {
        out[head + 1] = 0x80 | length as u8;
    } else {
        out[head + 1] = 0x80 | 126;
        out.extend_from_slice(&(length as u16).to_be_bytes());
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// Fills the four bytes of the head of a binary frame of 126 to 65,535 bytes. Shorter ones
/// are said the long way too.
pub fn fill_head(head: &mut [u8], length: usize) {
    let [high, low] = (length as u16).to_be_bytes();
    head.copy_from_slice(&[0x80 | Opcode::Binary.code(), 126, high, low]);
}
