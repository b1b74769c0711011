//! Who looks after a provider's people: their local accounts, as far as her own hand reaches (`auth::manage`), by the same functions as
//! the commands. An account that she may not see is answered as if it were not there.

use uuid::Uuid;

use super::{
    Code, People, Visitor,
    account::{self, AccountError, is_full, is_same_person, name_at},
};
use crate::{
    auth::manage::{Reach, changed, gives, reach},
    domain::{Alert, AlertKind, Organisation, Position},
    store::{Account, AccountDeed, StoreError},
};

/// What is done with an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Managing {
    /// Its person is this in the organisations of who manages it, from now on.
    Positions(Vec<Position>),
    /// Password and second factor are taken away, and there is a code to make new ones.
    Reset,
    /// Its person is kept out.
    Disable,
    /// Its person is let in again.
    Enable,
}

impl People {
    /// The accounts that a visitor sees, with how far her hand reaches over each, in the order of their names.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn managed(&self, visitor: &Visitor) -> Result<Vec<(Account, Reach)>, StoreError> {
        let all = self.store.accounts().await?.into_iter();
        let reached = all.map(|account| {
            let reach = reach(&visitor.positions, &account.positions);
            (account, reach)
        });
        Ok(reached.filter(|(_, reach)| *reach != Reach::Nothing).collect())
    }

    /// A new account in the organisations of a visitor: its name to log in with, which is what she wants and ends with the provider
    /// ([`name_at`]), and the code by which its person enrols.
    ///
    /// # Errors
    /// [`AccountError`]; [`AccountError::Own`] where she would make one for herself.
    pub async fn invite(
        &self,
        visitor: &Visitor,
        wanted: &str,
        full_name: &str,
        positions: Vec<Position>,
    ) -> Result<(String, Code), AccountError> {
        if !positions.iter().all(|position| gives(&visitor.positions, position)) {
            return Err(AccountError::Beyond);
        }
        let mut providers = positions.iter().filter_map(|position| match position.organisation() {
            Some(Organisation::Provider(id)) => Some(id),
            _ => None,
        });
        let provider = providers.next().ok_or(AccountError::Positions)?;
        let name = name_at(wanted, &provider).ok_or(AccountError::Name)?;
        // she gives others what she does not have; to herself somebody else does
        if is_same_person(&visitor.name, full_name) {
            return Err(AccountError::Own);
        }
        // an organisation that made them all would leave none for the others
        let all = self.store.accounts().await?;
        if is_full(&all, &name, &positions, false) {
            return Err(AccountError::Many);
        }
        if is_full(&all, &name, &positions, true) {
            return Err(AccountError::ManyEnded);
        }
        let code = self.add(&visitor.person, &name, full_name, positions.clone()).await?;
        // before it is shown: nobody uses a code of which nobody was told
        self.tell_of(visitor, &name, &positions).await?;
        Ok((name, code))
    }

    /// That there is room for an account in the organisations of what it is given, or where it is let in again.
    async fn has_room(&self, account: &Account, positions: &[Position], ended: bool) -> Result<(), AccountError> {
        let full = is_full(&self.store.accounts().await?, &account.name, positions, ended);
        match (full, ended) {
            (false, _) => Ok(()),
            (true, false) => Err(AccountError::Many),
            (true, true) => Err(AccountError::ManyEnded),
        }
    }

    /// Tells those who answer for Onward where somebody is let in to the referrals of a provider. Whoever looks after its people sees none
    /// of them; but she hands the code over by which a worker sets her account up, and might keep it.
    async fn tell_of(&self, visitor: &Visitor, name: &str, positions: &[Position]) -> Result<(), StoreError> {
        let works_for = positions.iter().filter_map(|position| match position {
            Position::ProviderWorker(id) => Some(id.as_str()),
            _ => None,
        });
        let works_for: Vec<&str> = works_for.collect();
        if works_for.is_empty() {
            return Ok(());
        }
        let (by, who) = (&visitor.person, account::person(name));
        let text = format!("{by} has let {who} in to the referrals of {}", works_for.join(", "));
        // each is told, also of one who lets several in
        let subject = format!("{by} {}", Uuid::now_v7());
        self.store.raise(vec![Alert::new(AlertKind::WorkerLetIn, subject, self.store.now(), text)]).await
    }

    /// Does this with an account, if it is the visitor's to do; with a code where there is one to hand over. What the account is is
    /// looked at in the version that is written over.
    ///
    /// # Errors
    /// [`AccountError`]
    pub async fn manage(&self, visitor: &Visitor, name: &str, what: Managing) -> Result<Option<Code>, AccountError> {
        let own = visitor.person == account::person(name);
        let fits = |account: &Account, least: Reach| match reach(&visitor.positions, &account.positions) {
            Reach::Nothing => Err(AccountError::Absent),
            _ if own => Err(AccountError::Own),
            Reach::Positions if least == Reach::Whole => Err(AccountError::Beyond),
            _ => Ok(()),
        };
        let (by, whole) = (visitor.person.as_str(), |account: &Account| fits(account, Reach::Whole));
        let read = self.store.account(name).await?.ok_or(AccountError::Absent)?;
        match what {
            Managing::Positions(wanted) => {
                fits(&read, Reach::Positions)?;
                // first, since they are hers at once
                let new: Vec<Position> =
                    wanted.iter().filter(|position| !read.positions.contains(position)).cloned().collect();
                self.has_room(&read, &new, read.disabled).await?;
                if changed(&visitor.positions, &read.positions, &wanted).is_some() {
                    self.tell_of(visitor, name, &new).await?;
                }
                let set = |account: &mut Account| {
                    fits(account, Reach::Positions)?;
                    let after = changed(&visitor.positions, &account.positions, &wanted).ok_or(AccountError::Beyond)?;
                    self.fit(&after)?;
                    account.positions = after;
                    Ok(())
                };
                self.change(by, name, AccountDeed::Positions, set).await?;
                Ok(None)
            }
            Managing::Reset => {
                let code = self.reset_if(by, name, whole).await?;
                self.tell_of(visitor, name, &read.positions).await?;
                Ok(Some(code))
            }
            Managing::Disable => self.disable_if(by, name, true, whole).await.map(|()| None),
            Managing::Enable => {
                whole(&read)?;
                self.has_room(&read, &read.positions, false).await?;
                self.disable_if(by, name, false, whole).await?;
                self.tell_of(visitor, name, &read.positions).await?;
                Ok(None)
            }
        }
    }
}
