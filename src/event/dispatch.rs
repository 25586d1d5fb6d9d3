//! Hands stored events to the handler until it says `Ok`.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::FailureHandler;
use crate::net::clock::Clock;
use crate::store::Store;

/// Waits and limits.
#[derive(Debug, Clone)]
pub(crate) struct DispatchConfig {
    /// For one call.
    pub(crate) time_limit: Duration,
    /// Between tries: the first wait; it doubles up to `max_wait`.
    pub(crate) first_wait: Duration,
    pub(crate) max_wait: Duration,
    /// Tries before the dead letters.
    pub(crate) max_attempts: u32,
}

/// See the module.
pub(crate) struct Dispatcher {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) handler: Arc<dyn FailureHandler>,
    pub(crate) clock: Clock,
    pub(crate) config: DispatchConfig,
    /// Notified when events were stored.
    pub(crate) wake: Arc<Notify>,
}

impl Dispatcher {
    /// Runs until `stop` says true, then lets the calls that run come to their end.
    pub(crate) async fn run(self, stop: watch::Receiver<bool>) {
        let _ = stop;
        unimplemented!()
    }
}
