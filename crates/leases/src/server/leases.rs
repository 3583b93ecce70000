use core::fmt::Write;
use core::time::Duration;
use std::sync::Arc;

use redis::{Cmd, FromRedisValue, Pipeline, Value};
use strikewire_types::Now;
use tokio::sync::watch;

use super::link::{Keeper, Link, millis};
use super::scripts::{self, Operation, Scripts};
use super::updates::{Update, Updates, What};
use super::{Health, LoginSessions, RedisConfig, TimeSource};
use crate::key::{RECORD, check_session};
use crate::memory::seconds;
use crate::{
    Error, Gone, LeaseKey, Leased, Leases, Record, Released, Settings, Subscriber, Totals,
};

/// Keys of one script or pipeline: the server does nothing else meanwhile.
const CHUNK: usize = 1_000;
/// Records that one script of the sweep looks at.
const SWEEP: usize = 100;
/// Records that are read at once.
const READ: usize = 200;

/// Leases in Redis 7.0 or later, shared by all who have the same server and prefix.
///
/// It connects by itself, again and again; operations fail at once with
/// [`Error::Unavailable`] while there is no connection. Dropping it ends the connection.
///
/// ```no_run
/// use strikewire_leases::{LeaseKey, Leases, RedisConfig, RedisLeases, Settings, Subscriber};
/// use strikewire_types::Now;
///
/// # async fn example() -> Result<(), strikewire_leases::Error> {
/// let config = RedisConfig::new("redis://127.0.0.1".parse()?);
/// let leases = RedisLeases::connect(config, Settings::default()).await?;
/// let key = LeaseKey::new("NIFTY", "5min", "RSI_14");
/// let who = Subscriber::new(7, "web")?;
/// leases.subscribe(Now::default(), &who, None, &[key]).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RedisLeases {
    link: Arc<Link>,
    keeper: Arc<Keeper>,
    scripts: Scripts,
    updates: Updates,
    names: Names,
    settings: Settings,
    mock: bool,
    time: TimeSource,
}

/// What keys are called.
#[derive(Debug)]
struct Names {
    prefix: String,
    /// Before the names of records and of sessions.
    record: String,
    session: String,
    /// Before the name of a record, where its entries are.
    places: String,
    keys: String,
    subscribers: String,
}

impl Names {
    fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            record: format!("{prefix}{RECORD}"),
            session: format!("{prefix}indicator_lease:session:"),
            places: format!("{prefix}indicator_lease:places:"),
            keys: format!("{prefix}indicator_lease:keys"),
            subscribers: format!("{prefix}indicator_lease:subscribers"),
        }
    }

    fn record(&self, key: &LeaseKey) -> String {
        format!("{}{}", self.record, key.name())
    }

    fn session(&self, session: &str) -> String {
        format!("{}{session}", self.session)
    }

    fn value(&self, key: &LeaseKey) -> String {
        format!("{}{}", self.prefix, key.value_key(false))
    }
}

