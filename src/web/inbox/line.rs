//! What a worklist knows of a referral: a line, made of its Task, its ServiceRequest and its person.

use std::iter;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{led_to::LED_TO_MAX, passing, words};
use crate::{
    domain::{InboxId, ProviderId, SystemId, TaskId, Timestamp, task::TaskState},
    fhir::{
        datetime::is_current,
        nhs_number::{self, NhsNumber},
        test_data, tree,
    },
    store::{StoredResource, TaskRecord},
};

/// System of the identifier by which a Task names the person who works it.
pub(in crate::web) const WORKER_SYSTEM: &str = "https://onward.example/fhir/NamingSystem/person";
/// So many names of a person are looked at.
const NAMES_MAX: usize = 20;
/// Words by which a Flag that is over is shown all the same.
const SAFEGUARDING: [&str; 2] = ["safeguarding", "at risk"];

/// Who works a referral.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::web) struct Worker {
    /// `local:NAME` or `oidc:SUBJECT`; none where another system named somebody.
    pub id: Option<String>,
    /// Her name.
    pub name: String,
}

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(in crate::web) struct Line {
    pub task: TaskId,
    pub provider: ProviderId,
    pub inbox: InboxId,
    pub version: u64,
    pub state: TaskState,
    pub came: Timestamp,
    pub changed: Timestamp,
    /// The person's name.
    pub person: String,
    /// What else she is or was called.
    pub names: OtherNames,
    /// The date of birth as FHIR has it.
    pub born: String,
    /// Ten digits.
    pub nhs_number: String,
    /// By what the referral is known where it was written.
    pub reference: String,
    /// What is asked for.
    pub what: String,
    /// 0 is the most urgent, 3 the usual.
    pub urgency: u8,
    /// What the priority is called where it is not the usual one.
    pub priority: Option<words::Tag>,
    /// Somebody has flagged a risk.
    pub flagged: bool,
    /// The record says that the person has died.
    pub died: bool,
    /// It says that it stands for nobody.
    pub is_test: bool,
    /// Its referrer took it back: it was sent in error.
    pub taken_back: bool,
    pub worker: Option<Worker>,
    /// Who sent it.
    pub system: SystemId,
    /// The requests that it led to.
    pub led_to: Vec<Uuid>,
    /// What was said of it that nobody here has looked at (`news.rs`).
    pub news: Vec<words::Tag>,
    /// What a search looks at: all names, NHS number, reference, folded.
    pub sought: String,
    /// The name as it is sorted.
    pub sorted: String,
}

impl Line {
    /// The line of a Task, with its body and the resources of its referral.
    pub(in crate::web) fn of(record: &TaskRecord, body: &Value, resources: &[Value]) -> Self {
        let request = resources.iter().find(|one| is_request(one, record)).unwrap_or(&Value::Null);
        let person = subject(request, resources);
        let name = person
            .map(name_of)
            .filter(|name| !name.is_empty())
            .or_else(|| tree::text(request, "subject.display").map(str::to_owned));
        let known = record.identifier.as_deref().and_then(|token| token.rsplit_once('|')).map(|(_, value)| value);
        let reference = known.unwrap_or_default().to_owned();
        let number = nhs_number_of(request, person);
        let name = name.unwrap_or_else(|| "Name not given".to_owned());
        let (urgency, priority) = words::priority(tree::text(request, "priority").unwrap_or_default());
        Self {
            task: record.id,
            provider: record.provider.clone(),
            inbox: record.inbox.clone(),
            version: record.version,
            state: record.state,
            came: record.created,
            changed: record.last_updated,
            born: person.and_then(|p| tree::text(p, "birthDate")).unwrap_or_default().to_owned(),
            what: asked_for(request),
            urgency,
            priority,
            flagged: resources.iter().flat_map(with_contained).any(is_safeguarding),
            died: person.is_some_and(has_died),
            is_test: test_data::is_test(request),
            taken_back: is_taken_back(request),
            worker: worker_of(body),
            system: record.system.clone(),
            led_to: passing::led_to(body).into_iter().map(|(request, _)| request).take(LED_TO_MAX).collect(),
            news: Vec::new(),
            names: person.map(OtherNames::of).unwrap_or_default(),
            sought: format!(
                "{} {number} {} {}",
                words::folded(&name),
                words::folded(&reference),
                person.map(names_sought).unwrap_or_default()
            ),
            sorted: family_first(person, &name),
            person: name,
            nhs_number: number,
            reference,
        }
    }

