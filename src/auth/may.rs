//! Who may do what with what: one pure function of all actors and all deeds. `README.md` beside it has its table.
//!
//! Rights over Onward itself open no clinical content. What somebody may not see is answered as if it were not there; that is for
//! whoever asks here.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    config::registry::Client,
    domain::{
        Organisation, Position,
        status::{UnknownCode, codes},
    },
    store::Parties,
};

/// Somebody who wants to do something.
#[derive(Debug, Clone, Copy)]
pub enum Who<'w> {
    /// A registered client.
    Client(&'w Client),
    /// A person who has logged in, by the positions that are held.
    Person(&'w [Position]),
}

codes! {
    /// What somebody wants to do.
    Deed {
        /// See a referral with all that is in it.
        Read = "see a referral",
        /// Change its Task as the provider.
        Answer = "answer a referral",
        /// Change its ServiceRequest as the referrer.
        Change = "change a referral",
        /// See its ids, times, statuses and inboxes, and nothing of what is in it. Who sees a referral sees that as well.
        Trace = "see the trace of a referral",
        /// Open one referral for a short time, with a reason.
        BreakGlass = "break the glass of a referral",
        /// See what became of referrals, in numbers.
        Count = "see the counts of referrals",
        /// Have a test referral sent to a provider.
        SendTest = "send a test referral",
        /// Look after people's accounts and sessions.
        ManagePeople = "manage people",
        /// Propose what the directory says of oneself.
        Propose = "propose an entry of the directory",
        /// Write the directory.
        KeepDirectory = "keep the directory",
        /// Approve or decline what is proposed for it.
        DecideProposals = "decide proposals",
        /// Read route sets, and ask why a referral would go somewhere.
        ReadRoutes = "read routes",
        /// Write route sets.
        EditRoutes = "edit routes",
        /// Make one active.
        ActivateRoutes = "activate routes",
        /// Try again or discard what will not be tried by itself.
        Replay = "replay dead letters",
        /// Search logs and journal.
        ReadLogs = "read logs and journal",
        /// See who has broken which glass, and why: a reason may tell of the person who was referred.
        ReviewGlasses = "review broken glasses",
        /// See who gave which account what.
        ReviewAccounts = "review changes of accounts",
    }
}

/// What it is to be done with.
#[derive(Debug, Clone, Copy)]
pub enum What<'w> {
    /// A referral, or something of it.
    Referral {
        /// Whom it concerns.
        parties: &'w Parties,
        /// Whether who asks has broken its glass, and it is open still.
        opened: bool,
    },
    /// What is an organisation's own.
    Of(&'w Organisation),
    /// Onward as a whole.
    Whole,
}

impl<'w> What<'w> {
    /// A referral whose glass nobody has broken.
    pub const fn referral(parties: &'w Parties) -> Self {
        Self::Referral { parties, opened: false }
    }
}

/// Whether it may be done. A system sees what it sent, a provider what was routed to it; only a provider answers, and only the
/// sender changes what it sent. A person may what her positions may, each in its own organisation.
pub fn may(who: Who<'_>, deed: Deed, what: What<'_>) -> bool {
    match who {
        Who::Client(client) => client_may(client, deed, what),
        Who::Person(positions) => positions.iter().any(|position| position_may(position, deed, what)),
    }
}

/// The first of these clients that may do it with a referral.
pub fn client_that_may<'c>(clients: &'c [Client], deed: Deed, parties: &Parties) -> Option<&'c Client> {
    clients.iter().find(|client| may(Who::Client(client), deed, What::referral(parties)))
}

fn client_may(client: &Client, deed: Deed, what: What<'_>) -> bool {
    match client {
        Client::System(id) => {
            let own = match what {
                What::Referral { parties, .. } => parties.system == *id,
                What::Of(organisation) => *organisation == Organisation::System(id.clone()),
                What::Whole => false,
            };
            own && sender_may(deed)
        }
        Client::Provider(id) => {
            let own = match what {
                What::Referral { parties, .. } => parties.providers.contains(id),
                What::Of(organisation) => *organisation == Organisation::Provider(id.clone()),
                What::Whole => false,
            };
            own && (receiver_may(deed) || deed == Deed::Propose)
        }
        // who keeps the directory has to do with no referral
        Client::Steward(_) => match deed {
            Deed::KeepDirectory | Deed::DecideProposals => matches!(what, What::Whole),
            Deed::Read
            | Deed::Answer
            | Deed::Change
            | Deed::Trace
            | Deed::BreakGlass
            | Deed::Count
            | Deed::SendTest
            | Deed::ManagePeople
            | Deed::Propose
            | Deed::ReadRoutes
            | Deed::EditRoutes
            | Deed::ActivateRoutes
            | Deed::Replay
            | Deed::ReadLogs
            | Deed::ReviewGlasses
            | Deed::ReviewAccounts => false,
        },
    }
}

