//! Where a service is.

use serde_json::{Map, Number, Value, json};

use super::{
    super::element::{
        contact_point, contact_points, extension, extensions, made_id, number, objects, set, set_text, text,
    },
    Names,
};

/// The elements of a Location that a row of `location` says, and what could not be taken.
pub(super) fn to_fhir(row: &Map<String, Value>, resource: &mut Map<String, Value>, notes: &mut Vec<String>) {
    let accessible = objects(row, "accessibility")
        .filter_map(|one| text(one, "description").or_else(|| text(one, "accessibility")))
        .collect::<Vec<_>>();
    if !accessible.is_empty() {
        set(resource, "extension", vec![extension("accessibility", "valueString", accessible.join("\n"))]);
    }
    if let Some(value) = text(row, "external_identifier")
        && let Some(identifiers) = resource.get_mut("identifier").and_then(Value::as_array_mut)
    {
        let mut identifier = Map::new();
        if let Some(kind) = text(row, "external_identifier_type") {
            set(&mut identifier, "type", json!({"text": kind}));
        }
        set(&mut identifier, "value", value);
        identifiers.push(identifier.into());
    }
    set(resource, "status", "active");
    set(resource, "mode", "instance");
    let chosen = address(row);
    // a place has to be called something; what it is called by is the street where it has no name
    let named = text(row, "name").or_else(|| chosen.and_then(|address| text(address, "address_1")));
    set_text(resource, "name", named);
    set_text(resource, "description", text(row, "description"));
    set(resource, "telecom", phones(row).map(|phone| contact_point("phone", phone)).collect::<Vec<_>>());
    if let Some(address) = chosen {
        set(resource, "address", address_to_fhir(address));
    }
    match (row.get("latitude"), row.get("longitude")) {
        (None | Some(Value::Null), None | Some(Value::Null)) => {}
        _ => match (number(row, "latitude"), number(row, "longitude")) {
            (Some(latitude), Some(longitude)) if is_on_earth(latitude, longitude) => {
                set(resource, "position", json!({"longitude": longitude, "latitude": latitude}));
            }
            _ => notes.push(
                "latitude and longitude are no place on earth, or lie at 0, 0; they go out again and place nothing"
                    .to_owned(),
            ),
        },
    }
}

/// What a row of `location` says by its resource.
pub(super) fn from_fhir(resource: &Value, names: &Names<'_>, id: &str, row: &mut Map<String, Value>) {
    let of = |from: &Value, name: &str| from.get(name).and_then(Value::as_str).map(str::to_owned);
    set(row, "location_type", "physical");
    set_text(row, "name", of(resource, "name").as_deref());
    set_text(row, "description", of(resource, "description").as_deref());
    if let Some(position) = resource.get("position") {
        for name in ["latitude", "longitude"] {
            set(row, name, position.get(name).cloned().unwrap_or_default());
        }
    }
    let all = resource.get("identifier").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if let Some(external) = all.iter().find(|one| !names.is_own(one)) {
        set_text(row, "external_identifier", of(external, "value").as_deref());
        let kind = external.get("type").and_then(|kind| of(kind, "text")).or_else(|| of(external, "system"));
        set_text(row, "external_identifier_type", kind.as_deref());
    }
    if let Some(address) = resource.get("address") {
        set(row, "addresses", vec![address_from_fhir(address, id)]);
    }
    let accessible = extensions(resource, "accessibility").enumerate().filter_map(|(at, one)| {
        let words = one.get("valueString")?.as_str()?;
        Some(json!({"id": made_id(&[id, "accessibility", &at.to_string()]).to_string(), "description": words}))
    });
    set(row, "accessibility", accessible.collect::<Vec<_>>());
    let phones = contact_points(resource, "phone")
        .enumerate()
        .map(|(at, phone)| json!({"id": made_id(&[id, "phones", &at.to_string()]).to_string(), "number": phone}));
    set(row, "phones", phones.collect::<Vec<_>>());
}

/// The telephone numbers of a row and of its contacts.
pub(super) fn phones(row: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let direct = objects(row, "phones");
    let through = objects(row, "contacts").flat_map(|contact| objects(contact, "phones"));
    // the published example has its number in quotes
    direct.chain(through).filter_map(|phone| Some(text(phone, "number")?.trim_matches('"'))).filter(|n| !n.is_empty())
}

/// The address by which a place is found: the first that is not only one for letters, else the first.
fn address(row: &Map<String, Value>) -> Option<&Map<String, Value>> {
    let physical = objects(row, "addresses").find(|one| text(one, "address_type") == Some("physical"));
    physical.or_else(|| objects(row, "addresses").next())
}

fn address_to_fhir(row: &Map<String, Value>) -> Map<String, Value> {
    let mut address = Map::new();
    let kind = text(row, "address_type").filter(|kind| ["physical", "postal"].contains(kind));
    set_text(&mut address, "type", kind);
    let lines = ["address_1", "address_2"].into_iter().filter_map(|key| text(row, key)).map(Value::from);
    set(&mut address, "line", lines.collect::<Vec<_>>());
    let told = [
        ("city", "city"),
        ("district", "region"),
        ("state", "state_province"),
        ("postalCode", "postal_code"),
        ("country", "country"),
    ];
    for (element, key) in told {
        set_text(&mut address, element, text(row, key));
    }
    address
}

fn address_from_fhir(address: &Value, id: &str) -> Map<String, Value> {
    let of = |name: &str| address.get(name).and_then(Value::as_str);
    let lines = address.get("line").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut lines = lines.iter().filter_map(Value::as_str);
    let mut row = Map::new();
    set(&mut row, "id", made_id(&[id, "addresses", "0"]).to_string());
    // what the schema requires is there, if only as an empty text
    row.insert("address_1".to_owned(), lines.next().or_else(|| of("text")).unwrap_or_default().into());
    set(&mut row, "address_2", lines.collect::<Vec<_>>().join(", "));
    row.insert("city".to_owned(), of("city").unwrap_or_default().into());
    set_text(&mut row, "region", of("district"));
    row.insert("state_province".to_owned(), of("state").unwrap_or_default().into());
    row.insert("postal_code".to_owned(), of("postalCode").unwrap_or_default().into());
    set_text(&mut row, "country", of("country"));
    set(&mut row, "address_type", of("type").filter(|kind| *kind != "both").unwrap_or("physical"));
    row
}

/// Whether these are degrees of a place, and not those that stand for “unknown”.
fn is_on_earth(latitude: &Number, longitude: &Number) -> bool {
    let within = |degrees: &Number, most: f64| degrees.as_f64().filter(|d| d.is_finite() && d.abs() <= most);
    match (within(latitude, 90.0), within(longitude, 180.0)) {
        (Some(latitude), Some(longitude)) => latitude != 0.0 || longitude != 0.0,
        _ => false,
    }
}
