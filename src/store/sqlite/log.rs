//! The length of the log (the file that ends in `-wal`), and who keeps it from being cut.
//!
//! SQLite moves the log into the database whenever it has some pages, and writes it from its beginning again. A read
//! transaction that stays open needs the log as it was: until it ends, the log can only grow. That is survived, told
//! whenever the log has doubled, and undone once the reader is gone.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::clean::cut_log;
use super::open::{CHECKPOINT_PAGES, LOG_SIZE_LIMIT, beside};

/// Looks at the log after each commit.
pub(super) struct Log {
    path: PathBuf,
    /// The size in bytes that SQLite cuts it back to by itself.
    limit: u64,
    /// At this size it is tried to be cut.
    next_try: u64,
    /// At this size it is told.
    next_warning: u64,
    /// The last try was in vain.
    is_kept: bool,
}

impl Log {
    /// The log of this database.
    pub(super) fn of(database: &Path) -> Log {
        Log::with_limit(database, u64::from(LOG_SIZE_LIMIT))
    }

    fn with_limit(database: &Path, limit: u64) -> Log {
        // A commit may lead beyond the limit for a while; a quarter more does not come of one.
        let first = limit + limit / 4;
        Log { path: beside(database, "-wal"), limit, next_try: first, next_warning: first, is_kept: false }
    }

    /// After a commit, when its replies are given. Costs one question to the file system.
    pub(super) fn look(&mut self, db: &Connection) {
        let size = fs::metadata(&self.path).map_or(0, |found| found.len());
        let was_cut = self.is_kept && size <= self.limit;
        if size < self.next_try && !was_cut {
            return;
        }
        match if was_cut { Ok(true) } else { cut_log(db) } {
            Ok(true) => self.go_on(db, size),
            Ok(false) => self.wait(db, size),
            Err(error) => {
                self.next_try = size + self.limit / 4;
                tracing::error!(%error, bytes = size, "the store's log cannot be cut");
            }
        }
    }

    /// It is short again.
    fn go_on(&mut self, db: &Connection, size: u64) {
        if self.is_kept {
            tracing::info!(bytes = size, "the store's log could be cut again");
        }
        (self.next_try, self.is_kept) = (self.limit + self.limit / 4, false);
        self.next_warning = self.next_try;
        cut_each(db, CHECKPOINT_PAGES);
    }

    /// Somebody needs it as it is.
    fn wait(&mut self, db: &Connection, size: u64) {
        (self.next_try, self.is_kept) = (size + self.limit / 4, true);
        // A try looks through the whole log: no more of them with each commit.
        cut_each(db, 0);
        if size >= self.next_warning {
            self.next_warning = size.saturating_mul(2);
            tracing::warn!(
                bytes = size,
                log = %self.path.display(),
                held_by = holders(&self.path),
                "a read transaction that stays open keeps the store's log from being cut: it grows until that ends"
            );
        }
    }
}

/// After how many pages SQLite moves the log into the database by itself; 0 for never.
fn cut_each(db: &Connection, pages: u32) {
    if let Err(error) = db.execute_batch(&format!("PRAGMA wal_autocheckpoint = {pages}")) {
        tracing::error!(%error, "the store's log could not be set up");
    }
}

/// The processes that hold a read transaction, as far as the system tells.
fn holders(log: &Path) -> String {
    let named = readers_of(log).unwrap_or_default();
    if named.is_empty() {
        return "another program".to_owned();
    }
    named.iter().map(describe).collect::<Vec<_>>().join(", ")
}

fn describe(process: &u32) -> String {
    if *process == std::process::id() {
        return format!("process {process}, this one");
    }
    let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    format!("process {process} {}", name.trim()).trim_end().to_owned()
}

/// Who holds a lock on the part of the shared-memory file that stands for readers: the system lists all locks with
/// their process, file and range.
#[cfg(target_os = "linux")]
fn readers_of(log: &Path) -> Option<Vec<u32>> {
    use std::os::unix::fs::MetadataExt;
    let shared = log.to_str()?.strip_suffix("-wal")?.to_owned() + "-shm";
    let inode = fs::metadata(shared).ok()?.ino().to_string();
    let list = fs::read_to_string("/proc/locks").ok()?;
    let mut found: Vec<u32> = list.lines().filter_map(|line| reader_in(line, &inode)).collect();
    found.sort_unstable();
    found.dedup();
    Some(found)
}

