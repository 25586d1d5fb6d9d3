//! Courier: each address above the host, with both sides of the conversation indented.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::Text("your message to the following recipients cannot be delivered"),
        Sign::Text("this is a delivery status notification from"),
        Sign::Text("the courier mail server"),
        Sign::Text("die unten aufgeführte nachricht"),
        Sign::Text("your message to the following recipients has been delayed"),
    ],
    recipients: &[
        "your message to the following recipients cannot be delivered:",
        "your message to the following recipients has been delayed:",
        "kann an die folgenden empfänger nicht zugestellt werden:",
    ],
    replies: &["<<< "],
    delayed: &["has been delayed", "your message is still on the queue", "delivery will be attempted"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: MAILER-DAEMON@mx.example.net\nReturn-Path: <>\n",
    text: concat!(
        "This is a delivery status notification from mx.example.net,\n",
        "running the Courier mail server.\n",
        "\n",
        "The original message was received today\n",
        "\n",
        "---------------------------------------------------------------------------\n",
        "\n",
        "                           UNDELIVERABLE MAIL\n",
        "\n",
        "Your message to the following recipients cannot be delivered:\n",
        "\n",
        "<ann@example.net>:\n",
        "    mx.example.net [192.0.2.1]:\n",
        ">>> RCPT TO:<ann@example.net>\n",
        "<<< 550 5.1.1 no such user\n",
    ),
    recipients: &["ann@example.net"],
    says: "550 5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
