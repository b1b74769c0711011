//! The links of a page. A search in a URL has links that say it again, as R4 has it (search, 3.1.1.3). One that came in a body, that of a
//! batch too, is not put into a URL, for it was put into a body so that it stands in none: a URL lies in the logs of whatever is passed on
//! the way, and searches name people. Nor is one that names somebody, wherever it came. Its links are sealed: of use to the client that
//! asked, for this type, for an hour, at every process.

use std::io::{Read as _, Write as _};

use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{cursor::Cursor, too_costly};
use crate::{
    auth::Purpose,
    fhir::{Issue, IssueCode, nhs_number, reference::encode},
    http::{Shared, call::Caller, reply::Fault},
    search::Search,
};

/// The parameter of such a link.
const PAGE: &str = "_page";
/// A client that goes on later than this begins again.
const HOLDS_FOR: SignedDuration = SignedDuration::from_hours(1);
/// No such link is longer than this: proxies take no longer URLs.
const SEALED_MAX_BYTES: usize = 6 * 1024;
/// What one of them is opened to is never longer than a search may be, however it is written.
const OPENED_MAX_BYTES: u64 = 1024 * 1024;

/// Types of resources that are about a person who is referred, or somebody near to them.
const PERSONS: &[&str] = &["Patient", "RelatedPerson"];
/// Parameters that lead to one: with more behind them they say who it is.
const LEAD_TO_PERSONS: &[&str] = &["patient", "subject", "sender", "recipient", "author", "source", "performer"];

/// What is asked.
pub(super) struct Asked {
    /// Name and value of each parameter.
    pub pairs: Vec<(String, String)>,
    /// Whether it stands in no URL.
    pub hidden: bool,
}

/// What is asked for by these parameters, which may be those of a link to a further page.
///
/// # Errors
/// [`Fault`] where such a link is not one that this client was given within the hour.
pub(super) async fn asked(
    app: &Shared,
    kind: &str,
    caller: &Caller,
    sent: &[(String, String)],
    in_body: bool,
) -> Result<Asked, Fault> {
    let Some((_, sealed)) = sent.iter().find(|(name, _)| name == PAGE) else {
        let hidden = in_body || caller.in_batch || sent.iter().any(|(name, value)| names_somebody(kind, name, value));
        return Ok(Asked { pairs: sent.to_vec(), hidden });
    };
    // how the answer is written may change from page to page, what is asked may not
    if sent.iter().any(|(name, _)| ![PAGE, "_format", "_pretty"].contains(&name.as_str())) {
        return Err(not_a_link("it says all that is asked: take everything else out"));
    }
    let opened = app.seal.open(Purpose::Search, &holder(kind, caller), sealed).await?;
    match opened.and_then(|opened| unpacked(&opened)) {
        Some(pairs) => Ok(Asked { pairs, hidden: true }),
        None => Err(not_a_link(
            "use the link that the last page gave, as the same client and within an hour, or search anew",
        )),
    }
}

/// Whether a parameter of a search for this type says who somebody is: by what a person is found, there or by way of another resource,
/// and any value that holds an NHS number.
fn names_somebody(kind: &str, name: &str, value: &str) -> bool {
    let is_person = |kind: &str| PERSONS.contains(&kind);
    let mut words = name.split(['.', ':']);
    let first = words.next().unwrap_or_default();
    let of_person = is_person(kind) && !name.starts_with('_');
    let leads_to_person = LEAD_TO_PERSONS.contains(&first) && words.next().is_some();
    let looks_back = name.starts_with("_has:") && name.split(':').any(is_person);
    of_person || leads_to_person || looks_back || nhs_number::is_in(value)
}

fn not_a_link(told: &str) -> Fault {
    Fault::invalid(vec![Issue::error(IssueCode::Value, format!("http.{PAGE}"), told)])
}

/// The links of a page of this search, and to the next.
///
/// # Errors
/// [`Fault`] where the search is too long for a link, or the store cannot be asked.
pub(super) async fn links(
    app: &Shared,
    caller: &Caller,
    search: &Search,
    hidden: bool,
    next: Option<&Cursor>,
) -> Result<Vec<Value>, Fault> {
    let base = format!("{}/fhir/{}", app.base_url, search.of);
    let next = next.map(Cursor::text);
    let own = pairs(search, search.after.as_deref());
    let further = next.as_deref().map(|next| pairs(search, Some(next)));
    let link = |relation: &str, url: String| json!({"relation": relation, "url": url});
    if !hidden {
        let url = |pairs: &[(&str, &str)]| format!("{base}{}", query(pairs));
        let further = further.map(|pairs| link("next", url(&pairs)));
        return Ok([link("self", url(&own))].into_iter().chain(further).collect());
    }
    let own = match sealed(app, caller, search, &own).await? {
        Some(sealed) => format!("{base}?{PAGE}={sealed}"),
        None => format!("{base}/_search"),
    };
    let mut links = vec![link("self", own)];
    if let Some(pairs) = further {
        let Some(sealed) = sealed(app, caller, search, &pairs).await? else {
            let told =
                "so long a search is not gone on with: ask for fewer values at once, or for more on a page (_count)";
            return Err(too_costly("http", told));
        };
        links.push(link("next", format!("{base}?{PAGE}={sealed}")));
    }
    Ok(links)
}

