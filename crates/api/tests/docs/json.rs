//! JSON whose fields stay in the order in which they were written.

use core::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// Columns that JSON may take.
const COLUMNS: usize = 110;

#[derive(Debug, Clone)]
pub(crate) enum Json {
    Object(Vec<(String, Json)>),
    Array(Vec<Json>),
    /// Anything else.
    Plain(Value),
    /// So many more, which are not shown.
    More(usize),
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Ordered)
    }
}

struct Ordered;

impl<'de> Visitor<'de> for Ordered {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Json::Object(fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Plain(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Plain(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Plain(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Plain(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Plain(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Plain(Value::Null))
    }
}

impl Json {
    /// Reads a text; one that is no JSON is a text itself.
    pub(crate) fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| Self::Plain(text.into()))
    }

    pub(crate) fn value(&self) -> Value {
        match self {
            Self::Object(fields) => fields
                .iter()
                .map(|(name, field)| (name.clone(), field.value()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            Self::Array(items) => items.iter().map(Self::value).collect(),
            Self::Plain(value) => value.clone(),
            Self::More(_) => Value::Null,
        }
    }

    /// With long lists cut.
    pub(crate) fn cut(mut self) -> Self {
        if let Self::Object(fields) = &mut self {
            for (name, field) in fields {
                let shown = match name.as_str() {
                    "quotes" | "subscribers" => 1,
                    "indicators" => 3,
                    "depth" | "per_connection" => 2,
                    _ => usize::MAX,
                };
                *field = core::mem::replace(field, Self::More(0)).cut_to(shown).cut();
            }
        } else if let Self::Array(items) = &mut self {
            for item in items {
                *item = core::mem::replace(item, Self::More(0)).cut();
            }
        }
        self
    }

    fn cut_to(mut self, shown: usize) -> Self {
        match &mut self {
            Self::Array(items) if items.len() > shown => {
                let more = items.split_off(shown).len();
                items.push(Self::More(more));
            }
            Self::Object(fields) if fields.len() > shown => {
                let more = fields.split_off(shown).len();
                fields.push((String::new(), Self::More(more)));
            }
            _ => {}
        }
        self
    }

    /// With what differs from run to run replaced.
    pub(crate) fn masked(mut self) -> Self {
        self.mask();
        self
    }

    fn mask(&mut self) {
        match self {
            Self::Object(fields) => {
                for (name, field) in fields {
                    if let ("subscribers", Self::Object(who)) = (name.as_str(), &mut *field) {
                        who.iter_mut().for_each(|(who, _)| mask_subscriber(who));
                    }
                    match always(name, field) {
                        Some(same) => *field = Self::Plain(same),
                        None => field.mask(),
                    }
                }
            }
            Self::Array(items) => items.iter_mut().for_each(Self::mask),
            Self::Plain(_) | Self::More(_) => {}
        }
    }

    /// Takes a line where it fits into one.
    pub(crate) fn pretty(&self) -> String {
        self.indented(0)
    }

    fn indented(&self, indent: usize) -> String {
        let short = self.on_one_line();
        if short.len() + indent <= COLUMNS {
            return short;
        }
        let inner = " ".repeat(indent + 2);
        let (open, close, items): (_, _, Vec<String>) = match self {
            Self::Object(fields) => {
                let field = |(name, field): &(String, Self)| match field {
                    Self::More(_) => format!("{inner}{}", field.on_one_line()),
                    _ => format!("{inner}\"{name}\": {}", field.indented(indent + 2)),
                };
                ('{', '}', fields.iter().map(field).collect())
            }
            Self::Array(items) => {
                let item = |item: &Self| format!("{inner}{}", item.indented(indent + 2));
                ('[', ']', items.iter().map(item).collect())
            }
            Self::Plain(_) | Self::More(_) => return short,
        };
        format!(
            "{open}\n{}\n{}{close}",
            items.join(",\n"),
            " ".repeat(indent)
        )
    }

    /// On one line, with a space after colons and commas.
    fn on_one_line(&self) -> String {
        let list = |items: Vec<String>| items.join(", ");
        match self {
            Self::Object(fields) => {
                let field = |(name, field): &(String, Self)| match field {
                    Self::More(_) => field.on_one_line(),
                    _ => format!("\"{name}\": {}", field.on_one_line()),
                };
                format!("{{{}}}", list(fields.iter().map(field).collect()))
            }
            Self::Array(items) => {
                format!("[{}]", list(items.iter().map(Self::on_one_line).collect()))
            }
            Self::Plain(value) => value.to_string(),
            Self::More(count) => format!("... {count} more"),
        }
    }
}

/// What every session is called here.
const SESSION: &str = "0f8e2c5a9b7d41e6a3c4d5e6f7081920";

/// The session in `7_session_...`.
fn mask_subscriber(who: &mut String) {
    if let Some((user, _)) = who.split_once("_session_") {
        *who = format!("{user}_session_{SESSION}");
    }
}

/// What a volatile field always is here.
fn always(name: &str, field: &Json) -> Option<Value> {
    let Json::Plain(value) = field else {
        return None;
    };
    let same: Value = match name {
        "recv" | "calculated_at" | "added_at" | "subscribed_at" | "since" | "from" | "to" => {
            "2026-02-09T10:00:00.250+05:30".into()
        }
        "expires_at" => "2026-02-09T22:00:00.250+05:30".into(),
        "session_id" => SESSION.into(),
        "request_id" => "5f3a9c01-2b".into(),
        // 2026-02-09 10:00 in India.
        "last_active" | "created_at" | "last_accessed" => 1_770_611_400.into(),
        "epoch" => "7c1d9e02a4b35f68-100-full".into(),
        "last_tick_age_ms" | "last_packet_age_ms" => 120.into(),
        "packets_per_s" => 0.into(),
        _ => return None,
    };
    let alike = (same.is_string() && value.is_string()) || (same.is_number() && value.is_number());
    alike.then_some(same)
}
