//! The one public error.

use std::fmt;

/// What went wrong in this crate. A refused mail is not an error: it is an event, with a verdict.
///
/// The predicates say what kind of thing went wrong; `Display` names the field and the rule, or what to do.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    text: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Config,
    Message,
    Busy,
    Conflict,
    Storage,
    Network,
    Closed,
}

impl Error {
    pub(crate) fn new(kind: Kind, text: impl Into<String>) -> Error {
        Error(Box::new(Inner { kind, text: text.into(), source: None }))
    }

    pub(crate) fn caused(
        kind: Kind,
        text: impl Into<String>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Error {
        Error(Box::new(Inner { kind, text: text.into(), source: Some(Box::new(source)) }))
    }

    /// A setting is missing or wrong. The text lists every one of them.
    pub fn is_config(&self) -> bool {
        self.0.kind == Kind::Config
    }

    /// The message cannot be sent as it is. The text names the field and the rule.
    pub fn is_message(&self) -> bool {
        self.0.kind == Kind::Message
    }

    /// The store had no room for the message within `submit_timeout`, or another program has held a write transaction on
    /// its database for as long. Nothing was queued; try again later.
    pub fn is_busy(&self) -> bool {
        self.0.kind == Kind::Busy
    }

    /// The idempotency key was used before for other content. Nothing was queued.
    pub fn is_conflict(&self) -> bool {
        self.0.kind == Kind::Conflict
    }

    /// The store failed: disk, file, lock, format.
    pub fn is_storage(&self) -> bool {
        self.0.kind == Kind::Storage
    }

    /// A socket of ours could not be opened.
    pub fn is_network(&self) -> bool {
        self.0.kind == Kind::Network
    }

    /// The name of the setting or of the part of the message that is wrong, if the text begins with one.
    pub fn field(&self) -> Option<&str> {
        if !matches!(self.0.kind, Kind::Config | Kind::Message | Kind::Conflict) {
            return None;
        }
        let (field, _) = self.0.text.split_once(": ")?;
        let name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        (!field.is_empty() && field.chars().all(name)).then_some(field)
    }

    /// The mailer was shut down.
    pub fn is_closed(&self) -> bool {
        self.0.kind == Kind::Closed
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.kind, self.0.text)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| &**source as _)
    }
}

impl From<std::convert::Infallible> for Error {
    fn from(never: std::convert::Infallible) -> Error {
        match never {}
    }
}

impl From<crate::message::InvalidMessage> for Error {
    fn from(error: crate::message::InvalidMessage) -> Error {
        Error::caused(Kind::Message, error.to_string(), error)
    }
}

impl From<crate::address::InvalidAddress> for Error {
    fn from(error: crate::address::InvalidAddress) -> Error {
        Error::caused(Kind::Message, error.to_string(), error)
    }
}

impl From<crate::tag::TagTooLong> for Error {
    fn from(error: crate::tag::TagTooLong) -> Error {
        Error::caused(Kind::Message, error.to_string(), error)
    }
}

impl From<crate::return_path::KeyringError> for Error {
    fn from(error: crate::return_path::KeyringError) -> Error {
        Error::caused(Kind::Config, format!("keyring: {error}"), error)
    }
}

impl From<crate::verdict::InvalidRules> for Error {
    fn from(error: crate::verdict::InvalidRules) -> Error {
        Error::caused(Kind::Config, format!("rules: {error}"), error)
    }
}

impl From<crate::store::StoreError> for Error {
    fn from(error: crate::store::StoreError) -> Error {
        use crate::store::StoreError;
        let kind = match error {
            StoreError::Closed => Kind::Closed,
            StoreError::Busy => Kind::Busy,
            _ => Kind::Storage,
        };
        Error::caused(kind, error.to_string(), error)
    }
}
