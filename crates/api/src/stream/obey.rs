//! Does what a client asks, one message after the other.

use serde_json::Value;
use strikewire_gateway::leases::Subscriber;
use strikewire_gateway::{Error, IndicatorWant, StreamClient};

use super::action::{self, Action, Heartbeat, Named};
use super::backlog::{Asked, Waiting};
use super::end::End;
use super::meters::METERS;
use super::{Session, answer};
use crate::rest::indicators;
use crate::{Code, Problem};

/// Obeys until nobody asks any more.
pub(super) async fn obey(mut waiting: Waiting, mut client: StreamClient, session: &Session) -> End {
    while let Some((asked, _held)) = waiting.next().await {
        let answer = match asked {
            Asked::Refused(answer) => Some(answer),
            Asked::Text(text) => match act(&mut client, &text, session).await {
                Ok(answer) => answer,
                Err(end) => return last(&client, end).await,
            },
            Asked::End(end) => return last(&client, *end).await,
        };
        if let Some(answer) = answer
            && !client.answer(answer.into())
        {
            return End::Stopping;
        }
    }
    End::Client
}

/// The end, once the answers to all that was asked before are ready to be written.
async fn last(client: &StreamClient, end: End) -> End {
    client.settled().await;
    end
}

/// Does what one message asks; gives what to answer besides what the hub sends itself.
async fn act(
    client: &mut StreamClient,
    text: &str,
    session: &Session,
) -> Result<Option<String>, End> {
    let settings = session.settings();
    let (id, action) = action::parse(text, &settings);
    let done = match action {
        Err(problem) => Err(problem),
        Ok(Action::Auth(auth)) => return known(session, id, &auth.key).await.map(Some),
        Ok(Action::Ticks(request)) => {
            client.allow(settings.subscriptions);
            client
                .subscribe_ticks(&request, |sub, tokens| {
                    answer::ack_ticks(&id, sub, tokens).into()
                })
                .await
                .map(|_| None)
                .map_err(problem)
        }
        Ok(Action::Chain(request)) => {
            client.allow(settings.subscriptions);
            client
                .subscribe_chain(&request, |sub, resumed| {
                    answer::ack_chain(&id, sub, resumed).into()
                })
                .await
                .map(|_| None)
                .map_err(problem)
        }
        Ok(Action::Unsubscribe(sub)) => client
            .unsubscribe(sub, answer::ack(&id, sub).into())
            .await
            .map(|()| None)
            .map_err(problem),
        Ok(Action::Indicators { named, wants }) => {
            client.allow(settings.subscriptions);
            subscribe_indicators(client, &id, &named, &wants, session)
                .await
                .map(|()| None)
        }
        Ok(Action::Ping(heartbeat)) => beat(client, heartbeat, session)
            .await
            .map(|results| Some(answer::pong(&id, results))),
    };
    Ok(done.unwrap_or_else(|problem| Some(answer::error(&id, &problem))))
}

async fn subscribe_indicators(
    client: &mut StreamClient,
    id: &Value,
    named: &Named,
    wants: &[IndicatorWant],
    session: &Session,
) -> Result<(), Problem> {
    let who = subscriber(session, named).await?;
    client
        .subscribe_indicators(&who, wants, |sub, leases| {
            answer::ack_indicators(id, sub, leases).into()
        })
        .await
        .map_err(in_list)?;
    // If the session has ended meanwhile the client is told so after the answer that it has
    // been given: the notice that the indicators are gone.
    let _ = session.api.confirm(&session.caller, &who).await;
    Ok(())
}

/// Takes note that indicators are still wanted, and their sessions with them; whether each
/// is alive.
async fn beat(
    client: &StreamClient,
    heartbeat: Heartbeat,
    session: &Session,
) -> Result<Vec<(IndicatorWant, bool)>, Problem> {
    match heartbeat {
        Heartbeat::These(named, wants) => {
            let who = subscriber(session, &named).await?;
            let alive = client.heartbeat(&who, &wants).await?;
            Ok(wants.into_iter().zip(alive).collect())
        }
        Heartbeat::Socket(named) => {
            if let Some(named) = named {
                subscriber(session, &named).await?;
            }
            for who in client.subscribers().await {
                let used = Named {
                    user: Some(who.user),
                    session: who.session.to_string(),
                };
                // What hangs on one that has ended is let go, which the client is told, and
                // is no part of the heartbeat then.
                if subscriber(session, &used).await.is_err() {
                    session.api.let_go(&who).await?;
                }
            }
            Ok(client.heartbeat_all().await)
        }
    }
}

/// For whom indicators are held. Counts as a use of the session.
async fn subscriber(session: &Session, named: &Named) -> Result<Subscriber, Problem> {
    let Session { api, caller, .. } = session;
    api.subscriber(caller, named.user, &named.session).await
}

/// A client that is known already says who it is.
async fn known(session: &Session, id: Value, key: &str) -> Result<String, End> {
    let access = &session.api.access;
    let rates = session.api.settings.load().rates.clone();
    match access.admit_key(Some(key), session.from, &rates).await {
        Ok(caller) if caller.user() == session.caller.user() => Ok(answer::welcome(&id, &caller)),
        Ok(_) => {
            let detail = "this is the key of another user than the socket's";
            let problem = Problem::new(Code::Forbidden, detail).field("key");
            Ok(answer::error(&id, &problem))
        }
        Err(problem) if problem.code == Code::RateLimited => {
            METERS.refused_rate.increment(1);
            Ok(answer::error(&id, &problem))
        }
        Err(problem) => {
            METERS.refused_key.increment(1);
            Err(End::Unauthorized { id, problem })
        }
    }
}

fn problem(error: Error) -> Problem {
    match error {
        Error::TooManySubscriptions { .. } => Problem::new(Code::LimitExceeded, error.to_string()),
        error => error.into(),
    }
}

/// A problem with one of several indicators names its place.
fn in_list(error: Error) -> Problem {
    let place = match &error {
        Error::UnknownTimeframe { at, .. } => Some((*at, "timeframe")),
        Error::UnknownIndicator { at, .. } | Error::IndicatorParameter { at, .. } => {
            Some((*at, "indicator"))
        }
        _ => None,
    };
    let problem = match error {
        Error::TooManySubscriptions { .. } => problem(error),
        error => indicators::problem(error),
    };
    match place {
        Some((at, field)) => problem.field(format!("subscriptions[{at}].{field}")),
        None => problem,
    }
}

#[cfg(test)]
mod tests;
