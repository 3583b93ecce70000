//! What requests would take.

use axum::Json;
use axum::extract::State;
use strikewire_gateway::{ItemRequest, List};

use super::{Answer, item_request};
use crate::extract::{self, Body};
use crate::model::{AddRequest, PlanAnswer, PlanRequest};
use crate::{Api, Caller, Code, Problem};

/// Requests that are planned together at most.
const REQUEST_LIMIT: usize = 1000;

/// Bytes of a body with that many requests, each with all fields.
pub(crate) const BODY_LIMIT: usize = 512 * 1024;

/// What requests would take
///
/// Together, as if they were added to watchlists, and whose claims would go for them.
/// Changes nothing.
#[utoipa::path(
    post,
    path = "/api/v2/plan",
    tag = "watchlist",
    operation_id = "plan",
    request_body = PlanRequest,
    responses((status = 200, description = "Whether they fit, and how.", body = PlanAnswer)),
)]
pub(crate) async fn plan(
    State(api): State<Api>,
    caller: Caller,
    Body(body): Body<PlanRequest>,
) -> Answer<PlanAnswer> {
    let requests = requests(&caller, body)?;
    let may_see = |user: Option<u64>| match user {
        Some(user) => caller.may_touch(user),
        None => caller.admin().is_ok(),
    };
    match api.gateway.plan(&requests).await {
        Ok(run) => Ok(Json(PlanAnswer::new(run, may_see))),
        Err(failed) => {
            let problem = Problem::from(failed.error);
            Err(match failed.request {
                Some(at) => problem.within(&part(at)),
                None => problem,
            })
        }
    }
}

pub(super) fn requests(caller: &Caller, body: PlanRequest) -> Result<Vec<ItemRequest>, Problem> {
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
                .and_then(|add| item_request(caller, add, List::Watchlist))
                .map_err(|problem| problem.within(&part(at)))
        })
        .collect()
}

fn part(at: usize) -> String {
    format!("requests[{at}]")
}
