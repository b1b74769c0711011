//! The first steps that `deploy/README.md` shows are those that work: they are taken out of it and run.

use std::{
    net::TcpStream,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use super::run;
use crate::support::{server::free_port, skipped, until};

/// The blocks of a section in this language.
fn blocks(section: &str, language: &str) -> Vec<String> {
    let text = include_str!("../../../deploy/README.md");
    let section = text.split(&format!("\n## {section}\n")).nth(1).unwrap().split("\n## ").next().unwrap();
    let opening = format!("```{language}\n");
    let begun = section.split(&opening).skip(1);
    begun.map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// Ends what was begun.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// In this folder, where `onward` is the program that is tested.
fn shell(folder: &Path, script: &str) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_onward")).parent().unwrap().display().to_string();
    let mut command = Command::new("bash");
    let ours = std::env::vars().map(|(name, _)| name).filter(|name| name.starts_with("ONWARD"));
    ours.for_each(|name| {
        command.env_remove(name);
    });
    command.env("PATH", format!("{program}:{}", std::env::var("PATH").unwrap()));
    command.args(["-eu", "-o", "pipefail", "-c", script]).current_dir(folder).stdin(Stdio::null());
    command
}

fn done(folder: &Path, script: &str) -> String {
    let Output { status, stdout, stderr } = shell(folder, script).output().unwrap();
    assert!(status.success(), "{script}\n{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_gets_a_first_system_in_by_the_steps_that_are_told() {
    let is_there = |name: &str| Command::new(name).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if ["bash", "openssl", "curl"].iter().any(|name| is_there(name).is_err()) {
        return skipped("cli::newcomer", "bash, openssl or curl is not there");
    }
    let folder = tempfile::tempdir().unwrap();
    let port = free_port().to_string();
    let of = |language: &str| -> Vec<String> {
        blocks("A first system that signs", language).iter().map(|block| block.replace("8443", &port)).collect()
    };
    let (commands, config) = (of("sh"), of("toml"));
    let [make, serve, ask] = &commands[..] else { panic!("{commands:?}") };
    done(folder.path(), make);
    std::fs::write(folder.path().join("onward.toml"), &config[0]).unwrap();
    let (check, serve) = serve.split_once('\n').unwrap();
    assert!(done(folder.path(), check).starts_with("good: 1 system"));
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let mut serving = shell(folder.path(), &format!("exec {serve}"));
    let _serving = Serving(serving.stdout(Stdio::null()).stderr(log).spawn().unwrap());
    until("it listens", || async { TcpStream::connect(format!("127.0.0.1:{port}")).ok() }).await;
    let answer: serde_json::Value = serde_json::from_str(&done(folder.path(), ask)).unwrap();
    assert_eq!((&answer["resourceType"], &answer["type"]), (&"Bundle".into(), &"searchset".into()), "{answer}");
    // what it may not it is not given, and the key of another gets nothing
    let beyond = ask.replace("scope=system/Task.rs", "scope=system/Patient.rs");
    assert!(!shell(folder.path(), &beyond).output().unwrap().status.success());
    done(folder.path(), "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out other.key");
    assert!(!shell(folder.path(), &ask.replace("rio.key", "other.key")).output().unwrap().status.success());
}

#[test]
fn keys_that_are_of_no_use_are_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("p256.pem"), rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    std::fs::write(folder.path().join("none.pem"), "not a key").unwrap();
    for (file, kid) in [("p256.pem", "a"), ("none.pem", "a"), ("absent.pem", "a"), ("p256.pem", "")] {
        let ran = run(folder.path(), &["keys", "public", file, "--kid", kid]);
        assert!(ran.code == 1 && ran.out.is_empty() && !ran.err.contains("PRIVATE"), "{file}: {ran:?}");
    }
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    std::fs::write(folder.path().join("p384.pem"), pair.serialize_pem()).unwrap();
    let ran = run(folder.path(), &["keys", "public", "p384.pem", "--kid", "k-1"]);
    let key = &ran.json()["keys"][0];
    assert_eq!(
        (&key["kid"], &key["crv"], &key["use"], &key["alg"]),
        (&"k-1".into(), &"P-384".into(), &"sig".into(), &"ES384".into())
    );
    assert!(key.get("d").is_none(), "its private half stays where it is");
}
