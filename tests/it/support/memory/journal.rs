//! The journal over all Tasks, newest first, page by page.

use onward::store::{FoundLine, JournalLine, JournalPage, JournalQuery};

use super::All;

impl All {
    /// As `Store::find_journal`.
    pub fn lines(&self, query: &JournalQuery) -> JournalPage {
        let mut found: Vec<FoundLine> = Vec::new();
        for row in self.tasks.values() {
            let (task, inbox, system) = (row.record.id, row.record.inbox.clone(), row.record.system.clone());
            let of = |line: &JournalLine| FoundLine {
                task,
                inbox: inbox.clone(),
                system: system.clone(),
                line: line.clone(),
            };
            found.extend(row.journal.iter().map(of));
        }
        let at = |one: &FoundLine| (one.line.at, one.task, one.line.seq);
        found.retain(|one| {
            one.line.at >= query.from
                && one.line.at < query.before
                && query.after.is_none_or(|after| at(one) < after)
                && query.event.as_ref().is_none_or(|event| one.line.event.name() == event)
                && query.is_by(&one.line)
                && query.inbox.as_ref().is_none_or(|inbox| one.inbox == *inbox)
                && query.system.as_ref().is_none_or(|system| one.system == *system)
        });
        found.sort_by_key(|one| std::cmp::Reverse(at(one)));
        let goes_on = found.len() > query.count;
        found.truncate(query.count);
        let next = found.last().map(at).filter(|_| goes_on);
        JournalPage { lines: found, next }
    }
}
