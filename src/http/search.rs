//! Searches: what is asked, found and brought along, as one page. A parameter that is not known is refused unless the client says that
//! it may be left out: an answer to another question than was asked would be worse than none.

mod carried;
mod cursor;
mod entries;
mod few;
mod link;
mod walk;

use std::collections::{BTreeSet, HashSet};

use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::{StatusCode, header},
};
use serde_json::{Number, Value, json};
use uuid::Uuid;

use super::{
    Shared,
    call::{self, Caller},
    directory,
    reply::{Answer, Fault, Reply},
    subscription,
    surroundings::{Found, Surroundings},
    who,
};
use crate::{
    auth::Granted,
    directory::entry,
    domain::{EntryKind, Letter, ReferralId},
    fhir::{Issue, IssueCode, outcome, tree},
    search::{Leads, Search, World},
};

/// A search whose parameters stand in its body (R4 search, 3.1.1.1), or there and in its query.
pub(super) struct Form {
    /// Who calls.
    pub caller: Caller,
    /// What is asked.
    pub asked: Vec<(String, String)>,
}

impl FromRequest<Shared> for Form {
    type Rejection = Fault;

    async fn from_request(request: Request, app: &Shared) -> Result<Self, Fault> {
        let (mut parts, body) = request.into_parts();
        let caller = Caller::from_request_parts(&mut parts, app).await?;
        let body = call::read(app, &parts, body).await?;
        let content_type = caller.header(&header::CONTENT_TYPE).unwrap_or_default();
        let is_form = content_type
            .split(';')
            .next()
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"));
        if !is_form && !body.is_empty() {
            let told = "the parameters of a search are sent as application/x-www-form-urlencoded";
            let issue = Issue::error(IssueCode::NotSupported, "http.Content-Type", told);
            return Err(Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, issue));
        }
        let text = std::str::from_utf8(&body).map_err(|_| {
            Fault::invalid(vec![Issue::error(IssueCode::Structure, "%resource", "the body is not UTF-8")])
        })?;
        let asked = caller.query.iter().cloned().chain(call::pairs(text)).collect();
        Ok(Self { caller, asked })
    }
}

/// A page brings along no more than this.
const INCLUDED_MAX: usize = 2_000;

/// A resource that is found.
struct Match {
    /// The referral that it goes with; none of an entry of the directory.
    referral: Option<ReferralId>,
    found: Found,
    /// How far it is, where that was asked.
    metres: Option<f64>,
}

impl Match {
    fn of(referral: ReferralId, found: Found) -> Self {
        Self { referral: Some(referral), found, metres: None }
    }
}

/// The matches of a page.
#[derive(Default)]
struct Page {
    matches: Vec<Match>,
    /// How many there are on all pages, where that is known.
    total: Option<usize>,
    next: Option<cursor::Cursor>,
    /// What a client should know of it.
    told: Option<Issue>,
}

/// `GET /fhir/{type}?…` and `POST /fhir/{type}/_search`. `in_body`: whether it is asked so that it stands in no URL.
pub(super) async fn search(
    app: &Shared,
    kind: &str,
    caller: &Caller,
    asked: &[(String, String)],
    in_body: bool,
) -> Answer {
    let base = format!("{}/fhir", app.base_url);
    let link::Asked { pairs: asked, hidden } = link::asked(app, kind, caller, asked, in_body).await?;
    let search = Search::read(kind, &asked, &base, caller.is_lenient()).map_err(Fault::invalid)?;
    within_scopes(&search, &caller.granted)?;
    let (page, brought) = looked_for(app, caller, &asked, &search, &base).await?;
    let links = link::links(app, caller, &search, hidden, page.next.as_ref()).await?;
    Ok(Reply::ok(bundle(&base, &search, page, links, readable(brought, &caller.granted))))
}

