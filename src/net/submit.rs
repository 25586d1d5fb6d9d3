//! `send`: from a message to durable rows and a receipt.

use std::sync::Arc;

use super::instance::{Instance, lock};
use crate::address::Address;
use crate::error::{Error, Kind};
use crate::id::{DeliveryId, MessageId};
use crate::message::{Composed, Message, Stamp};
use crate::return_path::{MARK_FIELD, ReturnPath};
use crate::schedule::Waiting;
use crate::store::{BodyId, Claimed, Enqueued, Idempotency, NewDelivery, NewMessage};
use crate::time::Timestamp;

/// What `send` gives: the message is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The message.
    pub message: MessageId,
    /// One for each recipient, in the order given.
    pub deliveries: Vec<Queued>,
    /// The idempotency key was known with the same content: these are the ids of the first time, and nothing was
    /// queued now.
    pub repeated: bool,
}

/// One recipient of a [`Receipt`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Queued {
    /// The delivery.
    pub id: DeliveryId,
    /// To whom.
    pub recipient: Address,
    /// The return path in MAIL FROM.
    pub return_path: Address,
    /// Whether the return path itself carries the tag; otherwise only the store knows it.
    pub tag_in_path: bool,
}

/// A message that is ready to be stored.
struct Prepared {
    new: NewMessage,
    tags_in_path: Vec<bool>,
    /// Whether room in the ready queues was reserved for all its deliveries.
    reserved: bool,
}

impl Instance {
    /// Queues messages in one commit; each has a result of its own.
    pub(crate) async fn submit(self: &Arc<Self>, messages: Vec<Message>) -> Vec<Result<Receipt, Error>> {
        let now = self.clock.now();
        let mut results: Vec<Option<Result<Receipt, Error>>> = Vec::with_capacity(messages.len());
        let mut prepared = Vec::with_capacity(messages.len());
        for message in &messages {
            match self.prepare(message, now) {
                Ok(one) => {
                    prepared.push(one);
                    results.push(None);
                }
                Err(error) => results.push(Some(Err(error))),
            }
        }
        let mut stored = self.store_prepared(prepared, now).await.into_iter();
        results
            .into_iter()
            .map(|result| match result {
                Some(result) => result,
                None => stored.next().expect("one for each that was prepared"),
            })
            .collect()
    }

    /// Records a message that another program sends: as accepted by a remote host, in one commit.
    pub(crate) async fn submit_elsewhere(self: &Arc<Self>, message: &Message) -> Result<Receipt, Error> {
        let now = self.clock.now();
        let mut one = self.prepare(message, now)?;
        one.new.sent_elsewhere = true;
        let receipt = one.receipt();
        let outcomes = self.store.enqueue(vec![one.new], now, None).await?;
        match outcomes.into_iter().next() {
            Some(Enqueued::Repeated { message, deliveries }) => Ok(repeated(message, deliveries)),
            Some(Enqueued::KeyConflict) => Err(conflict(message.options.idempotency_key.as_deref())),
            Some(Enqueued::New) | None => Ok(receipt),
        }
    }

    async fn store_prepared(
        self: &Arc<Self>,
        mut prepared: Vec<Prepared>,
        now: Timestamp,
    ) -> Vec<Result<Receipt, Error>> {
        if prepared.is_empty() {
            return Vec::new();
        }
        let wait = tokio::time::timeout(self.config.submit_timeout, self.submissions.clone().acquire_owned()).await;
        let Ok(Ok(permit)) = wait else {
            let busy =
                || Err(Error::new(Kind::Busy, "the store has no room for more messages now; nothing was queued"));
            return prepared.iter().map(|_| busy()).collect();
        };
        // Those that find room go straight to their connections; they are leased by the commit that accepts them.
        let mut direct = true;
        for one in &mut prepared {
            one.reserved = direct && one.new.not_before <= now && self.reserve(&one.new);
            direct &= one.reserved;
        }
        // One call has one lease: split where room ran out.
        let queued = prepared.split_off(prepared.iter().position(|one| !one.reserved).unwrap_or(prepared.len()));
        let count = prepared.len() + queued.len();
        // In a task of its own: a caller that drops its future must not leave deliveries leased and in no queue. The
        // permit goes along, so that callers who give up and come again do not pile messages up before a slow store.
        let instance = self.clone();
        let task = tokio::spawn(async move {
            let _permit = permit;
            let mut results = Vec::with_capacity(count);
            for (batch, leased) in [(prepared, true), (queued, false)] {
                if !batch.is_empty() {
                    results.extend(instance.commit(batch, leased, now).await);
                }
            }
            results
        });
        let stopped = || Err(Error::new(Kind::Closed, "the mailer was stopped before the message was stored"));
        task.await.unwrap_or_else(|_| (0..count).map(|_| stopped()).collect())
    }

