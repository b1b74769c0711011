use std::{fs, path::Path, time::Duration};

use jiff::SignedDuration;
use tempfile::TempDir;

use super::{registry::*, *};
use crate::routing::{Carried, Facts, all_open};

mod registry;

const TOKEN: &str = "sesame-open-up-please";

fn env(more: &[(&str, &str)]) -> Env {
    let own = [
        ("TOKEN_A", TOKEN),
        ("TOKEN_B", "another-token-of-some-length"),
        ("TOKEN_C", "a-third-token-of-length"),
        ("SHORT", "fifteen-letters"),
    ];
    own.iter().chain(more).copied().collect()
}

fn load(text: &str, env: &Env) -> Result<(Config, Vec<String>), Vec<String>> {
    let texts = |faults: Vec<Fault>| faults.iter().map(ToString::to_string).collect();
    let loaded = Config::parse(text, Path::new("onward.toml"), env);
    loaded.map(|(config, warnings)| (config, texts(warnings))).map_err(texts)
}

fn faults(text: &str, more: &[(&str, &str)]) -> Vec<String> {
    let loaded = load(text, &env(more));
    loaded.err().unwrap_or_else(|| panic!("nothing wrong with {text}"))
}

fn folder_with(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, text)| fs::write(folder.path().join(name), text).unwrap());
    folder
}

#[test]
fn an_empty_file_is_the_defaults() {
    let (config, warnings) = load("", &env(&[])).unwrap();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8787");
    assert_eq!(config.server.base_url_at(([127, 0, 0, 1], 1).into()), "http://127.0.0.1:1");
    assert_eq!(config.store.url.to_string(), "sqlite:./onward-data/onward.db");
    assert_eq!(config.broker.url, BrokerUrl::Embedded);
    assert_eq!(config.retry, RetryPolicy::default());
    assert_eq!(config.limits.body_bytes, 5 << 20);
    assert!(config.registry.systems.is_empty() && config.files.is_empty());
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}

#[test]
fn a_part_of_the_roles_needs_a_store_and_a_broker_that_can_be_shared() {
    let shared = "[store]\nurl = \"postgres://u@h/d\"\n[broker]\nurl = \"amqp://guest@127.0.0.1\"\n";
    let (config, _) = load(&format!("{shared}[server]\nroles = \"api, delivery\"\n"), &env(&[])).unwrap();
    assert!(config.server.roles.has(Role::Delivery) && !config.server.roles.has(Role::Scheduler));

    let one = faults("[server]\nroles = \"api\"\n", &[]);
    assert_eq!(one.len(), 1, "{one:?}");
    assert!(one[0].starts_with("onward.toml:2:9 server.roles: found \"api\" with a SQLite store"), "{one:?}");
    let embedded = faults("[store]\nurl = \"postgres://u@h/d\"\n[server]\nroles = \"api\"\n", &[]);
    assert!(embedded[0].contains("embedded broker"), "{embedded:?}");
    let (_, warnings) = load("[store]\nurl = \"postgres://u@h/d\"\n", &env(&[])).unwrap();
    assert!(warnings.iter().any(|w| w.contains("wakes only its own workers")), "{warnings:?}");

    // an option of the command line counts more than a variable, and is named where it is wrong
    let variable = env(&[("ONWARD__SERVER__ROLES", "api")]);
    let option = |roles: &str| variable.clone().with_option("--roles", ["server", "roles"], roles.to_owned());
    let (config, _) = load(shared, &option("scheduler")).unwrap();
    assert_eq!(config.server.roles.to_string(), "scheduler");
    let wrong = load(shared, &option("everything")).unwrap_err();
    assert!(wrong[0].starts_with("command line --roles: found \"everything\""), "{wrong:?}");
}

