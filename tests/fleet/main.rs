//! Several daemons on one PostgreSQL: they share the queue, and nothing is lost when one of them, or the database, dies.
//!
//! A cluster is started for each test, on loopback, in a folder of its own. That takes the installed programs of
//! PostgreSQL, and root or a user of its own to run them. Without them a test prints `skipped: …` and passes; with
//! `CI=true` in the environment it fails instead. `RETURNPATH_SCALE=full` runs the large sizes.
#![cfg(all(feature = "postgres", feature = "testing", unix))]

mod cluster;
mod deaths;
mod fleet;
mod keys;
#[path = "../daemon/name_server.rs"]
#[expect(dead_code, reason = "the daemon's own tests use the rest of it")]
mod name_server;
#[path = "../daemon/process.rs"]
#[expect(dead_code, reason = "the daemon's own tests use the rest of it")]
mod process;
mod share;
#[path = "../servers/skipped.rs"]
mod skipped;
mod story;

use skipped::skipped;
