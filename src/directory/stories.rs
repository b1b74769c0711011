//! A practice story that is taken out is out: no version of the service tells it any more, no proposal, and no record that it came by.
//! What is left says that something was taken out, when, and which version did it; that one's author is who did it.

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Directory, WriteError, body_of, element::part, entry, open_referral};
use crate::{
    domain::{EntryKind, clock::instant},
    fhir::{Issue, IssueCode, tree},
    store::{DirectoryEntry, DirectoryRewrite, DirectoryWrite, ProposalQuery, StoreError},
};

/// So many proposals are read at once.
const CHUNK: usize = 200;
/// The label of what something was taken out of (R4 valueset-security-labels, HL7 v3 ObservationValue).
const REDACTED: (&str, &str) = ("http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "REDACTED");

/// Which practice stories of a service are taken out. Whatever it told earlier and does not tell now is among them: another wording is
/// another story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// Only those that it does not tell now.
    Earlier,
    /// The one at this place of those that it tells now, too.
    At(usize),
}

/// What was done.
#[derive(Debug, Clone)]
pub struct TakenOut {
    /// The version without it.
    pub entry: DirectoryEntry,
    /// How many earlier versions had told it.
    pub versions: usize,
    /// How many proposals had.
    pub proposals: usize,
}

impl Directory {
    /// Takes practice stories out of a service and all that was ever kept of it.
    ///
    /// # Errors
    /// [`WriteError::NotFound`] where there is no such service, [`WriteError::Rule`] where it tells no such story.
    pub async fn take_out(&self, service: Uuid, which: Which, by: &str) -> Result<TakenOut, WriteError> {
        let kind = EntryKind::HealthcareService;
        let versions = self.store.directory_versions(kind, service).await?;
        let current = versions.last().ok_or(WriteError::NotFound)?;
        let body = body_of(current)?;
        let mut stay: Vec<Value> = entry::stories(&body).cloned().collect();
        match which {
            Which::All => stay.clear(),
            Which::Earlier => {}
            Which::At(at) if at < stay.len() => drop(stay.remove(at)),
            Which::At(_) => {
                let told =
                    format!("it tells {} practice stories now: count from 0, or take all of them out", stay.len());
                return Err(none_such(told));
            }
        }
        let mark = Mark { at: self.store.now(), by: current.version.saturating_add(1) };
        let rewritten = |body: Value| without(body, &stay).map(|body| mark.on(body).to_string());
        let mut told_in = Vec::new();
        for version in &versions {
            told_in.extend(rewritten(body_of(version)?).map(|body| (version.version, body)));
        }
        let mut proposals = Vec::new();
        let mut after = None;
        loop {
            let query = ProposalQuery { entry: Some((kind, service)), after, count: CHUNK, ..ProposalQuery::default() };
            let page = self.store.proposals(query).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.new.id);
            for proposal in &page {
                let body = serde_json::from_str(&proposal.new.body).map_err(|e| StoreError::Corrupt(e.to_string()))?;
                proposals.extend(rewritten(body).map(|body| (proposal.new.id, body)));
            }
        }
        if told_in.is_empty() && proposals.is_empty() {
            return Err(none_such("no version of it tells such a practice story, and no proposal".to_owned()));
        }
        let counts = (told_in.len(), proposals.len());
        let body = without(body.clone(), &stay).unwrap_or(body);
        let write = DirectoryWrite {
            kind,
            id: service,
            over: current.version,
            source: current.source.clone(),
            body: body.to_string(),
            by: format!("{by}, took a practice story out"),
        };
        let rewrite = DirectoryRewrite { write, versions: told_in, proposals };
        let entry = self.store.rewrite_directory(rewrite).await?;
        Ok(TakenOut { entry, versions: counts.0, proposals: counts.1 })
    }
}

/// What is said of a text that something was taken out of.
struct Mark {
    at: Timestamp,
    /// The version that did it.
    by: u64,
}

