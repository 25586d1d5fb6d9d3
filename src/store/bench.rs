//! What `benches/store.rs` and `benches/fleet.rs` measure with: the stores behind a face that they can see. Not part of
//! the public interface.

#[cfg(feature = "sqlite")]
use std::path::Path;
use std::time::Duration;

#[cfg(feature = "postgres")]
use super::postgres::{PostgresConfig, PostgresStore};
#[cfg(feature = "sqlite")]
use super::sqlite::SqliteStore;
#[cfg(feature = "postgres")]
use super::{Acknowledgement, Answer, ClaimRequest, Claimed, StoreError};
use super::{NewDelivery, NewMessage, Store, Stream};
use crate::error::Error;
use crate::id::{DeliveryId, MessageId};
#[cfg(feature = "postgres")]
use crate::net::clock::Clock;
#[cfg(feature = "postgres")]
use crate::schedule::{Attempt, Plan, conclude};
#[cfg(feature = "postgres")]
use crate::smtp::Reply;
use crate::time::Timestamp;

/// A store in a file.
#[cfg(feature = "sqlite")]
pub struct Enqueueing(SqliteStore);

#[cfg(feature = "sqlite")]
impl Enqueueing {
    /// Opens the store at `path`.
    pub async fn open(path: &Path) -> Result<Enqueueing, Error> {
        Ok(Enqueueing(SqliteStore::open(path, 0).await?))
    }

    /// Queues messages with these bodies, numbered from `first` on, in one call; they are durable when it returns.
    pub async fn enqueue(&self, first: u64, bodies: Vec<Vec<u8>>) -> Result<(), Error> {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let messages =
            (first..).zip(bodies).map(|(n, body)| message(n, n % 100, body, now)).collect::<Result<_, _>>()?;
        self.0.enqueue(messages, now, Some(now + Duration::from_secs(600))).await?;
        Ok(())
    }
}

/// One process of several that carry messages through a database: from `send` to the handler's answer.
#[cfg(feature = "postgres")]
pub struct Carrying {
    store: PostgresStore,
    clock: Clock,
    plan: Plan,
    /// Its messages have numbers of their own.
    next: u64,
    sites: u64,
}

#[cfg(feature = "postgres")]
impl Carrying {
    /// Joins those that share the database at `url`; its messages go to this many sites.
    pub async fn join(url: &str, sites: u64) -> Result<Carrying, Error> {
        let wait = Duration::from_secs(30);
        let clock = Clock::system();
        let config =
            PostgresConfig { url: url.to_owned(), lease: wait, wait, now_from_database: true, clock: clock.clone() };
        let store = PostgresStore::open(&config).await?;
        let next = u64::from(store.node() + 1) << 32;
        Ok(Carrying { store, clock, plan: Plan::default(), next, sites })
    }

    /// One step of a mailer's three loops, at the same time: these bodies are queued as messages; as many deliveries
    /// are claimed, begun and settled as delivered; as many events are handed out and acknowledged. Each call waits for
    /// its commit. Answers how many messages came to their end.
    pub async fn step(&mut self, bodies: Vec<Vec<u8>>) -> Result<usize, Error> {
        let now = self.clock.now();
        let limit = bodies.len();
        let messages = self.messages(bodies, now)?;
        let (queued, carried, told) =
            tokio::join!(self.store.enqueue(messages, now, None), self.carry(limit, now), self.tell(limit, now));
        queued?;
        carried?;
        Ok(told?)
    }

    /// Queues messages with these bodies and leaves them where they are.
    pub async fn fill(&mut self, bodies: Vec<Vec<u8>>) -> Result<(), Error> {
        let now = self.clock.now();
        let messages = self.messages(bodies, now)?;
        self.store.enqueue(messages, now, None).await?;
        Ok(())
    }

    fn messages(&mut self, bodies: Vec<Vec<u8>>, now: Timestamp) -> Result<Vec<NewMessage>, Error> {
        let first = self.next;
        self.next += bodies.len() as u64;
        (first..).zip(bodies).map(|(n, body)| message(n, n % self.sites, body, now)).collect()
    }

    async fn carry(&self, limit: usize, now: Timestamp) -> Result<(), StoreError> {
        let lease_until = now + Duration::from_secs(600);
        let request = ClaimRequest { limit, per_destination: limit, skip: Vec::new(), now, lease_until };
        let claimed = self.store.claim(request).await?;
        if claimed.is_empty() {
            return Ok(());
        }
        self.store.begin(claimed.iter().map(|delivery| delivery.id).collect()).await?;
        let delivered = |delivery: &Claimed| {
            let reply = Reply { code: 250, status: None, text: "queued as 4F1A2B3C4D".into() };
            let attempt = Attempt::Delivered(reply, format!("mx.{}[192.0.2.1]:25", delivery.destination));
            conclude(delivery, attempt, &self.plan, now)
        };
        self.store.settle(claimed.iter().map(delivered).collect()).await
    }

    async fn tell(&self, limit: usize, now: Timestamp) -> Result<usize, StoreError> {
        let events = self.store.claim_events(limit, Vec::new(), now).await?;
        let answers = events.iter().map(|event| Acknowledgement { sequence: event.sequence, answer: Answer::Done });
        if !events.is_empty() {
            self.store.acknowledge(answers.collect()).await?;
        }
        Ok(events.len())
    }

    /// Leaves the others.
    pub async fn leave(self) -> Result<(), Error> {
        Ok(self.store.close().await?)
    }
}

fn message(n: u64, site: u64, body: Vec<u8>, now: Timestamp) -> Result<NewMessage, Error> {
    let address = |text: String| {
        text.parse().map_err(|error| Error::caused(crate::error::Kind::Message, "an address of the bench", error))
    };
    let destination = format!("host{site}.example");
    Ok(NewMessage {
        id: MessageId::from_u64(2 * n),
        body: body.into(),
        smtputf8: false,
        eight_bit: false,
        tag: Some(i64::try_from(n).unwrap_or(i64::MAX).into()),
        mailing: Some("spring".into()),
        metadata: None,
        stream: Stream::Bulk,
        not_before: now,
        expires: now + Duration::from_secs(2 * 86_400),
        own_deadline: false,
        idempotency: None,
        sent_elsewhere: false,
        deliveries: vec![NewDelivery {
            id: DeliveryId::from_u64(2 * n + 1),
            recipient: address(format!("subscriber{n}@{destination}"))?,
            return_path: address(format!("b{n:032x}@b.example.org"))?,
            prefix: format!("X-Returnpath-Mark: {n:032x}\r\n"),
            destination,
        }],
    })
}
