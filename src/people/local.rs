//! Log-in with a local account: password and code of the second factor together, and what its person does once to have both.

use std::{net::IpAddr, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    People, PeopleError, Token,
    account::person,
    after,
    secret::{Code, digest, wiped},
    throttle::{self, wait},
    totp,
};
use crate::{
    config::is_same_secret,
    store::{Account, Credentials, Digest, StoreError},
};

/// A shorter password is not taken (NCSC: length, and no rules about signs).
pub const PASSWORD_CHARS_MIN: usize = 12;
/// A longer one is not looked at.
const PASSWORD_MAX_BYTES: usize = 1_024;
/// Who enrols has so long to set the device up.
const SET_UP_WITHIN: Duration = Duration::from_secs(15 * 60);
/// Whoever tries while another try of the same account is under way comes again after so long.
const BESIDE_ANOTHER: Duration = Duration::from_secs(1);

/// What became of a log-in.
#[derive(Debug)]
pub enum LogIn {
    /// She is in. Beside it what her browser shows from now on to be known as hers.
    In(Token, String),
    /// Name, password or code is wrong, or there is no such account, or it is closed. Which is told to nobody.
    Refused,
    /// It was tried too often in vain; come again after this.
    Later(Duration),
}

/// What stands between making a password and showing the first code. Kept in the store under the token.
#[derive(Serialize, Deserialize)]
pub struct Enrolling {
    /// Whose account.
    pub name: String,
    /// The key for her device.
    #[serde(with = "wiped")]
    pub key: Zeroizing<Vec<u8>>,
    password: String,
    version: u64,
}

/// Why somebody is not enrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotEnrolled {
    /// Name or code is wrong, used or too old.
    Refused,
    /// The password is too short, too long, or the name.
    Password,
    /// The device shows another code.
    Device,
    /// It took too long, or the account was changed meanwhile.
    Over,
    /// It was tried too often in vain.
    Later(Duration),
}

impl People {
    /// Logs in. It takes as long and says the same whether the account is not there or the password is wrong. `device`: what the browser
    /// shows to be known as one in which she has logged in; an empty text where it shows nothing.
    ///
    /// # Errors
    /// [`PeopleError`]
    pub async fn log_in(
        &self,
        name: &str,
        password: Zeroizing<String>,
        code: &str,
        (from, device): (Option<IpAddr>, &str),
    ) -> Result<LogIn, PeopleError> {
        let keys = match self.device_of(name, device).await? {
            Some(own) => Keys { own, elsewhere: None },
            None => Keys::of(name, from),
        };
        if let Some(later) = self.begin_try(&keys).await? {
            return Ok(LogIn::Later(later));
        }
        let found = self.store.account(name).await?;
        let account = found.filter(|account| !account.disabled);
        let credentials = account.as_ref().and_then(|account| account.credentials.as_ref());
        let kept = credentials.map(|credentials| credentials.password.clone());
        let is_it = password.len() <= PASSWORD_MAX_BYTES && self.passwords.is(kept, password).await?;
        let now = self.store.now();
        let step = credentials.and_then(|credentials| totp::step_of(&credentials.totp, code, now, credentials.step));
        let (true, Some(step), Some(account)) = (is_it, step, account) else {
            self.failed(&keys).await?;
            return Ok(LogIn::Refused);
        };
        // over the version that was read: of two who show the same code one gets in
        let taken = account.clone().with_step(step);
        if !self.store.set_account(taken, None, None).await? {
            self.failed(&keys).await?;
            return Ok(LogIn::Refused);
        }
        self.forget(&keys).await?;
        let device = self.known_in(&account.name, device).await?;
        let Some(token) = self.session_of(&account).await? else { return Ok(LogIn::Refused) };
        metrics::counter!("onward_logins_total", "by" => "local", "outcome" => "in").increment(1);
        tracing::info!(person = person(&account.name), "logged in");
        Ok(LogIn::In(token, device))
    }

    /// A session for whom this account is, as it was read; none where it is another by now. Whoever ended it meanwhile, reset it or changed
    /// what she may has ended the sessions that were there: this one was not yet.
    async fn session_of(&self, read: &Account) -> Result<Option<Token>, PeopleError> {
        let (name, positions) = (read.full_name.clone(), read.positions.clone());
        let token = self.begin_session(person(&read.name), name, positions, None).await?;
        let now = self.store.account(&read.name).await?;
        if now.is_some_and(|now| !now.disabled && now.credentials.is_some() && now.positions == read.positions) {
            return Ok(Some(token));
        }
        self.store.end_sessions(&person(&read.name), None).await?;
        Ok(None)
    }

