//! The one thread that writes, and group commit.
//!
//! Callers hand jobs over a bounded channel. The thread takes all that wait, runs them in one transaction – each
//! in a savepoint of its own, so that one that fails takes nothing else with it –, commits with one sync, and only
//! then replies. While it syncs, the next group gathers: the busier the store, the larger the groups.
//!
//! When there is no room on the disk and the reserve has some, that is given up, jobs that bring new rows are refused, and
//! the others are run again.
//!
//! When SQLite gives the whole transaction up (a full disk does that), the jobs are run once more, each in a
//! transaction of its own: a small settlement still fits where a large message does not.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::clean::cut_log;
use super::log::Log;
use super::open::{self, Opened};
use super::reserve::Reserve;
use crate::store::StoreError;

/// Jobs that may wait; beyond it callers wait. Also the largest group, which bounds how long a reply takes.
const WAITING: usize = 512;

/// The writer's side that callers see.
pub(super) struct Writer {
    jobs: Mutex<Option<mpsc::Sender<Box<dyn Job>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Which database the thread opens; of a file also how long another program's transaction is waited for.
pub(super) enum Place {
    File(PathBuf, Duration),
    Memory,
}

/// Whether a job is still run when its caller is gone before its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Abandoned {
    /// What it records has happened.
    Run,
    /// What it asks for, nobody would receive.
    Skip,
}

/// What a job does to the room on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// It brings new work in: refused while the disk is short of room.
    Room,
    /// It ends what is under way: it may have the reserve.
    Nothing,
    /// As `Nothing`, and it runs between two groups, in no transaction.
    Solitude,
}

impl Writer {
    /// Starts the thread; answers when it has opened the database, with the node number in its ids.
    pub(super) async fn start(place: Place, reserve: Reserve) -> Result<(Writer, u16), StoreError> {
        let (jobs, queue) = mpsc::channel(WAITING);
        let (opened, ready) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("returnpath-store".into())
            .spawn(move || {
                let (database, log) = match &place {
                    Place::File(path, wait) => (open::open(path, *wait), Some(Log::of(path))),
                    Place::Memory => (open::memory(), None),
                };
                match database {
                    Ok(database) => {
                        // Whoever opened it may be gone already; then the channel is closed and this ends.
                        let _ = opened.send(Ok(database.node));
                        run(&database, queue, &reserve, log);
                    }
                    Err(error) => {
                        let _ = opened.send(Err(error));
                    }
                }
            })
            .map_err(|error| StoreError::Failed(format!("the writer's thread could not be started: {error}")))?;
        let node = ready.await.map_err(|_| StoreError::Closed)??;
        Ok((Writer { jobs: Mutex::new(Some(jobs)), thread: Mutex::new(Some(thread)) }, node))
    }

    /// Runs `work` on the writer's connection; answers when its result is committed.
    ///
    /// The work may be run more than once, each time on a database without its effects.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        abandoned: Abandoned,
        work: impl FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.queue(abandoned, Needs::Nothing, work).await
    }

    /// As [`Writer::call`], for what brings new work in; refused while the disk is short of room.
    pub(super) async fn call_new<T: Send + 'static>(
        &self,
        abandoned: Abandoned,
        work: impl FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.queue(abandoned, Needs::Room, work).await
    }

    async fn queue<T: Send + 'static>(
        &self,
        abandoned: Abandoned,
        needs: Needs,
        work: impl FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let jobs = guard(&self.jobs).clone().ok_or(StoreError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let job = Call { work, result: None, reply, abandoned, needs };
        jobs.send(Box::new(job)).await.map_err(|_| StoreError::Closed)?;
        drop(jobs);
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Runs `work` between two groups, in no transaction: for what SQLite does not do within one.
    pub(super) async fn call_alone<T: Send + 'static>(
        &self,
        work: impl FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.queue(Abandoned::Skip, Needs::Solitude, work).await
    }

    /// Takes no more jobs; answers when those accepted are committed and the database is closed.
    pub(super) async fn close(&self) -> Result<(), StoreError> {
        drop(guard(&self.jobs).take());
        let Some(thread) = guard(&self.thread).take() else { return Ok(()) };
        tokio::task::spawn_blocking(move || thread.join())
            .await
            .map_err(|error| StoreError::Failed(error.to_string()))?
            .map_err(|_| StoreError::Failed("the writer's thread panicked".into()))
    }
}

