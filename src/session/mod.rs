//! The client's half of an SMTP conversation, from the first MAIL to QUIT, without sockets.
//!
//! [`Session`] decides what goes out when (`pipeline`) and what each reply means for its transaction (`hearing`);
//! `flight` is a transaction and its step, `envelope` writes its commands, `body` its data. What a failure means for the
//! recipient, the host or the site is decided in [`crate::verdict`].

mod body;
mod envelope;
mod flight;
mod hearing;
mod pipeline;
#[cfg(test)]
mod simulation;
mod stage;
#[cfg(test)]
mod tests;
mod transaction;
#[cfg(any(test, fuzzing))]
mod witness;

pub(crate) use pipeline::{Action, Session, SessionConfig};
pub use stage::Stage;
pub(crate) use transaction::{Ended, Transaction};
#[cfg(any(test, fuzzing))]
pub(crate) use witness::watch;
