//! Claims what is due, opens connections for it, and keeps leases alive.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::deliver::serve;
use super::instance::{Instance, RENEWAL, lock};
use crate::schedule::{Waiting, expired_unattempted};
use crate::store::{BodyId, ClaimRequest, Claimed, Settled, Settlement, StoreError};
use crate::time::Timestamp;

/// Runs until the instance stops, then until the connections have ended.
pub(crate) async fn pump(instance: Arc<Instance>) {
    let mut stop = instance.stop.subscribe();
    let mut connections = JoinSet::new();
    while !*stop.borrow_and_update() {
        let claimed = match claim_due(&instance).await {
            Ok(claimed) => claimed,
            Err(StoreError::Closed) => break,
            Err(error) => {
                tracing::error!(%error, "the store could not be asked for due deliveries; trying again");
                instance.due_at(instance.clock.now() + CLAIM_RETRY);
                0
            }
        };
        let opened = lock(&instance.ready).open_connections();
        for destination in opened {
            connections.spawn(serve(instance.clone(), destination));
        }
        if claimed > 0 {
            continue;
        }
        let due = Timestamp::from_millis(instance.due.load(Ordering::Acquire));
        // Connections that free room do not ring for it: then it is looked at again after a while.
        let due = if has_room(&instance) { due } else { due.max(instance.clock.now() + FULL_WAIT) };
        tokio::select! {
            () = instance.work.notified() => {}
            () = instance.clock.sleep_until(due), if due < Timestamp::MAX => {}
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                if let Err(error) = ended {
                    // A bug of ours; its deliveries come again at the next start.
                    tracing::error!(%error, "a connection's task ended badly");
                }
            }
            _ = stop.changed() => {}
        }
    }
    while connections.join_next().await.is_some() {}
    // Nothing of these went out, and the next run must not take them for uncertain.
    let now = instance.clock.now();
    let tried = lock(&instance.ready).take_tried();
    for waiting in tried {
        instance.settle(give_back(&waiting.delivery, now)).await;
    }
}

/// Claiming waits until a good part of the room is free: many rows in one query instead of one each.
fn has_room(instance: &Instance) -> bool {
    lock(&instance.ready).room() >= CLAIM_ROOM
}

/// Claims due deliveries into the ready queues; answers how many went on.
async fn claim_due(instance: &Arc<Instance>) -> Result<usize, StoreError> {
    let now = instance.clock.now();
    instance.since(now);
    if Timestamp::from_millis(instance.due.load(Ordering::Acquire)) > now || !has_room(instance) {
        return Ok(0);
    }
    let request = {
        let ready = lock(&instance.ready);
        ClaimRequest {
            limit: ready.room().min(ready.part_of(CLAIM_BATCH)),
            per_destination: ready.per_destination().min(ready.part_of(CLAIM_SHARE)),
            skip: ready.full(),
            now,
            lease_until: instance.lease_until(),
        }
    };
    // Before the question, so that a row that becomes due meanwhile is not overlooked.
    instance.due.store(i64::MAX, Ordering::Release);
    let mut claimed = {
        // Never between the commit of a settlement and the end of its hold, which would leave a lease to nobody.
        let _turn = instance.turn.lock().await;
        match instance.store.claim(request).await {
            Ok(mut claimed) => {
                let mut held = lock(&instance.held);
                // The lease of one ran out while a task of this process has it still: that task will settle it.
                claimed.retain(|delivery| held.insert(delivery.id));
                claimed
            }
            Err(error) => {
                instance.due.fetch_min(now.as_millis(), Ordering::AcqRel);
                return Err(error);
            }
        }
    };
    let mut count = 0;
    let mut bodies = HashMap::new();
    for delivery in claimed.drain(..) {
        count += usize::from(take(instance, delivery, &mut bodies, now).await);
    }
    if let Some(next) = instance.store.next_due().await? {
        // Due rows whose destination is full are asked for again when there is room, not at once.
        let next = if count == 0 && next <= now { now + FULL_WAIT } else { next };
        instance.due.fetch_min(next.as_millis(), Ordering::AcqRel);
    }
    Ok(count)
}

