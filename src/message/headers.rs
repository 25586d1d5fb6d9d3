//! Header fields.

/// The message cannot be sent as it is; the text names the field and the rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {rule}")]
#[non_exhaustive]
pub struct InvalidMessage {
    pub(crate) field: String,
    pub(crate) rule: String,
}
