//! The client's half of an SMTP conversation, from the first MAIL to QUIT, without sockets.

mod pipeline;
mod stage;

pub(crate) use pipeline::{Action, Ended, Session, SessionConfig, Transaction};
pub use stage::Stage;
