//! Automatic answers: people who are away, who have left, and desks that have received something.

use super::Mail;
use super::tongue::TONGUES;

pub(super) fn all() -> Vec<Mail> {
    let mut mails = Vec::new();
    for tongue in TONGUES {
        let [subject, text] = tongue.away;
        let bare = subject.split([':', '\u{ff1a}']).next_back().unwrap_or_default().trim();
        for style in 0..6 {
            // Without a subject that says so, an answer to ours is left.
            let subject = if style < 3 { subject.to_string() } else { format!("{}{bare}", tongue.re) };
            let about = format!("away in {} style {style}", tongue.code);
            let mail = Mail::new(about, "Ann Example <ann@rcpt.example>", subject, text);
            mails.push(match style {
                0 => mail.null_sender().with("Auto-Submitted", "auto-replied").with("Precedence", "bulk"),
                1 => mail.with("X-Auto-Response-Suppress", "All").with("Return-Path", "<ann@rcpt.example>"),
                2 => mail.null_sender(),
                3 => mail.with("Auto-Submitted", "auto-replied (vacation)").with("In-Reply-To", "<m.1@send.example>"),
                4 => mail.with("Precedence", "junk").null_sender(),
                _ => mail.with("In-Reply-To", "<m.1@send.example>").with("Return-Path", "<ann@rcpt.example>"),
            });
        }
    }
    mails.extend(words_that_mislead());
    mails.extend(desks());
    mails
}

/// Answers whose words could be a report's.
fn words_that_mislead() -> Vec<Mail> {
    let texts = [
        "I am out of the office until Monday. My mailbox is full most of the time, so your message may be returned to sender.",
        "I am on vacation. Mail to ann@old.example is no longer delivered (550 user unknown); please use ann@new.example.",
        "I have left the company. Please write to bob@rcpt.example instead. This mailbox is no longer monitored.",
        "The inbox kijitora@rcpt.example is no longer in use. Please contact desk@rcpt.example.",
        "Ann Example no longer works for Example Ltd. Your message has not been forwarded. Please contact bob@rcpt.example.",
        "My new address is ann@new.example. Please update your address book. Messages to the old address cannot be delivered after May.",
        "Thank you for your message. I am away until 5.1.2027 and will answer when I return.",
        "I am out of office until 5.5.0. In urgent cases call extension 550.",
    ];
    let mut mails = Vec::new();
    for (number, text) in texts.into_iter().enumerate() {
        for (style, subject) in
            ["Automatic reply: Undeliverable addresses", "Out of Office: Delivery failed", "Re: Mail delivery"]
                .into_iter()
                .enumerate()
        {
            let mail = Mail::new(
                format!("misleading {number} style {style}"),
                "Ann Example <ann@rcpt.example>",
                subject,
                text,
            );
            mails.push(match style {
                0 => mail.null_sender().with("Auto-Submitted", "auto-replied"),
                1 => mail.with("X-Autoreply", "yes").with("Precedence", "auto_reply"),
                _ => mail.with("Auto-Submitted", "auto-replied").with("In-Reply-To", "<m.1@send.example>"),
            });
        }
    }
    mails
}

/// Programs for tickets and forms.
fn desks() -> Vec<Mail> {
    let letters = [
        (
            "[example.org #4711] AutoReply: News of the week",
            "This message has been automatically generated in response to the creation of a ticket regarding \"News of the week\".\nThere is no need to reply right now. Your ticket has been assigned an ID of [example.org #4711].",
        ),
        (
            "[Ticket#2026030210000017] RE: Undeliverable",
            "Thank you for your email. Your request has been received and will be processed. Your ticket number is 2026030210000017.",
        ),
        (
            "[Request received] News of the week",
            "Your request (4711) has been received and is being reviewed by our support team. To add comments, reply to this email.",
        ),
        (
            "We have received your message (case 00550511)",
            "Thank you for contacting Example. One of our agents will get back to you. Case number: 00550511.",
        ),
        (
            "Ihre Anfrage [#4711]",
            "Vielen Dank für Ihre Nachricht. Wir haben Ihre Anfrage erhalten. Vorgangsnummer: 4711. Dies ist eine automatische Antwort.",
        ),
        (
            "Accusé de réception - votre demande 4711",
            "Nous avons bien reçu votre demande. Numéro de ticket : 4711. Ceci est un message automatique.",
        ),
        (
            "Acuse de recibo: su caso 4711",
            "Hemos recibido su mensaje. Número de caso: 4711. Mensaje automático, no responda.",
        ),
        ("Ваше обращение 4711", "Ваше обращение получено. Номер заявки: 4711. Это автоматическое сообщение."),
        (
            "【自動返信】お問い合わせありがとうございます",
            "お問い合わせを受け付けました。受付番号: 4711。このメールは自動送信されています。",
        ),
        (
            "자동 회신: 문의가 접수되었습니다",
            "문의가 접수되었습니다. 접수번호 4711. 이 메일은 자동으로 발송되었습니다.",
        ),
        ("自动回复：已收到您的邮件", "您的邮件已收到，工单号 4711，我们会尽快处理。此邮件由系统自动发送。"),
        (
            "Thank you for your e-mail",
            "Thank you for your e-mail. I will endeavour to reply as soon as possible.\n\nRegards\nAnn",
        ),
    ];
    let mut mails = Vec::new();
    for (number, (subject, text)) in letters.into_iter().enumerate() {
        for (style, from) in ["Example Support <support@rcpt.example>", "desk@rcpt.example", "noreply@rcpt.example"]
            .into_iter()
            .enumerate()
        {
            let mail = Mail::new(format!("desk {number} style {style}"), from, subject, text);
            mails.push(match style {
                0 => mail.with("Auto-Submitted", "auto-replied").with("X-RT-Loop-Prevention", "example.org"),
                1 => mail.null_sender().with("Precedence", "bulk").with("X-OTRS-Loop", "yes"),
                _ => mail.with("Auto-Submitted", "auto-generated").with("In-Reply-To", "<m.1@send.example>"),
            });
        }
    }
    mails
}
