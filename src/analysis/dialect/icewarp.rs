//! IceWarp, Merak before it: the address with its fate between semicolons.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::FieldHas("X-Mailer", "icewarp"),
        Sign::FieldHas("X-Mailer", "merak"),
        Sign::Text("; failed; 5."),
        Sign::Text("; failed; 4."),
        Sign::Text("remote mta"),
    ],
    recipients: &["the following recipients:", "undeliverable to:"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: Mail Delivery <postmaster@example.net>\nSubject: Undeliverable mail\n",
    text: concat!(
        "The message that you sent had errors.\n",
        "\n",
        "ann@example.net; Failed; 5.1.1 (bad destination mailbox address)\n",
        "\n",
        "    Remote MTA mx.example.net: SMTP diagnostic: 550 no such user\n",
    ),
    recipients: &["ann@example.net"],
    says: "5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
