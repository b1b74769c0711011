//! Systems, providers and inboxes, and what each says of itself.

use super::*;
use crate::domain::rule_level::RuleLevel;

#[test]
fn systems_providers_and_inboxes() {
    let text = r#"
[[system]]
id = "epr"
name = "An EPR"
ods-code = "rw4"
tokens = [{ env = "TOKEN_A" }]
timeout = "3s"
write-back = { kind = "fhir-rest", base-url = "https://epr.example/fhir/", token = { env = "TOKEN_B" }, close-request = true, detail = "codes" }
[[provider]]
id = "p"
name = "P"
ods-code = "REM"
tokens = [{ env = "TOKEN_C" }]
inbox = { kind = "fhir-rest", base-url = "http://localhost:9/fhir", answers = "poll", poll-every = "1s", ids = "server" }
[[inbox]]
id = "p-2"
provider = "p"
service = "Courses"
kind = "worklist"
"#;
    let (config, warnings) = load(text, &env(&[])).unwrap();
    let system = config.registry.systems.values().next().unwrap();
    assert_eq!((system.ods_code.as_str(), system.kind.as_str()), ("RW4", "other"));
    let write_back = system.write_back.as_ref().unwrap();
    assert_eq!(write_back.base_url, "https://epr.example/fhir");
    assert_eq!(
        (write_back.close_request, write_back.detail, write_back.timeout),
        (true, Detail::Codes, Duration::from_secs(3))
    );
    assert_eq!(system.read.as_ref().unwrap().access.token, write_back.access.token, "read is where write-back is");
    let inbox = &config.registry.inboxes[&"p".parse().unwrap()];
    let InboxKind::FhirRest(rest) = &inbox.kind else { panic!("{inbox:?}") };
    assert_eq!((rest.answers, rest.ids), (Answers::Poll { every: Duration::from_secs(1) }, Ids::Server));
    assert_eq!(config.registry.inboxes.values().filter(|i| i.provider.as_str() == "p").count(), 2);
    assert!(warnings.len() == 1 && warnings[0].contains("no route file"), "{warnings:?}");

    assert_eq!(config.registry.client_of(Some(TOKEN), &[], true), [Client::System("epr".parse().unwrap())]);
    assert_eq!(
        config.registry.client_of(Some("another-token-of-some-length"), &[], true),
        [],
        "what we send is no key to us"
    );
    assert_eq!(config.registry.client_of(Some(""), &[], true), []);
    assert!(Detail::None < Detail::Codes && Detail::Codes < Detail::Summary && Detail::Summary < Detail::Full);
}

#[test]
fn a_steward_has_a_name_and_tokens_of_its_own() {
    let with = |lines: &str| format!("[[steward]]\nid = \"anna\"\n{lines}\n");
    let (config, warnings) = load(&with("name = \"Anna\"\ntokens = [{ env = \"TOKEN_A\" }]"), &env(&[])).unwrap();
    assert_eq!(config.registry.client_of(Some(TOKEN), &[], true), [Client::Steward("anna".parse().unwrap())]);
    assert_eq!(config.registry.stewards.values().next().unwrap().name, "Anna");
    assert!(!warnings.iter().any(|told| told.contains("steward")), "{warnings:?}");
    let (_, warnings) = load(&with("name = \"Anna\""), &env(&[])).unwrap();
    assert!(warnings.iter().any(|told| told.contains("neither write the directory")), "{warnings:?}");

    assert_eq!(faults(&with("tokens = []"), &[]).len(), 1, "no name");
    let more = faults(&with("name = \"Anna\"\nods-code = \"RW4\""), &[]);
    assert!(more.len() == 1 && more[0].contains("ods-code"), "{more:?}");
    let same = "name = \"Anna\"\ntokens = [{ env = \"TOKEN_A\" }]\n[[provider]]\nid = \"p\"\nname = \"P\"\nods-code = \"ABC\"\ntokens = [{ env = \"TOKEN_A\" }]";
    let told = faults(&with(same), &[]);
    assert!(told.len() == 1 && told[0].contains("provider p has already"), "{told:?}");
    assert_eq!(faults(&format!("{}{}", with("name = \"A\""), with("name = \"B\"")), &[]).len(), 1);
}

