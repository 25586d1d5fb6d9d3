//! A Japanese provider: delivery problems and non-delivered information, each ruled with hyphens.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::From("@biglobe.ne.jp"),
        Sign::From("@inacatv.ne.jp"),
        Sign::From("@tmtv.ne.jp"),
        Sign::From("@ttv.ne.jp"),
        Sign::Text("----- non-delivered information -----"),
    ],
    recipients: &["----- the following addresses had delivery problems -----"],
    replies: &["----- non-delivered information -----"],
    ends: &["-----"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: postmaster@biglobe.ne.jp\nSubject: Returned mail: Service unavailable\n",
    text: concat!(
        "   ----- The following addresses had delivery problems -----\n",
        "ann@example.net\n",
        "\n",
        "   ----- Non-delivered information -----\n",
        "The number of messages in recipient's mailbox exceeded the local limit.\n",
    ),
    recipients: &["ann@example.net"],
    says: "exceeded the local limit",
    outcome: crate::verdict::Outcome::Failed,
}];
