//! Dhan's request side: quotes, option chains, expiries, candles and the instrument
//! master, as a [`Reference`](strikewire_broker::Reference).
//!
//! [`DhanRest`] asks; [`parse`] reads what comes back, and can be used without it. How
//! often the broker may be asked, what its failures mean and how its fields are read is
//! in docs/DHAN.md.
//!
//! Here a broker of one answer is asked:
//!
//! ```
//! use strikewire_broker::Reference;
//! use strikewire_dhan::{DhanRest, RestConfig, TokenSource};
//! use strikewire_types::PriceStep;
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let rest = DhanRest::new(RestConfig {
//!     url: format!("http://{}", listener.local_addr()?),
//!     client_id: "1000000001".to_owned(),
//!     token: TokenSource::Fixed("a token".into()),
//!     ..RestConfig::default()
//! })?;
//! # tokio::spawn(async move {
//! #     let (mut stream, _) = listener.accept().await?;
//! #     stream.read(&mut [0; 4096]).await?;
//! #     let body = r#"{"data":{"IDX_I":{"13":{"last_price":22952.94921875}}},"status":"success"}"#;
//! #     let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
//! #     stream.write_all(answer.as_bytes()).await
//! # });
//! let nifty = "IDX_I:13".parse()?;
//! let quotes = rest.quotes(&[(nifty, PriceStep::PAISA)]).await?;
//! assert_eq!(quotes[0].ltp, Some("22952.95".parse()?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod candles;
mod chain;
mod client;
mod config;
mod failure;
mod gate;
mod limiter;
mod master;
mod number;
pub mod parse;
mod quotes;
mod secret;

pub use client::DhanRest;
pub use config::{API_URL, MASTER_URL, RestConfig, RestLimits, RestTimeouts};
pub use quotes::QUOTES_PER_CALL;
