use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};

use async_trait::async_trait;

use super::*;
use crate::id::DeliveryId;
use crate::net::start::Ground;
use crate::return_path::KeyState;
use crate::store::sqlite::SqliteStore;
use crate::store::*;
use crate::testing::RemoteHost;
use crate::{Mailer, Message, Outcome, Receipt, Smarthost, StoreLocation};

/// A store that says that others share it, and says of them what it is told to.
struct SharedStore {
    inner: SqliteStore,
    beat: Mutex<Beat>,
    beats: watch::Sender<u64>,
    node: AtomicU16,
    recovered: AtomicBool,
    /// What `take_place` answers: nothing ever, that none is free, or one.
    places: Mutex<Option<bool>>,
    taken: AtomicUsize,
    left: AtomicUsize,
    news: tokio::sync::Mutex<tokio::sync::mpsc::UnboundedReceiver<News>>,
    tell: tokio::sync::mpsc::UnboundedSender<News>,
    outbox: AtomicUsize,
    /// How often the ring was read.
    ring_reads: AtomicUsize,
}

impl SharedStore {
    async fn open() -> Arc<SharedStore> {
        let (tell, news) = tokio::sync::mpsc::unbounded_channel();
        Arc::new(SharedStore {
            inner: SqliteStore::memory().await.unwrap(),
            beat: Mutex::new(Beat { processes: 2, common_keys: 1, was_fenced: false, ring: 0 }),
            beats: watch::Sender::new(0),
            node: AtomicU16::new(3),
            recovered: AtomicBool::new(false),
            places: Mutex::new(Some(true)),
            taken: AtomicUsize::new(0),
            left: AtomicUsize::new(0),
            news: tokio::sync::Mutex::new(news),
            tell,
            outbox: AtomicUsize::new(0),
            ring_reads: AtomicUsize::new(0),
        })
    }

    /// Waits until this is so; it is looked at after each sign of life.
    async fn until(&self, is_so: impl Fn() -> bool) {
        let mut beats = self.beats.subscribe();
        let wait = async {
            while !is_so() {
                beats.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait).await.expect("it came to be so");
    }
}

#[async_trait]
impl Store for SharedStore {
    async fn beat(&self, _: u64) -> Result<Beat, StoreError> {
        self.beats.send_modify(|count| *count += 1);
        let mut beat = self.beat.lock().unwrap();
        let answer = *beat;
        beat.was_fenced = false;
        Ok(answer)
    }
    fn beat_every(&self) -> Option<Duration> {
        Some(Duration::from_millis(20))
    }
    fn node(&self) -> u16 {
        self.node.load(Ordering::SeqCst)
    }
    async fn news(&self) -> News {
        match self.news.lock().await.recv().await {
            Some(news) => news,
            None => std::future::pending().await,
        }
    }
    async fn take_place(&self, _: &str, _: usize) -> Result<Option<u32>, StoreError> {
        let places = *self.places.lock().unwrap();
        match places {
            None => std::future::pending().await,
            Some(false) => Ok(None),
            Some(true) => {
                let place = self.taken.fetch_add(1, Ordering::SeqCst);
                Ok(Some(u32::try_from(place).unwrap()))
            }
        }
    }
    async fn leave_place(&self, _: &str, _: u32) -> Result<(), StoreError> {
        self.left.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
    async fn take_outbox(&self, _: Timestamp) -> Result<u64, StoreError> {
        Ok(self.outbox.swap(0, Ordering::SeqCst) as u64)
    }
    async fn recover(&self, now: Timestamp, lease_until: Timestamp) -> Result<Recovered, StoreError> {
        // What is one process for SQLite is two for the mailer: only at the start is nobody else there.
        if self.recovered.swap(true, Ordering::SeqCst) {
            return Ok(Recovered::default());
        }
        self.inner.recover(now, lease_until).await
    }
    async fn enqueue(
        &self,
        messages: Vec<NewMessage>,
        now: Timestamp,
        lease: Option<Timestamp>,
    ) -> Result<Vec<Enqueued>, StoreError> {
        self.inner.enqueue(messages, now, lease).await
    }
    async fn claim(&self, request: ClaimRequest) -> Result<Vec<Claimed>, StoreError> {
        self.inner.claim(request).await
    }
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.inner.next_due().await
    }
    async fn body(&self, id: BodyId) -> Result<Option<Arc<[u8]>>, StoreError> {
        self.inner.body(id).await
    }
    async fn begin(&self, deliveries: Vec<DeliveryId>) -> Result<Vec<DeliveryId>, StoreError> {
        self.inner.begin(deliveries).await
    }
    async fn renew(&self, deliveries: Vec<DeliveryId>, lease_until: Timestamp) -> Result<(), StoreError> {
        self.inner.renew(deliveries, lease_until).await
    }
    async fn settle(&self, settlements: Vec<Settlement>) -> Result<(), StoreError> {
        self.inner.settle(settlements).await
    }
    async fn record(&self, inbound: Inbound) -> Result<Vec<Recorded>, StoreError> {
        self.inner.record(inbound).await
    }
    async fn claim_events(
        &self,
        limit: usize,
        busy: Vec<i64>,
        now: Timestamp,
    ) -> Result<Vec<PendingEvent>, StoreError> {
        self.inner.claim_events(limit, busy, now).await
    }
    async fn next_event_due(&self, busy: Vec<i64>) -> Result<Option<Timestamp>, StoreError> {
        self.inner.next_event_due(busy).await
    }
    async fn acknowledge(&self, answers: Vec<Acknowledgement>) -> Result<(), StoreError> {
        self.inner.acknowledge(answers).await
    }
    async fn replay(&self, request: ReplayRequest, now: Timestamp) -> Result<u64, StoreError> {
        self.inner.replay(request, now).await
    }
    async fn dead_letters(&self, limit: usize) -> Result<Vec<PendingEvent>, StoreError> {
        self.inner.dead_letters(limit).await
    }
    async fn find(&self, delivery: DeliveryId) -> Result<Option<Found>, StoreError> {
        self.inner.find(delivery).await
    }
    async fn open_work(&self) -> Result<(u64, u64), StoreError> {
        self.inner.open_work().await
    }
    async fn keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        self.ring_reads.fetch_add(1, Ordering::SeqCst);
        self.inner.keys().await
    }
    async fn save_keys(&self, keys: Vec<StoredKey>) -> Result<(), StoreError> {
        self.inner.save_keys(keys).await
    }
    async fn forms(&self) -> Result<Vec<PathForm>, StoreError> {
        self.inner.forms().await
    }
    async fn record_forms(&self, forms: Vec<PathForm>) -> Result<(), StoreError> {
        self.inner.record_forms(forms).await
    }
    async fn count(&self, by: CountBy, range: Range<Timestamp>) -> Result<Vec<Count>, StoreError> {
        self.inner.count(by, range).await
    }
    async fn purge(&self, retention: Retention, now: Timestamp) -> Result<u64, StoreError> {
        self.inner.purge(retention, now).await
    }
    async fn close(&self) -> Result<(), StoreError> {
        self.inner.close().await
    }
}

