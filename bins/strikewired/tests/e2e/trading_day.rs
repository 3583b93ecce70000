//! A whole trading day, from before the open of one day to after the open of the next,
//! on a fast clock: one process, the embedded stand-in, and expectations that come from
//! the masters' text.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use serde_json::{Value, json};
use strikewire_dhan_sim::SimHandle;
use strikewire_dhan_sim::generate::{Spec, generate_to_path};
use strikewire_types::{Clock, ClockSpec, InstrumentKey};
use strikewired::{Args, Config, Server};
use tempfile::TempDir;

use crate::database::Database;
use crate::harness::{Rest, WHOLE_MACHINE, real_master};
use crate::listing::{Future, Ladder, Listing, Prices};

/// Tuesday: options on NIFTY expire.
const TODAY: &str = "2026-02-10";
const TOMORROW: &str = "2026-02-11";
const ROWS: usize = 60_000;

/// What is always on.
enum Standing {
    /// What the defaults are.
    Default,
    /// Less, with which a debug build keeps up with a fast clock.
    Few,
}

impl Standing {
    /// A price is live for a minute, which is 86 ms on the clock of these tests: a debug
    /// build takes longer to send and read a packet of every default instrument.
    const fn bearable() -> Self {
        if cfg!(debug_assertions) {
            Self::Few
        } else {
            Self::Default
        }
    }

    const fn toml(&self) -> &'static str {
        match self {
            Self::Default => "",
            Self::Few => {
                "[[tier_b]]\ncontracts = 'options'\nsymbols = ['NIFTY', 'SENSEX', 'CRUDEOIL']\n\
                 expiries = 2\nwidth = 101\n\
                 [[tier_b]]\ncontracts = 'futures'\nsymbols = ['GOLD']\nexchange = 'MCX'\n"
            }
        }
    }

    fn of<'a>(&self, listing: &'a Listing) -> (Vec<&'a Ladder>, Vec<&'a Future>) {
        match self {
            Self::Default => listing.always_on(),
            Self::Few => {
                let chains = [("NSE", "NIFTY"), ("BSE", "SENSEX"), ("MCX", "CRUDEOIL")];
                let ladders = chains
                    .iter()
                    .flat_map(|(exchange, symbol)| listing.of(exchange, symbol).take(2));
                (ladders.collect(), listing.futures_of(&["GOLD"]))
            }
        }
    }
}

/// A chain that somebody holds: exchange, symbol, expiry and width.
type Chain = (String, String, String, usize);

struct Day {
    server: Server,
    rest: Rest,
    standin: SimHandle,
    clock: Clock,
    prices: Prices,
    standing: Standing,
    /// The prices at which windows were calculated, by exchange, symbol and expiry.
    anchors: BTreeMap<[String; 3], f64>,
}

impl Day {
    async fn start(
        data: &Path,
        instruments: Option<&Path>,
        standing: Standing,
        clock: &str,
    ) -> Self {
        let spec: ClockSpec = clock.parse().expect("a clock");
        let toml = data.join("strikewire.toml");
        let text = format!(
            "listen = '127.0.0.1:0'\n[sim]\nrows = {ROWS}\nvolatility = 0.0\n\
             [chain]\nprice_wait_ms = 5000000\n{}",
            standing.toml()
        );
        std::fs::write(&toml, text).expect("the configuration");
        let config = Config::load(&Args {
            config: Some(toml),
            data_dir: Some(data.to_owned()),
            instruments: instruments.map(Path::to_owned),
            clock: Some(spec),
            ..Args::default()
        })
        .expect("a configuration");
        let clock = Clock::simulated(spec);
        let server = Server::start_at(config, clock, String::new)
            .await
            .expect("it starts");
        let rest = Rest::at(server.addr());
        Self {
            rest,
            standin: server.standin().expect("it is embedded").clone(),
            prices: Prices::new(&server.gateway().registry(), clock),
            clock,
            server,
            standing,
            anchors: BTreeMap::new(),
        }
    }

    /// Waits until the clock shows a time such as `2026-02-10T15:30:00+05:30`.
    async fn at(&self, time: &str) {
        let wanted = time.parse::<ClockSpec>().expect("a time").start;
        let now = self.clock.now();
        self.clock
            .sleep_until(now.mono + wanted.since(now.utc))
            .await;
    }

    fn on_wire(&self) -> BTreeMap<InstrumentKey, usize> {
        let mut keys = BTreeMap::new();
        for session in self.standin.wire_state().into_values() {
            for key in session.into_keys() {
                *keys.entry(key).or_default() += 1;
            }
        }
        keys
    }

