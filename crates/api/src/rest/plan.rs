//! What requests would take.

use core::slice;

use axum::Json;
use axum::extract::State;
use strikewire_gateway::{DryRun, ItemRequest, List};

use super::{Answer, item_request};
use crate::extract::{self, Body};
use crate::model::{AddRequest, PlanRequest};
use crate::{Api, Code, Problem};

/// Requests that are planned together at most.
const REQUEST_LIMIT: usize = 1000;

/// Bytes of a body with that many requests, each with all fields.
pub(crate) const BODY_LIMIT: usize = 512 * 1024;

pub(crate) async fn plan(State(api): State<Api>, Body(body): Body<PlanRequest>) -> Answer<DryRun> {
    let requests = requests(body)?;
    match api.gateway.plan(&requests).await {
        Ok(run) => Ok(Json(run)),
        Err(error) => Err(blame(&api, &requests, error.into()).await),
    }
}

pub(super) fn requests(body: PlanRequest) -> Result<Vec<ItemRequest>, Problem> {
    let given = body.requests.len();
    if !(1..=REQUEST_LIMIT).contains(&given) {
        let detail = format!("requests: {given} are given; 1 to {REQUEST_LIMIT} are accepted");
        return Err(Problem::new(Code::InvalidValue, detail).field("requests"));
    }
    body.requests
        .into_iter()
        .enumerate()
        .map(|(at, value)| {
            extract::fields::<AddRequest>(value)
                .and_then(|add| item_request(&add, List::Watchlist))
                .map_err(|problem| problem.within(&part(at)))
        })
        .collect()
}

fn part(at: usize) -> String {
    format!("requests[{at}]")
}

/// The problem, and which request it is about: the first that fails alone.
async fn blame(api: &Api, requests: &[ItemRequest], problem: Problem) -> Problem {
    if problem.field.is_none() {
        return problem;
    }
    for (at, request) in requests.iter().enumerate() {
        if let Err(error) = api.gateway.plan(slice::from_ref(request)).await {
            return Problem::from(error).within(&part(at));
        }
    }
    problem
}
