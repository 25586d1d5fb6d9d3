//! The conformance suite on a file and in memory, and what only this store does.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tempfile::TempDir;

use super::SqliteStore;
use crate::store::Store;
use crate::store::conformance::{Site, suite};

/// Stores in one directory, each in a file of its own.
struct Files {
    directory: TempDir,
    made: AtomicUsize,
}

impl Files {
    fn new() -> Files {
        Files { directory: TempDir::new().unwrap(), made: AtomicUsize::new(0) }
    }

    fn next(&self) -> PathBuf {
        self.directory.path().join(format!("{}.db", self.made.fetch_add(1, Ordering::Relaxed)))
    }

    fn last(&self) -> PathBuf {
        self.directory.path().join(format!("{}.db", self.made.load(Ordering::Relaxed) - 1))
    }
}

#[async_trait]
impl Site for Files {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(&self.next(), 0).await.unwrap())
    }

    /// Copies what is in the file and its log while the store is open, and opens the copy.
    async fn crash(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        let (from, to) = (self.last(), self.next());
        copy_image(&from, &to);
        drop(store);
        Arc::new(SqliteStore::open(&to, 0).await.unwrap())
    }
}

/// Stores in memory: they die with their process, so a crash leaves what `recover` finds in the same one.
struct Memory;

#[async_trait]
impl Site for Memory {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::memory().await.unwrap())
    }

    async fn crash(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        store
    }
}

/// The two files that make up a database; a store that was never written to has no log. The shared-memory file is no
/// part of it: a restart makes it anew.
fn copy_image(from: &Path, to: &Path) {
    let log = |path: &Path| PathBuf::from(format!("{}-wal", path.display()));
    fs::copy(from, to).unwrap();
    if log(from).exists() {
        fs::copy(log(from), log(to)).unwrap();
    }
}

mod backup;
mod claim;
mod crash;
mod damage;
mod forget;
mod group;
mod opening;
mod reserve;

mod on_a_file {
    use super::*;
    suite!(Files::new());
}

mod in_memory {
    use super::*;
    suite!(Memory);
}
