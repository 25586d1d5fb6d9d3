//! James: the greeting of qmail, then the failed recipients and the error message.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::Text("this is the james mail server"),
        Sign::Text("this is the smtp server"),
        Sign::FieldHas("Message-ID", ".javamail."),
        Sign::Text("failed recipient(s):"),
    ],
    recipients: &["failed recipient(s):"],
    replies: &["error message:"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: MAILER-DAEMON@mx.example.net\nReturn-Path: <>\n",
    text: concat!(
        "Hi. This is the James mail server at mx.example.net.\n",
        "I'm afraid I wasn't able to deliver your message to the following addresses.\n",
        "\n",
        "Failed recipient(s):\n",
        "ann@example.net\n",
        "\n",
        "Error message:\n",
        "550 5.1.1 no such user\n",
    ),
    recipients: &["ann@example.net"],
    says: "550 5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