/// A page of what is looked for, and what is brought along.
async fn looked_for(
    app: &Shared,
    caller: &Caller,
    asked: &[(String, String)],
    search: &Search,
    base: &str,
) -> Result<(Page, Vec<Value>), Fault> {
    let kind = &*search.of;
    if kind == "Subscription" {
        let matches = few::own(subscription::search(app, caller, asked).await?);
        let page = few::whole(search, matches, &Surroundings::new(app, caller, false), base)?;
        return Ok((page, Vec::new()));
    }
    if let Some(entries) = entries_looked_back_at(kind, asked, base) {
        let matches = few::own(directory::provenances(app, caller, &entries).await?);
        let page = few::whole(search, matches, &Surroundings::new(app, caller, false), base)?;
        return Ok((page, Vec::new()));
    }
    let of_changes = kind == "Provenance" || search.revincludes.iter().any(|include| include.from == "Provenance");
    let mut surroundings = Surroundings::new(app, caller, of_changes);
    let page = page(app, search, caller, &mut surroundings, base).await?;
    if kind.parse::<EntryKind>().is_ok() && page.matches.iter().all(|found| found.referral.is_none()) {
        let brought = entries::along::brought_along(app, search, &page.matches, base).await?;
        return Ok((page, brought));
    }
    let brought = match (search.includes.as_slice(), search.revincludes.as_slice()) {
        ([], []) => Vec::new(),
        (_, []) => led_to(search, &page.matches, &surroundings, base).await?,
        // what leads to a match may be anything that goes with it
        _ => brought_along(search, &page.matches, &mut surroundings, base).await?,
    };
    Ok((page, brought))
}

/// Whether all that a search looks into beside its own type may be searched, and what leads to its matches may be read.
fn within_scopes(search: &Search, granted: &Granted) -> Result<(), Fault> {
    let into = search.looks_into().into_iter().map(|kind| (kind, Letter::Search));
    let from = search.revincludes.iter().map(|include| (include.from.as_str(), Letter::Read));
    who::reaches(granted, &into.chain(from).collect::<Vec<_>>())
}

/// What is brought along, as far as it may be read: what a reference leads to may be of many types, and the matches say that it is there.
fn readable(mut brought: Vec<Value>, granted: &Granted) -> Vec<Value> {
    brought.retain(|body| granted.allows(tree::resource_type(body).unwrap_or_default(), Letter::Read));
    brought
}

/// The entries of the directory whose Provenances are asked for, where a search says nothing else of the target.
fn entries_looked_back_at(kind: &str, asked: &[(String, String)], base: &str) -> Option<Vec<(EntryKind, Uuid)>> {
    if kind != "Provenance" {
        return None;
    }
    let targets = asked.iter().filter(|(name, _)| name == "target" || name.starts_with("target:"));
    let mut all = Vec::new();
    for (name, value) in targets {
        for literal in value.split(',') {
            let literal = literal.split_once("/_history/").map_or(literal, |(whole, _)| whole);
            let of = name.strip_prefix("target:").filter(|_| !literal.contains('/'));
            let literal = of.map_or_else(|| literal.to_owned(), |kind| format!("{kind}/{literal}"));
            let (kind, id) = entry::named(&literal, base)?;
            let one = (kind, id.parse::<Uuid>().ok()?);
            if !all.contains(&one) {
                all.push(one);
            }
        }
    }
    (!all.is_empty()).then_some(all)
}

/// What a search finds that says which resource is meant, two at most: enough to tell one from several. Nothing that is asked may be left
/// out.
pub(super) async fn found(
    app: &Shared,
    kind: &str,
    caller: &Caller,
    asked: &[(String, String)],
) -> Result<Vec<Found>, Fault> {
    let base = format!("{}/fhir", app.base_url);
    let read = Search::read(kind, asked, &base, false).map_err(Fault::invalid)?;
    if read.conditions.is_empty() {
        let told = "say by a search which resource is meant, such as identifier=system|value";
        return Err(Fault::invalid(vec![Issue::error(IssueCode::Required, "http", told)]));
    }
    // what is found is told of, whatever is done with it
    who::reaches(&caller.granted, &[(kind, Letter::Search)])?;
    within_scopes(&read, &caller.granted)?;
    let search = Search { count: 2, after: None, total: false, sort: Vec::new(), ..read };
    let mut surroundings = Surroundings::new(app, caller, false);
    let page = page(app, &search, caller, &mut surroundings, &base).await?;
    if page.matches.len() < 2 && page.next.is_some() {
        return Err(too_costly(
            "http",
            "too much would have to be looked at to be sure which is meant: narrow the search",
        ));
    }
    Ok(page.matches.into_iter().map(|found| found.found).collect())
}

