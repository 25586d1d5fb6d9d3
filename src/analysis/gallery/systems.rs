//! What mail systems, lists and calendars write of themselves without returning anything.

use super::Mail;
use super::tongue::TONGUES;

pub(super) fn all() -> Vec<Mail> {
    [
        moderation(),
        challenges(),
        quotas(),
        aggregates(),
        receipts(),
        recalls(),
        calendars(),
        digests(),
        newsletters(),
        mails_of_hosts(),
    ]
    .concat()
}

fn moderation() -> Vec<Mail> {
    let letters = [
        (
            "Your message to News awaits moderator approval",
            "Your mail to 'News' with the subject\n\n    Undeliverable\n\nIs being held until the list moderator can review it for approval.\n\nThe reason it is being held:\n\n    Post by non-member to a members-only list\n",
        ),
        (
            "Request to mailing list News rejected",
            "Your request to the News mailing list\n\n    Posting of your message titled \"News of the week\"\n\nhas been rejected by the list moderator.  The moderator gave the following reason for rejecting your request:\n\n\"Non-members are not allowed to post messages to this list.\"\n",
        ),
        (
            "BOUNCE news@lists.example: Non-member submission from [carl@send.example]",
            "From carl@send.example Mon Mar  2\nTo the list owner: this post of a non-member waits for the moderator.\n",
        ),
        (
            "News post from carl@send.example requires approval",
            "As list administrator, your authorization is requested for the following mailing list posting:\n\n    List:    news@lists.example\n    From:    carl@send.example\n    Subject: Delivery failure\n    Reason:  Post by non-member to a members-only list\n",
        ),
        (
            "Rejected posting to NEWS@lists.example",
            "You are not authorized to send mail to the NEWS list from your carl@send.example account. You might be authorized to send to the list from another of your accounts.\n",
        ),
        (
            "MODERATE for news@lists.example",
            "The enclosed message was submitted to the news@lists.example mailing list. If you'd like to approve it, write to news-accept@lists.example. The moderator's decision is final.\n",
        ),
        (
            "Auto-discard notification",
            "The attached message has been automatically discarded by the mailing list administrator of news@lists.example.\n",
        ),
        (
            "Uncaught bounce notification",
            "The attached message was received as a bounce, but either the bounce format was not recognized, or no member addresses could be extracted from it. This mailing list has been configured to send all unrecognized bounce messages to the list administrator(s).\n",
        ),
        (
            "Bounce action notification",
            "This is a mailing list bounce action notice:\n\n    List:       News\n    Member:     ann@example.net\n    Action:     Subscription disabled.\n    Reason:     Excessive or fatal bounces.\n",
        ),
        (
            "confirm 0123456789abcdef",
            "Mailing list subscription confirmation notice for mailing list News\n\nWe have received a request for subscription of your email address. To confirm that you want to be added to this mailing list, simply reply to this message. Confirm your subscription.\n",
        ),
        (
            "The results of your email commands",
            "The results of your email command are provided below. Attached is your original message.\n\n- Results:\n    Ignoring non-text/plain MIME parts\n- Unprocessed:\n    Undeliverable\n\nThe results of your email commands to the mailing list\n",
        ),
        (
            "You have been unsubscribed from the News mailing list",
            "You have been unsubscribed from the mailing list News due to excessive bounces.\n",
        ),
        (
            "Ihre Nachricht an die Liste wartet auf Freigabe",
            "Ihre Nachricht an die Liste News wartet auf Freigabe durch den Listenmoderator. Grund: nur Mitglieder dürfen schreiben.\n",
        ),
        (
            "Votre message est en attente de modération",
            "Votre message à la liste de diffusion News est en attente de modération. Le modérateur va le lire.\n",
        ),
        (
            "Su mensaje está pendiente de aprobación",
            "Su mensaje a la lista de correo News está pendiente de aprobación por el moderador de la lista.\n",
        ),
        (
            "Ваше сообщение ожидает модерации",
            "Ваше сообщение в список рассылки News ожидает решения. Его прочитает модератор.\n",
        ),
        ("承認待ち: News", "メーリングリスト News への投稿はモデレータの承認待ちです。\n"),
    ];
    let mut mails = Vec::new();
    for (number, (subject, text)) in letters.into_iter().enumerate() {
        for (style, from) in
            ["news-bounces@lists.example", "News owner <news-owner@lists.example>", "mailman@lists.example"]
                .into_iter()
                .enumerate()
        {
            let mail = Mail::new(format!("moderation {number} style {style}"), from, subject, text);
            mails.push(match style {
                0 => mail.with("X-List-Administrivia", "yes").with("Precedence", "bulk").with("List-Id", "<news.lists.example>"),
                1 => mail.with("Auto-Submitted", "auto-generated"),
                _ => mail
                    .with("X-Mailman-Version", "2.1.39")
                    .part("Content-Type: message/rfc822", "From: carl@send.example\nSubject: Undeliverable\nMessage-ID: <m@send.example>\n\n550 5.1.1 user unknown\n"),
            });
        }
    }
    mails
}

