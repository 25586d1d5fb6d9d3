//! The return path of one delivery: minted, sealed, and opened again when something comes back to it.

mod form;
mod keyring;
mod mark;
mod seal;
mod token;
mod wrappers;

pub(crate) use form::{Form, Forms};
pub use form::{Layout, TagPlacement};
pub use keyring::{KeyState, Keyring, KeyringError};
pub(crate) use keyring::{MintError, Refusal, Returned};

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
    /// octets of a local part; negative if it does.
    pub fn srs_margin(&self) -> i16 {
        let srs = 13 + self.address.domain().len() + 1 + self.address.local().len();
        Address::MAX_LOCAL as i16 - srs as i16
    }
}
