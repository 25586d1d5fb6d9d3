//! Yahoo: a regret, then the address in angle brackets and what the remote host said.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::Text("sorry, we were unable to deliver your message to the following address"),
        Sign::Text("unable to deliver message to the following address(es)"),
        Sign::FieldHas("From", "mailer-daemon@yahoo"),
    ],
    recipients: &[
        "unable to deliver your message to the following address.",
        "unable to deliver message to the following address(es).",
    ],
    replies: &["remote host said:"],
    ends: &["--- original message", "--- below this line"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: MAILER-DAEMON@mx.example.net\nReturn-Path: <>\n",
    text: concat!(
        "Sorry, we were unable to deliver your message to the following address.\n",
        "\n",
        "<ann@example.net>:\n",
        "Remote host said:\n",
        "550 5.1.1 no such user\n",
    ),
    recipients: &["ann@example.net"],
    says: "550 5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
