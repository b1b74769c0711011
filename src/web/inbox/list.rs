//! Which lines a worklist shows, in what order: what its URL asks for, and what comes of it. Pure.

use std::{cmp::Ordering, sync::Arc};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{line::Line, words};
use crate::domain::{InboxId, ProviderId, TaskId, TaskStatus, Timestamp};

/// So many lines are on a page.
pub(in crate::web) const PAGE: usize = 50;

/// Which of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum View {
    /// All that is open.
    Open,
    /// Nobody has said yet what becomes of it.
    New,
    /// More urgent than the usual.
    Urgent,
    /// It was to be opened or answered by now.
    Overdue,
    /// The referrer asks to cancel it, and nobody has said what becomes of that.
    Cancel,
    /// It waits for the referrer, or for a better time.
    Waiting,
    /// Something was said of it that nobody here has looked at.
    News,
    /// It is being worked on.
    Active,
    /// Its referrer took it back lately: it was sent in error.
    TakenBack,
    /// It has ended lately.
    Closed,
}

/// In what order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum Order {
    /// What must be done first: urgent, then by when.
    First,
    /// The newest first.
    Newest,
    /// The one that came first, first.
    Oldest,
    /// What changed last, first.
    Changed,
    /// By family name.
    Name,
}

/// Whose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::web) enum Whose {
    /// Anybody's.
    All,
    /// Nobody's yet.
    Nobodys,
    /// Of this person: `local:NAME`, `oidc:SUBJECT`.
    Of(String),
}

/// What a URL asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::web) struct Wanted {
    pub view: View,
    pub order: Order,
    pub whose: Whose,
    pub provider: Option<ProviderId>,
    pub inbox: Option<InboxId>,
    /// From 1.
    pub page: usize,
}

/// Each view: its word in URLs, its name.
pub(in crate::web) const VIEWS: [(View, &str, &str); 10] = [
    (View::Open, "open", "All open"),
    (View::New, "new", "New"),
    (View::Urgent, "urgent", "Urgent"),
    (View::Overdue, "overdue", "Overdue"),
    (View::Cancel, "cancel", "Asked to cancel"),
    (View::News, "news", "New messages and changes"),
    (View::Waiting, "waiting", "Waiting"),
    (View::Active, "active", "Active"),
    (View::TakenBack, "taken-back", "Taken back lately"),
    (View::Closed, "closed", "Closed lately"),
];

/// Each order likewise.
pub(in crate::web) const ORDERS: [(Order, &str, &str); 5] = [
    (Order::First, "first", "Most urgent"),
    (Order::Newest, "newest", "Newest"),
    (Order::Oldest, "oldest", "Oldest"),
    (Order::Changed, "changed", "Last changed"),
    (Order::Name, "name", "Family name"),
];

// === impl View ===

impl View {
    /// Whether a line is in it.
    pub(in crate::web) fn has(self, line: &Line, now: Timestamp) -> bool {
        let state = &line.state;
        match self {
            Self::Open => line.is_open(),
            Self::New => {
                matches!(state.status, TaskStatus::Requested | TaskStatus::Received) && !state.information_requested
            }
            Self::Urgent => line.is_open() && line.priority.is_some(),
            Self::Overdue => words::is_overdue(state, now),
            Self::News => line.hears() && !line.news.is_empty(),
            Self::TakenBack => line.taken_back,
            Self::Cancel => line.is_open() && state.cancel_requested,
            Self::Waiting => line.is_open() && (state.status == TaskStatus::OnHold || state.information_requested),
            Self::Active => {
                matches!(state.status, TaskStatus::Accepted | TaskStatus::InProgress) && !state.information_requested
            }
            Self::Closed => !line.is_open(),
        }
    }

    fn code(self) -> &'static str {
        VIEWS.iter().find(|(view, ..)| *view == self).map_or("open", |(_, code, _)| code)
    }
}

// === impl Wanted ===

impl Wanted {
    /// What the pairs of a query ask for; what they do not say, or say in words of their own, is the usual.
    pub(in crate::web) fn read(pairs: &[(String, String)]) -> Self {
        let text = |name: &str| pairs.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
        let view = VIEWS.iter().find(|(_, code, _)| *code == text("view")).map_or(View::Open, |(view, ..)| *view);
        let order = ORDERS.iter().find(|(_, code, _)| *code == text("sort")).map_or(Order::First, |(order, ..)| *order);
        let whose = match text("worker") {
            "" => Whose::All,
            "none" => Whose::Nobodys,
            person => Whose::Of(person.to_owned()),
        };
        Self {
            view,
            order,
            whose,
            provider: text("provider").parse().ok(),
            inbox: text("inbox").parse().ok(),
            page: text("page").parse().unwrap_or(1).max(1),
        }
    }

