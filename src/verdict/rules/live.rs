//! Rules that can be exchanged while they are in use.

use std::sync::{Arc, PoisonError, RwLock};

use super::Rules;

/// The rules that are in force now; all clones are one. A reader takes the whole set and keeps it to the end of its
/// work, so that no verdict is made half by the old rules and half by the new ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct LiveRules(Arc<RwLock<Rules>>);

impl LiveRules {
    /// The rules in force.
    pub(crate) fn current(&self) -> Rules {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts others in force.
    pub(crate) fn replace(&self, rules: Rules) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = rules;
    }
}