fn challenges() -> Vec<Mail> {
    let letters = [
        (
            "Please confirm your message",
            "This message was created automatically. To release your message for delivery, please send an empty message to the following address, or use your mailer's \"Reply\" feature. Your message will be held until you confirm it.\n\n  ann-confirm-1268@rcpt.example\n",
        ),
        (
            "Re: News of the week (Action Required)",
            "Hello,\n\nYour message about \"News of the week\" was waitlisted.\n\nPlease add yourself to my Guest List so your messages will be delivered to my Inbox. Click the link below to be added:\n\nhttps://lists.example/crs?tc=1\n",
        ),
        (
            "Your email requires verification",
            "The message you sent requires that you verify that you are a real live human being and not a spam source. To complete this verification, simply reply to this message and leave the subject line intact.\n",
        ),
        (
            "Undelivered until you confirm: News",
            "I apologize for this automatic reply to your email. To control spam, I now allow incoming messages only from senders I have approved beforehand. If you would like to be added to my list of approved senders, please fill out the short request form: https://rcpt.example/form\n",
        ),
        (
            "Delivery of your mail: sender verification",
            "Your message to ann@rcpt.example has not been delivered yet. Please prove that you are human: enter the code shown on https://rcpt.example/c\n",
        ),
        (
            "Bestätigung erforderlich",
            "Bitte bestätigen Sie, dass Sie kein Programm sind. Damit Ihre Nachricht zugestellt wird, antworten Sie einfach auf diese Nachricht.\n",
        ),
        (
            "Confirmation d'envoi",
            "Pour que votre message soit remis, confirmez votre adresse en répondant à ce courriel.\n",
        ),
        ("Подтверждение отправителя", "Чтобы письмо дошло, подтвердите, что вы человек: ответьте на это письмо.\n"),
    ];
    let mut mails = Vec::new();
    for (number, (subject, text)) in letters.into_iter().enumerate() {
        for (style, from) in
            ["Ann Example <ann@rcpt.example>", "noreply@guard.example", "Mailer <mailer-daemon@rcpt.example>"]
                .into_iter()
                .enumerate()
        {
            let mail = Mail::new(format!("challenge {number} style {style}"), from, subject, text);
            mails.push(match style {
                0 => mail.with("Auto-Submitted", "auto-replied").with("Precedence", "bulk").null_sender(),
                1 => mail.with("In-Reply-To", "<m.1@send.example>"),
                _ => mail.null_sender(),
            });
        }
    }
    mails
}

fn quotas() -> Vec<Mail> {
    let mut mails = Vec::new();
    for tongue in TONGUES {
        let [subject, text] = tongue.quota;
        for (style, from) in
            ["postmaster@send.example", "Mail Delivery System <MAILER-DAEMON@send.example>", "noreply@send.example"]
                .into_iter()
                .enumerate()
        {
            let mail = Mail::new(format!("quota in {} style {style}", tongue.code), from, subject, text);
            mails.push(if style == 1 { mail.null_sender() } else { mail.with("Auto-Submitted", "auto-generated") });
        }
    }
    let english = [
        "Your mailbox b-tok@send.example has exceeded its storage limit. Messages to you could not be delivered and were returned to their senders.",
        "Dear user,\n\nyour mailbox has reached 100 % of its quota. Incoming mail is rejected with 552 until you delete some messages.",
    ];
    for (number, text) in english.into_iter().enumerate() {
        mails.push(Mail::new(
            format!("quota text {number}"),
            "postmaster@send.example",
            "Quota warning: messages could not be delivered",
            text,
        ));
    }
    mails
}

