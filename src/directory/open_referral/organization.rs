//! Who offers a service.

use serde_json::{Map, Value, json};

use super::{
    super::{
        element::{contact_point, contact_points, extensions_by, made_id, objects, set, set_text, text},
        identity,
    },
    Names,
};
use crate::domain::EntryKind;

/// R4 has no description of an organisation; this is the extension by which later FHIR's is carried
/// (<http://hl7.org/fhir/versions.html#extensions>).
const DESCRIPTION: &str = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Organization.description";
/// Registers of organisations as org-id.guide names them, beside the systems that the NHS has for the same.
const REGISTERS: [(&str, &str); 1] = [("GB-NHS", "https://fhir.nhs.uk/Id/ods-organization-code")];
/// All other registers.
const REGISTER: &str = "http://org-id.guide/list/";

/// The elements of an Organization that a row of `organization` says.
pub(super) fn to_fhir(row: &Map<String, Value>, source: &str, resource: &mut Map<String, Value>) {
    if let Some(description) = text(row, "description") {
        set(resource, "extension", vec![json!({"url": DESCRIPTION, "valueMarkdown": description})]);
    }
    let registered = objects(row, "organization_identifiers").filter_map(|one| {
        let value = text(one, "identifier")?;
        let mut identifier = Map::new();
        if let Some(kind) = text(one, "identifier_type") {
            set(&mut identifier, "type", json!({"text": kind}));
        }
        set_text(&mut identifier, "system", text(one, "identifier_scheme").and_then(system_of).as_deref());
        set(&mut identifier, "value", value);
        Some(Value::Object(identifier))
    });
    if let Some(identifiers) = resource.get_mut("identifier").and_then(Value::as_array_mut) {
        identifiers.extend(registered);
    }
    // an organisation that is told of is there
    set(resource, "active", true);
    set_text(resource, "name", text(row, "name"));
    let told = [("email", "email"), ("url", "website")];
    let telecom = told.into_iter().filter_map(|(system, key)| Some(contact_point(system, text(row, key)?)));
    set(resource, "telecom", telecom.collect::<Vec<_>>());
    if let Some(parent) = text(row, "parent_organization_id") {
        set(resource, "partOf", identity::reference(EntryKind::Organization, source, parent));
    }
}

/// What a row of `organization` says by its resource.
pub(super) fn from_fhir(resource: &Value, names: &Names<'_>, id: &str, row: &mut Map<String, Value>) {
    set_text(row, "name", resource.get("name").and_then(Value::as_str));
    let description = extensions_by(resource, DESCRIPTION.to_owned()).next();
    set_text(row, "description", description.and_then(|one| one.get("valueMarkdown")?.as_str()));
    set_text(row, "email", contact_points(resource, "email").next());
    set_text(row, "website", contact_points(resource, "url").next());
    if let Some(parent) = resource.get("partOf").and_then(|parent| names.id_of(parent)) {
        set(row, "parent_organization_id", parent);
    }
    let all = resource.get("identifier").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let of = |one: &Value, name: &str| one.get(name).and_then(Value::as_str).map(str::to_owned);
    let registered = all.iter().enumerate().filter(|(_, one)| !names.is_own(one)).filter_map(|(at, one)| {
        let mut told = Map::new();
        set(&mut told, "id", made_id(&[id, "organization_identifiers", &at.to_string()]).to_string());
        let system = of(one, "system");
        let scheme = system.as_deref().map(scheme_of);
        set_text(&mut told, "identifier_scheme", scheme.as_deref());
        let kind = one.get("type").and_then(|kind| of(kind, "text")).or(scheme);
        set_text(&mut told, "identifier_type", Some(kind.as_deref().unwrap_or("Identifier")));
        set(&mut told, "identifier", of(one, "value")?);
        Some(Value::Object(told))
    });
    set(row, "organization_identifiers", registered.collect::<Vec<_>>());
}

fn system_of(scheme: &str) -> Option<String> {
    if let Some((_, system)) = REGISTERS.iter().find(|(known, _)| *known == scheme) {
        return Some((*system).to_owned());
    }
    let is_code = scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    is_code.then(|| format!("{REGISTER}{scheme}"))
}

fn scheme_of(system: &str) -> String {
    if let Some((scheme, _)) = REGISTERS.iter().find(|(_, known)| *known == system) {
        return (*scheme).to_owned();
    }
    system.strip_prefix(REGISTER).unwrap_or(system).to_owned()
}
