//! What a referral says, as the keys that rules of a set ask for; what none asks for is left out.

use super::Index;
use crate::routing::{Facts, Kind, key::Keys};

/// Keys by kind of condition.
#[derive(Debug, Default)]
pub(super) struct Said([Vec<u32>; Kind::ALL.len()]);

// === impl Said ===

impl Said {
    pub(super) fn of(&self, kind: Kind) -> &[u32] {
        self.0.get(kind as usize).map_or(&[], Vec::as_slice)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = u32> {
        self.0.iter().flatten().copied()
    }
}

// === impl Index ===

impl Index {
    pub(super) fn said(&self, facts: &Facts<'_>) -> Said {
        let mut said = Said::default();
        let mut add = |kind: Kind, keys: Keys| {
            let Some(of_kind) = said.0.get_mut(kind as usize) else { return };
            for key in keys.all().filter_map(|key| self.keys.get(key)) {
                of_kind.push(*key);
                of_kind.extend(self.sets.get(key).into_iter().flatten());
            }
        };
        facts.codes.iter().for_each(|code| add(Kind::Code, Keys::coding_found(Kind::Code, code)));
        facts.categories.iter().for_each(|code| add(Kind::Category, Keys::coding_found(Kind::Category, code)));
        for code in &facts.performer_orgs {
            add(Kind::Performer, Keys::performer_ods(code));
        }
        for one in &facts.performer_identifiers {
            add(Kind::Performer, Keys::performer_identifier(one.system.as_deref(), &one.code));
        }
        for reference in &facts.performer_references {
            add(Kind::Performer, Keys::performer_reference(reference));
        }
        facts.requester_orgs.iter().for_each(|code| add(Kind::RequesterOrg, Keys::organisation(code)));
        add(Kind::System, Keys::flat(Kind::System, facts.system.as_str()));
        facts.homes.outward_codes.iter().for_each(|code| add(Kind::PatientArea, Keys::outward(code)));
        facts.homes.lsoas.iter().for_each(|code| add(Kind::PatientArea, Keys::lsoa(code)));
        facts.languages.iter().for_each(|tag| add(Kind::Language, Keys::language(tag)));
        add(Kind::Consent, Keys::flat(Kind::Consent, facts.consent.word()));
        add(Kind::Urgency, Keys::flat(Kind::Urgency, facts.urgency.word()));
        for keys in &mut said.0 {
            keys.sort_unstable();
            keys.dedup();
        }
        said
    }
}
