//! `$validate`: what would be said of a resource, without anything being done (R4 resource-operation-validate.html).

use axum::{extract::State, http::Uri};
use serde_json::Value;

use super::{
    Shared,
    call::{AnyOrder, Caller},
    directory, read,
    reply::{Answer, Fault, Reply},
    who,
};
use crate::{
    auth::Granted,
    config::registry::Client,
    conversation, definitions,
    directory::WriteError,
    domain::{EntryKind, Letter},
    fhir::{Issue, IssueCode, Severity, outcome, tree},
    intake::{IntakeError, apart, asked_of},
    profiles::Asked,
};

/// So many profiles may be asked for at once.
const PROFILES_MAX: usize = 16;

/// What is asked: `mode` of R4's `resource-validation-mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Whether it would be taken if it were created.
    Create,
    /// Whether it would be taken in place of the one that is here.
    Update,
    /// Whether the one that is here could be deleted.
    Delete,
    /// Whether it conforms to the profiles that are named.
    Profile,
}

/// What came with the request.
#[derive(Debug, Default)]
struct Wanted {
    mode: Option<Mode>,
    profiles: Vec<String>,
    resource: Option<Value>,
}

/// Whether what would be said of a resource is for who may write such: by itself, or with a referral that it travels with.
fn may_be_told(granted: &Granted, kind: &'static str) -> Result<(), Fault> {
    let ways = [(kind, Letter::Create), (kind, Letter::Update), ("ServiceRequest", Letter::Create)];
    if ways.iter().any(|(kind, letter)| granted.allows(kind, *letter)) {
        return Ok(());
    }
    Err(Fault::beyond_scope(kind, Letter::Create))
}

/// `POST /fhir/{type}/$validate` and `POST /fhir/{type}/{id}/$validate`
pub async fn validate(State(app): State<Shared>, uri: Uri, request: AnyOrder) -> Answer {
    let AnyOrder { mut call, faults } = request;
    let (app, mut segments) = (&app, uri.path().trim_start_matches("/fhir/").split('/'));
    let kind = segments.next().and_then(definitions::resource_named).ok_or_else(Fault::not_found)?.name;
    let id = segments.next().filter(|segment| *segment != "$validate");
    may_be_told(&call.caller.granted, kind)?;
    if id.is_some() {
        who::reaches(&call.caller.granted, &[(kind, Letter::Read)])?;
    }
    let wanted = wanted(&call.caller, call.body.take(), kind).map_err(Fault::invalid)?;
    let entry = kind.parse::<EntryKind>().ok();
    if wanted.mode == Some(Mode::Delete) {
        let told = match entry {
            Some(_) => "nothing is deleted here: an entry of the directory becomes inactive",
            None => "nothing is deleted here: a referral is revoked or retracted",
        };
        let issue = Issue::error(IssueCode::NotSupported, kind, told);
        return Ok(Reply::ok(outcome(&[issue])));
    }
    let Some(resource) = wanted.resource else {
        let issue = Issue::error(IssueCode::Required, "Parameters.parameter", "the parameter “resource” is missing");
        return Err(Fault::invalid(vec![issue]));
    };
    let registry = app.registry.load_full();
    let system = call.caller.clients.iter().find_map(|client| match client {
        Client::System(id) => registry.systems.get(id),
        Client::Provider(_) | Client::Steward(_) => None,
    });
    let now = app.store.now();
    let asked = system.map_or(Asked::at(now), |system| asked_of(system, now));
    let asked = Asked { profiles: &wanted.profiles, tells: true, ..asked };
    let mut issues = faults;
    if tree::resource_type(&resource).is_some_and(|is| is != kind) {
        issues.push(Issue::error(IssueCode::Invalid, kind, format!("a {kind} is expected here")));
    }
    issues.extend(app.intake.validator.check(&resource, "", &asked).into_iter().map(|finding| finding.issue));
    let further = match (wanted.mode, entry) {
        (Some(mode @ (Mode::Create | Mode::Update)), Some(entry)) => {
            refused_as_entry(app, &call.caller, entry, mode, id, &resource).await?
        }
        (mode, _) => match mode {
            Some(Mode::Create) => refused_as_new(app, kind, &resource, &asked),
            Some(Mode::Update) => refused_as_update(app, &call.caller, kind, id, &resource).await?,
            _ => Vec::new(),
        },
    };
    for issue in further {
        if !issues.contains(&issue) {
            issues.push(issue);
        }
    }
    if issues.iter().all(|issue| issue.severity > Severity::Warning) {
        let told = match (entry, wanted.mode) {
            // an Organization of a referral is none of the directory
            (Some(_), None | Some(Mode::Profile)) => {
                "nothing is wrong with it; whether it can be an entry of the directory is said with mode=create or mode=update"
            }
            _ => "nothing is wrong with it",
        };
        issues.insert(0, Issue::information(IssueCode::Informational, kind.to_owned(), told));
    }
    // what is wrong first
    issues.sort_by_key(|issue| issue.severity);
    Ok(Reply::ok(outcome(&issues)))
}

