//! What a browser shows, and what a person types once: random, and kept as SHA-256 only.

use std::fmt;

use aws_lc_rs::{hmac, rand};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::{
    config::{TokenHash, is_same_secret},
    store::Digest,
};

/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;
/// A token as text.
const TOKEN_CHARS: usize = 43;
/// By so many bytes the forms of one page differ from those of another.
const SALT_BYTES: usize = 8;
/// Letters and digits that nobody takes for others (RFC 4648, 6).
const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// So many of them are a code: 120 bits.
const CODE_CHARS: usize = 24;
/// So many of them stand together.
const CODE_GROUP: usize = 4;

/// The system gives no random numbers.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoRandom;

/// What a browser shows: 256 random bits.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

/// What a person types once, in groups of letters and digits.
#[derive(Clone)]
pub struct Code(Zeroizing<String>);

/// How what is wiped is written into a text and read from one; whoever has the text has it wiped as well.
pub(super) mod wiped {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use zeroize::{Zeroize, Zeroizing};

    pub(in crate::people) fn serialize<T: Serialize + Zeroize, S: Serializer>(
        held: &Zeroizing<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        T::serialize(held, to)
    }

    pub(in crate::people) fn deserialize<'de, T: Deserialize<'de> + Zeroize, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Zeroizing<T>, D::Error> {
        T::deserialize(from).map(Zeroizing::new)
    }
}

/// The SHA-256 of a text.
pub(super) fn digest(text: &str) -> Digest {
    *TokenHash::of(text).as_bytes()
}

// === impl Token ===

impl Token {
    /// A new one.
    ///
    /// # Errors
    /// [`NoRandom`]
    pub fn mint() -> Result<Self, NoRandom> {
        Ok(Self(Zeroizing::new(URL_SAFE_NO_PAD.encode(random::<TOKEN_BYTES>()?))))
    }

    /// One that is shown, if it looks like one.
    pub fn read(text: &str) -> Option<Self> {
        let fits = text.len() == TOKEN_CHARS && URL_SAFE_NO_PAD.decode(text).is_ok();
        fits.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The text. Only for the cookie.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub(super) fn digest(&self) -> Digest {
        digest(&self.0)
    }

    /// What the forms of a page bear that was made for this token, and nobody knows who does not have it. It is another for every page:
    /// pages are compressed, and hold what others may choose, so that what stayed the same could be guessed from their length.
    pub fn for_forms(&self) -> String {
        let salt = fastrand::u64(..).to_be_bytes();
        URL_SAFE_NO_PAD.encode([&salt[..], self.tag(salt).as_ref()].concat())
    }

    /// Whether a form bears that. In constant time.
    pub fn made_form(&self, shown: &str) -> bool {
        let shown = URL_SAFE_NO_PAD.decode(shown).unwrap_or_default();
        let Some((salt, tag)) = shown.split_first_chunk::<SALT_BYTES>() else { return false };
        is_same_secret(self.tag(*salt).as_ref(), tag)
    }

    fn tag(&self, salt: [u8; SALT_BYTES]) -> hmac::Tag {
        let mut signed = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, self.0.as_bytes()));
        signed.update(b"onward form ");
        signed.update(&salt);
        signed.sign()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

// === impl Code ===

impl Code {
    /// A new one.
    ///
    /// # Errors
    /// [`NoRandom`]
    pub fn mint() -> Result<Self, NoRandom> {
        let bytes = random::<CODE_CHARS>()?;
        let mut text = Zeroizing::new(String::new());
        for (n, byte) in bytes.iter().enumerate() {
            if n > 0 && n % CODE_GROUP == 0 {
                text.push('-');
            }
            text.push(LETTERS.get(usize::from(byte % 32)).copied().map_or('A', char::from));
        }
        Ok(Self(text))
    }

    /// One that was typed, however it is grouped and in whatever case.
    pub(super) fn typed(text: &str) -> Self {
        let letters: String = text.chars().filter(char::is_ascii_alphanumeric).take(CODE_CHARS + 1).collect();
        let letters = Zeroizing::new(letters.to_ascii_uppercase());
        let groups: Vec<&str> =
            letters.as_bytes().chunks(CODE_GROUP).filter_map(|g| std::str::from_utf8(g).ok()).collect();
        Self(Zeroizing::new(groups.join("-")))
    }

    /// The text, to be shown once.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub(super) fn digest(&self) -> Digest {
        digest(&self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(…)")
    }
}

/// Random bytes.
pub(super) fn random<const N: usize>() -> Result<[u8; N], NoRandom> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| NoRandom)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_made_and_makes_its_own_forms() {
        let (one, other) = (Token::mint().unwrap(), Token::mint().unwrap());
        assert_ne!(one.reveal(), other.reveal());
        assert_eq!(Token::read(one.reveal()).unwrap().digest(), one.digest());
        for no in ["", "abc", &"x".repeat(44), &"=".repeat(43), &"é".repeat(43)] {
            assert!(Token::read(no).is_none(), "{no}");
        }
        assert!(one.made_form(&one.for_forms()));
        assert_ne!(one.for_forms(), one.for_forms(), "what is on every page must not be the same on every page");
        let mut changed = one.for_forms();
        let with = if changed.starts_with('A') { "B" } else { "A" };
        changed.replace_range(..1, with);
        assert!(!one.made_form(&changed));
        assert!(!one.made_form(&other.for_forms()));
        assert!(!one.made_form(""));
        assert_eq!(format!("{one:?}"), "Token(…)");
    }

    #[test]
    fn a_code_is_known_however_it_is_typed() {
        let code = Code::mint().unwrap();
        assert_eq!(code.reveal().len(), CODE_CHARS + CODE_CHARS / CODE_GROUP - 1);
        let typed = code.reveal().to_lowercase().replace('-', " ");
        assert_eq!(Code::typed(&typed).digest(), code.digest());
        assert_ne!(Code::typed(&typed[1..]).digest(), code.digest());
        assert_ne!(Code::typed(&format!("{typed}a")).digest(), code.digest());
    }
}
