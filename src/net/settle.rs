//! Carries settlements to the store, many to a commit, until the store has them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;

use super::instance::{Instance, lock};
use crate::store::{Settled, Settlement, StoreError};

/// Runs until every sender is gone. What is waiting is settled in one transaction.
pub(crate) async fn settler(instance: Arc<Instance>, mut settlements: mpsc::Receiver<Settlement>) {
    let mut batch = Vec::with_capacity(BATCH);
    while settlements.recv_many(&mut batch, BATCH).await > 0 {
        let turn = instance.turn.lock().await;
        let mut wait = FIRST_WAIT;
        // The outcome exists nowhere else yet: it is offered until it is taken. A crash here leaves the delivery in
        // the in-flight set, and it is told as uncertain.
        while let Err(error) = instance.store.settle(batch.clone()).await {
            if matches!(error, StoreError::Closed) {
                return;
            }
            tracing::error!(%error, waiting = batch.len(), "outcomes could not be stored; trying again");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        let mut next = None;
        {
            let mut held = lock(&instance.held);
            for settlement in &batch {
                held.remove(&settlement.delivery);
                if let Settled::Queued(at) = settlement.state {
                    next = Some(next.map_or(at, |next: crate::Timestamp| next.min(at)));
                }
            }
        }
        drop(turn);
        for settlement in &batch {
            log(settlement);
        }
        if let Some(at) = next {
            instance.due_at(at);
        }
        if batch.iter().any(|settlement| !settlement.events.is_empty()) {
            instance.events.notify_one();
        }
        instance.pending.fetch_sub(batch.len(), Ordering::AcqRel);
        instance.settled.send_modify(|count| *count += 1);
        batch.clear();
    }
}

/// One line for each attempt.
fn log(settlement: &Settlement) {
    let Some(last) = settlement.last.as_ref().filter(|_| settlement.attempted) else { return };
    tracing::info!(
        delivery = %settlement.delivery,
        state = ?settlement.state,
        host = last.host.as_deref().unwrap_or("-"),
        stage = last.stage.map_or("-", |stage| stage.name()),
        code = last.code,
        reason = %last.verdict.reason,
        text = last.text.as_deref().unwrap_or_default(),
        "attempt"
    );
}

const BATCH: usize = 512;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
