//! Asks a server.

use std::borrow::Cow;
use std::env::VarError;
use std::error::Error;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use clap::Args;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use strikewire_types::ParseError;

use crate::arguments::Format;
use crate::output::Output;

/// The environment variable that holds the key for the server.
const API_KEY: &str = "STRIKEWIRE_API_KEY";
/// How long a connection may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Which server, and how to answer.
#[derive(Debug, Clone, Args)]
pub(crate) struct Server {
    /// Where the server is. STRIKEWIRE_API_KEY holds the key where it wants one
    #[arg(
        long = "server",
        value_name = "URL",
        env = "STRIKEWIRE_SERVER",
        hide_env_values = true,
        default_value = "http://127.0.0.1:8080",
        value_parser = server_url
    )]
    url: Url,
    #[command(flatten)]
    pub(crate) format: Format,
}

fn server_url(text: &str) -> Result<Url, ParseError> {
    let is_one = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.query().is_none()
            && url.fragment().is_none()
    };
    let url = Url::parse(text).ok().filter(is_one);
    url.ok_or_else(|| ParseError::new(text, "an address such as http://127.0.0.1:8080"))
}

/// Asks one server, one thing after the other.
pub(crate) struct Client {
    url: Url,
    key: Option<HeaderValue>,
    http: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Client {
    pub(crate) fn new(server: &Server) -> anyhow::Result<Self> {
        // Shown in messages from here on.
        ensure!(
            server.url.username().is_empty() && server.url.password().is_none(),
            "the address of the server holds a user or a password; {API_KEY} holds the key"
        );
        let mut http = reqwest::Client::builder()
            .connect_timeout(CONNECT_LIMIT)
            .timeout(ANSWER_LIMIT)
            .redirect(reqwest::redirect::Policy::none());
        if is_local(&server.url) {
            // A proxy for the internet does not know what runs here.
            http = http.no_proxy();
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the runtime")?;
        Ok(Self {
            url: server.url.clone(),
            key: match std::env::var(API_KEY) {
                Ok(text) => key(&text)?,
                Err(VarError::NotPresent) => None,
                Err(VarError::NotUnicode(_)) => bail!("{API_KEY} holds no text"),
            },
            http: http.build().context("cannot make requests")?,
            runtime,
        })
    }

    /// The answer at a path, of segments that are not escaped yet.
    pub(crate) fn get(&self, path: &[&str], query: &[(&str, String)]) -> anyhow::Result<Answer> {
        let mut url = self.at(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let (status, answer) = self.send(Method::GET, url, None::<&()>)?;
        self.checked(status, answer)
    }

    /// The same, whatever the status says.
    pub(crate) fn get_anyway(&self, path: &[&str]) -> anyhow::Result<Answer> {
        Ok(self.send(Method::GET, self.at(path)?, None::<&()>)?.1)
    }

    pub(crate) fn post(&self, path: &[&str], body: &impl Serialize) -> anyhow::Result<Answer> {
        let (status, answer) = self.send(Method::POST, self.at(path)?, Some(body))?;
        self.checked(status, answer)
    }

    fn at(&self, path: &[&str]) -> anyhow::Result<Url> {
        let mut url = self.url.clone();
        url.path_segments_mut()
            .map_err(|()| anyhow!("{} has no paths", self.url))?
            .pop_if_empty()
            .extend(path);
        Ok(url)
    }

    fn send(
        &self,
        method: Method,
        url: Url,
        body: Option<&impl Serialize>,
    ) -> anyhow::Result<(StatusCode, Answer)> {
        let mut request = self
            .http
            .request(method, url)
            .header(ACCEPT, "application/json");
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, key);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        self.runtime.block_on(async {
            let answer = async {
                let response = request.send().await?;
                let status = response.status();
                Ok((status, Answer(response.bytes().await?.to_vec())))
            };
            answer.await.map_err(|error: reqwest::Error| {
                let server = self.url.as_str();
                if error.is_connect() {
                    anyhow!(
                        "no server answers at {server}: {}; `strikewired` starts one, --server or \
                         STRIKEWIRE_SERVER names another",
                        cause(&error)
                    )
                } else if error.is_timeout() {
                    anyhow!("the server at {server} did not answer within {ANSWER_LIMIT:?}")
                } else {
                    anyhow!("cannot ask the server at {server}: {}", cause(&error))
                }
            })
        })
    }

    fn checked(&self, status: StatusCode, answer: Answer) -> anyhow::Result<Answer> {
        if status.is_success() {
            return Ok(answer);
        }
        match serde_json::from_slice::<Problem>(&answer.0) {
            Ok(problem) => bail!("{}", problem.text()),
            Err(_) => bail!(
                "{} answers {status}, as no Strikewire server would",
                self.url
            ),
        }
    }
}

fn is_local(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let address = host.trim_matches(['[', ']']);
        host == "localhost"
            || address
                .parse()
                .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
    })
}

