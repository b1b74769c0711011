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
}

impl Own {
    /// Starts one. `None` where there is no RabbitMQ, which is noted.
    pub fn start(test: &str, name: &str) -> Option<Self> {
        let (Ok(script), Ok(work)) = (std::env::var("ONWARD_TEST_RABBITMQ"), std::env::var("ONWARD_TEST_WORK")) else {
            skipped(test, "no RabbitMQ to start (ONWARD_TEST_RABBITMQ, ONWARD_TEST_WORK)");
            return None;
        };
        let folder = format!("{work}/rabbitmq-{name}");
        let mut own = Self { url: String::new(), script, folder };
        own.run("start");
        std::fs::read_to_string(format!("{}/amqp-url", own.folder)).unwrap().trim().clone_into(&mut own.url);
        Some(own)
    }

    /// Stops, starts again or removes it; returns when that is done.
    pub fn run(&self, what: &str) {
        let output =
            Command::new(&self.script).args([what, &self.folder]).stdin(std::process::Stdio::null()).output().unwrap();
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
    // the node would otherwise hold our output open after we end
    let output = Command::new(program).args(arguments).stdin(std::process::Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{variable} {arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}
