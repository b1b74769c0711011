//! What providers propose for the directory, and what becomes of it. A provider proposes for what is its own; a steward approves or
//! declines; the provider may take back what nobody has decided.

use std::collections::HashSet;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Checked, Directory, Draft, WriteError, body_of, entry};
use crate::{
    domain::{ProposalStatus, ProviderId},
    fhir::{Issue, IssueCode, ods_code, tree},
    store::{Decision, DirectoryEntry, DirectoryError, NewProposal, Proposal, StoreError},
};

/// A proposal with what it would change.
#[derive(Debug, Clone)]
pub struct Proposed {
    /// The proposal.
    pub proposal: Proposal,
    /// The entry as it is proposed.
    pub body: Value,
    /// The version that it was made on; none where the entry is new.
    pub before: Option<Value>,
    /// The entry's version now; none where there is none yet.
    pub version_now: Option<u64>,
}

impl Proposed {
    /// Whether the entry has another version by now than the one that this was made on.
    pub fn is_stale(&self) -> bool {
        self.version_now.unwrap_or(0) != self.proposal.new.over
    }
}

/// What differs between two versions of an entry, as JSON Patch (RFC 6902) says it, with what stood there before.
pub fn changes(before: Option<&Value>, after: &Value) -> Vec<Value> {
    let nothing = json!({});
    let before = before.unwrap_or(&nothing);
    let patch = serde_json::to_value(json_patch::diff(before, after)).unwrap_or_default();
    let Value::Array(mut operations) = patch else { return Vec::new() };
    for operation in &mut operations {
        let path = operation.get("path").and_then(Value::as_str).unwrap_or_default();
        if let Some(old) = before.pointer(path).filter(|_| !path.is_empty()).cloned()
            && let Some(operation) = operation.as_object_mut()
            && operation.get("op").is_some_and(|op| op != "add")
        {
            operation.insert("was".to_owned(), old);
        }
    }
    operations
}

/// What an entry says beside its room and wait.
fn beside_room(body: Value) -> Value {
    let mut body = entry::without_record(entry::kept(body));
    if let Some(object) = body.as_object_mut()
        && let Some(extensions) = object.get_mut("extension").and_then(Value::as_array_mut)
    {
        extensions.retain(|one| !matches!(tree::text(one, "url"), Some(entry::CAPACITY | entry::WAITING_TIME)));
        if extensions.is_empty() {
            object.shift_remove("extension");
        }
    }
    body
}

/// The systems of the NHS: who somebody is there is not for a provider to say of others.
const NHS: &str = "https://fhir.nhs.uk/";

/// An identifier that a provider may not give: one by which a source knows its entries, or the NHS somebody, where the version before
/// did not have it. Its place.
fn squatted(body: &Value, before: Option<&Value>, own_code: &str, sources: &HashSet<String>) -> Option<String> {
    let had = |identifier: &Value| before.is_some_and(|before| tree::items(before, "identifier").contains(identifier));
    let taken = |identifier: &Value| {
        let system = tree::text(identifier, "system").unwrap_or_default();
        let is_own = system == ods_code::ORGANISATION_SYSTEM
            && tree::text(identifier, "value").is_some_and(|code| code.eq_ignore_ascii_case(own_code));
        (sources.contains(system) || system.to_ascii_lowercase().starts_with(NHS) && !is_own) && !had(identifier)
    };
    let kind = tree::resource_type(body).unwrap_or_default();
    if let Some(at) = tree::items(body, "identifier").iter().position(taken) {
        return Some(format!("{kind}.identifier[{at}]"));
    }
    let source = |of: &Value| tree::text(of, "meta.source").map(str::to_owned);
    let is_taken = source(body).is_some_and(|now| sources.contains(&now) && before.and_then(source) != Some(now));
    is_taken.then(|| format!("{kind}.meta.source"))
}

