use std::io;
use std::path::PathBuf;

/// What is wrong with the configuration of a feed, or with the access token. No
/// message contains the token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address cannot be used. It is not shown, since people paste addresses with
    /// a token in them.
    #[error(
        "the feed url {reason}; expected ws:// or wss://, a host and perhaps a port and a path, \
         such as wss://api-feed.dhan.co"
    )]
    Url {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There is no client id.
    #[error("the dhan client id is empty; expected the id of a dhan account")]
    ClientIdMissing,
    /// The number of connections cannot be.
    #[error("dhan connections is {got}; expected 1 to {max}")]
    Connections {
        /// What was asked for.
        got: usize,
        /// What the broker allows.
        max: usize,
    },
    /// The number of instruments on a connection cannot be.
    #[error("dhan instruments per connection is {got}; expected 1 to {max}")]
    PerConnection {
        /// What was asked for.
        got: usize,
        /// What the broker allows.
        max: usize,
    },
    /// The file with the access token cannot be read.
    #[error("the access token file {} cannot be read: {source}", path.display())]
    TokenFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no access token.
    #[error("the access token in {place} is empty; expected the token of a dhan account")]
    TokenMissing {
        /// Where it should be.
        place: String,
    },
    /// A certificate authority to trust is not one.
    #[error("the certificate authorities to trust cannot be used: {source}")]
    Roots {
        /// Why.
        source: rustls::Error,
    },
    /// What was stored of the connect budget cannot be understood.
    #[error("not a stored connect budget: {reason}")]
    Budget {
        /// Why.
        reason: String,
    },
    /// The port serves another number of connections than the feed has.
    #[error("the port serves {got} connections; expected {expected}")]
    Port {
        /// What it serves.
        got: usize,
        /// What the feed has.
        expected: usize,
    },
    /// An address of the request side cannot be used. It is not shown, since people paste
    /// addresses with a secret in them.
    #[error(
        "the {what} url {reason}; expected http:// or https://, a host and perhaps a port and a \
         path, such as {example}"
    )]
    RestUrl {
        /// Which address.
        what: &'static str,
        /// What is wrong with it.
        reason: &'static str,
        /// One that is right.
        example: &'static str,
    },
    /// The client id cannot be sent.
    #[error(
        "the dhan client id has characters no header can have; expected the id of a dhan account"
    )]
    ClientIdUnusable,
    /// Requests cannot be made at all.
    #[error("cannot make http requests: {source}")]
    Http {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
