//! A referral and its answer as a letter: a PDF on A4 for whoever keeps paper or another record. What is said, and in what order, is that of
//! the page (`story.rs`); the head is that of a letter in the NHS: who writes, when, about whom with date of birth and NHS number.

use axum::{
    extract::{Path, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};

use super::{
    away, line,
    story::{Fact, Story},
    timeline::{self, Message},
    words,
};
use crate::{
    auth::Deed,
    lanes::task_body,
    store::{StoreError, TaskRecord},
    web::{Shared, Web, form::Seen, page},
};

mod paper;

/// A piece of a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Block {
    /// The heading of all.
    Title(String),
    Heading(String),
    /// What a fact is called, in bold, and what it says.
    Fact(String, Vec<String>),
    Text(String),
}

/// What a letter is made of.
struct Content<'s> {
    from: &'s str,
    on: &'s str,
    story: &'s Story,
    reference: &'s str,
    came: &'s str,
    status: &'s str,
    messages: &'s [Message],
}

/// `GET /inbox/{task}/letter`
pub(in crate::web) async fn letter(State(web): State<Shared>, seen: Seen, Path(task): Path<String>) -> Response {
    let record = match web.named(&seen, &task, Deed::Read).await {
        Ok(record) => record,
        Err(page) => return page,
    };
    let blocks = match web.letter_of(&record).await {
        Ok(blocks) => blocks,
        Err(error) => return away(&error),
    };
    // to lay out a long one takes a while, which others must not wait for
    let made = tokio::task::spawn_blocking(move || paper::pdf("Referral", &blocks)).await;
    let content = match made {
        Ok(Ok(content)) => content,
        Ok(Err(why)) => {
            tracing::error!(task.id = %record.id, why, "a letter cannot be made");
            return page::unavailable();
        }
        Err(error) => {
            tracing::error!(task.id = %record.id, %error, "a letter cannot be made");
            return page::unavailable();
        }
    };
    tracing::info!(person = seen.visitor.person, task.id = %record.id, "a letter was made");
    let mut response = (StatusCode::OK, content).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/pdf"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    // no name of a person in the name of a file, which lies about in folders of downloads
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"referral.pdf\""));
    response
}

impl Web {
    async fn letter_of(&self, record: &TaskRecord) -> Result<Vec<Block>, StoreError> {
        let body = task_body(&*self.store, record.id, record.version).await?;
        let resources = self.visible(record).await?;
        let journal = self.store.journal(record.id).await?;
        let registry = self.registry.load();
        let now = self.store.now();
        let story = Story::of(record.id, line::own_request(record, &body), &body, &resources, now);
        let taken_back = line::was_taken_back(record, &resources);
        let known = record.identifier.as_deref().and_then(|token| token.rsplit_once('|')).map(|(_, value)| value);
        let content = Content {
            from: registry.providers.get(&record.provider).map_or("", |provider| provider.name.as_str()),
            on: &words::day(now),
            story: &story,
            reference: known.unwrap_or_default(),
            came: &words::moment(record.created),
            status: words::status_of(record.state.status, taken_back).words,
            messages: &timeline::messages(&journal, &resources, &registry),
        };
        Ok(blocks(&content))
    }
}

fn blocks(content: &Content<'_>) -> Vec<Block> {
    let Content { from, on, story, reference, came, status, messages } = content;
    let mut all = vec![Block::Text((*from).to_owned()), Block::Text((*on).to_owned())];
    all.push(Block::Title(format!("About {}", story.person)));
    // who is meant is told at once, by what every letter in the NHS tells it
    let known_by = ["Date of birth", "NHS number"];
    let is_known_by = |fact: &&Fact| known_by.contains(&fact.key.as_str());
    all.extend(story.reach.iter().filter(is_known_by).map(block));
    let asked =
        if reference.is_empty() { story.what.clone() } else { format!("{}, reference {reference}", story.what) };
    all.push(Block::Fact("Referral".to_owned(), vec![asked, format!("Received {came}. It is “{status}” now.")]));
    let reach: Vec<Fact> = story.reach.iter().filter(|fact| !is_known_by(fact)).cloned().collect();
    let sections: [(&str, &[Fact]); 7] = [
        ("Safeguarding and risks", &story.risks),
        ("What became of it", &story.outcome),
        ("Why the person was referred", &story.why),
        ("What matters to the person", &story.matters),
        ("How to reach the person", &reach),
        ("Consent", &story.consent),
        ("Who referred", &story.referrer),
    ];
    for (heading, facts) in sections.into_iter().filter(|(_, facts)| !facts.is_empty()) {
        all.push(Block::Heading(heading.to_owned()));
        all.extend(facts.iter().map(block));
    }
    if !messages.is_empty() {
        all.push(Block::Heading("Messages".to_owned()));
        all.extend(messages.iter().map(|said| Block::Fact(format!("{}, {}", said.from, said.at), said.texts.clone())));
    }
    if !story.documents.is_empty() {
        all.push(Block::Heading("Documents that came along".to_owned()));
        all.extend(story.documents.iter().map(|document| Block::Text(document.title.clone())));
    }
    all
}

fn block(fact: &Fact) -> Block {
    Block::Fact(fact.key.clone(), fact.values.clone())
}

#[cfg(test)]
mod tests;
