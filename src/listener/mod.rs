//! The server's half of an SMTP conversation, without sockets: takes what comes back.

mod admit;
mod limits;
mod stage;

pub(crate) use admit::{Admission, Gate, Role};
pub(crate) use limits::ReceptionConfig;
pub(crate) use stage::{Action, Received, Reception, Recipient};
