//! Where Onward may not connect to, tried from outside: names that come to mean this machine, addresses in every spelling, redirects; and
//! answers that have no end.

mod rebinding;

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use onward::{
    auth::fetched,
    client::{CallError, FhirClient},
    config::{Config, Env, Outbound, registry::Endpoint},
    demo::double::{Double, Options},
    resolve::{Lookup, Resolver},
};
use tokio::{io::AsyncReadExt as _, io::AsyncWriteExt as _, net::TcpListener};

/// A name that means another address each time it is looked up, as one who rebinds names has it.
struct Rebinding {
    asked: AtomicUsize,
    answers: Vec<Vec<IpAddr>>,
}

#[async_trait]
impl Lookup for Rebinding {
    async fn look_up(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        let n = self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(self.answers[n.min(self.answers.len() - 1)].clone())
    }
}

fn endpoint(base_url: String) -> Endpoint {
    Endpoint { base_url, access: Default::default(), timeout: Duration::from_secs(5) }
}

fn client(answers: Vec<Vec<IpAddr>>, outbound: &Outbound) -> FhirClient {
    let lookup = Rebinding { asked: AtomicUsize::new(0), answers };
    FhirClient::with_resolver(Resolver::over(Arc::new(lookup)), outbound).unwrap()
}

const OWN: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What counts the connections that are made to it.
async fn watched() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, count) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut asked = [0; 2048];
            let _ = stream.read(&mut asked).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    (port, count)
}

#[tokio::test]
async fn a_name_that_means_this_machine_is_not_connected_to() {
    let (port, connections) = watched().await;
    let beyond = Outbound::default();
    for answers in [
        vec![OWN],
        vec!["::1".parse().unwrap()],
        vec!["::ffff:127.0.0.1".parse().unwrap()],
        vec!["169.254.169.254".parse().unwrap()],
    ] {
        let client = client(vec![answers.clone()], &beyond);
        let told =
            client.get(&endpoint(format!("http://evil.example:{port}/fhir")), "metadata", &[]).await.unwrap_err();
        assert_eq!(told, CallError::NotAllowed, "{answers:?}");
        assert!(told.to_string().contains("[outbound] allow"), "{told}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0, "nobody knocked");
    // of several addresses only those that are allowed are tried: here none answers
    let unreachable: IpAddr = "192.0.2.1".parse().unwrap();
    let mixed = client(vec![vec![OWN, unreachable]], &beyond);
    let to = Endpoint { timeout: Duration::from_millis(300), ..endpoint(format!("http://evil.example:{port}/fhir")) };
    assert!(mixed.get(&to, "metadata", &[]).await.is_err());
    assert_eq!(connections.load(Ordering::SeqCst), 0, "nobody knocked");
    // and the same where it is allowed, so that the test can fail
    let allowed = Outbound { allow: vec!["127.0.0.0/8".parse().unwrap()], ..Outbound::default() };
    let answer = client(vec![vec![OWN]], &allowed)
        .get(&endpoint(format!("http://good.example:{port}/fhir")), "metadata", &[])
        .await;
    assert!(answer.is_ok() && connections.load(Ordering::SeqCst) == 1, "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_rebound_between_two_looks_leads_nowhere() {
    let (port, connections) = watched().await;
    let beyond = Outbound { allow: vec!["127.0.0.2/32".parse().unwrap()], ..Outbound::default() };
    // first an address that is allowed (and refuses), then, when what was found is old, this machine
    let client = client(vec![vec!["127.0.0.2".parse().unwrap()], vec![OWN]], &beyond);
    let to = endpoint(format!("http://evil.example:{port}/fhir"));
    assert!(matches!(client.get(&to, "metadata", &[]).await, Err(CallError::Connect(_))));
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(client.get(&to, "metadata", &[]).await.unwrap_err(), CallError::NotAllowed);
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

/// The public keys of clients, and the description and keys of an issuer, are fetched by the same.
#[tokio::test(start_paused = true)]
async fn a_name_that_is_rebound_gives_no_keys() {
    let (port, connections) = watched().await;
    let beyond = Outbound { allow: vec!["127.0.0.2/32".parse().unwrap()], ..Outbound::default() };
    let client = client(vec![vec!["127.0.0.2".parse().unwrap()], vec![OWN]], &beyond);
    let url = format!("http://evil.example:{port}/jwks");
    assert!(fetched(&client, &url).await.unwrap_err().starts_with("cannot connect"));
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(fetched(&client, &url).await.unwrap_err(), CallError::NotAllowed.to_string());
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

/// Whatever connects to another server is in one of these files, and each of them asks `[outbound]` where it may; but for the broker, and the
/// store by its own client, which are where the configuration says.
#[test]
fn nobody_connects_past_the_guard() {
    let makers = ["TcpStream::connect", "HttpConnector::", "AsyncSmtpConnection::connect"];
    let guarded = ["src/client/connections.rs", "src/notices/smtp.rs", "src/onboarding/probe.rs"];
    let files = crate::secrets::all();
    let connects = |code: &str| makers.iter().any(|maker| code.contains(maker));
    let mut found: Vec<&str> = files.iter().filter(|(_, code)| connects(code)).map(|(name, _)| name.as_str()).collect();
    found.sort_unstable();
    assert_eq!(found, [&["src/broker/rabbitmq/connect.rs"][..], &guarded].concat());
    for (name, code) in files.iter().filter(|(name, _)| guarded.contains(&name.as_str())) {
        assert!(code.contains("utbound"), "{name} does not ask where it may go");
    }
}

/// What answers and never ends: as fast as it is taken, or a byte at a time. How much was sent of it.
async fn endless(slowly: bool) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (url, sent) = (format!("http://{}", listener.local_addr().unwrap()), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&sent);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                let mut asked = [0; 2048];
                let _ = stream.read(&mut asked).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/fhir+json\r\n\r\n").await;
                let mut pace = tokio::time::interval(Duration::from_millis(10));
                let piece = vec![b'['; if slowly { 1 } else { 64 * 1024 }];
                while stream.write_all(&piece).await.is_ok() {
                    counted.fetch_add(piece.len(), Ordering::SeqCst);
                    if slowly {
                        pace.tick().await;
                    }
                }
            });
        }
    });
    (url, sent)
}

