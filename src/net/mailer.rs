//! The mailer: what the application holds.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;

use super::config::{Checked, Config, LONGEST_TIME, MailerBuilder, StoreLocation};
use super::dns::HickoryResolver;
use super::fleet::{Fleet, RECOVERY_LEASE, keep_in_touch, listen_for_news};
use super::instance::{Instance, lock};
use super::intake::Reception;
use super::listener::{Listener, ListenerBuilder};
use super::pump::{cleaner, keeper, pump};
use super::settle::settler;
use super::submit::Receipt;
use super::tls::{Connectors, certificates};
use crate::envelope::Envelope;
use crate::error::{Error, Kind};
use crate::event::{Dispatcher, Events};
use crate::id::{DeliveryId, IdSource};
use crate::message::Message;
use crate::report::Reports;
use crate::return_path::{Forms, Keyring, ReturnDomains};
use crate::schedule::{Ready, Steady};
#[cfg(feature = "postgres")]
use crate::store::postgres::{PostgresConfig, PostgresStore};
use crate::store::{Store, StoreError};
use crate::time::Timestamp;
use crate::verdict::Outcome;

/// Sends mail with a sealed return path per recipient, and hears what comes back.
///
/// Cheap to clone; all clones are one. Dropping the last one stops its tasks as a crash would: nothing is lost, and
/// what was in flight is told as uncertain after the next start. [`Mailer::shutdown`] stops in good order.
#[derive(Clone)]
pub struct Mailer {
    inner: Arc<Inner>,
}

struct Inner {
    instance: Arc<Instance>,
    tasks: Mutex<Tasks>,
}

/// Tasks that end with their owner: the mailer, or a shutdown that is given up half-way.
#[derive(Default)]
struct Tasks(Vec<JoinHandle<()>>);

impl Drop for Tasks {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

/// What can be wrong and is found out before a store is made.
pub(super) struct Ground {
    domains: ReturnDomains,
    roots: Option<Vec<CertificateDer<'static>>>,
    resolver: HickoryResolver,
}

impl Ground {
    pub(super) fn lay(checked: &Checked) -> Result<Ground, Error> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(Error::new(Kind::Config, "start: there is no tokio runtime here; call it within one"));
        }
        let domains =
            ReturnDomains::new(&checked.domain, &checked.further_domains, &checked.layout).map_err(|wrong| {
                Error::new(Kind::Config, wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
            })?;
        let roots = match &checked.tls_roots {
            Some(path) => {
                Some(certificates(path).map_err(|why| Error::new(Kind::Config, format!("tls_roots: {why}")))?)
            }
            None => None,
        };
        let resolver = HickoryResolver::new(checked.config.dns)
            .map_err(|why| Error::new(Kind::Config, format!("dns: the resolver cannot be set up: {why}")))?;
        Ok(Ground { domains, roots, resolver })
    }
}

impl Mailer {
    /// Begins the settings of a mailer whose return paths are at `domain`: the domain whose MX leads to its listener.
    pub fn builder(domain: impl Into<String>) -> MailerBuilder {
        MailerBuilder::new(domain.into())
    }

    pub(crate) async fn start(checked: Checked) -> Result<Mailer, Error> {
        let ground = Ground::lay(&checked)?;
        let store = open_store(&checked.store, &checked.config).await?;
        Mailer::start_on(store, ground, checked).await
    }

