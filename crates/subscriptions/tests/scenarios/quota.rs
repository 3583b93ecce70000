use std::time::Duration;

use strikewire_subscriptions::{Config, OverQuota, Owner, Refusal};

use crate::desk::{A, B, Desk, legs, owner};

/// Ten slots, and what every user may hold.
fn desk(quota: Option<usize>, fair_share: bool) -> Desk {
    Desk::with(Config {
        connections: 2,
        per_connection: 5,
        total: 10,
        per_batch: 10,
        quota,
        fair_share,
        ..Config::default()
    })
}

/// Claims in order of use, all idle: user, owner, what they hold.
fn hold(desk: &mut Desk, claims: &[(u64, u64, &[u32])]) {
    for &(user, id, ids) in claims {
        desk.admit_for(user, id, legs(ids));
    }
    desk.now = desk.now + Duration::from_secs(100);
}

/// Whom a request of `user` evicts and what each frees.
fn evicts(desk: &Desk, user: u64, ids: &[u32]) -> Vec<(Owner, usize)> {
    let plan = desk.plan_for(user, 99, legs(ids)).unwrap();
    plan.victims().iter().map(|v| (v.owner, v.frees)).collect()
}

#[test]
fn who_is_over_the_quota_loses_their_own_first() {
    let mut desk = desk(Some(5), false);
    hold(
        &mut desk,
        &[
            (2, 21, &[8, 9]),
            (1, 11, &[1]),
            (1, 12, &[2, 3]),
            (1, 13, &[3, 4]),
        ],
    );
    // Up to the quota nobody goes; 3 counts twice, as it does in the sum.
    assert_eq!(evicts(&desk, 2, &[5, 6, 7]), []);
    assert_eq!(desk.plan_for(1, 99, legs(&[])).unwrap().victims(), []);
    // Over it the least recently used of the same user, though another's is older,
    // and there is room.
    assert_eq!(evicts(&desk, 1, &[5]), [(owner(11), 1)]);
    // Who is not needed is spared; what another claim holds is not free.
    assert_eq!(evicts(&desk, 1, &[5, 6]), [(owner(12), 1)]);
    // Those in use go last.
    desk.book.touch(desk.now, owner(11));
    desk.book.touch(desk.now, owner(12));
    assert_eq!(evicts(&desk, 1, &[5]), [(owner(13), 1)]);
    // The owner's own earlier claim goes in any case and does not count.
    let plan = desk.plan_for(1, 12, legs(&[5, 6])).unwrap();
    assert_eq!(plan.victims(), []);
    // Nor does what is charged to nobody, or is tier B.
    let plan = desk.plan(99, A, legs(&[5, 6, 7])).unwrap();
    assert_eq!(plan.victims(), []);
    desk.admit(31, B, legs(&[1, 2, 3, 4]));
    assert_eq!(evicts(&desk, 1, &[1]), [(owner(13), 0)]);
}

#[test]
fn more_than_the_quota_is_refused() {
    let mut desk = desk(Some(5), false);
    hold(&mut desk, &[(1, 11, &[1, 2]), (1, 12, &[3])]);
    let before = desk.book.status();
    let refusal = desk.plan_for(1, 12, legs(&[3, 4, 5, 6, 7, 8])).unwrap_err();
    let quota = Some(OverQuota {
        user: 1,
        quota: 5,
        held: 2,
        asked: 6,
    });
    let expected = Refusal {
        needed: 5,
        free: 7,
        evictable: 2,
        quota,
    };
    assert_eq!(refusal, expected);
    assert_eq!(
        refusal.to_string(),
        "asks for 6 instruments for user 1, who may hold at most 5 and holds 2 in other claims"
    );
    assert_eq!(desk.book.status(), before);
    // A roll is not held to it, and what it brings counts with the next request.
    desk.roll(12, &[3, 4, 5, 6, 7, 8]);
    assert_eq!(desk.book.status().desired, 8);
    assert_eq!(evicts(&desk, 1, &[9]), [(owner(12), 6)]);
}

#[test]
fn quota_and_room_together() {
    let mut desk = desk(Some(5), false);
    hold(
        &mut desk,
        &[(2, 21, &[5, 6, 7]), (1, 11, &[1, 2]), (1, 12, &[3, 4])],
    );
    hold(&mut desk, &[(3, 31, &[8, 9, 10])]);
    // One slot comes from the user's own; the others of whoever used theirs least.
    assert_eq!(
        evicts(&desk, 1, &[11, 12, 13]),
        [(owner(11), 2), (owner(21), 3)]
    );
}

#[test]
fn the_greedy_go_before_all_others() {
    let mut desk = desk(None, true);
    hold(
        &mut desk,
        &[
            (2, 21, &[8]),
            (1, 11, &[1, 2, 3]),
            (1, 12, &[4, 5, 6, 7]),
            (3, 31, &[9, 10]),
        ],
    );
    // Four users share ten: two for each. The first holds seven, and somebody else the
    // least recently used.
    assert_eq!(evicts(&desk, 4, &[11]), [(owner(11), 3)]);
    // In use or not.
    desk.book.touch(desk.now, owner(11));
    desk.book.touch(desk.now, owner(12));
    assert_eq!(evicts(&desk, 4, &[11]), [(owner(11), 3)]);
    // Nobody is above their share any more after the second one: the rule as it is.
    assert_eq!(
        evicts(&desk, 4, &[11, 12, 13, 14, 15, 16, 17, 18]),
        [(owner(11), 3), (owner(12), 4), (owner(21), 1)]
    );
    // Who asks for more than the share, and has something to lose, loses it first.
    assert_eq!(evicts(&desk, 3, &[11, 12]), [(owner(31), 2)]);
    // Three users with the request's own, of which one holds nothing besides.
    assert_eq!(evicts(&desk, 2, &[11]), [(owner(11), 3)]);
    // Tier B takes from what is shared out, and asks on nobody's account.
    let plan = desk.plan(99, B, legs(&[11])).unwrap();
    assert_eq!(plan.victims()[0].owner, owner(11));
    // Without it the least recently used goes.
    let mut plain = self::desk(None, false);
    hold(&mut plain, &[(2, 21, &[8]), (1, 11, &[1, 2, 3])]);
    hold(&mut plain, &[(1, 12, &[4, 5, 6, 7]), (3, 31, &[9, 10])]);
    assert_eq!(evicts(&plain, 4, &[11]), [(owner(21), 1)]);
}

#[test]
fn the_share_is_of_what_tier_b_leaves() {
    let mut desk = desk(None, true);
    desk.admit(50, B, legs(&[1, 2, 3, 4]));
    hold(
        &mut desk,
        &[(2, 21, &[5, 6]), (1, 11, &[7, 8, 9]), (3, 31, &[10])],
    );
    // Six for three users, and one of them asks: two for each.
    assert_eq!(evicts(&desk, 3, &[11]), [(owner(11), 3)]);
    // Six for four: one for each, and both of the greedy are above it.
    assert_eq!(evicts(&desk, 4, &[11]), [(owner(21), 2)]);
}
