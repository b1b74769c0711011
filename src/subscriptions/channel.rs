//! Where notifications go, and how.

use std::time::Duration;

use serde_json::Value;

use super::BACKPORT;
use crate::fhir::{Issue, IssueCode, tree};

/// How much a notification says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// That something changed.
    Empty,
    /// Which Tasks.
    IdOnly,
    /// The Tasks as they became.
    FullResource,
}

/// A rest-hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// The URL that is posted to.
    pub endpoint: String,
    /// Headers that go with it.
    pub headers: Vec<(String, String)>,
    /// How much is said.
    pub content: Content,
    /// Whether it is said in XML.
    pub xml: bool,
    /// Something is sent at least so often.
    pub heartbeat: Option<Duration>,
    /// So long a notification may take.
    pub timeout: Duration,
    /// So many events in one notification.
    pub max_count: u64,
}

const ENDPOINT_MAX_BYTES: usize = 2_000;
const HEADERS_MAX: usize = 10;
const HEADER_MAX_BYTES: usize = 2_000;
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
const TIMEOUT_MAX: u64 = 60;
const HEARTBEAT_MIN: u64 = 1;
const COUNT_DEFAULT: u64 = 20;
/// The most events of one notification.
pub const COUNT_MAX: u64 = 100;
/// Headers that are the connection's own business, or say what the body is.
const NOT_ALLOWED: &[&str] = &[
    "accept",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The value of an extension of the backport.
fn extension<'v>(holder: &'v Value, name: &str, value: &str) -> Option<&'v Value> {
    let url = format!("{BACKPORT}{name}");
    let found = tree::items(holder, "extension").iter();
    found.filter(|e| e.get("url").and_then(Value::as_str) == Some(&url)).find_map(|e| e.get(value))
}

impl Channel {
    /// Reads `Subscription.channel`.
    ///
    /// # Errors
    /// What is not supported.
    pub fn read(subscription: &Value) -> Result<Self, Vec<Issue>> {
        let none = Value::Null;
        let channel = subscription.get("channel").unwrap_or(&none);
        let mut issues = Vec::new();
        let mut wrong = |place: &str, told: &str| {
            issues.push(Issue::error(IssueCode::NotSupported, format!("Subscription.channel{place}"), told));
        };
        if channel.get("type").and_then(Value::as_str) != Some("rest-hook") {
            wrong(".type", "use rest-hook");
        }
        let endpoint = channel.get("endpoint").and_then(Value::as_str).unwrap_or_default();
        if !is_url(endpoint) {
            wrong(".endpoint", "use an http or https URL without user, password and #");
        }
        let mut headers = Vec::new();
        for text in tree::items(channel, "header").iter().filter_map(Value::as_str) {
            match header(text) {
                Some(header) if headers.len() < HEADERS_MAX => headers.push(header),
                _ => wrong(
                    ".header",
                    "use up to ten headers as Name: value, without those of the connection or the body",
                ),
            }
        }
        let xml = match channel.get("payload").and_then(Value::as_str) {
            None | Some("application/fhir+json" | "application/json") => false,
            Some("application/fhir+xml") => true,
            Some(_) => {
                wrong(".payload", "use application/fhir+json or application/fhir+xml");
                false
            }
        };
        let about = channel.get("_payload").unwrap_or(&none);
        let content = match extension(about, "backport-payload-content", "valueCode").and_then(Value::as_str) {
            Some("empty") => Content::Empty,
            None | Some("id-only") => Content::IdOnly,
            Some("full-resource") => Content::FullResource,
            Some(_) => {
                wrong(".payload", "use empty, id-only or full-resource as payload content");
                Content::IdOnly
            }
        };
        let number = |name: &str, value: &str| extension(channel, name, value).and_then(Value::as_u64);
        let heartbeat = number("backport-heartbeat-period", "valueUnsignedInt").filter(|s| *s >= HEARTBEAT_MIN);
        let timeout = number("backport-timeout", "valueUnsignedInt").filter(|s| *s > 0);
        let max_count = number("backport-max-count", "valuePositiveInt").unwrap_or(COUNT_DEFAULT);
        if !issues.is_empty() {
            return Err(issues);
        }
        Ok(Self {
            endpoint: endpoint.to_owned(),
            headers,
            content,
            xml,
            heartbeat: heartbeat.map(Duration::from_secs),
            timeout: timeout.map_or(TIMEOUT_DEFAULT, |s| Duration::from_secs(s.min(TIMEOUT_MAX))),
            max_count: max_count.clamp(1, COUNT_MAX),
        })
    }