    /// Whether it is still to be worked on.
    pub(in crate::web) fn is_open(&self) -> bool {
        !self.state.status.is_terminal()
    }

    /// Whether whoever works it must hear what is said of it: until it has ended, and that it was taken back.
    pub(in crate::web) fn hears(&self) -> bool {
        self.is_open() || self.taken_back
    }
}

/// The same of a Task with the resources of its referral.
pub(in crate::web) fn was_taken_back(record: &TaskRecord, resources: &[(StoredResource, Value)]) -> bool {
    let mut requests = resources.iter().filter(|(stored, _)| stored.kind == "ServiceRequest");
    requests.any(|(stored, request)| stored.id == record.request && is_taken_back(request))
}

/// Whether its referrer took a referral back as sent in error, which is the status that a ServiceRequest has then. An end that its provider
/// marked as noted in error leaves the request as it was.
pub(in crate::web) fn is_taken_back(request: &Value) -> bool {
    tree::text(request, "status") == Some("entered-in-error")
}

fn is_request(resource: &Value, record: &TaskRecord) -> bool {
    tree::resource_type(resource) == Some("ServiceRequest")
        && tree::text(resource, "id").is_some_and(|id| id == record.request.to_string())
}

/// The ServiceRequest that a Task is about: the referrer's, or the order that was made for this Task alone.
pub(in crate::web) fn own_request(record: &TaskRecord, body: &Value) -> uuid::Uuid {
    crate::fhir::task::own_order(body).unwrap_or(record.request)
}

/// The person a referral is about, carried in the request or beside it.
pub(in crate::web) fn subject<'r>(request: &'r Value, resources: &'r [Value]) -> Option<&'r Value> {
    let named = tree::text(request, "subject.reference");
    if let Some(contained) = named.and_then(|reference| reference.strip_prefix('#')) {
        return tree::items(request, "contained").iter().find(|one| tree::text(one, "id") == Some(contained));
    }
    let is_it = |one: &&Value| {
        let reference = tree::text(one, "id").map(|id| format!("Patient/{id}"));
        tree::resource_type(one) == Some("Patient") && reference.as_deref() == named
    };
    resources.iter().find(is_it)
}

/// A resource, and those that it carries in itself: what is told of a person is told either way.
pub(in crate::web) fn with_contained(resource: &Value) -> impl Iterator<Item = &Value> {
    iter::once(resource).chain(tree::items(resource, "contained"))
}

/// The name by which somebody is called, as its parts stand in FHIR; a text where there is one.
pub(in crate::web) fn name_of(person: &Value) -> String {
    name_used(person).map(written).unwrap_or_default()
}

/// The HumanName by which somebody is called now: one that is over only where there is no other.
fn name_used(person: &Value) -> Option<&Value> {
    let names = tree::items(person, "name");
    let with_use = |wanted: &str| {
        let of = names.iter().filter(|name| tree::text(name, "use") == Some(wanted));
        of.min_by_key(|name| is_former(name))
    };
    let current = |name: &&Value| !is_former(name);
    let called = with_use("usual").filter(current).or_else(|| with_use("official").filter(current));
    called.or_else(|| names.iter().find(current)).or(names.first())
}

/// Whether a HumanName is one that somebody had before (R4 name-use `old`, `maiden`; Period).
fn is_former(name: &Value) -> bool {
    let today = words::iso_day(Timestamp::now());
    let is_over = |end: &str| !is_current(&json!({"end": end}), Some(&today));
    matches!(tree::text(name, "use"), Some("old" | "maiden")) || tree::text(name, "period.end").is_some_and(is_over)
}

