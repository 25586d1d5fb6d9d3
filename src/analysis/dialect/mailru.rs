//! Mail.ru: Russian words above the list of Exim or Postfix.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::From("mailer-daemon@corp.mail.ru"),
        Sign::From("@mail.ru"),
        Sign::Text("Это письмо создано автоматически сервером mail.ru"),
    ],
    recipients: &[
        "не доставлено следующим получателям:",
        "не может быть доставлено следующим получателям:",
        "the following address(es) failed:",
    ],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: Mailer-Daemon <mailer-daemon@mail.ru>\n",
    text: concat!(
        "Это письмо создано автоматически сервером Mail.Ru.\n",
        "\n",
        "Ваше письмо не доставлено следующим получателям:\n",
        "\n",
        "ann@example.net\n",
        "550 5.1.1 no such user\n",
    ),
    recipients: &["ann@example.net"],
    says: "550 5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
