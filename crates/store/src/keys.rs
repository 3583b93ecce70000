use core::fmt;
use core::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use strikewire_types::{ParseError, Utc};
use subtle::ConstantTimeEq;

use crate::reader::TIME;
use crate::sql::{Connection, Dialect, Row, Statement, Value};
use crate::{DatabaseUrl, Error, store, text};

/// What every key begins with, so that people and scanners of secrets know one.
const PREFIX: &str = "sw_";
/// Bytes of a key that are random.
const RANDOM: usize = 32;
/// The longest label that is kept, in characters.
const LABEL_LIMIT: usize = 100;

/// What the holder of a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Reads, and changes what is their own.
    User,
    /// Everything.
    Admin,
}

impl Role {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text {
            "user" => Ok(Self::User),
            "admin" => Ok(Self::Admin),
            _ => Err(ParseError::new(text, "a role: user or admin")),
        }
    }
}

/// A new key: `sw_` and 256 random bits. It is not shown by `Debug`, and wiped from memory
/// when dropped.
pub struct NewKey(SecretString);

impl NewKey {
    /// A key of random bits of the operating system.
    ///
    /// # Errors
    ///
    /// When the operating system gives none.
    pub fn generate() -> Result<Self, Error> {
        let mut random = [0; RANDOM];
        getrandom::fill(&mut random).map_err(|source| Error::Random {
            source: source.into(),
        })?;
        let mut key = String::with_capacity(PREFIX.len() + RANDOM.div_ceil(3) * 4);
        key.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(random, &mut key);
        Ok(Self(key.into()))
    }

    /// The key itself, to be shown once.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(self.expose())
    }
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewKey(***)")
    }
}

/// The SHA-256 of a key. Two are compared in a time that does not tell where they differ.
#[derive(Clone, Copy)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// Of any text, whether it is a key or not.
    #[must_use]
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// Its first bits, to find candidates by. They tell nothing of the key.
    #[must_use]
    pub const fn bucket(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    fn to_hex(self) -> String {
        let mut text = String::with_capacity(2 * self.0.len());
        for byte in self.0 {
            for half in [byte >> 4, byte & 15] {
                text.push(char::from_digit(half.into(), 16).unwrap_or('?'));
            }
        }
        text
    }

    fn from_hex(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        let text = text.as_bytes();
        if text.len() != 2 * hash.len() {
            return None;
        }
        for (byte, digits) in hash.iter_mut().zip(text.chunks_exact(2)) {
            for digit in digits {
                let digit = char::from(*digit).to_digit(16)?;
                *byte = (*byte << 4) | u8::try_from(digit).ok()?;
            }
        }
        Some(Self(hash))
    }
}

impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for KeyHash {}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(..)")
    }
}

/// A key as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its number, by which it is revoked.
    pub id: u64,
    /// What is kept of the key itself.
    pub hash: KeyHash,
    /// Whose it is.
    pub user: u64,
    /// What its holder may do.
    pub role: Role,
    /// What people call it; absent: nothing.
    pub label: Option<String>,
    /// When it was made, by the clock of the machine where that was done.
    pub created_at: Utc,
    /// Since when it is not taken any more; absent: it is.
    pub revoked_at: Option<Utc>,
}

/// What became of revoking a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoked {
    /// It is not taken from now on.
    Now,
    /// That was done before.
    Before(Utc),
    /// There is no such key.
    Unknown,
}

/// The keys of a database, to be made and revoked. It may be the database of a running
/// server, which finds the change by itself.
#[derive(Debug)]
pub struct Keys(Connection);

impl Keys {
    /// Connects, makes the database if it is not there, and brings its tables up to date.
    ///
    /// # Errors
    ///
    /// As [`Store::open`](crate::Store::open).
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: tables may be left half made, and the next call goes on.
    pub async fn open(url: &DatabaseUrl) -> Result<Self, Error> {
        store::prepare(url).await?;
        Ok(Self(Connection::open(url).await?))
    }

    /// Keeps a key; gives its number. A label is cut to 100 characters.
    ///
    /// # Errors
    ///
    /// When the database fails.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: the key may be kept or not.
    pub async fn add(
        &mut self,
        hash: KeyHash,
        user: u64,
        role: Role,
        label: Option<&str>,
        at: Utc,
    ) -> Result<u64, Error> {
        let doing = "keeping an API key";
        let label = label.map(|label| label.chars().take(LABEL_LIMIT).collect::<String>());
        let statement = self
            .0
            .statement("INSERT INTO api_keys (hash, user_id, role, label, created_at) VALUES ")
            .rows(
                [[
                    Value::text(&hash.to_hex()),
                    Value::id(user),
                    Value::text(role.as_str()),
                    label.map_or(Value::Text(None), |label| Value::text(&label)),
                    Value::Time(at),
                ]]
                .into_iter(),
            )
            .sql(" RETURNING id");
        let rows = self.0.fetch(statement, doing).await?;
        let id: Option<i64> = rows.first().map(|row| row.get(0, doing)).transpose()?;
        Ok(id.unwrap_or_default().cast_unsigned())
    }

