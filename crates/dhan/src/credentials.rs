use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
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

/// Text from outside, made fit to be shown: without the token, should it be echoed,
/// without control characters, and not long.
pub(crate) fn presentable(text: &str, token: &SecretString) -> String {
    let token = token.expose_secret();
    let encoded: String = form_urlencoded::byte_serialize(token.as_bytes()).collect();
    text.replace(token, "[token]")
        .replace(&encoded, "[token]")
        .chars()
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
    }
}
