//! nullmailer: a programme that greets, and each address in angle brackets.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[Sign::Text("this is the nullmailer"), Sign::Text("nullmailer-send program")],
    ends: &["the original message"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: MAILER-DAEMON@mx.example.net\nReturn-Path: <>\n",
    text: concat!(
        "Hi. This is the nullmailer-send program at host mx.example.net.\n",
        "I'm afraid I wasn't able to deliver your message to the following addresses:\n",
        "\n",
        "<ann@example.net>:\n",
        "550 5.1.1 no such user\n",
    ),
    recipients: &["ann@example.net"],
    says: "550 5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
