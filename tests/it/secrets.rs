//! Secrets are compared by one function, in constant time: read from the source, so that a comparison by `==` fails here.

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

fn all() -> Vec<(String, String)> {
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
