//! What was measured of each inbox, kept in memory and measured anew once an hour: nobody who looks waits for it, and nobody learns
//! more by looking more often. What may be told at all is for [`domain::measured`](crate::domain::measured).

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::entry::MEASURED;
use crate::{
    config::Registry,
    domain::{
        InboxId,
        clock::instant,
        measured::{Block, Day, Facts, Roughly, Waiting},
    },
    store::{Store, StoreError},
};

/// No more answers than this are looked at for what is told of an inbox; older blocks are left out.
const ANSWERS_MAX: usize = 100_000;
/// No more days than this are cut into blocks at a time; the others an hour later.
const DAYS_MAX: usize = 4_000;
/// The clock is asked this often whether an hour has begun.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After the store could not be read it is tried again so much later.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// UCUM, in which R4's Duration is written.
const UCUM: &str = "http://unitsofmeasure.org";

/// What was measured of an inbox when it was measured last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// What is told of its answers; none while they are fewer than the minimum.
    pub facts: Option<Facts>,
    /// What is told of those that wait for one.
    pub waiting: Waiting,
    /// When it was measured.
    pub as_of: Timestamp,
}

/// See the module's documentation.
pub struct Measured {
    store: Arc<dyn Store>,
    found: ArcSwap<BTreeMap<InboxId, Found>>,
    cut: Mutex<Cut>,
}

/// The blocks that are told of, by inbox, and the minimum they were cut by.
#[derive(Default)]
struct Cut {
    minimum: u32,
    blocks: HashMap<InboxId, Vec<Block>>,
}

// === impl Measured ===

impl Measured {
    /// Nothing is measured yet.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, found: ArcSwap::default(), cut: Mutex::default() }
    }

    /// What was measured of an inbox; none where nothing was yet.
    pub fn of(&self, inbox: &InboxId) -> Option<Found> {
        self.found.load().get(inbox).copied()
    }

    /// The same as the extension of a HealthcareService. It depends on the inbox alone: all services behind one bear the same.
    pub fn extension_for(&self, inbox: &InboxId) -> Option<Value> {
        self.of(inbox).map(|found| extension(inbox, &found))
    }

    /// Measures these inboxes anew.
    ///
    /// # Errors
    /// [`StoreError`], and what was measured before stands.
    pub async fn renew(&self, inboxes: Vec<InboxId>, minimum: u32) -> Result<(), StoreError> {
        let mut cut = self.cut.lock().await;
        if cut.minimum != minimum {
            *cut = Cut { minimum, ..Cut::default() };
        }
        let now = self.store.now();
        let over = Day::over(now);
        let waiting: HashMap<InboxId, u64> = self.store.waiting().await?.into_iter().collect();
        let mut found = BTreeMap::new();
        for inbox in inboxes {
            let blocks = cut.blocks.entry(inbox.clone()).or_default();
            let after = blocks.last().map(|block| block.last);
            let days = self.store.answer_days(&inbox, after, over, DAYS_MAX).await?;
            let further = Block::cut(blocks.last(), &days, minimum);
            blocks.extend(further);
            *blocks = Block::told(blocks).to_vec();
            let facts = self.facts(&inbox, within(blocks, ANSWERS_MAX), minimum).await?;
            let waiting = Waiting::of(waiting.get(&inbox).copied().unwrap_or_default(), minimum);
            found.insert(inbox, Found { facts, waiting, as_of: now });
        }
        self.found.store(Arc::new(found));
        Ok(())
    }

    async fn facts(&self, inbox: &InboxId, blocks: &[Block], minimum: u32) -> Result<Option<Facts>, StoreError> {
        let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else { return Ok(None) };
        let answers = self.store.first_answers(inbox, first.first, last.last, ANSWERS_MAX).await?;
        Ok(Facts::of(blocks, &answers, minimum))
    }

    /// Measures all inboxes of the registry at the start and whenever an hour begins, until `stop`.
    pub async fn run(self: Arc<Self>, registry: Arc<ArcSwap<Registry>>, stop: CancellationToken) {
        let mut measured = None;
        loop {
            let hour = self.store.now().as_second().div_euclid(3_600);
            let mut pause = LOOK_EVERY;
            if measured != Some(hour) {
                let current = registry.load_full();
                let inboxes = current.inboxes.keys().cloned().collect();
                match self.renew(inboxes, current.directory.minimum_count).await {
                    Ok(()) => measured = Some(hour),
                    Err(error) => {
                        tracing::warn!(%error, "inboxes could not be measured; what was measured before is told");
                        pause = TRY_AGAIN_AFTER;
                    }
                }
            }
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }
}

/// The newest of these blocks that hold no more answers than this together, and one at least.
fn within(blocks: &[Block], answers_max: usize) -> &[Block] {
    let mut answers = 0usize;
    let newest = blocks.iter().rev().take_while(|block| {
        answers = answers.saturating_add(block.answers as usize);
        answers <= answers_max
    });
    let count = newest.count().max(1).min(blocks.len());
    blocks.get(blocks.len() - count..).unwrap_or_default()
}

