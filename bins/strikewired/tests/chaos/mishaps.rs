//! What goes wrong.

use std::time::Duration;

use rand::prelude::*;
use strikewire_dhan_sim::faults::{Fault, Incident, Sockets};
use strikewire_types::{Mono, Segment};

use crate::world::{What, World};

/// What follows from something that went wrong.
#[derive(Debug)]
pub(crate) enum Mishap {
    /// The fault is over; what was done on these connections is undone by losing them.
    Lose(Sockets),
    /// The market is open again.
    Open,
    /// The file has another token, which the broker takes.
    NewToken(String),
    /// The file has the token that the broker takes already.
    TokenFile(String),
}

impl World {
    /// Time that a fault may last, at most until it is quiet.
    fn a_while(&mut self) -> Duration {
        let left = self.troubled_until.since(self.now.mono);
        self.between(1_000, 30_000).min(left)
    }

    fn some_sockets(&mut self) -> Sockets {
        match self.rng.random_range(0..4) {
            0 => Sockets::All,
            _ => Sockets::Random(self.rng.random_range(1..=self.setting.connections)),
        }
    }

    pub(crate) fn something_goes_wrong(&mut self) {
        match self.rng.random_range(0..42) {
            0..3 => self.strike_some(Fault::Reset),
            3 => {
                self.seen.all_at_once += 1;
                self.strike(Fault::Reset.on(Sockets::All));
            }
            4 => self.strike_some(Fault::Close {
                code: 1001,
                reason: "maintenance".to_owned(),
            }),
            5..8 => {
                let codes = [800, 800, 805, 807, 808, 814];
                let code = *codes.choose(&mut self.rng).expect("there are some");
                self.desk.slandered |= code == 814;
                self.strike_some(Fault::Disconnect { code });
            }
            8 => self.turn_away(),
            9 => {
                let connections = self.rng.random_range(1..=self.setting.connections);
                let lasts = self.a_while();
                let displace = Fault::Displace { connections };
                self.strike(displace.lasting(lasts));
            }
            10..14 => {
                let status = [429, 429, 401, 503][self.rng.random_range(0..4)];
                let seconds = self.rng.random_range(1..120);
                let retry_after = self.rng.random::<bool>();
                let retry_after = retry_after.then_some(Duration::from_secs(seconds));
                let lasts = self.a_while();
                self.strike_account(
                    Fault::Refuse {
                        status,
                        retry_after,
                    }
                    .lasting(lasts),
                );
                // Without somebody who connects nothing comes of it.
                self.strike_some(Fault::Reset);
            }
            14 => {
                let lasts = self.a_while();
                self.strike_account(Fault::Hang.lasting(lasts));
                self.strike_some(Fault::Reset);
            }
            15..17 => {
                let lasts = self.a_while();
                self.seen.connect_failed += 1;
                self.note(|| format!("fault: unreachable for {lasts:?}"));
                self.client.unreachable_until = self.now.mono + lasts;
                self.strike_some(Fault::Reset);
            }
            17 => self.strike_until_limits_run_out(Fault::Mute),
            18 => self.strike_until_limits_run_out(Fault::Stall),
            19 => self.strike_for_a_while(Fault::Deaf),
            20 => {
                let lasts = self.a_while();
                self.desk.market_is_open = false;
                self.set_expectations();
                self.strike(Fault::OutOfHours.on(Sockets::All).lasting(lasts));
                self.after(lasts, What::Mishap(Mishap::Open));
            }
            21..25 => {
                let share = self.rng.random_range(0.1..1.0);
                self.strike_for_a_while(Fault::DropSubscriptions { share });
            }
            25 => {
                // What stays on the wire so goes with the connection only.
                let lasts = self.a_while();
                let ignores = Fault::IgnoreUnsubscribe.on(Sockets::All);
                self.strike(ignores.lasting(lasts));
                self.after(lasts, What::Mishap(Mishap::Lose(Sockets::All)));
            }
            26 => {
                let by = self.between(50, 3_000);
                self.strike_for_a_while(Fault::Delay { by });
            }
            27 => self.strike_for_a_while(Fault::Coalesce { packets: 500 }),
            28 => self.strike_for_a_while(Fault::Split { bytes: 7 }),
            29..31 => {
                let frames_per_s = self.rng.random_range(1..20);
                self.strike_for_a_while(Fault::Zeros { frames_per_s });
            }
            31 => {
                let frames_per_s = self.rng.random_range(1..20);
                self.strike_for_a_while(Fault::Garbage { frames_per_s });
            }
            32 => self.strike_for_a_while(Fault::Unknown {
                code: 41,
                length: 60,
            }),
            33 => self.strike_some(Fault::MarketStatus {
                segment: Segment::NseFno,
                state: 1,
            }),
            34 => {
                let bytes_per_s = [20, 20, 50, 200][self.rng.random_range(0..4)];
                self.strike_until_limits_run_out(Fault::SlowReader { bytes_per_s });
            }
            35 => self.strike_for_a_while(Fault::ClockSkew { seconds: -30 }),
            36..38 => self.expire_token(),
            38..40 => self.roll_token(),
            // Garbage alone, as of a broker that has gone mad.
            40 => {
                let lasts = self.a_while();
                self.strike(Fault::Stall.on(Sockets::All).lasting(lasts));
                let zeros = Fault::Zeros { frames_per_s: 5 };
                self.strike(zeros.on(Sockets::All).lasting(lasts));
            }
            _ => self.restart(),
        }
    }

