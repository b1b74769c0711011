//! What the page of a referral says of it: made of its resources, pure. What has a place of its own here is told in words; all the rest of
//! what was sent is listed as it is, so that nothing is kept from whoever works it.

use serde_json::Value;
use uuid::Uuid;

use super::{
    line::{self, concept},
    words,
};
use crate::{
    domain::{TaskId, Timestamp},
    fhir::{
        consent::{self, Said},
        tree,
    },
    store::StoredResource,
};

mod labels;
mod reach;

pub(super) use labels::{first_low, spaced};
use reach::reach;

/// So many lines of what has no place of its own are shown of each resource.
const DETAILS_MAX: usize = 200;

/// A line of a list of facts; several texts are several paragraphs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::web) struct Fact {
    pub key: String,
    pub values: Vec<String>,
}

/// A document that came along.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::web) struct Document {
    pub title: String,
    pub about: String,
    /// Where it is opened; none where it is not here.
    pub url: Option<String>,
}

/// A resource as it was sent.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::web) struct Details {
    pub title: String,
    pub lines: Vec<(String, String)>,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(in crate::web) struct Story {
    pub person: String,
    /// The record says that she has died.
    pub died: bool,
    pub what: String,
    pub risks: Vec<Fact>,
    pub reach: Vec<Fact>,
    pub matters: Vec<Fact>,
    pub why: Vec<Fact>,
    pub consent: Vec<Fact>,
    pub referrer: Vec<Fact>,
    pub outcome: Vec<Fact>,
    pub documents: Vec<Document>,
    pub all: Vec<Details>,
}

impl Story {
    /// What is told of a Task with its body and what of its referral its provider may see.
    pub(in crate::web) fn of(
        task: TaskId,
        request: Uuid,
        body: &Value,
        resources: &[(StoredResource, Value)],
        now: Timestamp,
    ) -> Self {
        let bodies: Vec<&Value> = resources.iter().flat_map(|(_, body)| line::with_contained(body)).collect();
        let nothing = Value::Null;
        let found = resources.iter().find(|(s, _)| s.kind == "ServiceRequest" && s.id == request);
        let request = found.map_or(&nothing, |(_, body)| body);
        let owned: Vec<Value> = resources.iter().filter(|(s, _)| s.kind == "Patient").map(|(_, b)| b.clone()).collect();
        let person = line::subject(request, &owned).cloned();
        let of_kind =
            |kind: &str| bodies.iter().copied().filter(|b| tree::resource_type(b) == Some(kind)).collect::<Vec<_>>();
        let named = person.as_ref().map(line::name_of).filter(|name| !name.is_empty());
        let display = || tree::text(request, "subject.display").map(str::to_owned);
        Self {
            person: named.or_else(display).unwrap_or_else(|| "Name not given".to_owned()),
            died: person.as_ref().is_some_and(line::has_died),
            what: line::asked_for(request),
            risks: of_kind("Flag").into_iter().filter(|flag| line::is_safeguarding(flag)).map(risk).collect(),
            reach: reach(request, person.as_ref(), &of_kind("RelatedPerson"), now),
            matters: matters(&of_kind("QuestionnaireResponse"), &of_kind("Goal"), &of_kind("Observation")),
            why: why(request, &of_kind("Condition")),
            consent: of_kind("Consent").into_iter().map(|one| consent(one, now)).collect(),
            referrer: referrer(request, resources, now),
            outcome: outcome(body),
            documents: documents(task, resources),
            all: resources.iter().filter(|(s, _)| s.kind != "Communication").map(details).collect(),
        }
    }
}

fn fact(key: &str, values: Vec<String>) -> Option<Fact> {
    let values: Vec<String> = values.into_iter().filter(|text| !text.trim().is_empty()).collect();
    (!values.is_empty()).then(|| Fact { key: key.to_owned(), values })
}

