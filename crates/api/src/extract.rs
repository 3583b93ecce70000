//! Reads bodies and queries so that every mistake names the field.

use core::fmt::Display;
use core::str::FromStr;

use axum::body::{Bytes, HttpBody};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::{CONTENT_TYPE, ORIGIN};
use axum::http::request::Parts;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use strikewire_gateway::types::{Price, Utc};
use utoipa::ToSchema;

use crate::{Code, Problem, cursor};

/// A request body or message with a fixed list of fields.
pub(crate) trait Fields: DeserializeOwned {
    const FIELDS: &'static [&'static str];
}

/// A JSON body.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: Fields> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        require_json(&request)?;
        json(&bytes(request, state).await?)
            .and_then(fields)
            .map(Self)
    }
}

/// The body of a request that has nothing to say: none, or an empty object.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoBody {}

impl Fields for NoBody {
    const FIELDS: &'static [&'static str] = &[];
}

impl<S: Send + Sync> FromRequest<S> for NoBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        // A page of any origin can make a browser post an empty body unasked. It cannot
        // do so with JSON.
        let by_page = request.headers().contains_key(ORIGIN);
        let is_json = require_json(&request);
        let bytes = bytes(request, state).await?;
        if bytes.is_empty() && !by_page {
            return Ok(Self {});
        }
        is_json?;
        if bytes.is_empty() {
            return Ok(Self {});
        }
        fields(json(&bytes)?)
    }
}

fn require_json(request: &Request) -> Result<(), Problem> {
    let is_json = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    if is_json {
        return Ok(());
    }
    Err(Problem::new(
        Code::UnsupportedMediaType,
        "the content type is not application/json",
    ))
}

/// How many bytes a body may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyLimit(pub(crate) usize);

async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    // One that is announced as too long is not waited for.
    if let Some(BodyLimit(most)) = request.extensions().get::<BodyLimit>()
        && request.body().size_hint().lower() > *most as u64
    {
        let detail = format!("the body is too long; {most} bytes are accepted");
        return Err(Problem::new(Code::TooLarge, detail));
    }
    Bytes::from_request(request, state)
        .await
        .map_err(|rejection| {
            let code = match rejection.status().as_u16() {
                413 => Code::TooLarge,
                _ => Code::InvalidValue,
            };
            Problem::new(code, rejection.body_text())
        })
}

fn json(bytes: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(bytes)
        .map_err(|error| Problem::new(Code::InvalidJson, format!("the body is not JSON: {error}")))
}

/// Reads an object with known fields only.
pub(crate) fn fields<T: Fields>(value: Value) -> Result<T, Problem> {
    let Value::Object(map) = &value else {
        return Err(Problem::new(
            Code::InvalidValue,
            "a JSON object is expected",
        ));
    };
    if let Some(unknown) = map.keys().find(|key| !T::FIELDS.contains(&key.as_str())) {
        return Err(unknown_field(unknown, T::FIELDS));
    }
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let message = error.into_inner().to_string();
        // The part of the body that it is about; the path of a field may end with its name.
        let within = |problem: Problem, field: &str| {
            let part = path.strip_suffix(field).unwrap_or(&path);
            match part.trim_end_matches('.') {
                "" => problem,
                part => problem.within(part),
            }
        };
        if let Some(field) = quoted(&message, "missing field `") {
            let detail = format!("the field {field} is missing");
            return within(Problem::new(Code::MissingField, detail).field(field), field);
        }
        if let Some(field) = quoted(&message, "unknown field `") {
            let (_, known) = message.split_once("expected ").unwrap_or_default();
            let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
            return within(unknown_field(field, &known), field);
        }
        Problem::new(Code::InvalidValue, format!("{path}: {message}")).field(path)
    })
}

/// What a message has in backquotes after its beginning.
fn quoted<'m>(message: &'m str, beginning: &str) -> Option<&'m str> {
    message.strip_prefix(beginning)?.split('`').next()
}