/// The header for a key; none for an empty one.
fn key(key: &str) -> anyhow::Result<Option<HeaderValue>> {
    if key.is_empty() {
        return Ok(None);
    }
    let mut value = HeaderValue::try_from(format!("Bearer {key}"))
        .map_err(|_| anyhow!("{API_KEY} holds no key: a key is printable ASCII"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// What is at the bottom of an error.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// A JSON document as it came.
#[derive(Debug)]
pub(crate) struct Answer(Vec<u8>);

impl Answer {
    pub(crate) fn read<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        serde_json::from_slice(&self.0).context("the server's answer is not as expected")
    }

    /// Shows it as a program or a person likes it.
    pub(crate) fn show<T: DeserializeOwned>(
        &self,
        format: Format,
        text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        let mut out = Output::new();
        if format.json {
            self.read::<serde::de::IgnoredAny>()?;
            return out.bytes(&[self.0.trim_ascii(), b"\n"].concat());
        }
        out.lines(&text(&self.read()?))
    }
}

/// Why a server did not do what it was asked.
#[derive(Debug, Deserialize)]
struct Problem {
    detail: String,
    #[serde(default)]
    field: Option<String>,
    #[serde(default)]
    choices: Vec<String>,
}

impl Problem {
    fn text(&self) -> String {
        let mut text = self.detail.clone();
        if let Some(field) = &self.field {
            text += &format!("\n  field: {field}");
        }
        if !self.choices.is_empty() {
            text += &format!("\n  choices: {}", self.choices.join(", "));
        }
        text
    }
}

/// `2026-02-09T10:00:00.623+05:30` as `2026-02-09 10:00:00`: the times of a server are
/// those of India.
pub(crate) fn short(time: &str) -> Cow<'_, str> {
    match (time.get(..10), time.get(10..11), time.get(11..19)) {
        (Some(date), Some("T"), Some(time)) => format!("{date} {time}").into(),
        _ => time.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_an_address() {
        for text in [
            "http://127.0.0.1:8080",
            "https://gateway.example/strikewire/",
            "http://[::1]:8080",
        ] {
            assert!(server_url(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "127.0.0.1:8080",
            "localhost",
            "ws://localhost:8080",
            "file:///x",
            "http://h/?key=1",
        ] {
            assert!(server_url(text).is_err(), "{text}");
        }
        let server = Server {
            url: server_url("http://me:hunter2@h/").unwrap(),
            format: Format { json: false },
        };
        let error = Client::new(&server).err().unwrap().to_string();
        assert!(!error.contains("hunter2"), "{error}");
        for (text, local) in [
            ("http://127.0.0.1:8080", true),
            ("http://[::1]:8080", true),
            ("http://localhost", true),
            ("http://10.0.0.1", false),
            ("https://localhost.example", false),
        ] {
            assert_eq!(is_local(&server_url(text).unwrap()), local, "{text}");
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        assert!(key("").unwrap().is_none());
        let header = key("hunter2").unwrap().unwrap();
        assert_eq!(header.as_bytes(), b"Bearer hunter2");
        assert!(!format!("{header:?}").contains("hunter2"));
        let error = key("hunter2\n").unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_problem_says_everything() {
        let problem: Problem = serde_json::from_str(
            r#"{"type":"urn:x","title":"The expiry is not listed","status":404,
                "detail":"RELIANCE has no expiry 25FEB2026 on NSE","code":"unlisted_expiry",
                "field":"expiry","choices":["24FEB2026","31MAR2026"],"request_id":"1-1"}"#,
        )
        .unwrap();
        assert_eq!(
            problem.text(),
            "RELIANCE has no expiry 25FEB2026 on NSE\n  field: expiry\n  choices: 24FEB2026, \
             31MAR2026"
        );
    }

    #[test]
    fn times_are_cut_to_seconds() {
        assert_eq!(
            short("2026-02-09T10:00:00.623+05:30"),
            "2026-02-09 10:00:00"
        );
        for text in ["", "soon", "2026-02-09", "é026-02-09T10:00:00"] {
            assert_eq!(short(text), text);
        }
    }
}
