//! The disk reserve: a file beside the database whose room is given up when the disk is full.
//!
//! When a write finds no room, the file goes and the store is short of room: nothing new comes in, and what is under
//! way is settled in the room that became free. A thread of its own fills the file after opening, in steps and without
//! holding anybody up, and fills it again when there is room for it and a quarter more: a store that took the last room
//! for its reserve would be full again with the next message.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::open::{beside, owner_only};
use super::writer::guard;

/// Written at a time; between two steps a write that finds no room can have what was filled so far.
const STEP: u64 = 1 << 20;

/// How often room for the reserve is looked for while there is too little.
const LOOK: Duration = Duration::from_secs(1);

/// The reserve of one store, or none. All clones are one.
#[derive(Clone, Default)]
pub(super) struct Reserve {
    room: Option<Arc<Room>>,
}

struct Room {
    path: PathBuf,
    /// The size that it is to have.
    bytes: u64,
    is_short: AtomicBool,
    /// How much of the file stands.
    filled: Mutex<u64>,
    is_closed: Mutex<bool>,
    changed: Condvar,
}

/// Keeps the reserve filled; ends when it is dropped.
pub(super) struct Keeper {
    reserve: Reserve,
    thread: Option<JoinHandle<()>>,
}

impl Reserve {
    /// A reserve of this many bytes beside the database; none if that is 0.
    pub(super) fn beside(path: &Path, bytes: u64) -> Reserve {
        if bytes == 0 {
            return Reserve::default();
        }
        let path = beside(path, ".reserve");
        let filled = fs::metadata(&path).map_or(0, |found| found.len().min(bytes));
        let room = Room {
            path,
            bytes,
            is_short: AtomicBool::new(false),
            filled: Mutex::new(filled),
            is_closed: Mutex::default(),
            changed: Condvar::new(),
        };
        Reserve { room: Some(Arc::new(room)) }
    }

    /// Removes the file of an earlier run with another setting: room that nobody would ever give back.
    pub(super) fn clear(path: &Path) {
        let _ = fs::remove_file(beside(path, ".reserve"));
    }

    /// Starts the thread that fills it.
    pub(super) fn keep(&self) -> io::Result<Keeper> {
        let reserve = self.clone();
        let thread = match &self.room {
            None => None,
            Some(room) => {
                let room = room.clone();
                let fill = move || room.keep();
                Some(std::thread::Builder::new().name("returnpath-reserve".into()).spawn(fill)?)
            }
        };
        Ok(Keeper { reserve, thread })
    }

    pub(super) fn is_short(&self) -> bool {
        self.room.as_ref().is_some_and(|room| room.is_short.load(Ordering::Acquire))
    }

    /// A write found no room: gives the reserve up. Answers whether there is one to this store at all.
    pub(super) fn release(&self) -> bool {
        self.room.as_ref().inspect(|room| room.release()).is_some()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let (Some(room), Some(thread)) = (&self.reserve.room, self.thread.take()) {
            *guard(&room.is_closed) = true;
            room.changed.notify_all();
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl Room {
    fn keep(&self) {
        let mut first = true;
        loop {
            if first || self.is_short.load(Ordering::Acquire) && self.has_room_for_it() {
                first = false;
                self.fill();
            }
            let closed = guard(&self.is_closed);
            let wait = self.changed.wait_timeout(closed, LOOK).unwrap_or_else(PoisonError::into_inner);
            if *wait.0 {
                return;
            }
        }
    }

    /// Fills what is missing. Whoever takes the room away meanwhile ends this.
    fn fill(&self) {
        let mut expected = *guard(&self.filled);
        while expected < self.bytes {
            let mut filled = guard(&self.filled);
            if *filled != expected || *guard(&self.is_closed) {
                return;
            }
            let step = STEP.min(self.bytes - expected);
            if let Err(error) = self.write(expected, step) {
                // Half a step is no step.
                let _ = File::options().write(true).open(&self.path).and_then(|file| file.set_len(expected));
                self.set_short(true, &error.to_string());
                return;
            }
            expected += step;
            *filled = expected;
        }
        self.set_short(false, "");
    }

    /// Writes zeros and syncs them: a file with a hole in it reserves nothing.
    fn write(&self, at: u64, length: u64) -> io::Result<()> {
        let mut file = owner_only().create(true).truncate(false).open(&self.path)?;
        file.set_len(at)?;
        file.seek(SeekFrom::Start(at))?;
        io::copy(&mut io::Read::take(io::repeat(0), length), &mut file)?;
        file.flush()?;
        file.sync_data()
    }

    fn release(&self) {
        let mut filled = guard(&self.filled);
        self.set_short(true, "a write found no room");
        // Cut first: where the name cannot be removed, the room is free all the same.
        if let Ok(file) = File::options().write(true).open(&self.path) {
            let _ = file.set_len(0);
        }
        let _ = fs::remove_file(&self.path);
        *filled = 0;
    }

    fn set_short(&self, short: bool, why: &str) {
        if self.is_short.swap(short, Ordering::AcqRel) == short {
            return;
        }
        if short {
            tracing::error!(
                why,
                path = %self.path.display(),
                "the disk has too little room: nothing new is taken until there is room for the reserve again"
            );
        } else {
            tracing::info!("the disk has room again");
        }
    }

    /// Whether the disk has room for what is missing of the reserve and a quarter of it more.
    #[cfg(unix)]
    fn has_room_for_it(&self) -> bool {
        let missing = self.bytes - (*guard(&self.filled)).min(self.bytes);
        let directory = self.path.parent().unwrap_or(Path::new("."));
        rustix::fs::statvfs(directory)
            .is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) >= missing + self.bytes / 4)
    }

    /// Where the system does not say how much room there is, it is tried.
    #[cfg(not(unix))]
    fn has_room_for_it(&self) -> bool {
        true
    }
}
