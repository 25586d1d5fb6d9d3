//! Sends mail with a sealed return path per recipient, listens for what comes back, and calls your handler
//! for every refusal and every bounce.
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
mod store;
mod schedule;
mod route;
mod smtp;
mod session;
pub mod verdict;
mod listener;
pub mod analysis;
pub mod event;
pub mod report;
mod net;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use address::{Address, InvalidAddress};
pub use analysis::{Analysis, analyse};
pub use async_trait::async_trait;
pub use envelope::Envelope;
pub use error::Error;
pub use event::{Bounce, Event, Failure, FailureHandler, HandlerError, HandlerResult};
pub use id::{DeliveryId, EventId, InvalidId, MessageId};
pub use message::Message;
pub use net::{Listener, ListenerBuilder, Mailer, MailerBuilder, Queued, Receipt, Reception, Smarthost, StoreLocation};
pub use return_path::Keyring;
pub use schedule::UncertainPolicy;
pub use session::Stage;
pub use store::Stream;
pub use tag::{Tag, TagTooLong};
pub use time::Timestamp;
pub use verdict::{Outcome, Reason, Verdict};
