//! A filtering service whose agent greets as qmail does.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::FieldHas("From", "messagelabs"),
        Sign::Text("mail delivery agent at messagelabs"),
        Sign::Field("X-Msg-Ref"),
    ],
    recipients: &[
        "could not be delivered to the following recipients:",
        "not able to deliver your message to the following addresses:",
    ],
    ends: &["--- below this line"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: MAILER-DAEMON@messagelabs.com\n",
    text: concat!(
        "This is the mail delivery agent at messagelabs.com.\n",
        "I was not able to deliver your message to the following addresses:\n",
        "\n",
        "<ann@example.net>:\n",
        "192.0.2.1 does not like recipient.\n",
        "Remote host said: 550 5.1.1 no such user\n",
    ),
    recipients: &["ann@example.net"],
    says: "550 5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
