use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::sync::{Semaphore, mpsc};

use super::desk::asked;
use super::*;
use crate::event::{Bounce, Event, EventKind, Failure, HandlerError, HandlerResult, from_fn};
use crate::id::{DeliveryId, EventId};
use crate::store::rigged::{RiggedStore, RowState};

const START: Timestamp = RiggedStore::STORED_AT;

/// A handler whose every call is shown to the test, which decides how it ends.
struct Puppet {
    calls: mpsc::UnboundedSender<Call>,
    batch: usize,
    concurrency: usize,
}

/// One running call.
#[derive(Debug)]
struct Call {
    events: Vec<Event>,
    end: tokio::sync::oneshot::Sender<End>,
}

#[derive(Debug)]
enum End {
    Ok,
    Err,
    GiveUp,
    Panic,
}

#[async_trait]
impl FailureHandler for Puppet {
    async fn on_fail(&self, _: &Failure) -> HandlerResult {
        unreachable!("the dispatcher calls on_events")
    }

    async fn on_bounce(&self, _: &Bounce) -> HandlerResult {
        unreachable!("the dispatcher calls on_events")
    }

    fn batch(&self) -> usize {
        self.batch
    }

    fn concurrency(&self) -> usize {
        self.concurrency
    }

    async fn on_events(&self, events: &[Event]) -> HandlerResult {
        let (end, ended) = tokio::sync::oneshot::channel();
        self.calls.send(Call { events: events.to_vec(), end }).unwrap();
        match ended.await {
            Ok(End::Ok) => Ok(()),
            Ok(End::Err) => Err(HandlerError::message("database away")),
            Ok(End::GiveUp) => Err(HandlerError::give_up("no such subscriber")),
            Ok(End::Panic) => panic!("index out of range"),
            Err(_) => std::future::pending().await,
        }
    }
}

impl Call {
    /// The deliveries of its events, as the test numbered them; 0 for none.
    fn deliveries(&self) -> Vec<u64> {
        self.events.iter().map(|event| event.delivery().map_or(0, DeliveryId::as_u64)).collect()
    }

    fn end(self, end: End) -> EventId {
        self.end.send(end).unwrap();
        self.events[0].id()
    }
}

struct Stage {
    store: Arc<RiggedStore>,
    clock: Clock,
    wake: Arc<Notify>,
    stop: watch::Sender<bool>,
    calls: mpsc::UnboundedReceiver<Call>,
    run: tokio::task::JoinHandle<()>,
}

const CONFIG: DispatchConfig = DispatchConfig {
    time_limit: Duration::from_secs(60),
    first_wait: Duration::from_secs(1),
    max_wait: Duration::from_secs(8),
    max_attempts: 6,
};

impl Stage {
    fn new(store: RiggedStore, batch: usize, concurrency: usize) -> Stage {
        let (shown, calls) = mpsc::unbounded_channel();
        Stage::with_handler(Arc::new(store), Arc::new(Puppet { calls: shown, batch, concurrency }), calls)
    }

    fn with_handler(
        store: Arc<RiggedStore>,
        handler: Arc<dyn FailureHandler>,
        calls: mpsc::UnboundedReceiver<Call>,
    ) -> Stage {
        let (clock, wake) = (Clock::manual(START), Arc::new(Notify::new()));
        let (stop, stopped) = watch::channel(false);
        let dispatcher =
            Dispatcher { store: store.clone(), handler, clock: clock.clone(), config: CONFIG, wake: Arc::clone(&wake) };
        Stage { store, clock, wake, stop, calls, run: tokio::spawn(dispatcher.run(stopped)) }
    }

    async fn call(&mut self) -> Call {
        self.calls.recv().await.expect("the dispatcher runs")
    }

