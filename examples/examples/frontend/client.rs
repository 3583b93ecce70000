//! Talks to the server.

use std::error::Error;
use std::ops::ControlFlow;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::{Method, Url};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::Args;
use crate::chain::Chain;

/// Before the first attempt after the stream was lost; doubled with each that fails too.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// The server pings a quiet client more often than this.
const SILENCE: Duration = Duration::from_secs(60);

/// What a client has to tell.
pub(crate) enum Event<'a> {
    /// The chain is there, or has changed.
    Changed(&'a Chain),
    /// Something a person may want to know.
    Said(String),
}

/// Why a stream ended.
enum End {
    /// Whoever watches has had enough.
    Enough,
    /// To be tried again.
    Lost(String),
    /// Trying again would not help.
    Refused(String),
}

pub(crate) struct Client {
    args: Args,
    http: reqwest::Client,
    chain: Option<Chain>,
}

/// Asks by REST. A proxy for the internet does not know what runs on this machine.
fn http(server: &str) -> reqwest::Client {
    let url = Url::parse(server).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    let mut client = reqwest::Client::builder();
    if ["127.0.0.1", "localhost", "[::1]"].contains(&host) {
        client = client.no_proxy();
    }
    client.build().unwrap_or_default()
}

impl Client {
    pub(crate) fn new(args: Args) -> Self {
        Self {
            http: http(&args.server),
            args,
            chain: None,
        }
    }

