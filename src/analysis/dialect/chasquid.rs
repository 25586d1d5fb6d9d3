//! chasquid: a list of addresses, then each of them again with its error.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[Sign::Text("delivery of your message to the following recipient(s) failed permanently")],
    recipients: &["delivery of your message to the following recipient(s) failed permanently:"],
    replies: &["failed permanently with error:"],
    ends: &["\n- "],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: Mail Delivery System <postmaster-dsn@mx.example.net>\nReturn-Path: <>\n",
    text: concat!(
        "Delivery of your message to the following recipient(s) failed permanently:\n",
        "\n",
        "  - ann@example.net\n",
        "\n",
        "Technical details:\n",
        "- \"ann@example.net\" (EMAIL) failed permanently with error:\n",
        "    550 5.1.1 no such user\n",
    ),
    recipients: &["ann@example.net"],
    says: "550 5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
