//! Pages of other origins, as browsers ask on their behalf.

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HOST,
    ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::{Api, Http};

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST");
const HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, if-none-match, x-request-id");
const EXPOSED: HeaderValue = HeaderValue::from_static("etag, retry-after, x-request-id");
/// Seconds for which a browser need not ask again.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// Answers what browsers ask before they let a page of another origin send a request, and
/// tells them which origins may read an answer. No answer depends on cookies, so none is
/// asked for.
pub(super) async fn cors(State(api): State<Api>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let preflight =
        request.method() == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let origin = headers.get(ORIGIN).cloned();
    let allowed = origin.filter(|_| origin_allowed(&api.settings.load().http, headers));
    let mut response = if preflight {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = allowed {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if preflight {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
            headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        } else {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
    response
}

/// Whether the origin of a request may use the interface: one that is listed, any where
/// `*` is, and the server's own. What is no browser sends none.
pub(crate) fn origin_allowed(http: &Http, headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else {
        return true;
    };
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    let own = || {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        matches!((authority, host), (Some(a), Some(b)) if a.eq_ignore_ascii_case(b))
    };
    let listed = |allowed: &String| allowed == "*" || allowed.eq_ignore_ascii_case(origin);
    http.cors_origins.iter().any(listed) || own()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn allowed(listed: &[&str], origin: &str, host: &str) -> bool {
        let http = Http {
            cors_origins: listed.iter().map(ToString::to_string).collect(),
            ..Http::default()
        };
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, origin.parse().unwrap());
        headers.insert(HOST, host.parse().unwrap());
        origin_allowed(&http, &headers)
    }

    #[test]
    fn listed_origins_and_the_own_are_allowed() {
        let host = "api.example:8080";
        assert!(origin_allowed(&Http::default(), &HeaderMap::new()));
        assert!(allowed(&[], "https://api.example:8080", host));
        assert!(allowed(&[], "https://API.example:8080", host));
        assert!(allowed(
            &["https://desk.example"],
            "https://desk.example",
            host
        ));
        assert!(allowed(&["*"], "null", host));
        for origin in [
            "null",
            "https://api.example",
            "https://api.example:80801",
            "https://evil.example",
            "https://desk.example.evil.example",
            "http://desk.example",
            "api.example:8080",
        ] {
            assert!(
                !allowed(&["https://desk.example"], origin, host),
                "{origin}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_origin_panics(origin in any::<Vec<u8>>(), host in any::<Vec<u8>>()) {
            let mut headers = HeaderMap::new();
            for (name, bytes) in [(ORIGIN, origin), (HOST, host)] {
                if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                    headers.insert(name, value);
                }
            }
            let _ = origin_allowed(&Http::default(), &headers);
        }
    }
}
