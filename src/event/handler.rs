//! The handler: what the application writes.
//!
//! [`FailureHandler`] has two methods that must be written, one for each way in which mail fails: refused in our own
//! conversation (RFC 5321 §4.2.1), and accepted and later returned (RFC 5321 §6.1, RFC 3464). Everything else that can
//! come back has a method that does nothing until it is overridden.
//!
//! When and how often the methods are called is decided in the dispatcher; what an event says, in [`Event`]; how two
//! handlers become one, in `combine`.

use std::fmt;

use async_trait::async_trait;

use super::{
    Alert, AutoReply, Bounce, Cancelled, Complaint, Delay, Delivered, Event, EventKind, Failure, Other, Reply, Success,
    Suppressed, Uncertain, Unsubscribe,
};

/// Takes what became of the mail that was sent. This is the trait that an application implements.
///
/// Every event is stored before it is told, and told until the handler says `Ok`.
///
/// # What the crate does with the answer
///
/// - **`Ok`** acknowledges the event: it does not come again.
/// - **`Err`** brings the same event again after a wait that doubles from try to try. After the last try it moves to
///   the dead letters and a line at level `ERROR` says so; from there it can be
///   [replayed](super::Events::replay_dead). [`HandlerError::give_up`] moves it there at once.
/// - **A panic** counts as an error. (With `panic = "abort"` it ends the process; the event comes again after the
///   next start.)
/// - **No answer** within the time limit of one call (60 s by default): the call's future is dropped and it counts as
///   an error. A future can only be dropped where it awaits: put blocking work into `tokio::task::spawn_blocking`.
///
/// # How often, and in which order
///
/// At least once: a process that dies between the handler's `Ok` and the commit that records it hands the event over
/// again. [`Event::id`] is the same each time, so that the application can see a repetition. Write the handler such
/// that a second call changes nothing; the manual's page on events has a recipe.
///
/// The events of one delivery come in the order in which they were stored, each after the one before was acknowledged
/// or moved to the dead letters. Events of different deliveries have no order among each other.
///
/// # Example
///
/// ```
/// use returnpath::event::{Bounce, Failure};
/// use returnpath::{FailureHandler, HandlerResult, async_trait};
///
/// struct Subscribers;
///
/// impl Subscribers {
///     async fn flag(&self, address: &str, reason: &str) -> Result<(), std::io::Error> {
///         println!("{address}: {reason}");
///         Ok(())
///     }
/// }
///
/// #[async_trait]
/// impl FailureHandler for Subscribers {
///     async fn on_fail(&self, failure: &Failure) -> HandlerResult {
///         Ok(self.flag(failure.recipient().as_str(), failure.verdict().reason.name()).await?)
///     }
///
///     async fn on_bounce(&self, bounce: &Bounce) -> HandlerResult {
///         Ok(self.flag(bounce.recipient().as_str(), bounce.verdict().reason.name()).await?)
///     }
/// }
/// ```
#[async_trait]
pub trait FailureHandler: Send + Sync + 'static {
    /// The remote host refused the recipient or the message while we were talking to it, or the delivery was given up
    /// at its deadline (reason [`Expired`](crate::Reason::Expired)).
    ///
    /// Called for each recipient once, at the end of its delivery; a temporary refusal (RFC 5321 §4.2.1, 4yz) makes no
    /// call here but, after a while, [`on_delay`](FailureHandler::on_delay).
    async fn on_fail(&self, failure: &Failure) -> HandlerResult;

    /// The remote host had accepted the message, and a report came back later that it could not be delivered
    /// (RFC 3464, or any other form of report that was understood).
    ///
    /// Usually called once for a delivery; again where remote hosts send several reports that differ.
    async fn on_bounce(&self, bounce: &Bounce) -> HandlerResult;

    /// The remote host took the message: it answered 2yz after the end of data. A bounce may follow, for hours or
    /// days.
    ///
    /// Called once for a delivery.
    async fn on_delivered(&self, delivered: &Delivered) -> HandlerResult {
        let _ = delivered;
        Ok(())
    }

    /// The message is not delivered yet, and nobody has given up: our own tries failed so far
    /// ([`Origin::Conversation`](super::Origin::Conversation)), or a remote host that had accepted it reports a delay
    /// (RFC 3464 §2.3.3, action `delayed`; [`Origin::Report`](super::Origin::Report)).
    ///
    /// Called at each of the chosen ages of a delivery, and for each such report.
    async fn on_delay(&self, delay: &Delay) -> HandlerResult {
        let _ = delay;
        Ok(())
    }

    /// The recipient, or the provider in his name, complained about the message (RFC 5965).
    ///
    /// Called once for a report. [`Event::trust`] says how it is known to be about this delivery. Take the address
    /// off the list.
    async fn on_complaint(&self, complaint: &Complaint) -> HandlerResult {
        let _ = complaint;
        Ok(())
    }

    /// A machine answered: an absence note, a ticket system (RFC 3834). The message was delivered.
    ///
    /// Called once for an answer.
    async fn on_auto_reply(&self, auto_reply: &AutoReply) -> HandlerResult {
        let _ = auto_reply;
        Ok(())
    }

    /// A person answered to the return path instead of the From address. [`Event::raw`] has the message, so that it
    /// can be passed on.
    ///
    /// Called once for an answer.
    async fn on_reply(&self, reply: &Reply) -> HandlerResult {
        let _ = reply;
        Ok(())
    }

    /// A remote host reports success: delivered, relayed to a host without reports, or expanded to a list
    /// (RFC 3464 §2.3.3).
    ///
    /// Called once for a report. Such reports are not asked for by default (RFC 3461 §4.1).
    async fn on_success(&self, success: &Success) -> HandlerResult {
        let _ = success;
        Ok(())
    }

    /// The recipient asks to be taken off the list, by the `mailto` of the List-Unsubscribe field (RFC 2369 §3.2).
    ///
    /// Called once for a request.
    async fn on_unsubscribe(&self, unsubscribe: &Unsubscribe) -> HandlerResult {
        let _ = unsubscribe;
        Ok(())
    }

    /// Whether the remote host has the message is not known: its reply to the end of data was lost, or the process
    /// died before the reply was recorded (RFC 1047 describes the gap).
    ///
    /// Called once for each such attempt. What follows is told as well: `delivered` or `fail`, if the delivery goes on.
    async fn on_uncertain(&self, uncertain: &Uncertain) -> HandlerResult {
        let _ = uncertain;
        Ok(())
    }

    /// The message was not sent, because the address is known to be dead or suspended.
    ///
    /// Called once, at the end of the delivery.
    async fn on_suppressed(&self, suppressed: &Suppressed) -> HandlerResult {
        let _ = suppressed;
        Ok(())
    }

    /// The delivery was taken back before it was sent.
    ///
    /// Called once, at the end of the delivery.
    async fn on_cancelled(&self, cancelled: &Cancelled) -> HandlerResult {
        let _ = cancelled;
        Ok(())
    }

    /// Mail came in that is none of the above: to a role address (`postmaster`, `abuse`; RFC 2142), a report that
    /// could not be read, or one that proves nothing. [`Event::raw`] has the message as far as it is kept.
    ///
    /// Called once for a message.
    async fn on_other(&self, other: &Other) -> HandlerResult {
        let _ = other;
        Ok(())
    }

    /// Something about this instance itself that a person should see, such as a flood of reports to one return path.
    ///
    /// Called once for an alert.
    async fn on_alert(&self, alert: &Alert) -> HandlerResult {
        let _ = alert;
        Ok(())
    }

    /// How many events one call of [`on_events`](FailureHandler::on_events) may take: 1 by default, at most
    /// [`MAX_BATCH`]. Asked once, when the mailer starts. A batch holds what waits at the moment; it is never waited
    /// for.
    fn batch(&self) -> usize {
        1
    }

    /// Takes up to [`batch`](FailureHandler::batch) events at once, each of another delivery. This is the method
    /// that the crate calls; as it is, it passes the events one by one to the methods above and ends at the first
    /// error. Override it to write many events in one transaction of the application's own.
    ///
    /// `Ok` acknowledges all of them. `Err`, a panic or no answer in time acknowledges none: it costs none of them a
    /// try, and each comes again alone, so that one bad event cannot take its batch to the dead letters.
    ///
    /// ```
    /// use returnpath::event::{Bounce, Event, Failure, deliver};
    /// use returnpath::{FailureHandler, HandlerResult, async_trait};
    ///
    /// struct Warehouse;
    ///
    /// #[async_trait]
    /// impl FailureHandler for Warehouse {
    ///     fn batch(&self) -> usize {
    ///         500
    ///     }
    ///
    ///     async fn on_events(&self, events: &[Event]) -> HandlerResult {
    ///         // begin …
    ///         for event in events {
    ///             deliver(self, event).await?;
    ///         }
    ///         // … commit
    ///         Ok(())
    ///     }
    /// #   async fn on_fail(&self, _: &Failure) -> HandlerResult { Ok(()) }
    /// #   async fn on_bounce(&self, _: &Bounce) -> HandlerResult { Ok(()) }
    /// }
    /// ```
    async fn on_events(&self, events: &[Event]) -> HandlerResult {
        for event in events {
            deliver(self, event).await?;
        }
        Ok(())
    }

    /// How many calls may run at the same time: 1 by default, at most [`MAX_CONCURRENCY`]. Asked once, when the
    /// mailer starts. With one call at a time a slow call holds up every delivery's events; with more, only its own.
    fn concurrency(&self) -> usize {
        1
    }
}

