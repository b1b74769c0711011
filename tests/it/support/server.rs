//! A FHIR server on the other side of Onward, looked at from outside: `sekmet-fhir`, which nobody here wrote, or our double.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use hyper::Method;
use onward::demo::{
    caller::{Call, Caller, FHIR_JSON},
    double::{self, Double},
};
use serde_json::Value;

use super::{plan::token, skipped, until};

/// See the module's documentation.
#[derive(Clone)]
pub enum Server {
    /// Held by `sekmet`.
    Sekmet(Arc<Sekmet>),
    /// In this process.
    Double(Arc<Double>),
}

/// A running `sekmet`; ended when dropped.
pub struct Sekmet {
    child: Child,
    address: SocketAddr,
    token: String,
    caller: Caller,
    _folder: tempfile::TempDir,
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Sekmet {
    /// One that lets in who has the token of `name`. `None` where it is not installed, which is noted.
    pub async fn start(test: &str, name: &str) -> Option<Arc<Self>> {
        let Some(program) = std::env::var_os("ONWARD_TEST_SEKMET") else {
            skipped(test, "no sekmet-fhir (ONWARD_TEST_SEKMET)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let (port, token) = (free_port(), token(name));
        let file = folder.path().join("sekmet.yaml");
        let text = format!(
            "base_url: http://127.0.0.1:{port}/fhir\nhost: 127.0.0.1\nport: {port}\ndb_path: \":memory:\"\nlog_inbound: false\n\
             simulator: {{enabled: false}}\nserver_auth: {{types: [bearer], tokens: [{token}]}}\n"
        );
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(program);
        command.arg("serve").arg("-c").arg(&file).current_dir(folder.path());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let server = Arc::new(Self { child, address, token, caller: Caller::new(), _folder: folder });
        until("sekmet is ready", || async {
            let answer = server.caller.call(Call::get(format!("http://{address}/fhir/metadata"))).await;
            answer.is_ok_and(|a| a.status.is_success()).then_some(())
        })
        .await;
        Some(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    async fn get(&self, url: String) -> Value {
        let answer = self.caller.call(Call::get(url).token(&self.token)).await.unwrap();
        assert!(answer.status.is_success(), "{}", answer.describe());
        answer.json()
    }

    /// All resources of a type.
    pub async fn all(&self, kind: &str) -> Vec<Value> {
        let mut found: Vec<Value> = Vec::new();
        loop {
            let (address, offset) = (self.address, found.len());
            let page = self.get(format!("http://{address}/fhir/{kind}?_count=1000&_sort=_id&_offset={offset}")).await;
            let entries = page["entry"].as_array().cloned().unwrap_or_default();
            found.extend(entries.iter().map(|e| e["resource"].clone()));
            let total = page["total"].as_u64().unwrap() as usize;
            if entries.is_empty() || found.len() >= total {
                assert_eq!(found.len(), total, "{kind}");
                return found;
            }
        }
    }

    /// Puts a resource as somebody at that system would; only over the version it was made from, if it has one.
    pub async fn put(&self, resource: &Value) -> bool {
        let (kind, id) = (resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        let url = format!("http://{}/fhir/{kind}/{id}", self.address);
        let mut call = Call::new(Method::PUT, url).token(&self.token).json(FHIR_JSON, resource);
        if let Some(version) = resource["meta"]["versionId"].as_str() {
            call = call.header("if-match", format!("W/\"{version}\""));
        }
        self.caller.call(call).await.is_ok_and(|a| a.status.is_success())
    }
}

impl Drop for Sekmet {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// A double that wants the token of `name`.
    pub async fn double(name: &str) -> Arc<Double> {
        let options = double::Options { token: Some(token(name)), ..Default::default() };
        Arc::new(Double::start(options).await.unwrap())
    }

    /// All resources of a type, newest versions.
    pub async fn all(&self, kind: &str) -> Vec<Value> {
        match self {
            Self::Sekmet(sekmet) => sekmet.all(kind).await,
            Self::Double(double) => double.resources(kind).iter().map(|r| (**r).clone()).collect(),
        }
    }

    /// Puts a resource as somebody at that system would.
    pub async fn put(&self, resource: &Value) -> bool {
        match self {
            Self::Sekmet(sekmet) => sekmet.put(resource).await,
            Self::Double(double) => double.put_resource(resource.clone()).is_some(),
        }
    }

    /// All versions of a resource, oldest first.
    pub async fn history(&self, kind: &str, id: &str) -> Vec<Value> {
        match self {
            Self::Sekmet(sekmet) => {
                let bundle =
                    sekmet.get(format!("http://{}/fhir/{kind}/{id}/_history?_count=1000", sekmet.address)).await;
                let mut versions: Vec<Value> =
                    bundle["entry"].as_array().unwrap().iter().map(|e| e["resource"].clone()).collect();
                versions.sort_by_key(|v| v["meta"]["versionId"].as_str().unwrap().parse::<u64>().unwrap());
                versions
            }
            Self::Double(double) => double.versions(kind, id).iter().map(|v| (*v.resource).clone()).collect(),
        }
    }
}

/// Where a double listens.
pub fn address_of(double: &Double) -> SocketAddr {
    let rest = double.base_url().strip_prefix("http://").unwrap();
    rest.split('/').next().unwrap().parse().unwrap()
}
