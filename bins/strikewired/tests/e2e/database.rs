//! The database, looked at from outside.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, SqliteConnection};

/// A database that a server writes.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pub(crate) url: String,
}

impl Database {
    /// A SQLite file.
    pub(crate) fn at(path: &Path) -> Self {
        Self {
            url: format!("sqlite://{}", path.display()),
        }
    }

    /// A schema of its own on the server that the environment names, if it does.
    pub(crate) async fn on_postgres() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let server = std::env::var("STRIKEWIRE_TEST_POSTGRES").ok()?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let schema = format!("e2e_{}_{number}", std::process::id());
        let separator = if server.contains('?') { '&' } else { '?' };
        let database = Self {
            url: format!("{server}{separator}options[search_path]={schema}"),
        };
        database.execute(&format!("CREATE SCHEMA {schema}")).await;
        Some(database)
    }

    /// Takes the schema away.
    pub(crate) async fn drop(self) {
        let (_, schema) = self.url.rsplit_once('=').expect("a schema");
        self.execute(&format!("DROP SCHEMA {schema} CASCADE")).await;
    }

    fn is_sqlite(&self) -> bool {
        self.url.starts_with("sqlite")
    }

    /// Runs statements on a connection of its own.
    pub(crate) async fn execute(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        if self.is_sqlite() {
            let mut connection = self.sqlite().await;
            let done = sqlx::raw_sql(sql).execute(&mut connection).await;
            done.expect("it is done");
            connection.close().await.expect("it closes");
        } else {
            let mut connection = self.postgres().await;
            let done = sqlx::raw_sql(sql).execute(&mut connection).await;
            done.expect("it is done");
            connection.close().await.expect("it closes");
        }
    }

    /// One text per row of a query of one text column.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<String> {
        let sql = AssertSqlSafe(sql.to_owned());
        if self.is_sqlite() {
            let mut connection = self.sqlite().await;
            let rows = sqlx::query(sql).fetch_all(&mut connection).await;
            connection.close().await.expect("it closes");
            rows.expect("rows").iter().map(|row| row.get(0)).collect()
        } else {
            let mut connection = self.postgres().await;
            let rows = sqlx::query(sql).fetch_all(&mut connection).await;
            connection.close().await.expect("it closes");
            rows.expect("rows").iter().map(|row| row.get(0)).collect()
        }
    }

    /// How many rows there are in `what`: a table, and a condition if wanted.
    pub(crate) async fn count(&self, what: &str) -> usize {
        let sql = format!("SELECT CAST(count(*) AS TEXT) FROM {what}");
        let counted = self.texts(&sql).await;
        counted[0].parse().expect("a number")
    }

    async fn sqlite(&self) -> SqliteConnection {
        SqliteConnection::connect(&self.url)
            .await
            .expect("the file")
    }

    async fn postgres(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.expect("the server")
    }
}
