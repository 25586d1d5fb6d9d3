//! What is reported to people.
