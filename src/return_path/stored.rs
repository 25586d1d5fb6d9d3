//! The ring and the store: kept there whole, or compared with what is known there of a ring that is kept elsewhere.
//!
//! The store knows each key that was ever used by its id, its fingerprint and its state, also where the secrets are in
//! a key file. So a process that is started with the wrong file is refused at its start, and not weeks later by
//! bounces that do not open.

use std::sync::Arc;

use super::keyring::{Fingerprint, Key, KeyState, Keyring, KeyringError, list};
use super::token::Token;
use crate::store::StoredKey;
use crate::time::Timestamp;

impl Keyring {
    /// The ring as the store keeps it; an empty list is an empty ring.
    pub(crate) fn from_stored(stored: &[StoredKey]) -> Result<Keyring, KeyringError> {
        let mut ring = Keyring::default();
        for stored in stored {
            let state = stored_state(stored)?;
            let id = stored.id;
            if id > Token::MAX_KEY {
                return Err(KeyringError(format!("store: key {id}: ids go from 0 to 63; the store is damaged")));
            }
            let Some(secret) = stored.secret else {
                return Err(KeyringError(format!(
                    "store: the secret of key {id} is not kept here; start with the key file that was used before"
                )));
            };
            let key = Key::new(secret, state, Some(stored.since));
            if key.fingerprint.0 != stored.fingerprint {
                return Err(KeyringError(format!(
                    "store: key {id}: the secret does not fit its fingerprint; the store is damaged, take a copy of it"
                )));
            }
            ring.insert(id, key);
        }
        Ok(ring)
    }

    /// For the store. `with_secrets` where the ring lives there.
    pub(crate) fn to_stored(&self, with_secrets: bool, now: Timestamp) -> Vec<StoredKey> {
        let stored = |(&id, key): (&u8, &Key)| StoredKey {
            id,
            fingerprint: key.fingerprint.0,
            secret: with_secrets.then_some(key.secret),
            state: key.state.name().to_owned(),
            since: key.since.unwrap_or(now),
        };
        self.keys.iter().map(stored).collect()
    }

    /// Compares a ring of the user's own with what the store knows of it, and takes over the later states. A ring that
    /// lacks a key that may still be needed, or has another secret under an id, is refused with the ids.
    pub(crate) fn reconcile(&mut self, stored: &[StoredKey]) -> Result<(), KeyringError> {
        let (mut lacking, mut different) = (Vec::new(), Vec::new());
        let mut merged = self.clone();
        for stored in stored {
            let state = stored_state(stored)?;
            let theirs = (stored.id, Fingerprint(stored.fingerprint), state, Some(stored.since));
            merged.take_over(theirs, &mut lacking, &mut different);
        }
        refuse_foreign(&lacking, &different)?;
        *self = merged;
        Ok(())
    }

    /// Takes over what a reloaded ring has: new keys, and later states. Nothing that opened so far stops to, but by a
    /// key that was revoked.
    ///
    /// ```
    /// use returnpath::return_path::Keyring;
    ///
    /// let mut running = Keyring::generate();
    /// let mut reloaded = Keyring::from_bytes(running.to_bytes())?;
    /// reloaded.rotate(returnpath::Timestamp::from_millis(1_700_000_000_000))?;
    /// running.merge(&reloaded)?;
    /// assert_eq!(running.keys().count(), 2);
    ///
    /// let foreign = running.merge(&Keyring::generate()).unwrap_err().to_string();
    /// assert!(foreign.contains("it lacks key 1 and it has another secret under key 0"), "{foreign}");
    /// # Ok::<(), returnpath::return_path::KeyringError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// It lacks a key of this ring that is not revoked, or has another secret under its id. The ids are named, and
    /// nothing is changed.
    pub fn merge(&mut self, reloaded: &Keyring) -> Result<(), KeyringError> {
        let (mut lacking, mut different) = (Vec::new(), Vec::new());
        let mut merged = reloaded.clone();
        for (id, key) in self.entries() {
            merged.take_over((id, key.fingerprint, key.state, key.since), &mut lacking, &mut different);
        }
        refuse_foreign(&lacking, &different)?;
        // What the reloaded ring left out is revoked; it stays known, so that its id is not used again.
        for (id, key) in self.entries() {
            merged.insert(id, key.clone());
        }
        *self = merged;
        Ok(())
    }

    /// Takes over the state of a key that another copy of the ring knows, or notes the id.
    fn take_over(
        &mut self,
        (id, fingerprint, state, since): (u8, Fingerprint, KeyState, Option<Timestamp>),
        lacking: &mut Vec<u8>,
        different: &mut Vec<u8>,
    ) {
        match Arc::make_mut(&mut self.keys).get_mut(&id) {
            Some(key) if key.fingerprint == fingerprint => key.merge(state, since),
            Some(_) => different.push(id),
            None if state == KeyState::Revoked => {}
            None => lacking.push(id),
        }
    }
}

fn stored_state(stored: &StoredKey) -> Result<KeyState, KeyringError> {
    KeyState::from_name(&stored.state).ok_or_else(|| {
        KeyringError(format!(
            "store: key {}: unknown state {:?}; it was written by a newer version of this crate, use that one",
            stored.id, stored.state
        ))
    })
}

