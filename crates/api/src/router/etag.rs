//! Answers that a caller has already are not sent again.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::{Code, Problem};

/// The longest answer that gets a tag.
const LIMIT: usize = 16 * 1024 * 1024;

/// Tags an answer by its body, and leaves the body away where the caller has it already.
/// The tag is a weak one: what is compressed has the same.
pub(super) async fn etag(request: Request, next: Next) -> Response {
    let known = request.headers().get_all(IF_NONE_MATCH).into_iter();
    let known: Vec<HeaderValue> = known.cloned().collect();
    let response = next.run(request).await;
    if response.status() != StatusCode::OK {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, LIMIT).await else {
        let detail = format!("the answer is longer than {LIMIT} bytes");
        return Problem::new(Code::Internal, detail).into_response();
    };
    let tag = tag(&bytes);
    let same = known.iter().any(|known| names(known, &tag));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        parts.headers.insert(ETAG, tag);
    }
    keep_for_reuse(&mut parts.headers);
    if same {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(CONTENT_LENGTH);
        parts.headers.remove(CONTENT_TYPE);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(bytes))
}

/// Callers may keep the answer, but ask before they use it again.
fn keep_for_reuse(headers: &mut HeaderMap) {
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("private, no-cache"));
}

fn tag(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let digits = digest
        .iter()
        .take(16)
        .flat_map(|byte| [byte >> 4, byte & 15]);
    let digits: String = digits
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect();
    format!("W/\"{digits}\"")
}

/// Whether a list of tags has this one, strong or weak, or is `*`.
fn names(list: &HeaderValue, tag: &str) -> bool {
    let opaque = |tag: &str| -> String { tag.trim().trim_start_matches("W/").to_owned() };
    let Ok(list) = list.to_str() else {
        return false;
    };
    list.trim() == "*" || list.split(',').any(|known| opaque(known) == opaque(tag))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_tag_is_that_of_the_body() {
        // `printf abc | sha256sum | cut -c 1-32`
        assert_eq!(tag(b"abc"), "W/\"ba7816bf8f01cfea414140de5dae2223\"");
        let tag = tag(b"abc");
        let check = |list: &str| names(&HeaderValue::from_str(list).unwrap(), &tag);
        assert!(check(&tag));
        assert!(check("\"ba7816bf8f01cfea414140de5dae2223\""));
        assert!(check(&format!("\"x\", {tag} ,\"y\"")));
        assert!(check(" * "));
        for list in [
            "",
            "\"\"",
            "W/",
            "ba7816bf8f01cfea414140de5dae2223",
            "\"*\"",
        ] {
            assert!(!check(list), "{list}");
        }
    }

    proptest! {
        #[test]
        fn no_list_panics(bytes in any::<Vec<u8>>()) {
            if let Ok(list) = HeaderValue::from_bytes(&bytes) {
                let _ = names(&list, "W/\"a\"");
            }
        }
    }
}
