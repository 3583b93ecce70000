//! Does what a client asks, one message after the other.

use serde_json::Value;
use strikewire_gateway::{Error, StreamClient};

use super::action::{self, Action};
use super::backlog::{Asked, Waiting};
use super::end::End;
use super::meters::METERS;
use super::{Session, answer};
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
        Ok(Action::Ping {
            session: named,
            indicators,
        }) => touch(session, named.as_deref()).map(|()| Some(answer::pong(&id, &indicators))),
    };
    Ok(done.unwrap_or_else(|problem| Some(answer::error(&id, &problem))))
}

/// Counts as a use of the session that a heartbeat names.
fn touch(session: &Session, named: Option<&str>) -> Result<(), Problem> {
    let Some(named) = named else {
        return Ok(());
    };
    let (caller, sessions) = (&session.caller, session.api.access.sessions());
    let owner = sessions
        .user_of(named)
        .filter(|owner| caller.may_touch(*owner));
    // Without keys a session need not have begun here.
    let Some(user) = owner.or(caller.user()) else {
        return Ok(());
    };
    let now = session.api.gateway.clock().now().mono;
    let idle = session.api.settings.load().http.session_idle;
    let touched = sessions.touch(named, user, now, idle);
    match caller.user() {
        Some(_) => touched,
        None => Ok(()),
    }
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
