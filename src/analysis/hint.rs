//! What an automatic answer says about its mailbox beside being an answer.
//!
//! A mailbox that answers works. That its owner has left, or that nobody reads it, is for a person to act on; it never
//! is a verdict.

use super::mailbox;
use super::signs;

/// What an automatic answer says about the mailbox that it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hint {
    /// Nobody reads the mailbox any more, or its owner has left.
    Retired,
    /// The same, and the answer names this address to write to instead.
    WriteTo(String),
}

/// Reads the text of an automatic answer. `known` are addresses that cannot be meant: the answering one and ours.
pub(super) fn read(text: &str, known: &[String]) -> Option<Hint> {
    if !signs::in_text(text).left {
        return None;
    }
    let other =
        mailbox::in_text(text).map(|(_, _, address)| address).find(|address| !mailbox::is_among(address, known));
    Some(other.map_or(Hint::Retired, |address| Hint::WriteTo(address.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_left_is_told_from_who_is_away() {
        let known = ["ann@rcpt.example".to_string()];
        for (text, hint) in [
            ("I am away until Monday. Write to bob@rcpt.example.", None),
            (
                "ann@rcpt.example has left the company. Write to bob@rcpt.example.",
                Some(Hint::WriteTo("bob@rcpt.example".into())),
            ),
            ("The inbox ann@rcpt.example is no longer in use.", Some(Hint::Retired)),
            (
                "Ann arbeitet nicht mehr bei uns. Schreiben Sie an bob@rcpt.example.",
                Some(Hint::WriteTo("bob@rcpt.example".into())),
            ),
            ("Anne a quitté la société.", Some(Hint::Retired)),
        ] {
            assert_eq!(read(text, &known), hint, "{text}");
        }
    }
}
