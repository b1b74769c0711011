//! The NHS number: ten digits of which the last checks the others (NHS Data Dictionary, modulus 11).

use std::{fmt, str::FromStr};

use percent_encoding::percent_decode_str;
use uuid::{Uuid, Variant};

/// The identifier system of NHS numbers.
pub const SYSTEM: &str = "https://fhir.nhs.uk/Id/nhs-number";

/// So many digits it has.
const DIGITS: usize = 10;
/// A UUID with its hyphens.
const UUID_CHARS: usize = 36;

/// A number whose check digit is right. It names a person: it has no `Display`, and `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct NhsNumber(String);

/// Why something is no NHS number; does not say what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAnNhsNumber {
    /// Not ten digits.
    #[error("an NHS number is ten digits without spaces")]
    Form,
    /// Ten digits, but not ones that were ever given to a person.
    #[error("the check digit of the NHS number is wrong")]
    CheckDigit,
}

impl NhsNumber {
    /// The ten digits. What gets them must not log them.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NhsNumber {
    type Err = NotAnNhsNumber;

    fn from_str(text: &str) -> Result<Self, NotAnNhsNumber> {
        if text.len() != DIGITS || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NotAnNhsNumber::Form);
        }
        // weights 10 to 2, and the check digit itself 1: the whole sum is a multiple of 11
        let sum: u32 = text.bytes().zip((1..=10).rev()).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
        if sum.is_multiple_of(11) { Ok(Self(text.to_owned())) } else { Err(NotAnNhsNumber::CheckDigit) }
    }
}

/// Whether a text has such a number in it, whatever stands between its digits but letters, and written as in a URL as well. The digits of
/// a UUID are none.
pub fn is_in(text: &str) -> bool {
    let decoded = percent_decode_str(text).decode_utf8_lossy();
    [text, &*decoded].into_iter().any(|text| {
        let text = without_uuids(text);
        text.split(|c: char| c.is_alphanumeric() && !c.is_ascii_digit()).any(is_between)
    })
}

/// Whether some digits of a text without letters, one behind the other, are such a number. What stands together is not taken apart.
fn is_between(text: &str) -> bool {
    let parts: Vec<&str> = text.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
    (0..parts.len()).any(|from| {
        let mut digits = String::new();
        let further = parts.iter().skip(from).take_while(|part| {
            digits.push_str(part);
            digits.len() < DIGITS
        });
        let _ = further.count();
        digits.parse::<NhsNumber>().is_ok()
    })
}

/// The same, and where other digits touch those of such a number. Of any ten digits one in eleven is one, so that this is for a text that may be
/// left out where nobody is named in it as well: of many digits together it is often right by chance.
pub fn may_be_in(text: &str) -> bool {
    let touches = |text: &str| {
        let text = without_uuids(text);
        let runs = text.split(|c: char| !c.is_ascii_digit()).map(str::as_bytes);
        let is_one = |ten: &[u8]| std::str::from_utf8(ten).is_ok_and(|ten| ten.parse::<NhsNumber>().is_ok());
        runs.flat_map(|run| run.windows(DIGITS)).any(is_one)
    };
    is_in(text) || touches(text) || touches(&percent_decode_str(text).decode_utf8_lossy())
}

/// Whether a UUID says that it was made as one (RFC 9562, section 4): a number that was padded to look like one does not.
fn is_drawn(uuid: Uuid) -> bool {
    uuid.get_variant() == Variant::RFC4122 && (1..=8).contains(&uuid.get_version_num())
}

/// A text with a letter in the place of each UUID: its digits were drawn, and name nobody.
fn without_uuids(text: &str) -> String {
    let (mut rest, mut kept) = (text, String::with_capacity(text.len()));
    while let Some(first) = rest.chars().next() {
        let is_uuid = rest
            .get(..UUID_CHARS)
            .is_some_and(|part| part.as_bytes().get(8) == Some(&b'-') && Uuid::try_parse(part).is_ok_and(is_drawn));
        let (taken, put) = if is_uuid { (UUID_CHARS, 'x') } else { (first.len_utf8(), first) };
        kept.push(put);
        rest = rest.get(taken..).unwrap_or_default();
    }
    kept
}

impl fmt::Debug for NhsNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NhsNumber(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_found_in_a_text() {
        for with in [
            "9990606900",
            "about-9990606900",
            "9990606900/2",
            "999-060-6900",
            "a:999.060.6900",
            "999-0606900",
            "999_060|6900",
            "9-9-9-0-6-0-6-9-0-0",
            "99/90/60/69/00",
            "999 -- 060 -- 6900",
            "7/999=060=6900/7",
            "999%20060%206900",
            "patient%7C9990606900",
            "0198b6a0-7c1e-7bd0-a5d1-000000000000/999.060.6900",
        ] {
            assert!(is_in(with), "{with}");
        }
        for without in [
            "",
            "9990606901",
            "99906069000",
            "0198b6a0-7c1e-7bd0-a5d1-000000000000",
            // the digits in its middle would be one
            "a1b2c999-0606-412a-8abc-000000000000",
            "2026-03-02T09:00:00.123Z",
            "1732638000000",
            "999a060b6900",
        ] {
            assert!(!is_in(without), "{without}");
        }
    }

    #[test]
    fn it_may_be_among_other_digits() {
        let padded = "00000000-0000-0000-0000-009990606900";
        for with in [padded, "9990606900", "r-79990606900", "99906069007", "20260302-19990606900.5", "a%2099906069007"]
        {
            assert!(may_be_in(with), "{with}");
        }
        for without in
            ["", "9990606901", "0198b6a0-7c1e-7bd0-a5d1-000000000000", "a1b2c999-0606-412a-8abc-000000000000"]
        {
            assert!(!may_be_in(without), "{without}");
        }
    }

    #[test]
    fn the_check_digit_decides() {
        for good in ["9990000018", "9434765919", "9000000009", "4010232137"] {
            assert!(good.parse::<NhsNumber>().is_ok(), "{good}");
        }
        // the last two would need the check digit 10, which is not given out
        for bad in ["9990000019", "3478526985", "1234567890", "9990000011"] {
            assert_eq!(bad.parse::<NhsNumber>(), Err(NotAnNhsNumber::CheckDigit), "{bad}");
        }
        for bad in ["", "999 000 0018", "999000001", "99900000188", "999000001X", "٩٩٩٠٠"] {
            assert_eq!(bad.parse::<NhsNumber>(), Err(NotAnNhsNumber::Form), "{bad}");
        }
    }

    #[test]
    fn it_is_never_printed() {
        let number: NhsNumber = "9990000018".parse().unwrap();
        assert!(!format!("{number:?}{:?}", Some(&number)).contains("999"));
    }

    proptest! {
        #[test]
        fn one_wrong_digit_is_always_found(first in "[0-9]{9}", place in 0usize..10, by in 1u8..10) {
            for check in 0..10 {
                let number = format!("{first}{check}");
                if number.parse::<NhsNumber>().is_ok() {
                    let mut digits = number.into_bytes();
                    digits[place] = b'0' + (digits[place] - b'0' + by) % 10;
                    prop_assert!(String::from_utf8(digits).unwrap().parse::<NhsNumber>().is_err());
                }
            }
        }
    }
}
