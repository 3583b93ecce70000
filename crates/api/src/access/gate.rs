//! What every request passes first.

use core::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, FORWARDED, HOST};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::{Caller, unauthorized};
use crate::{Api, Code, Problem};

/// What a path asks of those who come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    /// Nothing: it is asked by those who watch the process.
    Probe,
    /// No key.
    Open,
    /// A key, in the header or, where there is no header, in the first message.
    Stream,
    /// Being on this machine, or an admin's key.
    Metrics,
    /// A key.
    Closed,
}

impl Door {
    fn of(path: &str) -> Self {
        match path {
            "/healthz" | "/readyz" => Self::Probe,
            "/openapi.json" | "/docs" => Self::Open,
            "/api/v2/stream" => Self::Stream,
            "/metrics" => Self::Metrics,
            _ if path.starts_with("/docs/") => Self::Open,
            _ => Self::Closed,
        }
    }
}

/// Finds out who asks, and turns away who may not. Behind it the key is gone from the
/// request, so that nothing can write it anywhere.
pub(crate) async fn authenticate(
    State(api): State<Api>,
    mut request: Request,
    next: Next,
) -> Response {
    match admit(&api, &mut request).await {
        Ok(Some(caller)) => {
            request.extensions_mut().insert::<Caller>(caller);
        }
        Ok(None) => {}
        Err(problem) => return problem.into_response(),
    }
    next.run(request).await
}

async fn admit(api: &Api, request: &mut Request) -> Result<Option<Caller>, Problem> {
    let door = Door::of(request.uri().path());
    let key = bearer(request.headers());
    request.headers_mut().remove(AUTHORIZATION);
    if door == Door::Probe {
        return Ok(None);
    }
    let peer = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map(|info| info.0.ip().to_canonical());
    let (access, settings) = (&api.access, api.settings.load());
    if !access.keys_on() {
        is_for_this_machine(request.headers())?;
    }
    let is_open = match door {
        Door::Open => true,
        Door::Stream => access.keys_on() && key == Key::Absent,
        // Who comes through a proxy is not on this machine.
        Door::Metrics => {
            peer.is_some_and(|peer| peer.is_loopback()) && !is_forwarded(request.headers())
        }
        Door::Probe | Door::Closed => false,
    };
    if is_open {
        access.admit_address(peer, &settings.rates)?;
        return Ok(None);
    }
    if key == Key::Malformed && access.keys_on() {
        access.admit_address(peer, &settings.rates)?;
        return Err(unauthorized());
    }
    let key = match &key {
        Key::Given(key) => Some(key.as_str()),
        Key::Absent | Key::Malformed => None,
    };
    let caller = access.admit(key, peer, &settings.rates).await?;
    if door == Door::Metrics {
        caller.admin()?;
    }
    Ok(Some(caller))
}

/// What the header `Authorization` holds. It has no `Debug` that would show a key.
#[derive(PartialEq, Eq)]
enum Key {
    Absent,
    Given(String),
    Malformed,
}

/// The key of `Authorization: Bearer KEY`.
fn bearer(headers: &HeaderMap) -> Key {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = all.next() else {
        return Key::Absent;
    };
    let key = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, key)| key.trim());
    match (key, all.next()) {
        (Some(key), None) if !key.is_empty() => Key::Given(key.to_owned()),
        _ => Key::Malformed,
    }
}

fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.contains_key(FORWARDED)
        || headers.contains_key("x-forwarded-for")
        || headers.contains_key("x-real-ip")
}

/// Without keys a page of any origin could have a browser on this machine ask in its
/// place: by a name of its own that leads here. Such a name is in the header `Host`.
fn is_for_this_machine(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(host) = headers.get(HOST) else {
        return Ok(());
    };
    if names_this_machine(host) {
        return Ok(());
    }
    Err(Problem::new(
        Code::Forbidden,
        "without API keys requests are served under an IP address or the name localhost only; \
         `strikewire auth new-key` makes a key",
    ))
}

fn names_this_machine(host: &HeaderValue) -> bool {
    let authority = host
        .to_str()
        .ok()
        .and_then(|host| host.parse::<Authority>().ok());
    let Some(authority) = authority else {
        return false;
    };
    let host = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    host.parse::<IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || host.to_ascii_lowercase().ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_key_is_read_from_the_header() {
        let given = |text: &[u8]| match bearer(&headers(&[text])) {
            Key::Given(key) => key,
            Key::Absent => "absent".to_owned(),
            Key::Malformed => "malformed".to_owned(),
        };
        assert_eq!(given(b"Bearer sw_abc"), "sw_abc");
        assert_eq!(given(b"bearer   sw_abc "), "sw_abc");
        assert_eq!(given(b"BEARER a b"), "a b");
        for text in [
            &b""[..],
            b"Bearer",
            b"Bearer ",
            b"sw_abc",
            b"Basic c3c6",
            b"Bearer \xff\xfe",
            b"Bearersw_abc",
        ] {
            assert_eq!(given(text), "malformed", "{text:?}");
        }
        assert!(bearer(&headers(&[])) == Key::Absent);
        // Two are one too many: who is it?
        assert!(bearer(&headers(&[b"Bearer a", b"Bearer a"])) == Key::Malformed);
    }

    #[test]
    fn paths_are_open_by_their_whole_name() {
        for (path, door) in [
            ("/healthz", Door::Probe),
            ("/readyz", Door::Probe),
            ("/docs", Door::Open),
            ("/docs/index.html", Door::Open),
            ("/openapi.json", Door::Open),
            ("/api/v2/stream", Door::Stream),
            ("/metrics", Door::Metrics),
            ("/", Door::Closed),
            ("/docsx", Door::Closed),
            ("/healthz/", Door::Closed),
            ("/HEALTHZ", Door::Closed),
            ("/api/v2/stream/", Door::Closed),
            ("/api/v2/audit", Door::Closed),
        ] {
            assert_eq!(Door::of(path), door, "{path}");
        }
    }

    #[test]
    fn names_that_are_no_addresses_are_not_this_machine() {
        for (host, is) in [
            ("127.0.0.1:8080", true),
            ("127.0.0.1", true),
            ("[::1]:8080", true),
            ("localhost", true),
            ("LOCALHOST:1", true),
            ("desk.localhost:8080", true),
            ("192.0.2.7:80", true),
            ("evil.example", false),
            ("127.0.0.1.evil.example:8080", false),
            ("localhost.evil.example", false),
            ("", false),
            ("a b", false),
        ] {
            let value = HeaderValue::from_str(host).unwrap();
            assert_eq!(names_this_machine(&value), is, "{host}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(value in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let _ = names_this_machine(&value);
                let mut headers = HeaderMap::new();
                headers.append(AUTHORIZATION, value);
                let _ = bearer(&headers);
            }
        }

        #[test]
        fn what_follows_bearer_is_the_key(key in "[!-~]{1,300}", scheme in "[Bb][Ee][Aa][Rr][Ee][Rr]") {
            let read = bearer(&headers(&[format!("{scheme} {key}").as_bytes()]));
            prop_assert!(read == Key::Given(key));
        }
    }
}
