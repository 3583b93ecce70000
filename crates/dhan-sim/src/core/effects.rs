//! Lasting faults, and what a connection does because of them.

use core::mem::discriminant;
use core::time::Duration;

use strikewire_types::Mono;

use super::Transport;
use crate::faults::{Fault, MAX_COALESCED, MAX_NOISE};

/// Lasting faults, one of a kind at most.
#[derive(Debug, Clone, Default)]
pub(super) struct Effects(Vec<Effect>);

#[derive(Debug, Clone)]
struct Effect {
    fault: Fault,
    /// For good when absent.
    until: Option<Mono>,
}

impl Effects {
    /// Adds a fault, or replaces the one of its kind.
    pub(super) fn add(&mut self, fault: Fault, until: Option<Mono>) {
        let kind = discriminant(&fault);
        self.0.retain(|effect| discriminant(&effect.fault) != kind);
        self.0.push(Effect { fault, until });
    }

    /// Drops what is over; whether anything was.
    pub(super) fn expire(&mut self, now: Mono) -> bool {
        let before = self.0.len();
        self.0
            .retain(|effect| effect.until.is_none_or(|until| now < until));
        self.0.len() < before
    }

    /// Ends everything.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// When the next one is over.
    pub(super) fn next_end(&self) -> Option<Mono> {
        self.0.iter().filter_map(|effect| effect.until).min()
    }

    pub(super) fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter().map(|effect| &effect.fault)
    }

    /// All of them together.
    pub(super) fn behaviour(&self) -> Behaviour {
        let mut all = Behaviour::default();
        for fault in self.faults() {
            match *fault {
                Fault::Mute => all.transport.muted = true,
                Fault::Stall => all.stalled = true,
                Fault::OutOfHours => all.out_of_hours = true,
                Fault::Deaf => all.transport.deaf = true,
                Fault::DropSubscriptions { share } => {
                    all.lost = if share.is_nan() {
                        0.0
                    } else {
                        share.clamp(0.0, 1.0)
                    };
                }
                Fault::IgnoreUnsubscribe => all.keeps = true,
                Fault::Delay { by } => all.delay = by,
                Fault::Coalesce { packets } => {
                    all.packets_per_frame = Some(packets.clamp(1, MAX_COALESCED));
                }
                Fault::Split { bytes } => all.transport.split = Some(bytes.max(1)),
                Fault::Zeros { frames_per_s } => all.zeros = frames_per_s.min(MAX_NOISE),
                Fault::Garbage { frames_per_s } => all.garbage = frames_per_s.min(MAX_NOISE),
                Fault::Unknown { code, length } => {
                    all.unknown = Some((code, length.clamp(8, 1_000)));
                }
                Fault::SlowReader { bytes_per_s } => {
                    all.transport.bytes_per_s = Some(bytes_per_s.max(20));
                }
                Fault::ClockSkew { seconds } => all.skew = seconds,
                // Over at once, or of the account.
                _ => {}
            }
        }
        all
    }
}

/// What a connection does other than it should.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Behaviour {
    pub(super) transport: Transport,
    pub(super) stalled: bool,
    pub(super) out_of_hours: bool,
    /// The share of the instruments of subscribe messages that is lost.
    pub(super) lost: f64,
    /// Whether unsubscribe messages are lost.
    pub(super) keeps: bool,
    pub(super) delay: Duration,
    pub(super) packets_per_frame: Option<usize>,
    pub(super) zeros: u32,
    pub(super) garbage: u32,
    /// Code and length of packets between the good ones.
    pub(super) unknown: Option<(u8, u16)>,
    /// Seconds added to times in packets.
    pub(super) skew: i64,
}

impl Behaviour {
    /// Whether not even a goodbye is sent.
    pub(super) const fn is_silent(&self) -> bool {
        self.transport.muted || self.transport.deaf
    }
}