impl RedisLeases {
    /// Connects. A server that is away is no error: it is tried again until it is there.
    ///
    /// Once there, values of mock runs under the prefix are removed, should another program
    /// have left any, unless this is a mock run itself.
    ///
    /// # Errors
    ///
    /// When the URL cannot be used.
    ///
    /// # Cancel safety
    ///
    /// Safe: what was begun ends.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn connect(config: RedisConfig, settings: Settings) -> Result<Self, Error> {
        let names = Names::new(&config.prefix);
        let renewed = vec![names.keys.clone(), names.subscribers.clone()];
        let scripts = Scripts::new();
        let greeting = scripts.loading();
        let (link, keeper) = Link::open(&config, greeting, renewed, index_ttl(&settings)).await?;
        let ends = [
            millis(settings.key_ttl),
            millis(settings.idle),
            millis(index_ttl(&settings)),
        ];
        let [key_ttl, idle, index_ttl] = ends.map(|end| end.to_string());
        let updates = Updates::new(
            Arc::clone(&link),
            scripts::update(),
            [names.keys.clone(), names.subscribers.clone()],
            [
                key_ttl,
                idle,
                index_ttl,
                seconds(settings.idle).to_string(),
                names.record.len().to_string(),
                names.places.clone(),
            ],
        );
        Ok(Self {
            link,
            keeper: Arc::new(keeper),
            scripts,
            updates,
            names,
            settings,
            mock: config.mock,
            time: config.time,
        })
    }

    /// Whether Redis is there, now and whenever that changes. A new generation is to be seen
    /// here before any answer that came over its connection.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Health> {
        self.link.health()
    }

    /// Which server, without a password.
    #[must_use]
    pub fn server(&self) -> &str {
        self.link.server()
    }

    /// Sessions of the interface, over the same connection.
    #[must_use]
    pub fn sessions(&self) -> LoginSessions {
        LoginSessions::new(
            Arc::clone(&self.link),
            Arc::clone(&self.keeper),
            &self.names.prefix,
        )
    }

    /// Milliseconds; empty: the server's own time.
    fn time(&self, now: Now) -> String {
        match self.time {
            TimeSource::Server => String::new(),
            // Ten digits of seconds, as the scripts have them.
            TimeSource::Caller => (now.utc.as_nanos() / 1_000_000)
                .clamp(1_000_000_000_000, 9_999_999_999_999)
                .to_string(),
        }
    }

    fn update(&self, what: What, who: &Subscriber, keys: &[LeaseKey], time: String) -> Update {
        Update {
            what,
            subscriber: who.to_string(),
            user: who.user,
            session: self.names.session(&who.session),
            records: keys.iter().map(|key| self.names.record(key)).collect(),
            time,
        }
    }

    fn begin(&self, operation: &Operation, keys: usize) -> Cmd {
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(operation.script.get_hash()).arg(keys);
        cmd
    }

    async fn run<T: FromRedisValue>(
        &self,
        operation: &Operation,
        cmd: &Cmd,
        expected: &'static str,
    ) -> Result<T, Error> {
        let answer = self.link.run(operation, cmd).await?;
        self.read(operation.name, answer, expected)
    }

    fn read<T: FromRedisValue>(
        &self,
        doing: &'static str,
        answer: Value,
        expected: &'static str,
    ) -> Result<T, Error> {
        redis::from_redis_value(answer).map_err(|_| self.link.odd(doing, expected))
    }

    /// An answer of so many numbers.
    async fn numbers(
        &self,
        operation: &Operation,
        cmd: &Cmd,
        count: usize,
    ) -> Result<Vec<u32>, Error> {
        const EXPECTED: &str = "numbers for each key";
        let numbers: Vec<u32> = self.run(operation, cmd, EXPECTED).await?;
        if numbers.len() == count {
            return Ok(numbers);
        }
        Err(self.link.odd(operation.name, EXPECTED))
    }

    async fn let_go(
        &self,
        what: impl Fn() -> What + Send,
        who: &Subscriber,
        keys: &[LeaseKey],
    ) -> Result<Vec<Released>, Error> {
        who.check()?;
        let mut released = Vec::with_capacity(keys.len());
        for keys in keys.chunks(CHUNK) {
            let update = self.update(what(), who, keys, String::new());
            let numbers = self.updates.run(update).await?;
            released.extend(numbers.chunks_exact(2).map(|pair| Released {
                was_held: pair[0] == 1,
                stopped: pair[0] == 1 && pair[1] == 0,
                ref_count: pair[1],
            }));
        }
        Ok(released)
    }

    async fn sweep_some(&self, now: Now, gone: &mut Vec<Gone>) -> Result<bool, Error> {
        const EXPECTED: &str = "subscribers";
        let operation = &self.scripts.sweep;
        let mut cmd = self.begin(operation, 2);
        cmd.arg(&self.names.keys).arg(&self.names.subscribers);
        cmd.arg(self.time(now)).arg(millis(self.settings.idle));
        cmd.arg(millis(index_ttl(&self.settings))).arg(SWEEP);
        cmd.arg(&self.names.record).arg(&self.names.session);
        cmd.arg(&self.names.places);
        let answer: Vec<String> = self.run(operation, &cmd, EXPECTED).await?;
        let odd = || self.link.odd(operation.name, EXPECTED);
        let (looked_at, ended) = answer.split_first().ok_or_else(odd)?;
        for one in ended.chunks_exact(4) {
            let [user, session, name, stopped] = one else {
                return Err(odd());
            };
            gone.push(self.gone(operation, user, session, name, stopped)?);
        }
        let looked_at: usize = looked_at.parse().map_err(|_| odd())?;
        Ok(looked_at >= SWEEP)
    }

    fn gone(
        &self,
        operation: &Operation,
        user: &str,
        session: &str,
        name: &str,
        stopped: &str,
    ) -> Result<Gone, Error> {
        let gone = || {
            Some(Gone {
                key: LeaseKey::from_name(name)?,
                subscriber: Subscriber::new(user.parse().ok()?, session).ok()?,
                stopped: stopped == "1",
            })
        };
        gone().ok_or_else(|| self.link.odd(operation.name, "leases"))
    }

    async fn in_pipelines<T>(
        &self,
        items: &[T],
        add: impl Fn(&mut Pipeline, &T) + Send,
    ) -> Result<(), Error>
    where
        T: Sync,
    {
        for chunk in items.chunks(CHUNK) {
            let mut pipeline = Pipeline::with_capacity(chunk.len());
            for item in chunk {
                add(&mut pipeline, item);
            }
            self.link.pipeline("values", &pipeline).await?;
        }
        Ok(())
    }
}

