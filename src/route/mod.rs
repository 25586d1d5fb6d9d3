//! Where a message goes.