    fn strike_some(&mut self, fault: Fault) {
        let sockets = self.some_sockets();
        self.strike(fault.on(sockets));
    }

    fn strike_for_a_while(&mut self, fault: Fault) {
        let (sockets, lasts) = (self.some_sockets(), self.a_while());
        self.strike(fault.on(sockets).lasting(lasts));
    }

    /// Longer than any limit, and nothing else goes wrong meanwhile.
    fn strike_until_limits_run_out(&mut self, fault: Fault) {
        let (sockets, lasts) = (self.some_sockets(), self.between(42_000, 60_000));
        self.left_alone = lasts;
        self.strike(fault.on(sockets).lasting(lasts));
    }

    fn strike(&mut self, incident: Incident) {
        let fault = incident.fault.clone();
        if self.strike_account(incident) > 0 {
            self.count_fault(&fault);
        }
    }

    /// Faults of the account are counted when somebody is hit by them.
    fn strike_account(&mut self, incident: Incident) -> usize {
        self.note(|| format!("fault: {incident:?}"));
        let struck = self.broker.core.inject(self.now, incident);
        self.flush_broker();
        struck
    }

    fn count_fault(&mut self, fault: &Fault) {
        let seen = &mut self.seen;
        *match fault {
            Fault::Reset => &mut seen.reset,
            Fault::Close { .. } => &mut seen.close,
            Fault::Disconnect { .. } => &mut seen.disconnect,
            Fault::Displace { .. } => &mut seen.displace,
            Fault::Mute => &mut seen.mute,
            Fault::Stall => &mut seen.stall,
            Fault::OutOfHours => &mut seen.out_of_hours,
            Fault::Deaf => &mut seen.deaf,
            Fault::DropSubscriptions { .. } => &mut seen.drop_subscriptions,
            Fault::IgnoreUnsubscribe => &mut seen.ignore_unsubscribe,
            Fault::Delay { .. } => &mut seen.delay,
            Fault::Coalesce { .. } => &mut seen.coalesce,
            Fault::Split { .. } => &mut seen.split,
            Fault::Zeros { .. } => &mut seen.zeros,
            Fault::Garbage { .. } => &mut seen.garbage,
            Fault::Unknown { .. } => &mut seen.unknown_packets,
            Fault::SlowReader { .. } => &mut seen.slow_reader,
            Fault::ClockSkew { .. } => &mut seen.clock_skew,
            Fault::TokenExpired => &mut seen.token_expired,
            Fault::TokenRollover { .. } => &mut seen.token_rollover,
            // What came of it is counted where it arrives.
            _ => return,
        } += 1;
    }

    fn next_token(&mut self) -> String {
        format!("token-{}", self.rng.random::<u32>())
    }

    /// The broker has enough of the account, until somebody has come to terms with it.
    fn turn_away(&mut self) {
        let code = [806, 810][self.rng.random_range(0..2)];
        self.strike_some(Fault::Disconnect { code });
        let token = self.next_token();
        // Not before it is known.
        let wait = self.a_while().max(Duration::from_secs(8));
        self.after(wait, What::Mishap(Mishap::NewToken(token)));
    }

    /// The token dies, and somebody notices some time later.
    fn expire_token(&mut self) {
        self.strike(Fault::TokenExpired.into());
        self.seen.token_expired += 1;
        let token = self.next_token();
        let wait = self.a_while();
        self.after(wait, What::Mishap(Mishap::NewToken(token)));
    }

    /// There is another token, and the old one lives on for a while or not.
    fn roll_token(&mut self) {
        let token = self.next_token();
        let grace = if self.rng.random() {
            self.a_while()
        } else {
            Duration::ZERO
        };
        let rollover = Fault::TokenRollover {
            token: token.as_str().into(),
            grace,
        };
        self.seen.token_rollover += 1;
        self.broker.token.clone_from(&token);
        self.strike_account(rollover.into());
        let wait = self.a_while().min(Duration::from_secs(10));
        self.after(wait, What::Mishap(Mishap::TokenFile(token)));
    }

    pub(crate) fn mishap_ends(&mut self, mishap: Mishap) {
        self.note(|| format!("fault: {mishap:?}"));
        match mishap {
            Mishap::Lose(sockets) => {
                self.broker.core.inject(self.now, Fault::Reset.on(sockets));
                self.flush_broker();
            }
            Mishap::Open => self.desk.market_is_open = true,
            Mishap::NewToken(token) => {
                let rollover = Fault::TokenRollover {
                    token: token.as_str().into(),
                    grace: Duration::ZERO,
                };
                self.broker.token.clone_from(&token);
                self.broker.core.inject(self.now, rollover);
                self.flush_broker();
                self.client.token_file = token;
            }
            // There may be a later one by now.
            Mishap::TokenFile(token) if token != self.broker.token => {}
            Mishap::TokenFile(token) => self.client.token_file = token,
        }
    }

    /// Nothing goes wrong from here on.
    pub(crate) fn end_trouble(&mut self) {
        self.broker.core.clear_faults(self.now);
        self.flush_broker();
        self.client.unreachable_until = Mono::default();
    }
}