    /// Starts on a store that is open.
    pub(super) async fn start_on(store: Arc<dyn Store>, ground: Ground, checked: Checked) -> Result<Mailer, Error> {
        let Ground { domains, roots, resolver } = ground;
        let config = checked.config;
        let clock = config.clock.clone();
        let now = clock.now();
        let ring_in_store = checked.keyring.is_none();
        let keyring = open_keyring(&*store, checked.keyring, now).await?;
        let recovered = store.recover(now, now + RECOVERY_LEASE).await?;
        let (settlements, waiting) = mpsc::channel(SETTLEMENTS);
        let instance = Arc::new(Instance {
            fleet: Fleet::new(store.beat_every().is_some()),
            store: store.clone(),
            clock: clock.clone(),
            keyring: RwLock::new(keyring),
            ring_turn: tokio::sync::Mutex::default(),
            ring_in_store,
            domains,
            forms: RwLock::new(Forms::default()),
            ids: Mutex::new(IdSource::new(store.node(), recovered.high_water)),
            resolver: Arc::new(resolver),
            connectors: Connectors::new(roots.as_deref()),
            since: Mutex::new(Steady::new(now, clock.instant())),
            ready: Mutex::new(Ready::new(config.ready)),
            held: Mutex::new(HashSet::new()),
            turn: tokio::sync::Mutex::default(),
            broken_tls: Mutex::default(),
            own_sockets: Mutex::default(),
            work: Notify::new(),
            due: AtomicI64::new(now.as_millis()),
            events: Arc::new(Notify::new()),
            settled: watch::Sender::new(0),
            settlements,
            pending: AtomicUsize::new(0),
            submissions: Arc::new(Semaphore::new(SUBMISSIONS)),
            stop: watch::Sender::new(false),
            config,
        });
        instance.refresh_forms(now).await?;
        tracing::info!(leases = recovered.leased, in_flight = recovered.in_flight.len(), "the store is open");
        // Exactly what was in flight when the process died may have been accepted: told before anything is sent.
        let uncertain = instance.uncertain(&recovered, now);
        if !uncertain.is_empty() {
            store.settle(uncertain).await?;
        }
        let stop = || instance.stop.subscribe();
        let dispatcher = Dispatcher {
            store,
            handler: checked.handler,
            clock,
            config: instance.config.dispatch.clone(),
            wake: instance.events.clone(),
        };
        let tasks = vec![
            tokio::spawn(settler(instance.clone(), waiting)),
            // Signs of life are given until the last conversation has ended.
            tokio::spawn({
                let instance = instance.clone();
                async move {
                    tokio::select! {
                        () = pump(instance.clone()) => {}
                        () = keep_in_touch(instance) => {}
                    }
                }
            }),
            tokio::spawn(keeper(instance.clone(), stop())),
            tokio::spawn(listen_for_news(instance.clone(), stop())),
            tokio::spawn(cleaner(instance.clone(), stop())),
            tokio::spawn(dispatcher.run(stop())),
        ];
        Ok(Mailer { inner: Arc::new(Inner { instance, tasks: Mutex::new(Tasks(tasks)) }) })
    }

    pub(super) fn instance(&self) -> &Arc<Instance> {
        &self.inner.instance
    }

    /// Queues a message for each of its recipients. When it returns `Ok`, the message is on disk and will end, for each
    /// recipient, as an event.
    ///
    /// # Errors
    ///
    /// [`Error::is_message`]: the message cannot be sent as it is. [`Error::is_busy`]: the store had no room in time,
    /// nothing is queued. [`Error::is_conflict`]: the idempotency key was used for another content.
    /// [`Error::is_storage`]: the store failed; whether the message is queued is not known unless it has an
    /// idempotency key, by which a repeated call finds it. The same holds when the future is dropped.
    pub async fn send<M>(&self, message: M) -> Result<Receipt, Error>
    where
        M: TryInto<Message>,
        Error: From<M::Error>,
    {
        let message = message.try_into()?;
        self.open()?;
        self.instance().submit(vec![message]).await.pop().unwrap_or_else(|| Err(closed()))
    }

    /// Queues many messages; one result for each, in order. One commit takes up to 1,000 messages or 8 MiB.
    pub async fn send_all<M>(&self, messages: impl IntoIterator<Item = M>) -> Vec<Result<Receipt, Error>>
    where
        M: TryInto<Message>,
        Error: From<M::Error>,
    {
        let mut results: Vec<Option<Result<Receipt, Error>>> = Vec::new();
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut waiting = Vec::new();
        for message in messages {
            let message =
                match message.try_into().map_err(Error::from).and_then(|message| self.open().map(|()| message)) {
                    Ok(message) => message,
                    Err(error) => {
                        results.push(Some(Err(error)));
                        continue;
                    }
                };
            bytes += message.size();
            batch.push(message);
            waiting.push(results.len());
            results.push(None);
            if batch.len() >= COMMIT_MESSAGES || bytes >= COMMIT_BYTES {
                self.commit(&mut batch, &mut waiting, &mut results).await;
                bytes = 0;
            }
        }
        self.commit(&mut batch, &mut waiting, &mut results).await;
        results.into_iter().map(|result| result.unwrap_or_else(|| Err(closed()))).collect()
    }

    async fn commit(
        &self,
        batch: &mut Vec<Message>,
        waiting: &mut Vec<usize>,
        results: &mut [Option<Result<Receipt, Error>>],
    ) {
        let done = self.instance().submit(std::mem::take(batch)).await;
        for (index, result) in waiting.drain(..).zip(done) {
            results[index] = Some(result);
        }
    }

