//! What hides in a request over TLS is no more done than in clear: the same bytes, by OpenSSL.

use std::{process::Stdio, time::Duration};

use tokio::{io::AsyncWriteExt as _, process::Command};

use super::{NAME, Secured, has_tools, secured};

/// What hides behind another request.
const HIDDEN: &str = "GET /metrics HTTP/1.1\r\nHost: onward\r\nConnection: close\r\n\r\n";

/// All that comes over a connection of its own on which this is written.
async fn told(it: &Secured, bytes: &str) -> String {
    let at = format!("127.0.0.1:{}", it.port);
    let mut client = Command::new("openssl");
    client.args(["s_client", "-quiet", "-verify_return_error", "-servername", NAME, "-connect", &at, "-CAfile"]);
    client.arg(it.servers.file()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut client = client.kill_on_drop(true).spawn().unwrap();
    client.stdin.as_mut().unwrap().write_all(bytes.as_bytes()).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(20), client.wait_with_output()).await;
    String::from_utf8_lossy(&ended.expect("the connection is kept open").unwrap().stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_hides_in_another_over_tls() {
    if !has_tools("tls::wire") {
        return;
    }
    let it = secured("", "", "").await;
    let live = "GET /health/live HTTP/1.1\r\nHost: onward\r\nConnection: close\r\n\r\n";
    assert!(told(&it, live).await.starts_with("HTTP/1.1 200 "), "the control");
    let post = |lines: &str, body: &str| format!("POST /health/live HTTP/1.1\r\nHost: onward\r\n{lines}\r\n{body}");
    let chunked = format!("0\r\n\r\n{HIDDEN}");
    for (about, bytes) in [
        ("two lengths", post("Content-Length: 0\r\nContent-Length: 67\r\n", HIDDEN)),
        ("a list of lengths", post("Content-Length: 0, 67\r\n", HIDDEN)),
        ("both", post("Content-Length: 67\r\nTransfer-Encoding: chunked\r\n", &chunked)),
        ("a space before the colon", post("Transfer-Encoding : chunked\r\n", &chunked)),
        ("a coding that is almost chunked", post("Transfer-Encoding: xchunked\r\n", &chunked)),
        ("a bare CR", post("X-A: b\rContent-Length: 67\r\n", HIDDEN)),
        ("two hosts", format!("GET /metrics HTTP/1.1\r\nHost: onward\r\nHost: b\r\n\r\n{HIDDEN}")),
        ("no host", format!("GET /metrics HTTP/1.1\r\n\r\n{HIDDEN}")),
    ] {
        let told = told(&it, &bytes).await;
        let statuses: Vec<&str> = told.split("HTTP/1.1 ").skip(1).filter_map(|rest| rest.get(..3)).collect();
        assert!(statuses.len() <= 1 && statuses.iter().all(|status| status.starts_with('4')), "{about}: {statuses:?}");
        assert!(!told.contains("onward_"), "{about}: {told}");
    }
    it.hub.stop().await;
}
