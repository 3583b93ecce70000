//! Leases in Redis and in memory beside what is usually done with a record in Redis: GET, change
//! the JSON, SET, in two round trips and with nothing that keeps two callers apart.
//!
//! All three get the same calls: of ten, six heartbeats, two subscribes, two unsubscribes, over
//! 200 records of 1 to 50 subscribers, from 1 to 256 callers at once. A call is for one
//! indicator, or for the five of a session. Those in Redis share one
//! connection, of the same kind and with the same settings. The server is one that is started
//! for this, or the one that STRIKEWIRE_TEST_REDIS names.

use std::collections::BTreeMap;
use std::error::Error;
use std::future::Future;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mimalloc::MiMalloc;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use strikewire_leases::{
    LeaseKey, Leases, MemoryLeases, Record, RedisConfig, RedisLeases, Seen, Settings, Subscriber,
};
use strikewire_types::{Clock, Now};
use tempfile::TempDir;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Records, and the most subscribers that one has.
const RECORDS: usize = 200;
const MOST: usize = 50;
/// Records that have the same holders: the indicators of a session.
const SET: usize = 5;
/// Each store is measured so often at each number of callers, in turn; the median counts.
const ROUNDS: usize = 5;

type Failure = Box<dyn Error + Send + Sync>;

/// What is measured.
trait Store: Send + Sync + 'static {
    fn subscribe(
        &self,
        now: Now,
        who: &Subscriber,
        keys: &[LeaseKey],
    ) -> impl Future<Output = Result<(), Failure>> + Send;
    fn heartbeat(
        &self,
        now: Now,
        who: &Subscriber,
        keys: &[LeaseKey],
    ) -> impl Future<Output = Result<(), Failure>> + Send;
    fn unsubscribe(
        &self,
        who: &Subscriber,
        keys: &[LeaseKey],
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

struct Ours<L>(L);

impl<L: Leases> Store for Ours<L> {
    async fn subscribe(
        &self,
        now: Now,
        who: &Subscriber,
        keys: &[LeaseKey],
    ) -> Result<(), Failure> {
        self.0.subscribe(now, who, None, keys).await?;
        Ok(())
    }

    async fn heartbeat(
        &self,
        now: Now,
        who: &Subscriber,
        keys: &[LeaseKey],
    ) -> Result<(), Failure> {
        self.0.heartbeat(now, who, keys).await?;
        Ok(())
    }

    async fn unsubscribe(&self, who: &Subscriber, keys: &[LeaseKey]) -> Result<(), Failure> {
        self.0.unsubscribe(who, keys).await?;
        Ok(())
    }
}

/// GET, change, SET.
struct GetModifySet(MultiplexedConnection);

impl GetModifySet {
    async fn change(
        &self,
        key: &LeaseKey,
        change: impl FnOnce(&mut Option<Record>) + Send,
    ) -> Result<(), Failure> {
        let mut connection = self.0.clone();
        let name = format!("plain:{}", key.lease_key());
        let json: Option<String> = redis::cmd("GET")
            .arg(&name)
            .query_async(&mut connection)
            .await?;
        let mut record = json.map(|json| serde_json::from_str(&json)).transpose()?;
        change(&mut record);
        let command = match record {
            Some(record) => {
                let json = serde_json::to_string(&record)?;
                let mut set = redis::cmd("SET");
                set.arg(&name).arg(json).arg("EX").arg(600);
                set
            }
            None => {
                let mut del = redis::cmd("DEL");
                del.arg(&name);
                del
            }
        };
        command.exec_async(&mut connection).await?;
        Ok(())
    }
}

fn seconds() -> i64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed();
    i64::try_from(since.unwrap_or_default().as_secs()).unwrap_or_default()
}

impl Store for GetModifySet {
    async fn subscribe(
        &self,
        _now: Now,
        who: &Subscriber,
        keys: &[LeaseKey],
    ) -> Result<(), Failure> {
        for key in keys {
            self.change(key, |record| {
                let now = seconds();
                let record = record.get_or_insert_with(|| Record {
                    indicator_id: key.indicator_id().to_owned(),
                    symbol: key.symbol().to_owned(),
                    timeframe: key.timeframe().to_owned(),
                    ref_count: 0,
                    subscribers: BTreeMap::new(),
                    created_at: now,
                    last_accessed: now,
                    ttl: 300,
                });
                let seen = Seen {
                    last_active: now,
                    websocket_id: None,
                };
                record.subscribers.insert(who.to_string(), seen);
                record.ref_count = u32::try_from(record.subscribers.len()).unwrap_or(u32::MAX);
                record.last_accessed = now;
            })
            .await?;
        }
        Ok(())
    }

