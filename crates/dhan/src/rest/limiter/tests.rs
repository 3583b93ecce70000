use super::*;
use proptest::prelude::*;
use strikewire_types::Segment;

const NIFTY: InstrumentKey = InstrumentKey::new(Segment::IdxI, 13);
const BANKNIFTY: InstrumentKey = InstrumentKey::new(Segment::IdxI, 25);

fn limits() -> RestLimits {
    RestLimits {
        quote_every: ms(1_000),
        chain_every: ms(3_000),
        data_every: ms(200),
        data_per_day: 1_000,
        max_wait: ms(10_000),
        rest_first: ms(1_000),
        rest_longest: ms(30_000),
        ..RestLimits::default()
    }
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// So many milliseconds after ten in the morning in India, 2026-02-09.
fn at(millis: u64) -> Now {
    Now {
        mono: Mono::default() + ms(millis),
        utc: Utc::from_nanos(1_770_611_400_000_000_000) + ms(millis),
    }
}

fn enter(limiter: &mut Limiter, millis: u64, question: Question) -> Ticket {
    limiter.enter(at(millis), question, None).unwrap()
}

fn goes(limiter: &mut Limiter, millis: u64, ticket: Ticket) -> bool {
    limiter.poll(at(millis), ticket) == Verdict::Go
}

fn waits_until(limiter: &mut Limiter, millis: u64, ticket: Ticket) -> u64 {
    match limiter.poll(at(millis), ticket) {
        Verdict::Wait(until) => until.as_nanos() / 1_000_000,
        other => panic!("{other:?}"),
    }
}

fn chain(underlying: InstrumentKey) -> Question {
    Question::Chain(underlying, Some("24FEB2026".parse().unwrap()))
}

#[test]
fn a_family_goes_at_its_distance() {
    let mut limiter = Limiter::new(limits());
    let [a, b, c] = [5_000; 3].map(|time| enter(&mut limiter, time, Question::Quotes));
    assert!(goes(&mut limiter, 5_000, a));
    assert_eq!(waits_until(&mut limiter, 5_000, b), 6_000);
    assert_eq!(waits_until(&mut limiter, 5_999, c), 6_000);
    // The one whose turn it is goes, whoever looks first.
    assert_eq!(waits_until(&mut limiter, 6_003, c), 7_003);
    assert!(goes(&mut limiter, 6_010, b));
    // Families do not wait for each other.
    let d = enter(&mut limiter, 6_011, Question::Candles);
    assert!(goes(&mut limiter, 6_011, d));
    assert!(!goes(&mut limiter, 7_002, c));
    assert!(goes(&mut limiter, 7_003, c));
}

#[test]
fn the_same_chain_waits_and_holds_nobody_up() {
    let mut limiter = Limiter::new(limits());
    let first = enter(&mut limiter, 0, chain(NIFTY));
    let same = enter(&mut limiter, 0, chain(NIFTY));
    let expiries = enter(&mut limiter, 0, Question::Chain(NIFTY, None));
    let other = enter(&mut limiter, 0, chain(BANKNIFTY));
    let candles = enter(&mut limiter, 0, Question::Candles);
    assert!(goes(&mut limiter, 0, first));
    assert_eq!(waits_until(&mut limiter, 0, same), 3_000);
    assert!(goes(&mut limiter, 200, expiries));
    assert!(goes(&mut limiter, 400, other));
    assert!(goes(&mut limiter, 600, candles));
    // It came before the ones that come now.
    let later = enter(&mut limiter, 2_990, Question::Candles);
    let last = enter(&mut limiter, 2_990, Question::Candles);
    assert!(goes(&mut limiter, 2_990, later));
    assert_eq!(waits_until(&mut limiter, 3_000, same), 3_190);
    assert!(goes(&mut limiter, 3_190, same));
    assert!(!goes(&mut limiter, 3_190, last));
    assert!(goes(&mut limiter, 3_390, last));
}

#[test]
fn who_leaves_makes_room() {
    let mut limiter = Limiter::new(limits());
    let [a, b, c] = [0; 3].map(|time| enter(&mut limiter, time, Question::Quotes));
    assert!(goes(&mut limiter, 0, a));
    limiter.leave(b);
    assert!(goes(&mut limiter, 1_000, c));
}

#[test]
fn who_would_wait_too_long_is_refused_at_once() {
    let mut limiter = Limiter::new(limits());
    for _ in 0..11 {
        enter(&mut limiter, 0, Question::Quotes);
    }
    let refusal = limiter.enter(at(0), Question::Quotes, None).unwrap_err();
    let expected = Refusal {
        wait: ms(11_000),
        is_for_today: false,
    };
    assert_eq!(refusal, expected);
    // The refused one is not in the line.
    assert!(limiter.enter(at(1_000), Question::Quotes, None).is_ok());
    let refusal = limiter
        .enter(at(1_000), Question::Quotes, None)
        .unwrap_err();
    assert_eq!(refusal.wait, ms(11_000));
}

#[test]
fn rests_double_while_they_follow_each_other() {
    let mut limiter = Limiter::new(limits());
    let mut rests = Vec::new();
    let mut time = 0;
    for _ in 0..7 {
        let sent = at(time).mono;
        let rest = limiter.limited(at(time), Question::Quotes, sent, None, 0.0);
        rests.push(rest.as_secs());
        time += 100_000;
    }
    assert_eq!(rests, [1, 2, 4, 8, 16, 30, 30]);
    // Others of the family that were under way are no news.
    let sent = at(time - 100_001).mono;
    let rest = limiter.limited(at(time), Question::Quotes, sent, None, 0.0);
    assert_eq!(rest, ms(30_000));
    limiter.answered(Question::Quotes, at(time + 1).mono);
    let sent = at(time + 100_000).mono;
    let rest = limiter.limited(at(time + 100_000), Question::Quotes, sent, None, 1.0);
    assert_eq!(rest, ms(1_100));
}

#[test]
fn answers_to_what_was_under_way_do_not_double() {
    let mut limiter = Limiter::new(limits());
    let [a, b] = [at(0).mono, at(200).mono];
    let rest = limiter.limited(at(300), Question::Candles, a, None, 0.0);
    assert_eq!(rest, ms(1_000));
    let rest = limiter.limited(at(350), Question::Candles, b, None, 0.0);
    assert_eq!(rest, ms(1_000));
    // Nor does an answer to what was sent before say that all is well again.
    limiter.answered(Question::Candles, a);
    let rest = limiter.limited(at(2_000), Question::Candles, at(1_400).mono, None, 0.0);
    assert_eq!(rest, ms(2_000));
}

#[test]
fn a_rest_is_for_the_family_and_as_long_as_asked_for() {
    let mut limiter = Limiter::new(limits());
    let first = enter(&mut limiter, 0, chain(NIFTY));
    assert!(goes(&mut limiter, 0, first));
    let rest = limiter.limited(at(100), chain(NIFTY), at(0).mono, Some(ms(7_000)), 0.0);
    assert_eq!(rest, ms(7_000));
    // A shorter one does not cut it.
    let rest = limiter.limited(at(200), chain(BANKNIFTY), at(0).mono, Some(ms(1_000)), 0.0);
    assert_eq!(rest, ms(6_900));
    let other = enter(&mut limiter, 300, chain(BANKNIFTY));
    assert_eq!(waits_until(&mut limiter, 300, other), 7_100);
    let candles = enter(&mut limiter, 300, Question::Candles);
    assert!(goes(&mut limiter, 300, candles));
    // Asked again, a question keeps its place.
    let again = limiter.enter(at(400), chain(NIFTY), Some(first)).unwrap();
    assert_eq!(again, first);
    assert!(!goes(&mut limiter, 7_100, other));
    assert!(goes(&mut limiter, 7_100, first));
    assert!(goes(&mut limiter, 7_300, other));
}

#[test]
fn a_rest_turns_away_who_has_no_time_for_it() {
    let mut limiter = Limiter::new(limits());
    let [a, b, c] = [0, 0, 3_000].map(|time| enter(&mut limiter, time, Question::Quotes));
    assert!(goes(&mut limiter, 3_000, a) && goes(&mut limiter, 3_000, b));
    let sent = at(3_000).mono;
    let rest = limiter.limited(at(3_000), Question::Quotes, sent, Some(ms(9_500)), 0.0);
    assert_eq!(rest, ms(9_500));
    let d = enter(&mut limiter, 3_500, Question::Quotes);
    let sent = at(3_500).mono;
    limiter.limited(at(3_500), Question::Quotes, sent, Some(ms(9_800)), 0.0);
    // c had time until 13.0, d has until 13.5 and would go at 13.3 now.
    let expected = Refusal {
        wait: ms(9_800),
        is_for_today: false,
    };
    assert_eq!(limiter.poll(at(3_501), c), Verdict::Refused(expected));
    assert!(!goes(&mut limiter, 3_501, d));
}

#[test]
fn a_day_has_so_many_requests() {
    let mut limiter = Limiter::new(RestLimits {
        data_per_day: 2,
        ..limits()
    });
    let a = enter(&mut limiter, 0, Question::Candles);
    assert!(goes(&mut limiter, 0, a));
    enter(&mut limiter, 0, chain(NIFTY));
    let refusal = limiter.enter(at(0), Question::Candles, None).unwrap_err();
    let fourteen_hours = 14 * 3_600_000;
    let expected = Refusal {
        wait: ms(fourteen_hours),
        is_for_today: true,
    };
    assert_eq!(refusal, expected);
    assert!(limiter.enter(at(0), Question::Quotes, None).is_ok());
    let tomorrow = fourteen_hours;
    assert!(
        limiter
            .enter(at(tomorrow - 1), Question::Candles, None)
            .is_err()
    );
    // The chain has just gone.
    let b = enter(&mut limiter, tomorrow, Question::Candles);
    assert!(goes(&mut limiter, tomorrow + 199, b));
}

#[test]
fn without_limits_nobody_waits() {
    let mut limiter = Limiter::new(RestLimits {
        quote_every: Duration::ZERO,
        chain_every: Duration::ZERO,
        data_every: Duration::ZERO,
        ..limits()
    });
    for question in [Question::Quotes, chain(NIFTY), Question::Candles] {
        for _ in 0..3 {
            let ticket = enter(&mut limiter, 0, question);
            assert!(goes(&mut limiter, 0, ticket));
        }
    }
}

/// One thing that happens to a limiter.
#[derive(Debug, Clone)]
enum Step {
    Enter(usize),
    Leave(usize),
    Limited(usize, Option<u64>),
    Answered(usize),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..5_usize).prop_map(Step::Enter),
        1 => any::<usize>().prop_map(Step::Leave),
        1 => (0..5_usize, proptest::option::of(0..15_000_u64))
            .prop_map(|(question, rest)| Step::Limited(question, rest)),
        1 => (0..5_usize).prop_map(Step::Answered),
        4 => (1..2_500_u64).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 0..60)
}