#[test]
fn a_queue_of_its_own_needs_a_broker_that_others_can_reach() {
    let provider = |keys: &str| {
        format!(
            "[[provider]]\nid = \"p\"\nname = \"P\"\nods-code = \"AB1\"\ntokens = [{{ env = \"TOKEN_A\" }}]\n\
             inbox = {{ kind = \"amqp\"{keys} }}\n"
        )
    };
    let over = |keys: &str| format!("[broker]\nurl = \"amqp://guest@127.0.0.1\"\n{}", provider(keys));
    let (config, _) = load(&over(""), &env(&[])).unwrap();
    let kind = &config.registry.inboxes.values().next().unwrap().kind;
    assert!(matches!(kind, InboxKind::Amqp(AmqpInbox { max_length: 10_000 })), "{kind:?}");
    let embedded = faults(&provider(""), &[]);
    assert_eq!(embedded.len(), 1, "{embedded:?}");
    assert!(embedded[0].contains("nobody outside this process can read from"), "{embedded:?}");
    assert!(faults(&over(", max-length = 0"), &[])[0].contains("from 1 to 1000000"));
    let wrong = faults(&over(", timeout = \"5s\""), &[]);
    assert!(wrong[0].contains("a key of the kind \"fhir-rest\"; allowed: not with \"amqp\""), "{wrong:?}");
}

#[test]
fn a_cluster_is_several_urls_with_one_password() {
    let url = |url: &str| format!("[broker]\nurl = \"{url}\"\npassword = {{ env = \"TOKEN_A\" }}\n");
    let (config, _) = load(&url("amqps://u@one/v, amqps://u@two:1/v,amqps://u@three/v"), &env(&[])).unwrap();
    assert_eq!(config.broker.url.to_string(), "amqps://u:…@one/v,amqps://u:…@two:1/v,amqps://u:…@three/v");
    let BrokerUrl::Amqp(full) = &config.broker.url else { panic!() };
    assert_eq!(full.reveal().matches("sesame%2Dopen%2Dup%2Dplease").count(), 3);
    assert_eq!(faults(&url("amqps://u@one,amqps://two"), &[]).len(), 1, "no user for the second");
    let (config, _) = load("[broker]\nurl = \"amqps://u:a,b@one\"\n", &env(&[])).unwrap();
    assert_eq!(config.broker.url.to_string(), "amqps://u:…@one");
}

#[test]
fn the_example_loads_and_shows_the_true_defaults() {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/onward.example.toml");
    let example = fs::read_to_string(&deploy).unwrap();
    let routes = fs::read_to_string(deploy.with_file_name("routes.example.toml")).unwrap();
    let folder = folder_with(&[("onward.toml", &example), ("routes.toml", &routes)]);
    let secret = |name: &'static str| (name, format!("{name}-0123456789"));
    let names = ["RIO_TOKEN", "RIO_READ_TOKEN", "RIO_WRITE_TOKEN", "LIFE_ROOMS_TOKEN", "LIFE_ROOMS_SERVER_TOKEN"];
    let env: Env = names
        .into_iter()
        .chain(["LINK_WORKERS_TOKEN", "ANNA_TOKEN", "ONWARD_BROKER_PASSWORD", "ALERTS_TOKEN", "SMTP_PASSWORD"])
        .map(secret)
        .collect();
    let path = folder.path().join("onward.toml");
    let (config, warnings) = Config::load(Some(&path), &env).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(config.files, [path, folder.path().join("routes.toml")]);
    let registry = &config.registry;
    assert_eq!((registry.systems.len(), registry.providers.len(), registry.inboxes.len()), (1, 2, 4));
    let BrokerUrl::Amqp(url) = &config.broker.url else { panic!("{:?}", config.broker.url) };
    assert_eq!(url.to_string(), "amqps://onward:…@rabbitmq.merseycare.example:5671/onward");
    assert!(url.reveal().starts_with("amqps://onward:ONWARD%5FBROKER%5FPASSWORD%2D0123456789@"));

    // every key of a table that stands there behind “# ” is said to have its default
    let tables = example.split("# ---- Originating systems").next().unwrap();
    let is_key = |line: &str| {
        line.split_once(" = ").is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'))
    };
    let default = |line: &'static str| line.strip_prefix("# ").filter(|line| is_key(line));
    let tables: &'static str = Box::leak(tables.to_owned().into_boxed_str());
    let mut lines: Vec<&str> =
        tables.lines().filter_map(|line| if line.starts_with('[') { Some(line) } else { default(line) }).collect();
    assert!(lines.len() > 25, "{lines:?}");
    // a mail server has no default, but what is said of one has
    let at = lines.iter().position(|line| *line == "[smtp]").unwrap();
    let mut end = at + 1;
    while lines.get(end).is_some_and(|line| !line.starts_with('[')) {
        end += 1;
    }
    let of_smtp: Vec<&str> = lines.drain(at..end).collect();
    assert!(of_smtp.len() > 2, "{of_smtp:?}");
    let server = "[smtp]\naddress = \"smtp.trust.example:587\"\nfrom = \"onward@trust.example\"\n";
    let smtp = |more: &str| load(&format!("{server}{more}"), &Env::default()).unwrap().0.smtp;
    assert_eq!(smtp(&of_smtp[1..].join("\n")), smtp(""));
    let (shown, _) = load(&lines.join("\n"), &Env::default()).unwrap();
    let (built_in, _) = load("", &Env::default()).unwrap();
    assert_eq!(format!("{shown:?}"), format!("{built_in:?}"));
}

