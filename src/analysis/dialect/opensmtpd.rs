//! OpenSMTPD: a daemon that greets, and `address: reason` at the left margin.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::Text("this is the mailer-daemon, please do not reply to this e-mail"),
        Sign::Text("this is the mailer-daemon, please do not reply"),
    ],
    ends: &["below is a copy"],
    delayed: &["this is only a temporary failure report", "a message is delayed for more than"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: MAILER-DAEMON@mx.example.net\nReturn-Path: <>\n",
    text: concat!(
        "    Hi!\n",
        "\n",
        "    This is the MAILER-DAEMON, please DO NOT REPLY to this e-mail.\n",
        "\n",
        "    An error has occurred while attempting to deliver a message for\n",
        "    the following list of recipients:\n",
        "\n",
        "ann@example.net: 550 5.1.1 no such user\n",
        "\n",
        "    Below is a copy of the original message:\n",
    ),
    recipients: &["ann@example.net"],
    says: "550 5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
