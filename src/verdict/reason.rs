//! Why, as one word.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a delivery failed, was delayed or came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// There is no such user.
    UserUnknown,
    /// The mailbox is switched off.
    MailboxDisabled,
    /// The mailbox is over its quota.
    MailboxFull,
    /// The recipient has moved.
    RecipientMoved,
    /// The recipient is refused, without more being said.
    RecipientRejected,
    /// The domain does not exist or has no mail exchanger.
    DomainUnknown,
    /// The domain says that it takes no mail (RFC 7505).
    DomainRefusesMail,
    /// The network, or a host on the way, was not reachable.
    Network,
    /// The message is too large.
    MessageTooLarge,
    /// Too many, too fast.
    RateLimited,
    /// Taken for spam.
    Spam,
    /// The content was refused for another cause.
    ContentRejected,
    /// Taken for malware.
    Virus,
    /// SPF, DKIM or DMARC did not pass.
    Authentication,
    /// The sending address is on a blocklist or blocked by the provider.
    Blocklisted,
    /// The sending address has no matching name in the DNS.
    ReverseDns,
    /// The return path or the From address was refused.
    SenderRejected,
    /// A rule of the remote host's.
    Policy,
    /// Something in the conversation was out of order.
    Protocol,
    /// TLS could not be had where it was required, or failed.
    Tls,
    /// The host does not relay for us.
    RelayDenied,
    /// Given up at the deadline.
    Expired,
    /// The remote host's own trouble.
    System,
    /// The message goes round in circles.
    RoutingLoop,
    /// The remote host's mail system failed in another way.
    Mailer,
    /// Not sent: the address is known to be dead or suspended.
    Suppressed,
    /// Nothing was said that tells.
    Undetermined,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 27] = [
        Reason::UserUnknown,
        Reason::MailboxDisabled,
        Reason::MailboxFull,
        Reason::RecipientMoved,
        Reason::RecipientRejected,
        Reason::DomainUnknown,
        Reason::DomainRefusesMail,
        Reason::Network,
        Reason::MessageTooLarge,
        Reason::RateLimited,
        Reason::Spam,
        Reason::ContentRejected,
        Reason::Virus,
        Reason::Authentication,
        Reason::Blocklisted,
        Reason::ReverseDns,
        Reason::SenderRejected,
        Reason::Policy,
        Reason::Protocol,
        Reason::Tls,
        Reason::RelayDenied,
        Reason::Expired,
        Reason::System,
        Reason::RoutingLoop,
        Reason::Mailer,
        Reason::Suppressed,
        Reason::Undetermined,
    ];

    /// The reason as one word, as JSON has it.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::UserUnknown => "user_unknown",
            Reason::MailboxDisabled => "mailbox_disabled",
            Reason::MailboxFull => "mailbox_full",
            Reason::RecipientMoved => "recipient_moved",
            Reason::RecipientRejected => "recipient_rejected",
            Reason::DomainUnknown => "domain_unknown",
            Reason::DomainRefusesMail => "domain_refuses_mail",
            Reason::Network => "network",
            Reason::MessageTooLarge => "message_too_large",
            Reason::RateLimited => "rate_limited",
            Reason::Spam => "spam",
            Reason::ContentRejected => "content_rejected",
            Reason::Virus => "virus",
            Reason::Authentication => "authentication",
            Reason::Blocklisted => "blocklisted",
            Reason::ReverseDns => "reverse_dns",
            Reason::SenderRejected => "sender_rejected",
            Reason::Policy => "policy",
            Reason::Protocol => "protocol",
            Reason::Tls => "tls",
            Reason::RelayDenied => "relay_denied",
            Reason::Expired => "expired",
            Reason::System => "system",
            Reason::RoutingLoop => "routing_loop",
            Reason::Mailer => "mailer",
            Reason::Suppressed => "suppressed",
            Reason::Undetermined => "undetermined",
        }
    }

    /// The reason with this name.
    pub fn from_name(name: &str) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
