//! Mail that something waits, through a mail server that others wrote (`aiosmtpd`): under STARTTLS and a log-in, refused, away and back, and
//! never with anything of anybody in it.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use onward::domain::AlertKind;
use serde_json::{Value, json};

use crate::{
    clients::script::path,
    support::{
        fixtures,
        hub::{Hub, LINK_WORKERS, RIO, token_of},
        server::free_port,
        skipped, until,
    },
};

/// A mail server; ended when dropped.
struct MailServer(Child);

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where a mail server lies.
struct Post {
    python: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
}

impl Post {
    /// None where `aiosmtpd` is missing, which is noted.
    fn new(test: &str) -> Option<Self> {
        let Some(python) = std::env::var_os("ONWARD_TEST_AIOSMTPD").map(PathBuf::from) else {
            skipped(&format!("notices::{test}"), "no Python environment (ONWARD_TEST_AIOSMTPD)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(folder.path().join("mail.pem"), own.cert.pem()).unwrap();
        std::fs::write(folder.path().join("mail.key"), own.signing_key.serialize_pem()).unwrap();
        Some(Self { python, folder, port: free_port() })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts it; it listens when this returns.
    fn start(&self) -> MailServer {
        let mut child = Command::new(&self.python)
            .arg(path("python/smtp_server.py"))
            .env("ONWARD_MAILS", self.file("mails"))
            .env("ONWARD_MAIL_PASSWORD", token_of("mail"))
            .env("ONWARD_MAIL_CERTIFICATE", self.file("mail.pem"))
            .env("ONWARD_MAIL_KEY", self.file("mail.key"))
            .env("ONWARD_MAIL_PORT", self.port.to_string())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        MailServer(child)
    }

    fn section(&self, every: &str) -> String {
        format!(
            "[smtp]\naddress = \"127.0.0.1:{}\"\nfrom = \"onward@trust.example\"\nroots = {:?}\nuser = \"onward\"\n\
             password = {{ env = \"MAIL_PASSWORD\" }}\nevery = \"{every}\"\n",
            self.port,
            self.file("mail.pem").to_str().unwrap(),
        )
    }

    /// What has been taken, in its order.
    fn mails(&self) -> Vec<Value> {
        read(&self.file("mails"))
    }
}

fn read(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    // the last line may be being written
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// A referral to the link workers in which every text is marked.
fn marked(number: &str) -> Value {
    let mut bundle = fixtures::json("referrals/03-full-bundle.json");
    let request = &mut bundle["entry"][0]["resource"];
    request["identifier"][0]["value"] = number.into();
    request["reasonCode"][0]["text"] = "MARKED-reason".into();
    let ods = "https://fhir.nhs.uk/Id/ods-organization-code";
    request["performer"] = json!([{"type": "Organization", "identifier": {"system": ods, "value": "U99999"}}]);
    bundle["entry"][1]["resource"]["name"] = json!([{"family": "MARKED-family", "given": ["MARKED-given"]}]);
    bundle
}

fn subject(mail: &Value) -> String {
    let text = mail["text"].as_str().unwrap();
    text.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_team_is_told_once_by_mail_that_somebody_waits() {
    let Some(post) = Post::new("a_team_is_told_once_by_mail_that_somebody_waits") else { return };
    let _server = post.start();
    // so long that nothing follows the first
    let hub = Hub::build()
        .sections(&post.section("1d"))
        .notify(&["team@charity.example", "gone@charity.example"])
        .start()
        .await;
    let store = hub.service().store();
    until("the inbox is looked at", || async { (!store.notices().await.unwrap().is_empty()).then_some(()) }).await;
    // what was before that is told by nobody
    until("what comes now is younger", || async {
        let begun = store.notices().await.unwrap()[0].1.notices.seen_until;
        (store.now() > begun).then_some(())
    })
    .await;
    let task = hub.sender(RIO).refers(&marked("notice-1")).await;
    until("the team is told", || async { (post.mails().len() == 1).then_some(()) }).await;
    let mail = post.mails().remove(0);
    assert_eq!(
        (&mail["from"], &mail["to"], &mail["encrypted"], &mail["known"]),
        (&json!("onward@trust.example"), &json!(["team@charity.example"]), &json!(true), &json!(true))
    );
    assert_eq!(subject(&mail), format!("1 referral waits at {LINK_WORKERS}"));
    let text = mail["text"].as_str().unwrap();
    assert!(text.contains(&format!("{}/inbox", hub.base_url)), "{text}");
    let id = task.rsplit('/').next().unwrap();
    for secret in ["MARKED", "9990742677", "999 074 2677", "Rimmer", id, "notice-1"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    until("that an address is refused is told", || async {
        let open = store.open_alerts(9).await.unwrap();
        open.iter().any(|alert| alert.kind == AlertKind::MailAway && alert.subject == LINK_WORKERS).then_some(())
    })
    .await;
    hub.sender(RIO).refers(&marked("notice-2")).await;
    until("the next one is counted", || async {
        (store.notices().await.unwrap()[0].1.notices.news.new == 1).then_some(())
    })
    .await;
    hub.stop().await;
    assert_eq!(post.mails().len(), 1, "and waits for its time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_server_that_was_away_is_sent_one_notice_when_it_is_back() {
    let Some(post) = Post::new("a_mail_server_that_was_away_is_sent_one_notice_when_it_is_back") else { return };
    let hub = Hub::build().sections(&post.section("1s")).notify(&["team@charity.example"]).start().await;
    let store = hub.service().store();
    until("the inbox is looked at", || async { (!store.notices().await.unwrap().is_empty()).then_some(()) }).await;
    until("what comes now is younger", || async {
        let begun = store.notices().await.unwrap()[0].1.notices.seen_until;
        (store.now() > begun).then_some(())
    })
    .await;
    hub.sender(RIO).refers(&marked("away-1")).await;
    let is_told = |open: Vec<onward::domain::Alert>| open.iter().any(|alert| alert.subject == "smtp");
    until("that it is away is told", || async { is_told(store.open_alerts(9).await.unwrap()).then_some(()) }).await;
    assert_eq!(post.mails(), [Value::Null; 0]);
    hub.sender(RIO).refers(&marked("away-2")).await;
    until("both are counted", || async {
        let notices = store.notices().await.unwrap().remove(0).1.notices;
        let waits = notices.notice.map_or(0, |notice| notice.news.new);
        (waits + notices.news.new == 2).then_some(())
    })
    .await;
    let _server = post.start();
    until("it is told", || async { (!post.mails().is_empty()).then_some(()) }).await;
    until("that it was away is over", || async { (!is_told(store.open_alerts(9).await.unwrap())).then_some(()) }).await;
    until("nothing is left to tell", || async {
        let notices = store.notices().await.unwrap().remove(0).1.notices;
        (notices.notice.is_none() && notices.news.is_nothing()).then_some(())
    })
    .await;
    let mails = post.mails();
    assert_eq!(mails.len(), 1, "one notice of all: {mails:?}");
    assert_eq!(subject(&mails[0]), format!("2 referrals wait at {LINK_WORKERS}"));
    hub.stop().await;
}
