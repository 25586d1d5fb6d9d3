//! MailEnable: a reason, then each recipient in a form of its own, `[SMTP:address]`.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::Text("message could not be delivered to some recipients."),
        Sign::Text("mailenable"),
        Sign::Text("recipient: [smtp:"),
    ],
    recipients: &["recipient: [smtp:", "recipient:"],
    replies: &["reason:"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: Postmaster <postmaster@example.net>\nSubject: Message delivery failure\n",
    text: concat!(
        "Message could not be delivered to some recipients.\n",
        "The following recipient(s) could not be reached:\n",
        "\n",
        "\tRecipient: [SMTP:ann@example.net]\n",
        "\tReason: 550 5.1.1 no such user\n",
    ),
    recipients: &["ann@example.net"],
    says: "550 5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
