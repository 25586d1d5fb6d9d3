//! Sends mail with a sealed return path per recipient, listens for what comes back, and calls your handler for every
//! refusal and every bounce.
//!
//! A failure is *synchronous* when the remote host refuses while we are talking to it: [`FailureHandler::on_fail`]. It
//! is *asynchronous* when the host accepts and later returns a report to the return path: [`FailureHandler::on_bounce`].
//! Both carry the same ids, the tag that you gave, and the same [`Verdict`].
//!
//! ```
//! use returnpath::{async_trait, Address, Bounce, Failure, FailureHandler, HandlerResult, Mailer, Message, Verdict};
//! # use returnpath::testing::{deliver_to, RemoteHost, Report};
//! # use returnpath::{Reason, Smarthost, StoreLocation};
//! # use std::sync::{Arc, Mutex};
//!
//! # #[derive(Clone)]
//! struct Subscribers { /* the application's own database */
//! #   flagged: Arc<Mutex<Vec<String>>>,
//! }
//! # impl Subscribers {
//! #     async fn flag(&self, address: &Address, verdict: &Verdict) -> std::io::Result<()> {
//! #         self.flagged.lock().unwrap().push(format!("{address} {}", verdict.reason));
//! #         Ok(())
//! #     }
//! # }
//!
//! #[async_trait]
//! impl FailureHandler for Subscribers {
//!     async fn on_fail(&self, failure: &Failure) -> HandlerResult {    // refused while we were talking to the remote host
//! #       assert_eq!(failure.tag().and_then(|tag| tag.as_i64()), Some(4711));
//!         Ok(self.flag(failure.recipient(), failure.verdict()).await?)
//!     }
//!     async fn on_bounce(&self, bounce: &Bounce) -> HandlerResult {    // accepted, then returned
//! #       assert_eq!(bounce.tag().and_then(|tag| tag.as_i64()), Some(4711));
//!         Ok(self.flag(bounce.recipient(), bounce.verdict()).await?)   // our recipient, our tag, their reason
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let subscribers = Subscribers { flagged: Arc::default() };
//! # let flagged = subscribers.flagged.clone();
//! # let subscriber_id = 4711;
//! # let remote = RemoteHost::start().await?;
//! # remote.on_rcpt("bob@example.net", "550 5.1.1 no such user");
//! let mailer = Mailer::builder("b.example.org").ehlo("mail.example.org").store("mail.db").handler(subscribers)
//! #   .store(StoreLocation::memory()).smarthost(Smarthost::new(remote.address().to_string()))
//!     .start().await?;
//! let listener = mailer.listen("127.0.0.1:0").await?;                  // in earnest: "[::]:25"
//! let receipt = mailer.send(
//!     Message::builder().from("news@example.org").to("ann@example.net").subject("Hello").text("…").tag(subscriber_id)
//! ).await?;
//! # mailer.send(Message::builder().from("news@example.org").to("bob@example.net").subject("Hello").text("…").tag(4711)).await?;
//! # remote.message(0).await;
//! # let report = Report::failed("ann@example.net", "5.2.2", "552 5.2.2 mailbox full").to_string();
//! # deliver_to(listener.local_addr(), receipt.deliveries[0].return_path.as_str(), &report).await?;
//! # mailer.drain().await?;
//! # let mut flagged = flagged.lock().unwrap().clone();
//! # flagged.sort();
//! # assert_eq!(flagged, ["ann@example.net mailbox_full", "bob@example.net user_unknown"]);
//! # Ok(())
//! # }
//! ```
//!
//! # The rooms
//!
//! In the order in which a message travels, and comes back:
//!
//! | | |
//! |---|---|
//! | [`message`] | built or given as bytes; checked; made fit for any host |
//! | [`return_path`] | minted and sealed on the way out, opened on the way back |
//! | `store` | two queues and a memory; what "durable" means is said there |
//! | `schedule` | when the next attempt is made, and when it is given up |
//! | `route` | mail exchangers, in order |
//! | `smtp` | the words both sides speak |
//! | `session` | the client's half of a conversation, without sockets |
//! | [`verdict`] | what a failure means: one table for refusals and reports |
//! | `listener` | the server's half, without sockets |
//! | [`analysis`] | reads what came back |
//! | [`event`] | what you are told, and how often |
//! | [`report`] | counts and pages for people |
//! | `net` | the only sockets, tasks and clock |
//!
//! [`manual`] has the long form: the flow, the store, events, defaults and their reasons, security, deployment.
//!
//! # Features
//!
//! - `sqlite` (default): the embedded store.
//! - `postgres`: a store in PostgreSQL that many processes share, and the outbox.
//! - `testing`: sample events, a scripted remote host and a clock for your tests; put it into `[dev-dependencies]`.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod address;
mod envelope;
mod error;
mod id;
mod tag;
mod time;

pub mod message;
pub mod return_path;
#[cfg_attr(
    not(any(feature = "sqlite", feature = "postgres")),
    allow(dead_code, reason = "much of it is read by a store only, and there is none")
)]
mod store;
mod schedule;
mod route;
mod smtp;
mod session;
pub mod verdict;
mod listener;
pub mod analysis;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod bench {
    pub use crate::return_path::bench::Sealing;
    #[cfg(feature = "postgres")]
    pub use crate::store::bench::Carrying;
    #[cfg(feature = "sqlite")]
    pub use crate::store::bench::Enqueueing;
}
pub mod event;
pub mod report;
mod net;
pub mod manual;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;

pub use address::{Address, InvalidAddress};
pub use analysis::{Analysis, analyse};
pub use async_trait::async_trait;
pub use envelope::Envelope;
pub use error::Error;
pub use event::{Bounce, Event, Failure, FailureHandler, HandlerError, HandlerResult};
pub use id::{DeliveryId, EventId, InvalidId, MessageId};
pub use message::{Message, MessageBuilder};
#[cfg(feature = "postgres")]
pub use net::Outbox;
pub use net::{
    Delivery, Listener, ListenerBuilder, Mailer, MailerBuilder, Postgres, Queued, Receipt, Reception, Smarthost,
    StoreLocation,
};
pub use return_path::Keyring;
pub use schedule::UncertainPolicy;
pub use session::Stage;
pub use store::Stream;
pub use tag::{Tag, TagTooLong};
pub use time::Timestamp;
pub use verdict::{Outcome, Reason, Verdict};

/// The front page's program compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
