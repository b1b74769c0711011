//! Who takes part in a measurement: ports, tokens and the configuration that Onward gets, in a folder that only this user can
//! look into. The same folder serves a second run against an installation that was started from it.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::referral::SERVICES;

/// Ports are taken from below the range that the kernel gives to outgoing connections.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
const FILE: &str = "plan.json";

/// See the module's documentation. Systems and inboxes are told by number.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// Where Onward listens, where it is started by us.
    pub onward_port: u16,
    /// A port for each record system's FHIR server.
    pub record_ports: Vec<u16>,
    /// A port for each provider's.
    pub provider_ports: Vec<u16>,
    /// The token that all of those want.
    pub server_token: String,
    /// What each system shows to Onward.
    pub system_tokens: Vec<String>,
    /// The same for the systems without a record, which only send.
    pub mute_tokens: Vec<String>,
    /// What each provider shows.
    pub provider_tokens: Vec<String>,
    /// Tables that the configuration has beside systems and providers.
    pub tables: String,
    /// Keys that each inbox has beside kind, address and token, such as `rate`.
    pub inbox_keys: String,
}

/// The folder of a plan.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    keep: bool,
}

// === impl Folder ===

impl Folder {
    /// A new one that goes with its contents when this is dropped.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn temporary() -> io::Result<Self> {
        let name = format!("onward-bench-{}", uuid::Uuid::now_v7().simple());
        let path = std::env::temp_dir().join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path, keep: false })
    }

    /// One that is named, made if need be, and kept.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn named(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        Ok(Self { path: path.to_owned(), keep: true })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The configuration in it.
    pub fn config(&self) -> PathBuf {
        self.path.join("onward.toml")
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(self.path.join(name))?.write_all(text.as_bytes())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

// === impl Plan ===

impl Plan {
    /// A fresh one. `tables` and `inbox_keys` are written into the configuration as they are.
    ///
    /// # Errors
    /// Where no port is free.
    pub fn new(systems: usize, inboxes: usize, tables: String, inbox_keys: String) -> io::Result<Self> {
        let mut taken = Vec::new();
        let mut ports = |count: usize| (0..count).map(|_| free_port(&mut taken)).collect::<io::Result<Vec<_>>>();
        let tokens = |count: usize| (0..count).map(|_| random_token()).collect::<io::Result<Vec<_>>>();
        Ok(Self {
            onward_port: ports(1)?.first().copied().unwrap_or_default(),
            record_ports: ports(systems)?,
            provider_ports: ports(inboxes)?,
            server_token: random_token()?,
            system_tokens: tokens(systems)?,
            mute_tokens: tokens(systems)?,
            provider_tokens: tokens(inboxes)?,
            tables,
            inbox_keys,
        })
    }

    /// The one that lies in a folder.
    ///
    /// # Errors
    /// Where there is none.
    pub fn read(folder: &Folder) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(folder.path().join(FILE))?)?)
    }

    /// Whether one lies in a folder.
    pub fn is_in(folder: &Folder) -> bool {
        folder.path().join(FILE).exists()
    }

    /// Writes plan, configuration, routes and tokens.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn write(&self, folder: &Folder) -> io::Result<()> {
        folder.write(FILE, &serde_json::to_string(self)?)?;
        let tokens = folder.path().join("tokens");
        DirBuilder::new().recursive(true).mode(0o700).create(tokens)?;
        folder.write("tokens/server", &self.server_token)?;
        for (kind, tokens) in
            [("system", &self.system_tokens), ("mute", &self.mute_tokens), ("provider", &self.provider_tokens)]
        {
            for (n, token) in tokens.iter().enumerate() {
                folder.write(&format!("tokens/{kind}-{n}"), token)?;
            }
        }
        folder.write("routes.toml", &self.routes())?;
        folder.write("onward.toml", &self.config(folder.path()))
    }

    /// The system that sends referral `number`.
    pub fn system_of(&self, number: u32) -> usize {
        number as usize % self.record_ports.len().max(1)
    }

    /// The inbox that it is routed to.
    pub fn inbox_of(&self, number: u32) -> usize {
        (number as usize / self.record_ports.len().max(1)) % self.provider_ports.len().max(1)
    }

    /// The FHIR base of a system's record.
    pub fn record_base(&self, system: usize) -> String {
        format!("http://127.0.0.1:{}/fhir", self.record_ports.get(system).copied().unwrap_or_default())
    }

    fn routes(&self) -> String {
        let route = |n: usize| {
            format!(
                "[[route]]\nname = \"service-{n}\"\nwhen = {{ code = [\"{SERVICES}|s{n}\"] }}\nto = \"inbox-{n}\"\n\n"
            )
        };
        let routes: String = (0..self.provider_ports.len()).map(route).collect();
        format!("{routes}[triage]\nto = \"inbox-0\"\n")
    }

    fn config(&self, folder: &Path) -> String {
        let store = format!("sqlite:{}", folder.join("onward.db").display());
        let mut text = format!(
            "[server]\nlisten = \"127.0.0.1:{}\"\n\n[store]\nurl = {store:?}\n\n[routes]\nfile = \"routes.toml\"\n\n{}\n",
            self.onward_port, self.tables
        );
        for (n, _) in self.record_ports.iter().enumerate() {
            text.push_str(&format!(
                "[[system]]\nid = \"system-{n}\"\nname = \"System {n}\"\nods-code = \"RW4\"\n\
                 tokens = [{{ file = \"tokens/system-{n}\" }}]\nwrite-back = {{ kind = \"fhir-rest\", base-url = \"{}\", \
                 token = {{ file = \"tokens/server\" }} }}\n\n[[system]]\nid = \"mute-{n}\"\nname = \"Mute {n}\"\n\
                 ods-code = \"RW4\"\ntokens = [{{ file = \"tokens/mute-{n}\" }}]\n\n",
                self.record_base(n)
            ));
        }
        let more = if self.inbox_keys.is_empty() { String::new() } else { format!(", {}", self.inbox_keys) };
        for (n, port) in self.provider_ports.iter().enumerate() {
            text.push_str(&format!(
                "[[provider]]\nid = \"inbox-{n}\"\nname = \"Provider {n}\"\nods-code = \"U99999\"\n\
                 tokens = [{{ file = \"tokens/provider-{n}\" }}]\ninbox = {{ kind = \"fhir-rest\", \
                 base-url = \"http://127.0.0.1:{port}/fhir\", token = {{ file = \"tokens/server\" }}{more} }}\n\n"
            ));
        }
        text
    }
}