/// Indexes last longer than any record that they name.
fn index_ttl(settings: &Settings) -> Duration {
    settings.key_ttl * 2
}

/// What of a record stands between its `ttl` and its subscribers.
fn middle(key: &LeaseKey) -> String {
    let mut text = String::with_capacity(128);
    for (name, value) in [
        (",\"indicator_id\":", key.indicator_id()),
        (",\"symbol\":", key.symbol()),
        (",\"timeframe\":", key.timeframe()),
    ] {
        text.push_str(name);
        push_json(&mut text, value);
    }
    text.push_str(",\"subscribers\":{");
    text
}

/// A text in JSON. All but the plainest letters are escaped, braces too: the scripts look for
/// those.
fn push_json(json: &mut String, text: &str) {
    json.push('"');
    for letter in text.chars() {
        match letter {
            ' '..='~' if !"\"\\{}".contains(letter) => json.push(letter),
            _ => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    // Writing to a text does not fail.
                    let _ = write!(json, "\\u{unit:04x}");
                }
            }
        }
    }
    json.push('"');
}

impl Leases for RedisLeases {
    async fn subscribe(
        &self,
        now: Now,
        who: &Subscriber,
        websocket: Option<&str>,
        keys: &[LeaseKey],
    ) -> Result<Vec<Leased>, Error> {
        who.check()?;
        let mut json = String::new();
        if let Some(websocket) = websocket {
            push_json(&mut json, websocket);
        }
        let mut leased = Vec::with_capacity(keys.len());
        for keys in keys.chunks(CHUNK) {
            let middles = keys.iter().map(middle).collect();
            let what = What::Subscribe(json.clone(), middles);
            let time = self.time(now);
            let numbers = self.updates.run(self.update(what, who, keys, time)).await?;
            leased.extend(numbers.chunks_exact(2).map(|pair| Leased {
                is_new: pair[0] == 1,
                ref_count: pair[1],
            }));
        }
        Ok(leased)
    }

    async fn unsubscribe(
        &self,
        who: &Subscriber,
        keys: &[LeaseKey],
    ) -> Result<Vec<Released>, Error> {
        self.let_go(|| What::Unsubscribe, who, keys).await
    }

    async fn leave(
        &self,
        who: &Subscriber,
        websocket: &str,
        keys: &[LeaseKey],
    ) -> Result<Vec<Released>, Error> {
        let mut json = String::new();
        push_json(&mut json, websocket);
        self.let_go(|| What::Leave(json.clone()), who, keys).await
    }

    async fn heartbeat(
        &self,
        now: Now,
        who: &Subscriber,
        keys: &[LeaseKey],
    ) -> Result<Vec<bool>, Error> {
        who.check()?;
        let mut alive = Vec::with_capacity(keys.len());
        for keys in keys.chunks(CHUNK) {
            let update = self.update(What::Heartbeat, who, keys, self.time(now));
            let numbers = self.updates.run(update).await?;
            alive.extend(numbers.iter().map(|held| *held == 1));
        }
        Ok(alive)
    }

    async fn release(
        &self,
        _now: Now,
        session: &str,
        user: Option<u64>,
    ) -> Result<Vec<Gone>, Error> {
        const EXPECTED: &str = "leases";
        check_session(session)?;
        let operation = &self.scripts.release;
        let mut cmd = self.begin(operation, 3);
        cmd.arg(self.names.session(session));
        cmd.arg(&self.names.keys).arg(&self.names.subscribers);
        cmd.arg(session);
        cmd.arg(user.map(|user| user.to_string()).unwrap_or_default());
        cmd.arg(&self.names.record).arg(&self.names.places);
        let answer: Vec<String> = self.run(operation, &cmd, EXPECTED).await?;
        let mut gone = Vec::with_capacity(answer.len() / 3);
        for one in answer.chunks_exact(3) {
            let [user, name, stopped] = one else {
                return Err(self.link.odd(operation.name, EXPECTED));
            };
            gone.push(self.gone(operation, user, session, name, stopped)?);
        }
        Ok(gone)
    }

    async fn sweep(&self, now: Now) -> Result<Vec<Gone>, Error> {
        let mut gone = Vec::new();
        loop {
            match self.sweep_some(now, &mut gone).await {
                Ok(true) => {}
                Ok(false) => return Ok(gone),
                // Nobody else is told of those: the rest waits for the next sweep.
                Err(_) if !gone.is_empty() => return Ok(gone),
                Err(error) => return Err(error),
            }
        }
    }

