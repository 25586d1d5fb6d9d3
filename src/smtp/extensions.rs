//! What a remote host offers in answer to EHLO.

/// The extensions that matter to us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Extensions {
    pub(crate) pipelining: bool,
    pub(crate) chunking: bool,
    pub(crate) eight_bit_mime: bool,
    pub(crate) smtputf8: bool,
    pub(crate) starttls: bool,
    pub(crate) dsn: bool,
    pub(crate) enhanced_status_codes: bool,
    /// SIZE; `Some(0)` or `None`: no limit told.
    pub(crate) size: Option<u64>,
}
