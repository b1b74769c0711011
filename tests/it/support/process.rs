//! The built binary as one of several processes over one store and one broker.

use std::{
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use onward::demo::caller::{Call, Caller};

use super::{onward::Onward, plan::Plan, server::free_port, until, until_within};

/// How long a process may take to end that was asked to.
const END: Duration = Duration::from_secs(60);

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
        let port = free_port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_onward"));
        command.args(["serve", "--roles", roles, "--config"]).arg(plan.write()).envs(plan.env()).stdin(Stdio::null());
        command.env("ONWARD__STORE__URL", store).env("ONWARD__SERVER__LISTEN", format!("127.0.0.1:{port}"));
        if std::env::var_os("ONWARD_TEST_SHOW").is_none() {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        let process = Self { roles, base: format!("http://127.0.0.1:{port}"), child: command.spawn().unwrap() };
        let caller = Caller::new();
        until(&format!("{roles} is ready"), || async {
            let answer = caller.call(Call::get(format!("{}/health/ready", process.base))).await;
            answer.is_ok_and(|a| a.status.is_success()).then_some(())
        })
        .await;
        process
    }

    /// As its clients see it.
    pub fn onward(&self) -> Onward {
        Onward::at(&self.base)
    }

    /// `kill -9`
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end and waits for that.
    pub async fn stop(mut self) -> ExitStatus {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(asked.success());
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
