//! The store: two queues – messages on their way out, events on their way to the handler – and a memory of what
//! was sent, so that a bounce of weeks later still finds its delivery.
//!
//! # States of a delivery
//!
//! | state | meaning | after a crash |
//! |---|---|---|
//! | `queued` | waits until it is due | waits on |
//! | `leased` | claimed by a running process, due again when the lease ends | queued, due at once |
//! | `in_flight` | leased, and the end of data may have gone out | **uncertain** |
//! | `held` | uncertain, and the user chose to hold it | held |
//! | `delivered` | a remote host said 2xx after the end of data; a bounce may follow | – |
//! | `failed` | refused, or given up | – |
//! | `suppressed`, `cancelled` | not sent | – |
//!
//! ```text
//! enqueue ─► queued ──claim──► leased ──begin──► in_flight ──settle──► delivered | failed | queued | held
//!    └─(leased at once)──────────┘ └────────────settle───────────────► failed | queued | suppressed | cancelled
//! ```
//!
//! # The instants that count
//!
//! - A message is accepted when the transaction of [`Store::enqueue`] is synced; only then does `send` return.
//! - A delivery is in flight when the transaction of [`Store::begin`] is synced; only then may the end of data go out.
//! - An outcome counts when [`Store::settle`] is synced. A crash between the remote host's 2xx and that instant
//!   leaves the delivery in the in-flight set, and exactly that set is told as `uncertain`: such a message may be
//!   delivered twice.
//! - A report is received when [`Store::record`] is synced; only then is the peer told 250.
//! - An event is done when [`Store::acknowledge`] is synced; a crash before it hands the event over again.

#[cfg(all(feature = "testing", any(feature = "sqlite", feature = "postgres")))]
pub(crate) mod bench;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod columns;
#[cfg(test)]
mod conformance;
mod error;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod hashed;
#[cfg(test)]
pub(crate) mod rigged;
#[cfg(feature = "postgres")]
pub(crate) mod outbox;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod random;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod spellings;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod transition;

pub(crate) use error::StoreError;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
use hashed::Hashed;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::event::EventRecord;
use crate::id::{DeliveryId, MessageId};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
use crate::return_path::KeyState;
use crate::session::Stage;
use crate::tag::Tag;
use crate::time::Timestamp;
use crate::verdict::Verdict;

/// One message and its recipients, to be queued as one.
#[derive(Debug, Clone)]
pub(crate) struct NewMessage {
    pub(crate) id: MessageId,
    /// The content, complete but for the header field that is prepended per delivery.
    pub(crate) body: Arc<[u8]>,
    pub(crate) smtputf8: bool,
    pub(crate) eight_bit: bool,
    pub(crate) tag: Option<Tag>,
    pub(crate) mailing: Option<String>,
    /// JSON, at most 4 KiB.
    pub(crate) metadata: Option<String>,
    pub(crate) stream: Stream,
    /// Not before this time.
    pub(crate) not_before: Timestamp,
    /// Given up at this time, whatever was tried.
    pub(crate) expires: Timestamp,
    /// Whether `expires` is the user's own deadline, which is kept even without one attempt.
    pub(crate) own_deadline: bool,
    pub(crate) idempotency: Option<Idempotency>,
    /// Another program sends it: only remembered, as delivered.
    pub(crate) sent_elsewhere: bool,
    pub(crate) deliveries: Vec<NewDelivery>,
}

/// One recipient of a new message.
#[derive(Debug, Clone)]
pub(crate) struct NewDelivery {
    pub(crate) id: DeliveryId,
    pub(crate) recipient: Address,
    /// `local@domain`; the same in every attempt.
    pub(crate) return_path: Address,
    /// What is prepended to the content: the mark's header field, with its CRLF.
    pub(crate) prefix: String,
    /// Which queue it stands in: the recipient's domain, or the route's name.
    pub(crate) destination: String,
}

/// A key under which a repeated `send` is recognised.
#[derive(Debug, Clone)]
pub(crate) struct Idempotency {
    pub(crate) key: String,
    /// A hash over what was given, before ids and dates were added.
    pub(crate) fingerprint: [u8; 32],
}

/// The stream a message belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stream {
    /// One person waits for it: a password, a receipt. Tried for 5 days.
    #[default]
    Transactional,
    /// One of many: a newsletter. Tried for 2 days.
    Bulk,
}