/// What intake would say beside: nothing is stored, and no record is read.
fn refused_as_new(app: &Shared, kind: &str, resource: &Value, asked: &Asked<'_>) -> Vec<Issue> {
    match kind {
        "ServiceRequest" | "Bundle" => {
            let entries = tree::items(resource, "entry").len();
            if entries > app.limits.bundle_entries {
                let told = format!("a Bundle may have at most {} entries", app.limits.bundle_entries);
                return vec![Issue::error(IssueCode::TooCostly, "Bundle.entry", told)];
            }
            match apart::read(resource.clone(), kind, &app.intake.validator, asked) {
                Err(IntakeError::Invalid(issues) | IntakeError::Rule(issues)) => issues,
                _ => Vec::new(),
            }
        }
        "Communication" => conversation::unfit(resource),
        "Task" => {
            let told = "the Task of a referral is made here; it cannot be created";
            vec![Issue::error(IssueCode::NotSupported, kind, told)]
        }
        _ => {
            let told = "a resource of this type comes in the Bundle of a referral, never alone";
            vec![Issue::error(IssueCode::NotSupported, kind, told)]
        }
    }
}

/// What a steward who writes it as an entry of the directory would be told: it is looked at as then, and not written.
async fn refused_as_entry(
    app: &Shared,
    caller: &Caller,
    kind: EntryKind,
    mode: Mode,
    id: Option<&str>,
    resource: &Value,
) -> Result<Vec<Issue>, Fault> {
    let place = format!("{kind}.id");
    let mut over = None;
    if mode == Mode::Update {
        over = match named(&place, id, resource) {
            Ok(id) => Some(id),
            Err(issue) => return Ok(vec![issue]),
        };
        who::reaches(&caller.granted, &[(kind.code(), Letter::Read)])?;
    }
    let looked_at = async {
        let draft = app.directory.draft(kind, over, resource.clone(), directory::story_checked(caller)).await?;
        if !app.directory.is_same(&draft)? {
            app.directory.check_one(draft).await?;
        }
        Ok(())
    };
    match looked_at.await {
        Ok(()) => Ok(Vec::new()),
        Err(WriteError::Invalid(issues) | WriteError::Rule(issues)) => Ok(issues),
        Err(WriteError::Forbidden(told)) => Ok(vec![Issue::error(IssueCode::Forbidden, place, told)]),
        Err(WriteError::NotFound) => Ok(vec![Issue::error(IssueCode::NotFound, place, "there is none of this id")]),
        Err(error @ WriteError::Directory(_)) => Err(error.into()),
    }
}

/// The id of what an update is of: in the URL, and the resource's own.
fn named<'r>(place: &str, id: Option<&'r str>, resource: &'r Value) -> Result<&'r str, Issue> {
    let own = resource.get("id").and_then(Value::as_str);
    match id.or(own) {
        None => Err(Issue::error(IssueCode::Required, place, "an update names the resource by its id")),
        Some(id) if own == Some(id) => Ok(id),
        Some(_) => Err(Issue::error(IssueCode::Invalid, place, "the id must be the one in the URL")),
    }
}

