//! A filtering service with the words of Exim and a field of its own.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[Sign::Field("X-MX-Bounce"), Sign::FieldHas("From", "mxlogic")],
    recipients: &["the following address(es) failed:", "this is a permanent error."],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: Mail Delivery System <mailer-daemon@mxlogic.net>\n",
    text: concat!(
        "This message was created automatically by mail delivery software.\n",
        "\n",
        "A message that you sent could not be delivered to one or more of its\n",
        "recipients. This is a permanent error. The following address(es) failed:\n",
        "\n",
        "ann@example.net:\n",
        "550 5.1.1 no such user\n",
    ),
    recipients: &["ann@example.net"],
    says: "550 5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
