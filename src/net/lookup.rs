//! What the store knows of one delivery.

use super::mailer::Mailer;
use crate::address::Address;
use crate::error::Error;
use crate::id::{DeliveryId, MessageId};
use crate::store::{Found, State, Stream};
use crate::tag::Tag;
use crate::time::Timestamp;
use crate::verdict::{Outcome, Verdict};

/// One delivery as the store remembers it: on its way, ended, or ended and returned.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Delivery {
    /// The delivery.
    pub id: DeliveryId,
    /// The message that it belongs to.
    pub message: MessageId,
    /// To whom.
    pub recipient: Address,
    /// The return path in MAIL FROM.
    pub return_path: Address,
    /// The tag that was given at sending.
    pub tag: Option<Tag>,
    /// The mailing that was given at sending.
    pub mailing: Option<String>,
    /// The metadata that was given at sending.
    pub metadata: Option<serde_json::Value>,
    /// The stream that it belongs to.
    pub stream: Stream,
    /// When it was queued.
    pub queued_at: Timestamp,
    /// How it ended; `None` while it is on its way. A bounce of later does not change it: see `bounced`.
    pub outcome: Option<Outcome>,
    /// Attempts that were made.
    pub attempts: u32,
    /// What the last attempt met.
    pub last: Option<Verdict>,
    /// The verdict of the report that came back.
    pub bounced: Option<Verdict>,
}

impl Mailer {
    /// Looks a delivery up; `None` if it is not known, or older than it is kept.
    pub async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, Error> {
        Ok(self.instance().store.find(id).await?.map(Delivery::from))
    }
}

impl From<Found> for Delivery {
    fn from(found: Found) -> Delivery {
        Delivery {
            outcome: found.state.outcome(),
            id: found.id,
            message: found.message,
            recipient: found.recipient,
            return_path: found.return_path,
            tag: found.tag,
            mailing: found.mailing,
            metadata: found.metadata.as_deref().and_then(|json| serde_json::from_str(json).ok()),
            stream: found.stream,
            queued_at: found.queued_at,
            attempts: found.attempts,
            last: found.last.map(|last| last.verdict),
            bounced: found.bounced,
        }
    }
}

impl State {
    /// How a delivery in this state ended; `None` if it has not.
    pub(crate) fn outcome(self) -> Option<Outcome> {
        match self {
            State::Delivered => Some(Outcome::Delivered),
            State::Failed => Some(Outcome::Failed),
            State::Suppressed => Some(Outcome::Suppressed),
            State::Cancelled => Some(Outcome::Cancelled),
            State::Held => Some(Outcome::Uncertain),
            State::Queued | State::Leased | State::InFlight => None,
        }
    }
}
