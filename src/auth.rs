//! Who may do what with which referral: one pure function ([`may`]). Who is asking is found out by the adapters around it.

pub mod assertion;
mod authority;
mod caller;
pub mod directory;
mod issuer;
mod jwks;
pub(crate) mod jwt;
pub mod manage;
mod may;
mod seal;

pub use authority::{Authority, Connection, Given, Refused, Shown, TOKEN_S, thumbprint};
pub use caller::{Caller, Granted, KnownBy};
pub use jwks::fetched;
pub use may::{Deed, What, Who, client_that_may, may};
pub use seal::{Names, Purpose, Seal, SealError};

/// The token of an `Authorization: Bearer` header (RFC 6750, 2.1).
pub fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_taken_from_its_header() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        for none in ["Basic abc", "Bearer", "Bearer ", ""] {
            assert_eq!(bearer(none), None, "{none}");
        }
    }
}
