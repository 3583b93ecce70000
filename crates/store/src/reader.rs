use strikewire_types::Utc;

use crate::audit::Place;
use crate::projections::actions;
use crate::sql::{Pool, Row, Statement, Value};
use crate::{AuditPage, AuditQuery, AuditRecord, AuditRow, Cursor, Error, KeyRecord, keys, text};

/// Answers queries beside the writer.
#[derive(Debug, Clone)]
pub struct Reader {
    pool: Pool,
}

const DOING: &str = "reading the audit";

impl Reader {
    pub(crate) const fn new(pool: Pool) -> Self {
        Self { pool }
    }

    /// One page of the audit: newest first, or with `as_of` by token.
    ///
    /// Rows that are there throughout are neither skipped nor repeated from page to
    /// page, whatever is written meanwhile.
    ///
    /// # Errors
    ///
    /// When the database does not answer within two seconds or fails, and when the
    /// cursor is of another kind of query.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing but the answer.
    pub async fn audit(&self, query: &AuditQuery) -> Result<AuditPage, Error> {
        let limit = query.limit.max(1);
        let mut rows = Vec::new();
        for row in self
            .pool
            .fetch(self.statement(query, limit)?, DOING)
            .await?
        {
            rows.push(read(&row)?);
        }
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|last| {
            Cursor(if query.as_of.is_some() {
                Place::After(last.record.token.to_string())
            } else {
                Place::Before(last.id)
            })
        });
        Ok(AuditPage { items: rows, next })
    }

    /// What was subscribed at `at`, by token: one page of at most `limit` rows.
    ///
    /// # Errors
    ///
    /// As [`audit`](Self::audit).
    ///
    /// # Cancel safety
    ///
    /// As [`audit`](Self::audit).
    pub async fn subscribed_at(
        &self,
        at: Utc,
        limit: usize,
        cursor: Option<Cursor>,
    ) -> Result<AuditPage, Error> {
        self.audit(&AuditQuery {
            as_of: Some(at),
            limit,
            cursor,
            ..AuditQuery::default()
        })
        .await
    }

    /// All API keys there ever were, the oldest first.
    ///
    /// # Errors
    ///
    /// When the database does not answer within two seconds or fails, and when a row
    /// cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing but the answer.
    pub async fn api_keys(&self) -> Result<Vec<KeyRecord>, Error> {
        let statement = keys::select(self.pool.dialect());
        keys::read(&self.pool.fetch(statement, keys::DOING).await?)
    }

    /// Asks for one row more than the page has: it tells whether there is a next page.
    fn statement(&self, query: &AuditQuery, limit: usize) -> Result<Statement, Error> {
        let mut statement = self
            .pool
            .statement("SELECT id, action, instrument_token, reason, owner, ")
            .time_column("timestamp")
            .sql(" FROM subscription_log WHERE ");
        statement = match query.as_of {
            None => statement.sql("TRUE"),
            Some(at) => {
                let mut inner = statement
                    .sql("id IN (SELECT MAX(id) FROM subscription_log WHERE timestamp <= ")
                    .value(Value::Time(at))
                    .sql(" AND action IN (")
                    .list(actions(false).into_iter())
                    .sql(")");
                if let Some(token) = &query.token {
                    inner = inner
                        .sql(" AND instrument_token = ")
                        .value(Value::text(token));
                }
                if let Some(Cursor(Place::After(token))) = &query.cursor {
                    inner = inner
                        .sql(" AND instrument_token > ")
                        .value(Value::text(token));
                }
                inner
                    .sql(" GROUP BY instrument_token) AND action IN (")
                    .list(actions(true).into_iter())
                    .sql(")")
            }
        };
        if let Some(token) = &query.token {
            statement = statement
                .sql(" AND instrument_token = ")
                .value(Value::text(token));
        }
        if let Some(action) = query.action {
            statement = statement
                .sql(" AND action = ")
                .value(Value::text(action.as_str()));
        }
        if let Some(since) = query.since {
            statement = statement
                .sql(" AND timestamp >= ")
                .value(Value::Time(since));
        }
        statement = match (&query.cursor, query.as_of) {
            (None, None) => statement.sql(" ORDER BY id DESC"),
            (Some(Cursor(Place::Before(id))), None) => statement
                .sql(" AND id < ")
                .value(Value::Int(Some(*id)))
                .sql(" ORDER BY id DESC"),
            (None | Some(Cursor(Place::After(_))), Some(_)) => {
                statement.sql(" ORDER BY instrument_token")
            }
            (Some(cursor), _) => {
                return Err(Error::Cursor {
                    text: cursor.to_string().chars().take(64).collect(),
                });
            }
        };
        let rows = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        Ok(statement.sql(" LIMIT ").value(Value::Int(Some(rows))))
    }
}

fn read(row: &Row) -> Result<AuditRow, Error> {
    let id: i64 = row.get(0, DOING)?;
    let bad = |column, text: &str, expected| Error::Value {
        table: "subscription_log",
        column,
        row: id.to_string(),
        text: text.to_owned(),
        expected,
    };
    let action: String = row.get(1, DOING)?;
    let token: String = row.get(2, DOING)?;
    let reason: String = row.get(3, DOING)?;
    let owner: String = row.get(4, DOING)?;
    let at: String = row.get(5, DOING)?;
    Ok(AuditRow {
        id,
        record: AuditRecord {
            action: action
                .parse()
                .map_err(|error: strikewire_types::ParseError| {
                    bad("action", &action, error.expected)
                })?,
            token: token.into(),
            reason: reason.into(),
            owner: owner.into(),
            at: text::parse_time(&at).ok_or_else(|| bad("timestamp", &at, TIME))?,
        },
    })
}

pub(crate) const TIME: &str = "a time such as 2026-02-24T10:00:00.000000Z";
