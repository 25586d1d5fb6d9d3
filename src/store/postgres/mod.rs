//! The store that many processes on many machines share: PostgreSQL.
//!
//! | file | what |
//! |---|---|
//! | `open`, `tls` | the address, the pool, the tries while the database is away |
//! | `schema`, `scope` | the tables, as additive steps; what one call stands on |
//! | `process`, `news` | the processes that share it, and what they tell each other |
//! | `enqueue`, `claim`, `outbound`, `outbox` | the way out |
//! | `inbound`, `events` | the way back, and the queue to the handler |
//! | `journal`, `purge`, `forget`, `ring` | the memory, its end, and the keys |
//!
//! Each call is one transaction. One that the database could not finish – it restarts, another transaction was in the
//! way – is made again on a fresh connection until the time limit. That is safe also where only the reply to the
//! commit was lost: ids are made by the caller, so what is stored already is seen to be.
//!
//! No type of the driver leaves this room.

mod claim;
mod columns;
mod enqueue;
mod events;
mod fault;
mod forget;
mod inbound;
mod journal;
mod news;
mod open;
mod outbound;
mod outbox;
mod process;
mod purge;
mod ring;
mod schema;
mod scope;
#[cfg(test)]
mod tests;
mod tls;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use deadpool_postgres::{Object, Pool, Transaction};

use self::news::Listener;
use self::open::{Address, Tries};
use self::process::Member;
use self::purge::Stage;
use self::scope::{Scope, Times};
use super::spellings::Spellings;
use super::{
    Acknowledgement, Beat, BodyId, ClaimRequest, Claimed, Count, CountBy, Enqueued, Found, Hashed, Inbound, NewMessage,
    News, PathForm, PendingEvent, Recorded, Recovered, ReplayRequest, Retention, Settlement, Store, StoreError,
    StoredKey,
};
use crate::id::DeliveryId;
use crate::net::clock::Clock;
use crate::time::Timestamp;

/// Events made pending again in one step of a replay.
const REPLAY_STEP: usize = 500;

/// Signs of life within one lease: several may be missed.
const BEATS: u32 = 6;

/// A transaction that stands still for this part of a lease is given up: those who wait for it, signs of life among
/// them, go on before their own leases end.
const PATIENCE: u32 = 3;

/// How a store in PostgreSQL is reached and shared.
pub(crate) struct PostgresConfig {
    /// A URL or a list of `key=value`, as PostgreSQL's own programs take them.
    pub(crate) url: String,
    /// How long a process that gives no sign of life counts as alive.
    pub(crate) lease: Duration,
    /// How long a call is tried while the database is away.
    pub(crate) wait: Duration,
    /// Whether the database says what time it is, not the caller.
    pub(crate) now_from_database: bool,
    /// The caller's clock, from which the database's differs.
    pub(crate) clock: Clock,
}

/// A store in a PostgreSQL database, shared with other processes.
pub(crate) struct PostgresStore {
    pool: Pool,
    listener: Listener,
    lease: Duration,
    wait: Duration,
    clock: Clock,
    closed: AtomicBool,
    standing: Mutex<Standing>,
}

/// What changes with time.
struct Standing {
    member: Member,
    times: Times,
    /// The destination after which the next claim starts.
    turn: String,
}

/// Runs work in a transaction, again and again while the database cannot do it.
macro_rules! transaction {
    ($store:expr, $scope:ident => $work:expr) => {{
        let store: &PostgresStore = $store;
        let mut tries = store.tries()?;
        loop {
            let outcome = match open::connection(&store.pool).await {
                Ok(mut client) => {
                    let outcome = async {
                        let db = client.transaction().await?;
                        let $scope = &store.scope(&db);
                        let answer = $work.await?;
                        db.commit().await?;
                        Ok(answer)
                    }
                    .await;
                    if matches!(outcome, Err(StoreError::Temporary(_))) {
                        // It may lead to a server that is no primary any more.
                        drop(Object::take(client));
                    }
                    outcome
                }
                Err(error) => Err(error),
            };
            match outcome {
                Err(StoreError::Temporary(why)) => tries.again(why).await?,
                outcome => break outcome,
            }
        }
    }};
}

