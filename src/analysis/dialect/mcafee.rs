//! A mail gateway: `delivery problems` ruled with hyphens, the reason in brackets behind each address.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[Sign::Text("--- the following addresses had delivery problems ---"), Sign::Field("X-NAIMIME-Modified")],
    recipients: &["--- the following addresses had delivery problems ---"],
    ends: &["--------------"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: WebShield <postmaster@example.net>\nSubject: Undeliverable: news\n",
    text: concat!(
        "The following message could not be delivered.\n",
        "\n",
        "--- The following addresses had delivery problems ---\n",
        "\n",
        "<ann@example.net>   (User unknown ann@example.net)\n",
        "\n",
        "--------------Returned Message Follows--------------\n",
    ),
    recipients: &["ann@example.net"],
    says: "User unknown",
    outcome: crate::verdict::Outcome::Failed,
}];
