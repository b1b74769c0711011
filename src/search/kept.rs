//! What is kept of a resource in memory, so that a search over many finds its candidates without reading them.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher as _},
    sync::LazyLock,
};

use jiff::Timestamp;
use serde_json::Value;

use super::{
    Condition, How, Search, Test, Wanted,
    compare::{elements, local, plain, reference_text, strings},
    parameter::parameters,
};
use crate::{
    definitions::{SearchKind, SearchParameter},
    fhir::tree,
    fhirpath::{self, Expression},
};

/// What is kept of a resource: a number for each code, value or id that a token or a reference is found by, and the texts of strings.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// In their order, each once.
    keys: Vec<u64>,
    texts: Vec<KeptText>,
}

/// A text of a string, by the parameter that finds it.
#[derive(Debug, Clone)]
struct KeptText {
    parameter: &'static str,
    exact: Box<str>,
    /// Without case and accents; made once, for a search looks at it each time.
    plain: Box<str>,
}

/// The parameters of a type, read once: their expressions are many.
fn readers(of: &str) -> &'static [(&'static SearchParameter, Expression)] {
    type Readers = Vec<(&'static SearchParameter, Expression)>;
    static READERS: LazyLock<HashMap<&'static str, Readers>> = LazyLock::new(|| {
        let of_kind = |kind: &'static str| {
            let looked_at = |parameter: &&SearchParameter| {
                matches!(parameter.kind, SearchKind::Token | SearchKind::Reference | SearchKind::String)
            };
            let read =
                |parameter: &'static SearchParameter| Some((parameter, fhirpath::parse(parameter.expression).ok()?));
            (kind, parameters(kind).filter(looked_at).filter_map(read).collect())
        };
        ["Organization", "HealthcareService", "Location", "Endpoint"].into_iter().map(of_kind).collect()
    });
    READERS.get(of).map(Vec::as_slice).unwrap_or_default()
}

/// By what a parameter and a code are looked up. Two may have the same: what is found is looked at.
fn key(parameter: &str, code: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (parameter, code).hash(&mut hasher);
    hasher.finish()
}

// === impl Kept ===

impl Kept {
    /// Of a resource of the directory's kinds; of any other nothing is kept. `base` is this server's FHIR base.
    pub fn of(resource: &Value, base: &str) -> Self {
        let mut kept = Self::default();
        for (parameter, expression) in readers(tree::resource_type(resource).unwrap_or_default()) {
            for node in elements(expression, resource, Timestamp::UNIX_EPOCH) {
                let Some(value) = node.value else { continue };
                let mut keep = |code: &str| kept.keys.push(key(parameter.name, code));
                match parameter.kind {
                    SearchKind::Token => codes(value).into_iter().for_each(keep),
                    SearchKind::Reference => {
                        reference_text(value).into_iter().for_each(&mut keep);
                        local(&node, base).into_iter().for_each(|(_, id)| keep(id));
                    }
                    _ => {
                        let text = |text: &str| KeptText {
                            parameter: parameter.name,
                            exact: text.into(),
                            plain: plain(text).into(),
                        };
                        kept.texts.extend(strings(value).into_iter().map(text));
                    }
                }
            }
        }
        kept.keys.sort_unstable();
        kept.keys.dedup();
        kept.keys.shrink_to_fit();
        kept
    }

    /// By what it is looked up.
    pub fn keys(&self) -> &[u64] {
        &self.keys
    }
}

/// Whatever a token may be found by.
fn codes(value: &Value) -> Vec<&str> {
    match value {
        Value::Bool(true) => vec!["true"],
        Value::Bool(false) => vec!["false"],
        Value::String(text) => vec![text],
        _ => {
            let own = [value.get("code"), value.get("value")];
            let codings = tree::items(value, "coding").iter().map(|coding| coding.get("code"));
            own.into_iter().chain(codings).flatten().filter_map(Value::as_str).collect()
        }
    }
}

/// What a search wants of what is kept, read once for all that it goes through.
#[derive(Debug)]
pub struct Sieve<'s> {
    asked: Vec<Asked<'s>>,
}

#[derive(Debug)]
enum Asked<'s> {
    /// One of these keys.
    Keys(Vec<u64>),
    /// A text of this parameter that says one of these.
    Texts(&'static str, Vec<(How, &'s str)>),
}

impl Search {
    /// What it wants of what is kept. A condition of which nothing is kept wants nothing.
    pub fn sieve(&self) -> Sieve<'_> {
        let mut asked = Vec::new();
        for condition in &self.conditions {
            asked.extend(condition.keys().map(Asked::Keys).or_else(|| condition.texts()));
        }
        Sieve { asked }
    }
}

impl Sieve<'_> {
    /// For each condition that things can be looked up by, the keys of which every match has one.
    pub fn lookups(&self) -> impl Iterator<Item = &[u64]> {
        self.asked.iter().filter_map(|asked| match asked {
            Asked::Keys(keys) => Some(keys.as_slice()),
            Asked::Texts(..) => None,
        })
    }

    /// Whether a resource of which this is kept may be a match. No is certain, yes is not.
    pub fn may_match(&self, kept: &Kept) -> bool {
        self.asked.iter().all(|asked| match asked {
            Asked::Keys(keys) => keys.iter().any(|key| kept.keys.binary_search(key).is_ok()),
            Asked::Texts(parameter, wanted) => {
                let mut texts = kept.texts.iter().filter(|text| text.parameter == *parameter);
                texts.any(|found| wanted.iter().any(|(how, text)| how.holds_of(text, &found.exact, &found.plain)))
            }
        })
    }
}