impl Drop for Writer {
    /// Waits for the commit that runs, so that the file can be opened again as soon as the store is dropped.
    fn drop(&mut self) {
        drop(guard(&self.jobs).take());
        if let Some(thread) = guard(&self.thread).take()
            // A reply may wake, and so drop, the task that owned the store: then this is the thread itself.
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

/// One call that waits for its commit.
trait Job: Send {
    /// Whether somebody still wants it done.
    fn is_wanted(&self) -> bool;
    fn needs(&self) -> Needs;
    /// Does the work and keeps its result; an error is to be undone.
    fn run(&mut self, db: &Connection) -> Result<(), StoreError>;
    /// Answers with the result that was kept, or with the error that undid everything.
    fn reply(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Call<W, T> {
    work: W,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
    abandoned: Abandoned,
    needs: Needs,
}

impl<W, T> Job for Call<W, T>
where
    W: FnMut(&Connection) -> Result<T, StoreError> + Send,
    T: Send,
{
    fn is_wanted(&self) -> bool {
        self.abandoned == Abandoned::Run || !self.reply.is_closed()
    }

    fn needs(&self) -> Needs {
        self.needs
    }

    fn run(&mut self, db: &Connection) -> Result<(), StoreError> {
        let result = (self.work)(db).map_err(|error| error.of(db));
        let done = result.as_ref().map(|_| ()).map_err(StoreError::clone);
        self.result = Some(result);
        done
    }

    fn reply(self: Box<Self>, committed: Result<(), StoreError>) {
        let result = match committed {
            Ok(()) => self.result.unwrap_or(Err(StoreError::Closed)),
            Err(error) => Err(error),
        };
        let _ = self.reply.send(result);
    }
}

fn run(database: &Opened, mut queue: mpsc::Receiver<Box<dyn Job>>, reserve: &Reserve, mut log: Option<Log>) {
    let mut group = Vec::new();
    while queue.blocking_recv_many(&mut group, WAITING) > 0 {
        group.retain(|job| job.is_wanted());
        let alone: Vec<_> = group.extract_if(.., |job| job.needs() == Needs::Solitude).collect();
        commit(&database.db, &mut group, reserve);
        if let Some(log) = &mut log {
            log.look(&database.db);
        }
        for mut job in alone {
            let done = job.run(&database.db);
            job.reply(done);
        }
    }
}

/// Runs a group and replies to each of its jobs; the group is empty afterwards.
fn commit(db: &Connection, group: &mut Vec<Box<dyn Job>>, reserve: &Reserve) {
    if reserve.is_short() {
        refuse_new(group);
    }
    let mut done = in_one_transaction(db, group);
    if let Err(Kept::Nothing(StoreError::Full(_)) | Kept::NotBegun(StoreError::Full(_))) = &done
        && reserve.release()
    {
        // The log is written from its beginning again: ends of attempts then need no room that is not there yet.
        if let Err(error) = cut_log(db) {
            tracing::warn!(%error, "the store's log could not be cut on a full disk");
        }
        refuse_new(group);
        done = in_one_transaction(db, group);
    }
    match done {
        Ok(()) => group.drain(..).for_each(|job| job.reply(Ok(()))),
        Err(Kept::Nothing(_)) if group.len() > 1 => {
            group.drain(..).for_each(|job| commit(db, &mut vec![job], reserve));
        }
        Err(Kept::Nothing(error) | Kept::NotBegun(error)) => {
            group.drain(..).for_each(|job| job.reply(Err(error.clone())));
        }
    }
}

/// Answers those that bring new work in; the others stay.
fn refuse_new(group: &mut Vec<Box<dyn Job>>) {
    for job in group.extract_if(.., |job| job.needs() == Needs::Room) {
        job.reply(Err(short_of_room()));
    }
}

/// What is told while the reserve is not whole.
pub(super) fn short_of_room() -> StoreError {
    StoreError::Full("the room that is left is kept for what is under way; make room on the disk".into())
}

/// How a group failed.
enum Kept {
    /// There was no transaction: another program holds one. Trying the jobs one by one would only wait longer.
    NotBegun(StoreError),
    /// The transaction was undone.
    Nothing(StoreError),
}

fn in_one_transaction(db: &Connection, group: &mut [Box<dyn Job>]) -> Result<(), Kept> {
    if group.is_empty() {
        return Ok(());
    }
    execute(db, "BEGIN IMMEDIATE").map_err(Kept::NotBegun)?;
    let run = match group {
        [only] => only.run(db),
        several => several.iter_mut().try_for_each(|job| in_savepoint(db, job.as_mut())),
    };
    run.and_then(|()| execute(db, "COMMIT")).map_err(|error| {
        // SQLite may have undone it already. Should this fail as well, the next BEGIN says so.
        if !db.is_autocommit() {
            let _ = execute(db, "ROLLBACK");
        }
        Kept::Nothing(error)
    })
}

/// A job's own error is kept for its reply; the error given back is one that ended the whole transaction.
fn in_savepoint(db: &Connection, job: &mut dyn Job) -> Result<(), StoreError> {
    execute(db, "SAVEPOINT job")?;
    if let Err(error) = job.run(db) {
        // A full disk may have more room for a second try.
        if db.is_autocommit() || matches!(error, StoreError::Full(_)) {
            return Err(error);
        }
        execute(db, "ROLLBACK TO job")?;
    }
    execute(db, "RELEASE job")
}

fn execute(db: &Connection, sql: &str) -> Result<(), StoreError> {
    let run = || db.prepare_cached(sql)?.execute([]);
    run().map(drop).map_err(|error| StoreError::from(error).of(db))
}

/// What the lock protects is whole at every instant, so a panic elsewhere does not spoil it.
pub(super) fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
