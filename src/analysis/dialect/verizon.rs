//! A carrier that turns mail into short messages: a page, or three lines.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[Sign::From("@vtext.com"), Sign::From("@vzwpix.com"), Sign::From("post_master@")],
    recipients: &["message could not be delivered to", "to:", "rcpt to:"],
    replies: &["error:", "error code:"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: post_master@vtext.com\nSubject: Undeliverable Message\n",
    text: concat!("Message could not be delivered to ann@example.net.\n", "Error: 550 no such user\n",),
    recipients: &["ann@example.net"],
    says: "550",
    outcome: crate::verdict::Outcome::Failed,
}];
