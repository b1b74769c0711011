//! Searches. Every one is bounded by those who may see what it finds, and goes by an index of theirs.

use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use super::{
    link::Link,
    rows::{self, RESOURCE_COLUMNS, TASK_COLUMNS, all, get, micros, moment, number, stored_resource, task_record},
};
use crate::{
    domain::{InboxId, ReferralId, TaskId, TaskStatus},
    store::{NAMESAKES_MAX, StoreError, StoredResource, TaskHead, TaskQuery, TaskRecord, namesakes::together},
};

/// Conditions joined by AND, with their values.
#[derive(Default)]
struct Where {
    conditions: Vec<String>,
    values: Vec<Box<dyn ToSql + Sync + Send>>,
}

impl Where {
    /// A value; the number it goes by.
    fn value(&mut self, value: impl ToSql + Sync + Send + 'static) -> usize {
        self.values.push(Box::new(value));
        self.values.len()
    }

    /// A condition with one value, which stands in it as `{}`.
    fn with(&mut self, condition: &str, value: impl ToSql + Sync + Send + 'static) {
        let number = self.value(value);
        self.conditions.push(condition.replace("{}", &format!("${number}")));
    }

    async fn find(self, link: &Link, sql: &str) -> Result<Vec<tokio_postgres::Row>, StoreError> {
        let sql = sql.replace("{where}", &self.conditions.join(" AND "));
        let values: Vec<&(dyn ToSql + Sync)> = self.values.iter().map(|v| &**v as &(dyn ToSql + Sync)).collect();
        link.search(&sql, &values).await
    }
}

fn texts<T>(list: &[T], text: impl Fn(&T) -> &str) -> Vec<String> {
    list.iter().map(|one| text(one).to_owned()).collect()
}

/// One select for each party that may see something, each by an index of its own that is in the order of the page; what they find
/// is merged. A single `IN (…)` over several parties would read all that any of them has.
fn by_party(query: &TaskQuery, w: &mut Where, column: [&str; 2], one: impl Fn(&str) -> String) -> String {
    let mut selects = Vec::new();
    for system in &query.systems {
        let number = w.value(system.as_str().to_owned());
        selects.push(one(&format!("{} = ${number}", column[0])));
    }
    for provider in &query.providers {
        let number = w.value(provider.as_str().to_owned());
        selects.push(one(&format!("{} = ${number}", column[1])));
    }
    selects.join(" UNION ")
}

pub(super) async fn referrals_of(
    link: &Link,
    query: &TaskQuery,
    ids: Vec<Uuid>,
    names: Vec<String>,
) -> Result<Vec<ReferralId>, StoreError> {
    // none that holds a NUL was ever stored
    let names: Vec<String> = names.into_iter().filter(|name| !name.contains('\0')).collect();
    let sql = "SELECT referral FROM (SELECT referral FROM resource WHERE id = ANY($1)
                   UNION SELECT referral FROM name WHERE value = ANY($2)) x
               WHERE EXISTS (SELECT 1 FROM task t WHERE t.referral = x.referral
                             AND (t.system || '' = ANY($4) OR t.provider || '' = ANY($5)))
               ORDER BY 1 LIMIT $3";
    let (systems, providers) = (texts(&query.systems, |s| s.as_str()), texts(&query.providers, |p| p.as_str()));
    let found = link.search(sql, &[&ids, &names, &rows::limit(query.count), &systems, &providers]).await?;
    all(&found, |row| rows::get(row, "referral").map(ReferralId))
}

pub(super) async fn open_by_name(
    link: &Link,
    names: Vec<String>,
    inboxes: &[InboxId],
    count: usize,
) -> Result<Vec<(TaskRecord, Vec<StoredResource>)>, StoreError> {
    // none that holds a NUL was ever stored
    let names: Vec<String> = names.into_iter().filter(|name| !name.contains('\0')).collect();
    if names.is_empty() || inboxes.is_empty() {
        return Ok(Vec::new());
    }
    // one walk of the index for each name, from its newest referral on; an empty text added to a column keeps its own index out of it
    let sql = sql!(
        "WITH known AS MATERIALIZED (
             SELECT DISTINCT n.referral FROM UNNEST($1::text[]) AS wanted (name)
             CROSS JOIN LATERAL (SELECT referral FROM name WHERE value = wanted.name ORDER BY referral DESC LIMIT {NAMESAKES_MAX}) n),
         open AS MATERIALIZED (
             SELECT t.id FROM known JOIN task t ON t.referral = known.referral
             WHERE t.inbox || '' = ANY($2) AND t.status || '' = ANY($3) ORDER BY t.id DESC LIMIT $4)
         SELECT {TASK_COLUMNS}, {RESOURCE_COLUMNS} FROM open JOIN task t ON t.id = open.id
         CROSS JOIN LATERAL (SELECT DISTINCT ON (s.id, s.kind) s.* FROM resource s
                             WHERE s.referral = t.referral AND s.kind IN ('ServiceRequest', 'Patient')
                             ORDER BY s.id, s.kind, s.version DESC) s
         ORDER BY t.id DESC"
    );
    let open: Vec<&str> =
        TaskStatus::ALL.iter().filter(|status| !status.is_terminal()).map(|status| status.code()).collect();
    let inboxes = texts(inboxes, |inbox| inbox.as_str());
    let rows = link.query(sql, &[&names, &inboxes, &open, &rows::limit(count)]).await?;
    Ok(together(all(&rows, |row| Ok((task_record(row)?, stored_resource(row)?)))?))
}