/// A HumanName as it is written: its text, else its parts.
fn written(name: &Value) -> String {
    if let Some(text) = tree::text(name, "text") {
        return text.to_owned();
    }
    let given = tree::items(name, "given").iter().filter_map(Value::as_str);
    given.chain(tree::text(name, "family")).collect::<Vec<_>>().join(" ")
}

/// The names of somebody beside the one by which she is called: those she has as well, in another script or for another use, and those she
/// had before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::web) struct OtherNames {
    /// With what each is, where that is said.
    pub also: Vec<String>,
    /// With until when.
    pub former: Vec<String>,
}

// === impl OtherNames ===

impl OtherNames {
    /// Those of a Patient, [`NAMES_MAX`] at most.
    pub(in crate::web) fn of(person: &Value) -> Self {
        let used = name_used(person);
        let called = used.map(written).unwrap_or_default();
        let mut names = Self::default();
        for name in tree::items(person, "name").iter().take(NAMES_MAX) {
            let text = written(name);
            if text.is_empty() || text == called || used.is_some_and(|used| std::ptr::eq(used, name)) {
                continue;
            }
            let kind = match tree::text(name, "use") {
                Some("official") => "official name",
                Some("nickname") => "nickname",
                Some("temp") => "for the time being",
                Some("anonymous") => "a name that hides who they are",
                Some("maiden") => "before marriage",
                _ => "",
            };
            let until = tree::text(name, "period.end").map(|day| format!("until {}", words::date(day)));
            let about = [Some(kind.to_owned()), until].into_iter().flatten().filter(|text| !text.is_empty());
            let about = about.collect::<Vec<_>>().join(", ");
            let told = if about.is_empty() { text } else { format!("{text} ({about})") };
            let list = if is_former(name) { &mut names.former } else { &mut names.also };
            if !list.contains(&told) {
                list.push(told);
            }
        }
        names
    }

