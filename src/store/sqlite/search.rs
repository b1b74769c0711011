//! Searches. Every one is bounded by those who may see what it finds.

use rusqlite::{Connection, Row, ToSql, params_from_iter};

use uuid::Uuid;

use super::rows::{RESOURCE_COLUMNS, TASK_COLUMNS, micros, moment, stored_resource, task_record, uuid};
use crate::{
    domain::{InboxId, ReferralId, TaskId, TaskStatus},
    store::{NAMESAKES_MAX, StoreError, StoredResource, TaskHead, TaskQuery, TaskRecord, namesakes::together},
};

/// SQLite joins no more than 500 selects.
const UNION_MAX: usize = 400;

/// Conditions joined by AND, with their values.
#[derive(Default)]
struct Where {
    sql: String,
    values: Vec<Box<dyn ToSql>>,
}

impl Where {
    fn and(&mut self, sql: &str) {
        self.sql.push_str(if self.sql.is_empty() { "" } else { " AND " });
        self.sql.push_str(sql);
    }

    fn value(&mut self, value: impl ToSql + 'static) {
        self.values.push(Box::new(value));
    }

    fn one_of<T: ToSql + 'static>(&mut self, column: &str, values: Option<impl Iterator<Item = T>>) {
        let Some(values) = values else { return };
        self.and(&format!("{column} IN "));
        self.list(values);
    }

    fn list<T: ToSql + 'static>(&mut self, values: impl Iterator<Item = T>) {
        let before = self.values.len();
        self.values.extend(values.map(|v| Box::new(v) as Box<dyn ToSql>));
        let marks = vec!["?"; self.values.len() - before].join(",");
        self.sql.push_str(&format!("({marks})"));
    }
}

/// Of whom something is searched: the column that names the party, and the party.
fn parties(query: &TaskQuery) -> impl Iterator<Item = (bool, &str)> {
    let systems = query.systems.iter().map(|system| (false, system.as_str()));
    systems.chain(query.providers.iter().map(|provider| (true, provider.as_str())))
}

/// Joins selects; SQLite joins only so many at once.
fn union(selects: &[String], column: &str) -> String {
    let some = selects.chunks(UNION_MAX).map(|some| format!("SELECT * FROM ({})", some.join(" UNION ")));
    let all = some.collect::<Vec<_>>().join(" UNION ");
    format!("SELECT {column} FROM ({all})")
}

