//! Asks a server.

use std::borrow::Cow;
use std::env::VarError;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::arguments::Format;
use crate::output::Output;
use crate::problem::{Circumstances, Problem};
use crate::tls;

/// The environment variable that holds the key for the server.
const API_KEY: &str = "STRIKEWIRE_API_KEY";
/// Where the flags of a server stand in the help.
const SERVER: &str = "Server";
/// How long a connection may take to be made.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(5);
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
        help_heading = SERVER
    )]
    // Not checked before it is used: a value that does not parse is repeated.
    url: String,
    /// Certificates (PEM) of authorities to trust beside the public ones
    #[arg(long, value_name = "FILE", env = "STRIKEWIRE_CA", help_heading = SERVER)]
    ca: Option<PathBuf>,
    /// Say more when something is refused: its code, and the id of the request in the
    /// server's log
    #[arg(short, long, help_heading = SERVER)]
    verbose: bool,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// An address of HTTP that can be shown: nothing in it is secret.
pub(crate) fn http_url(text: &str) -> Option<Url> {
    let is_one = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    };
    Url::parse(text).ok().filter(is_one)
}

fn server_url(text: &str) -> anyhow::Result<Url> {
    // What is not one may hold a password.
    http_url(text).with_context(|| {
        format!(
            "--server or STRIKEWIRE_SERVER: expected an address such as http://127.0.0.1:8080, \
             without user, password or query; {API_KEY} holds the key"
        )
    })
}

/// Asks one server, one thing after the other.
pub(crate) struct Client {
    url: Url,
    key: Option<HeaderValue>,
    http: reqwest::Client,
    tls: Arc<rustls::ClientConfig>,
    runtime: tokio::runtime::Runtime,
    is_verbose: bool,
}