/// How far open work is counted: whoever waits for its end asks again and again, also before a million messages.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) const COUNTED: i64 = 1_000;

/// What became of one message of [`Store::enqueue`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Enqueued {
    /// Queued. The deliveries that were asked to be leased are leased.
    New,
    /// The key is known with the same content: the first message's ids and return paths.
    Repeated { message: MessageId, deliveries: Vec<(DeliveryId, Address, Address)> },
    /// The key is known with other content. Nothing was queued.
    KeyConflict,
}

/// A delivery on its way out, as [`Store::claim`] gives it.
#[derive(Debug, Clone)]
pub(crate) struct Claimed {
    pub(crate) id: DeliveryId,
    pub(crate) message: MessageId,
    pub(crate) recipient: Address,
    pub(crate) return_path: Address,
    pub(crate) prefix: String,
    pub(crate) destination: String,
    pub(crate) body: BodyId,
    pub(crate) body_size: u64,
    pub(crate) smtputf8: bool,
    pub(crate) eight_bit: bool,
    pub(crate) tag: Option<Tag>,
    pub(crate) mailing: Option<String>,
    pub(crate) metadata: Option<String>,
    #[cfg_attr(not(test), expect(dead_code, reason = "a schedule that lets bulk mail stand back asks for it"))]
    pub(crate) stream: Stream,
    pub(crate) queued_at: Timestamp,
    pub(crate) expires: Timestamp,
    pub(crate) own_deadline: bool,
    /// Attempts that were made and counted so far.
    pub(crate) attempts: u32,
    /// Delay events told so far.
    pub(crate) delays_told: u32,
    /// What the last attempt met, if there was one.
    pub(crate) last: Option<LastAttempt>,
}

/// A body's content hash: bodies are stored once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct BodyId(pub(crate) [u8; 32]);

impl BodyId {
    /// The id of this content: its SHA-256.
    pub(crate) fn of(body: &[u8]) -> BodyId {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body);
        BodyId(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

/// What an attempt met; kept as JSON beside the delivery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LastAttempt {
    pub(crate) at: Timestamp,
    pub(crate) verdict: Verdict,
    pub(crate) code: Option<u16>,
    pub(crate) text: Option<String>,
    pub(crate) stage: Option<Stage>,
    pub(crate) host: Option<String>,
    /// Whether the end of an attempt before this one was uncertain: a remote host may have the message.
    #[serde(default)]
    pub(crate) after_uncertain: bool,
}

/// Which due deliveries to claim.
#[derive(Debug, Clone)]
pub(crate) struct ClaimRequest {
    /// At most this many in all.
    pub(crate) limit: usize,
    /// At most this many of one destination: the fair share.
    pub(crate) per_destination: usize,
    /// Destinations that have no room now.
    pub(crate) skip: Vec<String>,
    pub(crate) now: Timestamp,
    pub(crate) lease_until: Timestamp,
}

/// The end of one attempt, or of a delivery.
#[derive(Debug, Clone)]
pub(crate) struct Settlement {
    pub(crate) delivery: DeliveryId,
    pub(crate) state: Settled,
    /// Whether an attempt was made that counts.
    pub(crate) attempted: bool,
    /// Whether a delay event is among `events`.
    pub(crate) delay_told: bool,
    pub(crate) last: Option<LastAttempt>,
    /// Stored in the same transaction.
    pub(crate) events: Vec<EventRecord>,
}

/// The state that a settlement leaves a delivery in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    Delivered,
    Failed,
    #[cfg_attr(not(test), expect(dead_code, reason = "for a list of dead addresses, which there is none of yet"))]
    Suppressed,
    #[cfg_attr(not(test), expect(dead_code, reason = "for an order to take messages back, which there is none of yet"))]
    Cancelled,
    /// Uncertain, and held for a person.
    Held,
    /// Back to the queue until this time.
    Queued(Timestamp),
}

