//! What a store does, as figures: every implementation counts the same things under the same names, so that what a referral
//! costs is counted and not assumed.

/// A write that must be durable before it is answered, by the name of the port's method. Many share one commit.
pub(crate) fn written(op: &'static str) {
    metrics::counter!("onward_store_writes_total", "op" => op).increment(1);
}

/// A read.
pub(crate) fn read() {
    metrics::counter!("onward_store_reads_total").increment(1);
}

/// A transaction that was committed, with all the writes that shared it.
pub(crate) fn committed() {
    metrics::counter!("onward_store_commits_total").increment(1);
}