    async fn commit(&self, batch: Vec<Prepared>, leased: bool, now: Timestamp) -> Vec<Result<Receipt, Error>> {
        let lease = leased.then(|| self.lease_until());
        if leased {
            let mut held = lock(&self.held);
            held.extend(batch.iter().flat_map(|one| one.new.deliveries.iter().map(|delivery| delivery.id)));
        }
        let rows = batch.iter().map(|one| one.new.clone()).collect();
        let outcome = self.store.enqueue(rows, now, lease).await;
        self.committed(batch, leased, outcome)
    }

    fn committed(
        &self,
        batch: Vec<Prepared>,
        leased: bool,
        outcome: Result<Vec<Enqueued>, crate::store::StoreError>,
    ) -> Vec<Result<Receipt, Error>> {
        let outcomes = match outcome {
            Ok(outcomes) => outcomes,
            Err(error) => {
                let results = batch.iter().map(|one| {
                    if leased {
                        self.release(&one.new);
                    }
                    Err(Error::from(error.clone()))
                });
                return results.collect();
            }
        };
        let mut results = Vec::with_capacity(batch.len());
        for (one, outcome) in batch.into_iter().zip(outcomes) {
            results.push(match outcome {
                Enqueued::New => {
                    let receipt = one.receipt();
                    if leased {
                        self.make_ready(one.new);
                    } else {
                        self.due_at(one.new.not_before);
                    }
                    Ok(receipt)
                }
                Enqueued::Repeated { message, deliveries } => {
                    if leased {
                        self.release(&one.new);
                    }
                    Ok(repeated(message, deliveries))
                }
                Enqueued::KeyConflict => {
                    if leased {
                        self.release(&one.new);
                    }
                    Err(conflict(one.new.idempotency.as_ref().map(|idempotency| &*idempotency.key)))
                }
            });
        }
        self.work.notify_one();
        results
    }

    /// Makes a message ready for another program's transaction.
    #[cfg(feature = "postgres")]
    pub(super) fn prepare_outbox(&self, message: &Message) -> Result<(NewMessage, Receipt), Error> {
        let one = self.prepare(message, self.clock.now())?;
        let receipt = one.receipt();
        Ok((one.new, receipt))
    }

    fn prepare(&self, message: &Message, now: Timestamp) -> Result<Prepared, Error> {
        let options = &message.options;
        let form = self.domains.choose(options.return_domain.as_deref(), message.author_domain())?;
        let keyring = self.keyring.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let ids: Vec<DeliveryId> = {
            let mut source = lock(&self.ids);
            options.recipients.iter().map(|_| DeliveryId::from_u64(source.next(now))).collect()
        };
        let id = MessageId::from_u64(lock(&self.ids).next(now));
        let mut deliveries = Vec::with_capacity(ids.len());
        let mut tags_in_path = Vec::with_capacity(ids.len());
        let mut first_mark = None;
        for (recipient, id) in options.recipients.iter().zip(ids) {
            let path: ReturnPath = keyring.mint(form, id, options.tag, self.config.placement)?;
            let mark = keyring.mark(id)?;
            let prefix = format!("{MARK_FIELD}: {mark}\r\n");
            first_mark.get_or_insert(mark);
            tags_in_path.push(options.tag.is_some() && path.carries_tag());
            deliveries.push(NewDelivery {
                id,
                recipient: recipient.clone(),
                return_path: path.address().clone(),
                prefix,
                destination: self.destination(recipient),
            });
        }
        let stamp = Stamp {
            date: now,
            message_id: format!("{}@{}", first_mark.unwrap_or_else(|| id.to_string()), form.domain),
        };
        let Composed { bytes, smtputf8, eight_bit } = message.compose(&stamp)?;
        let new = NewMessage {
            id,
            body: bytes,
            smtputf8,
            eight_bit,
            tag: options.tag,
            mailing: options.mailing.clone(),
            metadata: options.metadata.clone(),
            stream: options.stream,
            not_before: options.not_before.unwrap_or(now).max(now),
            expires: self.config.plan.expires(
                options.stream,
                options.deadline,
                options.not_before.unwrap_or(now).max(now),
            ),
            own_deadline: options.deadline.is_some(),
            sent_elsewhere: false,
            idempotency: options
                .idempotency_key
                .clone()
                .map(|key| Idempotency { key, fingerprint: message.fingerprint() }),
            deliveries,
        };
        Ok(Prepared { new, tags_in_path, reserved: false })
    }

