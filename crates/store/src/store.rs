use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::Migrator;
use strikewire_types::{Expiry, ParseError, Price};
use tokio::sync::mpsc::UnboundedSender;

use crate::reader::TIME;
use crate::sql::{Connection, Dialect, Pool, Row, Statement};
use crate::{
    DatabaseUrl, Error, Item, List, Options, Outcome, Reader, Recorder, Recovered, Writer, text,
};

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// How often bringing the tables of a file up to date is tried.
const MIGRATE_TRIES: u32 = 10;
const MIGRATE_PAUSE: Duration = Duration::from_millis(50);

/// An open database, with its tables up to date.
pub struct Store {
    options: Options,
    connection: Connection,
    pool: Pool,
    last_item: u64,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("url", &self.options.url.to_string())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Connects, makes the tables or brings them up to date.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached or changed, and when a newer program wrote
    /// it: then nothing in it was touched.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: tables may be left half made, and the next start goes on.
    pub async fn open(options: &Options) -> Result<Self, Error> {
        prepare(&options.url).await?;
        let connection = Connection::open(&options.url).await?;
        let pool = Pool::new(&options.url)?;
        let last_item = last_item(&pool).await?;
        Ok(Self {
            options: options.clone(),
            connection,
            pool,
            last_item,
        })
    }

    /// What the database knows: items, ends of days, the last id, what was subscribed.
    ///
    /// # Errors
    ///
    /// When the database fails, and when a row cannot be read: nothing that was
    /// acknowledged is left out silently.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing but the answer.
    pub async fn recover(&self) -> Result<Recovered, Error> {
        let mut items = Vec::new();
        for list in [List::Watchlist, List::Explicit] {
            let rows = self.pool.fetch(self.select_items(list), ITEMS).await?;
            for row in &rows {
                items.push(read_item(list, row)?);
            }
        }
        items.sort_by_key(|item| (item.used, item.id));
        let doing = "reading end-of-day markers";
        let statement = self
            .pool
            .statement("SELECT class, ")
            .cast_column("MAX(day)")
            .sql(" FROM eod_markers GROUP BY class ORDER BY class");
        let mut ended = Vec::new();
        for row in &self.pool.fetch(statement, doing).await? {
            let class: String = row.get(0, doing)?;
            let day: String = row.get(1, doing)?;
            let day = text::parse_date(&day).ok_or_else(|| Error::Value {
                table: "eod_markers",
                column: "day",
                row: class.clone(),
                text: day.clone(),
                expected: DATE,
            })?;
            ended.push((class, day));
        }
        let last_item = items
            .iter()
            .map(|item| item.id)
            .max()
            .map_or(self.last_item, |id| id.max(self.last_item));
        let doing = "reading what was subscribed";
        let statement = self.pool.statement(
            "SELECT instrument_token FROM subscriptions WHERE active ORDER BY instrument_token",
        );
        let mut subscribed = Vec::new();
        for row in &self.pool.fetch(statement, doing).await? {
            subscribed.push(row.get::<String>(0, doing)?.into());
        }
        Ok(Recovered {
            items,
            ended,
            last_item,
            subscribed,
        })
    }

    /// A reader, which works beside the writer.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(self.pool.clone())
    }

    /// Parts the store into the recorder, which takes changes without waiting, and the
    /// writer, whose `run` writes them and reports to `outcome`.
    #[must_use]
    pub fn start(self, outcome: UnboundedSender<Outcome>) -> (Recorder, Writer) {
        crate::recorder::pair(self.options, self.connection, self.last_item, outcome)
    }

    fn select_items(&self, list: List) -> Statement {
        self.pool
            .statement("SELECT id, user_id, symbol, exchange, ")
            .cast_column("expiry_date")
            .sql(", instrument_type, width, mode, follow, tier, ")
            .time_column("added_at")
            .sql(", ")
            .cast_column("trading_day")
            .sql(", ")
            .time_column("last_used_at")
            .sql(", used, state, ")
            .cast_column("anchor")
            .sql(", settled FROM ")
            .sql(list.table())
    }
}

const ITEMS: &str = "reading items";
const DATE: &str = "a date such as 2026-02-24";

/// One row of [`Store::select_items`], column by column.
struct Columns<'a> {
    list: List,
    id: i64,
    row: &'a Row,
}

impl Columns<'_> {
    fn bad(&self, column: &'static str, text: String, expected: &'static str) -> Error {
        Error::Value {
            table: self.list.table(),
            column,
            row: self.id.to_string(),
            text,
            expected,
        }
    }

    fn number(&self, index: usize) -> Result<u64, Error> {
        Ok(self.row.get::<i64>(index, ITEMS)?.cast_unsigned())
    }

    fn flag(&self, index: usize) -> Result<bool, Error> {
        self.row.get(index, ITEMS)
    }

    fn text(&self, index: usize) -> Result<Box<str>, Error> {
        Ok(self.row.get::<String>(index, ITEMS)?.into())
    }

    fn word<T: FromStr<Err = ParseError>>(
        &self,
        index: usize,
        column: &'static str,
    ) -> Result<T, Error> {
        let text: String = self.row.get(index, ITEMS)?;
        text.parse()
            .map_err(|error: ParseError| self.bad(column, text, error.expected))
    }

    /// A text that may be absent, read by `parse`.
    fn read<T>(
        &self,
        index: usize,
        column: &'static str,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let text: Option<String> = self.row.get(index, ITEMS)?;
        match text {
            None => Ok(None),
            Some(text) => match parse(&text) {
                Some(value) => Ok(Some(value)),
                None => Err(self.bad(column, text, expected)),
            },
        }
    }

    fn read_present<T>(
        &self,
        index: usize,
        column: &'static str,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Error> {
        self.read(index, column, expected, parse)?
            .ok_or_else(|| self.bad(column, String::new(), expected))
    }
}

