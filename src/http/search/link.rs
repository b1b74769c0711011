//! The links of a page. A search in a URL has links that say it again, as R4 has it (search, 3.1.1.3). One that came in a body, that of a
//! batch too, is not put into a URL, for it was put into a body so that it stands in none: a URL lies in the logs of whatever is passed on
//! the way, and searches name people. Nor is one that names somebody, or says where somebody may live, wherever it came. Its links are sealed:
//! of use to the client that asked, for this type, for an hour, at every process.

use std::io::{Read as _, Write as _};

use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{cursor::Cursor, too_costly};
use crate::{
    auth::Purpose,
    definitions::{SearchKind, resource_named},
    fhir::{Issue, IssueCode, nhs_number, reference::encode},
    http::{Shared, call::Caller, reply::Fault},
    search::{NEAR, Search, parameter},
};

/// The parameter of such a link.
const PAGE: &str = "_page";
/// A client that goes on later than this begins again.
const HOLDS_FOR: SignedDuration = SignedDuration::from_hours(1);
/// No such link is longer than this: proxies take no longer URLs.
const SEALED_MAX_BYTES: usize = 6 * 1024;
/// What one of them is opened to is never longer than a search may be, however it is written.
const OPENED_MAX_BYTES: u64 = 1024 * 1024;

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

/// By what a professional is reached, who is found as a role and not as a person.
const REACHES: [&str; 3] = ["email", "phone", "telecom"];
/// How the parameters begin that compare an address, or a part of one.
const ADDRESS: &str = "address";
/// What leads on through more references than anybody asks for is taken for somebody's name.
const CHAIN_MAX: usize = 4;

/// Whether a parameter of a search for this type says who somebody is: by what a person is found, there or by way of other resources,
/// and any value that holds an NHS number. A professional's name is one as well, and how a professional is reached; and a place, of whatever is
/// looked for: what is asked to be near somebody's home says where that is. What is sorted by any of these has it in the link to the next page.
fn names_somebody(kind: &str, name: &str, value: &str) -> bool {
    let is_said = if name == "_sort" {
        value.split(',').any(|code| names_a_person(kind, code.trim().trim_start_matches('-'), 0))
    } else {
        names_a_person(kind, name, 0)
    };
    is_said || nhs_number::is_in(value)
}

fn names_a_person(kind: &str, name: &str, links: usize) -> bool {
    if links > CHAIN_MAX {
        return true;
    }
    // what looks back is asked of the type that it comes from
    let (mut kind, mut name) = (kind, name);
    while let Some(looks_back) = name.strip_prefix("_has:") {
        let mut words = looks_back.splitn(3, ':');
        (kind, name) = match (words.next(), words.next(), words.next()) {
            (Some(from), Some(_), Some(rest)) => (from, rest),
            _ => return true,
        };
    }
    if is_person(kind) {
        return !name.starts_with('_');
    }
    let (head, chain) = name.split_once('.').map_or((name, None), |(head, chain)| (head, Some(chain)));
    let (code, modifier) = head.split_once(':').map_or((head, None), |(code, modifier)| (code, Some(modifier)));
    if REACHES.contains(&code) || code.starts_with(ADDRESS) || NEAR.iter().any(|near| near.name == code) {
        return true;
    }
    let Some(parameter) = parameter(kind, code).filter(|parameter| parameter.kind == SearchKind::Reference) else {
        return false;
    };
    let leads_to_one = |of: &str| is_person(of) || chain.is_some_and(|behind| names_a_person(of, behind, links + 1));
    match (modifier, chain) {
        (None | Some("missing"), None) => false,
        (Some(of), _) if resource_named(of).is_some() => leads_to_one(of),
        // an identifier, words, or what is said of whatever it leads to
        _ => parameter.targets.is_empty() || parameter.targets.iter().any(|target| leads_to_one(target)),
    }
}