#[test]
fn a_system_says_what_it_is_held_against() {
    let with = |lines: &str| format!("[[system]]\nid = \"epr\"\nname = \"An EPR\"\nods-code = \"RW4\"\n{lines}\n");
    let rules = |lines: &str| {
        let (config, _) = load(&with(lines), &env(&[])).unwrap();
        let system = config.registry.systems.values().next().unwrap();
        (system.rules, system.profiles.clone())
    };
    assert_eq!(rules(""), (RuleLevels::all(RuleLevel::Error), vec![]));
    let said = "rules = { nhs-number = \"warning\", snomed-ct = \"off\" }\nprofiles = [\"https://a.example/p\"]";
    let expected =
        RuleLevels { nhs_number: RuleLevel::Warning, snomed_ct: RuleLevel::Off, ..RuleLevels::all(RuleLevel::Error) };
    assert_eq!(rules(said), (expected, vec!["https://a.example/p".to_owned()]));
    for (lines, part) in [
        ("rules = { nhs-number = \"fatal\" }", "error"),
        ("rules = { nhs-numbers = \"off\" }", "nhs-numbers"),
        ("rules = \"off\"", "a table of rules"),
        ("profiles = \"https://a.example/p\"", "a list of canonical URLs"),
        ("profiles = [\"referral\"]", "canonical URL"),
    ] {
        let found = faults(&with(lines), &[]);
        assert!(found.len() == 1 && found[0].contains(part), "{lines}: {found:?}");
    }
    let found = faults("[profiles]\nextra = [\"nowhere-at-all\", 7]", &[]);
    assert!(found.len() == 2 && found[0].contains("nowhere-at-all"), "{found:?}");
}

#[test]
fn an_endpoint_says_how_it_is_to_be_treated() {
    let text = r#"
[retry]
first = "1s"
cap = "3h"
[[system]]
id = "epr"
name = "An EPR"
ods-code = "RW4"
write-back = { kind = "fhir-rest", base-url = "https://epr.example/fhir", concurrency = 2, rate = 5, drain-rate = 9, retry = { cap = "1m", delayed-after = "2m" } }
[[provider]]
id = "p"
name = "P"
ods-code = "REM"
inbox = { kind = "fhir-rest", base-url = "http://localhost:9/fhir" }
[[inbox]]
id = "p-2"
provider = "p"
kind = "worklist"
"#;
    let (config, _) = load(text, &env(&[])).unwrap();
    let terms = config.registry.terms();
    let of = |name: &str| &terms[&name.parse().unwrap()];
    let epr = of("writeback.epr");
    assert_eq!((epr.concurrency, epr.rate, epr.drain_rate), (2, Some(5), 9));
    assert_eq!(epr.retry.cap, SignedDuration::from_mins(1));
    assert_eq!(epr.retry.delayed_after, SignedDuration::from_mins(2));
    assert_eq!(epr.retry.first, SignedDuration::from_secs(1), "what it does not say is as in [retry]");
    let p = of("inbox.p");
    assert_eq!((p.concurrency, p.rate, p.drain_rate, p.retry), (16, None, 200, config.retry));
    assert_eq!(of("inbox.p-2").base_url, "", "nothing is sent to a worklist");

    let faults = text
        .replace("concurrency = 2, rate = 5", "concurrency = 0, rate = \"fast\"")
        .replace("cap = \"1m\"", "cap = \"100ms\"")
        .replace("kind = \"worklist\"", "kind = \"worklist\"\nretry = {}\ndrain-rate = 5");
    let faults = load(&faults, &env(&[])).unwrap_err();
    for part in [
        "write-back.concurrency: found 0; allowed: a whole number from 1 to 1000",
        "write-back.rate: ",
        "write-back.retry.first: found 1s; allowed: at most cap, which is 100ms",
        "retry: found a key of the kind \"fhir-rest\"",
        "drain-rate: found a key of the kind \"fhir-rest\"",
    ] {
        assert!(faults.iter().any(|fault| fault.contains(part)), "{part} is not in {faults:#?}");
    }
}

#[test]
fn one_token_belongs_to_one_client() {
    let system = |id: &str| {
        format!("[[system]]\nid = \"{id}\"\nname = \"n\"\nods-code = \"RW4\"\ntokens = [{{ env = \"TOKEN_A\" }}]\n")
    };
    let got = faults(&[system("a"), system("b")].concat(), &[]);
    assert_eq!(
        got,
        ["onward.toml:10:11 system[1].tokens[0]: found a token that system a has already; allowed: a token of its own"]
    );
}

