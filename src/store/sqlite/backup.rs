//! A copy of the database while it is in use: one snapshot, written by a connection of its own.
//!
//! `VACUUM INTO` reads that snapshot while the writer goes on; nothing waits for it. The copy appears under its name
//! only when it is whole and synced, and has a mark in it by which its first opener knows that it is a copy: ids that
//! were made after it, by the store that it was taken from, are not known there and must not be made again. So a copy
//! goes on under another node number, which is part of every id.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::open::{beside, owner_only, resolve_new, sync_directory};
use crate::store::StoreError;
use crate::store::random::random;

/// Where a copy grows until it is whole. Dropped before that, it is removed.
pub(super) struct Copying {
    path: PathBuf,
    partial: PathBuf,
}

impl Copying {
    /// Takes the place at `path`, at which there must be nothing yet.
    pub(super) fn to(path: &Path) -> Result<Copying, StoreError> {
        let path = resolve_new(path).map_err(|why| cannot(path, why))?;
        if path.symlink_metadata().is_ok() {
            return Err(cannot(&path, "there is a file of this name already; it is left as it is"));
        }
        let partial = beside(&path, ".partial");
        match owner_only().create_new(true).open(&partial) {
            Ok(_) => Ok(Copying { path, partial }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let why = format!("another backup to it runs, or one was cut off: then remove {}", partial.display());
                Err(cannot(&path, why))
            }
            Err(error) => Err(cannot(&path, error)),
        }
    }

    /// Writes the copy, syncs it, and gives it its name. In no transaction.
    pub(super) fn run(self, db: &Connection) -> Result<(), StoreError> {
        let partial = self.partial.to_str().ok_or_else(|| cannot(&self.path, "the name is not UTF-8"))?;
        db.execute("VACUUM INTO ?1", [partial]).map_err(|error| cannot(&self.path, StoreError::from(error).of(db)))?;
        mark(&self.partial).map_err(|error| cannot(&self.path, error))?;
        self.publish().map_err(|error| cannot(&self.path, error))?;
        sync_directory(&self.path)
    }

    fn publish(&self) -> io::Result<()> {
        File::open(&self.partial)?.sync_all()?;
        // A second name, unlike a renaming, never takes the place of a file that came meanwhile.
        match fs::hard_link(&self.partial, &self.path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists && self.path.symlink_metadata().is_err() => {
                fs::rename(&self.partial, &self.path)
            }
            linked => linked,
        }
    }
}

impl Drop for Copying {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.partial);
    }
}

/// Marks a database as a copy that nobody has opened yet.
fn mark(path: &Path) -> rusqlite::Result<()> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // Without side files: it is one file, before and after. It is synced as a whole.
    db.execute_batch("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF")?;
    db.execute("INSERT OR REPLACE INTO meta VALUES (?1, 1)", [COPY])?;
    Ok(())
}

/// The node number in the ids of this database; a copy that is opened for the first time gets another one.
pub(super) fn node(db: &Connection) -> Result<u16, StoreError> {
    let value = |name: &str| -> Result<Option<i64>, StoreError> {
        Ok(db.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0)).optional()?)
    };
    let node = value(NODE)?.unwrap_or(0);
    if value(COPY)?.is_none() {
        return u16::try_from(node).map_err(|_| StoreError::Failed(format!("{node} is not a node number")));
    }
    let step = i64::from(u16::from_ne_bytes(random()?)) % (NODES - 1) + 1;
    let other = (node + step) % NODES;
    db.execute_batch(&format!(
        "BEGIN IMMEDIATE;
         INSERT OR REPLACE INTO meta VALUES ('{NODE}', {other});
         DELETE FROM meta WHERE name = '{COPY}';
         COMMIT;"
    ))?;
    tracing::warn!(
        "the store is a backup that is opened for the first time: what was sent after it was taken is not known, and \
         what was queued then is sent, maybe again"
    );
    Ok(other as u16)
}

fn cannot(path: &Path, why: impl std::fmt::Display) -> StoreError {
    StoreError::Failed(format!("no backup was made at {}: {why}", path.display()))
}

/// In `meta`: that this is a copy which nobody has opened.
const COPY: &str = "copy";
/// In `meta`: the node number; none is 0.
const NODE: &str = "node";
/// Node numbers have 10 bits.
const NODES: i64 = 1024;
