//! Whom to evict.

use foldhash::fast::RandomState;
use hashbrown::hash_map::Entry as MapEntry;
use hashbrown::{HashMap, HashSet};
use strikewire_types::{Mono, Now, Slot, Tier};

use crate::book::Book;
use crate::claims::{Account, Claim};
use crate::plan::Wanted;
use crate::{Owner, Victim};

/// What a request lacks.
pub(crate) struct Need<'a> {
    pub(crate) owner: Owner,
    /// Who is charged.
    pub(crate) user: Option<u64>,
    pub(crate) legs: &'a [Wanted],
    /// The owner's earlier claim, which goes in any case.
    pub(crate) own: Option<&'a Claim>,
    /// Slots, which are known to be there if every other claim of tier A goes.
    pub(crate) short: usize,
}

impl Need<'_> {
    /// What the claims of `user` come to without the owner's earlier one.
    pub(crate) fn others(&self, book: &Book, user: u64) -> Account {
        let mut account = book.claims.account(user);
        if let Some(own) = self.own.filter(|own| own.charged() == Some(user)) {
            account.claims -= 1;
            account.legs -= own.legs.len();
        }
        account
    }
}

impl Book {
    /// The claims to evict for a request, in order.
    pub(crate) fn victims(&self, now: Now, need: &Need<'_>) -> Vec<Victim> {
        if need.short == 0 && need.user.and(self.config.quota).is_none() {
            return Vec::new();
        }
        let mut search = Search::new(self, now.mono, need);
        for turn in [Turn::Quota, Turn::OwnShare, Turn::Shares, Turn::Rest] {
            search.pick(turn);
        }
        search.spare()
    }

    /// What each user may hold by right, after a request.
    fn share(&self, need: &Need<'_>) -> usize {
        let mut users = self.claims.users();
        let is_gone = |user: &u64| need.others(self, *user).claims == 0;
        if need
            .own
            .and_then(Claim::charged)
            .is_some_and(|user| is_gone(&user))
        {
            users -= 1;
        }
        if need.user.is_some_and(|user| is_gone(&user)) {
            users += 1;
        }
        let slots = self.config.total.saturating_sub(self.tally.tier_b);
        slots / users.max(1)
    }
}

/// Who is looked at, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Claims of the request's user, who is over the quota.
    Quota,
    /// Claims of the request's user, who is over the share.
    OwnShare,
    /// Claims of all users who are over the share.
    Shares,
    /// Everybody's.
    Rest,
}

/// Claims being chosen.
struct Search<'a> {
    book: &'a Book,
    now: Mono,
    need: &'a Need<'a>,
    /// What each user may hold by right, where that counts.
    share: Option<usize>,
    ground: Ground<'a>,
    /// What users would hold, for those that were looked at.
    held: HashMap<u64, usize, RandomState>,
    /// The chosen ones, with what each frees after those before it.
    taken: Vec<(&'a Claim, usize)>,
    gone: HashSet<Owner, RandomState>,
    freed: usize,
}

impl<'a> Search<'a> {
    fn new(book: &'a Book, now: Mono, need: &'a Need<'a>) -> Self {
        let fair = book.config.fair_share && need.short > 0;
        Self {
            book,
            now,
            need,
            share: fair.then(|| book.share(need)),
            ground: Ground::new(book, need.legs, need.own),
            held: HashMap::default(),
            taken: Vec::new(),
            gone: HashSet::default(),
            freed: 0,
        }
    }

    /// Takes claims that may go in this turn, the idle and least recently used first,
    /// until nothing is missing.
    fn pick(&mut self, turn: Turn) {
        let book = self.book;
        let (now, window) = (self.now, book.config.in_use);
        for busy in [false, true] {
            for claim in book.claims.by_use() {
                if !self.is_missing(turn) {
                    return;
                }
                if claim.in_use(now, window) == busy
                    && claim.owner != self.need.owner
                    && !self.gone.contains(&claim.owner)
                    && self.may_go(turn, claim)
                {
                    self.take(turn, claim);
                }
            }
        }
    }

    fn is_missing(&mut self, turn: Turn) -> bool {
        match turn {
            Turn::Quota => self.is_over_quota(),
            Turn::OwnShare => self.is_short() && self.is_over_share(self.need.user),
            Turn::Shares => self.is_short() && self.share.is_some(),
            Turn::Rest => self.is_short(),
        }
    }

    fn may_go(&mut self, turn: Turn, claim: &Claim) -> bool {
        match turn {
            Turn::Quota | Turn::OwnShare => claim.charged() == self.need.user,
            Turn::Shares => self.is_over_share(claim.charged()),
            Turn::Rest => true,
        }
    }

    fn is_short(&self) -> bool {
        self.freed < self.need.short
    }

    fn is_over_quota(&mut self) -> bool {
        match (self.need.user, self.book.config.quota) {
            (Some(user), Some(quota)) => *self.held(user) > quota,
            _ => false,
        }
    }

