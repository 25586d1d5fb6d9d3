//! The mail service of a large cloud: a list of recipients and a technical report in the text.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::FieldHas("X-Mailer", "amazon workmail"),
        Sign::Text("an error occurred while trying to deliver the mail to the following recipients"),
    ],
    recipients: &[
        "an error occurred while trying to deliver the mail to the following recipients:",
        "the following message to",
    ],
    replies: &["the reason for the problem:", "technical report:"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: MAILER-DAEMON@mx.example.net\nReturn-Path: <>\n",
    text: concat!(
        "An error occurred while trying to deliver the mail to the following recipients:\n",
        "ann@example.net\n",
        "\n",
        "The reason for the problem:\n",
        "550 5.1.1 no such user\n",
    ),
    recipients: &["ann@example.net"],
    says: "550 5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
