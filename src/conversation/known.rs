//! What is here of a referral already, and how a later resource refers to it.

use serde_json::{Map, Value};

use super::{ConversationError, Read};
use crate::{
    client::FhirClient,
    config::registry::{InboxKind, Registry, System},
    domain::ReferralId,
    fhir::{
        Issue, IssueCode, nhs_number,
        reference::{Target, parse},
        tree,
    },
    intake::{
        apart::Placed,
        record::{self, Reading},
    },
    store::{Store, StoreError, StoredResource, TaskRecord},
};

/// All resources of a referral as they are now.
pub(super) struct Known {
    pub(super) resources: Vec<(StoredResource, Value)>,
}

impl Known {
    pub(super) async fn of(store: &dyn Store, referral: ReferralId) -> Result<Self, StoreError> {
        let mut resources = Vec::new();
        for stored in store.resources_of(referral).await? {
            let body = serde_json::from_str(&stored.body).map_err(|e| StoreError::Corrupt(e.to_string()))?;
            resources.push((stored, body));
        }
        Ok(Self { resources })
    }

    /// What has this reference here, whoever may see it.
    pub(super) fn find(&self, reference: &str) -> Option<&Value> {
        let (kind, id) = reference.split_once('/')?;
        let found = self.resources.iter().find(|(s, _)| s.kind == kind && s.id.to_string() == id);
        found.map(|(_, body)| body)
    }

    /// What a party of these Tasks may refer to.
    fn references(&self, tasks: &[TaskRecord]) -> Vec<String> {
        let visible = |s: &StoredResource| s.task.is_none_or(|task| tasks.iter().any(|t| t.id == task));
        let carried = self.resources.iter().filter(|(s, _)| visible(s)).map(|(s, _)| format!("{}/{}", s.kind, s.id));
        carried.chain(tasks.iter().map(|t| format!("Task/{}", t.id))).collect()
    }

    /// The reference here of what its sender calls so.
    fn by_origin(&self, literal: &str, bases: &[&str]) -> Option<String> {
        let same = |origin: &str| {
            origin == literal
                || bases.iter().any(|base| {
                    let full = |text: &str| format!("{base}/{text}");
                    full(origin) == literal || full(literal) == origin
                })
        };
        let found = self.resources.iter().find(|(s, _)| s.origin.as_deref().is_some_and(same))?;
        Some(format!("{}/{}", found.0.kind, found.0.id))
    }

    /// What its sender called what has this reference here.
    fn origin_of(&self, reference: &str) -> Option<String> {
        let (kind, id) = reference.split_once('/')?;
        let found = self.resources.iter().find(|(s, _)| s.kind == kind && s.id.to_string() == id)?;
        found.0.origin.clone()
    }

    /// A resource with its references as its sender wrote those of the first version: what routes are decided on.
    pub(super) fn as_sent(&self, resource: &Value) -> Value {
        let mut resource = resource.clone();
        tree::map_references(&mut resource, &mut |literal| self.origin_of(literal));
        resource
    }

    /// The Consents among it.
    pub(super) fn consents(&self) -> Vec<&Value> {
        self.resources.iter().filter(|(stored, _)| stored.kind == "Consent").map(|(_, body)| body).collect()
    }

    /// Finds by a reference as it is here or as its sender wrote it.
    pub(super) fn find_any<'a>(&'a self, literal: &str, read: &'a Read) -> Option<&'a Value> {
        self.find(literal)
            .or_else(|| read.get(literal))
            .or_else(|| self.by_origin(literal, &[]).and_then(|reference| self.find(&reference)))
    }
}

/// Where something is said: between whom, and what of it is here.
pub(super) struct Place<'a> {
    pub(super) registry: &'a Registry,
    pub(super) base_url: &'a str,
    pub(super) known: &'a Known,
    pub(super) tasks: &'a [TaskRecord],
}

