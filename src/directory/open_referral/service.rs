//! What is offered.

use serde_json::{Map, Number, Value, json};

use super::{
    super::{
        element::{
            contact_point, contact_points, date, extension, extension_of, extensions, made_id, number, objects, part,
            part_of, set, set_text, text, years,
        },
        identity,
    },
    Names, location, schedule, terms,
};
use crate::{definitions::Primitive, domain::EntryKind, fhir::primitive};

/// What stands before a paragraph of `extraDetails` that has a field of its own there.
const PARAGRAPHS: [(&str, &str); 2] = [("Alert: ", "alert"), ("Accreditations: ", "accreditations")];
/// R4's system of languages.
const LANGUAGES: &str = "urn:ietf:bcp:47";
/// Amounts without a currency are in this one.
const CURRENCY: &str = "GBP";

/// The elements of a HealthcareService that a row of `service` says.
pub(super) fn to_fhir(row: &Map<String, Value>, source: &str, resource: &mut Map<String, Value>) {
    set(resource, "extension", extensions_to_fhir(row));
    set(resource, "active", text(row, "status").is_none_or(|status| status == "active"));
    if let Some(organization) = organization_of(row) {
        set(resource, "providedBy", identity::reference(EntryKind::Organization, source, organization));
    }
    let (types, mut eligible) = terms::to_fhir(row, source);
    set(resource, "type", types);
    let places = locations_of(row).map(|id| identity::reference(EntryKind::Location, source, id));
    set(resource, "location", places.collect::<Vec<_>>());
    set_text(resource, "name", text(row, "name"));
    set_text(resource, "comment", text(row, "description"));
    let told = PARAGRAPHS.iter().filter_map(|(before, key)| Some(format!("{before}{}", text(row, key)?)));
    set(resource, "extraDetails", told.collect::<Vec<_>>().join("\n\n"));
    let mut telecom: Vec<Value> = location::phones(row).map(|phone| contact_point("phone", phone)).collect();
    for (system, key) in [("email", "email"), ("url", "url")] {
        telecom.extend(text(row, key).map(|value| contact_point(system, value)));
    }
    set(resource, "telecom", telecom);
    let areas = objects(row, "service_areas").filter_map(|one| text(one, "name").or_else(|| text(one, "service_area")));
    set(resource, "coverageArea", areas.map(|area| json!({"display": area})).collect::<Vec<_>>());
    if let Some(words) = text(row, "eligibility_description") {
        eligible.insert(0, json!({"comment": words}));
    }
    set(resource, "eligibility", eligible);
    set(resource, "communication", objects(row, "languages").filter_map(language).collect::<Vec<_>>());
    schedule::to_fhir(row, resource);
    // what stands behind an inbox is known to our own spreadsheet alone
    if let Some(inbox) = row.get(super::OWN).and_then(Value::as_object).and_then(|own| text(own, "inbox")) {
        set(resource, "endpoint", vec![json!({"reference": format!("{}/{inbox}", EntryKind::Endpoint)})]);
    }
}

