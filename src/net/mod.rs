//! The only sockets, tasks and clock: a thin shell around the machines and the store.

mod backup;
#[cfg_attr(
    not(any(test, feature = "testing")),
    allow(
        dead_code,
        unreachable_pub,
        reason = "a clock that is set by hand is made, and named outside, by tests only"
    )
)]
pub(crate) mod clock;
mod config;
mod deliver;
mod dns;
mod drive;
mod fleet;
mod instance;
mod intake;
mod listener;
mod location;
mod lookup;
mod mailer;
mod open;
#[cfg(feature = "postgres")]
mod outbox;
mod pump;
mod ring;
mod settle;
mod start;
mod submit;
pub(crate) mod tls;

pub use config::{MailerBuilder, Smarthost};
pub use intake::Reception;
pub use listener::{Listener, ListenerBuilder};
pub use location::{Postgres, StoreLocation};
pub use lookup::Delivery;
pub use mailer::Mailer;
#[cfg(feature = "postgres")]
pub use outbox::Outbox;
pub use submit::{Queued, Receipt};
