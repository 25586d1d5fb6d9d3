//! Hands stored events to the handler until it says `Ok`.
//!
//! One loop owns all state and never waits for anything but "something ended": calls of the handler, reads and writes
//! of the store are tasks of one set. So a handler that is slow, hangs or panics, and a store that fails, hold up
//! nothing but what depends on them.
//!
//! ```text
//! store ──read──► ready ──batch──► call ──Ok────────────────► answers ──write──► store
//!                   alone ◄─(batch failed)─┘ └─Err, one event──► answers (again, dead)
//! ```
//!
//! The store gives out at most one event of each delivery, and none whose delivery has an event here (`busy`): that
//! keeps the order. An event is here from the read until its answer is written, so nothing is called twice at a time.
//! Whatever is here when the process dies is still pending in the store.

use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::{Event, FailureHandler, HandlerResult, MAX_BATCH, MAX_CONCURRENCY};
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

/// Waits and limits.
#[derive(Debug, Clone)]
pub(crate) struct DispatchConfig {
    /// For one call.
    pub(crate) time_limit: Duration,
    /// Between tries: the first wait; it doubles up to `max_wait`.
    pub(crate) first_wait: Duration,
    pub(crate) max_wait: Duration,
    /// Tries before the dead letters.
    pub(crate) max_attempts: u32,
}

impl Default for DispatchConfig {
    /// 84 tries over three days: a database that goes away on Friday evening and comes back on Monday loses nothing.
    /// A minute is far more than a handler needs that writes to a database, and short enough that a call that hangs
    /// does not hold up its delivery for long.
    fn default() -> DispatchConfig {
        DispatchConfig {
            time_limit: Duration::from_secs(60),
            first_wait: Duration::from_secs(1),
            max_wait: Duration::from_secs(60 * 60),
            max_attempts: 84,
        }
    }
}

impl DispatchConfig {
    /// The wait after this many tries have failed.
    fn wait_after(&self, attempts: u32) -> Duration {
        self.first_wait.saturating_mul(1 << attempts.saturating_sub(1).min(30)).min(self.max_wait)
    }
}

/// See the module.
pub(crate) struct Dispatcher {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) handler: Arc<dyn FailureHandler>,
    pub(crate) clock: Clock,
    pub(crate) config: DispatchConfig,
    /// Notified when events were stored.
    pub(crate) wake: Arc<Notify>,
}

impl Dispatcher {
    /// Runs until `stop` says true (or its sender is gone), then lets the calls that run come to their end and writes
    /// their answers. Dropping the future stops everything at once, as a crash would.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        let (wake, clock) = (Arc::clone(&self.wake), self.clock.clone());
        let mut desk = Desk::new(self);
        // Made before the store is read, so that no notification falls between the read and the wait.
        let stored = wake.notified();
        tokio::pin!(stored);
        while !desk.is_done() {
            desk.start_work();
            tokio::select! {
                Some(ended) = desk.tasks.join_next_with_id() => desk.ended(ended),
                () = &mut stored, if !desk.stopping => {
                    stored.set(wake.notified());
                    desk.unread = true;
                }
                () = reached(&clock, desk.next_due), if !desk.stopping => {
                    desk.next_due = None;
                    desk.unread = true;
                }
                () = rested(desk.reads.until) => desk.reads.until = None,
                () = rested(desk.writes.until) => desk.writes.until = None,
                () = said(&mut stop), if !desk.stopping => desk.stop(),
            }
        }
    }
}

/// What lies on the desk of the dispatcher.
struct Desk {
    store: Arc<dyn Store>,
    handler: Arc<dyn FailureHandler>,
    clock: Clock,
    config: DispatchConfig,
    /// What the handler asked for, within bounds.
    batch: usize,
    concurrency: usize,
    /// Calls, reads and writes that run, and what each is about.
    tasks: JoinSet<Ended>,
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
    unread: bool,
    next_due: Option<Timestamp>,
    reads: Rest,
    writes: Rest,
    stopping: bool,
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
enum Ended {
    Call { answer: Result<(), Refusal>, took: Duration },
    Read(Result<Reading, StoreError>),
    Write(Result<(), StoreError>),
}

/// Why a call did not take its events.
struct Refusal {
    text: String,
    give_up: bool,
}

struct Reading {
    events: Vec<PendingEvent>,
    /// There may be more that are due.
    more: bool,
    next_due: Option<Timestamp>,
}

impl Desk {
    fn new(dispatcher: Dispatcher) -> Desk {
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
    fn stop(&mut self) {
        self.stopping = true;
        self.ready.clear();
        self.alone.clear();
    }

    fn is_done(&self) -> bool {
        self.stopping && self.tasks.is_empty() && self.answers.is_empty()
    }

    /// Starts whatever can be started.
    fn start_work(&mut self) {
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
    fn ended(&mut self, ended: Result<(Id, Ended), JoinError>) {
        let (id, ended) = match ended {
            Ok((id, ended)) => (id, Ok(ended)),
            Err(error) => (error.id(), Err(panic_text(error))),
        };
        match (self.works.remove(&id), ended) {
            (Some(Work::Call(events)), Ok(Ended::Call { answer, took })) => self.call_ended(events, answer, Some(took)),
            (Some(Work::Call(events)), Err(text)) => {
                self.call_ended(events, Err(Refusal { text, give_up: false }), None);
            }
            (Some(Work::Read), Ok(Ended::Read(reading))) => self.read_ended(reading),
            (Some(Work::Read), Err(text)) => self.read_ended(Err(StoreError::Failed(text))),
            (Some(Work::Write(answers)), Ok(Ended::Write(result))) => self.write_ended(answers, result),
            (Some(Work::Write(answers)), Err(text)) => self.write_ended(answers, Err(StoreError::Failed(text))),
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

impl Refusal {
    fn unless_ok(answer: HandlerResult) -> Result<(), Refusal> {
        answer.map_err(|error| Refusal { text: shortened(error.in_full()), give_up: error.is_final() })
    }

    fn out_of_time(limit: Duration) -> Refusal {
        Refusal { text: format!("no answer within {limit:?}"), give_up: false }
    }
}

/// A rest after failures of the store: it doubles from one to the next.
#[derive(Default)]
struct Rest {
    failures: u32,
    until: Option<Instant>,
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

/// Waits until the clock shows the time; for ever without one.
async fn reached(clock: &Clock, time: Option<Timestamp>) {
    match time {
        Some(time) => clock.sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Waits until the rest is over; for ever without one.
async fn rested(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// Waits until `stop` says true or nobody can say it any more.
async fn said(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// What the handler asks for, from 1 to `most`; 1 if it panics.
fn asked(what: &str, most: usize, ask: impl Fn() -> usize) -> usize {
    let answer = catch_unwind(AssertUnwindSafe(ask)).unwrap_or_else(|_| {
        tracing::error!("the handler panicked when it was asked for its {what}; 1 is taken");
        1
    });
    answer.clamp(1, most)
}

/// What a task that did not end well said.
fn panic_text(error: JoinError) -> String {
    let text = match error.try_into_panic() {
        Ok(panic) => match panic.downcast::<String>() {
            Ok(text) => *text,
            Err(panic) => panic.downcast::<&'static str>().map_or_else(|_| "no words".into(), |text| (*text).into()),
        },
        Err(error) => return error.to_string(),
    };
    shortened(format!("panicked: {text}"))
}

/// The text as far as it is stored with the event.
fn shortened(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_ERROR_TEXT));
    text
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

/// Bytes of a handler's error that are stored with the event.
const MAX_ERROR_TEXT: usize = 1000;

#[cfg(test)]
mod tests;
