//! Spam and worse in the shape of reports: something is to be opened, clicked or paid.

use super::Mail;

pub(super) fn all() -> Vec<Mail> {
    let mut mails = Vec::new();
    for (number, (subject, text)) in LETTERS.iter().enumerate() {
        for (style, from) in FROMS.iter().enumerate() {
            let mail = Mail::new(format!("lure {number} style {style}"), from, *subject, *text);
            mails.push(match (number + style) % 3 {
                0 => mail.null_sender(),
                1 => mail.with("X-Priority", "1").with("Return-Path", "<x91@spam.example>"),
                _ => mail,
            });
        }
    }
    for (number, (subject, text)) in WORMS.iter().enumerate() {
        for (style, name) in ["message.zip", "mail.scr", "details.html", "document.pif", "text.iso"].iter().enumerate()
        {
            let from = FROMS[(number + style) % FROMS.len()];
            let head = format!(
                "Content-Type: application/octet-stream; name=\"{name}\"\r\nContent-Disposition: attachment; filename=\"{name}\"\r\n\
                 Content-Transfer-Encoding: base64"
            );
            mails.push(
                Mail::new(format!("worm {number} with {name}"), from, *subject, *text).part(head, "UEsDBAoAAAAA"),
            );
        }
    }
    mails
}

const FROMS: [&str; 4] = [
    "Mail Delivery System <mailer-daemon@send.example>",
    "\"send.example Postmaster\" <postmaster@spam.example>",
    "Mail Admin <admin@spam.example>",
    "\"MAILER-DAEMON\" <kundenservice@spam.example>",
];

const LETTERS: [(&str, &str); 16] = [
    (
        "Undelivered Mail Returned to Sender",
        "Dear b-tok@send.example,\n\n7 incoming messages could not be delivered to your mailbox.\nClick here to release messages: https://spam.example/release",
    ),
    (
        "Mail delivery failed: 5 pending messages",
        "Your messages are on hold because of a server error. Review pending messages at https://spam.example/r\n\nMail Delivery System",
    ),
    (
        "Delivery Status Notification (Failure)",
        "Message delivery failed (550). Verify your mailbox to restore delivery:\nhttps://spam.example/verify?b-tok@send.example",
    ),
    (
        "Undeliverable: Invoice 5511",
        "Your invoice could not be delivered. Download attachment: http://spam.example/invoice",
    ),
    (
        "Returned mail: storage exceeded",
        "Your mailbox b-tok@send.example has exceeded its limit and mail is being returned. Upgrade your mailbox: http://spam.example/up",
    ),
    (
        "Failure notice: your parcel could not be delivered",
        "The courier could not deliver your parcel. Reschedule: https://spam.example/p and pay the delivery fee.",
    ),
    (
        "Delivery failure: account suspended",
        "Your account will be deactivated. Mail could not be delivered. Sign in to https://spam.example/login to fix this issue.",
    ),
    (
        "Action required: undelivered messages",
        "There are 3 undelivered messages for b-tok@send.example in quarantine. Release all: https://spam.example/all",
    ),
    (
        "Mail System Error - Returned Mail",
        "Password for b-tok@send.example expires today; messages failed to be delivered. Keep current password: https://spam.example/keep",
    ),
    (
        "Zustellung fehlgeschlagen: Ihr Paket",
        "Ihr Paket konnte nicht zugestellt werden. Klicken Sie hier: https://spam.example/paket",
    ),
    (
        "Nicht zugestellt: 4 Nachrichten",
        "4 Nachrichten konnten nicht zugestellt werden. Hier klicken: https://spam.example/de",
    ),
    ("Message non remis", "Votre colis n'a pas pu être livré. Cliquez ici : https://spam.example/fr"),
    ("Correo no entregado", "Sus mensajes no se han podido entregar. Haga clic aquí: https://spam.example/es"),
    ("Сообщение не доставлено", "Ваша посылка не доставлена. Нажмите: https://spam.example/ru"),
    ("邮件退回", "您的邮件无法投递，请点击 https://spam.example/zh 验证密码。"),
    ("配信不能のお知らせ", "お荷物をお届けできませんでした。クリック: https://spam.example/ja"),
];

const WORMS: [(&str, &str); 6] = [
    ("Mail Delivery System", "Mail transaction failed. Partial message is available."),
    (
        "Returned mail: see transcript for details",
        "The message cannot be represented in 7-bit ASCII encoding and has been sent as a binary attachment.",
    ),
    (
        "Delivery reports about your e-mail",
        "Dear user of send.example, your e-mail account was used to send spam. Follow the instructions in the attached file.\n\nThe send.example support team",
    ),
    (
        "Undeliverable mail",
        "The original message was included as an attachment.\n\n550 5.1.1 <b-tok@send.example>... User unknown",
    ),
    (
        "Delivery failed",
        "Message could not be delivered to ann@example.net. See attached file for details: 550 5.1.1 user unknown",
    ),
    ("Error", "The message contains Unicode characters and has been sent as a binary attachment."),
];
