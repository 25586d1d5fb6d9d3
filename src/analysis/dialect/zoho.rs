//! Zoho: the words of Exim with error codes of its own.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[Sign::FieldHas("X-Mailer", "zoho"), Sign::From("@zoho"), Sign::Text("error_code :")],
    recipients: &["this is a permanent error.", "the following address(es) failed:"],
    ends: &["received:"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: mailer-daemon@mail.zoho.com\n",
    text: concat!(
        "This message was created automatically by mail delivery software.\n",
        "A message that you sent could not be delivered to one or more of its recipients. This is a permanent error. \n",
        "\n",
        "ann@example.net Invalid Address, ERROR_CODE :550, ERROR_CODE :5.1.1 no such user\n",
    ),
    recipients: &["ann@example.net"],
    says: "5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
