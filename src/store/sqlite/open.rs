//! Opening a database file: who owns it, whether it is ours, how it is set up.
//!
//! Ownership is an operating-system lock on `<file>.lock`, held by the writer thread for as long as it lives; the
//! lock ends with the process however that ends. It is not a lock on the database, so that other programs may
//! read it (and write their own tables in short transactions).

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::backup::node;
use super::schema::{APPLICATION_ID, FORMAT, migrate};
use crate::store::StoreError;

/// How long a reader waits for another program that has the whole database: only while that opens or repairs it.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// How many pages the log may have before a commit moves them into the database: 16 MiB. A page that is written
/// often is then moved once, not each time.
pub(super) const CHECKPOINT_PAGES: u32 = 4096;

/// To what size the log is cut back after a long reader made it grow: 64 MiB.
pub(super) const LOG_SIZE_LIMIT: u32 = 64 << 20;

/// Statements that a connection keeps compiled: more than this room has.
const STATEMENTS: usize = 128;

/// The writer's connection. The lock is released after the connection is closed: fields drop in this order.
pub(super) struct Opened {
    pub(super) db: Connection,
    /// The node number in its ids.
    pub(super) node: u16,
    _lock: Option<File>,
}

/// Opens the file at `path`, or makes it, and takes ownership of it. Another program's write transaction is waited for as
/// long as `wait`.
pub(super) fn open(path: &Path, wait: Duration) -> Result<Opened, StoreError> {
    inspect(path)?;
    let lock = lock(path)?;
    create(path)?;
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|error| cannot_open(path, error))?;
    db.busy_timeout(wait)?;
    let format = format_of(&db, path)?;
    if format == 0 {
        // Must stand before the first table. Purging gives pages back to the disk in small steps.
        db.execute_batch("PRAGMA auto_vacuum = INCREMENTAL")?;
    }
    migrate(&db, format).map_err(|error| error.of(&db))?;
    let mode: String = db.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        let why =
            format!("the file system cannot keep a write-ahead log (journal mode stays {mode:?}); use a local disk");
        return Err(cannot_open(path, why));
    }
    db.execute_batch(&format!(
        "PRAGMA synchronous = FULL;
         PRAGMA fullfsync = ON;
         PRAGMA checkpoint_fullfsync = ON;
         PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES};
         PRAGMA journal_size_limit = {LOG_SIZE_LIMIT};
         PRAGMA cache_size = -16384;"
    ))?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    sync_directory(path)?;
    let node = node(&db).map_err(|error| error.of(&db))?;
    Ok(Opened { db, node, _lock: Some(lock) })
}

/// A database in memory: the same tables, gone with the store.
pub(super) fn memory() -> Result<Opened, StoreError> {
    let db = Connection::open_in_memory()?;
    migrate(&db, 0)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(Opened { db, node: 0, _lock: None })
}

/// A second connection to the file, which can only read.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|error| cannot_open(path, error))?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.execute_batch("PRAGMA cache_size = -4096")?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(db)
}

/// The one name of the file, so that two ways to write it meet the same lock.
pub(super) fn resolve(path: &Path) -> Result<PathBuf, StoreError> {
    match fs::canonicalize(path) {
        Ok(found) if found.is_dir() => Err(cannot_open(path, "it is a directory; name a file in it")),
        Ok(found) => Ok(found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            resolve_new(path).map_err(|why| cannot_open(path, why))
        }
        Err(error) => Err(cannot_open(path, error)),
    }
}

/// The one name of a file that is to be made; an error says what is wrong with its directory.
pub(super) fn resolve_new(path: &Path) -> Result<PathBuf, String> {
    let name = path.file_name().ok_or("it does not name a file")?;
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let found = fs::canonicalize(directory).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("the directory {} does not exist", directory.display()),
        _ => format!("{}: {error}", directory.display()),
    })?;
    Ok(found.join(name))
}

