//! `GET /console/trials/{task}`: what a test referral showed, there and back, told while it goes on.

use askama::Template;
use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use uuid::Uuid;

use super::{
    Console, Keeper, absent, away,
    ends::may_send,
    todo::named,
    words::{Tag, plain},
};
use crate::{
    domain::TaskId,
    fhir::test_data::is_test,
    onboarding::verdict::{Point, Seen as Known, Shown, Verdict, verdict},
    store::{StoreError, TaskRecord},
    web::{
        Shared,
        form::Glance,
        frame::{Frame, Section},
        page,
    },
};

/// The page.
#[derive(Template)]
#[template(path = "console/trial.html")]
struct TrialPage {
    frame: Frame,
    task: String,
    from: String,
    to: String,
    system: String,
    inbox: String,
    /// What changes by itself, made of its own template.
    now: String,
    tag: String,
}

/// What of it changes by itself.
#[derive(Template)]
#[template(path = "console/trial-now.html")]
struct NowPart {
    tag: Tag,
    heading: &'static str,
    next: &'static str,
    points: Vec<PointSaid>,
}

/// A point in words.
#[derive(Debug, PartialEq, Eq)]
struct PointSaid {
    what: &'static str,
    tag: Tag,
    said: String,
    advice: String,
}

/// `GET /console/trials/{task}`.
pub(super) async fn page(State(web): State<Shared>, Path(id): Path<String>, Keeper(seen): Keeper) -> Response {
    if !may_send(&seen.visitor.positions) {
        return absent(&seen);
    }
    let (task, now) = match web.console.trial(&id).await {
        Ok(Some(found)) => found,
        Ok(None) => return absent(&seen),
        Err(error) => return away(&error),
    };
    let Ok(now) = now.render().inspect_err(|error| tracing::error!(%error, "a page cannot be made")) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let registry = web.console.registry.load();
    let page = TrialPage {
        frame: Frame::of(&seen, Section::Console),
        task: task.id.to_string(),
        from: named(task.system.as_str(), &registry),
        to: named(task.inbox.as_str(), &registry),
        system: task.system.to_string(),
        inbox: task.inbox.to_string(),
        tag: page::tag_of(&now),
        now,
    };
    page::shown(StatusCode::OK, &page)
}

/// `GET /console/trials/{task}/now`.
pub(super) async fn now(
    State(web): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Glance(seen): Glance,
) -> Response {
    if !may_send(&seen.visitor.positions) {
        return absent(&seen);
    }
    match web.console.trial(&id).await.map(|found| found.map(|(_, now)| now.render())) {
        Ok(Some(Ok(now))) => page::part(now, &headers),
        Ok(Some(Err(error))) => {
            tracing::error!(%error, "a page cannot be made");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
        Ok(None) => absent(&seen),
        Err(error) => away(&error),
    }
}

impl Console {
    /// A Task, where its referral is a test.
    pub(super) async fn of_test(&self, id: TaskId) -> Result<Option<TaskRecord>, StoreError> {
        let Some(task) = self.store.task(id).await? else { return Ok(None) };
        let request = self.store.resource("ServiceRequest", task.request, None).await?;
        let body = request.and_then(|(request, _)| serde_json::from_str::<serde_json::Value>(&request.body).ok());
        Ok(Some(task).filter(|_| body.is_some_and(|body| is_test(&body))))
    }

    /// A Task whose referral is a test, and what it has shown.
    async fn trial(&self, id: &str) -> Result<Option<(TaskRecord, NowPart)>, StoreError> {
        let Ok(id) = id.parse::<Uuid>() else { return Ok(None) };
        let Some(task) = self.of_test(TaskId(id)).await? else { return Ok(None) };
        let (journal, attempts) = (self.store.journal(task.id).await?, self.store.attempts(task.id).await?);
        let registry = self.registry.load();
        let part = NowPart::of(&Known {
            status: task.state.status,
            system: registry.systems.get(&task.system),
            inbox: registry.inboxes.get(&task.inbox).map(|inbox| &inbox.kind),
            journal: &journal,
            attempts: &attempts,
        });
        Ok(Some((task, part)))
    }
}

// === impl NowPart ===

impl NowPart {
    fn of(known: &Known<'_>) -> Self {
        let (verdict, points) = verdict(known);
        let (tag, heading, next) = match verdict {
            Verdict::Works => (
                Tag::of("Works", "green"),
                "The way works, there and back",
                "The provider has answered, and the answer is in the record. Make sure that somebody on each side has seen it. Then a route may send people there.",
            ),
            Verdict::WorksThere => (
                Tag::of("Works", "green"),
                "The way to the provider works, and nothing is written back",
                "Make sure that somebody there has seen it, and that those who refer know where to look what becomes of it.",
            ),
            Verdict::Waits => (
                Tag::of("Waiting", "blue"),
                "It is not known yet",
                "Wait a little. What is written below changes by itself, or when this page is loaded again.",
            ),
            Verdict::Delivered => (
                Tag::of("Delivered", "blue"),
                "It is delivered, and waits for the provider’s answer",
                "Ask the provider to open it, or to look into its own system. That the way works is known once the provider has said something of it.",
            ),
            Verdict::Unanswered => (
                Tag::of("Not answered", "orange"),
                "It was delivered, and the provider has said nothing of it",
                "Ask the provider whether somebody, or its system, has seen it. Then send another one.",
            ),
            Verdict::FailsAnswered => (
                Tag::of("Fails", "red"),
                "The provider has it, and what it says of it cannot be taken",
                "Do what is written beside what failed, and send another one.",
            ),
            Verdict::FailsThere => (
                Tag::of("Fails", "red"),
                "It does not get to the provider",
                "Do what is written beside what failed. What is still tried arrives by itself then.",
            ),
            Verdict::FailsBack => (
                Tag::of("Fails", "red"),
                "It gets to the provider, and what becomes of it does not get back into the record",
                "Do what is written beside what failed. What is still tried arrives by itself then.",
            ),
        };
        Self { tag, heading, next, points: points.iter().map(|(point, shown)| PointSaid::of(*point, shown)).collect() }
    }
}

// === impl PointSaid ===

impl PointSaid {
    fn of(point: Point, shown: &Shown) -> Self {
        let what = match point {
            Point::Taken => "Onward has taken it",
            Point::Arrived => "The provider has it",
            Point::Answered => "The provider says something of it",
            Point::WrittenBack => "What became of it is in the originating record",
            Point::Over => "It is over",
        };
        let (tag, said, advice) = match shown {
            Shown::Good(said) => (Tag::of("Good", "green"), plain(said), String::new()),
            Shown::Waits(said) => (Tag::of("Not yet", "blue"), plain(said), String::new()),
            Shown::NotWanted(said) => (Tag::of("Not wanted", "grey"), plain(said), String::new()),
            Shown::Bad { why, advice } => (Tag::of("Fails", "red"), plain(why), plain(advice)),
        };
        Self { what, tag, said, advice }
    }
}
