//! What comes from outside, broken at random: nothing may crash, take long, or be read otherwise than it is written. Inputs are made
//! from the fixtures and from R4's own rules, by cutting, doubling, splicing and strewing in what is special to their language.
//!
//! `ONWARD_FUZZ_EXECUTIONS` sets how many inputs each target gets, `ONWARD_FUZZ_SEED` repeats a run; `tests/long fuzz` is the long form.

use std::{
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    time::Duration,
};

use fastrand::Rng;
use jiff::Timestamp;
use onward::{
    definitions,
    fhir::{Limits, gate, xml},
    fhirpath::{self, Context, Expression, Node},
    profiles::{Asked, Validator, load},
};
use serde_json::Value;
use tokio::time::Instant;

/// So many inputs for each target, where nothing else is said.
const EXECUTIONS: u64 = 5_000;
/// No input takes longer, in whatever build.
const LONGEST: Duration = Duration::from_secs(5);
/// An expression takes so many steps at most here: fuzzing is about many inputs.
const STEPS: usize = 20_000;

const JSON: [&str; 20] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "-0",
    "1e999999",
    "0.1e-400",
    "\"_id\":",
    "\"extension\":[",
    "\"resourceType\":\"Bundle\"",
    "\"contained\":[",
    "\u{feff}",
    "123456789012345678901234567890.123456789",
];

const XML: [&str; 18] = [
    "<",
    "</",
    "/>",
    ">",
    "\"",
    "'",
    "&amp;",
    "&#0;",
    "&x;",
    "<!--",
    "-->",
    "<![CDATA[",
    "<!DOCTYPE a [<!ENTITY b \"c\">]>",
    "<?xml version=\"1.0\"?>",
    "<extension url=\"u\"><valueDecimal value=\"1.50\"/></extension>",
    "<contained><Patient><id value=\"p\"/></Patient></contained>",
    "<div xmlns=\"http://www.w3.org/1999/xhtml\">a</div>",
    " xmlns:f=\"http://hl7.org/fhir\"",
];

const PATH: [&str; 24] = [
    ".",
    "(",
    ")",
    "[",
    "]",
    "{}",
    "'",
    "`",
    "@2024-02-30",
    "@T25",
    " is ",
    " as ",
    " | ",
    " and ",
    " implies ",
    "$this",
    "%resource",
    ".descendants()",
    ".repeat($this)",
    ".where(",
    ".matches('(a*)*b')",
    " 'kg'",
    ".aggregate($total & $this, ",
    "99999999999999999999.9",
];

/// A run over one target.
struct Fuzz {
    seeds: Vec<Vec<u8>>,
    words: &'static [&'static str],
}

// === impl Fuzz ===

impl Fuzz {
    /// Hands inputs to a target until there were enough. The target says whether it could read one.
    fn run(&self, name: &str, mut target: impl FnMut(&[u8], &mut Rng) -> bool) {
        let number = |key: &str| env::var(key).ok().map(|value| value.parse::<u64>().expect("a number"));
        let executions = number("ONWARD_FUZZ_EXECUTIONS").unwrap_or(EXECUTIONS);
        let seed = number("ONWARD_FUZZ_SEED").unwrap_or_else(|| fastrand::u64(..));
        let (mut rng, mut read, mut longest) = (Rng::with_seed(seed), 0u64, Duration::ZERO);
        let start = Instant::now();
        for n in 0..executions {
            let input = self.input(&mut rng);
            let began = Instant::now();
            let Ok(was_read) = catch_unwind(AssertUnwindSafe(|| target(&input, &mut rng))) else {
                panic!("{name}: ONWARD_FUZZ_SEED={seed}, input {n}: {:?}", String::from_utf8_lossy(&input));
            };
            read += u64::from(was_read);
            let took = began.elapsed();
            if took > longest {
                longest = took;
                assert!(took < LONGEST, "{name}: {took:?} for {:?}", String::from_utf8_lossy(&input));
            }
        }
        let took = start.elapsed();
        println!(
            "fuzz {name}: {executions} inputs, {read} read, in {took:.1?}, longest {longest:.1?} (ONWARD_FUZZ_SEED={seed})"
        );
    }

    fn input(&self, rng: &mut Rng) -> Vec<u8> {
        let mut bytes = self.seed(rng).to_vec();
        for _ in 0..rng.usize(..8) {
            let at = rng.usize(..=bytes.len());
            let end = (at + rng.usize(..64)).min(bytes.len());
            match rng.u8(..7) {
                0 => bytes.insert(at, rng.u8(..)),
                1 => drop(bytes.drain(at..end)),
                2 => {
                    let part = bytes[at..end].to_vec();
                    for _ in 0..rng.usize(..4) {
                        bytes.splice(at..at, part.iter().copied());
                    }
                }
                3 => {
                    let other = self.seed(rng);
                    let from = rng.usize(..=other.len());
                    let to = (from + rng.usize(..256)).min(other.len());
                    bytes.splice(at..end, other[from..to].iter().copied());
                }
                4 => bytes[at..end].iter_mut().take(1).for_each(|byte| *byte ^= 1 << rng.u8(..8)),
                _ => drop(bytes.splice(at..at, self.words[rng.usize(..self.words.len())].bytes())),
            }
        }
        bytes
    }

