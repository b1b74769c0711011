//! The four questions of the ONS on personal well-being (ONS4), each answered 0 to 10: what came with a referral, what a Task says of them.
//! Pure. There is no code for them that everybody uses, so they are known by their words, or by the ids that their forms give them.

use serde_json::{Value, json};

use super::words;
use crate::fhir::tree;

/// A score is no more.
const SCORE_MAX: u64 = 10;
/// The extension by which an answer is known not to be there.
const ABSENT: &str = "http://hl7.org/fhir/StructureDefinition/data-absent-reason";
/// Forms within forms are looked through no deeper.
const DEPTH_MAX: usize = 10;

/// What a page calls a question, what the Task's output calls it, and words that are in the question and in none of the others.
const QUESTIONS: [(&str, &str, [&str; 2]); 4] = [
    ("satisfied", "Life satisfaction", ["satisfied", "life"]),
    ("worthwhile", "Worthwhile", ["worthwhile", "things"]),
    ("happy", "Happiness", ["happy", "yesterday"]),
    ("anxious", "Anxiety", ["anxious", "yesterday"]),
];

/// When it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Before,
    After,
}

/// The answers, in the order of the questions.
pub(super) type Scores = [Option<u8>; 4];

// === impl When ===

impl When {
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
        }
    }
}

/// What was typed as a score.
pub(super) fn score(text: &str) -> Option<u8> {
    text.parse().ok().filter(|score| u64::from(*score) <= SCORE_MAX)
}

/// The names of the fields, one a question: `before-happy`.
pub(super) fn fields(when: When) -> [String; 4] {
    QUESTIONS.map(|(name, ..)| format!("{}-{name}", when.code()))
}

/// The type of the output that has the answer to a question.
fn output_type(when: When, called: &str) -> String {
    format!("ONS4 {}: {called}", when.code())
}

/// Puts scores into a Task's outputs. One that is there is corrected: of one question at one time there is one answer. One that was taken
/// away stays away (R4 data-absent-reason), also where another came with the referral.
pub(super) fn put(outputs: &mut Vec<Value>, when: When, scores: Scores, taken_away: [bool; 4]) {
    for (((_, called, _), score), gone) in QUESTIONS.into_iter().zip(scores).zip(taken_away) {
        let kind = output_type(when, called);
        let output = match score {
            Some(score) => json!({"type": {"text": kind}, "valueInteger": score}),
            None if gone => {
                json!({"type": {"text": kind}, "_valueInteger": {"extension": [{"url": ABSENT, "valueCode": "unknown"}]}})
            }
            None => continue,
        };
        match outputs.iter_mut().find(|one| tree::text(one, "type.text") == Some(&*kind)) {
            Some(there) => *there = output,
            None => outputs.push(output),
        }
    }
}

/// Which of the questions a Task says something of, be it that there is no answer.
pub(super) fn noted(task: &Value, when: When) -> [bool; 4] {
    QUESTIONS.map(|(_, called, _)| {
        let kind = output_type(when, called);
        tree::items(task, "output").iter().any(|one| tree::text(one, "type.text") == Some(&*kind))
    })
}

/// The scores that a Task has.
pub(super) fn of_task(task: &Value, when: When) -> Scores {
    QUESTIONS.map(|(_, called, _)| {
        let kind = output_type(when, called);
        let output = tree::items(task, "output").iter().find(|one| tree::text(one, "type.text") == Some(&*kind))?;
        number(output.get("valueInteger")?)
    })
}