/// The most events that one call of [`FailureHandler::on_events`] is given: a larger batch saves nothing more, and
/// every event of it is in memory.
pub const MAX_BATCH: usize = 1000;

/// The most calls that run at the same time.
pub const MAX_CONCURRENCY: usize = 256;

/// What a handler answers.
///
/// `Ok` acknowledges the event: it will not come again. `Err` brings it again after a wait, and after the last try
/// moves it to the dead letters, from where it can be replayed.
pub type HandlerResult = Result<(), HandlerError>;

/// Why a handler could not take an event. Any error converts into it with `?`.
///
/// ```
/// use returnpath::{HandlerError, HandlerResult};
///
/// fn number(text: &str) -> HandlerResult {
///     let number: u32 = text.parse()?; // comes again
///     if number == 0 {
///         return Err(HandlerError::give_up("there is no subscriber 0")); // to the dead letters
///     }
///     Ok(())
/// }
/// assert!(!number("ann").unwrap_err().is_final());
/// assert!(number("0").unwrap_err().is_final());
/// ```
pub struct HandlerError {
    source: Box<dyn std::error::Error + Send + Sync>,
    give_up: bool,
}

impl HandlerError {
    /// An error that a repetition will not mend: the event goes straight to the dead letters.
    pub fn give_up(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> HandlerError {
        HandlerError { source: error.into(), give_up: true }
    }

    /// An error in words; the event comes again.
    pub fn message(text: impl Into<String>) -> HandlerError {
        HandlerError { source: text.into().into(), give_up: false }
    }

    /// Whether the event goes straight to the dead letters.
    pub fn is_final(&self) -> bool {
        self.give_up
    }

    /// The error and everything that it was caused by, in one line.
    pub(crate) fn in_full(&self) -> String {
        let mut text = self.source.to_string();
        let mut cause = self.source.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for HandlerError {
    fn from(error: E) -> HandlerError {
        HandlerError { source: Box::new(error), give_up: false }
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.source, f)
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerError").field("source", &self.source).field("give_up", &self.give_up).finish()
    }
}

/// Writes `$body` once with the table of all methods that take one event: `method: View of EventKind`. Whatever must
/// hold for each method is made from this table; a test compares it with the trait.
macro_rules! with_methods {
    ($body:ident $(, $argument:tt)*) => {
        $body! {
            ($($argument)*)
            on_fail: Failure of Fail,
            on_bounce: Bounce of Bounce,
            on_delivered: Delivered of Delivered,
            on_delay: Delay of Delay,
            on_complaint: Complaint of Complaint,
            on_auto_reply: AutoReply of AutoReply,
            on_reply: Reply of Reply,
            on_success: Success of Success,
            on_unsubscribe: Unsubscribe of Unsubscribe,
            on_uncertain: Uncertain of Uncertain,
            on_suppressed: Suppressed of Suppressed,
            on_cancelled: Cancelled of Cancelled,
            on_other: Other of Other,
            on_alert: Alert of Alert,
        }
    };
}

macro_rules! define_deliver {
    (() $($method:ident: $view:ident of $kind:ident,)*) => {
        /// Passes one event to the method of `handler` for its kind. What a handler's own
        /// [`on_events`](FailureHandler::on_events) uses to treat the events one by one.
        pub async fn deliver<H: FailureHandler + ?Sized>(handler: &H, event: &Event) -> HandlerResult {
            match event.kind() {
                $(EventKind::$kind => handler.$method(&$view(event.clone())).await,)*
            }
        }
    };
}

with_methods!(define_deliver);

pub(super) use with_methods;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_tells_all_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot write")]
        struct Outer(#[source] std::io::Error);

        let error = HandlerError::from(Outer(std::io::Error::other("disk on fire")));
        assert_eq!(error.in_full(), "cannot write: disk on fire");
    }
}
