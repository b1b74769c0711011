//! The same with people who have logged in, over RabbitMQ and PostgreSQL: what they look for, write and read of somebody who is marked is in
//! no log, figure, alert and URL, and in nothing that goes to the broker; nor is what they log in with.

use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use hyper::Method;
use jiff::Timestamp;
use onward::{
    config::{Config, Env},
    demo::caller::{Answered, Call, Caller, FHIR_JSON},
    people::{People, totp},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::{MARK, NUMBER, referral};
use crate::{
    cli::{Served, onward, run},
    store::postgres::Place,
    support::{
        hub::{GP, Hub, LINK_WORKERS, environment, token_of},
        rabbitmq, until,
    },
};

const FORM: &str = "application/x-www-form-urlencoded";

/// Hands on what goes to another server, and keeps it.
struct Overheard {
    port: u16,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Overheard {
    async fn start(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::<Mutex<Vec<u8>>>::default();
        let into = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (into, target) = (Arc::clone(&into), target.clone());
                tokio::spawn(async move {
                    let there = TcpStream::connect(target).await.unwrap();
                    let ((mut from, mut back), (mut answers, mut to)) = (stream.into_split(), there.into_split());
                    let hear = async {
                        let mut some = vec![0; 65_536];
                        while let Ok(n @ 1..) = from.read(&mut some).await {
                            into.lock().unwrap().extend_from_slice(&some[..n]);
                            if to.write_all(&some[..n]).await.is_err() {
                                break;
                            }
                        }
                    };
                    tokio::select! { () = hear => {}, _ = tokio::io::copy(&mut answers, &mut back) => {} }
                });
            }
        });
        Self { port, heard }
    }

    fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().unwrap()).into_owned()
    }
}

/// Somebody who has logged in.
struct Person<'c> {
    caller: &'c Caller,
    base: &'c str,
    cookie: String,
    made_for: String,
    /// Where she was led.
    led: Vec<String>,
    /// What she logged in with.
    secrets: Vec<String>,
}

impl<'c> Person<'c> {
    async fn logged_in(caller: &'c Caller, base: &'c str, people: &People, name: &str, role: &str) -> Self {
        let ready = people.add_ready(name, "Sam", vec![role.parse().unwrap()]).await.unwrap();
        let (password, code) = (ready.password.reveal().to_owned(), totp::code(&ready.key, Timestamp::now()));
        let key = totp::shown(&ready.key);
        let (cookie, led) = (String::new(), Vec::new());
        let mut person =
            Self { caller, base, cookie, made_for: String::new(), led, secrets: vec![password.clone(), key] };
        let answer = person.posts("/login", &[("name", name), ("password", &password), ("code", &code)]).await;
        assert_eq!(answer.status, 303, "{}", answer.describe());
        let set = answer.headers.get_all("set-cookie").iter().filter_map(|one| one.to_str().ok());
        let set: Vec<&str> = set.filter_map(|one| one.split(';').next()).collect();
        person.cookie = set.join("; ");
        person.secrets.extend(set.iter().filter_map(|one| one.split_once('=')).map(|(_, value)| value.to_owned()));
        let account = person.looks("/account").await;
        person.made_for = between(&account, "name=\"made-for\" value=\"").to_owned();
        person
    }

    async fn asks(&mut self, call: Call) -> Answered {
        let mut call = call.header("cookie", self.cookie.clone()).header("accept", "text/html".to_owned());
        call = call.header("origin", self.base.to_owned());
        let answer = self.caller.call(call).await.unwrap();
        self.led.extend(answer.header("location").map(str::to_owned));
        assert!(answer.status.as_u16() < 500, "{}", answer.describe());
        answer
    }

    /// A page that she may see.
    async fn looks(&mut self, path: &str) -> String {
        let answer = self.asks(Call::get(format!("{}{path}", self.base))).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.describe());
        String::from_utf8_lossy(&answer.body).into_owned()
    }

    async fn posts(&mut self, path: &str, fields: &[(&str, &str)]) -> Answered {
        let encoded = onward::fhir::reference::encode;
        let made_for = [("made-for", self.made_for.as_str())];
        let pairs = made_for.iter().chain(fields).map(|(name, value)| format!("{name}={}", encoded(value)));
        let body = pairs.collect::<Vec<_>>().join("&");
        let call = Call::new(Method::POST, format!("{}{path}", self.base));
        self.asks(call.bytes(FORM, body.into())).await
    }
}