    /// Records a message that another program sends, and gives its receipt: put the return path into that program's MAIL
    /// FROM, and what comes back to it is an event like any other. The delivery counts as accepted by a remote host.
    pub async fn register<M>(&self, message: M) -> Result<Receipt, Error>
    where
        M: TryInto<Message>,
        Error: From<M::Error>,
    {
        let message = message.try_into()?;
        self.open()?;
        self.instance().submit_elsewhere(&message).await
    }

    /// Waits for a delivery to end, at most `timeout`; `None` if it has not ended by then or is not known. Reads the
    /// store, so it also answers about deliveries of an earlier run; without waiting if `timeout` is zero. Dropping the
    /// future has no effect.
    pub async fn outcome(&self, delivery: DeliveryId, timeout: Duration) -> Result<Option<Outcome>, Error> {
        let mut settled = self.instance().settled.subscribe();
        // A time beyond all clocks is no limit.
        let end = self.instance().clock.instant().checked_add(timeout).map(tokio::time::Instant::from_std);
        loop {
            settled.borrow_and_update();
            let Some(found) = self.instance().store.find(delivery).await? else { return Ok(None) };
            if let Some(outcome) = found.state.outcome() {
                return Ok(Some(outcome));
            }
            let shared = self.instance().fleet.is_shared();
            let look = async {
                tokio::select! {
                    changed = settled.changed() => changed.is_ok(),
                    // Another process may settle it, which rings no bell here.
                    () = tokio::time::sleep(FLEET_LOOK), if shared => true,
                }
            };
            let go_on = match end {
                Some(end) => tokio::time::timeout_at(end, look).await.unwrap_or(false),
                None => look.await,
            };
            if !go_on {
                return Ok(None);
            }
        }
    }

    /// Listens for what comes back, with the default settings.
    ///
    /// # Errors
    ///
    /// See [`ListenerBuilder::bind`].
    pub async fn listen(&self, address: &str) -> Result<Listener, Error> {
        self.listener().bind(address).await
    }

    /// Begins the settings of a listener.
    pub fn listener(&self) -> ListenerBuilder {
        ListenerBuilder::new(self.instance().clone())
    }

    /// Takes in mail that came another way: a pipe from a mail server, a mailbox, an HTTP push. One result for each
    /// recipient of the envelope; when it is [`Reception::Stored`] the event is durable.
    pub async fn receive(&self, envelope: &Envelope, message: &[u8]) -> Result<Vec<Reception>, Error> {
        self.open()?;
        self.instance().receive(&envelope.sender, &envelope.recipients, message).await
    }

    /// Whether this is a return path of ours that may be written to now: for a front server that must refuse forged
    /// ones in its own conversation.
    pub fn accepts(&self, recipient: &str) -> bool {
        use crate::listener::{Admission, Gate};
        !matches!(self.instance().admit(recipient), Admission::Refused(_))
    }

    /// The return-path domain of messages for which no other one is chosen.
    pub fn return_domain(&self) -> &str {
        &self.instance().domains.first().domain
    }

    /// The stored events: replay, dead letters.
    pub fn events(&self) -> Events {
        Events::new(self.instance().store.clone(), self.instance().clock.clone(), self.instance().events.clone())
    }

    /// Counts and pages.
    pub fn reports(&self) -> Reports {
        Reports::new(self.instance().store.clone())
    }

    /// Waits until nothing is queued and every event was taken by the handler (or is a dead letter).
    pub async fn drain(&self) -> Result<(), Error> {
        let mut settled = self.instance().settled.subscribe();
        loop {
            settled.borrow_and_update();
            if self.instance().store.open_work().await? == (0, 0) {
                return Ok(());
            }
            if self.instance().fleet.is_shared() {
                // Counting is the database's work, and others do the same.
                tokio::time::sleep(FLEET_LOOK).await;
                continue;
            }
            tokio::select! {
                _ = settled.changed() => {}
                () = tokio::time::sleep(DRAIN_LOOK) => {}
            }
        }
    }

    /// The ring of secrets, to be changed ([`Keyring::rotate`], [`Keyring::advance`]) and given back to
    /// [`Mailer::reload_keyring`].
    pub fn keyring(&self) -> Keyring {
        self.instance().ring()
    }