fn position_may(position: &Position, deed: Deed, what: What<'_>) -> bool {
    let opened = matches!(what, What::Referral { opened: true, .. });
    let own = || is_own(position, what);
    match position {
        // she refers in her own record, and reads there what became of it
        Position::Referrer(_) => false,
        Position::ProviderWorker(_) => own() && receiver_may(deed),
        Position::ProviderAdmin(_) => own() && admin_may(deed),
        Position::RouteEditor => editor_may(deed),
        Position::Operator => operator_may(deed, opened),
        Position::Auditor => auditor_may(deed, opened),
    }
}

/// Whether something is the position's organisation's.
fn is_own(position: &Position, what: What<'_>) -> bool {
    match (position.organisation(), what) {
        (Some(Organisation::System(id)), What::Referral { parties, .. }) => parties.system == id,
        (Some(Organisation::Provider(id)), What::Referral { parties, .. }) => parties.providers.contains(&id),
        (Some(own), What::Of(organisation)) => own == *organisation,
        (Some(_), What::Whole) | (None, _) => false,
    }
}

/// With what it sent.
const fn sender_may(deed: Deed) -> bool {
    match deed {
        Deed::Read | Deed::Change => true,
        Deed::Answer
        | Deed::Trace
        | Deed::Count
        | Deed::BreakGlass
        | Deed::SendTest
        | Deed::ManagePeople
        | Deed::Propose
        | Deed::KeepDirectory
        | Deed::DecideProposals
        | Deed::ReadRoutes
        | Deed::EditRoutes
        | Deed::ActivateRoutes
        | Deed::Replay
        | Deed::ReadLogs
        | Deed::ReviewGlasses
        | Deed::ReviewAccounts => false,
    }
}

/// With what was routed to its own organisation.
const fn receiver_may(deed: Deed) -> bool {
    match deed {
        Deed::Read | Deed::Answer => true,
        Deed::Change
        | Deed::Trace
        | Deed::Count
        | Deed::BreakGlass
        | Deed::SendTest
        | Deed::ManagePeople
        | Deed::Propose
        | Deed::KeepDirectory
        | Deed::DecideProposals
        | Deed::ReadRoutes
        | Deed::EditRoutes
        | Deed::ActivateRoutes
        | Deed::Replay
        | Deed::ReadLogs
        | Deed::ReviewGlasses
        | Deed::ReviewAccounts => false,
    }
}

/// Within its own organisation. Not to see referrals: who works them, too, has that position as well.
const fn admin_may(deed: Deed) -> bool {
    match deed {
        Deed::ManagePeople | Deed::Propose => true,
        Deed::Read
        | Deed::Trace
        | Deed::Count
        | Deed::Answer
        | Deed::Change
        | Deed::BreakGlass
        | Deed::SendTest
        | Deed::KeepDirectory
        | Deed::DecideProposals
        | Deed::ReadRoutes
        | Deed::EditRoutes
        | Deed::ActivateRoutes
        | Deed::Replay
        | Deed::ReadLogs
        | Deed::ReviewGlasses
        | Deed::ReviewAccounts => false,
    }
}

/// With where referrals go, and with none of them.
const fn editor_may(deed: Deed) -> bool {
    match deed {
        Deed::ReadRoutes | Deed::EditRoutes | Deed::ActivateRoutes => true,
        Deed::Read
        | Deed::Answer
        | Deed::Change
        | Deed::Trace
        | Deed::BreakGlass
        | Deed::Count
        | Deed::SendTest
        | Deed::ManagePeople
        | Deed::Propose
        | Deed::KeepDirectory
        | Deed::DecideProposals
        | Deed::Replay
        | Deed::ReadLogs
        | Deed::ReviewGlasses
        | Deed::ReviewAccounts => false,
    }
}

/// Not to manage people: who could give herself a provider's position would see its referrals.
const fn operator_may(deed: Deed, opened: bool) -> bool {
    match deed {
        Deed::Read => opened,
        Deed::Trace
        | Deed::BreakGlass
        | Deed::Count
        | Deed::SendTest
        | Deed::ReadRoutes
        | Deed::Replay
        | Deed::ReadLogs => true,
        Deed::Answer
        | Deed::Change
        | Deed::ManagePeople
        | Deed::Propose
        | Deed::KeepDirectory
        | Deed::DecideProposals
        | Deed::EditRoutes
        | Deed::ActivateRoutes
        | Deed::ReviewGlasses
        | Deed::ReviewAccounts => false,
    }
}

const fn auditor_may(deed: Deed, opened: bool) -> bool {
    match deed {
        Deed::Read => opened,
        Deed::Trace
        | Deed::BreakGlass
        | Deed::Count
        | Deed::ReadRoutes
        | Deed::ReadLogs
        | Deed::ReviewGlasses
        | Deed::ReviewAccounts => true,
        Deed::Answer
        | Deed::Change
        | Deed::SendTest
        | Deed::ManagePeople
        | Deed::Propose
        | Deed::KeepDirectory
        | Deed::DecideProposals
        | Deed::EditRoutes
        | Deed::ActivateRoutes
        | Deed::Replay => false,
    }
}

#[cfg(test)]
mod tests;
