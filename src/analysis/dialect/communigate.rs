//! CommuniGate Pro: `Failed to deliver to`, and which module reports.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::Text("failed to deliver to '"),
        Sign::Text("failed to deliver to \""),
        Sign::FieldHas("X-Mailer", "communigate"),
        Sign::Text("smtp module(domain"),
    ],
    recipients: &["failed to deliver to"],
    replies: &["reports:"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: MAILER-DAEMON@mx.example.net\nReturn-Path: <>\n",
    text: concat!(
        "Failed to deliver to 'ann@example.net'\n",
        "SMTP module(domain example.net) reports:\n",
        " mx.example.net: 550 5.1.1 no such user\n",
    ),
    recipients: &["ann@example.net"],
    says: "550 5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