/// Of an answer that does not end no more is taken than may be, nor for longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_without_end_is_given_up() {
    const MIB: usize = 1024 * 1024;
    let client = FhirClient::new(&Outbound::anywhere()).unwrap();
    let (url, sent) = endless(false).await;
    let told = client.get(&endpoint(format!("{url}/fhir")), "metadata", &[]).await.unwrap_err();
    assert!(matches!(&told, CallError::Unreadable(why) if why.contains("larger than")), "{told}");
    // 8 MiB, and what lay on the way
    assert!(sent.load(Ordering::SeqCst) < 16 * MIB, "{} bytes were sent", sent.load(Ordering::SeqCst));
    // of public keys, and of a token, far less is read
    let (url, sent) = endless(false).await;
    let told = fetched(&client, &format!("{url}/jwks")).await.unwrap_err();
    assert!(told.contains("larger than 65536 bytes"), "{told}");
    assert!(sent.load(Ordering::SeqCst) < 8 * MIB, "{} bytes were sent", sent.load(Ordering::SeqCst));
    let (url, _) = endless(true).await;
    let begun = std::time::Instant::now();
    let to = Endpoint { timeout: Duration::from_millis(300), ..endpoint(format!("{url}/fhir")) };
    let told = client.get(&to, "metadata", &[]).await.unwrap_err();
    assert!(matches!(told, CallError::TimedOut(_)), "{told}");
    let told = fetched(&client, &format!("{url}/jwks")).await.unwrap_err();
    assert!(told.contains("no answer within") && begun.elapsed() < Duration::from_secs(15), "{told}");
}

