//! The REST interactions of a double on single resources (R4, http.html).

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    Abilities,
    holdings::{Change, Holdings, Version},
    reply::{Refusal, Reply, etag, place},
    transaction,
};
use crate::{
    fhir::{
        IssueCode,
        gate::{self, Limits},
        reference, tree,
    },
    patch::json_patch,
};

/// A page of search results has at most so many entries; there is no second page.
const PAGE_MAX: usize = 1000;
/// A longer body is refused.
pub(super) const BODY_MAX_BYTES: usize = 16 * 1024 * 1024;

/// A request, read.
pub(super) struct Asked<'a> {
    pub(super) method: Method,
    /// The path below the base, without slashes at its ends.
    pub(super) path: String,
    /// The query, decoded.
    pub(super) query: Vec<(String, String)>,
    pub(super) content_type: Option<String>,
    pub(super) if_match: Option<String>,
    pub(super) if_none_match: Option<String>,
    pub(super) if_none_exist: Option<String>,
    pub(super) body: &'a [u8],
}

/// Where requests are done.
pub(super) struct Desk<'a> {
    pub(super) base_url: &'a str,
    pub(super) abilities: &'a Abilities,
    pub(super) holdings: &'a mut Holdings,
    /// What was stored, in order.
    pub(super) changes: Vec<Change>,
}