/// What a row of `service` says by its resource.
pub(super) fn from_fhir(resource: &Value, names: &Names<'_>, id: &str, row: &mut Map<String, Value>) {
    let of = |name: &str| resource.get(name).and_then(Value::as_str);
    let list = |name: &str| resource.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let nth = |table: &str, at: usize| made_id(&[id, table, &at.to_string()]).to_string();
    set_text(row, "name", of("name"));
    let (known, others) = paragraphs(of("extraDetails").unwrap_or_default());
    let description: Vec<_> = of("comment").into_iter().map(str::to_owned).chain(others).collect();
    set(row, "description", description.join("\n\n"));
    known.into_iter().for_each(|(key, words)| set(row, key, words));
    set_text(row, "url", contact_points(resource, "url").next());
    set_text(row, "email", contact_points(resource, "email").next());
    set(row, "status", if resource.get("active") == Some(&Value::Bool(false)) { "inactive" } else { "active" });
    from_extensions(resource, id, row);
    set(row, "schedules", schedule::from_fhir(resource, id));
    let areas = list("coverageArea").iter().enumerate();
    let areas = areas
        .filter_map(|(at, area)| Some(json!({"id": nth("service_areas", at), "name": area.get("display")?.as_str()?})));
    set(row, "service_areas", areas.collect::<Vec<_>>());
    let places = list("location").iter().filter_map(|place| names.id_of(place)).map(
        |place| json!({"id": made_id(&[id, "service_at_locations", &place]).to_string(), "location": {"id": place}}),
    );
    set(row, "service_at_locations", places.collect::<Vec<_>>());
    let spoken = list("communication").iter().enumerate().filter_map(|(at, one)| {
        let coding = one.get("coding").and_then(Value::as_array).and_then(|all| all.first());
        let code = coding.and_then(|coding| coding.get("code")).and_then(Value::as_str);
        let name = one.get("text").or_else(|| coding?.get("display")).and_then(Value::as_str).or(code)?;
        let mut language = Map::new();
        set(&mut language, "id", nth("languages", at));
        set(&mut language, "name", name);
        set_text(&mut language, "code", code);
        Some(Value::Object(language))
    });
    set(row, "languages", spoken.collect::<Vec<_>>());
    if let Some(organization) = resource.get("providedBy").and_then(|by| names.id_of(by)) {
        set(row, "organization", json!({"id": organization}));
    }
    let phones: Vec<_> = contact_points(resource, "phone").collect();
    if !phones.is_empty() {
        let numbered = phones.iter().enumerate().map(|(at, phone)| json!({"id": nth("phones", at), "number": phone}));
        set(row, "contacts", vec![json!({"id": nth("contacts", 0), "phones": numbered.collect::<Vec<_>>()})]);
    }
    let comments = list("eligibility").iter().filter_map(|one| one.get("comment")?.as_str());
    set(row, "eligibility_description", comments.collect::<Vec<_>>().join("\n"));
    set(row, "attributes", terms::from_fhir(resource, names.source(), id));
}

/// The id of the organisation that a service is offered by.
pub(super) fn organization_of(row: &Map<String, Value>) -> Option<&str> {
    let nested = row.get("organization").and_then(Value::as_object).and_then(|one| text(one, "id"));
    nested.or_else(|| text(row, "organization_id"))
}

/// The ids of the places where a service is.
pub(super) fn locations_of(row: &Map<String, Value>) -> impl Iterator<Item = &str> {
    objects(row, "service_at_locations").filter_map(location_of)
}

/// The id of the place of a `service_at_location`.
pub(super) fn location_of(at: &Map<String, Value>) -> Option<&str> {
    let nested = at.get("location").and_then(Value::as_object).and_then(|one| text(one, "id"));
    nested.or_else(|| text(at, "location_id"))
}

fn extensions_to_fhir(row: &Map<String, Value>) -> Vec<Value> {
    let mut made = Vec::new();
    // what only our own spreadsheet knows
    if let Some(own) = row.get(super::OWN).and_then(Value::as_object) {
        made.extend(text(own, "capacity").map(|code| extension("capacity", "valueCode", code)));
        if let Some(Value::Bool(accepts)) = own.get("accepts_referrals") {
            made.push(extension("accepts-referrals", "valueBoolean", *accepts));
        }
        made.extend(own.get("waiting_time").map(|time| extension("waiting-time", "valueDuration", time.clone())));
        made.extend(objects(own, "stories").filter_map(story));
    }
    if let Some(fees) = text(row, "fees") {
        let free = fees.trim_end_matches('.').to_ascii_lowercase();
        let mut parts = vec![part("description", "valueString", fees)];
        if ["free", "free of charge", "no charge", "none", "no cost"].contains(&free.as_str()) {
            parts.insert(0, part("free", "valueBoolean", true));
        }
        made.extend(extension_of("cost", parts));
    }
    for option in objects(row, "cost_options") {
        let mut parts = Vec::new();
        if let Some(amount) = number(option, "amount").filter(|amount| amount.as_f64().is_some_and(|a| a >= 0.0)) {
            if amount.as_f64() == Some(0.0) {
                parts.push(part("free", "valueBoolean", true));
            }
            let currency =
                text(option, "currency").filter(|c| c.len() == 3 && c.bytes().all(|b| b.is_ascii_uppercase()));
            let money = json!({"value": amount, "currency": currency.unwrap_or(CURRENCY)});
            parts.push(part("amount", "valueMoney", money));
        }
        parts.extend(text(option, "option").map(|option| part("option", "valueString", option)));
        parts.extend(text(option, "amount_description").map(|words| part("description", "valueString", words)));
        made.extend(extension_of("cost", parts));
    }
    let age = |key: &str| number(row, key).filter(|age| age.as_f64().is_some_and(|a| (0.0..=150.0).contains(&a)));
    let mut range = Map::new();
    for (bound, key) in [("low", "minimum_age"), ("high", "maximum_age")] {
        if let Some(age) = age(key) {
            set(&mut range, bound, years(age));
        }
    }
    if !range.is_empty() {
        made.push(extension("eligible-age", "valueRange", range));
    }
    if let Some(day) = date(row, "assured_date") {
        let mut assured = vec![part("date", "valueDate", day)];
        assured.extend(text(row, "assurer_email").map(|by| part("by", "valueString", by)));
        made.extend(extension_of("assured", assured));
    }
    made
}