#[test]
fn pages_of_others_are_named_by_their_origin() {
    let origins = |list: &str| format!("[http.cors]\norigins = [{list}]\n");
    let (config, warnings) = load(
        &origins("\"https://app.example\", \"https://a.b:8443\", \"http://localhost:3000\", \"http://intranet\""),
        &env(&[("ONWARD__HTTP__HTTP2", "false"), ("ONWARD__HTTP__CORS__MAX_AGE", "1h")]),
    )
    .unwrap();
    let http = config.http;
    assert_eq!((http.cors.origins.len(), http.cors.max_age, http.http2), (4, Duration::from_secs(3600), false));
    assert_eq!(warnings.iter().filter(|warning| warning.contains("http.cors.origins[3]")).count(), 1, "{warnings:?}");
    for wrong in [
        "*",
        "null",
        "app.example",
        "https://app.example/",
        "https://app.example/page",
        "https://*.example",
        "https://App.example",
        "https://app.example:443",
        "http://app.example:80",
        "https://u@app.example",
        "https://app.example?x",
        "ftp://app.example",
        "https://",
    ] {
        let faults = faults(&origins(&format!("\"{wrong}\"")), &[]);
        assert!(faults.len() == 1 && faults[0].contains("http.cors.origins[0]: found "), "{wrong}: {faults:?}");
    }
    let many = vec!["\"https://app.example\""; 33].join(", ");
    assert!(faults(&origins(&many), &[])[0].contains("allowed: at most 32"));
    assert!(faults("[http]\nhttp3 = true\n", &[])[0].contains("allowed: http2, cors"));
}

