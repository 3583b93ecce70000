use std::sync::Arc;

use strikewire_chain::Span;
use strikewire_subscriptions::{
    InstrumentView, Owner as Holder, OwnerKind, Role, State, WireState,
};
use strikewire_types::{ConnId, InstrumentKey, Mode, Now};

use super::Owner;
use super::items::Displaced;
use crate::status::ActiveRow;
use crate::{Explanation, HolderView, SourcePrice, StatusView};

impl Owner {
    pub(super) fn status(&self) -> StatusView {
        let book = self.book.status();
        let total = book.tier_a + book.tier_b;
        let (silent, unconfirmed_modes) = self.watch.counts();
        StatusView {
            total_subscriptions: total,
            max_capacity: book.capacity,
            utilization_percent: (total as f64 * 10_000.0 / book.capacity.max(1) as f64).round()
                / 100.0,
            ws_usage: book
                .connections
                .iter()
                .enumerate()
                .map(|(index, conn)| (ConnId::from_index(index).number(), conn.charged))
                .collect(),
            tier_a_count: book.tier_a,
            tier_b_count: book.tier_b,
            by_mode: Mode::ALL.into_iter().zip(book.by_mode).collect(),
            connected_connections: self.connected(),
            total_connections: book.connections.len(),
            lingering: book.lingering,
            unplaced: book.unplaced,
            silent,
            unconfirmed_modes,
            refused: book.refused,
            tier_b: self.tier_b_view(),
        }
    }

    pub(super) fn explain(&self, key: InstrumentKey) -> Option<Explanation> {
        let instrument = self.book.instrument(key)?;
        let holders = self
            .book
            .holders(key)
            .into_iter()
            .map(|held| {
                let (user_id, why, displaced) = self.why(held.owner);
                HolderView {
                    kind: held.owner.kind.as_str(),
                    user_id,
                    why: match held.role {
                        Role::Underlying => {
                            format!("underlying of {why}")
                        }
                        Role::Contract => why,
                    },
                    tier: held.tier,
                    mode: held.mode,
                    since: held.since,
                    displaced: displaced
                        .iter()
                        .map(|Displaced { what, freed }| format!("{what} ({freed} slots)"))
                        .collect(),
                }
            })
            .collect();
        Some(Explanation {
            tier: instrument.tier,
            mode: instrument.mode,
            state: state_of(&instrument),
            connection: instrument.home,
            since: instrument.since,
            missing: self.watch.missing(key),
            last_gap: self.gaps.of_instrument(key),
            holders,
        })
    }

    /// Everything that somebody holds: numbers only, to be named by whoever asked.
    pub(super) fn active(&self) -> Vec<ActiveRow> {
        self.book
            .instruments()
            .filter(|view| view.state == State::Desired)
            .map(|view| ActiveRow {
                key: view.key,
                tier: view.tier,
                mode: view.mode,
                state: state_of(&view),
                connection: view.home,
                since: view.since,
                missing: self.watch.missing(view.key),
                holders: view.holders,
            })
            .collect()
    }

    fn why(&self, holder: Holder) -> (Option<u64>, String, &[Displaced]) {
        match holder.kind {
            OwnerKind::Watchlist | OwnerKind::Explicit => match self.item_of(holder) {
                Some((user, key, displaced)) => (Some(user), key.to_string(), displaced),
                None => (None, "an item".into(), &[]),
            },
            OwnerKind::Stream => match self.stream_of(holder) {
                Some((name, displaced)) => (None, name, displaced),
                None => (None, "a stream".into(), &[]),
            },
            OwnerKind::TierB => {
                let (name, displaced) = self.tier_b_of(holder);
                (None, name, displaced)
            }
            OwnerKind::Request => (None, "a request that waits for a price".into(), &[]),
            OwnerKind::Indicator => match self.indicators_of(holder) {
                Some((name, displaced)) => (None, name, displaced),
                None => (None, "indicators".into(), &[]),
            },
        }
    }

    /// What a holder is called in the audit log.
    pub(super) fn name(&self, holder: Holder) -> Arc<str> {
        let (user, why, _) = self.why(holder);
        match user {
            Some(user) => format!("{} of user {user}: {why}", holder.kind.as_str()).into(),
            None if holder.kind == OwnerKind::TierB => format!("tier_b: {why}").into(),
            None => why.into(),
        }
    }

    /// Lets connections with more than their share give some to the others. How many
    /// instruments move.
    pub(super) fn rebalance(&mut self, now: Now) -> usize {
        let cause = Arc::clone(&self.records.causes.ordered);
        let moved = self.change(&cause, |book, effects| book.rebalance(now, effects));
        self.settle(now);
        moved
    }

    /// Notes that the window of a claim moved, or that a live price found it where it was.
    pub(super) fn holder_rolled(
        &mut self,
        holder: Holder,
        span: Span,
        price: SourcePrice,
        moved: bool,
    ) {
        match holder.kind {
            OwnerKind::Watchlist | OwnerKind::Explicit => {
                let contracts = span.legs(&self.registry).count();
                self.item_rolled(holder, contracts, price.price, price.is_live());
            }
            OwnerKind::Stream if moved => {
                let ladder = self.registry.ladder_at(span.ladder);
                let at_the_money = ladder.rungs()[span.atm as usize].strike;
                let detail = format!(
                    "{} {} is at {at_the_money}",
                    ladder.symbol(),
                    ladder.expiry()
                );
                self.stream_rolled(holder, price.price, &detail);
            }
            _ => {}
        }
    }
}

const fn state_of(view: &InstrumentView) -> &'static str {
    if view.refused {
        return "refused";
    }
    match view.wire {
        WireState::Idle => "pending",
        WireState::SubscribeSent(_) => "subscribing",
        WireState::Subscribed(_) => "subscribed",
        WireState::UnsubscribePending(_) | WireState::UnsubscribeSent(_) => "changing",
    }
}