/// Whether a provider may propose this; the words for why not.
async fn is_own(
    checked: &Checked,
    before: Option<&DirectoryEntry>,
    provider: &ProviderId,
    directory: &Directory,
) -> Result<(), WriteError> {
    let sources = directory.sources().await?;
    let is_new = before.is_none();
    let before = before.map(body_of).transpose()?;
    if !is_new && checked.owner_before.as_ref() != Some(provider) {
        return Err(WriteError::Forbidden("this entry is not your own: its provider, or a steward, changes it"));
    }
    let rule = |expression: &str, told: &str| {
        Err(WriteError::Rule(vec![Issue::error(IssueCode::BusinessRule, expression, told)]))
    };
    if checked.owner.as_ref() != Some(provider) {
        return rule(
            checked.kind.code(),
            "what you propose must be your own: let providedBy, managingOrganization or partOf lead to your Organization",
        );
    }
    let registry = directory.registry.load();
    let ours = registry.providers.get(provider).map(|own| own.ods_code.as_str());
    let others = registry.providers.values().map(|other| other.ods_code.as_str()).filter(|code| Some(*code) != ours);
    let mut named = others.filter(|code| entry::bears(&checked.body, ods_code::ORGANISATION_SYSTEM, code));
    if named.next().is_some() {
        return rule(checked.kind.code(), "this ODS code is that of another provider: name your own, or none");
    }
    if let Some(place) = squatted(&checked.body, before.as_ref(), ours.unwrap_or_default(), &sources) {
        let told = "this is how a source of the directory, or the NHS, names its own: a provider gives identifiers of its own systems, \
                    and its own ODS code";
        return rule(&place, told);
    }
    let of_another = |inbox| registry.inboxes.get(inbox).is_none_or(|inbox| inbox.provider != *provider);
    if checked.inboxes.iter().any(of_another) {
        return rule("HealthcareService.endpoint", "this is the inbox of another provider: name one of yours");
    }
    Ok(())
}

impl Directory {
    /// Keeps what a provider proposes until it is decided; none where that is what is there.
    ///
    /// # Errors
    /// [`WriteError`]
    pub async fn propose(&self, draft: Draft, provider: &ProviderId) -> Result<Option<Proposal>, WriteError> {
        let is_same = self.is_same(&draft)?;
        let before = draft.before.clone();
        // a steward sees to the stories when it is decided
        let checked = self.check_one(Draft { story_checked: true, ..draft }).await?;
        is_own(&checked, before.as_ref(), provider, self).await?;
        if is_same {
            return Ok(None);
        }
        let write = checked.into_write("");
        let new = NewProposal {
            id: Uuid::now_v7(),
            provider: provider.clone(),
            kind: write.kind,
            entry: write.id,
            over: write.over,
            source: write.source,
            body: write.body,
        };
        Ok(Some(self.store.add_proposal(new).await?))
    }

    /// Writes what a provider says of the room and wait of a service of its own, at once: whoever refers must read what is so today, and no
    /// steward knows it better. None where that is what is there.
    ///
    /// # Errors
    /// [`WriteError`]; [`WriteError::Forbidden`] where the draft changes anything else, which is to be proposed.
    pub async fn tell(
        &self,
        draft: Draft,
        provider: &ProviderId,
        by: &str,
    ) -> Result<Option<DirectoryEntry>, WriteError> {
        let is_same = self.is_same(&draft)?;
        let before = draft.before.clone();
        let checked = self.check_one(Draft { story_checked: true, ..draft }).await?;
        is_own(&checked, before.as_ref(), provider, self).await?;
        let said = before.as_ref().map(body_of).transpose()?;
        if said.is_none_or(|said| beside_room(said) != beside_room(checked.body.clone())) {
            return Err(WriteError::Forbidden("only room and wait are told at once: propose what else is to change"));
        }
        if is_same {
            return Ok(None);
        }
        let signature = format!("provider {provider}, told by {by}");
        Ok(self.write(vec![checked], &signature).await?.pop())
    }

    /// A proposal with what it would change.
    ///
    /// # Errors
    /// [`WriteError::NotFound`] where there is none.
    pub async fn proposed(&self, id: Uuid) -> Result<Proposed, WriteError> {
        let proposal = self.store.proposal(id).await?.ok_or(WriteError::NotFound)?;
        let body = serde_json::from_str(&proposal.new.body).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        let new = &proposal.new;
        let before = match new.over {
            0 => None,
            over => self.store.directory_entry(new.kind, new.entry, Some(over)).await?,
        };
        let before = before.as_ref().map(body_of).transpose()?;
        let version_now = self.store.directory_entry(new.kind, new.entry, None).await?.map(|entry| entry.version);
        Ok(Proposed { proposal, body, before, version_now })
    }

