use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil::Date;
use strikewire_calendar::{Calendar, Class, Phase};
use strikewire_store::{Action, Change, List};
use strikewire_types::{Now, Tier, Utc, ist_date};

use super::items::Item;
use super::records::Cause;
use super::{Owner, chains};
use crate::item::Holding;

/// What a class's next open is preceded by: suspended claims go on the wire again.
const RESUME_BEFORE: Duration = Duration::from_secs(15 * 60);

/// When nothing is due, the calendar is asked again after this long all the same.
const LOOK_EVERY: Duration = Duration::from_secs(3_600);

/// Where the trading day stands, class by class.
#[derive(Debug, Default)]
pub(super) struct Day {
    /// The latest day whose end was run.
    ended: BTreeMap<Class, Date>,
    /// The latest day whose open the chains were centred for.
    centred: BTreeMap<Class, Date>,
    /// Classes whose market was open when it was last looked at.
    open: BTreeSet<Class>,
    /// When it was last looked at, and when something is due.
    looked: Utc,
    next: Utc,
}

impl Day {
    /// Ends of day that were run before a restart.
    pub(super) fn resume(&mut self, ended: BTreeMap<Class, Date>) {
        self.ended = ended;
    }

    /// The ends of day that have passed and were not run, or that `left` something: a
    /// clock that once was ahead ran ends of days that were yet to come. Of several days
    /// of a class the last one does for all.
    pub(super) fn due(
        &self,
        calendar: &Calendar,
        now: Now,
        left: impl Fn(Class, Date) -> bool,
    ) -> Vec<(Class, Date)> {
        Class::ALL
            .into_iter()
            .filter_map(|class| {
                let (day, _) = calendar.last_end_of_day(class, now.utc)?;
                let ran = self.ended.get(&class).is_some_and(|ended| *ended >= day);
                (!ran || left(class, day)).then_some((class, day))
            })
            .collect()
    }
}

impl Item {
    /// Whether the end of `day` of `class` clears it.
    pub(super) fn is_cleared_by(&self, class: Class, day: Date) -> bool {
        self.class == class && self.spec.tier == Tier::A && self.trading_day <= day
    }
}

impl Owner {
    /// Does what the calendar asks for at this time, once each.
    pub(super) fn keep_day(&mut self, now: Now) {
        // A clock that was set back is looked at anew, too.
        if (self.day.looked..self.day.next).contains(&now.utc) {
            return;
        }
        let left = |class, day| {
            let mut items = self.items.iter();
            items.any(|item| item.is_cleared_by(class, day))
        };
        for (class, day) in self.day.due(&self.calendar, now, left) {
            self.end_of_day(now, class, day);
        }
        for class in Class::ALL {
            let is_open = self.calendar.phase(class, now.utc).phase != Phase::Closed;
            let was_open = if is_open {
                !self.day.open.insert(class)
            } else {
                self.day.open.remove(&class)
            };
            if was_open && !is_open {
                self.suspend_streams(now, class);
                self.let_go_of_expired(now);
            }
            if self.has_suspended(class) && (is_open || self.opens_soon(now, class)) {
                self.resume_streams(now, class);
            }
            self.keep_indicators(now, class);
            self.centre_before_open(now, class);
        }
        self.day.looked = now.utc;
        self.day.next = self.next_in_day(now);
    }

    /// When the calendar has something next.
    fn next_in_day(&self, now: Now) -> Utc {
        let mut next = now.utc + LOOK_EVERY;
        let mut at = |time: Utc| {
            if time > now.utc {
                next = next.min(time);
            }
        };
        for class in Class::ALL {
            if let Some(change) = self.calendar.phase(class, now.utc).until {
                at(change);
            }
            if let Some((_, end)) = self.calendar.next_end_of_day(class, now.utc) {
                at(end);
            }
            if let Some(leave) = self.indicators_leave(now, class) {
                at(leave);
            }
            if let Some(open) = self.calendar.next_open(class, now.utc) {
                at(open - RESUME_BEFORE);
                at(open - self.config.pre_open_lead);
            }
        }
        next
    }

    pub(super) fn opens_soon(&self, now: Now, class: Class) -> bool {
        self.calendar
            .next_open(class, now.utc)
            .is_some_and(|open| open - RESUME_BEFORE <= now.utc)
    }

    /// Centres the chains on the prices of the pre-open session, once a day.
    fn centre_before_open(&mut self, now: Now, class: Class) {
        let today = ist_date(now.utc);
        if self.day.centred.get(&class) == Some(&today) {
            return;
        }
        let (Some((pre_open, _)), Some(open)) = (
            self.calendar.pre_open(class, today),
            self.calendar.first_open(class, today),
        ) else {
            return;
        };
        if (open - self.config.pre_open_lead..open).contains(&now.utc) {
            self.day.centred.insert(class, today);
            self.centre_chains(now, class, pre_open);
        }
    }

    /// The end of a class's trading day: its items of tier A are cleared, and what expired
    /// with it is let go. What streams hold of it leaves the wire when its market closes,
    /// which is the same moment unless configured otherwise.
    fn end_of_day(&mut self, now: Now, class: Class, day: Date) {
        let before = self.book.status().desired;
        let cause = Cause::new(
            Action::Subscribe,
            Action::EodCleanup,
            format!("end of day {day} of {class}"),
        );
        let gone = self.ids_of(|item| item.is_cleared_by(class, day));
        let mut removed = Vec::with_capacity(gone.len());
        for id in gone {
            if let Some((item, _)) = self.let_go_of_item(now, id, &cause) {
                removed.push((item.spec.key.list, id));
            }
        }
        let cleared = removed.len();
        self.end_of_day_durable(now, class, day, removed);
        self.let_go_of_expired(now);
        let unsubscribed = before.saturating_sub(self.book.status().desired);
        metrics::counter!("strikewire_end_of_day_runs_total", "class" => class.as_str())
            .increment(1);
        tracing::info!(%class, %day, items = cleared, unsubscribed, "End of day");
    }

    /// Writes down that an end of day was run, with what it cleared, as one.
    pub(super) fn end_of_day_durable(
        &mut self,
        now: Now,
        class: Class,
        day: Date,
        removed: Vec<(List, u64)>,
    ) {
        let ended = self.day.ended.entry(class).or_insert(day);
        *ended = day.max(*ended);
        self.journal.must(Change::EndOfDay {
            class: class.as_str(),
            day,
            at: now.utc,
            removed,
        });
    }

    /// Lets go of what no end of day clears, once its contracts have expired.
    fn let_go_of_expired(&mut self, now: Now) {
        let (calendar, registry) = (Arc::clone(&self.calendar), Arc::clone(&self.registry));
        let cause = Arc::clone(&self.records.causes.expired);
        let over = |holding: Holding| {
            let it = holding.expiring(&registry);
            it.is_some_and(|it| chains::ended(&calendar, now, &it))
        };
        for id in self.ids_of(|item| over(item.spec.holding)) {
            if let Some((item, _)) = self.let_go_of_item(now, id, &cause) {
                let list = item.spec.key.list;
                self.journal.must(Change::Remove { list, id });
            }
        }
        self.end_tier_b(now, &cause, |standing| over(standing.holding));
    }
}
