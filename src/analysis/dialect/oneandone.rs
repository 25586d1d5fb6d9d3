//! The mail system of a large German hoster: the words of Exim, and the reply behind `reason:`.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::FieldHas("From", "@kundenserver.de"),
        Sign::FieldHas("From", "mailer-daemon@gmx."),
        Sign::FieldHas("From", "mailer-daemon@web.de"),
        Sign::Field("X-UI-Out-Filterresults"),
    ],
    recipients: &[
        "the following address failed:",
        "the following addresses failed:",
        "the following address(es) failed:",
        "the following address(es)\nfailed:",
        "die folgende adresse konnte nicht erreicht werden:",
    ],
    replies: &["reason:"],
    ends: &["--- the header"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: Mail Delivery System <mailer-daemon@kundenserver.de>\n",
    text: concat!(
        "This message was created automatically by mail delivery software.\n",
        "\n",
        "A message that you sent could not be delivered to one or more of\n",
        "its recipients. The following address failed:\n",
        "\n",
        "ann@example.net:\n",
        "SMTP error from remote server for RCPT TO command, host: mx.example.net (192.0.2.1) reason: 550 5.1.1 no such user\n",
    ),
    recipients: &["ann@example.net"],
    says: "550 5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