    /// Adds a new key to the ring that lives in the store, and answers its id. It mints as soon as every process that
    /// shares the store has it, so that no path is refused that another process has just made; for a store of one
    /// process that is at once. The key before retires then: it opens, and mints no more.
    ///
    /// When this returns, the key is durable. Where processes share the store, the others read it at once and report it
    /// with their next sign of life; a process that has died does not hold it up for longer than its lease.
    ///
    /// ```
    /// # use returnpath::return_path::KeyState;
    /// # use returnpath::{Mailer, StoreLocation};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mailer = Mailer::builder("b.example.org").ehlo("mail.example.org").store(StoreLocation::memory());
    /// # let mailer = mailer.handler(()).start().await?;
    /// let key = mailer.rotate_key().await?;
    /// let minting = mailer.keyring().keys().find(|key| key.state == KeyState::Mint);
    /// assert_eq!(minting.map(|minting| minting.id), Some(key));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::is_config`]: all 64 ids are used up, or the ring is one of your own, which only you can change: rotate
    /// it, save it, and give it to [`Mailer::reload_keyring`]. [`Error::is_storage`]: the store failed.
    pub async fn rotate_key(&self) -> Result<u8, Error> {
        self.open()?;
        self.instance().rotate_key().await
    }

    /// Takes over a ring that has more keys, or later states: read again from its file, or changed by hand. Where the
    /// ring lives in the store, it is durable there when this returns. Paths of keys that both rings know open all the
    /// time.
    ///
    /// Where processes share the store, give each of them the ring with the new key in state `accept`, and when all
    /// have it, the ring in which it mints. [`Mailer::rotate_key`] does both for a ring that lives in the store.
    ///
    /// ```
    /// # use returnpath::return_path::KeyState;
    /// # use returnpath::{Mailer, StoreLocation, Timestamp};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mailer = Mailer::builder("b.example.org").ehlo("mail.example.org").store(StoreLocation::memory());
    /// # let mailer = mailer.handler(()).start().await?;
    /// # let now = Timestamp::from_millis(1_800_000_000_000);
    /// let mut ring = mailer.keyring();
    /// let key = ring.rotate(now)?;
    /// ring.advance(key, KeyState::Mint, now)?; // the one before retires: it opens, and mints no more
    /// mailer.reload_keyring(ring).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A ring that lacks a key that the store knows, or has another secret under its number, changes nothing; the text
    /// names the ids. The same holds for a key that is to mint while a live process that shares the store lacks it.
    pub async fn reload_keyring(&self, keyring: Keyring) -> Result<(), Error> {
        self.instance().reload_keyring(keyring).await
    }

    /// Removes all that the store has about an address, in any upper or lower case: deliveries to it (open ones are
    /// cancelled first), their events, raw mail and counters, and the contents that no other recipient waits for. Where
    /// something about another recipient names the address, it is blanked there, and raw mail that names it goes. The
    /// files are then rewritten, so that a search of them finds nothing of it. Answers how many rows went or changed.
    ///
    /// A hash under a secret of this store stays, by which the address is known again without being written down; and
    /// the numbers of its deliveries stay as long as return paths are honoured: a late bounce of theirs is taken and
    /// not stored. A message that is still on its way to another recipient keeps its content to its end; where that
    /// names the address, forget it again then. Backups and your own tables are yours to clean.
    ///
    /// Rewriting takes about a second for each 100 MB, during which `send` waits, and needs room for a second copy of
    /// the store on the disk.
    ///
    /// ```
    /// # use returnpath::{Mailer, StoreLocation};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mailer = Mailer::builder("b.example.org").ehlo("mail.example.org").store(StoreLocation::memory());
    /// # let mailer = mailer.handler(()).start().await?;
    /// let rows = mailer.forget("user@example.net").await?;
    /// println!("{rows} rows removed or blanked");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::is_message`]: this is no address. [`Error::is_storage`]: the store could not be cleaned; the text says
    /// how far it came, and the call can be repeated.
    pub async fn forget(&self, address: &str) -> Result<u64, Error> {
        self.open()?;
        let address = address.parse().map_err(|error: crate::address::InvalidAddress| {
            Error::new(Kind::Message, format!("forget: {address:?} is not an address: {error}"))
        })?;
        Ok(self.instance().store.forget(&address, self.instance().clock.now()).await?)
    }

    /// Stops in good order: nothing new is begun, conversations and handler calls under way come to their end, at most
    /// within `deadline`; then the store is closed. What is not done waits in the store.
    pub async fn shutdown(&self, deadline: Duration) -> Result<(), Error> {
        let instance = self.instance();
        instance.stop.send_replace(true);
        instance.work.notify_one();
        instance.events.notify_one();
        let mut tasks = std::mem::take(&mut *lock(&self.inner.tasks));
        let end = tokio::time::Instant::from_std(instance.clock.instant()) + deadline.min(LONGEST_TIME);
        // The first is the settler. It ends last: the others hand it their outcomes. What it has not stored is counted.
        for task in tasks.0.iter_mut().skip(1) {
            if tokio::time::timeout_at(end, &mut *task).await.is_err() {
                task.abort();
            }
        }
        let mut settled = instance.settled.subscribe();
        while instance.pending.load(Ordering::Acquire) > 0 {
            if tokio::time::timeout_at(end, settled.changed()).await.is_err() {
                break;
            }
        }
        Ok(instance.store.close().await?)
    }

