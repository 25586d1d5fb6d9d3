//! Postfix, old and new; its words are changed by many, its list of `<address>: reason` is not.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::Text("this is the postfix program at host"),
        Sign::Text("this is the mail system at host"),
        Sign::Text("this is the postfix mail system"),
        Sign::Text("dies ist das mailsystem"),
        Sign::Text("dies ist das postfix-programm"),
        Sign::Text("Это почтовая система"),
        Sign::Text("Это письмо отправлено почтовым сервером"),
    ],
    ends: &["(in reply to"],
    delayed: &["this is a warning only", "will be retried until it is", "could not be delivered for more than"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: MAILER-DAEMON@mx.example.net\nReturn-Path: <>\n",
    text: concat!(
        "This is the Postfix program at host mx.example.net.\n",
        "\n",
        "I'm sorry to have to inform you that the message returned\n",
        "below could not be delivered to one or more destinations.\n",
        "\n",
        "For further assistance, please send mail to <postmaster>\n",
        "\n",
        "\t\t\tThe Postfix program\n",
        "\n",
        "<ann@example.net>: host mx.example.net[192.0.2.1] said: 550 5.1.1 no such\n",
        "    user (in reply to RCPT TO command)\n",
    ),
    recipients: &["ann@example.net"],
    says: "550 5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
