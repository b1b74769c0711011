//! What a service is, and for whom: terms of taxonomies there, codings here.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::super::element::{made_id, objects, set, set_text, text};
use crate::{definitions::Primitive, fhir::primitive};

/// Says that nothing is known of what kind something is.
const UNKNOWN_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/data-absent-reason";

/// What an attribute tells of a service.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
    /// What it does.
    Type,
    /// For whom it is.
    Eligibility,
}

/// `HealthcareService.type` and the codes in its `eligibility`.
pub(super) fn to_fhir(row: &Map<String, Value>, source: &str) -> (Vec<Value>, Vec<Value>) {
    let (mut types, mut eligible) = (Vec::new(), Vec::new());
    for attribute in objects(row, "attributes") {
        let Some(concept) =
            attribute.get("taxonomy_term").and_then(Value::as_object).and_then(|term| concept(term, source))
        else {
            continue;
        };
        match about(text(attribute, "link_type").unwrap_or_default()) {
            About::Type => types.push(concept),
            About::Eligibility => eligible.push(json!({"code": concept})),
        }
    }
    if types.is_empty() {
        // mCSD wants to know what a service is; a source that does not say so is no reason to leave it out
        let unknown = json!({"system": UNKNOWN_SYSTEM, "code": "unknown"});
        types.push(json!({"coding": [unknown], "text": "Not said"}));
    }
    (types, eligible)
}

/// The attributes that a service has by what FHIR says of it. `id` is the service's.
pub(super) fn from_fhir(service: &Value, source: &str, id: &str) -> Vec<Value> {
    let list = |name: &str| service.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let types = list("type").iter().map(|concept| (concept, "service_type"));
    let eligible = list("eligibility").iter().filter_map(|one| one.get("code")).map(|code| (code, "eligibility"));
    let stated = types.chain(eligible).filter_map(|(concept, link)| Some((term(concept, source)?, link)));
    stated
        .map(|(term, link)| {
            let of = term.get("id").and_then(Value::as_str).unwrap_or_default();
            json!({"id": made_id(&[id, "attributes", link, of]).to_string(), "link_type": link, "taxonomy_term": term})
        })
        .collect()
}

/// The system of a term's coding: its taxonomy where that is named by a URI, else the taxonomy's place at the source.
pub(super) fn system_of(term: &Map<String, Value>, source: &str) -> String {
    let source = source.trim_end_matches('/');
    match (text(term, "taxonomy"), text(term, "taxonomy_id")) {
        (Some(taxonomy), _) if is_absolute(taxonomy) => taxonomy.to_owned(),
        (_, Some(id)) => format!("{source}/taxonomies/{}", utf8_percent_encode(id, NON_ALPHANUMERIC)),
        (Some(name), None) => format!("{source}/taxonomies/{}", utf8_percent_encode(name, NON_ALPHANUMERIC)),
        (None, None) => format!("{source}/taxonomy_terms"),
    }
}

fn is_absolute(uri: &str) -> bool {
    let known = ["http://", "https://", "urn:"].iter().any(|start| uri.len() > start.len() && uri.starts_with(start));
    known && primitive::text_fault(Primitive::Uri, uri).is_none()
}

fn about(link_type: &str) -> About {
    let said = link_type.to_ascii_lowercase();
    let for_whom = ["eligib", "audience", "target"].iter().any(|word| said.contains(word));
    if for_whom { About::Eligibility } else { About::Type }
}

fn concept(term: &Map<String, Value>, source: &str) -> Option<Value> {
    let code = text(term, "id").filter(|id| primitive::text_fault(Primitive::Code, id).is_none());
    let name = text(term, "name").or_else(|| text(term, "term"));
    let mut concept = Map::new();
    if let Some(code) = code {
        let mut coding = Map::new();
        set(&mut coding, "system", system_of(term, source));
        set(&mut coding, "code", code);
        set_text(&mut coding, "display", name);
        set(&mut concept, "coding", vec![Value::Object(coding)]);
    }
    set_text(&mut concept, "text", name);
    (!concept.is_empty()).then_some(concept.into())
}

