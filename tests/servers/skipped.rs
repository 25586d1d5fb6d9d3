//! How a test says that it was not run, for what it needs is not there.

use std::io::Write as _;

/// Writes a line that is also seen when the test passes: the test harness captures only what the macros print.
pub(crate) fn announce(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Says that a test was not run.
///
/// # Panics
///
/// With `CI=true` in the environment.
pub(crate) fn skipped(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
    let thread = std::thread::current();
    announce(&format!("skipped: {}: {why}", thread.name().unwrap_or("a test")));
}
