//! 163, 126 and their business mail: the words of Postfix or a page in Chinese, the reply behind each address.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::From("postmaster@163.com"),
        Sign::From("postmaster@126.com"),
        Sign::From("postmaster@188.com"),
        Sign::From("postmaster@yeah.net"),
        Sign::Text("非常抱歉，您发送的邮件"),
        Sign::Text("您发送的邮件被退回"),
    ],
    recipients: &["收件人邮箱：", "无法投递到以下收件人", "收件人：", "收件人:"],
    replies: &["退信代码：", "错误信息：", "退信原因：", "原因："],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: Postmaster@163.com\n",
    text: concat!(
        "非常抱歉，您发送的邮件被退回。\n",
        "\n",
        "收件人：ann@example.net\n",
        "退信原因：550 5.1.1 no such user\n",
    ),
    recipients: &["ann@example.net"],
    says: "550 5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
