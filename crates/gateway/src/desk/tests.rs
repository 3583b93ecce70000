use core::convert::Infallible;
use std::sync::Arc;

use parking_lot::Mutex;
use strikewire_broker::Reference;
use strikewire_types::Segment;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::Instant;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Answers every key, each call after `takes`; the first calls fail as told.
#[derive(Clone)]
struct Broker {
    most: usize,
    takes: Duration,
    fails: Arc<Mutex<Vec<ReferenceError>>>,
    begun: Instant,
    calls: Arc<Mutex<Vec<Asked>>>,
}

/// When a call was made, in milliseconds from the beginning, and for what.
type Asked = (u128, Vec<u32>);

impl Broker {
    fn new(most: usize, takes: Duration) -> Self {
        Self {
            most,
            takes,
            fails: Arc::default(),
            begun: Instant::now(),
            calls: Arc::default(),
        }
    }

    fn failing(self, errors: impl IntoIterator<Item = ReferenceError>) -> Self {
        self.fails.lock().extend(errors);
        self
    }

    fn calls(&self) -> Vec<Asked> {
        self.calls.lock().clone()
    }
}

impl Reference for Broker {
    fn quotes_per_call(&self) -> usize {
        self.most
    }

    async fn quotes(
        &self,
        wanted: &[(InstrumentKey, PriceStep)],
    ) -> Result<Vec<Snapshot>, ReferenceError> {
        let ids = wanted.iter().map(|(key, _)| key.id.0).collect();
        let at = self.begun.elapsed().as_millis();
        self.calls.lock().push((at, ids));
        tokio::time::sleep(self.takes).await;
        let failure = {
            let mut fails = self.fails.lock();
            (!fails.is_empty()).then(|| fails.remove(0))
        };
        match failure {
            Some(error) => Err(error),
            None => Ok(wanted.iter().map(|(key, _)| Snapshot::new(*key)).collect()),
        }
    }
}

fn unavailable() -> ReferenceError {
    ReferenceError::Unavailable {
        call: "quotes",
        detail: "out of order".into(),
    }
}

fn key(id: u32) -> InstrumentKey {
    InstrumentKey::new(Segment::NseFno, id)
}

fn wishes(ids: impl IntoIterator<Item = u32>) -> Vec<(InstrumentKey, PriceStep)> {
    ids.into_iter()
        .map(|id| (key(id), PriceStep::PAISA))
        .collect()
}

/// A desk at work, and the rows' end of it.
struct Open {
    desk: Desk,
    /// What went to the rows, and the instruments of it.
    rows: mpsc::Receiver<Answers>,
    owner: Option<oneshot::Sender<Infallible>>,
    task: JoinHandle<()>,
}

impl Open {
    fn wait(&self, id: u32) -> JoinHandle<Result<u32, Error>> {
        let desk = self.desk.clone();
        tokio::task::spawn_local(async move {
            let quote = desk.shared_quote(key(id), PriceStep::PAISA).await?;
            Ok(quote.key.id.0)
        })
    }

    fn rows(&mut self) -> Vec<u32> {
        let mut written = Vec::new();
        while let Ok(answers) = self.rows.try_recv() {
            assert!(answers.asked_at.mono <= answers.at.mono);
            written.extend(answers.snapshots.iter().map(|it| it.key.id.0));
        }
        written
    }
}

