//! Who looks after a provider's people: their local accounts, as far as her own hand reaches (`auth::manage`), by the same functions as
//! the commands. An account that she may not see is answered as if it were not there.

use super::{
    Code, People, Visitor,
    account::{self, AccountError},
};
use crate::{
    auth::manage::{Reach, changed, gives, reach},
    domain::Position,
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

    /// A new account in the organisations of a visitor, and the code by which its person enrols.
    ///
    /// # Errors
    /// [`AccountError`]
    pub async fn invite(
        &self,
        visitor: &Visitor,
        name: &str,
        full_name: &str,
        positions: Vec<Position>,
    ) -> Result<Code, AccountError> {
        if !positions.iter().all(|position| gives(&visitor.positions, position)) {
            return Err(AccountError::Beyond);
        }
        self.add(&visitor.person, name, full_name, positions).await
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
        match what {
            Managing::Positions(wanted) => {
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
            Managing::Reset => self.reset_if(by, name, whole).await.map(Some),
            Managing::Disable => self.disable_if(by, name, true, whole).await.map(|()| None),
            Managing::Enable => self.disable_if(by, name, false, whole).await.map(|()| None),
        }
    }
}
