//! Reads bodies and queries so that every mistake names the field.

use core::fmt::Display;
use core::str::FromStr;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::Value;
use strikewire_gateway::types::Price;

use crate::{Code, Problem};

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
        let is_json = request
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
        if !is_json {
            return Err(Problem::new(
                Code::UnsupportedMediaType,
                "the content type is not application/json",
            ));
        }
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| {
                let code = match rejection.status().as_u16() {
                    413 => Code::TooLarge,
                    _ => Code::InvalidValue,
                };
                Problem::new(code, rejection.body_text())
            })?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|error| {
            Problem::new(Code::InvalidJson, format!("the body is not JSON: {error}"))
        })?;
        fields(value).map(Self)
    }
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
        let missing = message
            .strip_prefix("missing field `")
            .and_then(|rest| rest.split('`').next());
        match missing {
            Some(field) => {
                Problem::new(Code::MissingField, format!("the field {field} is missing"))
                    .field(field)
            }
            None => Problem::new(Code::InvalidValue, format!("{path}: {message}")).field(path),
        }
    })
}

fn unknown_field(name: &str, known: &[&str]) -> Problem {
    let mut choices: Vec<&str> = known.to_vec();
    choices.sort_by_key(|choice| strsim::damerau_levenshtein(choice, name));
    Problem::new(
        Code::UnknownField,
        format!(
            "`{name}` is not known here; did you mean `{}`?",
            choices.first().unwrap_or(&"")
        ),
    )
    .field(name)
    .choices(choices.into_iter().map(str::to_owned).collect())
}

/// The one variable segment of a path, decoded.
#[derive(Debug)]
pub(crate) struct PathText(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for PathText {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Path::<String>::from_request_parts(parts, state)
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
}

/// Reads a text of a body as `T`.
pub(crate) fn parse<T: FromStr<Err: Display>>(
    field: &str,
    text: Option<&str>,
) -> Result<Option<T>, Problem> {
    text.map(|text| {
        text.parse().map_err(|error: T::Err| {
            Problem::new(Code::InvalidValue, format!("{field}: {error}")).field(field)
        })
    })
    .transpose()
}

/// A price of the underlying: finite and above 0.
pub(crate) fn price(field: &str, rupees: Option<f64>) -> Result<Option<Price>, Problem> {
    rupees
        .map(|rupees| {
            Price::from_f64(rupees)
                .filter(|price| *price > Price::ZERO)
                .ok_or_else(|| {
                    Problem::new(
                        Code::InvalidPrice,
                        format!("{field} is {rupees}; a price must be finite and above 0"),
                    )
                    .field(field)
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
    use crate::model::{AddRequest, RemoveRequest, SubscribeRequest};

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
            assert_eq!(add.user_id, 7);
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
        for rupees in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300, 1e-9] {
            assert_eq!(
                price("p", Some(rupees)).unwrap_err().code,
                Code::InvalidPrice,
                "{rupees}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_body_panics(value in json_value()) {
            let _ = fields::<AddRequest>(value.clone());
            let _ = fields::<SubscribeRequest>(value.clone());
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