/// The scores that came with a referral, the newest answer to each question.
pub(super) fn of_referral<'r>(resources: impl Iterator<Item = &'r Value>) -> Scores {
    let mut found: Vec<(String, usize, u8)> = Vec::new();
    for resource in resources {
        let at =
            |names: &[&str]| names.iter().find_map(|name| tree::text(resource, name)).unwrap_or_default().to_owned();
        match tree::resource_type(resource) {
            Some("QuestionnaireResponse") if tree::text(resource, "status") != Some("entered-in-error") => {
                let at = at(&["authored"]);
                answers(resource, DEPTH_MAX, &mut |question, score| found.push((at.clone(), question, score)));
            }
            Some("Observation") if tree::text(resource, "status") != Some("entered-in-error") => {
                let called = super::line::concept(resource.get("code").unwrap_or(&Value::Null));
                let value = resource.get("valueInteger").or_else(|| resource.get("valueQuantity")?.get("value"));
                if let (Some(question), Some(score)) = (question("", &called), value.and_then(number)) {
                    found.push((at(&["effectiveDateTime", "issued"]), question, score));
                }
            }
            _ => {}
        }
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    let mut scores = Scores::default();
    for (_, question, score) in found {
        if let Some(place) = scores.get_mut(question) {
            *place = Some(score);
        }
    }
    scores
}

fn answers(holder: &Value, depth: usize, see: &mut dyn FnMut(usize, u8)) {
    if depth == 0 {
        return;
    }
    for item in tree::items(holder, "item") {
        let texts = ["linkId", "text"].map(|name| tree::text(item, name).unwrap_or_default());
        let answer = tree::items(item, "answer").first();
        let value = answer.and_then(|one| one.get("valueInteger").or_else(|| one.get("valueDecimal")));
        if let (Some(question), Some(score)) = (question(texts[0], texts[1]), value.and_then(number)) {
            see(question, score);
        }
        answers(item, depth - 1, see);
    }
}

/// Which question it is, by the id that a form gives it or by its words.
fn question(id: &str, text: &str) -> Option<usize> {
    let folded = words::folded(text);
    let has = |word: &str| folded.split(' ').any(|own| own == word);
    QUESTIONS.iter().position(|(name, _, telling)| id == *name || telling.iter().all(|word| has(word)))
}

/// A whole number from 0 to 10, however it is written.
fn number(value: &Value) -> Option<u8> {
    let whole =
        value.as_u64().or_else(|| value.as_f64().filter(|n| n.fract() == 0.0 && *n >= 0.0).map(|n| n as u64))?;
    u8::try_from(whole).ok().filter(|_| whole <= SCORE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_that_came_are_known_by_their_words_the_newest_first() {
        let form = |authored: &str, happy: u32| {
            json!({"resourceType": "QuestionnaireResponse", "status": "completed", "authored": authored, "item": [{"linkId": "1", "item": [
                {"linkId": "q3", "text": "Overall, how happy did you feel yesterday?", "answer": [{"valueInteger": happy}]},
                {"linkId": "anxious", "answer": [{"valueDecimal": 8.0}]},
                {"linkId": "q9", "text": "How satisfied are you with the bus?", "answer": [{"valueInteger": 1}]},
            ]}]})
        };
        let observed = json!({"resourceType": "Observation", "status": "final", "effectiveDateTime": "2026-03-01",
            "code": {"text": "How satisfied are you with your life nowadays?"}, "valueQuantity": {"value": 3}});
        let all = [form("2026-03-03", 2), form("2026-01-01", 9), observed];
        assert_eq!(of_referral(all.iter()), [Some(3), None, Some(2), Some(8)]);
        let mut wrong = all[2].clone();
        for (name, value) in [("status", json!("entered-in-error")), ("valueQuantity", json!({"value": 11}))] {
            wrong[name] = value;
            assert_eq!(of_referral([&wrong].into_iter()), Scores::default(), "{name}");
            wrong["status"] = "final".into();
        }
    }

    #[test]
    fn a_score_is_corrected_and_not_said_twice() {
        let mut outputs = vec![json!({"type": {"text": "Outcome"}, "valueString": "x"})];
        put(&mut outputs, When::Before, [None, None, Some(2), None], [false; 4]);
        put(&mut outputs, When::Before, [Some(4), None, Some(3), None], [false; 4]);
        put(&mut outputs, When::After, [None, None, Some(7), None], [false; 4]);
        assert_eq!(outputs.len(), 4, "{outputs:?}");
        let task = json!({"output": outputs});
        assert_eq!(of_task(&task, When::Before), [Some(4), None, Some(3), None]);
        assert_eq!(of_task(&task, When::After), [None, None, Some(7), None]);
        let mut outputs = task["output"].as_array().unwrap().clone();
        put(&mut outputs, When::Before, Scores::default(), [true, true, false, false]);
        let task = json!({"output": outputs});
        assert_eq!(of_task(&task, When::Before), [None, None, Some(3), None]);
        assert_eq!(noted(&task, When::Before), [true, true, true, false], "what was taken away stays away");
    }

    #[test]
    fn a_score_is_a_whole_number_to_ten() {
        for (text, expected) in
            [("0", Some(0)), ("10", Some(10)), ("11", None), ("-1", None), ("2.5", None), ("", None)]
        {
            assert_eq!(score(text), expected, "{text}");
        }
        assert_eq!((number(&json!(2.5)), number(&json!(7.0)), number(&json!("7"))), (None, Some(7), None));
    }
}
