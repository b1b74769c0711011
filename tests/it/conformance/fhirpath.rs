//! HL7's FHIRPath suite for R4, and R4's own rules and search parameters, which are expressions, too.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

use jiff::Timestamp;
use onward::{
    definitions::{self, Invariant},
    fhir::{Limits, gate, xml},
    fhirpath::{self, Collection, Context, Expression, Hooks, Item, Node},
};
use quick_xml::{Reader, events::Event};
use serde_json::{Value, json};

use crate::support::corpus::corpus;

/// What is not asked of us, and why.
const SET_ASIDE: [(&str, &str); 3] = [
    ("testConformsTo1", "conformsTo: who validates answers it, by a hook"),
    ("testConformsTo2", "conformsTo"),
    ("testConformsTo3", "conformsTo"),
];

/// No more than so many of a hundred are set aside.
const SET_ASIDE_OF_100: usize = 8;

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

/// One case of the suite.
#[derive(Debug, Default)]
struct Case {
    name: String,
    input: String,
    ordered: bool,
    /// Whether only something is to be there.
    exists: bool,
    expression: String,
    invalid: bool,
    outputs: Vec<(String, String)>,
}

fn cases(suite: &str) -> Vec<Case> {
    let mut reader = Reader::from_str(suite);
    let mut found = Vec::new();
    let mut case = Case::default();
    let (mut text, mut kind) = (String::new(), String::new());
    loop {
        let event = reader.read_event().unwrap();
        if let Event::Start(tag) | Event::Empty(tag) = &event {
            let attribute = |name: &str| {
                let value = tag.try_get_attribute(name).unwrap();
                value.map(|value| value.unescape_value().unwrap().into_owned()).unwrap_or_default()
            };
            text.clear();
            match tag.name().as_ref() {
                b"test" => {
                    let (name, input) = (attribute("name"), attribute("inputfile"));
                    let ordered = attribute("ordered") != "false";
                    let exists = attribute("predicate") == "true";
                    case = Case { name, input, ordered, exists, ..Case::default() };
                }
                b"expression" => case.invalid = !attribute("invalid").is_empty(),
                b"output" => kind = attribute("type"),
                _ => {}
            }
        }
        match event {
            Event::Text(part) => text.push_str(&part.decode().unwrap()),
            Event::CData(part) => text.push_str(&part.decode().unwrap()),
            Event::GeneralRef(part) => match part.resolve_char_ref().unwrap() {
                Some(c) => text.push(c),
                None => text.push_str(quick_xml::escape::resolve_xml_entity(&part.decode().unwrap()).unwrap()),
            },
            Event::End(tag) => match tag.name().as_ref() {
                b"expression" => case.expression = text.clone(),
                b"output" => case.outputs.push((kind.clone(), text.clone())),
                b"test" => found.push(std::mem::take(&mut case)),
                _ => {}
            },
            Event::Eof => return found,
            _ => {}
        }
    }
}

/// What differs, where something does.
fn differs(case: &Case, input: &Value) -> Option<String> {
    let on = Node::resource(input);
    let found = match fhirpath::parse(&case.expression) {
        Err(error) => Err(error.to_string()),
        Ok(expression) => match expression.check(on.of) {
            Err(error) => Err(error.to_string()),
            Ok(()) => {
                let found = expression.evaluate(on, &Context::new(input, now())).map_err(|error| error.to_string());
                found.map(|found| {
                    if case.exists {
                        vec![("Boolean".to_owned(), (!found.is_empty()).to_string())]
                    } else {
                        shown(&found)
                    }
                })
            }
        },
    };
    match (found, case.invalid) {
        (Err(_), true) => None,
        (Err(error), false) => Some(error),
        (Ok(found), true) => Some(format!("{found:?} where an error is due")),
        (Ok(mut found), false) => {
            let mut due = case.outputs.clone();
            if !case.ordered {
                found.sort();
                due.sort();
            }
            let same = found.len() == due.len() && found.iter().zip(&due).all(|(found, due)| is_same(found, due));
            (!same).then(|| format!("{found:?} instead of {due:?}"))
        }
    }
}

fn shown(found: &Collection<'_>) -> Vec<(String, String)> {
    let shown = |item: &Item<'_>| (item.type_name().1.to_owned(), item.to_string());
    found.iter().map(shown).collect()
}

fn is_same(found: &(String, String), due: &(String, String)) -> bool {
    let kind = due.0.is_empty() || due.0.eq_ignore_ascii_case(&found.0);
    let value = due.1.strip_prefix("@T").or_else(|| due.1.strip_prefix('@')).unwrap_or(&due.1);
    kind && found.1 == value
}

fn inputs(folder: &Path, cases: &[Case]) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::from([(String::new(), json!({}))]);
    for case in cases {
        if found.contains_key(&case.input) {
            continue;
        }
        let bytes = fs::read(folder.join(&case.input)).unwrap();
        let value = if case.input.ends_with(".xml") {
            // one of them has its elements in another order than R4
            xml::read(&bytes, &Limits::default()).unwrap_or_else(|error| panic!("{}: {error:?}", case.input)).0
        } else {
            gate::read(&bytes, &Limits::default()).unwrap()
        };
        found.insert(case.input.clone(), value);
    }
    found
}