    /// Takes the code by which an account is enrolled, and a password. What is to be shown next, and under which token it is kept.
    ///
    /// # Errors
    /// [`PeopleError`]
    pub async fn enrol(
        &self,
        name: &str,
        code: &str,
        password: Zeroizing<String>,
        from: Option<IpAddr>,
    ) -> Result<Result<(Token, Enrolling), NotEnrolled>, PeopleError> {
        let long = password.chars().count() >= PASSWORD_CHARS_MIN && password.len() <= PASSWORD_MAX_BYTES;
        if !long || password.eq_ignore_ascii_case(name) {
            return Ok(Err(NotEnrolled::Password));
        }
        let keys = Keys::of(name, from);
        if let Some(later) = self.begin_try(&keys).await? {
            return Ok(Err(NotEnrolled::Later(later)));
        }
        let (shown, now) = (Code::typed(code).digest(), self.store.now());
        let account = self.store.account(name).await?.filter(|account| {
            let open = account.enrolment.as_ref().filter(|enrolment| now < enrolment.until);
            !account.disabled && open.is_some_and(|enrolment| is_same_secret(&enrolment.code, &shown))
        });
        let Some(account) = account else {
            self.failed(&keys).await?;
            return Ok(Err(NotEnrolled::Refused));
        };
        let password = self.passwords.hash(password).await?;
        self.forget(&keys).await?;
        let enrolling = Enrolling { name: account.name, key: totp::mint()?, password, version: account.version };
        let token = Token::mint()?;
        self.keep(&token, &enrolling, now).await?;
        Ok(Ok((token, enrolling)))
    }

    /// Takes the first code of her device; the account can be logged in with from then on. Where the device shows another code, the
    /// same is shown again.
    ///
    /// # Errors
    /// [`PeopleError`]
    pub async fn set_up(
        &self,
        token: &Token,
        code: &str,
    ) -> Result<Result<(), (NotEnrolled, Option<Enrolling>)>, PeopleError> {
        let kept = self.store.take_login(token.digest()).await?;
        let Some(enrolling) = kept.and_then(|kept| serde_json::from_str::<Enrolling>(&kept).ok()) else {
            return Ok(Err((NotEnrolled::Over, None)));
        };
        let now = self.store.now();
        let Some(step) = totp::step_of(&enrolling.key, code, now, 0) else {
            self.keep(token, &enrolling, now).await?;
            return Ok(Err((NotEnrolled::Device, Some(enrolling))));
        };
        let Enrolling { name, key, password, version } = enrolling;
        let account = self.store.account(&name).await?.filter(|account| account.version == version);
        let Some(account) = account else { return Ok(Err((NotEnrolled::Over, None))) };
        let credentials = Some(Credentials { password, totp: key, step });
        if !self.store.set_account(Account { enrolment: None, credentials, ..account }, None, None).await? {
            return Ok(Err((NotEnrolled::Over, None)));
        }
        tracing::info!(person = person(&name), "enrolled");
        Ok(Ok(()))
    }

    async fn keep(&self, token: &Token, enrolling: &Enrolling, now: Timestamp) -> Result<(), StoreError> {
        let kept = serde_json::to_string(enrolling).map(Zeroizing::new);
        let kept = kept.map_err(|error| StoreError::Corrupt(error.to_string()))?;
        self.store.begin_login(token.digest(), kept, after(now, SET_UP_WITHIN)).await
    }

    /// Counts a try before it is made, so that many at once are not one; how long to wait, where it is not to be made.
    async fn begin_try(&self, keys: &Keys) -> Result<Option<Duration>, StoreError> {
        let now = self.store.now();
        let tried = self.store.failures(keys.own).await?;
        let mut later = wait(tried, throttle::OF_ACCOUNT, now);
        if let Some(Elsewhere { name, address }) = &keys.elsewhere {
            later = later.max(wait(self.store.failures(*name).await?, throttle::OF_NAME, now));
            if let Some(address) = address {
                later = later.max(wait(self.store.failures(*address).await?, throttle::OF_ADDRESS, now));
            }
        }
        if let Some(later) = later {
            metrics::counter!("onward_logins_total", "by" => "local", "outcome" => "later").increment(1);
            return Ok(Some(later));
        }
        let before = tried.map_or(0, |tried| tried.count);
        if !self.store.count_failure(keys.own, Some(before)).await? {
            return Ok(Some(BESIDE_ANOTHER));
        }
        if let Some(Elsewhere { name, .. }) = &keys.elsewhere {
            self.store.count_failure(*name, None).await?;
        }
        Ok(None)
    }

