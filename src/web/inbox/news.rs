//! What was said of a referral that nobody of its provider has looked at: messages and changes of the referrer, and what came of those it led
//! to. It is new until its page is opened, by whoever works there; what one answers one has read. Which of it is new is pure.

use std::collections::{BTreeSet, HashMap};

use super::{
    live::{Live, PIECE, Shelf},
    words::{Tag, tag},
};
use crate::{
    domain::{Actor, Event, ProviderId, TaskId, Timestamp},
    store::{JournalLine, StoreError, TaskQuery},
    web::Web,
};

/// So many referrals that came of a provider's are watched, whose news stand with those they came of.
pub(super) const WATCHED_MAX: usize = 5_000;

const MESSAGE: Tag = tag("New message", "blue");
const CHANGED: Tag = tag("Changed by the referrer", "blue");
const RISK: Tag = tag("New risk", "red");
const ONWARD: Tag = tag("News from another service", "blue");

/// All of them, the gravest first.
const GRAVEST: [Tag; 4] = [RISK, MESSAGE, CHANGED, ONWARD];

/// On which side of a Task one stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// It is one's own to work on.
    Provider,
    /// It came of a referral that one works on.
    Referrer,
}

/// Something new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct New {
    /// The Task in whose journal it stands.
    pub task: TaskId,
    /// Its seq there.
    pub seq: u64,
    pub tag: Tag,
}

/// What of a Task's journal the other side said last, if one has said nothing since: who answers has read what was said before. To give a
/// referral to somebody is no answer.
pub(super) fn last_said<'j>(
    task: TaskId,
    journal: impl IntoIterator<Item = &'j JournalLine>,
    side: Side,
) -> Option<New> {
    let mut last: Option<New> = None;
    for JournalLine { seq, event, actor, .. } in journal {
        let new = |tag| Some(New { task, seq: *seq, tag });
        let moves = matches!(event, Event::Answered { from, to, .. } if from != to);
        let is_message = matches!(event, Event::Message { .. });
        last = match (side, actor) {
            // of what came one after the other the gravest is told
            (Side::Provider, Actor::System(_)) if is_message => new(gravest(last, MESSAGE)),
            (Side::Provider, Actor::System(_)) if let Event::Amended { with, .. } = event => {
                let is_risk = with.iter().any(|one| one.starts_with("Flag/"));
                new(gravest(last, if is_risk { RISK } else { CHANGED }))
            }
            (Side::Referrer, Actor::Provider(_)) if is_message || moves => new(ONWARD),
            (Side::Provider, Actor::Provider(_)) | (Side::Referrer, Actor::System(_)) if is_message || moves => None,
            _ => last,
        };
    }
    last
}

/// What is told of what was said before and now: the gravest.
fn gravest(before: Option<New>, now: Tag) -> Tag {
    let said = [before.map(|before| before.tag), Some(now)];
    GRAVEST.into_iter().find(|tag| said.contains(&Some(*tag))).unwrap_or(now)
}

/// The seqs of what the referrer wrote or changed since the provider answered last, and that nobody of it has looked at: `heard` is the seq up
/// to which somebody has.
pub(super) fn unheard(journal: &[JournalLine], heard: u64) -> Vec<u64> {
    let is_answer = |line: &&JournalLine| {
        let moves = matches!(line.event, Event::Answered { from, to, .. } if from != to);
        matches!(line.actor, Actor::Provider(_)) && (moves || matches!(line.event, Event::Message { .. }))
    };
    let from = journal.iter().rev().find(is_answer).map_or(heard, |line| heard.max(line.seq));
    let is_said = |line: &&JournalLine| {
        matches!(line.actor, Actor::System(_)) && matches!(line.event, Event::Message { .. } | Event::Amended { .. })
    };
    journal.iter().filter(is_said).map(|line| line.seq).filter(|seq| *seq > from).collect()
}

/// The tags of what is new, each once.
fn tags(news: &[New]) -> Vec<Tag> {
    GRAVEST.into_iter().filter(|tag| news.iter().any(|new| new.tag == *tag)).collect()
}

/// What of the news of a provider's lines is known.
#[derive(Default)]
pub(super) struct Known {
    /// The line with which news of a Task stand that came of it.
    led: HashMap<TaskId, TaskId>,
    /// What is new, by line.
    by_line: HashMap<TaskId, Vec<New>>,
}

