//! A filtering service that holds or refuses: one sentence, then the address and the reply.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[Sign::FieldHas("From", "mimecast"), Sign::FieldHas("Message-ID", "mimecast"), Sign::Text("mimecast")],
    recipients: &["could not be delivered to", "was not delivered to", "recipient:"],
    replies: &["reason:", "the response was:", "error:"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: postmaster@mx.mimecast.example\nSubject: [Postmaster] Email Delivery Failure\n",
    text: concat!(
        "The following message could not be delivered to ann@example.net\n",
        "Reason: 550 5.1.1 no such user\n",
    ),
    recipients: &["ann@example.net"],
    says: "550 5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
