//! Sendmail and its kin: a section for each fate, then a transcript of the conversation.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::Text("----- transcript of session follows -----"),
        Sign::Text("----- the following addresses had"),
        Sign::Text("----- the following addresses have"),
        Sign::Text("----- transcript of the session follows"),
        Sign::Text("--- session transcript ---"),
    ],
    recipients: &[
        "----- the following addresses had permanent fatal errors -----",
        "----- the following addresses had permanent delivery errors -----",
        "----- the following addresses had permanent errors -----",
        "----- the following addresses had delivery problems -----",
        "----- the following addresses had transient non-fatal errors -----",
        "----- the following addresses have delivery notifications -----",
        "----- the following addresses had delivery errors -----",
    ],
    ends: &["-----"],
    delayed: &["this is a warning message only", "transient non-fatal errors", "will keep trying until"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[
    super::tests::Sample {
        head: "From: MAILER-DAEMON@mx.example.net\nReturn-Path: <>\n",
        text: concat!(
            "The original message was received today\n",
            "from app.send.example [192.0.2.9]\n",
            "\n",
            "   ----- The following addresses had permanent fatal errors -----\n",
            "<ann@example.net>\n",
            "    (reason: 550 5.1.1 no such user)\n",
            "\n",
            "   ----- Transcript of session follows -----\n",
            "... while talking to mx.example.net.:\n",
            ">>> RCPT To:<ann@example.net>\n",
            "<<< 550 5.1.1 no such user\n",
        ),
        recipients: &["ann@example.net"],
        says: "550 5.1.1",
        outcome: crate::verdict::Outcome::Failed,
    },
    super::tests::Sample {
        head: "From: MAILER-DAEMON@mx.example.net\nReturn-Path: <>\n",
        text: concat!(
            "    **      THIS IS A WARNING MESSAGE ONLY      **\n",
            "\n",
            "   ----- The following addresses had transient non-fatal errors -----\n",
            "<ann@example.net>\n",
            "\n",
            "   ----- Transcript of session follows -----\n",
            "<ann@example.net>... Deferred: Connection timed out\n",
            "Will keep trying until message is 5 days old\n",
        ),
        recipients: &["ann@example.net"],
        says: "",
        outcome: crate::verdict::Outcome::Delayed,
    },
];
