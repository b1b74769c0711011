//! Entries before they are written: what an entry must be, what it may refer to, whose it is, and what it tells of a person. All
//! faults are told at once.

use serde_json::Value;
use uuid::Uuid;

use super::{
    entry,
    known::{Known, referred},
    open_referral, sense,
};
use crate::{
    domain::{EntryKind, InboxId, ProviderId, Timestamp},
    fhir::{Issue, IssueCode, Severity, tree},
    profiles::{Asked, Validator},
    store::{DIRECTORY_BODY_MAX_BYTES, DirectoryEntry, DirectoryError, DirectoryWrite, StoreError},
};

/// An entry as somebody wants it to be.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Its kind.
    pub kind: EntryKind,
    /// Its logical id.
    pub id: Uuid,
    /// The version that it was made on; none where it is new.
    pub before: Option<DirectoryEntry>,
    /// The resource.
    pub body: Value,
    /// Whether who writes it has seen to it that nobody can be recognised in its practice stories.
    pub story_checked: bool,
    /// Whether an import writes it, which alone says what the record was that it came as.
    pub imported: bool,
}

/// A draft that may be written.
#[derive(Debug, Clone)]
pub struct Checked {
    /// Its kind.
    pub kind: EntryKind,
    /// Its logical id.
    pub id: Uuid,
    /// The version that it was made on, 0 where it is new.
    pub over: u64,
    /// The resource as it is kept.
    pub body: Value,
    /// Whose it is.
    pub owner: Option<ProviderId>,
    /// Whose it was before.
    pub owner_before: Option<ProviderId>,
    /// The inboxes that it stands behind.
    pub inboxes: Vec<InboxId>,
}

/// Why an entry is not written. Nothing was.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// It is not right FHIR: 400.
    #[error("it is not valid FHIR")]
    Invalid(Vec<Issue>),
    /// It is right FHIR and breaks a rule: 422.
    #[error("it breaks a rule")]
    Rule(Vec<Issue>),
    /// It is not for whoever wants it: 403.
    #[error("{0}")]
    Forbidden(&'static str),
    /// There is no such entry, or no such proposal: 404.
    #[error("there is no such entry")]
    NotFound,
    /// The store did not write it.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> Self {
        Self::Directory(error.into())
    }
}

// === impl Checked ===

impl Checked {
    /// As the store takes it.
    pub fn into_write(self, by: &str) -> DirectoryWrite {
        let source = entry::source_of(&self.body);
        let Self { kind, id, over, body, .. } = self;
        DirectoryWrite { kind, id, over, source, body: body.to_string(), by: by.to_owned() }
    }
}

/// Looks at a draft. `known` holds what it and the version before it refer to.
///
/// # Errors
/// All that is wrong with it: [`WriteError::Invalid`] where R4 itself is broken, [`WriteError::Rule`] otherwise.
pub fn check(draft: Draft, known: &Known<'_>, validator: &Validator, now: Timestamp) -> Result<Checked, WriteError> {
    let Draft { kind, id, before, body, story_checked, imported } = draft;
    if tree::resource_type(&body) != Some(kind.code()) {
        let told = format!("{} is expected here", article(kind));
        return Err(WriteError::Invalid(vec![Issue::error(IssueCode::Invalid, kind.code(), told)]));
    }
    if !fits(&body) {
        let told = format!("an entry has at most {DIRECTORY_BODY_MAX_BYTES} bytes");
        return Err(WriteError::Rule(vec![Issue::error(IssueCode::TooLong, kind.code(), told)]));
    }
    let said: Option<Value> = before.as_ref().and_then(|before| serde_json::from_str(&before.body).ok());
    let mut body = entry::kept(body);
    let (mut invalid, mut rule) = (Vec::new(), Vec::new());
    if imported {
        rule.extend(unreadable(kind, &body));
    } else {
        if entry::says_record(&body, said.as_ref()) {
            let told = format!(
                "the record ({}) is what an import was made of, which imports alone say: leave it out",
                entry::OPEN_REFERRAL
            );
            rule.push(Issue::error(IssueCode::BusinessRule, format!("{kind}.extension"), told));
        }
        body = with_record(body, said.as_ref());
    }
    let profile = [entry::profile(kind)];
    for finding in validator.check(&body, "", &Asked { profiles: &profile, ..Asked::at(now) }) {
        match finding.issue.severity {
            Severity::Warning | Severity::Information => {}
            _ if finding.rule => rule.push(finding.issue),
            _ => invalid.push(finding.issue),
        }
    }
    if !invalid.is_empty() {
        invalid.append(&mut rule);
        return Err(WriteError::Invalid(invalid));
    }
    rule.extend(loose(&body, known));
    rule.extend(unfit(kind, &body));
    // a feed need not say who provides a service: that is told when it is imported
    let senseless = sense::faults(kind, &id.to_string(), &body, known, super::day(now)).into_iter();
    rule.extend(senseless.filter(|issue| !(imported && issue.expression.iter().any(|at| at.ends_with(".providedBy")))));
    if !story_checked && entry::tells_anew(&body, said.as_ref()) {
        rule.push(untold(&body, said.as_ref()));
    }
    if !rule.is_empty() {
        return Err(WriteError::Rule(rule));
    }
    let owner = known.owner(kind, &body);
    let owner_before = said.as_ref().and_then(|said| known.owner(kind, said));
    let inboxes = entry::inboxes_of(&body, known.registry, known.base);
    let over = before.map_or(0, |before| before.version);
    Ok(Checked { kind, id, over, body, owner, owner_before, inboxes })
}

