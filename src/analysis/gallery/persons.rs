//! What people write: answers that quote reports, reports passed on, threads about mail that came back.

use super::Mail;
use super::tongue::{TONGUES, Tongue};

const WHO: &str = "Mail Delivery System <MAILER-DAEMON@mx.rcpt.example>";

/// Reports as they are quoted.
const QUOTED: [(&str, &str); 5] = [
    (
        "Undelivered Mail Returned to Sender",
        "This is the mail system at host mx.rcpt.example.\n\nI'm sorry to have to inform you that your message could not\n\
         be delivered to one or more recipients.\n\n<ann@example.net>: host mx.example.net[192.0.2.7] said: 550 5.1.1\n\
             <ann@example.net>: Recipient address rejected: User unknown (in reply to RCPT TO command)\n",
    ),
    (
        "Undeliverable: News of the week",
        "Delivery has failed to these recipients or groups:\n\nann@example.net\nThe email address you entered couldn't be found.\n\n\
         Diagnostic information for administrators:\n550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found\n",
    ),
    (
        "Delivery Status Notification (Failure)",
        "** Address not found **\n\nYour message wasn't delivered to ann@example.net because the address couldn't be found,\n\
         or is unable to receive mail.\n\nThe response from the remote server was:\n550 5.1.1 The email account that you tried to reach does not exist.\n",
    ),
    (
        "failure notice",
        "Hi. This is the qmail-send program at mx.rcpt.example.\nI'm afraid I wasn't able to deliver your message to the following addresses.\n\
         This is a permanent error; I've given up. Sorry it didn't work out.\n\n<ann@example.net>:\n192.0.2.7 does not like recipient.\n\
         Remote host said: 550 No such user\nGiving up on 192.0.2.7.\n",
    ),
    (
        "Returned mail: see transcript for details",
        "   ----- The following addresses had permanent fatal errors -----\n<ann@example.net>\n    (reason: 550 5.1.1 User unknown)\n\n\
         Final-Recipient: RFC822; ann@example.net\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: SMTP; 550 5.1.1 User unknown\n",
    ),
];

pub(super) fn all() -> Vec<Mail> {
    let mut mails = Vec::new();
    for (number, tongue) in TONGUES.iter().enumerate() {
        for (which, (subject, report)) in QUOTED.iter().enumerate() {
            mails.push(answer(tongue, number + which, subject, report));
            mails.push(passed_on(tongue, number + which, subject, report));
        }
        mails.push(of_postmaster(tongue));
    }
    mails.extend(first_posts());
    mails.extend(threads());
    mails
}

/// An answer that quotes a report, in the style that `number` picks.
fn answer(tongue: &Tongue, number: usize, subject: &str, report: &str) -> Mail {
    let words = if number.is_multiple_of(2) { tongue.asks } else { tongue.remarks };
    let wrote = tongue.wrote.replace("{who}", WHO);
    let [from, sent, to, about] = tongue.header;
    let quoted = match number % 3 {
        0 => format!("{words}\n\n{wrote}\n\n{}", marked(report)),
        1 => format!(
            "{words}\n\n{from}: {WHO}\n{sent}: 2026-03-02 10:15\n{to}: Carl <b-tok@send.example>\n{about}: {subject}\n\n{report}"
        ),
        _ => format!("{wrote}\n{}\n{words}\n", marked(report)),
    };
    let mail = Mail::new(
        format!("answer in {} number {number}", tongue.code),
        "Carl Example <carl@rcpt.example>",
        format!("{}{subject}", tongue.re),
        quoted,
    );
    match number % 4 {
        0 => mail.with("In-Reply-To", "<m.1@send.example>").with("References", "<m.1@send.example>"),
        1 => mail.with("User-Agent", "Mozilla Thunderbird").with("In-Reply-To", "<m.1@send.example>"),
        2 => mail.with("X-Mailer", "iPhone Mail (20A362)"),
        _ => mail.with("Return-Path", "<carl@rcpt.example>").with("Thread-Index", "AdxExample"),
    }
}

/// A report that somebody passes on, in the text or attached.
fn passed_on(tongue: &Tongue, number: usize, subject: &str, report: &str) -> Mail {
    let [from, sent, to, about] = tongue.header;
    let words = tongue.asks;
    let head = format!("{from}: {WHO}\n{sent}: 2026-03-02 10:15\n{to}: carl@rcpt.example\n{about}: {subject}\n\n");
    let text = match number % 3 {
        0 => format!("{words}\n\n---------- Forwarded message ---------\n{head}{report}"),
        1 => format!("{words}\n\n________________________________\n{head}{report}"),
        _ => words.to_string(),
    };
    let mail = Mail::new(
        format!("passed on in {} number {number}", tongue.code),
        "\"Example, Carl\" <carl@rcpt.example>",
        format!("{}{subject}", tongue.fw),
        text,
    );
    if number % 3 < 2 {
        return mail;
    }
    mail.part(
        "Content-Type: message/rfc822\r\nContent-Disposition: attachment",
        format!(
            "Return-Path: <>\nFrom: {WHO}\nSubject: {subject}\nContent-Type: multipart/report; report-type=delivery-status; boundary=in\n\n\
             --in\n\n{report}\n--in\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.rcpt.example\n\n\
             Final-Recipient: rfc822; ann@example.net\nAction: failed\nStatus: 5.1.1\n\n--in--\n"
        ),
    )
}

/// The postmaster of a site, a person, answers.
fn of_postmaster(tongue: &Tongue) -> Mail {
    let wrote = tongue.wrote.replace("{who}", "News <news@send.example>");
    let text = format!("{}\n\n{wrote}\n{}", tongue.remarks, marked(QUOTED[0].1));
    Mail::new(
        format!("postmaster in {}", tongue.code),
        "Carl Example <postmaster@rcpt.example>",
        format!("{}Undelivered Mail", tongue.re),
        text,
    )
    .with("In-Reply-To", "<m.1@send.example>")
}

