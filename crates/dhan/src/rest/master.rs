//! The instrument master: two files of tens of megabytes, made anew every day.

use core::time::Duration;
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::header::{CONTENT_ENCODING, LAST_MODIFIED};
use strikewire_broker::{MasterFile, MasterLayout, ReferenceError};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use url::Url;

use super::client::{asked_for, lost};
use super::failure::{self, Answer, glimpse};
use super::secret::presented;

const CALL: &str = "instrument master";

/// No master is longer: there are some 300,000 rows of 300 bytes.
const LONGEST: u64 = 1 << 30;

/// So much of the beginning tells what a file is. Its first line is shorter.
const HEAD: usize = 4 * 1024;

pub(super) fn url(base: &Url, layout: MasterLayout) -> Result<Url, ReferenceError> {
    let name = match layout {
        MasterLayout::Compact => "api-scrip-master.csv",
        MasterLayout::Detailed => "api-scrip-master-detailed.csv",
    };
    base.join(name)
        .map_err(|_| unexpected(format!("{name} is no path")))
}

/// A file under another name until it is whole. Removed when it never became so.
#[derive(Debug)]
struct Part {
    path: PathBuf,
    is_whole: bool,
}

impl Part {
    /// Next to where it goes, so that renaming it is one step.
    fn beside(target: &Path) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        hidden.push(format!(".{}-{count}.part", process::id()));
        Ok(Self {
            path: target.with_file_name(hidden),
            is_whole: false,
        })
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_whole {
            // It may never have been created.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Fetches a file whole, or leaves what is there as it is.
pub(super) async fn fetch(
    http: &reqwest::Client,
    url: Url,
    into: &Path,
    limit: Duration,
) -> Result<MasterFile, ReferenceError> {
    let request = http.get(url).timeout(limit);
    let mut response = request.send().await.map_err(|error| lost(CALL, &error))?;
    let status = response.status().as_u16();
    if status != 200 {
        let answer = Answer {
            status,
            retry_after: asked_for(response.headers()),
            body: &beginning(&mut response).await?,
        };
        return Err(match failure::data(CALL, &answer) {
            Err(error) if !response.status().is_success() => presented(error, None),
            _ => unexpected(format!("HTTP {status} where 200 is expected")),
        });
    }
    if let Some(encoding) = response.headers().get(CONTENT_ENCODING)
        && encoding != "identity"
    {
        return Err(unexpected(format!(
            "encoded as {encoding:?}, which was not asked for"
        )));
    }
    let announced = response.content_length();
    let modified = response.headers().get(LAST_MODIFIED);
    let modified = modified
        .and_then(|text| text.to_str().ok())
        .map(str::to_owned);

    let store = |source| ReferenceError::Store {
        call: CALL,
        place: into.display().to_string(),
        source,
    };
    let mut part = Part::beside(into).map_err(store)?;
    // At once: created behind our back, it could come after its removal.
    let mut file = File::from_std(std::fs::File::create(&part.path).map_err(store)?);
    let mut head = Vec::new();
    let mut is_looked_at = false;
    let mut bytes = 0_u64;
    loop {
        let chunk = response.chunk().await.map_err(|error| lost(CALL, &error))?;
        let chunk = chunk.filter(|chunk| !chunk.is_empty());
        if !is_looked_at {
            let more = chunk.as_deref().unwrap_or_default();
            head.extend_from_slice(&more[..more.len().min(HEAD - head.len())]);
            if head.len() == HEAD || chunk.is_none() {
                look_at(&head)?;
                is_looked_at = true;
            }
        }
        let Some(chunk) = chunk else {
            break;
        };
        bytes += chunk.len() as u64;
        if bytes > LONGEST {
            return Err(unexpected(format!("a file of more than {LONGEST} bytes")));
        }
        file.write_all(&chunk).await.map_err(store)?;
    }
    if announced.is_some_and(|announced| announced != bytes) {
        return Err(ReferenceError::Unavailable {
            call: CALL,
            detail: format!("{bytes} bytes came of {}", announced.unwrap_or_default()),
        });
    }
    file.flush().await.map_err(store)?;
    file.sync_all().await.map_err(store)?;
    drop(file);
    tokio::fs::rename(&part.path, into).await.map_err(store)?;
    part.is_whole = true;
    Ok(MasterFile { bytes, modified })
}

/// Enough of a body to be recognised.
async fn beginning(response: &mut reqwest::Response) -> Result<Vec<u8>, ReferenceError> {
    let mut body = Vec::new();
    while body.len() < HEAD
        && let Some(chunk) = response.chunk().await.map_err(|error| lost(CALL, &error))?
    {
        body.extend_from_slice(&chunk);
    }
    body.truncate(HEAD);
    Ok(body)
}

/// Whether this is how a master begins.
fn look_at(head: &[u8]) -> Result<(), ReferenceError> {
    let text = head
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(head)
        .trim_ascii_start();
    let what = match text.first() {
        None => "an empty file",
        Some(b'<') => "a page",
        Some(b'{' | b'[') => "JSON",
        _ if text
            .split(|&b| b == b'\n')
            .next()
            .is_none_or(|line| !line.contains(&b',')) =>
        {
            "no line of columns"
        }
        _ => return Ok(()),
    };
    let detail = format!("{what} where a file of comma-separated values is expected");
    Err(unexpected(match what {
        "an empty file" => detail,
        _ => format!("{detail}: {}", glimpse(head)),
    }))
}

fn unexpected(detail: String) -> ReferenceError {
    ReferenceError::Unexpected { call: CALL, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_their_names() {
        let base = Url::parse("https://images.dhan.co/api-data/").unwrap();
        assert_eq!(
            url(&base, MasterLayout::Compact).unwrap().as_str(),
            "https://images.dhan.co/api-data/api-scrip-master.csv"
        );
        assert_eq!(
            url(&base, MasterLayout::Detailed).unwrap().as_str(),
            "https://images.dhan.co/api-data/api-scrip-master-detailed.csv"
        );
    }

    #[test]
    fn only_a_list_of_columns_begins_a_master() {
        for head in [
            &b"EXCH_ID,SEGMENT,SECURITY_ID\nNSE,E,1333\n"[..],
            b"\xef\xbb\xbf SEM_EXM_EXCH_ID, SEM_SEGMENT",
        ] {
            look_at(head).unwrap();
        }
        for head in [
            &b""[..],
            b" \n ",
            b"<!DOCTYPE html>,",
            b"\n<html>",
            b"{\"errorCode\":806,\"a\":1}",
            b"Not found\na,b\n",
            b"\0\0\0",
        ] {
            let error = look_at(head).unwrap_err();
            assert!(
                matches!(error, ReferenceError::Unexpected { .. }),
                "{error}"
            );
        }
    }
}
