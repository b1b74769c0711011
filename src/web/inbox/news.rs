//! What was said of a referral that nobody of its provider has looked at: messages and changes of the referrer, that it was taken back, and
//! what came of those it led to. It is new until a page shows it, to whoever works there. To write about a referral is not to look at it: what
//! comes while somebody writes stays new. Which of it is new is pure.

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

const TAKEN_BACK: Tag = tag("Newly taken back", "red");
const RISK: Tag = tag("New risk", "red");
const MESSAGE: Tag = tag("New message", "blue");
const CHANGED: Tag = tag("Changed by the referrer", "blue");
const ONWARD: Tag = tag("News from another service", "blue");

/// All that a referrer says, the gravest first.
const GRAVEST: [Tag; 4] = [TAKEN_BACK, RISK, MESSAGE, CHANGED];

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

/// What the other side said of a Task that nobody has looked at, in its order: `heard` is the seq up to which somebody has. What a provider's own
/// system answers was made of all that was said before, for its version would be stale else; what its people write on pages was made of
/// what these showed, which was noted as looked at then.
pub(super) fn unheard<'j>(
    task: TaskId,
    journal: impl IntoIterator<Item = &'j JournalLine>,
    side: Side,
    heard: u64,
) -> Vec<New> {
    let mut all = Vec::new();
    for line in journal {
        match said(line, side) {
            Some(tag) if line.seq > heard => all.push(New { task, seq: line.seq, tag }),
            None if side == Side::Provider && is_answer_of_system(line) => all.clear(),
            _ => {}
        }
    }
    all
}

/// What one side hears of in a line of a journal.
fn said(line: &JournalLine, side: Side) -> Option<Tag> {
    let unless_risk = |tag: Tag| Some(if line.event.tells_of_risk() { RISK } else { tag });
    match (side, &line.actor, &line.event) {
        (Side::Provider, Actor::System(_), Event::Retracted { .. }) => Some(TAKEN_BACK),
        (Side::Provider, Actor::System(_), Event::Amended { .. }) => unless_risk(CHANGED),
        (Side::Provider, Actor::System(_), Event::Message { .. }) => unless_risk(MESSAGE),
        (Side::Referrer, Actor::Provider(_), Event::Message { .. }) => Some(ONWARD),
        (Side::Referrer, Actor::Provider(_), Event::Answered { from, to, .. }) if from != to => Some(ONWARD),
        _ => None,
    }
}

/// Whether a provider's own system said what becomes of it, and not somebody on a page.
fn is_answer_of_system(line: &JournalLine) -> bool {
    let by_person = line.asked_by.as_ref().is_some_and(|asked| asked.person.is_some());
    let moves = matches!(line.event, Event::Answered { from, to, .. } if from != to);
    !by_person && moves && matches!(line.actor, Actor::Provider(_))
}

/// What the referrer did of which a page does not tell that was made at `version`: all of it is told to whoever wrote on such a page.
pub(super) fn came_since(journal: &[JournalLine], version: u64) -> Vec<u64> {
    let is_said = |line: &&JournalLine| {
        let asks = matches!((&line.actor, &line.event), (Actor::System(_), Event::CancellationRequested { .. }));
        line.seq > version && (asks || said(line, Side::Provider).is_some())
    };
    journal.iter().filter(is_said).map(|line| line.seq).collect()
}

/// Of each kind what came last: it is heard with what came before it, and no sooner.
fn last_of_each(news: Vec<New>) -> Vec<New> {
    let mut last: Vec<New> = Vec::new();
    for new in news {
        last.retain(|before| before.tag != new.tag);
        last.push(new);
    }
    last
}

