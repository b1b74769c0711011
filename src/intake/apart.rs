//! Takes a request apart: which ServiceRequests it holds, what belongs to each, and what refers to what. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;
use uuid::Uuid;

use super::IntakeError;
use crate::{
    config::registry::System,
    domain::SystemId,
    fhir::{
        Issue, IssueCode, Severity, canonical,
        reference::{Target, is_resource_type, parse},
        tree,
    },
    profiles::{Asked, Validator},
    routing::{Carried, Facts, Setting},
};

/// An identifier travels in search URLs, and many servers take no longer ones.
const IDENTIFIER_MAX_BYTES: usize = 255;
/// What a sender gives its request to be known by is a key of an index, and the same again is found by it as a whole.
pub const KEY_MAX_BYTES: usize = 1024;

/// One resource of a request.
#[derive(Debug, Clone)]
pub struct Item {
    /// As it was sent.
    pub resource: Value,
    /// Its type.
    pub kind: String,
    /// Where it stands, as FHIRPath.
    pub path: String,
    /// `Bundle.entry.fullUrl`
    pub full_url: Option<String>,
    /// `Bundle.entry.request.ifNoneExist`
    pub if_none_exist: Option<String>,
}

/// One referral of a request: indexes of items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Its ServiceRequest.
    pub request: usize,
    /// All that belongs to it, the ServiceRequest included, in the order they stand in.
    pub members: Vec<usize>,
}

/// A request taken apart.
#[derive(Debug, Clone)]
pub struct Apart {
    /// Its resources, in their order.
    pub items: Vec<Item>,
    /// Its referrals, in the order of their ServiceRequests.
    pub drafts: Vec<Draft>,
    /// What is not wrong and worth saying.
    pub notes: Vec<Issue>,
    /// For each item, the items it refers to.
    pub(super) links: Vec<BTreeSet<usize>>,
}

/// A resource with its place in Onward.
#[derive(Debug, Clone)]
pub struct Placed {
    /// Its type.
    pub kind: String,
    /// Its id here.
    pub id: Uuid,
    /// What its sender calls it, as a reference may.
    pub origin: Option<String>,
    /// Its content, referring to others by their ids here.
    pub body: Value,
}

impl Placed {
    /// `Type/id`
    pub fn reference(&self) -> String {
        format!("{}/{}", self.kind, self.id)
    }
}

/// Takes a body apart and checks it with `validator`, and for what is `asked` of its sender beside R4.
///
/// # Errors
/// [`IntakeError::Invalid`] where anything is not right FHIR or not what was expected, otherwise [`IntakeError::Rule`] where a
/// rule is broken; all faults at once.
pub fn read(body: Value, expected: &str, validator: &Validator, asked: &Asked<'_>) -> Result<Apart, IntakeError> {
    let (apart, wrong) = read_anyway(body, expected, validator, asked)?;
    wrong.map_or(Ok(apart), Err)
}

/// The same, as far as it can be taken apart, with what is wrong with it: what was accepted under other rules is known by its key.
///
/// # Errors
/// [`IntakeError::Invalid`] where it is not of the type that was expected.
pub fn read_anyway(
    body: Value,
    expected: &str,
    validator: &Validator,
    asked: &Asked<'_>,
) -> Result<(Apart, Option<IntakeError>), IntakeError> {
    let kind = tree::resource_type(&body).unwrap_or_default();
    if kind != expected {
        let told = format!("a {expected} is expected here");
        // what is no type may be anything
        let place = if is_resource_type(kind) { kind } else { "%resource" };
        return Err(IntakeError::Invalid(vec![Issue::error(IssueCode::Invalid, place, told)]));
    }
    let mut faults = Faults::default();
    let mut notes = Vec::new();
    for finding in validator.check(&body, "", asked) {
        if finding.issue.severity <= Severity::Error {
            faults.add(finding.rule, finding.issue);
        } else {
            notes.push(finding.issue);
        }
    }
    let items = if expected == "Bundle" { entries(body, &mut faults) } else { vec![single(body)] };
    for item in &items {
        if item.kind == "Task" {
            let told = "the Task of a referral is made here; it cannot be sent along";
            faults.add(true, Issue::error(IssueCode::NotSupported, item.path.clone(), told));
        }
        if item.kind == "ServiceRequest" {
            if !matches!(tree::text(&item.resource, "status").unwrap_or_default(), "active" | "") {
                let told = "only an active ServiceRequest is a referral to be acted on";
                let place = format!("{}.status", item.path);
                faults.add(true, Issue::error(IssueCode::BusinessRule, place, told));
            }
            understood(&item.resource, &item.path).into_iter().for_each(|issue| faults.add(true, issue));
        }
    }
    let mut apart = Apart::of(items, &mut faults);
    apart.notes = notes;
    Ok((apart, faults.into_result().err()))
}