pub(super) async fn tasks(link: &Link, query: &TaskQuery) -> Result<Vec<(TaskRecord, StoredResource)>, StoreError> {
    let Some((w, page, order)) = page(query) else { return Ok(Vec::new()) };
    // first which, then what they hold: bodies are read only for the page
    let sql = format!(
        "WITH page AS MATERIALIZED ({page})
         SELECT {TASK_COLUMNS}, {RESOURCE_COLUMNS} FROM page JOIN task t ON t.id = page.id
         JOIN resource s ON s.id = t.id AND s.kind = 'Task' AND s.version = t.version
         ORDER BY {order}"
    );
    let found = w.find(link, &sql).await?;
    all(&found, |row| Ok((task_record(row)?, stored_resource(row)?)))
}

pub(super) async fn heads(link: &Link, query: &TaskQuery) -> Result<Vec<TaskHead>, StoreError> {
    let Some((w, page, order)) = page(query) else { return Ok(Vec::new()) };
    let sql = format!(
        "WITH page AS MATERIALIZED ({page})
         SELECT t.id, t.version, t.last_updated FROM page JOIN task t ON t.id = page.id ORDER BY {order}"
    );
    let head = |row: &Row| {
        let last_updated = moment(row, "last_updated")?;
        Ok(TaskHead { id: TaskId(get(row, "id")?), version: number(row, "version")?, last_updated })
    };
    all(&w.find(link, &sql).await?, head)
}

/// What finds the ids of a page, with its values, and the order of the Tasks `t` on it; none where nothing can be found.
fn page(query: &TaskQuery) -> Option<(Where, String, String)> {
    if query.systems.is_empty() && query.providers.is_empty() {
        return None;
    }
    let mut w = Where::default();
    if let Some(ids) = &query.ids {
        w.with("t.id = ANY({})", ids.clone());
    }
    if let Some(owners) = &query.owners {
        w.with("t.provider = ANY({})", texts(owners, |p| p.as_str()));
    }
    if let Some(requests) = &query.requests {
        w.with("t.referral IN (SELECT id FROM referral WHERE request = ANY({}))", requests.clone());
    }
    if let Some(from) = query.from {
        w.with("t.last_updated >= {}", micros(from));
    }
    if let Some(before) = query.before {
        w.with("t.last_updated < {}", micros(before));
    }
    if let Some(referrals) = &query.referrals {
        w.with("t.referral = ANY({})", referrals.iter().map(|id| id.0).collect::<Vec<_>>());
    }
    let (way, than) = if query.descending { ("DESC", "<") } else { ("ASC", ">") };
    match (query.after, query.after_change.filter(|_| query.by_change)) {
        (Some(after), Some(at)) => {
            let (at, after) = (w.value(micros(at)), w.value(after.0));
            w.conditions.push(format!("(t.last_updated, t.id) {than} (${at}, ${after})"));
        }
        (Some(after), None) => w.with(&format!("t.id {than} {{}}"), after.0),
        (None, _) => {}
    }
    let order = |table: &str| {
        if query.by_change {
            format!("{table}.last_updated {way}, {table}.id {way}")
        } else {
            format!("{table}.id {way}")
        }
    };
    let count = w.value(rows::limit(query.count));
    let conditions: String = w.conditions.iter().map(|c| format!(" AND {c}")).collect();
    let statuses: Option<Vec<usize>> =
        query.statuses.as_ref().map(|all| all.iter().map(|status| w.value(status.code().to_owned())).collect());
    let page = by_party(query, &mut w, ["t.system", "t.provider"], |seen| {
        let one = |also: String| {
            let order = order("t");
            format!(
                "(SELECT t.id, t.last_updated FROM task t WHERE {seen}{also}{conditions} ORDER BY {order} LIMIT ${count})"
            )
        };
        match &statuses {
            // each status lies in the order of the page, several together would all be read and sorted
            Some(numbers) if !numbers.is_empty() => {
                let selects: Vec<_> = numbers.iter().map(|n| one(format!(" AND t.status = ${n}"))).collect();
                selects.join(" UNION ")
            }
            Some(_) => one(" AND FALSE".to_owned()),
            None => one(String::new()),
        }
    });
    let page = format!("SELECT id FROM ({page}) seen ORDER BY {} LIMIT ${count}", order("seen"));
    let of_tasks = order("t");
    Some((w, page, of_tasks))
}

