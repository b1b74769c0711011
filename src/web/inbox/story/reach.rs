//! Who somebody is and how she is reached, and what is known of which way is safe: a call that somebody else answers may do harm. What nobody
//! has said is told as not said. Pure.

use serde_json::Value;

use super::{Fact, fact, labels};
use crate::{
    domain::Timestamp,
    fhir::{datetime::is_current, tree},
    web::inbox::{
        line::{self, concept},
        words,
    },
};

/// UK Core's extension of a Patient or RelatedPerson: which way, when, and in which format she wants to be contacted.
const PREFERENCE: &str = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-ContactPreference";
/// The system of its codes for the way.
const METHODS: &str = "https://fhir.hl7.org.uk/CodeSystem/UKCore-PreferredContactMethod";

/// A way to somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Ring,
    Text,
    Email,
    Post,
    Other,
}

/// How somebody wants to be contacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    /// One of the ways.
    By(Way),
    Visit,
    /// Through somebody who speaks for her.
    ByProxy,
    /// Another way, which has words alone.
    Other,
    /// Not by telephone.
    NotRung,
}

/// What is known of how somebody wants to be contacted.
#[derive(Debug, Default)]
struct Wishes {
    /// The methods, with their words.
    methods: Vec<(Method, String)>,
    /// When, and in which format.
    more: Vec<String>,
}

// === impl Way ===

impl Way {
    fn of(telecom: &Value) -> Self {
        match tree::text(telecom, "system") {
            Some("phone") | None => Self::Ring,
            Some("sms") => Self::Text,
            Some("email") => Self::Email,
            Some(_) => Self::Other,
        }
    }

    /// What must not be done before it is asked for.
    const fn verb(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Text => "send a text",
            Self::Email => "write an email",
            Self::Post => "write or visit",
            Self::Other => "use it",
        }
    }
}

// === impl Wishes ===

impl Wishes {
    fn of(person: &Value) -> Self {
        let mut wishes = Self::default();
        let all = tree::items(person, "extension").iter().filter(|one| tree::text(one, "url") == Some(PREFERENCE));
        for part in all.flat_map(|one| tree::items(one, "extension")) {
            let value = part.as_object().and_then(|o| o.iter().find(|(key, _)| key.starts_with("value")));
            let Some((_, value)) = value else { continue };
            let url = tree::text(part, "url").unwrap_or_default();
            if url == "PreferredContactMethod" {
                let (method, words) = method(value);
                wishes.methods.push((method, words));
                continue;
            }
            let said = super::in_words(value);
            // times may be a Timing, which is listed with all that was sent
            let said = if said.is_empty() { "See “Everything that was sent”".to_owned() } else { said };
            wishes.more.push(format!("{}: {said}", labels::label(url)));
        }
        wishes
    }

    fn told(&self) -> Vec<String> {
        let methods = self.methods.iter().map(|(method, words)| match method {
            Method::NotRung => "Wants no telephone calls".to_owned(),
            _ => format!("Prefers: {words}"),
        });
        methods.chain(self.more.iter().cloned()).collect()
    }

    /// Whether a way may be used, as far as it is known; `notes`: the referrer has written something that may say more.
    fn may(&self, way: Way, notes: bool) -> String {
        let has = |wanted: Method| self.methods.iter().any(|(method, _)| *method == wanted);
        if matches!(way, Way::Ring | Way::Text) && has(Method::NotRung) {
            return "Do not ring or send a text: the person wants no telephone calls".to_owned();
        }
        if has(Method::By(way)) {
            return "May be used: it is how the person prefers to be contacted".to_owned();
        }
        if way == Way::Post && has(Method::Visit) {
            return "May be visited: that is how the person prefers to be contacted".to_owned();
        }
        if way == Way::Ring && has(Method::ByProxy) {
            return "The person prefers to be rung through somebody who speaks for them: ask the referrer who that is"
                .to_owned();
        }
        let verb = way.verb();
        let other = self.methods.iter().find(|(method, _)| *method != Method::NotRung);
        match (other, notes) {
            (Some((_, words)), _) => {
                format!(
                    "The person prefers another way ({words}). Nobody has said whether this one is safe: ask the referrer before you {verb}"
                )
            }
            (None, true) => {
                format!("It is not clear whether this is safe: read what the referrer wrote before you {verb}")
            }
            (None, false) => format!("Nobody has said whether this is safe: ask the referrer before you {verb}"),
        }
    }
}

