//! Holds messages against the schemas of the OpenAPI document. Small, but it refuses every
//! keyword that it does not know, so that nothing goes unchecked unseen.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Keywords that say nothing about which values are right.
const ANNOTATIONS: [&str; 7] = [
    "description",
    "title",
    "example",
    "examples",
    "default",
    "format",
    "deprecated",
];

/// The document.
pub(crate) struct Document(pub(crate) Value);

/// An operation of the document.
pub(crate) struct Operation<'d> {
    pub(crate) method: String,
    pub(crate) path: &'d str,
    pub(crate) about: &'d Value,
}

impl Document {
    pub(crate) fn operations(&self) -> Vec<Operation<'_>> {
        let paths = self.0["paths"].as_object().unwrap();
        paths
            .iter()
            .flat_map(|(path, item)| {
                item.as_object()
                    .unwrap()
                    .iter()
                    .map(move |(method, about)| Operation {
                        method: method.to_uppercase(),
                        path,
                        about,
                    })
            })
            .collect()
    }

    pub(crate) fn operation(&self, id: &str) -> Operation<'_> {
        self.operations()
            .into_iter()
            .find(|operation| operation.about["operationId"] == id)
            .unwrap_or_else(|| panic!("no operation {id}"))
    }

    /// A value is as the schema says, and has no field that the schema does not name.
    pub(crate) fn check(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let named = self.named(schema, value, at)?;
        if let (Some(fields), Some(named)) = (value.as_object(), named) {
            for field in fields.keys() {
                if !named.contains(field) {
                    return Err(format!("{at}.{field} is not in the schema"));
                }
            }
        }
        Ok(())
    }

    /// Checks all but the fields that are not named; gives those that are, none where any
    /// may be.
    fn named(
        &self,
        schema: &Value,
        value: &Value,
        at: &str,
    ) -> Result<Option<BTreeSet<String>>, String> {
        let schema = match schema {
            Value::Bool(true) => return Ok(None),
            Value::Bool(false) => return Err(format!("{at}: nothing is allowed here")),
            schema => schema.as_object().unwrap(),
        };
        let mut named = Some(BTreeSet::new());
        let mut found = |more: Option<BTreeSet<String>>| match (&mut named, more) {
            (Some(named), Some(more)) => named.extend(more),
            (named, _) => *named = None,
        };
        let fail = |what: &str| Err(format!("{at}: {what}: {value}"));
        for (keyword, says) in schema {
            match keyword.as_str() {
                "$ref" => {
                    let to = says.as_str().and_then(|to| to.strip_prefix('#')).unwrap();
                    let to = self.0.pointer(to);
                    let to = to.unwrap_or_else(|| panic!("{at}: {says} leads nowhere"));
                    found(self.named(to, value, at)?);
                }
                "type" if !has_type(value, says) => return fail(&format!("is not {says}")),
                "enum" if !says.as_array().unwrap().contains(value) => {
                    return fail(&format!("is none of {says}"));
                }
                "const" if says != value => return fail(&format!("is not {says}")),
                "allOf" => {
                    for part in says.as_array().unwrap() {
                        found(self.named(part, value, at)?);
                    }
                }
                "oneOf" | "anyOf" => {
                    let parts = says.as_array().unwrap().iter();
                    let tried: Vec<_> = parts.map(|part| self.named(part, value, at)).collect();
                    let good = tried.iter().filter(|tried| tried.is_ok()).count();
                    if good == 0 || (good > 1 && keyword == "oneOf") {
                        let why: Vec<_> = tried.into_iter().filter_map(Result::err).collect();
                        return fail(&format!("{good} of {keyword}: {why:?}"));
                    }
                    for one in tried.into_iter().flatten() {
                        found(one);
                    }
                }
                "properties" | "required" | "additionalProperties" | "propertyNames" => {}
                "items" => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(says, item, &format!("{at}[{index}]"))?;
                    }
                }
                "pattern" => {
                    if let Some(text) = value.as_str()
                        && !matches(text, says.as_str().unwrap())
                    {
                        return fail(&format!("does not match {says}"));
                    }
                }
                "minimum" | "maximum" | "exclusiveMinimum" | "minLength" | "maxLength"
                | "minItems" | "maxItems" => {
                    if !in_bounds(keyword, says.as_f64().unwrap(), value) {
                        return fail(&format!("{keyword} is {says}"));
                    }
                }
                keyword if ANNOTATIONS.contains(&keyword) || keyword == "type" => {}
                "enum" | "const" => {}
                other => panic!("{at}: the keyword {other} is not known here"),
            }
        }
        if let Some(fields) = value.as_object() {
            found(self.object(schema, fields, at)?);
        }
        Ok(named)
    }

    fn object(
        &self,
        schema: &Map<String, Value>,
        fields: &Map<String, Value>,
        at: &str,
    ) -> Result<Option<BTreeSet<String>>, String> {
        for required in schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            if !fields.contains_key(required.as_str().unwrap()) {
                return Err(format!("{at}.{required} is missing"));
            }
        }
        let none = Map::new();
        let properties = schema
            .get("properties")
            .map_or(&none, |it| it.as_object().unwrap());
        let more = schema.get("additionalProperties");
        for (name, field) in fields {
            let inner = format!("{at}.{name}");
            // Who looks at all the parts knows whether a field that is not named here is one
            // that nobody names.
            if let Some(schema) = properties.get(name).or(more) {
                self.check(schema, field, &inner)?;
            }
            if let Some(names) = schema.get("propertyNames") {
                self.check(names, &Value::String(name.clone()), &inner)?;
            }
        }
        // An object about whose fields nothing is said.
        let is_free = more.is_some() || (properties.is_empty() && schema.get("type").is_some());
        Ok((!is_free).then(|| properties.keys().cloned().collect()))
    }
}

