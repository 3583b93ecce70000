use core::time::Duration;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use strikewire_dhan::wire::Reason;
use strikewire_registry::Registry;
use strikewire_types::Now;

use super::faults::{Faults, RestCounters};
use super::limits::{Family, Limits};
use super::quotes::Detail;
use super::request::{Answer, Failure, Request};
use super::untraded::Untraded;
use super::{chain, charts, master, quotes};
use crate::core::Core;

/// What the REST side remembers: limits, faults and counters.
#[derive(Debug, Default)]
pub struct State {
    pub(super) limits: Limits,
    pub(super) faults: Faults,
    pub(super) untraded: Untraded,
    pub(super) master: Master,
    pub(super) counters: RestCounters,
}

/// A path that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Quotes(Detail),
    Chain,
    Expiries,
    Charts { intraday: bool },
    Master,
}

impl Call {
    fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/v2/marketfeed/ltp" => Self::Quotes(Detail::Ltp),
            "/v2/marketfeed/ohlc" => Self::Quotes(Detail::Ohlc),
            "/v2/marketfeed/quote" => Self::Quotes(Detail::Quote),
            "/v2/optionchain" => Self::Chain,
            "/v2/optionchain/expirylist" => Self::Expiries,
            "/v2/charts/intraday" => Self::Charts { intraday: true },
            "/v2/charts/historical" => Self::Charts { intraday: false },
            // The real one lies in a folder of another server.
            "/api-scrip-master.csv" | "/api-data/api-scrip-master.csv" => Self::Master,
            _ => return None,
        })
    }

    const fn method(self) -> &'static str {
        match self {
            Self::Master => "GET",
            _ => "POST",
        }
    }
}

impl State {
    /// Answers a request. `now` is the time of the market, `at` the real time that has
    /// passed since the stand-in was started, which never goes back.
    pub fn answer(
        &mut self,
        core: &mut Core,
        now: Now,
        at: Duration,
        request: &Request<'_>,
    ) -> Answer {
        let call = Call::of(request.path);
        let path = call.map_or("other", |_| request.path);
        match self.counters.calls.get_mut(path) {
            Some(calls) => *calls += 1,
            None => {
                self.counters.calls.insert(path.to_owned(), 1);
            }
        }
        let largest = &mut self.counters.largest_body;
        *largest = (*largest).max(request.body.len());
        let (struck, delay) = self.faults.strike(request);
        // What was injected for this call goes before what the script says of all.
        let struck = struck.or_else(|| core.rest_error(now).map(Answer::trouble));
        if struck.is_some() || !delay.is_zero() {
            self.counters.faulted += 1;
        }
        let mut answer = struck.unwrap_or_else(|| {
            self.respond(core, now, at, call, request)
                .unwrap_or_else(|failure| {
                    let is_limit = matches!(failure, Failure::TooOften | Failure::Blocked);
                    self.counters.limited += u64::from(is_limit);
                    failure.answer()
                })
        });
        answer.delay = delay;
        self.counters.failed += u64::from(answer.status != 200);
        answer
    }

    fn respond(
        &mut self,
        core: &mut Core,
        now: Now,
        at: Duration,
        call: Option<Call>,
        request: &Request<'_>,
    ) -> Result<Answer, Failure> {
        let call = call.ok_or(Failure::NoSuchCall)?;
        if request.method != call.method() {
            return Err(Failure::WrongMethod);
        }
        if call == Call::Master {
            return Ok(self.master.answer(core.market().registry()));
        }
        check(core, now, call, request)?;
        let body = request.body;
        let market = core.market();
        market.advance(now);
        match call {
            Call::Quotes(detail) => {
                self.limits.pass(at, Family::Quote)?;
                let question = quotes::Question::parse(body)?;
                let most = &mut self.counters.most_instruments;
                *most = (*most).max(question.instruments);
                question.answer(detail, market, &self.untraded)
            }
            Call::Chain => {
                let question = chain::Question::parse(body)?;
                let family = Family::Chain(question.underlying, question.expiry()?);
                self.limits.pass(at, family)?;
                question.chain(market, &self.untraded)
            }
            Call::Expiries => {
                self.limits.pass(at, Family::Data)?;
                chain::Question::parse(body)?.expiries(market)
            }
            Call::Charts { intraday } => {
                self.limits.pass(at, Family::Data)?;
                charts::Question::parse(body, intraday)?.answer(market)
            }
            Call::Master => Err(Failure::NoSuchCall),
        }
    }
}

/// Quotes and chains want both headers, charts the token only.
fn check(core: &mut Core, now: Now, call: Call, request: &Request<'_>) -> Result<(), Failure> {
    let token = request.access_token.unwrap_or_default();
    let client = request.client_id.unwrap_or_default();
    let is_charts = matches!(call, Call::Charts { .. });
    if token.is_empty() || (client.is_empty() && !is_charts) {
        return Err(Failure::NoCredentials);
    }
    core.check_credentials(now, client, token)
        .map_err(|reason| match reason {
            Reason::TokenExpired | Reason::AuthenticationFailed => Failure::NoCredentials,
            Reason::ClientIdInvalid => Failure::BadClient,
            _ => Failure::BadToken,
        })
}

/// The file of instruments.
#[derive(Debug, Default)]
pub(super) struct Master {
    given: Option<Bytes>,
    /// The last registry that was written, and what came of it.
    written: Option<(Weak<Registry>, Bytes)>,
}

impl Master {
    pub(super) fn set(&mut self, file: Option<Bytes>) {
        self.given = file;
    }

    fn answer(&mut self, registry: &Arc<Registry>) -> Answer {
        let file = match &self.given {
            Some(file) => file.clone(),
            None => self.write(registry),
        };
        let mut answer = Answer::new(200, "text/csv", file);
        let day = registry.as_of();
        answer.last_modified = Some(day.strftime("%a, %d %b %Y 02:30:00 GMT").to_string());
        answer
    }

    fn write(&mut self, registry: &Arc<Registry>) -> Bytes {
        let known = self.written.as_ref().filter(|(held, _)| {
            held.upgrade()
                .is_some_and(|held| Arc::ptr_eq(&held, registry))
        });
        if let Some((_, file)) = known {
            return file.clone();
        }
        let file = Bytes::from(master::compact(registry));
        self.written = Some((Arc::downgrade(registry), file.clone()));
        file
    }
}
