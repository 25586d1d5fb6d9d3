//! Replies (RFC 5321 §4.2) with enhanced status codes (RFC 2034).

use crate::verdict::EnhancedStatus;

/// One whole reply of a remote host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    /// 200 to 599.
    pub(crate) code: u16,
    /// The enhanced code, parsed once, also as `#5.1.1` or `5.1.1:`; only where its class agrees with `code`.
    pub(crate) status: Option<EnhancedStatus>,
    /// All lines joined with a space, repeated enhanced codes removed, decoded leniently.
    pub(crate) text: String,
}

/// Takes bytes however they are cut and gives whole replies.
#[derive(Debug, Default)]
pub(crate) struct ReplyParser {}