    async fn heartbeat(
        &self,
        _now: Now,
        who: &Subscriber,
        keys: &[LeaseKey],
    ) -> Result<(), Failure> {
        for key in keys {
            self.change(key, |record| {
                let Some(record) = record else { return };
                if let Some(seen) = record.subscribers.get_mut(&who.to_string()) {
                    seen.last_active = seconds();
                    record.last_accessed = seen.last_active;
                }
            })
            .await?;
        }
        Ok(())
    }

    async fn unsubscribe(&self, who: &Subscriber, keys: &[LeaseKey]) -> Result<(), Failure> {
        for key in keys {
            self.change(key, |record| {
                let Some(it) = record else { return };
                it.subscribers.remove(&who.to_string());
                it.ref_count = u32::try_from(it.subscribers.len()).unwrap_or(u32::MAX);
                if it.subscribers.is_empty() {
                    *record = None;
                }
            })
            .await?;
        }
        Ok(())
    }
}

/// Keys, and those who hold each all the time.
struct World {
    keys: Vec<LeaseKey>,
    holders: Vec<Vec<Subscriber>>,
}

impl World {
    fn new() -> Result<Self, Failure> {
        let key = |n| LeaseKey::new("NIFTY_24FEB2026_26500CE", "5min", &format!("SMA_{n}"));
        let holder = |user| {
            Subscriber::new(
                user,
                &format!("{:032x}", user.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            )
        };
        let mut holders = Vec::new();
        for record in 0..RECORDS {
            let set = record / SET;
            let count = 1 + set * 7 % MOST;
            let users = (0..count).map(|n| holder((set * MOST + n) as u64));
            holders.push(users.collect::<Result<_, _>>()?);
        }
        Ok(Self {
            keys: (0..RECORDS).map(key).collect(),
            holders,
        })
    }

    async fn fill(&self, store: &impl Store, now: Now) -> Result<(), Failure> {
        for (key, holders) in self.keys.iter().zip(&self.holders) {
            for who in holders {
                store
                    .subscribe(now, who, core::slice::from_ref(key))
                    .await?;
            }
        }
        Ok(())
    }
}

/// One caller: calls until it has made so many.
async fn call(
    store: Arc<impl Store>,
    world: Arc<World>,
    clock: Clock,
    seed: u64,
    Load { width, calls, .. }: Load,
) -> Result<(), Failure> {
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    let me = Subscriber::new(1_000_000 + seed, &format!("caller-{seed}"))?;
    let mut held = None;
    let mut now = clock.now();
    for nth in 0..calls {
        // Looking at the clock costs about as much as a call in memory.
        if nth % 32 == 0 {
            now = clock.now();
        }
        let at = random.random_range(0..RECORDS / width) * width;
        let keys = &world.keys[at..at + width];
        if random.random_range(0..10) < 6 {
            let holders = &world.holders[at];
            let who = &holders[random.random_range(0..holders.len())];
            store.heartbeat(now, who, keys).await?;
        } else if let Some(keys) = held.take() {
            store.unsubscribe(&me, keys).await?;
        } else {
            store.subscribe(now, &me, keys).await?;
            held = Some(keys);
        }
    }
    if let Some(keys) = held {
        store.unsubscribe(&me, keys).await?;
    }
    Ok(())
}

/// What is asked of a store.
#[derive(Clone, Copy)]
struct Load {
    callers: u64,
    /// Indicators in a call.
    width: usize,
    /// Calls of each caller.
    calls: usize,
}

/// Calls a second.
async fn measure(store: &Arc<impl Store>, world: &Arc<World>, load: Load) -> Result<f64, Failure> {
    let clock = Clock::system();
    let began = Instant::now();
    let tasks: Vec<_> = (0..load.callers)
        .map(|seed| {
            let (store, world) = (Arc::clone(store), Arc::clone(world));
            tokio::spawn(call(store, world, clock, seed, load))
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    let made = load.calls as f64 * load.callers as f64;
    Ok(made / began.elapsed().as_secs_f64())
}

/// With so many calls that a measurement takes about half a second.
async fn sized(
    store: &Arc<impl Store>,
    world: &Arc<World>,
    callers: u64,
    width: usize,
) -> Result<Load, Failure> {
    let mut load = Load {
        callers,
        width,
        calls: 20,
    };
    loop {
        let rate = measure(store, world, load).await?;
        let of_each = rate / callers as f64;
        if load.calls as f64 > of_each * 0.1 {
            load.calls = (of_each * 0.5) as usize + 1;
            return Ok(load);
        }
        load.calls *= 4;
    }
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_unstable_by(f64::total_cmp);
    all[all.len() / 2]
}

async fn compare(url: &str) -> Result<(), Failure> {
    let world = Arc::new(World::new()?);
    let mut config = RedisConfig::new(url.parse()?);
    config.prefix = "bench:".to_owned();
    config.timeout = Duration::from_secs(10);
    let redis = RedisLeases::connect(config, Settings::default()).await?;
    redis.health().wait_for(|health| health.up).await?;
    let redis = Arc::new(Ours(redis));
    let memory = Arc::new(Ours(MemoryLeases::new(Settings::default())));
    let settings = AsyncConnectionConfig::new()
        .set_response_timeout(None)
        .set_pipeline_buffer_size(1_024);
    let client = redis::Client::open(url)?;
    let plain = client
        .get_multiplexed_async_connection_with_config(&settings)
        .await?;
    let plain = Arc::new(GetModifySet(plain));

    let now = Clock::system().now();
    world.fill(redis.as_ref(), now).await?;
    world.fill(memory.as_ref(), now).await?;
    world.fill(plain.as_ref(), now).await?;

    println!("| indicators a call | callers | GET-modify-SET, calls/s | Redis | | memory | |");
    println!("|---|---|---|---|---|---|---|");
    for (width, callers) in [1, SET]
        .into_iter()
        .flat_map(|width| [1, 16, 64, 256].map(|callers| (width, callers)))
    {
        let of_plain = sized(&plain, &world, callers, width).await?;
        let of_redis = sized(&redis, &world, callers, width).await?;
        let of_memory = sized(&memory, &world, callers, width).await?;
        let (mut plains, mut rediss, mut memories) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            plains.push(measure(&plain, &world, of_plain).await?);
            rediss.push(measure(&redis, &world, of_redis).await?);
            memories.push(measure(&memory, &world, of_memory).await?);
        }
        let (plain, redis, memory) = (median(plains), median(rediss), median(memories));
        println!(
            "| {width} | {callers} | {plain:.0} | {redis:.0} | {:.2}x | {memory:.0} | {:.0}x |",
            redis / plain,
            memory / plain
        );
    }

    // What each has after all callers have let go again: it began with exactly its holders.
    let mut wrong = 0;
    let mut connection = plain.0.clone();
    for (key, holders) in world.keys.iter().zip(&world.holders) {
        let name = format!("plain:{}", key.lease_key());
        let json: Option<String> = redis::cmd("GET")
            .arg(&name)
            .query_async(&mut connection)
            .await?;
        let record: Option<Record> = json.map(|json| serde_json::from_str(&json)).transpose()?;
        wrong += usize::from(record.map_or(0, |it| it.subscribers.len()) != holders.len());
        for store in [redis.0.record(key).await?, memory.0.record(key).await?] {
            let record = store.ok_or("a record is gone")?;
            assert_eq!(record.subscribers.len(), holders.len());
            assert_eq!(record.ref_count as usize, holders.len());
        }
        redis::cmd("DEL")
            .arg(&name)
            .exec_async(&mut connection)
            .await?;
    }
    println!(
        "\nrecords of {RECORDS} that are wrong afterwards: GET-modify-SET {wrong}, Redis 0, memory 0"
    );
    for holders in &world.holders {
        for who in holders {
            redis.0.release(now, &who.session, Some(who.user)).await?;
        }
    }
    Ok(())
}

/// A server for this alone.
struct Server {
    child: Child,
    // Last: the folder goes when the server has.
    _folder: TempDir,
}

impl Server {
    fn start() -> Result<(Self, String), Failure> {
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("redis.sock");
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no"])
            .arg("--unixsocket")
            .arg(&socket)
            .arg("--dir")
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()?;
        let url = format!("redis+unix://{}?db=0", socket.display());
        while !socket.exists() {
            std::thread::sleep(Duration::from_millis(10));
        }
        let server = Self {
            child,
            _folder: folder,
        };
        Ok((server, url))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn main() -> Result<(), Failure> {
    let (_server, url) = match std::env::var("STRIKEWIRE_TEST_REDIS") {
        Ok(url) => (None, url),
        Err(_) => match Server::start() {
            Ok((server, url)) => (Some(server), url),
            Err(error) => {
                println!(
                    "skipped: redis-server cannot be started ({error}); Debian: apt-get install redis-server"
                );
                return Ok(());
            }
        },
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(compare(&url))
}
