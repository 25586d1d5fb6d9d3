//! Takes in mail: opens its recipients, reads it, and stores the events. Only then is the peer told 250.

use std::sync::{Arc, PoisonError};

use super::instance::{Instance, lock};
use crate::address::domain_to_ascii;
use crate::analysis::{Analysis, Kind, Options, analyse_with};
use crate::error::{Error, Kind as ErrorKind};
use crate::event::{Belonging, inbound_event};
use crate::listener::{Admission, Gate, Recipient, Role};
use crate::return_path::Refusal;
use crate::store::{Found, Inbound, InboundBounds, Recorded};
use crate::time::Timestamp;

/// What became of mail that was given to [`Mailer::receive`](crate::Mailer::receive).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reception {
    /// Its event is stored; the mail may be forgotten.
    Stored,
    /// The same mail was stored before.
    Repeated,
    /// More came to this return path than is kept; it was counted.
    Flood,
    /// The recipient is no return path of this instance, or a forged or too old one; nothing was stored. A front server
    /// must refuse it in its conversation, not bounce it.
    Refused(String),
}

impl Gate for Instance {
    fn is_short_of_room(&self) -> bool {
        self.store.is_short_of_room()
    }

    fn admit(&self, path: &str) -> Admission {
        if path.eq_ignore_ascii_case("postmaster") {
            return Admission::Role(Role::Postmaster);
        }
        let forms = self.forms.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((local, domain)) = path.rsplit_once('@')
            && domain_to_ascii(domain).is_ok_and(|domain| forms.of_domain(&domain, self.clock.now()).next().is_some())
        {
            for (name, role) in [("postmaster", Role::Postmaster), ("abuse", Role::Abuse), (FEEDBACK, Role::Feedback)] {
                if local.eq_ignore_ascii_case(name) {
                    return Admission::Role(role);
                }
            }
        }
        let keyring = self.keyring.read().unwrap_or_else(PoisonError::into_inner);
        match keyring.open(path, &forms, self.config.honour_for, self.latest()) {
            Ok(returned) => Admission::Sealed(returned),
            Err(Refusal::UnknownKey) if self.may_lack_a_key() => Admission::NotYet,
            Err(refusal) => {
                tracing::debug!(%refusal, "a recipient was refused");
                Admission::Refused(refusal)
            }
        }
    }
}

impl Instance {
    /// Stores the events of one piece of mail, one for each recipient; durable when it returns.
    pub(crate) async fn take_in(
        self: &Arc<Self>,
        sender: &str,
        recipients: &[Recipient],
        message: &[u8],
    ) -> Result<Vec<Recorded>, Error> {
        let analysis = self.analysed(message).await?;
        let now = self.clock.now();
        let raw: Arc<[u8]> = Arc::from(&message[..message.len().min(RAW_KEPT)]);
        let mut events = Vec::with_capacity(recipients.len());
        for recipient in recipients {
            let belonging = self.belonging(recipient, &analysis).await?;
            events.push(inbound_event(&belonging, &analysis, sender, raw.clone(), now));
        }
        for event in &events {
            tracing::info!(
                event = %event.id,
                kind = event.kind.name(),
                delivery = event.delivery.map(tracing::field::display),
                reason = event.verdict.as_ref().map(|verdict| verdict.reason.name()),
                "mail came in"
            );
        }
        let bounds = InboundBounds { events: EVENTS_PER_PATH, raw_bytes: RAW_PER_PATH };
        let recorded = self.store.record(Inbound { events, bounds }).await?;
        self.events.notify_one();
        Ok(recorded)
    }

    /// The clock, or the newest id where the clock was set back: what was made just now is not from the future.
    fn latest(&self) -> Timestamp {
        self.clock.now().max(lock(&self.ids).last_issued_at())
    }

