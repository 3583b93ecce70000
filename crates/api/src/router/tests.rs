use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use axum::body::{Body, HttpBody, to_bytes};
use axum::http::{HeaderMap, Method};
use axum::routing::get;
use hyper::body::{Frame, SizeHint};
use serde_json::Value;
use tower::ServiceExt;

use super::*;
use crate::rest::tests::Server;

/// Routes that do not do what they should.
fn bad() -> Router<Api> {
    let panics = || async {
        if true {
            panic!("on purpose");
        }
    };
    let hangs = || async { core::future::pending::<()>().await };
    let long = || async { "a".repeat(usize::from(COMPRESS_FROM)) };
    let short = || async { "a".repeat(usize::from(COMPRESS_FROM) - 1) };
    Router::new()
        .route("/panics", get(panics))
        .route("/hangs", get(hangs))
        .route("/long", get(long))
        .route("/short", get(short))
}

async fn send(server: &Server, request: axum::http::request::Builder, body: Body) -> Response {
    let request = request.body(body).unwrap();
    let router = router_with(server.api.clone(), bad());
    router.oneshot(request).await.unwrap()
}

async fn read(response: Response) -> (StatusCode, HeaderMap, Vec<u8>) {
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, 1 << 24).await.unwrap();
    (parts.status, parts.headers, bytes.to_vec())
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn every_error_is_a_problem_with_the_id_of_its_request() {
    let server = Server::start();
    let mut settings = (**server.api.settings.load()).clone();
    settings.http.request_timeout = Duration::from_millis(20);
    server.api.settings.store(Arc::new(settings));
    let json = "application/json";
    for (method, path, kind, body, code, with) in [
        ("GET", "/nowhere", json, "", Code::NotFound, None),
        ("POST", "/nowhere", json, "", Code::NotFound, None),
        (
            "GET",
            "/api/v2/watchlist/%ff",
            json,
            "",
            Code::InvalidValue,
            None,
        ),
        (
            "DELETE",
            "/api/v2/watchlist/7",
            json,
            "",
            Code::MethodNotAllowed,
            Some(("allow", "GET,HEAD")),
        ),
        (
            "GET",
            "/api/v2/plan",
            json,
            "",
            Code::MethodNotAllowed,
            Some(("allow", "POST")),
        ),
        (
            "POST",
            "/api/v2/plan",
            "text/plain",
            "{}",
            Code::UnsupportedMediaType,
            None,
        ),
        ("POST", "/api/v2/plan", json, "{", Code::InvalidJson, None),
        (
            "POST",
            "/api/v2/plan",
            json,
            "\u{0}",
            Code::InvalidJson,
            None,
        ),
        (
            "GET",
            "/api/v2/audit",
            json,
            "",
            Code::NotReady,
            Some(("retry-after", "1")),
        ),
        ("GET", "/api/v2/stream", json, "", Code::InvalidValue, None),
        ("GET", "/docs/none", json, "", Code::NotFound, None),
        ("GET", "/panics", json, "", Code::Internal, None),
        ("GET", "/hangs", json, "", Code::Timeout, None),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", kind);
        let (status, headers, bytes) = read(send(&server, request, Body::from(body)).await).await;
        let problem: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(problem["code"], code.as_str(), "{path}: {problem}");
        assert_eq!(
            (status, &problem["status"]),
            (code.status(), &status.as_u16().into())
        );
        assert_eq!(
            header(&headers, "content-type"),
            Some("application/problem+json"),
            "{path}"
        );
        assert_eq!(
            header(&headers, "x-request-id"),
            problem["request_id"].as_str(),
            "{path}"
        );
        assert_eq!(
            header(&headers, "x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
        assert_eq!(
            header(&headers, "cache-control"),
            Some("no-store"),
            "{path}"
        );
        if let Some((name, value)) = with {
            assert_eq!(header(&headers, name), Some(value), "{path}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_body_has_a_limit() {
    let server = Server::start();
    for (path, most) in [
        ("/api/v2/watchlist/add", BODY_LIMIT),
        ("/api/v2/admin/rebalance-ws", BODY_LIMIT),
        ("/api/v2/plan", plan::BODY_LIMIT),
    ] {
        for (length, code) in [(most, Code::InvalidJson), (most + 1, Code::TooLarge)] {
            let request = Request::post(path).header("content-type", "application/json");
            let body = Body::from(vec![b'x'; length]);
            let (status, headers, bytes) = read(send(&server, request, body).await).await;
            let problem: Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(problem["code"], code.as_str(), "{path}: {problem}");
            assert_eq!(status, code.status());
            assert_eq!(header(&headers, "connection"), Some("close"), "{path}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_connection_survives_a_mistake_that_is_small() {
    let server = Server::start();
    let most = usize::try_from(UNREAD_LIMIT).unwrap();
    for (length, closes) in [(0, None), (most, None), (most + 1, Some("close"))] {
        let request = Request::post("/nowhere").header("content-type", "application/json");
        let body = Body::from(vec![b'x'; length]);
        let (status, headers, _) = read(send(&server, request, body).await).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(header(&headers, "connection"), closes, "{length}");
    }
    server.stop().await;
}

/// A body of which nothing comes, although a length was announced.
struct Announced(u64);

impl HttpBody for Announced {
    type Data = axum::body::Bytes;
    type Error = core::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Poll::Pending
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0)
    }
}

#[tokio::test]
async fn a_body_that_is_announced_as_too_long_is_not_waited_for() {
    let server = Server::start();
    for (path, most) in [
        ("/api/v2/watchlist/add", BODY_LIMIT),
        ("/api/v2/plan", plan::BODY_LIMIT),
    ] {
        let request = Request::post(path).header("content-type", "application/json");
        let body = Body::new(Announced(most as u64 + 1));
        let (status, _, _) = read(send(&server, request, body).await).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_request_has_an_id() {
    let server = Server::start();
    let id = async |given: Option<&str>| {
        let mut request = Request::get("/healthz");
        if let Some(given) = given {
            request = request.header("x-request-id", given);
        }
        let (_, headers, _) = read(send(&server, request, Body::empty()).await).await;
        header(&headers, "x-request-id").unwrap().to_owned()
    };
    let longest = "a".repeat(REQUEST_ID_LIMIT);
    for given in ["7f-3.a_B", &longest] {
        assert_eq!(id(Some(given)).await, given);
    }
    let long = format!("{longest}a");
    let mut ids = Vec::from([id(None).await, id(None).await]);
    for given in ["", "a b", "<script>", "a\tb", &long] {
        ids.push(id(Some(given)).await);
    }
    assert!(ids.iter().all(|id| id.starts_with("00000001-")), "{ids:?}");
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all);
    server.stop().await;
}

#[tokio::test]
async fn what_is_long_is_compressed_for_those_who_take_it() {
    let server = Server::start();
    let get = async |path: &str, accepts: &str| {
        let request = Request::get(path).header("accept-encoding", accepts);
        read(send(&server, request, Body::empty()).await).await
    };
    for (path, accepts, encoding) in [
        ("/long", "gzip", Some("gzip")),
        ("/long", "br, gzip;q=0.5", Some("br")),
        ("/long", "zstd, identity", None),
        ("/short", "gzip", None),
    ] {
        let (_, headers, bytes) = get(path, accepts).await;
        assert_eq!(
            header(&headers, "content-encoding"),
            encoding,
            "{path} {accepts}"
        );
        if encoding.is_some() {
            assert!(bytes.len() < 100);
            let vary = headers.get_all("vary").iter();
            assert!(
                vary.into_iter()
                    .any(|vary| vary.to_str().unwrap().contains("accept-encoding"))
            );
        }
    }
    // A tag is that of the text, however it travels.
    let (_, plain, whole) = get("/openapi.json", "identity").await;
    let (_, packed, less) = get("/openapi.json", "gzip").await;
    assert_eq!(header(&plain, "etag"), header(&packed, "etag"));
    assert!(less.len() * 4 < whole.len());
    let tag = header(&plain, "etag").unwrap();
    let request = Request::get("/openapi.json").header("if-none-match", tag);
    let (status, headers, bytes) = read(send(&server, request, Body::empty()).await).await;
    assert_eq!((status, bytes.len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(header(&headers, "etag"), Some(tag));
    server.stop().await;
}

#[tokio::test]
async fn head_and_options_are_understood() {
    let server = Server::start();
    let request = Request::head("/openapi.json");
    let (status, headers, bytes) = read(send(&server, request, Body::empty()).await).await;
    let length = header(&headers, "content-length").unwrap();
    assert_eq!((status, bytes.len()), (StatusCode::OK, 0));
    assert_eq!(length, crate::openapi().len().to_string());
    for (path, allow) in [
        ("/api/v2/watchlist/7", "GET,HEAD"),
        ("/api/v2/plan", "POST"),
    ] {
        let request = Request::builder().method(Method::OPTIONS).uri(path);
        let (status, headers, _) = read(send(&server, request, Body::empty()).await).await;
        assert_eq!(status, StatusCode::NO_CONTENT);
        assert_eq!(header(&headers, "allow"), Some(allow));
    }
    server.stop().await;
}

#[tokio::test]
async fn pages_of_listed_origins_may_read() {
    let server = Server::start();
    let desk = "https://desk.example";
    let send = async |method: Method, path: &str, origin: &str| {
        let mut request = Request::builder()
            .method(&method)
            .uri(path)
            .header("origin", origin);
        if method == Method::OPTIONS {
            request = request
                .header("access-control-request-method", "POST")
                .header("access-control-request-headers", "authorization");
        }
        read(send(&server, request, Body::empty()).await).await
    };
    let allows =
        |headers: &HeaderMap| header(headers, "access-control-allow-origin").map(str::to_owned);
    let (status, headers, _) = send(Method::GET, "/healthz", desk).await;
    assert_eq!((status, allows(&headers)), (StatusCode::OK, None));
    assert!(header(&headers, "vary").unwrap().contains("origin"));

    let mut settings = (**server.api.settings.load()).clone();
    settings.http.cors_origins = vec![desk.into()];
    server.api.settings.store(Arc::new(settings));
    // Answers, problems too.
    for path in ["/healthz", "/nowhere"] {
        let (_, headers, _) = send(Method::GET, path, desk).await;
        assert_eq!(allows(&headers).as_deref(), Some(desk), "{path}");
        let exposed = header(&headers, "access-control-expose-headers").unwrap();
        assert!(exposed.contains("x-request-id") && exposed.contains("etag"));
        assert_eq!(header(&headers, "access-control-allow-credentials"), None);
    }
    let (status, headers, _) = send(Method::OPTIONS, "/api/v2/watchlist/add", desk).await;
    assert_eq!(
        (status, allows(&headers).as_deref()),
        (StatusCode::NO_CONTENT, Some(desk))
    );
    let methods = header(&headers, "access-control-allow-methods").unwrap();
    assert!(methods.contains("POST") && methods.contains("GET"));
    let taken = header(&headers, "access-control-allow-headers").unwrap();
    assert!(taken.contains("authorization") && taken.contains("content-type"));
    // Another origin hears nothing of it.
    let (_, headers, _) = send(Method::OPTIONS, "/healthz", "https://evil.example").await;
    assert_eq!(allows(&headers), None);
    assert_eq!(header(&headers, "access-control-allow-methods"), None);
    server.stop().await;
}
