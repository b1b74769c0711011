//! Inboxes of kind `amqp`: a provider's own consumer, written with `pika` and with credentials of its own, reads its queue. What it
//! may do and may not, a queue that is full, and a message that it refuses.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use onward::demo::double::Double;
use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::support::{
    onward::{Onward, our_id},
    plan::Plan,
    rabbitmq::Own,
    referrals,
    server::Server,
    skipped, until,
};

const ROOMS: &str = "life-rooms";
const OTHERS: &str = "other-rooms";
/// What fits into a queue.
const LENGTH: usize = 3;

/// A consumer with `pika`.
struct Consumer {
    python: String,
    url: String,
}

impl Consumer {
    /// One that logs in as the user of this inbox, with the password that lies in the folder.
    fn of(inbox: &str, node: &Own, passwords: &Path) -> Self {
        let password = std::fs::read_to_string(passwords.join(format!("amqp.{inbox}"))).unwrap();
        let (_, address) = node.url.split_once('@').unwrap();
        let python = std::env::var("ONWARD_TEST_PIKA").unwrap();
        Self { python, url: format!("amqp://amqp.{inbox}:{}@{address}", password.trim()) }
    }

    /// What it says.
    fn does(&self, queue: &str, what: &[&str]) -> Vec<Value> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/services/consumer.py");
        let mut command = Command::new(&self.python);
        let command = command.arg(script).args([&self.url, queue]).args(what).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        said
    }

    fn takes(&self, inbox: &str, count: usize) -> Vec<Value> {
        block_in_place(|| self.does(&format!("amqp.{inbox}"), &["take", &count.to_string()]))
    }

    fn tries(&self, queue: &str) -> Vec<(String, bool)> {
        let said = block_in_place(|| self.does(queue, &["try"]));
        said.iter().map(|s| (s["tried"].as_str().unwrap().to_owned(), s["allowed"] == true)).collect()
    }
}

