//! What lies on the desk of the dispatcher: the state between two steps of its loop, and the steps.

use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::refusal::Refusal;
use super::{DispatchConfig, Dispatcher};
use crate::event::{Event, FailureHandler, MAX_BATCH, MAX_CONCURRENCY};
use crate::net::clock::Clock;
use crate::store::{Acknowledgement, Answer, PendingEvent, Store, StoreError};
use crate::time::Timestamp;

/// The one line about an event that was handed over.
macro_rules! trace_call {
    ($level:ident, $waiting:expr, $took:expr, $error:expr, $what:literal) => {
        tracing::event!(
            tracing::Level::$level,
            event = %$waiting.event.id(),
            kind = $waiting.event.kind().name(),
            delivery = $waiting.event.delivery().map(tracing::field::display),
            attempt = $waiting.attempts.saturating_add(1),
            took_ms = $took.map(|took: Duration| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
            error = $error,
            $what
        )
    };
}

/// See the module.
pub(super) struct Desk {
    store: Arc<dyn Store>,
    handler: Arc<dyn FailureHandler>,
    clock: Clock,
    config: DispatchConfig,
    /// What the handler asked for, within bounds.
    batch: usize,
    concurrency: usize,
    /// Calls, reads and writes that run, and what each is about.
    pub(super) tasks: JoinSet<Ended>,
    works: HashMap<Id, Work>,
    calls: usize,
    /// Events that wait for a call: those that may share one, and those that come alone.
    ready: VecDeque<Waiting>,
    alone: VecDeque<Waiting>,
    alone_is_next: bool,
    /// Answers that wait to be written.
    answers: Vec<Acknowledgement>,
    /// Sequences of all events that are here.
    busy: HashSet<i64>,
    /// The store may have events that were not read.
    pub(super) unread: bool,
    pub(super) next_due: Option<Timestamp>,
    pub(super) reads: Rest,
    pub(super) writes: Rest,
    pub(super) stopping: bool,
}

/// An event that is here.
struct Waiting {
    sequence: i64,
    attempts: u32,
    event: Event,
}

/// What a task is about.
enum Work {
    Call(Vec<Waiting>),
    Read,
    Write(Vec<Acknowledgement>),
}

/// How a task ended.
pub(super) enum Ended {
    Call { answer: Result<(), Refusal>, took: Duration },
    Read(Result<Reading, StoreError>),
    Write(Result<(), StoreError>),
}

pub(super) struct Reading {
    events: Vec<PendingEvent>,
    /// There may be more that are due.
    more: bool,
    next_due: Option<Timestamp>,
}

impl Desk {
    pub(super) fn new(dispatcher: Dispatcher) -> Desk {
        let Dispatcher { store, handler, clock, config, wake: _ } = dispatcher;
        let batch = asked("batch", MAX_BATCH, || handler.batch());
        let concurrency = asked("concurrency", MAX_CONCURRENCY, || handler.concurrency());
        Desk {
            store,
            handler,
            clock,
            config,
            batch,
            concurrency,
            tasks: JoinSet::new(),
            works: HashMap::new(),
            calls: 0,
            ready: VecDeque::new(),
            alone: VecDeque::new(),
            alone_is_next: false,
            answers: Vec::new(),
            busy: HashSet::new(),
            unread: true,
            next_due: None,
            reads: Rest::default(),
            writes: Rest::default(),
            stopping: false,
        }
    }

    /// No new calls. What waits here is still pending in the store.
    pub(super) fn stop(&mut self) {
        self.stopping = true;
        self.ready.clear();
        self.alone.clear();
    }

    pub(super) fn is_done(&self) -> bool {
        self.stopping && self.tasks.is_empty() && self.answers.is_empty()
    }

    /// Starts whatever can be started.
    pub(super) fn start_work(&mut self) {
        if !self.stopping {
            while self.calls < self.concurrency
                && let Some(events) = self.next_call()
            {
                self.start_call(events);
            }
            self.start_read();
        }
        self.start_write();
    }

    /// The events of the next call. Those that come alone and the others take turns, so that neither waits for the
    /// whole queue of the other.
    fn next_call(&mut self) -> Option<Vec<Waiting>> {
        if !self.alone.is_empty() && (self.alone_is_next || self.ready.is_empty()) {
            self.alone_is_next = false;
            return self.alone.pop_front().map(|event| vec![event]);
        }
        self.alone_is_next = true;
        let size = self.batch.min(self.ready.len());
        (size > 0).then(|| self.ready.drain(..size).collect())
    }

    fn start_call(&mut self, waiting: Vec<Waiting>) {
        let (handler, clock, limit) = (Arc::clone(&self.handler), self.clock.clone(), self.config.time_limit);
        let events: Vec<Event> = waiting.iter().map(|waiting| waiting.event.clone()).collect();
        self.calls += 1;
        self.start(Work::Call(waiting), async move {
            let started = clock.instant();
            let answer = tokio::time::timeout(limit, handler.on_events(&events)).await;
            let answer = answer.map_err(|_| Refusal::out_of_time(limit)).and_then(Refusal::unless_ok);
            Ended::Call { answer, took: clock.instant().saturating_duration_since(started) }
        });
    }

    /// Reads ahead, so that no call waits for the store; but only so far, since every event here is in memory.
    fn start_read(&mut self) {
        let most = (2 * self.batch * self.concurrency).clamp(READ_AHEAD, MAX_READ_AHEAD);
        let here = self.ready.len() + self.alone.len();
        let idle = !self.works.values().any(|work| matches!(work, Work::Read));
        // Answers that cannot be written pile up in `busy`: then nothing more is read.
        if !self.unread || self.reads.is_on() || here > most / 2 || self.busy.len() > 4 * most || !idle {
            return;
        }
        self.unread = false;
        let (store, now, limit) = (Arc::clone(&self.store), self.clock.now(), most - here);
        let busy: Vec<i64> = self.busy.iter().copied().collect();
        self.start(Work::Read, async move { Ended::Read(read(&*store, limit, busy, now).await) });
    }

    /// Writes all answers there are; those that arrive meanwhile wait for the next write, so that a busy handler
    /// makes few large transactions.
    fn start_write(&mut self) {
        let idle = !self.works.values().any(|work| matches!(work, Work::Write(_)));
        if self.answers.is_empty() || self.writes.is_on() || !idle {
            return;
        }
        let answers = std::mem::take(&mut self.answers);
        let (store, written) = (Arc::clone(&self.store), answers.clone());
        self.start(Work::Write(answers), async move { Ended::Write(store.acknowledge(written).await) });
    }

    fn start(&mut self, work: Work, task: impl Future<Output = Ended> + Send + 'static) {
        let task = self.tasks.spawn(task);
        self.works.insert(task.id(), work);
    }

    /// A task ended; a panic in it is an error like others.
    pub(super) fn ended(&mut self, ended: Result<(Id, Ended), JoinError>) {
        let (id, ended) = match ended {
            Ok((id, ended)) => (id, Ok(ended)),
            Err(error) => (error.id(), Err(Refusal::panicked(error))),
        };
        match (self.works.remove(&id), ended) {
            (Some(Work::Call(events)), Ok(Ended::Call { answer, took })) => self.call_ended(events, answer, Some(took)),
            (Some(Work::Call(events)), Err(refusal)) => {
                self.call_ended(events, Err(refusal), None);
            }
            (Some(Work::Read), Ok(Ended::Read(reading))) => self.read_ended(reading),
            (Some(Work::Read), Err(panic)) => self.read_ended(Err(StoreError::Failed(panic.text))),
            (Some(Work::Write(answers)), Ok(Ended::Write(result))) => self.write_ended(answers, result),
            (Some(Work::Write(answers)), Err(panic)) => self.write_ended(answers, Err(StoreError::Failed(panic.text))),
            _ => debug_assert!(false, "each task ends as what it was started for"),
        }
    }

    fn call_ended(&mut self, events: Vec<Waiting>, answer: Result<(), Refusal>, took: Option<Duration>) {
        self.calls -= 1;
        match answer {
            Ok(()) => {
                for waiting in events {
                    trace_call!(INFO, waiting, took, None::<&str>, "event taken");
                    self.answers.push(Acknowledgement { sequence: waiting.sequence, answer: Answer::Done });
                }
            }
            Err(refusal) if events.len() > 1 => {
                for waiting in events {
                    trace_call!(WARN, waiting, took, Some(&*refusal.text), "batch not taken; the event comes alone");
                    // A dispatcher that stops leaves it to the next start.
                    if !self.stopping {
                        self.alone.push_back(waiting);
                    }
                }
            }
            Err(refusal) => {
                for waiting in events {
                    self.refused(waiting, &refusal, took);
                }
            }
        }
    }

    /// An event that came alone was not taken.
    fn refused(&mut self, waiting: Waiting, refusal: &Refusal, took: Option<Duration>) {
        let (attempts, error) = (waiting.attempts.saturating_add(1), refusal.text.clone());
        let answer = if refusal.give_up || attempts >= self.config.max_attempts {
            trace_call!(ERROR, waiting, took, Some(&*refusal.text), "event not taken; moved to the dead letters");
            Answer::Dead { attempts, error }
        } else {
            trace_call!(WARN, waiting, took, Some(&*refusal.text), "event not taken; it comes again");
            Answer::Again { at: self.clock.now() + self.config.wait_after(attempts), attempts, error }
        };
        self.answers.push(Acknowledgement { sequence: waiting.sequence, answer });
    }

    fn read_ended(&mut self, reading: Result<Reading, StoreError>) {
        let reading = match reading {
            Ok(reading) => reading,
            Err(StoreError::Closed) => return self.stop(),
            Err(error) => {
                self.unread = true;
                self.reads.begin(&self.clock);
                return tracing::error!(%error, "events cannot be read; trying again");
            }
        };
        self.reads = Rest::default();
        self.unread |= reading.more;
        // A time that has passed belongs to an event that waits behind another one here: its turn comes when that
        // one is answered. The floor keeps the loop from spinning on it.
        self.next_due = reading.next_due.map(|due| due.max(self.clock.now() + LOOK_AGAIN));
        if self.stopping {
            return;
        }
        for PendingEvent { sequence, attempts, record, error: _ } in reading.events {
            if self.busy.insert(sequence) {
                let waiting = Waiting { sequence, attempts, event: Event::new(record) };
                // What failed before would only take its batch with it.
                if attempts == 0 { self.ready.push_back(waiting) } else { self.alone.push_back(waiting) }
            }
        }
    }

    fn write_ended(&mut self, mut answers: Vec<Acknowledgement>, result: Result<(), StoreError>) {
        let Err(error) = result else {
            self.writes = Rest::default();
            // The next event of each of these deliveries may be handed over now.
            self.unread = true;
            for answer in &answers {
                self.busy.remove(&answer.sequence);
            }
            return;
        };
        answers.append(&mut self.answers);
        self.answers = answers;
        self.writes.begin(&self.clock);
        let closed = matches!(error, StoreError::Closed);
        if closed || (self.stopping && self.writes.failures >= LAST_WRITES) {
            tracing::error!(%error, events = self.answers.len(), "answers are not recorded; these events come again");
            self.answers.clear();
        } else {
            tracing::error!(%error, events = self.answers.len(), "answers cannot be written; trying again");
        }
        if closed {
            self.stop();
        }
    }
}

/// A rest after failures of the store: it doubles from one to the next.
#[derive(Default)]
pub(super) struct Rest {
    failures: u32,
    pub(super) until: Option<Instant>,
}

impl Rest {
    fn begin(&mut self, clock: &Clock) {
        let wait = STORE_REST.saturating_mul(1 << self.failures.min(16)).min(MAX_STORE_REST);
        self.failures = self.failures.saturating_add(1);
        self.until = Some(Instant::from_std(clock.instant()) + wait);
    }

    fn is_on(&self) -> bool {
        self.until.is_some()
    }
}

async fn read(store: &dyn Store, limit: usize, mut busy: Vec<i64>, now: Timestamp) -> Result<Reading, StoreError> {
    let events = store.claim_events(limit, busy.clone(), now).await?;
    let more = events.len() >= limit;
    let next_due = if more {
        None
    } else {
        busy.extend(events.iter().map(|event| event.sequence));
        store.next_event_due(busy).await?
    };
    Ok(Reading { events, more, next_due })
}

/// What the handler asks for, from 1 to `most`; 1 if it panics.
pub(super) fn asked(what: &str, most: usize, ask: impl Fn() -> usize) -> usize {
    let answer = catch_unwind(AssertUnwindSafe(ask)).unwrap_or_else(|_| {
        tracing::error!("the handler panicked when it was asked for its {what}; 1 is taken");
        1
    });
    answer.clamp(1, most)
}

/// Events that are read ahead where the handler takes one at a time: enough to hide the read. Each may have its raw
/// message with it.
const READ_AHEAD: usize = 64;

/// The most events that are read ahead, whatever the handler asks for.
const MAX_READ_AHEAD: usize = 4096;

/// How soon the store is read again for an event whose time has come and that it did not give out.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The first rest after the store failed; a locked file is often free again at once.
const STORE_REST: Duration = Duration::from_millis(100);

/// The longest: a disk that was full is noticed soon after it has room.
const MAX_STORE_REST: Duration = Duration::from_secs(30);

/// Failed writes in a row after which a dispatcher that is to stop gives up: some three seconds.
const LAST_WRITES: u32 = 6;
