//! The store that many processes on many machines share: PostgreSQL.

mod schema;
mod scope;
