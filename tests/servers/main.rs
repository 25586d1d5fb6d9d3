//! Against real servers: the mailer sends through a Postfix, which refuses some recipients in the conversation, accepts
//! others and later returns them to the mailer's listener.
//!
//! A Postfix is started for each test, on loopback, with a configuration, a queue and a log of its own. That takes
//! Linux, root and the installed programs. Without them a test prints `skipped: …` and passes; with `CI=true` in the
//! environment it fails instead, so that nobody believes to have tested what was not there.
#![cfg(feature = "sqlite")]

mod bounces;
mod daemon;
mod pipelining;
mod postfix;
mod skipped;
mod starttls;
mod subscribers;

use std::time::Duration;

use skipped::{announce, skipped};

/// Waits for what must come; the time is only there to end a test that would hang.
async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// Far longer than anything here takes on a slow machine that is busy otherwise.
const PATIENCE: Duration = Duration::from_secs(180);
