//! QQ and its business mail: a page with the head of the message, the recipient and the cause in Chinese.

use super::form::{Form, Sign};

pub(super) const FORM: Form = Form {
    signs: &[
        Sign::From("postmaster@qq.com"),
        Sign::From("10000@qq.com"),
        Sign::From("postmaster@exmail"),
        Sign::Text("抱歉，您的邮件被退回来了"),
        Sign::Text("很抱歉您发送的邮件被退回"),
    ],
    recipients: &["收件人：", "收件人:", "收件人地址：", "无法发送到"],
    replies: &["退信原因：", "退信原因:", "原因：", "host said:"],
    ends: &["解决方案", "建议"],
    ..Form::PLAIN
};

#[cfg(test)]
pub(super) const SAMPLES: &[super::tests::Sample] = &[super::tests::Sample {
    head: "From: PostMaster@qq.com\nSubject: 系统退信\n",
    text: concat!(
        "抱歉，您的邮件被退回来了……\n",
        "原邮件信息：\n",
        "时间 2024-01-02\n",
        "主题 news\n",
        "收件人：ann@example.net\n",
        "退信原因：550 5.1.1 no such user\n",
        "解决方案：ask\n",
    ),
    recipients: &["ann@example.net"],
    says: "550 5.1.1",
    outcome: crate::verdict::Outcome::Failed,
}];
