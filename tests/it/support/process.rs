//! The built binary as one of several processes over one store and one broker.

use std::{
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use onward::demo::caller::{Call, Caller};

use super::{onward::Onward, plan::Plan, server::free_port, until_within};

/// How long a process may take to end that was asked to.
const END: Duration = Duration::from_secs(60);
/// How long one may take until it is ready, whatever else is away.
const READY: Duration = Duration::from_secs(60);

/// See the module's documentation. Killed when dropped.
pub struct Process {
    /// What it does.
    pub roles: &'static str,
    /// Where it is reached.
    pub base: String,
    child: Child,
}

impl Process {
    /// One that does a part of the work over this store; ready when this returns.
    pub async fn start(plan: &Plan, store: &str, roles: &'static str) -> Self {
        let mut process = Self::spawn(plan, store, roles);
        assert!(process.ready().await, "{roles} ended");
        process
    }

    /// The same, and it may not be ready yet.
    pub fn spawn(plan: &Plan, store: &str, roles: &'static str) -> Self {
        let port = free_port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_onward"));
        command.args(["serve", "--roles", roles, "--config"]).arg(plan.write()).envs(plan.env()).stdin(Stdio::null());
        command.env("ONWARD__STORE__URL", store).env("ONWARD__SERVER__LISTEN", format!("127.0.0.1:{port}"));
        if let Some(folder) = std::env::var_os("ONWARD_TEST_LOGS") {
            let file = std::path::Path::new(&folder).join(format!("onward-{}.log", roles.replace(", ", "-")));
            let log = std::fs::File::options().create(true).append(true).open(file).unwrap();
            command.stdout(log.try_clone().unwrap()).stderr(log);
        } else if std::env::var_os("ONWARD_TEST_SHOW").is_none() {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        Self { roles, base: format!("http://127.0.0.1:{port}"), child: command.spawn().unwrap() }
    }

    /// Waits until it is ready. False where it ended instead.
    pub async fn ready(&mut self) -> bool {
        let (caller, url) = (Caller::new(), format!("{}/health/ready", self.base));
        let child = &mut self.child;
        until_within(READY, &format!("{} is ready", self.roles), || {
            let ended = child.try_wait().unwrap().is_some();
            let ready = caller.call(Call::get(&url));
            async move {
                match (ended, ready.await) {
                    (true, _) => Some(false),
                    (false, answer) => answer.is_ok_and(|a| a.status.is_success()).then_some(true),
                }
            }
        })
        .await
    }

    /// As its clients see it.
    pub fn onward(&self) -> Onward {
        Onward::at(&self.base)
    }

    /// Sends it a signal, such as `STOP`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success(), "{name}");
    }

    /// `kill -9`
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end and waits for that.
    pub async fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        let child = &mut self.child;
        until_within(END, "it ends", || {
            let ended = child.try_wait().unwrap();
            async move { ended }
        })
        .await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
