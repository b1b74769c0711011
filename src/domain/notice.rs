//! Notices: mail that tells those who work an inbox that something waits there. They hold numbers and nothing of anybody. What was counted
//! and what is being sent is kept, so that whichever process goes on tells each thing once.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A notice that tells of something urgent waits for no other, but goes out this long after the one before at the soonest.
pub const URGENT_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// What has happened in an inbox, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// Referrals that came.
    pub new: u32,
    /// Those of them that are more urgent than the usual.
    pub urgent: u32,
    /// Messages and changes of referrers.
    pub said: u32,
    /// Referrals that were not opened or not answered in time.
    pub overdue: u32,
}

/// A notice that is being sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// By which whoever gets it twice knows it again.
    pub id: Uuid,
    /// What it tells.
    pub news: News,
    /// So many referrals wait for a first answer.
    pub waiting: u64,
    /// When it was made.
    pub made: Timestamp,
    /// To whom it has still to go.
    pub to: Vec<String>,
    /// Whether somebody has got it, so that what it tells stays as it is.
    pub begun: bool,
    /// So many tries have failed.
    pub failed: u32,
    /// It is tried again then.
    pub due: Timestamp,
}

/// What is known of the notices of one inbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notices {
    /// What happened before is counted.
    pub seen_until: Timestamp,
    /// What was counted and stands in no notice.
    pub news: News,
    /// When the last notice was made.
    pub last: Option<Timestamp>,
    /// The one that is being sent.
    pub notice: Option<Notice>,
    /// It is one process's to send until then.
    pub held_until: Option<Timestamp>,
}

/// What is kept of one inbox, with the version over which it is changed; 0 where nothing was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptNotices {
    /// How often it was written.
    pub version: u64,
    /// What is kept.
    pub notices: Notices,
}

// === impl News ===

impl News {
    /// Whether there is nothing to tell.
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            new: self.new.saturating_add(other.new),
            urgent: self.urgent.saturating_add(other.urgent),
            said: self.said.saturating_add(other.said),
            overdue: self.overdue.saturating_add(other.overdue),
        }
    }
}

// === impl Notices ===

impl Notices {
    /// Of an inbox that is looked at for the first time: what was there before is told of by nobody.
    pub fn begun(at: Timestamp) -> Self {
        Self { seen_until: at, news: News::default(), last: None, notice: None, held_until: None }
    }

    /// Whether what was counted is to be told now, where notices go out `every` so often.
    pub fn is_due(&self, every: SignedDuration, now: Timestamp) -> bool {
        if self.notice.is_some() || self.news.is_nothing() {
            return false;
        }
        let wait = if self.news.urgent > 0 { every.min(URGENT_EVERY) } else { every };
        self.last.is_none_or(|last| now.duration_since(last) >= wait)
    }

    /// Whether there is a notice that this process may send now.
    pub fn is_to_send(&self, now: Timestamp) -> bool {
        let free = self.held_until.is_none_or(|until| until <= now);
        free && self.notice.as_ref().is_some_and(|notice| notice.due <= now)
    }

    /// What was counted becomes a notice to these people.
    pub fn make(&mut self, to: Vec<String>, waiting: u64, now: Timestamp) {
        let news = std::mem::take(&mut self.news);
        let id = Uuid::now_v7();
        self.notice = Some(Notice { id, news, waiting, made: now, to, begun: false, failed: 0, due: now });
        self.last = Some(now);
    }

    /// What was counted since joins a notice that nobody has got yet: after a server was away, one notice tells all.
    pub fn join(&mut self, waiting: u64) {
        if let Some(notice) = self.notice.as_mut().filter(|notice| !notice.begun) {
            notice.news = notice.news.and(std::mem::take(&mut self.news));
            notice.waiting = waiting;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: SignedDuration = SignedDuration::from_mins(15);

    fn at(minute: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minute)
    }

    fn with(news: News, last: Option<i64>) -> Notices {
        Notices { news, last: last.map(at), ..Notices::begun(at(0)) }
    }

    #[test]
    fn a_notice_goes_out_at_once_and_the_next_one_waits() {
        let one = News { new: 1, ..News::default() };
        assert!(with(one, None).is_due(EVERY, at(0)));
        assert!(!with(one, Some(0)).is_due(EVERY, at(14)));
        assert!(with(one, Some(0)).is_due(EVERY, at(15)));
        assert!(!with(News::default(), None).is_due(EVERY, at(99)), "nothing is not told");
        let urgent = News { new: 1, urgent: 1, ..News::default() };
        assert!(with(urgent, Some(0)).is_due(EVERY, at(1)), "what is urgent does not wait for the others");
        assert!(!with(urgent, Some(0)).is_due(EVERY, at(0)));
        let often = SignedDuration::from_secs(1);
        assert!(with(urgent, Some(0)).is_due(often, at(0) + often), "nor longer than what is not");
    }

    #[test]
    fn one_at_a_time_is_sent_by_one_at_a_time() {
        let mut notices = with(News { said: 2, ..News::default() }, None);
        notices.make(vec!["team@charity.example".into()], 7, at(1));
        assert!(notices.news.is_nothing() && notices.is_to_send(at(1)));
        notices.news.said = 1;
        assert!(!notices.is_due(EVERY, at(99)), "the one before has not gone yet");
        notices.held_until = Some(at(3));
        assert!(!notices.is_to_send(at(2)) && notices.is_to_send(at(3)));
        notices.join(8);
        let notice = notices.notice.clone().unwrap();
        assert_eq!((notice.news.said, notice.waiting, notices.news), (3, 8, News::default()));
        notices.notice.as_mut().unwrap().begun = true;
        notices.news.said = 5;
        notices.join(9);
        assert_eq!(notices.notice.as_ref().unwrap().news.said, 3, "what somebody has read is not changed");
        assert_eq!(notices.news.said, 5);
    }
}
