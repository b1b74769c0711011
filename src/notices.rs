//! Notices: mail to those who work an inbox that something waits there. It holds numbers, what the service is called and where to log in;
//! nothing of anybody, because mail is read on any device and kept anywhere.
//!
//! What happened is counted from the journals of an inbox's Tasks. What was counted and how far a notice has got is kept in the store
//! (`domain/notice.rs`), so each thing is told once over all processes and restarts. A server cannot be asked whether it has taken what it
//! did not answer for: that notice is sent again, under the same `Message-ID`.

use std::{collections::HashMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Registry, registry::Inbox},
    domain::{
        Alert, AlertKind, InboxId, TaskId, TaskStatus,
        notice::{KeptNotices, News, Notice, Notices},
        retry::{Next, RetryPolicy},
    },
    fhir::{names, test_data},
    store::{Store, StoreError, TaskQuery, is_own_test},
};

mod news;
pub mod smtp;
mod words;

/// Inboxes are looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A commit becomes visible after another that bears a later time, at the most so much: what is younger is not counted yet.
const LAG: SignedDuration = SignedDuration::from_secs(10);
/// A notice is one process's to send for so long; to send it to one address takes less.
const HELD: SignedDuration = SignedDuration::from_secs(120);
/// Changed Tasks are read in pieces of so many, …
const PIECE: usize = 200;
/// … and no more of one inbox in one look: its notice then tells of these.
const LOOKED_AT_MAX: usize = 5_000;
/// So many open tests of an inbox are looked at: they end by themselves, and one is sent at a time.
const TESTS_MAX: usize = 50;
/// After so many tries that failed somebody is told.
const FAILED_TOLD: u32 = 3;
/// The subject of the alert about the server; one about an address has its inbox.
const SERVER: &str = "smtp";

/// Why a notice did not go out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostError {
    /// It may go out later.
    Away(String),
    /// The server takes nothing for this address.
    Refused(String),
}

/// What is sent to one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// By which it is known again where it comes twice.
    pub id: String,
    /// The address.
    pub to: String,
    /// When it was made.
    pub made: Timestamp,
    /// One line.
    pub subject: String,
    /// Lines.
    pub text: String,
}

/// What sends letters.
#[async_trait]
pub trait Post: Send + Sync + 'static {
    /// Sends one; `Ok` means that a server has it.
    async fn send(&self, letter: &Letter) -> Result<(), PostError>;
}

/// Sends notices. See the module's documentation.
pub struct Noticing {
    /// Where Tasks, and what is known of notices, are.
    pub store: Arc<dyn Store>,
    /// Who is told of which inbox.
    pub registry: Arc<ArcSwap<Registry>>,
    /// What sends them.
    pub post: Arc<dyn Post>,
    /// Notices of one inbox go out at most this often, what is urgent apart.
    pub every: SignedDuration,
    /// Where this Onward is reached.
    pub base_url: String,
}

