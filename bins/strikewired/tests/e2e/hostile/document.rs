//! The OpenAPI document of a server, and requests that are made from it at random.

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_pcg::Pcg64Mcg;
use serde_json::{Map, Value, json};

/// How deep generated values are nested.
const DEPTH: usize = 4;

/// What a server says of itself.
pub(crate) struct Document(Value);

/// A call of it.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    /// In capitals.
    pub(crate) method: String,
    /// With `{name}` for what varies.
    pub(crate) path: String,
    /// Statuses that it may answer with.
    pub(crate) statuses: Vec<u16>,
    parameters: Vec<Parameter>,
    /// The schema of its body.
    body: Option<Value>,
}

#[derive(Debug, Clone)]
struct Parameter {
    name: String,
    in_path: bool,
    required: bool,
    schema: Value,
}

/// A request that was made up.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) target: String,
    /// The text of the body; not always JSON.
    pub(crate) body: Option<String>,
}

impl Document {
    pub(crate) fn new(document: Value) -> Self {
        assert!(document["paths"].is_object(), "no paths: {document}");
        Self(document)
    }

    /// What a `$ref` stands for.
    fn resolved<'a>(&'a self, mut schema: &'a Value) -> &'a Value {
        while let Some(name) = schema["$ref"].as_str() {
            let place = name.trim_start_matches('#');
            schema = self
                .0
                .pointer(place)
                .unwrap_or_else(|| panic!("{name} is not there"));
        }
        schema
    }

    /// All calls; the stream's socket is none that HTTP could make.
    pub(crate) fn operations(&self) -> Vec<Operation> {
        let mut operations = Vec::new();
        let paths = self.0["paths"].as_object().expect("paths");
        for (path, item) in paths {
            for (method, operation) in item.as_object().expect("a path has methods") {
                if !["get", "post", "put", "delete", "patch"].contains(&method.as_str()) {
                    continue;
                }
                let parameters = [&item["parameters"], &operation["parameters"]];
                let parameters = parameters.into_iter().filter_map(Value::as_array).flatten();
                let responses = operation["responses"].as_object().expect("responses");
                operations.push(Operation {
                    method: method.to_uppercase(),
                    path: path.clone(),
                    statuses: responses
                        .keys()
                        .filter_map(|status| status.parse().ok())
                        .collect(),
                    parameters: parameters
                        .map(|parameter| self.parameter(parameter))
                        .collect(),
                    body: self.body(operation),
                });
            }
        }
        operations
    }

    fn parameter(&self, parameter: &Value) -> Parameter {
        let parameter = self.resolved(parameter);
        Parameter {
            name: parameter["name"].as_str().expect("a name").to_owned(),
            in_path: parameter["in"] == "path",
            required: parameter["required"] == true,
            schema: parameter["schema"].clone(),
        }
    }

    fn body(&self, operation: &Value) -> Option<Value> {
        let body = self.resolved(operation.get("requestBody")?);
        body["content"]["application/json"].get("schema").cloned()
    }
}

/// Makes requests up. The same seed makes the same ones.
pub(crate) struct Maker<'a> {
    pub(crate) document: &'a Document,
    pub(crate) rng: Pcg64Mcg,
}

