//! How long a connection is kept. One of HTTP/1.1 waits for one request or gives one answer, and hyper and [`super::patient`] see to
//! both. One of HTTP/2 can be held open without a request, and with answers that its client does not take although it takes
//! everything else: who watches it counts requests and looks at each answer by itself.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::{Buf as _, Bytes};
use hyper::{
    Version,
    body::{Frame, SizeHint},
};
use tokio::{sync::Notify, time::Instant};

/// An answer over HTTP/2 is handed on in pieces of so many bytes: one that is handed on lies where nobody sees whether it is taken.
pub(super) const PIECE_BYTES: usize = 16 * 1024;
/// When nothing is under way any more, a client has so long to take the end of its last answer and to agree that it was the last.
const FAREWELL: Duration = Duration::from_secs(2);

/// How patient a connection is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// With a client that asks for nothing.
    pub idle: Duration,
    /// With one that does not take an answer.
    pub takes_within: Duration,
    /// Whether one request is all that it is for.
    pub once: bool,
}

/// What is to become of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes on; it is to be looked at again then.
    GoOn(Instant),
    /// It takes no more requests; those that are under way are finished.
    End,
    /// It is cut.
    Cut,
}

/// What is known of a connection.
pub(super) struct Watch {
    patience: Patience,
    state: Mutex<State>,
    /// Told of the first request, where it is the last one.
    pub first: Notify,
}

struct State {
    version: Option<Version>,
    /// Requests without an answer, and answers that are not handed on.
    under_way: usize,
    /// When there was last one.
    idle_since: Instant,
    /// Since when it takes no more requests.
    ending: Option<Instant>,
    /// When something of each answer was last taken. Never more than there may be streams.
    answers: HashMap<u64, Instant>,
    next: u64,
}

/// A request, until its answer is handed on.
pub(super) struct UnderWay {
    watch: Arc<Watch>,
    version: Version,
    answer: Option<u64>,
}

/// The body of an answer that is being handed on.
pub(super) struct Given {
    body: Body,
    /// What was got from `body` and is not handed on.
    rest: Bytes,
    of: UnderWay,
}

// === impl Watch ===

