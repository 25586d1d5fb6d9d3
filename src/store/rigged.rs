//! A store for tests of what stands on it: it can be made to fail, and shows what it was told.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::*;
use crate::event::{EventKind, Origin};
use crate::id::EventId;

/// The event queue of a store, in memory, which fails as often as it is told to; and counts as they were given.
#[derive(Default)]
pub(crate) struct RiggedStore {
    rows: Mutex<BTreeMap<i64, Row>>,
    pub(crate) failing_reads: AtomicUsize,
    pub(crate) failing_writes: AtomicUsize,
    pub(crate) closed: AtomicBool,
    /// How many answers came with each write.
    pub(crate) writes: Mutex<Vec<usize>>,
    /// What `count` answers.
    counts: Vec<(CountBy, Vec<Count>)>,
}

struct Row {
    record: EventRecord,
    attempts: u32,
    state: RowState,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RowState {
    Due(Timestamp),
    Done,
    Dead(String),
}

impl RiggedStore {
    /// When all its events were stored.
    pub(crate) const STORED_AT: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    /// A store that counts so.
    pub(crate) fn counting(counts: Vec<(CountBy, Vec<Count>)>) -> RiggedStore {
        RiggedStore { counts, ..RiggedStore::default() }
    }

    /// Stores an event of this delivery; 0 stands for none.
    pub(crate) fn add(&self, kind: EventKind, delivery: u64) -> i64 {
        let mut rows = self.rows.lock().unwrap();
        let sequence = rows.len() as i64 + 1;
        let id = EventId::derive(&[&sequence.to_be_bytes()]);
        let mut record = EventRecord::bare(id, kind, RiggedStore::STORED_AT, Origin::Local);
        record.delivery = (delivery > 0).then(|| DeliveryId::from_u64(delivery));
        rows.insert(sequence, Row { record, attempts: 0, state: RowState::Due(RiggedStore::STORED_AT) });
        sequence
    }

    pub(crate) fn state(&self, sequence: i64) -> RowState {
        self.rows.lock().unwrap()[&sequence].state.clone()
    }

    pub(crate) fn attempts(&self, sequence: i64) -> u32 {
        self.rows.lock().unwrap()[&sequence].attempts
    }

    pub(crate) fn all_done(&self) -> bool {
        self.rows.lock().unwrap().values().all(|row| row.state == RowState::Done)
    }

    fn check(&self, failing: &AtomicUsize) -> Result<(), StoreError> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(StoreError::Closed);
        }
        let fails = failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if fails { Err(StoreError::Failed("rigged".into())) } else { Ok(()) }
    }

    /// The first pending event of each delivery that has none with the handler.
    fn heads(&self, busy: &[i64]) -> Vec<(i64, Timestamp)> {
        let rows = self.rows.lock().unwrap();
        let taken: BTreeSet<_> = busy.iter().filter_map(|sequence| rows[sequence].record.delivery).collect();
        let mut seen = BTreeSet::new();
        rows.iter()
            .filter_map(|(sequence, row)| match row.state {
                RowState::Due(at) => Some((*sequence, at, row.record.delivery)),
                _ => None,
            })
            .filter(|(sequence, _, delivery)| match delivery {
                Some(delivery) => !taken.contains(delivery) && seen.insert(*delivery),
                None => !busy.contains(sequence),
            })
            .map(|(sequence, at, _)| (sequence, at))
            .collect()
    }
}

#[async_trait]
impl Store for RiggedStore {
    async fn claim_events(
        &self,
        limit: usize,
        busy: Vec<i64>,
        now: Timestamp,
    ) -> Result<Vec<PendingEvent>, StoreError> {
        self.check(&self.failing_reads)?;
        let due = self.heads(&busy).into_iter().filter(|(_, at)| *at <= now).take(limit);
        let rows = self.rows.lock().unwrap();
        Ok(due
            .map(|(sequence, _)| {
                let row = &rows[&sequence];
                PendingEvent { sequence, attempts: row.attempts, error: None, record: row.record.clone() }
            })
            .collect())
    }

