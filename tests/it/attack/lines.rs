//! No client writes a line of the log: what it says with line breaks and control characters in it, in URLs, headers, names, keys and bodies,
//! begins no line there, at the finest level and in both forms.

use hyper::Method;
use onward::demo::caller::{Call, Caller, FHIR_JSON, JSON_PATCH};
use serde_json::{Value, json};

use crate::{
    cli::{Served, onward},
    oauth::signer::{Signer, unsigned},
    support::{
        fixtures,
        hub::{GP, Hub, token_of},
    },
};

/// What a forged line would begin with.
const FORGED: &str = "2026-01-01T00:00:00.000000Z ERROR forged";
/// What ends a line for whoever reads a log: a program, a terminal, an editor.
const BREAKS: [&str; 7] = ["\n", "\r\n", "\r", "\u{1b}[2K\u{1b}[1G", "\u{85}", "\u{2028}", "\u{b}"];

/// What is said everywhere, each once: something before, a break, and the line.
fn said(line_break: &str) -> String {
    format!("a{line_break}{FORGED}")
}

fn form(fields: &[(&str, &str)]) -> Vec<u8> {
    let encode =
        |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&").into_bytes()
}

/// Everything that a client may say of itself or of what it wants, with this in it.
fn calls(base: &str, evil: &str, signer: &Signer) -> Vec<Call> {
    let to = |method: Method, path: &str| Call::new(method, format!("{base}{path}")).token(token_of(GP));
    let encoded = percent_encoding::utf8_percent_encode(evil, percent_encoding::NON_ALPHANUMERIC).to_string();
    let mut all = Vec::new();
    for path in [
        "/{}",
        "/fhir/{}",
        "/fhir/Task/{}",
        "/fhir/Task/{}/_history/{}",
        "/fhir/Task?_id={}",
        "/fhir/Task?{}=a",
        "/fhir/Task?_format={}",
        "/fhir/Task?_page={}",
        "/fhir/HealthcareService?near-postcode={}",
        "/fhir/Organization?name={}",
        "/open-referral/services?search={}",
        "/login?to={}",
        "/login/back?state={}&code={}&error={}&error_description={}",
        "/console/trace?of={}",
        "/health/{}",
    ] {
        all.push(to(Method::GET, &path.replace("{}", &encoded)));
    }
    // a header takes no break; what may stand beside it is taken by some and not by others
    let beside = evil.replace(['\n', '\r', '\u{b}', '\u{1b}'], "\t");
    for name in [
        "x-request-id",
        "x-correlation-id",
        "user-agent",
        "referer",
        "x-forwarded-for",
        "forwarded",
        "traceparent",
        "host",
    ] {
        all.push(to(Method::GET, "/fhir/Task").header(name, beside.clone()));
    }
    all.push(Call::get(format!("{base}/fhir/Task")).header("authorization", format!("Bearer {beside}")));

    let mut referral = fixtures::to_life_rooms("lines");
    for field in ["identifier", "requester", "subject", "code"] {
        referral[field] = json!({"system": evil, "value": evil, "reference": evil, "display": evil, "text": evil,
            "identifier": {"system": evil, "value": evil}, "coding": [{"system": evil, "code": evil, "display": evil}]});
    }
    let wrong_word = json!({"resourceType": evil, evil: evil});
    let batch = json!({"resourceType": "Bundle", "type": "batch", "entry": [
        {"fullUrl": evil, "request": {"method": evil, "url": evil}, "resource": referral},
        {"request": {"method": "GET", "url": format!("Task?_id={evil}"), "ifNoneMatch": evil}},
        {"request": {"method": "POST", "url": "ServiceRequest", "ifNoneExist": evil}, "resource": referral}]});
    for (path, body) in [("/fhir/ServiceRequest", &referral), ("/fhir/ServiceRequest", &wrong_word), ("/fhir", &batch)]
    {
        all.push(to(Method::POST, path).json(FHIR_JSON, body));
    }
    let patch = json!([{"op": evil, "path": evil, "value": evil}, {"op": "replace", "path": "/status", "value": evil}]);
    all.push(to(Method::PATCH, "/fhir/Task/0198b6a0-7c1e-7bd0-a5d1-000000000000").json(JSON_PATCH, &patch));
    let xml = format!("<ServiceRequest xmlns=\"http://hl7.org/fhir\"><id value=\"{evil}\"/></{evil}>");
    all.push(to(Method::POST, "/fhir/ServiceRequest").bytes("application/fhir+xml", xml.into_bytes().into()));

    // who it says it is, with a key and without
    let claims =
        json!({"iss": evil, "sub": evil, "aud": evil, "jti": evil, "exp": jiff::Timestamp::now().as_second() + 60});
    let of_known =
        json!({"iss": format!("system/{GP}"), "sub": format!("system/{GP}"), "aud": evil, "jti": evil, "exp": 1});
    let evil_header = json!({"alg": "ES384", "typ": evil, "kid": evil, "jku": evil});
    let assertions = [
        signer.sign(&json!({"kid": evil, "jku": evil}), &claims),
        signer.sign(&json!({"kid": evil}), &of_known),
        format!("{}.AAAA", unsigned(&evil_header, &claims)),
        evil.to_owned(),
    ];
    for assertion in &assertions {
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", assertion.as_str()),
            ("client_id", evil),
            ("scope", evil),
        ];
        all.push(posted(base, "/oauth/token", &fields));
        all.push(posted(base, "/oauth/introspect", &[("token", assertion), ("token_type_hint", evil)]));
        all.push(posted(base, "/oauth/revoke", &[("token", assertion), ("client_id", evil)]));
    }
    all.push(posted(base, "/oauth/token", &[("grant_type", evil)]));
    all.push(posted(base, "/login", &[("name", evil), ("password", evil), ("code", evil), ("to", evil)]));
    all
}

