//! XMail: everything in square brackets.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[Sign::Text("xmail bounce:"), Sign::Text("[<01>] error sending message")],
    recipients: &["rcpt=[", "rcpt to:"],
    replies: &["error=[", "the reason of the delivery failure was:"],
    ends: &["\n[<"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: MAILER-DAEMON@mx.example.net\nReturn-Path: <>\n",
    text: concat!(
        "[<00>] XMail bounce: Rcpt=[ann@example.net];Error=[550 5.1.1 no such user]\n",
        "\n",
        "\n",
        "[<01>] Error sending message [1] from [example.net].\n",
        "\n",
        "ID:        <1>\n",
        "Mail From: <b-tok@send.example>\n",
        "Rcpt To:   <ann@example.net>\n",
    ),
    recipients: &["ann@example.net"],
    says: "550 5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