fn aggregates() -> Vec<Mail> {
    let mut mails = Vec::new();
    let froms = [
        "noreply-dmarc@provider.example",
        "postmaster@provider.example",
        "\"Mail Delivery\" <mailer-daemon@provider.example>",
    ];
    let subjects = [
        "Report Domain: send.example Submitter: provider.example Report-ID: <2026.03.02@provider.example>",
        "Report domain: send.example; Submitter: provider.example; Report-ID: 55051",
        "DMARC Aggregate Report for send.example",
        "[Preview] Report Domain: send.example Submitter: provider.example",
    ];
    let texts = [
        "",
        "This is an aggregate report from provider.example. Rejected messages were not delivered: 12.",
        "This is a DMARC report. 550 5.7.26 messages failed authentication.",
    ];
    for (number, subject) in subjects.into_iter().enumerate() {
        for (style, from) in froms.into_iter().enumerate() {
            let name = "provider.example!send.example!1772323200!1772409599.xml.gz";
            mails.push(
                Mail::new(format!("DMARC {number} style {style}"), from, subject, texts[style])
                    .part(format!("Content-Type: application/gzip; name=\"{name}\"\r\nContent-Disposition: attachment; filename=\"{name}\"\r\nContent-Transfer-Encoding: base64"), "H4sIAAAAAAAA/w=="),
            );
        }
    }
    for (style, from) in froms.into_iter().enumerate() {
        mails.push(
            Mail::new(
                format!("TLS style {style}"),
                from,
                "Report Domain: send.example Submitter: provider.example Report-ID: <1@provider.example>",
                "This is an aggregate TLS report. Failed sessions: 3.",
            )
            .with("TLS-Report-Domain", "send.example")
            .with("TLS-Report-Submitter", "provider.example")
            .container("multipart/report; report-type=\"tlsrpt\"")
            .part("Content-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64", "H4sIAAAAAAAA/w=="),
        );
    }
    mails
}

fn receipts() -> Vec<Mail> {
    let letters = [
        (
            "Read: News of the week",
            "Your message\n\n    To: Ann Example\n    Subject: News of the week\n    Sent: Monday\n\nwas read on Monday, 2 March 2026.",
            "displayed",
        ),
        (
            "Not read: News of the week",
            "Your message\n\n    To: ann@rcpt.example\n    Subject: Undeliverable\n\nwas deleted without being read on Monday.",
            "deleted",
        ),
        (
            "Gelesen: Neues",
            "Ihre Nachricht\n\nAn: Ann\nBetreff: Neues\n\nwurde gelesen am Montag, 2. März 2026.",
            "displayed",
        ),
        ("Lu : Nouvelles", "Votre message à Ann a été lu le lundi 2 mars.", "displayed"),
        ("Leído: Noticias", "Su mensaje fue leído el lunes.", "displayed"),
        ("Прочитано: Новости", "Ваше сообщение было прочитано.", "displayed"),
        ("開封済み: ニュース", "メッセージは開封されました。", "displayed"),
        ("已读: 新闻", "您的邮件已被阅读。", "displayed"),
        (
            "Return Receipt (displayed) - News",
            "This is a Return Receipt for the mail that you sent to ann@rcpt.example.\n\nNote: This Return Receipt only acknowledges that the message was displayed on the recipient's computer. There is no guarantee that the recipient has read or understood the message contents.",
            "displayed",
        ),
    ];
    let mut mails = Vec::new();
    for (number, (subject, text, disposition)) in letters.into_iter().enumerate() {
        let mail = Mail::new(format!("receipt {number}"), "Ann Example <ann@rcpt.example>", subject, text);
        mails.push(mail.clone().null_sender());
        mails.push(mail.container("multipart/report; report-type=disposition-notification").part(
            "Content-Type: message/disposition-notification",
            format!("Reporting-UA: mail.rcpt.example\nFinal-Recipient: rfc822; ann@rcpt.example\nOriginal-Message-ID: <m.1@send.example>\nDisposition: manual-action/MDN-sent-manually; {disposition}\n"),
        ));
    }
    mails
}