    /// The contracts of a chain and its underlying.
    fn chain(&mut self, ladder: &Ladder, width: usize) -> BTreeSet<InstrumentKey> {
        let underlying = ladder.underlying.expect("something gives it a price");
        let now = self.prices.of(underlying);
        let name = [&ladder.exchange, &ladder.symbol, &ladder.expiry].map(String::clone);
        let anchor = *self.anchors.entry(name).or_insert(now);
        let mut keys = ladder.window(anchor, width);
        keys.insert(underlying);
        keys
    }

    /// What is always on, of ladders that `is_on`.
    fn always_on(
        &mut self,
        listing: &Listing,
        is_on: impl Fn(&Ladder) -> bool,
    ) -> BTreeSet<InstrumentKey> {
        let (ladders, futures) = self.standing.of(listing);
        let mut keys: BTreeSet<InstrumentKey> = futures.iter().map(|future| future.key).collect();
        for ladder in ladders {
            if is_on(ladder) && ladder.underlying.is_some() {
                keys.extend(self.chain(ladder, 101));
            }
        }
        keys
    }

    fn chains(&mut self, listing: &Listing, chains: &[Chain]) -> BTreeSet<InstrumentKey> {
        let mut keys = BTreeSet::new();
        for (exchange, symbol, expiry, width) in chains {
            keys.extend(self.chain(listing.ladder(exchange, symbol, expiry), *width));
        }
        keys
    }

    /// Waits until exactly this is on the wire, each on one connection.
    async fn until_on_wire(&self, what: &str, keys: &BTreeSet<InstrumentKey>) {
        let once: BTreeMap<InstrumentKey, usize> = keys.iter().map(|key| (*key, 1)).collect();
        let start = std::time::Instant::now();
        loop {
            let wire = self.on_wire();
            if wire == once {
                break;
            }
            if start.elapsed() > core::time::Duration::from_secs(30) {
                let name = |key: &&InstrumentKey| {
                    let registry = self.server.gateway().registry();
                    let listed = registry.by_key(**key);
                    listed.map_or_else(|| key.to_string(), |instrument| instrument.token())
                };
                let more: Vec<String> = wire
                    .keys()
                    .filter(|key| !keys.contains(key))
                    .take(20)
                    .map(|key| name(&key))
                    .collect();
                let less: Vec<String> = keys
                    .iter()
                    .filter(|key| !wire.contains_key(key))
                    .take(20)
                    .map(|key| name(&key))
                    .collect();
                panic!(
                    "{what}, at {}: {} on the wire, {} wanted; not wanted: {more:?}; missing: {less:?}",
                    self.clock.now().utc,
                    wire.len(),
                    keys.len()
                );
            }
            tokio::time::sleep(core::time::Duration::from_millis(20)).await;
        }
        eprintln!(
            "{}: {what}, {} instruments",
            self.clock.now().utc,
            keys.len()
        );
    }

    async fn symbols(&self, user: u64) -> Vec<String> {
        let list = self.rest.ok(&format!("/api/v2/watchlist/{user}")).await;
        let items = list["items"].as_array().expect("items");
        items
            .iter()
            .map(|item| item["symbol"].as_str().expect("a symbol").to_owned())
            .collect()
    }
}

/// The two days' masters.
struct Masters {
    instruments: Option<PathBuf>,
    today: Listing,
    tomorrow: Listing,
}

impl Masters {
    /// Generated ones, where the server looks for them.
    fn generated(data: &Path) -> Self {
        let listing = |day: &str| {
            let path = data.join(format!("instruments-generated-{day}-{ROWS}-1.csv"));
            let as_of = day.parse().expect("a date");
            let spec = Spec {
                rows: ROWS,
                ..Spec::new(as_of)
            };
            generate_to_path(&spec, &path).expect("a master");
            Listing::read(&path, day)
        };
        Self {
            instruments: None,
            today: listing(TODAY),
            tomorrow: listing(TOMORROW),
        }
    }
}

fn nearest(listing: &Listing, exchange: &str, symbol: &str, width: usize) -> Chain {
    let ladder = listing.of(exchange, symbol).next();
    let ladder = ladder.unwrap_or_else(|| panic!("{exchange} lists no {symbol}"));
    (
        exchange.to_owned(),
        symbol.to_owned(),
        ladder.expiry.clone(),
        width,
    )
}