/// The matches of a page.
async fn page(
    app: &Shared,
    search: &Search,
    caller: &Caller,
    surroundings: &mut Surroundings<'_>,
    base: &str,
) -> Result<Page, Fault> {
    let kind = &*search.of;
    if let Ok(kind) = kind.parse::<EntryKind>() {
        return entries::page(app, kind, search, surroundings, base).await;
    }
    let leads = search.leads();
    if search.near.is_some() {
        return Err(too_costly("http", "what travels with a referral is not looked for by where it lies"));
    }
    match (&leads, kind) {
        (Leads::Nothing, "Task" | "ServiceRequest") => walk::page(app, search, caller, surroundings, base).await,
        (Leads::Nothing, _) if search.conditions.is_empty() && search.sort.is_empty() && !search.total => {
            carried::page(app, search, caller, surroundings).await
        }
        (Leads::Nothing, _) => {
            let told = format!(
                "say of which referral: by _id, by a reference to one of its resources (such as patient), or {kind} \
                                with _include and _revinclude of a search for Task or ServiceRequest"
            );
            Err(too_costly("http", told))
        }
        _ => few::page(app, search, leads, surroundings, base).await,
    }
}

/// A search that would look at too much, with what to do about it.
fn too_costly(place: &str, told: impl Into<String>) -> Fault {
    Fault::invalid(vec![Issue::error(IssueCode::TooCostly, place, told)])
}

/// What a resource is held against.
fn world<'a>(base: &'a str, found: &'a Found, find: &'a dyn Fn(&str, &str) -> Option<&'a Value>) -> World<'a> {
    World { base, now: jiff::Timestamp::now(), owner: found.owner.as_deref(), find }
}

/// What the matches lead to, each once and read by itself.
async fn led_to(
    search: &Search,
    matches: &[Match],
    surroundings: &Surroundings<'_>,
    base: &str,
) -> Result<Vec<Value>, Fault> {
    let now = jiff::Timestamp::now();
    let mut known: HashSet<(String, String)> =
        matches.iter().map(|m| (m.found.kind.clone(), m.found.id.clone())).collect();
    let mut brought: Vec<(Option<ReferralId>, Value)> = Vec::new();
    let mut begun = 0;
    let mut first = true;
    // each round goes on from what the last one brought, as far as it may
    loop {
        let mut wanted: Vec<(Option<ReferralId>, String, String)> = Vec::new();
        let mut see = |referral: Option<ReferralId>, body: &Value| {
            for include in search.includes.iter().filter(|include| first || include.iterate) {
                let leads = include.leads_to(body, base, now);
                let new = leads.into_iter().filter(|named| known.insert(named.clone()));
                wanted.extend(new.map(|(kind, id)| (referral, kind, id)));
            }
        };
        if first {
            matches.iter().for_each(|m| see(m.referral, &m.found.body));
        } else {
            brought.iter().skip(begun).for_each(|(referral, body)| see(*referral, body));
        }
        if brought.len() + wanted.len() > INCLUDED_MAX {
            return Err(too_much_along());
        }
        begun = brought.len();
        brought.extend(surroundings.several(wanted).await?);
        if begun == brought.len() {
            return Ok(brought.into_iter().map(|(_, body)| body).collect());
        }
        first = false;
    }
}

fn too_much_along() -> Fault {
    let told =
        format!("more than {INCLUDED_MAX} resources would be brought along: ask for fewer matches on a page (_count)");
    too_costly("http._include", told)
}

