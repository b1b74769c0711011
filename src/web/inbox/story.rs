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
        let bodies: Vec<&Value> = resources.iter().map(|(_, body)| body).collect();
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
            what: line::asked_for(request),
            risks: of_kind("Flag").into_iter().filter(|flag| line::is_safeguarding(flag)).map(risk).collect(),
            reach: reach(request, person.as_ref(), &of_kind("RelatedPerson"), now),
            matters: matters(&of_kind("QuestionnaireResponse"), &of_kind("Goal"), &of_kind("Observation")),
            why: why(request, &of_kind("Condition")),
            consent: of_kind("Consent").into_iter().map(|one| consent(one, now)).collect(),
            referrer: referrer(request, resources),
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

fn reach(request: &Value, person: Option<&Value>, related: &[&Value], now: Timestamp) -> Vec<Fact> {
    let nothing = Value::Null;
    let of = person.unwrap_or(&nothing);
    let number = words::nhs_number(&line::nhs_number_of(request, person));
    let notes = tree::items(request, "note").iter().filter_map(|note| tree::text(note, "text"));
    let contacts = tree::items(of, "contact").iter().map(|contact| {
        let kind = tree::items(contact, "relationship").iter().map(concept).find(|text| !text.is_empty());
        let name =
            contact.get("name").map(|name| line::name_of(&serde_json::json!({"name": [name]}))).unwrap_or_default();
        joined([kind.unwrap_or_default(), name, telecoms(contact).join(", ")])
    });
    let relatives = related.iter().map(|relative| {
        let kind = tree::items(relative, "relationship").iter().map(concept).find(|text| !text.is_empty());
        joined([kind.unwrap_or_default(), line::name_of(relative), telecoms(relative).join(", ")])
    });
    let born = tree::text(of, "birthDate").map(|day| match age(day, now) {
        Some(age) => format!("{} ({age} years old)", words::date(day)),
        None => words::date(day),
    });
    let gp =
        tree::items(of, "generalPractitioner").iter().filter_map(|gp| tree::text(gp, "display")).map(str::to_owned);
    let died = of.get("deceasedBoolean").and_then(Value::as_bool) == Some(true) || of.get("deceasedDateTime").is_some();
    let facts = [
        fact("Has died", if died { vec!["The record says that this person has died.".to_owned()] } else { vec![] }),
        fact("Interpreter", interpreter(of)),
        fact("What the referrer notes", notes.map(str::to_owned).collect()),
        fact("Phone and email", telecoms(of)),
        fact("Language", languages(of)),
        fact("Accessibility and contact", needs(of)),
        fact(
            "Address",
            tree::items(of, "address").iter().filter(|a| tree::text(a, "use") != Some("old")).map(address).collect(),
        ),
        fact("Date of birth", born.into_iter().collect()),
        fact("NHS number", vec![number]),
        fact("Gender", tree::text(of, "gender").map(str::to_owned).into_iter().collect()),
        fact("Contacts", contacts.chain(relatives).collect()),
        fact("GP practice", gp.collect()),
    ];
    facts.into_iter().flatten().collect()
}

fn joined<const N: usize>(parts: [String; N]) -> String {
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
}

/// Telephone numbers and addresses, the preferred first, with what they are for.
fn telecoms(of: &Value) -> Vec<String> {
    let mut all: Vec<&Value> =
        tree::items(of, "telecom").iter().filter(|t| tree::text(t, "use") != Some("old")).collect();
    all.sort_by_key(|telecom| telecom.get("rank").and_then(Value::as_u64).unwrap_or(u64::MAX));
    let shown = |telecom: &&Value| {
        let value = tree::text(telecom, "value")?;
        let kind = [tree::text(telecom, "use"), tree::text(telecom, "system")]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" ");
        Some(if kind.is_empty() { value.to_owned() } else { format!("{value} ({kind})") })
    };
    all.iter().filter_map(shown).collect()
}

fn address(of: &Value) -> String {
    if let Some(text) = tree::text(of, "text") {
        return text.to_owned();
    }
    let lines = tree::items(of, "line").iter().filter_map(Value::as_str);
    let more = ["city", "district", "postalCode"].into_iter().filter_map(|name| tree::text(of, name));
    lines.chain(more).collect::<Vec<_>>().join(", ")
}

fn languages(of: &Value) -> Vec<String> {
    let said = tree::items(of, "communication").iter().map(|one| {
        let name = concept(one.get("language").unwrap_or(&Value::Null));
        let preferred = one.get("preferred").and_then(Value::as_bool) == Some(true);
        if preferred { format!("{name} (preferred)") } else { name }
    });
    said.collect()
}

