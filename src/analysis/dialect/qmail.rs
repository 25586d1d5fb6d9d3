//! qmail and its heirs, in their own words and in translations: `Hi. This is the ... program at`, then each address in angle
//! brackets with a colon.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::Text("this is the qmail-send program"),
        Sign::Text("this is the deliver program at"),
        Sign::Text("hi. this is the"),
        Sign::Text("i'm afraid i wasn't able to deliver your message to the following addresses"),
        Sign::Text("qmail-send"),
        Sign::Text("this is the machine generated message from mail service"),
        Sign::Text("this is the mail delivery agent at"),
        Sign::Text("sorry it didn't work out"),
        Sign::Text("this message was created by the mail system (ecelerity)"),
        Sign::Text("le programme qmail-send"),
        Sign::Text("das programm qmail-send"),
        Sign::Text("programa qmail-send"),
    ],
    ends: &["giving up on", "--- below this line", "--- enclosed", "--- undelivered message"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: MAILER-DAEMON@mx.example.net\nReturn-Path: <>\n",
    text: concat!(
        "Hi. This is the qmail-send program at mx.example.net.\n",
        "I'm afraid I wasn't able to deliver your message to the following addresses.\n",
        "This is a permanent error; I've given up. Sorry it didn't work out.\n",
        "\n",
        "<ann@example.net>:\n",
        "192.0.2.1 does not like recipient.\n",
        "Remote host said: 550 5.1.1 no such user\n",
        "Giving up on 192.0.2.1.\n",
        "\n",
        "<bob@example.net>:\n",
        "Sorry, no mailbox here by that name. (#5.1.1)\n",
    ),
    recipients: &["ann@example.net", "bob@example.net"],
    says: "550 5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
