//! All metrics that a server has, wherever they are counted: docs/METRICS.md is made of
//! this, and tests hold what a running server exposes, the alerts and the dashboard
//! against it.

use super::buckets::{CALL, COMMIT, FLUSH, REQUEST, STAGE};
use super::metric::{Label, Metric, counter, described, gauge, these, times};

const CONNECTION: Label = described(
    "connection",
    "1 to 5, the connections of `dhan.connections`",
);

const CLASS: Label = these(
    "class",
    &[
        "nse_cash",
        "nse_derivatives",
        "nse_currency",
        "bse_cash",
        "bse_derivatives",
        "bse_currency",
        "mcx",
        "mcx_agri",
        "mcx_agri_evening",
    ],
);

const SYMBOL: Label = described(
    "symbol",
    "tokens of instruments, the first 100 of this run; all others are `other`",
);

const TIMEFRAME: Label = described(
    "timeframe",
    "`5min` and such, the first 20 of this run; all others are `other`",
);

/// What Redis is asked.
const REDIS_CALLS: &[&str] = &[
    "subscribe",
    "unsubscribe",
    "heartbeat",
    "release",
    "sweep",
    "alive",
    "record",
    "active",
    "totals",
    "values",
    "session",
];

const INDICATOR: Label = described(
    "indicator",
    "`RSI_14` and such, the first 100 of this run; all others are `other`",
);

/// The codes that `/readyz` gives as reasons.
pub(super) const READINESS: &[&str] = &[
    "broker_connecting",
    "broker_down",
    "broker_connection_down",
    "account_contended",
    "account_turned_away",
    "token_refused",
    "token_expiring",
    "token_expired",
    "connects_held",
    "store_failing",
    "redis_down",
    "stale_instruments",
];