    fn seed(&self, rng: &mut Rng) -> &[u8] {
        &self.seeds[rng.usize(..self.seeds.len())]
    }
}

fn fixtures() -> Vec<Vec<u8>> {
    let found = inputs("json");
    assert!(found.len() > 20);
    found
}

/// Every input of this form.
fn inputs(ending: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut found = Vec::new();
    for part in ["referrals", "bad"] {
        for entry in fs::read_dir(folder.join(part)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == ending) {
                found.push(fs::read(path).unwrap());
            }
        }
    }
    found
}

fn rules() -> Vec<&'static str> {
    let all = definitions::types();
    let elements = all.iter().flat_map(|of| of.elements).flat_map(|element| element.invariants);
    all.iter().flat_map(|of| of.invariants).chain(elements).map(|rule| rule.expression).collect()
}

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

#[test]
fn json_that_is_read_is_written_as_it_was_and_rules_can_be_asked_of_it() {
    let rules: Vec<Expression> = rules().iter().map(|rule| fhirpath::parse(rule).unwrap()).collect();
    let fuzz = Fuzz { seeds: fixtures(), words: &JSON };
    fuzz.run("json", |input, rng| {
        let Ok(value) = gate::read(input, &Limits::default()) else { return false };
        let written = serde_json::to_vec(&value).unwrap();
        assert_eq!(gate::read(&written, &Limits::default()).as_ref(), Ok(&value));
        let context = Context { steps: STEPS, ..Context::new(&value, now()) };
        for _ in 0..3 {
            let _ = rules[rng.usize(..rules.len())].holds(context.resource, &context);
        }
        true
    });
}

#[test]
fn expressions_that_are_read_are_written_as_the_same_and_end() {
    let trees: Vec<Value> = fixtures().iter().filter_map(|bytes| gate::read(bytes, &Limits::default()).ok()).collect();
    let fuzz = Fuzz { seeds: rules().iter().map(|rule| rule.as_bytes().to_vec()).collect(), words: &PATH };
    fuzz.run("fhirpath", |input, rng| {
        let Ok(expression) = fhirpath::parse(&String::from_utf8_lossy(input)) else { return false };
        let written = expression.to_string();
        // as it is written it may be longer than what may be read
        if written.len() < 8 * 1024 {
            assert_eq!(fhirpath::parse(&written).as_ref(), Ok(&expression), "{written}");
        }
        let tree = &trees[rng.usize(..trees.len())];
        let context = Context { steps: STEPS, ..Context::new(tree, now()) };
        let _ = expression.evaluate(context.resource, &context);
        let _ = expression.evaluate(Node { of: None, ..context.resource }, &context);
        let _ = expression.check(context.resource.of);
        true
    });
}

/// What a validator says, without places that depend on the order of keys.
fn verdict(validator: &Validator, value: &Value) -> Vec<(String, String)> {
    let asked = Asked { tells: true, ..Asked::at(now()) };
    let said = validator.check(value, "", &asked);
    let mut said: Vec<_> = said.into_iter().map(|f| (f.issue.expression.join(","), f.issue.diagnostics)).collect();
    said.sort();
    said
}

#[test]
fn whatever_is_read_gets_a_verdict_and_the_same_one_when_it_is_written_and_read_again() {
    let validator = load::validator(&[]).unwrap();
    let fuzz = Fuzz { seeds: fixtures(), words: &JSON };
    fuzz.run("validator", |input, _| {
        let Ok(value) = gate::read(input, &Limits::default()) else { return false };
        let said = verdict(&validator, &value);
        let again = gate::read(&serde_json::to_vec(&value).unwrap(), &Limits::default()).unwrap();
        assert_eq!(verdict(&validator, &again), said);
        true
    });
}

#[test]
fn xml_is_read_or_refused_with_its_place_and_what_was_read_gets_a_verdict() {
    let validator = load::validator(&[]).unwrap();
    let seeds = inputs("xml");
    assert!(seeds.len() >= 2);
    Fuzz { seeds, words: &XML }.run("xml", |input, _| match xml::read(input, &Limits::default()) {
        Ok((value, _)) => {
            let _ = verdict(&validator, &value);
            true
        }
        Err(issue) => {
            assert_eq!(issue.expression.len(), 1);
            false
        }
    });
}
