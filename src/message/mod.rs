//! A message on its way in: built or given as bytes, checked, made fit for any host.
//!
//! ```text
//! Message::builder() ─► content ─┐
//!                                ├─► normalise (─► mime) ─► Message ──compose──► Composed
//! Message::raw(bytes) ───────────┘
//! ```
//!
//! A message is checked and made 7-bit when it is built, so what is wrong is told before anything is queued, and a
//! signature that is made later is never broken by a relay that has to re-encode. [`Message`] says what is changed
//! and what is not.

mod builder;
mod compose;
mod content;
mod custom;
mod fingerprint;
mod headers;
mod mailbox;
mod mime;
mod normalise;
#[cfg(test)]
mod tests;

pub use builder::MessageBuilder;
pub use compose::Message;
pub(crate) use compose::{Composed, Stamp};
pub use headers::InvalidMessage;
pub use mailbox::IntoMailboxes;

pub use crate::store::Stream;
