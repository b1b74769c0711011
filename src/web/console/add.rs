//! `/console/add/system` and `/console/add/provider`: what a new system or provider needs in the configuration, written from a form and
//! checked. It is pasted by whoever keeps the file: pages change no configuration, so nobody who gets at a session can.

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};

use super::{Keeper, absent, ends::may_send, words::plain};
use crate::{
    config::new_token,
    onboarding::piece::{Adds, Draft, FIELD_CHARS_MAX, Field, Meets, Said},
    web::{
        Shared, Web,
        form::{Form, Seen, Signed},
        frame::{Frame, Section},
        page::{self, Fault},
    },
};

/// How a system is met: the value of its field, and the words.
const SYSTEM_MEETS: [(Meets, &str, &str); 2] = [
    (Meets::WrittenBack, "written-back", "What becomes of referrals is written into its record, by a FHIR server"),
    (Meets::Asks, "asks", "It asks here what becomes of them"),
];
/// How a provider is met, likewise.
const PROVIDER_MEETS: [(Meets, &str, &str); 4] = [
    (Meets::Pages, "pages", "Its people read and answer them on pages here"),
    (Meets::SentAnswers, "sent", "They are sent to its FHIR server, and it answers here by itself"),
    (Meets::SentRead, "read", "They are sent to its FHIR server, and its answers are read there"),
    (Meets::Fetches, "fetches", "Its system fetches and answers them here"),
];

/// The form.
#[derive(Template)]
#[template(path = "console/add.html")]
struct AddPage {
    frame: Frame,
    made_for: String,
    faults: Vec<Fault>,
    title: &'static str,
    back: (&'static str, &'static str),
    path: &'static str,
    draft: Draft,
    legend: &'static str,
    meets: &'static str,
    ways: Vec<(&'static str, &'static str)>,
}

/// What was written.
#[derive(Template)]
#[template(path = "console/piece.html")]
struct PiecePage {
    frame: Frame,
    title: String,
    back: (&'static str, &'static str),
    piece: String,
    /// What its client shows to Onward: shown this once, and kept nowhere.
    token: Option<String>,
    token_file: String,
    /// What is worth saying.
    remarks: Vec<String>,
    /// Where it is looked at when it is in force.
    page: String,
    /// For whom people have to be added, where they work on pages here.
    people: Option<String>,
    is_provider: bool,
}

/// `GET /console/add/system`.
pub(super) async fn system(Keeper(seen): Keeper) -> Response {
    asked(&seen, Adds::System)
}

/// `GET /console/add/provider`.
pub(super) async fn provider(Keeper(seen): Keeper) -> Response {
    asked(&seen, Adds::Provider)
}

/// `POST /console/add/system`.
pub(super) async fn write_system(State(web): State<Shared>, signed: Signed) -> Response {
    written(&web, &signed, Adds::System)
}

/// `POST /console/add/provider`.
pub(super) async fn write_provider(State(web): State<Shared>, signed: Signed) -> Response {
    written(&web, &signed, Adds::Provider)
}

fn asked(seen: &Seen, adds: Adds) -> Response {
    if !may_send(&seen.visitor.positions) {
        return absent(seen);
    }
    let text = String::new;
    let (id, name, ods_code, base_url, token_file) = (text(), text(), text(), text(), text());
    let meets = ways(adds).first().map_or(Meets::Asks, |(meets, ..)| *meets);
    page::shown(StatusCode::OK, &AddPage::of(seen, Draft { adds, id, name, ods_code, meets, base_url, token_file }))
}

/// Nothing is kept of it, so it is an answer and leads nowhere: to load it again writes another piece, with another token.
fn written(web: &Web, signed: &Signed, adds: Adds) -> Response {
    let seen = signed.seen();
    if !may_send(&seen.visitor.positions) {
        return absent(&seen);
    }
    let Some(draft) = read(&signed.form, adds) else { return absent(&seen) };
    let remarks = match draft.checked(&web.console.registry.load()) {
        Ok(remarks) => remarks,
        Err(faults) => {
            let faults = faults.iter().map(|said| Fault::at(field(said.field), plain(&said.told))).collect();
            return page::shown(StatusCode::UNPROCESSABLE_ENTITY, &AddPage { faults, ..AddPage::of(&seen, draft) });
        }
    };
    let token = match draft.meets.comes().then(new_token) {
        Some(None) => return page::unavailable(),
        Some(Some(token)) => Some(token),
        None => None,
    };
    let piece = draft.written(token.as_ref().map(|(_, hash)| hash));
    tracing::info!(person = seen.visitor.person, "a piece of the configuration was written on a page");
    page::shown(
        StatusCode::OK,
        &PiecePage::of(&seen, draft, piece, token.map(|(token, _)| token.reveal().to_owned()), &remarks),
    )
}

/// What was filled in, as far as it is so long; none where no way was chosen of those that there are.
fn read(form: &Form, adds: Adds) -> Option<Draft> {
    let text = |name: &str| form.text(name).trim().chars().take(FIELD_CHARS_MAX).collect::<String>();
    let chosen = form.text("meets");
    let meets = ways(adds).iter().find(|(_, code, _)| *code == chosen)?.0;
    let (base_url, token_file) =
        if meets.has_server() { (text("base-url"), text("token-file")) } else { Default::default() };
    Some(Draft { adds, id: text("id"), name: text("name"), ods_code: text("ods-code"), meets, base_url, token_file })
}

