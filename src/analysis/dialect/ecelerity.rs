//! Momentum and the services built on it: one sentence with the address, then the reply.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::Text("this message was created automatically by the mail system"),
        Sign::Text("a message that you sent could not be delivered to one or more of its recipients"),
        Sign::FieldHas("X-Mailer", "msys"),
    ],
    recipients: &[">>> "],
    ends: &["------ this is a copy"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: MAILER-DAEMON@mx.example.net\nReturn-Path: <>\n",
    text: concat!(
        "This message was created automatically by the mail system (ecelerity).\n",
        "\n",
        "A message that you sent could not be delivered to one or more of its\n",
        "recipients. The following address(es) failed:\n",
        "\n",
        ">>> ann@example.net (after RCPT TO): 550 5.1.1 no such user\n",
    ),
    recipients: &["ann@example.net"],
    says: "550 5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