fn recalls() -> Vec<Mail> {
    let letters = [
        (
            "Recall: Undeliverable addresses",
            "Carl Example would like to recall the message, \"Undeliverable addresses\".",
        ),
        (
            "Message Recall Report for message: News",
            "Your attempt to recall the message was processed. Recall failed for 1 recipient: ann@rcpt.example.",
        ),
        (
            "Message Recall Failure: News of the week",
            "Your message\n\nTo: Ann\nSubject: News of the week\n\ncould not be recalled. The message recall failed.",
        ),
        ("Rückruf: Neues", "Carl möchte die Nachricht \"Neues\" zurückrufen."),
        ("Rappel : Nouvelles", "Carl souhaite rappeler le message « Nouvelles »."),
        ("撤回: 新闻", "Carl 希望撤回邮件“新闻”。"),
    ];
    let mut mails = Vec::new();
    for (number, (subject, text)) in letters.into_iter().enumerate() {
        mails.push(Mail::new(format!("recall {number}"), "Carl Example <carl@rcpt.example>", subject, text));
        mails.push(
            Mail::new(format!("recall {number} of a system"), "postmaster@rcpt.example", subject, text).null_sender(),
        );
    }
    mails
}

fn calendars() -> Vec<Mail> {
    let mut mails = Vec::new();
    for (subject, text) in [
        ("Accepted: Delivery failure review", "Ann has accepted this invitation."),
        ("Declined: 5.1.1 planning", "Sorry, cannot make it. The room could not be delivered."),
        ("Zugesagt: Zustellung", "Ann hat zugesagt."),
        ("Canceled: Bounce meeting", "The meeting is off."),
    ] {
        for from in ["Ann Example <ann@rcpt.example>", "calendar-notification@rcpt.example"] {
            let mail = Mail::new(format!("calendar {subject} from {from}"), from, subject, text);
            mails.push(mail.clone().container("multipart/alternative").part(
                "Content-Type: text/calendar; method=REPLY; charset=utf-8",
                "BEGIN:VCALENDAR\nMETHOD:REPLY\nBEGIN:VEVENT\nATTENDEE;PARTSTAT=ACCEPTED:mailto:ann@rcpt.example\nEND:VEVENT\nEND:VCALENDAR\n",
            ));
            mails.push(mail);
        }
    }
    mails
}

fn digests() -> Vec<Mail> {
    let log = "Mar  2 10:15:01 mx postfix/smtp[811]: 4AB: to=<ann@example.net>, relay=mx.example.net[192.0.2.7]:25, dsn=5.1.1, status=bounced (host mx.example.net said: 550 5.1.1 User unknown)\n\
        Mar  2 10:15:02 mx postfix/smtp[811]: 4AC: to=<bob@example.net>, dsn=4.2.2, status=deferred (452 4.2.2 mailbox full)\n\
        Mar  2 10:15:03 mx postfix/smtp[811]: 4AD: to=<carl@example.net>, dsn=2.0.0, status=sent (250 Ok)\n\
        Mar  2 10:15:09 mx postfix/qmgr[99]: 4AE: removed\n";
    let tables = [
        ("Daily delivery report", "Delivery report for 2 March\n\n  delivered   1204\n  deferred      17\n  bounced        3\n\nmessage bounce detail (by relay)\n  ann@example.net   550 5.1.1 User unknown\n  bob@example.net   552 5.2.2 mailbox full\n".to_string()),
        ("Cron <root@mx> /usr/local/bin/mailcheck", log.to_string()),
        ("Postfix log summaries for Mar 2", format!("Grand Totals\n------------\nmessages\n\n    412   received\n    400   delivered\n      3   bounced\n\nmessage bounce detail (by relay)\n{log}")),
        ("Logwatch for mx.example.org (Linux)", format!(" --------------------- Postfix Begin ------------------------\n\n   3   Bounced (remote)\n   1      550: User unknown\n\n{log}")),
        ("Weekly summary: undeliverable mail", "These addresses could not be delivered to this week:\n\nann@example.net: user unknown\nbob@example.net: mailbox full\ncarl@example.net: no such user\n".to_string()),
        ("Tagesbericht Mailserver", "Nicht zugestellt: 3\n\nann@example.net: 550 5.1.1\nbob@example.net: 552 5.2.2\n".to_string()),
        ("Rapport quotidien de messagerie", "Messages non distribués : 3\n\nann@example.net : 550 5.1.1\n".to_string()),
        ("日次レポート: メール配信", "配信できませんでした: 3\n\nann@example.net: 550 5.1.1\n".to_string()),
        ("Mail queue status for mx", "4AB*  2041 Mon Mar  2 10:15:01 news@send.example\n (host mx.example.net said: 450 4.2.1 try later)\n    ann@example.net\n".to_string()),
    ];
    let mut mails = Vec::new();
    for (number, (subject, text)) in tables.into_iter().enumerate() {
        for (style, from) in [
            "root <root@mx.example.org>",
            "postmaster@mx.example.org",
            "Mail System <MAILER-DAEMON@mx.example.org>",
            "noreply@monitor.example",
        ]
        .into_iter()
        .enumerate()
        {
            let mail = Mail::new(format!("digest {number} style {style}"), from, subject, text.clone());
            mails.push(match style {
                0 => mail.with("X-Cron-Env", "<SHELL=/bin/sh>").with("Auto-Submitted", "auto-generated"),
                1 => mail.with("Auto-Submitted", "auto-generated"),
                _ => mail,
            });
        }
    }
    mails
}

