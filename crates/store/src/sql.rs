//! The two databases under one roof: a statement is a text with placeholders and typed
//! values, and differs between them in those and in casts only.

use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use jiff::civil::Date;
use secrecy::SecretString;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection as _, PgConnection, PgPool, Postgres, Row as _,
    Sqlite, SqliteConnection, SqlitePool,
};
use strikewire_types::Utc;

use crate::{DatabaseUrl, Error, text};

/// Boxed, because nobody outside of these functions can tell of sqlx's own futures that
/// they can be sent between threads.
pub(crate) type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// How long a connection may take, and a lock of somebody else be waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// Connections that serve queries.
const READERS: u32 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// A value for a placeholder. The type decides the cast.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    Bool(bool),
    Date(Option<Date>),
    Time(Utc),
    /// In 1e-4 rupee; stored in rupees.
    Money(Option<i64>),
}

impl Value {
    /// Ids and counts: above 2^63 - 1 they appear negative in the database.
    pub(crate) const fn id(number: u64) -> Self {
        Self::Int(Some(number.cast_signed()))
    }

    pub(crate) fn text(text: &str) -> Self {
        // PostgreSQL refuses the character NUL, and one bad text must not hold up
        // everything that waits behind it.
        Self::Text(Some(text.replace('\0', "\u{fffd}")))
    }
}

/// A statement under construction.
#[derive(Debug)]
pub(crate) struct Statement {
    dialect: Dialect,
    text: String,
    values: Vec<Value>,
}

impl Statement {
    pub(crate) fn new(dialect: Dialect, text: &'static str) -> Self {
        Self {
            dialect,
            text: text.to_owned(),
            values: Vec::new(),
        }
    }

    pub(crate) fn sql(mut self, text: &'static str) -> Self {
        self.text.push_str(text);
        self
    }

    /// A placeholder with its value. Each is used once, in order, so SQLite gets plain
    /// question marks: looking up thousands of numbered ones takes it quadratic time.
    pub(crate) fn value(mut self, value: Value) -> Self {
        match self.dialect {
            Dialect::Sqlite => self.text.push('?'),
            Dialect::Postgres => {
                let cast = match &value {
                    Value::Int(_) | Value::Text(_) | Value::Bool(_) => "",
                    Value::Date(_) => "::date",
                    Value::Time(_) => "::timestamptz",
                    Value::Money(_) => "::numeric",
                };
                self.text.push('$');
                self.text.push_str(&(self.values.len() + 1).to_string());
                self.text.push_str(cast);
            }
        }
        self.values.push(value);
        self
    }

    /// `($1, $2), ($3, $4)`
    pub(crate) fn rows<const N: usize>(mut self, rows: impl Iterator<Item = [Value; N]>) -> Self {
        for (index, row) in rows.enumerate() {
            self = self.sql(if index == 0 { "(" } else { ", (" });
            for (index, value) in row.into_iter().enumerate() {
                if index > 0 {
                    self = self.sql(", ");
                }
                self = self.value(value);
            }
            self = self.sql(")");
        }
        self
    }

    /// `$1, $2, $3`
    pub(crate) fn list(mut self, values: impl Iterator<Item = Value>) -> Self {
        for (index, value) in values.enumerate() {
            if index > 0 {
                self = self.sql(", ");
            }
            self = self.value(value);
        }
        self
    }

    /// A column of times, dates or prices, read as the text that [`text`] makes.
    pub(crate) fn time_column(self, column: &'static str) -> Self {
        match self.dialect {
            Dialect::Sqlite => self.sql(column),
            Dialect::Postgres => self
                .sql("to_char(")
                .sql(column)
                .sql(r#" AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"#),
        }
    }

    pub(crate) fn cast_column(self, column: &'static str) -> Self {
        match self.dialect {
            Dialect::Sqlite => self.sql(column),
            Dialect::Postgres => self.sql(column).sql("::text"),
        }
    }
}

/// The numbers of rows of one statement. Few, so that prepared statements are reused,
/// and small enough for the 32,766 placeholders of SQLite.
const BATCHES: [usize; 4] = [256, 32, 4, 1];

/// Cuts a list into slices of those lengths.
pub(crate) fn batches<T>(mut all: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let length = BATCHES.into_iter().find(|length| *length <= all.len())?;
        let (batch, rest) = all.split_at(length);
        all = rest;
        Some(batch)
    })
}

