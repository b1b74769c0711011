//! Keys by which values of conditions and what a referral says find each other without comparing each with each: a value has one key,
//! and what is said has the keys of all values that take it. The index and the checks of a set know no other order among values.

use super::{CodeWanted, Coding, Kind, Language, PerformerWanted, Piece};
use crate::places::Area;

/// The key of a value, and those of the values that take all that it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keys {
    pub own: String,
    pub above: Vec<String>,
}

// === impl Keys ===

impl Keys {
    /// Of a value beside which no other takes the same: a system, an ODS code in capitals, a word.
    pub(super) fn flat(kind: Kind, text: &str) -> Self {
        Self { own: key(kind, '=', "", text), above: Vec::new() }
    }

    /// Of a coding: a code in whatever system is above it.
    pub(super) fn coding(kind: Kind, system: Option<&str>, code: &str) -> Self {
        let own = match system {
            Some(system) => key(kind, '|', system, code),
            None => key(kind, '-', "", code),
        };
        Self { own, above: vec![key(kind, '*', "", code)] }
    }

    /// Of the name that a set has; what it holds is not below it by its keys alone.
    pub(super) fn named(kind: Kind, name: &str) -> Self {
        Self { own: key(kind, '@', "", name), above: Vec::new() }
    }

    /// Of a code that is wanted; none for a value set.
    pub(super) fn code(kind: Kind, wanted: &CodeWanted) -> Option<Self> {
        match wanted {
            CodeWanted::InSystem(system, code) => Some(Self::coding(kind, Some(system), code)),
            CodeWanted::WithoutSystem(code) => Some(Self::coding(kind, None, code)),
            CodeWanted::InAny(code) => Some(Self { own: key(kind, '*', "", code), above: Vec::new() }),
            CodeWanted::InSet(_) => None,
        }
    }

    /// Of a performer that is wanted.
    pub(super) fn performer(wanted: &PerformerWanted) -> Self {
        match wanted {
            PerformerWanted::Ods(code) => Self::performer_ods(code),
            PerformerWanted::Identifier(system, value) => Self::performer_identifier(Some(system), value),
            PerformerWanted::Reference(reference) => Self::performer_reference(reference),
        }
    }

    pub(super) fn performer_ods(code: &str) -> Self {
        Self { own: key(Kind::Performer, 'o', "", &plain(code)), above: Vec::new() }
    }

    pub(super) fn performer_identifier(system: Option<&str>, value: &str) -> Self {
        Self { own: key(Kind::Performer, '|', system.unwrap_or_default(), value), above: Vec::new() }
    }

    pub(super) fn performer_reference(reference: &str) -> Self {
        Self { own: key(Kind::Performer, '/', "", reference), above: Vec::new() }
    }

    /// Of an organisation that refers.
    pub(super) fn organisation(code: &str) -> Self {
        Self::flat(Kind::RequesterOrg, &plain(code))
    }

    /// Of a piece of an area; none for what has a shape.
    pub(super) fn piece(piece: &Piece) -> Option<Self> {
        match piece {
            Piece::Postcode(Area::Outward(code)) => Some(Self::outward(code)),
            Piece::Postcode(Area::Letters(letters)) => Some(Self { own: letters_key(letters), above: Vec::new() }),
            Piece::Lsoa(begins) => Some(Self::lsoa(begins)),
            Piece::Polygon(_) | Piece::Circle(..) => None,
        }
    }

    /// Of an outward code: its letters are above it.
    pub(super) fn outward(code: &str) -> Self {
        let letters = code.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let letters = code.get(..code.len() - letters.len()).unwrap_or_default();
        Self { own: key(Kind::PatientArea, 'o', "", code), above: vec![letters_key(letters)] }
    }

    /// Of a census area or its beginning: every beginning of it is above it.
    pub(super) fn lsoa(code: &str) -> Self {
        let census = |text: &str| key(Kind::PatientArea, 's', "", text);
        let shorter = (1..code.len()).filter_map(|end| code.get(..end));
        Self { own: census(code), above: shorter.map(census).collect() }
    }

    /// Of a language or a tag: every range that it begins with is above it.
    pub(super) fn language(tag: &str) -> Self {
        let tag = tag.to_ascii_lowercase();
        let language = |text: &str| key(Kind::Language, '=', "", text);
        let shorter = tag.match_indices('-').filter_map(|(end, _)| tag.get(..end));
        Self { own: language(&tag), above: shorter.map(language).collect() }
    }

    pub(super) fn language_wanted(wanted: &Language) -> Self {
        Self::language(&wanted.to_string())
    }

    pub(super) fn coding_found(kind: Kind, found: &Coding) -> Self {
        Self::coding(kind, found.system.as_deref(), &found.code)
    }

    /// Its own and all above it.
    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.own.as_str()).chain(self.above.iter().map(String::as_str))
    }
}

fn letters_key(letters: &str) -> String {
    key(Kind::PatientArea, 'l', "", letters)
}

/// The length of the first part stands in it: wherever it is cut, no two values have one key.
fn key(kind: Kind, form: char, first: &str, second: &str) -> String {
    format!("{}{form}{}{first}|{second}", char::from(b'a' + kind as u8), first.len())
}

/// ODS codes are the same whatever their capitals and the spaces around them.
fn plain(code: &str) -> String {
    code.trim().to_ascii_uppercase()
}
