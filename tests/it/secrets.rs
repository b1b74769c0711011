//! Secrets are compared by one function, in constant time, and wiped when they are let go: read from the source, so that a comparison by `==`,
//! or a secret in a plain text, fails here.

use std::{fs, path::Path, sync::LazyLock};

use regex::Regex;

/// Where the function is.
const HOME: &str = "src/config/secret.rs";

/// What is a secret by its name, wherever it stands; and in the rooms where people and clients are known, what is kept of one.
const EVERYWHERE: &str = r"(?:reveal\(\)|secret|password|nonce|verifier|shown|made_for|cookie)";
const WHERE_THEY_ARE_KNOWN: &str = r"(?:reveal\(\)|secret|password|nonce|verifier|shown|made_for|cookie|token|digest\(\)|digest|hash|code|tag|key|bound)";
const ROOMS: &[&str] = &["src/people", "src/auth", "src/http/oauth.rs", "src/http/who.rs", "src/http/health.rs"];
/// Nor where they come from a browser.
const PAGES: &[&str] = &["src/web/cookie.rs", "src/web/form.rs", "src/web/login.rs", "src/web/enrol.rs"];

/// What looks like a comparison of secrets and is none: whether there is one, and a password that the whole world knows.
const NONE: &[(&str, &str)] = &[
    ("src/config/smtp.rs", "user.is_some() != password.is_some()"),
    ("src/broker/rabbitmq/address.rs", "password == \"guest\""),
];

struct Compared {
    on_the_left: Regex,
    on_the_right: Regex,
}

impl Compared {
    fn of(words: &str) -> Self {
        let regex = |text: String| Regex::new(&text).unwrap();
        Self {
            on_the_left: regex(format!(r"(?:^|[^\w.])(?:\w+(?:\(\))?\.)*{words}\)?\s*[!=]=[^=>]")),
            on_the_right: regex(format!(r"[^=!<>][!=]=\s*[&*(]*(?:\w+(?:\(\))?\.)*{words}(?:$|[^\w(.])")),
        }
    }

    fn is_in(&self, line: &str) -> bool {
        self.on_the_left.is_match(line) || self.on_the_right.is_match(line)
    }
}

static PLAIN: LazyLock<Compared> = LazyLock::new(|| Compared::of(EVERYWHERE));
static KNOWN: LazyLock<Compared> = LazyLock::new(|| Compared::of(WHERE_THEY_ARE_KNOWN));