/// Whether an interpreter is needed (R4's extension patient-interpreterRequired, or UK Core's of NHS communication). What is no plain
/// no is told: one place may say no and another yes, and some write which interpreter.
fn interpreter(of: &Value) -> Vec<String> {
    let all = extensions(of).into_iter().filter(|(name, _)| name.to_lowercase().contains("interpreterrequired"));
    let (no, needed): (Vec<String>, Vec<String>) =
        all.map(|(_, value)| value).partition(|value| ["no", "false"].contains(&value.trim().to_lowercase().as_str()));
    if needed.is_empty() {
        return no.first().map(|_| "No interpreter is needed".to_owned()).into_iter().collect();
    }
    let told = needed.iter().map(|value| match value.trim().to_lowercase().as_str() {
        "yes" | "true" | "" => "An interpreter is needed".to_owned(),
        _ => format!("An interpreter is asked for: {value}"),
    });
    told.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

/// What else extensions say of how somebody is met; each by its own name.
fn needs(of: &Value) -> Vec<String> {
    let about = |name: &str| {
        let name = name.to_lowercase();
        ["contact", "communication", "adjust", "access", "disab", "impair", "pronoun"]
            .iter()
            .any(|word| name.contains(word))
            && !name.contains("interpreterrequired")
    };
    extensions(of)
        .into_iter()
        .filter(|(name, _)| about(name))
        .map(|(name, value)| format!("{}: {value}", spaced(&name)))
        .collect()
}

/// The extensions of a resource, those within extensions too: the last part of the URL, and the value in words.
fn extensions(of: &Value) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for extension in tree::items(of, "extension") {
        let url = tree::text(extension, "url").unwrap_or_default();
        let name = url.rsplit('/').next().unwrap_or_default().trim_start_matches("Extension-UKCore-").to_owned();
        if let Some(value) = extension.as_object().and_then(|o| o.iter().find(|(key, _)| key.starts_with("value"))) {
            all.push((name.clone(), in_words(value.1)));
        }
        all.extend(extensions(extension).into_iter().map(|(inner, value)| (format!("{name} {inner}"), value)));
    }
    all
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

fn age(born: &str, now: Timestamp) -> Option<i16> {
    let born: jiff::civil::Date = born.parse().ok()?;
    let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    let had = (today.month(), today.day()) >= (born.month(), born.day());
    let years = today.year().checked_sub(born.year())? - i16::from(!had);
    (0..130).contains(&years).then_some(years)
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
        fact("Comes of", based.collect()),
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
fn referrer(request: &Value, resources: &[(StoredResource, Value)]) -> Vec<Fact> {
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
    let phones = [role, person].into_iter().flatten().flat_map(telecoms);
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
fn outcome(task: &Value) -> Vec<Fact> {
    let mut facts: Vec<Fact> = Vec::new();
    let reason = task.get("statusReason").map(concept);
    facts.extend(fact("Reason", reason.into_iter().collect()));
    let planned = tree::text(task, "executionPeriod.start").map(words::instant_or_date);
    facts.extend(fact("First appointment", planned.into_iter().collect()));
    for output in tree::items(task, "output") {
        let key = concept(output.get("type").unwrap_or(&Value::Null));
        let value = output.as_object().and_then(|o| o.iter().find(|(name, _)| name.starts_with("value")));
        facts.extend(fact(&key, value.map(|(_, value)| in_words(value)).into_iter().collect()));
    }
    let notes = tree::items(task, "note").iter().filter_map(|note| tree::text(note, "text")).map(str::to_owned);
    facts.extend(fact("Notes", notes.collect()));
    facts
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
    Details { title: spaced(&stored.kind), lines }
}

fn flatten(value: &Value, path: String, lines: &mut Vec<(String, String)>) {
    if lines.len() >= DETAILS_MAX {
        return;
    }
    match value {
        Value::Object(object) => {
            let of = |key: &str| !matches!(key, "resourceType" | "id" | "meta" | "data" | "text" | "div");
            for (key, value) in object.iter().filter(|(key, value)| of(key) || (*key == "text" && value.is_string())) {
                let path =
                    if path.is_empty() { spaced(key) } else { format!("{path}, {}", spaced(key).to_lowercase()) };
                flatten(value, path, lines);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| flatten(item, path.clone(), lines)),
        Value::Null => {}
        simple => lines.push((path, in_words(simple))),
    }
}

/// A name of FHIR as words: `birthDate` is “Birth date”.
fn spaced(name: &str) -> String {
    let mut out = String::new();
    for (n, c) in name.chars().enumerate() {
        if n > 0 && c.is_uppercase() && !out.ends_with(' ') {
            out.push(' ');
        }
        if n == 0 { out.extend(c.to_uppercase()) } else { out.extend(c.to_lowercase()) }
    }
    out.replace('-', " ")
}

#[cfg(test)]
mod tests;
