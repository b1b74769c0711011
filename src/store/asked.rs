//! By what a client knows the request that a step comes of, and who sent it where that was a person on a page.

use std::{future::Future, sync::OnceLock};

tokio::task_local! {
    static CURRENT: Current;
}

/// A request that is worked on.
struct Current {
    asked: AskedBy,
    /// Known only when her form has been read.
    person: OnceLock<String>,
}

/// The ids that a client gave its request; they stand in the journal beside what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedBy {
    /// `X-Request-ID`: the client's, or one that was made for it.
    pub request: String,
    /// `X-Correlation-ID`, where it gave one.
    pub correlation: Option<String>,
    /// Who did it for the organisation that is its actor (`local:NAME`, `oidc:SUBJECT`), where it was done on a page. For the eyes of
    /// those who may see who does what; no interface of systems tells it.
    pub person: Option<String>,
}

impl AskedBy {
    /// Runs what a request asks for. Whatever is decided in it bears these ids, as a log line bears its span.
    pub async fn within<F: Future>(self, run: F) -> F::Output {
        CURRENT.scope(Current { asked: self, person: OnceLock::new() }, run).await
    }

    /// Notes that the request that is worked on was sent by this person: whatever is decided from then on bears her id, too.
    pub fn sent_by(person: &str) {
        // where nobody asked there is nothing to note, and who it was first does not change
        let _ = CURRENT.try_with(|current| current.person.set(person.to_owned()));
    }

    /// The ids of the request that is worked on; none where nobody asked.
    pub fn current() -> Option<Self> {
        let of = |current: &Current| {
            let asked = current.asked.clone();
            Self { person: current.person.get().cloned().or(asked.person), ..asked }
        };
        CURRENT.try_with(of).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_person_asks_for_bears_her_id_and_nothing_else_does() {
        let asked = |request: &str| AskedBy { request: request.into(), correlation: None, person: None };
        AskedBy::sent_by("local:nobody-asked");
        assert_eq!(AskedBy::current(), None);
        let one = asked("1").within(async {
            assert_eq!(AskedBy::current(), Some(asked("1")));
            AskedBy::sent_by("local:anna");
            AskedBy::sent_by("local:bert");
            AskedBy::current().and_then(|asked| asked.person)
        });
        let other = asked("2").within(async { AskedBy::current().and_then(|asked| asked.person) });
        assert_eq!(tokio::join!(one, other), (Some("local:anna".into()), None));
    }
}
