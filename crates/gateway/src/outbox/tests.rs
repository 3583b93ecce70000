use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Wake;

use proptest::prelude::*;

use super::*;

fn limits(messages: usize, bytes: usize) -> StreamLimits {
    StreamLimits {
        messages,
        bytes,
        stall: Duration::from_secs(30),
    }
}

fn text(len: usize) -> Message {
    "x".repeat(len).into()
}

#[tokio::test(start_paused = true)]
async fn messages_come_in_order_and_no_more_than_fit() {
    let (outbox, inbox) = outbox(limits(2, 1_000));
    assert_eq!(outbox.push("1".into(), None), Push::Taken);
    assert_eq!(outbox.room(), Push::Taken);
    assert_eq!(outbox.push("2".into(), Some(Class::BATCH)), Push::Taken);
    assert_eq!(outbox.room(), Push::Full);
    assert_eq!(outbox.push("3".into(), None), Push::Full);
    assert_eq!((inbox.len(), inbox.bytes()), (2, 2));
    assert_eq!(inbox.next().await.unwrap().message.as_str(), "1");
    let second = inbox.try_next().unwrap();
    assert_eq!(
        (second.message.as_str(), second.class),
        ("2", Some(Class::BATCH))
    );
    assert!(inbox.try_next().is_none() && inbox.is_empty());
    assert_eq!(inbox.bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn bytes_are_bounded_and_a_single_message_may_be_longer() {
    let (outbox, inbox) = outbox(limits(100, 10));
    assert_eq!(outbox.push(text(50), None), Push::Taken);
    assert_eq!(outbox.push(text(1), None), Push::Full);
    inbox.try_next().unwrap();
    assert_eq!(outbox.push(text(5), None), Push::Taken);
    assert_eq!(outbox.push(text(6), None), Push::Full);
    assert_eq!(outbox.push(text(5), None), Push::Taken);
}

#[tokio::test(start_paused = true)]
async fn answers_have_room_of_their_own() {
    let (outbox, inbox) = outbox(limits(1, 1_000));
    assert_eq!(outbox.push(text(1), None), Push::Taken);
    for _ in 0..ANSWERS {
        assert!(outbox.answer(text(1)));
    }
    assert!(!outbox.answer(text(1)), "even that is used up");
    assert_eq!(inbox.ended().await, StreamEnd::Unread);
    assert_eq!(inbox.next().await.unwrap_err(), StreamEnd::Unread);
    assert_eq!(outbox.push(text(1), None), Push::Gone);
    assert!(!outbox.answer(text(1)));
}

#[tokio::test(start_paused = true)]
async fn long_answers_are_bounded_too() {
    let (outbox, inbox) = outbox(limits(1, 1_000));
    let long = ANSWER_BYTES / 2;
    let taken = (0..ANSWERS)
        .take_while(|_| outbox.answer(text(long)))
        .count();
    // 128 KiB each: with 256 KiB and the queue's own thousand there are three, the last
    // of which goes beyond.
    assert_eq!(taken, 3);
    assert_eq!(inbox.bytes(), 0, "the end drops what waits");
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_stays_full_ends_after_the_limit() {
    let (outbox, inbox) = outbox(limits(1, 1_000));
    assert_eq!(outbox.push("1".into(), None), Push::Taken);
    let stall = Duration::from_secs(30);
    assert_eq!(outbox.push("2".into(), None), Push::Full);
    tokio::time::advance(stall - Duration::from_millis(1)).await;
    assert_eq!(outbox.push("3".into(), None), Push::Full);
    // Room for a moment: the time begins anew.
    inbox.try_next().unwrap();
    assert_eq!(outbox.push("4".into(), None), Push::Taken);
    assert_eq!(outbox.room(), Push::Full);
    tokio::time::advance(stall - Duration::from_millis(1)).await;
    assert_eq!(outbox.room(), Push::Full);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(outbox.room(), Push::Gone);
    assert_eq!(inbox.ended().await, StreamEnd::TooSlow);
    assert!(inbox.try_next().is_none(), "what waited is gone at once");
}

#[tokio::test(start_paused = true)]
async fn what_still_fits_does_not_make_a_client_that_reads_nothing_look_alive() {
    let (outbox, inbox) = outbox(limits(100, 10));
    assert_eq!(outbox.push(text(8), None), Push::Taken);
    assert_eq!(outbox.push(text(3), None), Push::Full);
    assert_eq!(outbox.room(), Push::Full);
    tokio::time::advance(Duration::from_secs(29)).await;
    assert_eq!(
        outbox.push(text(1), None),
        Push::Taken,
        "it is short enough"
    );
    assert_eq!(outbox.room(), Push::Full);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(outbox.room(), Push::Gone);
    assert_eq!(inbox.ended().await, StreamEnd::TooSlow);
}

#[tokio::test(start_paused = true)]
async fn who_reads_now_and_then_is_not_let_go() {
    let (outbox, inbox) = outbox(limits(2, 1_000));
    for _ in 0..100 {
        while outbox.push(text(1), None) == Push::Taken {}
        assert_eq!(outbox.room(), Push::Full);
        tokio::time::advance(Duration::from_secs(20)).await;
        inbox.try_next().unwrap();
        assert_eq!(outbox.room(), Push::Taken);
    }
}

#[tokio::test(start_paused = true)]
async fn the_hubs_end_lets_the_rest_be_read() {
    let (outbox, inbox) = outbox(limits(10, 1_000));
    assert_eq!(outbox.push("last".into(), None), Push::Taken);
    drop(outbox);
    assert_eq!(inbox.ended().await, StreamEnd::Stopping);
    assert_eq!(inbox.next().await.unwrap().message.as_str(), "last");
    assert_eq!(inbox.next().await.unwrap_err(), StreamEnd::Stopping);
}

#[tokio::test(start_paused = true)]
async fn nobody_reads_nothing_is_kept() {
    let (outbox, inbox) = outbox(limits(10, 1_000));
    assert_eq!(outbox.push("1".into(), None), Push::Taken);
    drop(inbox);
    assert_eq!(
        (outbox.len(), outbox.push("2".into(), None)),
        (0, Push::Gone)
    );
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn many_messages_wake_once() {
    let (outbox, inbox) = outbox(limits(10, 1_000));
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut context = Context::from_waker(&waker);
    let mut next = pin!(inbox.next());
    assert!(next.as_mut().poll(&mut context).is_pending());
    for _ in 0..5 {
        assert_eq!(outbox.push("m".into(), None), Push::Taken);
    }
    assert_eq!(wakes.0.load(Relaxed), 0, "a push wakes nobody");
    outbox.wake();
    outbox.wake();
    assert_eq!(wakes.0.load(Relaxed), 1);
    let Poll::Ready(Ok(_)) = next.as_mut().poll(&mut context) else {
        panic!("there are five");
    };
    assert_eq!(core::iter::from_fn(|| inbox.try_next()).count(), 4);
}

/// What happens to a queue.
#[derive(Debug, Clone)]
enum Step {
    Push(usize),
    Answer(usize),
    Take,
}

proptest! {
    /// Against a plain list.
    #[test]
    fn a_queue_is_a_bounded_list(
        messages in 1_usize..6,
        bytes in 1_usize..40,
        steps in prop::collection::vec(prop_oneof![
            (0_usize..30).prop_map(Step::Push),
            (0_usize..30).prop_map(Step::Answer),
            Just(Step::Take),
        ], 0..80),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let (outbox, inbox) = outbox(limits(messages, bytes));
            let mut model: VecDeque<usize> = VecDeque::new();
            for step in steps {
                let waiting: usize = model.iter().sum();
                match step {
                    Step::Push(len) => {
                        let fits = model.is_empty()
                            || model.len() < messages && waiting + len <= bytes;
                        let expected = if fits { Push::Taken } else { Push::Full };
                        assert_eq!(outbox.push(text(len), None), expected);
                        if fits {
                            model.push_back(len);
                        }
                    }
                    Step::Answer(len) => {
                        if model.len() < messages + ANSWERS {
                            assert!(outbox.answer(text(len)));
                            model.push_back(len);
                        }
                    }
                    Step::Take => {
                        let taken = inbox.try_next().map(|next| next.message.len());
                        assert_eq!(taken, model.pop_front());
                    }
                }
                assert_eq!(inbox.len(), model.len());
                assert_eq!(inbox.bytes(), model.iter().sum::<usize>());
            }
        });
    }
}
