//! When the next attempt is made.
