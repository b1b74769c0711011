//! What a notice says: numbers, what the service is called, where to log in. Pure.

use crate::domain::notice::Notice;

/// `3 referrals wait at Choir`; what is urgent is said first.
pub(super) fn subject(notice: &Notice, called: &str) -> String {
    let what = match (notice.news.urgent, notice.waiting) {
        (0, 0) if notice.news.overdue > 0 => return format!("Referrals are overdue at {called}"),
        (0, 0) => return format!("There is news about referrals at {called}"),
        (0, 1) => "1 referral waits".to_owned(),
        (0, count) => format!("{count} referrals wait"),
        (1, _) => "Urgent: 1 urgent referral waits".to_owned(),
        (count, _) => format!("Urgent: {count} urgent referrals wait"),
    };
    format!("{what} at {called}")
}

pub(super) fn text(notice: &Notice, called: &str, base_url: &str) -> String {
    let news = notice.news;
    let waiting = match notice.waiting {
        0 => format!("No referral waits for a first answer at {called}."),
        1 => format!("1 referral waits for a first answer at {called}."),
        count => format!("{count} referrals wait for a first answer at {called}."),
    };
    let mut lines = vec![waiting, String::new(), "Since the last notice:".to_owned()];
    let told = [
        (news.new, "new referrals"),
        (news.urgent, "of them urgent"),
        (news.said, "messages and changes of referrers"),
        (news.overdue, "not opened or not answered in time"),
    ];
    lines.extend(told.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("- {what}: {count}")));
    lines.extend([
        String::new(),
        format!("Log in to see them: {base_url}/inbox"),
        String::new(),
        "This mail says nothing about anybody, on purpose. Do not answer it: nobody reads what comes here.".to_owned(),
        String::new(),
    ]);
    lines.join("\r\n")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::domain::notice::News;

    fn notice(news: News, waiting: u64) -> Notice {
        let at = Timestamp::UNIX_EPOCH;
        Notice { id: Uuid::nil(), news, waiting, made: at, to: vec![], begun: false, failed: 0, due: at }
    }

    #[test]
    fn it_says_how_many_wait_and_where_to_log_in() {
        let some = notice(News { new: 2, urgent: 1, said: 0, overdue: 0 }, 7);
        assert_eq!(subject(&some, "Choir"), "Urgent: 1 urgent referral waits at Choir");
        assert_eq!(
            text(&some, "Choir", "https://onward.example"),
            "7 referrals wait for a first answer at Choir.\r\n\r\nSince the last notice:\r\n- new referrals: 2\r\n- of them urgent: 1\r\n\r\n\
             Log in to see them: https://onward.example/inbox\r\n\r\n\
             This mail says nothing about anybody, on purpose. Do not answer it: nobody reads what comes here.\r\n"
        );
        let subjects = [(1, "1 referral waits at Choir"), (3, "3 referrals wait at Choir")];
        for (waiting, told) in subjects {
            assert_eq!(subject(&notice(News { new: 1, ..News::default() }, waiting), "Choir"), told);
        }
        let late = notice(News { overdue: 1, ..News::default() }, 0);
        assert_eq!(subject(&late, "Choir"), "Referrals are overdue at Choir");
        assert_eq!(subject(&notice(News::default(), 0), "Choir"), "There is news about referrals at Choir");
    }
}
