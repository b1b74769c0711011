//! What extensions, and elements of FHIR, are called for people. Pure.

use serde_json::Value;

use super::in_words;
use crate::fhir::tree;

/// Extensions of UK Core and R4 that records send, and parts of theirs: the last part of the URL, and the words.
const KNOWN: &[(&str, &str)] = &[
    ("ContactPreference", "How they want to be contacted"),
    ("PreferredContactMethod", "Preferred way of contact"),
    ("PreferredContactTimes", "When to contact them"),
    ("PreferredWrittenCommunicationFormat", "Preferred format of letters"),
    ("ContactRank", "Order of contact"),
    ("OtherContactSystem", "Other way of contact"),
    ("CopyCorrespondenceIndicator", "Wants copies of letters"),
    ("NHSCommunication", "Language"),
    ("modeOfCommunication", "How they use this language"),
    ("communicationProficiency", "How well they know this language"),
    ("interpreterRequired", "Interpreter"),
    ("patient-interpreterRequired", "Interpreter"),
    ("NHSNumberVerificationStatus", "Whether the NHS number was checked"),
    ("NHSNumberUnavailableReason", "Why there is no NHS number"),
    ("EthnicCategory", "Ethnic category"),
    ("BirthSex", "Sex at birth"),
    ("ResidentialStatus", "Residential status"),
    ("DeathNotificationStatus", "Notice of death"),
    ("patient-disability", "Disability"),
    ("patient-genderIdentity", "Gender identity"),
    ("individual-genderIdentity", "Gender identity"),
    ("individual-pronouns", "Pronouns"),
    ("patient-religion", "Religion"),
    ("patient-birthPlace", "Place of birth"),
    ("contactpoint-comment", "Note"),
    ("contactpoint-purpose", "What it is for"),
];

/// What an extension says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    /// The last part of its URL, UK Core's prefix apart; of one within another the names of both.
    pub name: String,
    /// What it is called.
    pub label: String,
    pub value: String,
}

/// The extensions of an element that have a value, those within extensions too.
pub(super) fn extensions(of: &Value) -> Vec<Said> {
    let mut all = Vec::new();
    for extension in tree::items(of, "extension") {
        let url = tree::text(extension, "url").unwrap_or_default();
        let (name, label) = (name_of(url).to_owned(), label(url));
        if let Some(value) = extension.as_object().and_then(|o| o.iter().find(|(key, _)| key.starts_with("value"))) {
            all.push(Said { name: name.clone(), label: label.clone(), value: in_words(value.1) });
        }
        all.extend(extensions(extension).into_iter().map(|inner| {
            let called =
                if is_known(&inner.name) { inner.label } else { format!("{label}, {}", first_low(&inner.label)) };
            Said { name: format!("{name} {}", inner.name), label: called, value: inner.value }
        }));
    }
    all
}

/// What an extension with this URL is called: words of ours where it is known, else those of its URL.
pub(super) fn label(url: &str) -> String {
    let name = name_of(url);
    let known = KNOWN.iter().find(|(known, _)| *known == name);
    known.map_or_else(|| spaced(name), |(_, words)| (*words).to_owned())
}

fn is_known(name: &str) -> bool {
    KNOWN.iter().any(|(known, _)| *known == name)
}

fn name_of(url: &str) -> &str {
    let last = url.rsplit(['/', '#']).find(|part| !part.is_empty()).unwrap_or_default();
    last.strip_prefix("Extension-UKCore-").or_else(|| last.strip_prefix("Extension-")).unwrap_or(last)
}

/// A name of FHIR as words: `birthDate` is “Birth date”, `NHSNumberStatus` is “NHS number status”.
pub(in crate::web::inbox) fn spaced(name: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let all: Vec<char> = name.chars().collect();
    let mut begins = true;
    for (n, c) in all.iter().copied().enumerate() {
        if !c.is_alphanumeric() {
            begins = true;
            continue;
        }
        let before = n.checked_sub(1).and_then(|n| all.get(n)).copied().unwrap_or(' ');
        let after = all.get(n + 1).copied().unwrap_or(' ');
        // a capital begins a word, and so does the last of several that a small letter follows
        begins |= c.is_uppercase() && (!before.is_uppercase() || after.is_lowercase());
        match words.last_mut() {
            Some(word) if !begins => word.push(c),
            _ => words.push(c.to_string()),
        }
        begins = false;
    }
    let low = words.iter().map(|word| if is_acronym(word) { word.clone() } else { word.to_lowercase() });
    let text = low.collect::<Vec<_>>().join(" ");
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn is_acronym(word: &str) -> bool {
    word.chars().count() > 1 && word.chars().all(|c| c.is_uppercase() || c.is_numeric())
}

/// Words within a sentence: an acronym at their head stays whole.
pub(in crate::web::inbox) fn first_low(text: &str) -> String {
    if text.split(' ').next().is_some_and(is_acronym) {
        return text.to_owned();
    }
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_of_fhir_become_words_and_acronyms_stay_whole() {
        for (name, words) in [
            ("birthDate", "Birth date"),
            ("QuestionnaireResponse", "Questionnaire response"),
            ("NHSNumberStatus", "NHS number status"),
            ("preferredGPPractice", "Preferred GP practice"),
            ("patient-cadavericDonor", "Patient cadaveric donor"),
            ("ODS", "ODS"),
            ("", ""),
        ] {
            assert_eq!(spaced(name), words, "{name}");
        }
        assert_eq!((first_low("Birth date"), first_low("NHS number")), ("birth date".into(), "NHS number".into()));
    }

    #[test]
    fn extensions_are_called_what_people_call_them() {
        let uk = |name: &str| label(&format!("https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-{name}"));
        assert_eq!(uk("NHSNumberVerificationStatus"), "Whether the NHS number was checked");
        assert_eq!(uk("ListWarningCode"), "List warning code", "one that is not known has the words of its URL");
        assert_eq!(label("urn:x"), "Urn x");
        let said = extensions(&json!({"extension": [{
            "url": "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-NHSCommunication",
            "extension": [
                {"url": "interpreterRequired", "valueBoolean": true},
                {"url": "dialectSpoken", "valueString": "Moroccan"},
            ],
        }]}));
        let said: Vec<(&str, &str)> = said.iter().map(|one| (one.label.as_str(), one.value.as_str())).collect();
        assert_eq!(said, [("Interpreter", "Yes"), ("Language, dialect spoken", "Moroccan")]);
    }
}
