//! Domino and Notes: subject, `was not delivered to:`, `because:`, in several languages; the subject of the report repeats the reason.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::Subject("delivery failure:"),
        Sign::Subject("delivery failure report"),
        Sign::Subject("zustellfehler:"),
        Sign::Subject("échec de la distribution:"),
        Sign::Subject("error de entrega:"),
        Sign::FieldHas("X-Mailer", "lotus domino"),
        Sign::Text("was not delivered to:"),
        Sign::Text("wurde nicht zugestellt an:"),
        Sign::Text("n'a pas été distribué à"),
        Sign::Text("no se entregó a:"),
        Sign::Text("non è stato consegnato a:"),
        Sign::Text("配信されませんでした"),
    ],
    recipients: &[
        "was not delivered to:",
        "wurde nicht zugestellt an:",
        "n'a pas été distribué à :",
        "n'a pas été distribué à:",
        "no se entregó a:",
        "non è stato consegnato a:",
        "não foi entregue para:",
        "配信されませんでした:",
    ],
    replies: &["because:", "weil:", "aus folgendem grund:", "car :", "car:", "porque:", "perché:", "理由:"],
    bare_names: true,
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: Postmaster@example.net\nSubject: DELIVERY FAILURE: User ann not listed\n",
    text: concat!(
        "Your message\n",
        "\n",
        "  Subject: news\n",
        "\n",
        "was not delivered to:\n",
        "\n",
        "  ann@example.net\n",
        "\n",
        "because:\n",
        "\n",
        "  User ann (ann@example.net) not listed in Domino Directory\n",
    ),
    recipients: &["ann@example.net"],
    says: "not listed",
    outcome: crate::verdict::Outcome::Failed,
}];
