//! What can go wrong in a store; each text says what to do.

/// What went wrong in the store.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum StoreError {
    #[cfg_attr(not(feature = "sqlite"), expect(dead_code, reason = "only a file belongs to one process"))]
    #[error(
        "{path} is in use by another process; one store belongs to one process (stop the other, or give this one a file of its own)"
    )]
    Locked { path: String },
    #[error("{path} is not a store of this crate: {why}")]
    NotAStore { path: String, why: String },
    #[error(
        "{path} was written by a newer version (format {found}, this one knows {known}); use that version or newer"
    )]
    TooNew { path: String, found: u32, known: u32 },
    #[error("cannot open {path}: {why}")]
    CannotOpen { path: String, why: String },
    #[error(
        "key {id} of the ring is not the one that this store knows under that number; return paths already sent could not be read. Use the ring that belongs to this store"
    )]
    ForeignKey { id: u8 },
    #[error("the store is full or the disk is: {0}")]
    Full(String),
    /// Passes by itself: the database restarts, or others were in the way. Nothing is known to be changed.
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "a file is never out of reach for a while"))]
    #[error("the database cannot do it now, try again later: {0}")]
    Temporary(String),
    /// Another program has a write transaction open. Nothing was changed.
    #[cfg_attr(not(feature = "sqlite"), expect(dead_code, reason = "only a file is locked as a whole"))]
    #[error(
        "another program has held a write transaction on the database for longer than this call waits; nothing was \
         changed, try again later"
    )]
    Busy,
    #[cfg_attr(not(feature = "sqlite"), expect(dead_code, reason = "a server tells of damage in its own words"))]
    #[error(
        "the database {path} is damaged ({why}); nothing was changed by this call. Stop the mailer, keep a copy of the \
         file and its -wal, and restore a backup, or save what can be read: sqlite3 {path} .recover | sqlite3 NEW"
    )]
    Damaged { path: String, why: String },
    #[error("the store is closed")]
    Closed,
    #[error("the store failed: {0}")]
    Failed(String),
}