fn read_item(list: List, row: &Row) -> Result<Item, Error> {
    let id: i64 = row.get(0, ITEMS)?;
    let columns = Columns { list, id, row };
    let width: Option<i64> = row.get(6, ITEMS)?;
    Ok(Item {
        id: id.cast_unsigned(),
        list,
        user: columns.number(1)?,
        symbol: columns.text(2)?,
        exchange: columns.word(3, "exchange")?,
        expiry: columns
            .read(4, "expiry_date", DATE, text::parse_date)?
            .map(Expiry::new),
        instrument_type: columns.text(5)?,
        width: width
            .map(|width| {
                u16::try_from(width).map_err(|_| {
                    columns.bad("width", width.to_string(), "a number from 0 to 65535")
                })
            })
            .transpose()?,
        mode: columns.word(7, "mode")?,
        follow: columns.flag(8)?,
        tier: columns.word(9, "tier")?,
        added_at: columns.read_present(10, "added_at", TIME, text::parse_time)?,
        trading_day: columns.read_present(11, "trading_day", DATE, text::parse_date)?,
        last_used_at: columns.read_present(12, "last_used_at", TIME, text::parse_time)?,
        used: columns.number(13)?,
        state: columns.word(14, "state")?,
        anchor: columns
            .read(15, "anchor", "a price in rupees", text::parse_money)?
            .map(Price::from_raw),
        settled: columns.flag(16)?,
    })
}

/// Makes the tables or brings them up to date, unless a newer program wrote them.
pub(crate) async fn prepare(url: &DatabaseUrl) -> Result<(), Error> {
    refuse_newer(url).await?;
    for _ in 1..MIGRATE_TRIES {
        match migrate(url).await {
            // PostgreSQL lets one after the other; in a file another process can be in the
            // middle of the same change, and has made it a moment later.
            Err(Error::Migrate { .. }) if matches!(url, DatabaseUrl::Sqlite(_)) => {
                tokio::time::sleep(MIGRATE_PAUSE).await;
            }
            done => return done,
        }
    }
    migrate(url).await
}

/// Makes the tables or brings them up to date, over a connection of its own.
async fn migrate(url: &DatabaseUrl) -> Result<(), Error> {
    let failed = |source| Error::Migrate {
        url: url.to_string(),
        source,
    };
    match Pool::migrating(url).await? {
        Pool::Sqlite(pool) => {
            SQLITE.run(&pool).await.map_err(failed)?;
            pool.close().await;
        }
        Pool::Postgres(pool) => {
            POSTGRES.run(&pool).await.map_err(failed)?;
            pool.close().await;
        }
    }
    Ok(())
}

/// Looks at the version before anything is changed.
async fn refuse_newer(url: &DatabaseUrl) -> Result<(), Error> {
    let Some(mut connection) = Connection::open_untouched(url).await? else {
        return Ok(());
    };
    let doing = "reading the version";
    let (table, known) = match connection.dialect() {
        Dialect::Sqlite => (
            "SELECT COUNT(*) FROM sqlite_master WHERE name = '_sqlx_migrations'",
            &SQLITE,
        ),
        Dialect::Postgres => ("SELECT COUNT(to_regclass('_sqlx_migrations'))", &POSTGRES),
    };
    let count = |rows: &[Row]| rows.first().map_or(Ok(None), |row| row.get(0, doing));
    let statement = connection.statement(table);
    let tables: Option<i64> = count(&connection.fetch(statement, doing).await?)?;
    let found: Option<i64> = if tables == Some(0) {
        None
    } else {
        let statement = connection.statement("SELECT MAX(version) FROM _sqlx_migrations");
        count(&connection.fetch(statement, doing).await?)?
    };
    connection.close().await;
    let known = known.iter().map(|migration| migration.version).max();
    match (found, known) {
        (Some(found), Some(known)) if found > known => Err(Error::Newer {
            url: url.to_string(),
            found,
            known,
        }),
        _ => Ok(()),
    }
}

async fn last_item(pool: &Pool) -> Result<u64, Error> {
    let doing = "reading the last item id";
    let statement = pool.statement("SELECT value FROM meta WHERE name = 'last_item'");
    let rows = pool.fetch(statement, doing).await?;
    let Some(row) = rows.first() else {
        return Ok(0);
    };
    let text: String = row.get(0, doing)?;
    text.parse().map_err(|_| Error::Value {
        table: "meta",
        column: "value",
        row: "last_item".to_owned(),
        text,
        expected: "a number",
    })
}
