//! What an entry of the directory says in elements of ours and by convention: extensions, its source, whose it is. Pure.

use jiff::civil::Date;
use serde_json::{Value, json};

use crate::{
    config::Registry,
    domain::{EntryKind, InboxId, Point, ProviderId},
    fhir::{
        ods_code,
        reference::{Target, parse},
        task::CANONICAL,
        tree,
    },
    places::{Places, outward_of},
    store::Sourced,
};

/// The identifier system of inboxes.
pub const INBOX_SYSTEM: &str = "https://onward.example/fhir/NamingSystem/inbox";
/// Extension of a HealthcareService: what was done for somebody, told as a story.
pub const PRACTICE_STORY: &str = "https://onward.example/fhir/StructureDefinition/practice-story";
/// Extension of an earlier version of a HealthcareService: that a story was taken out of it, when, and by which version.
pub const STORY_TAKEN_OUT: &str = "https://onward.example/fhir/StructureDefinition/story-taken-out";
/// Extension of a HealthcareService: whether it has room (codes of SDOH Clinical Care 3.0.0, capacity status).
pub const CAPACITY: &str = "https://onward.example/fhir/StructureDefinition/capacity";
/// Extension of a HealthcareService: how long one waits, as it says itself.
pub const WAITING_TIME: &str = "https://onward.example/fhir/StructureDefinition/waiting-time";
/// Extension of a HealthcareService: whether it takes referrals.
pub const ACCEPTS_REFERRALS: &str = "https://onward.example/fhir/StructureDefinition/accepts-referrals";
/// Extension of a HealthcareService: what it costs.
pub const COST: &str = "https://onward.example/fhir/StructureDefinition/cost";
/// Extension of a HealthcareService: for whom it is, in years of age.
pub const ELIGIBLE_AGE: &str = "https://onward.example/fhir/StructureDefinition/eligible-age";
/// Extension of a Location: how one gets in.
pub const ACCESSIBILITY: &str = "https://onward.example/fhir/StructureDefinition/accessibility";
/// Extension of any entry: when somebody last made sure of it, and who.
pub const ASSURED: &str = "https://onward.example/fhir/StructureDefinition/assured";
/// Extension that is added to a HealthcareService when it is given out, and never stored.
pub const MEASURED: &str = "https://onward.example/fhir/StructureDefinition/measured";

/// Extension of any entry: the record of Open Referral that it came as. It is kept for the next import and the export, written by
/// imports alone, and not given out over FHIR: what was taken out of an entry since stands in it still.
pub const OPEN_REFERRAL: &str = "https://onward.example/fhir/StructureDefinition/open-referral";

/// So many steps are gone from an entry to the provider whose it is.
const OWNER_STEPS_MAX: usize = 5;

/// The profile that an entry of this kind is held against.
pub fn profile(kind: EntryKind) -> String {
    let name = match kind {
        EntryKind::Organization => "directory-organization",
        EntryKind::HealthcareService => "directory-service",
        EntryKind::Location => "directory-location",
        EntryKind::Endpoint => "directory-endpoint",
    };
    format!("{CANONICAL}/StructureDefinition/{name}")
}

/// A provider of the registry as an Organization.
pub fn organization(registry: &Registry, id: &str) -> Option<Value> {
    let provider = registry.providers.get(&id.parse().ok()?)?;
    Some(json!({
        "resourceType": "Organization",
        "id": provider.id.as_str(),
        "identifier": [{"system": ods_code::ORGANISATION_SYSTEM, "value": provider.ods_code}],
        "active": true,
        "name": provider.name,
    }))
}

/// An inbox of the registry as an Endpoint: a service that names it stands behind that inbox. `base` is this server's FHIR base.
pub fn inbox_endpoint(registry: &Registry, id: &str, base: &str, today: Date) -> Option<Value> {
    let inbox = registry.inboxes.get(&id.parse().ok()?)?;
    let provider = registry.providers.get(&inbox.provider)?;
    let name = inbox.service.as_deref().unwrap_or(&provider.name);
    Some(json!({
        "resourceType": "Endpoint",
        "id": inbox.id.as_str(),
        "identifier": [{"system": INBOX_SYSTEM, "value": inbox.id.as_str()}],
        "status": if inbox.opening.is_closed(today) { "suspended" } else { "active" },
        "connectionType": {"system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type", "code": "hl7-fhir-rest"},
        "name": name,
        "managingOrganization": {"reference": format!("Organization/{}", provider.id), "display": provider.name},
        "payloadType": [{"text": "Referrals: ServiceRequest with what travels with it"}],
        "address": base,
    }))
}