/// Whether an entry is no larger than may be.
pub(super) fn fits(body: &Value) -> bool {
    body.to_string().len() <= DIRECTORY_BODY_MAX_BYTES
}

const fn article(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Organization => "an Organization",
        EntryKind::HealthcareService => "a HealthcareService",
        EntryKind::Location => "a Location",
        EntryKind::Endpoint => "an Endpoint",
    }
}

/// References that lead nowhere.
fn loose(body: &Value, known: &Known<'_>) -> Vec<Issue> {
    let mut issues = Vec::new();
    referred(body, &mut |place, literal| match entry::named(literal, known.base) {
        Some((kind, id)) if known.has(kind, id) => {}
        Some((kind, _)) => {
            let told =
                format!("there is no such {kind} in the directory: make it first, or name it by identifier alone");
            issues.push(Issue::error(IssueCode::NotFound, place, told));
        }
        None => {
            let told = "an entry refers to entries of this directory, as [type]/[id], or names what else is meant by \
                        identifier alone";
            issues.push(Issue::error(IssueCode::BusinessRule, place, told));
        }
    });
    issues
}

/// With the record of the version before, whatever the body says: clients are not given it, and have none to say.
fn with_record(body: Value, before: Option<&Value>) -> Value {
    let mut body = entry::without_record(body);
    if let Some(record) = before.and_then(entry::record_of)
        && let Some(object) = body.as_object_mut()
        && let Some(extensions) = object.entry("extension").or_insert_with(|| Value::Array(Vec::new())).as_array_mut()
    {
        extensions.push(record.clone());
    }
    body
}

/// That the record of an import is none: the next import could not tell what was changed here.
fn unreadable(kind: EntryKind, body: &Value) -> Option<Issue> {
    let is_bad = entry::record_of(body).is_some() && open_referral::kept(body).is_none();
    let told = "the record that it was made of is no JSON object";
    is_bad.then(|| Issue::error(IssueCode::BusinessRule, format!("{kind}.extension"), told))
}

/// What no profile can say.
fn unfit(kind: EntryKind, body: &Value) -> Vec<Issue> {
    let mut issues = Vec::new();
    for url in entry::strays(body) {
        let told = format!("{url} is an extension of the entry itself, and of nothing in it: put it there");
        issues.push(Issue::error(IssueCode::BusinessRule, kind.code(), told));
    }
    if entry::identifies_by(body, entry::INBOX_SYSTEM) {
        let told = "an inbox is named by reference, as Endpoint/[inbox]: its identifier is that of the Endpoint that the \
                    configuration makes, and of nothing else";
        issues.push(Issue::error(IssueCode::BusinessRule, kind.code(), told));
    }
    if body.get("contained").is_some() {
        let told = "an entry contains no other resource: make that an entry of its own and refer to it";
        issues.push(Issue::error(IssueCode::BusinessRule, format!("{kind}.contained"), told));
    }
    issues
}

/// That a story is told which nobody has looked at.
fn untold(body: &Value, before: Option<&Value>) -> Issue {
    let is_new = |extension: &Value| {
        entry::stories(body).any(|story| story == extension)
            && !before.is_some_and(|before| entry::stories(before).any(|told| told == extension))
    };
    let at = tree::items(body, "extension").iter().position(is_new).unwrap_or_default();
    let told = "a practice story is new or was changed: make sure that nobody can be recognised in it, and say so \
                (story-checked: true)";
    Issue::error(IssueCode::BusinessRule, format!("HealthcareService.extension[{at}]"), told)
}