fn risk(flag: &Value) -> Fact {
    let category = tree::items(flag, "category").iter().map(concept).find(|text| !text.is_empty());
    let since = tree::text(flag, "period.start").map(|day| format!("since {}", words::instant_or_date(day)));
    let is_over = tree::text(flag, "status") == Some("inactive");
    let over = is_over.then(|| "This flag is no longer active.".to_owned());
    let values = [Some(concept(flag.get("code").unwrap_or(&Value::Null))), since, over].into_iter().flatten();
    Fact {
        key: category.unwrap_or_else(|| "Risk".to_owned()),
        values: values.filter(|text| !text.is_empty()).collect(),
    }
}

fn in_words(value: &Value) -> String {
    match value {
        Value::Bool(true) => "Yes".to_owned(),
        Value::Bool(false) => "No".to_owned(),
        Value::String(text) => words::instant_or_date(text),
        Value::Number(number) => number.to_string(),
        Value::Object(_) => {
            let said = concept(value);
            let amount = || {
                let unit = tree::text(value, "unit").unwrap_or_default();
                value.get("value").map(|number| format!("{number} {unit}").trim().to_owned())
            };
            let shown = || {
                ["display", "text", "value", "start"].iter().find_map(|name| tree::text(value, name)).map(str::to_owned)
            };
            if said.is_empty() { amount().or_else(shown).unwrap_or_default() } else { said }
        }
        Value::Array(all) => all.iter().map(in_words).collect::<Vec<_>>().join(", "),
        Value::Null => String::new(),
    }
}

/// What somebody answered, wants to reach, and how she is.
fn matters(answers: &[&Value], goals: &[&Value], observations: &[&Value]) -> Vec<Fact> {
    let mut facts: Vec<Fact> = Vec::new();
    facts.extend(fact(
        "Goals",
        goals.iter().map(|goal| concept(goal.get("description").unwrap_or(&Value::Null))).collect(),
    ));
    for response in answers {
        questions(response, &mut facts);
    }
    for observation in observations {
        let name = concept(observation.get("code").unwrap_or(&Value::Null));
        let value = observation.as_object().and_then(|o| o.iter().find(|(key, _)| key.starts_with("value")));
        facts.extend(fact(&name, value.map(|(_, value)| in_words(value)).into_iter().collect()));
    }
    facts
}

/// The questions of a form with what was answered.
fn questions(holder: &Value, facts: &mut Vec<Fact>) {
    for item in tree::items(holder, "item") {
        let answers = tree::items(item, "answer").iter();
        let said = answers.filter_map(|answer| answer.as_object()?.iter().find(|(key, _)| key.starts_with("value")));
        let key = tree::text(item, "text").or_else(|| tree::text(item, "linkId")).unwrap_or_default();
        facts.extend(fact(key, said.map(|(_, value)| in_words(value)).collect()));
        questions(item, facts);
        tree::items(item, "answer").iter().for_each(|answer| questions(answer, facts));
    }
}

fn why(request: &Value, conditions: &[&Value]) -> Vec<Fact> {
    let concepts = |name: &str| tree::items(request, name).iter().map(concept).collect::<Vec<_>>();
    let referred =
        tree::items(request, "reasonReference").iter().filter_map(|r| tree::text(r, "display")).map(str::to_owned);
    let based = tree::items(request, "basedOn").iter().filter_map(|of| tree::text(of, "display")).map(str::to_owned);
    let conditions = conditions.iter().map(|condition| concept(condition.get("code").unwrap_or(&Value::Null)));
    let when = |name: &str| tree::text(request, name).map(words::instant_or_date);
    let period = [when("occurrencePeriod.start"), when("occurrencePeriod.end")];
    let period = period.into_iter().flatten().collect::<Vec<_>>().join(" to ");
    let facts = [
        fact("Reason", concepts("reasonCode").into_iter().chain(referred).collect()),
        fact("Conditions", conditions.collect()),
        fact("What is asked for", [line::asked_for(request)].into_iter().chain(concepts("orderDetail")).collect()),
        fact("When", vec![when("occurrenceDateTime").unwrap_or(period)]),
        fact(
            "What the person was told",
            tree::text(request, "patientInstruction").map(str::to_owned).into_iter().collect(),
        ),
        fact("Referred on", when("authoredOn").into_iter().collect()),
        fact("Follows from", based.collect()),
    ];
    facts.into_iter().flatten().collect()
}

