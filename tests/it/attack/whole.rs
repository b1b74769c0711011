//! Resources with something in every element, made of R4's own tables: whatever can carry a mark carries one.

use onward::{
    definitions::{Element, Kind, Max, Primitive, Type, TypeRef, resource_named},
    fhir::Severity,
    profiles::{Asked, Validator},
};
use serde_json::{Map, Value, json};

use crate::support::fixtures;

/// Elements of elements of elements are made as deep as this; below only what must be there.
const DEPTH_MAX: usize = 4;
/// So often what is wrong with a resource is taken out of it.
const REPAIRS_MAX: usize = 100;

/// Of codes and systems that are nobody's.
pub const SYSTEM: &str = "https://mark.example/system";

/// What makes them.
pub struct Maker<'m> {
    /// What every text is.
    pub mark: &'m str,
    /// What a reference to one of these types leads to; `None`: to something that has only an identifier.
    pub refer: &'m dyn Fn(&[&str]) -> Option<String>,
}

/// A Bundle with a referral as it is `told`, which carries a resource of each of these types, all of it marked. `change` has the last word
/// over each of them.
pub fn carrying(mark: &str, kinds: &[&str], told: &Value, change: impl Fn(&mut Value)) -> Value {
    let url = |kind: &str| {
        let number = kinds.iter().position(|one| *one == kind)?;
        Some(format!("urn:uuid:00000000-0000-4000-8000-{number:012}"))
    };
    let refer = |targets: &[&str]| {
        let patient = if targets.is_empty() { Some("Patient") } else { None };
        let found = patient.or_else(|| targets.iter().copied().find(|kind| kinds.contains(kind)));
        found.and_then(url)
    };
    let maker = Maker { mark, refer: &refer };
    let mut entries: Vec<(String, Value)> =
        kinds.iter().map(|kind| (url(kind).unwrap(), maker.resource(kind))).collect();
    entries.iter_mut().for_each(|(_, one)| change(one));
    let mut request = maker.resource("ServiceRequest");
    for name in ["identifier", "status", "intent", "priority", "code", "requester", "authoredOn"] {
        request[name] = told[name].clone();
    }
    for name in ["doNotPerform", "basedOn", "replaces", "performer", "locationReference"] {
        request.as_object_mut().unwrap().remove(name);
    }
    request["subject"] = json!({"reference": url("Patient"), "display": mark});
    request["supportingInfo"] = entries.iter().map(|(url, _)| json!({"reference": url, "display": mark})).collect();
    entries.push(("urn:uuid:00000000-0000-4000-8000-999999999999".to_owned(), request));
    let entries: Vec<(&str, Value)> = entries.iter().map(|(url, one)| (url.as_str(), one.clone())).collect();
    fixtures::bundle(&entries)
}