/// The code of every source file but tests and what is for demonstrations, with its path.
fn sources(at: &Path, found: &mut Vec<(String, String)>) {
    if at.is_dir() {
        for entry in fs::read_dir(at).unwrap() {
            sources(&entry.unwrap().path(), found);
        }
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let name = at.strip_prefix(root).unwrap().to_string_lossy().into_owned();
    let apart = name.contains("/tests") || name.starts_with("src/demo");
    if at.extension().is_some_and(|of| of == "rs") && !apart {
        let source = fs::read_to_string(at).unwrap();
        let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
        found.push((name, code));
    }
}

pub fn all() -> Vec<(String, String)> {
    let mut found = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found
}

#[test]
fn secrets_are_compared_by_one_function() {
    let files = all();
    for (name, code) in &files {
        if code.contains("constant_time") || code.contains("verify_slices_are_equal") {
            assert_eq!(name, HOME, "it compares by itself: use is_same_secret");
        }
    }
    let users = files.iter().filter(|(name, code)| name != HOME && code.contains("is_same_secret(")).count();
    assert!(users >= 5, "{users}");
    let mut wrong = Vec::new();
    for (name, code) in &files {
        let words = if ROOMS.iter().chain(PAGES).any(|room| name.starts_with(room)) { &*KNOWN } else { &*PLAIN };
        for (n, line) in code.lines().enumerate() {
            let line = line.split("//").next().unwrap_or_default();
            let is_none = NONE.iter().any(|(file, text)| file == name && line.contains(text));
            if words.is_in(line) && !is_none {
                wrong.push(format!("{name}:{}: {}", n + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "secrets are compared by is_same_secret:\n{}", wrong.join("\n"));
}

/// Those that hold a secret compare in constant time themselves, and are compared by nothing that a derive made.
#[test]
fn what_holds_a_secret_derives_no_comparison() {
    let derived =
        Regex::new(r"#\[derive\(([^)]*)\)\]\s*(?:#\[[^\]]*\]\s*)*pub struct (Secret|TokenHash|Token|Code)\(").unwrap();
    let mut seen = 0;
    for (name, code) in all().iter().filter(|(name, _)| name.ends_with("/secret.rs")) {
        for found in derived.captures_iter(code) {
            seen += 1;
            assert!(!found[1].contains("PartialEq"), "{name}: {}", &found[2]);
        }
    }
    assert_eq!(seen, 4, "each has a derive of its own");
}

/// What bears the name of a secret and is held in plain: why it may be.
const IN_PLAIN: &[(&str, &str)] = &[
    // argon2id of it, as it lies in the store
    ("src/store/people.rs", "pub password: String"),
    ("src/store/postgres/people.rs", "password: Option<String>"),
    ("src/store/sqlite/people.rs", "password: Option<String>"),
    ("src/people/local.rs", "password: String"),
    // wiped by what it is put into in the next lines
    ("src/store/sqlite/people.rs", "totp: Option<Vec<u8>>"),
    // written into the page that shows it once
    ("src/web/console/add.rs", "token: Option<String>"),
    // of a service that is measured, made for that
    ("src/bench/directory.rs", "token: String"),
];

/// A text or bytes that nothing wipes, under the name of a secret.
static PLAINLY_HELD: LazyLock<Regex> = LazyLock::new(|| {
    let name = r"(?:\w*password|\w*secret|totp|passphrase|verifier|nonce|token|private_key|cookie)";
    let plain = r"(?:String|Vec<u8>|Box<str>|Arc<str>|Bytes|\[u8; ?\w+\])";
    Regex::new(&format!(r"(?:pub(?:\([a-z ]+\))? )?\b{name}: (?:Option<)?{plain}>?")).unwrap()
});

/// Whatever holds a secret wipes it when it lets it go.
#[test]
fn secrets_are_held_in_what_wipes_them() {
    let (mut wrong, mut seen) = (Vec::new(), vec![0; IN_PLAIN.len()]);
    for (name, code) in all() {
        for line in code.lines().map(|line| line.split("//").next().unwrap_or_default()) {
            let Some(found) = PLAINLY_HELD.find(line) else { continue };
            let known = IN_PLAIN.iter().position(|(file, text)| *file == name && found.as_str() == *text);
            match known {
                Some(at) => seen[at] += 1,
                None => wrong.push(format!("{name}: {}", line.trim())),
            }
        }
    }
    assert!(wrong.is_empty(), "use Secret, Token, Code or Zeroizing:\n{}", wrong.join("\n"));
    let unseen: Vec<_> = IN_PLAIN.iter().zip(&seen).filter(|(_, seen)| **seen == 0).map(|(one, _)| one).collect();
    assert!(unseen.is_empty(), "these are not there any more: {unseen:?}");
    // and those that are for it do wipe
    let files = all();
    for (file, held) in [
        ("src/config/secret.rs", "pub struct Secret(Zeroizing<String>);"),
        ("src/people/secret.rs", "pub struct Token(Zeroizing<String>);"),
        ("src/people/secret.rs", "pub struct Code(Zeroizing<String>);"),
        ("src/store/people.rs", "pub totp: Zeroizing<Vec<u8>>,"),
        ("src/people/local.rs", "pub key: Zeroizing<Vec<u8>>,"),
        ("src/auth/authority.rs", "pub token: Zeroizing<String>,"),
        // what is kept of a log-in, as one text and out of it
        ("src/store/people.rs", "kept: Zeroizing<String>, until: Timestamp"),
        ("src/store/people.rs", "Result<Option<Zeroizing<String>>, StoreError>"),
        ("src/people/oidc.rs", "nonce: Zeroizing<String>,"),
        ("src/people/oidc.rs", "verifier: Zeroizing<String>,"),
        ("src/people/oidc.rs", "state: Zeroizing<String>,"),
        // what is shown to be given a token, and the token that is given
        ("src/client/signer.rs", "-> Result<Zeroizing<String>, String>"),
        ("src/client/grants.rs", "fn written(form: &[(&str, &str)]) -> Zeroizing<Vec<u8>>"),
        ("src/client/grants.rs", "Some(Zeroizing::new(std::mem::take(token)))"),
        ("src/client/grants.rs", "wipe(body);"),
    ] {
        assert!(files.iter().any(|(name, code)| name == file && code.contains(held)), "{file}: {held}");
    }
    for (line, is) in [
        ("    password: String,", true),
        ("pub(super) client_secret: Option<String>,", true),
        ("let totp: Vec<u8> = x;", true),
        ("password: Zeroizing<String>,", false),
        ("token: Option<&str>", false),
        ("token_url: String", false),
        ("password: Secret,", false),
    ] {
        assert_eq!(PLAINLY_HELD.is_match(line), is, "{line}");
    }
}

/// A copy of a secret in what nothing wipes, whatever it is called: a text or bytes made of it, or what is kept of a log-in.
static COPIED: LazyLock<Regex> = LazyLock::new(|| {
    let made = r"(?:to_owned|to_string|into|to_vec|into_bytes|as_bytes\(\)\.to_vec)\(";
    let of_it = format!(r"\breveal\(\)(?:, \w+\))?\.{made}");
    let within = r"format!\([^;]*\breveal\(\)";
    let kept = r"serde_json::to_(?:string|vec)\(&?(?:begun|enrolling)\)";
    Regex::new(&format!("{of_it}|{within}|{kept}")).unwrap()
});
/// What wipes a copy that is made in it.
const WIPES: &[&str] = &["Zeroizing::new", "Secret::of", "Token::read"];
/// Copies that stay as they are, and why.
const COPIES: &[(&str, &str)] = &[
    // handed to a library, which holds it as it does
    ("src/notices/smtp.rs", "Credentials::new(user.clone(), password.reveal().to_owned())"),
    ("src/people/oidc.rs", "ClientSecret::new(secret.reveal().to_owned())"),
    // written into the page that shows it once
    ("src/web/people.rs", "code: code.reveal().to_owned(),"),
    ("src/web/console/add.rs", "token.reveal().to_owned()"),
];

/// What is revealed is not copied into what stays in memory when it is let go, under whatever name.
#[test]
fn what_is_revealed_is_copied_into_what_wipes_it() {
    let (mut wrong, mut seen) = (Vec::new(), vec![0; COPIES.len()]);
    for (name, code) in all().iter().filter(|(name, _)| !name.starts_with("src/bench")) {
        for line in code.lines().map(|line| line.split("//").next().unwrap_or_default()) {
            if !COPIED.is_match(line) || WIPES.iter().any(|wipes| line.contains(wipes)) {
                continue;
            }
            match COPIES.iter().position(|(file, text)| file == name && line.contains(text)) {
                Some(at) => seen[at] += 1,
                None => wrong.push(format!("{name}: {}", line.trim())),
            }
        }
    }
    assert!(wrong.is_empty(), "a copy that nothing wipes: put it into Zeroizing:\n{}", wrong.join("\n"));
    let unseen: Vec<_> = COPIES.iter().zip(&seen).filter(|(_, seen)| **seen == 0).map(|(one, _)| one).collect();
    assert!(unseen.is_empty(), "these are not there any more: {unseen:?}");
    for (line, is) in [
        ("let copy = secret.reveal().to_owned();", true),
        ("let text = format!(\"Bearer {}\", token.reveal());", true),
        ("let body = utf8_percent_encode(password.reveal(), ALL).to_string();", true),
        ("let kept = serde_json::to_string(&begun)?;", true),
        ("PostgresStore::check_url(url.reveal()).err().map(|error| format!(\"{error}\"))", false),
        ("RabbitMq::connect(url.reveal(), Default::default()).map_err(|e| e.to_string())", false),
        ("take(token.reveal())", false),
    ] {
        assert_eq!(COPIED.is_match(line), is, "{line}");
    }
}

/// Of these what they have on by themselves is `std` alone, or is used: cache of statements (`rusqlite`), help and usage (`clap`), attributes
/// (`tracing`), UTF-8 and errors.
const AS_THEY_COME: &[&str] = &[
    "anyhow",
    "arc-swap",
    "async-trait",
    "base64",
    "bytes",
    "clap",
    "csv",
    "fastrand",
    "http-body-util",
    "httpdate",
    "hyper",
    "hyper-util",
    "metrics",
    "percent-encoding",
    "quick-xml",
    "rusqlite",
    "rustls-native-certs",
    "serde",
    "serde_json",
    "socket2",
    "thiserror",
    "tokio",
    "tokio-util",
    "toml",
    "tower-service",
    "tracing",
    "unicode-normalization",
    "uuid",
    "zeroize",
];

/// Each crate is built with no more of it than is used: what it has on by itself is off, or it stands in the list above. One that is new is
/// thought about.
#[test]
fn no_dependency_brings_what_nobody_asked_for() {
    let manifest: toml::Table = toml::from_str(include_str!("../../Cargo.toml")).unwrap();
    let dependencies = manifest["dependencies"].as_table().unwrap();
    let by_default = |of: &toml::Value| of.get("default-features").and_then(toml::Value::as_bool) != Some(false);
    let mut found: Vec<&str> =
        dependencies.iter().filter(|(_, of)| by_default(of)).map(|(name, _)| name.as_str()).collect();
    found.sort_unstable();
    assert_eq!(found, AS_THEY_COME);
}

#[test]
fn comparisons_are_found_in_every_form() {
    for line in [
        "if enrolment.code == shown {",
        "account.enrolment.is_some_and(|open| open.code == shown)",
        "if *password != *form.secret(\"again\") {",
        "self.digest() == other",
        "hash == *self.hash",
        "if token.reveal() != sent {",
    ] {
        assert!(KNOWN.is_in(line), "{line}");
    }
    for line in [
        "form.code == action.name",
        "let shown = 3;",
        "token.client == shown.client",
        "password.len() == 0",
        "a => shown",
    ] {
        assert!(!PLAIN.is_in(line), "{line}");
    }
}