fn between<'t>(text: &'t str, before: &str) -> &'t str {
    let rest = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}")).1;
    rest.split('"').next().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_people_do_with_what_is_marked_is_where_it_does_not_belong() {
    const TEST: &str = "attack::marked::people";
    let (Some(node), Some(place)) = (rabbitmq::shared(TEST), Place::new()) else { return };
    let vhost = node.vhost();
    let (head, rest) = vhost.url.split_once('@').unwrap();
    let (at, path) = rest.split_once('/').unwrap();
    let broker = Overheard::start(at.to_owned()).await;
    let told_to = tempfile::NamedTempFile::new().unwrap();
    let sections = format!(
        "[people]\nlocal = true\n[broker]\nurl = \"{head}@127.0.0.1:{}/{path}\"\n\
         [alerts]\ncommand = [\"/bin/sh\", \"-c\", \"cat >> {}\"]\n",
        broker.port,
        told_to.path().display()
    );
    let hub = Hub::build().store_at(&place.url).sections(&sections).without_service().start().await;
    let mut serving = onward(hub.folder(), &["serve"]);
    serving.env("ONWARD__LOG__LEVEL", "trace").env("RUST_LOG", "trace");
    let served = Served::start(serving, &hub.folder().join("log")).await;
    let (caller, base) = (Caller::new(), served.base_url.clone());
    let environment: Env = environment().into_iter().collect();
    let (config, _) = Config::load(Some(&hub.config_path()), &environment).unwrap();
    let people = People::new(place.open().unwrap(), Arc::new(ArcSwap::from_pointee(config.registry)), config.people);

    let sent = Call::new(Method::POST, format!("{base}/fhir")).token(token_of(GP));
    let carried = ["Patient", "Practitioner", "RelatedPerson", "DocumentReference", "Condition", "Consent"];
    let sent = caller.call(sent.json(FHIR_JSON, &referral(GP, "m-9", &carried))).await.unwrap();
    assert_eq!(sent.status, 200, "{}", sent.describe());
    let task = sent.links("monitor").remove(0);
    let id = task.rsplit('/').next().unwrap().to_owned();
    let workers = |path: &str| Call::get(format!("{base}{path}")).token(token_of(LINK_WORKERS));
    until("it is listed", || async {
        let read = caller.call(workers(&format!("/fhir/Task/{id}"))).await.unwrap();
        (read.status == 200 && read.json()["meta"]["versionId"] == "2").then_some(())
    })
    .await;

    // who works it looks for her, reads, writes to the sender, is told what is wrong, and declines
    let mut worker =
        Person::logged_in(&caller, &base, &people, "wanda", &format!("provider-worker:{LINK_WORKERS}")).await;
    let at = format!("/inbox/{id}");
    for sought in [MARK, NUMBER] {
        for path in ["/inbox/search", "/inbox/list.csv"] {
            let answer = worker.posts(path, &[("sought", sought)]).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.describe());
            assert!(String::from_utf8_lossy(&answer.body).contains(MARK), "{path} finds her by {sought}");
        }
    }
    let both = format!("{MARK} {NUMBER}");
    for path in ["/inbox", "/inbox/list.csv", &at, &format!("{at}/letter")] {
        assert!(worker.looks(path).await.contains(MARK) || path.ends_with("letter"), "{path}");
    }
    let once = uuid::Uuid::now_v7().to_string();
    let said = worker.posts(&format!("{at}/message"), &[("message", &both), ("once", &once)]).await;
    assert_eq!(said.status, 303, "{}", said.describe());
    let version = between(&worker.looks(&format!("{at}/rejected")).await, "name=\"version\" value=\"").to_owned();
    let wrong = [("version", version.as_str()), ("reason", MARK), ("where", &both), ("more", &both)];
    assert_eq!(worker.posts(&format!("{at}/rejected"), &wrong).await.status, 422);
    let right = [("version", version.as_str()), ("reason", "No room"), ("more", both.as_str())];
    assert_eq!(worker.posts(&format!("{at}/rejected"), &right).await.status, 303);

    // whoever keeps it running finds her referral by what its sender calls it, and by no number of hers; and breaks the glass with a reason
    // that names her
    let mut keeper = Person::logged_in(&caller, &base, &people, "olive", "operator").await;
    let mut told: Vec<(String, String)> = Vec::new();
    assert_eq!(keeper.posts("/console/trace", &[("sought", MARK)]).await.status, 303);
    assert_eq!(keeper.led.last().map(String::as_str), Some(format!("/console/trace/{id}").as_str()));
    assert_eq!(keeper.posts("/console/trace", &[("sought", NUMBER)]).await.status, 404);
    for path in ["/console", "/console/to-do", "/console/journal", "/console/reports", &format!("/console/trace/{id}")]
    {
        told.push((path.to_owned(), keeper.looks(path).await));
    }
    let reason = format!("{both} must be reached today, and nobody there answers");
    let glass = format!("/console/trace/{id}/referral");
    assert_eq!(keeper.posts(&glass, &[("reason", &reason)]).await.status, 303);
    assert!(keeper.looks(&glass).await.contains(MARK), "the glass is broken");
    let mut auditor = Person::logged_in(&caller, &base, &people, "audrey", "auditor").await;
    assert!(auditor.looks("/glasses").await.contains(MARK), "why is hers to see");

    // who is not logged in writes a name where she should not
    let mut nobody = Person {
        caller: &caller,
        base: &base,
        cookie: format!("onward={MARK}"),
        made_for: String::new(),
        led: Vec::new(),
        secrets: Vec::new(),
    };
    let typed = [("name", both.as_str()), ("password", &both), ("code", NUMBER), ("return-to", &both)];
    assert_eq!(nobody.posts("/login", &typed).await.status, 401);
    let typed = [("name", MARK), ("enrolment-code", MARK), ("password", &both), ("again", &both)];
    assert_eq!(nobody.posts("/enrol", &typed).await.status, 422);

    until("the alert was told", || async {
        std::fs::read_to_string(told_to.path()).unwrap().contains("glass-broken").then_some(())
    })
    .await;
    told.push(("the alert".to_owned(), std::fs::read_to_string(told_to.path()).unwrap()));
    told.push(("the queues".to_owned(), node.ctl(&["list_queues", "-p", &vhost.name, "name", "arguments"])));
    for path in ["/metrics", "/health/ready"] {
        let answer = caller.call(Call::get(format!("{base}{path}"))).await.unwrap();
        told.push((path.to_owned(), String::from_utf8_lossy(&answer.body).into_owned()));
    }
    told.push(("people changes".to_owned(), run(hub.folder(), &["people", "changes"]).out));
    let mut secrets: Vec<String> = [MARK, NUMBER].map(str::to_owned).into();
    for person in [worker, keeper, auditor, nobody] {
        told.push(("where somebody was led".to_owned(), person.led.join("\n")));
        secrets.extend(person.secrets);
    }
    let log = hub.folder().join("log");
    assert_eq!(served.end().await, Some(0));
    let heard = broker.heard();
    assert!(heard.contains(&id), "the wake-ups were overheard");
    told.push(("what goes to the broker".to_owned(), heard));
    let log = std::fs::read_to_string(log).unwrap();
    assert!(
        log.contains("a glass was broken") && log.contains("DEBUG"),
        "{}",
        log.chars().take(3000).collect::<String>()
    );
    told.push(("the log".to_owned(), log));
    for (place, said) in &told {
        let said = said.to_ascii_lowercase();
        for secret in &secrets {
            if let Some(at) = said.find(&secret.to_ascii_lowercase()) {
                let around: String =
                    said.chars().skip(said[..at].chars().count().saturating_sub(160)).take(320).collect();
                panic!("{place} says {secret}: …{around}…");
            }
        }
    }
}
