//! The instrument master: whole, or not at all.

use std::path::Path;
use std::time::Duration;

use strikewire_broker::{MasterFile, MasterLayout, Reference, ReferenceError};
use strikewire_dhan::{DhanRest, RestConfig};

use crate::support::{Reply, Server, answer};

const MASTER: &str = "SEM_EXM_EXCH_ID,SEM_SEGMENT,SEM_SMST_SECURITY_ID\nNSE,I,13\n";

fn csv(body: impl AsRef<[u8]>) -> Vec<u8> {
    let headers = "Content-Type: text/csv\r\nLast-Modified: Mon, 09 Feb 2026 02:30:00 GMT\r\n";
    answer("200 OK", headers, body)
}

/// The names in a directory.
fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_master_is_written_as_it_is() {
    // Longer than any buffer, and not text everywhere.
    let mut long = MASTER.as_bytes().to_vec();
    long.extend((0..3_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 4]));
    let served = long.clone();
    let server = Server::new(move |n, _| {
        Reply::Bytes(if n == 0 {
            csv(&served)
        } else {
            let moved = "Location: /elsewhere/file.csv\r\n";
            if n == 1 {
                answer("302 Found", moved, "")
            } else {
                // Its length is not told.
                let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
                format!("{head}{MASTER}").into()
            }
        })
    })
    .await;
    let rest = server.client();
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("master.csv");
    let file = rest
        .instrument_master(MasterLayout::Compact, &into)
        .await
        .unwrap();
    let expected = MasterFile {
        bytes: long.len() as u64,
        modified: Some("Mon, 09 Feb 2026 02:30:00 GMT".to_owned()),
    };
    assert_eq!(file, expected);
    assert!(std::fs::read(&into).unwrap() == long);
    // Over the old one, from another place.
    let file = rest
        .instrument_master(MasterLayout::Detailed, &into)
        .await
        .unwrap();
    let expected = MasterFile {
        bytes: MASTER.len() as u64,
        modified: None,
    };
    assert_eq!(file, expected);
    assert_eq!(std::fs::read_to_string(&into).unwrap(), MASTER);
    assert_eq!(names(dir.path()), ["master.csv"]);
    let requests = server.requests();
    let lines: Vec<&str> = requests
        .iter()
        .map(|request| request.line.as_str())
        .collect();
    assert_eq!(
        lines,
        [
            "GET /api-data/api-scrip-master.csv",
            "GET /api-data/api-scrip-master-detailed.csv",
            "GET /elsewhere/file.csv"
        ]
    );
    for request in &*requests {
        assert!(!request.headers.contains_key("access-token"), "{request:?}");
        assert!(!request.headers.contains_key("client-id"), "{request:?}");
    }
}

#[tokio::test]
async fn what_is_no_master_changes_nothing() {
    let page = "<!DOCTYPE html><html><title>, Access denied</title></html>";
    for (reply, expected, tries) in [
        (csv(page), "a page where a file", 1),
        (csv(""), "an empty file", 1),
        (csv("{\"errorCode\":806}"), "JSON where a file", 1),
        (csv("nothing here\n"), "no line of columns", 1),
        (
            answer("404 Not Found", "", "<html>"),
            "refused (HTTP 404",
            1,
        ),
        (answer("204 No Content", "", ""), "HTTP 204 where 200", 1),
        (
            answer("200 OK", "Content-Encoding: gzip\r\n", "\u{1f}\u{8b}"),
            "encoded as",
            1,
        ),
        (
            answer("503 Unavailable", "", ""),
            "not available (HTTP 503",
            3,
        ),
        (
            answer("429 Too Many Requests", "Retry-After: 0\r\n", ""),
            "too often (HTTP 429",
            3,
        ),
        (
            answer("429 Too Many Requests", "Retry-After: 4\r\n", ""),
            "too often (HTTP 429",
            1,
        ),
        // Cut off, after more than is needed to recognise it.
        (
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{}",
                MASTER.repeat(200)
            )
            .into(),
            "not available",
            3,
        ),
    ] {
        let server = Server::always(reply).await;
        let dir = tempfile::tempdir().unwrap();
        let into = dir.path().join("master.csv");
        std::fs::write(&into, "yesterday's").unwrap();
        let rest = server.client();
        let error = rest
            .instrument_master(MasterLayout::Compact, &into)
            .await
            .unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(
            std::fs::read_to_string(&into).unwrap(),
            "yesterday's",
            "{error}"
        );
        assert_eq!(names(dir.path()), ["master.csv"], "{error}");
        assert_eq!(server.requests().len(), tries, "{error}");
    }
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_told() {
    let server = Server::always(csv(MASTER)).await;
    let rest = server.client();
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("missing").join("master.csv");
    for into in [into.as_path(), Path::new("/"), Path::new("")] {
        let error = rest
            .instrument_master(MasterLayout::Compact, into)
            .await
            .unwrap_err();
        assert!(matches!(error, ReferenceError::Store { .. }), "{error}");
        assert!(
            error.to_string().contains(&into.display().to_string()),
            "{error}"
        );
    }
    assert_eq!(names(dir.path()), [""; 0]);
}

#[tokio::test]
async fn a_call_that_is_given_up_leaves_nothing() {
    let begun = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{}",
        MASTER.repeat(200)
    );
    let server = Server::new(move |_, _| Reply::Hang(begun.clone().into())).await;
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("master.csv");
    std::fs::write(&into, "yesterday's").unwrap();
    let rest = server.client();
    let call = rest.instrument_master(MasterLayout::Compact, &into);
    // It is given up once it has begun to write.
    let begun = async {
        while names(dir.path()).len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        result = call => panic!("{result:?}"),
        () = begun => {}
    }
    assert_eq!(names(dir.path()), ["master.csv"]);
    assert_eq!(std::fs::read_to_string(&into).unwrap(), "yesterday's");

    // The broker gives up instead.
    let rest = DhanRest::new(RestConfig {
        timeouts: strikewire_dhan::RestTimeouts {
            master: Duration::from_millis(50),
            ..server.config().timeouts
        },
        ..server.config()
    })
    .unwrap();
    let error = rest
        .instrument_master(MasterLayout::Compact, &into)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no answer in time"), "{error}");
    assert_eq!(names(dir.path()), ["master.csv"]);
}
