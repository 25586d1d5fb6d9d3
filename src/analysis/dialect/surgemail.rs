//! SurgeMail and FirstClass: first person, with what was said and what was answered.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[Sign::FieldHas("X-Mailer", "surgemail"), Sign::Text("i said:"), Sign::Text("surgemail")],
    recipients: &["your message to", "your message"],
    replies: &["responded with", "and", "replied:"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: MAILER-DAEMON@mx.example.net\nReturn-Path: <>\n",
    text: concat!(
        "Your message to <ann@example.net> was rejected.\n",
        "I said:\n",
        ">>> RCPT To:<ann@example.net>\n",
        "And mx.example.net (192.0.2.1) responded with\n",
        "550 5.1.1 no such user\n",
    ),
    recipients: &["ann@example.net"],
    says: "550 5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
