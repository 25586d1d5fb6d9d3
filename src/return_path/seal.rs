//! The seal: what only the ring can make, and the one place where it is compared.
//!
//! From each secret of the ring one key is derived per use, by HMAC-SHA256 over a label (the extract-then-label
//! idea of RFC 5869 §2.3 with a uniform secret). What is made for one use is therefore noise in every other: a
//! mark, which is public, tells nothing about the return path of the same delivery. A further use is a further
//! label; labels are never used twice.
//!
//! # Why 56 bits suffice
//!
//! A seal can only be guessed online: whether a guess is right is answered by our listener alone, at RCPT, once
//! per command. At ten thousand guesses a second without a pause the first right one is to be expected after
//! 2^56 / 10^4 seconds, that is more than 200,000 years, and it would speak for one delivery only, within
//! `honour_for`. There is nothing to attack offline: the key has 256 bits, and a seal that is too short for its
//! key cannot confirm a guess of it. Two paths with equal seals are of no use either, since a seal is checked against
//! what stands before it and never looked up. Longer seals would cost what a forwarder's SRS address needs.

use aws_lc_rs::{constant_time, hmac};

use super::Form;
use crate::id::DeliveryId;

/// The secret of one key.
pub(crate) type Secret = [u8; 32];

/// A truncated HMAC. It has no `==`: [`Seal::fits`] compares in constant time.
#[derive(Clone, Copy)]
pub(crate) struct Seal([u8; Seal::LEN]);

impl Seal {
    /// In bytes; see the module for why it is enough.
    pub(crate) const LEN: usize = 7;

    pub(crate) fn from_bytes(bytes: [u8; Seal::LEN]) -> Seal {
        Seal(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; Seal::LEN] {
        &self.0
    }

    /// Whether both are the same, in a time that does not tell how much of them is. (`hmac::verify` wants all 32
    /// bytes.)
    pub(crate) fn fits(&self, other: &Seal) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }

    fn of(tag: &hmac::Tag) -> Seal {
        let mut seal = [0; Seal::LEN];
        seal.copy_from_slice(&tag.as_ref()[..Seal::LEN]);
        Seal(seal)
    }
}

/// The keys of one secret, one per use.
#[derive(Clone)]
pub(crate) struct Keys {
    path: hmac::Key,
    mark: hmac::Key,
    tag: hmac::Key,
}

impl Keys {
    pub(crate) fn derive(secret: &Secret) -> Keys {
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let key = |label: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&root, label).as_ref());
        Keys { path: key(KEY_PATH), mark: key(KEY_MARK), tag: key(KEY_TAG) }
    }

    /// The seal of a return path: over everything in it, its domain and how it begins.
    pub(crate) fn seal_path(&self, form: &Form, header: u8, delivery: DeliveryId, tag: &[u8]) -> Seal {
        let layout = &form.layout;
        seal(
            &self.path,
            &[
                SEAL_PATH,
                form.domain.as_bytes(),
                layout.prefix.as_bytes(),
                layout.separator.as_bytes(),
                &[header],
                &delivery.as_u64().to_be_bytes(),
                tag,
            ],
        )
    }

    /// The seal of a mark: over the delivery alone, so that it reads the same under every domain.
    pub(crate) fn seal_mark(&self, header: u8, delivery: DeliveryId) -> Seal {
        seal(&self.mark, &[SEAL_MARK, &[header], &delivery.as_u64().to_be_bytes()])
    }

    /// Hides the tag from relays, or shows it again. The keystream depends on the seal, which depends on the tag,
    /// so no two tags of one delivery meet the same keystream.
    pub(crate) fn veil(&self, seal: &Seal, header: u8, delivery: DeliveryId, tag: &mut [u8]) {
        if tag.is_empty() {
            return;
        }
        let mut context = hmac::Context::with_key(&self.tag);
        context.update(seal.as_bytes());
        context.update(&[header]);
        context.update(&delivery.as_u64().to_be_bytes());
        for (byte, key) in tag.iter_mut().zip(context.sign().as_ref()) {
            *byte ^= key;
        }
    }
}

