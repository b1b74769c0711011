use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/auth/README.md");
const BEGIN: &str = "<!-- made by src/auth/may/tests.rs -->\n";
const END: &str = "<!-- to here -->\n";

fn parties() -> Parties {
    Parties { system: "epr".parse().unwrap(), providers: vec!["life-rooms".parse().unwrap()] }
}

fn others() -> Parties {
    Parties { system: "gp".parse().unwrap(), providers: vec!["debt-advice".parse().unwrap()] }
}

fn system(id: &str) -> Client {
    Client::System(id.parse().unwrap())
}

fn provider(id: &str) -> Client {
    Client::Provider(id.parse().unwrap())
}

fn deed() -> impl Strategy<Value = Deed> {
    proptest::sample::select(Deed::ALL)
}

fn position(text: &str) -> Vec<Position> {
    vec![text.parse().unwrap()]
}

/// What somebody may.
type Asked = Box<dyn Fn(Deed, What<'_>) -> bool>;

/// Everybody, beside the own organisation.
fn actors() -> Vec<(&'static str, Asked, Organisation)> {
    let (sender, receiver) =
        (Organisation::System("epr".parse().unwrap()), Organisation::Provider("life-rooms".parse().unwrap()));
    let client = |client: Client| move |deed: Deed, what: What<'_>| may(Who::Client(&client), deed, what);
    let person = |text: &str| {
        let held = position(text);
        move |deed: Deed, what: What<'_>| may(Who::Person(&held), deed, what)
    };
    vec![
        ("a system", Box::new(client(system("epr"))), sender.clone()),
        ("a provider", Box::new(client(provider("life-rooms"))), receiver.clone()),
        ("a steward", Box::new(client(Client::Steward("anna".parse().unwrap()))), receiver.clone()),
        ("`referrer`", Box::new(person("referrer:epr")), sender),
        ("`provider-worker`", Box::new(person("provider-worker:life-rooms")), receiver.clone()),
        ("`provider-admin`", Box::new(person("provider-admin:life-rooms")), receiver.clone()),
        ("`route-editor`", Box::new(person("route-editor")), receiver.clone()),
        ("`operator`", Box::new(person("operator")), receiver.clone()),
        ("`auditor`", Box::new(person("auditor")), receiver),
    ]
}

/// What the function says, in a word for each cell.
fn cell(may: &dyn Fn(Deed, What<'_>) -> bool, deed: Deed, own: &Organisation) -> &'static str {
    let (mine, theirs, other) = (parties(), others(), Organisation::Provider("debt-advice".parse().unwrap()));
    let of_own = may(deed, What::referral(&mine)) || may(deed, What::Of(own));
    let of_all = may(deed, What::referral(&theirs)) || may(deed, What::Of(&other)) || may(deed, What::Whole);
    let opened = may(deed, What::Referral { parties: &theirs, opened: true });
    match (of_all, of_own, opened) {
        (true, ..) => "all",
        (false, true, _) => "its own",
        (false, false, true) => "glass",
        (false, false, false) => "",
    }
}

fn table() -> String {
    let mut told = String::from("| |");
    let actors = actors();
    for (name, ..) in &actors {
        let _ = write!(told, " {name} |");
    }
    told.push_str("\n|---|");
    told.push_str(&"---|".repeat(actors.len()));
    told.push('\n');
    for deed in Deed::ALL {
        let _ = write!(told, "| {deed} |");
        for (_, may, own) in &actors {
            let _ = write!(told, " {} |", cell(may, *deed, own));
        }
        told.push('\n');
    }
    told
}

#[test]
fn the_readme_has_the_table_that_the_function_makes() {
    let readme = std::fs::read_to_string(README).unwrap();
    let (before, rest) = readme.split_once(BEGIN).expect("where the table begins");
    let (found, after) = rest.split_once(END).expect("where it ends");
    let expected = table();
    if std::env::var_os("ONWARD_WRITE_EXPECTED").is_some() {
        std::fs::write(README, format!("{before}{BEGIN}{expected}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(found, expected, "ONWARD_WRITE_EXPECTED=1 has this test write it");
}

#[test]
fn each_sees_its_own_and_only_providers_answer() {
    let can = |client: Client, deed| client_that_may(&[client], deed, &parties()).is_some();
    assert!(can(system("epr"), Deed::Read));
    assert!(!can(system("epr"), Deed::Answer));
    assert!(can(provider("life-rooms"), Deed::Answer));
    assert!(can(system("epr"), Deed::Change));
    assert!(!can(provider("life-rooms"), Deed::Change));
    // the same name on the other side is another client
    assert!(!can(provider("epr"), Deed::Read));
    assert!(!can(system("life-rooms"), Deed::Read));
    assert!(client_that_may(&[], Deed::Read, &parties()).is_none());
}

#[test]
fn an_organisation_has_its_own_people_and_no_others() {
    let admin = position("provider-admin:life-rooms");
    let can = |organisation| may(Who::Person(&admin), Deed::ManagePeople, What::Of(&organisation));
    assert!(can(Organisation::Provider("life-rooms".parse().unwrap())));
    assert!(!can(Organisation::Provider("debt-advice".parse().unwrap())));
    assert!(!can(Organisation::System("life-rooms".parse().unwrap())), "a system of the same name is another");
    assert!(!may(Who::Person(&admin), Deed::ManagePeople, What::Whole));
}

/// A role that has to do with Onward and not with people who are referred.
fn over_onward() -> impl Strategy<Value = Position> {
    let all = [Position::RouteEditor, Position::Operator, Position::Auditor];
    let admin = Position::ProviderAdmin("life-rooms".parse().unwrap());
    proptest::sample::select(all.into_iter().chain([admin]).collect::<Vec<_>>())
}

fn anybody() -> impl Strategy<Value = Position> {
    let id = || "[a-c]";
    prop_oneof![
        id().prop_map(|id| Position::Referrer(id.parse().unwrap())),
        id().prop_map(|id| Position::ProviderWorker(id.parse().unwrap())),
        id().prop_map(|id| Position::ProviderAdmin(id.parse().unwrap())),
        Just(Position::RouteEditor),
        Just(Position::Operator),
        Just(Position::Auditor),
    ]
}

fn some_parties() -> impl Strategy<Value = Parties> {
    ("[a-c]", proptest::collection::vec("[a-c]", 0..3)).prop_map(|(system, providers)| Parties {
        system: system.parse().unwrap(),
        providers: providers.iter().map(|id| id.parse().unwrap()).collect(),
    })
}

/// Whatever stands in the table is asked for somewhere: a right that nothing asks for is no right.
#[test]
fn every_deed_is_asked_for() {
    fn text_of(folder: &std::path::Path, all: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_here = path.ends_with("auth/may.rs") || path.ends_with("auth/may");
            if path.is_dir() && !is_here {
                text_of(&path, all);
            } else if path.extension().is_some_and(|kind| kind == "rs") && !path.ends_with("tests.rs") && !is_here {
                let text = std::fs::read_to_string(&path).unwrap();
                all.push_str(text.split("#[cfg(test)]\nmod tests {").next().unwrap());
            }
        }
    }
    let mut all = String::new();
    text_of(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
    for deed in Deed::ALL {
        assert!(all.contains(&format!("Deed::{deed:?}")), "nothing asks whether somebody may {deed}");
    }
}

proptest! {
    #[test]
    fn nobody_else_ever(id in "[a-z0-9-]{1,12}", is_system: bool, deed in deed()) {
        prop_assume!(id != "epr" && id != "life-rooms");
        let client = if is_system { system(&id) } else { provider(&id) };
        prop_assert!(client_that_may(&[client], deed, &parties()).is_none());
    }

    #[test]
    fn who_keeps_the_directory_sees_no_referral(id in "[a-z]{1,12}", parties in some_parties()) {
        let steward = Client::Steward(id.parse().unwrap());
        for deed in [Deed::Read, Deed::Answer, Deed::Change, Deed::Trace, Deed::BreakGlass] {
            for opened in [false, true] {
                let what = What::Referral { parties: &parties, opened };
                prop_assert!(!may(Who::Client(&steward), deed, what));
            }
        }
    }

    /// Rights over Onward never open what is in a referral: only its broken glass does, and only to be seen.
    #[test]
    fn admin_rights_open_no_clinical_content(
        held in proptest::collection::vec(over_onward(), 0..5),
        parties in some_parties(),
        opened: bool,
    ) {
        let what = What::Referral { parties: &parties, opened };
        prop_assert!(!may(Who::Person(&held), Deed::Answer, what));
        prop_assert!(!may(Who::Person(&held), Deed::Change, what));
        let may_break = may(Who::Person(&held), Deed::BreakGlass, what);
        prop_assert_eq!(may(Who::Person(&held), Deed::Read, what), opened && may_break);
    }

    /// Nobody sees a referral of others without having broken its glass.
    #[test]
    fn what_is_seen_is_ones_own_or_opened(
        held in proptest::collection::vec(anybody(), 0..5),
        parties in some_parties(),
    ) {
        let own = held.iter().any(|position| match position {
            Position::ProviderWorker(id) => parties.providers.contains(id),
            _ => false,
        });
        prop_assert_eq!(may(Who::Person(&held), Deed::Read, What::referral(&parties)), own);
    }

    /// A position more takes nothing away, and adds nothing but its own.
    #[test]
    fn several_positions_are_each_of_them(
        held in proptest::collection::vec(anybody(), 0..5),
        deed in deed(),
        parties in some_parties(),
        opened: bool,
    ) {
        let what = What::Referral { parties: &parties, opened };
        let each = held.iter().any(|one| may(Who::Person(std::slice::from_ref(one)), deed, what));
        prop_assert_eq!(may(Who::Person(&held), deed, what), each);
    }

    /// A broken glass changes nothing but who sees.
    #[test]
    fn a_broken_glass_is_for_seeing_only(held in anybody(), deed in deed(), parties in some_parties()) {
        let person = [held];
        let closed = may(Who::Person(&person), deed, What::referral(&parties));
        let open = may(Who::Person(&person), deed, What::Referral { parties: &parties, opened: true });
        prop_assert!(open >= closed);
        prop_assert!(deed == Deed::Read || open == closed);
    }
}
