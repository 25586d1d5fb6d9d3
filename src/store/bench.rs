//! What `benches/store.rs` measures with: the store behind a face that it can see. Not part of the public interface.

use std::path::Path;
use std::time::Duration;

use super::sqlite::SqliteStore;
use super::{NewDelivery, NewMessage, Store, Stream};
use crate::error::Error;
use crate::id::{DeliveryId, MessageId};
use crate::time::Timestamp;

/// A store in a file.
pub struct Enqueueing(SqliteStore);

impl Enqueueing {
    /// Opens the store at `path`.
    pub async fn open(path: &Path) -> Result<Enqueueing, Error> {
        Ok(Enqueueing(SqliteStore::open(path, 0).await?))
    }

    /// Queues messages with these bodies, numbered from `first` on, in one call; they are durable when it returns.
    pub async fn enqueue(&self, first: u64, bodies: Vec<Vec<u8>>) -> Result<(), Error> {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let messages = (first..).zip(bodies).map(|(n, body)| message(n, body, now)).collect::<Result<_, Error>>()?;
        self.0.enqueue(messages, now, Some(now + Duration::from_secs(600))).await?;
        Ok(())
    }
}

fn message(n: u64, body: Vec<u8>, now: Timestamp) -> Result<NewMessage, Error> {
    let address = |text: String| {
        text.parse().map_err(|error| Error::caused(crate::error::Kind::Message, "an address of the bench", error))
    };
    let destination = format!("host{}.example", n % 100);
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