#[test]
fn every_fault_at_once_with_its_place() {
    let text = r#"
[server]
listen = "localhost"
port = 1
[store]
url = "mysql://root:sesame-open-up-please@db"
[broker]
url = "amqps://u:sesame-open-up-please@h"
password = { env = "TOKEN_A" }
prefetch = "many"
[retry]
first = "3h"
[limits]
body = "5MB"
[log]
level = "loud"
[registry]
source = "elsewhere"
[routes]
file = "nowhere.toml"
[[system]]
id = "A b"
ods-code = "R"
tokens = ["sesame-open-up-please", { env = "SHORT" }, { env = "NONE" }, { env = "sesame-open-up-please" }, { file = "no" }]
write-back = { kind = "soap", base-url = "ftp://x", detail = "all" }
[[provider]]
id = "p"
name = "P"
ods-code = "REM"
inbox = { kind = "fhir-rest", poll-every = "30s", token = { env = "TOKEN_A", file = "f" } }
[[provider]]
id = "p"
name = 7
ods-code = "REM"
tokens = "sesame-open-up-please"
[[inbox]]
id = "p"
provider = "q"
kind = "worklist"
timeout = "1s"
"#;
    let got = faults(text, &[]);
    let wanted = [
        ":3:10 server.listen: found \"localhost\"; allowed: ADDRESS:PORT",
        ":4:1 server.port: found an unknown key; allowed: listen, tls, base-url",
        ":6:7 store.url: found another URL; allowed: \"sqlite:PATH\" or",
        ":8:7 broker.url: found a password in the URL and one beside it; allowed: one of the two",
        ":10:12 broker.prefetch: found a text; allowed: a whole number from 1 to 1000",
        ":11:1 retry.first: found 3h; allowed: at most cap, which is 2h",
        ":14:8 limits.body: found \"5MB\"; allowed: a size such as",
        ":16:9 log.level: found \"loud\"; allowed: \"error\", \"warn\",",
        ":18:10 registry.source: found \"elsewhere\"; allowed: \"file\", \"store\"",
        ":20:8 routes.file: found nowhere.toml, which cannot be read: No such file",
        ":21:1 system[0].name: found nothing; needed: a name for people",
        ":22:6 system[0].id: found \"A b\"; allowed: an id: 1 to 48",
        ":23:12 system[0].ods-code: found \"R\"; allowed: an ODS code",
        ":24:11 system[0].tokens[0]: found the secret itself; allowed: { env",
        ":24:36 system[0].tokens[1]: found a secret of 15 characters; allowed: 16 to 4096",
        ":24:63 system[0].tokens[2].env: found NONE, which is not set; allowed:",
        ":24:81 system[0].tokens[3].env: found something else; allowed: the name of an environment variable",
        ":24:117 system[0].tokens[4].file: found a file that cannot be read (No such file",
        ":25:23 system[0].write-back.kind: found \"soap\"; allowed: \"fhir-rest\"",
        ":25:42 system[0].write-back.base-url: found \"ftp://x\"; allowed: \"https://HOST/PATH\"",
        ":25:62 system[0].write-back.detail: found \"all\"; allowed: \"none\", \"codes\"",
        ":30:9 provider[0].inbox.base-url: found nothing; needed:",
        ":30:44 provider[0].inbox.poll-every: found poll-every without polling; allowed: only with answers = \"poll\"",
        ":30:59 provider[0].inbox.token: found both env and file; allowed:",
        ":32:6 provider[1].id: found \"p\" a second time; allowed: an id once",
        ":33:8 provider[1].name: found a number; allowed: a text",
        ":35:10 provider[1].tokens: found a text; allowed: a list of secrets",
        ":37:6 inbox[0].id: found \"p\" a second time; allowed: an id once",
        ":38:12 inbox[0].provider: found \"q\", which is no provider; allowed: the id of a provider: p",
        ":40:11 inbox[0].timeout: found a key of the kind \"fhir-rest\"; allowed:",
    ];
    for (n, wanted) in wanted.iter().enumerate() {
        let got = got.get(n).map(String::as_str).unwrap_or_default();
        assert!(got.starts_with(&format!("onward.toml{wanted}")), "{n}:\n got    {got}\n wanted {wanted}");
    }
    assert_eq!(got.len(), wanted.len(), "{got:#?}");
    assert!(got.iter().all(|fault| !fault.contains("sesame")), "a secret is repeated: {got:#?}");
}

#[test]
fn a_secret_in_a_file_ends_before_its_line_break_and_the_file_is_watched() {
    let text = "[[system]]\nid = \"a\"\nname = \"n\"\nods-code = \"RW4\"\ntokens = [{ file = \"a.token\" }]\n";
    let folder = folder_with(&[("a.token", &format!("{TOKEN}\n")), ("onward.toml", text)]);
    let (config, _) = Config::load(Some(&folder.path().join("onward.toml")), &Env::default()).unwrap();
    assert_eq!(config.registry.client_of(Some(TOKEN), &[], true).len(), 1);
    assert_eq!(config.files, [folder.path().join("onward.toml"), folder.path().join("a.token")]);
}

