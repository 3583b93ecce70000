//! How long requests take: from their head to the moment at which the socket has taken the
//! last of the answer.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::collections::HashMap;
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use metrics::{Histogram, histogram};
use parking_lot::RwLock;

use crate::Api;

/// Measures a request. To be laid around everything else.
pub(crate) async fn measure(State(api): State<Api>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = known(request.method());
    let response = next.run(request).await;
    // A path that no route has is no label: callers make up as many as they like.
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let histogram = api
        .metrics
        .requests
        .histogram(route, method, response.status());
    let timer = Timer { began, histogram };
    response.map(|body| {
        Body::new(Timed {
            body,
            timer: Some(timer),
        })
    })
}

/// The name of a method; one for all that nobody has heard of.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}

/// Where times go, by route: looking a metric up by its labels costs more than a look here.
#[derive(Debug, Default)]
pub(super) struct Requests {
    known: RwLock<HashMap<Box<str>, Vec<Known>>>,
}

#[derive(Debug)]
struct Known {
    method: &'static str,
    status: StatusCode,
    histogram: Histogram,
}

impl Requests {
    fn histogram(&self, route: &str, method: &'static str, status: StatusCode) -> Histogram {
        let found = |known: &HashMap<Box<str>, Vec<Known>>| {
            let mut known = known.get(route)?.iter();
            let known = known.find(|known| known.method == method && known.status == status)?;
            Some(known.histogram.clone())
        };
        if let Some(histogram) = found(&self.known.read()) {
            return histogram;
        }
        let mut known = self.known.write();
        if let Some(histogram) = found(&known) {
            return histogram;
        }
        let histogram = histogram!(
            "strikewire_http_request_seconds",
            "route" => route.to_owned(),
            "method" => method,
            "status" => status.as_u16().to_string()
        );
        known.entry(route.into()).or_default().push(Known {
            method,
            status,
            histogram: histogram.clone(),
        });
        histogram
    }
}

/// Records the time at its end.
#[derive(Debug)]
struct Timer {
    began: Instant,
    histogram: Histogram,
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.histogram.record(self.began.elapsed());
    }
}

/// A body whose last bytes end the timer when they are gone.
#[derive(Debug)]
struct Timed {
    body: Body,
    timer: Option<Timer>,
}

impl HttpBody for Timed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let next = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let frame = match next {
            Some(Ok(frame)) => frame,
            other => {
                self.timer = None;
                return Poll::Ready(other);
            }
        };
        if !frame.is_data() || !self.body.is_end_stream() {
            return Poll::Ready(Some(Ok(frame)));
        }
        Poll::Ready(Some(Ok(match self.timer.take() {
            Some(timer) => frame.map_data(|bytes| {
                Bytes::from_owner(Last {
                    bytes,
                    _timer: timer,
                })
            }),
            None => frame,
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Bytes that the server holds until the socket has taken them.
#[derive(Debug)]
struct Last {
    bytes: Bytes,
    _timer: Timer,
}

impl AsRef<[u8]> for Last {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use core::future::poll_fn;
    use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::sync::Arc;

    use futures_util::stream;
    use metrics::HistogramFn;

    use super::*;

    #[derive(Debug, Default)]
    struct Count(AtomicUsize);

    impl HistogramFn for Count {
        fn record(&self, _: f64) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    fn timed(body: Body) -> (Timed, Arc<Count>) {
        let count = Arc::new(Count::default());
        let timer = Timer {
            began: Instant::now(),
            histogram: Histogram::from_arc(Arc::clone(&count)),
        };
        let timer = Some(timer);
        (Timed { body, timer }, count)
    }

    async fn next(body: &mut Timed) -> Option<Bytes> {
        let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?;
        frame.unwrap().into_data().ok()
    }

    #[tokio::test]
    async fn the_time_ends_when_the_last_bytes_are_gone() {
        let (mut body, count) = timed(Body::from("whole"));
        assert_eq!(body.size_hint().exact(), Some(5));
        let bytes = next(&mut body).await.unwrap();
        assert_eq!(bytes, "whole");
        assert!(body.is_end_stream());
        drop(body);
        assert_eq!(count.0.load(Relaxed), 0, "the socket still has them");
        drop(bytes);
        assert_eq!(count.0.load(Relaxed), 1);
    }

    #[tokio::test]
    async fn a_body_in_pieces_ends_it_once() {
        let pieces = ["a", "b"].map(|piece| Ok::<_, std::io::Error>(Bytes::from(piece)));
        let (mut body, count) = timed(Body::from_stream(stream::iter(pieces)));
        assert_eq!(next(&mut body).await.unwrap(), "a");
        assert_eq!(next(&mut body).await.unwrap(), "b");
        assert_eq!(count.0.load(Relaxed), 0);
        assert!(next(&mut body).await.is_none());
        drop(body);
        assert_eq!(count.0.load(Relaxed), 1);
    }

    #[test]
    fn a_body_that_nobody_reads_ends_it_too() {
        for body in [Body::empty(), Body::from("unread")] {
            let (body, count) = timed(body);
            drop(body);
            assert_eq!(count.0.load(Relaxed), 1);
        }
    }

    #[test]
    fn methods_that_are_made_up_are_one() {
        assert_eq!(known(&Method::POST), "POST");
        assert_eq!(known(&Method::from_bytes(b"BREW").unwrap()), "OTHER");
        assert_eq!(known(&Method::TRACE), "OTHER");
    }
}
