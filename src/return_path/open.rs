//! Making return paths and opening them again; the only maker of the proof that one was opened.
//!
//! What opens is exactly what was minted, but for what others do to an address on its way: case
//! ([`token`](super::token)) and wrappers ([`wrappers`]). Everything else is refused, each refusal with its cause: a
//! wrong path is an everyday thing and no error of ours.
//!
//! Minting is a function of form, delivery, tag and ring. All attempts of one delivery have the same return path, or
//! greylisting (RFC 6647 §2.3), which waits for the same triplet to come again, would never let it pass.

use std::borrow::Cow;
use std::time::Duration;

use super::keyring::Keyring;
use super::token::{Token, VeiledTag};
use super::{Form, Forms, ReturnPath, TagPlacement, mark, wrappers};
use crate::address::Address;
use crate::error::{Error, Kind};
use crate::id::DeliveryId;
use crate::tag::Tag;
use crate::time::Timestamp;

/// How far ahead of our clock a delivery id may be: the clocks of two hosts that share a store are this close, and
/// an id source that is asked for very many ids at once borrows a little from the next milliseconds.
pub(crate) const FUTURE_SKEW: Duration = Duration::from_secs(10 * 60);

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

/// Why a path does not open. The order is that of knowledge: of two causes the later one says more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("not a return path of this instance")]
    NotOurs,
    #[error("the key is unknown or revoked")]
    UnknownKey,
    #[error("the seal does not fit")]
    Forged,
    #[error("too old")]
    Expired,
    #[error("from the future")]
    Future,
}

impl Keyring {
    /// Makes the return path of a delivery.
    pub(crate) fn mint(
        &self,
        form: &Form,
        delivery: DeliveryId,
        tag: Option<Tag>,
        placement: TagPlacement,
    ) -> Result<ReturnPath, MintError> {
        let (id, key) = self.minter().ok_or(MintError::NoKey)?;
        let front = form.layout.prefix.len() + form.layout.separator.len();
        let length = |tag: &Tag| front + Token::chars(tag.as_bytes().len());
        // No bytes are no tag: the path could not tell the two apart.
        let tag = tag.filter(|tag| !tag.as_bytes().is_empty()).filter(|tag| match placement {
            TagPlacement::Fit => super::srs_margin(&form.domain, length(tag)) >= 0,
            TagPlacement::Always => true,
            TagPlacement::Store => false,
        });
        let octets = tag.as_ref().map_or(front + Token::MIN_CHARS, length);
        if octets > Address::MAX_LOCAL {
            return Err(MintError::TooLong(octets));
        }

        let plain = tag.as_ref().map_or(&[][..], Tag::as_bytes);
        let header = Token::header(id);
        let seal = key.derived.seal_path(form, header, delivery, plain);
        let mut veiled = VeiledTag::new(plain).unwrap_or_default();
        key.derived.veil(&seal, header, delivery, veiled.as_mut_bytes());
        let token = Token { key: id, delivery, tag: veiled, seal }.encode();
        let local = [&form.layout.prefix, &form.layout.separator, token.as_str()].concat();
        Ok(ReturnPath { address: Address::from_checked(&local, &form.domain), tag_in_path: tag.is_some() })
    }

    /// Opens a path as it stood in RCPT TO, without the angle brackets: `local@domain`.
    ///
    /// `now` is the later of the clock and the newest id of the store: after a clock that was ahead is set back,
    /// ids go on from where they were, and their paths must still open.
    pub(crate) fn open(
        &self,
        path: &str,
        forms: &Forms,
        honour_for: Duration,
        now: Timestamp,
    ) -> Result<Returned, Refusal> {
        // A command line has at most 512 octets (RFC 5321 §4.5.3.1.4); a path of ours never needs them.
        if path.len() > MAX_PATH {
            return Err(Refusal::NotOurs);
        }
        let folded = path.to_ascii_lowercase();
        let (local, domain) = folded.rsplit_once('@').ok_or(Refusal::NotOurs)?;
        let (mut local, mut domain): (Cow<'_, str>, Cow<'_, str>) = (local.into(), domain.into());
        let mut refusal = Refusal::NotOurs;
        for _ in 0..=wrappers::MAX_DEPTH {
            match self.open_bare(&local, &domain, forms, now) {
                Ok(returned) => return in_time(returned, honour_for, now),
                Err(cause) => refusal = refusal.max(cause),
            }
            match wrappers::peel(&local, &domain) {
                Some(inner) => (local, domain) = (inner.0.into(), inner.1.into()),
                None => break,
            }
        }
        Err(refusal)
    }

    /// The mark of a delivery, for the Message-ID and a header field. It opens at no gate.
    pub(crate) fn mark(&self, delivery: DeliveryId) -> Result<String, MintError> {
        let (id, key) = self.minter().ok_or(MintError::NoKey)?;
        Ok(mark::encode(&key.derived, id, delivery))
    }

    /// Opens a mark: as it is, or as a Message-ID.
    pub(crate) fn open_mark(&self, mark: &str) -> Option<DeliveryId> {
        mark::decode(mark, |id| self.opening(id).map(|key| &key.derived))
    }

    /// Opens a path without wrappers, whatever its age.
    fn open_bare(&self, local: &str, domain: &str, forms: &Forms, now: Timestamp) -> Result<Returned, Refusal> {
        let domain = ascii(domain);
        let mut refusal = Refusal::NotOurs;
        for form in forms.of_domain(&domain, now) {
            let Some(mut token) = form.layout.strip(local).and_then(Token::decode) else { continue };
            let Some(key) = self.opening(token.key) else {
                refusal = refusal.max(Refusal::UnknownKey);
                continue;
            };
            let header = Token::header(token.key);
            key.derived.veil(&token.seal, header, token.delivery, token.tag.as_mut_bytes());
            let plain = token.tag.as_bytes();
            if token.seal.fits(&key.derived.seal_path(form, header, token.delivery, plain)) {
                let tag = Tag::from_bytes(plain).ok().filter(|_| !plain.is_empty());
                return Ok(Returned { delivery: token.delivery, tag });
            }
            refusal = refusal.max(Refusal::Forged);
        }
        Err(refusal)
    }
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

impl From<MintError> for Error {
    fn from(error: MintError) -> Error {
        let kind = match error {
            MintError::TooLong(_) => Kind::Message,
            MintError::NoKey => Kind::Config,
        };
        Error::new(kind, error.to_string())
    }
}

fn in_time(returned: Returned, honour_for: Duration, now: Timestamp) -> Result<Returned, Refusal> {
    let issued = returned.delivery.issued_at();
    if issued > now + FUTURE_SKEW {
        Err(Refusal::Future)
    } else if now.since(issued) > honour_for {
        Err(Refusal::Expired)
    } else {
        Ok(returned)
    }
}

/// A domain in U-labels (RFC 6531 §3.3 lets a host write one) as A-labels, if it is the one way to write it; else as
/// it stands, which is no domain of ours.
fn ascii(domain: &str) -> Cow<'_, str> {
    if domain.is_ascii() {
        return domain.into();
    }
    match idna::domain_to_ascii(domain) {
        Ok(ascii) if idna::domain_to_unicode(&ascii).0 == domain.to_lowercase() => ascii.into(),
        _ => domain.into(),
    }
}

/// The longest text that is looked at, in octets.
const MAX_PATH: usize = 512;
