//! A message on its way into the store, with the hash of its body.

use std::sync::Arc;

use super::{BodyId, NewMessage, State};
use crate::time::Timestamp;

/// Made before the transaction: a writer, or a lock, is what all wait for.
pub(crate) struct Hashed {
    pub(crate) message: NewMessage,
    pub(crate) body: BodyId,
}

impl Hashed {
    /// Hashes the bodies; messages in a row that share one body share its hash.
    pub(crate) fn all(messages: Vec<NewMessage>) -> Vec<Hashed> {
        let mut last: Option<(Arc<[u8]>, BodyId)> = None;
        messages
            .into_iter()
            .map(|message| {
                let body = match &last {
                    Some((content, body)) if Arc::ptr_eq(content, &message.body) => *body,
                    _ => BodyId::of(&message.body),
                };
                last = Some((message.body.clone(), body));
                Hashed { message, body }
            })
            .collect()
    }

    /// How many deliveries are open: none of a message that another program sends. Nothing would ever delete its body.
    pub(crate) fn open(&self) -> usize {
        if self.message.sent_elsewhere { 0 } else { self.message.deliveries.len() }
    }

    /// The state in which its deliveries begin, and when they are due.
    pub(crate) fn first_state(&self, now: Timestamp, lease: Option<Timestamp>) -> (State, Timestamp) {
        match lease {
            _ if self.message.sent_elsewhere => (State::Delivered, now),
            Some(until) if self.message.not_before <= now => (State::Leased, until),
            _ => (State::Queued, now.max(self.message.not_before)),
        }
    }
}
