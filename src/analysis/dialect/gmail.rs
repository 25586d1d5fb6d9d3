//! Gmail and Workspace, old and new, and the groups of the same house.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::From("mailer-daemon@googlemail.com"),
        Sign::From("mailer-daemon@google.com"),
        Sign::Text("technical details of permanent failure"),
        Sign::Text("technical details of temporary failure"),
        Sign::Text("google tried to deliver your message"),
        Sign::Text("the group you tried to contact"),
        Sign::Text("support.google.com/mail"),
    ],
    recipients: &[
        "delivery to the following recipient failed permanently:",
        "delivery to the following recipients failed permanently:",
        "delivery to the following recipient has been delayed:",
        "delivery to the following recipients has been delayed:",
        "your message wasn't delivered to",
        "there was a problem delivering your message to",
        "there was a temporary problem delivering your message to",
        "your message has been blocked",
        "nachricht wurde nicht zugestellt an",
        "die zustellung an die folgenden empfänger ist dauerhaft fehlgeschlagen",
    ],
    replies: &[
        "the error that the other server returned was:",
        "the response from the remote server was:",
        "the response was:",
        "technical details of permanent failure:",
        "technical details of temporary failure:",
    ],
    delayed: &[
        "has been delayed",
        "temporary problem delivering",
        "gmail will retry",
        "message will be retried",
        "this is a warning message only",
        "delivery incomplete",
    ],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[
    super::tests::Sample {
        head: "From: Mail Delivery Subsystem <mailer-daemon@googlemail.com>\n",
        text: concat!(
            "Delivery to the following recipient failed permanently:\n",
            "\n",
            "     ann@example.net\n",
            "\n",
            "Technical details of permanent failure: \n",
            "The server rejected it. The error that the other server returned was:\n",
            "550 5.1.1 no such user\n",
        ),
        recipients: &["ann@example.net"],
        says: "550 5.1.1",
        outcome: crate::verdict::Outcome::Failed,
    },
    super::tests::Sample {
        head: "From: Mail Delivery Subsystem <mailer-daemon@googlemail.com>\n",
        text: concat!(
            "** Delivery incomplete **\n",
            "\n",
            "There was a temporary problem delivering your message to ann@example.net. Gmail will retry for 46 more hours.\n",
            "\n",
            "The response was:\n",
            "\n",
            "The recipient server did not accept our requests to connect.\n",
        ),
        recipients: &["ann@example.net"],
        says: "did not accept",
        outcome: crate::verdict::Outcome::Delayed,
    },
];
