//! MDaemon: capitals, `Failed address:`, and a session transcript with a time in front of each line.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::Field("X-MDDSN-Message"),
        Sign::From("mdaemon@"),
        Sign::Text("the attached message had permanent fatal delivery errors"),
        Sign::Text("the attached message had transient non-fatal delivery errors"),
    ],
    recipients: &["failed address:"],
    replies: &["<-- 5", "<-- 4"],
    delayed: &["transient non-fatal delivery errors", "this is a warning message only"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: MDaemon@mx.example.net\nX-MDDSN-Message: 1\n",
    text: concat!(
        "The attached message had PERMANENT fatal delivery errors.\n",
        "\n",
        "YOUR MESSAGE WAS NOT DELIVERED TO THE FOLLOWING RECIPIENTS:\n",
        "\n",
        "  Failed address: ann@example.net\n",
        "\n",
        "--- Session Transcript ---\n",
        "Wed 2024-01-03 10:12:04: --> RCPT To:<ann@example.net>\n",
        "Wed 2024-01-03 10:12:05: <-- 550 5.1.1 no such user\n",
        "--- End Transcript ---\n",
    ),
    recipients: &["ann@example.net"],
    says: "50 5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
