//! `/people`: the people of a provider, for whoever looks after them: who they are, what they may, whether they can log in. What may be
//! done with an account is `people`'s to say; a name to log in with stands in no URL.

use askama::Template;
use axum::{
    extract::{Path, RawQuery, State},
    http::StatusCode,
    response::Response,
};

use super::{
    Shared, Web,
    form::{Form, Seen, Signed},
    frame::{Frame, Section},
    inbox::absent,
    page::{self, Fault},
};
use crate::{
    auth::{
        Names,
        manage::{Reach, gives, managed},
    },
    domain::{Position, ProviderId},
    http::call::pairs,
    people::{
        Code, Managing,
        account::{AccountError, ENROL_WITHIN, is_full_name, person},
    },
    store::{Account, StoreError},
};

mod told;

use told::{fault, full_name_fault};

/// What may be done with an account, by its word in URLs.
pub(super) const ACTIONS: [&str; 4] = ["roles", "reset", "end", "again"];

/// What went well: the word in the URL, and the words of the page.
const DONE: [(&str, &str); 3] = [
    ("roles", "Saved. The new roles hold from the next log-in on; nobody is logged in with the old ones any more."),
    ("ended", "Ended. This person is logged in nowhere any more, and cannot log in."),
    ("again", "This person can log in again."),
];

/// All of them.
#[derive(Template)]
#[template(path = "people.html")]
struct ListPage {
    frame: Frame,
    done: &'static str,
    /// Whether people log in with accounts of Onward's own, and whether by somebody else.
    local: bool,
    issuer: bool,
    teams: Vec<Team>,
}

/// Those of one provider.
struct Team {
    name: String,
    people: Vec<Line>,
    /// The names of those whom the issuer lets in to work here.
    let_in: Vec<String>,
}

/// A person in the list.
struct Line {
    key: String,
    name: String,
    login: String,
    roles: Vec<&'static str>,
    state: Standing,
}

/// How it is with an account, as a tag.
struct Standing {
    words: &'static str,
    colour: &'static str,
}

/// A new one.
#[derive(Template)]
#[template(path = "people-add.html")]
struct AddPage {
    frame: Frame,
    faults: Vec<Fault>,
    made_for: String,
    name: String,
    /// How a name looks that one logs in with.
    hint: String,
    full_name: String,
    roles: Vec<Role>,
}

/// One person.
#[derive(Template)]
#[template(path = "person.html")]
struct PersonPage {
    frame: Frame,
    faults: Vec<Fault>,
    made_for: String,
    key: String,
    name: String,
    login: String,
    state: Standing,
    disabled: bool,
    own: bool,
    whole: bool,
    roles: Vec<Role>,
}

/// What is asked before something is done that cannot be undone by the next press.
#[derive(Template)]
#[template(path = "person-check.html")]
struct CheckPage {
    frame: Frame,
    made_for: String,
    key: String,
    name: String,
    asks: &'static Asks,
    /// So long an account that has ended can be let in again.
    days: u64,
}

/// What is asked, and what is told before.
struct Asks {
    action: &'static str,
    heading: &'static str,
    told: &'static [&'static str],
    button: &'static str,
}

/// What is asked once more.
const ASKS: [Asks; 2] = [
    Asks {
        action: "reset",
        heading: "Make a new code?",
        told: &[
            "The password and the device that this person uses now are of no use any more, from the moment you press.",
            "Whoever is logged in as this person is out at once.",
            "You see a new code this once, and hand it over yourself. Until it is used nobody can log in as this person.",
        ],
        button: "Make a new code",
    },
    Asks {
        action: "end",
        heading: "End this account?",
        told: &[
            "This person is out at once, everywhere, and cannot log in any more.",
            "Referrals that this person works stay with this person’s name: give them to somebody else.",
            "What was done stays told.",
        ],
        button: "End this account",
    },
];

/// A code, which is shown once.
#[derive(Template)]
#[template(path = "person-code.html")]
struct CodePage {
    frame: Frame,
    name: String,
    login: String,
    code: String,
    hours: u64,
    at: String,
}