async fn start(store: &Arc<SharedStore>, host: String) -> Mailer {
    let builder = Mailer::builder("b.example.org").ehlo("mail.example.org").handler(());
    let builder = builder.store(StoreLocation::memory()).smarthost(Smarthost::new(host)).allow_loopback(true);
    let checked = builder.check().unwrap();
    Mailer::start_on(store.clone(), Ground::lay(&checked).unwrap(), checked).await.unwrap()
}

async fn send(mailer: &Mailer) -> Receipt {
    let message = Message::builder().from("news@example.org").to("ann@example.net").subject("Hello").text("…");
    mailer.send(message).await.unwrap()
}

fn node(id: DeliveryId) -> u64 {
    id.as_u64() >> 13 & 1023
}

fn state(mailer: &Mailer, key: u8) -> Option<KeyState> {
    mailer.keyring().keys().find(|info| info.id == key).map(|info| info.state)
}

#[tokio::test]
async fn a_fenced_process_forgets_what_it_had_and_goes_on_as_another_node() {
    let store = SharedStore::open().await;
    *store.places.lock().unwrap() = None;
    let mailer = start(&store, "192.0.2.1:25".into()).await;
    let receipt = send(&mailer).await;
    assert_eq!(node(receipt.deliveries[0].id), 3);
    let instance = mailer.instance().clone();
    assert_eq!((lock(&instance.ready).len("192.0.2.1:25"), lock(&instance.held).len()), (1, 1));
    store.node.store(7, Ordering::SeqCst);
    store.beat.lock().unwrap().was_fenced = true;
    store.until(|| lock(&instance.held).is_empty()).await;
    assert_eq!(lock(&instance.ready).len("192.0.2.1:25"), 0);
    let next = send(&mailer).await;
    assert_eq!(node(next.deliveries[0].id), 7);
    assert!(next.deliveries[0].id > receipt.deliveries[0].id);
}

#[tokio::test]
async fn a_destination_without_a_free_place_is_left_to_others_without_an_attempt() {
    let store = SharedStore::open().await;
    *store.places.lock().unwrap() = Some(false);
    let remote = RemoteHost::start().await.unwrap();
    let mailer = start(&store, remote.address().to_string()).await;
    let delivery = send(&mailer).await.deliveries[0].id;
    let instance = mailer.instance().clone();
    store.until(|| lock(&instance.held).is_empty()).await;
    let found = instance.store.find(delivery).await.unwrap().unwrap();
    assert_eq!((found.state, found.attempts), (State::Queued, 0));
    *store.places.lock().unwrap() = Some(true);
    let outcome = mailer.outcome(delivery, Duration::from_secs(60)).await.unwrap();
    assert_eq!(outcome, Some(Outcome::Delivered));
    store.until(|| store.left.load(Ordering::SeqCst) == store.taken.load(Ordering::SeqCst)).await;
    assert!(store.taken.load(Ordering::SeqCst) > 0);
}