    /// In a line: `also known as …; formerly …`. Empty where there are none.
    pub(in crate::web) fn in_words(&self) -> String {
        let said = |words: &str, names: &[String]| (!names.is_empty()).then(|| format!("{words} {}", names.join(", ")));
        let parts = [said("also known as", &self.also), said("formerly", &self.former)];
        parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

/// What a search looks at of all names of somebody, each as it is written and by its parts.
fn names_sought(person: &Value) -> String {
    let of = |name: &Value| {
        let parts = ["given", "family", "prefix", "suffix"].map(|part| match name.get(part) {
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
            Some(Value::String(one)) => one.clone(),
            _ => String::new(),
        });
        words::folded(&format!("{} {}", tree::text(name, "text").unwrap_or_default(), parts.join(" ")))
    };
    tree::items(person, "name").iter().take(NAMES_MAX).map(of).collect::<Vec<_>>().join(" ")
}

fn family_first(person: Option<&Value>, name: &str) -> String {
    let family = person.and_then(name_used).and_then(|name| tree::text(name, "family"));
    words::folded(&format!("{} {name}", family.unwrap_or_default()))
}

/// The NHS number of a person, or of whoever the request names; empty where there is none.
pub(in crate::web) fn nhs_number_of(request: &Value, person: Option<&Value>) -> String {
    let of = |holder: &Value| {
        let found = tree::identifiers(holder).find(|(system, ..)| *system == Some(nhs_number::SYSTEM));
        found.and_then(|(_, value, _)| value.parse::<NhsNumber>().ok()).map(|number| number.as_str().to_owned())
    };
    person.and_then(of).or_else(|| request.get("subject").and_then(of)).unwrap_or_default()
}

/// Whether a record says that somebody has died (R4 Patient.deceased).
pub(in crate::web) fn has_died(person: &Value) -> bool {
    person.get("deceasedBoolean").and_then(Value::as_bool) == Some(true) || person.get("deceasedDateTime").is_some()
}

/// What is asked for, in the words of the request.
pub(in crate::web) fn asked_for(request: &Value) -> String {
    concept(request.get("code").unwrap_or(&Value::Null))
}

/// A concept in words: its text, else what a coding is called, else a code.
pub(in crate::web) fn concept(of: &Value) -> String {
    let shown = || tree::items(of, "coding").iter().find_map(|coding| tree::text(coding, "display"));
    let code = || tree::items(of, "coding").iter().find_map(|coding| tree::text(coding, "code"));
    tree::text(of, "text").or_else(shown).or_else(code).unwrap_or_default().to_owned()
}

/// Whether a resource flags a risk: an active Flag, or one that says so.
pub(in crate::web) fn is_safeguarding(resource: &Value) -> bool {
    tree::resource_type(resource) == Some("Flag") && tree::text(resource, "status") != Some("entered-in-error") && {
        let said = words::folded(&format!(
            "{} {}",
            concept(resource.get("code").unwrap_or(&Value::Null)),
            tree::items(resource, "category").iter().map(concept).collect::<Vec<_>>().join(" ")
        ));
        tree::text(resource, "status") == Some("active") || SAFEGUARDING.iter().any(|word| said.contains(word))
    }
}

/// Who works a Task, where its owner is somebody and not the provider itself.
pub(in crate::web) fn worker_of(task: &Value) -> Option<Worker> {
    let owner = task.get("owner")?;
    let kind = tree::text(owner, "type").unwrap_or_default();
    let reference = tree::text(owner, "reference").unwrap_or_default();
    if kind == "Organization" || reference.starts_with("Organization/") {
        return None;
    }
    let id =
        tree::identifiers(owner).find(|(system, ..)| *system == Some(WORKER_SYSTEM)).map(|(_, id, _)| id.to_owned());
    let name = tree::text(owner, "display").filter(|name| !name.trim().is_empty()).map(str::to_owned);
    // an id is no name that people would know
    let name = name.or_else(|| id.as_ref().map(|_| "Somebody without a name".to_owned()))?;
    Some(Worker { id, name })
}

#[cfg(test)]
pub(in crate::web) mod tests {
    use serde_json::json;

    use super::*;

    use crate::domain::ReferralId;

    /// A Task as a store gives it.
    pub(in crate::web) fn record() -> TaskRecord {
        TaskRecord {
            id: TaskId(Uuid::from_u128(7)),
            referral: ReferralId(Uuid::from_u128(1)),
            system: "rio".parse().unwrap(),
            request: Uuid::from_u128(2),
            origin: None,
            identifier: Some("https://rio.example/referral-id|RIO-2026-000103".into()),
            route_set: "1".into(),
            inbox: "link-workers".parse().unwrap(),
            provider: "link-workers".parse().unwrap(),
            part_of: None,
            terms: crate::domain::deadline::RouteTerms::default(),
            beside: None,
            state: TaskState::new(),
            seq: 2,
            version: 2,
            answered: 1,
            created: "2026-03-02T09:00:00Z".parse().unwrap(),
            last_updated: "2026-03-02T09:00:00Z".parse().unwrap(),
        }
    }

    fn request() -> Value {
        json!({
            "resourceType": "ServiceRequest", "id": Uuid::from_u128(2).to_string(), "priority": "urgent",
            "subject": {"reference": "Patient/p", "display": "D. R."},
            "code": {"coding": [{"code": "1", "display": "Referral to social prescribing service"}]},
        })
    }

    fn patient() -> Value {
        json!({
            "resourceType": "Patient", "id": "p", "birthDate": "1984-11-02",
            "identifier": [{"system": nhs_number::SYSTEM, "value": "9990742677"}],
            "name": [{"use": "old", "text": "Somebody else"}, {"use": "official", "family": "Rimmer", "given": ["Declan", "J"]}],
        })
    }

    #[test]
    fn a_line_says_who_what_and_how_urgent() {
        let line =
            Line::of(&record(), &json!({"owner": {"reference": "Organization/link-workers"}}), &[patient(), request()]);
        assert_eq!((line.person.as_str(), line.nhs_number.as_str()), ("Declan J Rimmer", "9990742677"));
        assert_eq!(
            (line.reference.as_str(), line.what.as_str()),
            ("RIO-2026-000103", "Referral to social prescribing service")
        );
        assert_eq!((line.urgency, line.worker.is_none(), line.flagged), (2, true, false));
        assert!(line.sought.contains("declan j rimmer 9990742677 rio 2026 000103"), "{}", line.sought);
        assert_eq!(line.sorted, "rimmer declan j rimmer");
    }

    #[test]
    fn whoever_has_several_names_is_found_by_each_and_called_by_one() {
        let mut person = patient();
        person["name"] = json!([
            {"use": "maiden", "family": "Nagy", "given": ["Ann"]},
            {"use": "official", "text": "آنا كوفاتش"},
            {"use": "usual", "family": "Old", "given": ["Ann"], "period": {"end": "2026-01-31"}},
            {"use": "usual", "family": "Kovács", "given": ["Anna"]},
            {"use": "nickname", "text": "Panni"},
        ]);
        let line = Line::of(&record(), &json!({}), &[person.clone(), request()]);
        assert_eq!((line.person.as_str(), line.sorted.as_str()), ("Anna Kovács", "kovacs anna kovacs"));
        assert_eq!(
            line.names.in_words(),
            "also known as آنا كوفاتش (official name), Panni (nickname); \
             formerly Ann Nagy (before marriage), Ann Old (until 31 January 2026)"
        );
        for sought in ["nagy", "old", "panni", "kovacs", "كوفاتش"] {
            assert!(line.sought.split(' ').any(|word| word == sought), "{sought}: {}", line.sought);
        }
        // one that will be over is one that she has
        person["name"] = json!([
            {"use": "official", "text": "Anna Official"},
            {"use": "usual", "text": "Anna Chosen", "period": {"end": "9999-12"}},
        ]);
        let line = Line::of(&record(), &json!({}), &[person.clone(), request()]);
        assert_eq!((line.person.as_str(), line.names.former.len()), ("Anna Chosen", 0));
        person["name"] = json!([{"use": "old", "text": "Ann Old"}]);
        assert_eq!(name_of(&person), "Ann Old", "one that is over where there is no other");
    }

    #[test]
    fn who_is_only_named_has_a_line_too() {
        let mut alone = request();
        let line = Line::of(&record(), &json!({}), std::slice::from_ref(&alone));
        assert_eq!((line.person.as_str(), line.nhs_number.as_str()), ("D. R.", ""));
        alone["contained"] = json!([patient()]);
        alone["subject"] = json!({"reference": "#p"});
        assert_eq!(Line::of(&record(), &json!({}), &[alone]).person, "Declan J Rimmer");
        assert_eq!(Line::of(&record(), &json!({}), &[]).person, "Name not given");
    }

    #[test]
    fn a_worker_is_somebody_and_not_the_provider() {
        let owner = |owner: Value| worker_of(&json!({"owner": owner}));
        assert_eq!(owner(json!({"reference": "Organization/link-workers", "display": "Link workers"})), None);
        let luke = json!({"type": "Practitioner", "identifier": {"system": WORKER_SYSTEM, "value": "local:luke"}, "display": "Luke"});
        assert_eq!(owner(luke), Some(Worker { id: Some("local:luke".into()), name: "Luke".into() }));
        let other = owner(json!({"type": "PractitionerRole", "display": "A link worker"})).unwrap();
        assert_eq!((other.id, other.name.as_str()), (None, "A link worker"));
    }

    #[test]
    fn a_flag_is_a_risk_until_it_is_over() {
        let flag = |status: &str, text: &str| json!({"resourceType": "Flag", "status": status, "code": {"text": text}});
        assert!(is_safeguarding(&flag("active", "Do not visit alone")));
        assert!(is_safeguarding(&flag("inactive", "Safeguarding adult")));
        assert!(!is_safeguarding(&flag("inactive", "Allergy")));
        assert!(!is_safeguarding(&flag("entered-in-error", "Safeguarding adult")));
    }
}