/// Whether resources of this type are persons: R4 gives those, and no others, the name of one.
fn is_person(kind: &str) -> bool {
    let name = resource_named(kind).and_then(|of| of.child("name"));
    name.is_some_and(|(_, _, of)| of.of().name == "HumanName")
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
    use std::collections::BTreeSet;

    use super::*;
    use crate::{definitions::types, search::parameters};

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
            ("Task", "requester.name", "Jones"),
            ("Practitioner", "name", "Jones"),
            ("Coverage", "beneficiary:identifier", "x|y"),
            ("Organization", "_has:Task:owner:patient.identifier", "x|y"),
            ("Communication", "about.identifier", "x|y"),
            ("Task", "focus:ServiceRequest.subject:text", "Jones"),
            ("Task", "focus:ServiceRequest.patient:identifier", "x|y"),
            ("Communication", "about:Task.patient:Patient.name", "Jones"),
            ("PractitionerRole", "email", "j@nhs.example"),
            ("Task", "requester:PractitionerRole.email", "j@nhs.example"),
            ("Task", "owner:Organization.partof.partof.partof.partof.partof.name", "Choir"),
            ("Location", "near-postcode", "L8 9ZZ|5|km"),
            ("HealthcareService", "location:Location.near", "53.4|-2.98|1|km"),
            ("HealthcareService", "_has:Location:organization:address-postalcode", "L8 9ZZ"),
            ("ServiceRequest", "performer:Organization.address:contains", "12 Long Lane"),
            ("Location", "_sort", "name,-address-city"),
            ("Practitioner", "_sort", "family"),
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
            ("HealthcareService", "organization.name", "Choir"),
            ("Task", "owner:Organization.name", "Choir"),
            ("Task", "owner:Organization.partof.name", "Choir"),
            ("Task", "focus:ServiceRequest.performer:Organization.name", "Choir"),
            ("Task", "code:text", "choir"),
            ("Task", "requester:missing", "true"),
            ("Task", "_has:Provenance:target:agent", "Organization/1"),
            ("Location", "_sort", "name,-_lastUpdated"),
            ("Practitioner", "_sort", "-_lastUpdated"),
        ] {
            assert!(!names_somebody(kind, name, value), "{kind}?{name}={value}");
        }
    }

    /// Every reference by which anything is found: what is said of a person that it may lead to is in no link.
    #[test]
    fn what_is_said_of_a_person_that_a_reference_leads_to_is_in_no_link() {
        let persons = ["Patient", "Person", "Practitioner", "RelatedPerson"];
        let (mut seen, mut leads_elsewhere) = (BTreeSet::new(), 0);
        for of in types().iter().filter_map(|of| resource_named(of.name)) {
            assert_eq!(is_person(of.name), persons.contains(&of.name), "{}", of.name);
            for one in parameters(of.name).filter(|one| one.kind == SearchKind::Reference && !is_person(of.name)) {
                let asks = |tail: &str| names_somebody(of.name, &format!("{}{tail}", one.name), "x");
                let about = format!("{}?{}", of.name, one.name);
                let to_person = one.targets.is_empty() || one.targets.iter().any(|target| persons.contains(target));
                for tail in [".identifier", ".name", ".name:exact", ":identifier", ":text"] {
                    assert_eq!(asks(tail), to_person, "{about}{tail}");
                }
                for target in one.targets {
                    let person = persons.contains(target);
                    assert_eq!(asks(&format!(":{target}.identifier")), person, "{about}:{target}");
                    // and what lies behind it, by whatever it may be reached
                    for next in parameters(target).filter(|next| next.kind == SearchKind::Reference) {
                        let further = person
                            || next.targets.is_empty()
                            || next.targets.iter().any(|target| persons.contains(target));
                        for tail in [":identifier", ":text", ".identifier"] {
                            let tail = format!(":{target}.{}{tail}", next.name);
                            assert_eq!(asks(&tail), further, "{about}{tail}");
                        }
                    }
                }
                let back = format!("_has:{}:{}:{}.identifier", of.name, one.name, one.name);
                assert_eq!(names_somebody("Organization", &back, "x"), to_person, "{back}");
                assert!(!asks("") && !asks(":missing"), "{about}: an id is no name");
                if to_person {
                    seen.insert(one.name);
                } else {
                    leads_elsewhere += 1;
                }
            }
        }
        for name in
            ["requester", "owner", "beneficiary", "subscriber", "policy-holder", "actor", "consentor", "asserter"]
        {
            assert!(seen.contains(name), "{name}: {seen:?}");
        }
        for name in ["recorder", "participant", "attester", "entry", "agent", "subject", "patient", "author"] {
            assert!(seen.contains(name), "{name}: {seen:?}");
        }
        assert!(leads_elsewhere > 20, "{leads_elsewhere}");
    }

    /// Whatever is looked for by a place: somebody's postcode is as good as her name.
    #[test]
    fn no_place_is_in_a_link() {
        let mut by_place = BTreeSet::new();
        for of in types().iter().filter_map(|of| resource_named(of.name)) {
            let near = NEAR.iter().filter(|near| near.of == of.name).map(|near| near.name);
            // what compares an element that is an address, by the definition of the parameter and not by its name
            let compares = |expression: &str| {
                let mut words = expression.split(|c: char| !c.is_ascii_alphanumeric());
                words.any(|word| word == "address")
            };
            let addresses = parameters(of.name).filter(|one| compares(one.expression)).map(|one| one.name);
            for name in near.chain(addresses) {
                by_place.insert((of.name, name));
                for tail in ["", ":exact", ":contains"] {
                    assert!(names_somebody(of.name, &format!("{name}{tail}"), "L8 9ZZ"), "{}?{name}{tail}", of.name);
                }
            }
        }
        let of_type =
            |kind: &str| by_place.iter().filter(|(of, _)| *of == kind).map(|(_, name)| *name).collect::<Vec<_>>();
        for kind in ["Location", "Organization", "Patient", "RelatedPerson"] {
            assert!(of_type(kind).contains(&"address-postalcode"), "{by_place:?}");
        }
        assert!(of_type("Location").contains(&"near") && of_type("HealthcareService").contains(&"near-postcode"));
        // and by whatever leads to one
        let mut chains = 0;
        for of in types().iter().filter_map(|of| resource_named(of.name)).filter(|of| !is_person(of.name)) {
            for one in parameters(of.name).filter(|one| one.kind == SearchKind::Reference) {
                for (target, name) in by_place.iter().filter(|(target, _)| one.targets.contains(target)) {
                    chains += 1;
                    let asked = format!("{}:{target}.{name}", one.name);
                    assert!(names_somebody(of.name, &asked, "L8 9ZZ"), "{}?{asked}", of.name);
                }
            }
        }
        assert!(chains > 50, "{chains}");
    }

    #[test]
    fn a_query_is_written_as_urls_are() {
        assert_eq!(query(&[]), "");
        assert_eq!(query(&[("code", "a|b c"), ("_count", "1")]), format!("?code={}&_count=1", encode("a|b c")));
    }
}
