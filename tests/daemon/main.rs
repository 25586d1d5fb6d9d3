//! `examples/daemon` as a black box: a child process that is fed lines, talked to over SMTP, and killed.
//!
//! `RETURNPATH_SCALE=full` makes the long ones long.

#[cfg(feature = "sqlite")]
mod beside;
mod conversation;
mod crash;
mod disk;
mod input;
mod kills;
mod name_server;
mod postman;
mod process;
#[cfg(feature = "sqlite")]
mod restore;
mod route;
#[path = "../servers/skipped.rs"]
mod skipped;
mod start;
