//! Haraka: a daemon that greets, the intended recipients in one line, and the failure reason.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::Text("this is the haraka mail"),
        Sign::Text("the haraka email server"),
        Sign::Text("this is haraka"),
    ],
    recipients: &["intended recipients:"],
    replies: &["failure reason:"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: MAILER-DAEMON@mx.example.net\nReturn-Path: <>\n",
    text: concat!(
        "Hi. This is the Haraka Mailer program at mx.example.net.\n",
        "\n",
        "I'm afraid I wasn't able to deliver your message to the following addresses.\n",
        "This is a permanent error; I've given up. Sorry it didn't work out.\n",
        "\n",
        "Intended Recipients: <ann@example.net>\n",
        "Failure Reason: Error: 550 5.1.1 no such user\n",
    ),
    recipients: &["ann@example.net"],
    says: "550 5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