#[test]
fn the_environment_overrides_keys_of_tables() {
    let more = [
        ("ONWARD__SERVER__LISTEN", "0.0.0.0:1"),
        ("ONWARD__SERVER__BASE_URL", "https://o.example/"),
        ("ONWARD__BROKER__URL", "amqp://guest:guest@127.0.0.1:5672"),
        ("ONWARD__BROKER__PREFETCH", "5"),
        ("ONWARD__LIMITS__CONCURRENT_REQUESTS", "9"),
        ("ONWARD__RETRY__GIVE_UP_AFTER", "2d"),
    ];
    let (config, _) = load("[server]\nlisten = \"127.0.0.1:2\"\n[log]\nlevel = \"warn\"\n", &env(&more)).unwrap();
    assert_eq!(config.server.base_url_at(config.server.listen), "https://o.example");
    assert_eq!((config.server.listen.port(), config.broker.prefetch, config.limits.concurrent_requests), (1, 5, 9));
    assert_eq!(config.retry.give_up_after, jiff::SignedDuration::from_hours(48));
    assert_eq!(config.log.level, Level::Warn);
    assert_eq!(format!("{:?}", config.broker.url), "Amqp(HiddenUrl(amqp://guest:…@127.0.0.1:5672))");

    let by_file = [("ONWARD__BROKER__URL", "amqps://u@h"), ("ONWARD__BROKER__PASSWORD__ENV", "TOKEN_A")];
    let (config, _) = load("", &env(&by_file)).unwrap();
    assert!(matches!(&config.broker.url, BrokerUrl::Amqp(url) if url.reveal().contains("u:sesame%2Dopen")));

    let wrong = [
        ("ONWARD__SERVER__PORT", "1"),
        ("ONWARD__SYSTEM__ID", "1"),
        ("ONWARD__STORE", "1"),
        ("ONWARD__BROKER__PREFETCH", "many"),
        ("ONWARD__BROKER__PASSWORD", TOKEN),
    ];
    let got = faults("[[system]]\nid = \"a\"\nname = \"n\"\nods-code = \"RW4\"\n", &wrong);
    let found = |name: &str, message: &str| {
        got.iter().any(|fault| fault.starts_with(&format!("environment {name}: {message}")))
    };
    assert!(found("ONWARD__SERVER__PORT", "found an unknown key; allowed: listen, tls, base-url"), "{got:#?}");
    assert!(
        found("ONWARD__SYSTEM__ID", "found an unknown variable") && found("ONWARD__STORE", "found an unknown variable")
    );
    assert!(
        found("ONWARD__BROKER__PREFETCH", "found another number; allowed: a whole number from 1 to 1000"),
        "{got:#?}"
    );
    assert!(found("ONWARD__BROKER__PASSWORD", "found the secret itself"), "{got:#?}");
    assert!(got.iter().all(|fault| !fault.contains("sesame")));
}

#[test]
fn urls_are_what_they_must_be() {
    for bad in [
        "",
        "x.example",
        "ftp://x",
        "https://",
        "https://u:sesame@x/",
        "https://x/?a=b",
        "https://x y",
        "https://:80",
        "https://x:port",
        "https://x:99999",
        "https://[x]/",
        "https://u:sesame@x:1y",
    ] {
        let got = faults(&format!("[server]\nbase-url = \"{bad}\"\n"), &[]);
        assert!(got.len() == 1 && got[0].contains("server.base-url") && !got[0].contains("sesame"), "{got:?}");
    }
    for good in ["http://[::1]:80/fhir/", "https://x_y.example:8443/a-b", "http://[::1]"] {
        let (config, _) = load(&format!("[server]\nbase-url = \"{good}\"\n"), &env(&[])).unwrap();
        assert_eq!(config.server.base_url.as_deref(), Some(good.trim_end_matches('/')));
    }
    for bad in ["sqlite:", "sqlite://x.db", "sqlite::memory:", "x.db"] {
        assert_eq!(faults(&format!("[store]\nurl = \"{bad}\"\n"), &[]).len(), 1, "{bad}");
    }
    let (config, _) =
        load("[store]\nurl = \"postgres://u:sesame@h/db?sslmode=require&password=sesame\"\n", &env(&[])).unwrap();
    assert!(matches!(&config.store.url, StoreUrl::Postgres(url) if url.reveal().contains("u:sesame@h")));
    assert_eq!(config.store.url.to_string(), "postgres://u:…@h/db");
    let beside = |url: &str| format!("[store]\nurl = \"{url}\"\npassword = {{ env = \"TOKEN_A\" }}\n");
    let (config, _) = load(&beside("postgres://u@h1,h2:5433/db"), &env(&[])).unwrap();
    assert_eq!(config.store.url.to_string(), "postgres://u:…@h1,h2:5433/db");
    let (config, _) = load("[store]\nurl = \"postgres://u@%2Frun%2Fpostgresql/db\"\n", &env(&[])).unwrap();
    assert_eq!(config.store.url.to_string(), "postgres://u@%2Frun%2Fpostgresql/db");
    assert_eq!(faults(&beside("postgres://u:sesame@h/db"), &[]).len(), 1, "two passwords");
    assert_eq!(faults(&beside("postgres://h/db"), &[]).len(), 1, "no user");
    assert_eq!(faults(&beside("sqlite:x.db"), &[]).len(), 1, "a password for a file");
    assert_eq!(faults("[store]\nurl = \"postgres://u@h/db?sslmode=prefer\"\n", &[]).len(), 1, "it promises nothing");
    let open = "[store]\nurl = \"postgres://u@h/db?sslmode=disable\"\n[broker]\nurl = \"amqps://u@h\"\n";
    let (_, warnings) = load(open, &env(&[])).unwrap();
    assert!(warnings.iter().any(|w| w.to_string().contains("travel unencrypted")), "{warnings:?}");
    assert!(!format!("{config:?}").contains("sesame"));
    assert_eq!(faults("[broker]\nurl = \"amqps://h\"\npassword = { env = \"TOKEN_A\" }\n", &[]).len(), 1, "no user");
}

