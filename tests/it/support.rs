//! What several modules share.

use std::{future::Future, io::Write as _, time::Duration};

pub mod bridge;
pub mod checker;
pub mod corpus;
pub mod fixtures;
pub mod flow;
pub mod frames;
pub mod hub;
pub mod memory;
pub mod onward;
pub mod plan;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod rabbitmq;
pub mod referrals;
pub mod scripts;
pub mod server;
pub mod stage;

/// How long anything may take that is waited for.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `probe` finds something; panics with `what` when it does not in time.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, probe: impl FnMut() -> F) -> T {
    until_within(PATIENCE, what, probe).await
}

/// The same with a limit of its own.
pub async fn until_within<T, F: Future<Output = Option<T>>>(
    limit: Duration,
    what: &str,
    mut probe: impl FnMut() -> F,
) -> T {
    let search = async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(limit, search).await.unwrap_or_else(|_| panic!("waited too long: {what}"))
}

/// Says that a test did not run, and why: on the terminal and in the list that `tests/run` shows at its end.
pub fn skipped(test: &str, why: &str) {
    let line = format!("SKIPPED: {test}: {why}\n");
    eprint!("{line}");
    if let Some(list) = std::env::var_os("ONWARD_TEST_SKIPPED") {
        let mut list = std::fs::File::options().append(true).create(true).open(list).unwrap();
        list.write_all(line.as_bytes()).unwrap();
    }
}
