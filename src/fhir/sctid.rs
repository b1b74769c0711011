//! SNOMED CT identifiers: 6 to 18 digits of which the last checks the others (SNOMED CT Release File Specifications, “SCTID
//! Representation”; Verhoeff's method).

/// The code system of SNOMED CT.
pub const SYSTEM: &str = "http://snomed.info/sct";

/// Why something is no identifier of a concept; does not say what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAConcept {
    /// Not 6 to 18 digits, or beginning with 0.
    #[error("a SNOMED CT identifier is 6 to 18 digits, the first not 0")]
    Form,
    /// Digits, but not ones that were ever given out.
    #[error("the check digit of the SNOMED CT identifier is wrong")]
    CheckDigit,
    /// The identifier of a description, a relationship or something else than a concept.
    #[error("this SNOMED CT identifier is not that of a concept: its partition is neither 00 nor 10")]
    Partition,
}

/// How Verhoeff's method adds: the dihedral group of ten.
const ADD: [[u8; 10]; 10] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    [1, 2, 3, 4, 0, 6, 7, 8, 9, 5],
    [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
    [3, 4, 0, 1, 2, 8, 9, 5, 6, 7],
    [4, 0, 1, 2, 3, 9, 5, 6, 7, 8],
    [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
    [6, 5, 9, 8, 7, 1, 0, 4, 3, 2],
    [7, 6, 5, 9, 8, 2, 1, 0, 4, 3],
    [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
    [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
];

/// What a digit counts as at each place from the end, which repeats after eight.
const AT: [[u8; 10]; 8] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    [1, 5, 7, 6, 2, 8, 3, 0, 9, 4],
    [5, 8, 0, 3, 7, 9, 6, 1, 4, 2],
    [8, 9, 1, 6, 0, 4, 3, 5, 2, 7],
    [9, 4, 5, 3, 1, 2, 6, 8, 7, 0],
    [4, 2, 8, 6, 5, 7, 3, 9, 0, 1],
    [2, 7, 9, 3, 8, 0, 6, 4, 1, 5],
    [7, 0, 4, 6, 9, 1, 3, 2, 5, 8],
];

/// Whether a `Coding.code` of SNOMED CT can be one: the identifier of a concept, or an expression of several (R4 snomedct.html,
/// “Using SNOMED CT with FHIR”), whose identifiers are looked at one by one.
///
/// # Errors
/// [`NotAConcept`]
pub fn check(code: &str) -> Result<(), NotAConcept> {
    if code.bytes().all(|b| b.is_ascii_digit()) {
        return concept(code);
    }
    if !code.contains([':', '+', '=', '|', '{', '(', ',']) {
        return Err(NotAConcept::Form);
    }
    // terms stand between bars, texts in quotes, and numbers that are no identifiers behind #
    let (mut quote, mut number) = (None, String::new());
    for c in code.chars().chain([' ']) {
        match quote {
            Some(end) if c == end => quote = None,
            Some(_) => {}
            None if matches!(c, '|' | '"') => quote = Some(c),
            None if c.is_whitespace() || matches!(c, ':' | '+' | '=' | '{' | '}' | '(' | ')' | ',') => {
                if number.starts_with(|c: char| c.is_ascii_digit()) {
                    concept(&number)?;
                }
                number.clear();
            }
            None => number.push(c),
        }
    }
    Ok(())
}

fn concept(id: &str) -> Result<(), NotAConcept> {
    let digits = id.as_bytes();
    if !(6..=18).contains(&digits.len()) || digits.starts_with(b"0") || !digits.iter().all(u8::is_ascii_digit) {
        return Err(NotAConcept::Form);
    }
    let sum = digits.iter().rev().zip((0..8).cycle()).fold(0, |sum, (digit, place)| {
        let counts = row(&AT, place, digit - b'0');
        row(&ADD, sum, counts)
    });
    if sum != 0 {
        return Err(NotAConcept::CheckDigit);
    }
    let partition = digits.len().checked_sub(3).and_then(|from| digits.get(from..from + 2));
    if matches!(partition, Some(b"00" | b"10")) { Ok(()) } else { Err(NotAConcept::Partition) }
}

fn row<const N: usize>(table: &[[u8; 10]; N], row: u8, column: u8) -> u8 {
    table.get(usize::from(row)).and_then(|row| row.get(usize::from(column))).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_check_digit_decides() {
        for good in ["871731000000106", "871711000000103", "73211009", "404684003", "138875005"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("871731000000107", NotAConcept::CheckDigit),
            ("73211008", NotAConcept::CheckDigit),
            ("", NotAConcept::Form),
            ("12345", NotAConcept::Form),
            ("073211009", NotAConcept::Form),
            ("1234567890123456789", NotAConcept::Form),
            ("Depression", NotAConcept::Form),
            ("٧٣٢١١٠٠٩", NotAConcept::Form),
            // the description “Clinical finding”, and a relationship
            ("680946014", NotAConcept::Partition),
        ] {
            assert_eq!(check(bad), Err(why), "{bad}");
        }
    }

    #[test]
    fn the_concepts_of_an_expression_are_looked_at() {
        assert_eq!(
            check("128045006|Cellulitis (disorder)|:{363698007|Finding site|=56459004|Foot structure|}"),
            Ok(())
        );
        assert_eq!(check("128045006:363698007=56459004"), Ok(()));
        assert_eq!(check("128045006:363698007=56459005"), Err(NotAConcept::CheckDigit));
        assert_eq!(check("128045006:363698007=#5"), Ok(()));
        assert_eq!(check("373873005:774158006=\"Vitamin 12\""), Ok(()));
        assert_eq!(check("128045006|a|:363698007|b|=56459005|c|"), Err(NotAConcept::CheckDigit));
    }

    proptest! {
        #[test]
        fn one_wrong_digit_and_two_exchanged_ones_are_always_found(body in "[1-9][0-9]{4,14}", at in 0usize..16, by in 1u8..10) {
            for check in 0..10 {
                let good = format!("{body}{check}");
                if matches!(concept(&good), Ok(()) | Err(NotAConcept::Partition)) {
                    let mut wrong = good.clone().into_bytes();
                    let at = at % wrong.len();
                    wrong[at] = b'0' + (wrong[at] - b'0' + by) % 10;
                    let found = concept(std::str::from_utf8(&wrong).unwrap());
                    prop_assert!(matches!(found, Err(NotAConcept::CheckDigit | NotAConcept::Form)));
                    let mut exchanged = good.into_bytes();
                    let next = (at + 1) % exchanged.len();
                    if next != 0 && exchanged[at] != exchanged[next] {
                        exchanged.swap(at, next);
                        let found = concept(std::str::from_utf8(&exchanged).unwrap());
                        prop_assert!(matches!(found, Err(NotAConcept::CheckDigit | NotAConcept::Form)));
                    }
                }
            }
        }
    }
}
