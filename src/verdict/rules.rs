//! Verdict rules as data.