/// A role that may be given.
struct Role {
    value: String,
    words: String,
    held: bool,
}

/// The page of an account. For templates.
pub(super) fn path_of(key: &str) -> String {
    format!("/people/{key}")
}

/// What a role is called; nothing where it is none of a provider.
fn role_words(position: &Position) -> &'static str {
    match position {
        Position::ProviderWorker(_) => "works referrals",
        Position::ProviderAdmin(_) => "looks after people and services",
        _ => "",
    }
}

/// How it is with an account now.
fn state(account: &Account, now: jiff::Timestamp) -> Standing {
    let (words, colour) = match (account.disabled, &account.credentials, &account.enrolment) {
        (true, ..) => ("Ended", "grey"),
        (false, Some(_), _) => ("Can log in", "green"),
        (false, None, Some(enrolment)) if now < enrolment.until => ("Has yet to set up the account", "yellow"),
        (false, None, _) => ("Needs a new code", "red"),
    };
    Standing { words, colour }
}

/// The roles that `manager` may give, and which of them are held.
fn roles(providers: &[(ProviderId, String)], held: &[Position]) -> Vec<Role> {
    let of = |(id, name): &(ProviderId, String)| {
        let role = |position: Position, words: String| Role {
            value: position.to_string(),
            words,
            held: held.contains(&position),
        };
        [
            role(Position::ProviderWorker(id.clone()), format!("Works the referrals of {name}")),
            role(Position::ProviderAdmin(id.clone()), format!("Looks after the people and services of {name}")),
        ]
    };
    providers.iter().flat_map(of).collect()
}

/// The roles in a form; a fault where one is none. Whether there must be some is for the account to say: who works elsewhere as well may
/// have none here any more.
fn wanted(form: &Form) -> Result<Vec<Position>, Fault> {
    let chosen: Result<Vec<Position>, _> = form.all("role").map(str::parse).collect();
    chosen.map_err(|_| Fault::at("role", "Choose what this person does"))
}

impl Web {
    /// What stands for accounts in URLs.
    async fn names(&self) -> Result<Names, Response> {
        self.people.names().await.map_err(|error| {
            tracing::warn!(%error, "what stands for accounts in URLs cannot be had");
            page::unavailable()
        })
    }

    /// The providers whose people a visitor looks after, with their names.
    fn looked_after(&self, seen: &Seen) -> Vec<(ProviderId, String)> {
        let registry = self.registry.load();
        let named = |id: &ProviderId| {
            let found = registry.providers.get(id);
            (id.clone(), found.map_or_else(|| id.to_string(), |one| one.name.clone()))
        };
        managed(&seen.visitor.positions).map(named).collect()
    }

    /// The account that this stands for, if it is this visitor's to see.
    async fn person(&self, seen: &Seen, wanted: &str) -> Result<(Account, Reach), Response> {
        let names = self.names().await?;
        let all = self.people.managed(&seen.visitor).await.map_err(|error| away(&error))?;
        all.into_iter().find(|(account, _)| names.of(&account.name) == wanted).ok_or_else(|| absent(seen))
    }
}

fn away(error: &StoreError) -> Response {
    tracing::warn!(%error, "accounts cannot be read or written");
    page::unavailable()
}