/// What the broker counts, from the times alone: the shortest distance of two.
fn closest(sent: &[(u64, usize)], counts: impl Fn(usize) -> bool) -> u64 {
    let times: Vec<u64> = sent
        .iter()
        .filter(|(_, question)| counts(*question))
        .map(|(time, _)| *time)
        .collect();
    let distances = times.windows(2).map(|pair| pair[1] - pair[0]);
    distances.min().unwrap_or(u64::MAX)
}

/// How often those who wait look, in milliseconds.
const TURN: u64 = 40;

proptest! {
    #[test]
    fn the_broker_never_counts_too_many(steps in steps()) {
        let questions = [
            Question::Quotes,
            Question::Candles,
            chain(NIFTY),
            chain(BANKNIFTY),
            Question::Chain(NIFTY, None),
        ];
        let family = |question: usize| question.min(2);
        let mut limiter = Limiter::new(limits());
        let mut time = 0;
        let mut waiting: Vec<(Ticket, usize, u64)> = Vec::new();
        let mut sent: Vec<(u64, usize)> = Vec::new();
        // Until when a family was told to rest.
        let mut resting = [0; 3];
        let mut look = |limiter: &mut Limiter,
                        waiting: &mut Vec<(Ticket, usize, u64)>,
                        resting: &[u64; 3],
                        time: u64| {
            let mut gone: Vec<(Ticket, usize)> = Vec::new();
            waiting.retain(|&(ticket, question, since)| match limiter.poll(at(time), ticket) {
                Verdict::Go => {
                    assert!(time >= resting[family(question)], "sent while resting");
                    assert!(time - since < 10_000 + TURN, "waited for too long");
                    sent.push((time, question));
                    gone.push((ticket, question));
                    false
                }
                Verdict::Wait(until) => {
                    assert!(until > at(time).mono, "waits for nothing");
                    true
                }
                Verdict::Refused(refusal) => {
                    assert!(!refusal.is_for_today && refusal.wait > Duration::ZERO);
                    false
                }
            });
            for (ticket, question) in gone {
                let overtaken = waiting.iter().find(|other| other.1 == question && other.0 < ticket);
                assert_eq!(overtaken, None, "{ticket:?} went first");
            }
        };
        for step in steps {
            match step {
                Step::Enter(question) => {
                    match limiter.enter(at(time), questions[question], None) {
                        Ok(ticket) => waiting.push((ticket, question, time)),
                        Err(refusal) => prop_assert!(refusal.wait > ms(10_000)),
                    }
                }
                Step::Leave(which) if !waiting.is_empty() => {
                    let (ticket, ..) = waiting.remove(which % waiting.len());
                    limiter.leave(ticket);
                }
                Step::Leave(_) => {}
                Step::Limited(question, asked_for) => {
                    let now = at(time);
                    let asked_for = asked_for.map(ms);
                    let rest = limiter.limited(now, questions[question], now.mono, asked_for, 0.0);
                    resting[family(question)] = time + rest.as_millis() as u64;
                }
                Step::Answered(question) => {
                    limiter.answered(questions[question], at(time).mono);
                }
                Step::Wait(millis) => {
                    // As a gate would, but not as exactly.
                    let end = time + millis;
                    while time < end {
                        time += TURN;
                        look(&mut limiter, &mut waiting, &resting, time);
                    }
                }
            }
            look(&mut limiter, &mut waiting, &resting, time);
        }
        // Nobody stays for ever.
        for _ in 0..11_000 / TURN {
            time += TURN;
            look(&mut limiter, &mut waiting, &resting, time);
        }
        prop_assert_eq!(waiting.len(), 0);
        prop_assert!(closest(&sent, |question| question == 0) >= 1_000);
        prop_assert!(closest(&sent, |question| question != 0) >= 200);
        for chain in 2..5 {
            prop_assert!(closest(&sent, |question| question == chain) >= 3_000);
        }
    }
}
