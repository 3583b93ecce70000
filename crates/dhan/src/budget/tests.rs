use proptest::prelude::*;

use super::*;

const START: Now = Now {
    mono: Mono::from_nanos(5_000_000_000_000),
    // 2026-02-09T10:00:00+05:30
    utc: Utc::from_nanos(1_770_611_400_000_000_000),
};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn full(now: Now) -> Budget {
    Budget::new(&BudgetConfig::default(), &Limits::default(), None, now)
}

fn restored(stored: &Stored, now: Now) -> Budget {
    Budget::new(
        &BudgetConfig::default(),
        &Limits::default(),
        Some(stored),
        now,
    )
}

/// How many attempts can be spent at once.
fn spend_all(budget: &mut Budget, now: Now) -> u32 {
    (0..).take_while(|_| budget.spend(now)).count() as u32
}

#[test]
fn ten_at_once_then_one_every_12_seconds() {
    let mut budget = full(START);
    assert_eq!(budget.left(START.mono), 10);
    assert_eq!(spend_all(&mut budget, START), 10);
    assert_eq!(budget.left(START.mono), 0);
    assert_eq!(budget.ready_at(), START.mono + seconds(12));
    assert!(!budget.spend(START + Duration::from_millis(11_999)));
    assert!(budget.spend(START + seconds(12)));
    assert_eq!(budget.ready_at(), START.mono + seconds(24));
    // A day does not gather more than ten.
    assert_eq!(spend_all(&mut budget, START + seconds(86_400)), 10);
}

#[test]
fn ten_restarts_in_a_minute_open_no_more_than_the_budget() {
    let mut stored = None;
    let mut attempts = 0;
    for restart in 0..10 {
        // Each process has a monotonic clock of its own.
        let now = Now {
            mono: Mono::from_nanos(restart * 77),
            utc: START.utc + seconds(restart * 6),
        };
        let mut budget = match &stored {
            None => full(now),
            Some(stored) => restored(stored, now),
        };
        for _ in 0..5 {
            if budget.spend(now) {
                attempts += 1;
                stored = Some(Stored::from_json(&budget.stored(now).to_json()).unwrap());
            }
        }
    }
    // 54 seconds: ten, and four that came meanwhile.
    assert_eq!(attempts, 14);
}

#[test]
fn a_clock_that_went_back_yields_nothing_and_locks_nobody_out_for_longer() {
    let mut budget = full(START);
    spend_all(&mut budget, START);
    budget.refuse(START, &Limits::default(), None, Duration::ZERO);
    let stored = budget.stored(START);
    let back = Now {
        mono: Mono::default(),
        utc: START.utc - seconds(365 * 86_400),
    };
    let budget = restored(&stored, back);
    assert_eq!(budget.left(back.mono), 0);
    assert_eq!(budget.ready_at(), back.mono + seconds(12));
    assert_eq!(budget.locked_until(), Some(back.mono + seconds(60)));
    // In a process that lives, nothing that is done to the clock changes anything.
    let mut budget = restored(&stored, back);
    let forward = Now {
        mono: back.mono + seconds(13),
        utc: START.utc + seconds(365 * 86_400),
    };
    assert_eq!(spend_all(&mut budget, forward), 1);
    // What was stored then and there goes on from there.
    let later = Now {
        mono: Mono::default(),
        utc: forward.utc + seconds(60),
    };
    let budget = restored(&budget.stored(forward), later);
    assert_eq!(budget.left(later.mono), 5);
    assert_eq!(budget.locked_until(), None);
}

#[test]
fn refusals_lock_out_for_longer_and_longer_and_survive() {
    let limits = Limits::default();
    let mut budget = full(START);
    let mut now = START;
    for expected in [60, 120, 240, 300, 300] {
        budget.refuse(now, &limits, None, Duration::from_millis(7));
        let until = now.mono + seconds(expected) + Duration::from_millis(7);
        assert_eq!(budget.locked_until(), Some(until), "{expected}");
        // Another attempt that was under way does not count.
        budget.refuse(now + seconds(1), &limits, None, Duration::ZERO);
        let until = until.max(now.mono + seconds(1 + expected));
        assert_eq!(budget.locked_until(), Some(until), "{expected}");

        let half = now + seconds(expected / 2);
        let rest = restored(&budget.stored(half), half).locked_until().unwrap();
        assert!(rest >= until, "{expected}");
        assert!(rest <= until + Duration::from_millis(2), "{expected}");
        now = now + seconds(expected) + seconds(2);
        assert_eq!(restored(&budget.stored(now), now).locked_until(), None);
    }
    assert!(budget.forgive());
    assert!(!budget.forgive());
    budget.refuse(now, &limits, None, Duration::ZERO);
    assert_eq!(budget.locked_until(), Some(now.mono + seconds(60)));
}

