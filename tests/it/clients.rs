//! FHIR clients that others wrote, each a program of its own against a running Onward: what each does stands in
//! `tests/clients`, and `tests/clients/pending.txt` names what they ask for that is not there yet.

use std::{ffi::OsString, path::PathBuf};

use crate::support::{hub::Hub, skipped};

mod scene;
pub mod script;

use script::Script;

/// A script of `tests/clients/python`, run by the Python that has the clients.
async fn python(name: &str, file: &str, at_least: usize) {
    run(name, at_least, std::env::var_os("ONWARD_TEST_CLIENTS_PYTHON"), &format!("python/{file}")).await;
}

/// A script of `tests/clients/node`.
async fn node(name: &str, at_least: usize) {
    let Some(modules) = modules(name) else { return };
    let folder = tempfile::tempdir().unwrap();
    // a module is looked for beside the script that names it, and what is installed does not lie in the sources
    for file in std::fs::read_dir(script::path("node")).unwrap() {
        let file = file.unwrap().path();
        std::fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
    }
    std::os::unix::fs::symlink(modules, folder.path().join("node_modules")).unwrap();
    let path = folder.path().join(format!("{name}.mjs"));
    run(name, at_least, Some("node".into()), path.to_str().unwrap()).await;
}

fn modules(name: &str) -> Option<PathBuf> {
    let modules = std::env::var_os("ONWARD_TEST_CLIENTS_NODE").map(PathBuf::from);
    if modules.is_none() {
        skipped(&format!("clients::{name}"), "no npm packages (ONWARD_TEST_CLIENTS_NODE)");
    }
    modules
}

async fn run(name: &str, at_least: usize, program: Option<OsString>, path: &str) {
    let Some(program) = program else {
        skipped(&format!("clients::{name}"), "no Python environment (ONWARD_TEST_CLIENTS_PYTHON, ONWARD_TEST_SEKMET)");
        return;
    };
    let hub = Hub::start().await;
    let environment = scene::set(&hub).await;
    let script = Script { name, program, path: script::path(path), environment };
    let told = script.run().await;
    hub.stop().await;
    told.judge(at_least);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fhirclient_of_python() {
    python("fhirclient-py", "with_fhirclient.py", 44).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fhirpy() {
    python("fhirpy", "with_fhirpy.py", 50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pyfhircheck() {
    python("pyfhircheck", "with_pyfhircheck.py", 57).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sekmet() {
    let python =
        std::env::var_os("ONWARD_TEST_SEKMET").map(|sekmet| PathBuf::from(sekmet).with_file_name("python").into());
    run("sekmet", 57, python, "python/with_sekmet.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fhir_kit_client() {
    node("fhir-kit-client", 47).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fhirclient_of_javascript() {
    node("fhirclient-js", 25).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_medplum_does() {
    node("medplum", 10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemathesis() {
    python("schemathesis", "with_schemathesis.py", 200).await;
}

/// A system that makes its keys, its key set and its assertions with what others wrote.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pyjwt() {
    let Some(program) = std::env::var_os("ONWARD_TEST_PYJWT") else {
        return skipped("clients::pyjwt", "no Python environment (ONWARD_TEST_PYJWT)");
    };
    let (folder, path) = (tempfile::tempdir().unwrap(), script::path("python/with_pyjwt.py"));
    let made = tokio::process::Command::new(&program).arg(&path).arg("keys").arg(folder.path()).status().await.unwrap();
    assert!(made.success());
    let keys = folder.path().join("jwks.json");
    let hub = Hub::build().rio(&format!("jwks = {:?}", keys.to_str().unwrap())).start().await;
    let environment = vec![
        ("ONWARD_BASE", format!("{}/fhir", hub.base_url)),
        ("ONWARD_KEYS", folder.path().to_str().unwrap().to_owned()),
        ("ONWARD_CLIENT", format!("system/{}", crate::support::hub::RIO)),
    ];
    let told = Script { name: "pyjwt", program, path, environment }.run().await;
    hub.stop().await;
    told.judge(22);
}