    /// Which queue a recipient stands in.
    pub(crate) fn destination(&self, recipient: &Address) -> String {
        match &self.config.relay {
            Some(relay) => format!("{}:{}", relay.host, relay.port),
            None => recipient.domain().to_owned(),
        }
    }

    /// Reserves room for all deliveries of a message, or for none. So much may wait here already that other processes
    /// should have it.
    fn reserve(&self, new: &NewMessage) -> bool {
        let mut ready = lock(&self.ready);
        if new.deliveries.iter().any(|delivery| ready.leaves_to_others(&delivery.destination)) {
            return false;
        }
        for (index, delivery) in new.deliveries.iter().enumerate() {
            if !ready.reserve(&delivery.destination, new.body.len()) {
                for delivery in &new.deliveries[..index] {
                    ready.give_up(&delivery.destination, new.body.len());
                }
                return false;
            }
        }
        true
    }

    /// Gives back what was reserved for a message that was not queued.
    fn release(&self, new: &NewMessage) {
        let mut ready = lock(&self.ready);
        let mut held = lock(&self.held);
        for delivery in &new.deliveries {
            ready.give_up(&delivery.destination, new.body.len());
            held.remove(&delivery.id);
        }
    }

    /// Puts the deliveries of a stored message into their ready queues.
    fn make_ready(&self, new: NewMessage) {
        let now = self.clock.now();
        let body = BodyId::of(&new.body);
        let mut ready = lock(&self.ready);
        for delivery in new.deliveries {
            ready.push(Waiting {
                delivery: Claimed {
                    id: delivery.id,
                    message: new.id,
                    recipient: delivery.recipient,
                    return_path: delivery.return_path,
                    prefix: delivery.prefix,
                    destination: delivery.destination,
                    body,
                    body_size: new.body.len() as u64,
                    smtputf8: new.smtputf8,
                    eight_bit: new.eight_bit,
                    tag: new.tag,
                    mailing: new.mailing.clone(),
                    metadata: new.metadata.clone(),
                    stream: new.stream,
                    queued_at: now,
                    expires: new.expires,
                    own_deadline: new.own_deadline,
                    attempts: 0,
                    delays_told: 0,
                    last: None,
                },
                body: new.body.clone(),
                tried: false,
            });
        }
    }
}

impl Prepared {
    fn receipt(&self) -> Receipt {
        let deliveries = self.new.deliveries.iter().zip(&self.tags_in_path);
        Receipt {
            message: self.new.id,
            deliveries: deliveries
                .map(|(delivery, tag_in_path)| Queued {
                    id: delivery.id,
                    recipient: delivery.recipient.clone(),
                    return_path: delivery.return_path.clone(),
                    tag_in_path: *tag_in_path,
                })
                .collect(),
            repeated: false,
        }
    }
}

/// The receipt of the first time.
fn repeated(message: MessageId, deliveries: Vec<(DeliveryId, Address, Address)>) -> Receipt {
    let deliveries = deliveries
        .into_iter()
        .map(|(id, recipient, return_path)| Queued { id, recipient, return_path, tag_in_path: false })
        .collect();
    Receipt { message, deliveries, repeated: true }
}

fn conflict(key: Option<&str>) -> Error {
    let key = key.unwrap_or_default();
    Error::new(
        Kind::Conflict,
        format!("idempotency_key: {key:?} was used before for another content; nothing was queued"),
    )
}
