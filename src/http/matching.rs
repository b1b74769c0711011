//! Conditional writes (R4 http, 3.1.0.4.3, 3.1.0.6.1 and 3.1.0.8.1): the resource is named by a search. A parameter that is not known is
//! refused whatever the client prefers: without it another resource would be written.

use axum::{
    extract::State,
    http::{HeaderName, StatusCode, header},
};
use serde_json::Value;

use super::{
    Shared,
    call::{AnyOrder, Call, Caller, pairs},
    conversation, directory,
    reply::{Answer, Fault},
    search,
    surroundings::Found,
    write,
};
use crate::{
    domain::EntryKind,
    fhir::{Issue, IssueCode},
};

/// The one resource that a search finds, if there is one.
///
/// # Errors
/// 412 where there are several; what is wrong with the search.
pub(super) async fn found(
    app: &Shared,
    kind: &str,
    caller: &Caller,
    asked: &[(String, String)],
) -> Result<Option<Found>, Fault> {
    let mut found = search::found(app, kind, caller, asked).await?;
    if found.len() > 1 {
        let told = "the search finds several resources; nothing was done";
        let issue = Issue::error(IssueCode::MultipleMatches, "%resource", told);
        return Err(Fault::new(StatusCode::PRECONDITION_FAILED, issue));
    }
    Ok(found.pop())
}

/// The search of an `If-None-Exist`: with its question mark and its type before that, or without.
///
/// # Errors
/// 400 where it is a search for another type, or elsewhere: what is there already would be looked for at the wrong place.
pub(super) fn condition(text: &str, kind: &str, base_url: &str) -> Result<Vec<(String, String)>, Fault> {
    let Some((of, query)) = text.split_once('?') else { return Ok(pairs(text)) };
    let own = format!("{base_url}/fhir/");
    if of.is_empty() || of.strip_prefix(&*own).unwrap_or(of) == kind {
        return Ok(pairs(query));
    }
    let told = format!("this is no search for {kind} here: leave out what stands before the question mark");
    Err(Fault::invalid(vec![Issue::error(IssueCode::Value, "http.if-none-exist", told)]))
}

/// The message that the `If-None-Exist` of a new one finds, among those about the same referral: of messages, nothing but their referral
/// leads to them.
pub(super) async fn said(app: &Shared, caller: &Caller, message: &Value, text: &str) -> Result<Option<Found>, Fault> {
    let by = |name: &str, place: &str| {
        message.pointer(place).and_then(Value::as_str).map(|reference| (name.to_owned(), reference.to_owned()))
    };
    let of = by("based-on", "/basedOn/0/reference").or_else(|| by("about", "/about/0/reference"));
    let Some(of) = of else { return Ok(None) };
    let asked: Vec<(String, String)> =
        condition(text, "Communication", &app.base_url)?.into_iter().chain([of]).collect();
    found(app, "Communication", caller, &asked).await
}

/// `PUT /fhir/ServiceRequest?…`
pub(super) async fn update_request(State(app): State<Shared>, AnyOrder { mut call, faults }: AnyOrder) -> Answer {
    let id = call.body.get("id").and_then(Value::as_str).map(str::to_owned);
    match found(&app, "ServiceRequest", &call.caller, &call.caller.query).await? {
        Some(one) => {
            if !faults.is_empty() {
                return Err(Fault::invalid(faults));
            }
            named(&mut call, &one, "ServiceRequest")?;
            conversation::update_one(&app, &one.id, call).await
        }
        None => {
            nothing_found(&call.caller, "ServiceRequest", id.as_deref())?;
            write::create_one(&app, AnyOrder { call, faults }).await
        }
    }
}

/// `PATCH /fhir/ServiceRequest?…`
pub(super) async fn patch_request(State(app): State<Shared>, call: Call) -> Answer {
    let one = found(&app, "ServiceRequest", &call.caller, &call.caller.query).await?.ok_or_else(Fault::not_found)?;
    conversation::patch_one(&app, &one.id, call).await
}

/// `PUT /fhir/Task?…`
pub(super) async fn update_task(State(app): State<Shared>, mut call: Call) -> Answer {
    let one = found(&app, "Task", &call.caller, &call.caller.query).await?.ok_or_else(no_task)?;
    named(&mut call, &one, "Task")?;
    write::update_one(&app, &one.id, call).await
}

