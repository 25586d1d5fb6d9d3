//! The enhanced code that is said of a recipient, in the fields of a report and in the texts beside them.

use super::dsn::Group;
use crate::verdict::{EnhancedStatus, codes_in, says_less};

/// The code that speaks of the recipient: what the remote host said before what the reporting host made of it.
pub(super) fn status_of(group: &Group) -> Option<EnhancedStatus> {
    let said = remote_status(&group.diagnostic);
    match (group.status, said) {
        (Some(status), Some(said)) if said.class() == 2 && status.class() != 2 => Some(status),
        // Of the same field, the Status was chosen with more knowledge: what became of it after some tries.
        (Some(status), Some(said)) if status.subject() == said.subject() => Some(status),
        (_, Some(said)) if !says_less(said) => Some(said),
        (status, said) => status.or(said),
    }
}

/// The enhanced code in a reply: the one directly after a reply code before any other.
pub(super) fn remote_status(reply: &str) -> Option<EnhancedStatus> {
    let bytes = reply.as_bytes();
    let direct = bytes.windows(4).enumerate().take(4096).find_map(|(at, window)| {
        let [b'4' | b'5', b'0'..=b'9', b'0'..=b'9', b' ' | b'-'] = window else { return None };
        if at > 0 && bytes.get(at - 1).is_some_and(|before| before.is_ascii_alphanumeric() || b".@".contains(before)) {
            return None;
        }
        let rest = reply.get(at + 4..)?.trim_start_matches(['\'', '#', '(', ' ']);
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        rest[..end].trim_end_matches('.').parse::<EnhancedStatus>().ok().filter(|status| status.subject() <= 7)
    });
    direct.filter(|status| !says_less(*status)).or_else(|| codes_in(reply).status).or(direct)
}

/// The first exact code of class 4 or 5 in a text of several lines.
pub(super) fn refusal_status(text: &str) -> Option<EnhancedStatus> {
    let lines = text.lines().filter(|line| line.contains(['4', '5'])).take(200);
    lines.filter_map(|line| codes_in(line).status).find(|status| status.class() != 2 && !says_less(*status))
}
