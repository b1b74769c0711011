//! Every route of the pages, as the table has them: asked by nobody, by everybody whose it is not, and by forms from elsewhere. Nothing
//! here is listed by hand, so a route that is added is tried as well.

use super::*;
use crate::domain::Position;

const NOBODYS: &str = "0198b6a0-7c1e-7bd0-a5d1-000000000000";
/// A page that is there for nobody here: no destination has a dead letter.
const FOR_NOBODY: &str = "/console/dead/replay";
/// Asked for while a report is reckoned; once that is there, it leads to it.
const LEADS_ON: &str = "/console/reports/now";
const ROLES: [&str; 7] = [
    "referrer:local",
    "provider-worker:local",
    "provider-admin:local",
    "route-editor",
    "operator",
    "auditor",
    "provider-worker:local provider-admin:local route-editor operator auditor",
];

/// The paths of a route, about what is nobody's. A parameter of which nothing is known here fails.
fn paths(route: &Listed) -> Vec<String> {
    let known = [("task", NOBODYS), ("other", NOBODYS), ("id", NOBODYS), ("message", NOBODYS), ("number", "1")];
    let known = known.into_iter().chain([("key", "00000000000000000000000000000000"), ("name", "none")]);
    let path = known.fold(route.path.clone(), |path, (name, value)| path.replace(&format!("{{{name}}}"), value));
    let all: Vec<String> = match route.actions.as_slice() {
        [] => vec![path],
        actions => actions.iter().map(|action| path.replace("{action}", action)).collect(),
    };
    assert!(all.iter().all(|path| !path.contains('{')), "{all:?}: what stands for this parameter?");
    all
}

fn forms() -> impl Iterator<Item = (Listed, String)> {
    let all = routes_of_pages(true, false).into_iter().filter(|route| route.method == Method::POST);
    all.flat_map(|route| paths(&route).into_iter().map(move |path| (route.clone(), path)))
}

async fn with_roles(scene: &Scene, name: &str, roles: &str) -> Browser {
    let positions: Vec<Position> = roles.split(' ').map(|role| role.parse().unwrap()).collect();
    let code = scene.people.add("command:test", name, "Anna", positions).await.unwrap();
    let key = scene.enrols(name, code.reveal()).await;
    scene.logged_in(name, &key).await
}

#[test]
fn whoever_has_not_logged_in_may_send_the_forms_that_are_for_everybody_and_no_other() {
    let all = routes_of_pages(true, true);
    let open = all.iter().filter(|route| route.method == Method::POST && route.who == For::Everybody);
    let open: std::collections::BTreeSet<&str> = open.map(|route| route.path.as_str()).collect();
    assert_eq!(open, door::OPEN_FORMS.iter().copied().chain([door::BACKCHANNEL]).collect());
}

#[tokio::test]
async fn whoever_is_not_logged_in_is_sent_to_log_in_by_every_route_but_those_for_everybody() {
    let scene = scene();
    let all = routes_of_pages(true, false);
    for route in all.iter().filter(|route| route.who != For::Everybody) {
        for path in paths(route) {
            // nor is a form of use that some page bears
            let fields = [("made-for", Token::mint().unwrap().for_forms())];
            let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let mut browser = scene.browser();
            let page = match route.method {
                Method::GET => browser.get(&path).await,
                _ => browser.post(&path, &fields).await,
            };
            assert!(page.to().starts_with("/login"), "{} {path}", route.method);
            assert!(browser.cookies.is_empty(), "{} {path}", route.method);
        }
    }
}

#[tokio::test]
async fn no_form_is_taken_from_elsewhere_or_without_what_her_own_page_bears() {
    let scene = scene();
    let mut anna = with_roles(&scene, "anna", ROLES[6]).await;
    let made_for = anna.get("/account").await.made_for().to_owned();
    let of_bert = with_roles(&scene, "bert", ROLES[6]).await.get("/account").await.made_for().to_owned();
    let mut tried = 0;
    for (route, path) in forms() {
        for origin in [None, Some("https://evil.example"), Some("null"), Some("http://onward.example")] {
            anna.origin = origin;
            let page = anna.post(&path, &[("made-for", &made_for)]).await;
            assert_eq!(page.status, StatusCode::FORBIDDEN, "{path} from {origin:?}");
        }
        anna.origin = Some(BASE);
        if route.who == For::Everybody {
            continue;
        }
        for wrong in [&[][..], &[("made-for", "")], &[("made-for", of_bert.as_str())]] {
            assert_eq!(anna.post(&path, wrong).await.status, StatusCode::FORBIDDEN, "{path} with {wrong:?}");
        }
        tried += 1;
        // the control: what her own page bears is what lets it through. What ends her session is tried elsewhere
        if route.who != For::Herself {
            let page = anna.post(&path, &[("made-for", &made_for)]).await;
            assert_ne!(page.status, StatusCode::FORBIDDEN, "{path}: {}", page.text);
        }
    }
    assert!(tried > 30, "{tried}");
    assert!(anna.is_in().await);
}

/// What a route says of whom it is for is so: to everybody else it is not there, by `GET` and by a form that bears all it must.
#[tokio::test]
async fn a_route_is_there_for_those_it_is_for_and_for_nobody_else() {
    let scene = scene();
    for (n, roles) in ROLES.into_iter().enumerate() {
        let mut browser = with_roles(&scene, &format!("person-{n}"), roles).await;
        let positions: Vec<Position> = roles.split(' ').map(|role| role.parse().unwrap()).collect();
        let made_for = browser.get("/account").await.made_for().to_owned();
        for route in routes_of_pages(true, false) {
            if !matches!(route.who, For::Those(_)) {
                continue;
            }
            for path in paths(&route) {
                let page = match route.method {
                    Method::GET => browser.get(&path).await,
                    _ => browser.post(&path, &[("made-for", &made_for)]).await,
                };
                let about = format!("{roles}: {} {path}: {} {}", route.method, page.status, page.text);
                if !route.who.is_for(&positions) {
                    assert_eq!(page.status, StatusCode::NOT_FOUND, "{about}");
                } else if route.method == Method::POST {
                    // an empty form may ask for what is not there; that it comes as far as that is what counts
                    assert_ne!(page.status, StatusCode::FORBIDDEN, "{about}");
                } else if route.path == LEADS_ON {
                    assert!([StatusCode::OK, StatusCode::SEE_OTHER].contains(&page.status), "{about}");
                } else if !route.path.contains('{') && route.path != FOR_NOBODY {
                    assert_eq!(page.status, StatusCode::OK, "{about}");
                }
                assert!(!page.status.is_server_error(), "{about}");
            }
        }
    }
}
