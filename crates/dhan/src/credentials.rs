use core::time::Duration;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use strikewire_types::Utc;
use url::{Url, form_urlencoded};

use crate::Error;

/// No token is longer; a file that is goes unread beyond it.
const MAX_TOKEN: u64 = 16 * 1024;

/// Where the access token comes from. Read anew for every attempt to connect, because
/// a token lives for a day and a new one kills the old.
#[derive(Debug, Clone)]
pub enum TokenSource {
    /// It does not change.
    Fixed(SecretString),
    /// It is what a file contains, but for white space around it.
    File(PathBuf),
}

impl TokenSource {
    /// The token as it is now.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or there is no token in it.
    pub fn read(&self) -> Result<SecretString, Error> {
        let (token, place) = match self {
            Self::Fixed(token) => (token.clone(), "the configuration".to_owned()),
            Self::File(path) => {
                let mut text = String::new();
                File::open(path)
                    .and_then(|file| file.take(MAX_TOKEN).read_to_string(&mut text))
                    .map_err(|source| Error::TokenFile {
                        path: path.clone(),
                        source,
                    })?;
                (SecretString::from(text), path.display().to_string())
            }
        };
        let token = token.expose_secret().trim();
        if token.is_empty() {
            return Err(Error::TokenMissing { place });
        }
        Ok(SecretString::from(token))
    }

    /// The file that it is read from, if it is.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::Fixed(_) => None,
            Self::File(path) => Some(path),
        }
    }
}

/// When `token` expires, as it says itself: Dhan's tokens are JSON Web Tokens, whose
/// middle part has the second as `exp` (RFC 7519, 4.1.4). None for anything else. The
/// signature is the broker's business.
pub(crate) fn expires_at(token: &SecretString) -> Option<Utc> {
    #[derive(Deserialize)]
    struct Claims {
        exp: f64,
    }
    /// In the year 2255: not long after it a time does not fit into nanoseconds.
    const LAST: f64 = 9e9;
    let mut parts = token.expose_secret().split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    let claims = claims.trim_end_matches('=');
    let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
    let Claims { exp } = serde_json::from_slice(&claims).ok()?;
    (0.0..=LAST)
        .contains(&exp)
        .then(|| Utc::default() + Duration::from_secs_f64(exp))
}

/// Where the feed is: checked, and without anything secret in it.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint(Url);

impl Endpoint {
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let bad = |reason| Error::Url { reason };
        let url = Url::parse(text.trim()).map_err(|_| bad("is not a url"))?;
        if !matches!(url.scheme(), "ws" | "wss") {
            return Err(bad("has another scheme"));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(bad("has no host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("has a user name or password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad("has a query, which the feed writes itself"));
        }
        Ok(Self(url))
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.0.scheme() == "wss"
    }

    /// Host and port, as a resolver takes them.
    pub(crate) fn address(&self) -> (&str, u16) {
        let host = self.0.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        (host, self.0.port_or_known_default().unwrap_or(443))
    }

    /// The whole address of an attempt. Secret: it contains the token.
    pub(crate) fn with_query(&self, client_id: &str, token: &SecretString) -> SecretString {
        let mut url = self.0.clone();
        url.query_pairs_mut()
            .append_pair("version", "2")
            .append_pair("token", token.expose_secret())
            .append_pair("clientId", client_id)
            .append_pair("authType", "2");
        SecretString::from(String::from(url))
    }
}

