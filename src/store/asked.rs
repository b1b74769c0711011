//! By what a client knows the request that a step comes of.

use std::future::Future;

tokio::task_local! {
    static CURRENT: AskedBy;
}

/// The ids that a client gave its request; they stand in the journal beside what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedBy {
    /// `X-Request-ID`: the client's, or one that was made for it.
    pub request: String,
    /// `X-Correlation-ID`, where it gave one.
    pub correlation: Option<String>,
}

impl AskedBy {
    /// Runs what a request asks for. Whatever is decided in it bears these ids, as a log line bears its span.
    pub async fn within<F: Future>(self, run: F) -> F::Output {
        CURRENT.scope(self, run).await
    }

    /// The ids of the request that is worked on; none where nobody asked.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }
}