/// `GET /people`
pub(super) async fn page(State(web): State<Shared>, seen: Seen, RawQuery(query): RawQuery) -> Response {
    let providers = web.looked_after(&seen);
    if providers.is_empty() {
        return absent(&seen);
    }
    let accounts = match web.people.managed(&seen.visitor).await {
        Ok(accounts) => accounts,
        Err(error) => return away(&error),
    };
    let names = match web.names().await {
        Ok(names) => names,
        Err(answer) => return answer,
    };
    let now = web.store.now();
    let mut let_in = Vec::with_capacity(providers.len());
    for (id, _) in &providers {
        match web.people.let_in(std::slice::from_ref(id)).await {
            Ok(found) => let_in.push(found.works.into_iter().map(|(_, name)| name).collect()),
            Err(error) => return away(&error),
        }
    }
    let team = |((id, name), let_in): (&(ProviderId, String), Vec<String>)| {
        let of = |position: &Position| match position {
            Position::ProviderWorker(of) | Position::ProviderAdmin(of) if of == id => Some(role_words(position)),
            _ => None,
        };
        let line = |(account, _): &(Account, Reach)| {
            let roles: Vec<_> = account.positions.iter().filter_map(of).collect();
            (!roles.is_empty()).then(|| Line {
                key: names.of(&account.name),
                name: account.full_name.clone(),
                login: account.name.clone(),
                roles,
                state: state(account, now),
            })
        };
        Team { name: name.clone(), people: accounts.iter().filter_map(line).collect(), let_in }
    };
    let query = pairs(&query.unwrap_or_default());
    let done = query.iter().find(|(name, _)| name == "done").map_or("", |(_, word)| word);
    let done = DONE.iter().find(|(known, _)| *known == done).map_or("", |(_, words)| words);
    let (local, issuer) = (web.people.config().local, web.people.config().oidc.is_some());
    let teams = providers.iter().zip(let_in).map(team).collect();
    page::shown(StatusCode::OK, &ListPage { frame: Frame::of(&seen, Section::People), done, local, issuer, teams })
}

/// `GET /people/add`
pub(super) async fn add_page(State(web): State<Shared>, seen: Seen) -> Response {
    let providers = web.looked_after(&seen);
    if providers.is_empty() || !web.people.config().local {
        return absent(&seen);
    }
    adding(&seen, vec![], ("", ""), (&providers, &[]))
}

/// How a name looks that one logs in with, for who makes one.
fn hint(providers: &[(ProviderId, String)]) -> String {
    match providers {
        [(id, _)] => format!("Small letters, digits and . _ -. It ends with @{id}, which need not be written"),
        all => {
            let ends: Vec<String> = all.iter().map(|(id, name)| format!("@{id} ({name})")).collect();
            format!(
                "Small letters, digits and . _ -. It ends with that of these of which the first role is: {}",
                ends.join(", ")
            )
        }
    }
}

fn adding(
    seen: &Seen,
    faults: Vec<Fault>,
    (name, full_name): (&str, &str),
    (providers, held): (&[(ProviderId, String)], &[Position]),
) -> Response {
    let (hint, roles) = (hint(providers), roles(providers, held));
    let status = if faults.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let (frame, made_for) = (Frame::of(seen, Section::People), seen.made_for.clone());
    let (name, full_name) = (name.to_owned(), full_name.to_owned());
    page::shown(status, &AddPage { frame, faults, made_for, name, hint, full_name, roles })
}

/// `POST /people/add`. Its answer is no other page: the code that it shows is kept nowhere.
pub(super) async fn add(State(web): State<Shared>, signed: Signed) -> Response {
    let (seen, form) = (signed.seen(), &signed.form);
    let providers = web.looked_after(&seen);
    if providers.is_empty() || !web.people.config().local {
        return absent(&seen);
    }
    let (name, full_name) = (form.text("name").trim(), form.text("full-name").trim());
    let mut faults = Vec::new();
    if !is_full_name(full_name) {
        faults.push(full_name_fault());
    }
    let wanted = wanted(form).unwrap_or_default();
    if wanted.is_empty() {
        faults.push(Fault::at("role", "Choose what this person does"));
    }
    if faults.is_empty() {
        match web.people.invite(&seen.visitor, name, full_name, wanted.clone()).await {
            Ok((login, code)) => return shown_once(&web, &seen, (full_name, &login), &code),
            Err(AccountError::Own) => faults.push(Fault::at(
                "full-name",
                "This is your own name: another who looks after people makes an account for you, or your IT team",
            )),
            // what is not hers to give is no role of any page
            Err(AccountError::Beyond | AccountError::Unknown(_)) => return absent(&seen),
            Err(error) => match fault(&error) {
                Some(fault) => faults.push(fault),
                None => return page::unavailable(),
            },
        }
    }
    adding(&seen, faults, (name, full_name), (&providers, &wanted))
}

