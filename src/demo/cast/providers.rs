//! Providers: one whose server is pushed to and that answers at Onward, one that works on its own copy, which Onward polls, and
//! those without a server, who work from Onward's worklist.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use hyper::Method;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::script::{Pace, Step, Talk, decide, talk};
use crate::{
    demo::{
        caller::{Answered, Call, Caller, FHIR_JSON, JSON_PATCH},
        double::Double,
        ledger::Ledger,
    },
    fhir::{
        task::{BSER_SYSTEM, BUSINESS_SYSTEM, INFORMATION_REQUESTED, codings_of_ours},
        tree,
    },
};

/// So many requests of all providers are under way at once.
const REQUESTS_MAX: usize = 32;
/// An answer that gets none itself, or “not now”, or comes from a version that is stale, is made again so often.
const TRIES_MAX: u32 = 60;
const PAUSE: Duration = Duration::from_millis(100);
/// Whoever waits for the other side looks so often.
const WAITS_MAX: u32 = 600;
/// A worklist has at most so many pages.
const PAGES_MAX: usize = 1000;

/// What the providers share.
#[derive(Clone)]
pub struct Working {
    caller: Caller,
    ledger: Arc<Ledger>,
    pace: Pace,
    seed: u64,
    requests: Arc<Semaphore>,
    stop: CancellationToken,
    people: TaskTracker,
}

/// A Task that came in on a provider's own server.
#[derive(Debug)]
pub struct Arrival {
    id: String,
    at: Instant,
}

/// A provider with a FHIR server of its own.
pub struct WithServer {
    /// The inbox.
    pub inbox: String,
    /// Its server.
    pub server: Arc<Double>,
    /// The token its server wants.
    pub server_token: String,
    /// The token it shows to Onward, if that is where it answers; otherwise it changes its own copy.
    pub token: Option<String>,
}

/// A provider without one.
#[derive(Clone)]
pub struct AtWorklist {
    /// Its id.
    pub id: String,
    /// The inbox.
    pub inbox: String,
    /// The token it shows to Onward.
    pub token: String,
    /// Onward's FHIR base.
    pub fhir_base: String,
}

/// The Task that somebody answers.
struct Answerable {
    id: String,
    url: String,
    token: String,
}

// === impl Working ===

impl Working {
    /// The providers' common means.
    pub fn new(ledger: Arc<Ledger>, pace: Pace, seed: u64) -> Self {
        Self {
            caller: Caller::new(),
            ledger,
            pace,
            seed,
            requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
            stop: CancellationToken::new(),
            people: TaskTracker::new(),
        }
    }