impl PostgresStore {
    /// Opens the store, makes its tables if there are none, and joins those that share it.
    pub(crate) async fn open(config: &PostgresConfig) -> Result<PostgresStore, StoreError> {
        let address = Address::parse(&config.url)?;
        let tls = address.connector()?;
        let pool = address.pool(tls.clone(), config.lease / PATIENCE)?;
        let mut tries = Tries::new(config.wait);
        loop {
            let made = async { open::migrate(&mut open::connection(&pool).await?).await }.await;
            match made {
                Err(StoreError::Temporary(why)) => tries.again(why).await?,
                made => break made?,
            }
        }
        let nobody = Member { id: 0, node: 0 };
        let times = Times { ahead: 0, now_from_database: config.now_from_database };
        let standing = Standing { member: nobody, times, turn: String::new() };
        let store = PostgresStore {
            pool,
            listener: Listener::start(address.config, tls),
            lease: config.lease,
            wait: config.wait,
            clock: config.clock.clone(),
            closed: AtomicBool::new(false),
            standing: Mutex::new(standing),
        };
        let (member, ahead) = transaction!(&store, scope => async {
            Ok::<_, StoreError>((process::register(scope, 0, store.lease).await?, ahead(scope, &store.clock).await?))
        })?;
        let mut standing = store.standing();
        standing.member = member;
        standing.times.ahead = ahead;
        drop(standing);
        Ok(store)
    }

    fn scope<'a>(&self, db: &'a Transaction<'a>) -> Scope<'a> {
        let standing = self.standing();
        Scope { db, process: standing.member.id, times: standing.times }
    }

