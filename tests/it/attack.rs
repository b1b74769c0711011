//! Onward from the attacker's side: everything that is served, asked by everybody who may not, with everything that does not belong there.

mod crossing;
mod http2;
mod injection;
mod lines;
mod marked;
mod paths;
mod raw;
mod scene;
pub mod whole;
mod wire;

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// What is in every text of those who are attacked.
pub const MARK: &str = "MARK-of-theirs";
/// What stands in its place where the same is asked of what is not there. As long.
pub const NOTHING: &str = "MURK-of-theirs";
/// What is in every text that those who attack send themselves. As long.
pub const OWN: &str = "OWNS-of-theirs";

/// Whether a media type's body is looked at as text: all are here.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

static ID: LazyLock<Regex> = LazyLock::new(|| Regex::new("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").unwrap());
static TIME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]+)?(Z|[+-][0-9:]+)").unwrap()
});

/// Ids and times that differ from one request to the next.
pub fn without_ids_and_times(text: &str) -> String {
    TIME.replace_all(&ID.replace_all(text, "<id>"), "<time>").into_owned()
}

/// The resources of a Bundle, those that match and those that are brought along.
pub fn resources(bundle: &Value) -> impl Iterator<Item = &Value> {
    onward::fhir::tree::items(bundle, "entry").iter().filter_map(|entry| entry.get("resource"))
}

/// Two texts that must be the same; where they are not, where that begins.
#[track_caller]
pub fn same(one: &str, other: &str, about: &str) {
    if one == other {
        return;
    }
    let at = one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count().saturating_sub(150);
    let from = |text: &str| String::from_utf8_lossy(&text.as_bytes()[at..]).chars().take(450).collect::<String>();
    panic!("{about}\n  …{}\n  …{}", from(one), from(other));
}
