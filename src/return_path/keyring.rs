//! The ring of secrets: which keys there are, what each may do, and how that changes.
//!
//! | state | opens | mints | next |
//! |---|---|---|---|
//! | accept | yes | no | `mint`, once every live process that shares the store has reported the key |
//! | mint | yes | yes | `retire`, in the moment in which another key mints |
//! | retire | yes | no | `revoked`, `honour_for` after it was retired: nothing that it sealed could open by then |
//! | revoked | no | no | – |
//!
//! States only ever go forward, so two copies of a ring agree by taking the later state of each key. An id is used
//! for one secret, ever: the store keeps its fingerprint, and a ring that disagrees is refused before it could orphan
//! mail in flight. 64 ids last for sixteen years of changing the key every three months.
//!
//! A return path is honoured for `honour_for` from the moment its delivery id was made, not a moment less as long as
//! its key is not revoked by hand, and not a moment more. Making and opening paths is [`open`](super::open), the form
//! of a key file is [`keyfile`](super::keyfile), and the ring in the store is [`stored`](super::stored).

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::keyfile;
use super::seal::{self, Keys, Secret};
use super::token::Token;
use crate::time::Timestamp;

/// The secrets behind the seals of return paths.
///
/// A mailer without one of its own keeps a ring in its store, where every process that shares the store finds it. A
/// ring of your own comes from a key file ([`Keyring::file`], [`Keyring::file_or_create`]) or from wherever else you
/// keep secrets ([`Keyring::from_bytes`]).
///
/// Whoever has a secret of the ring can make return paths that open. Without it no path that is out opens again, so
/// it belongs into the backup. `Debug` shows ids, states and fingerprints, never a secret. Clones are cheap and share
/// nothing that changes.
///
/// ```
/// use std::time::Duration;
/// use returnpath::Timestamp;
/// use returnpath::return_path::{KeyState, Keyring};
///
/// let now = Timestamp::from_millis(1_700_000_000_000);
/// let mut ring = Keyring::generate();
///
/// // A change of key: the new one is first only accepted, and mints once every process has it.
/// let new = ring.rotate(now)?;
/// ring.advance(new, KeyState::Mint, now + Duration::from_secs(3600))?;
/// let states: Vec<KeyState> = ring.keys().map(|key| key.state).collect();
/// assert_eq!(states, [KeyState::Retire, KeyState::Mint]);
///
/// // 90 days later nothing that the old one sealed can open, and it is given up.
/// ring.revoke_outlived(Duration::from_secs(90 * 86_400), now + Duration::from_secs(91 * 86_400));
/// assert_eq!(ring.keys().next().unwrap().state, KeyState::Revoked);
/// # Ok::<(), returnpath::return_path::KeyringError>(())
/// ```
#[derive(Clone, Default)]
pub struct Keyring {
    pub(super) keys: Arc<BTreeMap<u8, Key>>,
}

/// One key of the ring.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) secret: Secret,
    pub(crate) derived: Keys,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) state: KeyState,
    /// When the state was reached; `None` until somebody who has a clock sees the key.
    pub(crate) since: Option<Timestamp>,
}

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

/// Tells two secrets apart without showing either.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub(crate) [u8; 16]);

/// What may be known about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyInfo {
    /// 0 to 63; each return path names it.
    pub id: u8,
    /// What the key may do.
    pub state: KeyState,
    /// When that state was reached, where it is known.
    pub since: Option<Timestamp>,
    /// Tells its secret from others.
    pub fingerprint: Fingerprint,
}

/// A ring that cannot be used; the text names the file, the line and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
#[non_exhaustive]
pub struct KeyringError(pub(crate) String);

impl Keyring {
    /// A ring with one new random key that mints.
    ///
    /// # Panics
    ///
    /// The operating system gives no random bytes.
    pub fn generate() -> Keyring {
        let mut ring = Keyring::default();
        ring.insert(0, Key::new(new_secret(), KeyState::Mint, None));
        ring
    }