    /// As a query of a URL, without what is usual.
    pub(in crate::web) fn query(&self) -> String {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let mut pairs = Vec::new();
        if self.view != View::Open {
            pairs.push(format!("view={}", self.view.code()));
        }
        if self.order != Order::First {
            pairs.push(format!("sort={}", self.sort()));
        }
        match &self.whose {
            Whose::All => {}
            Whose::Nobodys => pairs.push("worker=none".to_owned()),
            Whose::Of(person) => pairs.push(format!("worker={}", encoded(person))),
        }
        pairs.extend(self.provider.iter().map(|id| format!("provider={id}")));
        pairs.extend(self.inbox.iter().map(|id| format!("inbox={id}")));
        if self.page > 1 {
            pairs.push(format!("page={}", self.page));
        }
        pairs.join("&")
    }

    /// The URL of a worklist that shows this.
    pub(in crate::web) fn url(&self, path: &str) -> String {
        let query = self.query();
        if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
    }

    /// The word of its order.
    pub(in crate::web) fn sort(&self) -> &'static str {
        ORDERS.iter().find(|(order, ..)| *order == self.order).map_or("first", |(_, code, _)| code)
    }

    /// The word of whose it shows.
    pub(in crate::web) fn worker(&self) -> &str {
        match &self.whose {
            Whose::All => "",
            Whose::Nobodys => "none",
            Whose::Of(person) => person,
        }
    }

    /// Whether a line is wanted, its view apart.
    fn has(&self, line: &Line) -> bool {
        let whose = match &self.whose {
            Whose::All => true,
            Whose::Nobodys => line.worker.is_none(),
            Whose::Of(person) => line.worker.as_ref().is_some_and(|worker| worker.id.as_deref() == Some(person)),
        };
        whose
            && self.provider.as_ref().is_none_or(|id| line.provider == *id)
            && self.inbox.as_ref().is_none_or(|id| line.inbox == *id)
    }

    fn compare(&self, one: &Line, other: &Line) -> Ordering {
        let by = match self.order {
            // see `first`
            Order::First => Ordering::Equal,
            Order::Newest => other.came.cmp(&one.came),
            Order::Oldest => one.came.cmp(&other.came),
            Order::Changed => other.changed.cmp(&one.changed),
            Order::Name => one.sorted.cmp(&other.sorted),
        };
        by.then(one.task.cmp(&other.task))
    }
}

/// By what the most urgent line is the first.
fn first(line: &Line, now: Timestamp) -> (bool, u8, Timestamp, Timestamp, TaskId) {
    let due = words::due(&line.state).unwrap_or(Timestamp::MAX);
    (!words::is_overdue(&line.state, now), line.urgency, due, line.came, line.task)
}

/// What a worklist shows.
#[derive(Debug)]
pub(in crate::web) struct Shown {
    /// How many lines each view has, in the order of [`VIEWS`]. Tests are counted nowhere.
    pub counts: [usize; VIEWS.len()],
    /// The lines of the page.
    pub lines: Vec<Arc<Line>>,
    /// All that are wanted.
    pub total: usize,
    /// Those of them that are tests.
    pub tests: usize,
    /// The page that is shown: the last one, where one behind it was asked for.
    pub page: usize,
}

/// The lines that are wanted, counted and in order, a page of them.
pub(in crate::web) fn shown(lines: &[Arc<Line>], wanted: &Wanted, now: Timestamp, page_len: usize) -> Shown {
    let mut counts = [0; VIEWS.len()];
    let mut found: Vec<&Arc<Line>> = Vec::new();
    for line in lines.iter().filter(|line| wanted.has(line)) {
        for ((view, ..), count) in VIEWS.iter().zip(&mut counts) {
            *count += usize::from(!line.is_test && view.has(line, now));
        }
        if wanted.view.has(line, now) {
            found.push(line);
        }
    }
    match wanted.order {
        // what a line is sorted by is found out once, not with each comparison
        Order::First => found.sort_by_cached_key(|line| first(line, now)),
        _ => found.sort_by(|one, other| wanted.compare(one, other)),
    }
    let (total, tests) = (found.len(), found.iter().filter(|line| line.is_test).count());
    let page = wanted.page.min(total.div_ceil(page_len).max(1));
    let lines = found.into_iter().skip((page - 1).saturating_mul(page_len)).take(page_len).cloned().collect();
    Shown { counts, lines, total, tests, page }
}

