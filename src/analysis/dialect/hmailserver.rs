//! hMailServer: each address above the kind of error, what was sent and what the remote host replied.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[Sign::Text("hmailserver sent:"), Sign::Text("hmailserver")],
    recipients: &["the following recipient(s) could not be reached:", "recipient(s) could not be reached"],
    replies: &["remote server replied:"],
    ends: &["hmailserver"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: MAILER-DAEMON@mx.example.net\nReturn-Path: <>\n",
    text: concat!(
        "Your message did not reach some or all of the intended recipients.\n",
        "\n",
        "   Sent: today\n",
        "   Subject: news\n",
        "\n",
        "The following recipient(s) could not be reached:\n",
        "\n",
        "ann@example.net\n",
        "   Error Type: SMTP\n",
        "   Remote server (192.0.2.1) issued an error.\n",
        "   hMailServer sent: RCPT TO:<ann@example.net>\n",
        "   Remote server replied: 550 5.1.1 no such user\n",
        "\n",
        "hMailServer\n",
    ),
    recipients: &["ann@example.net"],
    says: "550 5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
