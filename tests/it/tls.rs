//! TLS where Onward is spoken to, tried with OpenSSL and curl: versions and suites, certificates of clients, renewal, names.

pub mod authority;
mod clients;
mod kept;
mod outgoing;
mod renewal;
mod suites;
mod tokens;
mod wire;

use std::{path::Path, process::Stdio};

use tokio::process::Command;

use crate::support::{hub::Hub, skipped};

pub use authority::NAME;
use authority::{Authority, Issued};

/// A hub that listens over TLS as well, and what it was given.
pub struct Secured {
    pub hub: Hub,
    /// Where it listens over TLS.
    pub port: u16,
    /// Who has signed its certificate.
    pub servers: Authority,
    /// Whose clients it asks for.
    clients: Authority,
    /// Its certificate's files.
    own: Issued,
    folder: tempfile::TempDir,
}

/// One whose clients show a certificate as `clients` says ("optional", "required" or "" for not at all); `rio` are lines for the system.
pub async fn secured(clients: &str, rio: &str, limits: &str) -> Secured {
    secured_by(|servers| servers.issue("own", &[NAME]), clients, rio, limits, "").await
}

/// The same that shows this certificate, with these further sections.
async fn secured_by(
    own: impl FnOnce(&Authority) -> Issued,
    clients: &str,
    rio: &str,
    limits: &str,
    more: &str,
) -> Secured {
    let folder = tempfile::tempdir().unwrap();
    let (servers, of_clients) = (Authority::new(folder.path(), "servers"), Authority::new(folder.path(), "clients"));
    let own = own(&servers);
    let asked = match clients {
        "" => String::new(),
        _ => format!("clients = \"{clients}\"\nclient-roots = \"{}\"\n", of_clients.file().display()),
    };
    let listener = format!(
        "[[listener]]\nlisten = \"127.0.0.1:0\"\n[listener.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n{asked}\n{more}",
        own.certificate.display(),
        own.key.display()
    );
    let hub = Hub::build().rio(rio).limits(limits).sections(&listener).start().await;
    let port = hub.service().addresses()[1].port();
    Secured { hub, port, servers, clients: of_clients, own, folder }
}

/// Whether both programs are there.
fn has_tools(test: &str) -> bool {
    let is_there = |name: &str| {
        std::process::Command::new(name).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    let there = is_there("openssl") && is_there("curl");
    if !there {
        skipped(test, "openssl or curl is not there");
    }
    there
}

/// What `openssl s_client` says of an agreement with these arguments, and whether there was one.
async fn s_client(port: u16, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new("openssl");
    command.args([
        "s_client",
        "-connect",
        &format!("127.0.0.1:{port}"),
        "-servername",
        NAME,
        "-brief",
        "-verify_return_error",
    ]);
    let output = command.args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(crate::support::PATIENCE, output).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    (output.status.success() && said.contains("CONNECTION ESTABLISHED"), said)
}

/// The status that curl gets of a path, and the body; what it says where it gets none.
async fn curl(port: u16, roots: &Path, path: &str, arguments: &[&str]) -> Result<(u16, String), String> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "20", "--write-out", "\n%{http_code}"]);
    command.args(["--resolve", &format!("{NAME}:{port}:127.0.0.1"), "--cacert", roots.to_str().unwrap()]);
    command.args(arguments).arg(format!("https://{NAME}:{port}{path}"));
    let output = command.kill_on_drop(true).output().await.unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let said = String::from_utf8(output.stdout).unwrap();
    let (body, status) = said.rsplit_once('\n').unwrap();
    Ok((status.parse().unwrap(), body.to_owned()))
}