/// `onward broker provision …`
fn provision(plan: &Plan, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onward"));
    command.args(["broker", "provision", "--config"]).arg(plan.write()).args(arguments).envs(plan.env());
    let output = command.env("ONWARD_RABBITMQ_ADMIN_PASSWORD", "guest").stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The transport status that a Task shows.
fn transport(task: &Value) -> Option<&str> {
    let codings = task["businessStatus"]["coding"].as_array()?;
    codings.iter().find(|c| c["system"].as_str().unwrap_or_default().ends_with("transport-status"))?["code"].as_str()
}

/// Waits until the record shows this transport status, or none, of a Task.
async fn record_shows(record: &Double, id: &str, status: &str, wanted: Option<&str>) {
    until(&format!("the record shows {status}, {wanted:?}"), || async {
        let tasks = record.resources("Task");
        let task = tasks.iter().find(|task| our_id(task).as_deref() == Some(id))?;
        (task["status"] == status && transport(task) == wanted).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_providers_own_consumer_reads_its_queue_and_no_other() {
    let test = "amqp::a_providers_own_consumer_reads_its_queue_and_no_other";
    if std::env::var_os("ONWARD_TEST_PIKA").is_none() {
        return skipped(test, "no pika (ONWARD_TEST_PIKA)");
    }
    let Some(node) = block_in_place(|| Own::start_with_management(test, "amqp")) else { return };
    let record = Server::double("record-of-merseycare-rio").await;
    let inbox = format!("kind = \"amqp\", max-length = {LENGTH}");
    let plan = Plan::new()
        .port(0)
        .broker(&node.url, "")
        .section("[retry]\nfirst = \"100ms\"\ncap = \"200ms\"\ndelayed-after = \"1s\"")
        .system("merseycare-rio", "RW4", record.base_url(), ", detail = \"full\"")
        .provider(ROOMS, "RW4", &inbox)
        .provider(OTHERS, "RW4", &inbox)
        .all_to(ROOMS);
    let service = plan.start().await;
    let onward = Onward::at(service.base_url());

    // one user by the management interface, one by the printed commands
    let passwords = tempfile::tempdir().unwrap();
    let folder = passwords.path().to_str().unwrap();
    let management = node.management();
    let apply = [ROOMS, "--apply", "--management", &management, "--admin", "guest", "--passwords", folder];
    let told = said(&block_in_place(|| provision(&plan, &apply)));
    let password = std::fs::read_to_string(passwords.path().join("amqp.life-rooms")).unwrap();
    assert!(password.trim().len() >= 32 && !told.contains(password.trim()), "{told}");
    let mode = std::fs::metadata(passwords.path().join("amqp.life-rooms")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = said(&block_in_place(|| provision(&plan, &apply)));
    assert!(again.contains("keeps its password"), "{again}");
    assert_eq!(std::fs::read_to_string(passwords.path().join("amqp.life-rooms")).unwrap(), password);
    let commands = said(&block_in_place(|| provision(&plan, &[OTHERS, "--passwords", folder])));
    block_in_place(|| node.shell(&commands));

    // the referral, as it was sent
    let rooms = Consumer::of(ROOMS, &node, passwords.path());
    let referral = referrals::one("03-full-bundle", "amqp");
    let id = onward.refer(&referral).await;
    record_shows(&record, &id, "requested", Some("handed-over")).await;
    let message = rooms.takes(ROOMS, 1).remove(0);
    assert_eq!(message["correlation_id"], *id);
    assert_eq!((&message["content_type"], &message["type"]), (&json!("application/fhir+json"), &json!("referral")));
    assert_eq!((&message["delivery_mode"], &message["headers"]["onward-seq"]), (&json!(2), &json!(1)));
    assert_eq!(message["headers"]["idempotency-key"], format!("{id}-1"));
    assert!(message["timestamp"].as_u64().unwrap() > 1_700_000_000);
    assert_is_the_referral(&body(&message), &message, &referral.json());

    // its answers
    for status in ["received", "accepted", "completed"] {
        onward.must_answer(ROOMS, &id, status, json!({})).await;
    }
    record_shows(&record, &id, "completed", None).await;

    // its own queue and nothing else
    let may = |tried: Vec<(String, bool)>| tried.into_iter().filter(|t| t.1).map(|t| t.0).collect::<Vec<_>>();
    let own = ["get", "consume", "ask", "empty"];
    assert_eq!(may(rooms.tries("amqp.life-rooms")), own);
    assert_eq!(may(rooms.tries("amqp.other-rooms")), ["ask"]);
    assert_eq!(may(rooms.tries("inbox.life-rooms")), ["ask"]);
    assert_eq!(may(Consumer::of(OTHERS, &node, passwords.path()).tries("amqp.other-rooms")), own);

    a_full_queue_defers(&onward, &record, &rooms).await;
    what_it_rejects_is_told(&onward, &record, &rooms).await;
    service.stop().await;
}

fn body(message: &Value) -> Value {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(message["body"].as_str().unwrap()).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// A FHIR message whose MessageHeader leads to the Task, the Task to the ServiceRequest, and that to the patient; the request says
/// what it said when it was sent.
fn assert_is_the_referral(bundle: &Value, message: &Value, sent: &Value) {
    assert_eq!((&bundle["resourceType"], &bundle["type"]), (&json!("Bundle"), &json!("message")));
    let entries = bundle["entry"].as_array().unwrap();
    let header = &entries[0]["resource"];
    assert_eq!((&header["resourceType"], &header["id"]), (&json!("MessageHeader"), &message["message_id"]));
    assert_eq!(header["eventCoding"]["code"], message["type"]);
    let at =
        |url: &str| &entries.iter().find(|e| e["fullUrl"] == url).unwrap_or_else(|| panic!("no {url}"))["resource"];
    let task_url = header["focus"][0]["reference"].as_str().unwrap();
    let (base, _) = task_url.split_once("/Task/").unwrap();
    let task = at(task_url);
    assert_eq!(task["status"], "requested");
    let request = at(&format!("{base}/{}", task["focus"]["reference"].as_str().unwrap()));
    let patient = at(&format!("{base}/{}", request["subject"]["reference"].as_str().unwrap()));
    assert_eq!(patient["resourceType"], "Patient");
    let sent = sent["entry"].as_array().unwrap().iter().map(|e| &e["resource"]);
    let sent: Vec<_> = sent.collect();
    assert_eq!(entries.len(), sent.len() + 2, "all that was sent, the MessageHeader and the Task");
    let request_sent = sent.iter().find(|r| r["resourceType"] == "ServiceRequest").unwrap();
    assert_eq!(request["note"][0]["text"], request_sent["note"][0]["text"]);
    for element in ["code", "reasonCode", "priority", "authoredOn", "identifier"] {
        assert_eq!(request[element], request_sent[element], "{element}");
    }
}

async fn a_full_queue_defers(onward: &Onward, record: &Double, rooms: &Consumer) {
    let mut sent = BTreeSet::new();
    for referral in referrals::singles("full").take(4 * LENGTH) {
        sent.insert(onward.refer(&referral).await);
    }
    let shown = |code: &str| {
        let tasks = record.resources("Task");
        let ids = tasks.iter().filter(|t| transport(t) == Some(code)).filter_map(|t| our_id(t));
        ids.filter(|id| sent.contains(id)).count()
    };
    // RabbitMQ may take a few more than the limit before it has heard of its own fullness
    until("what there is no room for is delayed", || async {
        let (delayed, handed_over) = (shown("delivery-delayed"), shown("handed-over"));
        (delayed > LENGTH && delayed + handed_over == sent.len()).then_some(())
    })
    .await;
    let delayed = shown("delivery-delayed");
    println!("{} sent into a queue of {LENGTH}: {delayed} delayed", sent.len());
    let taken: BTreeSet<String> =
        rooms.takes(ROOMS, sent.len()).iter().map(|m| m["correlation_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(taken, sent, "each came once");
    until("all are handed over", || async { (shown("handed-over") == sent.len()).then_some(()) }).await;
}

async fn what_it_rejects_is_told(onward: &Onward, record: &Double, rooms: &Consumer) {
    let referral = referrals::one("01-", "rejected");
    let id = onward.refer(&referral).await;
    let rejected = block_in_place(|| rooms.does("amqp.life-rooms", &["reject", "1"]));
    assert_eq!(rejected[0]["correlation_id"], *id);
    record_shows(record, &id, "requested", Some("undeliverable")).await;
    // and where it was a mistake of theirs, they may still answer
    onward.must_answer(ROOMS, &id, "accepted", json!({})).await;
    record_shows(record, &id, "accepted", None).await;
}
