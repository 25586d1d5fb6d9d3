//! The mailer: what the application holds.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::config::{LONGEST_TIME, MailerBuilder};
use super::instance::{Instance, lock};
use super::intake::Reception;
use super::listener::{Listener, ListenerBuilder};
use super::submit::Receipt;
use crate::envelope::Envelope;
use crate::error::{Error, Kind};
use crate::event::Events;
use crate::id::DeliveryId;
use crate::message::Message;
use crate::report::Reports;
use crate::return_path::{Forms, Keyring};
use crate::time::Timestamp;
use crate::verdict::{Outcome, Rules};

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

impl Mailer {
    /// Begins the settings of a mailer whose return paths are at `domain`: the domain whose MX leads to its listener.
    pub fn builder(domain: impl Into<String>) -> MailerBuilder {
        MailerBuilder::new(domain.into())
    }

    /// A mailer that runs. The first of its tasks is the settler.
    pub(super) fn of(instance: Arc<Instance>, tasks: Vec<JoinHandle<()>>) -> Mailer {
        Mailer { inner: Arc::new(Inner { instance, tasks: Mutex::new(Tasks(tasks)) }) }
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

    /// Puts other rules in force, for replies and for reports alike, from the next verdict on; a verdict that is being
    /// made keeps to the rules it began with. Rules that cannot be read never come this far: [`RulesBuilder::build`]
    /// fails, and those of before stay in force.
    ///
    /// ```
    /// # use returnpath::{Mailer, StoreLocation};
    /// use returnpath::verdict::Rules;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mailer = Mailer::builder("b.example.org").ehlo("mail.example.org").store(StoreLocation::memory());
    /// # let mailer = mailer.handler(()).start().await?;
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("rules.tsv");
    /// # std::fs::write(&path, "mine.1\tany\tthis desk is closed\tmailbox_disabled\tdisabled\tremove\tour partner\n")?;
    /// let rules = Rules::builder().file(path).build()?;
    /// mailer.reload_rules(rules);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [`RulesBuilder::build`]: crate::verdict::RulesBuilder::build
    pub fn reload_rules(&self, rules: Rules) {
        self.instance().config.plan.rules.replace(rules);
    }

    /// Removes all that the store has about an address, in any upper or lower case and in the spellings that reports use
    /// (quoted, xtext of RFC 3461, A-label or not): deliveries to it (open ones are cancelled first), their events, raw
    /// mail and counters, and the contents that no other recipient waits for. Where something about another recipient
    /// names the address, it is blanked there, and raw mail that names it goes. The files are then rewritten, so that a
    /// search of them finds nothing of it. Answers how many rows went or changed.
    ///
    /// A hash under a secret of this store stays, by which the address is known again without being written down; and
    /// the numbers of its deliveries stay as long as return paths are honoured: a late bounce of theirs is taken and
    /// not stored. A message that is still on its way to another recipient keeps its content to its end; where that
    /// names the address, forget it again then. Backups and your own tables are yours to clean.
    ///
    /// Rewriting takes about a second for each 100 MB, during which `send` waits, and needs room for a second copy of
    /// the store on the disk. What a PostgreSQL server keeps elsewhere, as its log, is named in
    /// [the manual](crate::manual::fleet).
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

    pub(super) fn open(&self) -> Result<(), Error> {
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

fn closed() -> Error {
    Error::new(Kind::Closed, "the mailer was shut down")
}

/// One commit takes up to this many messages…
const COMMIT_MESSAGES: usize = 1_000;
/// …or this many bytes.
const COMMIT_BYTES: usize = 8 << 20;
/// Acknowledgements ring no bell; a drain looks this often.
const DRAIN_LOOK: Duration = Duration::from_millis(50);
/// Other processes ring no bell; what they may have settled is looked at this often.
const FLEET_LOOK: Duration = Duration::from_millis(500);
