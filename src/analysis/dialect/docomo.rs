//! Japanese carriers and providers: a sentence in Japanese or English that the address follows, often without a report.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::Text("次のあて先へのメッセージはエラーのため送信できませんでした"),
        Sign::Text("以下のメールアドレスへの送信に失敗"),
        Sign::Text("以下の宛先へのメールは"),
        Sign::Text("あて先に送信できませんでした"),
        Sign::From("@docomo.ne.jp"),
        Sign::From("@mail.softbank.ne.jp"),
        Sign::From("@i.softbank.jp"),
        Sign::From("@disney.ne.jp"),
    ],
    recipients: &["送信できませんでした。", "送信に失敗しました。", "宛先：", "あて先：", "配送できませんでした。"],
    ends: &["-----"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: Mail System <mailer-daemon@docomo.ne.jp>\n",
    text: concat!(
        "次のあて先へのメッセージはエラーのため送信できませんでした。\n",
        "\n",
        "<ann@example.net>\n",
        "\n",
        "550 Unknown user ann@example.net\n",
    ),
    recipients: &["ann@example.net"],
    says: "550 Unknown user",
    outcome: crate::verdict::Outcome::Failed,
}];