/// A delivery as the memory keeps it.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) id: DeliveryId,
    pub(crate) message: MessageId,
    pub(crate) recipient: Address,
    pub(crate) return_path: Address,
    pub(crate) tag: Option<Tag>,
    pub(crate) mailing: Option<String>,
    pub(crate) metadata: Option<String>,
    pub(crate) stream: Stream,
    pub(crate) state: State,
    pub(crate) queued_at: Timestamp,
    pub(crate) attempts: u32,
    pub(crate) last: Option<LastAttempt>,
    /// The verdict of the bounce that came back, if one did.
    pub(crate) bounced: Option<Verdict>,
}

/// The state of a delivery; see the module's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum State {
    Queued,
    Leased,
    InFlight,
    Held,
    Delivered,
    Failed,
    Suppressed,
    Cancelled,
}

/// Events that came in with one piece of mail.
#[derive(Debug, Clone)]
pub(crate) struct Inbound {
    /// Told apart by id: an event whose id is stored already is a repetition.
    pub(crate) events: Vec<EventRecord>,
    /// The bounds that hold for the events of one delivery (by `EventRecord::delivery`).
    pub(crate) bounds: InboundBounds,
}

/// How much one return path may make us store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InboundBounds {
    /// Events that came in for one delivery.
    pub(crate) events: u32,
    /// Bytes of raw mail kept for one delivery.
    pub(crate) raw_bytes: u64,
}

/// What became of one event of [`Store::record`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// Stored.
    New,
    /// Known already.
    Repeated,
    /// Over the bounds: counted, not stored. `first` the first time for this delivery (an alert event was stored).
    Flood { first: bool },
}

/// An event that waits for the handler.
#[derive(Debug, Clone)]
pub(crate) struct PendingEvent {
    /// Its place in the store's order.
    pub(crate) sequence: i64,
    /// How often it was handed over and not acknowledged.
    pub(crate) attempts: u32,
    /// What the handler said the last time ([`Answer::Again`], [`Answer::Dead`]).
    pub(crate) error: Option<String>,
    pub(crate) record: EventRecord,
}

/// What the handler answered about one event.
#[derive(Debug, Clone)]
pub(crate) struct Acknowledgement {
    pub(crate) sequence: i64,
    pub(crate) answer: Answer,
}

/// See [`Acknowledgement`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Done.
    Done,
    /// Again at this time; `attempts` is what is stored as the count of tries.
    Again { at: Timestamp, attempts: u32, error: String },
    /// To the dead letters.
    Dead { attempts: u32, error: String },
}

/// Which stored events to hand over again.
#[derive(Debug, Clone)]
pub(crate) struct ReplayRequest {
    pub(crate) range: Range<Timestamp>,
    /// Only those in the dead letters.
    pub(crate) dead_only: bool,
}

/// What is left from before this start.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    /// Deliveries that were in flight when the process died; now queued and leased by nobody, due at
    /// `lease_until` of [`Store::recover`] unless they are settled before.
    pub(crate) in_flight: Vec<Claimed>,
    /// How many leases were void.
    pub(crate) leased: u64,
    /// The highest id that was ever stored: ids start above it.
    pub(crate) high_water: u64,
}

/// A key of the ring, as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredKey {
    /// 0 to 63.
    pub(crate) id: u8,
    /// Tells two secrets apart without showing either.
    pub(crate) fingerprint: [u8; 16],
    /// The secret, where the ring lives in the store.
    pub(crate) secret: Option<[u8; 32]>,
    /// The state's name.
    pub(crate) state: String,
    /// When the state was reached.
    pub(crate) since: Timestamp,
}

#[cfg(any(feature = "sqlite", feature = "postgres"))]
impl StoredKey {
    /// Whether this is a later state of the key than the one that is known, or the same with its secret now elsewhere.
    /// A state that only a newer version knows is later than all.
    fn is_ahead_of(&self, known: &StoredKey) -> bool {
        match (KeyState::from_name(&self.state), KeyState::from_name(&known.state)) {
            (Some(state), Some(stored)) => state > stored || state == stored && self.secret != known.secret,
            _ => false,
        }
    }
}

/// A form of return paths that was used and must be accepted while it may come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathForm {
    pub(crate) domain: String,
    pub(crate) prefix: String,
    pub(crate) separator: String,
    /// When a path of this form was last made; `record_forms` raises it.
    pub(crate) last_used: Timestamp,
}

/// What to count deliveries by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CountBy {
    /// The reason of the failure or bounce (deliveries without one are not listed).
    Reason,
    /// The recipient's domain.
    Domain,
    /// The mailing (deliveries without one under the empty name).
    Mailing,
}