pub(super) async fn requests(
    link: &Link,
    query: &TaskQuery,
    identifiers: Option<&[String]>,
) -> Result<Vec<StoredResource>, StoreError> {
    if query.systems.is_empty() && query.providers.is_empty() {
        return Ok(Vec::new());
    }
    let mut w = Where::default();
    // what is asked of a referral stands in its Tasks as well, so both parties' selects are the same but for their table
    if let Some(ids) = &query.ids {
        w.with("one.request = ANY({})", ids.clone());
    }
    if let Some(identifiers) = identifiers {
        // none that holds a NUL was ever stored
        let possible: Vec<String> = identifiers.iter().filter(|i| !i.contains('\0')).cloned().collect();
        w.with("one.identifier = ANY({})", possible);
    }
    if let Some(referrals) = &query.referrals {
        w.with("one.of = ANY({})", referrals.iter().map(|id| id.0).collect::<Vec<_>>());
    }
    let (way, than) = if query.descending { ("DESC", "<") } else { ("ASC", ">") };
    if let Some(from) = query.from.filter(|_| query.by_change) {
        w.with("one.changed >= {}", micros(from));
    }
    if let Some(before) = query.before.filter(|_| query.by_change) {
        w.with("one.changed < {}", micros(before));
    }
    match (query.after, query.after_change.filter(|_| query.by_change)) {
        (Some(after), Some(at)) => {
            let (at, after) = (w.value(micros(at)), w.value(after.0));
            w.conditions.push(format!("(one.changed, one.request) {than} (${at}, ${after})"));
        }
        (Some(after), None) => w.with(&format!("one.request {than} {{}}"), after.0),
        (None, _) => {}
    }
    let order = |table: &str| {
        if query.by_change {
            format!("{table}.changed {way}, {table}.request {way}")
        } else {
            format!("{table}.request {way}")
        }
    };
    let sent_only = TaskQuery { providers: Vec::new(), ..query.clone() };
    let seen_by = if query.by_change { &sent_only } else { query };
    if seen_by.systems.is_empty() && seen_by.providers.is_empty() {
        return Ok(Vec::new());
    }
    let count = w.value(rows::limit(query.count));
    let conditions: String = w.conditions.iter().map(|c| format!(" AND {c}")).collect();
    // a referral is found by its identifier, and a provider's Task by the referral
    let provided = if identifiers.is_some() {
        "(SELECT r.identifier, t.request, t.provider, t.referral AS of FROM referral r JOIN task t ON t.referral = r.id)"
    } else {
        "(SELECT request, provider, referral AS of FROM task)"
    };
    let sent = "(SELECT request, system, identifier, id AS of, changed FROM referral)";
    let changed = if query.by_change { "one.changed" } else { "0::bigint AS changed" };
    let page = by_party(seen_by, &mut w, ["one.system", "one.provider"], |seen| {
        let table = if seen.starts_with("one.system") { sent } else { provided };
        format!(
            "(SELECT DISTINCT one.request, {changed} FROM {table} one WHERE {seen}{conditions} ORDER BY {} LIMIT ${count})",
            if query.by_change { order("one") } else { format!("one.request {way}") }
        )
    });
    let sql = format!(
        "WITH page AS MATERIALIZED (SELECT request, changed FROM ({page}) seen ORDER BY {} LIMIT ${count})
         SELECT {RESOURCE_COLUMNS} FROM page
         CROSS JOIN LATERAL (SELECT * FROM resource s WHERE s.id = page.request AND s.kind = 'ServiceRequest'
                             ORDER BY s.version DESC LIMIT 1) s
         ORDER BY {}",
        order("seen"),
        order("page"),
    );
    let found = w.find(link, &sql).await?;
    all(&found, stored_resource)
}
