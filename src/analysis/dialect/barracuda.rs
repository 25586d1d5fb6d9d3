//! The Barracuda spam firewall: what it has blocked, not what it could not deliver.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::Text("was blocked by our spam firewall"),
        Sign::Subject("**message you sent blocked by our bulk email filter**"),
        Sign::Text("barracuda spam firewall"),
    ],
    recipients: &["your message to:"],
    ends: &["reporting-mta:"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: postmaster@example.net\nSubject: **Message you sent blocked by our bulk email filter**\n",
    text: concat!(
        "Your message to: ann@example.net\n",
        "was blocked by our Spam Firewall. The email you sent with the following subject has NOT BEEN DELIVERED:\n",
        "\n",
        "Subject: news\n",
    ),
    recipients: &["ann@example.net"],
    says: "blocked by our Spam Firewall",
    outcome: crate::verdict::Outcome::Failed,
}];
