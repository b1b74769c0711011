//! The second factor: codes that a device makes of a key and the time (RFC 6238), as all authenticator apps do: SHA-1, six digits,
//! thirty seconds, one step early or late.

use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use totp_rs::{Algorithm, Builder, Secret, Totp};
use zeroize::Zeroizing;

use super::secret::{NoRandom, random};

/// Bytes of a key (RFC 4226, 4: R6).
const KEY_BYTES: usize = 20;
const STEP_S: u64 = 30;
const SKEW: u16 = 1;

/// A new key.
///
/// # Errors
/// [`NoRandom`]
pub fn mint() -> Result<Zeroizing<Vec<u8>>, NoRandom> {
    Ok(random::<KEY_BYTES>()?.to_vec().into())
}

/// A key as it is typed into a device.
pub fn shown(key: &[u8]) -> String {
    Secret::from(key.to_vec()).to_base32()
}

/// A key as a link that a device opens.
pub fn link(key: &[u8], account: &str) -> String {
    let account = utf8_percent_encode(account, NON_ALPHANUMERIC);
    format!("otpauth://totp/Onward:{account}?secret={}&issuer=Onward", shown(key))
}

/// The step of a code that is right now and later than the step taken last: one code is taken once.
pub fn step_of(key: &[u8], code: &str, now: Timestamp, taken: u64) -> Option<u64> {
    let digits: String = code.chars().filter(|c| !c.is_whitespace()).take(7).collect();
    let at = u64::try_from(now.as_second()).ok()?;
    of(key).check(&digits, at).filter(|step| *step > taken)
}

/// The code of this moment: what a device would show.
pub fn code(key: &[u8], now: Timestamp) -> String {
    of(key).generate(u64::try_from(now.as_second()).unwrap_or_default()).to_string()
}

fn of(key: &[u8]) -> Totp {
    // what it would refuse are keys shorter than ours, and other digits
    let builder =
        Builder::new().with_algorithm(Algorithm::SHA1).with_digits(6).with_skew(SKEW).with_step_duration(STEP_S);
    builder.with_secret(Secret::from(key.to_vec())).build_noncompliant()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of RFC 6238, appendix B.
    const KEY: &[u8] = b"12345678901234567890";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn codes_are_those_of_the_standard() {
        // RFC 6238, appendix B, of which six digits are the last six
        for (seconds, expected) in
            [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924"), (20_000_000_000, "353130")]
        {
            assert_eq!(code(KEY, at(seconds)), expected);
            assert!(step_of(KEY, expected, at(seconds), 0).is_some());
        }
        assert_eq!(shown(KEY), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert!(link(KEY, "anna b").starts_with("otpauth://totp/Onward:anna%20b?secret=GEZD"));
    }

    #[test]
    fn a_code_is_taken_once_and_in_its_time() {
        let now = at(1_234_567_890);
        let shown = code(KEY, now);
        let step = step_of(KEY, &shown, now, 0).unwrap();
        assert_eq!(step, 1_234_567_890 / 30);
        assert_eq!(step_of(KEY, &shown, now, step), None, "taken already");
        assert_eq!(step_of(KEY, &shown, at(1_234_567_890 + 30), step - 1), Some(step), "a step late");
        assert_eq!(step_of(KEY, &shown, at(1_234_567_890 + 90), 0), None);
        assert_eq!(step_of(KEY, &format!("{} {}", &shown[..3], &shown[3..]), now, 0), Some(step));
        for no in ["", "12345", "1234567", "abcdef", "００５９２４", "-05924"] {
            assert_eq!(step_of(KEY, no, now, 0), None, "{no}");
        }
    }
}