    /// Lets everything happen that can happen without the time going on.
    async fn settle(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    async fn assert_no_call(&mut self) {
        self.settle().await;
        assert!(self.calls.try_recv().is_err());
    }

    async fn stop(self) -> Arc<RiggedStore> {
        self.stop.send_replace(true);
        self.run.await.unwrap();
        self.store
    }
}

fn store_with(events: impl IntoIterator<Item = u64>) -> RiggedStore {
    let store = RiggedStore::default();
    for delivery in events {
        store.add(EventKind::Bounce, delivery);
    }
    store
}

#[tokio::test(start_paused = true)]
async fn events_of_one_delivery_come_in_order_each_after_the_one_before() {
    let mut stage = Stage::new(store_with([7, 7, 8, 7]), 10, 10);
    let first = stage.call().await;
    assert_eq!(first.deliveries(), [7, 8], "one of each delivery");
    stage.assert_no_call().await;
    first.end(End::Ok);
    let second = stage.call().await;
    assert_eq!(second.deliveries(), [7]);
    assert_eq!(second.events[0].id(), EventId::derive(&[&2i64.to_be_bytes()]));
    stage.assert_no_call().await;
    second.end(End::Ok);
    assert_eq!(stage.call().await.end(End::Ok), EventId::derive(&[&4i64.to_be_bytes()]));
    assert!(stage.stop().await.all_done());
}

#[tokio::test(start_paused = true)]
async fn a_new_event_wakes_the_dispatcher() {
    let mut stage = Stage::new(RiggedStore::default(), 1, 1);
    stage.assert_no_call().await;
    stage.store.add(EventKind::Fail, 1);
    stage.wake.notify_one();
    stage.call().await.end(End::Ok);
    stage.settle().await;
    stage.store.add(EventKind::Alert, 0);
    stage.wake.notify_waiters();
    assert_eq!(stage.call().await.deliveries(), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_event_comes_again_with_its_id_after_doubling_waits_and_ends_in_the_dead_letters() {
    let mut stage = Stage::new(store_with([1, 1]), 1, 4);
    let mut ids = BTreeSet::new();
    for (attempt, wait) in [1, 2, 4, 8, 8].into_iter().enumerate() {
        let call = stage.call().await;
        ids.insert(call.end(if attempt == 1 { End::Panic } else { End::Err }));
        stage.settle().await;
        let due = stage.clock.now() + Duration::from_secs(wait);
        assert_eq!(stage.store.state(1), RowState::Due(due));
        assert_eq!(stage.store.attempts(1), attempt as u32 + 1);
        stage.clock.set(due - Duration::from_millis(1));
        stage.assert_no_call().await;
        stage.clock.set(due);
    }
    ids.insert(stage.call().await.end(End::Err));
    assert_eq!(ids.len(), 1, "the id is the same each time");
    let next = stage.call().await;
    assert_eq!(next.events[0].id(), EventId::derive(&[&2i64.to_be_bytes()]), "the next of the delivery goes on");
    assert_eq!(stage.store.state(1), RowState::Dead("database away".into()));
    assert_eq!(stage.store.attempts(1), 6);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_gives_up_goes_straight_to_the_dead_letters() {
    let mut stage = Stage::new(store_with([1]), 1, 1);
    stage.call().await.end(End::GiveUp);
    let store = stage.stop().await;
    assert_eq!(store.state(1), RowState::Dead("no such subscriber".into()));
    assert_eq!(store.attempts(1), 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_for_the_third_of_ten_concerns_the_third_alone() {
    let mut stage = Stage::new(store_with(1..=10), 1, 1);
    for delivery in 1..=10 {
        let call = stage.call().await;
        assert_eq!(call.deliveries(), [delivery]);
        call.end(if delivery == 3 { End::Panic } else { End::Ok });
    }
    stage.settle().await;
    stage.clock.advance(Duration::from_secs(1));
    let again = stage.call().await;
    assert_eq!(again.deliveries(), [3]);
    again.end(End::Ok);
    let store = stage.stop().await;
    assert!(store.all_done());
    assert_eq!(store.attempts(3), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_batch_costs_no_attempt_and_comes_again_one_by_one() {
    for end in [End::Err, End::Panic, End::GiveUp] {
        let mut stage = Stage::new(store_with(1..=4), 4, 1);
        let batch = stage.call().await;
        assert_eq!(batch.deliveries(), [1, 2, 3, 4]);
        batch.end(end);
        for delivery in 1..=4 {
            let call = stage.call().await;
            assert_eq!(call.deliveries(), [delivery]);
            assert_eq!(stage.store.attempts(delivery as i64), 0);
            call.end(if delivery == 2 { End::Err } else { End::Ok });
        }
        stage.settle().await;
        // What failed alone stays alone.
        stage.store.add(EventKind::Bounce, 5);
        stage.store.add(EventKind::Bounce, 6);
        stage.clock.advance(Duration::from_secs(1));
        let mut sizes = Vec::new();
        for _ in 0..2 {
            let call = stage.call().await;
            sizes.push((call.deliveries(), call.events.len()));
            call.end(End::Ok);
        }
        sizes.sort();
        assert_eq!(sizes, [(vec![2], 1), (vec![5, 6], 2)]);
        let store = stage.stop().await;
        assert!(store.all_done());
        assert_eq!(store.attempts(2), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_ends_at_its_time_limit_and_its_future_is_dropped() {
    let mut stage = Stage::new(store_with([1, 1, 2]), 1, 1);
    let hangs = stage.call().await;
    assert_eq!(hangs.deliveries(), [1]);
    // Nothing else can go on, so the paused time runs to the limit.
    let other = stage.call().await;
    assert_eq!(other.deliveries(), [2]);
    assert!(hangs.end.is_closed(), "the future was dropped");
    other.end(End::Ok);
    stage.settle().await;
    assert_eq!(stage.store.attempts(1), 1);
    stage.clock.advance(Duration::from_secs(1));
    assert_eq!(stage.call().await.end(End::Ok), hangs.events[0].id());
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_holds_up_its_own_delivery_only() {
    let mut stage = Stage::new(store_with([1, 1, 2, 3, 4]), 1, 2);
    let slow = stage.call().await;
    assert_eq!(slow.deliveries(), [1]);
    for delivery in [2, 3, 4] {
        let call = stage.call().await;
        assert_eq!(call.deliveries(), [delivery]);
        call.end(End::Ok);
    }
    stage.assert_no_call().await;
    slow.end(End::Ok);
    assert_eq!(stage.call().await.deliveries(), [1]);
}

#[tokio::test(start_paused = true)]
async fn never_more_calls_than_the_handler_wants() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    struct Counting {
        running: Arc<AtomicUsize>,
        most: Arc<AtomicUsize>,
        gate: Semaphore,
    }

    #[async_trait]
    impl FailureHandler for Counting {
        async fn on_fail(&self, _: &Failure) -> HandlerResult {
            Ok(())
        }

        async fn on_bounce(&self, _: &Bounce) -> HandlerResult {
            let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            let _ = tokio::time::timeout(Duration::from_millis(10), self.gate.acquire()).await;
            self.running.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        }

        fn concurrency(&self) -> usize {
            3
        }
    }

    let handler = Counting { running, most: Arc::clone(&most), gate: Semaphore::new(0) };
    let stage = Stage::with_handler(Arc::new(store_with(1..=500)), Arc::new(handler), mpsc::unbounded_channel().1);
    while !stage.store.all_done() {
        tokio::time::advance(Duration::from_millis(10)).await;
        stage.settle().await;
    }
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn a_failing_store_loses_nothing_and_calls_nothing_twice() {
    let store = store_with((1..=200).map(|n| n % 50 + 1));
    store.failing_reads.store(3, Ordering::SeqCst);
    store.failing_writes.store(20, Ordering::SeqCst);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let handler = from_fn({
        let seen = Arc::clone(&seen);
        move |event: Event| {
            seen.lock().unwrap().push(event.id());
            async { Ok(()) }
        }
    });
    let stage = Stage::with_handler(Arc::new(store), Arc::new(handler), mpsc::unbounded_channel().1);
    while !stage.store.all_done() {
        tokio::time::advance(Duration::from_secs(1)).await;
        stage.settle().await;
    }
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 200);
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 200);
}

#[tokio::test(start_paused = true)]
async fn answers_are_written_many_at_a_time() {
    let mut stage = Stage::new(store_with(1..=40), 1, 40);
    let mut calls = Vec::new();
    for _ in 0..40 {
        calls.push(stage.call().await);
    }
    for call in calls {
        call.end(End::Ok);
    }
    let store = stage.stop().await;
    assert!(store.all_done());
    let writes = store.writes.lock().unwrap();
    assert!(writes.len() < 20, "{writes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_running_calls_end_and_starts_no_new_ones() {
    let mut stage = Stage::new(store_with(1..=5), 1, 2);
    let (first, second) = (stage.call().await, stage.call().await);
    stage.stop.send_replace(true);
    stage.assert_no_call().await;
    first.end(End::Ok);
    stage.assert_no_call().await;
    assert!(!stage.run.is_finished());
    second.end(End::Err);
    stage.run.await.unwrap();
    assert_eq!(stage.store.state(1), RowState::Done);
    assert_eq!(stage.store.state(2), RowState::Due(START + CONFIG.first_wait), "its answer is written, too");
    assert_eq!(stage.store.state(3), RowState::Due(START));
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_no_longer_than_the_time_limit_and_not_for_ever_for_the_store() {
    let mut stage = Stage::new(store_with([1, 2]), 1, 2);
    let (hangs, ends) = (stage.call().await, stage.call().await);
    stage.store.failing_writes.store(usize::MAX, Ordering::SeqCst);
    ends.end(End::Ok);
    let before = stage.clock.instant();
    let clock = stage.clock.clone();
    let store = stage.stop().await;
    assert!(clock.instant() - before < CONFIG.time_limit * 2);
    assert!(hangs.end.is_closed());
    assert_eq!(store.state(2), RowState::Due(START), "it comes again");
}

#[tokio::test(start_paused = true)]
async fn a_closed_store_or_a_dropped_sender_ends_it() {
    let stage = Stage::new(store_with([]), 1, 1);
    stage.settle().await;
    stage.store.closed.store(true, Ordering::SeqCst);
    stage.wake.notify_one();
    stage.run.await.unwrap();

    let stage = Stage::new(store_with([]), 1, 1);
    drop(stage.stop);
    stage.run.await.unwrap();
}

/// Takes down the level and the fields of each trace line of the dispatcher.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<(tracing::Level, String)>>>);

impl tracing::Subscriber for Lines {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().contains("event::dispatch")
    }

    fn event(&self, event: &tracing::Event<'_>) {
        struct Fields(String);

        impl tracing::field::Visit for Fields {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0.push_str(&format!("{}={value:?} ", field.name()));
            }
        }

        let mut fields = Fields(String::new());
        event.record(&mut fields);
        self.0.lock().unwrap().push((*event.metadata().level(), fields.0));
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn each_event_that_is_handed_over_makes_one_line_without_an_address() {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(lines.clone());
    let mut stage = Stage::new(store_with([1, 2, 3]), 1, 1);
    for end in [End::Ok, End::Err, End::GiveUp] {
        stage.call().await.end(end);
    }
    stage.stop().await;
    let lines = lines.0.lock().unwrap();
    assert_eq!(lines.len(), 3);
    for (n, (level, words)) in [
        (tracing::Level::INFO, "event taken"),
        (tracing::Level::WARN, "comes again"),
        (tracing::Level::ERROR, "moved to the dead letters"),
    ]
    .into_iter()
    .enumerate()
    {
        let (shown, line) = &lines[n];
        assert_eq!(*shown, level, "{line}");
        let delivery = format!("delivery={:016x}", n + 1);
        for part in [words, "kind=\"bounce\"", "attempt=1", &delivery] {
            assert!(line.contains(part), "{line}");
        }
        assert!(!line.contains('@'));
    }
}

#[test]
fn waits_double_up_to_the_longest_and_never_overflow() {
    let config = DispatchConfig::default();
    assert_eq!(config.wait_after(1), Duration::from_secs(1));
    assert_eq!(config.wait_after(5), Duration::from_secs(16));
    assert_eq!(config.wait_after(u32::MAX), config.max_wait);
    let all: Duration = (1..config.max_attempts).map(|attempts| config.wait_after(attempts)).sum();
    assert!(all > Duration::from_secs(3 * 86_400) && all < Duration::from_secs(3 * 86_400 + 3600), "{all:?}");
}

#[test]
fn what_the_handler_asks_for_is_bounded_even_if_it_panics() {
    assert_eq!(asked("batch", 1000, || 0), 1);
    assert_eq!(asked("batch", 1000, || usize::MAX), 1000);
    assert_eq!(asked("batch", 1000, || panic!("no")), 1);
}

#[cfg(feature = "sqlite")]
mod on_sqlite {
    use std::collections::HashMap;

    use super::*;
    use crate::event::{EventRecord, Origin};
    use crate::store::sqlite::SqliteStore;
    use crate::store::{Inbound, InboundBounds};

    const DELIVERIES: u64 = 40;
    const EVENTS: u64 = 400;

    /// Takes down what was acknowledged, and refuses every seventh event the first time it comes alone.
    struct Ledger {
        acknowledged: mpsc::UnboundedSender<Event>,
        refused: Mutex<BTreeSet<EventId>>,
    }

    #[async_trait]
    impl FailureHandler for Ledger {
        async fn on_fail(&self, _: &Failure) -> HandlerResult {
            Ok(())
        }

        async fn on_bounce(&self, _: &Bounce) -> HandlerResult {
            Ok(())
        }

        fn batch(&self) -> usize {
            16
        }

        fn concurrency(&self) -> usize {
            3
        }

        async fn on_events(&self, events: &[Event]) -> HandlerResult {
            tokio::task::yield_now().await;
            let mut refused = self.refused.lock().unwrap();
            for event in events {
                if event.attempts() % 7 == 0 && !refused.contains(&event.id()) {
                    if events.len() == 1 {
                        refused.insert(event.id());
                    }
                    return Err(HandlerError::message("the first time"));
                }
            }
            events.iter().for_each(|event| self.acknowledged.send(event.clone()).unwrap());
            Ok(())
        }
    }

    /// Events that are numbered in `attempts`, round and round over the deliveries.
    fn events() -> Vec<EventRecord> {
        (1..=EVENTS)
            .map(|n| {
                let id = EventId::derive(&[&n.to_be_bytes()]);
                let mut record = EventRecord::bare(id, EventKind::AutoReply, START, Origin::Report);
                record.delivery = Some(DeliveryId::from_u64(n % DELIVERIES + 1));
                record.attempts = n as u32;
                record
            })
            .collect()
    }

    fn start(store: &Arc<SqliteStore>) -> (mpsc::UnboundedReceiver<Event>, watch::Sender<bool>, impl Future) {
        let (acknowledged, taken) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let dispatcher = Dispatcher {
            store: Arc::clone(store) as Arc<dyn Store>,
            handler: Arc::new(Ledger { acknowledged, refused: Mutex::default() }),
            clock: Clock::manual(START),
            config: DispatchConfig { first_wait: Duration::ZERO, ..CONFIG },
            wake: Arc::new(Notify::new()),
        };
        (taken, stop, tokio::spawn(dispatcher.run(stopped)))
    }

    #[tokio::test]
    async fn everything_comes_in_order_also_over_a_restart() {
        let store = Arc::new(SqliteStore::memory().await.unwrap());
        let bounds = InboundBounds { events: EVENTS as u32, raw_bytes: 0 };
        store.record(Inbound { events: events(), bounds }).await.unwrap();

        let mut all = Vec::new();
        let (mut taken, stop, run) = start(&store);
        while all.len() < 100 {
            all.push(taken.recv().await.unwrap());
        }
        stop.send_replace(true);
        run.await;
        while let Ok(event) = taken.try_recv() {
            all.push(event);
        }
        let (_, open) = store.open_work().await.unwrap();
        assert_eq!(open, EVENTS - all.len() as u64, "each Ok is recorded, and nothing else is");

        let (mut taken, stop, run) = start(&store);
        while (all.len() as u64) < EVENTS {
            all.push(taken.recv().await.unwrap());
        }
        stop.send_replace(true);
        run.await;
        assert!(taken.try_recv().is_err(), "none twice");
        assert_eq!(store.open_work().await.unwrap().1, 0);

        let mut last = HashMap::new();
        for event in &all {
            let before = last.insert(event.delivery(), event.attempts()).unwrap_or(0);
            assert!(before < event.attempts(), "in order per delivery");
            assert_eq!(event.id(), EventId::derive(&[&u64::from(event.attempts()).to_be_bytes()]));
        }
        assert_eq!(all.iter().map(Event::id).collect::<BTreeSet<_>>().len() as u64, EVENTS);
    }
}
