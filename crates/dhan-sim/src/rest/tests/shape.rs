//! The same keys and types as in captured answers.

use std::collections::BTreeMap;
use std::io::Read;

use super::*;

/// What is at a place of a document: every place, with all types that were seen there.
/// Names that are data are `*`, and so are positions.
type Shape = BTreeMap<String, Vec<&'static str>>;

fn shape(value: &Value) -> Shape {
    let mut shape = Shape::new();
    describe(value, "", &mut shape);
    shape
}

fn describe(value: &Value, place: &str, shape: &mut Shape) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    };
    let kinds = shape.entry(place.to_owned()).or_default();
    if !kinds.contains(&kind) {
        kinds.push(kind);
        kinds.sort_unstable();
    }
    match value {
        Value::Array(items) => {
            for item in items {
                describe(item, &format!("{place}/*"), shape);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                let is_data = name.starts_with(|c: char| c.is_ascii_digit());
                let name = if is_data { "*" } else { name };
                describe(value, &format!("{place}/{name}"), shape);
            }
        }
        _ => {}
    }
}

/// Whether there are numbers with and without a fraction, or an exponent.
fn spellings(text: &str) -> [bool; 3] {
    let numbers = || {
        text.split(|c: char| ",:[]{}".contains(c))
            .filter(|part| part.starts_with(|c: char| c.is_ascii_digit()))
    };
    [
        numbers().any(|number| number.contains('.')),
        numbers().any(|number| number.bytes().all(|b| b.is_ascii_digit())),
        numbers().any(|number| number.contains('E')),
    ]
}

/// Fields that the broker added after the answers were captured, in February 2026.
const ADDED: [&str; 4] = [
    "/data/oc/*/ce/average_price",
    "/data/oc/*/ce/security_id",
    "/data/oc/*/pe/average_price",
    "/data/oc/*/pe/security_id",
];

fn captured(name: &str) -> Option<String> {
    let Some(folder) = std::env::var_os("STRIKEWIRE_REAL_DATA") else {
        eprintln!("skipped: STRIKEWIRE_REAL_DATA is not set");
        return None;
    };
    let path = std::path::Path::new(&folder).join("rest").join(name);
    let file = std::fs::File::open(path).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(file)
        .read_to_string(&mut text)
        .unwrap();
    Some(text)
}

fn check(name: &str, ours: &str) {
    let Some(theirs) = captured(name) else {
        return;
    };
    let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let (mut ours_shape, theirs_shape) = (shape(&value(ours)), shape(&value(&theirs)));
    for added in ADDED {
        if !theirs_shape.contains_key(added) {
            ours_shape.remove(added);
        }
    }
    // Arrays of the chart service are never empty here, nor there.
    assert_eq!(ours_shape, theirs_shape, "{name}");
    assert_eq!(spellings(ours), spellings(&theirs), "{name}");
}

fn text(bench: &mut Bench, path: &str, body: &Value) -> String {
    let body = body.to_string();
    let answer = bench.ask(&post(path, body.as_bytes()));
    String::from_utf8(answer.body.to_vec()).unwrap()
}

#[test]
fn chains() {
    let mut bench = Bench::new();
    // Some contracts have not traded, as there.
    let key = option(NIFTY, 10, true);
    bench.state.untraded.set([key]);
    let ours = text(&mut bench, "/v2/optionchain", &nifty_chain());
    check(
        "optionchain_nifty_exp2025-01-30_at_2025-01-28T0933Z.json.gz",
        &ours,
    );
}

#[test]
fn expiry_lists() {
    let mut bench = Bench::new();
    let ask = json!({ "UnderlyingScrip": 13, "UnderlyingSeg": "IDX_I" });
    let ours = text(&mut bench, "/v2/optionchain/expirylist", &ask);
    check("expirylist_nifty_at_2025-01-28T0931Z.json.gz", &ours);
}

#[test]
fn quotes_of_what_never_traded() {
    let mut bench = Bench::new();
    let keys = [option(NIFTY, 0, true), option(NIFTY, 0, false)];
    let odd = keys.into_iter().find(|key| key.id.0 % 2 == 1).unwrap();
    bench.state.untraded.set([odd]);
    let ours = text(
        &mut bench,
        "/v2/marketfeed/quote",
        &json!({ "NSE_FNO": [odd.id.0] }),
    );
    check("marketfeed_quote_nse_fno_49081_untraded.json.gz", &ours);
    // One that has traded has the same shape.
    bench.state.untraded.set([]);
    let traded = text(
        &mut bench,
        "/v2/marketfeed/quote",
        &json!({ "NSE_FNO": [odd.id.0] }),
    );
    let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(shape(&value(&traded)), shape(&value(&ours)));
}

#[test]
fn candles() {
    let mut bench = Bench::new();
    let share = key("RELIANCE");
    let ask = minutes_of(share, "EQUITY", "1", "2026-02-04", "2026-02-06");
    let ours = text(&mut bench, "/v2/charts/intraday", &ask);
    check("intraday_nse_eq_1333_1min_from2024-09-11.json.gz", &ours);
    let ask = minutes_of(share, "EQUITY", "1", "2022-01-08", "2022-02-08");
    let ours = text(&mut bench, "/v2/charts/historical", &ask);
    check("historical_daily_nse_eq_1333_from2022-01-08.json.gz", &ours);
}

#[test]
fn failures() {
    check("error_806_http200.json.gz", bodies::NOT_SUBSCRIBED);
    let mut bench = Bench::new();
    bench.state.limits.config = RestLimits::default();
    let ask = json!({ "IDX_I": [13] });
    bench.ok("/v2/marketfeed/ltp", &ask);
    let ours = text(&mut bench, "/v2/marketfeed/ltp", &ask);
    check("error_DH-904_http429.json.gz", &ours);
    if let Some(theirs) = captured("error_DH-904_http429.json.gz") {
        let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(value(&ours), value(&theirs));
    }
}
