//! The OpenAPI document, and the page that shows it. The page's files are part of the
//! binary: it works without a network.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use axum::body::Bytes;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_FRAME_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use utoipa_swagger_ui::Config;

use crate::extract::PathText;
use crate::{Code, Problem, openapi};

const PAGE: &str = include_str!("docs/page.html");
const START: &str = include_str!("docs/start.js");

/// Scripts and styles come from the server alone, and no other page may frame this one.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                      img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// What the page needs of the vendored files.
const FILES: [&str; 3] = [
    "swagger-ui-bundle.js",
    "swagger-ui.css",
    "favicon-32x32.png",
];

/// The OpenAPI document
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "documentation",
    operation_id = "openapi",
    security(()),
    responses((status = 200, description = "OpenAPI 3.1.", body = Object)),
)]
pub(crate) async fn document() -> Response {
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "public, no-cache"),
    ];
    (headers, Bytes::from_static(openapi().as_bytes())).into_response()
}

/// The documentation page
///
/// It shows the OpenAPI document and lets calls be tried. Works offline.
#[utoipa::path(
    get,
    path = "/docs",
    tag = "documentation",
    operation_id = "docs",
    security(()),
    responses((status = 200, description = "A page.", body = String, content_type = "text/html; charset=utf-8")),
)]
pub(crate) async fn page() -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "public, no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (X_FRAME_OPTIONS, "DENY"),
    ];
    (headers, PAGE).into_response()
}

/// A file of the documentation page
#[utoipa::path(
    get,
    path = "/docs/{file}",
    tag = "documentation",
    operation_id = "docs_file",
    security(()),
    params(("file" = String, Path, description = "Its name.")),
    responses((status = 200, description = "The file.", body = String, content_type = "text/javascript")),
)]
pub(crate) async fn file(PathText(name): PathText) -> Result<Response, Problem> {
    let (kind, bytes) = if name == "start.js" {
        (
            "text/javascript".to_owned(),
            Cow::Borrowed(START.as_bytes()),
        )
    } else {
        vendored(&name).ok_or_else(|| {
            let detail = format!("the documentation page has no file {name}");
            Problem::new(Code::NotFound, detail)
        })?
    };
    let bytes = match bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    let headers = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "public, max-age=3600".to_owned()),
    ];
    Ok((headers, bytes).into_response())
}

fn vendored(name: &str) -> Option<(String, Cow<'static, [u8]>)> {
    static CONFIG: LazyLock<Arc<Config<'static>>> =
        LazyLock::new(|| Arc::new(Config::from("openapi.json")));
    if !FILES.contains(&name) {
        return None;
    }
    let file = utoipa_swagger_ui::serve(name, CONFIG.clone()).ok()??;
    Some((file.content_type, file.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        // All that it names is here, and it names nothing of another host.
        let named: Vec<&str> = PAGE
            .split('"')
            .filter_map(|text| text.strip_prefix("docs/"))
            .collect();
        assert_eq!(named.len(), FILES.len() + 1);
        for name in named {
            assert!(name == "start.js" || vendored(name).is_some(), "{name}");
        }
        for text in [PAGE, START] {
            assert!(!text.contains("//"), "{text}");
        }
        let (kind, script) = vendored("swagger-ui-bundle.js").unwrap();
        assert_eq!(kind, "text/javascript");
        assert!(script.len() > 1_000_000);
        let (_, style) = vendored("swagger-ui.css").unwrap();
        let style = String::from_utf8(style.into_owned()).unwrap();
        assert!(!style.contains("url(http") && !style.contains("@import"));
        assert!(vendored("index.html").is_none() && vendored("../Cargo.toml").is_none());
    }
}
