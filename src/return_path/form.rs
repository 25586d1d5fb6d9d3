//! Forms of return paths: domain, prefix and separator, and where the tag goes.

use crate::time::Timestamp;

/// How the local part of a return path starts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Layout {
    pub(crate) prefix: String,
    pub(crate) separator: String,
}

/// Where the tag goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TagPlacement {
    /// Into the return path while a forwarder's SRS address still fits 64 octets, else into the store only.
    #[default]
    Fit,
    /// Into the return path; an error only above 64 octets.
    Always,
    /// Into the store only.
    Store,
}

/// One form of return paths of ours.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Form {
    /// Lower-case A-label.
    pub(crate) domain: String,
    pub(crate) layout: Layout,
}

/// The forms that are accepted: those configured, and those used before that may still come back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Forms {
    /// With the time until which each is accepted.
    pub(crate) accepted: Vec<(Form, Timestamp)>,
}
