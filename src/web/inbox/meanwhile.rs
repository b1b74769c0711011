//! What became of a referral while somebody was writing about it: of two who answer at once the second is told what the first did, and keeps
//! what she wrote, in its form where that can still be sent, and to copy where it cannot.

use askama::Template;
use axum::{http::StatusCode, response::Response};

use super::{
    away,
    form_of::{FormOf, Kind, Typed},
    news,
    story::Fact,
    timeline::{self, Eyes, Moment},
    words,
};
use crate::{
    domain::TaskId,
    store::{JournalLine, StoreError, TaskRecord},
    web::{
        Web,
        form::Seen,
        frame::{Frame, Section},
        page,
    },
};

/// No more of what happened meanwhile is told; all of it is on the referral's page.
const TOLD_MAX: usize = 5;

/// The page where nothing can be done any more of what was asked for.
#[derive(Template)]
#[template(path = "too-late.html")]
struct TooLatePage {
    frame: Frame,
    task: TaskId,
    told: String,
    moments: Vec<Moment>,
    typed: Vec<Fact>,
    is_open: bool,
}

impl Web {
    /// What the referrer did since this version of a referral; none where that is nothing.
    pub(super) async fn said_meanwhile(
        &self,
        record: &TaskRecord,
        version: u64,
    ) -> Result<Option<Vec<Moment>>, StoreError> {
        let journal = self.store.journal(record.id).await?;
        if news::came_since(&journal, version).is_empty() {
            return Ok(None);
        }
        Ok(Some(self.moments_since(record, journal, version).await?))
    }

    /// What happened to a referral since this version of it, the newest first.
    pub(super) async fn meanwhile(&self, record: &TaskRecord, version: u64) -> Result<Vec<Moment>, StoreError> {
        let journal = self.store.journal(record.id).await?;
        self.moments_since(record, journal, version).await
    }

    async fn moments_since(
        &self,
        record: &TaskRecord,
        mut journal: Vec<JournalLine>,
        version: u64,
    ) -> Result<Vec<Moment>, StoreError> {
        let noted = self.noted_in(record, &journal).await?;
        journal.retain(|line| line.seq > version);
        let resources = self.visible(record).await?;
        let (kinds, way) = (timeline::kinds(&resources), self.way_back(record, &resources));
        let people = self.people.names_of(&record.provider, &journal).await?;
        let eyes = Eyes { own: &record.provider, people: &people, kinds: &kinds, noted: &noted, new: &[], way };
        let mut moments = timeline::moments(&journal, &self.registry.load(), eyes);
        moments.truncate(TOLD_MAX);
        Ok(moments)
    }
}

/// What was typed into a form, to be read and copied: what has words of its own.
pub(super) fn written(form: &FormOf, typed: &Typed) -> Vec<Fact> {
    let words = form.asked.iter().filter(|of| matches!(of.kind, Kind::Text | Kind::Line));
    let facts = words.map(|of| written_as(of.label, typed.text(of.name)));
    facts.flatten().collect()
}

/// One text of it.
pub(super) fn written_as(label: &str, text: &str) -> Option<Fact> {
    (!text.is_empty()).then(|| Fact { key: label.to_owned(), values: vec![text.to_owned()] })
}

/// What was asked for was made of a referral that is another by now, and can be asked for again.
pub(super) async fn changed(web: &Web, seen: &Seen, record: &TaskRecord, version: u64, typed: Vec<Fact>) -> Response {
    let told = "This referral has changed since you opened it, so nothing was done.".to_owned();
    shown(web, seen, record, version, (told, typed)).await
}

/// It is too late for that, or too early. `version` is what its page showed of it.
pub(super) async fn too_late(web: &Web, seen: &Seen, record: &TaskRecord, version: u64, typed: Vec<Fact>) -> Response {
    let status = words::status(record.state.status).words;
    let told = format!("That cannot be done any more: this referral is “{status}” now. Nothing was done.");
    shown(web, seen, record, version, (told, typed)).await
}

async fn shown(
    web: &Web,
    seen: &Seen,
    record: &TaskRecord,
    version: u64,
    (told, typed): (String, Vec<Fact>),
) -> Response {
    let moments = match web.meanwhile(record, version).await {
        Ok(moments) => moments,
        Err(error) => return away(&error),
    };
    page_of(seen, record, told, (moments, typed))
}

/// What was written can be sent nowhere, for this reason.
pub(super) fn told(seen: &Seen, record: &TaskRecord, told: String, typed: Vec<Fact>) -> Response {
    page_of(seen, record, told, (vec![], typed))
}

fn page_of(seen: &Seen, record: &TaskRecord, told: String, (moments, typed): (Vec<Moment>, Vec<Fact>)) -> Response {
    let (frame, is_open) = (Frame::of(seen, Section::Inbox), !record.state.status.is_terminal());
    page::shown(StatusCode::CONFLICT, &TooLatePage { frame, task: record.id, told, moments, typed, is_open })
}
