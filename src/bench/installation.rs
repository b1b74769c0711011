//! The processes of a measurement: the receivers, and Onward itself where it is not running already.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::plan::{Folder, Plan};
use crate::demo::caller::{Call, Caller};

const READY_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// A process of ours, ended with this.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

/// The receivers, and the numbers of closed loops as they tell them.
pub struct Receivers {
    /// The process.
    pub process: Process,
    /// Numbers of closed loops.
    pub closed: mpsc::UnboundedReceiver<u32>,
    /// Where they are asked.
    pub base: String,
}

/// An Onward that was started here.
pub struct Started {
    /// The process.
    pub process: Process,
    /// From its start to the first `200` of `/health/ready`.
    pub ready_after: Duration,
}

// === impl Process ===

impl Process {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub fn is_gone(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)) | Err(_))
    }

    /// Asks it to end and waits. Says whether it ended by itself and well.
    pub async fn stop(mut self) -> bool {
        // std can only kill, and a process that is killed shows nothing of how it ends
        let _ = Command::new("kill").arg("-TERM").arg(self.pid().to_string()).status();
        let until = Instant::now() + STOP_LIMIT;
        while Instant::now() < until {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.success(),
                Ok(None) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(_) => return false,
            }
        }
        false
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts the receivers; they listen when this returns.
///
/// # Errors
/// Where they do not.
pub async fn start_receivers(
    folder: &Folder,
    run: &str,
    onward: &[String],
    think: Duration,
    plan: &Plan,
) -> io::Result<Receivers> {
    let mut command = this_program()?;
    command.args(["bench", "peer", "--folder"]).arg(folder.path()).args(["--run", run, "--onward", &onward.join(",")]);
    command.args(["--think-ms", &think.as_millis().to_string()]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let out = child.stdout.take().ok_or_else(|| io::Error::other("no standard output"))?;
    let process = Process { child };
    let (numbers, closed) = mpsc::unbounded_channel();
    let (ready, is_ready) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut lines = BufReader::new(out).lines();
        if matches!(lines.next(), Some(Ok(line)) if line == "ready") && ready.send(()).is_err() {
            return;
        }
        for number in lines.map_while(Result::ok).filter_map(|line| line.parse().ok()) {
            if numbers.send(number).is_err() {
                return;
            }
        }
    });
    let ready = tokio::time::timeout(READY_LIMIT, is_ready).await;
    if !matches!(ready, Ok(Ok(()))) {
        return Err(io::Error::other("the receivers do not start; another run in this folder may hold their ports"));
    }
    let port = plan.provider_ports.first().copied().unwrap_or_default();
    Ok(Receivers { process, closed, base: format!("http://127.0.0.1:{port}/bench") })
}

/// Starts Onward with the configuration in a folder; its log goes there, too.
///
/// # Errors
/// Where it does not become ready.
pub async fn start_onward(folder: &Folder, base: &str, env: &[(&str, &str)], caller: &Caller) -> io::Result<Started> {
    let log = File::options().create(true).append(true).open(log_of(folder))?;
    let mut command = this_program()?;
    command.args(["serve", "--config"]).arg(folder.config()).envs(env.iter().copied());
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
    let begun = Instant::now();
    let mut process = Process { child };
    loop {
        let answered = caller.call(Call::get(format!("{base}/health/ready"))).await;
        // a broker that is still being connected to is told as "degraded", and is no reason to wait
        if answered.is_ok_and(|answered| answered.status.is_success()) {
            return Ok(Started { process, ready_after: begun.elapsed() });
        }
        if process.is_gone() || begun.elapsed() > READY_LIMIT {
            let log = std::fs::read_to_string(log_of(folder)).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(5).collect();
            let told = last.into_iter().rev().collect::<Vec<_>>().join("\n");
            return Err(io::Error::other(format!("onward does not become ready:\n{told}")));
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn log_of(folder: &Folder) -> PathBuf {
    folder.path().join("onward.log")
}

fn this_program() -> io::Result<Command> {
    Ok(Command::new(std::env::current_exe()?))
}
