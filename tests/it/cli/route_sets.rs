//! Route sets as the people who write them meet them: checked, tried, told apart.

use std::{fs, path::Path};

use serde_json::Value;
use tempfile::TempDir;

use super::{Ran, run};

/// The route set of Merseyside in a folder of its own.
fn merseyside() -> TempDir {
    let folder = TempDir::new().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/merseyside");
    fs::create_dir(folder.path().join("referrals")).unwrap();
    for entry in fs::read_dir(&fixture).unwrap().chain(fs::read_dir(fixture.join("referrals")).unwrap()) {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, folder.path().join(path.strip_prefix(&fixture).unwrap())).unwrap();
        }
    }
    folder
}

/// Changes the set: every text must be there, once or more.
fn changed(folder: &TempDir, changes: &[(&str, &str)]) {
    let path = folder.path().join("routes.toml");
    let mut text = fs::read_to_string(&path).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    fs::write(path, text).unwrap();
}

fn routes(folder: &TempDir, args: &[&str]) -> Ran {
    let all: Vec<&str> = ["routes"].iter().chain(args).copied().collect();
    run(folder.path(), &all)
}

#[test]
fn the_set_of_merseyside_is_good_and_all_its_tests_hold() {
    let folder = merseyside();
    let checked = routes(&folder, &["check"]);
    assert_eq!(checked.code, 0, "{checked:?}");
    assert!(checked.out.starts_with("good: 33 routes (version "), "{checked:?}");
    assert_eq!(checked.err, "");
    let tried = routes(&folder, &["test"]);
    assert_eq!(tried.code, 0, "{tried:?}");
    assert_eq!(tried.out.lines().filter(|line| line.starts_with("ok  ")).count(), 52);
    assert!(tried.out.ends_with("good: all 52 tests hold\n"), "{tried:?}");
    let some = routes(&folder, &["test", "--only", "Walton", "--json"]);
    let some: Value = serde_json::from_str(&some.out).unwrap();
    assert!(
        some.as_array().unwrap().iter().all(|one| one["holds"] == true) && some.as_array().unwrap().len() == 3,
        "{some}"
    );
    let none = routes(&folder, &["test", "--only", "no such"]);
    assert!(none.code == 1 && none.err.contains("no test was tried"), "{none:?}");
    let as_json: Value = serde_json::from_str(&routes(&folder, &["check", "--json"]).out).unwrap();
    assert_eq!((&as_json["routes"], &as_json["tests"]), (&33.into(), &52.into()));
}

#[test]
fn a_set_whose_test_fails_is_refused_with_its_place_and_what_came_instead() {
    let folder = merseyside();
    // eighteen counts as a child now
    changed(&folder, &[("patient-age = [\"..17\"]", "patient-age = [\"..18\"]")]);
    let checked = routes(&folder, &["check"]);
    assert_eq!(checked.code, 1, "{checked:?}");
    let told = "the test “eighteen today” fails: the referral goes to young-people by the route “children”; \
                expected: to link-workers-liverpool by the route “liverpool”";
    assert!(checked.err.contains(told), "{}", checked.err);
    assert!(checked.err.contains(" | [[test]]\n"), "{}", checked.err);
    assert!(checked.err.ends_with("onward: the route set has 2 faults\n"), "{}", checked.err);
    let tried = routes(&folder, &["test", "--only", "eight"]);
    assert!(
        tried.code == 1 && tried.out.contains("FAILED  eighteen today: the referral goes to young-people"),
        "{tried:?}"
    );
    // nothing starts with it, either
    let config = run(folder.path(), &["check"]);
    assert!(config.code == 1 && config.err.contains("eighteen today"), "{config:?}");
}

#[test]
fn what_another_set_says_otherwise_is_told_by_route_and_key() {
    let folder = merseyside();
    let before = folder.path().join("before.toml");
    fs::copy(folder.path().join("routes.toml"), &before).unwrap();
    changed(
        &folder,
        &[
            (
                "when = { code = [\"in:money\"] }\nto = \"debt-advice\"\nfallback = \"link-workers-liverpool\"",
                "when = { code = [\"in:money\"] }\nto = \"debt-advice\"\nfallback = [\"link-workers-liverpool\", \"triage\"]",
            ),
            ("name = \"carers\"\npriority = 43", "name = \"carers\"\npriority = 46"),
            ("name = \"courses\"", "name = \"courses-at-walton\""),
            ("expect = { to = \"life-rooms-walton\", route = \"courses\" }", "expect = { to = \"life-rooms-walton\" }"),
            ("message = \"give a telephone number", "message = \"tell a telephone number"),
            ("refused = \"give a telephone number\"", "refused = \"a telephone number\""),
        ],
    );
    let told = routes(&folder, &["diff", "routes.toml", "before.toml"]);
    assert_eq!(told.code, 0, "{told:?}");
    let lines: Vec<&str> = told.out.lines().collect();
    assert!(lines[0].starts_with("from version ") && lines.len() == 8, "{told:?}");
    assert_eq!(lines[1], "~ route carers: priority: 43 → 46");
    assert!(
        lines[2].starts_with("- route courses {") && lines[3].starts_with("+ route courses-at-walton {"),
        "{told:?}"
    );
    assert_eq!(
        lines[4],
        "~ route money: fallback: [\"link-workers-liverpool\"] → [\"link-workers-liverpool\",\"triage\"]"
    );
    assert!(lines[5].starts_with("+ needs {") && lines[6].starts_with("- needs {"), "{told:?}");
    let same = routes(&folder, &["diff", "before.toml", "before.toml"]);
    assert!(same.code == 0 && same.out.starts_with("the rules are the same (version "), "{same:?}");
    // against what is in force, which is the file of the configuration
    let in_force = routes(&folder, &["diff", "before.toml", "--json"]);
    let in_force: Value = serde_json::from_str(&in_force.out).unwrap();
    assert_eq!(in_force["changes"].as_array().map(Vec::len), Some(6), "{in_force}");
}