fn refuse_foreign(lacking: &[u8], different: &[u8]) -> Result<(), KeyringError> {
    if lacking.is_empty() && different.is_empty() {
        return Ok(());
    }
    let mut problems = Vec::new();
    if !lacking.is_empty() {
        problems.push(format!("it lacks {}", list(lacking)));
    }
    if !different.is_empty() {
        problems.push(format!("it has another secret under {}", list(different)));
    }
    Err(KeyringError(format!(
        "key ring: this is not the ring that was used before: {}. Mail that is out could not come back; use the ring of \
         before, or a store of its own for this one",
        problems.join(" and ")
    )))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOON: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    fn rotated() -> Keyring {
        let mut ring = Keyring::generate();
        ring.rotate(NOON).unwrap();
        ring
    }

    fn states(ring: &Keyring) -> Vec<(u8, KeyState, Option<Timestamp>)> {
        ring.keys().map(|key| (key.id, key.state, key.since)).collect()
    }

    #[test]
    fn a_ring_that_lives_in_the_store_reads_back() {
        let ring = rotated();
        let stored = ring.to_stored(true, NOON - HOUR);
        let back = Keyring::from_stored(&stored).unwrap();
        assert_eq!(back.to_stored(true, NOON), stored);
        assert_eq!(states(&back)[0], (0, KeyState::Mint, Some(NOON - HOUR)), "the store is the first to know a time");
        assert_eq!(Keyring::from_stored(&[]).unwrap().keys().count(), 0);
    }

    #[test]
    fn what_the_store_cannot_mean_is_refused_with_the_id() {
        let stored = rotated().to_stored(true, NOON);
        let refused = |change: fn(&mut StoredKey)| {
            let mut stored = stored.clone();
            change(&mut stored[1]);
            Keyring::from_stored(&stored).unwrap_err().to_string()
        };
        for (text, expected) in [
            (refused(|key| key.secret = None), "the secret of key 1 is not kept here; start with the key file"),
            (refused(|key| key.fingerprint[0] ^= 1), "key 1: the secret does not fit its fingerprint"),
            (refused(|key| key.state = "mints".into()), "key 1: unknown state \"mints\""),
            (refused(|key| key.id = 64), "key 64: ids go from 0 to 63"),
        ] {
            assert!(text.starts_with("store: ") && text.contains(expected), "{text}");
        }
    }

    #[test]
    fn a_ring_of_its_own_takes_over_the_later_states_that_the_store_knows() {
        let mut file = rotated();
        let mut known = file.clone();
        known.advance(1, KeyState::Mint, NOON + HOUR).unwrap();
        file.reconcile(&known.to_stored(false, NOON)).unwrap();
        assert_eq!(states(&file), [(0, KeyState::Retire, Some(NOON + HOUR)), (1, KeyState::Mint, Some(NOON + HOUR))]);
        // The other way round: the file is ahead, and stays so.
        known.rotate(NOON + 2 * HOUR).unwrap();
        let ahead = states(&known);
        known.reconcile(&file.to_stored(false, NOON)).unwrap();
        assert_eq!(states(&known), ahead);
    }

    #[test]
    fn a_ring_that_lacks_a_key_or_has_another_secret_is_refused_with_the_ids() {
        let known = rotated();
        let before = known.to_stored(false, NOON);
        let mut foreign = Keyring::generate();
        let text = foreign.reconcile(&before).unwrap_err().to_string();
        assert!(text.contains("it lacks key 1 and it has another secret under key 0"), "{text}");
        assert_eq!(states(&foreign), [(0, KeyState::Mint, None)], "and nothing is changed");

        let mut older = Keyring::default();
        older.insert(0, known.opening(0).unwrap().clone());
        let text = older.reconcile(&before).unwrap_err().to_string();
        assert!(text.contains("it lacks key 1.") && !text.contains("another secret"), "{text}");
    }

    #[test]
    fn a_revoked_key_may_be_gone_from_the_file() {
        let mut known = rotated();
        known.advance(1, KeyState::Mint, NOON).unwrap();
        known.advance(0, KeyState::Revoked, NOON).unwrap();
        let mut file = Keyring::default();
        file.insert(1, known.opening(1).unwrap().clone());
        file.reconcile(&known.to_stored(false, NOON)).unwrap();
    }

    #[test]
    fn a_reloaded_ring_brings_new_keys_and_takes_none_away() {
        let mut running = rotated();
        let mut reloaded = running.clone();
        reloaded.advance(1, KeyState::Mint, NOON + HOUR).unwrap();
        reloaded.rotate(NOON + HOUR).unwrap();
        running.merge(&reloaded).unwrap();
        assert_eq!(states(&running), states(&reloaded));

        let mut lesser = Keyring::default();
        lesser.insert(0, running.opening(0).unwrap().clone());
        let before = states(&running);
        let text = running.merge(&lesser).unwrap_err().to_string();
        assert!(text.contains("it lacks keys 1, 2"), "{text}");
        assert_eq!(states(&running), before);
    }

    #[test]
    fn a_reload_cannot_bring_a_revoked_key_back() {
        let mut running = rotated();
        running.advance(1, KeyState::Mint, NOON).unwrap();
        let old = running.clone();
        running.advance(0, KeyState::Revoked, NOON).unwrap();
        running.merge(&old).unwrap();
        assert!(running.opening(0).is_none());

        let mut without = Keyring::default();
        without.insert(1, running.opening(1).unwrap().clone());
        running.merge(&without).unwrap();
        assert_eq!(states(&running)[0].1, KeyState::Revoked, "its id stays used");
    }
}