#[test]
fn what_is_allowed_but_risky_is_warned_of() {
    let text = r#"
[server]
listen = "0.0.0.0:8787"
[broker]
url = "amqp://u:sesame-open-up-please@rabbit.example"
[[system]]
id = "a"
name = "n"
ods-code = "RW4"
tokens = [{ env = "TOKEN_A" }]
[[system]]
id = "b"
name = "n"
ods-code = "RW4"
write-back = { kind = "fhir-rest", base-url = "http://epr.example" }
[[provider]]
id = "p"
name = "n"
ods-code = "RW4"
inbox = { kind = "worklist" }
"#;
    let (config, warnings) = load(text, &env(&[])).unwrap();
    let warned = warnings.join("\n");
    for wanted in [
        "server.listen: listens beyond this machine",
        "server.base-url: listens on every address",
        "broker.url: amqp:// to another machine",
        "broker.url: the password stands in the file",
        "system[0].write-back: none",
        "system[1].tokens: none",
        "system[1].write-back.base-url: http:// to another machine",
        "provider[0].tokens: no tokens",
        "routes.file: no route file",
        "server.static-tokens: the tokens of system/a are refused",
    ] {
        assert!(warned.contains(wanted), "{wanted}\n{warned}");
    }
    assert_eq!(warnings.len(), 10, "{warned}");
    assert!(!format!("{warned}{config:?}").contains("sesame"));
}

#[test]
fn the_route_file_is_read_with_its_own_places() {
    let text = "[routes]\nfile = \"r.toml\"\n[[provider]]\nid = \"p\"\nname = \"n\"\nods-code = \"R\"\ninbox = { kind = \"fax\" }\n";
    let routes = "[[route]]\nname = \"x\"\nwhen = { system = [\"a\"] }\nto = \"p\"\n";
    let folder = folder_with(&[("onward.toml", text), ("r.toml", routes)]);
    let faults = Config::load(Some(&folder.path().join("onward.toml")), &Env::default()).unwrap_err();
    let keys: Vec<_> =
        faults.iter().map(|fault| (fault.file.rsplit('/').next().unwrap(), fault.line, fault.key.as_str())).collect();
    // that the inbox p is wrong otherwise is no fault of the route that names it
    assert_eq!(
        keys,
        [
            ("onward.toml", 6, "provider[0].ods-code"),
            ("onward.toml", 7, "provider[0].inbox.kind"),
            ("r.toml", 3, "route[0].when.system[0]")
        ]
    );
    let missing = Config::load(Some(&folder.path().join("none.toml")), &Env::default()).unwrap_err();
    assert!(missing.len() == 1 && missing[0].to_string().contains("none.toml: cannot be read"), "{missing:?}");
}

