//! The built binary as people run it: what it prints, how it ends, what it leaves.

use std::{
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::support::{hub, until};

mod check;
mod dead;
mod directory;
mod endpoints;
mod newcomer;
mod people;
mod postgres;
mod privacy;
mod rehearse;
mod route_sets;
mod routes;
mod serve;
mod wrong_routes;

/// The binary in this folder, knowing the hub's tokens and nothing else of ours.
pub fn onward(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onward"));
    let ours = std::env::vars().map(|(name, _)| name).filter(|name| name.starts_with("ONWARD"));
    ours.for_each(|name| {
        command.env_remove(name);
    });
    command.args(args).current_dir(folder).envs(hub::environment()).stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub fn run(folder: &Path, args: &[&str]) -> Ran {
    let Output { status, stdout, stderr } = onward(folder, args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
}

/// How it ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Good, with nothing but JSON on standard output.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// `onward serve` as a child, with its standard error in a file.
pub struct Served {
    child: Child,
    log: std::path::PathBuf,
    pub base_url: String,
}

impl Served {
    pub async fn start(mut command: Command, log: &Path) -> Self {
        let file = std::fs::File::create(log).unwrap();
        let mut child = command.stdout(Stdio::null()).stderr(file).spawn().unwrap();
        let base_url = until("the line that says where it serves", || {
            let said = std::fs::read_to_string(log).unwrap();
            assert!(child.try_wait().unwrap().is_none(), "it ended: {said}");
            let line = said.lines().find_map(|line| line.strip_prefix("onward: serving ")).map(str::to_owned);
            async move { line.and_then(|line| line.split(' ').next().map(str::to_owned)) }
        })
        .await;
        Self { child, log: log.to_owned(), base_url }
    }

    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Asks it to end; its exit code.
    pub async fn end(mut self) -> Option<i32> {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(asked.success());
        self.wait().await
    }

    /// Waits for its end by itself; its exit code.
    pub async fn ended(mut self) -> Option<i32> {
        self.wait().await
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    async fn wait(&mut self) -> Option<i32> {
        let child = &mut self.child;
        until("its end", || {
            let ended = child.try_wait().unwrap();
            async move { ended }
        })
        .await
        .code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The Task's id in its URL.
pub fn id_of(url: &str) -> &str {
    url.rsplit('/').next().unwrap()
}

/// Long enough for a command that must end by itself.
pub const SOON: Duration = Duration::from_secs(20);
