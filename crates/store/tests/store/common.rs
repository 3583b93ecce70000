//! The same tests on both databases: a file, and a schema of its own on the server that
//! `STRIKEWIRE_TEST_POSTGRES` names.

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jiff::civil::Date;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, SqliteConnection};
use strikewire_store::{
    Action, AuditRecord, DatabaseUrl, Item, ItemState, List, Options, Outcome, Reader, Recorder,
    Recovered, Seq, Store,
};
use strikewire_types::{Exchange, Expiry, Mode, Tier, Utc};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;

/// Nothing that is waited for takes this long on any machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Runs a test on SQLite and, where there is one, on PostgreSQL.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[test]
            fn sqlite() {
                $crate::common::on_sqlite(super::$name);
            }

            #[test]
            fn postgres() {
                $crate::common::on_postgres(super::$name);
            }
        }
    )*};
}
pub(crate) use on_both;

/// A database of one test.
#[derive(Debug, Clone)]
pub(crate) struct Db {
    pub(crate) url: String,
    pub(crate) is_sqlite: bool,
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

pub(crate) fn on_sqlite<F: Future<Output = ()> + Send + 'static>(test: impl FnOnce(Db) -> F) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("strikewire.db");
    let db = Db {
        url: format!("sqlite:{}", path.display()),
        is_sqlite: true,
    };
    runtime().block_on(test(db));
}

pub(crate) fn on_postgres<F: Future<Output = ()> + Send + 'static>(test: impl FnOnce(Db) -> F) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let Ok(server) = std::env::var("STRIKEWIRE_TEST_POSTGRES") else {
        eprintln!("skipped: STRIKEWIRE_TEST_POSTGRES names no server");
        return;
    };
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let schema = format!("test_{}_{number}", std::process::id());
    let separator = if server.contains('?') { '&' } else { '?' };
    let db = Db {
        url: format!("{server}{separator}options[search_path]={schema}&application_name={schema}"),
        is_sqlite: false,
    };
    runtime().block_on(async move {
        db.execute(&format!("CREATE SCHEMA {schema}")).await;
        let outcome = tokio::spawn(test(db.clone())).await;
        db.execute(&format!("DROP SCHEMA {schema} CASCADE")).await;
        if let Err(error) = outcome {
            std::panic::resume_unwind(error.into_panic());
        }
    });
}

impl Db {
    pub(crate) fn options(&self) -> Options {
        Options::new(self.url.parse::<DatabaseUrl>().unwrap())
    }

    /// The file of a SQLite database.
    pub(crate) fn path(&self) -> &str {
        self.url.strip_prefix("sqlite:").unwrap()
    }

    pub(crate) async fn sqlite(&self) -> SqliteConnection {
        SqliteConnection::connect(&format!("sqlite://{}", self.path()))
            .await
            .unwrap()
    }

    pub(crate) async fn postgres(&self) -> PgConnection {
        let url = self
            .url
            .replace("application_name=", "application_name=other_");
        PgConnection::connect(&url).await.unwrap()
    }

    /// Runs statements on a connection of its own.
    pub(crate) async fn execute(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        if self.is_sqlite {
            let mut connection = self.sqlite().await;
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        } else {
            let mut connection = self.postgres().await;
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }
    }