#[test]
fn what_the_broker_asks_for_is_granted_when_it_is_longer_but_not_for_days() {
    for (asked, granted) in [(0, 60), (59, 60), (90, 90), (3600, 3600), (100_000, 3600)] {
        let mut budget = full(START);
        let asked = Some(seconds(asked));
        budget.refuse(START, &Limits::default(), asked, Duration::ZERO);
        assert_eq!(
            budget.locked_until(),
            Some(START.mono + seconds(granted)),
            "{asked:?}"
        );
    }
}

#[test]
fn a_budget_without_a_refill_time_is_without_an_end() {
    let config = BudgetConfig {
        refill: Duration::ZERO,
        size: 0,
        ..BudgetConfig::default()
    };
    let mut budget = Budget::new(&config, &Limits::default(), None, START);
    assert!((0..100).all(|_| budget.spend(START)));
    assert_eq!(budget.left(START.mono), 1);
    let config = BudgetConfig {
        size: 0,
        ..BudgetConfig::default()
    };
    let mut budget = Budget::new(&config, &Limits::default(), None, START);
    assert_eq!(spend_all(&mut budget, START), 1);
}

fn file(path: PathBuf) -> (BudgetFile, BudgetConfig) {
    let config = BudgetConfig {
        path: Some(path),
        ..BudgetConfig::default()
    };
    (BudgetFile::new(&config), config)
}

#[test]
fn a_file_keeps_it_and_a_crash_in_between_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("connect-budget.json");
    let (mut file, config) = file(path.clone());
    assert_eq!(
        file.load(&config, START),
        None,
        "nothing stored: a full one"
    );
    let mut budget = full(START);
    budget.spend(START);
    let first = budget.stored(START);
    assert!(file.store(&first, START.mono));
    assert_eq!(file.load(&config, START), Some(first.clone()));
    // Half of the next one was written when the machine stopped.
    std::fs::write(folder.path().join("connect-budget.json.new"), "{\"ver").unwrap();
    assert_eq!(file.load(&config, START), Some(first));
    budget.spend(START);
    let second = budget.stored(START);
    assert!(file.store(&second, START.mono));
    assert_eq!(file.load(&config, START), Some(second));
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(names.len(), 1);
}

#[test]
fn a_file_that_cannot_be_understood_leaves_one_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("budget");
    let whole = full(START).stored(START).to_json();
    let (file, config) = file(path.clone());
    for text in [
        "",
        "{}",
        "null",
        &whole[..whole.len() - 1],
        &whole.replace("\"version\":1", "\"version\":2"),
        &whole.replace("credit_ms", "credits"),
        &whole.replace(":120000", ":-5"),
    ] {
        std::fs::write(&path, text).unwrap();
        let stored = file.load(&config, START);
        let mut budget = restored(&stored.unwrap(), START);
        assert_eq!(spend_all(&mut budget, START), 1, "{text}");
    }
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(file.load(&config, START).is_some());
    std::fs::remove_file(&path).unwrap();
    // A folder in its place can be neither read nor replaced.
    std::fs::create_dir(&path).unwrap();
    let stored = file.load(&config, START).unwrap();
    assert_eq!(restored(&stored, START).left(START.mono), 1);
    let mut file = BudgetFile::new(&config);
    assert!(!file.store(&stored, START.mono));
}

#[test]
fn without_a_path_there_is_nothing_to_load_or_to_fail() {
    let config = BudgetConfig::default();
    let mut file = BudgetFile::new(&config);
    assert_eq!(file.load(&config, START), None);
    assert!(file.store(&full(START).stored(START), START.mono));
}

proptest! {
    /// Whatever is in the file: no panic, never more than a full bucket, and no lock-out
    /// beyond the longest that the rule knows.
    #[test]
    fn nothing_in_a_file_breaks_it(
        at_ms: i64, credit_ms: u64, refusals: u32,
        lockout: Option<(i64, u64)>, mono: u64, utc: i64,
    ) {
        let text = serde_json::json!({
            "version": 1, "at_ms": at_ms, "credit_ms": credit_ms, "refusals": refusals,
            "lockout": lockout.map(|(since_ms, wait_ms)| serde_json::json!({
                "since_ms": since_ms, "wait_ms": wait_ms,
            })),
        });
        let stored = Stored::from_json(&text.to_string()).unwrap();
        let now = Now { mono: Mono::from_nanos(mono / 2), utc: Utc::from_nanos(utc) };
        let mut budget = restored(&stored, now);
        if let Some(until) = budget.locked_until() {
            prop_assert!(until.since(now.mono) <= seconds(3600 + 30));
        }
        budget.refuse(now, &Limits::default(), None, Duration::ZERO);
        prop_assert!(budget.locked_until().unwrap().since(now.mono) >= seconds(60));
        prop_assert!(spend_all(&mut budget, now) <= 10);
    }

    #[test]
    fn no_text_is_too_strange(text: String) {
        let _ = Stored::from_json(&text);
    }
}