/// What the registry makes of a kind and an id: a provider, or an inbox.
pub fn of_registry(registry: &Registry, kind: EntryKind, id: &str, base: &str, today: Date) -> Option<Value> {
    match kind {
        EntryKind::Organization => organization(registry, id),
        EntryKind::Endpoint => inbox_endpoint(registry, id, base, today),
        EntryKind::HealthcareService | EntryKind::Location => None,
    }
}

/// All that the registry makes of a kind, in the order of ids.
pub fn all_of_registry(registry: &Registry, kind: EntryKind, base: &str, today: Date) -> Vec<Value> {
    match kind {
        EntryKind::Organization => {
            registry.providers.keys().filter_map(|id| organization(registry, id.as_str())).collect()
        }
        EntryKind::Endpoint => {
            registry.inboxes.keys().filter_map(|id| inbox_endpoint(registry, id.as_str(), base, today)).collect()
        }
        EntryKind::HealthcareService | EntryKind::Location => Vec::new(),
    }
}

/// The kind and id that a literal reference names, where it names a resource of this server of a kind that the directory has.
pub fn named<'r>(literal: &'r str, base: &str) -> Option<(EntryKind, &'r str)> {
    match parse(literal) {
        Target::Relative { kind, id, version: None } => Some((kind.parse().ok()?, id)),
        Target::Absolute { base: of, kind, id, version: None } if of == base => Some((kind.parse().ok()?, id)),
        _ => None,
    }
}

/// Where an entry comes from: the first identifier whose use is `secondary` and whose system is `meta.source`.
pub fn source_of(body: &Value) -> Option<Sourced> {
    let source = body.pointer("/meta/source")?.as_str()?;
    let is_its = |(system, _, identifier): &(Option<&str>, &str, &Value)| {
        *system == Some(source) && tree::text(identifier, "use") == Some("secondary")
    };
    tree::identifiers(body).find(is_its).map(|(_, name, _)| (source.to_owned(), name.to_owned()))
}

/// The element that names whose an entry is, or of what it is a part.
fn next_owner(kind: EntryKind, body: &Value) -> Option<&str> {
    let element = match kind {
        EntryKind::Organization => "partOf",
        EntryKind::HealthcareService => "providedBy",
        EntryKind::Location | EntryKind::Endpoint => "managingOrganization",
    };
    body.get(element)?.get("reference")?.as_str()
}

/// The Organization that an entry names as whose it is, or of which it is a part.
pub fn owner_named(kind: EntryKind, body: &Value, base: &str) -> Option<String> {
    let (of, id) = named(next_owner(kind, body)?, base)?;
    (of == EntryKind::Organization).then(|| id.to_owned())
}

/// What an entry is part of, of the same kind.
pub fn part_named(kind: EntryKind, body: &Value, base: &str) -> Option<String> {
    let (of, id) = named(body.get("partOf")?.get("reference")?.as_str()?, base)?;
    (of == kind).then(|| id.to_owned())
}

/// Whose an entry is: the provider of the registry that its references to organisations lead to, within five steps. `find` gives the
/// Organizations of the directory.
pub fn owner<'f>(
    kind: EntryKind,
    body: &'f Value,
    registry: &Registry,
    base: &str,
    find: &dyn Fn(&str) -> Option<&'f Value>,
) -> Option<ProviderId> {
    let (mut kind, mut body) = (kind, body);
    for _ in 0..OWNER_STEPS_MAX {
        let id = owner_named(kind, body, base)?;
        if let Some(provider) = id.parse::<ProviderId>().ok().filter(|id| registry.providers.contains_key(id)) {
            return Some(provider);
        }
        (kind, body) = (EntryKind::Organization, find(&id)?);
    }
    None
}

/// The inboxes that a HealthcareService stands behind.
pub fn inboxes_of(body: &Value, registry: &Registry, base: &str) -> Vec<InboxId> {
    let endpoints = tree::items(body, "endpoint").iter().filter_map(|reference| reference.get("reference")?.as_str());
    let inbox = |literal: &str| {
        let (kind, id) = named(literal, base)?;
        let id: InboxId = id.parse().ok()?;
        (kind == EntryKind::Endpoint && registry.inboxes.contains_key(&id)).then_some(id)
    };
    let mut inboxes = Vec::new();
    for inbox in endpoints.filter_map(inbox) {
        // one that is named twice is one
        if !inboxes.contains(&inbox) {
            inboxes.push(inbox);
        }
    }
    inboxes
}