fn unknown_field(name: &str, known: &[&str]) -> Problem {
    let mut choices: Vec<&str> = known.to_vec();
    choices.sort_by_key(|choice| strsim::damerau_levenshtein(choice, name));
    let hint = match choices.first() {
        Some(choice) => format!("did you mean `{choice}`?"),
        None => "there are no fields".to_owned(),
    };
    Problem::new(
        Code::UnknownField,
        format!("`{name}` is not known here; {hint}"),
    )
    .field(name)
    .choices(choices.into_iter().map(str::to_owned).collect())
}

/// The variable segments of a path, decoded: one text, or several.
#[derive(Debug)]
pub(crate) struct PathText<T = String>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for PathText<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Path::<T>::from_request_parts(parts, state)
            .await
            .map(|Path(text)| Self(text))
            .map_err(|rejection| Problem::new(Code::InvalidValue, rejection.body_text()))
    }
}

/// The parameters of a query, each at most once.
#[derive(Debug)]
pub(crate) struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Query::<Vec<(String, String)>>::from_request_parts(parts, state)
            .await
            .map(|Query(params)| Self(params))
            .map_err(|rejection| Problem::new(Code::InvalidValue, rejection.body_text()))
    }
}

impl Params {
    /// Refuses parameters that are not in `known`, or come twice.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), Problem> {
        for (index, (name, _)) in self.0.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                return Err(unknown_field(name, known));
            }
            if self.0[..index].iter().any(|(other, _)| other == name) {
                return Err(
                    Problem::new(Code::InvalidValue, format!("`{name}` is given twice"))
                        .field(name),
                );
            }
        }
        Ok(())
    }

    /// The text of a parameter.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// A parameter read as `T`.
    pub(crate) fn get<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, Problem> {
        self.text(name)
            .map(|text| {
                text.parse().map_err(|error: T::Err| {
                    Problem::new(Code::InvalidValue, format!("{name}: `{text}`: {error}"))
                        .field(name)
                })
            })
            .transpose()
    }

    /// How many rows a page has: `default` unless asked for 1 to `most`.
    pub(crate) fn limit(&self, default: usize, most: usize) -> Result<usize, Problem> {
        match self.get("limit")? {
            None => Ok(default),
            Some(limit) if (1..=most).contains(&limit) => Ok(limit),
            Some(limit) => Err(Problem::new(
                Code::InvalidValue,
                format!("limit is {limit}; it must be from 1 to {most}"),
            )
            .field("limit")),
        }
    }

    /// Where a page goes on, as an earlier one said.
    pub(crate) fn cursor(&self) -> Result<Option<String>, Problem> {
        self.text("cursor")
            .map(|text| {
                cursor::decode(text).ok_or_else(|| {
                    Problem::new(
                        Code::InvalidValue,
                        "cursor: this is none; next_cursor of an earlier page is one",
                    )
                    .field("cursor")
                })
            })
            .transpose()
    }

    /// A point in time.
    pub(crate) fn time(&self, name: &str) -> Result<Option<Utc>, Problem> {
        self.text(name)
            .map(|text| {
                time(text).ok_or_else(|| {
                    Problem::new(
                        Code::InvalidValue,
                        format!(
                            "{name}: `{text}` is no time with an offset, such as \
                             2026-02-09T10:00:00+05:30"
                        ),
                    )
                    .field(name)
                })
            })
            .transpose()
    }
}

/// A time in RFC 3339, with its offset. In a query a `+` stands for a space; one that was
/// not escaped is taken for what it was meant to be.
fn time(text: &str) -> Option<Utc> {
    let unescaped = match text.rsplit_once(' ') {
        Some((time, offset)) if time.contains(':') => format!("{time}+{offset}"),
        _ => text.to_owned(),
    };
    let time: Timestamp = unescaped.parse().ok()?;
    i64::try_from(time.as_nanosecond())
        .ok()
        .map(Utc::from_nanos)
}

/// Reads a text of a body as `T`.
pub(crate) fn parse<T: FromStr<Err: Display>>(
    field: &str,
    text: Option<&str>,
) -> Result<Option<T>, Problem> {
    text.map(|text| required(field, text)).transpose()
}

