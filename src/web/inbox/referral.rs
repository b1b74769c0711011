//! `/inbox/{task}`: one referral on one page.

use askama::Template;
use axum::{
    extract::{Path, RawQuery, State},
    http::StatusCode,
    response::Response,
};
use serde_json::Value;
use uuid::Uuid;

use super::{
    act::{self, Choice},
    away, done,
    led_to::LedTo,
    line, news, put_right,
    story::Story,
    timeline::{self, Eyes, Message, Moment},
    words::{self, Tag},
};
use crate::{
    auth::Deed,
    domain::{Destination, Side, TaskId},
    fhir::{test_data, tree},
    http::call::pairs,
    lanes::task_body,
    store::{StoreError, StoredResource, TaskRecord},
    web::{
        Shared, Web,
        form::Seen,
        frame::{Frame, Section},
        page::{self, Fault},
    },
    writeback::detail::WayBack,
};

/// The page.
#[derive(Template)]
#[template(path = "referral.html")]
struct ReferralPage {
    frame: Frame,
    faults: Vec<Fault>,
    done: Option<String>,
    /// That nothing gets into the referrer's record at present; none where it does.
    record_away: Option<&'static str>,
    made_for: String,
    task: TaskId,
    version: u64,
    /// By what a form is known that is sent twice.
    once: Uuid,
    story: Story,
    tags: Vec<Tag>,
    priority: Option<Tag>,
    due: Option<String>,
    came: String,
    reference: String,
    is_open: bool,
    /// It stands for nobody.
    is_test: bool,
    /// Its referrer took it back: it was sent in error.
    taken_back: bool,
    cancel_requested: bool,
    beside: Option<TaskId>,
    worker: String,
    workers: Vec<(String, String)>,
    choices: Vec<Choice>,
    /// Something is noted that may have been noted in error.
    can_put_right: bool,
    messages: Vec<Message>,
    moments: Vec<Moment>,
    /// What of them is new is told at the head: that it is, or that it came while somebody wrote. None where nothing is.
    new_told: Option<&'static str>,
    /// Referrals that came of it.
    led_to: Vec<LedTo>,
    /// How far a message, and a status, get.
    message_goes: &'static str,
    status_goes: &'static str,
    /// What was typed of a message.
    typed: String,
}

/// `GET /inbox/{task}`
pub(in crate::web) async fn referral(
    State(web): State<Shared>,
    seen: Seen,
    Path(task): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = pairs(&query.unwrap_or_default());
    let said = |wanted: &str| query.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    let (done, since) = (said(done::PARAMETER), said(done::SINCE).and_then(|version| version.parse().ok()));
    match web.named(&seen, &task, Deed::Read).await {
        Ok(record) => shown(&web, &seen, &record, Said { done, since, ..Said::default() }).await,
        Err(page) => page,
    }
}

/// What a page tells beside its referral.
#[derive(Default)]
pub(super) struct Said {
    /// The code of what was done.
    pub done: Option<String>,
    /// The version of the page on which it was done: what came after is told as what came meanwhile.
    pub since: Option<u64>,
    pub faults: Vec<Fault>,
    pub typed: String,
}

/// The page of a Task that may be seen.
pub(super) async fn shown(web: &Web, seen: &Seen, record: &TaskRecord, said: Said) -> Response {
    let status = if said.faults.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    match web.page_of(seen, record, said).await {
        Ok(made) => page::shown(status, &made),
        Err(error) => away(&error),
    }
}

impl Web {
    /// What of a referral the provider of a Task may see: what is all of the referral's, and what is this Task's alone.
    pub(in crate::web) async fn visible(
        &self,
        record: &TaskRecord,
    ) -> Result<Vec<(StoredResource, Value)>, StoreError> {
        let mut all = Vec::new();
        for stored in self.store.resources_of(record.referral).await? {
            if stored.task.is_none_or(|task| task == record.id) {
                let body = serde_json::from_str(&stored.body).map_err(|e| StoreError::Corrupt(e.to_string()))?;
                all.push((stored, body));
            }
        }
        Ok(all)
    }

    /// Whether what is written back of a referral does not get into its record at present: what failed last is tried again, or nothing is
    /// tried there because its server does not answer.
    async fn record_is_away(&self, record: &TaskRecord, way: WayBack) -> Result<bool, StoreError> {
        if way == WayBack::Nowhere {
            return Ok(false);
        }
        let of = Destination::new(Side::WriteBack, record.system.as_str());
        if self.console.is_shut(&of) {
            return Ok(true);
        }
        let attempts = self.store.attempts(record.id).await?;
        let last = attempts.iter().rev().find(|attempt| attempt.side == Side::WriteBack);
        Ok(last.is_some_and(|last| last.result == "deferred"))
    }

