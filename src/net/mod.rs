//! The only sockets, tasks and clock.

pub(crate) mod clock;
