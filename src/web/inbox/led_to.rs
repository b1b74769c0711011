//! Referrals that came of one (`onward.rs`): whoever referred on hears what became of each, and answers what is asked, as a record system does of
//! what it has sent. What she hears is what a record would hear: all of it, as far as the person's consent does not keep it back.

use askama::Template;
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    absent, away, done, line,
    meanwhile::{self, written_as},
    news::{self, New, Side},
    passing, say,
    story::{self, Fact},
    timeline::{self, Message},
    words::{self, Tag},
};
use crate::{
    auth::Deed,
    config::registry::{Client, Detail},
    conversation::Incoming,
    domain::{Actor, Event, TaskId, clock::instant},
    lanes::task_body,
    store::{JournalLine, StoreError, TaskQuery, TaskRecord},
    web::{
        Shared, Web,
        form::{Seen, Signed},
        frame::{Frame, Section},
        page::{self, Fault},
    },
    writeback::detail,
};

/// Of so many referrals that came of one, each is shown with where it stands.
pub(super) const LED_TO_MAX: usize = 50;

/// A referral that came of one.
#[derive(Debug)]
pub(super) struct LedTo {
    pub task: TaskId,
    pub service: String,
    pub status: Tag,
    pub at: String,
    /// Why, when, and with what outcome, as its provider tells it.
    pub facts: Vec<Fact>,
    pub messages: Vec<Message>,
    /// Its provider waits for an answer.
    pub asks: bool,
    pub is_open: bool,
    /// The question that an answer answers.
    question: Option<Uuid>,
    /// What its provider said of which nobody here has been shown anything.
    pub new: Vec<New>,
}

/// The page on which one writes to the provider of such a referral.
#[derive(Template)]
#[template(path = "led-to.html")]
struct LedToPage {
    frame: Frame,
    faults: Vec<Fault>,
    made_for: String,
    /// The referral that it came of.
    task: TaskId,
    person: String,
    one: LedTo,
    once: String,
    /// The message that is answered.
    answers: String,
    typed: String,
}

/// What was sent of its form.
#[derive(Default)]
struct Sent {
    typed: String,
    once: Option<String>,
    faults: Vec<Fault>,
}

/// `GET /inbox/{task}/led-to/{other}`
pub(in crate::web) async fn form(
    State(web): State<Shared>,
    seen: Seen,
    Path((task, other)): Path<(String, String)>,
) -> Response {
    match web.led_to_named(&seen, &task, &other).await {
        Ok((record, one, made)) => shown(&web, &seen, &record, (one, &made), Sent::default()).await,
        Err(page) => page,
    }
}

/// `POST /inbox/{task}/led-to/{other}`
pub(in crate::web) async fn answer(
    State(web): State<Shared>,
    Path((task, other)): Path<(String, String)>,
    signed: Signed,
) -> Response {
    let seen = signed.seen();
    let (record, one, made) = match web.led_to_named(&seen, &task, &other).await {
        Ok(found) => found,
        Err(page) => return page,
    };
    let text = signed.form.text("message").trim().replace("\r\n", "\n");
    let once = signed.form.text("once").to_owned();
    let key = once.parse::<Uuid>().ok().map(|once| format!("page:{once}"));
    let sent = |faults| Sent { typed: text.clone(), once: Some(once), faults };
    if let Some(told) = say::unfit(&text) {
        return shown(&web, &seen, &record, (one, &made), sent(vec![Fault::at("message", told)])).await;
    }
    // the question that her page showed: what was asked since is not answered by it
    let answers = signed.form.text("answers").parse::<Uuid>().ok();
    let who = web.registry.load().providers.get(&record.provider).map(|own| own.name.clone());
    let who = who.map_or_else(|| seen.visitor.name.clone(), |own| format!("{}, {own}", seen.visitor.name));
    let mut body = say::communication(&made, &who, &text, "", None, &instant(web.store.now()));
    if let (Some(question), Some(object)) = (answers, body.as_object_mut()) {
        let answered = json!([{"reference": format!("Communication/{question}"), "type": "Communication"}]);
        object.insert("inResponseTo".into(), answered);
    }
    // it was sent in the name of the system that the first referral came from, so its side speaks
    let incoming = Incoming { clients: vec![Client::System(made.system.clone())], body, key };
    match web.conversation.say(incoming).await {
        Ok(_) => {
            tracing::info!(person = seen.visitor.person, task.id = %made.id, "a service that was referred on to was written to");
            page::to(&done::with(&super::path_of(&record.id), "answered"))
        }
        Err(error) => match say::faults(&seen, error) {
            Ok(faults) => shown(&web, &seen, &record, (one, &made), sent(faults)).await,
            Err(page) => *page,
        },
    }
}

async fn shown(web: &Web, seen: &Seen, record: &TaskRecord, (one, made): (LedTo, &TaskRecord), sent: Sent) -> Response {
    if made.state.status.is_terminal() {
        let status = words::status(made.state.status).words;
        let told = format!(
            "The referral to {} is “{status}” now, so nothing can be written to it any more. Nothing was sent.",
            one.service
        );
        let typed = written_as("Your message", &sent.typed).into_iter().collect();
        return meanwhile::told(seen, record, told, typed);
    }
    let person = match web.called(record).await {
        Ok(person) => person,
        Err(error) => return away(&error),
    };
    let status = if sent.faults.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let (frame, made_for) = (Frame::of(seen, Section::Inbox), seen.made_for.clone());
    let once = sent.once.unwrap_or_else(|| Uuid::now_v7().to_string());
    let answers = one.question.map(|id| id.to_string()).unwrap_or_default();
    let (task, faults, typed) = (record.id, sent.faults, sent.typed);
    page::shown(status, &LedToPage { frame, faults, made_for, task, person, one, once, answers, typed })
}