    fn is_over_share(&mut self, user: Option<u64>) -> bool {
        match (user, self.share) {
            (Some(user), Some(share)) => *self.held(user) > share,
            _ => false,
        }
    }

    /// What a user would hold after the request, less what has been taken.
    fn held(&mut self, user: u64) -> &mut usize {
        self.held.entry(user).or_insert_with(|| {
            let is_asking = self.need.user == Some(user);
            let asked = if is_asking { self.need.legs.len() } else { 0 };
            self.need.others(self.book, user).legs + asked
        })
    }

    fn take(&mut self, turn: Turn, claim: &'a Claim) {
        let (frees, could) = self.ground.take(claim);
        // Slots are not what a quota is about.
        if !could && turn != Turn::Quota {
            return;
        }
        self.freed += frees;
        self.taken.push((claim, frees));
        self.gone.insert(claim.owner);
        if let Some(user) = claim.charged() {
            *self.held(user) -= claim.legs.len();
        }
    }

    /// Gives back what turned out not to be needed, the last one taken first. What is
    /// left, in the order it was taken.
    fn spare(mut self) -> Vec<Victim> {
        let mut kept = core::mem::take(&mut self.taken);
        // The last one ended the search: it is needed.
        let last = kept.pop();
        let mut needed = Vec::with_capacity(kept.len() + 1);
        needed.extend(last);
        let all = kept.len();
        while let Some((claim, frees)) = kept.pop() {
            self.freed -= self.ground.give_back(claim);
            let user = claim.charged();
            if let Some(user) = user {
                *self.held(user) += claim.legs.len();
            }
            if self.is_short() || self.is_over_quota() {
                self.freed += self.ground.take(claim).0;
                if let Some(user) = user {
                    *self.held(user) -= claim.legs.len();
                }
                needed.push((claim, frees));
            }
        }
        needed.reverse();
        // Whoever was spared may have been the one after whom another frees more.
        if needed.len() <= all {
            for (claim, _) in &needed {
                self.ground.give_back(claim);
            }
            for (claim, frees) in &mut needed {
                *frees = self.ground.take(claim).0;
            }
        }
        let victim = |(claim, frees): (&Claim, usize)| Victim {
            owner: claim.owner,
            frees,
        };
        needed.into_iter().map(victim).collect()
    }
}

/// How many holders each instrument has left while victims are being chosen.
pub(crate) struct Ground<'a> {
    book: &'a Book,
    /// By slot, for those that were looked at.
    left: HashMap<u32, u32, RandomState>,
}

/// The holders of an instrument that no eviction frees.
const NEVER: u32 = u32::MAX;

impl<'a> Ground<'a> {
    /// How it is once the owner's earlier claim has gone, which goes before all
    /// victims, and `legs` are held.
    pub(crate) fn new(book: &'a Book, legs: &[Wanted], own: Option<&Claim>) -> Self {
        // Room for one victim of the same size, which is the usual case.
        let room = 2 * legs.len();
        let mut left = HashMap::with_capacity_and_hasher(room, RandomState::default());
        for slot in legs.iter().filter_map(Wanted::slot) {
            left.insert(slot.0, NEVER);
        }
        if let Some(own) = own {
            for leg in &own.legs {
                if let MapEntry::Vacant(vacant) = left.entry(leg.slot.0) {
                    let holds = &book.table[leg.slot].holds;
                    let other_b = holds.of_tier(Tier::B) > u32::from(own.tier == Tier::B);
                    vacant.insert(if other_b { NEVER } else { holds.all() - 1 });
                }
            }
        }
        Self { book, left }
    }

    /// How many still hold the instrument in a slot, or [`NEVER`].
    fn left(&mut self, slot: Slot) -> &mut u32 {
        self.left.entry(slot.0).or_insert_with(|| {
            let holds = &self.book.table[slot].holds;
            if holds.of_tier(Tier::B) > 0 {
                NEVER
            } else {
                holds.all()
            }
        })
    }

    /// Whether nobody holds the instrument in a slot any more.
    pub(crate) fn is_free(&mut self, slot: Slot) -> bool {
        *self.left(slot) == 0
    }

    /// Evicts a claim; how many slots that frees, and whether it could free any
    /// together with others.
    pub(crate) fn take(&mut self, claim: &Claim) -> (usize, bool) {
        let (mut freed, mut could) = (0, false);
        for leg in &claim.legs {
            let left = self.left(leg.slot);
            if *left != NEVER {
                *left -= 1;
                could = true;
                freed += usize::from(*left == 0);
            }
        }
        (freed, could)
    }

    /// Undoes [`take`](Self::take); how many slots that takes back.
    fn give_back(&mut self, claim: &Claim) -> usize {
        let mut freed = 0;
        for leg in &claim.legs {
            let left = self.left(leg.slot);
            if *left != NEVER {
                freed += usize::from(*left == 0);
                *left += 1;
            }
        }
        freed
    }
}