/// `PATCH /fhir/Task?…`
pub(super) async fn patch_task(State(app): State<Shared>, call: Call) -> Answer {
    let one = found(&app, "Task", &call.caller, &call.caller.query).await?.ok_or_else(no_task)?;
    write::patch_one(&app, &one.id, call).await
}

/// `PUT /fhir/{kind}?…` of an entry of the directory: what the search finds becomes this, or this is made.
pub(super) fn put_entry(kind: EntryKind) -> axum::routing::MethodRouter<Shared> {
    axum::routing::put(move |State(app): State<Shared>, mut call: Call| async move {
        let id = call.body.get("id").and_then(Value::as_str).map(str::to_owned);
        match found(&app, kind.code(), &call.caller, &call.caller.query).await? {
            Some(one) => {
                named(&mut call, &one, kind.code())?;
                directory::update(&app, kind, &one.id, call).await
            }
            None => {
                nothing_found(&call.caller, kind.code(), id.as_deref())?;
                directory::create(&app, kind, call).await
            }
        }
    })
}

/// `PATCH /fhir/{kind}?…` of an entry of the directory.
pub(super) fn patch_entry(kind: EntryKind) -> axum::routing::MethodRouter<Shared> {
    axum::routing::patch(move |State(app): State<Shared>, call: Call| async move {
        let one = found(&app, kind.code(), &call.caller, &call.caller.query).await?.ok_or_else(Fault::not_found)?;
        directory::patch(&app, kind, &one.id, call).await
    })
}

/// Refuses to make what a search did not find, where the call says that it is there.
fn nothing_found(caller: &Caller, kind: &str, id: Option<&str>) -> Result<(), Fault> {
    if caller.header(&header::IF_MATCH).is_some() {
        let told = "the search finds nothing that could have this version";
        let issue = Issue::error(IssueCode::Conflict, "http.If-Match", told);
        return Err(Fault::new(StatusCode::PRECONDITION_FAILED, issue));
    }
    if id.is_some() {
        let told = "the search finds nothing, and ids are given here: leave the id out, or POST";
        let issue = Issue::error(IssueCode::NotSupported, format!("{kind}.id"), told);
        let fault = Fault::new(StatusCode::METHOD_NOT_ALLOWED, issue);
        return Err(fault.header(header::ALLOW, "GET, HEAD, PATCH, POST, PUT"));
    }
    Ok(())
}

fn no_task() -> Fault {
    let told = "the search finds no Task; one is made by referring, POST a ServiceRequest";
    Fault::new(StatusCode::NOT_FOUND, Issue::error(IssueCode::NotFound, "%resource", told))
}

/// Gives the resource the id of the one that was found; one of its own must be the same.
fn named(call: &mut Call, one: &Found, kind: &str) -> Result<(), Fault> {
    match call.body.get("id") {
        Some(id) if id == one.id.as_str() => {}
        Some(_) => {
            let told = "the search finds another resource than the one of this id";
            return Err(Fault::invalid(vec![Issue::error(IssueCode::Value, format!("{kind}.id"), told)]));
        }
        None => {
            if let Some(resource) = call.body.as_object_mut() {
                resource.insert("id".to_owned(), one.id.clone().into());
            }
        }
    }
    Ok(())
}

/// Refuses what is to be done only where there is nothing yet, or not this version (RFC 9110, 13.1.2).
pub(super) fn none_match(caller: &Caller, version: u64) -> Result<(), Fault> {
    const HEADER: HeaderName = header::IF_NONE_MATCH;
    if caller.header(&HEADER).is_none() || !caller.has_already(version) {
        return Ok(());
    }
    let issue = Issue::error(IssueCode::Conflict, "http.If-None-Match", "there is what must not be there");
    Err(Fault::new(StatusCode::PRECONDITION_FAILED, issue))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_read_however_it_begins() {
        let expected = vec![("identifier".to_owned(), "a|b c".to_owned())];
        let read = |text: &str| condition(text, "ServiceRequest", "https://onward.example");
        for text in [
            "identifier=a|b%20c",
            "?identifier=a|b+c",
            "ServiceRequest?identifier=a%7Cb%20c",
            "https://onward.example/fhir/ServiceRequest?identifier=a|b%20c",
        ] {
            assert_eq!(read(text).unwrap(), expected, "{text}");
        }
        for elsewhere in ["Patient?identifier=a|b", "https://other.example/fhir/ServiceRequest?identifier=a|b"] {
            assert!(read(elsewhere).is_err(), "{elsewhere}");
        }
    }
}
