//! What the application is told: every event, its typed views, the handler that takes them, and their dispatch.
//!
//! An [`Event`] is one stored fact about one delivery (or, for alerts and mail that belongs to none, about the
//! instance). The typed views – [`Failure`], [`Bounce`] and so on – are the same event, known to be of one kind; they
//! dereference to it.

mod combine;
mod dispatch;
mod handler;
mod inbound;
mod json;
mod record;
mod replay;

pub use combine::{Tee, from_fn};
pub(crate) use dispatch::{DispatchConfig, Dispatcher};
pub use handler::{FailureHandler, HandlerError, HandlerResult, MAX_BATCH, MAX_CONCURRENCY, deliver};
pub(crate) use inbound::{Belonging, inbound_event};
pub(crate) use record::EventRecord;
pub use record::{Event, EventKind, Origin, Trust};
pub use replay::{DeadLetter, Events};

use std::ops::Deref;

use crate::address::Address;
use crate::id::DeliveryId;
use crate::verdict::Verdict;

macro_rules! views {
    ($($(#[$doc:meta])* $view:ident: $kind:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone)]
            pub struct $view(Event);

            impl Deref for $view {
                type Target = Event;

                fn deref(&self) -> &Event {
                    &self.0
                }
            }

            impl $view {
                /// The event as this view; `None` if it is of another kind.
                pub fn from_event(event: &Event) -> Option<$view> {
                    (event.kind() == EventKind::$kind).then(|| $view(event.clone()))
                }
            }
        )*
    };
}

/// Views of events that always belong to a delivery and carry a verdict.
macro_rules! delivery_views {
    ($($view:ident),*) => {
        $(
            impl $view {
                /// The delivery.
                pub fn delivery(&self) -> DeliveryId {
                    self.0.record().delivery.expect("checked where the event was made")
                }

                /// The address that we sent to; not the one that a forwarder's report names.
                pub fn recipient(&self) -> &Address {
                    self.0.record().recipient.as_ref().expect("checked where the event was made")
                }

                /// What was decided, and why.
                pub fn verdict(&self) -> &Verdict {
                    self.0.record().verdict.as_ref().expect("checked where the event was made")
                }
            }
        )*
    };
}

views! {
    /// Refused while we were talking to the remote host, or given up. The end of this delivery.
    Failure: Fail;
    /// Accepted by the remote host, then returned.
    Bounce: Bounce;
    /// The remote host took the message.
    Delivered: Delivered;
    /// Not delivered yet: our own tries so far failed, or a remote host reports a delay.
    Delay: Delay;
    /// The recipient complained (RFC 5965).
    Complaint: Complaint;
    /// An automatic answer: vacation, ticket system (RFC 3834).
    AutoReply: AutoReply;
    /// A person answered to the return path.
    Reply: Reply;
    /// A remote host reports success: delivered, relayed, expanded (RFC 3464).
    Success: Success;
    /// The recipient asks to be taken off the list (RFC 2369, RFC 8058).
    Unsubscribe: Unsubscribe;
    /// Whether the remote host has the message is not known.
    Uncertain: Uncertain;
    /// Not sent: the address is known to be dead or suspended.
    Suppressed: Suppressed;
    /// Taken back before it was delivered.
    Cancelled: Cancelled;
    /// Mail to a role address, a report that could not be read, or one that proves nothing; with its raw text.
    Other: Other;
    /// Something about the instance itself that a person should see.
    Alert: Alert;
}

delivery_views!(Failure, Bounce, Delivered, Delay, Uncertain, Suppressed, Cancelled);
