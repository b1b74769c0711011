//! Searches. Every one is bounded by those who may see what it finds.

use rusqlite::{Connection, ToSql, params_from_iter};

use super::rows::{RESOURCE_COLUMNS, TASK_COLUMNS, micros, stored_resource, task_record};
use crate::store::{StoreError, StoredResource, TaskQuery, TaskRecord};

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

    /// Only what these systems sent, or what was routed to these providers. A side that names nobody is left out: with it,
    /// SQLite would read the whole table.
    fn visible(query: &TaskQuery, system: &str, provider: &str) -> Self {
        let mut w = Self::default();
        w.sql.push('(');
        if !query.systems.is_empty() || query.providers.is_empty() {
            w.sql.push_str(&format!("{system} IN "));
            w.list(query.systems.iter().map(|s| s.as_str().to_owned()));
        }
        if !query.providers.is_empty() {
            w.sql.push_str(if query.systems.is_empty() { "" } else { " OR " });
            w.sql.push_str(&format!("{provider} IN "));
            w.list(query.providers.iter().map(|p| p.as_str().to_owned()));
        }
        w.sql.push(')');
        w
    }
}

pub(super) fn tasks(c: &Connection, query: &TaskQuery) -> Result<Vec<(TaskRecord, StoredResource)>, StoreError> {
    let named = query.ids.is_some() || query.requests.is_some();
    // “+” keeps SQLite from reading all that is visible where the query names the few it wants
    let (system, provider) = if named { ("+t.system", "+t.provider") } else { ("t.system", "t.provider") };
    let mut w = Where::visible(query, system, provider);
    w.one_of("t.id", query.ids.as_ref().map(|l| l.iter().map(|id| id.as_bytes().to_vec())));
    w.one_of("t.provider", query.owners.as_ref().map(|l| l.iter().map(|p| p.as_str().to_owned())));
    w.one_of("t.status", query.statuses.as_ref().map(|l| l.iter().map(|s| s.code())));
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
    if let Some(after) = query.after {
        w.and("t.id > ?");
        w.value(after.0.as_bytes().to_vec());
    }
    w.value(i64::try_from(query.count).unwrap_or(i64::MAX));
    // first which, then what they hold: bodies are read only for the page
    let sql = format!(
        "WITH page AS MATERIALIZED (SELECT t.id FROM task t WHERE {} ORDER BY t.id LIMIT ?)
         SELECT {TASK_COLUMNS}, {RESOURCE_COLUMNS} FROM page CROSS JOIN task t ON t.id = page.id
         JOIN referral r ON r.id = t.referral JOIN resource s ON s.id = t.id AND s.kind = 'Task' AND s.version = t.version
         ORDER BY t.id",
        w.sql
    );
    let mut statement = c.prepare_cached(&sql)?;
    let rows =
        statement.query_map(params_from_iter(w.values.iter()), |row| Ok((task_record(row)?, stored_resource(row)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn requests(
    c: &Connection,
    query: &TaskQuery,
    identifiers: Option<&[String]>,
) -> Result<Vec<StoredResource>, StoreError> {
    let systems = query.systems.iter().map(|system| (system.as_str(), false));
    let providers = query.providers.iter().map(|provider| (provider.as_str(), true));
    let count = i64::try_from(query.count).unwrap_or(i64::MAX);
    let mut w = Where::default();
    let mut selects = Vec::new();
    for (party, provides) in systems.chain(providers) {
        // one walk of an index each, in the order of the page; those that are named go by their names
        let named = if identifiers.is_some() { "+" } else { "" };
        w.sql.clear();
        w.and(&format!("{named}{} = ?", if provides { "t.provider" } else { "r.system" }));
        w.value(party.to_owned());
        let request = if provides && identifiers.is_none() { "t.request" } else { "r.request" };
        w.one_of(request, query.ids.as_ref().map(|l| l.iter().map(|id| id.as_bytes().to_vec())));
        w.one_of("r.identifier", identifiers.map(|l| l.iter().cloned()));
        if let Some(after) = query.after {
            w.and(&format!("{request} > ?"));
            w.value(after.0.as_bytes().to_vec());
        }
        let from = match (provides, identifiers) {
            (false, _) => "referral r",
            (true, None) => "task t",
            (true, Some(_)) => "referral r JOIN task t ON t.referral = r.id",
        };
        selects.push(format!(
            "SELECT * FROM (SELECT DISTINCT {request} AS request FROM {from} WHERE {} ORDER BY 1 LIMIT ?)",
            w.sql
        ));
        w.value(count);
    }
    if selects.is_empty() {
        return Ok(Vec::new());
    }
    w.value(count);
    let unions = selects.chunks(UNION_MAX).map(|some| format!("SELECT request FROM ({})", some.join(" UNION ")));
    let sql = format!(
        "WITH page AS MATERIALIZED (SELECT request FROM ({}) ORDER BY request LIMIT ?)
         SELECT {RESOURCE_COLUMNS} FROM page CROSS JOIN resource s ON s.id = page.request AND s.kind = 'ServiceRequest'
         WHERE NOT EXISTS (SELECT 1 FROM resource n WHERE n.id = s.id AND n.kind = s.kind AND n.version > s.version)
         ORDER BY page.request",
        unions.collect::<Vec<_>>().join(" UNION ")
    );
    let mut statement = c.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(w.values.iter()), stored_resource)?;
    Ok(rows.collect::<Result<_, _>>()?)
}
