//! GroupWise and its gateway: users by name, with the reason in brackets.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::Text("the message that you sent was undeliverable to the following"),
        Sign::FieldHas("X-Mailer", "groupwise"),
        Sign::FieldHas("X-Mailer", "novell"),
    ],
    recipients: &[
        "the message that you sent was undeliverable to the following:",
        "the message that you sent was undeliverable to the following",
    ],
    ends: &["possibly truncated original"],
    bare_names: true,
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: Mailer-Daemon@example.net\nSubject: Message status - undeliverable\n",
    text: concat!(
        "The message that you sent was undeliverable to the following:\n",
        "\tann (user not found)\n",
        "\n",
        "Possibly truncated original message follows:\n",
    ),
    recipients: &["ann@example.net"],
    says: "user not found",
    outcome: crate::verdict::Outcome::Failed,
}];