fn ways(adds: Adds) -> &'static [(Meets, &'static str, &'static str)] {
    match adds {
        Adds::System => &SYSTEM_MEETS,
        Adds::Provider => &PROVIDER_MEETS,
    }
}

/// The field of the form.
fn field(field: Field) -> &'static str {
    match field {
        Field::Id => "id",
        Field::Name => "name",
        Field::OdsCode => "ods-code",
        Field::BaseUrl => "base-url",
        Field::TokenFile => "token-file",
        Field::All => "",
    }
}

fn back(adds: Adds) -> (&'static str, &'static str) {
    match adds {
        Adds::System => ("/console/systems", "Systems"),
        Adds::Provider => ("/console/providers", "Providers"),
    }
}

// === impl AddPage ===

impl AddPage {
    fn of(seen: &Seen, draft: Draft) -> Self {
        let (title, path, legend) = match draft.adds {
            Adds::System => ("Add a system", "/console/add/system", "How does it learn what becomes of its referrals?"),
            Adds::Provider => ("Add a provider", "/console/add/provider", "How does it get its referrals?"),
        };
        let all = ways(draft.adds);
        let meets = all.iter().find(|(meets, ..)| *meets == draft.meets).map_or("", |(_, code, _)| *code);
        Self {
            frame: Frame::of(seen, Section::Console),
            made_for: seen.made_for.clone(),
            faults: vec![],
            title,
            back: back(draft.adds),
            path,
            legend,
            meets,
            ways: all.iter().map(|(_, code, words)| (*code, *words)).collect(),
            draft,
        }
    }
}

// === impl PiecePage ===

impl PiecePage {
    fn of(seen: &Seen, draft: Draft, piece: String, token: Option<String>, remarks: &[Said]) -> Self {
        let back = back(draft.adds);
        Self {
            frame: Frame::of(seen, Section::Console),
            title: format!("What adds {}", draft.name),
            page: format!("{}/{}", back.0, draft.id),
            back,
            piece,
            token,
            remarks: remarks.iter().map(|said| plain(&said.told)).collect(),
            people: (draft.meets == Meets::Pages).then(|| draft.id.clone()),
            token_file: draft.token_file,
            is_provider: draft.adds == Adds::Provider,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Config, Env, TokenHash},
        web::console::tests::{SYSTEM, scene},
    };

    const PATH: &str = "/console/add/provider";

    fn fields<'f>(made_for: &'f str, id: &'f str, meets: &'f str) -> Vec<(&'f str, &'f str)> {
        vec![
            ("made-for", made_for),
            ("id", id),
            ("name", "Mind & Co"),
            ("ods-code", "AB123"),
            ("meets", meets),
            ("base-url", "https://mind.example/fhir"),
            ("token-file", ""),
        ]
    }

    #[tokio::test]
    async fn a_piece_is_written_that_the_configuration_takes_with_a_token_that_is_shown_once() {
        let scene = scene();
        let mut olive = scene.browser_of("operator").await;
        assert!(olive.get("/console/providers").await.text.contains(PATH));
        let made_for = olive.get(PATH).await.made_for().to_owned();
        let page = olive.post(PATH, &fields(&made_for, "mind", "sent")).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        let token = page.between("onward-key\">", "<").to_owned();
        let piece = page.between("<pre class=\"onward-diff\">", "</pre>").replace("&#34;", "\"").replace("&#38;", "&");
        let read = Config::parse(&piece, std::path::Path::new("onward.toml"), &Env::default()).unwrap().0.registry;
        let provider = read.providers.values().next().unwrap();
        assert_eq!((provider.name.as_str(), read.inboxes.len()), ("Mind & Co", 1));
        assert!(provider.tokens[0].is(&TokenHash::of(&token)), "the token that is shown is the one");
        assert!(!page.text[..page.text.find("onward-key").unwrap()].contains(&token) && !piece.contains(&token));
        let again = olive.post(PATH, &fields(&made_for, "mind", "sent")).await;
        assert!(!again.text.contains(&token), "it is kept nowhere");
    }

    #[tokio::test]
    async fn what_is_wrong_is_told_at_its_field_and_who_is_there_is_not_added_again() {
        let scene = scene();
        let mut olive = scene.browser_of("operator").await;
        let made_for = olive.get(PATH).await.made_for().to_owned();
        let page = olive.post(PATH, &fields(&made_for, "life-rooms", "read")).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(page.text.contains("“life-rooms” is there already") && page.text.contains("Error: "), "{}", page.text);
        let page = olive.post(PATH, &fields(&made_for, "Mind", "pages")).await;
        assert!(page.text.contains("id=\"id-error\""), "{}", page.text);
        let page = olive.post(PATH, &fields(&made_for, "mind", "by pigeon")).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND);
        let system = olive.post("/console/add/system", &fields(&made_for, SYSTEM, "asks")).await;
        assert_eq!(system.status, StatusCode::UNPROCESSABLE_ENTITY);
    }

    #[tokio::test]
    async fn only_who_may_send_a_test_adds_anybody() {
        let scene = scene();
        let mut audrey = scene.browser_of("auditor").await;
        assert!(!audrey.get("/console/providers").await.text.contains(PATH));
        let made_for = audrey.get("/console/trace").await.made_for().to_owned();
        for path in [PATH, "/console/add/system"] {
            assert_eq!(audrey.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
            assert_eq!(audrey.post(path, &fields(&made_for, "mind", "pages")).await.status, StatusCode::NOT_FOUND);
        }
    }
}