#[test]
fn where_the_store_has_the_routes_the_route_file_is_not_even_looked_at() {
    let text = "[registry]\nsource = \"store\"\n[routes]\nfile = \"r.toml\"\n";
    let folder = folder_with(&[("onward.toml", text), ("r.toml", "[[route")]);
    let path = folder.path().join("onward.toml");
    let (config, warnings) = Config::load(Some(&path), &Env::default()).unwrap();
    assert_eq!(warnings, []);
    assert_eq!((config.routes.source, config.routes.file), (routes::Source::Store, Some(folder.path().join("r.toml"))));
    assert_eq!(config.files, [path], "nor watched");
    assert_eq!(config.registry.routes.version(), RouteSet::empty().version());
    // and need not be there
    let (config, warnings) = load("[registry]\nsource = \"store\"\n", &env(&[])).unwrap();
    assert!(warnings.is_empty() && config.routes.file.is_none(), "{warnings:?}");
    let (config, _) = load("", &env(&[("ONWARD__REGISTRY__SOURCE", "store")])).unwrap();
    assert_eq!(config.routes.source, routes::Source::Store);
    assert_eq!(faults("[routes]\nfile = 7\n[registry]\nsource = \"store\"\n", &[]).len(), 1);
}

#[test]
fn with_no_configuration_one_token_stands_for_both_sides_and_the_directory() {
    let (config, warnings) = Config::embedded(Path::new("data"), TokenHash::of(TOKEN), &Env::default()).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(config.store.url.to_string(), "sqlite:data/onward.db");
    let all = [
        Client::System("local".parse().unwrap()),
        Client::Provider("local".parse().unwrap()),
        Client::Steward("local".parse().unwrap()),
    ];
    assert_eq!(config.registry.client_of(Some(TOKEN), &[], true), all);
    assert_eq!(config.registry.client_of(Some("something-else-altogether"), &[], true), []);
    let (request, now) = (serde_json::json!({}), "2026-11-26T10:00:00Z".parse().unwrap());
    let setting = config.registry.setting(now);
    let facts = Facts::of(&"local".parse().unwrap(), &request, Carried::nothing(), setting);
    let decision = config.registry.routes.decide(&facts, &all_open).unwrap();
    assert_eq!(decision.inboxes().map(InboxId::as_str).collect::<Vec<_>>(), ["local"]);

    let more = env(&[("ONWARD__BROKER__URL", "amqp://127.0.0.1:5672"), ("ONWARD__STORE__URL", "sqlite:x.db")]);
    let (config, _) = Config::embedded(Path::new("data"), TokenHash::of(TOKEN), &more).unwrap();
    assert_eq!(
        (config.store.url.to_string(), config.broker.url.to_string()),
        ("sqlite:x.db".into(), "amqp://127.0.0.1:5672".into())
    );
    assert!(!format!("{config:?}{more:?}{:?}", Secret::of(TOKEN)).contains("sesame"));
}

#[test]
fn who_is_told_of_alerts() {
    let (config, _) = load("", &env(&[])).unwrap();
    assert!(config.alerts.hook.is_none() && config.alerts.command.is_empty());
    let text = "[alerts]\nhook = { url = \"https://a.example/x\", token = { env = \"TOKEN_A\" } }\ncommand = [\"/bin/true\", \"a b\"]\n";
    let (config, _) = load(text, &env(&[])).unwrap();
    assert_eq!(config.alerts.hook.unwrap().base_url, "https://a.example/x");
    assert_eq!(config.alerts.command, ["/bin/true", "a b"]);
    for wrong in
        ["hook = \"https://a.example\"", "hook = {}", "command = \"true\"", "command = []", "give-up-after = \"0s\""]
    {
        let told = faults(&format!("[alerts]\n{wrong}\n"), &[]);
        assert_eq!(told.len(), 1, "{wrong}: {told:?}");
        assert!(!told[0].contains(TOKEN));
    }
    let (_, warnings) = load("[alerts]\nhook = { url = \"http://a.example/x\" }\n", &env(&[])).unwrap();
    assert!(warnings.iter().any(|w| w.contains("unencrypted")), "{warnings:?}");
}
