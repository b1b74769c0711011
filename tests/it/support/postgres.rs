//! A PostgreSQL server of one test, which it may stop and kill; what many share is `ONWARD_TEST_POSTGRES_URL`.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::skipped;

/// See the module's documentation. Removed when dropped.
pub struct PostgresServer {
    script: PathBuf,
    folder: PathBuf,
    /// Its URL, with user and password.
    pub url: String,
}

impl PostgresServer {
    /// A new one. `None` where none can be had, which is noted.
    pub fn start(test: &str) -> Option<Self> {
        Self::start_on(test, |_| Some(())).map(|((), server)| server)
    }

    /// One whose data lie on what `mount` puts at the folder it is given. That is the first of what this gives, so that it is
    /// dropped after the server.
    pub fn start_on<T>(test: &str, mount: impl FnOnce(&Path) -> Option<T>) -> Option<(T, Self)> {
        let (Some(script), Some(work)) =
            (std::env::var_os("ONWARD_TEST_POSTGRES"), std::env::var_os("ONWARD_TEST_WORK"))
        else {
            skipped(test, "no PostgreSQL of its own (ONWARD_TEST_POSTGRES)");
            return None;
        };
        if std::env::var_os("ONWARD_TEST_POSTGRES_URL").is_none() {
            skipped(test, "no PostgreSQL (ONWARD_TEST_POSTGRES_URL)");
            return None;
        }
        let folder = PathBuf::from(work).join(format!("postgres-{test}-{}", std::process::id()));
        let disk = mount(&folder.join("data"))?;
        let mut server = Self { script: script.into(), folder, url: String::new() };
        server.run("start");
        server.url = std::fs::read_to_string(server.folder.join("url")).unwrap().trim().to_owned();
        Some((disk, server))
    }

    /// Starts it again; returns when it takes connections.
    pub fn start_again(&self) {
        self.run("start");
    }

    /// Stops it in good order; what was committed stays.
    pub fn stop(&self) {
        self.run("stop");
    }

    /// Kills it.
    pub fn kill(&self) {
        self.run("kill");
    }

    /// Runs SQL beside everybody.
    pub fn sql(&self, sql: &str) -> String {
        let said = Command::new(self.folder.join("bin/psql")).args(["-Atqc", sql]).output().unwrap();
        assert!(said.status.success(), "{sql}: {}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8_lossy(&said.stdout).trim().to_owned()
    }

    fn run(&self, what: &str) {
        let status = Command::new(&self.script).arg(what).arg(&self.folder).status().unwrap();
        assert!(status.success(), "tests/services/postgres {what}");
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // a folder that something is mounted on cannot be removed yet, which is no news; `tests/run` removes it
        let _ = Command::new(&self.script).arg("remove").arg(&self.folder).stderr(Stdio::null()).status();
    }
}