/// All metrics of a server, in the order of the documentation.
pub const METRICS: &[Metric] = &[
    // What is subscribed.
    gauge(
        "strikewire_subscriptions",
        "instruments",
        "Distinct instruments that somebody holds, by the highest tier they are held in",
    )
    .by(&[these("tier", &["a", "b"])])
    .act("compare with the capacity; a sudden fall of tier A outside the close means evictions or an operator"),
    gauge(
        "strikewire_subscriptions_by_mode",
        "instruments",
        "The same by the highest mode asked for",
    )
    .by(&[these("mode", &["ticker", "quote", "full"])]),
    gauge(
        "strikewire_subscriptions_capacity",
        "instruments",
        "How many there may be",
    )
    .act("above 90 % use: give fewer strikes per chain, a quota per user, or another node a share"),
    gauge(
        "strikewire_subscriptions_lingering",
        "instruments",
        "Contracts that a chain rolled away from and that are on the wire for a moment more",
    ),
    gauge(
        "strikewire_subscriptions_unplaced",
        "instruments",
        "Instruments that wait for room on a connection",
    )
    .act("above 0 for long: connections are down, or the broker takes fewer instruments than it should"),
    gauge(
        "strikewire_subscriptions_refused",
        "instruments",
        "Instruments that the broker does not take",
    )
    .act("`strikewire subs explain TOKEN` names them; load a newer instrument master"),
    gauge(
        "strikewire_silent_instruments",
        "instruments",
        "Instruments that are silent while the strikes around them tick",
    )
    .act("a few are normal; many mean that the broker lost subscriptions"),
    gauge(
        "strikewire_unconfirmed_modes",
        "instruments",
        "Instruments that go on in their old mode after a change of mode",
    )
    .act("as for silent ones"),
    counter(
        "strikewire_resends_total",
        "instruments",
        "Subscriptions that were asked for once more because nothing came of them",
    )
    .act("as for silent ones"),
    gauge(
        "strikewire_tier_b_windows",
        "windows",
        "Windows that are always on, by whether they are held or wait for a price or for room",
    )
    .by(&[these("state", &["held", "waiting"])])
    .act("`subscriptions/status` says of each that waits why"),
    counter(
        "strikewire_evictions_total",
        "claims",
        "Claims that made room for others",
    )
    .act("rising: the capacity is used up; see the audit log for who displaced whom"),
    counter(
        "strikewire_handed_over_total",
        "instruments",
        "Instruments that were handed to other connections because theirs was down for too long",
    )
    .act("see why the connection is down"),
    counter(
        "strikewire_rebalanced_total",
        "instruments",
        "Instruments that were moved to even out the connections",
    ),
    counter(
        "strikewire_end_of_day_runs_total",
        "runs",
        "Ends of day that were run",
    )
    .by(&[CLASS])
    .act("none on the evening of a trading day: see the log"),
    // Connections to the broker.
    gauge("strikewire_connection_up", "1", "Whether a connection to the broker is up")
        .by(&[CONNECTION])
        .act("see `last_error` in `strikewire admin ws-status`"),
    gauge(
        "strikewire_connection_state",
        "1",
        "Where a connection stands: 1 for the state that it is in",
    )
    .by(&[
        CONNECTION,
        these("state", &["connecting", "live", "backoff", "stopped"]),
    ])
    .act("stopped: the broker turned the account away; it takes another token"),
    gauge(
        "strikewire_connection_slots",
        "instruments",
        "Instruments that a connection is charged for",
    )
    .by(&[CONNECTION]),
    counter(
        "strikewire_connection_downs_total",
        "times",
        "How often a connection or an attempt to connect ended",
    )
    .by(&[CONNECTION])
    .act("see the causes in strikewire_connection_ends_total"),
    counter(
        "strikewire_connection_attempts_total",
        "attempts",
        "Attempts to connect that were begun",
    )
    .by(&[CONNECTION])
    .act("steadily rising: the connections do not last"),
    counter(
        "strikewire_connection_ends_total",
        "times",
        "Why connections ended or did not begin; with the broker's code or the status of HTTP",
    )
    .by(&[
        CONNECTION,
        these(
            "cause",
            &[
                "connect",
                "refused",
                "code",
                "close_frame",
                "reset",
                "silent",
                "stalled",
                "garbled",
                "blocked",
                "renewed",
                "stopped",
                "other",
            ],
        ),
        described(
            "code",
            "documented codes of the broker (`805`, ...), statuses of HTTP that are known to \
             come (`429`, ...), `other`, or `none` where the cause has none",
        ),
    ])
    .later()
    .act("the runbook for feed trouble goes by cause and code"),
    gauge(
        "strikewire_connect_attempts_left",
        "attempts",
        "Attempts to connect that the budget has at the moment",
    )
    .act("0: connections wait; restarts do not help"),
    gauge(
        "strikewire_connects_held",
        "1",
        "Whether no connection is tried at the moment: the budget is spent, or the broker said 429",
    )
    .act("wait; see the runbook for 429"),
    gauge(
        "strikewire_account_contended",
        "1",
        "Whether others use up the account's connections",
    )
    .act("find who else uses the account; see the runbook for 805"),
    gauge(
        "strikewire_token_expiry_timestamp_seconds",
        "seconds",
        "When the token in use expires, in seconds since 1970 by the clock of the gateway; absent when it does not say",
    )
    .later()
    .act("less than an hour away: put a new token into the token file"),
    // What they bring.
    gauge(
        "strikewire_feed_age_seconds",
        "seconds",
        "How long ago the last packet came on a connection",
    )
    .by(&[CONNECTION])
    .later()
    .act("above 10 while its markets are open: the connection stalls"),
    counter("strikewire_feed_frames_total", "frames", "Frames received").by(&[CONNECTION]),
    counter("strikewire_feed_bytes_total", "bytes", "Bytes in those frames").by(&[CONNECTION]),
    counter(
        "strikewire_feed_packets_total",
        "packets",
        "Packets of wanted instruments",
    )
    .by(&[CONNECTION])
    .act("flat while markets are open: see the runbook for a silent feed"),
    counter(
        "strikewire_feed_stranger_packets_total",
        "packets",
        "Packets dropped because another connection is the instrument's home",
    )
    .by(&[CONNECTION])
    .act("a few in every migration; without end, an unsubscription was lost"),
    counter(
        "strikewire_feed_unresolved_packets_total",
        "packets",
        "Packets of instruments that nobody wants any more",
    )
    .act("a few after every release; without end, an unsubscription was lost"),
    counter(
        "strikewire_feed_undecoded_packets_total",
        "packets",
        "Parts of frames that could not be decoded",
    )
    .by(&[CONNECTION])
    .act("the broker changed its protocol, or a proxy garbles it: `undecoded` in `admin ws-status` has samples"),
    counter(
        "strikewire_feed_undecoded_by_code_total",
        "packets",
        "The same by the broker's packet code",
    )
    .by(&[described("code", "0 to 63, and `other` for all above")])
    .act("as above"),
    counter(
        "strikewire_feed_gaps_total",
        "times",
        "Times without data after which there was some again",
    )
    .by(&[CONNECTION])
    .act("one for every reconnect; see why they happen"),
    counter(
        "strikewire_instrument_gaps_total",
        "instruments",
        "Gaps of instruments that ended with a packet or an answer",
    ),
    times(
        "strikewire_stage_seconds",
        STAGE,
        "From taking the first frame of a turn of the feed until what came is in the rows \
         (receive), and until roll bands, requests and streams know of it too (row)",
    )
    .by(&[these("stage", &["receive", "row"])])
    .act("p99 above a few milliseconds: the feed's core is shared with something else"),
    // What is asked for by request.
    gauge(
        "strikewire_reference_queue",
        "instruments",
        "Instruments whose quotes wait to be asked for by REST",
    )
    .act("hundreds for minutes: the broker limits or fails; see the outcomes"),
    counter(
        "strikewire_reference_calls_total",
        "calls",
        "Calls to the broker's REST interface",
    )
    .by(&[
        these("call", &["quotes", "candles"]),
        these(
            "outcome",
            &[
                "ok",
                "unsupported",
                "limited",
                "credentials",
                "not_entitled",
                "rejected",
                "no_data",
                "unavailable",
                "unexpected",
            ],
        ),
    ])
    .act("outcomes other than ok: the runbook says what each means"),
    counter(
        "strikewire_reference_instruments_total",
        "instruments",
        "Instruments that those calls answered",
    ),
    // The database.
    counter(
        "strikewire_store_commits_total",
        "transactions",
        "Transactions of what is acknowledged",
    ),
    counter(
        "strikewire_store_groups_total",
        "groups",
        "Groups of changes in those transactions",
    ),
    times(
        "strikewire_store_commit_seconds",
        COMMIT,
        "How long such a transaction took",
    )
    .act("p99 above 100 ms: the disk or the database server is slow, and with it every add"),
    counter(
        "strikewire_store_audit_dropped_total",
        "records",
        "Records of the audit log that were lost because too many waited",
    )
    .act("a `GAP` record says how many of which time; repair the database"),
    gauge(
        "strikewire_store_behind_queue",
        "records",
        "Records that wait to be written behind",
    )
    .act("as for the lag"),
    gauge(
        "strikewire_store_lag_seconds",
        "seconds",
        "Age of the oldest of them",
    )
    .act("above 10: the database is slow or failing"),
    gauge(
        "strikewire_store_failing",
        "1",
        "Whether the database cannot be written",
    )
    .act("adds are refused with 503 `not_durable`; free the disk or bring the server back"),
    // The stream.
    gauge("strikewire_stream_clients", "clients", "Clients of the stream"),
    gauge(
        "strikewire_stream_subscriptions",
        "subscriptions",
        "Their subscriptions",
    ),
    gauge(
        "strikewire_stream_queue_depth_max",
        "messages",
        "Messages that waited for the client that had most of them, in the last second",
    )
    .act("near `stream.client_queue`: a client is too slow"),
    counter(
        "strikewire_stream_messages_total",
        "messages",
        "Messages put into clients' queues",
    ),
    counter("strikewire_stream_bytes_total", "bytes", "Bytes in them"),
    counter(
        "strikewire_stream_conflated_total",
        "ticks",
        "Ticks put off because a client's queue was full",
    )
    .act("slow clients; theirs is the loss"),
    counter(
        "strikewire_stream_dropped_total",
        "messages",
        "Deltas of chains and notices that were not sent because a client's queue was full",
    )
    .act("slow clients; they are told with `lagged`"),
    counter(
        "strikewire_stream_lagged_total",
        "times",
        "How often a client was told that it missed deltas",
    )
    .act("as above"),
    counter(
        "strikewire_stream_resumed_total",
        "times",
        "Resumed chains, by whether the missed deltas were there or a snapshot was sent",
    )
    .by(&[these("result", &["resumed", "snapshot"])]),
    counter(
        "strikewire_stream_disconnected_total",
        "clients",
        "Clients that went, by why",
    )
    .by(&[these(
        "reason",
        &[
            "client",
            "too_slow",
            "idle",
            "unauthorized",
            "too_many_clients",
            "rate_limited",
            "flood",
            "too_large",
            "protocol",
            "stopping",
            "lost",
        ],
    )])
    .act("too_slow: networks or programs of clients that do not keep up"),
    counter(
        "strikewire_stream_refused_total",
        "times",
        "Clients and messages that were refused, by why",
    )
    .by(&[these(
        "reason",
        &["too_many_clients", "origin", "unauthorized", "rate"],
    )])
    .act("too_many_clients: raise `stream.max_clients`; origin: see `http.cors_origins`"),
    times(
        "strikewire_stream_flush_seconds",
        FLUSH,
        "From the receipt of the oldest packet in a message to the end of the write that \
         carried it, the window of its class included",
    )
    .by(&[these("class", &["0", "100", "250", "500", "1000"])])
    .act("p99 far above the class's window: the server's cores are busy"),
    // Indicators.
    counter(
        "indicator_subscriptions_total",
        "times",
        "Indicators that a session began to hold at this node",
    )
    .by(&[SYMBOL, TIMEFRAME, INDICATOR])
    .later(),
    gauge(
        "indicator_active_subscriptions",
        "subscriptions",
        "Sessions that hold indicators at this node, each indicator of each session counted",
    )
    .by(&[SYMBOL, TIMEFRAME])
    .later(),
    counter(
        "indicator_cleanup_runs_total",
        "runs",
        "How often those were looked for that nobody says are in use",
    )
    .act("standing still: sessions that vanished keep indicators alive; restart, and report it"),
    gauge(
        "strikewire_indicator_keys",
        "indicators",
        "Indicators that this node computes: each symbol, timeframe and id once",
    )
    .act("near `indicators.max_keys`: raise it, or ask who needs so many (`indicators/active`)"),
    gauge(
        "strikewire_indicator_subscribers",
        "sessions",
        "Sessions that hold something at this node",
    ),
    counter(
        "strikewire_indicator_expired_total",
        "subscriptions",
        "Indicators that were let go because nobody said any more that they are in use",
    )
    .act("rising steadily: front ends that do not unsubscribe, or send no heartbeats"),
    counter(
        "strikewire_indicator_adopted_total",
        "subscriptions",
        "Indicators that a session held at another node, and that it goes on with at this one",
    )
    .act("many at once: another node is gone"),
    counter(
        "strikewire_indicator_not_adopted_total",
        "subscriptions",
        "Heartbeats for indicators of another node that this one has no room for; they are \
         answered as not alive",
    )
    .act("raise indicators.max_keys or indicators.max_per_user, or add a node"),
    counter(
        "strikewire_indicator_reconciled_total",
        "subscriptions",
        "Leases that were told to Redis again, or taken back, after it had been away",
    )
    .act("see why Redis was away"),
    counter(
        "strikewire_indicator_updates_total",
        "values",
        "Values that were computed and given out",
    ),
    counter(
        "strikewire_indicator_bars_total",
        "bars",
        "Bars of a minute, by what they were: final, the state of one that is forming, or \
         final with a gap in it",
    )
    .by(&[these("kind", &["final", "forming", "incomplete"])])
    .act("incomplete: see the gaps of the feed; they are repaired from the broker's candles"),
    counter(
        "strikewire_indicator_late_ticks_total",
        "ticks",
        "Ticks that came after their bar was closed",
    )
    .act("many: the broker is late, or the machine's clock is fast; see `indicators.grace_ms`"),
    counter(
        "strikewire_indicator_out_of_session_ticks_total",
        "ticks",
        "Ticks that the exchange dates outside of its sessions, and that belong to no bar",
    )
    .act("many while a market is open: the calendar does not know the session"),
    counter(
        "strikewire_indicator_warmups_total",
        "times",
        "Computations that began with the broker's candles, by what came of it",
    )
    .by(&[these("result", &["done", "failed"])])
    .act("failed: values are not warm until enough bars have passed; see the log for what the broker said"),
    counter(
        "strikewire_indicator_repairs_total",
        "times",
        "Bars with gaps that were asked of the broker again, by what came of it",
    )
    .by(&[these("result", &["done", "failed"])])
    .act("failed: values may differ a little from those of others; see the log"),
    gauge(
        "strikewire_redis_up",
        "1",
        "Whether Redis answers; 0 also where none is configured",
    )
    .act("0 with a Redis: see `redis_down` in docs/OPERATIONS.md"),
    counter(
        "strikewire_redis_connects_total",
        "times",
        "Connections that were made to Redis",
    )
    .act("rising: Redis or the network to it does not last"),
    counter(
        "strikewire_redis_errors_total",
        "calls",
        "Calls of Redis that failed, by why",
    )
    .by(&[these(
            "kind",
            &["connect", "timeout", "closed", "server", "emptied"],
        )])
    .act("as above; server: Redis refuses what it is asked, the log says why"),
    times(
        "strikewire_redis_seconds",
        CALL,
        "How long calls of Redis took, by what was asked",
    )
    .by(&[these("op", REDIS_CALLS)])
    .act("p99 near `redis.timeout_ms`: Redis or the network to it is busy"),
    // REST and whoever asks.
    times(
        "strikewire_http_request_seconds",
        REQUEST,
        "From the head of a request until the socket has taken the last of the answer",
    )
    .by(&[
        described("route", "the paths of docs/API.md, and `none` for all others"),
        described("method", "those of HTTP, and `OTHER`"),
        described("status", "the statuses that are answered"),
    ])
    .later()
    .act("5xx: see the log by `request_id`; p99 above 100 ms: see the store's commits"),
    gauge(
        "strikewire_http_connections",
        "connections",
        "Connections of callers",
    ),
    counter(
        "strikewire_http_connections_refused_total",
        "connections",
        "Connections closed at once, because there are too many altogether or of one address",
    )
    .by(&[these("reason", &["total", "address"])])
    .act("see `http.max_connections` and `http.connections_per_address`"),
    counter(
        "strikewire_http_accept_errors_total",
        "times",
        "Connections that the system could not give",
    )
    .act("most often too few file descriptors: raise LimitNOFILE"),
    counter(
        "strikewire_http_tls_failures_total",
        "connections",
        "Connections whose TLS handshake failed",
    )
    .act("steadily rising: an expired certificate, or a scan"),
    counter(
        "strikewire_auth_failures_total",
        "requests",
        "Requests without a key where one is needed, or with one that nobody has",
    )
    .act("steadily rising: a program with an old key, or somebody guesses"),
    counter(
        "strikewire_rate_limited_total",
        "requests",
        "Requests that were turned away because a caller asked too often, by what was counted",
    )
    .by(&[these("by", &["key", "address", "failures"])])
    .act("a program that asks in a loop; see `[auth]`"),
    gauge("strikewire_api_keys", "keys", "Keys that are valid"),
    gauge("strikewire_sessions", "sessions", "Sessions of users that logged in"),
    // The day.
    gauge(
        "strikewire_ready",
        "1",
        "Whether `/readyz` answers 200, ready or degraded",
    )
    .act("0: no connection to the broker has been up yet"),
    gauge(
        "strikewire_readiness_reason",
        "1",
        "Whether readiness is limited for this reason",
    )
    .by(&[these("code", READINESS)])
    .act("the table of readiness in docs/OPERATIONS.md says what to do for each"),
    gauge(
        "strikewire_market_open",
        "1",
        "Whether this class of products trades continuously now, by the calendar",
    )
    .by(&[CLASS])
    .act("1 on a holiday: put the holiday into `calendar.overrides`"),
    gauge(
        "strikewire_instruments",
        "instruments",
        "Instruments in the master in force",
    )
    .act("far fewer than yesterday: the broker's file is damaged"),
    gauge(
        "strikewire_instruments_age_days",
        "days",
        "Days since the day of the master in force",
    )
    .act("above 0 after `master.reload_at`: see `stale_instruments`"),
    counter(
        "strikewire_config_reloads_total",
        "times",
        "Reloads of the configuration",
    )
    .by(&[these("result", &["taken", "refused"])])
    .act("refused: the mistake is in the log"),
    // The process.
    gauge("strikewire_build_info", "1", "1, with the version")
        .by(&[described("version", "the one that runs")]),
    gauge(
        "process_resident_memory_bytes",
        "bytes",
        "Memory of the process that is in RAM; on Linux",
    )
    .act("steadily growing under equal load: report it"),
    counter(
        "process_cpu_seconds_total",
        "seconds",
        "CPU time of the process, in whole seconds; on Linux",
    ),
    counter(
        "strikewire_thread_cpu_seconds_total",
        "seconds",
        "CPU time of its threads, in whole seconds; on Linux",
    )
    .by(&[these(
        "thread",
        &["feed", "owner", "store", "stand-in", "others"],
    )])
    .act("a rate near 1 for feed or owner: that thread is at its limit; give it a core of its own"),
    gauge(
        "process_open_fds",
        "descriptors",
        "File descriptors in use; on Linux",
    )
    .act("near process_max_fds: raise LimitNOFILE"),
    gauge(
        "process_max_fds",
        "descriptors",
        "File descriptors that the process may have; on Linux",
    ),
    gauge(
        "process_start_time_seconds",
        "seconds",
        "When the process began, in seconds since 1970; on Linux",
    ),
];