    /// Whether it may be posted there: the URL is one of these, or lies below one of them.
    pub fn is_allowed(&self, allowed: &[String]) -> bool {
        allowed.iter().any(|base| {
            let rest = self.endpoint.strip_prefix(base.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || rest.starts_with('?'))
        })
    }
}

fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '@' | '#' | '\\' | '"' | '<' | '>');
    // with “..” it would lead elsewhere than it says
    rest.is_some_and(|rest| {
        !rest.is_empty() && !rest.starts_with('/') && rest.chars().all(plain) && !rest.contains("..")
    }) && text.len() <= ENDPOINT_MAX_BYTES
        && !text.to_ascii_lowercase().contains("%2e")
}

fn header(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once(':')?;
    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let is_value = value.bytes().all(|b| (b' '..=b'~').contains(&b));
    let fits = is_name && is_value && text.len() <= HEADER_MAX_BYTES && !NOT_ALLOWED.contains(&&*name);
    fits.then(|| (name, value.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn channel(change: impl FnOnce(&mut Value)) -> Result<Channel, Vec<Issue>> {
        let mut subscription = json!({"channel": {"type": "rest-hook", "endpoint": "https://app.example/hook",
            "payload": "application/fhir+json", "header": ["Authorization: Bearer x"]}});
        change(&mut subscription["channel"]);
        Channel::read(&subscription)
    }

    #[test]
    fn a_channel_is_read() {
        let plain = channel(|_| ()).unwrap();
        assert_eq!(plain.headers, [("authorization".to_owned(), "Bearer x".to_owned())]);
        assert_eq!(
            (plain.content, plain.xml, plain.heartbeat, plain.max_count),
            (Content::IdOnly, false, None, COUNT_DEFAULT)
        );
        let told = channel(|c| {
            c["payload"] = "application/fhir+xml".into();
            c["_payload"] = json!({"extension": [{"url": format!("{BACKPORT}backport-payload-content"), "valueCode": "full-resource"}]});
            c["extension"] = json!([{"url": format!("{BACKPORT}backport-heartbeat-period"), "valueUnsignedInt": 60},
                                    {"url": format!("{BACKPORT}backport-timeout"), "valueUnsignedInt": 600},
                                    {"url": format!("{BACKPORT}backport-max-count"), "valuePositiveInt": 5000}]);
        });
        let told = told.unwrap();
        assert_eq!((told.content, told.xml, told.max_count), (Content::FullResource, true, COUNT_MAX));
        assert_eq!((told.heartbeat, told.timeout), (Some(Duration::from_secs(60)), Duration::from_secs(60)));
    }

    #[test]
    fn what_is_not_supported_says_where() {
        let cases: [(&str, Value); 8] = [
            ("type", "email".into()),
            ("endpoint", "ftp://app.example".into()),
            ("endpoint", "https://user@app.example/hook".into()),
            ("endpoint", "https://app.example/a/../b".into()),
            ("endpoint", Value::Null),
            ("payload", "text/plain".into()),
            ("header", json!(["Host: other.example"])),
            ("header", json!(["no header"])),
        ];
        for (element, value) in cases {
            let issues = channel(|c| c[element] = value.clone()).unwrap_err();
            assert_eq!(issues[0].expression, [format!("Subscription.channel.{element}")], "{value}");
        }
    }

    #[test]
    fn it_goes_only_where_it_is_allowed() {
        let to = |endpoint: &str| channel(|c| c["endpoint"] = endpoint.into()).unwrap();
        let allowed = ["https://app.example/hooks".to_owned(), "http://127.0.0.1:80/".to_owned()];
        for good in [
            "https://app.example/hooks",
            "https://app.example/hooks/1",
            "https://app.example/hooks?a=b",
            "http://127.0.0.1:80/x",
        ] {
            assert!(to(good).is_allowed(&allowed), "{good}");
        }
        for bad in [
            "https://app.example/hooksX",
            "https://app.example/",
            "https://app.example.evil/hooks",
            "http://127.0.0.1:8080/x",
        ] {
            assert!(!to(bad).is_allowed(&allowed), "{bad}");
        }
        assert!(!to("https://app.example/hooks").is_allowed(&[]));
    }
}
