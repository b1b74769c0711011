//! The private RabbitMQ node that `tests/run` provides.
//!
//! All tests use the same one, in parallel and, with nextest, from several processes. A lock on a file keeps those apart that
//! stop it or read `onward.dead` from those that only use it; it works the same under `cargo test`.

use std::{
    cell::Cell,
    fs::File,
    hash::{DefaultHasher, Hash, Hasher},
    process::Command,
};

use super::skipped;

/// The node, held until dropped.
pub struct Node {
    /// Its URL, with user and password.
    pub url: String,
    stopped: Cell<bool>,
    _lock: File,
}

/// The node, to be used beside other tests. `None` where there is none, which is noted.
pub fn shared(test: &str) -> Option<Node> {
    Node::find(test, |lock| lock.lock_shared().unwrap())
}

/// The node for one test alone: to stop it, or to read what all share.
pub fn alone(test: &str) -> Option<Node> {
    Node::find(test, |lock| lock.lock().unwrap())
}

impl Node {
    fn find(test: &str, hold: impl FnOnce(&File)) -> Option<Self> {
        let Ok(url) = std::env::var("ONWARD_TEST_AMQP_URL") else {
            skipped(test, "no RabbitMQ (ONWARD_TEST_AMQP_URL)");
            return None;
        };
        let mut hasher = DefaultHasher::new();
        url.hash(&mut hasher);
        let path = std::env::temp_dir().join(format!("onward-rabbitmq-{:x}.lock", hasher.finish()));
        let lock = File::options().create(true).append(true).open(path).unwrap();
        hold(&lock);
        Some(Self { url, stopped: Cell::new(false), _lock: lock })
    }

    /// Runs `rabbitmqctl` for the node; what it says.
    pub fn ctl(&self, arguments: &[&str]) -> String {
        run("ONWARD_TEST_RABBITMQCTL", arguments)
    }

    /// Stops it; what is durable stays.
    pub fn stop(&self) {
        self.stopped.set(true);
        run("ONWARD_TEST_RABBITMQ_STOP", &[]);
    }

    /// Starts it again; returns when it accepts connections.
    pub fn start(&self) {
        run("ONWARD_TEST_RABBITMQ_START", &[]);
        self.stopped.set(false);
    }
}

/// A virtual host of a node, for one test: with queues of its own under the names that a service gives them.
pub struct Vhost<'n> {
    /// Its URL, with user and password.
    pub url: String,
    /// Its name.
    pub name: String,
    node: &'n Node,
}

impl Node {
    /// A new virtual host; deleted when dropped.
    pub fn vhost(&self) -> Vhost<'_> {
        let name = format!("test-{}", uuid::Uuid::now_v7());
        self.ctl(&["add_vhost", &name]);
        self.ctl(&["set_permissions", "-p", &name, "guest", ".*", ".*", ".*"]);
        let url = format!("{}{name}", self.url.strip_suffix("%2f").unwrap());
        Vhost { url, name, node: self }
    }
}

impl Drop for Vhost<'_> {
    fn drop(&mut self) {
        self.node.ctl(&["delete_vhost", &self.name]);
    }
}

/// A node for one test alone, which may stop it while others run; removed when dropped.
pub struct Own {
    /// Its URL, with user and password.
    pub url: String,
    script: String,
    folder: String,
    management: bool,
}

impl Own {
    /// Starts one. `None` where there is no RabbitMQ, which is noted.
    pub fn start(test: &str, name: &str) -> Option<Self> {
        Self::start_with("start", test, name)
    }

    /// The same with the management plugin.
    pub fn start_with_management(test: &str, name: &str) -> Option<Self> {
        Self::start_as("start", test, name, true)
    }

    fn start_with(what: &str, test: &str, name: &str) -> Option<Self> {
        Self::start_as(what, test, name, false)
    }

    fn start_as(what: &str, test: &str, name: &str, management: bool) -> Option<Self> {
        let (Ok(script), Ok(work)) = (std::env::var("ONWARD_TEST_RABBITMQ"), std::env::var("ONWARD_TEST_WORK")) else {
            skipped(test, "no RabbitMQ to start (ONWARD_TEST_RABBITMQ, ONWARD_TEST_WORK)");
            return None;
        };
        let folder = format!("{work}/rabbitmq-{name}");
        let mut own = Self { url: String::new(), script, folder, management };
        own.run(what);
        std::fs::read_to_string(format!("{}/amqp-url", own.folder)).unwrap().trim().clone_into(&mut own.url);
        Some(own)
    }