    /// Reads a key file, as [`Keyring::save`] writes it. Nobody but its owner may have any right to it (mode 0600).
    ///
    /// # Errors
    ///
    /// The file cannot be read, others may read it, it is no key file, or a line of it is damaged.
    pub fn file(path: impl AsRef<Path>) -> Result<Keyring, KeyringError> {
        keyfile::read(path.as_ref())
    }

    /// Reads a key file; where there is none, makes a new ring and the file with it, whole and with mode 0600 from its
    /// first moment. Of two processes that do so at once, one makes it and the other reads it.
    ///
    /// # Errors
    ///
    /// As [`Keyring::file`], or the file cannot be made.
    pub fn file_or_create(path: impl AsRef<Path>) -> Result<Keyring, KeyringError> {
        keyfile::read_or_create(path.as_ref(), Keyring::generate)
    }

    /// The ring in these bytes: the content of a key file, from wherever you keep secrets.
    ///
    /// # Errors
    ///
    /// The bytes are not the content of a key file; the text names the line.
    pub fn from_bytes(bytes: impl AsRef<[u8]>) -> Result<Keyring, KeyringError> {
        keyfile::parse("key ring in memory", bytes.as_ref())
    }

    /// The content of a key file with this ring: its secrets in plain.
    pub fn to_bytes(&self) -> Vec<u8> {
        keyfile::format(self).into_bytes()
    }

    /// Writes a key file with mode 0600, in the place of one that is there: after a crash it is the old one or the new
    /// one, whole.
    ///
    /// # Errors
    ///
    /// The file cannot be written; what was there stands.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), KeyringError> {
        keyfile::replace(path.as_ref(), self)
    }

    /// What may be known about each key, by rising id.
    pub fn keys(&self) -> impl Iterator<Item = KeyInfo> {
        self.keys.iter().map(|(&id, key)| KeyInfo {
            id,
            state: key.state,
            since: key.since,
            fingerprint: key.fingerprint,
        })
    }

    /// Adds a new random key in state `accept` and answers its id. It mints after [`Keyring::advance`]: not before every
    /// process that shares the ring has it, or one of them would refuse what another has sent. For a ring that lives in
    /// the store [`Mailer::rotate_key`](crate::Mailer::rotate_key) does all of that.
    ///
    /// # Errors
    ///
    /// All 64 ids are used up.
    pub fn rotate(&mut self, now: Timestamp) -> Result<u8, KeyringError> {
        let id = self.keys.last_key_value().map_or(0, |(id, _)| id + 1);
        if id > Token::MAX_KEY {
            return Err(KeyringError(
                "key ring: all 64 key ids are used up and none is ever used again; start a new store with a new ring \
                 once the last return path of this one is too old"
                    .into(),
            ));
        }
        self.insert(id, Key::new(new_secret(), KeyState::Accept, Some(now)));
        Ok(id)
    }

    /// Takes a key to a later state. Where it is to mint, the one that minted so far retires in the same step.
    ///
    /// # Errors
    ///
    /// There is no such key, it is beyond that state, or no key would be left that mints. Nothing is changed then.
    pub fn advance(&mut self, id: u8, to: KeyState, now: Timestamp) -> Result<(), KeyringError> {
        let Some(state) = self.keys.get(&id).map(|key| key.state) else {
            return Err(KeyringError(format!("key ring: there is no key {id}; it has {}", self.ids())));
        };
        if to < state {
            return Err(KeyringError(format!(
                "key ring: key {id} is in state `{state}` and cannot go back to `{to}`; add a new key with `rotate`"
            )));
        }
        if state == KeyState::Mint && to > state && !self.minting().any(|(minting, _)| minting != id) {
            return Err(KeyringError(format!(
                "key ring: key {id} is the only one that mints; let another one mint first (`rotate`, then `advance`)"
            )));
        }
        let keys = Arc::make_mut(&mut self.keys);
        for (&other, key) in keys.iter_mut() {
            if other == id {
                key.reach(to, now);
            } else if to == KeyState::Mint && key.state == KeyState::Mint {
                key.reach(KeyState::Retire, now);
            }
        }
        Ok(())
    }

    /// Revokes the keys that retired longer than `honour_for` ago. Nothing that they sealed could still open, and
    /// whoever finds their secrets in an old backup can do nothing with them.
    pub fn revoke_outlived(&mut self, honour_for: Duration, now: Timestamp) {
        for key in Arc::make_mut(&mut self.keys).values_mut() {
            // The last path may have been made in the moment in which the key retired, by a clock that was ahead.
            let outlived = |since: Timestamp| now > since + honour_for + super::open::FUTURE_SKEW;
            if key.state == KeyState::Retire && key.since.is_some_and(outlived) {
                key.reach(KeyState::Revoked, now);
            }
        }
    }

    /// The ids as bits: bit n for key n.
    pub(crate) fn bits(&self) -> u64 {
        self.keys.keys().fold(0, |bits, id| bits | 1 << id)
    }

    /// The ids of the keys in this state, as bits.
    pub(crate) fn keys_in(&self, state: KeyState) -> u64 {
        self.entries().filter(|(_, key)| key.state == state).fold(0, |bits, (id, _)| bits | 1 << id)
    }

    /// The key under this id, unless it is revoked.
    pub(crate) fn opening(&self, id: u8) -> Option<&Key> {
        self.keys.get(&id).filter(|key| key.state != KeyState::Revoked)
    }

    /// The key that mints: of several (two copies of the ring were rotated apart) the one that mints since last.
    pub(crate) fn minter(&self) -> Option<(u8, &Key)> {
        self.minting().max_by_key(|(id, key)| (key.since, *id))
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (u8, &Key)> {
        self.keys.iter().map(|(&id, key)| (id, key))
    }

    /// Answers false if the id is taken.
    pub(crate) fn insert(&mut self, id: u8, key: Key) -> bool {
        let free = !self.keys.contains_key(&id);
        if free {
            Arc::make_mut(&mut self.keys).insert(id, key);
        }
        free
    }

    /// A ring of these secrets, the last of which mints: for tests that need the same paths each time.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn of_secrets(secrets: &[Secret]) -> Keyring {
        let mut ring = Keyring::default();
        for (id, secret) in (0..).zip(secrets) {
            let last = usize::from(id) + 1 == secrets.len();
            ring.insert(id, Key::new(*secret, if last { KeyState::Mint } else { KeyState::Retire }, None));
        }
        ring
    }

    fn minting(&self) -> impl Iterator<Item = (u8, &Key)> {
        self.entries().filter(|(_, key)| key.state == KeyState::Mint)
    }

    fn ids(&self) -> String {
        list(&self.keys.keys().copied().collect::<Vec<_>>())
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring ")?;
        f.debug_list().entries(self.keys()).finish()
    }
}