#[cfg(not(target_os = "linux"))]
fn readers_of(_: &Path) -> Option<Vec<u32>> {
    None
}

/// A line such as `1: POSIX  ADVISORY  READ  4242 fe:00:131 124 124`.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only there the system lists its locks so"))]
fn reader_in(line: &str, inode: &str) -> Option<u32> {
    let mut fields = line.split_whitespace().skip_while(|field| *field != "READ").skip(1);
    let process = fields.next()?.parse().ok()?;
    let file = fields.next()?;
    let start: u64 = fields.next()?.parse().ok()?;
    (file.rsplit(':').next()? == inode && READER_LOCKS.contains(&start)).then_some(process)
}

/// The octets of the shared-memory file whose locks stand for readers that need the log (SQLite's file format).
const READER_LOCKS: std::ops::RangeInclusive<u64> = 123..=127;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_found_in_the_list_of_locks() {
        let line = "1: POSIX  ADVISORY  READ  4242 fe:00:131 124 124";
        assert_eq!(reader_in(line, "131"), Some(4242));
        assert_eq!(reader_in(line, "31"), None, "another file");
        assert_eq!(reader_in("2: POSIX  ADVISORY  READ 4242 fe:00:131 128 128", "131"), None, "only that it is open");
        assert_eq!(reader_in("3: POSIX  ADVISORY  WRITE 4242 fe:00:131 120 120", "131"), None);
        assert_eq!(reader_in("1: -> POSIX ADVISORY READ 7 fe:00:131 123 123", "131"), Some(7));
        assert_eq!(reader_in("READ", "131"), None);
    }

    #[test]
    fn a_long_reader_makes_the_log_grow_and_is_told_and_its_end_cuts_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mail.db");
        let opened = super::super::open::open(&path, std::time::Duration::from_secs(1)).unwrap();
        let db = &opened.db;
        db.execute_batch("CREATE TABLE note (text); INSERT INTO note VALUES ('first')").unwrap();
        let limit = 1 << 20;
        let mut log = Log::with_limit(&path, limit);
        let size = || fs::metadata(beside(&path, "-wal")).unwrap().len();
        let write = |log: &mut Log| {
            db.execute("INSERT INTO note VALUES (?1)", ["x".repeat(100_000)]).unwrap();
            log.look(db);
        };
        let reader = Connection::open(&path).unwrap();
        reader.execute_batch("BEGIN").unwrap();
        let seen: i64 = reader.query_row("SELECT count(*) FROM note", [], |row| row.get(0)).unwrap();
        assert_eq!(seen, 1);
        let mut warned = Vec::new();
        let mut last = log.next_warning;
        while size() < 8 * limit {
            write(&mut log);
            if log.next_warning != last {
                warned.push(size());
                last = log.next_warning;
            }
        }
        assert!((2..=4).contains(&warned.len()), "told whenever it has doubled: {warned:?}");
        assert!(warned.windows(2).all(|two| two[1] >= 2 * two[0]), "{warned:?}");
        #[cfg(target_os = "linux")]
        assert!(holders(&log.path).contains(&format!("process {}, this one", std::process::id())));
        let seen: i64 = reader.query_row("SELECT count(*) FROM note", [], |row| row.get(0)).unwrap();
        assert_eq!(seen, 1, "the reader has its snapshot all the time");
        reader.execute_batch("COMMIT").unwrap();
        for _ in 0..5 {
            write(&mut log);
        }
        assert!(size() < 2 * limit, "{}", size());
        assert!(!log.is_kept);
        let pages: i64 = db.query_row("PRAGMA wal_autocheckpoint", [], |row| row.get(0)).unwrap();
        assert_eq!(pages, i64::from(CHECKPOINT_PAGES), "and SQLite cuts it by itself again");
    }
}