fn shown_once(web: &Web, seen: &Seen, (name, login): (&str, &str), code: &Code) -> Response {
    let page = CodePage {
        frame: Frame::of(seen, Section::People),
        name: name.to_owned(),
        login: login.to_owned(),
        code: code.reveal().to_owned(),
        hours: ENROL_WITHIN.as_secs() / 3600,
        at: format!("{}/enrol", web.base_url),
    };
    page::shown(StatusCode::OK, &page)
}

/// `GET /people/{key}`
pub(super) async fn one(State(web): State<Shared>, Path(key): Path<String>, seen: Seen) -> Response {
    match web.person(&seen, &key).await {
        Ok(found) => of_one(&web, &seen, key, found, vec![]),
        Err(answer) => answer,
    }
}

fn of_one(web: &Web, seen: &Seen, key: String, (account, reach): (Account, Reach), faults: Vec<Fault>) -> Response {
    let status = if faults.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let page = PersonPage {
        frame: Frame::of(seen, Section::People),
        faults,
        made_for: seen.made_for.clone(),
        key,
        state: state(&account, web.store.now()),
        disabled: account.disabled,
        own: seen.visitor.person == person(&account.name),
        whole: reach == Reach::Whole,
        roles: roles(&web.looked_after(seen), &account.positions),
        name: account.full_name,
        login: account.name,
    };
    page::shown(status, &page)
}

/// `GET /people/{key}/{action}`: what will happen, before it does.
pub(super) async fn ask(
    State(web): State<Shared>,
    Path((key, action)): Path<(String, String)>,
    seen: Seen,
) -> Response {
    let (account, reach) = match web.person(&seen, &key).await {
        Ok(found) => found,
        Err(answer) => return answer,
    };
    let is_own = seen.visitor.person == person(&account.name);
    let asks = ASKS.iter().find(|asks| asks.action == action);
    let Some(asks) = asks.filter(|_| reach == Reach::Whole && !is_own) else {
        // what is asked nothing more has its button on the person's page
        return page::to(&format!("/people/{key}"));
    };
    let (frame, made_for) = (Frame::of(&seen, Section::People), seen.made_for.clone());
    let days = web.people.config().forget_after.as_secs() / (24 * 3600);
    page::shown(StatusCode::OK, &CheckPage { frame, made_for, key, name: account.full_name, asks, days })
}

/// `POST /people/{key}/{action}`
pub(super) async fn act(
    State(web): State<Shared>,
    Path((key, action)): Path<(String, String)>,
    signed: Signed,
) -> Response {
    let seen = signed.seen();
    let found = match web.person(&seen, &key).await {
        Ok(found) => found,
        Err(answer) => return answer,
    };
    let (what, done) = match action.as_str() {
        "roles" => match wanted(&signed.form) {
            Ok(wanted) if wanted.iter().all(|position| gives(&seen.visitor.positions, position)) => {
                (Managing::Positions(wanted), "roles")
            }
            Ok(_) => return absent(&seen),
            Err(fault) => return of_one(&web, &seen, key, found, vec![fault]),
        },
        "reset" => (Managing::Reset, ""),
        "end" => (Managing::Disable, "ended"),
        "again" => (Managing::Enable, "again"),
        _ => return absent(&seen),
    };
    match web.people.manage(&seen.visitor, &found.0.name, what).await {
        Ok(Some(code)) => shown_once(&web, &seen, (&found.0.full_name, &found.0.name), &code),
        Ok(None) => page::to(&format!("/people?done={done}")),
        Err(AccountError::Absent) => absent(&seen),
        Err(error) => match fault(&error) {
            Some(fault) => of_one(&web, &seen, key, found, vec![fault]),
            None => page::unavailable(),
        },
    }
}

#[cfg(test)]
mod tests;
