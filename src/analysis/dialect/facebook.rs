//! A social network's mail: a code of letters in front of the reason.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[Sign::From("@mx.facebook.com"), Sign::From("facebook.com"), Sign::Text("postmaster.facebook.com")],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: mailer-daemon@mx.facebook.com\n",
    text: concat!(
        "This message was created automatically by the mail system.\n",
        "\n",
        "<ann@example.net>: 550 5.1.1 RCP-P1 no such user\n",
    ),
    recipients: &["ann@example.net"],
    says: "RCP-P1",
    outcome: crate::verdict::Outcome::Failed,
}];