    /// Reads a message without holding up the other tasks.
    async fn analysed(&self, message: &[u8]) -> Result<Analysis, Error> {
        let options = Options::default().rules(self.config.plan.rules.current());
        if message.len() <= SMALL {
            return Ok(analyse_with(message, &options));
        }
        let message = message.to_vec();
        tokio::task::spawn_blocking(move || analyse_with(&message, &options))
            .await
            .map_err(|error| Error::caused(ErrorKind::Closed, "the analysis of a message was stopped", error))
    }

    async fn belonging(&self, recipient: &Recipient, analysis: &Analysis) -> Result<Belonging, Error> {
        let role = match recipient {
            Recipient::Sealed(returned) => {
                let found = self.store.find(returned.delivery()).await?;
                return Ok(Belonging::Sealed(returned.clone(), found.map(Box::new)));
            }
            Recipient::Role(Role::Postmaster) => "postmaster",
            Recipient::Role(Role::Abuse) => "abuse",
            Recipient::Role(Role::Feedback) => "feedback",
        };
        if analysis.kind == Kind::Feedback
            && let Some(found) = self.marked(analysis).await?
        {
            return Ok(Belonging::Marked(found));
        }
        Ok(Belonging::Nothing { role })
    }

    /// The delivery whose mark or return path stands in the returned original.
    async fn marked(&self, analysis: &Analysis) -> Result<Option<Box<Found>>, Error> {
        for trace in &analysis.traces {
            let delivery = {
                let keyring = self.keyring.read().unwrap_or_else(PoisonError::into_inner);
                let forms = self.forms.read().unwrap_or_else(PoisonError::into_inner);
                let mark = trace.split('@').next().unwrap_or(trace);
                keyring.open_mark(mark).or_else(|| {
                    let opened = keyring.open(trace, &forms, self.config.honour_for, self.latest());
                    opened.ok().map(|returned| returned.delivery())
                })
            };
            if let Some(delivery) = delivery
                && let Some(found) = self.store.find(delivery).await?
            {
                return Ok(Some(Box::new(found)));
            }
        }
        Ok(None)
    }

    /// Mail that another program took in.
    pub(crate) async fn receive(
        self: &Arc<Self>,
        sender: &str,
        recipients: &[String],
        message: &[u8],
    ) -> Result<Vec<Reception>, Error> {
        let mut results = Vec::with_capacity(recipients.len());
        let mut admitted = Vec::new();
        for path in recipients {
            results.push(match self.admit(path) {
                Admission::Sealed(returned) => {
                    admitted.push(Recipient::Sealed(returned));
                    Reception::Stored
                }
                Admission::Role(role) => {
                    admitted.push(Recipient::Role(role));
                    Reception::Stored
                }
                Admission::NotYet => {
                    let text = format!("{path}: the ring in the store could not be read of late; try again");
                    return Err(Error::new(ErrorKind::Storage, text));
                }
                Admission::Refused(refusal) => Reception::Refused(refused_text(path, refusal)),
            });
        }
        let recorded = if admitted.is_empty() { Vec::new() } else { self.take_in(sender, &admitted, message).await? };
        let stored = results.iter_mut().filter(|result| **result == Reception::Stored);
        for (result, recorded) in stored.zip(recorded) {
            *result = match recorded {
                Recorded::New => Reception::Stored,
                Recorded::Repeated => Reception::Repeated,
                Recorded::Flood { .. } => Reception::Flood,
            };
        }
        Ok(results)
    }
}

fn refused_text(path: &str, refusal: Refusal) -> String {
    format!("{path}: {refusal}")
}

/// The local part for feedback loops: `feedback@` a return-path domain.
const FEEDBACK: &str = "feedback";
/// Kept of one message: reports carry their facts in the first part, and headers of the original after it.
const RAW_KEPT: usize = 256 * 1024;
/// Events stored for one return path while it is honoured.
const EVENTS_PER_PATH: u32 = 20;
/// Bytes of raw mail stored for one return path.
const RAW_PER_PATH: u64 = 1 << 20;
/// Smaller ones are read at once: they take less time than a change of threads.
const SMALL: usize = 64 * 1024;
