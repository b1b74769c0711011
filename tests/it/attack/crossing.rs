//! What is another's is as if it were not there: whatever is asked, of whatever is theirs, by everybody else, is answered as where there is
//! nothing, byte for byte but for ids and times. What is asked is made of the document of the interface, which is made of the routes.

mod hidden;
mod operations;
mod pages;
mod people;
mod references;
mod searches;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use hyper::Method;
use onward::demo::caller::{Answered, FHIR_JSON};
use regex::Regex;
use serde_json::{Value, json};

use super::{
    MARK, NOTHING, OWN, same,
    scene::{Ask, Scene},
    text, without_ids_and_times,
};
use crate::support::hub::Actor;

pub use searches::parameters;

const FORM: &str = "application/x-www-form-urlencoded";
/// What those who attack write in their twin's place. As long as [`OWN`].
const OWN_TWIN: &str = "OWNT-of-theirs";

/// That somebody referred a person before.
static OWN_REFERRAL: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("\\{\"severity\":\"information\",\"code\":\"duplicate\"[^}]*\\},?").unwrap());

/// A link that says again what was asked, for nobody but who asked: another one each time.
pub(super) static SEALED: LazyLock<Regex> = LazyLock::new(|| Regex::new("_page=[A-Za-z0-9_-]+").unwrap());

/// The same request about what is not there.
struct Twin {
    /// Ids that are theirs, and ids that are nobody's and stand beside them in any order.
    ids: Vec<(String, String)>,
}

impl Twin {
    fn of(scene: &Scene) -> Self {
        let ids = scene.ids();
        let other = |id: &String| {
            let (head, tail) = id.split_at(id.len() - 4);
            let tail: String = tail.chars().map(|c| if c == 'f' { '0' } else { (c as u8 + 1) as char }).collect();
            let other = format!("{head}{}", tail.replace(':', "a"));
            assert!(!ids.contains(&other), "{other} is theirs");
            other
        };
        Self { ids: ids.iter().map(|id| (id.clone(), other(id))).collect() }
    }

    fn changed(&self, text: &str) -> String {
        let text = text.replace(MARK, NOTHING).replace(OWN, OWN_TWIN);
        self.ids.iter().fold(text, |text, (id, other)| text.replace(id, other))
    }

    /// An answer as it is compared: what was asked for is the same word on both sides.
    fn told(&self, answer: &str) -> String {
        let text = answer.replace(NOTHING, MARK).replace(OWN_TWIN, OWN);
        let text = self.ids.iter().enumerate().fold(text, |text, (n, (id, other))| {
            text.replace(id, &format!("<theirs {n}>")).replace(other, &format!("<theirs {n}>"))
        });
        // that they referred the same person before, too, is said of what they sent themselves
        let none = ",\"outcome\":{\"resourceType\":\"OperationOutcome\",\"issue\":[]}";
        let text = SEALED.replace_all(&text, "_page=<sealed>");
        without_ids_and_times(&OWN_REFERRAL.replace_all(&text, "").replace(none, ""))
    }
}

/// All of an answer that says anything.
fn whole(answer: &Answered) -> String {
    let silent = ["date", "connection", "content-length", "x-request-id", "last-modified", "retry-after"];
    let mut headers: Vec<String> = answer
        .headers
        .iter()
        .filter(|(name, _)| !silent.contains(&name.as_str()))
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    headers.sort();
    format!("{}\n{}\n\n{}", answer.status, headers.join("\n"), text(&answer.body))
}

/// What of theirs stands in an answer and did not stand in what was asked.
fn leaked<'s>(asked: &str, told: &str, ids: &'s BTreeSet<String>) -> Option<&'s str> {
    let words = ids.iter().map(String::as_str).chain([MARK]);
    let mut words = words.filter(|word| told.contains(word) && !asked.contains(word));
    words.next()
}

/// Asks as somebody who may not, and once more about what is not there.
async fn is_as_if_not_there((twin, ids): (&Twin, &BTreeSet<String>), (who, actor): (&str, &Actor), ask: &Ask) -> u16 {
    let (told, of_nothing) = (ask.by(actor).await, ask.with(|text| twin.changed(text)).by(actor).await);
    let (told, of_nothing) = (whole(&told), whole(&of_nothing));
    let about = format!("{who}: {} {}", ask.method, ask.path);
    assert!(!told.starts_with('5'), "{about}: {told}");
    if let Some(word) = leaked(&ask.text(), &told, ids) {
        panic!("{about} tells {word}: {told}");
    }
    same(&twin.told(&told), &twin.told(&of_nothing), &about);
    told[..3].parse().unwrap()
}

/// How often each status came.
fn counted(statuses: impl Iterator<Item = u16>) -> BTreeMap<u16, usize> {
    let mut seen = BTreeMap::new();
    statuses.for_each(|status| *seen.entry(status).or_default() += 1);
    seen
}

pub fn encoded(text: &str) -> String {
    onward::fhir::reference::encode(text)
}

/// Several searches as one batch.
pub fn batch(searches: &[String]) -> Ask {
    let entries: Vec<Value> = searches.iter().map(|url| json!({"request": {"method": "GET", "url": url}})).collect();
    let bundle = json!({"resourceType": "Bundle", "type": "batch", "entry": entries});
    Ask::of(Method::POST, "/fhir").body(FHIR_JSON, bundle.to_string())
}