/// A concept as a term; none where it says that nothing is known.
fn term(concept: &Value, source: &str) -> Option<Map<String, Value>> {
    let coding = concept.get("coding").and_then(Value::as_array).and_then(|codings| codings.first());
    let of = |name: &str| coding.and_then(|coding| coding.get(name)).and_then(Value::as_str);
    let name = concept.get("text").and_then(Value::as_str).or_else(|| of("display")).or_else(|| of("code"))?;
    if of("system") == Some(UNKNOWN_SYSTEM) {
        return None;
    }
    let (system, code) = (of("system").unwrap_or_default(), of("code").unwrap_or(name));
    // a term's id is a UUID (schema/service.json); a code that is none, such as SNOMED CT's, gets one, and stays beside it
    let id = uuid::Uuid::try_parse(code).map_or_else(|_| made_id(&[system, code]).to_string(), |_| code.to_owned());
    let mut term = Map::new();
    set(&mut term, "id", id.as_str());
    set(&mut term, "name", name);
    set(&mut term, "description", of("display").unwrap_or(name));
    let source = source.trim_end_matches('/');
    match system.strip_prefix(source).and_then(|rest| rest.strip_prefix("/taxonomies/")) {
        Some(taxonomy) => {
            let taxonomy = percent_encoding::percent_decode_str(taxonomy).decode_utf8_lossy();
            let key = if uuid::Uuid::try_parse(&taxonomy).is_ok() { "taxonomy_id" } else { "taxonomy" };
            set(&mut term, key, &*taxonomy);
        }
        None if system == format!("{source}/taxonomy_terms") => {}
        None => set(&mut term, "taxonomy", system),
    }
    if id != code {
        set(&mut term, "term", code);
    }
    Some(term)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "https://feed.example/oruk/";

    #[test]
    fn a_term_becomes_a_coding_of_its_taxonomy() {
        let id = "3f7b145d-84af-42d7-8fae-eaca714b02b2";
        let cases = [
            (json!({"taxonomy": "https://t.example/needs"}), "https://t.example/needs"),
            (json!({"taxonomy": "needs & more"}), "https://feed.example/oruk/taxonomies/needs%20%26%20more"),
            (json!({"taxonomy": "needs", "taxonomy_id": "7"}), "https://feed.example/oruk/taxonomies/7"),
            (json!({}), "https://feed.example/oruk/taxonomy_terms"),
        ];
        for (mut term, system) in cases {
            term["id"] = id.into();
            term["name"] = "Loneliness".into();
            let row = json!({"attributes": [{"id": "1", "link_type": "t", "taxonomy_term": term}]});
            let (types, eligible) = to_fhir(row.as_object().unwrap(), SOURCE);
            let coding = json!({"system": system, "code": id, "display": "Loneliness"});
            assert_eq!(types, [json!({"coding": [coding], "text": "Loneliness"})]);
            assert!(eligible.is_empty());
            let back = from_fhir(&json!({"type": types}), SOURCE, "1");
            assert_eq!(back[0]["taxonomy_term"]["id"], id);
            assert_eq!(to_fhir(json!({"attributes": back}).as_object().unwrap(), SOURCE).0, types, "{system}");
        }
    }

    #[test]
    fn for_whom_it_is_stands_apart_and_what_is_not_said_is_said_to_be_unknown() {
        let attribute = |link: &str| json!({"link_type": link, "taxonomy_term": {"id": "a", "name": "Carers"}});
        let row = json!({"attributes": [attribute("Eligibility"), attribute("target_audience"), {"id": "5"}, null]});
        let (types, eligible) = to_fhir(row.as_object().unwrap(), SOURCE);
        assert_eq!(types[0]["text"], "Not said");
        assert_eq!(eligible.len(), 2);
        assert_eq!(eligible[0]["code"]["text"], "Carers");
        assert!(from_fhir(&json!({"type": types}), SOURCE, "1").is_empty());
    }

    #[test]
    fn a_code_that_is_no_uuid_keeps_its_spelling_beside_the_id_that_it_gets() {
        let concept =
            json!({"coding": [{"system": "http://snomed.info/sct", "code": "413256005", "display": "Befriending"}]});
        let term = &from_fhir(&json!({"type": [concept]}), "", "1")[0]["taxonomy_term"];
        assert_eq!((&term["term"], &term["taxonomy"]), (&json!("413256005"), &json!("http://snomed.info/sct")));
        assert!(uuid::Uuid::try_parse(term["id"].as_str().unwrap()).is_ok());
    }
}