/// A port that nobody listens on.
fn free_port(taken: &mut Vec<u16>) -> io::Result<u16> {
    for _ in 0..1000 {
        let port = fastrand::u16(PORTS);
        if !taken.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            taken.push(port);
            return Ok(port);
        }
    }
    Err(io::Error::other("no port is free"))
}

fn random_token() -> io::Result<String> {
    let mut bytes = [0u8; 24];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("no random numbers"))?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Env};

    #[test]
    fn the_configuration_is_right_and_the_folder_serves_twice() {
        let folder = Folder::temporary().unwrap();
        assert!(!Plan::is_in(&folder));
        let plan = Plan::new(3, 5, "[log]\nlevel = \"warn\"\n".to_owned(), "ids = \"server\"".to_owned()).unwrap();
        plan.write(&folder).unwrap();
        let (config, warnings) = Config::load(Some(&folder.config()), &Env::default()).unwrap();
        // the systems without a record are warned about, each
        assert_eq!((config.registry.systems.len(), config.registry.inboxes.len(), warnings.len()), (6, 5, 3));
        let again = Plan::read(&folder).unwrap();
        assert_eq!(again.provider_ports, plan.provider_ports);
        // every inbox has a share of every system's referrals
        let pairs: std::collections::BTreeSet<_> = (0..15).map(|n| (plan.system_of(n), plan.inbox_of(n))).collect();
        assert_eq!(pairs.len(), 15);
    }
}