/// A method, of a concept with UK Core's code or with words.
fn method(of: &Value) -> (Method, String) {
    let mut codes = tree::codings(of).filter(|(system, ..)| *system == Some(METHODS));
    let code = codes.next().map(|(_, code, _)| code.to_owned()).unwrap_or_default();
    let said = concept(of);
    let words = words::folded(&said);
    let has = |word: &str| words.split(' ').any(|own| own == word);
    let method = match code.as_str() {
        "1" => Method::By(Way::Post),
        "2" => Method::Visit,
        "3" => Method::By(Way::Ring),
        "4" => Method::By(Way::Email),
        "6" => Method::ByProxy,
        "8" => Method::NotRung,
        "" if has("no") || has("not") => {
            if has("telephone") || has("phone") {
                Method::NotRung
            } else {
                Method::Other
            }
        }
        "" if has("proxy") => Method::ByProxy,
        "" if has("telephone") || has("phone") => Method::By(Way::Ring),
        "" if has("letter") || has("post") => Method::By(Way::Post),
        "" if has("email") || words.contains("e mail") => Method::By(Way::Email),
        "" if has("sms") || has("text") => Method::By(Way::Text),
        "" if has("visit") => Method::Visit,
        _ => Method::Other,
    };
    (method, said)
}

/// The facts of somebody, what must be heeded first.
pub(super) fn reach(request: &Value, person: Option<&Value>, related: &[&Value], now: Timestamp) -> Vec<Fact> {
    let nothing = Value::Null;
    let of = person.unwrap_or(&nothing);
    let today = now.strftime("%Y-%m-%d").to_string();
    let number = words::nhs_number(&line::nhs_number_of(request, person));
    let notes: Vec<String> = tree::items(request, "note")
        .iter()
        .filter_map(|note| tree::text(note, "text"))
        .filter(|text| !text.trim().is_empty())
        .map(str::to_owned)
        .collect();
    let has_notes = !notes.is_empty();
    let names = line::OtherNames::of(of);
    let wishes = Wishes::of(of);
    let contact = |contact: &Value, name: String, wishes: &Wishes| {
        let kind = tree::items(contact, "relationship").iter().map(concept).find(|text| !text.is_empty());
        let ways = telecoms(contact, &today).into_iter().map(|(way, text)| {
            // what the referrer notes is of the person, not of her family
            let may = if wishes.methods.is_empty() {
                format!("Not said whether they know of this referral: ask the person before you {}", way.verb())
            } else {
                wishes.may(way, false)
            };
            format!("{text}. {may}")
        });
        joined([kind.unwrap_or_default(), name, ways.collect::<Vec<_>>().join("\n")])
    };
    let contacts = tree::items(of, "contact").iter().map(|one| {
        let name = one.get("name").map(|name| line::name_of(&serde_json::json!({"name": [name]}))).unwrap_or_default();
        contact(one, name, &Wishes::of(one))
    });
    let relatives = related.iter().map(|one| contact(one, line::name_of(one), &Wishes::of(one)));
    let died = line::has_died(of);
    let died_on = tree::text(of, "deceasedDateTime");
    let born = tree::text(of, "birthDate").map(|day| match age(day, now) {
        // of somebody who has died no age is told that she did not reach
        Some(age) if !died => format!("{} ({age} years old)", words::date(day)),
        _ => words::date(day),
    });
    let died_at = died_on.zip(tree::text(of, "birthDate")).and_then(|(died, born)| age_on(born, died));
    let death = died.then(|| {
        let on = died_on.map(|day| format!(" on {}", words::instant_or_date(day))).unwrap_or_default();
        let aged = died_at.map(|age| format!(", {age} years old")).unwrap_or_default();
        format!("The record says that this person has died{on}{aged}.")
    });
    let gp =
        tree::items(of, "generalPractitioner").iter().filter_map(|gp| tree::text(gp, "display")).map(str::to_owned);
    let own = telecoms(of, &today).into_iter().map(|(way, text)| format!("{text}\n{}", wishes.may(way, has_notes)));
    let lived = tree::items(of, "address").iter().filter(|one| is_used(one, &today));
    let lived = lived.map(|one| format!("{}\n{}", address(one), wishes.may(Way::Post, has_notes)));
    let facts = [
        fact("Has died", death.into_iter().collect()),
        fact("Also known as", names.also),
        fact("Former names", names.former),
        fact("Interpreter", interpreter(of)),
        fact("How they want to be contacted", wishes.told()),
        fact("What the referrer wrote", notes),
        fact("Phone and email", own.collect()),
        fact("Language", languages(of)),
        fact("Accessibility and contact", needs(of)),
        fact("Address", lived.collect()),
        fact("Not to be used now", not_now(of, &today)),
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

/// Whether a number or address holds on a day: not an old one, and within its period.
fn is_used(of: &Value, today: &str) -> bool {
    tree::text(of, "use") != Some("old") && is_current(of.get("period").unwrap_or(&Value::Null), Some(today))
}

/// Telephone numbers and the like that hold on a day, the first to be used first, with what they are for.
pub(super) fn telecoms_in_words(of: &Value, now: Timestamp) -> Vec<String> {
    telecoms(of, &now.strftime("%Y-%m-%d").to_string()).into_iter().map(|(_, text)| text).collect()
}

fn telecoms(of: &Value, today: &str) -> Vec<(Way, String)> {
    let mut all: Vec<&Value> = tree::items(of, "telecom").iter().filter(|one| is_used(one, today)).collect();
    all.sort_by_key(|telecom| rank(telecom).unwrap_or(u64::MAX));
    // an order is said where there is one
    let several = all.len() > 1;
    all.iter().filter_map(|one| Some((Way::of(one), telecom(one, several)?))).collect()
}

fn rank(telecom: &Value) -> Option<u64> {
    telecom.get("rank").and_then(Value::as_u64)
}

fn telecom(of: &Value, several: bool) -> Option<String> {
    let value = tree::text(of, "value")?;
    let mut kind: Vec<String> =
        vec![[tree::text(of, "use"), tree::text(of, "system")].into_iter().flatten().collect::<Vec<_>>().join(" ")];
    kind.extend(rank(of).filter(|_| several).map(|rank| format!("number {rank} in the order of use")));
    kind.extend(
        labels::extensions(of).into_iter().map(|said| format!("{}: {}", labels::first_low(&said.label), said.value)),
    );
    kind.retain(|text| !text.is_empty());
    Some(if kind.is_empty() { value.to_owned() } else { format!("{value} ({})", kind.join(", ")) })
}

fn address(of: &Value) -> String {
    if let Some(text) = tree::text(of, "text") {
        return text.to_owned();
    }
    let lines = tree::items(of, "line").iter().filter_map(Value::as_str);
    let more = ["city", "district", "postalCode"].into_iter().filter_map(|name| tree::text(of, name));
    lines.chain(more).collect::<Vec<_>>().join(", ")
}

/// Numbers and addresses that hold no more, or not yet: whoever finds them elsewhere knows that they are not to be used.
fn not_now(of: &Value, today: &str) -> Vec<String> {
    let when = |one: &Value| {
        let at = |name: &str| tree::text(one, name).map(words::instant_or_date);
        match (at("period.start"), at("period.end")) {
            (Some(start), None) => format!(" (from {start})"),
            (_, Some(end)) => format!(" (until {end})"),
            (None, None) => " (an old one)".to_owned(),
        }
    };
    let passed = |name: &str| tree::items(of, name).iter().filter(|one| !is_used(one, today)).collect::<Vec<_>>();
    let numbers =
        passed("telecom").into_iter().filter_map(|one| Some(format!("{}{}", tree::text(one, "value")?, when(one))));
    let addresses = passed("address").into_iter().map(|one| format!("{}{}", address(one), when(one)));
    numbers.chain(addresses).collect()
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
pub(super) fn interpreter(of: &Value) -> Vec<String> {
    let all = labels::extensions(of).into_iter().filter(|said| is_interpreter(&said.name));
    let (no, needed): (Vec<String>, Vec<String>) =
        all.map(|said| said.value).partition(|value| ["no", "false"].contains(&value.trim().to_lowercase().as_str()));
    if needed.is_empty() {
        return no.first().map(|_| "No interpreter is needed".to_owned()).into_iter().collect();
    }
    let told = needed.iter().map(|value| match value.trim().to_lowercase().as_str() {
        "yes" | "true" | "" => "An interpreter is needed".to_owned(),
        _ => format!("An interpreter is asked for: {value}"),
    });
    told.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

fn is_interpreter(name: &str) -> bool {
    name.to_lowercase().contains("interpreterrequired")
}

/// What else extensions say of how somebody is met; each by its own name.
fn needs(of: &Value) -> Vec<String> {
    let about = |name: &str| {
        let low = name.to_lowercase();
        ["contact", "communication", "adjust", "access", "disab", "impair", "pronoun"].iter().any(|word| low.contains(word))
            && !is_interpreter(&low)
            // told by itself
            && !name.starts_with("ContactPreference")
    };
    let said = labels::extensions(of).into_iter().filter(|said| about(&said.name));
    said.map(|said| format!("{}: {}", said.label, said.value)).collect()
}

fn age(born: &str, now: Timestamp) -> Option<i16> {
    age_at(born, now.to_zoned(jiff::tz::TimeZone::UTC).date())
}

/// The age on a day as FHIR writes it; none where it is not a whole day.
fn age_on(born: &str, day: &str) -> Option<i16> {
    age_at(born, day.get(..10)?.parse().ok()?)
}

fn age_at(born: &str, today: jiff::civil::Date) -> Option<i16> {
    let born: jiff::civil::Date = born.parse().ok()?;
    let had = (today.month(), today.day()) >= (born.month(), born.day());
    let years = today.year().checked_sub(born.year())? - i16::from(!had);
    (0..130).contains(&years).then_some(years)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const UNSAID: &str = "Nobody has said whether this is safe: ask the referrer before you ring";

    fn facts(person: Value, request: Value) -> Vec<Fact> {
        reach(&request, Some(&person), &[], "2026-03-10T09:00:00Z".parse().unwrap())
    }

    fn told(facts: &[Fact], key: &str) -> Vec<String> {
        facts.iter().filter(|fact| fact.key == key).flat_map(|fact| fact.values.clone()).collect()
    }

    fn wanting(parts: Value) -> Value {
        json!({
            "resourceType": "Patient", "extension": [{"url": PREFERENCE, "extension": parts}],
            "telecom": [{"system": "phone", "value": "1"}, {"system": "email", "value": "e"}],
            "address": [{"text": "A street"}],
        })
    }

    fn coded(code: &str, display: &str) -> Value {
        json!({"url": "PreferredContactMethod", "valueCodeableConcept": {"coding": [{"system": METHODS, "code": code, "display": display}]}})
    }

    /// The last line of what is told of each way: phone, email, address.
    fn may(person: Value) -> Vec<String> {
        let facts = facts(person, json!({}));
        let all = [told(&facts, "Phone and email"), told(&facts, "Address")].concat();
        all.iter().map(|text| text.rsplit('\n').next().unwrap().to_owned()).collect()
    }

    #[test]
    fn what_nobody_has_said_is_told_as_not_said() {
        let all = may(wanting(json!([])));
        assert_eq!(
            all,
            [
                UNSAID,
                "Nobody has said whether this is safe: ask the referrer before you write an email",
                "Nobody has said whether this is safe: ask the referrer before you write or visit"
            ]
        );
        // a rank is an order and no leave
        let person = json!({"telecom": [{"value": "2", "rank": 2}, {"value": "1", "rank": 1, "use": "mobile", "system": "phone"}]});
        let phones = told(&facts(person, json!({})), "Phone and email");
        assert_eq!(phones[0], format!("1 (mobile phone, number 1 in the order of use)\n{UNSAID}"));
        assert!(phones[1].starts_with("2 (number 2"), "{phones:?}");
        let noted = facts(wanting(json!([])), json!({"note": [{"text": "Voicemail is fine"}]}));
        assert!(told(&noted, "Phone and email")[0].ends_with("read what the referrer wrote before you ring"));
    }

    #[test]
    fn what_the_person_wants_is_told_at_each_way() {
        let may_be = "May be used: it is how the person prefers to be contacted";
        let never = "Do not ring or send a text: the person wants no telephone calls";
        for (wanted, way, expected) in [
            (coded("3", "Telephone"), 0, may_be),
            (coded("4", "E-mail"), 1, may_be),
            (coded("1", "Letter"), 2, may_be),
            (coded("8", "No telephone contact"), 0, never),
            (json!({"url": "PreferredContactMethod", "valueCodeableConcept": {"text": "No phone calls"}}), 0, never),
            (json!({"url": "PreferredContactMethod", "valueCodeableConcept": {"text": "By letter"}}), 2, may_be),
            (
                coded("1", "Letter"),
                0,
                "The person prefers another way (Letter). Nobody has said whether this one is safe: ask the referrer before you ring",
            ),
            (coded("2", "Visit"), 2, "May be visited: that is how the person prefers to be contacted"),
        ] {
            assert_eq!(may(wanting(json!([wanted])))[way], expected, "{wanted}");
        }
        let facts = facts(
            wanting(
                json!([coded("8", "No telephone contact"), {"url": "PreferredContactTimes", "valueString": "Not after 7pm"}]),
            ),
            json!({}),
        );
        let wants = told(&facts, "How they want to be contacted");
        assert_eq!(wants, ["Wants no telephone calls", "When to contact them: Not after 7pm"]);
        assert!(told(&facts, "Accessibility and contact").is_empty(), "nothing is told twice");
    }

    #[test]
    fn an_old_number_is_told_as_one_that_is_not_to_be_used() {
        let person = json!({
            "telecom": [
                {"system": "phone", "value": "1", "period": {"end": "2025-12-31"}},
                {"system": "phone", "value": "2", "use": "old"},
                {"system": "phone", "value": "3", "period": {"start": "2026-04-01"}},
                {"system": "phone", "value": "4", "period": {"start": "2025-04-01"}},
            ],
            "address": [{"text": "Hers before", "use": "old", "period": {"end": "2024-05-01"}}],
        });
        let facts = facts(person, json!({}));
        assert_eq!(told(&facts, "Phone and email"), [format!("4 (phone)\n{UNSAID}")]);
        assert_eq!(
            told(&facts, "Not to be used now"),
            ["1 (until 31 December 2025)", "2 (an old one)", "3 (from 1 April 2026)", "Hers before (until 1 May 2024)"]
        );
    }

    #[test]
    fn of_who_has_died_it_is_told_when_and_at_what_age() {
        let person = |died: Value| {
            let mut person = json!({"birthDate": "1950-06-30"});
            person.as_object_mut().unwrap().extend(died.as_object().unwrap().clone());
            facts(person, json!({}))
        };
        let on = person(json!({"deceasedDateTime": "2020-06-29T10:00:00+01:00"}));
        assert_eq!(
            told(&on, "Has died"),
            ["The record says that this person has died on 29 June 2020, 10am, 69 years old."]
        );
        assert_eq!(told(&on, "Date of birth"), ["30 June 1950"], "no age that she did not reach");
        let some_day = person(json!({"deceasedBoolean": true}));
        assert_eq!(told(&some_day, "Has died"), ["The record says that this person has died."]);
        assert_eq!(told(&person(json!({"deceasedBoolean": false})), "Date of birth"), ["30 June 1950 (75 years old)"]);
    }

    #[test]
    fn of_a_relative_it_is_said_that_she_may_not_know() {
        let person = json!({"contact": [{"relationship": [{"text": "Sister"}], "name": {"text": "Ann"}, "telecom": [{"system": "phone", "value": "5"}]}]});
        assert_eq!(
            told(&facts(person, json!({})), "Contacts"),
            ["Sister: Ann: 5 (phone). Not said whether they know of this referral: ask the person before you ring"]
        );
    }
}
