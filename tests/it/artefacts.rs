//! The FHIR artefacts in `profiles/` say what the code does.

use onward::{
    config::registry::Detail,
    delivery::amqp::{EVENT_SYSTEM, MessageEvent},
    directory::entry::MEASURED,
    domain::TransportStatus,
    fhir::task::{
        ANOTHER_OPEN, BUSINESS_SYSTEM, CANONICAL, CONTACT_ATTEMPT, EVENT_EXTENSION, INFORMATION_REQUESTED,
        SEQ_EXTENSION, TRANSPORT_SYSTEM,
    },
};
use serde_json::Value;

fn artefact(name: &str) -> Value {
    let path = format!("{}/profiles/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn codes(system: &Value) -> Vec<&str> {
    system["concept"].as_array().unwrap().iter().map(|c| c["code"].as_str().unwrap()).collect()
}

#[test]
fn code_systems_hold_exactly_our_codes() {
    let transport = artefact("CodeSystem-transport-status");
    assert_eq!(transport["url"], TRANSPORT_SYSTEM);
    assert_eq!(codes(&transport), TransportStatus::ALL.iter().map(|t| t.code()).collect::<Vec<_>>());
    let business = artefact("CodeSystem-business-status");
    assert_eq!(
        (&business["url"], codes(&business)),
        (&BUSINESS_SYSTEM.into(), vec![INFORMATION_REQUESTED, ANOTHER_OPEN, CONTACT_ATTEMPT])
    );
    let message = artefact("CodeSystem-message-event");
    assert_eq!(message["url"], EVENT_SYSTEM);
    assert_eq!(codes(&message), MessageEvent::ALL.iter().map(|e| e.code()).collect::<Vec<_>>());
    let detail = artefact("CodeSystem-write-back-detail");
    assert_eq!(detail["url"], format!("{CANONICAL}/CodeSystem/write-back-detail"));
    let all = [Detail::None, Detail::Codes, Detail::Summary, Detail::Full];
    assert_eq!(codes(&detail), all.map(Detail::as_str));
}

#[test]
fn extensions_are_named_as_we_write_them() {
    assert_eq!(artefact("StructureDefinition-journal-seq")["url"], SEQ_EXTENSION);
    assert_eq!(artefact("StructureDefinition-journal-event")["url"], EVENT_EXTENSION);
    assert_eq!(artefact("StructureDefinition-measured")["url"], MEASURED);
}

#[test]
fn search_parameters_are_those_that_searches_know() {
    use onward::search::{NEAR, parameters};
    let folder = format!("{}/profiles", env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    files.retain(|name| name.starts_with("SearchParameter-"));
    let own = |url: &&str| url.starts_with(CANONICAL);
    let mut known: Vec<&str> = NEAR.iter().map(|near| near.url).filter(own).collect();
    for kind in ["Communication", "HealthcareService", "Location", "Organization", "Endpoint"] {
        for parameter in parameters(kind).filter(|parameter| own(&parameter.url)) {
            let told = artefact(&format!("SearchParameter-{kind}-{}", parameter.name));
            let said = (parameter.url, parameter.name, parameter.kind.code(), parameter.expression);
            let of = |name: &str| told[name].as_str().unwrap();
            assert_eq!(said, (of("url"), of("code"), of("type"), of("expression")));
            known.push(parameter.url);
        }
    }
    assert_eq!(files.len(), known.len(), "{known:?} {files:?}");
    for near in NEAR.iter().filter(|near| own(&near.url)) {
        let told = artefact(&format!("SearchParameter-{}-{}", near.of, near.name));
        assert_eq!(
            (&told["url"], &told["code"], &told["type"]),
            (&near.url.into(), &near.name.into(), &"special".into())
        );
    }
}
