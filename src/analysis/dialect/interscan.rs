//! InterScan and its gateways: both sides of the conversation with the arrows turned.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::Text("sent <<< rcpt to:"),
        Sign::Text("sent >>> rcpt to:"),
        Sign::FieldHas("X-Mailer", "interscan"),
        Sign::Text("interscan messaging security"),
        Sign::From("interscan"),
    ],
    recipients: &[
        "sent <<< rcpt to:",
        "sent >>> rcpt to:",
        "unable to deliver message to",
        "could not be delivered to",
    ],
    replies: &["received >>>", "received <<<"],
    ends: &["unable to deliver"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: InterScan MSS Notification <imss@example.net>\nSubject: Mail could not be delivered\n",
    text: concat!(
        "Sent <<< RCPT TO:<ann@example.net>\n",
        "Received >>> 550 5.1.1 no such user\n",
        "\n",
        "Unable to deliver message to <ann@example.net>\n",
    ),
    recipients: &["ann@example.net"],
    says: "550 5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
