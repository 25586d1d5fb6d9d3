//! The content that goes out.

use std::sync::Arc;

use crate::time::Timestamp;

/// What is added where it is missing.
#[derive(Debug, Clone)]
pub(crate) struct Stamp {
    pub(crate) date: Timestamp,
    /// Without angle brackets; used only where the message has none.
    pub(crate) message_id: String,
}

/// A message fit for any host.
#[derive(Debug, Clone)]
pub(crate) struct Composed {
    pub(crate) bytes: Arc<[u8]>,
    /// Raw UTF-8 in the header: SMTPUTF8 is needed, whatever the addresses are.
    pub(crate) smtputf8: bool,
    /// Octets above 127 in the body that may not be re-encoded (the message was signed before).
    pub(crate) eight_bit: bool,
}
