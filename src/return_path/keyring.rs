//! The ring of secrets: mints and opens return paths and marks.

use std::path::Path;
use std::time::Duration;

use super::{Form, Forms, ReturnPath, TagPlacement};
use crate::id::DeliveryId;
use crate::store::StoredKey;
use crate::tag::Tag;
use crate::time::Timestamp;

/// The secrets behind the seals.
#[derive(Clone)]
pub struct Keyring {}

/// The states of a key, in order: accept, mint, retire, revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum KeyState {
    /// Opens paths; does not mint yet.
    Accept,
    /// Mints.
    Mint,
    /// Opens paths; mints no more.
    Retire,
    /// Opens nothing.
    Revoked,
}

/// A ring that cannot be used; the text names the file, the line and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
#[non_exhaustive]
pub struct KeyringError(pub(crate) String);

/// A return path cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MintError {
    /// Only with [`TagPlacement::Always`].
    #[error("tag: the return path would have a local part of {0} octets; at most 64 are allowed (RFC 5321 §4.5.3.1.1)")]
    TooLong(usize),
    /// The ring has no key that mints.
    #[error("the ring has no key in state `mint`")]
    NoKey,
}

/// The proof that somebody holds the return path of a delivery of ours. Only [`Keyring::open`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Returned {
    delivery: DeliveryId,
    tag: Option<Tag>,
}

impl Returned {
    pub(crate) fn delivery(&self) -> DeliveryId {
        self.delivery
    }

    /// The tag, where the path carries it.
    pub(crate) fn tag(&self) -> Option<Tag> {
        self.tag
    }
}

/// Why a path does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("not a return path of this instance")]
    NotOurs,
    #[error("the seal does not fit")]
    Forged,
    #[error("the key is unknown or revoked")]
    UnknownKey,
    #[error("too old")]
    Expired,
    #[error("from the future")]
    Future,
}

impl Keyring {
    /// A ring with one new random key that mints.
    pub fn generate() -> Keyring {
        unimplemented!()
    }

    /// Reads a key file.
    pub fn file(path: impl AsRef<Path>) -> Result<Keyring, KeyringError> {
        let _ = path;
        unimplemented!()
    }

    /// The ring as the store keeps it; an empty list is an empty ring.
    pub(crate) fn from_stored(keys: &[StoredKey]) -> Result<Keyring, KeyringError> {
        let _ = keys;
        unimplemented!()
    }

    /// For the store. `with_secrets` where the ring lives there.
    pub(crate) fn to_stored(&self, with_secrets: bool, now: Timestamp) -> Vec<StoredKey> {
        let _ = (with_secrets, now);
        unimplemented!()
    }

    /// Makes the return path of a delivery.
    pub(crate) fn mint(
        &self,
        form: &Form,
        delivery: DeliveryId,
        tag: Option<Tag>,
        placement: TagPlacement,
    ) -> Result<ReturnPath, MintError> {
        let _ = (form, delivery, tag, placement);
        unimplemented!()
    }

    /// Opens a path as it stood in RCPT TO, without the angle brackets: `local@domain`.
    pub(crate) fn open(
        &self,
        path: &str,
        forms: &Forms,
        honour_for: Duration,
        now: Timestamp,
    ) -> Result<Returned, Refusal> {
        let _ = (path, forms, honour_for, now);
        unimplemented!()
    }

    /// The mark of a delivery, for the Message-ID and a header field. It opens at no gate.
    pub(crate) fn mark(&self, delivery: DeliveryId) -> Result<String, MintError> {
        let _ = delivery;
        unimplemented!()
    }

    /// Opens a mark.
    pub(crate) fn open_mark(&self, mark: &str) -> Option<DeliveryId> {
        let _ = mark;
        unimplemented!()
    }
}
