//! The ring of a running mailer: how a key comes into it, begins to mint, and is given up.
//!
//! Where processes share the store, a key mints only after each live one has reported having it: what one has just
//! made, every other opens. Changes of one process follow one another; those of two meet in the store, which refuses
//! a second secret under one id.

use std::sync::PoisonError;

use super::instance::Instance;
use crate::error::{Error, Kind};
use crate::return_path::{KeyState, Keyring};
use crate::store::{Store, StoreError};
use crate::time::Timestamp;

impl Instance {
    /// The ring as it is now.
    pub(super) fn ring(&self) -> Keyring {
        self.keyring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds a key to the ring in the store; see [`Mailer::rotate_key`](crate::Mailer::rotate_key).
    pub(super) async fn rotate_key(&self) -> Result<u8, Error> {
        if !self.ring_in_store {
            let text = "keyring: the ring is one of your own and not kept in the store; rotate it where it is kept, \
                        and reload it";
            return Err(Error::new(Kind::Config, text));
        }
        let _turn = self.ring_turn.lock().await;
        let mut tries = TRIES;
        loop {
            tries -= 1;
            self.read_ring().await?;
            let now = self.clock.now();
            let mut ring = self.ring();
            let id = ring.rotate(now)?;
            if !self.fleet.is_shared() {
                ring.advance(id, KeyState::Mint, now)?;
            }
            match self.save_ring(ring, now).await {
                // Another process has rotated in the same moment: its key is under this id.
                Err(StoreError::ForeignKey { .. }) if tries > 0 => {}
                result => {
                    result?;
                    self.fleet.hurry();
                    return Ok(id);
                }
            }
        }
    }

    /// Takes over a ring from the user.
    pub(super) async fn reload_keyring(&self, keyring: Keyring) -> Result<(), Error> {
        let _turn = self.ring_turn.lock().await;
        let before = self.ring();
        let mut merged = before.clone();
        merged.merge(&keyring)?;
        if self.fleet.is_shared() {
            let minted = before.keys_in(KeyState::Mint);
            let early = merged.keys_in(KeyState::Mint) & !minted;
            if early != 0 {
                let lacking = early & !self.beat().await?.common_keys;
                if lacking != 0 {
                    return Err(Error::new(
                        Kind::Config,
                        format!(
                            "keyring: key {} is to mint, but not every process that shares this store has it; give \
                             all of them the ring with it in state `accept` first",
                            lacking.trailing_zeros()
                        ),
                    ));
                }
            }
        }
        self.save_ring(merged, self.clock.now()).await?;
        self.fleet.hurry();
        Ok(())
    }

    /// Takes over what other processes have changed; whether that was possible.
    pub(super) async fn follow_ring(&self) -> bool {
        let _turn = self.ring_turn.lock().await;
        let read = self.read_ring().await;
        if let Err(error) = &read {
            tracing::error!(%error, "the ring in the store could not be taken over");
        }
        read.is_ok()
    }

    /// Lets new keys that every live process has mint. A ring of the user's own is advanced by the user.
    pub(super) async fn promote_keys(&self, common: u64) -> Result<(), Error> {
        let _turn = self.ring_turn.lock().await;
        let mut ring = self.ring();
        let ready = ring.keys_in(KeyState::Accept) & common;
        if !self.ring_in_store || ready == 0 {
            return Ok(());
        }
        let now = self.clock.now();
        for id in (0..64).filter(|id| ready & (1 << id) != 0) {
            ring.advance(id, KeyState::Mint, now)?;
            tracing::info!(key = id, "every process has the new key; it mints from now on");
        }
        Ok(self.save_ring(ring, now).await?)
    }

    /// Revokes keys that retired before the oldest return path that is still honoured.
    pub(super) async fn revoke_outlived(&self, now: Timestamp) -> Result<(), Error> {
        let _turn = self.ring_turn.lock().await;
        let mut ring = self.ring();
        ring.revoke_outlived(self.config.honour_for, now);
        Ok(self.save_ring(ring, now).await?)
    }

    /// Makes a ring durable, and uses it.
    async fn save_ring(&self, ring: Keyring, now: Timestamp) -> Result<(), StoreError> {
        self.store.save_keys(ring.to_stored(self.ring_in_store, now)).await?;
        self.use_ring(ring);
        Ok(())
    }

    async fn read_ring(&self) -> Result<(), Error> {
        let stored = self.store.keys().await?;
        let mut ring = self.ring();
        if self.ring_in_store {
            ring.merge(&Keyring::from_stored(&stored)?)?;
        } else {
            ring.reconcile(&stored)?;
        }
        self.use_ring(ring);
        Ok(())
    }

    fn use_ring(&self, ring: Keyring) {
        *self.keyring.write().unwrap_or_else(PoisonError::into_inner) = ring;
    }
}

/// The ring that was given, checked against what the store knows; else the one in the store, made at the first start.
pub(super) async fn open_keyring(store: &dyn Store, given: Option<Keyring>, now: Timestamp) -> Result<Keyring, Error> {
    let known = store.keys().await?;
    let is_first = given.is_none() && known.is_empty();
    let (mut keyring, in_store) = match given {
        Some(keyring) => (keyring, false),
        None if known.is_empty() => (Keyring::generate(), true),
        None => (Keyring::from_stored(&known)?, true),
    };
    keyring.reconcile(&known)?;
    match store.save_keys(keyring.to_stored(in_store, now)).await {
        // Another process has made the ring in the same moment: this one takes it over.
        Err(StoreError::ForeignKey { .. }) if is_first => Ok(Keyring::from_stored(&store.keys().await?)?),
        saved => {
            saved?;
            Ok(keyring)
        }
    }
}

/// For a new key, while others take the same id.
const TRIES: u32 = 8;