async fn a_day(data: &Path, masters: &Masters, standing: Standing, clock: &str) {
    let today = &masters.today;
    let mut day = Day::start(data, masters.instruments.as_deref(), standing, clock).await;

    // What is always on comes by itself, whether a market is open or not.
    let all = |_: &Ladder| true;
    let standing = day.always_on(today, all);
    day.until_on_wire("always on", &standing).await;
    let status = day.rest.status().await;
    assert_eq!(status["tier_b"]["waiting"], json!([]));
    assert_eq!(status["tier_b_count"], standing.len());

    // Lists of three exchanges, and a stream.
    let mut afternoon = Vec::new();
    let mut night = Vec::new();
    for (user, chain) in [
        (1, nearest(today, "NSE", "RELIANCE", 25)),
        (1, nearest(today, "BSE", "SENSEX", 131)),
        (2, nearest(today, "BSE", "RELIANCE", 11)),
        (2, nearest(today, "MCX", "CRUDEOIL", 21)),
        (2, nearest(today, "MCX", "GOLD", 51)),
    ] {
        let (exchange, symbol, expiry, width) = &chain;
        let ladder = today.ladder(exchange, symbol, expiry);
        let more = json!({
            "exchange": exchange, "expiry": ladder.expiry_text(), "width": width,
            "instrument_type": ladder.instrument_type(),
        });
        day.rest.add(user, symbol, more).await;
        if exchange == "MCX" {
            night.push(chain);
        } else {
            afternoon.push(chain);
        }
    }
    let equity = json!({"instrument_type": "EQUITY", "exchange": "NSE"});
    day.rest.add(1, "INFY", equity).await;
    let equity = today.equities["INFY"];
    let mut stream = day.rest.stream().await;
    let streamed = nearest(today, "NSE", "TCS", 11);
    let tcs = today.ladder(&streamed.0, &streamed.1, &streamed.2);
    stream
        .send(
            &json!({"action": "subscribe", "channel": "chain", "symbol": "TCS",
                      "expiry": tcs.expiry_text(), "width": 11}),
        )
        .await;
    stream.of_type("ack").await;
    stream
        .send(&json!({"action": "subscribe", "channel": "ticks",
                      "instruments": [today.equities["HDFCBANK"].to_string()]}))
        .await;
    stream.of_type("ack").await;
    let notices = stream.keep("notice");
    let mut streamed_keys = day.chains(today, std::slice::from_ref(&streamed));
    streamed_keys.insert(today.equities["HDFCBANK"]);

    let lists = day.chains(today, &[afternoon.clone(), night.clone()].concat());
    let mut before_open: BTreeSet<InstrumentKey> = &standing | &lists;
    before_open.extend(&streamed_keys);
    before_open.insert(equity);
    day.until_on_wire("with lists and streams", &before_open)
        .await;

    // The open changes nothing where prices did not.
    day.at(&format!("{TODAY}T09:20:00+05:30")).await;
    day.until_on_wire("after the open", &before_open).await;

    // Every price goes by one per cent at once.
    day.at(&format!("{TODAY}T11:00:00+05:30")).await;
    assert!(day.standin.move_prices(1.01));
    day.prices.move_by(1.01);
    let mut rolled = 0;
    for ([exchange, symbol, expiry], anchor) in &mut day.anchors {
        let ladder = today.ladder(exchange, symbol, expiry);
        let now = day.prices.of(ladder.underlying.expect("it has one"));
        let next = ladder.anchor(*anchor, now);
        rolled += usize::from(next != *anchor);
        *anchor = next;
    }
    assert!(rolled > 5, "{rolled} chains roll");
    let standing = day.always_on(today, all);
    let streamed_keys = {
        let mut keys = day.chains(today, std::slice::from_ref(&streamed));
        keys.insert(today.equities["HDFCBANK"]);
        keys
    };
    let mut midday: BTreeSet<InstrumentKey> = &standing | &streamed_keys;
    midday.extend(day.chains(today, &[afternoon.clone(), night.clone()].concat()));
    midday.insert(equity);
    day.until_on_wire("after the move", &midday).await;

    // The close of NSE and BSE: lists and streams leave, what is always on stays, but for
    // what expired today.
    day.at(&format!("{TODAY}T15:30:00+05:30")).await;
    let open = |ladder: &Ladder| ladder.expiry != TODAY || ladder.exchange == "MCX";
    let standing = day.always_on(today, open);
    assert!(standing.len() < midday.len());
    let mut evening = &standing | &day.chains(today, &night);
    evening.remove(&equity);
    day.until_on_wire("after the close", &evening).await;
    assert!(day.symbols(1).await.is_empty());
    assert_eq!(day.symbols(2).await, ["CRUDEOIL", "GOLD"]);

    day.at(&format!("{TODAY}T23:50:00+05:30")).await;
    day.until_on_wire("late in the evening", &evening).await;
    day.at(&format!("{TODAY}T23:55:00+05:30")).await;
    day.until_on_wire("after the close of MCX", &standing).await;
    assert!(day.symbols(2).await.is_empty());

    // Nothing happens at night.
    day.at(&format!("{TOMORROW}T00:30:00+05:30")).await;
    day.until_on_wire("after midnight", &standing).await;
    day.at(&format!("{TOMORROW}T08:25:00+05:30")).await;
    day.until_on_wire("in the morning", &standing).await;

    // The master of the next day.
    day.at(&format!("{TOMORROW}T08:30:00+05:30")).await;
    day.rest
        .until("the master of the next day", async || {
            day.server.gateway().registry().as_of().to_string() == TOMORROW
        })
        .await;
    let registry = day.server.gateway().registry();
    day.prices.set_registry(&registry, day.clock);
    let tomorrow = &masters.tomorrow;
    let standing = day.always_on(tomorrow, all);
    let mut resumed = standing.clone();
    resumed.extend(day.chains(tomorrow, std::slice::from_ref(&streamed)));
    resumed.insert(tomorrow.equities["HDFCBANK"]);
    day.at(&format!("{TOMORROW}T09:00:00+05:30")).await;
    day.until_on_wire("a quarter before the open", &resumed)
        .await;
    day.at(&format!("{TOMORROW}T09:16:00+05:30")).await;
    day.until_on_wire("open again", &resumed).await;

    let count = |code: &str| {
        let notices = notices.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |notice: &&Value| notice["code"] == code;
        notices.iter().filter(of).count()
    };
    day.rest
        .until("the stream was told", async || count("resumed") == 2)
        .await;
    assert_eq!(count("suspended"), 2);

    let connections = day.standin.counters().total();
    assert_eq!((connections.oversized, connections.invalid), (0, 0));
    let database = Database::at(&data.join("strikewire.db"));
    let ends = format!(
        "SELECT class || ' ' || CAST(count(*) AS TEXT) FROM eod_markers \
         WHERE day = '{TODAY}' GROUP BY class ORDER BY class"
    );
    assert_eq!(
        database.texts(&ends).await,
        [
            "bse_cash 1",
            "bse_currency 1",
            "bse_derivatives 1",
            "mcx 1",
            "mcx_agri 1",
            "mcx_agri_evening 1",
            "nse_cash 1",
            "nse_currency 1",
            "nse_derivatives 1"
        ]
    );
    day.server.stop().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_day_and_the_next_morning() {
    if real_master().is_some() && std::env::var_os("STRIKEWIRE_LONG").is_none() {
        eprintln!("skipped: the same day runs on the real master; STRIKEWIRE_LONG=1 runs both");
        return;
    }
    let data = TempDir::new().expect("a temporary directory");
    let masters = Masters::generated(data.path());
    let clock = "2026-02-10T08:00:00+05:30@700";
    a_day(data.path(), &masters, Standing::bearable(), clock).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_day_on_the_real_master() {
    let Some(master) = real_master() else {
        eprintln!("skipped: STRIKEWIRE_REAL_DATA does not name a folder with the real master");
        return;
    };
    let data = TempDir::new().expect("a temporary directory");
    let masters = Masters {
        instruments: Some(master.path.clone()),
        today: Listing::read(&master.path, TODAY),
        tomorrow: Listing::read(&master.path, TOMORROW),
    };
    let clock = "2026-02-10T07:00:00+05:30@700";
    a_day(data.path(), &masters, Standing::bearable(), clock).await;
}

/// The default rules, on the day that their figures are known of.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_always_on_of_the_real_master() {
    let Some(master) = real_master() else {
        eprintln!("skipped: STRIKEWIRE_REAL_DATA does not name a folder with the real master");
        return;
    };
    let _alone = WHOLE_MACHINE.lock().await;
    let data = TempDir::new().expect("a temporary directory");
    let clock = "2026-02-09T10:00:00+05:30@1";
    let instruments = Some(master.path.as_path());
    let mut day = Day::start(data.path(), instruments, Standing::Default, clock).await;
    let (ladders, futures) = master.listing.always_on();
    let options = |day: &mut Day, is_mcx: bool| {
        let mut keys = BTreeSet::new();
        for ladder in &ladders {
            if (ladder.exchange == "MCX") == is_mcx {
                keys.extend(day.chain(ladder, 101));
            }
        }
        keys.retain(|key| !ladders.iter().any(|ladder| ladder.underlying == Some(*key)));
        keys
    };
    assert_eq!(options(&mut day, false).len(), 6_768);
    assert_eq!(options(&mut day, true).len(), 804);
    assert_eq!(futures.len(), 27);
    let standing = day.always_on(&master.listing, |_| true);
    // The six indices beside them; the futures of oil and gas are among the 27.
    assert_eq!(standing.len(), 6_768 + 804 + 27 + 6);
    day.until_on_wire("always on", &standing).await;
    assert_eq!(day.rest.status().await["tier_b"]["waiting"], json!([]));
    day.server.stop().await.expect("it stops");
}
