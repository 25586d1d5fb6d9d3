//! For the tests of programs that embed this crate: sample events for their handlers, a scripted remote host, reports
//! as remote hosts write them, and a clock that is set by hand.
//!
//! Needs the feature `testing`, which belongs into `[dev-dependencies]`.

mod remote_host;
mod report;
mod sample;

pub use remote_host::{RemoteHost, Taken};
pub use report::{Report, deliver_to, vacation_reply};
pub use sample::{Sample, View};

pub use crate::net::clock::Clock;