/// What a ServiceRequest says that would make it something else than a referral to be acted on. `modifierExtension` and
/// `implicitRules` must be understood or refused (R4 extensibility, 2.4.0.1; resource, 2.26.3).
pub fn understood(request: &Value, path: &str) -> Vec<Issue> {
    let mut issues = Vec::new();
    let place = |element: &str| format!("{path}.{element}");
    let text = |name: &str| request.get(name).and_then(Value::as_str).unwrap_or_default();
    if matches!(text("intent"), "proposal" | "option") {
        let told = "a proposal or an option is not yet a referral; use order or plan";
        issues.push(Issue::error(IssueCode::BusinessRule, place("intent"), told));
    }
    if request.get("doNotPerform") == Some(&Value::Bool(true)) {
        let told = "a request not to do something cannot be referred";
        issues.push(Issue::error(IssueCode::BusinessRule, place("doNotPerform"), told));
    }
    // R4 lets a subject be only described, but nobody could be helped by that
    let subject = request.get("subject").filter(|subject| subject.is_object());
    if subject.is_some_and(|subject| subject.get("reference").is_none() && subject.get("identifier").is_none()) {
        let told = "the subject needs a reference or an identifier";
        issues.push(Issue::error(IssueCode::Required, place("subject"), told));
    }
    issues.extend(modified(request, path));
    issues.extend(unfit_identifiers(request, path));
    issues
}

/// Identifiers that nothing could be known by.
pub fn unfit_identifiers(resource: &Value, path: &str) -> Vec<Issue> {
    let mut issues = Vec::new();
    for (index, identifier) in tree::items(resource, "identifier").iter().enumerate() {
        for name in ["system", "value"] {
            let text = identifier.get(name).and_then(Value::as_str).unwrap_or("-");
            if text.trim().is_empty() || text.len() > IDENTIFIER_MAX_BYTES || text.chars().any(char::is_control) {
                let told = format!("at most {IDENTIFIER_MAX_BYTES} bytes, without control characters, and not blank");
                let place = format!("{path}.identifier[{index}].{name}");
                issues.push(Issue::error(IssueCode::Value, place, told));
            }
        }
    }
    issues
}

/// What would change the meaning of a resource in a way that nobody here understands.
pub fn modified(resource: &Value, path: &str) -> Vec<Issue> {
    let told = "this changes the meaning in a way that is not known here, so it is refused";
    let found = ["modifierExtension", "implicitRules"].into_iter().filter(|element| resource.get(element).is_some());
    found.map(|element| Issue::error(IssueCode::NotSupported, format!("{path}.{element}"), told)).collect()
}

#[derive(Default)]
struct Faults {
    invalid: Vec<Issue>,
    rule: Vec<Issue>,
}

impl Faults {
    fn add(&mut self, rule: bool, issue: Issue) {
        let list = if rule { &mut self.rule } else { &mut self.invalid };
        if !list.contains(&issue) {
            list.push(issue);
        }
    }