/// The first message of somebody who asks about mail that came back.
fn first_posts() -> Vec<Mail> {
    let posts = [
        (
            "Undeliverable mail to Ann?",
            "Hi,\n\nI wrote to ann@example.net and got \"550 5.1.1 user unknown\". Do you have another address?\n\nThanks\nCarl",
        ),
        (
            "mail bounces",
            "Hello,\n\nyour newsletter bounces since Monday: 554 5.7.1 Service unavailable; client host blocked. Could you look into it?\n\nRegards, Carl",
        ),
        (
            "Delivery failure on your side",
            "Good morning,\n\nI get \"delivery failed\" for all mail to support@send.example:\n\n550 5.7.26 Unauthenticated email is not accepted\n\nCan you fix your SPF record?\n\nBest regards, Carl",
        ),
        (
            "Returned mail",
            "Hey,\nmy letter to you was returned by the post office. What is your new address?\nCheers, Carl",
        ),
        (
            "Failure notice for flat 550",
            "Dear neighbours,\n\nthe heating failed again, could not be repaired today. See you at five.\n\nKind regards, Carl",
        ),
        ("user unknown", "hi ben, what does \"user unknown\" mean? i get it from ann@example.net. thanks, carl"),
        (
            "Delayed delivery of parcel 4.4.7",
            "Hi, the parcel is delayed, will retry tomorrow. Can you be at home? Thanks, Carl",
        ),
        (
            "Nicht zugestellt",
            "Hallo,\n\nunsere Mail an ann@example.net wurde nicht zugestellt: 550 5.1.1. Können Sie die Adresse prüfen?\n\nMit freundlichen Grüßen\nCarl",
        ),
        (
            "Mail non distribué",
            "Bonjour,\n\nnotre message à ann@example.net n'a pas pu être remis (550 5.1.1). Pouvez-vous vérifier l'adresse ?\n\nCordialement\nCarl",
        ),
        (
            "Correo devuelto",
            "Hola,\n\nel correo a ann@example.net fue devuelto: 550 5.1.1 user unknown. ¿Puedes comprobarlo?\n\nUn saludo\nCarl",
        ),
        (
            "Письмо не доставлено",
            "Здравствуйте!\n\nПисьмо на ann@example.net не доставлено: 550 5.1.1 user unknown. Не могли бы вы проверить адрес?\n\nС уважением, Карл",
        ),
        (
            "メールが届きません",
            "お世話になっております。\n\nann@example.net 宛のメールが 550 5.1.1 user unknown で戻ってきます。ご確認いただけますでしょうか。\n\nよろしくお願いいたします。",
        ),
        ("邮件被退回", "你好，\n\n发给 ann@example.net 的邮件被退回：550 5.1.1 user unknown。请问地址对吗？\n\n谢谢"),
    ];
    let mut mails = Vec::new();
    for (number, (subject, text)) in posts.into_iter().enumerate() {
        for (style, from) in
            ["Carl Example <carl@rcpt.example>", "carl@rcpt.example", "Admin Carl <admin@rcpt.example>"]
                .into_iter()
                .enumerate()
        {
            let mail = Mail::new(format!("first post {number} style {style}"), from, subject, text);
            mails.push(match style {
                0 => mail.with("User-Agent", "Mutt/2.2.9"),
                1 => mail.with("Return-Path", "<carl@rcpt.example>"),
                _ => mail,
            });
        }
    }
    mails
}

/// Posts to lists where mail is what people talk about.
fn threads() -> Vec<Mail> {
    let posts = [
        (
            "[mailop] 550 5.7.1 from provider.example",
            "Hi all,\n\nsince yesterday provider.example rejects our mail:\n\n  550 5.7.1 [192.0.2.1] Our system has detected unusual mail\n\nAnyone else? The message could not be delivered to user@provider.example.\n\nCarl",
        ),
        (
            "Re: [postfix] Undelivered Mail Returned to Sender",
            "On 2 Mar, Ben wrote:\n> <ann@example.net>: 550 5.1.1 user unknown\n\nSet soft_bounce = yes while you test. Then the mail is deferred.\n",
        ),
        (
            "[exim] Mail delivery failed: returning message to sender",
            "Hello,\n\nhow do I change the text of this bounce?\n\n  A message that you sent could not be delivered to one or more of its recipients.\n    ann@example.net\n      Unrouteable address\n\nRegards, Carl",
        ),
        (
            "[list] Delivery Status Notification parsing",
            "Parsers should look at Final-Recipient and Status: 5.1.1 only. What do you think?\n\nAction: failed\nFinal-Recipient: rfc822; ann@example.net\n",
        ),
    ];
    let mut mails = Vec::new();
    for (number, (subject, text)) in posts.into_iter().enumerate() {
        for (style, from) in
            ["Carl Example <carl@rcpt.example>", "Carl via list <list@lists.example>", "postmaster@rcpt.example"]
                .into_iter()
                .enumerate()
        {
            mails.push(
                Mail::new(format!("thread {number} style {style}"), from, subject, text)
                    .with("List-Id", "Mail talk <mail.lists.example>")
                    .with("List-Post", "<mailto:mail@lists.example>")
                    .with("List-Unsubscribe", "<mailto:mail-leave@lists.example>")
                    .with("Precedence", "list"),
            );
        }
    }
    mails
}

fn marked(text: &str) -> String {
    text.lines().map(|line| format!("> {line}\n")).collect()
}
