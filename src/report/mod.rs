//! What is reported to people: how many messages were delivered, refused and returned, by reason, by recipient domain
//! and by mailing.
//!
//! [`Reports`] counts in the store; a [`Report`] is the result of one moment, as values, as JSON, as CSV and as one
//! HTML page.

mod figures;
mod query;
mod render;

pub use figures::{Figures, Row};
pub use query::{Report, Reports};
