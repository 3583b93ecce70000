//! The last quotes of what is subscribed already.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use crate::extract::Params;
use crate::model::QuotesAnswer;
use crate::{Api, Code, Problem};

/// Instruments of one call at most.
const INSTRUMENT_LIMIT: usize = 1000;

/// Last quotes of some instruments
///
/// Of those that are subscribed, by whomever; it subscribes nothing.
#[utoipa::path(
    get,
    path = "/api/v2/quotes",
    tag = "quotes",
    operation_id = "quotes",
    params((
        "instruments" = Vec<String>, Query, style = Form, explode = false, min_items = 1, max_items = 1000,
        description = "Tokens, or `SEGMENT:SECURITY_ID`, with commas between them; 1000 at most.",
    )),
    responses((status = 200, description = "What is known of them.", body = QuotesAnswer)),
)]
pub(crate) async fn quotes(State(api): State<Api>, params: Params) -> Result<Response, Problem> {
    params.only(&["instruments"])?;
    let names = names(params.text("instruments"))?;
    let found = api.gateway.quotes(names);
    Ok(Json(QuotesAnswer::new(&found)).into_response())
}

/// The names of a list with commas.
pub(super) fn names(text: Option<&str>) -> Result<Vec<&str>, Problem> {
    let problem = |code, detail: String| Err(Problem::new(code, detail).field("instruments"));
    let Some(text) = text else {
        return problem(
            Code::MissingField,
            "the parameter instruments is missing".into(),
        );
    };
    let names: Vec<&str> = text.split(',').map(str::trim).collect();
    if names.len() > INSTRUMENT_LIMIT {
        let given = names.len();
        let detail =
            format!("instruments: {given} are given; 1 to {INSTRUMENT_LIMIT} are accepted");
        return problem(Code::InvalidValue, detail);
    }
    if let Some(at) = names.iter().position(|name| name.is_empty()) {
        let detail = format!("instruments: the name number {} is empty", at + 1);
        return problem(Code::InvalidValue, detail);
    }
    Ok(names)
}
