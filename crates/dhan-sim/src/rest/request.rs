use core::time::Duration;

use bytes::Bytes;
use serde_json::Value;

/// A request without its socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'r> {
    /// `GET`, `POST` and so on.
    pub method: &'r str,
    /// Without the query.
    pub path: &'r str,
    /// The header `access-token`.
    pub access_token: Option<&'r str>,
    /// The header `client-id`.
    pub client_id: Option<&'r str>,
    /// The body.
    pub body: &'r [u8],
}

/// What is sent back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The header `content-type`.
    pub content_type: &'static str,
    /// The header `last-modified`, where there is one.
    pub last_modified: Option<String>,
    /// The body.
    pub body: Bytes,
    /// How long to wait before it is sent.
    pub delay: Duration,
}

impl Answer {
    pub(super) fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type,
            last_modified: None,
            body: body.into(),
            delay: Duration::ZERO,
        }
    }

    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    /// Of the quote, chain and expiry calls.
    pub(super) fn success(data: &Value) -> Self {
        Self::json(
            200,
            &serde_json::json!({ "data": data, "status": "success" }),
        )
    }
}

/// Why a request is not answered as asked, in the broker's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    NoCredentials,
    BadToken,
    BadClient,
    TooOften,
    Blocked,
    TooMany,
    BadInput,
    NoData,
    BadRequest,
    BadExpiry,
    BadInstrument,
    NoSuchCall,
    WrongMethod,
}

impl Failure {
    pub(super) fn answer(self) -> Answer {
        // The trading API's codes are texts, the data API's are numbers in `data`.
        let trade = |status, kind: &str, code: &str, message: &str| {
            let body = serde_json::json!({
                "errorType": kind, "errorCode": code, "errorMessage": message,
            });
            Answer::json(status, &body)
        };
        let data = |status, code: &str, message: &str| {
            let body = serde_json::json!({ "data": { code: message }, "status": "failed" });
            Answer::json(status, &body)
        };
        match self {
            Self::NoCredentials => trade(
                401,
                "Invalid_Authentication",
                "DH-901",
                "Client ID or user generated access token is invalid or expired.",
            ),
            Self::BadToken => trade(400, "Order_Error", "DH-906", "Invalid Token"),
            Self::BadClient => data(400, "810", "Client ID is invalid"),
            Self::TooOften => trade(
                429,
                "Input_Exception",
                "DH-904",
                "Too many requests on server from single user breaching rate limits. \
                 Try throttling API calls.",
            ),
            Self::Blocked => data(
                429,
                "805",
                "Too many requests. Further requests may result in the user being blocked.",
            ),
            Self::TooMany => trade(
                400,
                "Input_Exception",
                "DH-905",
                "Maximum of 1000 instruments allowed per request",
            ),
            Self::BadInput => trade(
                400,
                "Input_Exception",
                "DH-905",
                "Missing required fields, bad values for parameters etc.",
            ),
            Self::NoData => trade(
                400,
                "Data_Error",
                "DH-907",
                "System is unable to fetch data due to incorrect parameters or no data present",
            ),
            Self::BadRequest => data(400, "814", "Invalid Request"),
            Self::BadExpiry => data(400, "811", "Invalid Expiry Date"),
            Self::BadInstrument => data(400, "813", "Invalid SecurityId"),
            Self::NoSuchCall => trade(404, "Input_Exception", "DH-905", "No such path"),
            Self::WrongMethod => trade(405, "Input_Exception", "DH-905", "No such method"),
        }
    }
}
