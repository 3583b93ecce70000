//! What concerns the broker's feed as a whole: the account, its credentials, attempts
//! that are held back.

use core::time::Duration;

use strikewire_broker::Notice;
use strikewire_calendar::{Calendar, Class};
use strikewire_types::{Now, Utc, ist_date};

use super::Owner;
use crate::Reason;
use crate::status::HeldView;

/// How long before they end credentials are spoken of.
const EXPIRY_WARNING: Duration = Duration::from_secs(60 * 60);

/// What the driver said of the feed.
#[derive(Debug, Default)]
pub(super) struct Feed {
    /// Since when others use up the account's connections.
    contended: Option<Utc>,
    /// Since when the account is turned away, and why.
    turned_away: Option<(Utc, String)>,
    /// Since when there are no usable credentials, and why.
    no_credentials: Option<(Utc, String)>,
    /// When the credentials in use end, where they say so.
    expires_at: Option<Utc>,
    /// Whether that was spoken of.
    warned: bool,
    /// No attempt is made: since when, until when, and why.
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    since: Utc,
    until: Utc,
    reason: String,
}

impl Feed {
    /// A connection is up: what was wrong with the account is so no more.
    pub(super) fn is_up(&mut self) {
        self.turned_away = None;
        self.no_credentials = None;
    }

    pub(super) const fn contended(&self) -> bool {
        self.contended.is_some()
    }

    pub(super) const fn expires_at(&self) -> Option<Utc> {
        self.expires_at
    }

    pub(super) fn held(&self, now: Now) -> Option<HeldView> {
        let held = self.held.as_ref().filter(|held| held.until > now.utc)?;
        Some(HeldView {
            until: held.until,
            reason: held.reason.clone(),
        })
    }

    /// What there is to say. `all_up`: every connection lives, so that nothing waits.
    pub(super) fn reasons(&self, now: Now, all_up: bool, reasons: &mut Vec<Reason>) {
        if let Some(since) = self.contended {
            reasons.push(Reason {
                code: "account_contended",
                detail: "others use up the account's connections; one connection at a time is \
                         tried until they stop"
                    .into(),
                since,
            });
        }
        if let Some((since, why)) = &self.turned_away {
            reasons.push(Reason {
                code: "account_turned_away",
                detail: why.clone(),
                since: *since,
            });
        }
        if let Some((since, why)) = &self.no_credentials {
            reasons.push(Reason {
                code: "token_refused",
                detail: why.clone(),
                since: *since,
            });
        }
        if let Some(at) = self.expires_at {
            if at <= now.utc {
                reasons.push(Reason {
                    code: "token_expired",
                    detail: format!("the token expired at {at}; a new one is read from its file"),
                    since: at,
                });
            } else if at.since(now.utc) <= EXPIRY_WARNING {
                reasons.push(Reason {
                    code: "token_expiring",
                    detail: format!("the token expires at {at}"),
                    since: at - EXPIRY_WARNING,
                });
            }
        }
        if let Some(held) = self
            .held
            .as_ref()
            .filter(|held| held.until > now.utc && !all_up)
        {
            reasons.push(Reason {
                code: "connects_held",
                detail: format!(
                    "no connection is tried before {}: {}",
                    held.until, held.reason
                ),
                since: held.since,
            });
        }
    }
}

/// When the last session of the day ends, if there is one today that has not ended.
fn last_close_today(calendar: &Calendar, now: Now) -> Option<Utc> {
    Class::ALL
        .into_iter()
        .filter_map(|class| calendar.next_end_of_day(class, now.utc))
        .filter(|(date, _)| *date == ist_date(now.utc))
        .map(|(_, close)| close)
        .max()
}

impl Owner {
    /// Takes note of what the driver says of the feed.
    pub(super) fn handle_notice(&mut self, now: Now, notice: Notice) {
        // What the driver measures in real time is told in the time of the clock.
        let after = |wait: Duration| now.utc + wait.mul_f64(self.speed);
        let feed = &mut self.feed;
        match notice {
            Notice::Contended(true) => {
                tracing::error!(
                    "Others use up the account's connections; one connection at a time is tried"
                );
                feed.contended.get_or_insert(now.utc);
            }
            Notice::Contended(false) => {
                tracing::info!("The account's connections are free again");
                feed.contended = None;
            }
            Notice::Credentials { expires_in } => {
                feed.no_credentials = None;
                feed.warned = false;
                feed.expires_at = expires_in.map(after);
                if let Some(at) = feed.expires_at {
                    metrics::gauge!("strikewire_token_expiry_timestamp_seconds")
                        .set(at.as_seconds() as f64);
                    match last_close_today(&self.calendar, now) {
                        Some(close) if at < close => tracing::warn!(
                            expires_at = %at, last_close = %close,
                            "The token ends before the last session of the day"
                        ),
                        _ => tracing::info!(expires_at = %at, "Token read"),
                    }
                }
            }
            Notice::NoCredentials(why) => {
                tracing::error!(%why, "There is no token that the broker takes");
                let since = feed.no_credentials.as_ref().map_or(now.utc, |(at, _)| *at);
                feed.no_credentials = Some((since, why));
            }
            Notice::TurnedAway(why) => {
                tracing::error!(%why, "The broker turns the account away");
                let since = feed.turned_away.as_ref().map_or(now.utc, |(at, _)| *at);
                feed.turned_away = Some((since, why));
            }
            Notice::Held { wait, .. } if wait.is_zero() => feed.held = None,
            Notice::Held { wait, reason } => {
                tracing::warn!(?wait, %reason, "No connection is tried for a while");
                feed.held = Some(Held {
                    since: feed.held.as_ref().map_or(now.utc, |held| held.since),
                    until: after(wait),
                    reason,
                });
            }
            // Kinds that are yet to come.
            _ => {}
        }
        self.publish_readiness(now);
    }

    /// Speaks once of a token that ends soon.
    pub(super) fn watch_token(&mut self, now: Now) {
        let Some(at) = self.feed.expires_at else {
            return;
        };
        if !self.feed.warned && at.since(now.utc) <= EXPIRY_WARNING {
            self.feed.warned = true;
            tracing::warn!(expires_at = %at, "The token ends within the hour");
        }
    }
}
