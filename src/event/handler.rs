//! The handler: what the application writes.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;

use super::{
    Alert, AutoReply, Bounce, Cancelled, Complaint, Delay, Delivered, Event, EventKind, Failure, Other, Reply, Success,
    Suppressed, Uncertain, Unsubscribe,
};

/// What a handler answers.
///
/// `Ok` acknowledges the event: it will not come again. `Err` brings it again after a wait, and after the last try
/// moves it to the dead letters, from where it can be replayed.
pub type HandlerResult = Result<(), HandlerError>;

/// Why a handler could not take an event. Any error converts into it with `?`.
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

/// See the crate's front page.
#[async_trait]
pub trait FailureHandler: Send + Sync + 'static {
    /// Refused in the conversation, or given up.
    async fn on_fail(&self, failure: &Failure) -> HandlerResult;
    /// Accepted, then returned.
    async fn on_bounce(&self, bounce: &Bounce) -> HandlerResult;
}

/// Two handlers as one.
#[derive(Debug)]
pub struct Tee;

/// A handler from a closure.
pub fn from_fn<F, Fut>(call: F) -> impl FailureHandler
where
    F: Fn(Event) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = HandlerResult> + Send + 'static,
{
    struct FromFn<F>(F);
    #[async_trait]
    impl<F, Fut> FailureHandler for FromFn<F>
    where
        F: Fn(Event) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = HandlerResult> + Send + 'static,
    {
        async fn on_fail(&self, failure: &Failure) -> HandlerResult {
            (self.0)((**failure).clone()).await
        }
        async fn on_bounce(&self, bounce: &Bounce) -> HandlerResult {
            (self.0)((**bounce).clone()).await
        }
    }
    FromFn(call)
}