impl Condition {
    fn keys(&self) -> Option<Vec<u64>> {
        let Test::Any { values, not: false } = &self.test else { return None };
        let keyed = |wanted: &Wanted| match wanted {
            Wanted::Token(token) => Some(key(self.parameter.name, token.code.as_deref()?)),
            Wanted::Reference { id, .. } => Some(key(self.parameter.name, id)),
            Wanted::Url(url) => Some(key(self.parameter.name, url)),
            _ => None,
        };
        values.iter().map(keyed).collect()
    }

    fn texts(&self) -> Option<Asked<'_>> {
        let Test::Any { values, not: false } = &self.test else { return None };
        let wanted: Option<Vec<_>> = values.iter().map(Wanted::text).collect();
        Some(Asked::Texts(self.parameter.name, wanted?))
    }
}

impl Wanted {
    fn text(&self) -> Option<(How, &str)> {
        match self {
            Self::Text(how, text) => Some((*how, text)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{super::World, *};

    const BASE: &str = "https://onward.example/fhir";

    fn read(query: &str) -> Search {
        let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap());
        let pairs: Vec<_> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Search::read("HealthcareService", &pairs, BASE, false).unwrap()
    }

    fn service() -> Value {
        json!({"resourceType": "HealthcareService", "id": "garden", "active": true, "name": "Gärten für alle",
            "identifier": [{"system": "https://a.example", "value": "7"}],
            "type": [{"coding": [{"system": "http://snomed.info/sct", "code": "310134009"}]}],
            "providedBy": {"reference": "Organization/life-rooms"},
            "location": [{"reference": format!("{BASE}/Location/l1")}]})
    }

    #[test]
    fn what_is_kept_rules_out_what_does_not_match() {
        let kept = Kept::of(&service(), BASE);
        for (query, may) in [
            ("service-type=310134009", true),
            ("service-type=http://snomed.info/sct|310134009,other", true),
            ("service-type=310134008", false),
            ("organization=life-rooms", true),
            ("organization=Organization/life-rooms", true),
            ("organization=Organization/other", false),
            ("location=l1", true),
            ("active=true", true),
            ("active=false", false),
            ("identifier=https://a.example|7", true),
            ("identifier=https://a.example|8", false),
            ("_id=garden", true),
            ("_id=other", false),
            ("name=garten", true),
            ("name:contains=ALLE", true),
            ("name:exact=Gärten für alle", true),
            ("name=alle", false),
            ("name:exact=gärten für alle", false),
            ("active=true&service-type=310134009&name=other", false),
        ] {
            let search = read(query);
            assert_eq!(search.sieve().may_match(&kept), may, "{query}");
            let world = World { base: BASE, now: Timestamp::UNIX_EPOCH, owner: None, find: &|_, _| None };
            assert_eq!(search.matches(&service(), &world), may, "{query}");
        }
        assert_eq!(read("organization=life-rooms&active=true").sieve().lookups().count(), 2);
        assert_eq!(read("name=garten&active:not=true&location:missing=false").sieve().lookups().count(), 0);
    }

    fn code() -> impl Strategy<Value = String> {
        "[ab]{1,2}"
    }

    prop_compose! {
        fn any_service()(active: Option<bool>, name in proptest::option::of("[abÄ ]{1,4}"), types in proptest::collection::vec(code(), 0..3),
            of in proptest::option::of(code()), locations in proptest::collection::vec(code(), 0..3), absolute: bool) -> Value {
            let to = |kind: &str, id: &str| if absolute { format!("{BASE}/{kind}/{id}") } else { format!("{kind}/{id}") };
            let mut body = json!({"resourceType": "HealthcareService", "id": "s"});
            let mut say = |name: &str, value: Value| body.as_object_mut().unwrap().insert(name.to_owned(), value);
            active.map(|active| say("active", active.into()));
            name.map(|name| say("name", name.into()));
            of.map(|of| say("providedBy", json!({"reference": to("Organization", &of)})));
            say("location", locations.iter().map(|id| json!({"reference": to("Location", id)})).collect());
            say("type", types.iter().map(|code| json!({"coding": [{"system": "s", "code": code}]})).collect());
            body
        }
    }

    fn any_query() -> impl Strategy<Value = String> {
        let one = (
            prop_oneof![
                "service-type",
                "service-type:not",
                "organization",
                "location",
                "name",
                "name:contains",
                "name:exact",
                r"location\.name"
            ],
            proptest::collection::vec(
                prop_oneof![code(), code().prop_map(|code| format!("s|{code}")), Just("t|a".to_owned())],
                1..3,
            ),
        );
        let one = one.prop_map(|(name, values)| format!("{name}={}", values.join(",")));
        let flag = prop_oneof![
            Just("active=true".to_owned()),
            Just("active=false".to_owned()),
            Just("active:missing=true".to_owned())
        ];
        proptest::collection::vec(prop_oneof![4 => one, 1 => flag], 1..3).prop_map(|all| all.join("&"))
    }

    proptest! {
        #[test]
        fn no_match_is_ever_ruled_out(body in any_service(), query in any_query()) {
            let search = read(&query);
            let world = World { base: BASE, now: Timestamp::UNIX_EPOCH, owner: None, find: &|_, _| None };
            if search.matches(&body, &world) {
                let kept = Kept::of(&body, BASE);
                let sieve = search.sieve();
                prop_assert!(sieve.may_match(&kept), "{query} {body}");
                for keys in sieve.lookups() {
                    prop_assert!(keys.iter().any(|key| kept.keys().contains(key)), "{query} {body}");
                }
            }
        }
    }
}