    async fn page_of(&self, seen: &Seen, record: &TaskRecord, said: Said) -> Result<ReferralPage, StoreError> {
        let body = task_body(&*self.store, record.id, record.version).await?;
        let resources = self.visible(record).await?;
        let journal = self.store.journal(record.id).await?;
        let now = self.store.now();
        let own = line::own_request(record, &body);
        let story = Story::of(record.id, own, &body, &resources, now);
        let registry = self.registry.load();
        let known = record.identifier.as_deref().and_then(|token| token.rsplit_once('|')).map(|(_, value)| value);
        let request = resources.iter().find(|(s, _)| s.kind == "ServiceRequest" && s.id == own).map(|(_, body)| body);
        let priority = request.and_then(|request| tree::text(request, "priority")).unwrap_or_default();
        let taken_back = line::was_taken_back(record, &resources);
        let mut tags = vec![words::status_of(record.state.status, taken_back)];
        tags.extend(words::marks(&record.state, now));
        tags.extend(story.died.then(|| words::tag("Has died", "grey")));
        let providers = [record.provider.clone()];
        let lines = self.live.lines(&record.provider).await?;
        let mut workers = self.workers(&seen.visitor, &providers, &lines).await?;
        let worker = line::worker_of(&body);
        // whoever it is given to is shown, also where nothing more is given to her
        let given = worker.as_ref().and_then(|worker| Some((worker.id.clone()?, worker.name.clone())));
        workers.extend(given.filter(|(id, _)| workers.iter().all(|(other, _)| other != id)));
        workers.push(("none".to_owned(), "Nobody".to_owned()));
        // another referral of the same person is the same provider's, and shown where it still is
        let beside = match record.beside {
            Some(other) => self.task_for(&seen.visitor, other, Deed::Read).await?.map(|other| other.id),
            None => None,
        };
        let led_to = self.led_to(record, &body).await?;
        let heard = self.store.heard(&record.provider, vec![record.id]).await?;
        let heard = heard.first().map_or(0, |(_, seq)| *seq);
        let mut news = news::unheard(record.id, &journal, news::Side::Provider, heard);
        let came = said.since.map(|version| news::came_since(&journal, version)).unwrap_or_default();
        let new_told = match (came.is_empty(), news.is_empty()) {
            (false, _) => Some("This came while you were writing"),
            (true, false) => Some("This is new since somebody here last looked"),
            (true, true) => None,
        };
        let new: Vec<u64> = news.iter().map(|new| new.seq).chain(came).collect();
        news.extend(led_to.iter().flat_map(|one| one.new.iter().copied()));
        self.looks_at(&record.provider, news).await;
        let way = self.way_back(record, &resources);
        let kinds = timeline::kinds(&resources);
        let people = self.people.names_of(&record.provider, &journal).await?;
        let noted = self.noted_in(record, &journal).await?;
        let eyes = Eyes { own: &record.provider, people: &people, kinds: &kinds, noted: &noted, new: &new, way };
        let moments = timeline::moments(&journal, &registry, eyes);
        Ok(ReferralPage {
            frame: Frame::of(seen, Section::Inbox),
            faults: said.faults,
            done: said.done.and_then(|code| done::words(&code, way, record.state.status)),
            record_away: self.record_is_away(record, way).await?.then_some(done::RECORD_AWAY),
            message_goes: done::back(done::Told::Message, way),
            status_goes: done::back(done::Told::Status, way),
            typed: said.typed,
            made_for: seen.made_for.clone(),
            task: record.id,
            version: record.version,
            once: Uuid::now_v7(),
            story,
            tags,
            priority: words::priority(priority).1,
            due: words::due_words(&record.state),
            came: words::moment(record.created),
            reference: known.unwrap_or_default().to_owned(),
            is_open: !record.state.status.is_terminal(),
            is_test: request.is_some_and(test_data::is_test),
            taken_back,
            cancel_requested: record.state.cancel_requested,
            beside,
            worker: worker.and_then(|worker| worker.id).unwrap_or_else(|| "none".to_owned()),
            workers,
            choices: act::choices_for(record, &body),
            can_put_right: !put_right::items(&body, &journal, &resources, &record.provider).is_empty(),
            messages: timeline::messages(&journal, &resources, &registry),
            moments,
            new_told,
            led_to,
        })
    }
}