/// The question of a provider that nobody has answered yet.
fn question(journal: &[JournalLine], asks: bool) -> Option<Uuid> {
    let last = journal.iter().rev().find_map(|line| match (&line.event, &line.actor) {
        (Event::Message { communication, asks: true, .. }, Actor::Provider(_)) => Some(*communication),
        _ => None,
    });
    last.filter(|_| asks)
}

impl Web {
    /// A referral of one's own and one that came of it; else the page that is answered.
    async fn led_to_named(
        &self,
        seen: &Seen,
        task: &str,
        other: &str,
    ) -> Result<(TaskRecord, LedTo, TaskRecord), Response> {
        let record = self.named(seen, task, Deed::Answer).await?;
        let Ok(other) = other.parse::<TaskId>() else { return Err(absent(seen)) };
        let read = async {
            let body = task_body(&*self.store, record.id, record.version).await?;
            let all = self.led_to_tasks(&record, &body).await?;
            let Some((service, made)) = all.into_iter().find(|(_, made)| made.id == other) else { return Ok(None) };
            Ok::<_, StoreError>(Some((self.led_to_one(service, &made, u64::MAX).await?, made)))
        };
        match read.await {
            Ok(Some((one, made))) => Ok((record, one, made)),
            Ok(None) => Err(absent(seen)),
            Err(error) => Err(away(&error)),
        }
    }

    /// The referrals that came of one. Of others' referrals nothing else is told: who referred on knows of each that it was sent, and hears
    /// what the record hears that it was sent for.
    pub(super) async fn led_to(&self, record: &TaskRecord, body: &Value) -> Result<Vec<LedTo>, StoreError> {
        let mut all = Vec::new();
        let tasks = self.led_to_tasks(record, body).await?;
        let heard = self.store.heard(&record.provider, tasks.iter().map(|(_, made)| made.id).collect()).await?;
        for (service, made) in tasks {
            let heard = heard.iter().find(|(task, _)| *task == made.id).map_or(0, |(_, seq)| *seq);
            all.push(self.led_to_one(service, &made, heard).await?);
        }
        Ok(all)
    }

    /// Their Tasks, each with what its service is called; of one that went to several targets each part.
    async fn led_to_tasks(&self, record: &TaskRecord, body: &Value) -> Result<Vec<(String, TaskRecord)>, StoreError> {
        let named = passing::led_to(body);
        if named.is_empty() {
            return Ok(Vec::new());
        }
        let query = TaskQuery {
            systems: vec![record.system.clone()],
            requests: Some(named.iter().map(|(id, _)| *id).take(LED_TO_MAX).collect()),
            count: LED_TO_MAX,
            ..TaskQuery::default()
        };
        let tasks = self.store.search_tasks(query).await?;
        let of = |(id, service): &(Uuid, String)| {
            let own = tasks.iter().filter(|(task, _)| task.request == *id && !task.is_parent());
            own.map(|(task, _)| (service.clone(), task.clone())).collect::<Vec<_>>()
        };
        Ok(named.iter().flat_map(of).collect())
    }

    /// One of them, as whoever works the first sees it who has been shown what was said up to `heard`.
    async fn led_to_one(&self, service: String, made: &TaskRecord, heard: u64) -> Result<LedTo, StoreError> {
        let mut resources = self.visible(made).await?;
        let mut body = task_body(&*self.store, made.id, made.version).await?;
        let journal = self.store.journal(made.id).await?;
        let bodies: Vec<Value> = resources.iter().map(|(_, body)| body.clone()).collect();
        let told = detail::narrowed(Detail::Full, &bodies);
        detail::reduce(&mut body, told);
        resources.retain(|(stored, _)| stored.kind != "Communication" || told > Detail::None);
        let messages = resources.iter_mut().filter(|(stored, _)| stored.kind == "Communication");
        messages.for_each(|(_, message)| detail::reduce_message(message, told));
        let registry = self.registry.load();
        let asks = made.state.information_requested && !made.state.status.is_terminal();
        Ok(LedTo {
            task: made.id,
            service,
            status: words::status_of(made.state.status, line::was_taken_back(made, &resources)),
            at: words::moment(made.created),
            facts: story::outcome(&body),
            messages: timeline::messages(&journal, &resources, &registry),
            asks,
            is_open: !made.state.status.is_terminal(),
            question: question(&journal, asks),
            new: news::unheard(made.id, &journal, Side::Referrer, heard),
        })
    }

    /// What the person of a referral is called.
    async fn called(&self, record: &TaskRecord) -> Result<String, StoreError> {
        let body = task_body(&*self.store, record.id, record.version).await?;
        let resources = self.visible(record).await?;
        let own = line::own_request(record, &body);
        Ok(story::Story::of(record.id, own, &body, &resources, self.store.now()).person)
    }
}
