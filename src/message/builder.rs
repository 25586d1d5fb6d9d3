//! What the user writes.

use super::{Composed, InvalidMessage, Stamp};
use crate::address::Address;
use crate::store::Stream;
use crate::tag::Tag;
use crate::time::Timestamp;

/// A message to be sent.
#[derive(Debug, Clone)]
pub struct Message {
    pub(crate) options: Options,
}

/// What is not content.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    pub(crate) recipients: Vec<Address>,
    pub(crate) tag: Option<Tag>,
    pub(crate) metadata: Option<String>,
    pub(crate) mailing: Option<String>,
    pub(crate) stream: Stream,
    pub(crate) deadline: Option<std::time::Duration>,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) return_domain: Option<String>,
}

/// Builds a [`Message`].
#[derive(Debug, Clone, Default)]
pub struct MessageBuilder {}

impl Message {
    /// The domain of the From field, by which the return-path domain is chosen.
    pub(crate) fn from_domain(&self) -> Option<&str> {
        unimplemented!()
    }

    /// A hash over everything that was given, for the idempotency key.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        unimplemented!()
    }

    /// The content that goes out, complete but for what is prepended per delivery.
    pub(crate) fn compose(&self, stamp: &Stamp) -> Result<Composed, InvalidMessage> {
        let _ = stamp;
        unimplemented!()
    }
}
