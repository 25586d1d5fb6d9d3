//! Kerio: a sentence that names the recipient, and the reply below.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::FieldHas("X-Mailer", "kerio"),
        Sign::FieldHas("User-Agent", "kerio"),
        Sign::Text("kerio connect"),
        Sign::Text("kerio mailserver"),
    ],
    recipients: &["could not be delivered to the following recipients:", "could not be delivered to:", "recipient:"],
    replies: &["because:", "reason:"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: MAILER-DAEMON@mx.example.net\nReturn-Path: <>\n",
    text: concat!(
        "Your message could not be delivered to:\n",
        "\n",
        "  ann@example.net\n",
        "\n",
        "Reason: 550 5.1.1 no such user\n",
        "\n",
        "Kerio Connect\n",
    ),
    recipients: &["ann@example.net"],
    says: "550 5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