#[test]
fn a_referral_is_explained_by_another_set_at_another_time_with_an_inbox_closed() {
    let folder = merseyside();
    // coverage and tests are the set's own business; explaining wants a good set
    let explained = |more: &[&str]| {
        let all: Vec<&str> =
            ["explain", "referrals/ward-bundle.json", "--system", "ward-epr"].iter().chain(more).copied().collect();
        routes(&folder, &all)
    };
    let now = explained(&[]);
    assert!(now.out.contains("Goes to housing-support by the route ward-housing."), "{now:?}");
    assert!(now.out.contains("consent-refused (priority 5, to triage): does not match"), "{now:?}");
    let closed = explained(&["--closed", "housing-support"]);
    assert!(closed.out.contains("Goes to triage instead of housing-support, which is closed"), "{closed:?}");
    let other = "[[route]]\nname = \"nights\"\nwhen = { time = [\"22:00-06:00\"] }\nto = \"out-of-hours\"\n[triage]\nto = \"triage\"\n";
    fs::write(folder.path().join("other.toml"), other).unwrap();
    let night = explained(&["--routes", "other.toml", "--at", "2026-11-26T23:00:00Z"]);
    assert!(night.out.contains("Goes to out-of-hours by the route nights."), "{night:?}");
    let day = explained(&["--routes", "other.toml", "--at", "2026-11-26T12:00:00Z"]);
    assert!(day.out.contains("Goes to triage: no route matches"), "{day:?}");
    let nobody = routes(&folder, &["explain", "no-such-file"]);
    assert!(
        nobody.code == 1 && nobody.err.contains("“no-such-file” is no file, and as the id of a referral"),
        "{nobody:?}"
    );
}

#[test]
fn what_a_name_stands_for_is_told_where_it_changed_and_what_is_missing_where_one_asks() {
    let folder = merseyside();
    let before = folder.path().join("before.toml");
    fs::copy(folder.path().join("routes.toml"), &before).unwrap();
    changed(
        &folder,
        &[
            (
                "CodeSystem/service|benefits-advice\",\n]",
                "CodeSystem/service|benefits-advice\",\n    \"s|pensions\",\n]",
            ),
            ("\"L17\", \"L18\", \"L19\"]", "\"L17\", \"L18\"]"),
        ],
    );
    let told = routes(&folder, &["diff", "routes.toml", "before.toml"]);
    assert!(told.out.contains("~ value-set money: [] → [{\"system\":\"s\",\"code\":\"pensions\"}]"), "{told:?}");
    assert!(told.out.contains("~ area liverpool: [{\"postcode\":\"L19\"}] → []"), "{told:?}");
    // the ward's referral without its telephone
    let bundle = folder.path().join("referrals/ward-bundle.json");
    fs::write(&bundle, fs::read_to_string(&bundle).unwrap().replace("\"phone\"", "\"fax\"")).unwrap();
    let by_before = ["explain", "referrals/ward-bundle.json", "--system", "ward-epr", "--routes", "before.toml"];
    let refused = routes(&folder, &by_before);
    assert!(refused.code == 1 && refused.err.contains("the test “a letter of the ward"), "{refused:?}");
    let text = fs::read_to_string(&before).unwrap();
    let (rest, test) = text.rsplit_once("[[test]]\nname = \"a letter of the ward").unwrap();
    let (_, next) = test.split_once("[[test]]").unwrap();
    fs::write(&before, format!("{rest}[[test]]{next}")).unwrap();
    let explained = routes(&folder, &by_before);
    assert!(explained.out.contains("It is refused all the same: give a telephone number"), "{explained:?}");
}

#[test]
fn a_set_that_refuses_everything_or_is_no_file_is_refused() {
    let folder = merseyside();
    fs::write(folder.path().join("empty.toml"), "# nothing\n").unwrap();
    let empty = routes(&folder, &["check", "empty.toml"]);
    assert!(empty.code == 1 && empty.err.contains("it has no route and no [triage]"), "{empty:?}");
    let no_file = routes(&folder, &["check", "referrals"]);
    assert!(no_file.code == 1 && no_file.err.contains("it is no regular file"), "{no_file:?}");
}
