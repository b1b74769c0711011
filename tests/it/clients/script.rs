//! One script: run within bounds, its lines read, and held against what may fail for now.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use tokio::{process::Command, time::timeout};

/// How long a script may take, on a machine that does other things too.
const LIMIT: Duration = Duration::from_secs(520);
/// What may fail for now: `SCRIPT/CHECK: reason` a line.
const PENDING: &str = "pending.txt";

/// A program that tries a client library, a line a check.
pub struct Script<'s> {
    /// What its checks are called by.
    pub name: &'s str,
    /// What runs it.
    pub program: OsString,
    /// Where it lies.
    pub path: PathBuf,
    /// Where Onward is, and the tokens: never in the command line, where every user of the machine could read them.
    pub environment: Vec<(&'static str, String)>,
}

/// What came of it.
pub struct Told {
    name: String,
    /// By name: nothing where it held, else why not.
    checks: BTreeMap<String, Option<String>>,
    faults: Vec<String>,
    /// Whatever else it said.
    noise: String,
}

/// A file of `tests/clients`.
pub fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(file)
}

// === impl Script ===

impl Script<'_> {
    pub async fn run(self) -> Told {
        let mut command = Command::new(&self.program);
        command.arg(&self.path).envs(self.environment.iter().map(|(name, value)| (name, value)));
        // what is imported is compiled each time: nothing is to be written beside the sources
        command.env("PYTHONDONTWRITEBYTECODE", "1").env_remove("HTTP_PROXY").env_remove("http_proxy");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let ended = timeout(LIMIT, command.spawn().unwrap().wait_with_output()).await;
        let ended = ended.unwrap_or_else(|_| panic!("{}: not done within {LIMIT:?}", self.name)).unwrap();
        let (out, error) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
        let mut told =
            Told { name: self.name.to_owned(), checks: BTreeMap::new(), faults: Vec::new(), noise: error.into_owned() };
        for line in out.lines() {
            told.take(line);
        }
        if !ended.status.success() {
            told.faults.push(format!("it ended with {}", ended.status));
        }
        told
    }
}

// === impl Told ===

impl Told {
    fn take(&mut self, line: &str) {
        let (name, why) = match (line.strip_prefix("ok "), line.strip_prefix("not ok ")) {
            (Some(name), _) => (name, None),
            (_, Some(rest)) => {
                let (name, why) = rest.split_once(": ").unwrap_or((rest, "no reason given"));
                (name, Some(why.to_owned()))
            }
            _ => {
                self.noise += line;
                self.noise += "\n";
                return;
            }
        };
        if self.checks.insert(format!("{}/{name}", self.name), why).is_some() {
            self.faults.push(format!("{name} is there twice"));
        }
    }

    /// Panics unless every check held that is not pending, none held that is, and there were as many as there should be.
    pub fn judge(self, at_least: usize) {
        self.judge_by(&pending(), at_least);
    }

    fn judge_by(mut self, pending: &BTreeSet<String>, at_least: usize) {
        for (name, why) in &self.checks {
            match (why, pending.contains(name)) {
                (Some(why), false) => self.faults.push(format!("{name}: {why}")),
                (None, true) => self.faults.push(format!("{name} holds now: take it out of {PENDING}")),
                (None, false) | (Some(_), true) => {}
            }
        }
        let own = format!("{}/", self.name);
        for gone in pending.iter().filter(|name| name.starts_with(&own) && !self.checks.contains_key(*name)) {
            self.faults.push(format!("{gone} was not tried, but is in {PENDING}"));
        }
        if self.checks.len() < at_least {
            self.faults.push(format!("only {} checks of {at_least}", self.checks.len()));
        }
        assert!(self.faults.is_empty(), "{}\n{}", self.faults.join("\n"), self.noise);
    }
}

fn pending() -> BTreeSet<String> {
    let text = std::fs::read_to_string(path(PENDING)).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let name = |line: &str| match line.split_once(": ") {
        Some((name, why)) if !why.is_empty() => name.to_owned(),
        _ => panic!("{PENDING}: {line} has no reason"),
    };
    lines.map(name).collect()
}

#[test]
fn a_script_is_held_to_what_it_says() {
    let judged = |lines: &[&str], pending: &[&str], at_least: usize| {
        let mut told = Told { name: "s".into(), checks: BTreeMap::new(), faults: Vec::new(), noise: String::new() };
        lines.iter().for_each(|line| told.take(line));
        let pending = pending.iter().map(|name| (*name).to_owned()).collect();
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| told.judge_by(&pending, at_least))).is_ok()
    };
    assert!(judged(&["ok a", "noise", "ok b"], &["t/c"], 2));
    assert!(judged(&["ok a", "not ok b: why: so"], &["s/b"], 2));
    assert!(!judged(&["ok a", "not ok b: why"], &[], 2));
    assert!(!judged(&["ok a", "not ok b"], &[], 2));
    // what holds is no longer pending, and what is pending is tried
    assert!(!judged(&["ok a", "ok b"], &["s/b"], 2));
    assert!(!judged(&["ok a", "ok b"], &["s/c"], 2));
    assert!(!judged(&["ok a"], &[], 2));
    assert!(!judged(&["ok a", "ok a"], &[], 1));
}