fn newsletters() -> Vec<Mail> {
    let letters = [
        (
            "Why your mail bounces, and what to do",
            "Hard bounces (550 5.1.1 user unknown) and soft bounces (452 4.2.2 mailbox full) explained. If a message could not be delivered, remove the address.\n\nRead more: https://news.example/bounces",
        ),
        (
            "Undeliverable? Ten tips for better deliverability",
            "\"Your message could not be delivered\" is what nobody wants to read. Example: <ann@example.net>: 550 5.1.1 User unknown.\n\nUnsubscribe: https://news.example/u",
        ),
        (
            "Delivery failed? Now 20 % off on all parcels",
            "Our couriers will retry! Order now at https://shop.example/ and we will deliver.",
        ),
        (
            "Mail delivery failed: returning message to sender – the podcast",
            "Episode 55: how Exim writes its reports. Listen at https://pod.example/550",
        ),
        (
            "Zustellung fehlgeschlagen? So geht es besser",
            "Wenn Ihre Nachricht nicht zugestellt werden konnte: 550 5.1.1 erklärt. Mehr: https://news.example/de",
        ),
        (
            "Returned mail and returned love: new fiction",
            "A user unknown, a mailbox full of letters. https://books.example/new",
        ),
        ("Votre message n'a pas pu être remis : le guide", "Tout sur les codes 550 et 552. https://news.example/fr"),
    ];
    let mut mails = Vec::new();
    for (number, (subject, text)) in letters.into_iter().enumerate() {
        for (style, from) in
            ["Mail News <news@news.example>", "The Postmaster <postmaster@news.example>", "mailer@news.example"]
                .into_iter()
                .enumerate()
        {
            let mail = Mail::new(format!("newsletter {number} style {style}"), from, subject, text)
                .with("List-Unsubscribe", "<https://news.example/u>")
                .with("List-Unsubscribe-Post", "List-Unsubscribe=One-Click");
            mails.push(if style == 1 {
                mail.with("Precedence", "bulk")
            } else {
                mail.with("List-Id", "<n.news.example>")
            });
        }
    }
    mails
}

/// What a host tells its users.
fn mails_of_hosts() -> Vec<Mail> {
    let letters = [
        (
            "Welcome to your new mailbox",
            "Your mailbox is ready. Mail that cannot be delivered is returned to its sender.",
        ),
        (
            "Scheduled maintenance of the mail system",
            "Mail will be delayed on Sunday between 02:00 and 04:00. Messages that arrive meanwhile will be retried.",
        ),
        ("Your password was changed", "The password of your mailbox was changed. If that was not you, contact us."),
        ("Test message", "This is a test message from the mail system. Please ignore it."),
        ("Virus signatures updated", "Signature 5.5.0 was installed. No message was rejected."),
    ];
    let mut mails = Vec::new();
    for (number, (subject, text)) in letters.into_iter().enumerate() {
        for (style, from) in
            ["postmaster@send.example", "Mail Delivery Subsystem <MAILER-DAEMON@send.example>", "admin@send.example"]
                .into_iter()
                .enumerate()
        {
            let mail = Mail::new(format!("host {number} style {style}"), from, subject, text);
            mails.push(if style == 1 { mail.null_sender() } else { mail });
        }
    }
    mails
}
