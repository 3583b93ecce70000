//! Which tokens are the readable ones.

use strikewire_types::Exchange;

use crate::instrument::has_prefix;
use crate::{ChainQuery, Kind, Registry};

impl Registry {
    /// Makes every token unique: an instrument that its readable token does not find
    /// is named by its key.
    pub(crate) fn settle_tokens(&mut self) {
        let listed = self.listed();
        let mut by_key = Vec::new();
        for ladder in self.ladders() {
            let Some(leg) = ladder.legs().next() else {
                continue;
            };
            let exchange = has_prefix(leg.row()).then_some(Exchange::Bse);
            let query = ChainQuery {
                symbol: ladder.symbol(),
                kind: None,
                exchange,
                expiry: Some(ladder.expiry()),
            };
            if listed.chain_quietly(&query) != Some(ladder.id()) {
                by_key.extend(ladder.legs().map(|leg| leg.idx()));
            }
        }
        for future in self.futures.iter().map(|row| self.at(*row)) {
            let query = ChainQuery {
                symbol: future.symbol(),
                kind: None,
                exchange: has_prefix(future.row()).then_some(Exchange::Bse),
                expiry: future.expiry(),
            };
            if listed.future_quietly(&query) != Some(future.idx()) {
                by_key.push(future.idx());
            }
        }
        let mut token = String::new();
        for cash in self.cash.iter().map(|row| self.at(*row)) {
            token.clear();
            // Writing into a string cannot fail.
            let _ = cash.write_plain_token(&mut token);
            let is_shared_index = cash.kind() == Kind::Index && self.has_equity(cash.row().symbol);
            if is_shared_index || listed.find_quietly(&token) != Some(cash) {
                by_key.push(cash.idx());
            }
        }
        for idx in by_key {
            self.rows[idx.index()].token_is_key = true;
        }
    }
}
