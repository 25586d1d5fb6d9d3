//! A message on its way in: built or given as bytes, checked, made fit for any host.

mod builder;
mod compose;
mod headers;
mod normalise;

pub use builder::{Message, MessageBuilder};
pub(crate) use compose::{Composed, Stamp};
pub use headers::InvalidMessage;