    /// Tells `watch` what happens until it breaks.
    pub(crate) async fn run(
        mut self,
        mut watch: impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<(), Box<dyn Error>> {
        let session = self.login().await?;
        let expiry = match self.args.expiry.take() {
            Some(expiry) => expiry,
            None => self.nearest_expiry().await?,
        };
        // Again at every start: what is there already is left as it is.
        let added = self.post(
            "watchlist/add",
            json!({"symbol": self.args.symbol, "expiry": expiry}),
        );
        let said = added.await?["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let mut ended = watch(Event::Said(said)).is_break();
        let mut wait = FIRST_WAIT;
        while !ended {
            let seq = self.chain.as_ref().map(|chain| chain.seq);
            match self.stream(&expiry, &mut watch).await {
                End::Enough => break,
                End::Refused(why) => return Err(why.into()),
                End::Lost(why) => {
                    // Something came: the server is well.
                    if self.chain.as_ref().map(|chain| chain.seq) != seq {
                        wait = FIRST_WAIT;
                    }
                    let said = format!("{why}; again in {} ms", wait.as_millis());
                    ended = watch(Event::Said(said)).is_break();
                    sleep(wait).await;
                    wait = LONGEST_WAIT.min(wait * 2);
                }
            }
        }
        if let Some(session) = session {
            self.post("auth/logout", json!({"session_id": session}))
                .await?;
        }
        Ok(())
    }

    /// Where there are keys, a front end logs in. What its session holds goes with it.
    async fn login(&self) -> Result<Option<String>, Box<dyn Error>> {
        if self.args.key.is_none() {
            return Ok(None);
        }
        let session = self.post("auth/login", json!({})).await?;
        Ok(session["session_id"].as_str().map(str::to_owned))
    }

    async fn nearest_expiry(&self) -> Result<String, Box<dyn Error>> {
        let path = format!("instruments/{}/expiries", encoded(&self.args.symbol));
        let listed = self.ask(Method::GET, &path, None).await?;
        let nearest = listed["expiries"][0]["expiry"].as_str();
        Ok(nearest.ok_or("no expiry is listed")?.to_owned())
    }

    async fn post(&self, path: &str, mut body: Value) -> Result<Value, Box<dyn Error>> {
        // A key says whose it is.
        if self.args.key.is_none() {
            body["user_id"] = self.args.user.into();
        }
        self.ask(Method::POST, path, Some(body)).await
    }

    /// Asks by REST. A refusal is told in the server's own words.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, Box<dyn Error>> {
        let url = format!("{}/api/v2/{path}", self.args.server);
        let mut request = self.http.request(method, url);
        if let Some(key) = &self.args.key {
            request = request.bearer_auth(key);
        }
        if let Some(body) = &body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status();
        let answer: Value = response.json().await?;
        if status.is_success() {
            return Ok(answer);
        }
        let detail = answer["detail"].as_str().unwrap_or("no detail");
        Err(format!("{path}: {status}: {detail}").into())
    }

    /// One connection: until it is lost, or `watch` has had enough.
    async fn stream(
        &mut self,
        expiry: &str,
        watch: &mut impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> End {
        let url = format!(
            "{}/api/v2/stream",
            self.args.server.replacen("http", "ws", 1)
        );
        let mut request = match url.into_client_request() {
            Ok(request) => request,
            Err(error) => return End::Refused(format!("--server: {error}")),
        };
        if let Some(key) = &self.args.key {
            let Ok(value) = format!("Bearer {key}").parse() else {
                return End::Refused("the key has characters that no key has".to_owned());
            };
            request.headers_mut().insert("authorization", value);
        }
        let mut socket = match tokio_tungstenite::connect_async(request).await {
            Ok((socket, _)) => socket,
            Err(tungstenite::Error::Http(answer)) if answer.status().is_client_error() => {
                return End::Refused(format!("the stream: {}", answer.status()));
            }
            Err(error) => return End::Lost(format!("the stream: {error}")),
        };
        let mut subscribe = json!({"id": 1, "action": "subscribe", "channel": "chain",
                                   "symbol": self.args.symbol, "expiry": expiry});
        if let Some(chain) = &self.chain {
            // Go on where it was. If that is too long ago a snapshot comes instead.
            subscribe["action"] = "resume".into();
            subscribe["epoch"] = chain.epoch.as_str().into();
            subscribe["seq"] = chain.seq.into();
        }
        if let Err(error) = socket.send(Message::text(subscribe.to_string())).await {
            return End::Lost(format!("the stream: {error}"));
        }
        loop {
            let message = match timeout(SILENCE, socket.next()).await {
                Ok(Some(Ok(Message::Text(text)))) => text,
                Ok(Some(Ok(Message::Close(frame)))) => {
                    let why = frame.map(|frame| frame.reason.to_string());
                    return End::Lost(why.unwrap_or_else(|| "the server closed".to_owned()));
                }
                // Pings are answered by the library.
                Ok(Some(Ok(_))) => continue,
                Ok(Some(Err(error))) => return End::Lost(error.to_string()),
                Ok(None) => return End::Lost("the stream ended".to_owned()),
                Err(_) => return End::Lost("the server is silent".to_owned()),
            };
            let Ok(message) = serde_json::from_str::<Value>(&message) else {
                return End::Lost("a message was no JSON".to_owned());
            };
            let enough = match message["type"].as_str() {
                Some("snapshot") => {
                    self.chain = Chain::of(&message);
                    self.chain
                        .as_ref()
                        .map(|chain| watch(Event::Changed(chain)))
                }
                Some("delta") => {
                    if !self
                        .chain
                        .as_mut()
                        .is_some_and(|chain| chain.apply(&message))
                    {
                        // It does not follow: begin anew.
                        self.chain = None;
                        return End::Lost("a message is missing".to_owned());
                    }
                    self.chain
                        .as_ref()
                        .map(|chain| watch(Event::Changed(chain)))
                }
                Some("error") => {
                    let (code, detail) = (&message["code"], &message["detail"]);
                    return match code.as_str() {
                        Some("not_ready" | "price_unavailable" | "capacity_exhausted") => {
                            End::Lost(format!("{detail}"))
                        }
                        _ => End::Refused(format!("{code}: {detail}")),
                    };
                }
                // After `lagged` a snapshot comes.
                Some("lagged") => Some(watch(Event::Said(format!(
                    "too slow: {} changes were left out",
                    message["dropped"]
                )))),
                Some("notice" | "gap") => {
                    let said = message["detail"].as_str().or(message["cause"].as_str());
                    said.map(|said| watch(Event::Said(said.to_owned())))
                }
                _ => None,
            };
            if enough.is_some_and(|flow| flow.is_break()) {
                // Whether it is heard or not, the connection ends now.
                let _ = socket.close(None).await;
                return End::Enough;
            }
        }
    }
}

/// A part of a path, percent-encoded: symbols have `&` and `-` in them.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}