    async fn alive(&self, pairs: &[(Subscriber, LeaseKey)]) -> Result<Vec<bool>, Error> {
        let operation = &self.scripts.alive;
        let mut alive = Vec::with_capacity(pairs.len());
        for pairs in pairs.chunks(CHUNK) {
            let mut cmd = self.begin(operation, pairs.len());
            for (_, key) in pairs {
                cmd.arg(self.names.record(key));
            }
            for (who, _) in pairs {
                who.check()?;
                cmd.arg(who.to_string());
            }
            cmd.arg(&self.names.places).arg(self.names.record.len());
            let numbers = self.numbers(operation, &cmd, pairs.len()).await?;
            alive.extend(numbers.iter().map(|held| *held == 1));
        }
        Ok(alive)
    }

    async fn record(&self, key: &LeaseKey) -> Result<Option<Record>, Error> {
        let mut cmd = redis::cmd("GET");
        cmd.arg(self.names.record(key));
        let answer = self.link.query("record", &cmd).await?;
        let Some(json) = self.read::<Option<String>>("record", answer, "a text")? else {
            return Ok(None);
        };
        let bad = |source| Error::Record {
            key: key.lease_key(),
            source,
        };
        serde_json::from_str(&json).map(Some).map_err(bad)
    }

    async fn active(
        &self,
        symbol: Option<&str>,
        timeframe: Option<&str>,
    ) -> Result<Vec<(LeaseKey, Record)>, Error> {
        let mut cmd = redis::cmd("ZRANGE");
        cmd.arg(&self.names.keys).arg(0).arg(-1);
        let names = self.link.read("active", &cmd).await?;
        let names: Vec<String> = self.read("active", names, "names")?;
        let asked = |key: &LeaseKey| {
            symbol.is_none_or(|symbol| key.symbol() == symbol)
                && timeframe.is_none_or(|timeframe| key.timeframe() == timeframe)
        };
        let keys = names.iter().filter_map(|name| LeaseKey::from_name(name));
        let mut keys: Vec<LeaseKey> = keys.filter(asked).collect();
        keys.sort_unstable();
        let mut records = Vec::with_capacity(keys.len());
        for keys in keys.chunks(READ) {
            let mut cmd = redis::cmd("MGET");
            for key in keys {
                cmd.arg(self.names.record(key));
            }
            let texts = self.link.read("active", &cmd).await?;
            let texts: Vec<Option<String>> = self.read("active", texts, "records")?;
            for (key, text) in keys.iter().zip(texts) {
                // Those that ended meanwhile are left out.
                let Some(text) = text else { continue };
                let bad = |source| Error::Record {
                    key: key.lease_key(),
                    source,
                };
                records.push((key.clone(), serde_json::from_str(&text).map_err(bad)?));
            }
        }
        Ok(records)
    }

    async fn totals(&self) -> Result<Totals, Error> {
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.atomic();
        pipeline.cmd("ZRANGE").arg(&self.names.keys).arg(0).arg(-1);
        pipeline.cmd("ZCARD").arg(&self.names.subscribers);
        let answer = Value::Array(self.link.pipeline("totals", &pipeline).await?);
        let (names, subscribers): (Vec<String>, u64) = self.read("totals", answer, "names")?;
        let mut totals = Totals {
            subscribers,
            ..Totals::default()
        };
        for key in names.iter().filter_map(|name| LeaseKey::from_name(name)) {
            totals.count(&key);
        }
        Ok(totals)
    }

    async fn put_values(
        &self,
        _now: Now,
        values: &[(LeaseKey, String, Duration)],
    ) -> Result<(), Error> {
        if self.mock
            && let Some((key, ..)) = values.first()
        {
            return Err(Error::Mock {
                key: key.lease_key(),
            });
        }
        self.in_pipelines(values, |pipeline, (key, json, ttl)| {
            let name = self.names.value(key);
            let set = pipeline.cmd("SET").arg(name).arg(json);
            set.arg("PX").arg(millis(*ttl)).ignore();
        })
        .await
    }

    async fn value(&self, _now: Now, key: &LeaseKey) -> Result<Option<String>, Error> {
        if self.mock {
            return Ok(None);
        }
        let mut cmd = redis::cmd("GET");
        cmd.arg(self.names.value(key));
        let answer = self.link.query("values", &cmd).await?;
        self.read("values", answer, "a text")
    }

    async fn renew_values(&self, _now: Now, keys: &[(LeaseKey, Duration)]) -> Result<(), Error> {
        if self.mock {
            return Ok(());
        }
        self.in_pipelines(keys, |pipeline, (key, ttl)| {
            let name = self.names.value(key);
            let renew = pipeline.cmd("PEXPIRE").arg(name);
            renew.arg(millis(*ttl)).ignore();
        })
        .await
    }

    async fn drop_values(&self, keys: &[LeaseKey]) -> Result<(), Error> {
        if self.mock {
            return Ok(());
        }
        self.in_pipelines(keys, |pipeline, key| {
            pipeline.cmd("UNLINK").arg(self.names.value(key)).ignore();
        })
        .await
    }
}
