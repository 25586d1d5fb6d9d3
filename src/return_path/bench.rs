//! What `benches/token.rs` drives: the ring is not public, since a proof that a path opened must not leave the crate.

use std::time::Duration;

use super::{Form, Forms, Keyring, Layout, TagPlacement};
use crate::id::DeliveryId;
use crate::tag::Tag;

/// A ring, and one return-path domain.
#[derive(Debug)]
pub struct Sealing {
    ring: Keyring,
    form: Form,
    accepted: Forms,
}

impl Sealing {
    /// A new ring, and return paths at `b.example.org`.
    pub fn new() -> Sealing {
        let form = Form::new("b.example.org", Layout::default()).expect("a domain");
        let accepted = Forms::new([&form], &[], Duration::ZERO);
        Sealing { ring: Keyring::generate(), form, accepted }
    }

    /// The return path of a delivery.
    pub fn mint(&self, delivery: DeliveryId, tag: Option<Tag>) -> String {
        let path = self.ring.mint(&self.form, delivery, tag, TagPlacement::Always).expect("the tag fits");
        path.address().to_string()
    }

    /// Whether a path opens a moment after the delivery was made.
    pub fn opens(&self, path: &str, delivery: DeliveryId) -> bool {
        self.ring.open(path, &self.accepted, Duration::from_secs(1), delivery.issued_at()).is_ok()
    }
}

impl Default for Sealing {
    fn default() -> Sealing {
        Sealing::new()
    }
}
