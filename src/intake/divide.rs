//! Which items of a request belong to which of its ServiceRequests. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

use super::apart::{Apart, Draft};
use crate::fhir::tree;

/// Who a resource is about, as the sender named them.
#[derive(Debug, PartialEq, Eq)]
enum Person<'a> {
    Carried(usize),
    Named(&'a str),
}

impl Apart {
    /// With one ServiceRequest, everything is its own. With several, an item goes with those that lead to it or that it is led
    /// from; one that only has the person in common goes with all requests for that person, and with no other's.
    pub(super) fn divide(&self) -> Vec<Draft> {
        let requests: Vec<usize> = (0..self.items.len()).filter(|i| self.items[*i].kind == "ServiceRequest").collect();
        if let [request] = requests[..] {
            // but a person whom nothing names is nobody's business
            let named: BTreeSet<usize> = self.links.iter().flatten().copied().collect();
            let belongs = |item: &usize| self.items[*item].kind != "Patient" || named.contains(item);
            return vec![Draft { request, members: (0..self.items.len()).filter(belongs).collect() }];
        }
        let reach: Vec<BTreeSet<usize>> = (0..self.items.len()).map(|i| self.reach(i, &requests)).collect();
        let belongs = |item: usize, request: usize| {
            if item == request || reach[request].contains(&item) {
                return true;
            }
            if requests.contains(&item) {
                return false;
            }
            if requests.iter().any(|r| reach[item].contains(r)) {
                return reach[item].contains(&request);
            }
            if requests.iter().any(|r| reach[*r].contains(&item)) {
                return false;
            }
            match self.person(item) {
                Some(person) => self.person(request) == Some(person),
                // about nobody in particular: for all, or for those with whom it shares what it names
                None if self.items[item].kind == "Patient" => false,
                None => reach[item].is_empty() || reach[item].iter().any(|i| reach[request].contains(i)),
            }
        };
        let members = |request| (0..self.items.len()).filter(|item| belongs(*item, request)).collect();
        requests.iter().map(|request| Draft { request: *request, members: members(*request) }).collect()
    }

    /// Items that went with no ServiceRequest. They are faults: nothing that was sent is dropped.
    pub(super) fn left_over(&self) -> Vec<usize> {
        let taken: BTreeSet<usize> = self.drafts.iter().flat_map(|d| d.members.iter().copied()).collect();
        if self.drafts.is_empty() { vec![] } else { (0..self.items.len()).filter(|i| !taken.contains(i)).collect() }
    }

    fn person(&self, item: usize) -> Option<Person<'_>> {
        let resource: &Value = &self.items[item].resource;
        let literal = ["subject", "patient", "for", "beneficiary"]
            .iter()
            .find_map(|name| tree::text(resource, &format!("{name}.reference")))?;
        Some(self.resolve(item, literal).map_or(Person::Named(literal), Person::Carried))
    }

    /// All that an item leads to. The way ends at a ServiceRequest: what that one carries is its own.
    fn reach(&self, from: usize, requests: &[usize]) -> BTreeSet<usize> {
        let mut reached = BTreeSet::new();
        let mut next: Vec<usize> = self.links[from].iter().copied().collect();
        while let Some(item) = next.pop() {
            if reached.insert(item) && !requests.contains(&item) {
                next.extend(self.links[item].iter().copied());
            }
        }
        // a request that refers to another does not carry it
        if requests.contains(&from) {
            reached.retain(|i| !requests.contains(i));
        }
        reached
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::{
        super::{
            IntakeError,
            apart::{
                self,
                tests::{apart, bundle, entry, request},
            },
        },
        *,
    };

    #[test]
    fn what_belongs_to_one_request_does_not_travel_with_the_other() {
        let body = bundle(vec![
            entry(
                "urn:uuid:00000000-0000-4000-8000-00000000000a",
                request("urn:uuid:00000000-0000-4000-8000-0000000000f1", &[]),
            ),
            entry(
                "urn:uuid:00000000-0000-4000-8000-00000000000b",
                request(
                    "urn:uuid:00000000-0000-4000-8000-0000000000f1",
                    &["urn:uuid:00000000-0000-4000-8000-0000000000d1"],
                ),
            ),
            entry("urn:uuid:00000000-0000-4000-8000-0000000000f1", json!({"resourceType": "Patient", "active": true})),
            entry(
                "urn:uuid:00000000-0000-4000-8000-0000000000d1",
                json!({"resourceType": "DocumentReference", "status": "current", "content": [{"attachment": {"title": "x"}}],
                       "subject": {"reference": "urn:uuid:00000000-0000-4000-8000-0000000000f1"}}),
            ),
            entry(
                "urn:uuid:00000000-0000-4000-8000-0000000000c1",
                json!({"resourceType": "QuestionnaireResponse", "status": "completed",
                       "basedOn": [{"reference": "urn:uuid:00000000-0000-4000-8000-00000000000a"}]}),
            ),
            entry(
                "urn:uuid:00000000-0000-4000-8000-0000000000e1",
                json!({"resourceType": "Flag", "status": "active", "code": {"text": "dog"},
                       "subject": {"reference": "urn:uuid:00000000-0000-4000-8000-0000000000f1"}}),
            ),
        ]);
        let drafts = apart(&body).drafts;
        assert_eq!(drafts[0], Draft { request: 0, members: vec![0, 2, 4, 5] });
        assert_eq!(drafts[1], Draft { request: 1, members: vec![1, 2, 3, 5] });
    }

    #[test]
    fn two_persons_with_one_clinician_do_not_share_their_papers() {
        let condition = |subject: &str| {
            json!({"resourceType": "Condition", "subject": {"reference": subject},
                   "asserter": {"reference": "urn:uuid:00000000-0000-4000-8000-0000000000d1"}})
        };
        let with_requester = |subject: &str| {
            let mut request = request(subject, &[]);
            request["requester"] = json!({"reference": "urn:uuid:00000000-0000-4000-8000-0000000000d1"});
            request
        };
        let practitioner = json!({"resourceType": "Practitioner", "active": true});
        let mut entries = vec![
            entry("urn:uuid:00000000-0000-4000-8000-00000000000a", with_requester("Patient/a")),
            entry("urn:uuid:00000000-0000-4000-8000-00000000000b", with_requester("Patient/b")),
            entry("urn:uuid:00000000-0000-4000-8000-0000000000d1", practitioner),
            entry("urn:uuid:00000000-0000-4000-8000-0000000000c1", condition("Patient/a")),
        ];
        let drafts = apart(&bundle(entries.clone())).drafts;
        assert_eq!(drafts[0].members, [0, 2, 3]);
        assert_eq!(drafts[1].members, [1, 2]);

        entries.push(entry("urn:uuid:00000000-0000-4000-8000-0000000000c2", condition("Patient/c")));
        let asked = crate::profiles::Asked::at(Timestamp::now());
        let read = apart::read(bundle(entries), "Bundle", &Default::default(), &asked);
        let Err(IntakeError::Rule(issues)) = read else { panic!("accepted") };
        assert_eq!(issues[0].expression, ["Bundle.entry[4].resource"]);
    }
}