/// What was asked and looked at, from this place on.
fn pairs<'s>(search: &'s Search, after: Option<&'s str>) -> Vec<(&'s str, &'s str)> {
    let given = search.used.iter().filter(|(name, _)| name != "_after");
    given.map(|(name, value)| (name.as_str(), value.as_str())).chain(after.map(|after| ("_after", after))).collect()
}

fn query(pairs: &[(&str, &str)]) -> String {
    let text: Vec<String> = pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    let mark = if text.is_empty() { "" } else { "?" };
    format!("{mark}{}", text.join("&"))
}

/// The same for nobody but this client; none where it would be too long.
async fn sealed(
    app: &Shared,
    caller: &Caller,
    search: &Search,
    pairs: &[(&str, &str)],
) -> Result<Option<String>, Fault> {
    let now = app.store.now();
    let until = now.saturating_add(HOLDS_FOR).unwrap_or(now);
    let sealed = app.seal.close(Purpose::Search, &holder(&search.of, caller), &packed(pairs), until).await?;
    Ok((sealed.len() <= SEALED_MAX_BYTES).then_some(sealed))
}

/// Of whom it is, and of which type: no word of either has a space in it.
fn holder(kind: &str, caller: &Caller) -> String {
    caller.clients.iter().fold(kind.to_owned(), |all, client| format!("{all} {client}"))
}

/// Many values of one parameter are much alike.
fn packed(pairs: &[(&str, &str)]) -> Vec<u8> {
    let text = serde_json::to_vec(pairs).unwrap_or_default();
    let mut packing = DeflateEncoder::new(Vec::new(), Compression::default());
    // into memory nothing fails
    let written = packing.write_all(&text);
    written.and_then(|()| packing.finish()).unwrap_or_default()
}

fn unpacked(packed: &[u8]) -> Option<Vec<(String, String)>> {
    let mut text = Vec::new();
    DeflateDecoder::new(packed).take(OPENED_MAX_BYTES).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked() {
        let numbers: String = (0..100).map(|n| format!("https://fhir.nhs.uk/Id/nhs-number|99906069{n:02},")).collect();
        let pairs = [("patient.identifier", numbers.as_str()), ("_sort", "-_lastUpdated"), ("x", "é\"\\ ")];
        let read = unpacked(&packed(&pairs)).unwrap();
        assert_eq!(read.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect::<Vec<_>>(), pairs);
        assert!(packed(&pairs).len() < SEALED_MAX_BYTES / 8, "many of a kind fit into a link");
        assert!(unpacked(b"").is_none() && unpacked(b"\x00").is_none());
        let bomb = packed(&[("a", &"a".repeat(2 * 1024 * 1024))]);
        assert!(unpacked(&bomb).is_none());
    }

    #[test]
    fn what_names_somebody_is_in_no_link() {
        for (kind, name, value) in [
            ("Patient", "identifier", "https://fhir.nhs.uk/Id/nhs-number|9990606900"),
            ("Patient", "name:contains", "Smith"),
            ("RelatedPerson", "phone", "0151 496 0000"),
            ("Task", "patient.identifier", "x"),
            ("Task", "patient:Patient.birthdate", "1980-01-01"),
            ("ServiceRequest", "subject:identifier", "x|y"),
            ("Organization", "_has:Patient:organization:name", "Smith"),
            ("ServiceRequest", "identifier", "urn:x|999 060 6900"),
            ("Task", "code:text", "about 999-060-6900"),
        ] {
            assert!(names_somebody(kind, name, value), "{kind}?{name}={value}");
        }
        for (kind, name, value) in [
            ("Patient", "_id", "0198b6a0-7c1e-7bd0-a5d1-000000000000"),
            ("Patient", "_lastUpdated", "ge2026-03-02"),
            ("Task", "patient", "Patient/0198b6a0-7c1e-7bd0-a5d1-000000000000"),
            ("Task", "status", "requested"),
            ("ServiceRequest", "identifier", "https://epr.example/referral-id|r-17"),
            ("HealthcareService", "name", "Choir"),
            ("Task", "_has:Provenance:target:agent", "Organization/1"),
        ] {
            assert!(!names_somebody(kind, name, value), "{kind}?{name}={value}");
        }
    }

    #[test]
    fn a_query_is_written_as_urls_are() {
        assert_eq!(query(&[]), "");
        assert_eq!(query(&[("code", "a|b c"), ("_count", "1")]), format!("?code={}&_count=1", encode("a|b c")));
    }
}
