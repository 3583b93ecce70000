//! Whether a client is alive, and whether it asks too often.

use core::time::Duration;

use tokio::time::Instant;

use crate::settings::Stream as Settings;

/// When a client was heard, and when it has to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pulse {
    heard: Instant,
    /// When it was pinged last; the beginning at first.
    pinged: Instant,
    /// When it was last looked whether it may still be here.
    looked: Instant,
    /// Pings that were not answered yet.
    unanswered: u32,
}

/// What is to be done about a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    /// It has given no sign of life for too long.
    pub(super) idle: bool,
    /// It is to be asked for one.
    pub(super) ping: bool,
    /// It is time to look whether its key still holds.
    pub(super) look: bool,
}

impl Pulse {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            heard: now,
            pinged: now,
            looked: now,
            unanswered: 0,
        }
    }

    /// A ping is on its way.
    pub(super) const fn pinged(&mut self) {
        self.unanswered = self.unanswered.saturating_add(1);
    }

    /// A pong came; whether it answers a ping.
    pub(super) const fn ponged(&mut self) -> bool {
        let asked_for = self.unanswered > 0;
        self.unanswered = self.unanswered.saturating_sub(1);
        asked_for
    }

    /// Something came from the client.
    pub(super) const fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// When something is to be done, should nothing be heard until then.
    pub(super) fn next(&self, settings: &Settings) -> Instant {
        let every = settings.ping_every.max(Duration::from_millis(1));
        let ping = self.heard.max(self.pinged) + every;
        let idle = self.heard + settings.idle_limit;
        ping.min(idle).min(self.looked + every)
    }

    /// What is to be done now.
    pub(super) fn due(&mut self, now: Instant, settings: &Settings) -> Due {
        let every = settings.ping_every;
        let due = Due {
            idle: now >= self.heard + settings.idle_limit,
            ping: now >= self.heard.max(self.pinged) + every,
            look: now >= self.looked + every,
        };
        if due.ping {
            self.pinged = now;
        }
        if due.look {
            self.looked = now;
        }
        due
    }
}

/// Refusals in a row after which a client is let go.
const REFUSALS: u32 = 10;

/// How many messages a client may send: so many at once, and so many a second in the long
/// run.
#[derive(Debug)]
pub(super) struct Bucket {
    /// What it may send now; none until the first message, which finds the bucket full.
    tokens: Option<f64>,
    at: Instant,
    refused: u32,
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Taken,
    Refused,
    /// It was told often enough.
    Flood,
}

impl Bucket {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            tokens: None,
            at: now,
            refused: 0,
        }
    }

    /// One message. Rates may differ from one to the next.
    pub(super) fn take(&mut self, now: Instant, settings: &Settings) -> Verdict {
        let burst = f64::from(settings.message_burst.max(1));
        let gained = now.duration_since(self.at).as_secs_f64() * f64::from(settings.messages_per_s);
        let tokens = self.tokens.map_or(burst, |left| (left + gained).min(burst));
        self.at = now;
        if tokens >= 1.0 {
            self.tokens = Some(tokens - 1.0);
            self.refused = 0;
            return Verdict::Taken;
        }
        self.tokens = Some(tokens);
        self.refused += 1;
        if self.refused < REFUSALS {
            Verdict::Refused
        } else {
            Verdict::Flood
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            ping_every: Duration::from_secs(20),
            idle_limit: Duration::from_secs(60),
            messages_per_s: 2,
            message_burst: 4,
            ..Settings::default()
        }
    }

    const NOTHING: Due = Due {
        idle: false,
        ping: false,
        look: false,
    };

    #[test]
    fn a_silent_client_is_pinged_and_then_let_go() {
        let settings = settings();
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let mut pulse = Pulse::new(begin);
        let mut said = Vec::new();
        for second in 1..=60 {
            let due = pulse.due(at(second), &settings);
            if due != NOTHING {
                said.push((second, due.ping, due.look, due.idle));
            }
        }
        assert_eq!(
            said,
            [
                (20, true, true, false),
                (40, true, true, false),
                (60, true, true, true),
            ]
        );
    }

    #[test]
    fn a_client_that_is_heard_is_looked_at_only() {
        let settings = settings();
        let begin = Instant::now();
        let mut pulse = Pulse::new(begin);
        let mut looks = 0;
        for second in 1..=120 {
            let now = begin + Duration::from_secs(second);
            pulse.heard(now);
            let due = pulse.due(now, &settings);
            assert!(!due.ping && !due.idle);
            looks += u32::from(due.look);
        }
        assert_eq!(looks, 6);
    }

    #[test]
    fn the_next_time_is_the_time_at_which_something_is_due() {
        let settings = settings();
        let begin = Instant::now();
        let mut pulse = Pulse::new(begin);
        let mut times = Vec::new();
        // Heard once, after 7 s.
        pulse.heard(begin + Duration::from_secs(7));
        loop {
            let now = pulse.next(&settings);
            let before = pulse;
            assert_eq!(
                { before }.due(now - Duration::from_nanos(1), &settings),
                NOTHING
            );
            let due = pulse.due(now, &settings);
            assert_ne!(due, NOTHING);
            times.push((now - begin).as_secs());
            if due.idle {
                break;
            }
        }
        // Looks at 20, 40, 60; pings at 27, 47, 67, where it ends.
        assert_eq!(times, [20, 27, 40, 47, 60, 67]);
    }

    #[test]
    fn there_is_one_pong_to_a_ping() {
        let mut pulse = Pulse::new(Instant::now());
        assert!(!pulse.ponged());
        pulse.pinged();
        pulse.pinged();
        assert!(pulse.ponged() && pulse.ponged());
        assert!(!pulse.ponged() && !pulse.ponged());
        pulse.pinged();
        assert!(pulse.ponged());
    }

    #[test]
    fn so_many_at_once_and_then_so_many_a_second() {
        let settings = settings();
        let begin = Instant::now();
        let mut bucket = Bucket::new(begin);
        // A long silence earns no more than a burst.
        let now = begin + Duration::from_secs(100);
        let taken = (0..20)
            .take_while(|_| bucket.take(now, &settings) == Verdict::Taken)
            .count();
        assert_eq!(taken, 4);
        let half = now + Duration::from_millis(500);
        assert_eq!(bucket.take(half, &settings), Verdict::Taken);
        for _ in 1..REFUSALS {
            assert_eq!(bucket.take(half, &settings), Verdict::Refused);
        }
        assert_eq!(bucket.take(half, &settings), Verdict::Flood);
        // One that is taken begins the row anew.
        let later = half + Duration::from_secs(1);
        let mut bucket = Bucket::new(begin);
        for _ in 0..4 {
            assert_eq!(bucket.take(half, &settings), Verdict::Taken);
        }
        for _ in 0..REFUSALS - 1 {
            assert_eq!(bucket.take(half, &settings), Verdict::Refused);
        }
        assert_eq!(bucket.take(later, &settings), Verdict::Taken);
        assert_eq!(bucket.take(later, &settings), Verdict::Taken);
        assert_eq!(bucket.take(later, &settings), Verdict::Refused);
    }
}
