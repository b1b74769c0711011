//! What a rule may ask of the person and of the request itself: age, language, consent, urgency.

use std::{fmt, str::FromStr};

use jiff::civil::Date;
use serde::{Serialize, Serializer};

use super::condition::NotWanted;

/// Nobody is older.
const AGE_MAX: u16 = 150;

/// Ages in completed years, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ages {
    /// The lowest.
    pub from: u16,
    /// The highest.
    pub to: u16,
}

/// The age of a person, in completed years. Where only the year or the month of birth is known, it lies between two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age {
    /// At the least.
    pub least: u16,
    /// At the most.
    pub most: u16,
}

/// A language range (RFC 4647, 2.1), in lower case: it takes every tag that is it or begins with it and a hyphen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Language(String);

/// What a person has said to being referred, by the Consents that travel along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consented {
    /// A Consent is in force and none says no.
    Given,
    /// One says no.
    Refused,
    /// None travels along.
    Absent,
}

/// How soon (`ServiceRequest.priority`, R4); what says nothing is routine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Urgency {
    /// In its turn.
    Routine,
    /// Sooner.
    Urgent,
    /// As soon as possible.
    Asap,
    /// At once.
    Stat,
}

// === impl Ages ===

impl Ages {
    /// Whether a person is certainly of such an age.
    pub fn holds(self, age: Age) -> bool {
        self.from <= age.least && age.most <= self.to
    }
}

impl FromStr for Ages {
    type Err = NotWanted;
    fn from_str(text: &str) -> Result<Self, NotWanted> {
        let year = |text: &str, open: u16| match text.trim() {
            "" => Some(open),
            digits if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok().filter(|age| *age <= AGE_MAX),
            _ => None,
        };
        let (from, to) = match text.split_once("..") {
            Some((from, to)) if from.trim().is_empty() && to.trim().is_empty() => return Err(NotWanted),
            Some((from, to)) => (year(from, 0), year(to, AGE_MAX)),
            None if text.trim().is_empty() => return Err(NotWanted),
            None => (year(text, 0), year(text, 0)),
        };
        match (from, to) {
            (Some(from), Some(to)) if from <= to => Ok(Self { from, to }),
            _ => Err(NotWanted),
        }
    }
}

impl fmt::Display for Ages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.from, self.to) {
            (from, to) if from == to => write!(f, "{from}"),
            (0, to) => write!(f, "..{to}"),
            (from, AGE_MAX) => write!(f, "{from}.."),
            (from, to) => write!(f, "{from}..{to}"),
        }
    }
}

