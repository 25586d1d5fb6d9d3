//! The words of SMTP that both sides speak (RFC 5321): lines, commands, replies, extensions, the end of data,
//! and the contract of a protocol machine.

pub(crate) mod command;
pub(crate) mod data;
#[cfg(test)]
pub(crate) mod dialogue;
pub(crate) mod extensions;
pub(crate) mod line;
mod machine;
mod reply;

pub(crate) use machine::{Input, Machine, Output, Piece};
pub(crate) use reply::{Reply, ReplyParser};