    fn into_result(mut self) -> Result<(), IntakeError> {
        if !self.invalid.is_empty() {
            self.invalid.extend(self.rule);
            return Err(IntakeError::Invalid(self.invalid));
        }
        if self.rule.is_empty() { Ok(()) } else { Err(IntakeError::Rule(self.rule)) }
    }
}

fn single(body: Value) -> Item {
    Item {
        resource: body,
        kind: "ServiceRequest".to_owned(),
        path: "ServiceRequest".to_owned(),
        full_url: None,
        if_none_exist: None,
    }
}

fn entries(mut bundle: Value, faults: &mut Faults) -> Vec<Item> {
    let kind = bundle.get("type").and_then(Value::as_str).unwrap_or_default();
    if !kind.is_empty() && kind != "transaction" {
        let told = "a referral is sent as a transaction; other types of Bundle are not taken here";
        faults.add(false, Issue::error(IssueCode::Value, "Bundle.type", told));
    }
    let mut items = Vec::new();
    let sent = bundle.get_mut("entry").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
    for (index, mut entry) in sent.into_iter().enumerate() {
        let place = format!("Bundle.entry[{index}]");
        let Some(resource) = entry.get_mut("resource").filter(|r| r.is_object()).map(Value::take) else {
            let told = "each entry of a referral carries a resource";
            faults.add(false, Issue::error(IssueCode::Required, format!("{place}.resource"), told));
            continue;
        };
        if let Some(method) = tree::text(&entry, "request.method")
            && !matches!(method, "POST" | "PUT")
        {
            let told = "the method must be POST or PUT: a referral carries resources and changes nothing else";
            faults.add(false, Issue::error(IssueCode::NotSupported, format!("{place}.request.method"), told));
        }
        if entry.get("request").and_then(|r| r.get("ifMatch")).is_some() {
            let told = "a referral is new; there is no version to match";
            faults.add(false, Issue::error(IssueCode::NotSupported, format!("{place}.request.ifMatch"), told));
        }
        let asked = tree::text(&entry, "request.url").unwrap_or_default().split(['/', '?']).next().unwrap_or_default();
        if !asked.is_empty() && Some(asked) != tree::resource_type(&resource) {
            let told = "the url must name the type of the entry's resource";
            faults.add(false, Issue::error(IssueCode::Invalid, format!("{place}.request.url"), told));
        }
        if tree::text(&entry, "request.ifNoneExist").is_some_and(|condition| condition.len() > KEY_MAX_BYTES) {
            let told = format!("a condition has at most {KEY_MAX_BYTES} bytes");
            faults.add(true, Issue::error(IssueCode::TooLong, format!("{place}.request.ifNoneExist"), told));
        }
        let text = |path: &str| tree::text(&entry, path).map(str::to_owned);
        items.push(Item {
            kind: tree::resource_type(&resource).unwrap_or_default().to_owned(),
            resource,
            path: format!("{place}.resource"),
            full_url: text("fullUrl"),
            if_none_exist: text("request.ifNoneExist"),
        });
    }
    if !items.iter().any(|i| i.kind == "ServiceRequest") {
        let told = "the Bundle holds no ServiceRequest, so there is nothing to refer";
        faults.add(false, Issue::error(IssueCode::Required, "Bundle.entry", told));
    }
    items
}

impl Apart {
    /// Takes apart what was accepted before. Nothing is checked.
    pub(super) fn accepted(body: Value) -> Self {
        let mut passed = Faults::default();
        let items =
            if tree::resource_type(&body) == Some("Bundle") { entries(body, &mut passed) } else { vec![single(body)] };
        Self::of(items, &mut passed)
    }

    fn of(items: Vec<Item>, faults: &mut Faults) -> Self {
        let mut apart = Self { items, drafts: vec![], notes: vec![], links: vec![] };
        for index in 0..apart.items.len() {
            let links = apart.links_of(index, faults);
            apart.links.push(links);
        }
        apart.drafts = apart.divide();
        for item in apart.left_over() {
            let told = "it belongs to none of the referrals of this Bundle: not to their persons, and none leads to it";
            faults.add(true, Issue::error(IssueCode::BusinessRule, apart.items[item].path.clone(), told));
        }
        apart
    }