impl Serialize for Ages {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

// === impl Age ===

impl Age {
    /// On a day, of somebody born then: a FHIR date, which may stop at the month or the year. None where it is no date or a later one.
    pub fn on(day: Date, born: &str) -> Option<Self> {
        let mut parts = born.splitn(3, '-');
        let year: i16 = parts.next()?.parse().ok()?;
        let month: Option<i8> = parts.next().map(str::parse).transpose().ok()?;
        let date: Option<i8> = parts.next().map(str::parse).transpose().ok()?;
        let first = Date::new(year, month.unwrap_or(1), date.unwrap_or(1)).ok()?;
        let last = match (month, date) {
            (Some(_), Some(_)) => first,
            (Some(_), None) => first.last_of_month(),
            (None, _) => first.last_of_year(),
        };
        if first > day {
            return None;
        }
        Some(Self { least: years(last.min(day), day), most: years(first, day) })
    }
}

/// Completed years. Who was born on 29 February completes one on 1 March where there is no such day.
fn years(born: Date, day: Date) -> u16 {
    let before_birthday = (day.month(), day.day()) < (born.month(), born.day());
    u16::try_from(i32::from(day.year()) - i32::from(born.year()) - i32::from(before_birthday)).unwrap_or_default()
}

// === impl Language ===

impl Language {
    /// Whether it takes a tag (BCP 47).
    pub fn holds(&self, tag: &str) -> bool {
        let tag = tag.to_ascii_lowercase();
        tag.strip_prefix(&self.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }
}

impl FromStr for Language {
    type Err = NotWanted;
    fn from_str(text: &str) -> Result<Self, NotWanted> {
        let fits = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
        let mut parts = text.split('-');
        let first = parts.next().is_some_and(|part| fits(part) && part.bytes().all(|b| b.is_ascii_alphabetic()));
        if first && text.len() <= 35 && parts.all(fits) { Ok(Self(text.to_ascii_lowercase())) } else { Err(NotWanted) }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Language {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

// === impl Consented ===

impl Consented {
    /// Each with its word.
    pub const WORDS: [(&'static str, Self); 3] =
        [("given", Self::Given), ("refused", Self::Refused), ("absent", Self::Absent)];

    /// Its word.
    pub fn word(self) -> &'static str {
        word(&Self::WORDS, self)
    }
}

impl fmt::Display for Consented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

// === impl Urgency ===

impl Urgency {
    /// Each with R4's code.
    pub const WORDS: [(&'static str, Self); 4] =
        [("routine", Self::Routine), ("urgent", Self::Urgent), ("asap", Self::Asap), ("stat", Self::Stat)];

    /// By R4's code; what says nothing else is routine.
    pub fn of(code: Option<&str>) -> Self {
        let found = Self::WORDS.iter().find(|(word, _)| Some(*word) == code);
        found.map_or(Self::Routine, |(_, urgency)| *urgency)
    }

    /// R4's code.
    pub fn word(self) -> &'static str {
        word(&Self::WORDS, self)
    }
}

impl fmt::Display for Urgency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

fn word<T: PartialEq>(words: &[(&'static str, T)], of: T) -> &'static str {
    words.iter().find(|(_, value)| *value == of).map_or("", |(word, _)| word)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn ages_are_ranges_with_both_ends() {
        let age = |least, most| Age { least, most };
        for (text, of, holds) in [
            ("18..64", age(18, 18), true),
            ("18..64", age(64, 64), true),
            ("18..64", age(17, 17), false),
            ("18..64", age(65, 65), false),
            ("18..64", age(17, 18), false),
            ("18..", age(150, 150), true),
            ("..17", age(0, 0), true),
            ("..17", age(17, 18), false),
            ("40", age(40, 40), true),
            ("40", age(41, 41), false),
        ] {
            let ages: Ages = text.parse().unwrap();
            assert_eq!(ages.holds(of), holds, "{text} {of:?}");
            assert_eq!(ages.to_string(), text);
        }
        for bad in ["", "..", "64..18", "-1..3", "18-64", "151", "a..b", "1.5.."] {
            assert_eq!(bad.parse::<Ages>(), Err(NotWanted), "{bad}");
        }
    }

    #[test]
    fn an_age_is_counted_in_completed_years() {
        let day = date(2026, 3, 1);
        for (born, least, most) in [
            ("2008-03-01", 18, 18),
            ("2008-03-02", 17, 17),
            ("2008-02-29", 18, 18),
            ("2026-03-01", 0, 0),
            ("2008-03", 17, 18),
            ("2008-02", 18, 18),
            ("2008", 17, 18),
            ("2026", 0, 0),
        ] {
            assert_eq!(Age::on(day, born), Some(Age { least, most }), "{born}");
        }
        assert_eq!(Age::on(date(2026, 2, 28), "2008-02-29"), Some(Age { least: 17, most: 17 }));
        for bad in ["2026-03-02", "2027", "", "x", "2008-13", "2008-02-30"] {
            assert_eq!(Age::on(day, bad), None, "{bad}");
        }
    }

    #[test]
    fn a_language_takes_its_regions_and_no_other_language() {
        let cy: Language = "CY".parse().unwrap();
        assert!(cy.holds("cy") && cy.holds("cy-GB") && !cy.holds("cym") && !cy.holds("en"));
        let british: Language = "en-GB".parse().unwrap();
        assert!(british.holds("en-gb") && british.holds("en-GB-oxendict") && !british.holds("en"));
        for bad in ["", "-", "en-", "*", "english language", "en_GB", "123"] {
            assert_eq!(bad.parse::<Language>(), Err(NotWanted), "{bad}");
        }
    }

    #[test]
    fn what_says_nothing_is_routine() {
        assert_eq!([Urgency::of(None), Urgency::of(Some("later"))], [Urgency::Routine; 2]);
        assert_eq!(Urgency::of(Some("stat")), Urgency::Stat);
    }
}
