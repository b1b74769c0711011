//! Browsers in which somebody has logged in before (OWASP, "Slow Down Online Guessing Attacks with Device Cookies"): whoever tries her name in
//! vain elsewhere does not keep her out there. Each shows something sealed for her name, which counts its own tries and opens nothing.
//! Several people share the browser of a ward, so several may be known to it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    People, PeopleError, after,
    secret::{digest, random},
};
use crate::{auth::Purpose, store::Digest};

/// So many people are known to one browser; who logged in there longest ago is forgotten with the next.
const KNOWN_MAX: usize = 5;
/// What is longer was not made here.
const SHOWN_MAX_BYTES: usize = 128;
/// Random bytes by which a browser counts for itself.
const ID_BYTES: usize = 16;
/// A browser is known for so long after a log-in.
pub const DEVICE_HOLDS: std::time::Duration = std::time::Duration::from_secs(90 * 24 * 3600);

impl People {
    /// Under what tries of this name are counted in a browser that shows this; none where she has not logged in there.
    pub(super) async fn device_of(&self, name: &str, shown: &str) -> Result<Option<Digest>, PeopleError> {
        for one in each(shown) {
            if let Some(id) = self.seal.open(Purpose::Device, name, one).await? {
                return Ok(Some(digest(&format!("device {}", URL_SAFE_NO_PAD.encode(id)))));
            }
        }
        Ok(None)
    }

    /// What a browser shows from now on in which she has logged in.
    pub(super) async fn known_in(&self, name: &str, shown: &str) -> Result<String, PeopleError> {
        let until = after(self.store.now(), DEVICE_HOLDS);
        let mut all = vec![self.seal.close(Purpose::Device, name, &random::<ID_BYTES>()?, until).await?];
        for other in each(shown) {
            let is_hers = self.seal.open(Purpose::Device, name, other).await?.is_some();
            if !is_hers && all.len() < KNOWN_MAX {
                all.push(other.to_owned());
            }
        }
        Ok(all.join("."))
    }
}

fn each(shown: &str) -> impl Iterator<Item = &str> {
    shown.split('.').filter(|one| (1..=SHOWN_MAX_BYTES).contains(&one.len())).take(KNOWN_MAX)
}