impl Maker<'_> {
    /// A request of `operation`: often as its schemas say, else with one thing wrong.
    pub(crate) fn request(&mut self, operation: &Operation) -> Made {
        let mut target = operation.path.clone();
        let mut query = Vec::new();
        // What is wrong, if anything: every place is as likely.
        let places = operation.parameters.len() + usize::from(operation.body.is_some()) * 3;
        let wrong = self.rng.random_range(0..places * 2 + 1);
        for (at, parameter) in operation.parameters.iter().enumerate() {
            let mut text = self.text(&parameter.name, &parameter.schema);
            if at == wrong {
                text = self.wrong_text();
            }
            if parameter.in_path {
                // Without a text it would be another path.
                if text.is_empty() {
                    text.push(' ');
                }
                let place = format!("{{{}}}", parameter.name);
                target = target.replace(&place, &encoded(&text));
            } else if parameter.required || at == wrong || self.rng.random_bool(0.4) {
                query.push(format!("{}={}", encoded(&parameter.name), encoded(&text)));
            }
        }
        if !query.is_empty() {
            target = format!("{target}?{}", query.join("&"));
        }
        let body = operation.body.as_ref().map(|schema| {
            let mut body = self.value("", schema, DEPTH);
            if wrong >= operation.parameters.len() && wrong < places {
                self.spoil(&mut body);
            }
            let mut text = body.to_string();
            if self.rng.random_ratio(1, 40) {
                text = self.spoilt_text(&text);
            }
            text
        });
        Made { target, body }
    }

    /// What is known to be good for a field of this name, so that not everything is refused
    /// at the first look.
    fn known(&mut self, name: &str) -> Option<Value> {
        let words: &[Value] = &match name {
            "symbol" => ["RELIANCE", "NIFTY", "reliance", "GOLD", "TCS", "M&M"]
                .map(Value::from)
                .to_vec(),
            "expiry" => ["24FEB2026", "2026-02-24", "10FEB2026"]
                .map(Value::from)
                .to_vec(),
            "user_id" => vec![json!(1), json!(2), json!("3"), json!(4)],
            "exchange" => ["NSE", "BSE", "MCX"].map(Value::from).to_vec(),
            "underlying_ltp" => vec![json!(1400), json!(1399.95), json!(25_500)],
            "width" => vec![json!(1), json!(3), json!(25)],
            "token" | "instruments" => ["RELIANCE", "NSE_EQ:2885", "RELIANCE_24FEB2026_1400CE"]
                .map(Value::from)
                .to_vec(),
            "session_id" => vec![json!("hostile-1"), json!("s")],
            "timeframe" => ["5min", "1min", "1d"].map(Value::from).to_vec(),
            "indicator_id" => ["RSI_14", "sma_20", "BB_20_2"].map(Value::from).to_vec(),
            "q" => ["reliance", "nifty 24feb 25500 ce"]
                .map(Value::from)
                .to_vec(),
            _ => return None,
        };
        words.choose(&mut self.rng).cloned()
    }

    fn text(&mut self, name: &str, schema: &Value) -> String {
        match self.value(name, schema, 1) {
            Value::String(text) => text,
            Value::Null => String::new(),
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(plain).collect();
                items.join(",")
            }
            value => value.to_string(),
        }
    }

    /// A value as `schema` says, for a field of `name`.
    fn value(&mut self, name: &str, schema: &Value, depth: usize) -> Value {
        let schema = self.document.resolved(schema);
        if self.rng.random_bool(0.8)
            && let Some(known) = self.known(name)
            && !is_of(schema, "array")
        {
            return known;
        }
        if let Some(value) = schema.get("const") {
            return value.clone();
        }
        if let Some(values) = schema["enum"].as_array() {
            return values.choose(&mut self.rng).cloned().unwrap_or_default();
        }
        for key in ["oneOf", "anyOf"] {
            if let Some(schemas) = schema[key].as_array() {
                let schema = schemas.choose(&mut self.rng).expect("there is one").clone();
                return self.value(name, &schema, depth);
            }
        }
        if let Some(parts) = schema["allOf"].as_array() {
            let mut whole = Map::new();
            for part in parts.clone() {
                if let Value::Object(part) = self.value(name, &part, depth) {
                    whole.extend(part);
                }
            }
            return Value::Object(whole);
        }
        if self.rng.random_bool(0.3)
            && let Some(examples) = schema["examples"].as_array()
            && let Some(example) = examples.choose(&mut self.rng)
        {
            return example.clone();
        }
        if is_of(schema, "object") || schema.get("properties").is_some() {
            return self.object(&schema.clone(), depth);
        }
        if is_of(schema, "array") {
            let count = if depth == 0 {
                0
            } else {
                self.rng.random_range(0..4)
            };
            let items = schema["items"].clone();
            let name = name.trim_end_matches('s').to_owned();
            return (0..count)
                .map(|_| self.value(&name, &items, depth - 1))
                .collect();
        }
        self.scalar(&schema.clone())
    }

    fn object(&mut self, schema: &Value, depth: usize) -> Value {
        let mut object = Map::new();
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let needed = required.iter().any(|required| required == name.as_str());
            if depth > 0 && (needed || self.rng.random_bool(0.4)) {
                let value = self.value(name, property, depth - 1);
                object.insert(name.clone(), value);
            }
        }
        Value::Object(object)
    }

    fn scalar(&mut self, schema: &Value) -> Value {
        let bound = |name: &str, otherwise: f64| schema[name].as_f64().unwrap_or(otherwise);
        if is_of(schema, "boolean") {
            return self.rng.random_bool(0.5).into();
        }
        if is_of(schema, "integer") {
            let (low, high) = (bound("minimum", -10.0) as i64, bound("maximum", 1e6) as i64);
            return self.rng.random_range(low..=high.max(low)).into();
        }
        if is_of(schema, "number") {
            let (low, high) = (bound("minimum", 0.0), bound("maximum", 1e6));
            return self.rng.random_range(low..=high.max(low)).into();
        }
        self.wrong_text().into()
    }

    /// One thing of a body becomes wrong.
    fn spoil(&mut self, body: &mut Value) {
        let wrong = self.wrong();
        let choice = self.rng.random_range(0..4);
        match body {
            Value::Object(map) if choice < 3 && !map.is_empty() => {
                let names: Vec<String> = map.keys().cloned().collect();
                let name = names.choose(&mut self.rng).expect("there is one").clone();
                match choice {
                    0 => {
                        map.remove(&name);
                    }
                    1 => {
                        map.insert(name, wrong);
                    }
                    _ => match map.get_mut(&name) {
                        Some(inner) if inner.is_object() || inner.is_array() => self.spoil(inner),
                        _ => {
                            let unknown = self.wrong_text();
                            map.insert(unknown, wrong);
                        }
                    },
                }
            }
            Value::Array(items) if choice < 3 && !items.is_empty() => {
                let at = self.rng.random_range(0..items.len());
                self.spoil(&mut items[at]);
            }
            _ => *body = wrong,
        }
    }

    fn wrong(&mut self) -> Value {
        let values = [
            Value::Null,
            json!(true),
            json!(-1),
            json!(0),
            json!(-0.0),
            json!(0.1),
            json!(1e300),
            json!(5e-324),
            json!(u64::MAX),
            json!(i64::MIN),
            json!(9_007_199_254_740_993_u64),
            json!([]),
            json!({}),
            json!([[[[[[[[[]]]]]]]]]),
            json!({"a": {"b": {"c": {"": null}}}}),
        ];
        if self.rng.random_bool(0.5) {
            return self.wrong_text().into();
        }
        values.choose(&mut self.rng).cloned().unwrap_or_default()
    }

    /// A text that nobody would mean.
    pub(crate) fn wrong_text(&mut self) -> String {
        if self.rng.random_ratio(1, 3) {
            let count = self.rng.random_range(0..12);
            return (0..count).map(|_| self.rng.random::<char>()).collect();
        }
        WRONG_TEXTS
            .choose(&mut self.rng)
            .copied()
            .unwrap_or_default()
            .to_owned()
    }

    /// What is no JSON any more.
    fn spoilt_text(&mut self, text: &str) -> String {
        let at = text.char_indices().map(|(at, _)| at).collect::<Vec<_>>();
        let cut = at.choose(&mut self.rng).copied().unwrap_or(0);
        let more = ["", "\u{0}", "}", "NaN", "[[[[", "//", "\"", "\\ud800"];
        let more = more.choose(&mut self.rng).copied().unwrap_or_default();
        format!("{}{more}", &text[..cut])
    }
}