impl Noticing {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => return,
            }
            tokio::select! {
                // what was being sent is another process's after its time, or ours
                () = stop.cancelled() => return,
                looked = self.look() => if let Err(error) = looked {
                    tracing::warn!(%error, "what waits in inboxes cannot be looked at");
                },
            }
        }
    }

    /// Looks at each inbox once.
    async fn look(&self) -> Result<(), StoreError> {
        let registry = self.registry.load_full();
        let told: Vec<&Inbox> = registry.inboxes.values().filter(|inbox| !inbox.notify.is_empty()).collect();
        if told.is_empty() {
            return Ok(());
        }
        let kept: HashMap<InboxId, KeptNotices> = self.store.notices().await?.into_iter().collect();
        // a server that is away is tried once in a look, not once for each inbox
        let mut away = false;
        for inbox in told {
            self.look_at(inbox, &registry.called(inbox), kept.get(&inbox.id), &mut away).await?;
        }
        Ok(())
    }

    async fn look_at(
        &self,
        inbox: &Inbox,
        called: &str,
        kept: Option<&KeptNotices>,
        away: &mut bool,
    ) -> Result<(), StoreError> {
        let now = self.store.now();
        let until = now.saturating_sub(LAG).unwrap_or(Timestamp::MIN);
        let version = kept.map_or(0, |kept| kept.version);
        let before = kept.map_or_else(|| Notices::begun(until), |kept| kept.notices.clone());
        let mut notices = before.clone();
        if until > notices.seen_until
            && let Some(news) = self.news(inbox, notices.seen_until, until).await?
        {
            notices.news = notices.news.and(news);
            notices.seen_until = until;
        }
        if notices.is_due(self.every, now) {
            notices.make(inbox.notify.clone(), self.waiting(&inbox.id).await?, now);
        }
        let sends = !*away && notices.is_to_send(now);
        if sends {
            if notices.notice.as_ref().is_some_and(|notice| notice.failed > 0) {
                notices.join(self.waiting(&inbox.id).await?);
            }
            notices.held_until = Some(held_until(now));
        }
        // where it is another by now, another process has done the same
        if (version == 0 || notices != before) && !self.store.set_notices(&inbox.id, version, notices.clone()).await? {
            return Ok(());
        }
        if sends { self.send(inbox, called, notices, version + 1, away).await } else { Ok(()) }
    }

    /// What happened in an inbox from the one time up to the other; none where nothing changed.
    async fn news(&self, inbox: &Inbox, from: Timestamp, until: Timestamp) -> Result<Option<News>, StoreError> {
        let mut after: Option<(Timestamp, TaskId)> = None;
        let (mut news, mut changed, mut looked_at) = (News::default(), false, 0);
        while looked_at < LOOKED_AT_MAX {
            let query = TaskQuery {
                providers: vec![inbox.provider.clone()],
                from: Some(from),
                by_change: true,
                after: after.map(|(_, task)| task),
                after_change: after.map(|(at, _)| at),
                count: PIECE,
                ..TaskQuery::default()
            };
            let piece = self.store.search_tasks(query).await?;
            after = piece.last().map(|(task, _)| (task.last_updated, task.id));
            let is_last = piece.len() < PIECE;
            looked_at += piece.len();
            for (task, stored) in piece.iter().filter(|(task, _)| task.inbox == inbox.id) {
                changed = true;
                if news::is_test(&stored.body) {
                    continue;
                }
                let journal = self.store.journal(task.id).await?;
                news = news.and(news::of(&journal, news::is_urgent(&stored.body), from, until));
            }
            if is_last {
                break;
            }
        }
        Ok(changed.then_some(news))
    }

    /// So many referrals wait for a first answer, tests of Onward's own apart.
    async fn waiting(&self, inbox: &InboxId) -> Result<u64, StoreError> {
        let all = self.store.waiting().await?;
        let waiting = all.into_iter().find(|(id, _)| id == inbox).map_or(0, |(_, waiting)| waiting);
        let name = names::name(test_data::OWN_VALUE);
        let tests = self.store.open_by_name(vec![name], vec![inbox.clone()], TESTS_MAX).await?;
        let mut count: u64 = 0;
        for (task, _) in tests {
            let is_unanswered = matches!(task.state.status, TaskStatus::Requested | TaskStatus::Received);
            count += u64::from(is_unanswered && is_own_test(&*self.store, task.id).await?);
        }
        Ok(waiting.saturating_sub(count))
    }

    /// Sends a notice to each who has not got it, and keeps after each how far it is.
    async fn send(
        &self,
        inbox: &Inbox,
        called: &str,
        mut notices: Notices,
        mut version: u64,
        away: &mut bool,
    ) -> Result<(), StoreError> {
        while let Some(mut notice) = notices.notice.take() {
            // who is told no longer is sent nothing any more
            notice.to.retain(|to| inbox.notify.contains(to));
            let Some(to) = notice.to.first().cloned() else { break };
            match self.post.send(&letter(&notice, &to, called, &self.base_url)).await {
                Ok(()) => {
                    metrics::counter!("onward_notices_total", "result" => "sent").increment(1);
                    notice.begun = true;
                    notice.to.retain(|other| *other != to);
                    self.store.end_alert(AlertKind::MailAway, SERVER).await?;
                }
                Err(PostError::Refused(why)) => {
                    metrics::counter!("onward_notices_total", "result" => "refused").increment(1);
                    tracing::warn!(inbox.id = %inbox.id, why, "an address of an inbox gets no notices");
                    notice.to.retain(|other| *other != to);
                    self.tell(inbox.id.as_str(), format!("an address in notify of the inbox {}: {why}", inbox.id))
                        .await?;
                }
                Err(PostError::Away(why)) => {
                    *away = true;
                    return self.put_off(inbox, (notices, notice), version, &why).await;
                }
            }
            let now = self.store.now();
            if !notice.to.is_empty() {
                notices.notice = Some(notice);
                notices.held_until = Some(held_until(now));
            }
            if notices.notice.is_none() {
                break;
            }
            if !self.store.set_notices(&inbox.id, version, notices.clone()).await? {
                return Ok(());
            }
            version += 1;
        }
        notices.held_until = None;
        self.store.set_notices(&inbox.id, version, notices).await.map(|_| ())
    }

    /// It is tried again later, or given up.
    async fn put_off(
        &self,
        inbox: &Inbox,
        (mut notices, mut notice): (Notices, Notice),
        version: u64,
        why: &str,
    ) -> Result<(), StoreError> {
        let now = self.store.now();
        notice.failed = notice.failed.saturating_add(1);
        metrics::counter!("onward_notices_total", "result" => "failed").increment(1);
        tracing::warn!(inbox.id = %inbox.id, attempt.n = notice.failed, why, "a notice could not be sent");
        if notice.failed == FAILED_TOLD {
            self.tell(SERVER, format!("notices cannot be sent: {why}")).await?;
        }
        match policy().next(notice.failed, notice.made, now, None, fastrand::f64()) {
            Next::At(due) => notices.notice = Some(Notice { due, ..notice }),
            Next::GiveUp => {
                tracing::error!(inbox.id = %inbox.id, why, "a notice was not sent: given up");
            }
        }
        notices.held_until = None;
        self.store.set_notices(&inbox.id, version, notices).await.map(|_| ())
    }

    async fn tell(&self, subject: &str, text: String) -> Result<(), StoreError> {
        self.store.raise(vec![Alert::new(AlertKind::MailAway, subject, self.store.now(), text)]).await
    }
}

fn held_until(now: Timestamp) -> Timestamp {
    now.saturating_add(HELD).unwrap_or(Timestamp::MAX)
}

fn policy() -> RetryPolicy {
    let (first, cap) = (SignedDuration::from_secs(2), SignedDuration::from_mins(5));
    RetryPolicy { first, cap, give_up_after: SignedDuration::from_hours(24), ..RetryPolicy::default() }
}

fn letter(notice: &Notice, to: &str, called: &str, base_url: &str) -> Letter {
    // the same for each try, another for each address
    let place = to.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    Letter {
        id: format!("{}.{place:x}", notice.id),
        to: to.to_owned(),
        made: notice.made,
        subject: words::subject(notice, called),
        text: words::text(notice, called, base_url),
    }
}

#[cfg(test)]
mod tests;