    /// Makes a proposal an entry, or a version of one. It is looked at once more: what it refers to may be gone.
    ///
    /// # Errors
    /// [`WriteError`]; [`DirectoryError::Moved`] where the entry has another version than the one that it was made on.
    pub async fn approve(
        &self,
        id: Uuid,
        by: &str,
        story_checked: bool,
    ) -> Result<(Proposal, DirectoryEntry), WriteError> {
        let Proposed { proposal, body, version_now, .. } = self.proposed(id).await?;
        if proposal.status != ProposalStatus::Pending {
            return Err(DirectoryError::Decided(proposal.status).into());
        }
        let new = &proposal.new;
        if version_now.unwrap_or(0) != new.over {
            return Err(DirectoryError::Moved { kind: new.kind, id: new.entry }.into());
        }
        let before = self.store.directory_entry(new.kind, new.entry, None).await?;
        let draft = Draft { kind: new.kind, id: new.entry, before, body, story_checked, imported: false };
        let before = draft.before.clone();
        let mut checked = self.check_one(draft).await?;
        is_own(&checked, before.as_ref(), &new.provider, self).await?;
        checked.over = new.over;
        let signature = format!("provider {}, approved by {by}", new.provider);
        let decision = Decision { status: ProposalStatus::Approved, by: by.to_owned(), reason: None };
        let write = checked.into_write(&signature);
        match self.store.decide_proposal(id, decision, Some(write)).await? {
            (proposal, Some(entry)) => Ok((proposal, entry)),
            _ => Err(StoreError::Corrupt("an approval that wrote nothing".to_owned()).into()),
        }
    }

    /// Refuses a proposal, and says why; or takes it back for its provider.
    ///
    /// # Errors
    /// [`WriteError`]
    pub async fn close(
        &self,
        id: Uuid,
        status: ProposalStatus,
        by: &str,
        reason: Option<String>,
    ) -> Result<Proposal, WriteError> {
        let decision = Decision { status, by: by.to_owned(), reason };
        Ok(self.store.decide_proposal(id, decision, None).await?.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_names_nothing_as_a_source_or_the_nhs_does() {
        let sources = HashSet::from(["https://feed.example".to_owned()]);
        let of = |system: &str, value: &str| json!({"resourceType": "HealthcareService", "identifier": [{"system": system, "value": value}]});
        let found = |body: &Value, before: Option<&Value>| squatted(body, before, "RW4", &sources);
        let feed = of("https://feed.example", "7");
        assert_eq!(found(&feed, None).as_deref(), Some("HealthcareService.identifier[0]"));
        assert_eq!(found(&feed, Some(&feed)), None, "what a source named stays named");
        assert_eq!(found(&of("https://own.example", "7"), None), None);
        for (value, good) in [("RW4", true), ("rw4", true), ("ZZ999", false)] {
            assert_eq!(found(&of(ods_code::ORGANISATION_SYSTEM, value), None).is_none(), good, "{value}");
        }
        assert!(found(&of("https://fhir.nhs.uk/Id/dos-service-id", "1"), None).is_some());
        let mut sourced = json!({"resourceType": "Location", "meta": {"source": "https://feed.example"}});
        assert_eq!(found(&sourced, None).as_deref(), Some("Location.meta.source"));
        assert_eq!(found(&sourced, Some(&sourced)), None);
        sourced["meta"]["source"] = "https://own.example".into();
        assert_eq!(found(&sourced, None), None);
    }

    #[test]
    fn what_an_entry_says_beside_its_room_is_all_but_two_extensions() {
        let bare = json!({"resourceType": "HealthcareService", "name": "Choir"});
        let full = |code: &str| {
            let mut body = bare.clone();
            body["extension"] = json!([{"url": entry::CAPACITY, "valueCode": code}, {"url": entry::WAITING_TIME}]);
            body
        };
        assert_eq!(beside_room(full("capacity")), bare);
        assert_eq!(beside_room(full("capacity")), beside_room(full("no-capacity")));
        let mut other = full("capacity");
        other["extension"][1]["url"] = "urn:other".into();
        assert_ne!(beside_room(other), bare);
    }

    #[test]
    fn what_would_change_is_told_with_what_stood_there() {
        let before = json!({"name": "Garden", "active": true, "telecom": [{"value": "0151 496 0000"}]});
        let after = json!({"name": "The Garden", "telecom": [{"value": "0151 496 0000"}], "comment": "new"});
        let mut told = changes(Some(&before), &after);
        told.sort_by_key(|operation| operation["path"].to_string());
        let expected = [
            json!({"op": "remove", "path": "/active", "was": true}),
            json!({"op": "add", "path": "/comment", "value": "new"}),
            json!({"op": "replace", "path": "/name", "value": "The Garden", "was": "Garden"}),
        ];
        assert_eq!(told, expected);
        assert_eq!(changes(Some(&after), &after), Vec::<Value>::new());
        assert_eq!(changes(None, &json!({"name": "New"})), [json!({"op": "add", "path": "/name", "value": "New"})]);
    }
}