#[tokio::test]
async fn a_key_mints_when_every_process_has_reported_it_and_not_before() {
    let store = SharedStore::open().await;
    let mailer = start(&store, "192.0.2.1:25".into()).await;
    assert_eq!(mailer.rotate_key().await.unwrap(), 1);
    let now = mailer.instance().clock.now();
    let mut early = mailer.keyring();
    early.advance(1, KeyState::Mint, now).unwrap();
    let refused = mailer.reload_keyring(early).await.unwrap_err();
    assert!(refused.is_config() && refused.to_string().contains("key 1 is to mint"), "{refused}");
    let seen = *store.beats.borrow();
    store.until(|| *store.beats.borrow() > seen + 3).await;
    assert_eq!((state(&mailer, 0), state(&mailer, 1)), (Some(KeyState::Mint), Some(KeyState::Accept)));
    store.beat.lock().unwrap().common_keys = 0b11;
    store.until(|| state(&mailer, 1) == Some(KeyState::Mint)).await;
    assert_eq!(state(&mailer, 0), Some(KeyState::Retire));
    let stored = store.keys().await.unwrap();
    assert_eq!(stored.iter().map(|key| &*key.state).collect::<Vec<_>>(), ["retire", "mint"]);
}

#[tokio::test]
async fn a_ring_that_another_process_changed_is_followed() {
    let store = SharedStore::open().await;
    let mailer = start(&store, "192.0.2.1:25".into()).await;
    let mut ring = mailer.keyring();
    let now = mailer.instance().clock.now();
    ring.rotate(now).unwrap();
    store.save_keys(ring.to_stored(true, now)).await.unwrap();
    store.tell.send(News::Keys).unwrap();
    store.until(|| state(&mailer, 1) == Some(KeyState::Accept)).await;
    assert_eq!(mailer.instance().ring().bits(), 0b11);
}

#[tokio::test]
async fn the_ring_is_read_when_it_has_changed_and_not_with_each_sign_of_life() {
    let store = SharedStore::open().await;
    let _mailer = start(&store, "192.0.2.1:25".into()).await;
    let beats = |more: u64| {
        let seen = *store.beats.borrow();
        let store = &store;
        async move { store.until(|| *store.beats.borrow() > seen + more).await }
    };
    beats(2).await;
    let before = store.ring_reads.load(Ordering::SeqCst);
    beats(5).await;
    assert_eq!(store.ring_reads.load(Ordering::SeqCst), before);
    store.beat.lock().unwrap().ring = 7;
    store.until(|| store.ring_reads.load(Ordering::SeqCst) == before + 1).await;
    beats(5).await;
    assert_eq!(store.ring_reads.load(Ordering::SeqCst), before + 1);
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_message_for_the_outbox_is_the_one_that_its_receipt_tells() {
    let store = SharedStore::open().await;
    let mailer = start(&store, "192.0.2.1:25".into()).await;
    let message = || Message::builder().from("shop@example.org").to("ann@example.net").subject("Hello").text("…");
    let outbox = mailer.outbox(message()).unwrap();
    let new = crate::store::outbox::decode(outbox.payload()).unwrap();
    assert_eq!((new.id, new.deliveries[0].id), (outbox.receipt().message, outbox.receipt().deliveries[0].id));
    assert_eq!(new.deliveries[0].return_path, outbox.receipt().deliveries[0].return_path);
    assert!(outbox.sql().starts_with("INSERT INTO returnpath.outbox"));
    assert_eq!(store.open_work().await.unwrap(), (0, 0), "nothing is queued before the transaction commits");

    let alone = Mailer::builder("b.example.org").ehlo("mail.example.org").handler(()).store(StoreLocation::memory());
    let refused = alone.start().await.unwrap().outbox(message()).unwrap_err();
    assert!(refused.is_config() && refused.field() == Some("outbox"), "{refused}");
}

#[tokio::test]
async fn an_unknown_key_is_no_forgery_while_this_process_is_out_of_touch() {
    let fleet = Fleet::new(true);
    let now = crate::net::clock::Clock::system().instant();
    assert!(fleet.is_out_of_touch(now, Duration::from_secs(5)), "it has not heard anything yet");
    fleet.heard(now);
    assert!(!fleet.is_out_of_touch(now + Duration::from_secs(9), Duration::from_secs(5)));
    assert!(fleet.is_out_of_touch(now + Duration::from_secs(11), Duration::from_secs(5)));
    assert!(!Fleet::new(false).is_out_of_touch(now, Duration::from_secs(5)));
}
