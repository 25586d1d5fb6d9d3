//! IMail: one short line for each failure, the address behind it.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::FieldHas("X-Mailer", "<smtp32"),
        Sign::Text("unknown user: "),
        Sign::Text("invalid final delivery userid:"),
        Sign::Text("user mailbox exceeds allowed size:"),
    ],
    recipients: &[
        "unknown user:",
        "unknown host:",
        "invalid final delivery userid:",
        "user mailbox exceeds allowed size:",
        "undeliverable to",
        "delivery failed to",
        "mail delivery to",
    ],
    ends: &["original message follows"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: Postmaster <postmaster@example.net>\nX-Mailer: <SMTP32 v8.22>\nSubject: Undeliverable Mail\n",
    text: concat!("Unknown user: ann@example.net\n", "\n", "Original message follows.\n",),
    recipients: &["ann@example.net"],
    says: "",
    outcome: crate::verdict::Outcome::Failed,
}];
