//! Taxonomies: where one is published stands in the directory as an Endpoint, which keeps its terms.

use serde_json::{Map, Value, json};

use super::{
    super::element::{CONNECTIONS, set, set_text, text},
    LOOSE_TERMS, Row,
};

/// The elements of an Endpoint for a taxonomy.
pub(super) fn to_fhir(row: &Row, source: &str, resource: &mut Map<String, Value>) {
    let place = if row.id == LOOSE_TERMS { LOOSE_TERMS.to_owned() } else { format!("taxonomies/{}", row.id) };
    let own = text(&row.fields, "name").unwrap_or("Terms of no taxonomy that is told of");
    set(resource, "status", "active");
    let kind = json!({"system": CONNECTIONS, "code": "open-referral"});
    set(resource, "connectionType", kind);
    set_text(resource, "name", Some(own));
    // who publishes it is known by the name of the source alone
    let publisher = json!({"system": "urn:ietf:rfc:3986", "value": source});
    set(resource, "managingOrganization", json!({"identifier": publisher}));
    set(resource, "payloadType", vec![json!({"text": "Open Referral UK 3.0 taxonomy"})]);
    let blank = |c: char| c.is_whitespace() || c.is_control();
    set(resource, "address", format!("{}/{}", source.trim_end_matches('/'), place.replace(blank, "%20")));
}
