//! Readers apart from the writer: a few read-only connections, used on tokio's blocking threads.
//!
//! Each read sees one snapshot, and with it everything whose reply was given before it began. A database in memory
//! has only its writer's connection; there reads are jobs of the writer.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::open::open_reader;
use super::writer::guard;
use crate::store::StoreError;

/// Connections at most; a read takes microseconds unless it is a report.
const READERS: u32 = 4;

/// The pool of one file.
#[derive(Clone)]
pub(super) struct Readers {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Readers {
        let permits = Arc::new(Semaphore::new(READERS as usize));
        Readers { inner: Arc::new(Inner { path, idle: Mutex::default(), permits }) }
    }

    /// Runs `work` on a snapshot.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        mut work: impl FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = self.inner.clone();
        let permit = inner.permits.clone().acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let read = tokio::task::spawn_blocking(move || {
            // It goes along: the read runs to its end even where its caller is dropped.
            let _permit = permit;
            let idle = guard(&inner.idle).pop();
            let db = match idle {
                Some(db) => db,
                None => open_reader(&inner.path)?,
            };
            db.prepare_cached("BEGIN")?.execute([])?;
            let result = work(&db).map_err(|error| error.of(&db));
            // A connection that cannot even end its read is not used again.
            db.prepare_cached("COMMIT")?.execute([])?;
            guard(&inner.idle).push(db);
            result
        });
        read.await.map_err(|_| StoreError::Closed)?
    }

    /// Runs `work` on a connection of its own, in no transaction.
    pub(super) async fn call_alone<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = self.inner.clone();
        let permit = inner.permits.clone().acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let read = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&open_reader(&inner.path)?)
        });
        read.await.map_err(|_| StoreError::Closed)?
    }

    /// Waits for the reads that run and closes the connections.
    pub(super) async fn close(&self) {
        if let Ok(all) = self.inner.permits.acquire_many(READERS).await {
            all.forget();
            self.inner.permits.close();
        }
        guard(&self.inner.idle).clear();
    }
}