    fn open(&self) -> Result<(), Error> {
        if self.instance().stopping() { Err(closed()) } else { Ok(()) }
    }
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailer").field("ehlo", &self.instance().config.ehlo).finish_non_exhaustive()
    }
}

impl Instance {
    /// Records the configured forms as used now, and accepts all that may still come back.
    pub(crate) async fn refresh_forms(&self, now: Timestamp) -> Result<(), Error> {
        let own = self.domains.forms();
        self.store.record_forms(own.iter().map(|form| form.to_stored(now)).collect()).await?;
        let stored = self.store.forms().await?;
        let forms = Forms::new(own, &stored, self.config.honour_for);
        *self.forms.write().unwrap_or_else(PoisonError::into_inner) = forms;
        Ok(())
    }
}

#[cfg_attr(not(any(feature = "sqlite", feature = "postgres")), expect(unused_variables, reason = "there is no store"))]
async fn open_store(location: &StoreLocation, config: &Config) -> Result<Arc<dyn Store>, Error> {
    match location {
        #[cfg(feature = "sqlite")]
        StoreLocation::Sqlite(path) => {
            Ok(Arc::new(crate::store::sqlite::SqliteStore::open(path, config.disk_reserve).await?))
        }
        #[cfg(feature = "sqlite")]
        StoreLocation::Memory => Ok(Arc::new(crate::store::sqlite::SqliteStore::memory().await?)),
        #[cfg(not(feature = "sqlite"))]
        StoreLocation::Sqlite(_) | StoreLocation::Memory => Err(not_compiled_in(location, "sqlite")),
        #[cfg(feature = "postgres")]
        StoreLocation::Postgres(postgres) => {
            let postgres = PostgresConfig {
                url: postgres.url.clone(),
                lease: postgres.lease,
                wait: config.submit_timeout,
                now_from_database: true,
            };
            Ok(Arc::new(PostgresStore::open(&postgres).await?))
        }
        #[cfg(not(feature = "postgres"))]
        StoreLocation::Postgres(_) => Err(not_compiled_in(location, "postgres")),
    }
}

#[cfg(not(all(feature = "sqlite", feature = "postgres")))]
fn not_compiled_in(location: &StoreLocation, feature: &str) -> Error {
    Error::new(Kind::Config, format!("store: {location:?} needs the feature `{feature}`, which is not compiled in"))
}

/// The ring that was given, checked against what the store knows; else the one in the store, made at the first start.
async fn open_keyring(store: &dyn Store, given: Option<Keyring>, now: Timestamp) -> Result<Keyring, Error> {
    let known = store.keys().await?;
    let is_first = given.is_none() && known.is_empty();
    let (mut keyring, in_store) = match given {
        Some(keyring) => (keyring, false),
        None if known.is_empty() => (Keyring::generate(), true),
        None => (Keyring::from_stored(&known)?, true),
    };
    keyring.reconcile(&known)?;
    match store.save_keys(keyring.to_stored(in_store, now)).await {
        // Another process has made the ring in the same moment: this one takes it over.
        Err(StoreError::ForeignKey { .. }) if is_first => Ok(Keyring::from_stored(&store.keys().await?)?),
        saved => {
            saved?;
            Ok(keyring)
        }
    }
}

fn closed() -> Error {
    Error::new(Kind::Closed, "the mailer was shut down")
}

/// One commit takes up to this many messages…
const COMMIT_MESSAGES: usize = 1_000;
/// …or this many bytes.
const COMMIT_BYTES: usize = 8 << 20;
/// Outcomes on their way to the store.
const SETTLEMENTS: usize = 4_096;
/// Calls of `send` that may wait for the store at one time; further ones wait for those.
const SUBMISSIONS: usize = 1_024;
/// Acknowledgements ring no bell; a drain looks this often.
const DRAIN_LOOK: Duration = Duration::from_millis(50);
/// Other processes ring no bell; what they may have settled is looked at this often.
const FLEET_LOOK: Duration = Duration::from_millis(500);
