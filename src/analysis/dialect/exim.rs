//! Exim, with or without a report, and those who took its words over.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::Field("X-Failed-Recipients"),
        Sign::Text("this message was created automatically by mail delivery software"),
        Sign::Text("diese nachricht wurde automatisch von der mail-software erzeugt"),
        Sign::Text("diese nachricht wurde automatisch vom mailserver"),
        Sign::Text("ce message a été créé automatiquement"),
        Sign::Text("este mensaje ha sido creado automáticamente"),
        Sign::Text("este mensaje fue creado automáticamente"),
        Sign::Text("questo messaggio è stato creato automaticamente"),
        Sign::Text("esta mensagem foi criada automaticamente"),
        Sign::Text("Это сообщение создано автоматически"),
        Sign::Text("Это сообщение было автоматически создано"),
        Sign::Text("smtp error from remote mail server"),
        Sign::Text("smtp error from remote server"),
    ],
    recipients: &[
        "the following address(es) failed:",
        "the following addresses failed:",
        "the following address failed:",
        "the address to which the message has not yet been delivered is:",
        "the addresses to which the message has not yet been delivered are:",
        "the following address(es) have not yet been delivered:",
        "die folgende(n) adresse(n)",
        "folgende adresse(n) sind fehlgeschlagen",
        "les adresses suivantes ont échoué",
        "la(s) siguiente(s) dirección(es)",
    ],
    ends: &["------ this is a copy", "--- the header of the original"],
    delayed: &[
        "has not yet been delivered",
        "have not yet been delivered",
        "delay reason:",
        "no action is required on your part",
    ],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[
    super::tests::Sample {
        head: "From: MAILER-DAEMON@mx.example.net\nReturn-Path: <>\n",
        text: concat!(
            "This message was created automatically by mail delivery software.\n",
            "\n",
            "A message that you sent could not be delivered to one or more of its\n",
            "recipients. This is a permanent error. The following address(es) failed:\n",
            "\n",
            "  ann@example.net\n",
            "    host mx.example.net [192.0.2.1]\n",
            "    SMTP error from remote mail server after RCPT TO:<ann@example.net>:\n",
            "    550 5.1.1 no such user\n",
        ),
        recipients: &["ann@example.net"],
        says: "550 5.1.1",
        outcome: crate::verdict::Outcome::Failed,
    },
    super::tests::Sample {
        head: "From: MAILER-DAEMON@mx.example.net\nReturn-Path: <>\n",
        text: concat!(
            "This message was created automatically by mail delivery software.\n",
            "A message that you sent has not yet been delivered to one or more of its\n",
            "recipients after more than 24 hours on the queue on mx.example.net.\n",
            "\n",
            "The address to which the message has not yet been delivered is:\n",
            "\n",
            "  ann@example.net\n",
            "    Delay reason: 451 4.7.1 greylisted\n",
        ),
        recipients: &["ann@example.net"],
        says: "451 4.7.1",
        outcome: crate::verdict::Outcome::Delayed,
    },
];
