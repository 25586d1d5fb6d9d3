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
mod starttls;
mod subscribers;

use std::io::Write as _;
use std::time::Duration;

/// Writes a line that is also seen when the test passes: the test harness captures only what the macros print.
fn announce(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Says that a test was not run.
///
/// # Panics
///
/// With `CI=true` in the environment.
fn skipped(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
    let thread = std::thread::current();
    announce(&format!("skipped: {}: {why}", thread.name().unwrap_or("a test")));
}

/// Waits for what must come; the time is only there to end a test that would hang.
async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// Far longer than anything here takes on a slow machine that is busy otherwise.
const PATIENCE: Duration = Duration::from_secs(180);