    /// All keys, the oldest first, revoked ones too.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing but the answer.
    pub async fn list(&mut self) -> Result<Vec<KeyRecord>, Error> {
        let statement = select(self.0.dialect());
        read(&self.0.fetch(statement, DOING).await?)
    }

    /// Has a key not taken any more. That is for good.
    ///
    /// # Errors
    ///
    /// When the database fails.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: the key may be revoked or not.
    pub async fn revoke(&mut self, id: u64, at: Utc) -> Result<Revoked, Error> {
        let statement = self
            .0
            .statement("UPDATE api_keys SET revoked_at = ")
            .value(Value::Time(at))
            .sql(" WHERE id = ")
            .value(Value::id(id))
            .sql(" AND revoked_at IS NULL");
        if self.0.execute(statement, "revoking an API key").await? > 0 {
            return Ok(Revoked::Now);
        }
        let known = self.list().await?.into_iter().find(|key| key.id == id);
        Ok(match known.and_then(|key| key.revoked_at) {
            Some(at) => Revoked::Before(at),
            None => Revoked::Unknown,
        })
    }

    /// Closes the connection.
    ///
    /// # Cancel safety
    ///
    /// Safe: the connection is closed anyway.
    pub async fn close(self) {
        self.0.close().await;
    }
}

pub(crate) const DOING: &str = "reading API keys";

/// All keys, the oldest first.
pub(crate) fn select(dialect: Dialect) -> Statement {
    Statement::new(dialect, "SELECT id, hash, user_id, role, label, ")
        .time_column("created_at")
        .sql(", ")
        .time_column("revoked_at")
        .sql(" FROM api_keys ORDER BY id")
}

/// The rows of [`select`].
pub(crate) fn read(rows: &[Row]) -> Result<Vec<KeyRecord>, Error> {
    rows.iter().map(read_one).collect()
}

fn read_one(row: &Row) -> Result<KeyRecord, Error> {
    let id: i64 = row.get(0, DOING)?;
    let bad = |column, text: &str, expected| Error::Value {
        table: "api_keys",
        column,
        row: id.to_string(),
        text: text.to_owned(),
        expected,
    };
    let time = |column, text: &str| text::parse_time(text).ok_or_else(|| bad(column, text, TIME));
    let hash: String = row.get(1, DOING)?;
    let user: i64 = row.get(2, DOING)?;
    let role: String = row.get(3, DOING)?;
    let created_at: String = row.get(5, DOING)?;
    let revoked_at: Option<String> = row.get(6, DOING)?;
    Ok(KeyRecord {
        id: id.cast_unsigned(),
        // Whoever put a key there instead of its hash will not find it in a log.
        hash: KeyHash::from_hex(&hash)
            .ok_or_else(|| bad("hash", "***", "64 hexadecimal digits"))?,
        user: user.cast_unsigned(),
        role: role
            .parse()
            .map_err(|error: ParseError| bad("role", &role, error.expected))?,
        label: row.get(4, DOING)?,
        created_at: time("created_at", &created_at)?,
        revoked_at: revoked_at.map(|at| time("revoked_at", &at)).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_hash_is_sha_256() {
        // FIPS 180-4, example "abc".
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(KeyHash::of("abc").to_hex(), abc);
        assert_eq!(KeyHash::of("abc").bucket(), 0xba78_16bf_8f01_cfea);
        assert_eq!(KeyHash::from_hex(abc), Some(KeyHash::of("abc")));
        assert_ne!(KeyHash::of("abd"), KeyHash::of("abc"));
        for text in [
            "",
            "ba",
            &abc[1..],
            &format!("{abc}0"),
            &abc.replace('b', "g"),
        ] {
            assert_eq!(KeyHash::from_hex(text), None, "{text}");
        }
    }

    #[test]
    fn a_key_is_recognised_and_not_shown() {
        let [key, other] = [(); 2].map(|()| NewKey::generate().unwrap());
        let text = key.expose().to_owned();
        assert!(text.starts_with("sw_"), "{text}");
        assert_eq!(text.len(), 3 + 43);
        assert_eq!(URL_SAFE_NO_PAD.decode(&text[3..]).unwrap().len(), RANDOM);
        assert_ne!(text, other.expose());
        assert_eq!(format!("{key:?}"), "NewKey(***)");
        let shown = format!("{:?}", key.hash());
        assert!(!shown.contains(&key.hash().to_hex()[..8]), "{shown}");
    }

    proptest! {
        #[test]
        fn a_hash_comes_back(bytes: [u8; 32]) {
            let hash = KeyHash(bytes);
            prop_assert_eq!(KeyHash::from_hex(&hash.to_hex()), Some(hash));
        }

        #[test]
        fn no_text_panics(text in ".*", hex in "[0-9a-fg]{60,66}") {
            let _ = KeyHash::from_hex(&text);
            let _ = KeyHash::from_hex(&hex);
            let _ = KeyHash::of(&text);
            let _ = text.parse::<Role>();
        }
    }
}