fn posted(base: &str, path: &str, fields: &[(&str, &str)]) -> Call {
    Call::new(Method::POST, format!("{base}{path}")).bytes("application/x-www-form-urlencoded", form(fields).into())
}

/// That every line of a log is one that Onward wrote, of the form `text` or `json`; how many there are.
fn held(log: &str, form: &str) -> usize {
    let mut count = 0;
    // what stands before it says that it serves is for whoever started it
    let (_, log) = log.split_once("onward: serving").unwrap_or(("", log));
    for line in log.split('\n').skip(1).filter(|line| !line.is_empty()) {
        assert!(!line.chars().any(|c| c.is_control() && c != '\t'), "{form}: {line:?}");
        assert!(!line.contains(['\u{2028}', '\u{2029}']), "{form}: {line:?}");
        if form == "json" {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
            assert!(line["level"].is_string() && line["timestamp"].is_string(), "{line}");
        } else {
            let words: Vec<&str> = line.split_whitespace().take(2).collect();
            let [at, level] = words[..] else { panic!("{line:?}") };
            assert!(at.parse::<jiff::Timestamp>().is_ok(), "{line:?}");
            assert!(["TRACE", "DEBUG", "INFO", "WARN", "ERROR"].contains(&level), "{line:?}");
        }
        assert!(!line.starts_with(FORGED), "{line:?}");
        count += 1;
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_writes_a_line_of_the_log() {
    let signer = Signer::es384("k");
    let caller = Caller::new();
    for form in ["text", "json"] {
        let hub = Hub::build().limits("client-rate = 100000").without_service().start().await;
        let mut serving = onward(hub.folder(), &["serve"]);
        serving.env("ONWARD__LOG__LEVEL", "trace").env("ONWARD__LOG__FORMAT", form).env("RUST_LOG", "trace");
        let served = Served::start(serving, &hub.folder().join("log")).await;
        let mut answered = 0;
        for evil in BREAKS.map(said) {
            for call in calls(&served.base_url, &evil, &signer) {
                // what no client can send is sent by none
                let Ok(answer) = caller.call(call).await else { continue };
                assert!(answer.status.as_u16() < 500, "{evil:?}: {}", answer.describe());
                answered += usize::from(answer.status.as_u16() != 429);
            }
        }
        assert!(answered > 150, "{answered}");
        let log = served.said();
        let lines = held(&log, form);
        // what was refused for what it said is told of
        assert!(log.matches("a referral was refused").count() >= BREAKS.len(), "{lines} lines: {log}");
        assert_eq!(served.end().await, Some(0));
    }
}

#[test]
fn a_forged_line_is_seen() {
    let good = "onward: serving\n2026-03-02T09:00:00.000001Z  INFO onward: a request\n";
    assert_eq!(held(good, "text"), 1);
    for evil in BREAKS.map(said) {
        let log = format!("onward: serving\n2026-03-02T09:00:00.000001Z  INFO onward: {evil}\n");
        assert!(std::panic::catch_unwind(|| held(&log, "text")).is_err(), "{evil:?}");
    }
}