/// Texts that have been trouble somewhere.
pub(crate) const WRONG_TEXTS: &[&str] = &[
    "",
    " ",
    "null",
    "-1",
    "1e999",
    "NaN",
    "-Infinity",
    "0x10",
    "99999999999999999999999999",
    "00000000000000000001",
    "\u{0}",
    "RELIANCE\u{0}",
    "\r\nx-injected: 1",
    "../../../../etc/passwd",
    "..%2f..%2f",
    "'; DROP TABLE watchlist; --",
    "\" OR \"\" = \"",
    "${jndi:ldap://127.0.0.1/a}",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "RELI\u{410}NCE",
    "\u{ff32}\u{ff25}\u{ff2c}\u{ff29}\u{ff21}\u{ff2e}\u{ff23}\u{ff25}",
    "\u{202e}ECNAILER",
    "I\u{307}NFY",
    "\u{130}NFY",
    "\u{feff}NIFTY",
    "\u{1f9ff}",
    "e\u{301}\u{301}\u{301}",
    "RELIANCE_24FEB2026_1440CE_",
    "RELIANCE_99FEB2026_1440CE",
    "RELIANCE_24FEB2026_99999999999999999999CE",
    "RELIANCE_24FEB2026_-1CE",
    "RELIANCE_24FEB2026_NaNCE",
    "NSE_FNO:",
    "NSE_FNO:-1",
    "NSE_FNO:4294967296",
    ":",
    "NSE:NSE:RELIANCE",
    "30FEB2026",
    "0000-00-00",
    "9999-12-31",
    "-9999-01-01",
    "2026-02-24T00:00:00+99:99",
];

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// Whether values of `schema` may be of the type `name`.
fn is_of(schema: &Value, name: &str) -> bool {
    match &schema["type"] {
        Value::String(one) => one == name,
        Value::Array(several) => several.iter().any(|one| one == name),
        _ => false,
    }
}

/// Percent-encoded, for a path or a query.
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}