#[test]
fn how_long_a_provider_has_is_said_for_all_or_for_one_inbox() {
    use crate::domain::{deadline::Escalation, working_days::Within};
    let inboxes = "[[provider]]\nid = \"a\"\nname = \"A\"\nods-code = \"A99\"\ntokens = [{ env = \"TOKEN_A\" }]\n\
                   inbox = { kind = \"worklist\", acknowledge-within = \"36h\" }\n\
                   [[inbox]]\nid = \"b\"\nprovider = \"a\"\nkind = \"worklist\"\nanswer-within = \"never\"\n";
    let (config, _) = load(inboxes, &env(&[])).unwrap();
    assert_eq!(config.registry.inboxes[&"b".parse().unwrap()].escalation.acknowledge_within, Within::WorkingDays(2));
    let general =
        "[escalation]\nacknowledge-within = \"1wd\"\nworking-hours = \"08:30-18:00\"\nholidays = [\"2026-06-01\"]\n";
    let (config, warnings) = load(&format!("{general}{inboxes}"), &env(&[])).unwrap();
    let of = |id: &str| config.registry.inboxes[&id.parse().unwrap()].escalation;
    let by_the_clock = Within::Span(jiff::SignedDuration::from_hours(36));
    assert_eq!(of("a"), Escalation { acknowledge_within: by_the_clock, answer_within: Within::WorkingDays(10) });
    assert_eq!(of("b"), Escalation { acknowledge_within: Within::WorkingDays(1), answer_within: Within::Never });
    assert!(warnings.iter().any(|w| w.contains("a referral that nobody looks at")), "{warnings:?}");
    let time = &config.registry.working_time;
    assert!(time.hours.is_some() && !time.is_working_day(jiff::civil::date(2026, 6, 1)));

    for wrong in [
        "acknowledge-within = \"0wd\"",
        "acknowledge-within = \"401wd\"",
        "acknowledge-within = \"soon\"",
        "answer-within = 3",
        "working-hours = \"17:00-09:00\"",
        "holidays = [\"2026-02-30\"]",
        "working-days = \"2026-06-01\"",
        "holidays = [\"2026-06-01\"]\nworking-days = [\"2026-06-01\"]",
    ] {
        let told = faults(&format!("[escalation]\n{wrong}\n"), &[]);
        assert_eq!(told.len(), 1, "{wrong}: {told:?}");
    }
}

#[test]
fn of_how_many_answers_anything_is_told() {
    let minimum = |text: &str| load(text, &env(&[])).map(|(config, _)| config.registry.directory.minimum_count).ok();
    assert_eq!(minimum(""), Some(10));
    for (given, taken) in [(4, None), (5, Some(5)), (1_000, Some(1_000)), (1_001, None)] {
        assert_eq!(minimum(&format!("[directory]\nminimum-count = {given}\n")), taken, "{given}");
    }
    let (config, _) = load("", &env(&[("ONWARD__DIRECTORY__MINIMUM_COUNT", "20")])).unwrap();
    assert_eq!(config.registry.directory.minimum_count, 20);
}

#[test]
fn the_directory_is_open_data_only_where_somebody_says_so() {
    let open = |text: &str| load(text, &env(&[])).map(|(config, _)| config.registry.directory.open).ok();
    assert_eq!(open(""), Some(false));
    assert_eq!(open("[directory]\nopen = true\n"), Some(true));
    assert_eq!(open("[directory]\nopen = \"yes\"\n"), None);
}

#[test]
fn tokens_may_stand_as_their_hash_and_are_worth_little_by_themselves_elsewhere() {
    let hash = TokenHash::of(TOKEN).hex();
    let with = |lines: &str| format!("[[system]]\nid = \"epr\"\nname = \"EPR\"\nods-code = \"RW4\"\n{lines}\n");
    let (config, _) = load(&with(&format!("tokens = [{{ sha256 = \"{hash}\" }}]")), &env(&[])).unwrap();
    let epr = [Client::System("epr".parse().unwrap())];
    assert_eq!(config.registry.client_of(Some(TOKEN), &[], true), epr);
    assert_eq!(config.registry.client_of(Some(&hash), &[], true), [], "the hash is no token");
    assert_eq!(config.registry.client_of(Some(TOKEN), &[], false), [], "by itself, where others connect");
    let lines = format!("tokens = [{{ sha256 = \"{hash}\" }}]\ncertificate-names = [\"epr.example\"]");
    let (config, _) = load(&with(&lines), &env(&[])).unwrap();
    let names = ["epr.example".to_owned()];
    assert_eq!(config.registry.client_of(Some(TOKEN), &names, false), epr, "beside its client's certificate");
    assert_eq!(config.registry.client_of(Some(TOKEN), &[], true), []);
    for wrong in [hash.to_uppercase(), hash[1..].to_owned(), TOKEN.to_owned()] {
        let faults = load(&with(&format!("tokens = [{{ sha256 = \"{wrong}\" }}]")), &env(&[])).unwrap_err();
        assert!(faults[0].contains("onward token") && !faults[0].contains(&wrong), "{faults:?}");
    }
    // where they are refused it is said before anybody wonders
    let beyond = "[server]\nlisten = \"0.0.0.0:1\"\nbase-url = \"https://onward.example\"\n";
    let told = |lines: &str| {
        let text = format!("{beyond}{lines}\n{}", with("tokens = [{ env = \"TOKEN_A\" }]"));
        load(&text, &env(&[])).unwrap().1.into_iter().find(|told| told.contains("static-tokens"))
    };
    assert!(told("").unwrap().contains("are refused"));
    assert!(told("static-tokens = \"everywhere\"").unwrap().contains("from anywhere"));
}

