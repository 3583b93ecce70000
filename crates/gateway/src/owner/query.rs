use strikewire_fanout::ChainId;
use strikewire_subscriptions::{Owner as Holder, OwnerKind, Role, WireState};
use strikewire_types::{ConnId, InstrumentKey, Mode};

use super::Owner;
use crate::{Explanation, HolderView, StatusView};

impl Owner {
    pub(super) fn status(&self) -> StatusView {
        let book = self.book.status();
        let total = book.tier_a + book.tier_b;
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
        }
    }

    pub(super) fn explain(&self, key: InstrumentKey) -> Option<Explanation> {
        let instrument = self.book.instrument(key)?;
        let holders = self
            .book
            .holders(key)
            .into_iter()
            .map(|held| {
                let (user_id, why) = self.why(held.owner);
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
                }
            })
            .collect();
        Some(Explanation {
            tier: instrument.tier,
            mode: instrument.mode,
            state: wire_state(instrument.wire).to_owned(),
            connection: instrument.home,
            since: instrument.since,
            holders,
        })
    }

    fn why(&self, holder: Holder) -> (Option<u64>, String) {
        match holder.kind {
            OwnerKind::Watchlist | OwnerKind::Explicit => match self.item_of(holder) {
                Some((user, item)) => (Some(user), item),
                None => (None, "an item".into()),
            },
            OwnerKind::Stream => (None, self.stream_of(holder).unwrap_or_default()),
            OwnerKind::Request => (None, "a request that waits for a price".into()),
            _ => (None, String::new()),
        }
    }

    /// Notes that the window of a claim moved.
    pub(super) fn holder_rolled(&mut self, holder: Holder, chain: ChainId) {
        let Some(span) = self.chain_span(chain) else {
            return;
        };
        match holder.kind {
            OwnerKind::Watchlist | OwnerKind::Explicit => {
                let contracts = span.legs(&self.registry).count();
                self.item_rolled(holder, contracts);
            }
            OwnerKind::Stream => {
                let ladder = self.registry.ladder_at(span.ladder);
                let at_the_money = ladder.rungs()[span.atm as usize].strike;
                let detail = format!(
                    "{} {} is at {at_the_money}",
                    ladder.symbol(),
                    ladder.expiry()
                );
                self.stream_rolled(holder, &detail);
            }
            _ => {}
        }
    }
}

const fn wire_state(wire: WireState) -> &'static str {
    match wire {
        WireState::Idle => "pending",
        WireState::SubscribeSent(_) => "subscribing",
        WireState::Subscribed(_) => "subscribed",
        WireState::UnsubscribePending(_) | WireState::UnsubscribeSent(_) => "changing",
    }
}
