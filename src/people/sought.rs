//! Whom somebody looks for, where it must stand in a URL: sealed for her who looks, so that no log, history or bookmark names a person.

use super::{People, PeopleError, Visitor, after};
use crate::auth::Purpose;

impl People {
    /// What stands in a URL for whom a visitor looks for. It holds as long as a session may.
    ///
    /// # Errors
    /// [`PeopleError`]
    pub async fn to_be_sought(&self, visitor: &Visitor, who: &str) -> Result<String, PeopleError> {
        let until = after(self.store.now(), self.config.longest);
        Ok(self.seal.close(Purpose::Journal, &visitor.person, who.as_bytes(), until).await?)
    }

    /// Whom it stands for; none where it was made for somebody else, or too long ago, or is nothing that was made here.
    ///
    /// # Errors
    /// [`PeopleError`]
    pub async fn sought(&self, visitor: &Visitor, shown: &str) -> Result<Option<String>, PeopleError> {
        let opened = self.seal.open(Purpose::Journal, &visitor.person, shown).await?;
        Ok(opened.and_then(|who| String::from_utf8(who).ok()))
    }
}
