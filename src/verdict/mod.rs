//! What a failure means: shared by the refusal in the conversation and the report that comes back.
//!
//! A [`Verdict`] gives three independent answers – what became of this message, what was said about the address,
//! what the sender should do – and shows its evidence.

#[cfg(test)]
mod field_cases;
mod opinion;
mod outcome;
mod quotation;
mod quoted;
mod reason;
mod rules;
#[cfg(test)]
mod traps;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use outcome::{Reported, Scope, Trouble, judge_reply, judge_report, judge_trouble};
pub(crate) use quoted::{codes_in, says_less};
pub use reason::Reason;
pub(crate) use rules::LiveRules;
pub use rules::{InvalidRules, Rules, RulesBuilder};

use crate::address::Address;

/// What was decided about a delivery, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Verdict {
    /// What became of this message for this recipient.
    pub outcome: Outcome,
    /// What was said about the address itself.
    pub address: AddressState,
    /// What the sender should do.
    pub advice: Advice,
    /// Why, as one word.
    pub reason: Reason,
    /// The enhanced status code that the remote host gave (RFC 3463); never invented.
    pub status: Option<EnhancedStatus>,
    /// What the verdict rests on.
    pub evidence: Evidence,
}

impl Verdict {
    /// Whether the remote host, or its report, says that this address will not take mail again:
    /// no mailbox, no domain, disabled or moved.
    pub fn is_hard(&self) -> bool {
        self.address.ends_address()
    }
}

impl AddressState {
    /// Whether the address will not take mail again: no mailbox, no domain, disabled or moved.
    pub fn ends_address(&self) -> bool {
        matches!(
            self,
            AddressState::NoMailbox | AddressState::NoDomain | AddressState::Disabled | AddressState::Moved(_)
        )
    }
}

/// What became of a message for one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The remote host took it (2xx after the end of data). A bounce may follow.
    Delivered,
    /// Refused for good, or given up.
    Failed,
    /// Not yet: it will be tried again.
    Delayed,
    /// The reply to the end of data was lost, or the process died before it was recorded: the remote host may
    /// or may not have it.
    Uncertain,
    /// Not sent: the address is known to be dead or suspended.
    Suppressed,
    /// Taken back before it was delivered.
    Cancelled,
}

/// What was said about the address, from words or DNS answers about the address or its domain only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AddressState {
    /// There is no such mailbox.
    NoMailbox,
    /// The domain does not exist, has no usable mail exchanger, or refuses all mail.
    NoDomain,
    /// The mailbox exists and is switched off.
    Disabled,
    /// The mailbox is over its quota.
    Full,
    /// The recipient has another address now, if the remote host named it.
    Moved(Option<Address>),
    /// The address works; the refusal had another cause.
    Fine,
    /// Nothing was said about the address.
    NoStatement,
}

/// What the sender should do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Advice {
    /// Take the address off the list.
    Remove,
    /// Try again later; after this time, if the remote host named one.
    RetryLater(Option<Duration>),
    /// Send less to this destination.
    SlowDown,
    /// Something on the sending side is to be mended.
    FixSender,
    /// Nothing.
    None,
}

/// An enhanced mail system status code (RFC 3463): class, subject, detail.
///
/// ```
/// use returnpath::verdict::EnhancedStatus;
///
/// let status: EnhancedStatus = "5.1.1".parse()?;
/// assert!(status.is_permanent());
/// assert_eq!(status.to_string(), "5.1.1");
/// # Ok::<(), returnpath::verdict::InvalidStatus>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnhancedStatus {
    class: u8,
    subject: u16,
    detail: u16,
}

/// The text is not an enhanced status code: class 2, 4 or 5, subject and detail of one to three digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an enhanced status code: {0:?}")]
#[non_exhaustive]
pub struct InvalidStatus(String);

impl EnhancedStatus {
    /// The code `class.subject.detail`; `None` unless the class is 2, 4 or 5 and the others at most 999.
    pub const fn new(class: u8, subject: u16, detail: u16) -> Option<EnhancedStatus> {
        if matches!(class, 2 | 4 | 5) && subject <= 999 && detail <= 999 {
            Some(EnhancedStatus { class, subject, detail })
        } else {
            None
        }
    }

    /// 2, 4 or 5.
    pub const fn class(self) -> u8 {
        self.class
    }

    /// The second number.
    pub const fn subject(self) -> u16 {
        self.subject
    }

    /// The third number.
    pub const fn detail(self) -> u16 {
        self.detail
    }

    /// Class 5.
    pub const fn is_permanent(self) -> bool {
        self.class == 5
    }

    /// Class 4.
    pub const fn is_transient(self) -> bool {
        self.class == 4
    }
}

impl FromStr for EnhancedStatus {
    type Err = InvalidStatus;

    fn from_str(text: &str) -> Result<EnhancedStatus, InvalidStatus> {
        let number = |part: Option<&str>| {
            part.filter(|p| (1..=3).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit()))
                .and_then(|p| p.parse::<u16>().ok())
        };
        let mut parts = text.split('.');
        let code = match (number(parts.next()), number(parts.next()), number(parts.next()), parts.next()) {
            (Some(class), Some(subject), Some(detail), None) => {
                u8::try_from(class).ok().and_then(|class| EnhancedStatus::new(class, subject, detail))
            }
            _ => None,
        };
        code.ok_or_else(|| InvalidStatus(text.chars().take(40).collect()))
    }
}

impl fmt::Display for EnhancedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

impl fmt::Debug for EnhancedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for EnhancedStatus {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EnhancedStatus {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<EnhancedStatus, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What a verdict rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Evidence {
    /// Where the text was found.
    pub source: Source,
    /// The words themselves, decoded leniently.
    pub text: String,
    /// The rule that fired, by its id; a rule is a row of a table that can be looked up and replaced.
    pub rule: String,
    /// How sure, from 0 to 1.
    pub confidence: f32,
}

/// Where the text that a verdict rests on was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Source {
    /// A reply in our own conversation with the remote host.
    SmtpReply,
    /// A field of a delivery status notification (RFC 3464).
    DsnField,
    /// A header field of the report.
    Header,
    /// The report's text for people.
    Prose,
    /// The domain name system.
    Dns,
    /// The network: a refused or broken connection, a time-out.
    Network,
    /// This program: a deadline, a pause, an order.
    Local,
}