impl Desk<'_> {
    pub(super) fn answer(&mut self, asked: &Asked<'_>) -> Result<Reply, Refusal> {
        if self.holdings.is_full(1) {
            return Err(Refusal::new(StatusCode::INSUFFICIENT_STORAGE, IssueCode::NoStore, "this double is full"));
        }
        let steps: Vec<&str> = asked.path.split('/').filter(|s| !s.is_empty()).collect();
        if let [kind, ..] = steps[..]
            && kind != "metadata"
            && !reference::is_resource_type(kind)
        {
            return Err(Refusal::not_found());
        }
        match (&asked.method, &steps[..]) {
            (&Method::GET, ["metadata"]) => Ok(Reply::of(StatusCode::OK, self.metadata())),
            (&Method::POST, []) => transaction::run(self, &body(asked.body)?),
            (&Method::GET, [kind]) => Ok(self.search(kind, &asked.query)),
            (&Method::POST, [kind]) => {
                let resource = self.resource(kind, asked.body)?;
                self.create(kind, resource, asked.if_none_exist.as_deref())
            }
            (&Method::PUT, [kind]) => self.conditional_update(kind, asked),
            (&Method::GET, [kind, id]) => self.read(kind, id, asked.if_none_match.as_deref()),
            (&Method::PUT, [kind, id]) => {
                let resource = self.resource(kind, asked.body)?;
                self.update(kind, id, resource, asked.if_match.as_deref())
            }
            (&Method::PATCH, [kind, id]) => self.patch(kind, id, asked),
            (&Method::GET, [kind, id, "_history"]) => self.history(kind, id),
            (&Method::GET, [kind, id, "_history", version]) => {
                let versions = self.holdings.versions(kind, id);
                let found = versions.iter().find(|v| v.version.to_string() == *version);
                found.map(|v| Reply::resource(StatusCode::OK, v)).ok_or_else(Refusal::not_found)
            }
            _ => {
                Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, IssueCode::NotSupported, "this double cannot do that"))
            }
        }
    }

    fn metadata(&self) -> Value {
        let interactions = ["read", "vread", "update", "patch", "history-instance", "create", "search-type"];
        let kinds = ["Patient", "ServiceRequest", "Task"].map(|kind| {
            json!({
                "type": kind, "versioning": "versioned-update", "readHistory": self.abilities.history,
                "updateCreate": self.abilities.update_as_create, "conditionalCreate": true,
                "conditionalUpdate": self.abilities.conditional_update,
                "interaction": interactions.map(|code| json!({"code": code})),
                "searchParam": [{"name": "_id", "type": "token"}, {"name": "identifier", "type": "token"}],
            })
        });
        json!({
            "resourceType": "CapabilityStatement", "status": "active", "kind": "instance", "fhirVersion": "4.0.1",
            "date": "2026-01-01", "format": ["json"], "patchFormat": ["application/json-patch+json"],
            "implementation": {"description": "A double: holds everything in memory", "url": self.base_url},
            "rest": [{"mode": "server", "resource": kinds, "interaction": [{"code": "transaction"}]}],
        })
    }

    fn read(&self, kind: &str, id: &str, if_none_match: Option<&str>) -> Result<Reply, Refusal> {
        let newest = self.holdings.newest(kind, id).ok_or_else(Refusal::not_found)?;
        let mut reply = Reply::resource(StatusCode::OK, newest);
        if if_none_match.is_some_and(|tags| is_among(tags, newest.version)) {
            reply.status = StatusCode::NOT_MODIFIED;
            reply.body = None;
        }
        Ok(reply)
    }

    fn create(&mut self, kind: &str, resource: Value, if_none_exist: Option<&str>) -> Result<Reply, Refusal> {
        if let Some(found) = if_none_exist.map(|query| self.one(kind, query)).transpose()?.flatten() {
            let newest = self.holdings.newest(kind, &found).ok_or_else(Refusal::not_found)?;
            let at = place(kind, &found, newest.version);
            return Ok(Reply::resource(StatusCode::OK, newest).located(self.base_url, &at));
        }
        let id = self.holdings.new_id(kind);
        Ok(self.store(kind, &id, resource))
    }

    fn update(&mut self, kind: &str, id: &str, resource: Value, if_match: Option<&str>) -> Result<Reply, Refusal> {
        self.may_update(kind, id, if_match)?;
        if resource.get("id").and_then(Value::as_str) != Some(id) {
            return Err(Refusal::bad("the id in the body must be the one in the URL"));
        }
        Ok(self.store(kind, id, resource))
    }

    /// Whether a resource may be put under this id now.
    pub(super) fn may_update(&self, kind: &str, id: &str, if_match: Option<&str>) -> Result<(), Refusal> {
        let newest = self.holdings.newest(kind, id);
        if let Some(tags) = if_match
            && !newest.is_some_and(|newest| is_among(tags, newest.version))
        {
            return Err(Refusal::stale("the resource is not the one that If-Match names"));
        }
        if newest.is_none() && !self.abilities.update_as_create {
            let said = "there is no such resource, and this server gives its own ids";
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, IssueCode::NotSupported, said));
        }
        if !reference::is_id(id) {
            return Err(Refusal::bad("not a logical id"));
        }
        Ok(())
    }

    fn conditional_update(&mut self, kind: &str, asked: &Asked<'_>) -> Result<Reply, Refusal> {
        if !self.abilities.conditional_update {
            let said = "this server knows no conditional update";
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, IssueCode::NotSupported, said));
        }
        let resource = self.resource(kind, asked.body)?;
        match self.matching(kind, &asked.query)? {
            Some(id) => {
                self.may_update(kind, &id, asked.if_match.as_deref())?;
                if resource.get("id").and_then(Value::as_str).is_some_and(|own| own != id) {
                    return Err(Refusal::bad("the id in the body is not that of the resource found"));
                }
                Ok(self.store(kind, &id, resource))
            }
            None => self.create(kind, resource, None),
        }
    }

    fn patch(&mut self, kind: &str, id: &str, asked: &Asked<'_>) -> Result<Reply, Refusal> {
        if !asked.content_type.as_deref().is_some_and(|t| t.starts_with("application/json-patch+json")) {
            let said = "a patch is application/json-patch+json";
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, IssueCode::NotSupported, said));
        }
        let newest = self.holdings.newest(kind, id).ok_or_else(Refusal::not_found)?;
        let patch: Value = serde_json::from_slice(asked.body).map_err(|_| Refusal::bad("the patch is not JSON"))?;
        let unprocessable = |code, said| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, code, said);
        let patched =
            json_patch(&newest.resource, &patch).map_err(|issue| unprocessable(issue.code, issue.diagnostics))?;
        if tree::resource_type(&patched) != Some(kind) {
            return Err(unprocessable(IssueCode::Invalid, "a patch cannot change the resource type".to_owned()));
        }
        self.update(kind, id, patched, asked.if_match.as_deref())
    }

    fn history(&self, kind: &str, id: &str) -> Result<Reply, Refusal> {
        let versions = self.holdings.versions(kind, id);
        if versions.is_empty() || !self.abilities.history {
            return Err(Refusal::not_found());
        }
        let entries: Vec<Value> = versions.iter().rev().map(|v| self.history_entry(kind, id, v)).collect();
        let bundle = json!({"resourceType": "Bundle", "type": "history", "total": entries.len(), "entry": entries});
        Ok(Reply::of(StatusCode::OK, bundle))
    }

    fn history_entry(&self, kind: &str, id: &str, version: &Version) -> Value {
        let (method, url, status) = if version.version == 1 {
            ("POST", kind.to_owned(), "201")
        } else {
            ("PUT", format!("{kind}/{id}"), "200")
        };
        json!({
            "fullUrl": format!("{}/{kind}/{id}", self.base_url), "resource": &*version.resource,
            "request": {"method": method, "url": url},
            "response": {"status": status, "etag": etag(version.version),
                         "lastModified": crate::domain::clock::instant(version.updated)},
        })
    }

    /// By `identifier`, `_id`, `based-on` and `about`; any other parameter is ignored, as R4 lets a server do.
    fn search(&self, kind: &str, query: &[(String, String)]) -> Reply {
        let value = |name: &str| query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let narrowed = ["identifier", "_id", "based-on", "about"].into_iter().any(|name| value(name).is_some());
        let found: Vec<&Version> = if narrowed {
            let ids = self.found(kind, query);
            ids.iter().filter_map(|id| self.holdings.newest(kind, id)).collect()
        } else {
            self.holdings.all(kind).collect()
        };
        let total = found.len();
        let mut bundle = json!({"resourceType": "Bundle", "type": "searchset", "total": total});
        if value("_summary") != Some("count") {
            let entry = |v: &&Version| {
                let id = v.resource.get("id").and_then(Value::as_str).unwrap_or_default();
                json!({"fullUrl": format!("{}/{kind}/{id}", self.base_url), "resource": &*v.resource, "search": {"mode": "match"}})
            };
            let entries: Vec<Value> = found.iter().take(PAGE_MAX).map(entry).collect();
            if let (Some(object), false) = (bundle.as_object_mut(), entries.is_empty()) {
                object.insert("entry".into(), entries.into());
            }
        }
        Reply::of(StatusCode::OK, bundle)
    }

    /// The ids that match every `identifier` and `_id` of a query.
    fn found(&self, kind: &str, query: &[(String, String)]) -> Vec<String> {
        let mut found: Option<Vec<String>> = None;
        for (name, value) in query {
            let these = match name.as_str() {
                "identifier" => self.holdings.identified(kind, value),
                "based-on" => self.referring(kind, "basedOn", value),
                "about" => self.referring(kind, "about", value),
                "_id" => self.holdings.newest(kind, value).map(|_| value.clone()).into_iter().collect(),
                _ => continue,
            };
            found = Some(match found {
                None => these,
                Some(before) => before.into_iter().filter(|id| these.contains(id)).collect(),
            });
        }
        found.unwrap_or_default()
    }

    /// The ids of the resources that refer to `reference` in this element.
    fn referring(&self, kind: &str, element: &str, reference: &str) -> Vec<String> {
        let own = format!("{}/{reference}", self.base_url);
        let names = |r: &Value| tree::text(r, "reference").is_some_and(|l| l == reference || l == own);
        let refers = |v: &&Version| tree::items(&v.resource, element).iter().any(names);
        let id = |v: &Version| v.resource.get("id").and_then(Value::as_str).map(str::to_owned);
        self.holdings.all(kind).filter(refers).filter_map(id).collect()
    }

    /// The one resource that a condition finds, if any.
    fn matching(&self, kind: &str, query: &[(String, String)]) -> Result<Option<String>, Refusal> {
        if query.is_empty() || query.iter().any(|(name, _)| !matches!(name.as_str(), "identifier" | "_id")) {
            let said = "a condition here is by identifier or _id";
            return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, IssueCode::NotSupported, said));
        }
        let mut found = self.found(kind, query);
        if found.len() > 1 {
            let said = "the condition finds more than one";
            return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, IssueCode::MultipleMatches, said));
        }
        Ok(found.pop())
    }

    /// The same for a condition as it stands in `If-None-Exist`.
    pub(super) fn one(&self, kind: &str, condition: &str) -> Result<Option<String>, Refusal> {
        let condition = condition.strip_prefix(&format!("{kind}?")).unwrap_or(condition);
        self.matching(kind, &query_pairs(condition.trim_start_matches('?')))
    }

    fn resource(&self, kind: &str, bytes: &[u8]) -> Result<Value, Refusal> {
        let resource = body(bytes)?;
        if tree::resource_type(&resource) == Some(kind) {
            Ok(resource)
        } else {
            Err(Refusal::bad(format!("a {kind} is expected here")))
        }
    }

    fn store(&mut self, kind: &str, id: &str, resource: Value) -> Reply {
        let change = self.holdings.store(kind, id, resource);
        let version = change.stored.version;
        let status = if version == 1 { StatusCode::CREATED } else { StatusCode::OK };
        let reply = Reply::resource(status, &change.stored).located(self.base_url, &place(kind, id, version));
        self.changes.push(change);
        reply
    }
}

fn body(bytes: &[u8]) -> Result<Value, Refusal> {
    let limits = Limits { bytes: BODY_MAX_BYTES, ..Limits::default() };
    gate::read(bytes, &limits).map_err(|issue| Refusal::new(StatusCode::BAD_REQUEST, issue.code, issue.diagnostics))
}

/// Whether a list of ETags names this version. Weak and strong are the same here, as R4 has it.
fn is_among(tags: &str, version: u64) -> bool {
    let own = version.to_string();
    tags.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/").trim_matches('"') == own)
}

/// The pairs of a query, percent-decoded. “+” stays: an identifier may hold one.
pub(super) fn query_pairs(query: &str) -> Vec<(String, String)> {
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(n, v)| (decoded(n), decoded(v))).collect()
}
