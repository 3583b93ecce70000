use strikewire_subscriptions::{Leg, Owner as Holder, OwnerKind, Request};
use strikewire_types::{Now, Tier};

use super::{Owner, middle_window};
use crate::Error;
use crate::item::Holding;
use crate::plan::{DryRun, EvictView, Want};
use crate::price::source_price;

/// The owner of a claim that is never made.
const NOBODY: Holder = Holder {
    kind: OwnerKind::Request,
    id: u64::MAX,
};

impl Owner {
    /// What some requests would take and evict. Changes nothing.
    pub(super) fn dry_run(&self, now: Now, wants: &[Want]) -> DryRun {
        let mut all = Vec::new();
        let mut assumed = Vec::new();
        for want in wants {
            match self.legs_wanted(now, want, &mut assumed) {
                Ok(legs) => all.extend(legs),
                Err(error) => assumed.push(format!("{}: {error}; left out", want.spec.key)),
            }
        }
        let tier_b = !wants.is_empty() && wants.iter().all(|want| want.spec.tier == Tier::B);
        let user = wants.first().map(|want| want.spec.key.user);
        let request = Request {
            owner: NOBODY,
            user: user.filter(|user| wants.iter().all(|want| want.spec.key.user == *user)),
            tier: if tier_b { Tier::B } else { Tier::A },
            legs: all,
        };
        let run = match self.book.plan(now, &request) {
            Err(refusal) => DryRun::refused(&refusal),
            Ok(plan) => DryRun::fits(
                &self.config,
                plan.needed(),
                plan.free(),
                plan.victims()
                    .iter()
                    .map(|victim| self.evict_view(victim.owner, victim.frees))
                    .collect(),
                &self.book.forecast(&plan),
            ),
        };
        DryRun { assumed, ..run }
    }

    fn legs_wanted(
        &self,
        now: Now,
        want: &Want,
        assumed: &mut Vec<String>,
    ) -> Result<Vec<Leg>, Error> {
        let mode = want.spec.mode;
        let (ladder, width) = match want.spec.holding {
            Holding::Single { key } => return Ok(vec![self.single_leg(key, mode)?]),
            Holding::Chain { ladder, width } => (ladder, width),
        };
        if let Some(span) = self.span_of(ladder, width) {
            return self.window_legs(span, mode);
        }
        let ladder = self.registry.ladder_at(ladder);
        let known = ladder
            .price_source()
            .and_then(|source| source_price(&self.pricing(), now, source.key()));
        if let Some(price) = known.map(|price| price.price).or(want.price) {
            return self.legs_at(ladder.id(), width, price, mode);
        }
        let middle = middle_window(ladder, width)?;
        assumed.push(format!(
            "{} at {}, the middle of its ladder",
            want.spec.key,
            middle.price()
        ));
        self.window_legs(middle.span(), mode)
    }

    fn evict_view(&self, holder: Holder, frees: usize) -> EvictView {
        match self.item_of(holder) {
            Some((user, key, _)) => EvictView {
                user_id: Some(user),
                symbol: key.symbol.to_string(),
                expiry: key.expiry,
                frees,
            },
            None => EvictView {
                user_id: None,
                symbol: self.name(holder).to_string(),
                expiry: None,
                frees,
            },
        }
    }
}
