//! Postcodes, as far as routing needs them: the outward code (`L1` of `L1 9ZZ`) and its area (`L`).

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

/// Where people live, as a rule says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Area {
    /// Letters only: a whole postcode area, such as `CH`.
    Letters(String),
    /// Letters and digits: one outward code exactly, such as `L1`, which is not `L15`.
    Outward(String),
}

/// Neither a postcode area nor an outward code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a postcode area such as “CH” or an outward code such as “L1”")]
pub struct NotAnArea;

/// The outward code of a postcode, in capitals; `None` where the text is no postcode. The space may be missing.
pub fn outward_of(postcode: &str) -> Option<String> {
    let tidy = tidy(postcode)?;
    let inward_at = tidy.len().checked_sub(3).filter(|_| tidy.len() >= 5);
    let outward = match inward_at.and_then(|at| tidy.split_at_checked(at)) {
        Some((outward, inward)) if is_inward(inward) => outward,
        _ => tidy.as_str(),
    };
    is_outward(outward).then(|| outward.to_owned())
}

// === impl Area ===

impl Area {
    /// Whether the outward code, in capitals, lies within.
    pub fn holds(&self, outward: &str) -> bool {
        match self {
            Self::Outward(wanted) => wanted == outward,
            Self::Letters(wanted) => {
                let letters = outward.bytes().take_while(u8::is_ascii_alphabetic).count();
                outward.get(..letters) == Some(wanted.as_str())
            }
        }
    }
}

impl FromStr for Area {
    type Err = NotAnArea;
    fn from_str(text: &str) -> Result<Self, NotAnArea> {
        let tidy = tidy(text).ok_or(NotAnArea)?;
        if (1..=2).contains(&tidy.len()) && tidy.bytes().all(|b| b.is_ascii_alphabetic()) {
            Ok(Self::Letters(tidy))
        } else if is_outward(&tidy) {
            Ok(Self::Outward(tidy))
        } else {
            Err(NotAnArea)
        }
    }
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Letters(text) | Self::Outward(text)) = self;
        f.write_str(text)
    }
}

impl Serialize for Area {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Without spaces and in capitals; `None` where anything but letters and digits is left, or too much.
fn tidy(text: &str) -> Option<String> {
    let tidy: String = text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_uppercase()).take(9).collect();
    (tidy.len() <= 7 && tidy.bytes().all(|b| b.is_ascii_alphanumeric())).then_some(tidy)
}

fn is_inward(text: &str) -> bool {
    matches!(text.as_bytes(), [digit, a, b] if digit.is_ascii_digit() && a.is_ascii_alphabetic() && b.is_ascii_alphabetic())
}

/// One or two letters, a digit, perhaps one more letter or digit.
fn is_outward(text: &str) -> bool {
    let after_letters = text.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let letters = text.len() - after_letters.len();
    (1..=2).contains(&letters)
        && match after_letters.as_bytes() {
            [digit] => digit.is_ascii_digit(),
            [digit, last] => digit.is_ascii_digit() && last.is_ascii_alphanumeric(),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outward_code_of_a_postcode_however_it_is_written() {
        for (postcode, outward) in [
            ("L1 9ZZ", "L1"),
            ("L19ZZ", "L1"),
            ("L15 3ZZ", "L15"),
            ("l153zz", "L15"),
            (" ch41 7zz ", "CH41"),
            ("ch417zz", "CH41"),
            ("EC1A 1BB", "EC1A"),
            ("W1A0AX", "W1A"),
            ("ZZ99 3VZ", "ZZ99"),
            ("L19", "L19"),
            ("L1", "L1"),
            ("W1A", "W1A"),
            ("EC1A", "EC1A"),
        ] {
            assert_eq!(outward_of(postcode).as_deref(), Some(outward), "{postcode}");
        }
        for bad in ["", " ", "CH", "L1 9Z", "unknown", "12345", "L1-9ZZ", "L1 9ZZ 9ZZ", "é1 9ZZ", "NFA"] {
            assert_eq!(outward_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_outward_code_is_exact_and_letters_are_the_whole_area() {
        let holds = |area: &str, outward: &str| area.parse::<Area>().unwrap().holds(outward);
        assert!(holds("L1", "L1") && holds("l 1", "L1") && !holds("L1", "L15") && !holds("L15", "L1"));
        assert!(holds("CH", "CH41") && holds("ch", "CH1") && !holds("C", "CH41"));
        assert!(holds("L", "L1") && holds("L", "L15") && !holds("L", "LL11"));
        for bad in ["", "ABC", "L1 9ZZ", "1", "L123", "*", "L?"] {
            assert_eq!(bad.parse::<Area>(), Err(NotAnArea), "{bad}");
        }
    }
}