    /// A try was in vain. No name is told: somebody may have typed her password in its place.
    async fn failed(&self, keys: &Keys) -> Result<(), StoreError> {
        metrics::counter!("onward_logins_total", "by" => "local", "outcome" => "refused").increment(1);
        tracing::warn!("a log-in was refused");
        if let Some(key) = keys.elsewhere.as_ref().and_then(|elsewhere| elsewhere.address) {
            self.store.count_failure(key, None).await?;
        }
        Ok(())
    }

    /// A try was not in vain. What was tried elsewhere is not forgotten for one in a browser of hers: others may have tried it.
    async fn forget(&self, keys: &Keys) -> Result<(), StoreError> {
        self.store.forget_failures(keys.own).await?;
        match &keys.elsewhere {
            Some(elsewhere) => self.store.forget_failures(elsewhere.name).await,
            None => Ok(()),
        }
    }
}

/// Under what tries are counted.
struct Keys {
    /// By the name that was typed, whether or not it is one, with where it comes from: an address, or a browser that is known as hers.
    own: Digest,
    /// What else is counted where it is none of hers.
    elsewhere: Option<Elsewhere>,
}

/// What others can do from wherever they are.
struct Elsewhere {
    /// By the name, from all addresses together.
    name: Digest,
    /// By the address, whatever the name.
    address: Option<Digest>,
}

impl Keys {
    fn of(name: &str, from: Option<IpAddr>) -> Self {
        let network = from.map(|from| match from.to_canonical() {
            IpAddr::V4(v4) => v4.to_string(),
            // who has one address has the network of it
            IpAddr::V6(v6) => format!("{:x?}", v6.segments().get(..4).unwrap_or_default()),
        });
        let address = network.as_ref().map(|network| digest(&format!("address {network}")));
        Self {
            own: digest(&format!("from {} account {name}", network.as_deref().unwrap_or_default())),
            elsewhere: Some(Elsewhere { name: digest(&format!("account {name}")), address }),
        }
    }
}

impl Account {
    fn with_step(mut self, step: u64) -> Self {
        if let Some(credentials) = &mut self.credentials {
            credentials.step = step;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arc_swap::ArcSwap;

    use super::*;
    use crate::{
        config::{self, Registry},
        domain::ManualClock,
        store::{PeopleStore as _, sqlite::SqliteStore},
    };

    /// What becomes of somebody's account between its being read and her session.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Meanwhile {
        Nothing,
        Disabled,
        Reset,
        OtherRoles,
    }

    #[tokio::test]
    async fn whose_account_is_changed_while_she_logs_in_has_no_session() {
        use Meanwhile::{Disabled, Nothing, OtherRoles, Reset};
        for meanwhile in [Nothing, Disabled, Reset, OtherRoles] {
            let folder = tempfile::tempdir().unwrap();
            let clock = Arc::new(ManualClock::at("2026-03-02T09:00:00Z".parse().unwrap()));
            let store = Arc::new(SqliteStore::open(&folder.path().join("onward.db"), clock).unwrap());
            let registry = Arc::new(ArcSwap::from_pointee(Registry::default()));
            let people = People::new(store.clone(), registry, config::People::default());
            people.add_ready("anna", "Anna", vec!["auditor".parse().unwrap()]).await.unwrap();
            let read = store.account("anna").await.unwrap().unwrap();
            match meanwhile {
                Nothing => {}
                Disabled => people.disable("it", "anna", true).await.unwrap(),
                Reset => drop(people.reset("it", "anna").await.unwrap()),
                OtherRoles => people.set_positions("it", "anna", vec!["operator".parse().unwrap()]).await.unwrap(),
            }
            let session = people.session_of(&read).await.unwrap();
            assert_eq!(session.is_some(), meanwhile == Nothing, "{meanwhile:?}");
            // none is left behind that nobody was told of
            let left = store.end_sessions("local:anna", None).await.unwrap();
            assert_eq!(left, u64::from(meanwhile == Nothing), "{meanwhile:?}");
        }
    }
}
