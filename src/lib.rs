//! Sends mail with a sealed return path per recipient, listens for what comes back, and calls your handler
//! for every refusal and every bounce.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod address;
mod error;
mod id;
mod tag;
mod time;

pub mod analysis;
pub mod event;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod listener;
pub mod message;
mod net;
pub mod report;
pub mod return_path;
mod route;
mod schedule;
mod session;
mod smtp;
mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod verdict;

pub use address::{Address, InvalidAddress};
pub use analysis::analyse;
pub use async_trait::async_trait;
pub use error::Error;
pub use event::{Bounce, Event, Failure, FailureHandler, HandlerError, HandlerResult};
pub use id::{DeliveryId, EventId, InvalidId, MessageId};
pub use message::{Message, Stream};
pub use session::Stage;
pub use tag::{Tag, TagTooLong};
pub use time::Timestamp;
pub use verdict::{Reason, Verdict};
