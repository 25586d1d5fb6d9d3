//! Stored events, for people and for programs that lost something: dead letters and replay.
//!
//! Both act on the store; the dispatcher then hands over what became pending, as it does with new events.

use std::ops::Range;
use std::sync::Arc;

use tokio::sync::Notify;

use super::Event;
use crate::error::Error;
use crate::net::clock::Clock;
use crate::store::{PendingEvent, ReplayRequest, Store};
use crate::time::Timestamp;

/// The stored events of one mailer.
///
/// Events are kept for a while after they were acknowledged (400 days by default), so an application whose own
/// database was lost or restored from an older copy can have them again. A replayed event is the same event with the
/// same [id](Event::id): a handler that knows repetitions by their id does nothing twice.
///
/// ```
/// use std::time::Duration;
///
/// use returnpath::event::Events;
/// use returnpath::{Error, Timestamp};
///
/// /// The database was restored from last night's copy: have everything again that happened since.
/// async fn catch_up(events: &Events, copied_at: Timestamp, now: Timestamp) -> Result<(), Error> {
///     let count = events.replay(copied_at..now).await?;
///     println!("{count} events come again");
///     for letter in events.dead_letters(100).await? {
///         println!("{} was not taken in {} tries: {:?}", letter.event().id(), letter.attempts(), letter.error());
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Events {
    store: Arc<dyn Store>,
    clock: Clock,
    wake: Arc<Notify>,
}

impl Events {
    /// `wake` is the dispatcher's.
    pub(crate) fn new(store: Arc<dyn Store>, clock: Clock, wake: Arc<Notify>) -> Events {
        Events { store, clock, wake }
    }

    /// Hands over again every event that [happened](Event::at) within the range, acknowledged or dead; answers how
    /// many. Events that are still waiting for the handler are not touched. An empty range is no error.
    ///
    /// # Errors
    ///
    /// If the store fails ([`Error::is_storage`]) or the mailer was shut down ([`Error::is_closed`]).
    pub async fn replay(&self, range: Range<Timestamp>) -> Result<u64, Error> {
        self.again(ReplayRequest { range, dead_only: false }).await
    }

    /// Hands over again the dead letters of the range, with all their tries anew; answers how many. For the time
    /// after the handler was mended.
    ///
    /// # Errors
    ///
    /// As [`Events::replay`].
    pub async fn replay_dead(&self, range: Range<Timestamp>) -> Result<u64, Error> {
        self.again(ReplayRequest { range, dead_only: true }).await
    }

    /// Up to `limit` events that the handler did not take, oldest first.
    ///
    /// # Errors
    ///
    /// As [`Events::replay`].
    pub async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, Error> {
        let letters = self.store.dead_letters(limit).await?;
        Ok(letters.into_iter().map(DeadLetter::from).collect())
    }

    async fn again(&self, request: ReplayRequest) -> Result<u64, Error> {
        let count = self.store.replay(request, self.clock.now()).await?;
        self.wake.notify_one();
        Ok(count)
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

/// An event that the handler did not take, after its last try or because it [gave
/// up](crate::HandlerError::give_up).
#[derive(Debug, Clone)]
pub struct DeadLetter {
    event: Event,
    attempts: u32,
    error: Option<String>,
}

impl DeadLetter {
    /// The event.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// How often it was handed over.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// What the handler said the last time: its error with all causes, `panicked: …`, or `no answer within …`; cut
    /// to 1,000 bytes.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }
}

impl From<PendingEvent> for DeadLetter {
    fn from(pending: PendingEvent) -> DeadLetter {
        let PendingEvent { sequence: _, attempts, error, record } = pending;
        DeadLetter { event: Event::new(record), attempts, error }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::event::EventKind;
    use crate::store::rigged::{RiggedStore, RowState};
    use crate::store::{Acknowledgement, Answer};

    const STORED: Timestamp = RiggedStore::STORED_AT;
    const LATER: Timestamp = Timestamp::from_millis(STORED.as_millis() + 1);

    /// Three events: acknowledged, dead, waiting.
    async fn stored() -> (Arc<RiggedStore>, Events, Arc<Notify>) {
        let store = Arc::new(RiggedStore::default());
        let answers = vec![Answer::Done, Answer::Dead { attempts: 6, error: "database away".into() }];
        let answers = answers.into_iter().map(|answer| (store.add(EventKind::Bounce, 1), answer));
        let answers = answers.map(|(sequence, answer)| Acknowledgement { sequence, answer }).collect();
        store.add(EventKind::Fail, 2);
        store.acknowledge(answers).await.unwrap();
        let wake = Arc::new(Notify::new());
        (store.clone(), Events::new(store, Clock::manual(LATER), Arc::clone(&wake)), wake)
    }

    #[tokio::test(start_paused = true)]
    async fn replay_makes_what_was_acknowledged_or_dead_pending_and_wakes_the_dispatcher() {
        let (store, events, wake) = stored().await;
        assert_eq!(events.replay(LATER..Timestamp::MAX).await.unwrap(), 0, "outside of the range");
        assert_eq!(events.replay(STORED..LATER).await.unwrap(), 2);
        wake.notified().await;
        assert_eq!((store.state(1), store.state(2)), (RowState::Due(LATER), RowState::Due(LATER)));
        assert_eq!(store.attempts(2), 0, "with all its tries anew");
        assert_eq!(store.state(3), RowState::Due(STORED), "what waits is not touched");
    }

    #[tokio::test(start_paused = true)]
    async fn dead_letters_are_listed_with_their_error_and_replayed_alone() {
        let (store, events, _) = stored().await;
        let letters = events.dead_letters(10).await.unwrap();
        let letters: Vec<_> = letters.iter().map(|l| (l.event().kind(), l.attempts(), l.error())).collect();
        assert_eq!(letters, [(EventKind::Bounce, 6, Some("database away"))]);
        assert_eq!(events.replay_dead(STORED..LATER).await.unwrap(), 1);
        assert_eq!((store.state(1), store.state(2)), (RowState::Done, RowState::Due(LATER)));
        assert!(events.dead_letters(10).await.unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_store_is_told() {
        let (store, events, _) = stored().await;
        store.failing_reads.store(1, Ordering::SeqCst);
        assert!(events.replay(STORED..LATER).await.unwrap_err().is_storage());
        store.closed.store(true, Ordering::SeqCst);
        assert!(events.dead_letters(1).await.unwrap_err().is_closed());
    }
}