    async fn next_event_due(&self, busy: Vec<i64>) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.heads(&busy).into_iter().map(|(_, at)| at).min())
    }

    async fn acknowledge(&self, answers: Vec<Acknowledgement>) -> Result<(), StoreError> {
        self.check(&self.failing_writes)?;
        self.writes.lock().unwrap().push(answers.len());
        let mut rows = self.rows.lock().unwrap();
        for Acknowledgement { sequence, answer } in answers {
            let row = rows.get_mut(&sequence).unwrap();
            assert!(matches!(row.state, RowState::Due(_)), "answered twice");
            (row.state, row.attempts) = match answer {
                Answer::Done => (RowState::Done, row.attempts),
                Answer::Again { at, attempts, .. } => (RowState::Due(at), attempts),
                Answer::Dead { attempts, error } => (RowState::Dead(error), attempts),
            };
        }
        Ok(())
    }

    async fn recover(&self, _: Timestamp, _: Timestamp) -> Result<Recovered, StoreError> {
        unreachable!("this fake has only events and counts")
    }
    async fn enqueue(
        &self,
        _: Vec<NewMessage>,
        _: Timestamp,
        _: Option<Timestamp>,
    ) -> Result<Vec<Enqueued>, StoreError> {
        unreachable!("this fake has only events and counts")
    }
    async fn claim(&self, _: ClaimRequest) -> Result<Vec<Claimed>, StoreError> {
        unreachable!("this fake has only events and counts")
    }
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        unreachable!("this fake has only events and counts")
    }
    async fn body(&self, _: BodyId) -> Result<Option<Arc<[u8]>>, StoreError> {
        unreachable!("this fake has only events and counts")
    }
    async fn begin(&self, _: Vec<DeliveryId>) -> Result<Vec<DeliveryId>, StoreError> {
        unreachable!("this fake has only events and counts")
    }
    async fn renew(&self, _: Vec<DeliveryId>, _: Timestamp) -> Result<(), StoreError> {
        unreachable!("this fake has only events and counts")
    }
    async fn settle(&self, _: Vec<Settlement>) -> Result<(), StoreError> {
        unreachable!("this fake has only events and counts")
    }
    async fn record(&self, _: Inbound) -> Result<Vec<Recorded>, StoreError> {
        unreachable!("this fake has only events and counts")
    }
    async fn replay(&self, request: ReplayRequest, now: Timestamp) -> Result<u64, StoreError> {
        self.check(&self.failing_reads)?;
        let mut count = 0;
        for row in self.rows.lock().unwrap().values_mut() {
            let dead = matches!(row.state, RowState::Dead(_));
            if request.range.contains(&row.record.at) && (dead || (!request.dead_only && row.state == RowState::Done)) {
                (row.state, row.attempts) = (RowState::Due(now), 0);
                count += 1;
            }
        }
        Ok(count)
    }
    async fn dead_letters(&self, limit: usize) -> Result<Vec<PendingEvent>, StoreError> {
        self.check(&self.failing_reads)?;
        let rows = self.rows.lock().unwrap();
        let dead = rows.iter().filter_map(|(sequence, row)| match &row.state {
            RowState::Dead(error) => Some(PendingEvent {
                sequence: *sequence,
                attempts: row.attempts,
                error: Some(error.clone()),
                record: row.record.clone(),
            }),
            _ => None,
        });
        Ok(dead.take(limit).collect())
    }
    async fn find(&self, _: DeliveryId) -> Result<Option<Found>, StoreError> {
        unreachable!("this fake has only events and counts")
    }
    async fn open_work(&self) -> Result<(u64, u64), StoreError> {
        unreachable!("this fake has only events and counts")
    }
    async fn keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        unreachable!("this fake has only events and counts")
    }
    async fn save_keys(&self, _: Vec<StoredKey>) -> Result<(), StoreError> {
        unreachable!("this fake has only events and counts")
    }
    async fn forms(&self) -> Result<Vec<PathForm>, StoreError> {
        unreachable!("this fake has only events and counts")
    }
    async fn record_forms(&self, _: Vec<PathForm>) -> Result<(), StoreError> {
        unreachable!("this fake has only events and counts")
    }
    async fn count(&self, by: CountBy, _: Range<Timestamp>) -> Result<Vec<Count>, StoreError> {
        self.check(&self.failing_reads)?;
        Ok(self.counts.iter().find(|(known, _)| *known == by).map(|(_, counts)| counts.clone()).unwrap_or_default())
    }
    async fn purge(&self, _: Retention, _: Timestamp) -> Result<u64, StoreError> {
        unreachable!("this fake has only events and counts")
    }
    async fn close(&self) -> Result<(), StoreError> {
        unreachable!("this fake has only events and counts")
    }
}
