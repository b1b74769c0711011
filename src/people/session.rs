//! Sessions: begun at a log-in with a new secret, of use until they were left alone for too long, are too old, or are ended.

use jiff::Timestamp;
use uuid::Uuid;

use super::{People, PeopleError, Token, after};
use crate::{
    config::people::is_known,
    domain::Position,
    store::{Digest, Session, StoreError},
};

/// That a session is used is noted again after so long, or after a quarter of the time that it may be left alone.
const NOTED_EVERY: std::time::Duration = std::time::Duration::from_secs(60);

/// Somebody who has logged in.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// Who: `local:NAME` or `oidc:SUBJECT`.
    pub person: String,
    /// Her name for people.
    pub name: String,
    /// What she is, as far as the organisations are still there.
    pub positions: Vec<Position>,
    /// Her session.
    pub session: Uuid,
    /// When that was looked up.
    pub looked: Timestamp,
    /// When it ends, if it is left alone from then on.
    pub ends: Timestamp,
    /// Whether it ends then whatever she does, because it has lasted as long as one may.
    pub at_last: bool,
}

impl People {
    /// Begins a session. Its secret is a new one, whatever the browser showed before. `issued`: by what the issuer knows the log-in.
    ///
    /// # Errors
    /// [`PeopleError`]
    pub(super) async fn begin_session(
        &self,
        person: String,
        name: String,
        positions: Vec<Position>,
        issued: Option<Digest>,
    ) -> Result<Token, PeopleError> {
        let (token, now) = (Token::mint()?, self.store.now());
        let session = Session {
            id: Uuid::now_v7(),
            secret: token.digest(),
            person,
            name,
            positions,
            created: now,
            last_used: now,
            until: after(now, self.config.longest),
            issued,
        };
        self.store.add_session(session).await?;
        Ok(token)
    }

    /// Whose session this is; none where it is over or has been ended. It was used by that.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn visitor(&self, shown: &Token) -> Result<Option<Visitor>, StoreError> {
        self.looked_up(shown, true).await
    }

    /// The same where nobody need be there: a page asks by itself, which is no use of a session.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn glance(&self, shown: &Token) -> Result<Option<Visitor>, StoreError> {
        self.looked_up(shown, false).await
    }

    async fn looked_up(&self, shown: &Token, is_use: bool) -> Result<Option<Visitor>, StoreError> {
        let Some(session) = self.store.session(shown.digest()).await? else { return Ok(None) };
        let now = self.store.now();
        if now >= session.until || now >= after(session.last_used, self.config.idle) {
            return Ok(None);
        }
        let noted_every = NOTED_EVERY.min(self.config.idle / 4);
        let mut last_used = session.last_used;
        if is_use && now >= after(last_used, noted_every) {
            if !self.store.use_session(session.secret).await? {
                // it was ended just now
                return Ok(None);
            }
            last_used = now;
        }
        let registry = self.registry.load();
        let Session { id, person, name, mut positions, until, .. } = session;
        positions.retain(|position| is_known(&registry, position));
        let left_alone = after(last_used, self.config.idle);
        let (ends, at_last) = (until.min(left_alone), until <= left_alone);
        Ok(Some(Visitor { person, name, positions, session: id, looked: now, ends, at_last }))
    }

    /// The sessions of a visitor, the newest first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn sessions(&self, visitor: &Visitor) -> Result<Vec<Session>, StoreError> {
        let now = self.store.now();
        let mut sessions = self.store.sessions_of(&visitor.person).await?;
        sessions.retain(|one| now < one.until && now < after(one.last_used, self.config.idle));
        Ok(sessions)
    }

    /// Ends a session of a visitor, or all of them. From then on it is of no use to anybody.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn end_sessions(&self, visitor: &Visitor, session: Option<Uuid>) -> Result<u64, StoreError> {
        self.store.end_sessions(&visitor.person, session).await
    }
}