fn has_type(value: &Value, says: &Value) -> bool {
    match says {
        Value::Array(kinds) => kinds.iter().any(|kind| has_type(value, kind)),
        Value::String(kind) => match kind.as_str() {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "string" => value.is_string(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            "number" => value.is_number(),
            "integer" => value.is_i64() || value.is_u64(),
            other => panic!("the type {other} is not known here"),
        },
        other => panic!("{other} is no type"),
    }
}

fn in_bounds(keyword: &str, bound: f64, value: &Value) -> bool {
    let length = |length: Option<usize>, least: bool| {
        length.is_none_or(|length| {
            let length = length as f64;
            if least {
                length >= bound
            } else {
                length <= bound
            }
        })
    };
    let chars = || value.as_str().map(|text| text.chars().count());
    let items = || value.as_array().map(Vec::len);
    match keyword {
        "minimum" => value.as_f64().is_none_or(|value| value >= bound),
        "maximum" => value.as_f64().is_none_or(|value| value <= bound),
        "exclusiveMinimum" => value.as_f64().is_none_or(|value| value > bound),
        "minLength" => length(chars(), true),
        "maxLength" => length(chars(), false),
        "minItems" => length(items(), true),
        "maxItems" => length(items(), false),
        other => panic!("the bound {other} is not known here"),
    }
}

/// The patterns that the document has, by hand.
fn matches(text: &str, pattern: &str) -> bool {
    let digits = |text: &str, count: usize| {
        text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    match pattern {
        "^[A-Z_]+:[0-9]+$" => text.split_once(':').is_some_and(|(segment, id)| {
            let is_segment = segment
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte == b'_');
            is_segment && !segment.is_empty() && digits(id, id.len()) && !id.is_empty()
        }),
        "^[0-9]{2}[A-Z]{3}[0-9]{4}$" => {
            text.len() == 9
                && digits(&text[..2], 2)
                && text[2..5].bytes().all(|byte| byte.is_ascii_uppercase())
                && digits(&text[5..], 4)
        }
        "^([0-9]{2}-?[A-Za-z]{3}-?[0-9]{4}|[0-9]{4}-[0-9]{2}-[0-9]{2})$" => {
            text.parse::<strikewire_gateway::types::Expiry>().is_ok()
        }
        "^[0-9]{1,19}$" => digits(text, text.len()) && (1..=19).contains(&text.len()),
        "^[A-Za-z0-9._-]+$" => {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        }
        other => panic!("the pattern {other} is not known here"),
    }
}