/// Tells two secrets apart without showing either.
pub(crate) fn fingerprint(secret: &Secret) -> [u8; 16] {
    let root = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut fingerprint = [0; 16];
    fingerprint.copy_from_slice(&hmac::sign(&root, FINGERPRINT).as_ref()[..16]);
    fingerprint
}

/// Each part is preceded by its length, so that no two lists of parts read the same.
fn seal(key: &hmac::Key, parts: &[&[u8]]) -> Seal {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(&(part.len() as u16).to_be_bytes());
        context.update(part);
    }
    Seal::of(&context.sign())
}

/// Labels of the derived keys and of what is sealed with them. Changing one orphans all mail in flight.
const KEY_PATH: &[u8] = b"returnpath key path";
const KEY_MARK: &[u8] = b"returnpath key mark";
const KEY_TAG: &[u8] = b"returnpath key tag";
const FINGERPRINT: &[u8] = b"returnpath fingerprint";
const SEAL_PATH: &[u8] = b"path";
const SEAL_MARK: &[u8] = b"mark";

#[cfg(test)]
mod tests {
    use super::super::Layout;
    use super::*;

    fn form(domain: &str, prefix: &str, separator: &str) -> Form {
        Form { domain: domain.into(), layout: Layout { prefix: prefix.into(), separator: separator.into() } }
    }

    #[test]
    fn a_seal_depends_on_every_part_and_on_where_one_ends() {
        let keys = Keys::derive(&[1; 32]);
        let id = DeliveryId::from_u64(7);
        let seal = keys.seal_path(&form("b.example.org", "b", "-"), 0, id, b"tag");
        assert!(seal.fits(&keys.seal_path(&form("b.example.org", "b", "-"), 0, id, b"tag")));
        for other in [
            keys.seal_path(&form("c.example.org", "b", "-"), 0, id, b"tag"),
            keys.seal_path(&form("b.example.org", "c", "-"), 0, id, b"tag"),
            keys.seal_path(&form("b.example.org", "b", "+"), 0, id, b"tag"),
            keys.seal_path(&form("b.example.org", "b-", ""), 0, id, b"tag"),
            keys.seal_path(&form("b.example.orgb", "", "-"), 0, id, b"tag"),
            keys.seal_path(&form("b.example.org", "b", "-"), 1, id, b"tag"),
            keys.seal_path(&form("b.example.org", "b", "-"), 0, DeliveryId::from_u64(8), b"tag"),
            keys.seal_path(&form("b.example.org", "b", "-"), 0, id, b"tah"),
            keys.seal_path(&form("b.example.org", "b", "-"), 0, id, b""),
            Keys::derive(&[2; 32]).seal_path(&form("b.example.org", "b", "-"), 0, id, b"tag"),
            keys.seal_mark(0, id),
        ] {
            assert!(!seal.fits(&other));
        }
    }

    #[test]
    fn the_veil_comes_off_again_and_differs_per_delivery_and_tag() {
        let keys = Keys::derive(&[1; 32]);
        let form = form("b.example.org", "b", "");
        let veiled = |id: u64, tag: &[u8]| {
            let (id, mut bytes) = (DeliveryId::from_u64(id), tag.to_vec());
            let seal = keys.seal_path(&form, 0, id, tag);
            keys.veil(&seal, 0, id, &mut bytes);
            let hidden = bytes.clone();
            keys.veil(&seal, 0, id, &mut bytes);
            assert_eq!(bytes, tag);
            hidden
        };
        let first = veiled(1, b"subscriber-0017");
        assert_ne!(first, b"subscriber-0017");
        assert_ne!(first, veiled(2, b"subscriber-0017"), "the same tag looks different on another delivery");
        let other = veiled(1, b"subscriber-0018");
        assert_ne!(first[..14], other[..14], "what two tags share cannot be seen");
    }
}
