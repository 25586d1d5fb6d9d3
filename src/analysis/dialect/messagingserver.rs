//! The Messaging Server of iPlanet, Sun and Oracle, and services built on it: the head of the message, then each recipient
//! with its original form, a reason, and the diagnostic code.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::Text("this report relates to a message you sent with the following header fields"),
        Sign::Text("your message cannot be delivered to the following recipients"),
        Sign::Text("your message has been enqueued and undeliverable for"),
        Sign::Text("este informe está relacionado"),
        Sign::Text("ce rapport se rapporte à un message"),
    ],
    recipients: &["recipient address:"],
    replies: &["diagnostic code:", "reason:"],
    ends: &["remote system:", "original address:"],
    delayed: &["has been enqueued and undeliverable for", "the mail system will continue to try"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: MAILER-DAEMON@mx.example.net\nReturn-Path: <>\n",
    text: concat!(
        "This report relates to a message you sent with the following header fields:\n",
        "\n",
        "  Message-id: <m@send.example>\n",
        "  Date: today\n",
        "  From: b-tok@send.example\n",
        "  To: ann@example.net\n",
        "  Subject: news\n",
        "\n",
        "Your message cannot be delivered to the following recipients:\n",
        "\n",
        "  Recipient address: ann@example.net\n",
        "  Reason: Remote SMTP server has rejected address\n",
        "  Diagnostic code: smtp;550 5.1.1 no such user\n",
        "  Remote system: dns;mx.example.net\n",
    ),
    recipients: &["ann@example.net"],
    says: "550 5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