impl Client {
    pub(crate) fn new(server: &Server) -> anyhow::Result<Self> {
        let url = server_url(&server.url)?;
        let tls = tls::config(server.ca.as_deref())?;
        let mut http = reqwest::Client::builder()
            .tls_backend_preconfigured((*tls).clone())
            .connect_timeout(CONNECT_LIMIT)
            .timeout(ANSWER_LIMIT)
            .redirect(reqwest::redirect::Policy::none());
        if is_local(&url) {
            // A proxy for the internet does not know what runs here.
            http = http.no_proxy();
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the runtime")?;
        Ok(Self {
            url,
            key: match std::env::var(API_KEY) {
                Ok(text) => key(&text)?,
                Err(VarError::NotPresent) => None,
                Err(VarError::NotUnicode(_)) => bail!("{API_KEY} holds no text"),
            },
            http: http.build().context("cannot make requests")?,
            tls,
            runtime,
            is_verbose: server.verbose,
        })
    }

    /// Where the server is, for people.
    pub(crate) fn server(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    pub(crate) fn tls(&self) -> Arc<rustls::ClientConfig> {
        Arc::clone(&self.tls)
    }

    /// The header that says who asks.
    pub(crate) const fn key(&self) -> Option<&HeaderValue> {
        self.key.as_ref()
    }

    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// The answer at a path, of segments that are not escaped yet.
    pub(crate) fn get(&self, path: &[&str], query: &[(&str, String)]) -> anyhow::Result<Answer> {
        self.block_on(self.ask(Method::GET, path, query, None::<&()>))?
            .checked(self)
    }

    pub(crate) fn post(&self, path: &[&str], body: &impl Serialize) -> anyhow::Result<Answer> {
        self.block_on(self.ask(Method::POST, path, &[], Some(body)))?
            .checked(self)
    }

    /// The address of a path, of segments that are not escaped yet.
    pub(crate) fn at(&self, path: &[&str]) -> anyhow::Result<Url> {
        let mut url = self.url.clone();
        url.path_segments_mut()
            .map_err(|()| anyhow!("{} has no paths", self.url))?
            .pop_if_empty()
            .extend(path);
        Ok(url)
    }

    /// Whatever the server says.
    ///
    /// # Cancel safety
    ///
    /// The server may have done what it was asked.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&impl Serialize>,
    ) -> anyhow::Result<Reply> {
        let mut url = self.at(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
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
        let answer = async {
            let response = request.send().await?;
            let after = response.headers().get(RETRY_AFTER);
            let after = after.and_then(|after| after.to_str().ok());
            Ok(Reply {
                status: response.status(),
                retry_after: after.and_then(|after| after.trim().parse().ok()),
                answer: Answer(response.bytes().await?.to_vec()),
            })
        };
        answer.await.map_err(|error: reqwest::Error| {
            if error.is_connect() {
                self.unreachable(&error)
            } else if error.is_timeout() {
                anyhow!(
                    "the server at {} did not answer within {ANSWER_LIMIT:?}",
                    self.server()
                )
            } else {
                anyhow!(
                    "cannot ask the server at {}: {}",
                    self.server(),
                    cause(&error)
                )
            }
        })
    }

    /// That nobody is there, or nobody to be trusted, and what to do about it.
    pub(crate) fn unreachable(&self, error: &(dyn Error + 'static)) -> anyhow::Error {
        let (server, cause) = (self.server(), cause(error));
        if is_about_tls(error) {
            return anyhow!(
                "the server at {server} cannot be trusted: {cause}; --ca names a file with the \
                 certificate of its authority"
            );
        }
        anyhow!(
            "no server answers at {server}: {cause}; `strikewired` starts one, --server or \
             STRIKEWIRE_SERVER names another"
        )
    }

    /// A refusal for people.
    pub(crate) fn refused(
        &self,
        status: StatusCode,
        retry_after: Option<u64>,
        body: &[u8],
    ) -> anyhow::Error {
        match serde_json::from_slice::<Problem>(body) {
            Ok(problem) => anyhow!("{}", self.explained(&problem, retry_after)),
            Err(_) => anyhow!(
                "{} answers {status}, as no Strikewire server would",
                self.server()
            ),
        }
    }

    pub(crate) fn explained(&self, problem: &Problem, retry_after: Option<u64>) -> String {
        problem.text(Circumstances {
            retry_after,
            has_key: self.key.is_some(),
            is_verbose: self.is_verbose,
        })
    }
}

/// What a server said, whether or not it did what it was asked.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    retry_after: Option<u64>,
    answer: Answer,
}

impl Reply {
    /// The answer of one that did.
    pub(crate) fn checked(self, client: &Client) -> anyhow::Result<Answer> {
        if self.status.is_success() {
            return Ok(self.answer);
        }
        Err(client.refused(self.status, self.retry_after, &self.answer.0))
    }

    /// The answer whatever the status says.
    pub(crate) fn anyway(self) -> Answer {
        self.answer
    }
}

pub(crate) fn is_local(url: &Url) -> bool {
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
pub(crate) fn cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// Whether it was the server's certificate, or something else of TLS.
fn is_about_tls(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<rustls::Error>() {
            return true;
        }
        // An IO error passes over what it was made of when it is asked for its source.
        let inner = error
            .downcast_ref::<std::io::Error>()
            .and_then(|error| error.get_ref());
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
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
            "http://h/#key",
            "http://me@h/",
            "http://me:hunter2@h/",
            "http:me:hunter2@h",
            "http://:hunter2@h",
            "me:hunter2@h:8080",
        ] {
            let server = Server {
                url: text.to_owned(),
                ca: None,
                verbose: false,
                format: Format { json: false },
            };
            let error = format!("{:#}", Client::new(&server).err().unwrap());
            assert!(error.contains("--server"), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{text}: {error}");
        }
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
    fn mistrust_is_told_however_deep_it_lies() {
        use std::io::Error as Io;
        let deep = Io::other(Io::other(rustls::Error::DecryptError));
        assert!(is_about_tls(&deep));
        assert!(!is_about_tls(&Io::other(Io::other("refused"))));
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
