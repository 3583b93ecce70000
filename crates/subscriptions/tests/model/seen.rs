//! What has to have happened for a pass to mean something.

macro_rules! seen {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// How often each thing that must be covered happened.
        #[derive(Debug, Default)]
        pub(crate) struct Seen { $($(#[$doc])* pub(crate) $name: u64,)* }

        impl Seen {
            /// Those that never did.
            pub(crate) fn never(&self) -> Vec<&'static str> {
                let mut never = Vec::new();
                $(if self.$name == 0 { never.push(stringify!($name)); })*
                never
            }
        }
    };
}

seen! {
    eviction,
    spared_victim,
    use_counted,
    refusal,
    roll_at_a_full_book,
    roll_waiting_for_room,
    mode_up,
    mode_down,
    tier_up,
    tier_down,
    stale_epoch,
    drop_during_a_migration,
    unsubscribe_while_down,
    linger_reclaimed_by_admission,
    linger_ran_out,
    lingering_wanted_again,
    migration_by_first_packet,
    migration_by_grace,
    batch_lost,
    slot_reused,
    rebalance_of_nothing,
    quota_eviction,
    quota_refusal,
    quota_and_slots_evict,
    share_evicts_own,
    share_evicts_the_greedy,
    leg_dropped,
    claim_dropped_out,
    let_go_and_wanted_again,
    resend,
    resend_of_nothing,
    renewed_on_the_wire,
    handed_over,
    handed_over_for_good,
    stays_for_lack_of_room,
    rebalanced_by_itself,
    rebalance_in_steps,
    back_to_the_old_side,
    migration_said_again,
    total_loss,
    total_loss_for_long,
    refused,
    refused_while_others_wait,
    forgiven,
    suspect_cleared,
    shrunk,
    shrunk_and_unplaced,
    cap_restored,
    mode_change_in_a_set,
    mode_change_the_last_wins,
    mode_change_any_drops,
}