    /// What an item refers to inside the request. References that must resolve inside and do not are faults.
    fn links_of(&self, index: usize, faults: &mut Faults) -> BTreeSet<usize> {
        let item = &self.items[index];
        let mut links = BTreeSet::new();
        tree::each_reference(&item.resource, &mut |place, reference| {
            let Some(literal) = reference.get("reference").and_then(Value::as_str) else { return };
            let place = || place.to_string().replacen(item.kind.as_str(), &item.path, 1);
            match parse(literal) {
                Target::Urn(_) if self.resolve(index, literal).is_none() => {
                    let told = "no entry of the Bundle has this fullUrl";
                    faults.add(true, Issue::error(IssueCode::NotFound, place(), told));
                }
                _ => links.extend(self.resolve(index, literal)),
            }
        });
        // attachments point to a carried Binary by URL
        tree::each_pointer(&item.resource, &mut |literal| links.extend(self.resolve(index, literal)));
        links.remove(&index);
        links
    }

    /// The item that a literal reference in item `from` names (R4 bundle, “Resolving references in Bundles”).
    pub(super) fn resolve(&self, from: usize, literal: &str) -> Option<usize> {
        let by_url = |url: &str| self.items.iter().position(|i| i.full_url.as_deref() == Some(url));
        match parse(literal) {
            Target::Urn(urn) => by_url(urn),
            Target::Absolute { base, kind, id, .. } => by_url(&format!("{base}/{kind}/{id}")),
            Target::Relative { kind, id, .. } => {
                self.base_of(from).and_then(|base| by_url(&format!("{base}/{kind}/{id}"))).or_else(|| {
                    self.items.iter().position(|i| {
                        let own = i.resource.get("id").and_then(Value::as_str);
                        i.kind == kind && own == Some(id)
                    })
                })
            }
            Target::Contained(_) | Target::Other(_) => None,
        }
    }

    /// The server that an item's URL names.
    fn base_of(&self, item: usize) -> Option<&str> {
        match parse(self.items[item].full_url.as_deref()?) {
            Target::Absolute { base, .. } => Some(base),
            _ => None,
        }
    }

