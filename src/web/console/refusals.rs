//! Whether those who refer are turned away, though every part is well: a system with another token than it had, or routes that lead nowhere, are
//! seen by nobody else.

use super::{figures::Counted, words::counted};

/// What was counted in so many of the last minutes says how it is now.
pub(super) const MINUTES: usize = 15;
/// Requests of nobody who is known that one mistake or one passer-by does not make.
const UNKNOWN_MIN: u64 = 5;

/// What is wrong by what was counted in the last [`MINUTES`], each in a sentence.
pub(super) fn told(lately: Counted) -> Vec<String> {
    let mut all = Vec::new();
    if lately.refused > 0 && lately.referrals + lately.known == 0 {
        let refused = counted(lately.refused, "request");
        all.push(format!(
            "In the last {MINUTES} minutes this process took no referral and refused {refused} with referrals: each answer says why, and so \
             does the log."
        ));
    }
    // whoever renews its access token once the old one is refused has shown that one, and is given another
    let unknown = lately.unknown.saturating_sub(lately.given);
    if unknown >= UNKNOWN_MIN {
        all.push(format!(
            "{} to this process in the last {MINUTES} minutes showed a token, an assertion or a certificate by which nobody is known: a system \
             that has another one than the configuration says looks like this, and so does somebody who tries what fits.",
            counted(unknown, "request")
        ));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_nobody_gets_in_is_told_and_one_who_is_refused_beside_others_is_not() {
        let of = |referrals, refused, unknown| told(Counted { referrals, refused, unknown, ..Counted::default() });
        assert_eq!(of(0, 0, 0), Vec::<String>::new());
        assert_eq!(of(9, 0, UNKNOWN_MIN - 1), Vec::<String>::new());
        assert_eq!(of(1, 20, 0), Vec::<String>::new(), "others get in");
        let again = told(Counted { known: 1, refused: 20, ..Counted::default() });
        assert_eq!(again, Vec::<String>::new(), "what is sent again gets in");
        let renewed = told(Counted { unknown: 90, given: 86, ..Counted::default() });
        assert_eq!(renewed, Vec::<String>::new(), "whoever renews a token shows the old one");
        let one = of(0, 1, 0);
        assert!(one.len() == 1 && one[0].contains("took no referral and refused 1 request with"), "{one:?}");
        let both = of(0, 4, UNKNOWN_MIN);
        assert!(both.len() == 2 && both[0].contains("refused 4 requests with"), "{both:?}");
        assert!(both[1].starts_with("5 requests to this process in the last 15 minutes showed a token"), "{both:?}");
    }
}