impl Key {
    pub(crate) fn new(secret: Secret, state: KeyState, since: Option<Timestamp>) -> Key {
        let fingerprint = Fingerprint(seal::fingerprint(&secret));
        Key { secret, derived: Keys::derive(&secret), fingerprint, state, since }
    }

    fn reach(&mut self, state: KeyState, now: Timestamp) {
        if self.state != state {
            (self.state, self.since) = (state, Some(now));
        }
    }

    /// Takes the later of two states, and of one state the earlier known time.
    pub(crate) fn merge(&mut self, state: KeyState, since: Option<Timestamp>) {
        if state > self.state {
            (self.state, self.since) = (state, since);
        } else if state == self.state {
            self.since = [self.since, since].into_iter().flatten().min();
        }
    }
}

impl KeyState {
    /// All of them, in order.
    pub(crate) const ALL: [KeyState; 4] = [KeyState::Accept, KeyState::Mint, KeyState::Retire, KeyState::Revoked];

    /// The name, as the store and a key file keep it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            KeyState::Accept => "accept",
            KeyState::Mint => "mint",
            KeyState::Retire => "retire",
            KeyState::Revoked => "revoked",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<KeyState> {
        KeyState::ALL.into_iter().find(|state| state.name() == name)
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn new_secret() -> Secret {
    let mut secret = Secret::default();
    aws_lc_rs::rand::fill(&mut secret).expect("the operating system gives random bytes");
    secret
}

pub(crate) fn list(ids: &[u8]) -> String {
    match ids {
        [] => "no key".into(),
        [id] => format!("key {id}"),
        ids => format!("keys {}", ids.iter().map(u8::to_string).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    const DAY: Duration = Duration::from_secs(86_400);

    fn states(ring: &Keyring) -> Vec<KeyState> {
        ring.keys().map(|key| key.state).collect()
    }

    #[test]
    fn states_only_go_forward_and_one_key_mints() {
        use KeyState::*;
        let mut ring = Keyring::generate();
        let text = |error: KeyringError| error.to_string();
        assert!(text(ring.advance(0, Retire, NOON).unwrap_err()).contains("key 0 is the only one that mints"));
        assert!(text(ring.advance(0, Revoked, NOON).unwrap_err()).contains("the only one"));
        assert!(text(ring.advance(7, Mint, NOON).unwrap_err()).contains("there is no key 7; it has key 0"));

        assert_eq!(ring.rotate(NOON), Ok(1));
        assert_eq!(states(&ring), [Mint, Accept]);
        assert_eq!(ring.minter().unwrap().0, 0, "a key that is only accepted does not mint");
        ring.advance(1, Mint, NOON + DAY).unwrap();
        assert_eq!(states(&ring), [Retire, Mint]);
        assert_eq!(ring.minter().unwrap().0, 1);
        assert!(text(ring.advance(0, Mint, NOON).unwrap_err()).contains("cannot go back to `mint`"));
        ring.advance(1, Mint, NOON + 2 * DAY).unwrap();
        assert_eq!(ring.keys().nth(1).unwrap().since, Some(NOON + DAY), "the same state again is no change");
        ring.advance(0, Revoked, NOON + 2 * DAY).unwrap();
        assert!(ring.opening(0).is_none() && ring.opening(1).is_some());
    }

    #[test]
    fn of_two_keys_that_mint_the_later_one_does() {
        let mut ring = Keyring::default();
        ring.insert(4, Key::new([4; 32], KeyState::Mint, None));
        assert_eq!(ring.minter().unwrap().0, 4);
        ring.insert(3, Key::new([3; 32], KeyState::Mint, Some(NOON)));
        assert_eq!(ring.minter().unwrap().0, 3);
        ring.insert(2, Key::new([2; 32], KeyState::Mint, Some(NOON + DAY)));
        assert_eq!(ring.minter().unwrap().0, 2);
    }

    #[test]
    fn a_retired_key_is_given_up_when_nothing_of_it_could_open() {
        let mut ring = Keyring::generate();
        ring.rotate(NOON).unwrap();
        ring.advance(1, KeyState::Mint, NOON).unwrap();
        let last = NOON + 90 * DAY + super::super::open::FUTURE_SKEW;
        ring.revoke_outlived(90 * DAY, last);
        assert_eq!(states(&ring), [KeyState::Retire, KeyState::Mint]);
        ring.revoke_outlived(90 * DAY, last + Duration::from_millis(1));
        assert_eq!(states(&ring), [KeyState::Revoked, KeyState::Mint], "the one that mints is never given up");
    }

    #[test]
    fn an_id_is_used_once_and_the_end_is_said() {
        let mut ring = Keyring::generate();
        for id in 1..64 {
            assert_eq!(ring.rotate(NOON), Ok(id));
            ring.advance(id, KeyState::Mint, NOON).unwrap();
            ring.advance(id - 1, KeyState::Revoked, NOON).unwrap();
        }
        assert!(ring.rotate(NOON).unwrap_err().to_string().contains("all 64 key ids are used up"));
    }

    #[test]
    fn debug_shows_no_secret() {
        let secret = [0xa5; 32];
        let mut ring = Keyring::default();
        ring.insert(5, Key::new(secret, KeyState::Mint, None));
        let shown = format!("{ring:?} {ring:#?}").to_lowercase();
        let fingerprint = ring.keys().next().unwrap().fingerprint.to_string();
        assert!(shown.contains("mint") && shown.contains(&fingerprint), "{shown}");
        assert!(!shown.contains("a5a5") && !shown.contains("165, 165"), "{shown}");
    }

    #[test]
    fn new_rings_differ() {
        let of = |ring: Keyring| ring.keys().next().unwrap().fingerprint;
        assert_ne!(of(Keyring::generate()), of(Keyring::generate()));
    }
}