async fn with(broker: &Broker, test: impl AsyncFnOnce(&mut Open)) {
    let mut config = Config::default();
    config.book.total = 5_000;
    let clock = Clock::system();
    let desk = Desk::new(&config, clock);
    let (rows_tx, rows) = mpsc::channel(ANSWERS);
    let (owner, owner_ended) = oneshot::channel();
    let task = run(
        desk.clone(),
        Arc::new(broker.clone()),
        clock,
        rows_tx,
        owner_ended,
    );
    LocalSet::new()
        .run_until(async {
            let mut open = Open {
                desk,
                rows,
                owner: Some(owner),
                task: tokio::task::spawn_local(task),
            };
            test(&mut open).await;
            open.owner = None;
            open.task.await.unwrap();
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn gaps_are_closed_in_order_call_by_call() {
    let broker = Broker::new(1_000, Duration::from_millis(100));
    with(&broker, async |open| {
        open.desk.refresh(wishes(0..2_500));
        // Wished for again, each is still asked for once.
        open.desk.refresh(wishes([2_400, 7, 2_400]));
        tokio::time::sleep(5 * SECOND).await;
        let expected: [Asked; 3] = [
            (0, (0..1_000).collect()),
            (1_100, (1_000..2_000).collect()),
            (2_200, (2_000..2_500).collect()),
        ];
        assert_eq!(broker.calls(), expected);
        assert_eq!(open.rows(), (0..2_500).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_somebody_waits_for_goes_first_and_need_not_wait_for_its_turn() {
    let broker = Broker::new(4, Duration::from_millis(100));
    with(&broker, async |open| {
        open.desk.refresh(wishes(1..=6));
        tokio::time::sleep(Duration::from_millis(50)).await;
        open.desk.start_prices(wishes([5, 21, 22]));
        let waiting = [open.wait(31), open.wait(31), open.wait(6)];
        for (waiting, id) in waiting.into_iter().zip([31, 31, 6]) {
            assert_eq!(waiting.await.unwrap().unwrap(), id);
        }
        tokio::time::sleep(5 * SECOND).await;
        let expected: [Asked; 3] = [
            (0, vec![1, 2, 3, 4]),
            // In the order of arrival among equals: 31 and 6 are waited for.
            (110, vec![31, 6, 5, 21]),
            (1_210, vec![22]),
        ];
        let calls = broker.calls();
        assert_eq!(calls.len(), 3);
        for ((at, ids), (about, wanted)) in calls.into_iter().zip(expected) {
            assert_eq!(ids, wanted);
            assert!(at.abs_diff(about) <= 5, "{ids:?} at {at}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_the_call_is_under_way_shares_it_and_gaps_do_not() {
    let broker = Broker::new(10, Duration::from_millis(500));
    with(&broker, async |open| {
        let first = open.wait(1);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let second = open.wait(1);
        // A gap that ended just now is newer than the question.
        open.desk.refresh(wishes([1]));
        assert_eq!(first.await.unwrap().unwrap(), 1);
        assert_eq!(second.await.unwrap().unwrap(), 1);
        assert_eq!(broker.calls().len(), 1);
        // Within a second the answer is given again.
        assert_eq!(open.wait(1).await.unwrap().unwrap(), 1);
        tokio::time::sleep(5 * SECOND).await;
        assert_eq!(broker.calls().len(), 2);
        open.wait(1).await.unwrap().unwrap();
        assert_eq!(broker.calls().len(), 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_nobody_waits_for_any_more_is_not_asked_for() {
    let broker = Broker::new(10, Duration::from_millis(500));
    with(&broker, async |open| {
        let under_way = open.wait(1);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let (stays, gone, also_a_gap) = (open.wait(2), open.wait(3), open.wait(4));
        open.desk.refresh(wishes([4]));
        tokio::time::sleep(Duration::from_millis(100)).await;
        for gone in [under_way, gone, also_a_gap] {
            gone.abort();
        }
        stays.await.unwrap().unwrap();
        let calls: Vec<Vec<u32>> = broker.calls().into_iter().map(|(_, ids)| ids).collect();
        assert_eq!(calls, [vec![1], vec![2, 4]]);
        assert_eq!(open.desk.shared.state.lock().queue.len(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn gaps_are_tried_again_with_longer_rests_and_given_up_at_last() {
    let broker = Broker::new(2, Duration::ZERO).failing([unavailable(), unavailable()]);
    with(&broker, async |open| {
        open.desk.refresh(wishes([1, 2, 3]));
        open.desk.start_prices(wishes([9]));
        tokio::time::sleep(60 * SECOND).await;
        // What has a start price is asked for again by whoever wants it.
        let expected: [Asked; 4] = [
            (0, vec![9, 1]),
            (5_000, vec![1, 2]),
            (15_000, vec![1, 2]),
            (16_000, vec![3]),
        ];
        assert_eq!(broker.calls(), expected);
        assert_eq!(open.rows(), [1, 2, 3]);
    })
    .await;

    let broker = Broker::new(2, Duration::ZERO).failing((0..5).map(|_| unavailable()));
    with(&broker, async |open| {
        open.desk.refresh(wishes([1]));
        tokio::time::sleep(600 * SECOND).await;
        assert_eq!(broker.calls().len(), 5);
        assert_eq!(open.rows(), [0; 0]);
        // What somebody waits for is asked for all the same.
        open.wait(1).await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_to_all_who_wait_and_what_cannot_help_is_not_tried_again() {
    let refused = ReferenceError::NotEntitled {
        call: "quotes",
        code: "DH-902".into(),
        detail: "no data plan".into(),
    };
    let limited = ReferenceError::Limited {
        call: "quotes",
        code: "429".into(),
        detail: "too many".into(),
        retry_after: Some(30 * SECOND),
    };
    let broker = Broker::new(10, Duration::from_millis(100)).failing([refused, limited]);
    with(&broker, async |open| {
        let waiting = [open.wait(1), open.wait(2)];
        // They are there first, and the gap shares their call.
        tokio::task::yield_now().await;
        open.desk.refresh(wishes([5]));
        for waiting in waiting {
            let error = waiting.await.unwrap().unwrap_err().to_string();
            assert!(error.contains("no data plan"), "{error}");
        }
        tokio::time::sleep(60 * SECOND).await;
        assert_eq!(broker.calls().len(), 1);
        // The broker says how long it wants to be left alone.
        open.desk.refresh(wishes([5]));
        tokio::time::sleep(60 * SECOND).await;
        let at: Vec<u128> = broker.calls().into_iter().map(|(at, _)| at).collect();
        assert_eq!(at.len(), 3);
        assert_eq!(at[2] - at[1], 30_100);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_without_quotes_is_asked_once() {
    let none = ReferenceError::Unsupported { what: "quotes" };
    let broker = Broker::new(10, Duration::ZERO).failing([none]);
    with(&broker, async |open| {
        for _ in 0..3 {
            let error = open.wait(1).await.unwrap().unwrap_err();
            assert!(matches!(error, Error::NoQuote { .. }), "{error}");
            open.desk.refresh(wishes([1, 2]));
        }
        tokio::time::sleep(60 * SECOND).await;
        assert_eq!(broker.calls().len(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn another_master_forgets_what_was_asked_and_answered() {
    let broker = Broker::new(10, Duration::from_millis(500));
    with(&broker, async |open| {
        assert_eq!(open.wait(3).await.unwrap().unwrap(), 3);
        open.rows();
        let under_way = open.wait(1);
        open.desk.refresh(wishes([1]));
        tokio::time::sleep(Duration::from_millis(100)).await;
        let waits = open.wait(2);
        open.desk.refresh(wishes([2]));
        tokio::task::yield_now().await;
        open.desk.forget();
        for waiting in [under_way, waits] {
            let error = waiting.await.unwrap().unwrap_err();
            assert!(matches!(error, Error::MasterChanged), "{error}");
        }
        let now = open.desk.shared.clock.now();
        assert!(open.desk.answer_of(now, key(3)).is_none());
        // Who asks now is not given the answer to what was asked before.
        let calls = broker.calls().len();
        assert_eq!(open.wait(1).await.unwrap().unwrap(), 1);
        assert_eq!(broker.calls().len(), calls + 1);
        tokio::time::sleep(5 * SECOND).await;
        assert_eq!(open.rows(), [1]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_owner_ends_it_in_the_middle_of_a_call() {
    let broker = Broker::new(10, 3_600 * SECOND);
    with(&broker, async |open| {
        let under_way = open.wait(1);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let waits = open.wait(2);
        tokio::task::yield_now().await;
        open.owner = None;
        for waiting in [under_way, waits] {
            let error = waiting.await.unwrap().unwrap_err();
            assert!(matches!(error, Error::Stopping), "{error}");
        }
        let late = open.wait(3).await.unwrap().unwrap_err();
        assert!(matches!(late, Error::Stopping), "{late}");
        open.desk.refresh(wishes([1]));
        assert_eq!(broker.calls().len(), 1);
    })
    .await;
}

#[test]
fn wishes_beyond_the_capacity_are_left_out() {
    let mut config = Config::default();
    config.book.total = 10;
    let desk = Desk::new(
        &config,
        Clock::simulated("2026-02-09T10:00:00Z@1".parse().unwrap()),
    );
    let most = 10 + EXTRA as u32;
    desk.refresh(wishes(0..2 * most));
    let call = desk.next_call(usize::MAX, Urgency::Gap).unwrap();
    assert_eq!(call.wanted, wishes(0..most));
}