#[tokio::test]
async fn hl7s_suite() {
    let Some(folder) = corpus("fhirpath") else { return };
    let cases = cases(&fs::read_to_string(folder.join("tests-fhir-r4.xml")).unwrap());
    let inputs = inputs(&folder, &cases);
    let (mut right, mut aside, mut wrong) = (0, 0, Vec::new());
    for case in &cases {
        if SET_ASIDE.iter().any(|(name, _)| *name == case.name) {
            aside += 1;
            continue;
        }
        match differs(case, &inputs[&case.input]) {
            None => right += 1,
            Some(why) => wrong.push(format!("{}: {} → {why}", case.name, case.expression)),
        }
    }
    println!("FHIRPath suite: {} cases, {right} right, {aside} set aside, {} wrong", cases.len(), wrong.len());
    assert!(cases.len() > 800, "the suite was read");
    assert!(aside * 100 <= cases.len() * SET_ASIDE_OF_100, "{aside} of {} set aside", cases.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Answers what only a validator knows.
struct Anything;

impl Hooks for Anything {
    fn html_checks(&self, _: &str) -> Option<bool> {
        Some(true)
    }

    fn member_of(&self, _: &Item<'_>, _: &str) -> Option<bool> {
        Some(true)
    }

    fn conforms_to(&self, _: Node<'_>, _: &str) -> Option<bool> {
        Some(true)
    }
}

#[test]
fn every_rule_of_r4_is_read_and_written_again() {
    let mut read = 0;
    for of in definitions::types() {
        let of_elements = of.elements.iter().flat_map(|element| element.invariants);
        for rule in of.invariants.iter().chain(of_elements) {
            let expression = fhirpath::parse(rule.expression).unwrap_or_else(|error| panic!("{}: {error}", rule.key));
            let again = fhirpath::parse(&expression.to_string());
            assert_eq!(again.as_ref(), Ok(&expression), "{}: {expression}", rule.key);
            read += 1;
        }
    }
    println!("R4: {read} rules read");
    assert!(read > 240);
}

#[test]
fn search_parameters_are_read() {
    let Some(folder) = corpus("official") else { return };
    let mut read = 0;
    for (file, resource) in resources(&folder) {
        let expression = resource.get("expression").and_then(Value::as_str);
        let Some(expression) = expression.filter(|_| resource["resourceType"] == "SearchParameter") else { continue };
        fhirpath::parse(expression).unwrap_or_else(|error| panic!("{file}: {error}"));
        read += 1;
    }
    println!("search parameters: {read} expressions read");
}

/// Every example in JSON that is said to be right.
fn resources(folder: &Path) -> impl Iterator<Item = (String, Value)> {
    let index: Vec<Value> = serde_json::from_slice(&fs::read(folder.join("index.json")).unwrap()).unwrap();
    index.into_iter().filter_map(move |entry| {
        let file = entry["file"].as_str().filter(|file| file.ends_with(".json"))?.to_owned();
        if entry["expect_errors"].as_u64() != Some(0) {
            return None;
        }
        let resource = gate::read(&fs::read(folder.join(&file)).unwrap(), &Limits::default()).unwrap();
        Some((file, resource))
    })
}

/// R4's rules over a resource.
#[derive(Default)]
struct Rules {
    read: HashMap<&'static str, Expression>,
    evaluated: usize,
    failed: BTreeMap<String, String>,
    broken: BTreeMap<String, String>,
}

impl Rules {
    fn new() -> Self {
        let elements = definitions::types().iter().flat_map(|of| of.elements).flat_map(|element| element.invariants);
        let rules = definitions::types().iter().flat_map(|of| of.invariants).chain(elements);
        let read = rules.map(|rule| (rule.expression, fhirpath::parse(rule.expression).unwrap())).collect();
        Self { read, ..Self::default() }
    }

    fn check(&mut self, rule: &Invariant, on: Node<'_>, context: &Context<'_>, file: &str) {
        self.evaluated += 1;
        match self.read[rule.expression].holds(on, context) {
            Ok(true) => {}
            Ok(false) if rule.is_error => {
                self.broken.entry(rule.key.to_owned()).or_insert_with(|| format!("{file}: {}", rule.expression));
            }
            Ok(false) => {}
            Err(error) => {
                self.failed
                    .entry(rule.key.to_owned())
                    .or_insert_with(|| format!("{file}: {error}: {}", rule.expression));
            }
        }
    }

    fn resource(&mut self, resource: &Value, within: Option<Node<'_>>, file: &str) {
        let on = Node::resource(resource);
        let context = Context { root: within.unwrap_or(on), hooks: &Anything, ..Context::new(resource, now()) };
        self.element(on, &[], &context, file);
    }

    fn element(&mut self, on: Node<'_>, rules: &[Invariant], context: &Context<'_>, file: &str) {
        let (Some(value), Some(of)) = (on.value, on.of) else { return };
        rules.iter().for_each(|rule| self.check(rule, on, context, file));
        let mut base = Some(of);
        while let Some(of) = base {
            of.invariants.iter().for_each(|rule| self.check(rule, on, context, file));
            base = of.base();
        }
        for (key, value) in value.as_object().into_iter().flatten() {
            let Some((_, element, is)) = of.child(key) else { continue };
            let items = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            for item in items.iter().filter(|item| !item.is_null()) {
                if item.get("resourceType").is_some() {
                    self.resource(item, (key == "contained").then_some(context.root), file);
                } else {
                    self.element(Node::element(item, is.of()), element.invariants, context, file);
                }
            }
        }
    }
}

#[test]
fn r4s_rules_hold_on_r4s_examples() {
    let Some(folder) = corpus("official") else { return };
    let mut rules = Rules::new();
    let mut files = 0;
    let start = tokio::time::Instant::now();
    for (file, resource) in resources(&folder) {
        rules.resource(&resource, None, &file);
        files += 1;
    }
    let (rules_read, took) = (rules.read.len(), start.elapsed());
    println!("R4: {rules_read} rules, {files} examples, {} evaluations in {took:?}", rules.evaluated);
    assert!(rules.failed.is_empty(), "in error: {:#?}", rules.failed);
    assert!(rules.broken.is_empty(), "broken: {:#?}", rules.broken);
}
