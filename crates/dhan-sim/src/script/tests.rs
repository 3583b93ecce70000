use proptest::prelude::*;
use strikewire_types::Segment;

use super::*;
use crate::faults::{Fault, Sockets};

fn parse(text: &str) -> Script {
    text.parse()
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn refused(text: &str) -> String {
    text.parse::<Script>().unwrap_err().to_string()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn every_kind_can_be_written() {
    use Fault::*;
    let kinds = [
        ("kind = \"reset\"", Reset),
        (
            "kind = \"close\"\ncode = 1001",
            Close {
                code: 1001,
                reason: String::new(),
            },
        ),
        (
            "kind = \"close\"\ncode = 4999\nreason = \"why\"",
            Close {
                code: 4999,
                reason: "why".to_owned(),
            },
        ),
        (
            "kind = \"disconnect\"\ncode = 807",
            Disconnect { code: 807 },
        ),
        ("kind = \"displace\"", Displace { connections: 1 }),
        (
            "kind = \"displace\"\nconnections = 2",
            Displace { connections: 2 },
        ),
        (
            "kind = \"refuse\"\nstatus = 502",
            Refuse {
                status: 502,
                retry_after: None,
            },
        ),
        (
            "kind = \"refuse\"\nstatus = 429\nretry_after = \"1m\"",
            Refuse {
                status: 429,
                retry_after: Some(seconds(60)),
            },
        ),
        ("kind = \"hang\"", Hang),
        ("kind = \"mute\"", Mute),
        ("kind = \"stall\"", Stall),
        ("kind = \"out_of_hours\"", OutOfHours),
        ("kind = \"deaf\"", Deaf),
        (
            "kind = \"drop_subscriptions\"\nshare = 0.25",
            DropSubscriptions { share: 0.25 },
        ),
        (
            "kind = \"drop_subscriptions\"\nshare = 1",
            DropSubscriptions { share: 1.0 },
        ),
        ("kind = \"ignore_unsubscribe\"", IgnoreUnsubscribe),
        (
            "kind = \"delay\"\nby = \"250ms\"",
            Delay {
                by: Duration::from_millis(250),
            },
        ),
        (
            "kind = \"coalesce\"\npackets = 5_000",
            Coalesce { packets: 5_000 },
        ),
        ("kind = \"split\"\nbytes = 1", Split { bytes: 1 }),
        (
            "kind = \"zeros\"\nframes_per_s = 10",
            Zeros { frames_per_s: 10 },
        ),
        (
            "kind = \"garbage\"\nframes_per_s = 0x10",
            Garbage { frames_per_s: 16 },
        ),
        (
            "kind = \"unknown\"\ncode = 1\nlength = 8",
            Unknown { code: 1, length: 8 },
        ),
        (
            "kind = \"market_status\"\nsegment = \"BSE_FNO\"\nstate = 4294967295",
            MarketStatus {
                segment: Segment::BseFno,
                state: u32::MAX,
            },
        ),
        (
            "kind = \"slow_reader\"\nbytes_per_s = 100",
            SlowReader { bytes_per_s: 100 },
        ),
        (
            "kind = \"clock_skew\"\nby = \"-1m30s\"",
            ClockSkew { seconds: -90 },
        ),
        ("kind = \"token_expired\"", TokenExpired),
        (
            "kind = \"token_rollover\"\ntoken = \"x\"\ngrace = \"2h\"",
            TokenRollover {
                token: "x".into(),
                grace: seconds(7_200),
            },
        ),
        (
            "kind = \"rest_error\"\nstatus = 500",
            RestError { status: 500 },
        ),
    ];
    let mut text = String::new();
    for (toml, _) in &kinds {
        text.push_str(&format!("[[fault]]\n{toml}\nafter = \"1s\"\n"));
    }
    let entries = parse(&text).entries;
    assert_eq!(entries.len(), kinds.len());
    for (entry, (toml, fault)) in entries.into_iter().zip(kinds) {
        assert_eq!(entry.incident.fault, fault, "{toml}");
        assert!(toml.contains(&format!("\"{}\"", fault.kind())), "{toml}");
    }
}

#[test]
fn when_where_and_how_long() {
    let of = |keys: &str| {
        let script = parse(&format!("[[fault]]\nkind = \"stall\"\n{keys}"));
        let entry = script.entries.into_iter().next().unwrap();
        (
            entry.when,
            entry.every,
            entry.times,
            entry.incident.sockets,
            entry.incident.lasts,
        )
    };
    let at = When::At(jiff::civil::time(9, 20, 0, 0));
    let all = || Sockets::All;
    for (keys, expected) in [
        ("at = \"09:20:00\"", (at, None, None, all(), None)),
        ("at = 09:20:00", (at, None, None, all(), None)),
        (
            "at = \"09:20\"\nevery = \"1h\"",
            (at, Some(seconds(3_600)), None, all(), None),
        ),
        (
            "after = \"0s\"\nfor = \"10s\"",
            (
                When::After(Duration::ZERO),
                None,
                None,
                all(),
                Some(seconds(10)),
            ),
        ),
        (
            "every = \"5s\"\ntimes = 2",
            (
                When::After(seconds(5)),
                Some(seconds(5)),
                Some(2),
                all(),
                None,
            ),
        ),
        (
            "after_packets = 1000\nsockets = [1, 3]",
            (
                When::AfterPackets(1_000),
                None,
                None,
                Sockets::Positions(vec![1, 3]),
                None,
            ),
        ),
        (
            "age = \"5s\"\nsockets = \"all\"",
            (
                When::Age {
                    after: seconds(5),
                    jitter: Duration::ZERO,
                },
                None,
                None,
                all(),
                None,
            ),
        ),
        (
            "age = \"5s\"\njitter = \"1s\"",
            (
                When::Age {
                    after: seconds(5),
                    jitter: seconds(1),
                },
                None,
                None,
                all(),
                None,
            ),
        ),
        (
            "after = \"1.5s\"\nrandom = 2",
            (
                When::After(Duration::from_millis(1_500)),
                None,
                None,
                Sockets::Random(2),
                None,
            ),
        ),
    ] {
        assert_eq!(of(keys), expected, "{keys}");
    }
    assert_eq!(parse("seed = 9").seed, 9);
    assert_eq!(parse(""), Script::default());
}

#[test]
fn what_is_wrong_is_said_with_its_line_and_what_would_do() {
    for (text, expected) in [
        (
            "sed = 1",
            "script, line 1: in a script there is no key `sed`, did you mean `seed`?",
        ),
        (
            "seed = -1",
            "script, line 1: `seed` must be a whole number from 0 on",
        ),
        (
            "\n\nfault = 3",
            "script, line 3: `fault` must be tables, each under [[fault]]",
        ),
        (
            "[fault]\nkind = \"reset\"",
            "script, line 1: `fault` must be tables, each under [[fault]]",
        ),
        (
            "[[fault]]\nafter = \"1s\"",
            "script, line 1: `kind` is missing: the name of a kind",
        ),
        (
            "[[fault]]\nkind = \"rest\"\nafter = \"1s\"",
            "script, line 2: there is no kind `rest`, did you mean `reset`?",
        ),
        (
            "[[fault]]\nkind = \"stall\"\naftr = \"1s\"",
            "script, line 3: in a fault of kind `stall` there is no key `aftr`, did you mean `after`?",
        ),
        (
            "[[fault]]\nkind = \"reset\"\nby = \"1s\"\nafter = \"1s\"",
            "script, line 3: in a fault of kind `reset` there is no key `by`, only kind, for, at, after, age, jitter, after_packets, every, times, sockets, random",
        ),
        (
            "[[fault]]\nkind = \"stall\"",
            "script, line 1: nothing says when: `at`, `after`, `age`, `after_packets` or `every`",
        ),
        (
            "[[fault]]\nkind = \"stall\"\nafter = \"1s\"\nage = \"1s\"",
            "script, line 1: only one of `at`, `after`, `age` and `after_packets` can say when",
        ),
        (
            "[[fault]]\nkind = \"stall\"\nafter = 5",
            "script, line 3: `after` must be a duration of at most a year such as \"30s\", \"1m30s\", \"250ms\" or \"4.5h\"",
        ),
        (
            "[[fault]]\nkind = \"stall\"\nafter = \"1 s\"",
            "script, line 3: `after` must be a duration of at most a year such as \"30s\", \"1m30s\", \"250ms\" or \"4.5h\"",
        ),
        (
            "[[fault]]\nkind = \"stall\"\nat = \"25:00\"",
            "script, line 3: `at` must be a time of day in India such as \"09:20:00\"",
        ),
        (
            "[[fault]]\nkind = \"stall\"\nevery = \"9ms\"",
            "script, line 3: `every` is less than 10ms",
        ),
        (
            "[[fault]]\nkind = \"stall\"\nafter = \"1s\"\ntimes = 2",
            "script, line 4: `times` goes with `every` only",
        ),
        (
            "[[fault]]\nkind = \"stall\"\nafter = \"1s\"\njitter = \"1s\"",
            "script, line 4: `jitter` goes with `age` only",
        ),
        (
            "[[fault]]\nkind = \"stall\"\nafter_packets = 5\nevery = \"1s\"",
            "script, line 4: `every` does not go with `after_packets`",
        ),
        (
            "[[fault]]\nkind = \"stall\"\nafter_packets = 0",
            "script, line 3: `after_packets` must be a whole number from 1 on",
        ),
        (
            "[[fault]]\nkind = \"stall\"\nage = \"5s\"\nrandom = 1",
            "script, line 4: `random` does not go with `age`",
        ),
        (
            "[[fault]]\nkind = \"stall\"\nafter = \"1s\"\nsockets = [0]",
            "script, line 4: `sockets` must be \"all\" or a list of positions from 1 to 1000",
        ),
        (
            "[[fault]]\nkind = \"stall\"\nafter = \"1s\"\nsockets = [1]\nrandom = 1",
            "script, line 5: only one of `sockets` and `random` can say where",
        ),
        (
            "[[fault]]\nkind = \"hang\"\nafter = \"1s\"\nrandom = 1",
            "script, line 4: `hang` is of the account: `random` means nothing to it",
        ),
        (
            "[[fault]]\nkind = \"hang\"\nage = \"1s\"",
            "script, line 3: `hang` is of the account and has no age: `at`, `after`, `after_packets` or `every`",
        ),
        (
            "[[fault]]\nkind = \"reset\"\nafter = \"1s\"\nfor = \"1s\"",
            "script, line 4: `reset` happens at once: `for` means nothing to it",
        ),
        (
            "[[fault]]\nkind = \"close\"\ncode = 1006\nafter = \"1s\"",
            "script, line 3: `code` must be a close code from 1000 to 4999 that may be sent (not 1004, 1005, 1006 or 1015)",
        ),
        (
            "[[fault]]\nkind = \"disconnect\"\nafter = \"1s\"",
            "script, line 1: `code` is missing: a whole number from 0 to 65535",
        ),
        (
            "[[fault]]\nkind = \"refuse\"\nstatus = 200\nafter = \"1s\"",
            "script, line 3: `status` must be a whole number from 300 to 599",
        ),
        (
            "[[fault]]\nkind = \"drop_subscriptions\"\nshare = nan\nafter = \"1s\"",
            "script, line 3: `share` must be a share from 0 to 1",
        ),
        (
            "[[fault]]\nkind = \"unknown\"\ncode = 8\nlength = 9\nafter = \"1s\"",
            "script, line 3: `code` must be a code from 0 to 255 that is none of 2, 3, 4, 5, 6, 7, 8 and 50",
        ),
        (
            "[[fault]]\nkind = \"market_status\"\nsegment = \"NSE\"\nafter = \"1s\"",
            "script, line 3: `segment` must be a segment such as \"NSE_EQ\"",
        ),
        (
            "[[fault]]\nkind = \"clock_skew\"\nby = \"1.5s\"\nafter = \"1s\"",
            "script, line 3: `by` must be a duration of whole seconds such as \"5s\" or \"-2m\"",
        ),
        (
            "[[fault]]\nkind = \"token_rollover\"\ntoken = \"\"\nafter = \"1s\"",
            "script, line 3: `token` must be a text that is not empty",
        ),
    ] {
        assert_eq!(refused(text), expected);
    }
    // The words of the TOML parser, at its line.
    assert!(refused("seed = 1\nseed = 2").starts_with("script, line 2: "));
    let many = "[[fault]]\nkind = \"reset\"\nafter = \"1s\"\n".repeat(MAX_ENTRIES + 1);
    assert_eq!(refused(&many), "script, line 3001: more than 1000 faults");
    assert_eq!(
        refused(&" ".repeat(2 << 20)),
        "script, line 1: it has more than 1048576 bytes"
    );
}

#[test]
fn a_token_is_in_no_complaint() {
    let broken =
        "[[fault]]\nkind = \"token_rollover\"\ntoken = \"eyJhbGciOi\"\ngrace = 3\nafter = \"1s\"";
    assert!(!refused(broken).contains("eyJ"));
    let fine = parse(&broken.replace("grace = 3\n", ""));
    assert!(!format!("{fine:?}").contains("eyJ"));
}

#[test]
fn depth_is_no_way_to_overflow() {
    let depth = 100_000;
    for text in [
        format!("x = {}", "[".repeat(depth)),
        format!("x = {}{}", "[".repeat(depth), "]".repeat(depth)),
        format!("x = {}", "{a=".repeat(depth)),
        format!("x{} = 1", ".a".repeat(depth)),
        format!("[x{}]", ".a".repeat(depth)),
        format!("[[x{}]]", ".a".repeat(depth)),
    ] {
        assert!(refused(&text).starts_with("script, line 1: "));
    }
}

#[test]
fn durations_are_read_exactly() {
    for (text, expected) in [
        ("0s", Some(Duration::ZERO)),
        ("90s", Some(seconds(90))),
        ("1h30m", Some(seconds(5_400))),
        ("0.25s", Some(Duration::from_millis(250))),
        ("8760h", Some(seconds(365 * 86_400))),
        ("8761h", None),
        ("", None),
        ("5", None),
        ("s", None),
        ("-1s", None),
        ("1d", None),
        ("1e9s", None),
        ("1..5s", None),
        ("٣s", None),
    ] {
        assert_eq!(duration::parse(text), expected, "{text:?}");
    }
}

/// Lines of scripts, right and wrong, to be put together by chance.
fn line() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        prop::sample::select(vec![
            "kind",
            "at",
            "after",
            "age",
            "jitter",
            "after_packets",
            "every",
            "times",
            "sockets",
            "random",
            "for",
            "code",
            "reason",
            "status",
            "retry_after",
            "share",
            "by",
            "packets",
            "bytes",
            "frames_per_s",
            "length",
            "segment",
            "state",
            "bytes_per_s",
            "token",
            "grace",
            "connections",
            "seed",
            "fault",
        ])
        .prop_map(str::to_owned),
        "[a-z_]{1,6}",
    ];
    let value = prop_oneof![
        prop::sample::select(vec![
            "\"reset\"",
            "\"stall\"",
            "\"close\"",
            "\"refuse\"",
            "\"split\"",
            "\"30s\"",
            "\"09:20\"",
            "[1, 2]",
            "\"all\"",
            "nan",
            "-inf",
            "{}",
            "[]",
            "true",
            "2026-02-09",
            "99999999999999999999",
            "0x7fffffffffffffff",
        ])
        .prop_map(str::to_owned),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:?}")),
        "\"[0-9a-z.:]{0,8}\"",
    ];
    prop_oneof![
        Just("[[fault]]".to_owned()),
        (key, value).prop_map(|(key, value)| format!("{key} = {value}")),
    ]
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".*") {
        let _ = text.parse::<Script>();
    }

    #[test]
    fn no_script_makes_it_panic(lines in prop::collection::vec(line(), 0..16)) {
        if let Err(error) = lines.join("\n").parse::<Script>() {
            let text = error.to_string();
            prop_assert!(text.starts_with("script, line ") && text.len() < 600, "{}", text);
        }
    }
}
