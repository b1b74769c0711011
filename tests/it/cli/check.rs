//! `check`, `routes explain`, and what is wrong usage.

use std::fs;

use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384};
use serde_json::Value;

use super::{hub::Hub, run};
use crate::{
    oauth::signer::{self, Signer},
    support::fixtures,
    tls::authority::{Authority, Issued},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_configuration_is_said_to_be_good_and_nothing_is_made() {
    let hub = Hub::build().without_service().start().await;
    let ran = run(hub.folder(), &["check"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.starts_with("good: 3 systems, 4 providers, 4 inboxes, 8 routes"), "{ran:?}");
    assert!(ran.out.contains("triage to triage"), "{ran:?}");
    assert!(!hub.store_path().exists(), "check made a store");
    let elsewhere = tempfile::tempdir().unwrap();
    let config = hub.config_path();
    let named = run(elsewhere.path(), &["check", "--config", config.to_str().unwrap()]);
    assert_eq!((named.code, named.out), (0, ran.out));
    // with --connect it reaches the doubles
    let connected = run(hub.folder(), &["check", "--connect"]);
    assert_eq!(connected.code, 0, "{connected:?}");
    assert_eq!(connected.out.matches("is a FHIR server").count(), 2, "{connected:?}");
    assert!(!hub.store_path().exists(), "check made a store");
    hub.housing.stop().await;
    let away = run(hub.folder(), &["check", "--connect"]);
    assert_eq!(away.code, 1, "{away:?}");
    assert!(away.out.contains("BAD:  inbox housing-support"), "{away:?}");
    assert!(away.out.contains("cannot connect: nobody listens there"), "{away:?}");
    assert!(away.out.contains("good: inbox life-rooms"), "{away:?}");
}

/// Who is told of alerts and who says who somebody is are reached like everybody, and that nobody is told is said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_told_and_who_says_who_people_are_is_looked_at_as_well() {
    let hub = Hub::build().without_service().start().await;
    let good = fs::read_to_string(hub.config_path()).unwrap();
    let people = "\n[people]\nlocal = true\n";
    fs::write(hub.config_path(), format!("{good}{people}")).unwrap();
    let untold = "while [people] lets people log in";
    let ran = run(hub.folder(), &["check"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains(untold), "{ran:?}");

    let hook = format!("\n[alerts]\nhook = {{ url = \"{}/told\" }}\n", hub.housing.base_url());
    fs::write(hub.config_path(), format!("{good}{people}{hook}")).unwrap();
    let ran = run(hub.folder(), &["check", "--connect"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("good: the hook of [alerts]: somebody answers") && !ran.err.contains(untold), "{ran:?}");
    hub.housing.stop().await;
    let ran = run(hub.folder(), &["check", "--connect"]);
    assert!(ran.code == 1 && ran.out.contains("BAD:  the hook of [alerts]"), "{ran:?}");

    // nobody is there by that name
    let issuer = "\n[issuer]\nurl = \"https://127.0.0.1:9/tokens\"\naudience = \"onward\"\n";
    fs::write(hub.config_path(), format!("{good}{issuer}")).unwrap();
    let ran = run(hub.folder(), &["check", "--connect"]);
    assert!(ran.code == 1 && ran.out.contains("BAD:  the issuer of [issuer]: https://127.0.0.1:9/tokens"), "{ran:?}");
    // and where Onward may not go at all is told before
    let narrow = "\n[outbound]\nhosts = [\"fhir.trust.example\", \"127.0.0.1\"]\n";
    let elsewhere = "\n[alerts]\nhook = { url = \"https://alerts.example/told\" }\n";
    fs::write(hub.config_path(), format!("{good}{narrow}{elsewhere}")).unwrap();
    let ran = run(hub.folder(), &["check"]);
    assert!(ran.code == 1 && ran.err.contains("the hook of [alerts]"), "{ran:?}");
}

/// What the configuration names and does not hold is looked at as well, and all that is wrong with it told at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_and_keys_are_looked_at_as_well() {
    let hub = Hub::build().without_service().start().await;
    let good = fs::read_to_string(hub.config_path()).unwrap();
    let (folder, authority) = (hub.folder(), Authority::new(hub.folder(), "trust"));
    let ended = authority.issue_until("ended", &["a.example"], (2021, 1, 1));
    let later = authority.issue_from("later", &["a.example"], (2990, 1, 1));
    let listener = |port: u16, issued: &Issued, roots: &str| {
        let (certificate, key) = (issued.certificate.display(), issued.key.display());
        format!(
            "[[listener]]\nlisten = \"127.0.0.1:{port}\"\ntls = {{ certificate = \"{certificate}\", key = \"{key}\"{roots} }}\n"
        )
    };
    let roots = format!(", client-roots = \"{}\"", ended.certificate.display());
    let holds = authority.issue("holds", &["a.example"]);
    // a key for ES384, said to sign by RS512
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    fs::write(folder.join("oidc.key"), key.serialize_pem()).unwrap();
    let people = |algorithm: &str| {
        format!(
            "[people.oidc]\nissuer = \"https://127.0.0.1:9\"\nclient-id = \"onward\"\n\
             client-key = {{ file = \"oidc.key\", id = \"k\", algorithm = \"{algorithm}\" }}\n"
        )
    };
    let wrong =
        [listener(9443, &ended, ""), listener(9444, &later, ""), listener(9445, &holds, &roots), people("RS512")];
    fs::write(hub.config_path(), format!("{good}\n{}", wrong.join("\n"))).unwrap();
    let ran = run(folder, &["check"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    for told in [
        "ended.pem: the certificate has ended, on 2021-01-01",
        "later.pem: the certificate holds from 2990-01-01",
        "ended.pem: the certificate of an authority has ended",
        "[people.oidc] client-key: the key in",
        "is none for RS512",
    ] {
        assert!(ran.err.contains(told), "{told}: {ran:?}");
    }
    let right = [listener(9443, &holds, ""), listener(9444, &holds, ""), people("ES384")];
    fs::write(hub.config_path(), format!("{good}\n{}", right.join("\n"))).unwrap();
    let ran = run(folder, &["check"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for key in ["holds.key", "oidc.key"] {
        let told = format!("{key}: whoever is on this machine may read this key");
        assert_eq!(ran.err.matches(&told).count(), 1, "{key} is told of once: {ran:?}");
    }
}

/// Files with passwords are looked at, and by whom the mail server is known.
#[cfg(feature = "pages")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_in_files_and_the_roots_of_the_mail_server_are_looked_at_as_well() {
    use std::os::unix::fs::PermissionsExt as _;
    let hub = Hub::build().without_service().start().await;
    let good = fs::read_to_string(hub.config_path()).unwrap();
    let (folder, authority) = (hub.folder(), Authority::new(hub.folder(), "trust"));
    let ordinary = authority.issue("ordinary", &["mail.example"]);
    fs::write(folder.join("postcodes.csv"), "pcds,lat,long\nL1 9ZZ,53.4,-2.98\n").unwrap();
    let secret = folder.join("mail.password");
    fs::write(&secret, "correct horse battery\n").unwrap();
    let ran = |mode: u32, roots: &std::path::Path| {
        fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).unwrap();
        let mail = format!(
            "[places]\nfile = \"postcodes.csv\"\n[smtp]\naddress = \"127.0.0.1:9\"\nfrom = \"onward@trust.example\"\n\
             user = \"onward\"\npassword = {{ file = \"mail.password\" }}\nroots = \"{}\"\n",
            roots.display()
        );
        fs::write(hub.config_path(), format!("{good}\n{mail}")).unwrap();
        run(folder, &["check"])
    };
    for (mode, told) in
        [(0o600, ""), (0o644, "whoever is on this machine may read"), (0o620, "others than its owner may")]
    {
        let ran = ran(mode, authority.file());
        assert_eq!(ran.code, 0, "{ran:?}");
        let secrets: Vec<&str> = ran.err.lines().filter(|line| line.contains("this secret")).collect();
        assert_eq!(secrets.len(), usize::from(!told.is_empty()), "and no other file: {ran:?}");
        assert!(secrets.iter().all(|line| line.contains("mail.password") && line.contains(told)), "{ran:?}");
    }
    let ran = ran(0o600, &ordinary.certificate);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("ordinary.pem: the certificate of CN=ordinary is none of an authority (CA)"), "{ran:?}");
}

/// Where keys of clients lie, and the mail server, are reached like all others.
#[cfg(feature = "pages")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn public_keys_and_the_mail_server_are_reached_as_well() {
    let hub = Hub::build().without_service().start().await;
    let good = fs::read_to_string(hub.config_path()).unwrap();
    let keys = "[[system]]\nid = \"signer\"\nname = \"S\"\nods-code = \"N99999\"\njwks-url = \"https://127.0.0.1:9/jwks\"\nscopes = [\"system/Task.rs\"]\n";
    let mail = "[smtp]\naddress = \"127.0.0.1:9\"\nfrom = \"onward@trust.example\"\ntls = \"none\"\n";
    fs::write(hub.config_path(), format!("{good}\n{mail}\n{keys}")).unwrap();
    let ran = run(hub.folder(), &["check", "--connect"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    for told in
        ["BAD:  the keys of system signer: https://127.0.0.1:9/jwks:", "BAD:  the mail server of [smtp]: 127.0.0.1:9:"]
    {
        assert!(ran.out.contains(told), "{told}: {ran:?}");
    }
}

/// A file with public keys is no secret; who may change it may be its client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn public_keys_may_be_read_and_not_changed() {
    use std::os::unix::fs::PermissionsExt as _;
    let hub = Hub::build().without_service().start().await;
    let good = fs::read_to_string(hub.config_path()).unwrap();
    let keys = hub.folder().join("signer.jwks");
    fs::write(&keys, signer::set(&[&Signer::es384("k")]).to_string()).unwrap();
    let system = "[[system]]\nid = \"signer\"\nname = \"S\"\nods-code = \"N99999\"\njwks = \"signer.jwks\"\n";
    fs::write(hub.config_path(), format!("{good}\n{system}")).unwrap();
    for (mode, told) in [(0o644, false), (0o664, true), (0o646, true)] {
        fs::set_permissions(&keys, fs::Permissions::from_mode(mode)).unwrap();
        let ran = run(hub.folder(), &["check"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        let lines: Vec<&str> = ran.err.lines().filter(|line| line.contains("signer.jwks")).collect();
        assert_eq!(lines.len(), usize::from(told), "{mode:o}: {ran:?}");
        assert!(
            lines.iter().all(|line| line.contains("others than its owner may change these public keys")),
            "{ran:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_faults_are_told_at_once_with_their_lines() {
    let hub = Hub::build().without_service().start().await;
    let good = fs::read_to_string(hub.config_path()).unwrap();
    let bad = format!("{good}colour = \"red\"\n[[provider]]\nid = \"Not An Id\"\nname = \"x\"\nods-code = \"?\"\n")
        .replace("TOKEN_OF_BROWNLOW_GP", "TOKEN_THAT_IS_NOT_SET")
        .replace("first = \"100ms\"", "first = \"soon\"");
    fs::write(hub.config_path(), &bad).unwrap();
    fs::write(hub.routes_path(), "[[route]]\nname = \"r\"\nwhen = { code = [] }\nto = \"nowhere\"\n").unwrap();
    let ran = run(hub.folder(), &["check"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let line = |text: &str| bad.lines().position(|l| l.contains(text)).unwrap() + 1;
    let places = [
        ("onward.toml", line("colour"), "colour"),
        ("onward.toml", line("Not An Id"), "id"),
        ("onward.toml", line("ods-code = \"?\""), "ods-code"),
        ("onward.toml", line("NOT_SET"), "TOKEN_THAT_IS_NOT_SET"),
        ("onward.toml", line("soon"), "first"),
        ("routes.toml", 3, "code"),
        ("routes.toml", 4, "nowhere"),
    ];
    for (file, line, word) in places {
        let at = format!("{file}:{line}:");
        let told = ran.err.lines().find(|l| l.contains(&at) && l.contains(word));
        let told = told.unwrap_or_else(|| panic!("nothing at {at} about {word} in\n{}", ran.err));
        assert!(told.contains("found") && told.contains("allowed"), "{told}");
    }
    assert!(ran.err.contains("faults"), "{ran:?}");
    // no other command starts with it either
    for args in [&["serve"][..], &["dead", "list"], &["referral", "show", "x"]] {
        assert_eq!(run(hub.folder(), args).code, 1, "{args:?}");
    }
    assert!(!hub.store_path().exists());
    let absent = run(hub.folder(), &["check", "--config", "nowhere.toml"]);
    assert_eq!(absent.code, 1);
    assert!(absent.err.contains("nowhere.toml"), "{absent:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_postcodes_says_what_of_it_is_read() {
    let hub = Hub::build().without_service().start().await;
    let table = hub.folder().join("postcodes.csv");
    fs::write(&table, "pcds;lat;long\nL1 9ZZ;53.4;-2.98\nnowhere;53.4;-2.98\n").unwrap();
    let config = fs::read_to_string(hub.config_path()).unwrap();
    fs::write(hub.config_path(), format!("{config}\n[places]\nfile = \"postcodes.csv\"\n")).unwrap();
    let ran = run(hub.folder(), &["check"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.out.contains(
            "good: [places]: 1 postcodes were read, 1 rows passed over: 1 with no postcode (the first on line 3)"
        ),
        "{ran:?}"
    );
    fs::write(&table, "pcds,lat,long\nnowhere,53.4,-2.98\n").unwrap();
    let ran = run(hub.folder(), &["check"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("no row of it has a postcode") && ran.err.contains("line 2"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_usage_ends_with_two() {
    let folder = tempfile::tempdir().unwrap();
    let wrong: [&[&str]; 7] = [
        &[],
        &["nonsense"],
        &["check", "--nonsense"],
        &["routes", "explain"],
        &["referral", "show"],
        &["dead", "replay"],
        &["routes", "explain", "x.json", "--system", "No System"],
    ];
    for args in wrong {
        let ran = run(folder.path(), args);
        assert_eq!(ran.code, 2, "{args:?}: {ran:?}");
        assert!(ran.err.contains("Usage") || ran.err.contains("--help"), "{ran:?}");
    }
    assert_eq!(run(folder.path(), &["--help"]).code, 0);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "it left something");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_are_explained_for_every_fixture() {
    let hub = Hub::build().without_service().start().await;
    for fixture in fixtures::all().await {
        let file = fixtures::path(&format!("referrals/{}", fixture.file));
        let args = ["routes", "explain", file.to_str().unwrap(), "--system", &fixture.system, "--json"];
        let explained = run(hub.folder(), &args).json();
        let explained = explained.as_array().unwrap();
        assert_eq!(explained.len(), fixture.expected.len(), "{}", fixture.file);
        for (one, expected) in explained.iter().zip(&fixture.expected) {
            assert_eq!(one["system"], fixture.system);
            assert_eq!(one["identifier"], expected.identifier);
            assert_eq!(one["explanation"]["inboxes"][0]["to"], expected.inbox, "{}", fixture.file);
            assert_eq!(one["explanation"]["route"], expected.route.clone().map_or(Value::Null, Value::from));
            assert_eq!(one["explanation"]["rules"].as_array().unwrap().len(), 8);
        }
        let text = run(hub.folder(), &args[..5]);
        assert_eq!(text.code, 0);
        for expected in &fixture.expected {
            assert!(text.out.contains(&expected.inbox) && text.out.contains(&expected.identifier), "{}", text.out);
            assert!(expected.route.as_ref().is_none_or(|route| text.out.contains(route)), "{}", text.out);
        }
    }
    assert!(!hub.store_path().exists());
    let bad = fixtures::path("bad/30-three-faults.json");
    let ran = run(hub.folder(), &["routes", "explain", bad.to_str().unwrap()]);
    assert_eq!(ran.code, 1);
    for place in ["ServiceRequest.subject", "ServiceRequest.status", "ServiceRequest.authoredOn"] {
        assert!(ran.err.contains(place), "{ran:?}");
    }
    let some = fixtures::path("referrals/01-contained-patient.json");
    let unknown = run(hub.folder(), &["routes", "explain", some.to_str().unwrap(), "--system", "nobody"]);
    assert_eq!(unknown.code, 1, "{unknown:?}");
    assert!(unknown.err.contains("brownlow-gp"), "{unknown:?}");
    assert_eq!(run(hub.folder(), &["routes", "explain", "no-such-file.json"]).code, 1);
}

#[test]
fn a_token_is_made_shown_once_and_known_by_its_hash() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (run(folder.path(), &["token"]), run(folder.path(), &["token"]));
    assert_eq!((one.code, two.code), (0, 0), "{one:?}");
    let token = one.out.trim();
    assert!(token.len() == 43 && token != two.out.trim(), "{one:?}");
    let hash = onward::config::TokenHash::of(token).hex();
    assert!(one.err.contains(&format!("tokens = [{{ sha256 = \"{hash}\" }}]")) && !one.err.contains(token), "{one:?}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "it is kept nowhere");
}
