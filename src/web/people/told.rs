//! Why something was not done with an account, in the words of its page.

use crate::{
    people::account::{AccountError, FULL_NAME_CHARS_MAX, STEM_CHARS_MAX},
    web::page::Fault,
};

/// What is told of why something was not done, at its field.
pub(super) fn fault(error: &AccountError) -> Option<Fault> {
    Some(match error {
        AccountError::Name => {
            Fault::at("name", format!("Enter a name to log in with: 1 to {STEM_CHARS_MAX} of a to z, 0 to 9 and . _ -"))
        }
        // the same of one that is here, has ended, is forgotten, or has gone on to another organisation
        AccountError::Taken | AccountError::Used => {
            Fault::at("name", "Choose another name to log in with: that one is used, or was used before")
        }
        AccountError::Full => {
            Fault::of_all("There are as many accounts, of all organisations, as Onward keeps. Tell your IT team.")
        }
        AccountError::Positions => {
            Fault::at("role", "Choose what this person does. To keep somebody out, end the account.")
        }
        AccountError::Twice(_) => Fault::at("role", "Choose each role once"),
        AccountError::FullName => full_name_fault(),
        AccountError::Many => {
            Fault::of_all("Your organisation has as many accounts as it may. End those that nobody uses.")
        }
        AccountError::ManyEnded => Fault::of_all(
            "As many accounts of your organisation have ended as it may have. Ask your IT team, who can forget some of them.",
        ),
        AccountError::Beyond => {
            Fault::of_all("This person has roles outside your organisation as well. Ask your IT team, who can do that.")
        }
        AccountError::Own => {
            Fault::of_all("This is your own account. Ask another who looks after people, or your IT team.")
        }
        AccountError::Moved => Fault::of_all("Somebody else has changed this account just now. Look at it again."),
        AccountError::Unknown(_) | AccountError::Absent | AccountError::Open | AccountError::People(_) => return None,
    })
}

/// What is told of a name that is none.
pub(super) fn full_name_fault() -> Fault {
    let told = "Enter the person’s name, as colleagues know it: no more than";
    Fault::at("full-name", format!("{told} {FULL_NAME_CHARS_MAX} characters, and none that cannot be seen"))
}
