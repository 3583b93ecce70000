//! What has to have happened for a pass to mean something.

macro_rules! seen {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// How often each thing that must be covered happened.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub(crate) struct Seen { $($(#[$doc])* pub(crate) $name: u64,)* }

        impl Seen {
            /// Those that never did.
            pub(crate) fn never(&self) -> Vec<&'static str> {
                let mut never = Vec::new();
                $(if self.$name == 0 { never.push(stringify!($name)); })*
                never
            }

            pub(crate) fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

seen! {
    // What the broker and the network did.
    reset,
    close,
    disconnect,
    displace,
    refuse_429,
    refuse_401,
    refuse_503,
    hang,
    mute,
    stall,
    deaf,
    out_of_hours,
    ignore_unsubscribe,
    split,
    slow_reader,
    clock_skew,
    drop_subscriptions,
    delay,
    coalesce,
    zeros,
    garbage,
    unknown_packets,
    market_status,
    token_expired,
    token_rollover,
    connect_failed,
    bad_request,
    /// All connections of the account reset at the same moment.
    all_at_once,
    /// The process was killed and came back.
    restart,
    // What came of it.
    down_connect,
    down_refused,
    down_disconnected,
    down_closed,
    down_silent,
    down_stalled,
    down_garbled,
    down_blocked,
    down_renewed,
    handed_over,
    rebalanced,
    rebalance_on_order,
    migration_by_first_packet,
    contended,
    no_longer_contended,
    lock_out,
    no_credentials,
    turned_away,
    resend,
    refused_instrument,
    shrunk,
    gap,
    // What users did.
    added,
    removed,
    rolled,
    evicted,
    refused_request,
    mode_up,
    mode_down,
    changed_while_down,
}
