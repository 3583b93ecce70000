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
    // 128 KiB each: one in the queue that was empty, and two in the 256 KiB that are kept.
    assert_eq!(taken, 3);
    assert_eq!(inbox.bytes(), 0, "the end drops what waits");
}

#[tokio::test(start_paused = true)]
async fn a_long_message_leaves_the_answers_their_room() {
    let limit = 2 * ANSWER_BYTES;
    let (outbox, inbox) = outbox(limits(100, limit));
    assert_eq!(outbox.push(text(2 * limit), None), Push::Taken);
    for _ in 0..ANSWERS {
        assert!(outbox.answer(text(1)));
    }
    assert_eq!(inbox.bytes(), 2 * limit + ANSWERS);
    assert_eq!(outbox.push(text(1), None), Push::Full);
    // They come in order, and what is kept for them is free again.
    assert_eq!(inbox.try_next().unwrap().message.len(), 2 * limit);
    assert_eq!(outbox.push(text(limit), None), Push::Taken, "their room");
    assert_eq!(inbox.try_next().unwrap().message.len(), 1);
    assert!(outbox.answer(text(1)));
    assert!(!outbox.answer(text(1)));
}

#[tokio::test(start_paused = true)]
async fn while_there_is_room_answers_are_as_many_as_messages() {
    let (outbox, inbox) = outbox(limits(1_000, 1_000));
    for _ in 0..1_000 + ANSWERS {
        assert!(outbox.answer(text(1)));
    }
    assert_eq!(inbox.len(), 1_000 + ANSWERS);
    assert!(!outbox.answer(text(1)));
}

#[tokio::test(start_paused = true)]
async fn waiting_until_there_is_a_message_leaves_it_where_it_is() {
    let (outbox, inbox) = outbox(limits(10, 1_000));
    let mut ready = Box::pin(inbox.ready());
    let mut context = Context::from_waker(Waker::noop());
    assert!(ready.as_mut().poll(&mut context).is_pending());
    assert_eq!(outbox.push("1".into(), None), Push::Taken);
    outbox.wake();
    assert_eq!(ready.as_mut().poll(&mut context), Poll::Ready(Ok(())));
    drop(outbox);
    assert_eq!((inbox.len(), inbox.ready().await), (1, Ok(())));
    inbox.try_next().unwrap();
    assert_eq!(inbox.ready().await, Err(StreamEnd::Stopping));
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
            // Lengths, and whether each is in the room that is kept for answers.
            let mut model: VecDeque<(usize, bool)> = VecDeque::new();
            for step in steps {
                let common: Vec<usize> = model
                    .iter()
                    .filter(|(_, kept)| !kept)
                    .map(|(len, _)| *len)
                    .collect();
                let fits = |len: usize| {
                    let waiting: usize = common.iter().sum();
                    common.is_empty() || common.len() < messages && waiting + len <= bytes
                };
                match step {
                    Step::Push(len) => {
                        let expected = if fits(len) { Push::Taken } else { Push::Full };
                        assert_eq!(outbox.push(text(len), None), expected);
                        if fits(len) {
                            model.push_back((len, false));
                        }
                    }
                    Step::Answer(len) => {
                        if fits(len) || model.len() - common.len() < ANSWERS {
                            assert!(outbox.answer(text(len)));
                            model.push_back((len, !fits(len)));
                        }
                    }
                    Step::Take => {
                        let taken = inbox.try_next().map(|next| next.message.len());
                        assert_eq!(taken, model.pop_front().map(|(len, _)| len));
                    }
                }
                assert_eq!(inbox.len(), model.len());
                assert_eq!(inbox.bytes(), model.iter().map(|(len, _)| len).sum::<usize>());
            }
        });
    }
}
