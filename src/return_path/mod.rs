//! The return path of one delivery: minted, sealed, and opened again when something comes back to it.
//!
//! `b` + token + `@b.example.org`: the token carries the delivery id, the user's tag and a seal that only the ring can
//! make, in an alphabet that survives case folding. Nothing has to be looked up to know that a path is ours, so a wrong
//! one is refused at RCPT, before any data. What the bytes are is in `token`, what the seal is worth in `seal`, what
//! is forgiven on the way back in `wrappers`.

#[cfg(feature = "testing")]
pub(crate) mod bench;
mod domains;
mod form;
mod keyfile;
mod keyring;
mod mark;
mod open;
mod seal;
mod stored;
#[cfg(test)]
mod tests;
mod token;
mod wrappers;

pub(crate) use domains::ReturnDomains;
pub(crate) use form::{Form, Forms};
pub use form::{InvalidLayout, Layout, TagPlacement};
pub use keyring::{Fingerprint, KeyInfo, KeyState, Keyring, KeyringError};
pub(crate) use mark::MARK_FIELD;
pub(crate) use open::{Refusal, Returned};

use crate::address::Address;

/// The return path of one delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnPath {
    pub(crate) address: Address,
    pub(crate) tag_in_path: bool,
}

impl ReturnPath {
    /// The address that goes into MAIL FROM.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Whether the tag is in the path itself; otherwise it is in the store only.
    pub fn carries_tag(&self) -> bool {
        self.tag_in_path
    }

    /// How many octets are left before a forwarder's SRS address (`SRS0=HHHH=TT=domain=local`) exceeds the 64
    /// octets of a local part (RFC 5321 §4.5.3.1.1); negative if it does. A forwarded message is then refused
    /// because of our address: a shorter return-path domain helps, or [`TagPlacement::Store`].
    pub fn srs_margin(&self) -> i16 {
        srs_margin(self.address.domain(), self.address.local().len())
    }
}

/// As [`ReturnPath::srs_margin`], for a local part of `local` octets.
fn srs_margin(domain: &str, local: usize) -> i16 {
    let srs = SRS_OVERHEAD + domain.len() + 1 + local;
    Address::MAX_LOCAL as i16 - srs as i16
}

/// Octets of `SRS0=HHHH=TT=`, as forwarders write it: four characters of a hash, two of a time.
const SRS_OVERHEAD: usize = 13;
