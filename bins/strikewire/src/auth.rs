//! `strikewire auth`: API keys, in the database of a server that may be running.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use comfy_table::Cell;
use serde::Serialize;
use strikewire_gateway::store::{DatabaseUrl, KeyRecord, Keys, NewKey, Revoked, Role};
use strikewire_types::{Clock, Utc};
use strikewired::Config;

use crate::arguments::Format;
use crate::output::{Column, Output, or_empty, table};

const NEW_KEY: &str = "\
The key goes to standard output and is not shown again: only its SHA-256 is kept. Once there is
a key, the server serves nobody without one; it needs no restart.

Examples:
  strikewire auth new-key --user 1 --role admin --label operations
  STRIKEWIRE_API_KEY=$(strikewire auth new-key --user 7 --role user --data-dir /var/lib/strikewire)
  strikewire auth new-key --user 7 --role user --database postgres://u:p@db/strikewire --json";

const LIST_KEYS: &str = "\
Examples:
  strikewire auth list-keys --data-dir /var/lib/strikewire
  strikewire auth list-keys --json";

const REVOKE_KEY: &str = "\
A running server takes notice within two seconds, and closes the streams of the key. Revoking
the last key does not open the server.

Example:
  strikewire auth revoke-key 3 --data-dir /var/lib/strikewire";

#[derive(Debug, Subcommand)]
pub(crate) enum AuthCommand {
    /// Makes an API key and shows it, once
    #[command(after_help = NEW_KEY)]
    NewKey {
        /// Whose key it is
        #[arg(long, value_name = "N")]
        user: u64,
        /// user: reads, and changes what is the user's own; admin: everything
        #[arg(long, value_name = "user|admin")]
        role: Role,
        /// What people call it, at most 100 characters
        #[arg(long, value_name = "TEXT")]
        label: Option<String>,
        #[command(flatten)]
        database: Database,
        #[command(flatten)]
        format: Format,
    },
    /// The keys there are and were, without the keys themselves
    #[command(after_help = LIST_KEYS)]
    ListKeys {
        #[command(flatten)]
        database: Database,
        #[command(flatten)]
        format: Format,
    },
    /// Has a key not taken any more, for good
    #[command(after_help = REVOKE_KEY)]
    RevokeKey {
        /// Its number, as list-keys shows it
        id: u64,
        #[command(flatten)]
        database: Database,
        #[command(flatten)]
        format: Format,
    },
}

/// Which server's database. It is found as the server finds it.
#[derive(Debug, Args)]
pub(crate) struct Database {
    /// The server's data directory [default: strikewire-data]
    #[arg(long, value_name = "DIR", env = "STRIKEWIRE_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// The server's database, where it is not in the data directory:
    /// postgres://USER:PASSWORD@HOST/DB or sqlite:PATH
    #[arg(
        long,
        value_name = "URL",
        env = "STRIKEWIRE_DATABASE",
        hide_env_values = true
    )]
    database: Option<String>,
    /// The server's configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "STRIKEWIRE_CONFIG")]
    config: Option<PathBuf>,
}

impl Database {
    fn url(&self) -> anyhow::Result<DatabaseUrl> {
        let config = Config::load(&strikewired::Args {
            config: self.config.clone(),
            data_dir: self.data_dir.clone(),
            database: self.database.clone(),
            ..strikewired::Args::default()
        })?;
        Ok(config.store().url)
    }

    /// Opens it, and makes it first when it is not there.
    async fn make(&self) -> anyhow::Result<Keys> {
        let url = self.url()?;
        if let DatabaseUrl::Sqlite(path) = &url
            && let Some(folder) = path.parent()
        {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        open(&url).await
    }

    /// Opens it; it has to be there.
    async fn find(&self) -> anyhow::Result<Keys> {
        let url = self.url()?;
        if let DatabaseUrl::Sqlite(path) = &url
            && !path.exists()
        {
            bail!(
                "there is no database {}; --data-dir, --database or --config names the server's",
                path.display()
            );
        }
        open(&url).await
    }
}

async fn open(url: &DatabaseUrl) -> anyhow::Result<Keys> {
    Keys::open(url)
        .await
        .map_err(|error| anyhow::anyhow!(error.with_causes()))
}

/// A key as it is shown; `key` only when it was just made.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    user_id: u64,
    role: &'static str,
    label: Option<&'a str>,
    created_at: Utc,
    revoked_at: Option<Utc>,
}