/// Whether there is one that it could take the place of.
async fn refused_as_update(
    app: &Shared,
    caller: &Caller,
    kind: &str,
    id: Option<&str>,
    resource: &Value,
) -> Result<Vec<Issue>, Fault> {
    if !matches!(kind, "ServiceRequest" | "Task") {
        let told = "only a ServiceRequest and a Task are updated here";
        return Ok(vec![Issue::error(IssueCode::NotSupported, kind, told)]);
    }
    let place = format!("{kind}.id");
    let id = match named(&place, id, resource) {
        Ok(id) => id,
        Err(issue) => return Ok(vec![issue]),
    };
    if read::is_visible(app, caller, kind, id).await? {
        Ok(Vec::new())
    } else {
        Ok(vec![Issue::error(IssueCode::NotFound, place, "there is none of this id")])
    }
}

/// Takes apart what was sent: a Parameters resource, or the resource with the rest in the query.
fn wanted(caller: &Caller, body: Value, kind: &str) -> Result<Wanted, Vec<Issue>> {
    let (mut wanted, mut issues) = (Wanted::default(), Vec::new());
    for (name, value) in &caller.query {
        match name.as_str() {
            "mode" => mode(&mut wanted, value, "http.mode", &mut issues),
            "profile" => profile(&mut wanted, value, "http.profile", &mut issues),
            _ => {}
        }
    }
    let is_wrapper = tree::resource_type(&body) == Some("Parameters")
        && (kind != "Parameters"
            || tree::items(&body, "parameter").iter().any(|one| tree::text(one, "name") == Some("resource")));
    if is_wrapper {
        parameters(body, &mut wanted, &mut issues);
    } else {
        wanted.resource = Some(body);
    }
    if wanted.mode == Some(Mode::Profile) && wanted.profiles.is_empty() {
        issues.push(Issue::error(IssueCode::Required, "Parameters.parameter", "the mode “profile” wants a profile"));
    }
    if issues.is_empty() { Ok(wanted) } else { Err(issues) }
}

fn parameters(mut body: Value, wanted: &mut Wanted, issues: &mut Vec<Issue>) {
    let list = body.get_mut("parameter").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
    for (index, mut one) in list.into_iter().enumerate() {
        let place = format!("Parameters.parameter[{index}]");
        let name = tree::text(&one, "name").unwrap_or_default().to_owned();
        match name.as_str() {
            "resource" => match one.get_mut("resource").map(Value::take) {
                Some(resource) if wanted.resource.is_none() => wanted.resource = Some(resource),
                Some(_) => issues.push(Issue::error(IssueCode::Invalid, place, "“resource” stands once")),
                None => {
                    let told = "the parameter “resource” has an element “resource”";
                    issues.push(Issue::error(IssueCode::Required, format!("{place}.resource"), told));
                }
            },
            "mode" => {
                let code = tree::text(&one, "valueCode").or_else(|| tree::text(&one, "valueString"));
                mode(wanted, code.unwrap_or_default(), &format!("{place}.valueCode"), issues);
            }
            "profile" => {
                let texts = ["valueUri", "valueCanonical", "valueUrl", "valueString"];
                let url = texts.iter().find_map(|key| tree::text(&one, key));
                profile(wanted, url.unwrap_or_default(), &format!("{place}.valueUri"), issues);
            }
            _ => {
                let told = "the parameters are resource, mode and profile";
                issues.push(Issue::error(IssueCode::NotSupported, format!("{place}.name"), told));
            }
        }
    }
}

fn mode(wanted: &mut Wanted, code: &str, place: &str, issues: &mut Vec<Issue>) {
    wanted.mode = match code {
        "create" => Some(Mode::Create),
        "update" => Some(Mode::Update),
        "delete" => Some(Mode::Delete),
        "profile" => Some(Mode::Profile),
        _ => {
            let told = "the mode is create, update, delete or profile";
            issues.push(Issue::error(IssueCode::CodeInvalid, place, told));
            None
        }
    };
}

fn profile(wanted: &mut Wanted, url: &str, place: &str, issues: &mut Vec<Issue>) {
    if url.is_empty() {
        issues.push(Issue::error(IssueCode::Value, place, "a profile is named by its canonical URL"));
    } else if wanted.profiles.len() >= PROFILES_MAX {
        issues.push(Issue::error(IssueCode::TooCostly, place, format!("at most {PROFILES_MAX} profiles at once")));
    } else {
        wanted.profiles.push(url.to_owned());
    }
}
