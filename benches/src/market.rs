//! What there is to subscribe in a run against a server.

use std::collections::{BTreeMap, HashMap};

use strikewire_registry::{Kind, Ladder, Registry};
use strikewire_types::{Exchange, InstrumentKey};
use tokio::io::AsyncWriteExt;

use crate::Error;
use crate::master::Master;
use crate::ws;

/// Strikes of a chain that clients subscribe: 50 contracts.
pub const WIDTH: usize = 25;
/// Strikes of the chain that is read: 202 contracts.
pub const WIDE: usize = 101;

/// The server's clock begins here, in a session.
pub const CLOCK: &str = "2026-02-09T10:00:00+05:30";
/// The same in seconds since 1970.
const CLOCK_SECONDS: i64 = 1_770_611_400;

/// What is subscribed, and at which prices.
#[derive(Debug, Clone)]
pub struct Market {
    /// The instrument master.
    pub master: Master,
    /// Chains of [`WIDTH`] strikes.
    pub chains: Vec<Chain>,
    /// The chain of [`WIDE`] strikes that is read.
    pub wide: Chain,
    /// The prices of the underlyings.
    pub prices: HashMap<InstrumentKey, f32>,
    /// When the server's clock begins, in seconds since 1970.
    pub clock: i64,
}

/// A chain.
#[derive(Debug, Clone)]
pub struct Chain {
    /// The underlying's symbol.
    pub symbol: String,
    /// When it expires, as in `24FEB2026`.
    pub expiry: String,
    /// The underlying's price in rupees.
    pub price: f32,
    /// What a watchlist calls it.
    pub instrument_type: &'static str,
}

impl Market {
    /// The first `count` symbols of NSE whose nearest expiry has whole windows.
    ///
    /// # Errors
    ///
    /// When the instrument master cannot be had, or has fewer.
    pub fn new(count: usize) -> Result<Self, Error> {
        let master = Master::full()?;
        let registry = master.registry()?;
        let mut chains = BTreeMap::new();
        let mut prices = HashMap::new();
        let mut wide = None;
        for ladder in registry.ladders() {
            let kinds = [Kind::OptionStock, Kind::OptionIndex];
            let symbol = ladder.symbol();
            if ladder.exchange() != Exchange::Nse
                || !kinds.contains(&ladder.kind())
                || chains.contains_key(symbol)
                || ladder.expiry().date() <= master.as_of
            {
                continue;
            }
            let Some((source, chain)) = whole(&registry, ladder, WIDTH) else {
                continue;
            };
            if symbol == "NIFTY" && wide.is_none() {
                if let Some((_, chain)) = whole(&registry, ladder, WIDE) {
                    wide = Some(chain.clone());
                    prices.insert(source, chain.price);
                }
                continue;
            }
            prices.insert(source, chain.price);
            chains.insert(symbol.to_owned(), chain);
        }
        let chains: Vec<Chain> = chains.into_values().take(count).collect();
        if chains.len() < count {
            return Err(format!("the master has only {} such chains", chains.len()).into());
        }
        Ok(Self {
            master,
            chains,
            wide: wide.ok_or("the master has no chain of 202 contracts on NIFTY")?,
            prices,
            clock: CLOCK_SECONDS,
        })
    }
}

impl Chain {
    /// Sees to it that every contract of the chain is subscribed.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    ///
    /// # Cancel safety
    ///
    /// It may or may not have been done.
    pub async fn subscribe(&self, address: &str, width: usize) -> Result<(), Error> {
        let Self {
            symbol,
            expiry,
            price,
            instrument_type: kind,
        } = self;
        let body = format!(
            r#"{{"user_id":1,"symbol":"{symbol}","instrument_type":"{kind}","expiry":"{expiry}","width":{width},"underlying_ltp":{price}}}"#
        );
        let (mut reader, mut writer) = ws::http(address).await?;
        let request = format!(
            "POST /api/v2/option-chain/subscribe HTTP/1.1\r\nhost: localhost\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        writer.write_all(request.as_bytes()).await?;
        match reader.answer().await? {
            (true, _) => Ok(()),
            (false, body) => Err(String::from_utf8_lossy(body).into()),
        }
    }

    /// Where it is read, over REST.
    #[must_use]
    pub fn path(&self, width: usize) -> String {
        format!(
            "/api/v2/option-chain/{}?expiry={}&width={width}",
            self.symbol, self.expiry
        )
    }
}

/// A chain in the middle of a ladder if both legs of all of its strikes are listed.
fn whole(registry: &Registry, ladder: Ladder<'_>, width: usize) -> Option<(InstrumentKey, Chain)> {
    let rungs = ladder.rungs();
    let middle = rungs.len() / 2;
    let window = rungs.get(middle.checked_sub(width / 2)?..=middle + width / 2)?;
    if !window.iter().all(strikewire_registry::Rung::is_complete) {
        return None;
    }
    let source = ladder.price_source()?.key();
    registry.by_key(source)?;
    let chain = Chain {
        symbol: ladder.symbol().to_owned(),
        expiry: ladder.expiry().to_string(),
        price: rungs[middle].strike.as_f64() as f32,
        instrument_type: match ladder.kind() {
            Kind::OptionIndex => "INDEX_OPTION",
            _ => "STOCK_OPTION",
        },
    };
    Some((source, chain))
}
