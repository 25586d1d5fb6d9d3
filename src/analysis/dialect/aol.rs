//! AOL: its users by name only, indented below the sentence that gives the reason.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[Sign::FieldHas("From", "@aol.com"), Sign::FieldHas("Mailer", "airmail")],
    recipients: &["your mail to the following recipients could not be delivered because"],
    bare_names: true,
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: Mail Delivery Subsystem <MAILER-DAEMON@aol.com>\nSubject: Mail Delivery Problem\n",
    text: concat!(
        "Your mail to the following recipients could not be delivered because they are not accepting mail from b-tok@send.example:\n",
        "\tscreenname\n",
    ),
    recipients: &["screenname@aol.com"],
    says: "not accepting",
    outcome: crate::verdict::Outcome::Failed,
}];