fn consent(of: &Value, now: Timestamp) -> Fact {
    let today = now.strftime("%Y-%m-%d").to_string();
    let status = match consent::said(of, &today) {
        Said::Given => "Consent is given",
        Said::Refused => "Consent was refused",
        Said::OutOfForce => "Consent is not in force",
        Said::NotYet => "Consent is not given yet",
        Said::Unclear => "What was agreed is not clear",
    };
    let when = tree::text(of, "dateTime").map(|at| format!("On {}", words::instant_or_date(at)));
    let written = tree::text(of, "policyRule.text").map(|text| format!("As it was written: {text}"));
    let mut values = vec![status.to_owned()];
    values.extend(when.into_iter().chain(written));
    let kept = of.get("provision").map(kept_from_referrer).unwrap_or_default();
    if !kept.is_empty() {
        let what = kept.iter().flat_map(|one| tree::items(one, "code")).map(concept).filter(|text| !text.is_empty());
        let what = what.collect::<Vec<_>>().join(", ");
        values.push(match what.as_str() {
            "" => "The person does not want the referrer to be told what becomes of this. Onward keeps it back."
                .to_owned(),
            what => format!("The person does not want the referrer to be told: {what}. Onward keeps it back."),
        });
    }
    let key = tree::items(of, "category").iter().map(concept).find(|text| !text.is_empty() && text.contains(' '));
    Fact { key: key.unwrap_or_else(|| "Consent".to_owned()), values }
}

/// Of a provision and those within it, what keeps something from the referrer.
fn kept_from_referrer(provision: &Value) -> Vec<&Value> {
    let own = consent::keeps_from_referrer(provision).then_some(provision);
    own.into_iter().chain(tree::items(provision, "provision").iter().flat_map(kept_from_referrer)).collect()
}

/// Who referred: as the request names it, and what came along of it.
fn referrer(request: &Value, resources: &[(StoredResource, Value)], now: Timestamp) -> Vec<Fact> {
    let named = tree::text(request, "requester.reference").unwrap_or_default();
    let find = |reference: &str| {
        let contained = reference
            .strip_prefix('#')
            .and_then(|id| tree::items(request, "contained").iter().find(|one| tree::text(one, "id") == Some(id)));
        contained.or_else(|| {
            resources.iter().find(|(s, _)| format!("{}/{}", s.kind, s.id) == reference).map(|(_, body)| body)
        })
    };
    let role = find(named);
    let other = |name: &str| role.and_then(|role| tree::text(role, &format!("{name}.reference"))).and_then(find);
    let person = other("practitioner").or(role);
    let name = person.map(line::name_of).filter(|name| !name.is_empty());
    let organisation = other("organization").and_then(|one| tree::text(one, "name")).map(str::to_owned);
    let organisation =
        organisation.or_else(|| role.and_then(|role| tree::text(role, "organization.display")).map(str::to_owned));
    let phones = [role, person].into_iter().flatten().flat_map(|who| reach::telecoms_in_words(who, now));
    let display = || tree::text(request, "requester.display").map(str::to_owned);
    let job = role.map(|role| tree::items(role, "code").iter().map(concept).collect()).unwrap_or_default();
    let facts = [
        fact("Name", name.or_else(display).into_iter().collect()),
        fact("Role", job),
        fact("Organisation", organisation.into_iter().collect()),
        fact("Phone and email", phones.collect()),
    ];
    facts.into_iter().flatten().collect()
}

