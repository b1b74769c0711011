//! The XML form: what is kept, what is refused, and that nothing is lost between the two forms unseen.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";

/// What is wrong with the order is as wrong as what is not XML.
fn read_bytes(xml: &[u8], limits: &Limits) -> Result<Value, Issue> {
    let (value, mut out_of_order) = super::read(xml, limits)?;
    if out_of_order.is_empty() { Ok(value) } else { Err(out_of_order.remove(0)) }
}

fn read(xml: &str) -> Result<Value, Issue> {
    read_bytes(xml.as_bytes(), &Limits::default())
}

/// The places of what is wrong by R4 with what was read.
fn wrong(xml: &str) -> Vec<String> {
    let now = "2026-11-22T12:00:00Z".parse().unwrap();
    let found = crate::profiles::structure::check(&read(xml).unwrap(), "", now);
    found.into_iter().map(|finding| finding.issue.expression.join(",")).collect()
}

fn patient(inside: &str) -> String {
    format!("{HEAD}<Patient xmlns=\"http://hl7.org/fhir\">{inside}</Patient>")
}

fn there_and_back(value: &Value) -> Value {
    let xml = write::write(value.clone()).unwrap();
    read_bytes(&xml, &Limits { bytes: usize::MAX, ..Limits::default() })
        .unwrap_or_else(|issue| panic!("{issue:?}: {}", String::from_utf8_lossy(&xml)))
}

#[tokio::test]
async fn a_request_goes_there_and_back() {
    let writer = XmlWriter::new(1);
    let request = json!({ "status": "active", "resourceType": "ServiceRequest", "intent": "order",
        "subject": { "reference": "#p" }, "contained": [{ "id": "p", "resourceType": "Patient", "active": true }],
        "note": [{ "text": "one\ntwo\r\n\tthree & <four> \"five\"  six" }] });
    let xml = writer.write(request.clone()).await.unwrap();
    let text = String::from_utf8(xml.clone()).unwrap();
    assert!(text.contains("one&#10;two&#13;&#10;&#9;three"), "{text}");
    assert_eq!(read_bytes(&xml, &Limits::default()).unwrap(), request);
    let issue = writer.write(json!({ "resourceType": "Task", "note": [] })).await;
    assert!(issue.is_ok() || issue.unwrap_err().expression == ["Task"]);
}

#[test]
fn every_kind_of_leaf_is_kept() {
    let value: Value = serde_json::from_str(
        r#"{"resourceType":"Observation","id":"a","status":"final","_status":{"id":"s","extension":[{"url":"http://x","valueBoolean":false}]},
        "extension":[{"url":"http://y","id":"e","valueDecimal":1.50},{"url":"http://z","extension":[{"url":"in","valueInteger":-7}]}],
        "valueQuantity":{"value":0.000000000000000000010,"unit":"mg"},
        "performer":[{"reference":"Practitioner/1"},{"id":"p","identifier":{"value":"2"}}],"code":{"text":"x"}}"#,
    )
    .unwrap();
    assert_eq!(
        serde_json::to_string(&there_and_back(&value)["valueQuantity"]).unwrap(),
        serde_json::to_string(&value["valueQuantity"]).unwrap()
    );
    assert_eq!(there_and_back(&value), value);
    let names = json!({ "resourceType": "Patient", "name": [{ "given": ["a", null, "c"], "_given": [null, { "id": "x" }, null] }] });
    assert_eq!(there_and_back(&names), names);
    let nested = json!({ "resourceType": "Bundle", "type": "collection", "entry": [
        { "resource": { "resourceType": "Patient", "id": "1", "contained": [{ "resourceType": "Organization", "id": "o" }] } },
        { "resource": { "resourceType": "Binary", "contentType": "text/plain", "data": "YQ==" } },
        { "fullUrl": "urn:uuid:x", "resource": { "resourceType": "Parameters", "parameter": [{ "name": "a", "valueString": "b" }] } }] });
    assert_eq!(there_and_back(&nested), nested);
}

