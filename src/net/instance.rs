//! What all tasks of one mailer share.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, mpsc, watch};

use super::clock::Clock;
use super::config::Config;
use super::fleet::Fleet;
use super::tls::Connectors;
use crate::event::{EventKind, EventRecord, Origin};
use crate::id::{DeliveryId, EventId, IdSource};
use crate::return_path::{Forms, Keyring, ReturnDomains};
use crate::route::Resolver;
use crate::schedule::{Ready, Seen, Steady};
use crate::store::{Inbound, InboundBounds, Settlement, Store};
use crate::time::Timestamp;

pub(crate) struct Instance {
    pub(crate) config: Config,
    pub(crate) fleet: Fleet,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    pub(crate) keyring: RwLock<Keyring>,
    /// Changes of the ring follow one another.
    pub(crate) ring_turn: tokio::sync::Mutex<()>,
    /// Whether the ring lives in the store, not in the user's own file.
    pub(crate) ring_in_store: bool,
    pub(crate) domains: ReturnDomains,
    pub(crate) forms: RwLock<Forms>,
    pub(crate) ids: Mutex<IdSource>,
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) connectors: Connectors,
    /// Since when attempts count for expiry.
    pub(crate) since: Mutex<Steady>,
    pub(crate) ready: Mutex<Ready>,
    /// Deliveries that a task of this process has in hand; their leases are renewed.
    pub(crate) held: Mutex<HashSet<DeliveryId>>,
    /// Keeps a claim from falling between the commit of a settlement and the end of its hold.
    pub(crate) turn: tokio::sync::Mutex<()>,
    /// Until when STARTTLS of an address is taken for broken.
    pub(crate) broken_tls: Mutex<HashMap<IpAddr, Timestamp>>,
    /// Where our own listeners are: mail is never delivered to ourselves.
    pub(crate) own_sockets: Mutex<Vec<SocketAddr>>,
    /// Wakes the pump.
    pub(crate) work: Notify,
    /// When the next delivery in the store is due, in milliseconds; `i64::MAX` for never.
    pub(crate) due: AtomicI64,
    /// Wakes the dispatcher.
    pub(crate) events: Arc<Notify>,
    /// Counts settlements; `outcome` waits for it to change.
    pub(crate) settled: watch::Sender<u64>,
    pub(crate) settlements: mpsc::Sender<Settlement>,
    /// Settlements that the store has not taken yet.
    pub(crate) pending: AtomicUsize,
    /// One permit for each `send` that may wait for the store at once.
    pub(crate) submissions: Arc<Semaphore>,
    pub(crate) stop: watch::Sender<bool>,
}

impl Instance {
    /// Until when a lease that is taken now holds. A minute longer than three renewals may fail.
    pub(crate) fn lease_until(&self) -> Timestamp {
        self.clock.now() + LEASE
    }

    /// Since when attempts count for expiry: the start, or the last jump of the clock. Whoever lets something expire
    /// asks here, so that a jump is noticed before anything falls to it.
    pub(crate) fn since(&self, now: Timestamp) -> Timestamp {
        lock(&self.since).look(now, self.clock.instant())
    }

    /// Tells the pump that something in the store is due at `at`.
    pub(crate) fn due_at(&self, at: Timestamp) {
        self.due.fetch_min(at.as_millis(), Ordering::AcqRel);
        self.work.notify_one();
    }

    /// Hands a settlement to the settler. Waits while it has many.
    pub(crate) async fn settle(&self, settlement: Settlement) {
        self.pending.fetch_add(1, Ordering::AcqRel);
        // The settler lives as long as the instance; at a shutdown what it did not take is redone after the start.
        let _ = self.settlements.send(settlement).await;
    }

    /// Tells a person of something about the instance itself: once an hour for one cause.
    pub(crate) async fn alert(&self, cause: &str, seen: &Seen) {
        let now = self.clock.now();
        let hour = now.as_millis().div_euclid(3_600_000);
        let id = EventId::derive(&[b"alert", cause.as_bytes(), &hour.to_be_bytes()]);
        let text = seen.text();
        tracing::error!(cause, text, "alert");
        let mut event = EventRecord::bare(id, EventKind::Alert, now, Origin::Local);
        event.text = Some(format!("{cause}: {text}"));
        event.stage = Some(seen.stage);
        event.host.clone_from(&seen.host);
        let bounds = InboundBounds { events: u32::MAX, raw_bytes: 0 };
        match self.store.record(Inbound { events: vec![event], bounds }).await {
            Ok(_) => self.events.notify_one(),
            Err(error) => tracing::error!(%error, "an alert could not be stored"),
        }
    }

    pub(crate) fn stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Waits for the stop.
    pub(crate) async fn stopped(&self) {
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    pub(crate) fn is_own_socket(&self, address: IpAddr, port: u16) -> bool {
        lock(&self.own_sockets).iter().any(|own| {
            own.port() == port && (own.ip() == address || (own.ip().is_unspecified() && address.is_loopback()))
        })
    }
}

/// Locks; a panic elsewhere left the value whole, since no guard is held across a step that can panic half-way.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a claimed delivery is ours.
const LEASE: Duration = Duration::from_secs(15 * 60);
/// How often leases are renewed.
pub(crate) const RENEWAL: Duration = Duration::from_secs(4 * 60);