/// One line of a count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) name: String,
    /// Queued within the range.
    pub(crate) queued: u64,
    /// Accepted by a remote host and not returned.
    pub(crate) delivered: u64,
    /// Refused in the conversation or given up.
    pub(crate) failed: u64,
    /// Accepted, then returned: moved out of `delivered`.
    pub(crate) bounced: u64,
    /// Not ended yet.
    pub(crate) open: u64,
    /// Deliveries with a complaint; counted beside the others.
    pub(crate) complained: u64,
}

/// What a sign of life brings back: how the processes that share this store stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Beat {
    /// Processes whose lease holds, this one among them.
    pub(crate) processes: u32,
    /// Keys that each of them has reported, bit by bit.
    pub(crate) common_keys: u64,
    /// This process had missed its lease: what it held belongs to others now, and it goes on as a new one.
    pub(crate) was_fenced: bool,
    /// Counts the changes of the ring in the store.
    pub(crate) ring: i64,
}

/// What another process has done that concerns this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "a store of one process has no news"))]
pub(crate) enum News {
    /// Deliveries may be due.
    Work,
    /// Events may be ready.
    Events,
    /// The ring has changed.
    Keys,
    /// A process has come or gone.
    Processes,
}

/// How long each class of row is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retention {
    /// Ended deliveries, counted from when they were queued: at least as long as return paths are honoured.
    pub(crate) journal: Duration,
    /// Acknowledged events.
    pub(crate) events: Duration,
    /// Raw mail of events.
    pub(crate) raw: Duration,
}