#[test]
fn narrative_is_kept_word_for_word() {
    let div = "<div xmlns=\"http://www.w3.org/1999/xhtml\" lang='en'>\n <p>A <b>bold</b> <i>word</i>,<br/> caf\u{e9} &amp; &#160;<!-- c -->\n</p></div>";
    let value = json!({ "resourceType": "Patient", "text": { "status": "generated", "div": div } });
    assert_eq!(there_and_back(&value), value);
    let prefixed = patient(
        "<text><status value=\"generated\"/><h:div xmlns:h=\"http://www.w3.org/1999/xhtml\"><h:p>a <h:b>b</h:b></h:p></h:div></text>",
    );
    let read = read(&prefixed).unwrap();
    let div = read["text"]["div"].as_str().unwrap();
    assert!(
        div.starts_with("<div xmlns=\"http://www.w3.org/1999/xhtml\"") && div.ends_with("<p>a <b>b</b></p></div>"),
        "{div}"
    );
    assert_eq!(there_and_back(&read), read);
    for bad in [
        "<div>no namespace</div>",
        "plain",
        "<div xmlns=\"http://www.w3.org/1999/xhtml\"><p></div>",
        "<div xmlns=\"http://www.w3.org/1999/xhtml\">&nbsp;</div>",
        "<div xmlns=\"http://www.w3.org/1999/xhtml\"/></text><active value=\"true\"/><text>",
    ] {
        let value = json!({ "resourceType": "Patient", "text": { "status": "generated", "div": bad } });
        assert!(write::write(value).is_err(), "{bad}");
    }
}

#[test]
fn prologues_prefixes_and_comments_are_taken() {
    let plain = json!({ "resourceType": "Patient", "active": true });
    for xml in [
        "<Patient xmlns=\"http://hl7.org/fhir\"><active value=\"true\"/></Patient>".to_owned(),
        "<?xml version=\"1.0\"?><?xml-stylesheet href=\"a.xsl\"?><Patient xmlns=\"http://hl7.org/fhir\"><?x y?><active value=\"true\"/></Patient>".to_owned(),
        "\u{feff}<?xml version='1.0' encoding='utf-8' standalone='yes'?>\r\n<Patient xmlns='http://hl7.org/fhir'>\r\n<active value='true'/></Patient>\n<!-- end -->".to_owned(),
        "<f:Patient xmlns:f=\"http://hl7.org/fhir\"><!-- c --><f:active value=\"true\"></f:active></f:Patient>".to_owned(),
        "<Patient xmlns=\"http://hl7.org/fhir\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:schemaLocation=\"http://hl7.org/fhir p.xsd\"><active value=\"true\"/></Patient>".to_owned(),
    ] {
        assert_eq!(read(&xml).unwrap(), plain, "{xml}");
    }
}

#[test]
fn what_is_dangerous_or_lost_is_refused_with_place_and_path() {
    let bomb = "<!DOCTYPE p [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]>";
    for (xml, path) in [
        (format!("{HEAD}{bomb}<Patient xmlns=\"http://hl7.org/fhir\"/>"), "%resource"),
        (patient("<id value=\"&xxe;\"/>"), "Patient.id"),
        (patient("<id value=\"&#0;\"/>"), "Patient.id"),
        (patient("<id value=\"&#xB;\"/>"), "Patient.id"),
        (
            patient(
                "<text><status value=\"generated\"/><div xmlns=\"http://www.w3.org/1999/xhtml\">&nbsp;</div></text>",
            ),
            "Patient.text",
        ),
        (
            patient(
                "<text><status value=\"generated\"/><div xmlns=\"http://www.w3.org/1999/xhtml\">a<?php x?></div></text>",
            ),
            "Patient.text",
        ),
        (patient("<name><given value=\"a\"/><given value=\"b\"/></family></name>"), "Patient.name"),
        (patient("<name value=\"Ann\" value=\"Bob\"/>"), "Patient.name"),
        (patient("<active value=\"true\" kind=\"x\"/>"), "Patient.active"),
        (patient("<active value=\"true\">yes</active>"), "Patient.active"),
        (patient("<name value=\"Ann\"><family value=\"b\"/></name>"), "Patient.name[0]"),
        (patient("<gender value=\"male\"/><name><family value=\"b\"/></name>"), "Patient.name"),
        (
            patient("<name><family value=\"b\"/></name><gender value=\"male\"/><name><family value=\"b\"/></name>"),
            "Patient.name",
        ),
        (patient("<extension><url value=\"x\"/></extension>"), "Patient.extension[0].url"),
        (patient("<name><Patient/></name>"), "Patient.name"),
        (patient("<contained><Patient/><Patient/></contained>"), "Patient.contained"),
        (patient("<x xmlns=\"http://example.org\"/>"), "Patient"),
        (patient("<text><div>plain</div></text>"), "Patient.text"),
        ("<Patient><active value=\"true\"/></Patient>".into(), "%resource"),
        ("<Patent xmlns=\"http://hl7.org/fhir\"/>".into(), "%resource"),
        (format!("{}{}", patient(""), patient("")), "Patient"),
        ("<Patient xmlns=\"http://hl7.org/fhir\"><active value=\"true\"/>".into(), "Patient"),
        ("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><Patient xmlns=\"http://hl7.org/fhir\"/>".into(), "%resource"),
        (String::new(), "%resource"),
        ("{}".into(), "%resource"),
    ] {
        let issue = read(&xml).expect_err(&xml);
        assert_eq!((issue.expression[0].as_str(), issue.code), (path, IssueCode::Structure), "{xml}: {issue:?}");
        assert!(issue.at.is_some(), "{xml}");
    }
}

