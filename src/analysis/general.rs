//! What is general names no product, company or host: the files for prose, reports and parts, their tables, and the
//! rules that anyone may speak. What is known of one system stands in `dialect/`, or in a rule with its speaker.

/// Names of mail systems, services and providers.
const NAMES: &str = "postfix sendmail exim qmail exchange microsoft outlook hotmail gmail google yahoo aol domino lotus \
    groupwise novell barracuda mimecast symantec interscan trendmicro amazon amazonaws amazonses facebook apple icloud zoho \
    yandex tencent netease docomo softbank ezweb verizon courier opensmtpd haraka nullmailer chasquid mdaemon imail \
    mailenable kerio surgemail icewarp merak communigate xmail hmailserver zimbra james messagelabs proofpoint spamhaus \
    spamcop sendgrid mailgun sparkpost office365 godaddy secureserver comcast cloudmark dovecot cyrus stalwart kumomta \
    powermta momentum orange wanadoo gmx kundenserver mailru rambler naver daum hinet biglobe";

const FILES: [(&str, &str); 15] = [
    ("letter.rs", include_str!("letter.rs")),
    ("prose.rs", include_str!("prose.rs")),
    ("labels.rs", include_str!("labels.rs")),
    ("labels.tsv", include_str!("labels.tsv")),
    ("transcript.rs", include_str!("transcript.rs")),
    ("original.rs", include_str!("original.rs")),
    ("html.rs", include_str!("html.rs")),
    ("parts.rs", include_str!("parts.rs")),
    ("dsn.rs", include_str!("dsn.rs")),
    ("mailbox.rs", include_str!("mailbox.rs")),
    ("fields.rs", include_str!("fields.rs")),
    ("charset.rs", include_str!("charset.rs")),
    ("arf.rs", include_str!("arf.rs")),
    ("signs.rs", include_str!("signs.rs")),
    ("signs.tsv", include_str!("signs.tsv")),
];

const RULES: [(&str, &str); 5] = [
    ("phrases.tsv", include_str!("../verdict/rules/phrases.tsv")),
    ("words.tsv", include_str!("../verdict/rules/words.tsv")),
    ("generic.tsv", include_str!("../verdict/rules/generic.tsv")),
    ("languages.tsv", include_str!("../verdict/rules/languages.tsv")),
    ("tokens.tsv", include_str!("../verdict/rules/tokens.tsv")),
];

/// The first name in a text.
fn named(text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric());
    words
        .filter(|word| !word.is_empty())
        .find(|word| NAMES.split_whitespace().any(|name| name == *word))
        .map(str::to_string)
}

#[test]
fn general_files_name_nobody() {
    for (file, text) in FILES {
        // Tests may show who writes what.
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for (number, line) in code.lines().enumerate() {
            assert_eq!(named(line), None, "{file} line {}: {line}", number + 1);
        }
    }
}

#[test]
fn general_rules_name_nobody() {
    for (file, table) in RULES {
        let rows = table.lines().filter(|line| !line.starts_with('#'));
        for row in rows.map(|line| line.split('\t').collect::<Vec<_>>()).filter(|row| row.get(1) == Some(&"any")) {
            assert_eq!(named(row[2]), None, "{file}: {row:?}");
        }
    }
}

#[test]
fn names_are_found_as_words_only() {
    assert_eq!(named("# Exim writes").as_deref(), Some("exim"));
    assert_eq!(named("jameson exchanges apples"), None);
}