impl Live {
    /// Brings the news of a shelf up to date, of which these lines have changed, and others since `from`. Whether any line looks otherwise
    /// by that.
    pub(super) async fn keep_news(
        &self,
        provider: &ProviderId,
        shelf: &mut Shelf,
        changed: BTreeSet<TaskId>,
        from: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let is_open = |line: &TaskId, shelf: &Shelf| shelf.by_task.get(line).is_some_and(|line| line.is_open());
        let mut touched: BTreeSet<TaskId> = changed.into_iter().filter(|line| is_open(line, shelf)).collect();
        if let Some(from) = from {
            touched.extend(self.led_changed(shelf, from).await?);
        }
        self.find_led(shelf, &touched).await?;
        let mut asked: HashMap<TaskId, (TaskId, Side)> =
            touched.iter().map(|line| (*line, (*line, Side::Provider))).collect();
        let led = shelf.news.led.iter().filter(|(_, line)| touched.contains(line));
        asked.extend(led.map(|(task, line)| (*task, (*line, Side::Referrer))));
        let tasks: Vec<TaskId> = asked.keys().copied().collect();
        let mut said: HashMap<TaskId, Vec<JournalLine>> = HashMap::new();
        for some in tasks.chunks(PIECE) {
            for (task, line) in self.store.said_of(some.to_vec()).await? {
                said.entry(task).or_default().push(line);
            }
        }
        touched.iter().for_each(|line| drop(shelf.news.by_line.remove(line)));
        for (task, journal) in &said {
            if let Some((line, side)) = asked.get(task)
                && let Some(new) = last_said(*task, journal, *side)
            {
                shelf.news.by_line.entry(*line).or_default().push(new);
            }
        }
        let by_task = &shelf.by_task;
        let open = |line: &TaskId| by_task.get(line).is_some_and(|line| line.is_open());
        shelf.news.led.retain(|_, line| open(line));
        shelf.news.by_line.retain(|line, _| open(line));
        // what somebody has looked at since, in whichever process
        let mut heard: HashMap<TaskId, u64> = HashMap::new();
        let new: Vec<TaskId> = shelf.news.by_line.values().flatten().map(|new| new.task).collect();
        for some in new.chunks(PIECE) {
            heard.extend(self.store.heard(provider, some.to_vec()).await?);
        }
        shelf.news.by_line.retain(|_, news| {
            news.retain(|new| heard.get(&new.task).is_none_or(|seq| *seq < new.seq));
            !news.is_empty()
        });
        Ok(shelf.mark())
    }

    /// The lines of which something came that has changed since.
    async fn led_changed(&self, shelf: &Shelf, from: Timestamp) -> Result<Vec<TaskId>, StoreError> {
        let mut lines = Vec::new();
        let led: Vec<TaskId> = shelf.news.led.keys().copied().collect();
        for some in led.chunks(PIECE) {
            let systems: BTreeSet<_> = some
                .iter()
                .filter_map(|task| shelf.by_task.get(shelf.news.led.get(task)?))
                .map(|line| line.system.clone())
                .collect();
            let query = TaskQuery {
                systems: systems.into_iter().collect(),
                ids: Some(some.iter().map(|task| task.0).collect()),
                from: Some(from),
                by_change: true,
                count: PIECE,
                ..TaskQuery::default()
            };
            let heads = self.store.task_heads(query).await?;
            lines.extend(heads.iter().filter_map(|head| shelf.news.led.get(&head.id).copied()));
        }
        Ok(lines)
    }

    /// Looks for the Tasks that these lines led to.
    async fn find_led(&self, shelf: &mut Shelf, lines: &BTreeSet<TaskId>) -> Result<(), StoreError> {
        let lines = lines.iter().filter_map(|line| shelf.by_task.get(line));
        let by_request: HashMap<_, _> = lines
            .flat_map(|line| line.led_to.iter().map(|request| (*request, (line.task, line.system.clone()))))
            .take(WATCHED_MAX)
            .collect();
        let requests: Vec<_> = by_request.keys().copied().collect();
        for some in requests.chunks(PIECE) {
            let systems: BTreeSet<_> = some.iter().filter_map(|request| by_request.get(request)).collect();
            let query = TaskQuery {
                systems: systems.into_iter().map(|(_, system)| system.clone()).collect(),
                requests: Some(some.to_vec()),
                count: WATCHED_MAX,
                ..TaskQuery::default()
            };
            for (task, _) in self.store.search_tasks(query).await? {
                let has_room = shelf.news.led.len() < WATCHED_MAX || shelf.news.led.contains_key(&task.id);
                if let (Some((line, _)), true) = (by_request.get(&task.request), has_room && !task.is_parent()) {
                    shelf.news.led.insert(task.id, *line);
                }
            }
        }
        Ok(())
    }
}