fn extension(inbox: &InboxId, found: &Found) -> Value {
    let mut parts = vec![part("inbox", "valueReference", json!({ "reference": format!("Endpoint/{inbox}") }))];
    match &found.facts {
        Some(facts) => parts.extend(told(facts)),
        None => parts.push(part("too-few", "valueBoolean", json!(true))),
    }
    let mut waiting = Map::new();
    match found.waiting {
        Waiting::FewerThan(most) => {
            waiting.insert("value".into(), json!(most));
            waiting.insert("comparator".into(), json!("<"));
        }
        Waiting::About(count) => {
            waiting.insert("value".into(), json!(count));
        }
    }
    waiting.insert("unit".into(), json!("referrals"));
    parts.push(part("waiting", "valueQuantity", Value::Object(waiting)));
    parts.push(part("as-of", "valueInstant", json!(instant(found.as_of))));
    json!({ "url": MEASURED, "extension": parts })
}

fn told(facts: &Facts) -> [Value; 4] {
    let (value, unit, code) = match facts.median {
        Roughly::Hours(hours) => (hours, "hours", "h"),
        Roughly::Days(days) => (days, "days", "d"),
    };
    let median = json!({ "value": value, "unit": unit, "system": UCUM, "code": code });
    let (start, end) = (facts.first.date().to_string(), facts.last.date().to_string());
    [
        part("period", "valuePeriod", json!({ "start": start, "end": end })),
        part("answers", "valuePositiveInt", json!(facts.answers)),
        part("median-time-to-first-answer", "valueDuration", median),
        part("acceptance-rate", "valueDecimal", json!(facts.accepted_percent)),
    ]
}

fn part(url: &str, name: &str, value: Value) -> Value {
    let mut part = Map::new();
    part.insert("url".into(), json!(url));
    part.insert(name.into(), value);
    Value::Object(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fhir::Severity,
        profiles::{Asked, Validator},
    };

    fn found(facts: Option<Facts>, waiting: Waiting) -> Found {
        Found { facts, waiting, as_of: "2026-03-05T10:00:00Z".parse().unwrap() }
    }

    fn parts(extension: &Value) -> Vec<&str> {
        extension["extension"].as_array().unwrap().iter().map(|part| part["url"].as_str().unwrap()).collect()
    }

    #[test]
    fn what_was_measured_is_told_as_an_extension() {
        let facts = Facts {
            first: Day(20_000),
            last: Day(20_013),
            answers: 15,
            median: Roughly::Days(3),
            accepted_percent: 80,
        };
        let told = extension(&"life-rooms".parse().unwrap(), &found(Some(facts), Waiting::About(20)));
        let expected = json!({ "url": MEASURED, "extension": [
            { "url": "inbox", "valueReference": { "reference": "Endpoint/life-rooms" } },
            { "url": "period", "valuePeriod": { "start": "2024-10-04", "end": "2024-10-17" } },
            { "url": "answers", "valuePositiveInt": 15 },
            { "url": "median-time-to-first-answer",
              "valueDuration": { "value": 3, "unit": "days", "system": UCUM, "code": "d" } },
            { "url": "acceptance-rate", "valueDecimal": 80 },
            { "url": "waiting", "valueQuantity": { "value": 20, "unit": "referrals" } },
            { "url": "as-of", "valueInstant": "2026-03-05T10:00:00.000Z" },
        ]});
        assert_eq!(told, expected);
    }

    #[test]
    fn of_too_few_it_is_told_that_they_are() {
        let told = extension(&"life-rooms".parse().unwrap(), &found(None, Waiting::FewerThan(10)));
        assert_eq!(parts(&told), ["inbox", "too-few", "waiting", "as-of"]);
        assert_eq!(told["extension"][2]["valueQuantity"]["comparator"], "<");
    }

    /// What is told is what its StructureDefinition says, and no more than that.
    #[test]
    fn what_is_told_is_as_its_definition_says() {
        let validator = Validator::new([]).unwrap();
        let faults = |extension: &Value| {
            let service = json!({ "resourceType": "HealthcareService", "extension": [extension] });
            let findings = validator.check(&service, "", &Asked::at(found(None, Waiting::FewerThan(5)).as_of));
            let errors = findings.into_iter().filter(|finding| finding.issue.severity <= Severity::Error);
            errors.map(|finding| finding.issue.expression).collect::<Vec<_>>()
        };
        let facts = Facts {
            first: Day(20_000),
            last: Day(20_013),
            answers: 15,
            median: Roughly::Hours(3),
            accepted_percent: 80,
        };
        let inbox = "life-rooms".parse().unwrap();
        let told = extension(&inbox, &found(Some(facts), Waiting::About(20)));
        assert_eq!(faults(&told), Vec::<Vec<String>>::new());
        let few = extension(&inbox, &found(None, Waiting::FewerThan(10)));
        assert_eq!(faults(&few), Vec::<Vec<String>>::new());
        for at in 0..few["extension"].as_array().unwrap().len() {
            let mut less = few.clone();
            less["extension"].as_array_mut().unwrap().remove(at);
            assert_ne!(faults(&less), Vec::<Vec<String>>::new(), "without {}", few["extension"][at]["url"]);
        }
        let mut more = told.clone();
        more["extension"].as_array_mut().unwrap().push(part("task", "valueString", json!("one")));
        assert_ne!(faults(&more), Vec::<Vec<String>>::new());
    }

    #[test]
    fn older_blocks_are_left_out_where_there_are_too_many_answers() {
        let block = |answers| Block { first: Day(0), last: Day(0), answers };
        let blocks = [block(50), block(30), block(20)];
        assert_eq!(within(&blocks, 100).len(), 3);
        assert_eq!(within(&blocks, 99).len(), 2);
        assert_eq!(within(&blocks, 10).len(), 1, "one at least");
        assert_eq!(within(&[], 10).len(), 0);
    }
}