    fn tries(&self) -> Result<Tries, StoreError> {
        if self.closed.load(Ordering::Acquire) { Err(StoreError::Closed) } else { Ok(Tries::new(self.wait)) }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// What the database's clock is ahead of the caller's, in milliseconds.
async fn ahead(scope: &Scope<'_>, clock: &Clock) -> Result<i64, StoreError> {
    if !scope.times.now_from_database {
        return Ok(0);
    }
    let before = clock.now().as_millis();
    let there = scope.clock().await?;
    let after = clock.now().as_millis();
    Ok(there.saturating_sub(before + (after - before) / 2))
}

#[async_trait]
impl Store for PostgresStore {
    async fn recover(&self, now: Timestamp, lease_until: Timestamp) -> Result<Recovered, StoreError> {
        transaction!(self, scope => outbound::recover(scope, now, lease_until))
    }

    async fn enqueue(
        &self,
        messages: Vec<NewMessage>,
        now: Timestamp,
        lease: Option<Timestamp>,
    ) -> Result<Vec<Enqueued>, StoreError> {
        let messages = Hashed::all(messages);
        transaction!(self, scope => enqueue::enqueue(scope, &messages, now, lease))
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Vec<Claimed>, StoreError> {
        let turn = self.standing().turn.clone();
        let (claimed, turn) = transaction!(self, scope => claim::claim(scope, &request, &turn))?;
        self.standing().turn = turn;
        Ok(claimed)
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        transaction!(self, scope => claim::next_due(scope))
    }

    async fn body(&self, id: BodyId) -> Result<Option<Arc<[u8]>>, StoreError> {
        transaction!(self, scope => journal::body(scope, id))
    }

    async fn begin(&self, deliveries: Vec<DeliveryId>) -> Result<Vec<DeliveryId>, StoreError> {
        transaction!(self, scope => outbound::begin(scope, &deliveries))
    }

    async fn renew(&self, deliveries: Vec<DeliveryId>, lease_until: Timestamp) -> Result<(), StoreError> {
        transaction!(self, scope => claim::renew(scope, &deliveries, lease_until))
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<(), StoreError> {
        transaction!(self, scope => outbound::settle(scope, &settlements))
    }

    async fn record(&self, inbound: Inbound) -> Result<Vec<Recorded>, StoreError> {
        transaction!(self, scope => inbound::record(scope, &inbound))
    }

    async fn claim_events(
        &self,
        limit: usize,
        busy: Vec<i64>,
        now: Timestamp,
    ) -> Result<Vec<PendingEvent>, StoreError> {
        transaction!(self, scope => events::claim(scope, limit, &busy, now))
    }

    async fn next_event_due(&self, busy: Vec<i64>) -> Result<Option<Timestamp>, StoreError> {
        transaction!(self, scope => events::next_due(scope, &busy))
    }

    async fn acknowledge(&self, answers: Vec<Acknowledgement>) -> Result<(), StoreError> {
        transaction!(self, scope => events::acknowledge(scope, &answers))
    }

    async fn replay(&self, request: ReplayRequest, now: Timestamp) -> Result<u64, StoreError> {
        let mut total = 0;
        let mut next = Some((i64::MIN, i64::MIN));
        while let Some(behind) = next {
            let (count, following) =
                transaction!(self, scope => events::replay(scope, &request, now, behind, REPLAY_STEP))?;
            total += count;
            next = following;
        }
        Ok(total)
    }

    async fn dead_letters(&self, limit: usize) -> Result<Vec<PendingEvent>, StoreError> {
        transaction!(self, scope => events::dead_letters(scope, limit))
    }

    async fn find(&self, delivery: DeliveryId) -> Result<Option<Found>, StoreError> {
        transaction!(self, scope => journal::find(scope, delivery))
    }

    async fn open_work(&self) -> Result<(u64, u64), StoreError> {
        transaction!(self, scope => journal::open_work(scope))
    }

    async fn keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        transaction!(self, scope => ring::keys(scope))
    }

    async fn save_keys(&self, keys: Vec<StoredKey>) -> Result<(), StoreError> {
        transaction!(self, scope => ring::save_keys(scope, &keys))
    }

    async fn forms(&self) -> Result<Vec<PathForm>, StoreError> {
        transaction!(self, scope => ring::forms(scope))
    }

    async fn record_forms(&self, forms: Vec<PathForm>) -> Result<(), StoreError> {
        transaction!(self, scope => ring::record_forms(scope, &forms))
    }

    async fn count(&self, by: CountBy, range: Range<Timestamp>) -> Result<Vec<Count>, StoreError> {
        transaction!(self, scope => journal::count(scope, by, &range))
    }

    async fn purge(&self, retention: Retention, now: Timestamp) -> Result<u64, StoreError> {
        let mut total = 0;
        let mut next = Some(Stage::FIRST);
        while let Some(stage) = next {
            let (gone, following) = transaction!(self, scope => purge::step(scope, stage, retention, now))?;
            total += gone;
            next = following;
        }
        Ok(total)
    }

    async fn forget(&self, address: &crate::address::Address, now: Timestamp) -> Result<u64, StoreError> {
        let spellings = Spellings::of(address);
        while self.take_outbox(now).await? > 0 {}
        transaction!(self, scope => forget::remember(scope, &spellings, now))?;
        let mut changed = 0;
        for table in forget::Table::ALL {
            let mut next = Some(i64::MIN);
            while let Some(from) = next {
                let (found, following) = transaction!(self, scope => forget::search(scope, table, from, &spellings))?;
                for rows in found.chunks(forget::STEP) {
                    changed += transaction!(self, scope => forget::step(scope, &spellings, rows, now))?;
                }
                next = following;
            }
        }
        let mark = transaction!(self, scope => forget::mark(scope))?;
        for _ in 0..forget::TRIES {
            match forget::rewrite(open::connection(&self.pool).await?, &mark).await {
                Ok(true) => return Ok(changed),
                // A lock that others hold, as an old view of the tables, passes by itself.
                Ok(false) | Err(StoreError::Temporary(_)) => tokio::time::sleep(forget::WAIT).await,
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Failed(forget::KEPT_BY_A_READER.into()))
    }

    fn node(&self) -> u16 {
        self.standing().member.node
    }

    async fn beat(&self, keys: u64) -> Result<Beat, StoreError> {
        let (beat, anew, ahead) = transaction!(self, scope => async {
            let (beat, anew) = process::beat(scope, keys, self.lease).await?;
            Ok::<_, StoreError>((beat, anew, ahead(scope, &self.clock).await?))
        })?;
        let mut standing = self.standing();
        standing.times.ahead = ahead;
        if let Some(member) = anew {
            standing.member = member;
        }
        Ok(beat)
    }

    fn beat_every(&self) -> Option<Duration> {
        Some(self.lease / BEATS)
    }

    async fn news(&self) -> News {
        self.listener.next().await
    }

    async fn take_place(&self, destination: &str, limit: usize) -> Result<Option<u32>, StoreError> {
        transaction!(self, scope => process::take_place(scope, destination, limit))
    }

    async fn leave_place(&self, destination: &str, place: u32) -> Result<(), StoreError> {
        transaction!(self, scope => process::leave_place(scope, destination, place))
    }

    async fn take_outbox(&self, now: Timestamp) -> Result<u64, StoreError> {
        transaction!(self, scope => outbox::take(scope, now))
    }

    async fn close(&self) -> Result<(), StoreError> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.listener.stop();
        // A courtesy: where the database is away, the lease ends by itself.
        let goodbye = async {
            let mut client = open::connection(&self.pool).await?;
            let db = client.transaction().await?;
            process::leave(&self.scope(&db)).await?;
            Ok::<_, StoreError>(db.commit().await?)
        };
        if let Err(error) = goodbye.await {
            tracing::debug!(%error, "the database was not told that this process goes");
        }
        self.pool.close();
        Ok(())
    }
}