/// Everything that must outlive the process. Batch-shaped: each call is one transaction, and calls that wait
/// together share one sync.
#[async_trait]
pub(crate) trait Store: Send + Sync + 'static {
    /// Makes what a dead process left behind usable again: its leases are void, its in-flight set is given out. Where
    /// processes share the store, those whose own lease has ended are dead; then this is also called while running.
    async fn recover(&self, now: Timestamp, lease_until: Timestamp) -> Result<Recovered, StoreError>;

    /// Queues messages, all durable when it returns. `lease` says which deliveries are leased at once instead of
    /// being left to [`Store::claim`].
    async fn enqueue(
        &self,
        messages: Vec<NewMessage>,
        now: Timestamp,
        lease: Option<Timestamp>,
    ) -> Result<Vec<Enqueued>, StoreError>;

    /// Leases due deliveries, fairly between destinations. A lease that has ended is due.
    async fn claim(&self, request: ClaimRequest) -> Result<Vec<Claimed>, StoreError>;

    /// When the next delivery that is queued or leased becomes due, if any.
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Reads a body.
    async fn body(&self, id: BodyId) -> Result<Option<Arc<[u8]>>, StoreError>;

    /// Adds leased deliveries to the durable in-flight set. Answers those that may go on, also one that is in the set
    /// already: a host was offered it and did not get its end, and the next one is. One that was cancelled or whose
    /// lease was lost is not among them.
    async fn begin(&self, deliveries: Vec<DeliveryId>) -> Result<Vec<DeliveryId>, StoreError>;

    /// Renews leases.
    async fn renew(&self, deliveries: Vec<DeliveryId>, lease_until: Timestamp) -> Result<(), StoreError>;

    /// Records ends of attempts, with their events, in one transaction.
    async fn settle(&self, settlements: Vec<Settlement>) -> Result<(), StoreError>;

    /// Stores what came in; books a bounce on its delivery once (`Found::bounced`).
    async fn record(&self, inbound: Inbound) -> Result<Vec<Recorded>, StoreError>;

    /// Pending events that are due, in order; at most one of each delivery, and never one whose elder of the same
    /// delivery is still pending. Events named in `busy` (sequences that are with the handler now) and those whose
    /// delivery has one there are left out.
    async fn claim_events(&self, limit: usize, busy: Vec<i64>, now: Timestamp)
    -> Result<Vec<PendingEvent>, StoreError>;

    /// When the next pending event becomes due, if any. Only the eldest of each delivery counts, and none whose
    /// delivery has an event in `busy`: the others cannot be claimed when their time comes.
    async fn next_event_due(&self, busy: Vec<i64>) -> Result<Option<Timestamp>, StoreError>;

    /// Records what the handler answered.
    async fn acknowledge(&self, answers: Vec<Acknowledgement>) -> Result<(), StoreError>;

    /// Makes stored events pending again, with their own ids; answers how many.
    async fn replay(&self, request: ReplayRequest, now: Timestamp) -> Result<u64, StoreError>;

    /// Events of the dead letters, oldest first.
    async fn dead_letters(&self, limit: usize) -> Result<Vec<PendingEvent>, StoreError>;

    /// Looks a delivery up.
    async fn find(&self, delivery: DeliveryId) -> Result<Option<Found>, StoreError>;

    /// Deliveries and events that are not ended: `(deliveries, events)`, counted up to [`COUNTED`].
    async fn open_work(&self) -> Result<(u64, u64), StoreError>;

    /// The ring's keys.
    async fn keys(&self) -> Result<Vec<StoredKey>, StoreError>;

    /// Adds keys and changes states, which only go forward: a ring that is behind sets nothing back. A key whose stored
    /// fingerprint is another is an error and changes nothing.
    async fn save_keys(&self, keys: Vec<StoredKey>) -> Result<(), StoreError>;

    /// Forms of return paths used so far.
    async fn forms(&self) -> Result<Vec<PathForm>, StoreError>;

    /// Adds forms, or raises when they were last used.
    async fn record_forms(&self, forms: Vec<PathForm>) -> Result<(), StoreError>;

    /// Counts deliveries that were queued within the range.
    async fn count(&self, by: CountBy, range: Range<Timestamp>) -> Result<Vec<Count>, StoreError>;

    /// Deletes what is older than its class is kept, in small steps; answers how many rows.
    async fn purge(&self, retention: Retention, now: Timestamp) -> Result<u64, StoreError>;

    /// Removes all that names `address` – deliveries, events, raw mail – and says how many rows went or changed.
    /// Open deliveries to it are cancelled. Other recipients of its messages are not touched.
    async fn forget(&self, address: &Address, now: Timestamp) -> Result<u64, StoreError> {
        let _ = (address, now);
        Err(StoreError::Failed("this store cannot forget an address".into()))
    }

    /// Writes a copy of the store, as it is at one moment, to a file that must not exist.
    async fn backup(&self, path: &Path) -> Result<(), StoreError> {
        let _ = path;
        Err(StoreError::Failed(
            "a PostgreSQL database is copied by its own tools: pg_dump for a copy of one moment, pg_basebackup with \
             archived logs for going back to any moment"
                .into(),
        ))
    }

    /// Whether the store has so little room left that nothing new may come in: what is in flight still has its place.
    fn is_short_of_room(&self) -> bool {
        false
    }

    /// The node number in the ids that this process makes, 0 to 1,023. Unique among those that share the store.
    fn node(&self) -> u16 {
        0
    }

    /// Renews the lease of this process, with the keys that it has, as bits. A store of one process has nothing to say.
    async fn beat(&self, keys: u64) -> Result<Beat, StoreError> {
        Ok(Beat { processes: 1, common_keys: keys, was_fenced: false, ring: 0 })
    }

    /// How often [`Store::beat`] wants to be called; `None` for a store of one process.
    fn beat_every(&self) -> Option<Duration> {
        None
    }

    /// Waits until another process has done something that concerns this one. Cancel-safe.
    async fn news(&self) -> News {
        std::future::pending().await
    }

    /// Takes one of the `limit` places for connections to `destination` that all processes share; `None` if none is
    /// free. The places of a dead process are free.
    async fn take_place(&self, destination: &str, limit: usize) -> Result<Option<u32>, StoreError> {
        let _ = (destination, limit);
        Ok(Some(0))
    }

    /// Gives a place back.
    async fn leave_place(&self, destination: &str, place: u32) -> Result<(), StoreError> {
        let _ = (destination, place);
        Ok(())
    }

    /// Queues a batch of what other programs have put into the outbox; answers how many messages, 0 at its end.
    async fn take_outbox(&self, now: Timestamp) -> Result<u64, StoreError> {
        let _ = now;
        Ok(0)
    }

    /// Ends the store: everything accepted so far is synced, then it closes.
    async fn close(&self) -> Result<(), StoreError>;
}