impl Watch {
    /// Over a connection that has just been made.
    pub fn new(patience: Patience) -> Arc<Self> {
        let state = State {
            version: None,
            under_way: 0,
            idle_since: Instant::now(),
            ending: None,
            answers: HashMap::new(),
            next: 0,
        };
        Arc::new(Self { patience, state: Mutex::new(state), first: Notify::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request came.
    pub fn begin(self: &Arc<Self>, version: Version) -> UnderWay {
        let mut state = self.state();
        state.under_way += 1;
        if state.version.replace(version).is_none() && self.patience.once {
            self.first.notify_one();
        }
        drop(state);
        UnderWay { watch: Arc::clone(self), version, answer: None }
    }

    /// Whether nothing is under way: no request without an answer, and no answer that is not handed on.
    pub fn is_idle(&self) -> bool {
        self.state().under_way == 0
    }

    /// Its client was told that it takes no more requests.
    pub fn ending(&self) {
        self.state().ending.get_or_insert_with(Instant::now);
    }

    /// What is to become of it now.
    pub fn look(&self) -> Verdict {
        let now = Instant::now();
        let Patience { idle, takes_within, once } = self.patience;
        let state = self.state();
        // whatever begins meanwhile lasts at least as long
        let later = now + idle.min(takes_within).min(FAREWELL);
        if once && state.version.is_some() && state.ending.is_none() {
            return Verdict::End;
        }
        if state.version.is_some_and(|version| version < Version::HTTP_2) {
            return Verdict::GoOn(later);
        }
        let stalled = state.answers.values().min().map(|taken| (*taken + takes_within, Verdict::Cut));
        let nothing = (state.under_way == 0).then(|| match state.ending {
            Some(ended) => (state.idle_since.max(ended) + FAREWELL, Verdict::Cut),
            None => (state.idle_since + idle, Verdict::End),
        });
        match stalled.or(nothing) {
            Some((at, verdict)) if at <= now => verdict,
            Some((at, _)) => Verdict::GoOn(at.min(later)),
            None => Verdict::GoOn(later),
        }
    }
}

// === impl UnderWay ===

impl UnderWay {
    /// The answer to it, watched until it is handed on.
    pub fn answered(mut self, response: hyper::Response<Body>) -> hyper::Response<Given> {
        if self.version >= Version::HTTP_2 {
            let mut state = self.watch.state();
            let number = state.next;
            state.next += 1;
            state.answers.insert(number, Instant::now());
            drop(state);
            self.answer = Some(number);
        }
        response.map(|body| Given { body, rest: Bytes::new(), of: self })
    }

    fn taken(&self) {
        if let Some(number) = self.answer {
            self.watch.state().answers.insert(number, Instant::now());
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.watch.state();
        if let Some(number) = self.answer {
            state.answers.remove(&number);
        }
        state.under_way = state.under_way.saturating_sub(1);
        if state.under_way == 0 {
            state.idle_since = Instant::now();
        }
    }
}

// === impl Given ===

impl hyper::body::Body for Given {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        while self.rest.is_empty() {
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else { return Poll::Ready(None) };
            match frame?.into_data() {
                Ok(data) if self.of.answer.is_some() => self.rest = data,
                Ok(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Err(other) => return Poll::Ready(Some(Ok(other))),
            }
        }
        self.of.taken();
        // a copy: a part would keep the whole answer in memory until it is taken
        let piece = Bytes::copy_from_slice(&self.rest[..self.rest.len().min(PIECE_BYTES)]);
        self.rest.advance(piece.len());
        if self.rest.is_empty() {
            self.rest = Bytes::new();
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut own = SizeHint::new();
        own.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            own.set_upper(upper + rest);
        }
        own
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use hyper::body::Body as _;
    use tokio::time::advance;

    use super::*;

    const PATIENCE: Patience =
        Patience { idle: Duration::from_secs(10), takes_within: Duration::from_secs(30), once: false };

    fn goes_on(watch: &Watch) -> bool {
        matches!(watch.look(), Verdict::GoOn(at) if at > Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_asks_for_nothing_ends_and_is_cut_if_its_client_does_not_agree() {
        let watch = Watch::new(PATIENCE);
        advance(Duration::from_secs(9)).await;
        assert!(goes_on(&watch));
        let request = watch.begin(Version::HTTP_2);
        advance(Duration::from_secs(60)).await;
        assert!(goes_on(&watch), "it waits for us");
        drop(request);
        advance(Duration::from_secs(9)).await;
        assert!(goes_on(&watch));
        advance(Duration::from_secs(1)).await;
        assert_eq!(watch.look(), Verdict::End);
        watch.ending();
        assert!(goes_on(&watch));
        advance(FAREWELL).await;
        assert_eq!(watch.look(), Verdict::Cut);
    }

    #[tokio::test(start_paused = true)]
    async fn one_answer_that_is_not_taken_is_enough() {
        let watch = Watch::new(PATIENCE);
        let answer = |bytes: usize| {
            let response = hyper::Response::new(Body::from(vec![b'a'; bytes]));
            watch.begin(Version::HTTP_2).answered(response).into_body()
        };
        let (mut slow, mut taken) = (answer(3 * PIECE_BYTES + 1), answer(100 * PIECE_BYTES));
        let mut pieces = Vec::new();
        for _ in 0..3 {
            advance(Duration::from_secs(20)).await;
            pieces.push(slow.frame().await.unwrap().unwrap().into_data().unwrap().len());
            taken.frame().await.unwrap().unwrap();
            assert!(goes_on(&watch));
        }
        assert_eq!((pieces, slow.size_hint().exact()), (vec![PIECE_BYTES; 3], Some(1)));
        advance(Duration::from_secs(29)).await;
        taken.frame().await.unwrap().unwrap();
        assert!(goes_on(&watch));
        advance(Duration::from_secs(1)).await;
        assert_eq!(watch.look(), Verdict::Cut);
        assert!(!slow.is_end_stream());
        assert_eq!(slow.collect().await.unwrap().to_bytes().len(), 1);
        assert!(goes_on(&watch), "the other one is taken");
        drop(taken);
        assert!(watch.state().answers.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_for_one_request_ends_with_it_and_one_of_http_1_is_left_to_others() {
        let watch = Watch::new(Patience { once: true, ..PATIENCE });
        assert!(goes_on(&watch));
        let request = watch.begin(Version::HTTP_2);
        watch.first.notified().await;
        assert_eq!(watch.look(), Verdict::End);
        watch.ending();
        advance(Duration::from_secs(60)).await;
        assert!(goes_on(&watch), "it is still worked on");
        drop(request);
        advance(FAREWELL).await;
        assert_eq!(watch.look(), Verdict::Cut);

        let old = Watch::new(PATIENCE);
        drop(old.begin(Version::HTTP_11));
        advance(Duration::from_secs(600)).await;
        assert!(goes_on(&old));
        let given = old.begin(Version::HTTP_11).answered(hyper::Response::new(Body::from(vec![b'a'; 1 << 20])));
        let whole = given.into_body().frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(whole.len(), 1 << 20, "in one piece");
        let silent = Watch::new(PATIENCE);
        advance(Duration::from_secs(10)).await;
        assert_eq!(silent.look(), Verdict::End, "one that never asked for anything");
    }
}
