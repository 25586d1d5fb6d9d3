//! A mail gateway: what it did, then the recipients and the reason.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::FieldHas("X-Mailer", "symantec"),
        Sign::FieldHas("X-Mailer", "brightmail"),
        Sign::Text("symantec mail security"),
        Sign::Text("brightmail gateway"),
    ],
    recipients: &["recipient:", "recipients:", "intended recipients:"],
    replies: &["reason:", "error:"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: MAILER-DAEMON@mx.example.net\nReturn-Path: <>\n",
    text: concat!(
        "Brightmail Gateway could not deliver your message.\n",
        "Recipients: ann@example.net\n",
        "Reason: 550 5.1.1 no such user\n",
    ),
    recipients: &["ann@example.net"],
    says: "550 5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