#[test]
fn what_r4_does_not_know_is_read_as_it_stands_and_found_by_its_rules() {
    for (xml, places) in [
        (patient("<identifier value=\"123\"/>"), vec!["Patient.identifier[0]"]),
        (patient("<active><value value=\"true\"/></active>"), vec!["Patient.active"]),
        (patient("<active value=\"perhaps\"/>"), vec!["Patient.active"]),
        (patient("<active/>"), vec!["Patient.active"]),
        (patient("<name/>"), vec!["Patient.name[0]"]),
        (patient("<favouriteColour value=\"blue\"/>"), vec!["Patient"]),
        (patient("<active value=\"true\"/><active value=\"true\"/>"), vec!["Patient.active"]),
        (patient("<multipleBirthInteger value=\"1.x\"/>"), vec!["Patient.multipleBirthInteger"]),
        (patient("<multipleBirthInteger value=\" 1\"/>"), vec!["Patient.multipleBirthInteger"]),
        (
            patient("<deceasedBoolean value=\"true\"/><deceasedDateTime value=\"2020\"/>"),
            vec!["Patient.deceasedDateTime"],
        ),
        (patient("<contained><x value=\"1\"/></contained>"), vec!["Patient.contained[0]"; 2]),
    ] {
        assert_eq!(wrong(&xml), places, "{xml}");
    }
    assert_eq!(read(&patient("<photo><size value=\"7\"/></photo>")).unwrap()["photo"][0]["size"], 7);
    let signed = "<Appointment xmlns=\"http://hl7.org/fhir\"><minutesDuration value=\"+7\"/></Appointment>";
    let integer = patient("<multipleBirthInteger value=\"+2\"/>");
    assert_eq!(read(&integer).unwrap()["multipleBirthInteger"], 2);
    assert_eq!(read(signed).unwrap()["minutesDuration"], 7, "R4's form of a positiveInt has a sign");
}

#[test]
fn what_fhirbolt_would_bend_is_not_written() {
    // said in JSON, it would be dropped on the way to XML
    let id = json!({ "resourceType": "Patient", "id": "a", "_id": { "extension": [{ "url": "http://x", "valueCode": "y" }] } });
    match write::write(id.clone()) {
        Ok(xml) => assert_eq!(read_bytes(&xml, &Limits::default()).unwrap(), id),
        Err(issue) => assert_eq!(issue.expression, ["Patient"]),
    }
    assert!(write::write(json!({ "resourceType": "Patient", "id": "\u{1}" })).is_err());
}

