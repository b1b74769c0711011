//! The alert hook: told at least once, over an absence and a restart, and nothing of it is about a person.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use onward::demo::double::{Fault, Rule, When};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::*;
use crate::support::referrals::nhs_numbers;

/// Takes alerts, with one status for all.
struct Receiver {
    address: SocketAddr,
    took: Arc<Mutex<Vec<Value>>>,
    heads: Arc<Mutex<Vec<String>>>,
    listening: JoinHandle<()>,
}

impl Receiver {
    async fn at(address: &str, status: u16) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let took = Arc::<Mutex<Vec<Value>>>::default();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let (into, heads_into) = (Arc::clone(&took), Arc::clone(&heads));
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Some((head, body)) = answer(stream, status).await {
                    heads_into.lock().unwrap().push(head);
                    into.lock().unwrap().push(body);
                }
            }
        });
        Self { address, took, heads, listening }
    }

    fn took(&self) -> Vec<Value> {
        self.took.lock().unwrap().clone()
    }
}

async fn answer(mut stream: TcpStream, status: u16) -> Option<(String, Value)> {
    let mut read = Vec::new();
    loop {
        let mut some = [0; 4096];
        let n = stream.read(&mut some).await.ok().filter(|n| *n > 0)?;
        read.extend_from_slice(&some[..n]);
        let text = String::from_utf8_lossy(&read).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            let said = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: 7\r\n\r\nthanks!");
            stream.write_all(said.as_bytes()).await.ok()?;
            return Some((head.to_owned(), serde_json::from_str(body).ok()?));
        }
    }
}

fn hooked(address: SocketAddr) -> &'static str {
    tables(&format!("[alerts]\nhook = {{ url = \"http://{address}/hook\", timeout = \"1s\" }}\n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_outlives_its_receivers_absence_and_a_restart() {
    let away = Receiver::at("127.0.0.1:0", 503).await;
    let address = away.address;
    let stage = Stage::set(Setting { retry: hooked(address), ..Setting::default() }).await;
    stage.provider.fault(Rule::new(Fault::Refuse(hyper::StatusCode::UNPROCESSABLE_ENTITY), When::Always).kind(""));
    let referral = one("01", "alert");
    let id = stage.onward.refer(&referral).await;
    let letter = stage.dead_letter(&id).await;
    record_shows(&stage, &id, Some("undeliverable")).await;
    until("it is tried in vain", || async { (!away.took().is_empty()).then_some(()) }).await;
    assert_eq!(lines(&stage).await, [("undeliverable", Some(id.clone()))]);

    // nobody listens any more, and the service is started anew
    away.listening.abort();
    let _ = away.listening.await;
    let Stage { plan, service, store, .. } = stage;
    drop(store);
    service.stop().await;
    let service = plan.start().await;
    let back = Receiver::at(&address.to_string(), 200).await;
    let told = until("it is told", || async { back.took().into_iter().next() }).await;
    assert_eq!(told["kind"], "dead-letter");
    assert_eq!((&told["task"], &told["message"]), (&id.clone().into(), &letter.message.to_string().into()));
    assert_eq!(told["about"], "life-rooms");
    assert!(told["text"].as_str().unwrap().contains("422"), "{told}");
    for number in nhs_numbers(&referral.body) {
        assert!(!told.to_string().contains(&number));
    }
    let head = back.heads.lock().unwrap()[0].to_ascii_lowercase();
    assert!(head.starts_with("post /hook ") && head.contains("content-type: application/json"), "{head}");
    assert!(head.contains(&format!("idempotency-key: {}", told["alert"].as_str().unwrap())), "{head}");
    until("it is settled", || async {
        let store = service.store();
        store.claim_alerts(9, std::time::Duration::ZERO).await.unwrap().is_empty().then_some(())
    })
    .await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_that_hangs_holds_nothing_up() {
    // it takes connections and never answers
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stage = Stage::set(Setting { retry: hooked(silent.local_addr().unwrap()), ..Setting::default() }).await;
    stage.provider.fault(Rule::new(Fault::Refuse(hyper::StatusCode::UNPROCESSABLE_ENTITY), When::Next(3)).kind(""));
    for n in 0..3 {
        let id = stage.onward.refer(&one("01", &format!("dead-{n}"))).await;
        stage.dead_letter(&id).await;
    }
    let held = silent.accept().await.unwrap();
    stage.referred(&one("01", "alive"), "received").await;
    drop(held);
    assert!(alerted(&stage.onward, "dead-letter").await >= 3.0);
    stage.service.stop().await;
}