/// What the provider has said of it so far.
pub(super) fn outcome(task: &Value) -> Vec<Fact> {
    let mut facts: Vec<Fact> = Vec::new();
    let reason = task.get("statusReason").map(concept);
    facts.extend(fact("Reason", reason.into_iter().collect()));
    let planned = tree::text(task, "executionPeriod.start").map(words::instant_or_date);
    facts.extend(fact("Appointment", planned.into_iter().collect()));
    for output in tree::items(task, "output") {
        let key = concept(output.get("type").unwrap_or(&Value::Null));
        let value = output.as_object().and_then(|o| o.iter().find(|(name, _)| name.starts_with("value")));
        facts.extend(fact(&key, value.map(|(_, value)| in_words(value)).into_iter().collect()));
    }
    facts.extend(fact("Notes", tree::items(task, "note").iter().filter_map(note).collect()));
    facts
}

/// A note, with who wrote it when.
pub(super) fn note(note: &Value) -> Option<String> {
    let text = tree::text(note, "text")?;
    let when = tree::text(note, "time").map(words::instant_or_date);
    let signed: Vec<String> = tree::text(note, "authorString").map(str::to_owned).into_iter().chain(when).collect();
    Some(if signed.is_empty() { text.to_owned() } else { format!("{text}\n({})", signed.join(", ")) })
}

fn documents(task: TaskId, resources: &[(StoredResource, Value)]) -> Vec<Document> {
    let mut all = Vec::new();
    for (stored, body) in resources.iter().filter(|(stored, _)| stored.kind == "DocumentReference") {
        for (number, content) in tree::items(body, "content").iter().enumerate() {
            let attachment = content.get("attachment").unwrap_or(&Value::Null);
            let title = tree::text(attachment, "title").map(str::to_owned);
            let kind = concept(body.get("type").unwrap_or(&Value::Null));
            let elsewhere = tree::text(attachment, "url").is_some_and(|url| !url.starts_with("Binary/"));
            let when = tree::text(body, "date").map(words::instant_or_date).unwrap_or_default();
            let mut about = vec![kind.clone(), when];
            if elsewhere {
                about.push("It lies elsewhere: ask the referrer for it".to_owned());
            }
            about.retain(|text| !text.is_empty());
            all.push(Document {
                title: title.or((!kind.is_empty()).then_some(kind)).unwrap_or_else(|| "Document".to_owned()),
                about: about.join(", "),
                url: (!elsewhere).then(|| format!("/inbox/{task}/documents/{}/{number}", stored.id)),
            });
        }
    }
    all
}

/// A resource as lines of path and value; what is long or no text is left out.
fn details((stored, body): &(StoredResource, Value)) -> Details {
    let mut lines = Vec::new();
    flatten(body, String::new(), &mut lines);
    Details { title: labels::spaced(&stored.kind), lines }
}

fn flatten(value: &Value, path: String, lines: &mut Vec<(String, String)>) {
    if lines.len() >= DETAILS_MAX {
        return;
    }
    match value {
        Value::Object(object) => {
            let of = |key: &str| !matches!(key, "resourceType" | "id" | "meta" | "data" | "text" | "div");
            for (key, value) in object.iter().filter(|(key, value)| of(key) || (*key == "text" && value.is_string())) {
                match key.as_str() {
                    "extension" | "modifierExtension" => flatten_extensions(value, &path, lines),
                    _ => flatten(value, under(&path, &labels::spaced(key)), lines),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| flatten(item, path.clone(), lines)),
        Value::Null => {}
        simple => lines.push((path, in_words(simple))),
    }
}

/// Extensions, each under what it is called.
fn flatten_extensions(extensions: &Value, path: &str, lines: &mut Vec<(String, String)>) {
    for extension in extensions.as_array().into_iter().flatten() {
        let path = under(path, &labels::label(tree::text(extension, "url").unwrap_or_default()));
        for (key, value) in extension.as_object().into_iter().flatten().filter(|(key, _)| *key != "url" && *key != "id")
        {
            match key.as_str() {
                "extension" => flatten_extensions(value, &path, lines),
                _ => flatten(value, path.clone(), lines),
            }
        }
    }
}

fn under(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}, {}", labels::first_low(name)) }
}

#[cfg(test)]
mod tests;