macro_rules! bind_all {
    ($statement:expr) => {{
        let statement = $statement;
        let mut query = sqlx::query(AssertSqlSafe(statement.text));
        for value in statement.values {
            query = match value {
                Value::Int(number) => query.bind(number),
                Value::Text(text) => query.bind(text),
                Value::Bool(flag) => query.bind(flag),
                Value::Date(date) => query.bind(date.map(text::date)),
                Value::Time(time) => query.bind(text::time(time)),
                Value::Money(raw) => query.bind(raw.map(text::money)),
            };
        }
        query
    }};
}

/// A row of an answer.
#[derive(Debug)]
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    pub(crate) fn get<'r, T>(&'r self, index: usize, doing: &'static str) -> Result<T, Error>
    where
        T: sqlx::Decode<'r, Sqlite>
            + sqlx::Type<Sqlite>
            + sqlx::Decode<'r, Postgres>
            + sqlx::Type<Postgres>,
    {
        match self {
            Self::Sqlite(row) => row.try_get(index),
            Self::Postgres(row) => row.try_get(index),
        }
        .map_err(|source| Error::Sql { doing, source })
    }
}

fn sqlite_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(PATIENCE)
        .disable_statement_logging()
}

fn writing(path: &Path) -> SqliteConnectOptions {
    sqlite_options(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
}

fn postgres_options(secret: &SecretString) -> Result<PgConnectOptions, Error> {
    let mut options = DatabaseUrl::postgres(secret)?;
    if options.get_application_name().is_none() {
        options = options.application_name("strikewire");
    }
    Ok(options.disable_statement_logging())
}

/// The one connection that writes.
#[derive(Debug)]
pub(crate) enum Connection {
    Sqlite(Box<SqliteConnection>),
    Postgres(Box<PgConnection>),
}

impl Connection {
    /// Connects to a database that is there.
    pub(crate) fn open(url: &DatabaseUrl) -> Answer<'_, Self> {
        Box::pin(async move {
            let opened = async {
                Ok::<_, sqlx::Error>(match url {
                    DatabaseUrl::Sqlite(path) => {
                        Self::Sqlite(Box::new(writing(path).connect().await?))
                    }
                    DatabaseUrl::Postgres(secret) => {
                        let options = postgres_options(secret)
                            .map_err(|error| sqlx::Error::Configuration(error.into()))?;
                        let mut connection = options.connect().await?;
                        // As long as SQLite is patient with somebody else's lock.
                        sqlx::query("SET lock_timeout = '2s'")
                            .execute(&mut connection)
                            .await?;
                        Self::Postgres(Box::new(connection))
                    }
                })
            };
            match tokio::time::timeout(PATIENCE, opened).await {
                Ok(opened) => opened.map_err(|source| Error::Open {
                    url: url.to_string(),
                    source,
                }),
                Err(_) => Err(Error::TimedOut {
                    doing: "connecting",
                    limit: PATIENCE,
                }),
            }
        })
    }

    /// A connection that cannot change the file; none when there is no file.
    pub(crate) fn open_untouched(url: &DatabaseUrl) -> Answer<'_, Option<Self>> {
        Box::pin(async move {
            let DatabaseUrl::Sqlite(path) = url else {
                return Self::open(url).await.map(Some);
            };
            // An empty file is a database without tables.
            if !std::fs::metadata(path).is_ok_and(|file| file.len() > 0) {
                return Ok(None);
            }
            let options = sqlite_options(path).read_only(true);
            let connection = options.connect().await.map_err(|source| Error::Open {
                url: url.to_string(),
                source,
            })?;
            Ok(Some(Self::Sqlite(Box::new(connection))))
        })
    }

    pub(crate) async fn close(self) {
        // What was asked of it is done; closing tells the other side so.
        let _ = match self {
            Self::Sqlite(connection) => connection.close().await,
            Self::Postgres(connection) => connection.close().await,
        };
    }

    pub(crate) const fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    pub(crate) fn statement(&self, text: &'static str) -> Statement {
        Statement::new(self.dialect(), text)
    }

    /// Begins a transaction that writes. An error later on is answered by dropping the
    /// connection, which rolls back.
    pub(crate) async fn begin(&mut self) -> Result<(), Error> {
        let begin = match self {
            // At once, so that waiting for another writer happens here.
            Self::Sqlite(_) => "BEGIN IMMEDIATE",
            Self::Postgres(_) => "BEGIN",
        };
        self.execute(self.statement(begin), "BEGIN").await?;
        Ok(())
    }

    pub(crate) async fn commit(&mut self) -> Result<(), Error> {
        self.execute(self.statement("COMMIT"), "COMMIT").await?;
        Ok(())
    }

    /// Runs a statement; how many rows it changed.
    pub(crate) fn execute<'a>(
        &'a mut self,
        statement: Statement,
        doing: &'static str,
    ) -> Answer<'a, u64> {
        Box::pin(async move {
            match self {
                Self::Sqlite(connection) => bind_all!(statement)
                    .execute(&mut **connection)
                    .await
                    .map(|done| done.rows_affected()),
                Self::Postgres(connection) => bind_all!(statement)
                    .execute(&mut **connection)
                    .await
                    .map(|done| done.rows_affected()),
            }
            .map_err(|source| Error::Sql { doing, source })
        })
    }

    pub(crate) fn fetch<'a>(
        &'a mut self,
        statement: Statement,
        doing: &'static str,
    ) -> Answer<'a, Vec<Row>> {
        Box::pin(async move {
            match self {
                Self::Sqlite(connection) => bind_all!(statement)
                    .fetch_all(&mut **connection)
                    .await
                    .map(|rows| rows.into_iter().map(Row::Sqlite).collect()),
                Self::Postgres(connection) => bind_all!(statement)
                    .fetch_all(&mut **connection)
                    .await
                    .map(|rows| rows.into_iter().map(Row::Postgres).collect()),
            }
            .map_err(|source| Error::Sql { doing, source })
        })
    }
}

