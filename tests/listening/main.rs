//! What comes back: a mailer with its listener, and hosts that talk to it.

mod attribution;
mod gate;
mod limits;
mod peer;
mod rig;
mod secured;