#[tokio::test]
async fn addresses_in_urls_are_read_in_every_spelling() {
    let (port, connections) = watched().await;
    let client = FhirClient::new(&Outbound::default()).unwrap();
    for host in [
        "127.0.0.1",
        "127.1",
        "0.0.0.0",
        "0",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::127.0.0.1]",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "169.254.169.254",
        "[fe80::1]",
    ] {
        let to = Endpoint { timeout: Duration::from_secs(2), ..endpoint(format!("http://{host}:{port}/fhir")) };
        let told = client.get(&to, "metadata", &[]).await;
        assert!(told.is_err(), "{host}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0, "nobody knocked");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (port, connections) = watched().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = [0; 2048];
            let _ = stream.read(&mut asked).await;
            let answer = format!(
                "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:{port}/fhir/metadata\r\ncontent-length: 0\r\n\r\n"
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let client = FhirClient::new(&Outbound::anywhere()).unwrap();
    let answer = client.get(&endpoint(format!("http://{at}/fhir")), "metadata", &[]).await.unwrap();
    assert_eq!(answer.status.as_u16(), 307);
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn who_listens_beyond_this_machine_does_not_speak_to_it_unless_told_so() {
    let provider = Double::start(Options::default()).await.unwrap();
    let load = |listen: &str, outbound: &str| {
        let text = format!(
            "[server]\nlisten = \"{listen}\"\nbase-url = \"https://onward.example\"\n[outbound]\n{outbound}\n\
             [[system]]\nid = \"a\"\nname = \"A\"\nods-code = \"RW4\"\n[[provider]]\nid = \"b\"\nname = \"B\"\nods-code = \"RW4\"\n\
             inbox = {{ kind = \"fhir-rest\", base-url = \"{}\" }}\n",
            provider.base_url()
        );
        Config::parse(&text, std::path::Path::new("onward.toml"), &Env::default())
    };
    let (own, _) = load("127.0.0.1:0", "").unwrap();
    assert!(own.outbound.loopback);
    let faults = load("0.0.0.0:0", "").unwrap_err();
    assert!(
        faults.len() == 1
            && faults[0].to_string().contains("inbox b")
            && faults[0].to_string().contains("[outbound] allow"),
        "{faults:?}"
    );
    for (lines, risk) in [
        ("allow = [\"127.0.0.0/8\", \"0.0.0.0/0\"]", "nearly every address"),
        ("allow = [\"127.0.0.0/8\", \"::/0\"]", "nearly every address"),
        ("allow = [\"127.0.0.0/8\", \"169.254.169.254/32\"]", "addresses of the link"),
        ("allow = [\"127.0.0.0/8\", \"fe80::/10\"]", "addresses of the link"),
    ] {
        let (_, warnings) = load("0.0.0.0:0", lines).unwrap();
        let told: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|told| told.contains("outbound.allow[1]") && told.contains(risk)), "{lines}: {told:?}");
    }
    for (line, what) in [
        ("jwks-url = \"https://169.254.169.254/jwks\"", "the jwks-url of system/a"),
        ("hooks = [\"https://[fe80::1]/hook\"]", "a hook of a"),
        ("hooks = [\"http://localhost:9000/hook\"]", "a hook of a"),
        ("write-back = { kind = \"fhir-rest\", base-url = \"https://169.254.1.1/fhir\" }", "the endpoint of system a"),
    ] {
        let text = format!(
            "[server]\nlisten = \"0.0.0.0:0\"\nbase-url = \"https://onward.example\"\n[[system]]\nid = \"a\"\nname = \"A\"\n\
             ods-code = \"RW4\"\n{line}\n"
        );
        let faults = Config::parse(&text, std::path::Path::new("onward.toml"), &Env::default()).unwrap_err();
        assert!(faults.len() == 1 && faults[0].to_string().contains(what), "{line}: {faults:?}");
    }
    let (told, warnings) = load("0.0.0.0:0", "allow = [\"127.0.0.0/8\"]").unwrap();
    assert!(!warnings.iter().any(|warning| warning.to_string().contains("outbound")), "{warnings:?}");
    let client = FhirClient::new(&told.outbound).unwrap();
    assert!(client.get(&endpoint(provider.base_url().to_owned()), "metadata", &[]).await.is_ok());
    for (lines, expected) in [
        ("allow = [\"127.0.0.1/8\"]", "the whole range: \"127.0.0.0/8\""),
        ("only = [\"ten\"]", "a range of addresses"),
        ("hosts = [\"*\"]", "a host in small letters"),
        ("schemes = [\"ftp\"]", "https"),
    ] {
        let faults = load("127.0.0.1:0", lines).unwrap_err();
        assert!(faults.iter().any(|fault| fault.to_string().contains(expected)), "{lines}: {faults:?}");
    }
}