impl<'a> Shown<'a> {
    fn of(record: &'a KeyRecord, key: Option<&'a NewKey>) -> Self {
        Self {
            id: record.id,
            key: key.map(NewKey::expose),
            user_id: record.user,
            role: record.role.as_str(),
            label: record.label.as_deref(),
            created_at: record.created_at,
            revoked_at: record.revoked_at,
        }
    }
}

pub(crate) fn run(command: AuthCommand) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let now = Clock::system().now().utc;
    runtime.block_on(async {
        match command {
            AuthCommand::NewKey {
                user,
                role,
                label,
                database,
                format,
            } => new_key(&database, (user, role, label.as_deref()), now, format).await,
            AuthCommand::ListKeys { database, format } => list_keys(&database, format).await,
            AuthCommand::RevokeKey {
                id,
                database,
                format,
            } => revoke_key(&database, id, now, format).await,
        }
    })
}

async fn new_key(
    database: &Database,
    (user, role, label): (u64, Role, Option<&str>),
    now: Utc,
    format: Format,
) -> anyhow::Result<()> {
    let mut keys = database.make().await?;
    let key = NewKey::generate()?;
    let id = keys.add(key.hash(), user, role, label, now).await?;
    let listed = keys.list().await?;
    keys.close().await;
    let record = listed.iter().find(|record| record.id == id);
    let record = record.with_context(|| format!("key {id} is not there again"))?;
    let mut output = Output::new();
    if format.json {
        return output.json(&Shown::of(record, Some(&key)));
    }
    output.lines(key.expose())?;
    eprintln!("Key {id} of user {user}, role {role}. It is not shown again.");
    if listed.len() == 1 {
        eprintln!("It is the first: from now on the server serves nobody without a key.");
    }
    Ok(())
}

async fn list_keys(database: &Database, format: Format) -> anyhow::Result<()> {
    let mut keys = database.find().await?;
    let listed = keys.list().await?;
    keys.close().await;
    let mut output = Output::new();
    if format.json {
        let shown: Vec<_> = listed.iter().map(|key| Shown::of(key, None)).collect();
        return output.json(&shown);
    }
    if listed.is_empty() {
        return output.lines("There are no keys: only the server's own machine is served.");
    }
    let mut table = table(&[
        Column::Number("id"),
        Column::Number("user"),
        Column::Text("role"),
        Column::Text("label"),
        Column::Text("made"),
        Column::Text("revoked"),
    ]);
    for key in &listed {
        table.add_row([
            Cell::new(key.id),
            Cell::new(key.user),
            Cell::new(key.role),
            Cell::new(printable(key.label.as_deref().unwrap_or_default())),
            Cell::new(key.created_at),
            Cell::new(or_empty(key.revoked_at)),
        ]);
    }
    output.table(&table)
}

async fn revoke_key(database: &Database, id: u64, now: Utc, format: Format) -> anyhow::Result<()> {
    let mut keys = database.find().await?;
    let revoked = keys.revoke(id, now).await?;
    let listed = keys.list().await?;
    keys.close().await;
    let record = listed.iter().find(|record| record.id == id);
    let (Revoked::Now | Revoked::Before(_), Some(record)) = (revoked, record) else {
        bail!("there is no key {id}; `strikewire auth list-keys` shows those there are");
    };
    let mut output = Output::new();
    if format.json {
        return output.json(&Shown::of(record, None));
    }
    match revoked {
        Revoked::Before(at) => output.lines(&format!("Key {id} was revoked before, at {at}.")),
        _ => output.lines(&format!(
            "Key {id} of user {} is revoked. Active keys: {}.",
            record.user,
            listed.iter().filter(|key| key.revoked_at.is_none()).count()
        )),
    }
}

/// A label may hold what a terminal would obey.
fn printable(label: &str) -> String {
    label
        .chars()
        .map(|letter| {
            if letter.is_control() {
                '\u{fffd}'
            } else {
                letter
            }
        })
        .collect()
}