    /// Where its management interface is.
    pub fn management(&self) -> String {
        std::fs::read_to_string(format!("{}/management-url", self.folder)).unwrap().trim().to_owned()
    }

    /// Runs commands that begin with `rabbitmqctl` as somebody on the node would.
    pub fn shell(&self, commands: &str) {
        let path = format!("{}/bin:{}", self.folder, std::env::var("PATH").unwrap());
        let output = Command::new("sh").args(["-e", "-c", commands]).env("PATH", path).output().unwrap();
        assert!(output.status.success(), "{commands}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Stops, starts again or removes it; returns when that is done.
    pub fn run(&self, what: &str) {
        self.run_in(what, &self.folder);
    }

    fn run_in(&self, what: &str, folder: &str) {
        let management = if self.management { "1" } else { "" };
        let output = Command::new(&self.script)
            .env("ONWARD_TEST_MANAGEMENT", management)
            .args([what, folder])
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.run("remove");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // a test that failed in between leaves a running node to the next
        if self.stopped.get() {
            self.start();
        }
    }
}

fn run(variable: &str, arguments: &[&str]) -> String {
    let program = std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set"));
    execute(&program, arguments)
}

fn execute(program: &str, arguments: &[&str]) -> String {
    // the node would otherwise hold our output open after we end
    let output = Command::new(program).args(arguments).stdin(std::process::Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// Three nodes in one cluster, for one test alone, which may kill, stop and start each of them; removed when dropped.
pub struct Cluster {
    /// Its URL: those of all nodes.
    pub url: String,
    own: Own,
}

impl Cluster {
    /// Its nodes.
    pub const NODES: [usize; 3] = [1, 2, 3];

    /// Starts one. `None` where there is no RabbitMQ, which is noted.
    pub fn start(test: &str, name: &str) -> Option<Self> {
        Self::start_of(test, name, Self::NODES.len())
    }

    /// One of so many nodes: three, or one alone.
    pub fn start_of(test: &str, name: &str, nodes: usize) -> Option<Self> {
        let own = Own::start_with(if nodes == 1 { "start" } else { "start-cluster" }, test, name)?;
        Some(Self { url: own.url.clone(), own })
    }

    /// The URL of one node.
    pub fn url_of(&self, node: usize) -> String {
        std::fs::read_to_string(format!("{}/{node}/amqp-url", self.own.folder)).unwrap().trim().to_owned()
    }

    /// How many nodes it has.
    pub fn count(&self) -> usize {
        self.url.split(',').count()
    }

    /// Stops it in good order; returns when it is down.
    pub fn stop(&self, node: usize) {
        self.run("stop", node);
    }

    /// `kill -9`
    pub fn kill(&self, node: usize) {
        self.run("kill", node);
    }

    /// Holds it still, until it is thawed.
    pub fn freeze(&self, node: usize) {
        self.run("freeze", node);
    }

    /// Lets it go on.
    pub fn thaw(&self, node: usize) {
        self.run("thaw", node);
    }

    /// Starts it again; returns when it accepts connections.
    pub fn start_again(&self, node: usize) {
        self.run("start", node);
    }

    /// Runs `rabbitmqctl` for a node; what it says.
    pub fn ctl(&self, node: usize, arguments: &[&str]) -> String {
        execute(&format!("{}/{node}/bin/rabbitmqctl", self.own.folder), arguments)
    }

    /// The node that leads a queue, and how many members the queue has, as `asked` knows it.
    pub fn leader(&self, asked: usize, queue: &str) -> (usize, usize) {
        let said = self.ctl(asked, &["--silent", "--formatter", "json", "list_queues", "name", "leader", "members"]);
        let queues: Vec<serde_json::Value> = serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said}"));
        let queue = queues.iter().find(|q| q["name"] == queue).unwrap_or_else(|| panic!("no {queue} in {said}"));
        let leader = queue["leader"].as_str().unwrap();
        let port = |node: &usize| {
            let url = self.url_of(*node);
            url.rsplit(':').next().unwrap().split('/').next().unwrap().to_owned()
        };
        let node = Self::NODES.into_iter().find(|node| leader == format!("onward-{}@localhost", port(node))).unwrap();
        (node, queue["members"].as_array().unwrap().len())
    }

    fn run(&self, what: &str, node: usize) {
        match self.count() {
            1 => self.own.run(what),
            _ => self.own.run_in(what, &format!("{}/{node}", self.own.folder)),
        }
    }
}
