//! For the tests of programs that embed this crate: sample events for their handlers, and a clock that is set by hand.
//!
//! Needs the feature `testing`, which belongs into `[dev-dependencies]`.

mod sample;

pub use sample::{Sample, View};

pub use crate::net::clock::Clock;
