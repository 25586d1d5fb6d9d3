//! The embedded store: SQLite in a file or in memory, one writer, readers apart.
//!
//! | file | what |
//! |---|---|
//! | `open` | the lock, the format check, the settings |
//! | `schema` | the tables, as additive steps |
//! | `writer`, `reader` | the thread that writes in groups; the connections that read |
//! | `enqueue`, `claim`, `outbound` | the way out |
//! | `inbound`, `events` | the way back, and the queue to the handler |
//! | `journal`, `purge`, `ring` | the memory, its end, and the keys |
//! | `forget` | removing all that names an address |
//! | `reserve` | room for what is under way when the disk is full |
//! | `clean` | rewriting the database, cutting its log |
//! | `log` | a log that a long reader keeps from being cut |
//! | `backup` | a copy while it runs |
//!
//! No type of the driver leaves this room. `src/manual/store.md` draws the tables and says what is synced when.

mod backup;
mod claim;
mod clean;
mod columns;
mod enqueue;
mod events;
mod fault;
mod forget;
mod inbound;
mod journal;
mod log;
mod open;
mod outbound;
mod purge;
mod reader;
mod reserve;
mod ring;
mod schema;
#[cfg(test)]
mod tests;
mod writer;

use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::Connection;

use self::backup::Copying;
use self::claim::Turn;
use self::purge::Stage;
use self::reader::Readers;
use self::reserve::{Keeper, Reserve};
use self::writer::{Abandoned, Place, Writer, guard, short_of_room};
use super::spellings::Spellings;
use super::{
    Acknowledgement, BodyId, ClaimRequest, Claimed, Count, CountBy, Enqueued, Found, Hashed, Inbound, NewMessage,
    PathForm, PendingEvent, Recorded, Recovered, ReplayRequest, Retention, Settlement, Store, StoreError, StoredKey,
};
use crate::address::Address;
use crate::id::DeliveryId;
use crate::time::Timestamp;

/// Events made pending again in one step of a replay.
const REPLAY_STEP: usize = 500;

/// A store in one SQLite database. Dropping it closes it; what was answered is on disk either way.
pub(crate) struct SqliteStore {
    // Before the writer, which holds the lock on the file.
    keeper: Mutex<Option<Keeper>>,
    // Dropped first: the last connection that closes tidies the log up, and that should be the writer's.
    readers: Option<Readers>,
    writer: Writer,
    node: u16,
    turn: Arc<Turn>,
    reserve: Reserve,
}

