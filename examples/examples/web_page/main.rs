//! The same as the example `frontend` in a browser: one page (`examples/web/index.html`, no
//! dependencies, no build step), served here. The page talks to the server by itself, from
//! another origin, so the server has to be told that pages of this origin may:
//!
//! ```text
//! printf '[http]\ncors_origins = ["http://127.0.0.1:8090"]\n' > web.toml
//! cargo run --release --bin strikewired -- --config web.toml --clock 2026-02-09T10:00:00+05:30@1
//! cargo run -p strikewire-examples --example web_page
//! ```
//!
//! Then open <http://127.0.0.1:8090>.

#[cfg(test)]
mod tests;

use std::error::Error;
use std::net::SocketAddr;

use axum::Router;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::response::Html;
use axum::routing::get;
use clap::Parser;
use tokio::net::TcpListener;

const PAGE: &str = include_str!("../../web/index.html");

/// What the page may do: run and show what is in it, and connect to any Strikewire.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                      connect-src http: https: ws: wss:; base-uri 'none'; form-action 'none'";

/// Serves a page that shows a chain.
#[derive(Debug, Parser)]
struct Args {
    /// Where to serve it.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let listener = TcpListener::bind(args.listen).await?;
    println!("The page is at http://{}", listener.local_addr()?);
    axum::serve(listener, page()).await?;
    Ok(())
}

fn page() -> Router {
    let html = ([(CONTENT_SECURITY_POLICY, POLICY)], Html(PAGE));
    Router::new().route("/", get(async || html))
}