impl Place<'_> {
    /// Rewrites references to what is here, by whatever name, as they are here. What a system does not carry is read from its
    /// record, as at intake; it is given with the reference that it was read under.
    pub(super) async fn resolve(
        &self,
        (client, reading): (&FhirClient, &Reading),
        resource: &mut Placed,
        system: Option<&System>,
    ) -> Result<(Vec<Placed>, Read), ConversationError> {
        let own = format!("{}/fhir/", self.base_url);
        let bases: Vec<&str> = system
            .map(|s| {
                let read = s.read.as_ref().map(|r| r.base_url.as_str());
                read.into_iter().chain(s.write_back.as_ref().map(|w| w.base_url.as_str())).collect()
            })
            .unwrap_or_default();
        let references = self.known.references(self.tasks);
        tree::map_references(&mut resource.body, &mut |literal| {
            let local = literal.strip_prefix(&*own).unwrap_or(literal);
            let here = references.iter().any(|r| r == local) || self.is_ours(local);
            if here {
                return (local != literal).then(|| local.to_owned());
            }
            system.and_then(|_| self.known.by_origin(literal, &bases))
        });
        let Some(system) = system else { return Ok((vec![], Read::new())) };
        let mut known = references;
        known.extend(self.registry.providers.keys().map(|id| format!("Organization/{id}")));
        let mut all = vec![resource.clone()];
        let read =
            record::bring_in(client, reading, system, &mut all, &known).await.map_err(ConversationError::RecordAway)?;
        let brought = all.split_off(1);
        if let Some(first) = all.pop() {
            *resource = first;
        }
        Ok((brought, read))
    }

    /// An organisation of the registry.
    fn is_ours(&self, reference: &str) -> bool {
        let id = reference.strip_prefix("Organization/").and_then(|id| id.parse().ok());
        id.is_some_and(|id| self.registry.providers.contains_key(&id))
    }

    /// Relative references to what is not here. `strict`: nowhere are they understood; otherwise only a provider's own system
    /// would take them for something else.
    pub(super) fn loose(&self, resource: &Value, brought: &[Placed], strict: bool) -> Vec<Issue> {
        let pushed = self.tasks.iter().any(|task| {
            let kind = self.registry.inboxes.get(&task.inbox).map(|inbox| &inbox.kind);
            !matches!(kind, Some(InboxKind::Worklist) | None)
        });
        if !(strict || pushed) {
            return vec![];
        }
        let mut here = self.known.references(self.tasks);
        here.extend(brought.iter().map(Placed::reference));
        let mut issues = Vec::new();
        tree::each_reference(resource, &mut |place, reference| {
            let literal = reference.get("reference").and_then(Value::as_str).unwrap_or_default();
            if let Target::Relative { kind, id, .. } = parse(literal)
                && !here.contains(&format!("{kind}/{id}"))
                && !self.is_ours(literal)
            {
                let told = "elsewhere this reference would name something else: refer to what came with the referral, contain \
                            what it names, or give it as an absolute URL";
                issues.push(Issue::error(IssueCode::NotFound, place.to_string(), told));
            }
        });
        issues
    }

    /// Whether a reference in `resource` names the same person as the subject of a ServiceRequest.
    pub(super) fn same_person(&self, reference: &Value, resource: &Value, request: &Value, read: &Read) -> bool {
        let subject = request.get("subject").unwrap_or(&Value::Null);
        let literal = |r: &Value| tree::text(r, "reference").filter(|l| !l.starts_with('#')).map(str::to_owned);
        if let (Some(a), Some(b)) = (literal(reference), literal(subject))
            && a == b
        {
            return true;
        }
        let theirs = self.identifiers(reference, resource, read);
        let ours = self.identifiers(subject, request, read);
        let nhs = |all: &[(String, String)]| {
            all.iter().find(|(s, _)| s == nhs_number::SYSTEM).map(|(_, v)| v.replace(' ', ""))
        };
        match (nhs(&ours), nhs(&theirs)) {
            (Some(a), Some(b)) => a == b,
            _ => ours.iter().any(|o| theirs.contains(o)),
        }
    }

    fn identifiers(&self, reference: &Value, within: &Value, read: &Read) -> Vec<(String, String)> {
        let literal = tree::text(reference, "reference").unwrap_or_default();
        let person = match literal.strip_prefix('#') {
            Some(id) => {
                tree::items(within, "contained").iter().find(|r| r.get("id").and_then(Value::as_str) == Some(id))
            }
            None => self.known.find_any(literal, read),
        };
        let pairs = |holder: &Value| {
            tree::identifiers(holder)
                .map(|(system, value, _)| (system.unwrap_or_default().to_owned(), value.to_owned()))
                .collect::<Vec<_>>()
        };
        let mut all = pairs(reference);
        all.extend(person.map(pairs).unwrap_or_default());
        all
    }
}

/// A resource that someone sent, with its id here and without what is ours to say of it.
pub(super) fn placed(kind: &str, id: uuid::Uuid, mut body: Value) -> Placed {
    if let Some(object) = body.as_object_mut() {
        if object.contains_key("id") {
            object.insert("id".into(), id.to_string().into());
        } else {
            object.shift_insert(1.min(object.len()), "id".into(), id.to_string().into());
        }
        if let Some(meta) = object.get_mut("meta").and_then(Value::as_object_mut) {
            for own in ["versionId", "lastUpdated"] {
                meta.shift_remove(own);
            }
        }
        if object.get("meta").and_then(Value::as_object).is_some_and(Map::is_empty) {
            object.shift_remove("meta");
        }
    }
    Placed { kind: kind.to_owned(), id, origin: None, body }
}