impl SqliteStore {
    /// Opens it as tests and benches do.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) async fn open(path: &Path, reserve: u64) -> Result<SqliteStore, StoreError> {
        SqliteStore::open_waiting(path, reserve, Duration::from_secs(30)).await
    }

    /// Opens the database at `path`, or makes it, for this process alone. `reserve` is the room in bytes that is kept
    /// on the disk for what is under way; 0 for none. Another program's write transaction is waited for as long as
    /// `wait`.
    pub(crate) async fn open_waiting(path: &Path, reserve: u64, wait: Duration) -> Result<SqliteStore, StoreError> {
        let path = open::resolve(path)?;
        let room = Reserve::beside(&path, reserve);
        let (writer, node) = Writer::start(Place::File(path.clone(), wait), room.clone()).await?;
        // Only now, when the store is this process's.
        if reserve == 0 {
            Reserve::clear(&path);
        }
        let keeper = room
            .keep()
            .map_err(|error| StoreError::Failed(format!("the reserve's thread could not be started: {error}")))?;
        let readers = Some(Readers::new(path));
        let keeper = Mutex::new(Some(keeper));
        Ok(SqliteStore { readers, writer, node, turn: Arc::default(), reserve: room, keeper })
    }

    /// A store that lives as long as this value.
    pub(crate) async fn memory() -> Result<SqliteStore, StoreError> {
        let reserve = Reserve::default();
        let (writer, node) = Writer::start(Place::Memory, reserve.clone()).await?;
        Ok(SqliteStore { readers: None, writer, node, turn: Arc::default(), reserve, keeper: Mutex::default() })
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.call(Abandoned::Run, work).await
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        match &self.readers {
            Some(readers) => readers.call(work).await,
            None => self.writer.call(Abandoned::Skip, work).await,
        }
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn recover(&self, now: Timestamp, lease_until: Timestamp) -> Result<Recovered, StoreError> {
        self.write(move |db| outbound::recover(db, now, lease_until)).await
    }

    async fn enqueue(
        &self,
        messages: Vec<NewMessage>,
        now: Timestamp,
        lease: Option<Timestamp>,
    ) -> Result<Vec<Enqueued>, StoreError> {
        if self.reserve.is_short() {
            return Err(short_of_room());
        }
        let messages = Hashed::all(messages);
        // A caller that gave up while it waited for its turn was told that nothing is queued.
        self.writer.call_new(Abandoned::Skip, move |db| enqueue::enqueue(db, &messages, now, lease)).await
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Vec<Claimed>, StoreError> {
        if self.reserve.is_short() {
            return Ok(Vec::new());
        }
        let turn = self.turn.clone();
        self.writer.call(Abandoned::Skip, move |db| claim::claim(db, &request, &turn)).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read(claim::next_due).await
    }

    async fn body(&self, id: BodyId) -> Result<Option<Arc<[u8]>>, StoreError> {
        self.read(move |db| journal::body(db, id)).await
    }

    async fn begin(&self, deliveries: Vec<DeliveryId>) -> Result<Vec<DeliveryId>, StoreError> {
        // Nobody sends what was begun for a caller that is gone: it would be uncertain for nothing.
        self.writer.call_new(Abandoned::Skip, move |db| outbound::begin(db, &deliveries)).await
    }

    async fn renew(&self, deliveries: Vec<DeliveryId>, lease_until: Timestamp) -> Result<(), StoreError> {
        self.write(move |db| claim::renew(db, &deliveries, lease_until)).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<(), StoreError> {
        self.write(move |db| outbound::settle(db, &settlements)).await
    }

    async fn record(&self, inbound: Inbound) -> Result<Vec<Recorded>, StoreError> {
        self.writer.call_new(Abandoned::Run, move |db| inbound::record(db, &inbound)).await
    }

    async fn claim_events(
        &self,
        limit: usize,
        busy: Vec<i64>,
        now: Timestamp,
    ) -> Result<Vec<PendingEvent>, StoreError> {
        self.read(move |db| events::claim(db, limit, &busy, now)).await
    }

    async fn next_event_due(&self, busy: Vec<i64>) -> Result<Option<Timestamp>, StoreError> {
        self.read(move |db| events::next_due(db, &busy)).await
    }

    async fn acknowledge(&self, answers: Vec<Acknowledgement>) -> Result<(), StoreError> {
        self.write(move |db| events::acknowledge(db, &answers)).await
    }

    async fn replay(&self, request: ReplayRequest, now: Timestamp) -> Result<u64, StoreError> {
        let mut total = 0;
        let mut next = Some((i64::MIN, i64::MIN));
        while let Some(behind) = next {
            let request = request.clone();
            let (count, following) =
                self.write(move |db| events::replay(db, &request, now, behind, REPLAY_STEP)).await?;
            total += count;
            next = following;
        }
        Ok(total)
    }

    async fn dead_letters(&self, limit: usize) -> Result<Vec<PendingEvent>, StoreError> {
        self.read(move |db| events::dead_letters(db, limit)).await
    }

    async fn find(&self, delivery: DeliveryId) -> Result<Option<Found>, StoreError> {
        self.read(move |db| journal::find(db, delivery)).await
    }

    async fn open_work(&self) -> Result<(u64, u64), StoreError> {
        self.read(journal::open_work).await
    }

    async fn keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        self.read(ring::keys).await
    }

    async fn save_keys(&self, keys: Vec<StoredKey>) -> Result<(), StoreError> {
        self.write(move |db| ring::save_keys(db, &keys)).await
    }

    async fn forms(&self) -> Result<Vec<PathForm>, StoreError> {
        self.read(ring::forms).await
    }

    async fn record_forms(&self, forms: Vec<PathForm>) -> Result<(), StoreError> {
        self.write(move |db| ring::record_forms(db, &forms)).await
    }

    async fn count(&self, by: CountBy, range: Range<Timestamp>) -> Result<Vec<Count>, StoreError> {
        self.read(move |db| journal::count(db, by, &range)).await
    }

    async fn purge(&self, retention: Retention, now: Timestamp) -> Result<u64, StoreError> {
        let mut total = 0;
        let mut next = Some(Stage::FIRST);
        while let Some(stage) = next {
            let (gone, following) = self.write(move |db| purge::step(db, stage, retention, now)).await?;
            total += gone;
            next = following;
        }
        // In quiet times no commit would; where a reader is in the way, the next purge tries again.
        self.writer.call_alone(clean::cut_log).await?;
        Ok(total)
    }

    async fn forget(&self, address: &Address, now: Timestamp) -> Result<u64, StoreError> {
        let spellings = Spellings::of(address);
        let (wanted, names) = (spellings.clone(), spellings.clone());
        self.write(move |db| forget::remember(db, &names, now)).await?;
        let found = self.read(move |db| forget::search(db, &wanted)).await?;
        let mut changed = 0;
        for rows in found.chunks(forget::STEP) {
            let (rows, spellings) = (rows.to_vec(), spellings.clone());
            changed += self.write(move |db| forget::step(db, &spellings, &rows, now)).await?;
        }
        self.writer.call_alone(clean::rewrite).await?;
        for _ in 0..clean::TRIES {
            if self.writer.call_alone(clean::cut_log).await? {
                return Ok(changed);
            }
            tokio::time::sleep(clean::WAIT).await;
        }
        Err(StoreError::Failed(clean::KEPT_BY_A_READER.into()))
    }

    async fn backup(&self, path: &Path) -> Result<(), StoreError> {
        let path = path.to_owned();
        match &self.readers {
            Some(readers) => readers.call_alone(move |db| Copying::to(&path)?.run(db)).await,
            None => self.writer.call_alone(move |db| Copying::to(&path)?.run(db)).await,
        }
    }

    fn node(&self) -> u16 {
        self.node
    }

    fn is_short_of_room(&self) -> bool {
        self.reserve.is_short()
    }

    async fn close(&self) -> Result<(), StoreError> {
        if let Some(readers) = &self.readers {
            readers.close().await;
        }
        let keeper = guard(&self.keeper).take();
        // It ends within a step of its work.
        let _ = tokio::task::spawn_blocking(move || drop(keeper)).await;
        self.writer.close().await
    }
}