/// What the matches lead to, and what leads to them, each once.
async fn brought_along(
    search: &Search,
    matches: &[Match],
    surroundings: &mut Surroundings<'_>,
    base: &str,
) -> Result<Vec<Value>, Fault> {
    let referrals: Vec<ReferralId> = matches.iter().filter_map(|m| m.referral).collect();
    let now = jiff::Timestamp::now();
    // of a referral most is in what nothing here leads to: it is not even looked at
    let goes_on = !search.revincludes.is_empty() || search.includes.iter().any(|include| include.iterate);
    let bodies = matches.iter().map(|m| &m.found.body);
    let led_to = bodies.flat_map(|body| search.includes.iter().flat_map(|include| include.leads_to(body, base, now)));
    let types: Option<BTreeSet<String>> = (!goes_on).then(|| led_to.map(|(kind, _)| kind).collect());
    surroundings.read_of(&referrals, types.as_ref()).await?;
    let mut known: HashSet<(String, String)> =
        matches.iter().map(|m| (m.found.kind.clone(), m.found.id.clone())).collect();
    let mut from: Vec<(Option<ReferralId>, &Value)> = matches.iter().map(|m| (m.referral, &m.found.body)).collect();
    let mut brought = Vec::new();
    let mut first = true;
    let surroundings = &*surroundings;
    // each round goes on from what the last one brought, as far as it may
    while !from.is_empty() {
        let mut new: Vec<(Option<ReferralId>, &Value)> = Vec::new();
        for (referral, body) in &from {
            for include in search.includes.iter().filter(|include| first || include.iterate) {
                for (kind, id) in include.leads_to(body, base, now) {
                    let found = match referral {
                        Some(referral) => surroundings.find(*referral, &kind, &id),
                        None => surroundings.organisation(&kind, &id),
                    };
                    if let Some(found) = found.filter(|_| known.insert((kind, id))) {
                        new.push((*referral, found));
                    }
                }
            }
            let (Some(referral), Some(kind), Some(id)) =
                (*referral, body.get("resourceType").and_then(Value::as_str), body.get("id").and_then(Value::as_str))
            else {
                continue;
            };
            for include in search.revincludes.iter().filter(|include| first || include.iterate) {
                for found in surroundings.of(referral) {
                    let leads = include.leads_to(&found.body, base, now);
                    if leads.iter().any(|(k, i)| k == kind && i == id)
                        && known.insert((found.kind.clone(), found.id.clone()))
                    {
                        new.push((Some(referral), &found.body));
                    }
                }
            }
        }
        if brought.len() + new.len() > INCLUDED_MAX {
            return Err(too_much_along());
        }
        brought.extend(new.iter().map(|(_, body)| (*body).clone()));
        from = new;
        first = false;
    }
    Ok(brought)
}

/// How far a match is from where it is looked for (R4 extension-location-distance), in kilometres to three decimals.
fn distance(metres: f64) -> Value {
    let kilometres = Number::from_f64((metres).round() / 1_000.0);
    json!({
        "url": "http://hl7.org/fhir/StructureDefinition/location-distance",
        "valueDistance": {"value": kilometres, "unit": "km", "system": "http://unitsofmeasure.org", "code": "km"},
    })
}

fn bundle(base: &str, search: &Search, page: Page, links: Vec<Value>, brought: Vec<Value>) -> Value {
    let entry = |body: Value, mode: &str, metres: Option<f64>| {
        let of = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let full_url = format!("{base}/{}/{}", of("resourceType"), of("id"));
        let mut entry = json!({"fullUrl": full_url, "resource": search.shape.cut(body), "search": {"mode": mode}});
        if let Some(metres) = metres {
            entry["search"]["extension"] = json!([distance(metres)]);
        }
        entry
    };
    let mut entries: Vec<Value> = page.matches.into_iter().map(|m| entry(m.found.body, "match", m.metres)).collect();
    entries.extend(brought.into_iter().map(|body| entry(body, "include", None)));
    let told: Vec<Issue> = search.ignored.iter().cloned().chain(page.told).collect();
    if !told.is_empty() {
        entries.push(json!({"resource": outcome(&told), "search": {"mode": "outcome"}}));
    }
    let mut bundle = json!({"resourceType": "Bundle", "type": "searchset"});
    if let Some(total) = page.total {
        bundle["total"] = total.into();
    }
    bundle["link"] = links.into();
    if !entries.is_empty() {
        bundle["entry"] = entries.into();
    }
    bundle
}