/// The connections that serve queries.
#[derive(Debug, Clone)]
pub(crate) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Pool {
    /// Connects when the first query comes.
    pub(crate) fn new(url: &DatabaseUrl) -> Result<Self, Error> {
        Ok(match url {
            DatabaseUrl::Sqlite(path) => Self::Sqlite(
                SqlitePoolOptions::new()
                    .max_connections(READERS)
                    .acquire_timeout(PATIENCE)
                    .connect_lazy_with(sqlite_options(path).pragma("query_only", "ON")),
            ),
            DatabaseUrl::Postgres(secret) => Self::Postgres(
                PgPoolOptions::new()
                    .max_connections(READERS)
                    .acquire_timeout(PATIENCE)
                    .connect_lazy_with(postgres_options(secret)?),
            ),
        })
    }

    /// One connection, to make the tables with; a file is made when it is not there.
    pub(crate) async fn migrating(url: &DatabaseUrl) -> Result<Self, Error> {
        match url {
            DatabaseUrl::Sqlite(path) => SqlitePoolOptions::new()
                .max_connections(1)
                .acquire_timeout(PATIENCE)
                .connect_with(writing(path).create_if_missing(true))
                .await
                .map(Self::Sqlite),
            DatabaseUrl::Postgres(secret) => PgPoolOptions::new()
                .max_connections(1)
                .acquire_timeout(PATIENCE)
                .connect_with(postgres_options(secret)?)
                .await
                .map(Self::Postgres),
        }
        .map_err(|source| Error::Open {
            url: url.to_string(),
            source,
        })
    }

    pub(crate) const fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    pub(crate) fn statement(&self, text: &'static str) -> Statement {
        Statement::new(self.dialect(), text)
    }

    pub(crate) fn fetch(&self, statement: Statement, doing: &'static str) -> Answer<'_, Vec<Row>> {
        Box::pin(async move {
            match self {
                Self::Sqlite(pool) => bind_all!(statement)
                    .fetch_all(pool)
                    .await
                    .map(|rows| rows.into_iter().map(Row::Sqlite).collect()),
                Self::Postgres(pool) => bind_all!(statement)
                    .fetch_all(pool)
                    .await
                    .map(|rows| rows.into_iter().map(Row::Postgres).collect()),
            }
            .map_err(|source| Error::Sql { doing, source })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_keep_everything_in_order() {
        for length in [0_u32, 1, 3, 5, 255, 256, 257, 1_000] {
            let all: Vec<u32> = (0..length).collect();
            let lengths: Vec<usize> = batches(&all).map(<[u32]>::len).collect();
            assert!(lengths.iter().all(|length| BATCHES.contains(length)));
            assert_eq!(batches(&all).flatten().copied().collect::<Vec<_>>(), all);
        }
    }

    #[test]
    fn only_placeholders_differ() {
        let text = |dialect| {
            Statement::new(dialect, "VALUES ")
                .rows([[Value::id(1), Value::Money(None)]].into_iter())
                .text
        };
        assert_eq!(text(Dialect::Sqlite), "VALUES (?, ?)");
        assert_eq!(text(Dialect::Postgres), "VALUES ($1, $2::numeric)");
    }
}