pub(super) fn story(told: &Map<String, Value>) -> Option<Value> {
    let words = ["problem", "done", "result"].into_iter();
    let mut parts: Vec<_> = words.filter_map(|name| Some(part(name, "valueMarkdown", text(told, name)?))).collect();
    if parts.len() < 3 {
        return None;
    }
    parts.extend(text(told, "document").map(|url| part("document", "valueAttachment", json!({"url": url}))));
    extension_of("practice-story", parts)
}

fn from_extensions(resource: &Value, id: &str, row: &mut Map<String, Value>) {
    let words = |of: &Value, name: &str| part_of(of, name, "valueString").and_then(Value::as_str).map(str::to_owned);
    let (mut fees, mut options) = (Vec::new(), Vec::new());
    for cost in extensions(resource, "cost") {
        let (option, described) = (words(cost, "option"), words(cost, "description"));
        let money = part_of(cost, "amount", "valueMoney");
        let free = part_of(cost, "free", "valueBoolean") == Some(&Value::Bool(true));
        if option.is_none() && money.is_none() {
            fees.extend(described.or_else(|| free.then(|| "Free".to_owned())));
            continue;
        }
        let mut told = Map::new();
        set(&mut told, "id", made_id(&[id, "cost_options", &options.len().to_string()]).to_string());
        set_text(&mut told, "option", option.as_deref());
        match money {
            Some(money) => {
                set(&mut told, "amount", money.get("value").cloned().unwrap_or_default());
                let currency = money.get("currency").and_then(Value::as_str);
                set_text(&mut told, "currency", currency.filter(|currency| *currency != CURRENCY));
            }
            None if free => set(&mut told, "amount", Value::Number(Number::from(0))),
            None => {}
        }
        set_text(&mut told, "amount_description", described.as_deref());
        options.push(Value::Object(told));
    }
    set(row, "fees", fees.join("; "));
    set(row, "cost_options", options);
    if let Some(range) = extensions(resource, "eligible-age").next().and_then(|one| one.get("valueRange")) {
        for (bound, key) in [("low", "minimum_age"), ("high", "maximum_age")] {
            set(row, key, range.get(bound).and_then(|age| age.get("value")).cloned().unwrap_or_default());
        }
    }
    if let Some(assured) = extensions(resource, "assured").next() {
        set_text(row, "assured_date", part_of(assured, "date", "valueDate").and_then(Value::as_str));
        // who assured it is an address of mail there, and may be a name here
        set_text(row, "assurer_email", words(assured, "by").filter(|by| by.contains('@')).as_deref());
    }
}

/// The paragraphs of `extraDetails` that have a field of their own, and the others.
fn paragraphs(details: &str) -> (Vec<(&'static str, String)>, Vec<String>) {
    let (mut known, mut others) = (Vec::<(&'static str, String)>::new(), Vec::new());
    for paragraph in details.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
        let field = PARAGRAPHS.iter().find_map(|(before, key)| Some((*key, paragraph.strip_prefix(before)?)));
        match field {
            Some((key, words)) if known.iter().all(|(other, _)| *other != key) => known.push((key, words.to_owned())),
            _ => others.push(paragraph.to_owned()),
        }
    }
    (known, others)
}

fn language(row: &Map<String, Value>) -> Option<Value> {
    let (name, code) = (text(row, "name").or_else(|| text(row, "language")), text(row, "code"));
    let mut concept = Map::new();
    if let Some(code) = code.filter(|code| primitive::text_fault(Primitive::Code, code).is_none()) {
        let mut coding = Map::new();
        set(&mut coding, "system", LANGUAGES);
        set(&mut coding, "code", code);
        set_text(&mut coding, "display", name);
        set(&mut concept, "coding", vec![Value::Object(coding)]);
    }
    set_text(&mut concept, "text", name);
    (!concept.is_empty()).then_some(concept.into())
}
