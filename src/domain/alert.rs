//! What somebody must be told of, beside the record: alerts. They hold ids and our own words, never clinical content.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    ids::TaskId,
    status::{UnknownCode, codes},
};

codes! {
    /// What an alert is about.
    AlertKind {
        /// A message will not be tried again by itself.
        DeadLetter = "dead-letter",
        /// A referral could not be delivered for so long that its record is told so; it is still being tried.
        DeliveryDelayed = "delivery-delayed",
        /// A referral was not opened in time.
        NotOpened = "not-opened",
        /// A referral was not answered in time.
        Overdue = "overdue",
        /// A message was about to go where its referral was not routed to; it was not sent.
        DestinationMismatch = "destination-mismatch",
        /// A provider's copy of a Task is gone or has been unreadable for too long.
        CopyUnreadable = "copy-unreadable",
        /// A provider's copy says something that cannot be taken.
        AnswerRefused = "answer-refused",
        /// A changed configuration was not taken up; the one before is in force.
        ConfigurationRefused = "configuration-refused",
        /// Messages wait for an inbox or originating system that is not configured.
        NotConfigured = "not-configured",
        /// The broker has been away for long.
        BrokerAway = "broker-away",
        /// The store cannot be written to.
        StoreTrouble = "store-trouble",
        /// An endpoint has failed for so long that nothing is sent to it for the time being.
        EndpointBroken = "endpoint-broken",
        /// Messages for an endpoint are tried in vain again and again, while others may get through.
        SendingFails = "sending-fails",
        /// Somebody who looks after Onward sees what is in a referral.
        GlassBroken = "glass-broken",
        /// Somebody who looks after a provider's people has let one of them in to its referrals, or in anew.
        WorkerLetIn = "worker-let-in",
        /// Mail that tells people of what waits for them cannot be sent.
        MailAway = "mail-away",
    }
}

impl AlertKind {
    /// Whether it stands: it is open from when it is raised until it is ended, is told once however often it is raised meanwhile,
    /// and is a line of the IT worklist. The others tell of something that the store shows by itself for as long as it lasts.
    pub const fn stands(self) -> bool {
        matches!(
            self,
            Self::AnswerRefused
                | Self::ConfigurationRefused
                | Self::BrokerAway
                | Self::StoreTrouble
                | Self::EndpointBroken
                | Self::SendingFails
                | Self::DestinationMismatch
                | Self::GlassBroken
                | Self::WorkerLetIn
                | Self::MailAway
        )
    }

    /// Whether a standing one ends only when a person has seen to it.
    pub const fn needs_a_person(self) -> bool {
        matches!(self, Self::AnswerRefused | Self::DestinationMismatch | Self::GlassBroken | Self::WorkerLetIn)
    }

    /// What to do about it, in a sentence.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::DeadLetter => {
                "find the cause by `onward dead show`, then `onward dead replay` or `onward dead discard`"
            }
            Self::DeliveryDelayed => {
                "ask whoever runs the provider's server; it is tried on by itself, and `onward referral show` has every try"
            }
            Self::NotOpened => "ask the provider to open the referral",
            Self::Overdue => "ask the provider to answer the referral",
            Self::DestinationMismatch => {
                "set the inbox right in the configuration, then replay the dead letter or refer the person anew"
            }
            Self::CopyUnreadable => {
                "ask the provider's IT whether its server still has the Task, and for the answers it gave"
            }
            Self::AnswerRefused => {
                "ask the provider's IT to put its Task right: it says what the Task states do not allow"
            }
            Self::ConfigurationRefused => {
                "run `onward check --connect` there and mend what it tells; what was in force before still is"
            }
            Self::NotConfigured => "put the inbox or system back into the configuration, or discard its messages",
            Self::BrokerAway => {
                "start the broker or mend the way to it; referrals are taken meanwhile and wait in the store"
            }
            Self::StoreTrouble => "free disk space or start the database: no referral can be taken until then",
            Self::GlassBroken => {
                "an auditor sees at /glasses who gave which reason (or `onward people glasses`): ask whether it was needed"
            }
            Self::WorkerLetIn => {
                "see by `onward people changes` who let in whom, and ask that person whether she has set up the account herself"
            }
            Self::MailAway => {
                "ask whoever runs the mail server, and look at [smtp] and `notify`; what waits to be told is sent by itself"
            }
            Self::SendingFails => {
                "ask whoever runs that server whether it is there and takes what Onward sends; it is tried again by itself"
            }
            Self::EndpointBroken => "ask whoever runs that server; what waits is sent by itself when it answers again",
        }
    }
}

/// Something that somebody must be told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Its id, by which one that is told twice is known again.
    pub id: Uuid,
    /// What it is about.
    pub kind: AlertKind,
    /// The inbox, originating system, endpoint or part it is about. With the kind it names a standing alert.
    pub subject: String,
    /// The Task, where it is about one.
    pub task: Option<TaskId>,
    /// The lane message, where it is about one.
    pub message: Option<Uuid>,
    /// Since when it is so.
    pub since: Timestamp,
    /// In our own words, without content and without secrets; cut to [`TEXT_CHARS_MAX`].
    pub text: String,
}

/// The subject of an alert about a route set that a process does not take up begins so.
pub const ROUTE_SET: &str = "route set";
/// No alert says more.
pub const TEXT_CHARS_MAX: usize = 500;
const SUBJECT_CHARS_MAX: usize = 200;

impl Alert {
    /// One about this inbox, system, endpoint or part.
    pub fn new(kind: AlertKind, subject: impl Into<String>, since: Timestamp, text: impl Into<String>) -> Self {
        Self {
            id: Uuid::now_v7(),
            kind,
            subject: cut(subject.into(), SUBJECT_CHARS_MAX),
            task: None,
            message: None,
            since,
            text: cut(text.into(), TEXT_CHARS_MAX),
        }
    }

    /// The same, about a Task.
    #[must_use]
    pub fn of_task(self, task: TaskId) -> Self {
        Self { task: Some(task), ..self }
    }

    /// The same, about a lane message.
    #[must_use]
    pub fn of_message(self, message: Uuid) -> Self {
        Self { message: Some(message), ..self }
    }
}

fn cut(text: String, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        let alert = Alert::new(AlertKind::DeadLetter, "é".repeat(300), Timestamp::UNIX_EPOCH, "“".repeat(600));
        assert_eq!(alert.text.chars().count(), TEXT_CHARS_MAX + 1);
        assert_eq!(alert.subject.chars().count(), SUBJECT_CHARS_MAX + 1);
        assert_eq!(Alert::new(AlertKind::Overdue, "a", Timestamp::UNIX_EPOCH, "b").text, "b");
    }
}