/// Puts one claimed delivery where it belongs: settled if its time is over, else into its ready queue. Answers
/// whether it went on; if not, it waits in the store again.
async fn take(
    instance: &Arc<Instance>,
    mut delivery: Claimed,
    bodies: &mut HashMap<BodyId, Arc<[u8]>>,
    now: Timestamp,
) -> bool {
    // The row says where it stood when it was queued; the smarthost may be another one since, or none.
    delivery.destination = instance.destination(&delivery.recipient);
    if let Some(settlement) = expired_unattempted(&delivery, instance.since(now), now) {
        instance.settle(settlement).await;
        return true;
    }
    let size = usize::try_from(delivery.body_size).unwrap_or(usize::MAX);
    if !lock(&instance.ready).reserve(&delivery.destination, size) {
        instance.settle(give_back(&delivery, now + FULL_WAIT)).await;
        return false;
    }
    let body = match bodies.get(&delivery.body) {
        Some(body) => Ok(Some(body.clone())),
        None => instance.store.body(delivery.body).await,
    };
    match body {
        Ok(Some(body)) => {
            bodies.insert(delivery.body, body.clone());
            lock(&instance.ready).push(Waiting { delivery, body, tried: false });
            true
        }
        missing => {
            lock(&instance.ready).give_up(&delivery.destination, size);
            // Set aside for longer, and the others go on: it may be this one alone that is damaged.
            let why = missing.err().map_or_else(|| "there is none".to_owned(), |error| error.to_string());
            tracing::error!(delivery = %delivery.id, why, "the content of a delivery could not be read from the store");
            instance.settle(give_back(&delivery, now + UNREADABLE_WAIT)).await;
            false
        }
    }
}

/// Back to the store, without an attempt.
pub(super) fn give_back(delivery: &Claimed, at: Timestamp) -> Settlement {
    Settlement {
        delivery: delivery.id,
        state: Settled::Queued(at),
        attempted: false,
        delay_told: false,
        last: delivery.last.clone(),
        events: Vec::new(),
    }
}

/// Renews the leases of what is in hand.
pub(crate) async fn keeper(instance: Arc<Instance>, mut stop: watch::Receiver<bool>) {
    let mut last = instance.clock.now();
    loop {
        let next = last + RENEWAL;
        tokio::select! {
            () = instance.clock.sleep_until(next) => {}
            _ = stop.changed() => return,
        }
        let now = instance.clock.now();
        instance.since(now);
        last = now;
        let held: Vec<_> = lock(&instance.held).iter().copied().collect();
        if !held.is_empty()
            && let Err(error) = instance.store.renew(held, instance.lease_until()).await
        {
            tracing::error!(%error, "leases could not be renewed");
        }
    }
}

/// Deletes what is older than it is kept, revokes keys whose last path is too old, and keeps the forms of return paths
/// in use alive.
pub(crate) async fn cleaner(instance: Arc<Instance>, mut stop: watch::Receiver<bool>) {
    loop {
        let now = instance.clock.now();
        if let Err(error) = instance.store.purge(instance.config.retention, now).await {
            tracing::error!(%error, "old rows could not be deleted");
        }
        if let Err(error) = instance.revoke_outlived(now).await {
            tracing::error!(%error, "keys that have outlived their return paths could not be revoked");
        }
        if let Err(error) = instance.refresh_forms(now).await {
            tracing::error!(%error, "the forms of return paths in use could not be recorded");
        }
        tokio::select! {
            () = instance.clock.sleep_until(now + CLEANING) => {}
            _ = stop.changed() => return,
        }
    }
}

const CLAIM_BATCH: usize = 500;
const CLAIM_SHARE: usize = 100;
const CLAIM_ROOM: usize = 100;
const CLAIM_RETRY: Duration = Duration::from_secs(1);
const FULL_WAIT: Duration = Duration::from_secs(1);
/// Until content that could not be read is asked for again.
const UNREADABLE_WAIT: Duration = Duration::from_secs(5 * 60);
const CLEANING: Duration = Duration::from_secs(3600);