impl Maker<'_> {
    /// A resource of this type that R4 has nothing against.
    pub fn resource(&self, kind: &str) -> Value {
        let of = resource_named(kind).unwrap();
        let mut made = self.object(of, 0);
        made["resourceType"] = kind.into();
        made["extension"] = json!([{"url": "https://mark.example/extension", "valueString": self.mark}]);
        self.repaired(made, kind)
    }

    /// Takes out what is wrong with it: some elements exclude each other.
    fn repaired(&self, mut made: Value, kind: &str) -> Value {
        let (validator, asked) = (Validator::default(), Asked::at(jiff::Timestamp::now()));
        for _ in 0..REPAIRS_MAX {
            let found = validator.check(&made, "", &asked);
            let wrong: Vec<_> = found.into_iter().filter(|f| f.issue.severity <= Severity::Error).collect();
            let Some(first) = wrong.first() else { return made };
            let place = first.issue.expression.first().cloned().unwrap_or_default();
            let below = place.split_once('.').map_or("", |(_, rest)| rest);
            if below.is_empty() || !take_out(&mut made, below) {
                made = self.without_one(made, &validator, &asked);
            }
        }
        panic!("{kind} cannot be made: {:?}", validator.check(&made, "", &asked));
    }

    /// What is wrong with the whole is wrong by one of its elements, or by two together.
    fn without_one(&self, made: Value, validator: &Validator, asked: &Asked<'_>) -> Value {
        let faults = |of: &Value| {
            validator.check(of, "", asked).into_iter().filter(|f| f.issue.severity <= Severity::Error).count()
        };
        let before = faults(&made);
        let keys: Vec<&String> =
            made.as_object().unwrap().keys().filter(|key| !["resourceType", "id"].contains(&key.as_str())).collect();
        let without = |some: &[&str]| {
            let mut less = made.clone();
            some.iter().for_each(|key| drop(less.as_object_mut().unwrap().remove(*key)));
            Some(less).filter(|less| faults(less) < before)
        };
        let singles = keys.iter().find_map(|one| without(&[one]));
        let pairs = || keys.iter().find_map(|one| keys.iter().find_map(|other| without(&[one, other])));
        let found = singles.or_else(pairs);
        found.unwrap_or_else(|| panic!("{:?}\n{made:#}", validator.check(&made, "", asked)))
    }

    fn object(&self, of: &Type, depth: usize) -> Value {
        let mut made = Map::new();
        for element in of.elements {
            let skipped = ["id", "extension", "modifierExtension", "contained", "meta", "implicitRules", "language"];
            let wanted = element.min > 0 || depth < DEPTH_MAX;
            if skipped.contains(&element.name) || !wanted || matches!(element.max, Max::None) {
                continue;
            }
            // what there is words for says more than what there is a number for
            let by_words =
                |name: &&TypeRef| ["string", "markdown", "CodeableConcept", "Reference"].contains(&name.code);
            let Some(chosen) = element.types.iter().find(by_words).or_else(|| element.types.first()) else { continue };
            let Some(value) = self.value(element, chosen, depth) else { continue };
            let name = if element.is_choice { choice(element.name, chosen.code) } else { element.name.to_owned() };
            made.insert(name, if matches!(element.max, Max::Many) { json!([value]) } else { value });
        }
        Value::Object(made)
    }

    fn value(&self, element: &Element, chosen: &TypeRef, depth: usize) -> Option<Value> {
        let of = chosen.of();
        let required = element.binding.filter(|binding| binding.is_required).and_then(|binding| binding.codes);
        let code = required.and_then(|codes| codes.codes().next());
        Some(match of.kind {
            Kind::Resource => return None,
            Kind::Primitive(primitive) => self.primitive(primitive, code.map(|(_, code)| code)),
            _ if of.name == "Extension" => return None,
            _ if of.name == "Reference" => match (self.refer)(chosen.targets) {
                Some(reference) => json!({"reference": reference, "display": self.mark}),
                None => json!({"identifier": {"system": SYSTEM, "value": self.mark}, "display": self.mark}),
            },
            _ if of.name == "Coding" => self.coding(code),
            _ if of.name == "CodeableConcept" => json!({"coding": [self.coding(code)], "text": self.mark}),
            _ if of.name == "Identifier" => json!({"system": SYSTEM, "value": self.mark, "type": {"text": self.mark}}),
            _ if of.name == "Narrative" => {
                let text = format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{}</div>", self.mark);
                json!({"status": "additional", "div": text})
            }
            _ => {
                let made = self.object(of, depth + 1);
                if made.as_object().is_some_and(Map::is_empty) {
                    return None;
                }
                made
            }
        })
    }

    fn coding(&self, code: Option<(&str, &str)>) -> Value {
        let (system, code) = code.unwrap_or((SYSTEM, self.mark));
        json!({"system": system, "code": code, "display": self.mark})
    }

    fn primitive(&self, primitive: Primitive, code: Option<&str>) -> Value {
        match primitive {
            Primitive::Base64Binary => {
                use base64::Engine as _;
                base64::engine::general_purpose::STANDARD.encode(self.mark).into()
            }
            Primitive::Boolean => true.into(),
            Primitive::Canonical | Primitive::Url => format!("https://mark.example/{}", self.mark).into(),
            Primitive::Code => code.unwrap_or(self.mark).into(),
            Primitive::Date => "2026-03-01".into(),
            Primitive::DateTime | Primitive::Instant => "2026-03-01T10:00:00Z".into(),
            Primitive::Decimal => json!(7.5),
            Primitive::Id | Primitive::Markdown | Primitive::String | Primitive::Xhtml => self.mark.into(),
            Primitive::Integer | Primitive::PositiveInt | Primitive::UnsignedInt => 7.into(),
            Primitive::Oid => "urn:oid:1.2.3".into(),
            Primitive::Time => "10:00:00".into(),
            Primitive::Uri => format!("urn:mark:{}", self.mark).into(),
            Primitive::Uuid => "urn:uuid:00000000-0000-4000-8000-000000000001".into(),
        }
    }
}

/// `value`, `CodeableConcept`: `valueCodeableConcept`.
fn choice(name: &str, code: &str) -> String {
    let (first, rest) = code.split_at(1);
    format!("{name}{}{rest}", first.to_ascii_uppercase())
}

/// Takes out what a FHIRPath such as `component[0].value` leads to; of a choice, whichever there is.
fn take_out(from: &mut Value, path: &str) -> bool {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let (name, index) = match first.split_once('[') {
        Some((name, index)) => (name, index.trim_end_matches(']').parse::<usize>().ok()),
        None => (first, None),
    };
    let Some(object) = from.as_object_mut() else { return false };
    let is_it = |key: &&String| {
        *key == name || key.strip_prefix(name).is_some_and(|kind| kind.starts_with(|c: char| c.is_ascii_uppercase()))
    };
    let key = if object.contains_key(name) { Some(name.to_owned()) } else { object.keys().find(is_it).cloned() };
    let Some(key) = key else { return false };
    if let Some(rest) = rest {
        let inner = object.get_mut(&key);
        let inner = match index {
            Some(index) => inner.and_then(|list| list.get_mut(index)),
            None => inner,
        };
        if inner.is_some_and(|inner| take_out(inner, rest)) {
            return true;
        }
    }
    object.remove(&key).is_some()
}
