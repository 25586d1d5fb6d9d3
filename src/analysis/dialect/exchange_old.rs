//! Exchange 5.5 to 2003: the head of the message first, then who was not reached, each with a date behind it, a sentence, and
//! `<host #5.1.1>` or a line that begins with `MSEXCH:`.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::FieldHas("X-Mailer", "internet mail service"),
        Sign::Field("X-MS-Embedded-Report"),
        Sign::Text("did not reach the following recipient(s)"),
        Sign::Text("the following recipient(s) could not be reached"),
        Sign::Text("the following recipient(s) cannot be reached"),
        Sign::Text("folgende empfänger konnten nicht erreicht werden"),
        Sign::Text("konnte die folgenden empfänger nicht erreichen"),
        Sign::Text("n'a pas pu être remis aux destinataires suivants"),
        Sign::Text("no se pudo entregar a los siguientes destinatarios"),
        Sign::Text("non è stato recapitato ai seguenti destinatari"),
        Sign::Text("次の受信者に到達できません"),
    ],
    recipients: &[
        "did not reach the following recipient(s):",
        "the following recipient(s) could not be reached:",
        "the following recipient(s) cannot be reached:",
        "folgende empfänger konnten nicht erreicht werden:",
        "konnte die folgenden empfänger nicht erreichen:",
    ],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[
    super::tests::Sample {
        head: "From: System Administrator <postmaster@example.net>\nX-Mailer: Internet Mail Service (5.5)\n",
        text: concat!(
            "Your message\n",
            "\n",
            "  To:      list@send.example\n",
            "  Subject: news\n",
            "  Sent:    Fri, 4 Oct 2024 17:10:56 -0400\n",
            "\n",
            "did not reach the following recipient(s):\n",
            "\n",
            "c=US;a= ;p=X;o=Y;dda:SMTP=ann@example.net; on Fri, 4 Oct 2024 17:12:28\n",
            "    The recipient name is not recognized\n",
            "    MSEXCH:IMS:X:Y:Z 0 (000C05A6) Unknown Recipient\n",
        ),
        recipients: &["ann@example.net"],
        says: "Unknown Recipient",
        outcome: crate::verdict::Outcome::Failed,
    },
    super::tests::Sample {
        head: "From: MAILER-DAEMON@mx.example.net\nReturn-Path: <>\n",
        text: concat!(
            "Your message did not reach some or all of the intended recipients.\n",
            "\n",
            "   Subject: news\n",
            "   Sent: today\n",
            "\n",
            "The following recipient(s) could not be reached:\n",
            "\n",
            "   ann@example.net on 1/2/2024 10:00 AM\n",
            "      The e-mail account does not exist at the organization.\n",
            "      <mx.example.net #5.1.1>\n",
        ),
        recipients: &["ann@example.net"],
        says: "#5.1.1",
        outcome: crate::verdict::Outcome::Failed,
    },
];