pub(super) fn referrals_of(
    c: &Connection,
    query: &TaskQuery,
    ids: &[Uuid],
    names: &[String],
) -> Result<Vec<ReferralId>, StoreError> {
    let mut w = Where::default();
    w.sql.push_str("SELECT referral FROM (SELECT referral FROM resource WHERE id IN ");
    w.list(ids.iter().map(|id| id.as_bytes().to_vec()));
    w.sql.push_str(" UNION SELECT referral FROM name WHERE value IN ");
    w.list(names.iter().cloned());
    w.sql.push_str(") x WHERE EXISTS (SELECT 1 FROM task t WHERE t.referral = x.referral AND (+t.system IN ");
    w.list(query.systems.iter().map(|system| system.as_str().to_owned()));
    w.sql.push_str(" OR +t.provider IN ");
    w.list(query.providers.iter().map(|provider| provider.as_str().to_owned()));
    w.sql.push_str(")) ORDER BY 1 LIMIT ?");
    w.value(i64::try_from(query.count).unwrap_or(i64::MAX));
    let mut statement = c.prepare_cached(&w.sql)?;
    let rows = statement.query_map(params_from_iter(w.values.iter()), |row| uuid(row, "referral").map(ReferralId))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn open_by_name(
    c: &Connection,
    names: &[String],
    inboxes: &[InboxId],
    count: usize,
) -> Result<Vec<(TaskRecord, Vec<StoredResource>)>, StoreError> {
    if names.is_empty() || inboxes.is_empty() {
        return Ok(Vec::new());
    }
    let w = open_of(names, inboxes, count);
    let mut statement = c.prepare_cached(&w.sql)?;
    let rows =
        statement.query_map(params_from_iter(w.values.iter()), |row| Ok((task_record(row)?, stored_resource(row)?)))?;
    Ok(together(rows.collect::<Result<_, _>>()?))
}

fn open_of(names: &[String], inboxes: &[InboxId], count: usize) -> Where {
    let mut w = Where::default();
    // one walk of the index for each name, from its newest referral on
    let one = "SELECT * FROM (SELECT referral FROM name WHERE value = ? ORDER BY referral DESC LIMIT ?)";
    for name in names {
        w.value(name.clone());
        w.value(NAMESAKES_MAX);
    }
    w.sql.push_str(&format!(
        "WITH known AS MATERIALIZED ({}),
         open AS MATERIALIZED (SELECT t.id FROM known CROSS JOIN task t ON t.referral = known.referral WHERE +t.inbox IN ",
        union(&vec![one.to_owned(); names.len()], "referral")
    ));
    w.list(inboxes.iter().map(|inbox| inbox.as_str().to_owned()));
    w.sql.push_str(" AND +t.status IN ");
    w.list(TaskStatus::ALL.iter().filter(|status| !status.is_terminal()).map(|status| status.code()));
    w.sql.push_str(&format!(
        " ORDER BY t.id DESC LIMIT ?)
         SELECT {TASK_COLUMNS}, {RESOURCE_COLUMNS} FROM open CROSS JOIN task t ON t.id = open.id
         JOIN referral r ON r.id = t.referral
         JOIN resource s ON s.referral = t.referral AND +s.kind IN ('ServiceRequest', 'Patient')
         WHERE NOT EXISTS (SELECT 1 FROM resource n WHERE n.id = s.id AND n.kind = s.kind AND n.version > s.version)
         ORDER BY t.id DESC"
    ));
    w.value(i64::try_from(count).unwrap_or(i64::MAX));
    w
}

pub(super) fn tasks(c: &Connection, query: &TaskQuery) -> Result<Vec<(TaskRecord, StoredResource)>, StoreError> {
    let Some((w, page, order)) = page(query) else { return Ok(Vec::new()) };
    // first which, then what they hold: bodies are read only for the page
    let sql = format!(
        "WITH page AS MATERIALIZED ({page})
         SELECT {TASK_COLUMNS}, {RESOURCE_COLUMNS} FROM page CROSS JOIN task t ON t.id = page.id
         JOIN referral r ON r.id = t.referral JOIN resource s ON s.id = t.id AND s.kind = 'Task' AND s.version = t.version
         ORDER BY {order}"
    );
    let mut statement = c.prepare_cached(&sql)?;
    let rows =
        statement.query_map(params_from_iter(w.values.iter()), |row| Ok((task_record(row)?, stored_resource(row)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn heads(c: &Connection, query: &TaskQuery) -> Result<Vec<TaskHead>, StoreError> {
    let Some((w, page, order)) = page(query) else { return Ok(Vec::new()) };
    let sql = format!(
        "WITH page AS MATERIALIZED ({page})
         SELECT t.id, t.version, t.last_updated FROM page CROSS JOIN task t ON t.id = page.id ORDER BY {order}"
    );
    let mut statement = c.prepare_cached(&sql)?;
    let head = |row: &Row<'_>| {
        let last_updated = moment(row, "last_updated")?;
        Ok(TaskHead { id: TaskId(uuid(row, "id")?), version: row.get("version")?, last_updated })
    };
    Ok(statement.query_map(params_from_iter(w.values.iter()), head)?.collect::<Result<_, _>>()?)
}

/// What finds the ids of a page, with its values, and the order of the Tasks `t` on it; none where nothing can be found.
fn page(query: &TaskQuery) -> Option<(Where, String, String)> {
    let named = query.ids.is_some() || query.requests.is_some() || query.referrals.is_some();
    // “+” keeps SQLite from reading all that is visible where the query names the few it wants
    let plus = if named { "+" } else { "" };
    let (way, than) = if query.descending { ("DESC", "<") } else { ("ASC", ">") };
    let order = if query.by_change { format!("last_updated {way}, id {way}") } else { format!("id {way}") };
    let count = i64::try_from(query.count).unwrap_or(i64::MAX);
    let mut w = Where::default();
    let mut selects = Vec::new();
    // one walk of an index each, in the order of the page: several together would all be read and sorted
    let statuses: Vec<Option<TaskStatus>> = match &query.statuses {
        Some(statuses) if !named => statuses.iter().copied().map(Some).collect(),
        _ => vec![None],
    };
    for (provides, party) in parties(query) {
        for status in &statuses {
            w.sql.clear();
            w.and(&format!("{plus}t.{} = ?", if provides { "provider" } else { "system" }));
            w.value(party.to_owned());
            if let Some(status) = status {
                w.and("t.status = ?");
                w.value(status.code());
            } else {
                w.one_of("t.status", query.statuses.as_ref().map(|l| l.iter().map(|s| s.code())));
            }
            w.one_of("t.id", query.ids.as_ref().map(|l| l.iter().map(|id| id.as_bytes().to_vec())));
            w.one_of("t.referral", query.referrals.as_ref().map(|l| l.iter().map(|id| id.0.as_bytes().to_vec())));
            w.one_of("t.provider", query.owners.as_ref().map(|l| l.iter().map(|p| p.as_str().to_owned())));
            if let Some(requests) = &query.requests {
                w.and("t.referral IN (SELECT id FROM referral WHERE request IN ");
                w.list(requests.iter().map(|id| id.as_bytes().to_vec()));
                w.sql.push(')');
            }
            if let Some(from) = query.from {
                w.and("t.last_updated >= ?");
                w.value(micros(from));
            }
            if let Some(before) = query.before {
                w.and("t.last_updated < ?");
                w.value(micros(before));
            }
            match (query.after, query.after_change.filter(|_| query.by_change)) {
                (Some(after), Some(at)) => {
                    w.and(&format!("(t.last_updated, t.id) {than} (?, ?)"));
                    w.value(micros(at));
                    w.value(after.0.as_bytes().to_vec());
                }
                (Some(after), None) => {
                    w.and(&format!("t.id {than} ?"));
                    w.value(after.0.as_bytes().to_vec());
                }
                (None, _) => {}
            }
            selects.push(format!(
                "SELECT * FROM (SELECT t.id, t.last_updated FROM task t WHERE {} ORDER BY {order} LIMIT ?)",
                w.sql
            ));
            w.value(count);
        }
    }
    if selects.is_empty() {
        return None;
    }
    w.value(count);
    let page = format!("{} ORDER BY {order} LIMIT ?", union(&selects, "id, last_updated"));
    let of_tasks = if query.by_change { format!("t.last_updated {way}, t.id {way}") } else { format!("t.id {way}") };
    Some((w, page, of_tasks))
}

pub(super) fn requests(
    c: &Connection,
    query: &TaskQuery,
    identifiers: Option<&[String]>,
) -> Result<Vec<StoredResource>, StoreError> {
    let (way, than) = if query.descending { ("DESC", "<") } else { ("ASC", ">") };
    let count = i64::try_from(query.count).unwrap_or(i64::MAX);
    let mut w = Where::default();
    let mut selects = Vec::new();
    let order = if query.by_change { format!("changed {way}, request {way}") } else { format!("request {way}") };
    for (provides, party) in parties(query).filter(|(provides, _)| !(query.by_change && *provides)) {
        // one walk of an index each, in the order of the page; those that are named go by their names
        let named = if identifiers.is_some() || query.referrals.is_some() { "+" } else { "" };
        w.sql.clear();
        w.and(&format!("{named}{} = ?", if provides { "t.provider" } else { "r.system" }));
        w.value(party.to_owned());
        let request = if provides && identifiers.is_none() { "t.request" } else { "r.request" };
        w.one_of(request, query.ids.as_ref().map(|l| l.iter().map(|id| id.as_bytes().to_vec())));
        w.one_of("r.identifier", identifiers.map(|l| l.iter().cloned()));
        let referral = if provides { "t.referral" } else { "r.id" };
        w.one_of(referral, query.referrals.as_ref().map(|l| l.iter().map(|id| id.0.as_bytes().to_vec())));
        if let Some(from) = query.from.filter(|_| query.by_change) {
            w.and("r.changed >= ?");
            w.value(micros(from));
        }
        if let Some(before) = query.before.filter(|_| query.by_change) {
            w.and("r.changed < ?");
            w.value(micros(before));
        }
        match (query.after, query.after_change.filter(|_| query.by_change)) {
            (Some(after), Some(at)) => {
                w.and(&format!("(r.changed, r.request) {than} (?, ?)"));
                w.value(micros(at));
                w.value(after.0.as_bytes().to_vec());
            }
            (Some(after), None) => {
                w.and(&format!("{request} {than} ?"));
                w.value(after.0.as_bytes().to_vec());
            }
            (None, _) => {}
        }
        let changed = if query.by_change { "r.changed" } else { "0" };
        let from = match (provides, identifiers) {
            (false, _) => "referral r",
            (true, None) => "task t",
            (true, Some(_)) => "referral r JOIN task t ON t.referral = r.id",
        };
        selects.push(format!(
            "SELECT * FROM (SELECT DISTINCT {request} AS request, {changed} AS changed FROM {from} WHERE {} ORDER BY {order} LIMIT ?)",
            w.sql
        ));
        w.value(count);
    }
    if selects.is_empty() {
        return Ok(Vec::new());
    }
    w.value(count);
    let sql = format!(
        "WITH page AS MATERIALIZED ({} ORDER BY {order} LIMIT ?)
         SELECT {RESOURCE_COLUMNS} FROM page CROSS JOIN resource s ON s.id = page.request AND s.kind = 'ServiceRequest'
         WHERE NOT EXISTS (SELECT 1 FROM resource n WHERE n.id = s.id AND n.kind = s.kind AND n.version > s.version)
         ORDER BY {}",
        union(&selects, "request, changed"),
        if query.by_change { format!("page.changed {way}, page.request {way}") } else { format!("page.request {way}") },
    );
    let mut statement = c.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(w.values.iter()), stored_resource)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn open_referrals_of_a_name_are_found_along_indexes() {
        let mut connection = Connection::open_in_memory().unwrap();
        super::super::migrate::run(&mut connection, Path::new(":memory:")).unwrap();
        let w = open_of(&["1".into(), "2".into()], &["mind".parse().unwrap()], 9);
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", w.sql)).unwrap();
        let plan = statement.query_map(params_from_iter(w.values.iter()), |row| row.get("detail")).unwrap();
        let plan: Vec<String> = plan.map(Result::unwrap).collect();
        for step in [
            "SEARCH name USING PRIMARY KEY (value=?)",
            "SEARCH t USING INDEX task_by_referral (referral=?)",
            "SEARCH s USING INDEX resource_by_referral (referral=?)",
            "SEARCH n USING COVERING INDEX resource_version (id=? AND kind=? AND version>?)",
        ] {
            assert!(plan.iter().any(|found| found.starts_with(step)), "{step}: {plan:#?}");
        }
        // only what was found so far is gone through
        let scans = plan.iter().filter(|step| step.starts_with("SCAN"));
        let of_tables = scans.filter(|step| !step.contains("known") && !step.contains("open") && !step.contains('('));
        assert_eq!(of_tables.count(), 0, "{plan:#?}");
    }
}