    /// What routes are decided on: the request as it was sent, with what it carries and what was read for it, by the reference it
    /// was read under.
    pub fn facts<'a>(
        &'a self,
        draft: &Draft,
        system: &SystemId,
        read: &'a BTreeMap<String, Value>,
        setting: Setting<'_>,
    ) -> Facts<'a> {
        let request = draft.request;
        let find = move |literal: &str| match self.resolve(request, literal) {
            Some(item) => Some(&self.items[item].resource),
            None => read.get(literal),
        };
        let members = draft.members.iter().map(|item| &self.items[*item]);
        let consents = members.filter(|item| item.kind == "Consent").map(|item| &item.resource).collect();
        let carried = Carried { find: Arc::new(find), consents };
        Facts::of(system, &self.items[request].resource, carried, setting)
    }

    /// By what a draft's content is told from another under the same key.
    pub fn digest(&self, draft: &Draft) -> [u8; 32] {
        let members: Vec<&Value> = draft.members.iter().map(|item| &self.items[*item].resource).collect();
        canonical::digest(&members)
    }

    /// The members of a draft with their ids here, referring to each other by these.
    pub fn rewritten(&self, draft: &Draft, ids: &BTreeMap<usize, Uuid>) -> Vec<Placed> {
        let place = |item: usize| {
            let id = ids.get(&item).copied().unwrap_or_default();
            let mut body = self.items[item].resource.clone();
            tree::map_references(&mut body, &mut |literal| {
                if let Some(target) = self.resolve(item, literal) {
                    return Some(format!("{}/{}", self.items[target].kind, ids.get(&target)?));
                }
                // what is not carried means the server that the entry's own URL names
                let (Target::Relative { .. }, Some(base)) = (parse(literal), self.base_of(item)) else { return None };
                Some(format!("{base}/{literal}"))
            });
            if let Some(object) = body.as_object_mut() {
                if object.contains_key("id") {
                    object.insert("id".into(), id.to_string().into());
                } else {
                    object.shift_insert(1.min(object.len()), "id".into(), id.to_string().into());
                }
            }
            let own = self.items[item].resource.get("id").and_then(Value::as_str);
            let by_id = || own.map(|own| format!("{}/{own}", self.items[item].kind));
            let url = self.items[item].full_url.clone();
            // a urn names it in this one Bundle only
            let origin = url.filter(|url| !url.starts_with("urn:")).or_else(by_id);
            Placed { kind: self.items[item].kind.clone(), id, origin, body }
        };
        draft.members.iter().copied().map(place).collect()
    }

    /// The id of a draft's ServiceRequest in the originating record, where the sender told it: by the URL of its entry, or by
    /// its own id.
    pub fn origin(&self, draft: &Draft, system: &System) -> Option<String> {
        let item = &self.items[draft.request];
        let record = system.write_back.as_ref().map(|w| w.base_url.as_str());
        if let Some(url) = &item.full_url
            && let Target::Absolute { base, id, .. } = parse(url)
            && Some(base) == record
        {
            return Some(id.to_owned());
        }
        item.resource.get("id").and_then(Value::as_str).map(str::to_owned)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    pub(in crate::intake) fn entry(url: &str, resource: Value) -> Value {
        let kind = resource["resourceType"].as_str().unwrap_or_default().to_owned();
        json!({"fullUrl": url, "resource": resource, "request": {"method": "POST", "url": kind}})
    }

    pub(in crate::intake) fn request(subject: &str, info: &[&str]) -> Value {
        let info: Vec<Value> = info.iter().map(|i| json!({"reference": i})).collect();
        let mut request = json!({"resourceType": "ServiceRequest", "status": "active", "intent": "order",
            "subject": {"reference": subject}});
        if !info.is_empty() {
            request["supportingInfo"] = info.into();
        }
        request
    }

    pub(in crate::intake) fn bundle(entries: Vec<Value>) -> Value {
        json!({"resourceType": "Bundle", "type": "transaction", "entry": entries})
    }

    pub(in crate::intake) fn apart(body: &Value) -> Apart {
        read(body.clone(), "Bundle", &Validator::default(), &Asked::at(jiff::Timestamp::now())).unwrap()
    }

    #[test]
    fn references_are_written_by_ids_here_and_only_those() {
        let body = bundle(vec![
            entry("https://epr.example/fhir/ServiceRequest/1", request("Patient/2", &["Observation/9"])),
            entry("https://epr.example/fhir/Patient/2", json!({"resourceType": "Patient", "id": "2"})),
        ]);
        let apart = apart(&body);
        let ids: BTreeMap<usize, Uuid> = [(0, Uuid::now_v7()), (1, Uuid::now_v7())].into();
        let placed = apart.rewritten(&apart.drafts[0], &ids);
        assert_eq!(placed[0].body["subject"]["reference"], format!("Patient/{}", ids[&1]));
        assert_eq!(placed[0].body["supportingInfo"][0]["reference"], "https://epr.example/fhir/Observation/9");
        assert_eq!(placed[1].body["id"], ids[&1].to_string());
    }

    #[test]
    fn what_leads_nowhere_is_named_with_its_place() {
        let body = bundle(vec![entry(
            "urn:uuid:00000000-0000-4000-8000-00000000000a",
            request("urn:uuid:00000000-0000-4000-8000-0000000000ff", &[]),
        )]);
        let found = read(body, "Bundle", &Validator::default(), &Asked::at(jiff::Timestamp::now()));
        let Err(IntakeError::Rule(issues)) = found else { panic!("accepted") };
        assert_eq!(issues[0].expression, ["Bundle.entry[0].resource.subject"]);
    }
}
