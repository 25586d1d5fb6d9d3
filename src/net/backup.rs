//! A copy of the store while the mailer runs.

use std::path::Path;

use super::mailer::Mailer;
use crate::error::Error;

impl Mailer {
    /// Writes a copy of the embedded store to `path`, as it is at one moment, while the mailer runs; sending and
    /// receiving go on meanwhile. When this returns `Ok`, the copy is whole and synced. Only its owner can read it: the
    /// secrets of the ring are in it.
    ///
    /// The copy is a store of one file. To go back to it, stop the mailer, put the copy in the place of the database,
    /// remove the old `-wal` and `-shm` beside it, and start. What was queued at that moment and delivered since is
    /// then sent again, and its events are told again under the same ids; what was sent after it is not known:
    /// [`crate::manual::store`] says more.
    ///
    /// It takes about a second for each 100 MB, and the log of the store grows meanwhile by what is written. Where the
    /// copy stands on the disk of the store it needs room there. Dropping the future does not stop it.
    ///
    /// ```
    /// # use returnpath::Mailer;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let (store, copy) = (folder.path().join("mail.db"), folder.path().join("mail-monday.db"));
    /// # let builder = Mailer::builder("b.example.org").ehlo("mail.example.org").disk_reserve(0).handler(());
    /// let mailer = builder.store(store).start().await?;
    /// mailer.backup(&copy).await?;
    /// assert!(copy.exists());
    /// assert!(mailer.backup(&copy).await.is_err(), "a file that exists is never written over");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::is_storage`]: there is a file at `path` already, or the copy could not be written, and nothing is left of
    /// it; or the store is PostgreSQL, which has tools of its own for this.
    pub async fn backup(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.open()?;
        Ok(self.instance().store.backup(path.as_ref()).await?)
    }
}

#[cfg(test)]
mod tests {
    use crate::store::Store;
    use crate::store::rigged::RiggedStore;

    #[tokio::test]
    async fn a_store_that_is_no_file_names_the_tools_that_copy_it() {
        let error = RiggedStore::default().backup("copy".as_ref()).await.unwrap_err().to_string();
        assert!(error.contains("pg_dump") && error.contains("pg_basebackup"), "{error}");
    }
}