/// Looks at the first bytes of an existing file before anything is made beside it.
fn inspect(path: &Path) -> Result<(), StoreError> {
    let mut header = [0; 100];
    let read = match File::open(path) {
        Ok(mut file) => read_up_to(&mut file, &mut header).map_err(|error| cannot_open(path, error))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(cannot_open(path, error)),
    };
    if read == 0 {
        return Ok(());
    }
    // The header of the SQLite file format: a magic text, and the application id at offset 68, big-endian.
    if read < header.len() || !header.starts_with(b"SQLite format 3\0") {
        return Err(not_a_store(path, "it is not an SQLite database"));
    }
    let application = i32::from_be_bytes([header[68], header[69], header[70], header[71]]);
    // Beside a journal the header may be half of a creation that was cut off; SQLite decides after undoing it.
    if application != APPLICATION_ID && !beside(path, "-journal").exists() {
        return Err(not_a_store(path, OTHER_PROGRAM));
    }
    Ok(())
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let side = beside(path, ".lock");
    let file = owner_only().create(true).truncate(false).open(&side).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            let file = side.display();
            cannot_open(
                path,
                format!("its directory cannot be written to ({file}: {error}); the store needs files there"),
            )
        }
        _ => cannot_open(&side, error),
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: path.display().to_string() }),
        Err(TryLockError::Error(error)) => {
            Err(cannot_open(&side, format!("the file system cannot lock files ({error}); use a local disk")))
        }
    }
}

/// Makes the file if it is missing, readable by its owner alone: the ring's secrets are in it. SQLite gives its log
/// the same rights. The rights of a file that exists are the user's own.
fn create(path: &Path) -> Result<(), StoreError> {
    let file = owner_only().create(true).truncate(false).open(path).map_err(|error| cannot_open(path, error))?;
    let rights = file.metadata().map_err(|error| cannot_open(path, error))?.permissions();
    // Asked for, too: a privileged user is not stopped by the mark, but whoever set it meant it.
    if rights.readonly() { Err(cannot_open(path, "the file is read-only")) } else { Ok(()) }
}

pub(super) fn owner_only() -> OpenOptions {
    let mut options = File::options();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// The format of the database: 0 for one without any table.
fn format_of(db: &Connection, path: &Path) -> Result<u32, StoreError> {
    let number = |pragma: &str| db.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i32>(0));
    let read = || {
        let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
        Ok((number("application_id")?, number("user_version")?, tables))
    };
    let (application, version, tables) = read().map_err(|error: rusqlite::Error| match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => not_a_store(path, "it is not an SQLite database"),
        Some(ErrorCode::DatabaseCorrupt) => StoreError::from(error).of(db),
        _ => cannot_open(path, error),
    })?;
    match u32::try_from(version) {
        Ok(0) if tables == 0 => Ok(0),
        Ok(format) if application == APPLICATION_ID && (1..=FORMAT).contains(&format) => Ok(format),
        Ok(found) if application == APPLICATION_ID && found > FORMAT => {
            Err(StoreError::TooNew { path: path.display().to_string(), found, known: FORMAT })
        }
        _ => Err(not_a_store(path, OTHER_PROGRAM)),
    }
}

/// Makes the names of new files durable. Where a directory cannot be opened as a file, the system keeps names by itself.
pub(super) fn sync_directory(path: &Path) -> Result<(), StoreError> {
    if cfg!(unix)
        && let Some(directory) = path.parent()
    {
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(|error| cannot_open(path, error))?;
    }
    Ok(())
}

pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(ending);
    name.into()
}

fn cannot_open(path: &Path, why: impl std::fmt::Display) -> StoreError {
    StoreError::CannotOpen { path: path.display().to_string(), why: why.to_string() }
}

fn not_a_store(path: &Path, why: &str) -> StoreError {
    StoreError::NotAStore { path: path.display().to_string(), why: why.into() }
}

const OTHER_PROGRAM: &str = "it is an SQLite database of another program; give this one a file of its own";