    /// One text per row of a query of one text column.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<String> {
        let sql = AssertSqlSafe(sql.to_owned());
        if self.is_sqlite {
            let mut connection = self.sqlite().await;
            let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
            connection.close().await.unwrap();
            rows.iter().map(|row| row.get(0)).collect()
        } else {
            let mut connection = self.postgres().await;
            let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
            connection.close().await.unwrap();
            rows.iter().map(|row| row.get(0)).collect()
        }
    }

    /// Has every write to the table fail, as a full disk would; to rows where
    /// `condition` holds only, if there is one.
    pub(crate) async fn break_table(&self, table: &str, condition: Option<&str>) {
        let mut sql = String::new();
        if self.is_sqlite {
            let when = condition.map_or(String::new(), |when| format!("WHEN {when}"));
            for what in ["INSERT", "UPDATE", "DELETE"] {
                if condition.is_none() || what == "INSERT" {
                    sql += &format!(
                        "CREATE TRIGGER broken_{table}_{what} BEFORE {what} ON {table} {when} \
                         BEGIN SELECT RAISE(ABORT, 'the disk is on fire'); END;"
                    );
                }
            }
        } else {
            let (when, what, each) = match condition {
                Some(when) => (format!("WHEN ({when})"), "INSERT", "ROW"),
                None => (String::new(), "INSERT OR UPDATE OR DELETE", "STATEMENT"),
            };
            sql += &format!(
                "CREATE OR REPLACE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN RAISE EXCEPTION 'the disk is on fire'; END $$; \
                 CREATE TRIGGER broken_{table} BEFORE {what} ON {table} FOR EACH {each} {when} \
                 EXECUTE FUNCTION broken();"
            );
        }
        self.execute(&sql).await;
    }

    pub(crate) async fn mend_table(&self, table: &str) {
        let sql = if self.is_sqlite {
            ["INSERT", "UPDATE", "DELETE"]
                .map(|what| format!("DROP TRIGGER IF EXISTS broken_{table}_{what};"))
                .concat()
        } else {
            format!("DROP TRIGGER broken_{table} ON {table}")
        };
        self.execute(&sql).await;
    }

    pub(crate) async fn start(&self) -> Running {
        self.start_with(self.options()).await
    }

    pub(crate) async fn start_with(&self, options: Options) -> Running {
        let store = Store::open(&options).await.unwrap();
        let reader = store.reader();
        let (sender, outcomes) = unbounded_channel();
        let (recorder, writer) = store.start(sender);
        Running {
            recorder,
            outcomes,
            reader,
            writer: tokio::spawn(writer.run()),
        }
    }

    /// What a new start would find.
    pub(crate) async fn recover(&self) -> Recovered {
        let store = Store::open(&self.options()).await.unwrap();
        store.recover().await.unwrap()
    }
}

/// A store at work.
pub(crate) struct Running {
    pub(crate) recorder: Recorder,
    pub(crate) outcomes: UnboundedReceiver<Outcome>,
    pub(crate) reader: Reader,
    pub(crate) writer: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn outcome(&mut self) -> Outcome {
        tokio::time::timeout(DEADLINE, self.outcomes.recv())
            .await
            .expect("an outcome in time")
            .expect("the writer is there")
    }

    /// Waits until a change is durable; nothing else may be said before.
    pub(crate) async fn durable(&mut self, seq: Seq) {
        loop {
            match self.outcome().await {
                Outcome::Durable(up_to) if up_to >= seq => break,
                Outcome::Durable(_) => {}
                other => panic!("{other:?} before {seq:?}"),
            }
        }
    }

    /// Drops the recorder and waits for the writer.
    pub(crate) async fn stop(self) -> (UnboundedReceiver<Outcome>, Reader) {
        drop(self.recorder);
        tokio::time::timeout(DEADLINE, self.writer)
            .await
            .expect("the writer ends in time")
            .unwrap();
        (self.outcomes, self.reader)
    }
}

/// 2026-02-09 at 10:00 in India, and this many seconds.
pub(crate) const fn at(seconds: i64) -> Utc {
    Utc::from_nanos((1_770_611_400 + seconds) * 1_000_000_000)
}

pub(crate) fn item(id: u64, list: List, symbol: &str) -> Item {
    Item {
        id,
        list,
        user: 7,
        symbol: symbol.into(),
        exchange: Exchange::Nse,
        expiry: Some(Expiry::new(Date::constant(2026, 2, 24))),
        instrument_type: "STOCK_OPTION".into(),
        width: Some(25),
        mode: Mode::Full,
        follow: true,
        tier: Tier::A,
        added_at: at(0),
        trading_day: Date::constant(2026, 2, 9),
        last_used_at: at(0),
        used: id,
        state: ItemState::Live,
        anchor: None,
        settled: false,
    }
}

pub(crate) fn record(action: Action, token: &str, seconds: i64) -> AuditRecord {
    AuditRecord {
        action,
        token: token.into(),
        reason: "a test".into(),
        owner: "user 7".into(),
        at: at(seconds),
    }
}
