//! The schema of route files says what their reader says: editors complete by it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use boon::{Compiler, SchemaIndex, Schemas};
use onward::{
    domain::working_days::WorkingTime,
    places::Places,
    routing::{Known, RouteSet},
};
use serde_json::Value;

const SCHEMA: &str = include_str!("../../profiles/routes.schema.json");

fn schema() -> (Schemas, SchemaIndex) {
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let id = schema["$id"].as_str().unwrap().to_owned();
    compiler.add_resource(&id, schema).unwrap();
    let index = compiler.compile(&id, &mut schemas).unwrap();
    (schemas, index)
}

/// What is wrong with a route file by the schema.
fn wrong(text: &str) -> Option<String> {
    let (schemas, index) = schema();
    let set: Value = toml::from_str(text).unwrap();
    schemas.validate(&set, index).err().map(|error| format!("{error:#}"))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn wrong_routes() -> BTreeMap<String, String> {
    let files = fs::read_dir(root().join("fixtures/wrong-routes")).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
    let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    files.map(|path| (name(&path), fs::read_to_string(&path).unwrap())).collect()
}

#[test]
fn every_route_set_is_valid_by_the_schema() {
    for file in ["fixtures/routes.toml", "fixtures/merseyside/routes.toml", "deploy/routes.example.toml"] {
        let text = fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(wrong(&text), None, "{file}");
    }
}

/// These are wrong by what they mean, of which a schema knows nothing.
const WRONG_BY_MEANING: [&str; 16] = [
    "04-name-twice",
    "10-system",
    "17-fhirpath",
    "27-test-fails",
    "28-takes-nothing",
    "29-shadowed",
    "30-shadowed-twin",
    "31-unreachable",
    "32-at-odds",
    "33-at-odds-terms",
    "34-at-odds-fhirpath",
    "35-gap",
    "37-coverage-too-wide",
    "38-empty",
    "39-escalates-to-itself",
    "40-name-of-tests",
];

#[test]
fn what_is_written_wrongly_is_invalid_by_the_schema() {
    let files = wrong_routes();
    assert!(files.len() > 30, "{}", files.len());
    for (name, text) in files.iter().filter(|(name, _)| *name != "01-not-toml") {
        let by_meaning = WRONG_BY_MEANING.contains(&name.as_str());
        assert_eq!(wrong(text).is_none(), by_meaning, "{name}: {:?}", wrong(text));
    }
}

/// The keys that the reader knows of each table, by the paths that its faults name: it tells them where it finds one that it does not
/// know.
fn known_by_the_reader() -> BTreeMap<String, BTreeSet<String>> {
    let text = "zz = 1\n[[value-set]]\nzz = 1\n[[area]]\nzz = 1\ncircle = { zz = 1 }\n[[route]]\nzz = 1\nwhen = { zz = 1 }\n\
                [triage]\nzz = 1\n[[needs]]\nzz = 1\n[[coverage]]\nzz = 1\n[[test]]\nzz = 1\nexpect = { to = \"a\", zz = 1 }\n";
    let (working_time, places) = (WorkingTime::default(), Places::default());
    let known = Known {
        inboxes: BTreeSet::from_iter("a".parse().ok()),
        services: BTreeMap::new(),
        systems: BTreeSet::new(),
        working_time: &working_time,
        places: &places,
        files: &|_| Err("there is none".to_owned()),
    };
    let faults = RouteSet::read(text, "routes.toml", known).unwrap_err();
    let of = |message: &str| {
        let keys = message.strip_prefix("found an unknown key; allowed: ")?;
        Some(keys.split(", ").map(str::to_owned).collect())
    };
    faults.iter().filter_map(|fault| Some((fault.key.clone(), of(&fault.message)?))).collect()
}

#[test]
fn the_schema_has_every_key_of_the_reader_and_no_other() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let places = [
        ("zz", ""),
        ("value-set[0].zz", "/$defs/value-set"),
        ("area[0].zz", "/$defs/named-area"),
        ("area[0].circle.zz", "/$defs/named-area/properties/circle"),
        ("route[0].zz", "/$defs/route"),
        ("route[0].when.zz", "/$defs/when"),
        ("triage.zz", "/properties/triage"),
        ("needs[0].zz", "/$defs/need"),
        ("coverage[0].zz", "/$defs/coverage"),
        ("test[0].zz", "/$defs/test"),
    ];
    let mut by_reader = known_by_the_reader();
    for (key, place) in places {
        let table = schema.pointer(place).unwrap_or_else(|| panic!("{place}"));
        let of_schema: BTreeSet<String> = table["properties"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(by_reader.remove(key), Some(of_schema), "{key}");
        assert_eq!(table["additionalProperties"], Value::Bool(false), "{place}");
        for (property, schema) in table["properties"].as_object().unwrap() {
            let described = |one: &Value| one["description"].is_string();
            let by_reference = schema["$ref"].as_str().and_then(resolved);
            assert!(
                described(schema) || by_reference.is_some_and(|one| described(&one)) || property == "expect",
                "{property}"
            );
        }
    }
    // what is expected is one of two
    let of_either = schema.pointer("/$defs/test/properties/expect/oneOf").unwrap().as_array().unwrap();
    let of_either = of_either.iter().flat_map(|one| one["properties"].as_object().unwrap().keys().cloned()).collect();
    assert_eq!(by_reader.remove("test[0].expect.zz"), Some(of_either));
    assert!(by_reader.is_empty(), "{by_reader:?}");
}

fn resolved(reference: &str) -> Option<Value> {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    schema.pointer(reference.strip_prefix('#')?).cloned()
}

#[test]
fn values_are_valid_by_the_schema_as_the_reader_takes_them() {
    let with = |when: &str| wrong(&format!("[[route]]\nname = \"r\"\nto = \"a\"\nwhen = {{ {when} }}\n")).is_none();
    for (when, valid) in [
        ("code = ['http://snomed.info/sct|1']", true),
        ("code = ['http://snomed.info/sct|20260101|1']", true),
        ("code = ['|1', '1', 'in:a set', 'a code with words']", true),
        ("code = [' 1']", false),
        ("code = ['1 ']", false),
        ("code = ['a b|1']", false),
        ("code = []", false),
        ("code = '1'", false),
        ("performer = ['https://x.example/HealthcareService/1', 'svc|life', 'RW4']", true),
        ("performer = ['a b']", false),
        ("requester-org = ['RW4', 'n82999']", true),
        ("requester-org = ['R']", false),
        ("patient-area = ['CH', 'l 1', 'L15', 'EC1A', 'lsoa:E01', 'in:town']", true),
        ("patient-area = ['L1 9ZZ']", false),
        ("patient-area = ['lsoa:L01']", false),
        ("patient-age = ['18..64', '..17', '65..', '40']", true),
        ("patient-age = ['18-64']", false),
        ("language = ['cy', 'en-GB']", true),
        ("language = ['en_GB']", false),
        ("urgency = ['stat']", true),
        ("urgency = ['high']", false),
        ("consent = ['absent', 'given', 'refused']", true),
        ("consent = ['no']", false),
        (
            "time = ['mon-fri 09:00-17:00', 'sat,sun', '17:00-09:00', 'working-days', 'working-days 09:00-12:00', 'Working-Hours']",
            true,
        ),
        ("time = ['always']", false),
        ("time = ['9:00-17:00']", false),
        ("fhirpath = ['code.exists()']", true),
        ("colour = ['red']", false),
    ] {
        assert_eq!(with(when), valid, "{when}");
    }
}