/// What a line of the list is marked with: the gravest of what the referrer said, and that another service said something.
fn tags(news: &[New]) -> Vec<Tag> {
    let is_there = |tag: &&Tag| news.iter().any(|new| new.tag == **tag);
    GRAVEST.iter().find(is_there).into_iter().chain([&ONWARD].into_iter().filter(is_there)).copied().collect()
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
        let hears = |line: &TaskId, shelf: &Shelf| shelf.by_task.get(line).is_some_and(|line| line.hears());
        let mut touched: BTreeSet<TaskId> = changed.into_iter().filter(|line| hears(line, shelf)).collect();
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
            if let Some((line, side)) = asked.get(task) {
                let news = last_of_each(unheard(*task, journal, *side, 0));
                shelf.news.by_line.entry(*line).or_default().extend(news);
            }
        }
        let by_task = &shelf.by_task;
        let hears = |line: &TaskId| by_task.get(line).is_some_and(|line| line.hears());
        shelf.news.led.retain(|_, line| hears(line));
        shelf.news.by_line.retain(|line, _| hears(line));
        // what somebody has looked at since, in whichever process
        let mut heard: HashMap<TaskId, u64> = HashMap::new();
        let new: BTreeSet<TaskId> = shelf.news.by_line.values().flatten().map(|new| new.task).collect();
        let new: Vec<TaskId> = new.into_iter().collect();
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
    use crate::{
        domain::TaskStatus::{Accepted, InProgress, Requested},
        store::AskedBy,
    };

    fn line(seq: u64, actor: &str, event: Event) -> JournalLine {
        let actor = match actor {
            "rio" => Actor::System("rio".parse().unwrap()),
            provider => Actor::Provider(provider.parse().unwrap()),
        };
        JournalLine { seq, at: Timestamp::UNIX_EPOCH, actor, event, asked_by: None }
    }

    /// The same, done by somebody on a page.
    fn on_page(seq: u64, actor: &str, event: Event) -> JournalLine {
        let asked_by = AskedBy { request: "r".into(), correlation: None, person: Some("local:luke".into()) };
        JournalLine { asked_by: Some(asked_by), ..line(seq, actor, event) }
    }

    fn message() -> Event {
        Event::Message { communication: Uuid::nil(), with: vec![], asks: false, risk: false }
    }

    fn amended(risk: bool, with: &[&str]) -> Event {
        let with = with.iter().map(|one| (*one).to_owned()).collect();
        Event::Amended { request: 2, order: None, with, risk }
    }

    fn marks(journal: &[JournalLine], side: Side, heard: u64) -> Vec<&'static str> {
        let news = last_of_each(unheard(TaskId(Uuid::nil()), journal, side, 0));
        // as a list does it, which learns what was heard afterwards
        let news: Vec<New> = news.into_iter().filter(|new| new.seq > heard).collect();
        tags(&news).iter().map(|tag| tag.words).collect()
    }

    fn seqs(journal: &[JournalLine], heard: u64) -> Vec<u64> {
        unheard(TaskId(Uuid::nil()), journal, Side::Provider, heard).iter().map(|new| new.seq).collect()
    }

    #[test]
    fn what_the_referrer_says_is_new_until_somebody_has_looked_at_it() {
        let answered = |from, to| Event::Answered { from, to, implied: false };
        let mut journal = vec![line(2, "mind", answered(Requested, Accepted))];
        assert_eq!(marks(&journal, Side::Provider, 0), [""; 0]);
        journal.push(line(3, "rio", amended(false, &[])));
        assert_eq!(marks(&journal, Side::Provider, 0), ["Changed by the referrer"]);
        journal.push(line(4, "rio", message()));
        journal.push(line(5, "rio", amended(false, &[])));
        assert_eq!(marks(&journal, Side::Provider, 0), ["New message"], "a change hides no message");
        assert_eq!((seqs(&journal, 0), seqs(&journal, 3)), (vec![3, 4, 5], vec![4, 5]));
        journal.push(on_page(6, "mind", answered(Accepted, Accepted)));
        journal.push(on_page(7, "mind", answered(Accepted, InProgress)));
        journal.push(on_page(8, "mind", message()));
        journal.push(line(9, "mind", message()));
        assert_eq!(seqs(&journal, 0), [3, 4, 5], "to write is not to look at what came meanwhile");
        journal.push(line(10, "mind", answered(InProgress, Accepted)));
        assert_eq!(seqs(&journal, 0), [0; 0], "a system's answer was made of all that had been said");
    }

    #[test]
    fn what_was_heard_gives_its_name_to_nothing_that_comes_after() {
        let message_of_risk = Event::Message { communication: Uuid::nil(), with: vec![], asks: false, risk: true };
        for risk in [amended(true, &[]), amended(false, &["Flag/1"]), message_of_risk] {
            let journal = [line(8, "rio", risk), line(9, "rio", message())];
            assert_eq!(marks(&journal, Side::Provider, 0), ["New risk"], "no message hides a risk");
            assert_eq!(marks(&journal, Side::Provider, 8), ["New message"], "a risk that was heard is not new");
            assert_eq!(marks(&journal, Side::Provider, 9), [""; 0]);
        }
        let journal = [line(8, "rio", message()), line(9, "rio", Event::Retracted { request: 2, order: None })];
        assert_eq!(marks(&journal, Side::Provider, 0), ["Newly taken back"]);
    }

    #[test]
    fn what_came_while_somebody_wrote_is_what_her_page_had_not() {
        let asks = Event::CancellationRequested { request: 3, order: None };
        let journal = [
            line(2, "rio", message()),
            on_page(3, "mind", message()),
            line(4, "rio", amended(true, &[])),
            line(5, "rio", asks),
        ];
        assert_eq!((came_since(&journal, 0), came_since(&journal, 2)), (vec![2, 4, 5], vec![4, 5]));
        assert_eq!(came_since(&journal, 5), [0; 0]);
    }

    #[test]
    fn whoever_referred_on_hears_of_messages_and_of_each_step() {
        let answered = |to| Event::Answered { from: Requested, to, implied: false };
        let mut journal = vec![line(2, "mind", answered(Requested))];
        assert_eq!(marks(&journal, Side::Referrer, 0), [""; 0], "a note there is theirs");
        journal.push(line(3, "mind", answered(Accepted)));
        assert_eq!(marks(&journal, Side::Referrer, 0), ["News from another service"]);
        journal.push(on_page(4, "rio", message()));
        assert_eq!(marks(&journal, Side::Referrer, 0), ["News from another service"], "who writes has not looked");
        assert_eq!(marks(&journal, Side::Referrer, 3), [""; 0]);
        journal.push(line(5, "mind", message()));
        assert_eq!(marks(&journal, Side::Referrer, 3), ["News from another service"]);
    }
}
