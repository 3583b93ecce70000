use core::time::Duration;
use std::collections::BTreeMap;

use bytes::Bytes;

use super::request::{Answer, Failure, Request};

/// What goes wrong with the next calls of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestFault {
    /// Of all paths that begin so; `/` is all of them.
    pub path: String,
    /// The status to answer with; absent when the answer itself is as ever.
    pub status: Option<u16>,
    /// The body to answer with.
    pub body: Bytes,
    /// How long to wait before answering.
    pub delay: Duration,
    /// How many calls it happens to.
    pub times: u32,
}

impl RestFault {
    /// Calls are answered with this instead.
    #[must_use]
    pub fn answer(
        path: impl Into<String>,
        status: u16,
        body: impl Into<Bytes>,
        times: u32,
    ) -> Self {
        Self {
            path: path.into(),
            status: Some(status),
            body: body.into(),
            delay: Duration::ZERO,
            times,
        }
    }

    /// Calls are answered late.
    #[must_use]
    pub fn slow(path: impl Into<String>, delay: Duration, times: u32) -> Self {
        Self {
            path: path.into(),
            status: None,
            body: Bytes::new(),
            delay,
            times,
        }
    }
}

/// Bodies that the broker has been seen to fail with.
pub mod bodies {
    /// With 200: the account may not use the data APIs.
    pub const NOT_SUBSCRIBED: &str =
        r#"{"errorCode":806,"errorMessage":"Data APIs not subscribed"}"#;
    /// With 500: the chart service is in trouble.
    pub const SERVER_ERROR: &str = r#"{"errorType":"SERVER_ERROR","errorCode":"RS-9005","errorMessage":"Something went wrong"}"#;
    /// With 502: a proxy found nobody behind it.
    pub const BAD_GATEWAY: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n\
        <body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n";
    /// With 200: a chain that is a text instead of an object.
    pub const EMPTY_DATA: &str = r#"{"status":"failure","remarks":{"error_code":null,"error_type":null,"error_message":null},"data":""}"#;
}

impl Answer {
    /// What a proxy or service in trouble says with `status`.
    pub(super) fn trouble(status: u16) -> Self {
        match status {
            429 => Failure::TooOften.answer(),
            500 => Self::new(status, "application/json", bodies::SERVER_ERROR),
            _ => Self::new(status, "text/html", bodies::BAD_GATEWAY),
        }
    }
}

/// Which faults wait.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<RestFault>);

impl Faults {
    pub(super) fn add(&mut self, fault: RestFault) {
        if fault.times > 0 {
            self.0.push(fault);
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// What happens to this call: the oldest answer and the oldest delay that wait for
    /// its path.
    pub(super) fn strike(&mut self, request: &Request<'_>) -> (Option<Answer>, Duration) {
        let mut take = |wanted: fn(&RestFault) -> bool| {
            let at = self
                .0
                .iter()
                .position(|fault| wanted(fault) && request.path.starts_with(&fault.path))?;
            let fault = self.0.get_mut(at)?;
            fault.times -= 1;
            let struck = fault.clone();
            if struck.times == 0 {
                self.0.remove(at);
            }
            Some(struck)
        };
        let wrong = take(|fault| fault.status.is_some());
        let slow = take(|fault| fault.status.is_none());
        let delays = [&wrong, &slow]
            .into_iter()
            .flatten()
            .map(|fault| fault.delay);
        let delay = delays.sum();
        let answer = wrong.and_then(|fault| {
            let kind = if fault.body.trim_ascii_start().starts_with(b"<") {
                "text/html"
            } else {
                "application/json"
            };
            Some(Answer::new(fault.status?, kind, fault.body))
        });
        (answer, delay)
    }
}

/// What was counted on the REST side.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RestCounters {
    /// Calls by path; paths that do not exist count as `other`.
    pub calls: BTreeMap<String, u64>,
    /// Of these, answered otherwise than with 200.
    pub failed: u64,
    /// Of these, refused for being made too often, with DH-904 or 805.
    pub limited: u64,
    /// Of these, struck by a fault.
    pub faulted: u64,
    /// The most instruments in one quote call.
    pub most_instruments: usize,
    /// The bytes of the largest body received.
    pub largest_body: usize,
}