/// The lines that have all words of a search, the open ones first.
pub(in crate::web) fn sought(lines: &[Arc<Line>], text: &str, count: usize) -> Vec<Arc<Line>> {
    let folded = words::folded(text);
    if folded.is_empty() {
        return Vec::new();
    }
    // an NHS number is written with spaces, and stands here without
    let digits = folded.replace(' ', "");
    let is_number = digits.len() >= 4 && digits.bytes().all(|b| b.is_ascii_digit());
    let has = |line: &&Arc<Line>| {
        (is_number && line.sought.replace(' ', "").contains(&digits))
            || folded.split(' ').all(|word| line.sought.split(' ').any(|own| own.starts_with(word)))
    };
    let mut found: Vec<Arc<Line>> = lines.iter().filter(has).cloned().collect();
    found.sort_by(|one, other| {
        (!one.is_open(), &one.sorted, one.task).cmp(&(!other.is_open(), &other.sorted, other.task))
    });
    found.truncate(count);
    found
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;
    use crate::web::inbox::line::tests::record;

    fn line(n: u128, status: TaskStatus, priority: &str, name: &str, owner: Value) -> Arc<Line> {
        let mut record = record();
        record.id = TaskId(Uuid::from_u128(n));
        record.state.status = status;
        record.created = record.created.saturating_add(jiff::SignedDuration::from_secs(n as i64)).unwrap();
        let request = json!({
            "resourceType": "ServiceRequest", "id": record.request.to_string(), "priority": priority,
            "subject": {"display": name},
        });
        Arc::new(Line::of(&record, &json!({"owner": owner}), &[request]))
    }

    fn luke() -> Value {
        json!({"type": "Practitioner", "display": "Luke",
               "identifier": {"system": crate::web::inbox::line::WORKER_SYSTEM, "value": "local:luke"}})
    }

    fn lines() -> Vec<Arc<Line>> {
        vec![
            line(1, TaskStatus::Requested, "routine", "Ann Able", json!({})),
            line(2, TaskStatus::Accepted, "urgent", "Bo Baker", luke()),
            line(3, TaskStatus::OnHold, "routine", "Cy Carter", luke()),
            line(4, TaskStatus::Completed, "stat", "Di Dean", luke()),
            line(5, TaskStatus::Requested, "stat", "Éva Nagy", json!({})),
        ]
    }

    fn asked(query: &str) -> Wanted {
        Wanted::read(&crate::http::call::pairs(query))
    }

    fn now() -> Timestamp {
        "2026-03-03T09:00:00Z".parse().unwrap()
    }

    fn ids(query: &str) -> Vec<u128> {
        shown(&lines(), &asked(query), now(), PAGE).lines.iter().map(|line| line.task.0.as_u128()).collect()
    }

    #[test]
    fn each_view_has_its_lines_and_its_count() {
        assert_eq!(ids(""), [5, 2, 1, 3], "the most urgent first, then what came first");
        assert_eq!(ids("view=new"), [5, 1]);
        assert_eq!(ids("view=urgent"), [5, 2]);
        assert_eq!(ids("view=waiting"), [3]);
        assert_eq!(ids("view=active"), [2]);
        assert_eq!(ids("view=closed"), [4]);
        assert_eq!(shown(&lines(), &asked("view=new"), now(), PAGE).counts, [4, 2, 2, 0, 0, 0, 1, 1, 0, 1]);
        let mut all = lines();
        let mut asked_to = (*all[1]).clone();
        asked_to.state.cancel_requested = true;
        all[1] = Arc::new(asked_to);
        let cancel = shown(&all, &asked("view=cancel"), now(), PAGE);
        assert_eq!((cancel.counts[4], cancel.lines[0].task.0.as_u128(), cancel.total), (1, 2, 1));
    }

    #[test]
    fn filters_and_orders_are_those_of_the_url() {
        assert_eq!(ids("worker=local%3Aluke"), [2, 3]);
        assert_eq!(ids("worker=none"), [5, 1]);
        assert_eq!(ids("inbox=another"), [0; 0]);
        assert_eq!(ids("sort=newest"), [5, 3, 2, 1]);
        assert_eq!(ids("sort=oldest"), [1, 2, 3, 5]);
        assert_eq!(ids("sort=name"), [1, 2, 3, 5]);
        for query in ["", "view=new&sort=name&worker=local%3Aluke&inbox=a&page=2", "worker=none&provider=mind"] {
            assert_eq!(asked(query).query(), query, "it is written as it was read");
        }
        assert_eq!(asked("view=<script>&sort=x&page=-1&page=0").query(), "");
    }

    #[test]
    fn a_page_behind_the_last_is_the_last() {
        let wanted = asked("sort=oldest&page=9");
        let shown = shown(&lines(), &wanted, now(), 3);
        assert_eq!((shown.page, shown.total, shown.lines.len()), (2, 4, 1));
    }

    #[test]
    fn a_search_finds_by_any_words_that_begin_so() {
        let found = |text: &str| sought(&lines(), text, 9).iter().map(|l| l.task.0.as_u128()).collect::<Vec<_>>();
        assert_eq!(found("baker bo"), [2]);
        assert_eq!(found("EVA"), [5]);
        assert_eq!(found("d"), [4], "what has ended as well");
        assert_eq!(found("rio-2026-000103").len(), 5);
        assert_eq!(found("000 103").len(), 5);
        assert_eq!((found(""), found("nobody")), (vec![], vec![]));
        let far = [line(6, TaskStatus::Requested, "routine", "Łukasz Đorđević", json!({}))];
        for typed in ["lukasz", "Łukasz", "DORDEVIC lukasz", "đor"] {
            assert_eq!(sought(&far, typed, 9).len(), 1, "{typed}");
        }
    }
}
