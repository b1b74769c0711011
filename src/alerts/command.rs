//! Runs a program that reads an alert from its standard input.

use std::{process::Stdio, time::Duration};

use serde_json::Value;
use tokio::{io::AsyncWriteExt, process::Command};

/// A program that takes longer is ended.
const RUN_MAX: Duration = Duration::from_secs(30);

/// Runs it and waits for its end. What it prints is nobody's: it may repeat anything.
pub(super) async fn run(command: &[String], said: &Value) -> Result<(), String> {
    let Some((program, arguments)) = command.split_first() else { return Ok(()) };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("cannot be run: {error}"))?;
    let running = async {
        if let Some(mut input) = child.stdin.take() {
            // one that ends without reading says by its exit whether that was right
            let _ = input.write_all(format!("{said}\n").as_bytes()).await;
        }
        child.wait().await
    };
    match tokio::time::timeout(RUN_MAX, running).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("ended with {status}")),
        Ok(Err(error)) => Err(format!("cannot be waited for: {error}")),
        Err(_) => Err(format!("not done within {RUN_MAX:?}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shell(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).to_vec()
    }

    #[tokio::test]
    async fn the_program_reads_the_alert_and_says_by_its_exit_whether_it_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("told");
        assert_eq!(run(&shell(&format!("cat > {}", file.display())), &json!({"kind": "overdue"})).await, Ok(()));
        assert_eq!(std::fs::read_to_string(file).unwrap(), "{\"kind\":\"overdue\"}\n");
        assert!(run(&shell("exit 3"), &json!({})).await.unwrap_err().contains('3'));
        assert!(run(&["/no/such/program".to_owned()], &json!({})).await.unwrap_err().contains("cannot be run"));
    }
}