impl Mark {
    fn on(&self, mut body: Value) -> Value {
        let (system, code) = REDACTED;
        let parts = [part("at", "valueInstant", instant(self.at)), part("version", "valuePositiveInt", self.by)];
        let extension = json!({"url": entry::STORY_TAKEN_OUT, "extension": parts});
        let label = json!({"system": system, "code": code});
        let Some(object) = body.as_object_mut() else { return body };
        let add = |to: &mut serde_json::Map<String, Value>, list: &str, item: Value| {
            if let Some(items) = to.entry(list).or_insert_with(|| json!([])).as_array_mut()
                && !items.contains(&item)
            {
                items.push(item);
            }
        };
        add(object, "extension", extension);
        if let Some(meta) = object.entry("meta").or_insert_with(|| json!({})).as_object_mut() {
            add(meta, "security", label);
        }
        body
    }
}

/// A text of an entry without all stories but these, and without them in the record that it came as; none where it tells no other.
fn without(mut body: Value, stay: &[Value]) -> Option<Value> {
    let goes = |story: &Value| !stay.contains(story);
    let told = entry::stories(&body).any(goes);
    let mut in_record = false;
    let object = body.as_object_mut()?;
    if let Some(extensions) = object.get_mut("extension").and_then(Value::as_array_mut) {
        extensions.retain(|one| tree::text(one, "url") != Some(entry::PRACTICE_STORY) || !goes(one));
        for record in extensions.iter_mut().filter(|one| open_referral::is_kept(one)) {
            in_record |= open_referral::forget_stories(record, &goes);
        }
        if extensions.is_empty() {
            object.shift_remove("extension");
        }
    }
    (told || in_record).then_some(body)
}

fn none_such(told: String) -> WriteError {
    WriteError::Rule(vec![Issue::error(IssueCode::NotFound, "HealthcareService.extension", told)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story(text: &str) -> Value {
        json!({"url": entry::PRACTICE_STORY, "extension": [
            part("problem", "valueMarkdown", text), part("done", "valueMarkdown", "d"), part("result", "valueMarkdown", "r")]})
    }

    #[test]
    fn only_what_stays_is_told_and_the_mark_says_when_and_by_which_version() {
        let other = json!({"url": entry::CAPACITY, "valueCode": "capacity"});
        let body = json!({"resourceType": "HealthcareService", "extension": [story("a"), other, story("b")]});
        let left = without(body.clone(), &[story("b")]).unwrap();
        assert_eq!(left["extension"], json!([other, story("b")]));
        assert_eq!(without(left.clone(), &[story("b")]), None);
        assert_eq!(without(body, &[]).unwrap()["extension"], json!([other]));
        let alone = json!({"resourceType": "HealthcareService", "extension": [story("a")]});
        assert_eq!(without(alone, &[]).unwrap(), json!({"resourceType": "HealthcareService"}));
        let mark = Mark { at: Timestamp::UNIX_EPOCH, by: 4 };
        let marked = mark.on(mark.on(left));
        assert_eq!(marked["extension"][2]["extension"][1]["valuePositiveInt"], 4);
        assert_eq!(marked["meta"]["security"].as_array().unwrap().len(), 1, "it is said once");
    }

    #[test]
    fn a_record_forgets_the_story_and_knows_it_when_it_comes_again() {
        let told = json!({"problem": "a", "done": "d", "result": "r"});
        let row = json!({"id": "1", "onward": {"capacity": "capacity", "stories": [told]}});
        let record = json!({"url": entry::OPEN_REFERRAL, "valueString": row.to_string()});
        let body = json!({"resourceType": "HealthcareService", "extension": [record]});
        let left = without(body, &[]).unwrap();
        assert!(!left.to_string().contains("\\\"problem\\\""), "{left}");
        let kept = open_referral::kept(&left).unwrap();
        let mut again = row.as_object().unwrap().clone();
        open_referral::leave_out_stories(&mut again, &kept);
        assert_eq!(again, kept, "the same sheet changes nothing");
        let mut other = json!({"id": "1", "onward": {"stories": [{"problem": "x", "done": "d", "result": "r"}]}});
        let other = other.as_object_mut().unwrap();
        open_referral::leave_out_stories(other, &kept);
        assert_eq!(other["onward"]["stories"].as_array().unwrap().len(), 1, "another story is another");
    }
}