    /// Everybody goes home.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.people.close();
        self.people.wait().await;
    }

    /// Somebody else who works until everybody goes home.
    pub fn employ(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.spawn(work);
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.people.spawn(async move {
            tokio::select! {
                () = work => {}
                () = stop.cancelled() => {}
            }
        });
    }

    async fn call(&self, call: Call) -> Result<Answered, String> {
        let _place = self.requests.acquire().await.map_err(|error| error.to_string())?;
        self.caller.call(call).await.map_err(|error| error.to_string())
    }

    /// Gives all answers to one referral, one after another.
    async fn work(self, task: Answerable, identifier: String) {
        let talk = talk(self.seed, &identifier);
        for (n, step) in decide(self.seed, &identifier).into_iter().enumerate() {
            tokio::time::sleep(self.pace.pause(self.seed, &identifier, n)).await;
            // after the first answer there is something to talk about
            let talked = match (n, talk) {
                (1, Some(Talk::AsksForMore)) => self.ask(&task).await,
                (1, Some(Talk::Cancelled)) => self.await_cancellation(&task).await,
                _ => Ok(()),
            };
            if let Err(why) = talked {
                self.ledger.gave_up(&task.id, format!("Task {}: {why}", task.id));
                return;
            }
            self.ledger.answering(&task.id, step.status);
            // every third answer is given as a whole Task, the others as a patch
            let whole = (identifier.len() + n).is_multiple_of(3);
            if let Err(why) = self.answer(&task, &step, whole).await {
                let said = format!("Task {} could not be set to {}: {why}", task.id, step.status);
                self.ledger.gave_up(&task.id, said);
                return;
            }
        }
        self.ledger.finished(&task.id);
    }

    /// Asks the referrer for more, where the provider works, and waits for the answer to come there.
    async fn ask(&self, task: &Answerable) -> Result<(), String> {
        let (base, _) = task.url.split_once("/Task/").ok_or("its Task has no server")?;
        let current = self.call(Call::get(&task.url).token(&task.token)).await?.json();
        let question = json!({
            "resourceType": "Communication", "status": "completed", "basedOn": [current.get("focus")],
            "identifier": [{"system": "https://fixtures.example/question", "value": task.id}],
            "reasonCode": [{"coding": [{"system": BUSINESS_SYSTEM, "code": INFORMATION_REQUESTED}]}],
            "payload": [{"contentString": "Which number can we ring in the daytime?"}],
        });
        let mut why = "it is not taken".to_owned();
        for _ in 0..TRIES_MAX {
            let exists = format!("identifier=https://fixtures.example/question|{}", task.id);
            let post = Call::new(Method::POST, format!("{base}/Communication")).json(FHIR_JSON, &question);
            match self.call(post.token(&task.token).header("if-none-exist", exists)).await {
                Ok(answer) if answer.status.is_success() => return self.await_answer(task, base, &current).await,
                Ok(answer) => why = answer.describe(),
                Err(error) => why = error,
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(format!("a question could not be asked: {why}"))
    }

    async fn await_answer(&self, task: &Answerable, base: &str, current: &Value) -> Result<(), String> {
        let focus = tree::text(current, "focus.reference").unwrap_or_default();
        for _ in 0..WAITS_MAX {
            let url = format!("{base}/Communication?based-on={focus}");
            if let Ok(found) = self.call(Call::get(url).token(&task.token)).await {
                let bundle = found.json();
                let messages = tree::items(&bundle, "entry").iter().filter_map(|entry| entry.get("resource"));
                if messages.into_iter().any(|m| super::is_answer(m, &task.id)) {
                    self.ledger.answered(&task.id);
                    return Ok(());
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err("the referrer did not answer".to_owned())
    }

    /// Waits until the Task says that cancellation is asked for.
    async fn await_cancellation(&self, task: &Answerable) -> Result<(), String> {
        for _ in 0..WAITS_MAX {
            if let Ok(read) = self.call(Call::get(&task.url).token(&task.token)).await
                && codings_of_ours(&read.json()).iter().any(|c| tree::text(c, "system") == Some(BSER_SYSTEM))
            {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err("the referrer did not cancel".to_owned())
    }

    /// Reads the Task, changes it as it stands, and tries again where somebody else was faster.
    async fn answer(&self, task: &Answerable, step: &Step, whole: bool) -> Result<(), String> {
        let mut why = String::new();
        let mut unknown = false;
        for n in 0..TRIES_MAX {
            if n > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            let current = match self.call(Call::get(&task.url).token(&task.token)).await {
                Ok(answer) if answer.status.is_success() => answer,
                Ok(answer) => {
                    why = answer.describe();
                    continue;
                }
                Err(error) => {
                    why = error;
                    continue;
                }
            };
            let (body, etag) = (current.json(), current.header("etag").unwrap_or_default());
            if unknown && tree::text(&body, "status") == Some(step.status.code()) {
                return Ok(());
            }
            let call = if whole {
                Call::new(Method::PUT, &task.url).json(FHIR_JSON, &step.applied(&body))
            } else {
                Call::new(Method::PATCH, &task.url).json(JSON_PATCH, &step.patch(&body))
            };
            match self.call(call.token(&task.token).header("if-match", etag)).await {
                Ok(answer) if answer.status.is_success() => return Ok(()),
                Ok(answer) if matches!(answer.status.as_u16(), 409 | 412 | 429 | 500..) => {
                    why = answer.describe();
                    tokio::time::sleep(answer.retry_after().unwrap_or_default()).await;
                }
                Ok(answer) => return Err(answer.describe()),
                Err(error) => {
                    unknown = true;
                    why = error;
                }
            }
        }
        Err(why)
    }
}

// === impl WithServer ===

impl WithServer {
    /// The Tasks that come in from now on. One message a Task, and the server bounds how many there can be.
    pub fn arrivals(&self) -> mpsc::UnboundedReceiver<Arrival> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.server.on_change(move |change| {
            if change.kind == "Task" && change.stored.version == 1 {
                let _ = sender.send(Arrival { id: change.id.clone(), at: change.stored.at });
            }
        });
        receiver
    }

    /// Works on what comes in, until everybody goes home.
    pub fn open(self, with: &Working, mut arrivals: mpsc::UnboundedReceiver<Arrival>) {
        let working = with.clone();
        with.spawn(async move {
            while let Some(arrival) = arrivals.recv().await {
                match self.taken(&arrival, &working.ledger) {
                    Some((task, identifier)) => working.spawn(working.clone().work(task, identifier)),
                    None => working.ledger.trouble(format!("{} got a Task that it cannot work on", self.inbox)),
                }
            }
        });
    }

    /// What the server holds of an arrival: whose Task it is, and the identifier of its ServiceRequest.
    fn taken(&self, arrival: &Arrival, ledger: &Ledger) -> Option<(Answerable, String)> {
        let task = self.server.resource("Task", &arrival.id)?;
        let request = tree::text(&task, "focus.reference")?.strip_prefix("ServiceRequest/")?;
        let request = self.server.resource("ServiceRequest", request)?;
        let (id, identifier) = (super::task_id(&task)?, super::placer(&request)?);
        ledger.delivered(&id, &self.inbox, Some(identifier.clone()), arrival.at);
        let (url, token) = match &self.token {
            Some(token) => (super::task_url(&task)?, token.clone()),
            None => (format!("{}/Task/{}", self.server.base_url(), arrival.id), self.server_token.clone()),
        };
        Some((Answerable { id, url, token }, identifier))
    }
}

// === impl AtWorklist ===

impl AtWorklist {
    /// Looks at the worklist and works on what it shows, until everybody goes home.
    pub fn open(self, with: &Working) {
        let working = with.clone();
        with.spawn(async move {
            let mut seen = HashSet::new();
            loop {
                for task in self.look(&working).await {
                    if seen.insert(task.clone()) {
                        let at = Instant::now();
                        working.spawn(self.clone().take(working.clone(), task, at));
                    }
                }
                tokio::time::sleep(working.pace.look).await;
            }
        });
    }

    /// The ids of the Tasks that wait, over all pages; what cannot be read now is read at the next look.
    async fn look(&self, with: &Working) -> Vec<String> {
        let query = format!("owner=Organization/{}&status=requested&_include=Task:focus", self.id);
        let mut url = format!("{}/Task?{query}", self.fhir_base);
        let mut tasks = Vec::new();
        for _ in 0..PAGES_MAX {
            let Ok(page) = with.call(Call::get(&url).token(&self.token)).await else { break };
            let page = page.json();
            let resources = tree::items(&page, "entry").iter().filter_map(|entry| entry.get("resource"));
            let waiting = resources.filter(|r| tree::resource_type(r) == Some("Task"));
            tasks.extend(waiting.filter_map(|task| tree::text(task, "id").map(str::to_owned)));
            let next = tree::items(&page, "link").iter().find(|link| tree::text(link, "relation") == Some("next"));
            match next.and_then(|link| tree::text(link, "url")) {
                Some(next) => next.clone_into(&mut url),
                None => break,
            }
        }
        tasks
    }

    /// Reads the whole referral and works on it.
    async fn take(self, with: Working, task: String, at: Instant) {
        let url = format!("{}/Task/{task}", self.fhir_base);
        let mut why = String::new();
        for _ in 0..TRIES_MAX {
            match with.call(Call::get(format!("{url}/$package")).token(&self.token)).await {
                Ok(package) if package.status.is_success() => {
                    let package = package.json();
                    let Some(identifier) = request_in(&package).and_then(super::placer) else {
                        why = "its package has no ServiceRequest with a placer identifier".to_owned();
                        break;
                    };
                    with.ledger.delivered(&task, &self.inbox, Some(identifier.clone()), at);
                    return with.work(Answerable { id: task, url, token: self.token }, identifier).await;
                }
                Ok(answer) => why = answer.describe(),
                Err(error) => why = error,
            }
            tokio::time::sleep(PAUSE).await;
        }
        with.ledger.gave_up(&task, format!("{} cannot read Task {task}: {why}", self.inbox));
    }
}

fn request_in(package: &Value) -> Option<&Value> {
    let resources = tree::items(package, "entry").iter().filter_map(|entry| entry.get("resource"));
    resources.into_iter().find(|r| tree::resource_type(r) == Some("ServiceRequest"))
}