#[test]
fn size_depth_and_number_are_bounded() {
    let limits = Limits { bytes: 2000, depth: 5, values: 40, number_digits: 10 };
    let code = |xml: &str| read_bytes(xml.as_bytes(), &limits).unwrap_err().code;
    assert_eq!(code(&patient(&" ".repeat(2000))), IssueCode::TooLong);
    assert_eq!(code(&patient(&"<name>".repeat(10))), IssueCode::TooCostly);
    assert_eq!(code(&patient(&"<name id=\"1\"/>".repeat(30))), IssueCode::TooCostly);
    let deep = format!("<text><div xmlns=\"http://www.w3.org/1999/xhtml\">{}", "<p>".repeat(10));
    assert_eq!(code(&patient(&deep)), IssueCode::TooCostly);
    let many: String = (0..100_000).map(|n| format!(" xmlns:a{n}=\"x\"")).collect();
    let root = format!("<Patient xmlns=\"http://hl7.org/fhir\"{many}><active value=\"true\"/></Patient>");
    let begun = std::time::Instant::now();
    assert_eq!(read(&root).unwrap_err().code, IssueCode::TooCostly);
    assert!(begun.elapsed().as_secs() < 5);
    let wide = Limits { bytes: usize::MAX, ..Limits::default() };
    assert!(read_bytes(patient(&"<name>".repeat(1_000_000)).as_bytes(), &wide).is_err());
}

proptest! {
    #[test]
    fn any_text_is_kept_both_ways(text in "[^\u{0}-\u{8}\u{b}\u{c}\u{e}-\u{1f}\u{fffe}\u{ffff}]{1,40}") {
        let value = json!({ "resourceType": "Patient", "name": [{ "text": text }], "_active": { "extension": [{ "url": text, "valueString": text }] } });
        prop_assert_eq!(there_and_back(&value), value);
    }

    #[test]
    fn any_decimal_is_kept_both_ways(text in "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,15})?(e[+-][1-9][0-9]?)?") {
        let json = format!(r#"{{"resourceType":"Observation","valueQuantity":{{"value":{text}}}}}"#);
        let value: Value = serde_json::from_str(&json).unwrap();
        // an integer between the largest i64 and the largest u64 wraps round in fhirbolt: refused
        if text.parse::<u64>().is_ok_and(|integer| i64::try_from(integer).is_err()) {
            prop_assert!(write::write(value).is_err());
        } else {
            prop_assert_eq!(there_and_back(&value).to_string(), value.to_string());
        }
    }

    #[test]
    fn no_xml_crashes_it(inside in "(<|</|/>|>|name|active| value=\"a\"|xmlns=\"http://www.w3.org/1999/xhtml\"|<div |&amp;|&x;|<!--|-->|<\\?|<!\\[CDATA\\[|\\]\\]>| ){0,14}") {
        if let Err(issue) = read(&patient(&inside)) {
            prop_assert_eq!(issue.expression.len(), 1);
        }
    }

    #[test]
    fn one_changed_value_is_kept_or_refused_but_never_bent(place in 0usize..12, value in prop_oneof![
        Just(json!(null)), Just(json!([])), Just(json!({})), Just(json!("")), Just(json!(1.50)), Just(json!(true)), Just(json!([null])),
        Just(json!(["a"])), Just(json!({ "value": "a" })), Just(json!([{ "value": "a" }])), Just(json!([[]])), Just(json!({ "id": 1 }))]) {
        let mut resource = json!({ "resourceType": "Patient", "id": "a", "active": true, "name": [{ "family": "b", "given": ["c"] }],
            "text": { "status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>" },
            "extension": [{ "url": "http://x", "valueString": "y" }], "contained": [{ "resourceType": "Organization" }] });
        let pointers = ["/id", "/active", "/name", "/name/0/family", "/name/0/given", "/text/div", "/text", "/extension", "/extension/0/url",
            "/contained", "/contained/0/resourceType", "/name/0/given/0"];
        *resource.pointer_mut(pointers[place]).unwrap() = value;
        let expected = leaves::Leaves::of(&resource);
        if let Ok(Ok(xml)) = std::panic::catch_unwind(|| write::write(resource)) {
            let back = read_bytes(&xml, &Limits::default());
            if let Ok(back) = back {
                prop_assert!(leaves::Leaves::of(&back) == expected);
            }
        }
    }
}