/// Text from outside, made fit to be shown: without the token or one of its parts, should
/// they be echoed, without control characters, and not long.
pub(crate) fn presentable(text: &str, token: &SecretString) -> String {
    /// Shorter parts of a token are no secret, and likely to be words.
    const SECRET: usize = 8;
    let token = token.expose_secret();
    let parts = token.split('.').filter(|part| part.len() >= SECRET);
    let mut text = text.to_owned();
    for secret in core::iter::once(token).chain(parts) {
        let encoded: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        for secret in [secret, &encoded, &encoded.to_lowercase()] {
            if !secret.is_empty() {
                text = text.replace(secret, "[token]");
            }
        }
    }
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(200)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_fine() {
        for (text, host, port, tls) in [
            ("wss://api-feed.dhan.co", "api-feed.dhan.co", 443, true),
            ("ws://127.0.0.1:9000/", "127.0.0.1", 9000, false),
            ("ws://localhost/feed", "localhost", 80, false),
            ("ws://[::1]:9000", "::1", 9000, false),
            (" wss://x.y:1 ", "x.y", 1, true),
        ] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!(
                (endpoint.address(), endpoint.is_tls()),
                ((host, port), tls),
                "{text}"
            );
        }
    }

    #[test]
    fn the_query_is_the_documented_one() {
        let endpoint = Endpoint::parse("wss://api-feed.dhan.co").unwrap();
        let url = endpoint.with_query("1000", &SecretString::from("a.b-c_d"));
        assert_eq!(
            url.expose_secret(),
            "wss://api-feed.dhan.co/?version=2&token=a.b-c_d&clientId=1000&authType=2"
        );
        let url = endpoint.with_query("1 0", &SecretString::from("a&b=c"));
        assert!(
            url.expose_secret()
                .ends_with("?version=2&token=a%26b%3Dc&clientId=1+0&authType=2")
        );
    }

    #[test]
    fn addresses_that_are_not_are_refused_without_being_shown() {
        for text in [
            "",
            "api-feed.dhan.co",
            "http://api-feed.dhan.co/s3cret",
            "wss://",
            "wss://user:s3cret@api-feed.dhan.co",
            "wss://api-feed.dhan.co?version=2&token=s3cret",
            "wss://api-feed.dhan.co#s3cret",
            "wss://api feed/s3cret",
            "ws://host:99999/s3cret",
        ] {
            let error = Endpoint::parse(text).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(
                !shown.contains("s3cret") && shown.contains("wss://api-feed.dhan.co"),
                "{shown}"
            );
        }
    }

    #[test]
    fn a_token_file_is_read_every_time_and_trimmed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let source = TokenSource::File(path.clone());
        let missing = source.read().unwrap_err();
        assert!(
            missing.to_string().contains(&path.display().to_string()),
            "{missing}"
        );
        std::fs::write(&path, "  one\n").unwrap();
        assert_eq!(source.read().unwrap().expose_secret(), "one");
        std::fs::write(&path, "two").unwrap();
        assert_eq!(source.read().unwrap().expose_secret(), "two");
        std::fs::write(&path, " \n").unwrap();
        assert!(matches!(source.read(), Err(Error::TokenMissing { .. })));
        assert!(matches!(
            TokenSource::Fixed("".into()).read(),
            Err(Error::TokenMissing { .. })
        ));
    }

    #[test]
    fn an_echoed_token_is_not_shown() {
        let token = SecretString::from("s3&cret");
        let shown = presentable("bad token s3&cret in /?token=s3%26cret\u{7}!", &token);
        assert_eq!(shown, "bad token [token] in /?token=[token] !");
        assert_eq!(presentable(&"x".repeat(1000), &token).len(), 200);
        let parts = SecretString::from("eyJhbGciOi.eyJzM2NyZXQ.c2ln");
        assert_eq!(
            presentable(
                "kid eyJzM2NyZXQ of c2ln, eyJhbGciOi.eyJzM2NyZXQ.c2ln",
                &parts
            ),
            "kid [token] of c2ln, [token]"
        );
        assert_eq!(presentable("as it is", &SecretString::from("")), "as it is");
    }

    #[test]
    fn a_web_token_says_when_it_expires() {
        let web = |claims: &str| {
            let claims = URL_SAFE_NO_PAD.encode(claims);
            expires_at(&SecretString::from(format!("e30.{claims}.c2ln")))
        };
        // The example of RFC 7519, 3.1: 2011-03-22T18:43:00Z.
        let example = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
                       eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt\
                       cGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
                       dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let found = expires_at(&SecretString::from(example)).unwrap();
        assert_eq!(found.to_string(), "2011-03-23T00:13:00.000+05:30");
        assert_eq!(web(r#"{"exp":0.5}"#), Some(Utc::from_nanos(500_000_000)));
        for claims in [
            "",
            "{}",
            "null",
            r#"{"exp":"1300819380"}"#,
            r#"{"exp":null}"#,
            r#"{"exp":-1}"#,
            r#"{"exp":1e300}"#,
            r#"{"exp":1300819380"#,
        ] {
            assert_eq!(web(claims), None, "{claims}");
        }
        for token in ["", "token", "a.b", "a.%%.c", "..", "a.e30.c"] {
            assert_eq!(expires_at(&SecretString::from(token)), None, "{token}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_token_is_too_strange(token: String, claims: Vec<u8>) {
            let _ = expires_at(&SecretString::from(token.clone()));
            let claims = URL_SAFE_NO_PAD.encode(claims);
            let _ = expires_at(&SecretString::from(format!("a.{claims}.b")));
            let _ = presentable("text", &SecretString::from(token));
        }
    }
}