/// Where a Location lies: where it says itself, or about where the outward code of its postcode is, and whether it is only that. Only to
/// find it by: nobody is told that it lies there, and by no distance can it be found out where its postcode is.
pub fn point(body: &Value, places: &Places) -> Option<(Point, bool)> {
    let degrees = |name: &str| body.get("position")?.get(name)?.as_f64();
    let said = degrees("latitude").zip(degrees("longitude"));
    let said = said.and_then(|(latitude, longitude)| Point::of_degrees(latitude, longitude));
    let coarse = || {
        let outward = outward_of(tree::text(body, "address.postalCode")?)?;
        Some((places.centre(&outward)?.point, true))
    };
    said.map(|point| (point, false)).or_else(coarse)
}

/// The practice stories of an entry.
pub fn stories(body: &Value) -> impl Iterator<Item = &Value> {
    let is_one = |extension: &&Value| tree::text(extension, "url") == Some(PRACTICE_STORY);
    tree::items(body, "extension").iter().filter(is_one)
}

/// Where extensions of ours stand that mean something only as extensions of the entry itself: stories, records.
pub fn strays(body: &Value) -> Vec<&'static str> {
    const OURS: [&str; 2] = [PRACTICE_STORY, OPEN_REFERRAL];
    let top =
        |url: &str| tree::items(body, "extension").iter().filter(|one| tree::text(one, "url") == Some(url)).count();
    OURS.into_iter().filter(|url| count(body, url) > top(url)).collect()
}

/// How many extensions of this URL there are, wherever they stand.
fn count(value: &Value, url: &str) -> usize {
    match value {
        Value::Object(object) => {
            let own = usize::from(object.get("url").and_then(Value::as_str) == Some(url));
            own + object.values().map(|inner| count(inner, url)).sum::<usize>()
        }
        Value::Array(items) => items.iter().map(|inner| count(inner, url)).sum(),
        _ => 0,
    }
}

/// Whether an identifier of this system stands anywhere in an entry.
pub fn identifies_by(value: &Value, system: &str) -> bool {
    any_identifier(value, &|of, _| of == system)
}

/// Whether this identifier stands anywhere in an entry, its own or of something that it names; without case.
pub fn bears(value: &Value, system: &str, name: &str) -> bool {
    any_identifier(value, &|of, found| of == system && found.eq_ignore_ascii_case(name))
}

fn any_identifier(value: &Value, is: &dyn Fn(&str, &str) -> bool) -> bool {
    match value {
        Value::Object(object) => {
            let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
            is(text("system"), text("value")) || object.values().any(|inner| any_identifier(inner, is))
        }
        Value::Array(items) => items.iter().any(|inner| any_identifier(inner, is)),
        _ => false,
    }
}

/// The extension that holds the record of Open Referral, if there is one.
pub fn record_of(body: &Value) -> Option<&Value> {
    tree::items(body, "extension").iter().find(|one| tree::text(one, "url") == Some(OPEN_REFERRAL))
}

/// The record of Open Referral that a client says, which none but imports say.
pub fn says_record(body: &Value, before: Option<&Value>) -> bool {
    record_of(body).is_some_and(|said| before.and_then(record_of) != Some(said))
}

/// Without it.
pub fn without_record(mut body: Value) -> Value {
    without(&mut body, OPEN_REFERRAL);
    body
}

/// Whether an entry tells a story that the one before it did not tell word for word.
pub fn tells_anew(body: &Value, before: Option<&Value>) -> bool {
    stories(body).any(|story| !before.is_some_and(|before| stories(before).any(|told| told == story)))
}

/// An entry as it is kept: without what the server gives it.
pub fn kept(mut body: Value) -> Value {
    let Some(object) = body.as_object_mut() else { return body };
    object.shift_remove("id");
    if let Some(meta) = object.get_mut("meta").and_then(Value::as_object_mut) {
        meta.shift_remove("versionId");
        meta.shift_remove("lastUpdated");
        if meta.is_empty() {
            object.shift_remove("meta");
        }
    }
    without(&mut body, MEASURED);
    without(&mut body, STORY_TAKEN_OUT);
    body
}

/// Takes the extensions of an entry with this URL out of it.
fn without(body: &mut Value, url: &str) {
    let Some(object) = body.as_object_mut() else { return };
    if let Some(extensions) = object.get_mut("extension").and_then(Value::as_array_mut) {
        extensions.retain(|extension| tree::text(extension, "url") != Some(url));
        if extensions.is_empty() {
            object.shift_remove("extension");
        }
    }
}
