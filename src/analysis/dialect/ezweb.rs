//! The carrier au: English sentences about the users of its domain, a transcript for others.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::From("@ezweb.ne.jp"),
        Sign::From("@au.com"),
        Sign::FieldHas("Message-ID", "@ezweb.ne.jp"),
        Sign::Text("each of the following recipients was rejected by a remote mail server"),
    ],
    recipients: &["the user(s)", "recipient:", "the following recipients was rejected by a remote mail server."],
    replies: &["<<<"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: Postmaster@ezweb.ne.jp\nSubject: Mail System Error - Returned Mail\n",
    text: concat!("The user(s) account is temporarily over quota.\n", "\n", "<ann@example.net>\n",),
    recipients: &["ann@example.net"],
    says: "",
    outcome: crate::verdict::Outcome::Failed,
}];
