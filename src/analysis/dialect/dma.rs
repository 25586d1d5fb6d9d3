//! The DragonFly Mail Agent: one sentence with the address, and the reason below.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[Sign::Text("this is the dragonfly mail agent")],
    recipients: &["there was an error delivering your mail to"],
    ends: &["message headers follow", "original message follows"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: MAILER-DAEMON <>\n",
    text: concat!(
        "This is the DragonFly Mail Agent v0.13 at mx.example.net.\n",
        "\n",
        "There was an error delivering your mail to <ann@example.net>.\n",
        "\n",
        "mx.example.net [192.0.2.1] did not like our RCPT TO:\n",
        "550 5.1.1 no such user\n",
        "\n",
        "Message headers follow.\n",
    ),
    recipients: &["ann@example.net"],
    says: "550 5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
