//! Active!hunter: the address between three arrows on each side.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[Sign::Field("X-AHMailID")],
    recipients: &["----- the following addresses had permanent fatal errors -----"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: MAILER-DAEMON@mx.example.net\nX-AHMailID: 1\n",
    text: concat!(
        "  ----- The following addresses had permanent fatal errors -----\n",
        "\n",
        ">>> ann@example.net <<<\n",
        "\n",
        "  ----- Transcript of session follows -----\n",
        "550 5.1.1 no such user\n",
    ),
    recipients: &["ann@example.net"],
    says: "550 5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
