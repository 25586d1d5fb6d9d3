//! A hash over everything that was given, by which a repeated `send` under one idempotency key is told from another.
//!
//! It is taken before an id or a date is added and before anything is written as mail, so that neither time nor a
//! newer version of this crate changes it. Every value is framed by its length: no two lists of values are the same
//! octets.

use aws_lc_rs::digest::{Context, SHA256};

/// The hash while it is taken.
pub(super) struct Fingerprint(Context);

impl Fingerprint {
    pub(super) fn new() -> Fingerprint {
        let mut fingerprint = Fingerprint(Context::new(&SHA256));
        fingerprint.add("returnpath message 1");
        fingerprint
    }

    /// Adds one value.
    pub(super) fn add(&mut self, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        self.0.update(&(value.len() as u64).to_be_bytes());
        self.0.update(value);
    }

    /// Adds a value that may be missing: a missing one differs from an empty one.
    pub(super) fn add_option(&mut self, value: Option<impl AsRef<[u8]>>) {
        match value {
            Some(value) => self.add_list([value]),
            None => self.add_list::<&str>([]),
        }
    }

    /// Adds a list of values.
    pub(super) fn add_list<V: AsRef<[u8]>>(
        &mut self,
        values: impl IntoIterator<Item = V, IntoIter: ExactSizeIterator>,
    ) {
        let values = values.into_iter();
        self.add((values.len() as u64).to_be_bytes());
        values.for_each(|value| self.add(value));
    }

    pub(super) fn finish(self) -> [u8; 32] {
        self.0.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_run_into_each_other_differ() {
        let of = |values: &[&str]| {
            let mut fingerprint = Fingerprint::new();
            values.iter().for_each(|value| fingerprint.add(value));
            fingerprint.finish()
        };
        assert_eq!(of(&["ab", "c"]), of(&["ab", "c"]));
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_ne!(of(&["ab", ""]), of(&["ab"]));

        let optional = |value: Option<&str>| {
            let mut fingerprint = Fingerprint::new();
            fingerprint.add_option(value);
            fingerprint.finish()
        };
        assert_ne!(optional(None), optional(Some("")));
    }
}