impl Shelf {
    /// Puts its news on its lines; whether one looks otherwise by that.
    fn mark(&mut self) -> bool {
        let mut other = false;
        for (task, line) in &mut self.by_task {
            let tags = self.news.by_line.get(task).map(|news| tags(news)).unwrap_or_default();
            if line.news != tags {
                let mut marked = (**line).clone();
                marked.news = tags;
                *line = std::sync::Arc::new(marked);
                other = true;
            }
        }
        other
    }
}

impl Web {
    /// Notes that somebody of a provider looks at what was said of these Tasks up to these journals' ends, where that is more than was
    /// looked at before. A page is shown all the same where that cannot be kept.
    pub(super) async fn looks_at(&self, provider: &ProviderId, news: Vec<New>) {
        if news.is_empty() {
            return;
        }
        let kept = async {
            let known = self.store.heard(provider, news.iter().map(|new| new.task).collect()).await?;
            let is_known = |new: &&New| known.iter().any(|(task, seq)| *task == new.task && *seq >= new.seq);
            let more: Vec<_> = news.iter().filter(|new| !is_known(new)).map(|new| (new.task, new.seq)).collect();
            if more.is_empty() { Ok(()) } else { self.store.hear(provider, more).await }
        };
        if let Err(error) = kept.await {
            tracing::warn!(%error, "that messages were looked at could not be kept");
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::TaskStatus::{Accepted, Requested};

    fn line(seq: u64, actor: &str, event: Event) -> JournalLine {
        let actor = match actor {
            "rio" => Actor::System("rio".parse().unwrap()),
            provider => Actor::Provider(provider.parse().unwrap()),
        };
        JournalLine { seq, at: Timestamp::UNIX_EPOCH, actor, event, asked_by: None }
    }

    fn message() -> Event {
        Event::Message { communication: Uuid::nil(), with: vec![], asks: false }
    }

    fn said(journal: &[JournalLine], side: Side) -> Option<(u64, &'static str)> {
        last_said(TaskId(Uuid::nil()), journal, side).map(|new| (new.seq, new.tag.words))
    }

    #[test]
    fn what_the_referrer_says_is_new_until_it_is_answered() {
        let amended = || Event::Amended { request: 2, order: None, with: vec![] };
        let answered = |to| Event::Answered { from: Requested, to, implied: false };
        let mut journal = vec![line(2, "mind", answered(Accepted))];
        assert_eq!(said(&journal, Side::Provider), None);
        journal.push(line(3, "rio", amended()));
        assert_eq!(said(&journal, Side::Provider), Some((3, "Changed by the referrer")));
        journal.push(line(4, "rio", message()));
        journal.push(line(5, "rio", amended()));
        assert_eq!(said(&journal, Side::Provider), Some((5, "New message")), "a change hides no message");
        assert_eq!((unheard(&journal, 0), unheard(&journal, 3)), (vec![3, 4, 5], vec![4, 5]));
        journal.push(line(6, "mind", answered(Requested)));
        assert_eq!(said(&journal, Side::Provider).unwrap().0, 5, "given to somebody is not answered");
        journal.push(line(7, "mind", message()));
        assert_eq!(said(&journal, Side::Provider), None);
        assert_eq!(unheard(&journal, 0), [0; 0], "who answers has read what was said before");
        let flagged = Event::Amended { request: 3, order: None, with: vec!["Flag/1".into()] };
        journal.extend([line(8, "rio", flagged), line(9, "rio", message())]);
        assert_eq!(said(&journal, Side::Provider), Some((9, "New risk")), "nor does a message hide a risk");
    }

    #[test]
    fn whoever_referred_on_hears_of_messages_and_of_each_step() {
        let answered = |to| Event::Answered { from: Requested, to, implied: false };
        let mut journal = vec![line(2, "mind", answered(Requested))];
        assert_eq!(said(&journal, Side::Referrer), None, "a note there is theirs");
        journal.push(line(3, "mind", answered(Accepted)));
        assert_eq!(said(&journal, Side::Referrer), Some((3, "News from another service")));
        journal.push(line(4, "rio", message()));
        assert_eq!(said(&journal, Side::Referrer), None);
        journal.push(line(5, "mind", message()));
        assert_eq!(said(&journal, Side::Referrer).unwrap().0, 5);
    }
}
