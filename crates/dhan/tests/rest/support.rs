use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use strikewire_dhan::{DhanRest, RestConfig, RestLimits, RestTimeouts, TokenSource};
use strikewire_types::{InstrumentKey, PriceStep, Segment};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const TOKEN: &str = "eyJ0eXAiOiJKV1QifQ.eyJzM2NyM3QiOjF9.s3cr3t-s1gnature_";
pub(crate) const CLIENT: &str = "1000000001";
pub(crate) const STEP: PriceStep = PriceStep::from_raw(500);
pub(crate) const NIFTY: InstrumentKey = InstrumentKey::new(Segment::IdxI, 13);
pub(crate) const HDFC: InstrumentKey = InstrumentKey::new(Segment::NseEq, 1333);

/// A quote of HDFC that is good.
pub(crate) const QUOTE: &str =
    r#"{"data":{"NSE_EQ":{"1333":{"last_price":1650.4}}},"status":"success"}"#;

/// What the server was asked.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Method and path.
    pub(crate) line: String,
    /// By lower-case name.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

/// What the server does with a request.
pub(crate) enum Reply {
    /// Writes these bytes and closes.
    Bytes(Vec<u8>),
    /// Writes these bytes and stays.
    Hang(Vec<u8>),
}

/// A server that remembers what it was asked.
pub(crate) struct Server {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers the `n`th request, from 0, with `reply(n, request)`.
    pub(crate) async fn new(
        reply: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let reply = Arc::new(reply);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&seen), Arc::clone(&reply)));
            }
        });
        Self { url, requests }
    }

    /// Answers everything the same.
    pub(crate) async fn always(reply: Vec<u8>) -> Self {
        Self::new(move |_, _| Reply::Bytes(reply.clone())).await
    }

    pub(crate) fn requests(&self) -> MutexGuard<'_, Vec<Request>> {
        self.requests.lock().unwrap()
    }

    /// A client of it, with limits that no test has to wait for.
    pub(crate) fn client(&self) -> DhanRest {
        DhanRest::new(self.config()).unwrap()
    }

    pub(crate) fn config(&self) -> RestConfig {
        RestConfig {
            url: self.url.clone(),
            client_id: CLIENT.to_owned(),
            token: TokenSource::Fixed(TOKEN.into()),
            master_url: format!("{}/api-data", self.url),
            limits: RestLimits {
                quote_every: Duration::from_millis(1),
                chain_every: Duration::from_millis(1),
                data_every: Duration::from_millis(1),
                rest_first: Duration::from_millis(1),
                backoff: Duration::from_millis(1),
                ..RestLimits::default()
            },
            timeouts: RestTimeouts::default(),
            seed: 1,
        }
    }
}

async fn serve(
    mut stream: TcpStream,
    seen: Arc<Mutex<Vec<Request>>>,
    reply: Arc<impl Fn(usize, &Request) -> Reply>,
) {
    let Some(request) = read(&mut stream).await else {
        return;
    };
    let reply = {
        let mut seen = seen.lock().unwrap();
        seen.push(request.clone());
        reply(seen.len() - 1, &request)
    };
    match reply {
        Reply::Bytes(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Reply::Hang(bytes) => {
            let _ = stream.write_all(&bytes).await;
            // Until the client goes.
            let _ = stream.read(&mut [0]).await;
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
        // A hello of TLS is no request.
        if head[0] == 0x16 {
            stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .await
                .ok()?;
            return None;
        }
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let line = lines.next().unwrap();
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers
        .get("content-length")
        .map_or(0, |n| n.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request {
        line: line.trim_end_matches(" HTTP/1.1").to_owned(),
        headers,
        body: String::from_utf8(body).unwrap(),
    })
}

/// An answer with its length, and headers given as whole lines.
pub(crate) fn answer(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

pub(crate) fn ok(body: impl AsRef<[u8]>) -> Vec<u8> {
    answer("200 OK", "Content-Type: application/json\r\n", body)
}