#[test]
fn keys_and_how_others_are_shown_who_it_is_are_read() {
    let folder = folder_with(&[
        ("none.jwks", "{\"keys\": []}"),
        ("private.jwks", "{\"keys\": [{\"kty\": \"oct\", \"k\": \"c2Vj\"}]}"),
        ("bad.pem", "no key"),
    ]);
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let with = |lines: &str| format!("[[system]]\nid = \"epr\"\nname = \"EPR\"\nods-code = \"RW4\"\n{lines}\n");
    let (config, _) =
        load(&with("jwks-url = \"https://epr.example/jwks\"\nscopes = [\"system/Task.read\"]"), &env(&[])).unwrap();
    let epr = config.registry.client("system/epr").unwrap();
    assert_eq!(epr.keys.scopes.to_string(), "system/Task.rs");
    assert!(config.registry.client("epr").is_none() && config.registry.client("provider/epr").is_none());
    let auth = |more: &str| {
        format!("read = {{ base-url = \"https://epr.example\", auth = {{ kind = \"backend-services\", {more} }} }}")
    };
    let rest =
        "token-url = \"https://epr.example/token\", client-id = \"onward\", key-id = \"k\", algorithm = \"RS512\"";
    for (lines, word) in [
        (format!("jwks = {:?}", file("none.jwks")), "no key that can be used"),
        (format!("jwks = {:?}", file("private.jwks")), "a private or a shared key"),
        (format!("jwks = {:?}", file("gone.jwks")), "cannot be read"),
        ("jwks-url = \"http://epr.example/jwks\"".to_owned(), "https://"),
        ("scopes = [\"system/Task.rs?x=y\"]".to_owned(), "search parameters"),
        ("scopes = [\"user/Task.rs\"]".to_owned(), "system/TYPE.LETTERS"),
        ("scopes = [\"system/Tasks.rs\"]".to_owned(), "a resource type of FHIR R4"),
        (auth(&format!("{rest}, key = {:?}", file("bad.pem"))), "no PEM with such a key"),
        (auth(rest), "auth.key"),
        (auth(&format!("{}, key = {:?}", rest.replace("RS512", "HS256"), file("bad.pem"))), "\"RS512\""),
        ("read = { base-url = \"http://epr.example\", tls = { roots = \"onward.toml\" } }".to_owned(), "tls"),
    ] {
        let faults = load(&with(&lines), &env(&[])).unwrap_err();
        assert!(faults.iter().any(|fault| fault.contains(word)), "{lines}: {faults:?}");
    }
}

#[test]
fn where_people_log_in_a_worklist_needs_no_token() {
    let provider = |kind: &str| {
        format!("[[provider]]\nid = \"mind\"\nname = \"Mind\"\nods-code = \"AB123\"\ninbox = {{ {kind} }}\n")
    };
    let worklist = provider("kind = \"worklist\"");
    let pushed = provider("kind = \"fhir-rest\", base-url = \"http://127.0.0.1:9/fhir\"");
    let people = "[people]\nlocal = true\n";
    for (text, is_told) in
        [(worklist.clone(), true), (format!("{worklist}{people}"), false), (format!("{pushed}{people}"), true)]
    {
        let (_, warnings) = load(&text, &env(&[])).unwrap();
        let told = warnings.iter().any(|told| told.contains("neither fetch what waits here nor answer it"));
        assert_eq!(told, is_told, "{text}: {warnings:?}");
    }
}