/// Reads a text of a body, which must be there, as `T`.
pub(crate) fn required<T: FromStr<Err: Display>>(field: &str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error: T::Err| {
        Problem::new(Code::InvalidValue, format!("{field}: {error}")).field(field)
    })
}

/// A price of the underlying: finite and above 0.
pub(crate) fn price(field: &str, rupees: Option<f64>) -> Result<Option<Price>, Problem> {
    rupees
        .map(|rupees| {
            let code = match rupees.is_finite() {
                true => Code::InvalidPrice,
                false => Code::InvalidValue,
            };
            Price::from_f64(rupees)
                .filter(|price| *price > Price::ZERO)
                .ok_or_else(|| {
                    let detail = format!("{field} is {rupees}; a price must be finite and above 0");
                    Problem::new(code, detail).field(field)
                })
        })
        .transpose()
}

/// A width, still to be checked for being odd.
pub(crate) fn width(asked: Option<i64>) -> Result<Option<u16>, Problem> {
    asked
        .map(|width| {
            u16::try_from(width).map_err(|_| {
                Problem::new(
                    Code::InvalidWidth,
                    format!("width is {width}; it must be odd, from 1 to 1001"),
                )
                .field("width")
            })
        })
        .transpose()
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::model::{
        AddRequest, HeartbeatRequest, IndicatorsRequest, InvalidateRequest, RemoveRequest,
        SubscribeRequest,
    };

    /// Any JSON, a few levels deep.
    pub(crate) fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 8, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".{0,6}", inner, 0..4).prop_map(Value::from_iter),
            ]
        })
    }

    #[test]
    fn a_user_is_a_number_or_a_text_of_one() {
        for user in [json!(7), json!("7")] {
            let add: AddRequest = fields(json!({"user_id": user, "symbol": "NIFTY"})).unwrap();
            assert_eq!(add.user_id, Some(7));
        }
        for user in [
            json!(-1),
            json!("-1"),
            json!(""),
            json!("7x"),
            json!(1.5),
            json!(null),
        ] {
            let add = fields::<AddRequest>(json!({"user_id": user, "symbol": "NIFTY"}));
            assert_eq!(add.unwrap_err().field.as_deref(), Some("user_id"), "{user}");
        }
    }

    #[test]
    fn mistakes_name_the_field() {
        let check = |body: Value, code: Code, field: &str| {
            let problem = fields::<SubscribeRequest>(body).unwrap_err();
            assert_eq!(
                (problem.code, problem.field.as_deref()),
                (code, Some(field))
            );
        };
        check(
            json!({"user_id": 1, "symbol": "X", "tear": "TIER_A"}),
            Code::UnknownField,
            "tear",
        );
        check(json!({"user_id": 1}), Code::MissingField, "symbol");
        check(
            json!({"user_id": 1, "symbol": 5}),
            Code::InvalidValue,
            "symbol",
        );
        check(
            json!({"user_id": 1, "symbol": "X", "follow": "yes"}),
            Code::InvalidValue,
            "follow",
        );
        check(
            json!({"user_id": 1, "symbol": "X", "tier": 1}),
            Code::InvalidValue,
            "tier",
        );
    }

    #[test]
    fn a_price_is_finite_and_above_0() {
        assert_eq!(price("p", None).unwrap(), None);
        assert_eq!(
            price("p", Some(1440.05)).unwrap(),
            Some(Price::from_raw(14_400_500))
        );
        for rupees in [0.0, -1.0, 1e300, 1e-9] {
            assert_eq!(
                price("p", Some(rupees)).unwrap_err().code,
                Code::InvalidPrice,
                "{rupees}"
            );
        }
        for rupees in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(
                price("p", Some(rupees)).unwrap_err().code,
                Code::InvalidValue,
                "{rupees}"
            );
        }
    }

    fn params(params: &[(&str, &str)]) -> Params {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Params(params.iter().map(owned).collect())
    }

    #[test]
    fn a_time_has_an_offset() {
        let at = |text: &str| params(&[("since", text)]).time("since");
        // 2026-02-09 04:30 in UTC; counted by `date -u -d @1770611400`.
        let ten = Utc::from_nanos(1_770_611_400_000_000_000);
        for text in [
            "2026-02-09T10:00:00+05:30",
            "2026-02-09T10:00:00 05:30",
            "2026-02-09 10:00:00 05:30",
            "2026-02-09T04:30:00Z",
            "2026-02-09T04:30:00.000-00:00",
        ] {
            assert_eq!(at(text).unwrap(), Some(ten), "{text}");
        }
        for text in [
            "",
            "2026-02-09",
            "2026-02-09T10:00:00",
            "2026-02-09 10:00:00",
            "1770611400",
            "9999-01-01T00:00:00Z",
        ] {
            let problem = at(text).unwrap_err();
            assert_eq!(problem.code, Code::InvalidValue, "{text}");
            assert_eq!(problem.field.as_deref(), Some("since"), "{text}");
        }
        assert_eq!(params(&[]).time("since").unwrap(), None);
    }

    #[test]
    fn a_page_has_a_bounded_length() {
        let limit = |text: &str| params(&[("limit", text)]).limit(100, 1000);
        assert_eq!(params(&[]).limit(100, 1000).unwrap(), 100);
        assert_eq!(limit("1").unwrap(), 1);
        assert_eq!(limit("1000").unwrap(), 1000);
        for text in ["0", "1001", "-1", "x", ""] {
            let problem = limit(text).unwrap_err();
            assert_eq!(problem.field.as_deref(), Some("limit"), "{text}");
        }
    }

    #[test]
    fn no_fields_are_known_where_there_are_none() {
        assert!(fields::<NoBody>(json!({})).is_ok());
        let problem = fields::<NoBody>(json!({"all": true})).unwrap_err();
        assert_eq!(problem.code, Code::UnknownField);
        assert!(problem.choices.is_empty());
    }

    proptest! {
        #[test]
        fn no_parameter_panics(text in ".*", digits in "[-+ :TZ0-9.]{0,32}") {
            for text in [text, digits] {
                let params = params(&[("cursor", &text), ("since", &text), ("limit", &text)]);
                let _ = params.cursor();
                let _ = params.time("since");
                let _ = params.limit(100, 1000);
            }
        }

        #[test]
        fn a_time_is_read_back(nanos in any::<i64>()) {
            // What is shown has milliseconds.
            let shown = Utc::from_nanos(nanos).to_string();
            let read = time(&shown).map(Utc::as_nanos);
            prop_assert!(read.is_none_or(|read| read.abs_diff(nanos) < 1_000_000));
            let year_2000_to_2200 = (946_684_800_000_000_000..7_258_118_400_000_000_000).contains(&nanos);
            prop_assert!(read.is_some() || !year_2000_to_2200);
        }

        #[test]
        fn no_body_panics(value in json_value()) {
            let _ = fields::<NoBody>(value.clone());
            let _ = fields::<InvalidateRequest>(value.clone());
            let _ = fields::<AddRequest>(value.clone());
            let _ = fields::<SubscribeRequest>(value.clone());
            let _ = fields::<IndicatorsRequest>(value.clone());
            let _ = fields::<HeartbeatRequest>(value.clone());
            let part = json!({"session_id": "a", "subscriptions": [value]});
            let _ = fields::<HeartbeatRequest>(part);
            let _ = fields::<RemoveRequest>(value);
        }

        #[test]
        fn no_value_of_a_known_field_panics(
            field in prop::sample::select(SubscribeRequest::FIELDS.to_vec()),
            value in json_value(),
        ) {
            let mut body = json!({"user_id": 1, "symbol": "NIFTY"});
            body[field] = value;
            if let Err(problem) = fields::<SubscribeRequest>(body) {
                prop_assert!(problem.field.is_some());
            }
        }
    }
}
