//! m-FILTER: sections named by seven hyphens, what the server said in the first.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::FieldHas("X-Mailer", "m-filter"),
        Sign::Text("-------server message"),
        Sign::Text("-------smtp command"),
    ],
    recipients: &["-------server message"],
    replies: &["-------server message"],
    ends: &["-------"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: mail-daemon@example.net\nX-Mailer: m-FILTER\nSubject: failure notice\n",
    text: concat!(
        "-------server message\n",
        "550 5.1.1 unknown user <ann@example.net>\n",
        "\n",
        "-------original mail info\n",
        "Subject: news\n",
    ),
    recipients: &["ann@example.net"],
    says: "550 5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
