//! A text made ready for matching: lower case, one space between words, and everything masked that is a name and not
//! a statement.
//!
//! "mail.nospam.example refused" does not speak of spam. Addresses become `@`; host names, IP addresses, links and
//! long ids become `^`; reply codes and enhanced codes are left out, since they are read elsewhere and would stand
//! between the words of a folded reply. The query of a link stays: providers put their own token there. The hosts
//! are kept apart: they tell who speaks.

/// How much of a text is read, in bytes. Replies are at most a few kilobytes (RFC 5321 §4.5.3.1.5 gives a line 512
/// octets), and a report says what it has to say early.
const MAX_READ: usize = 8 * 1024;
/// How many host names are kept: more do not tell who speaks.
const MAX_HOSTS: usize = 16;

/// A masked text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::verdict) struct Masked {
    /// What is matched.
    pub(super) text: String,
    /// Host names in the text, lower case.
    pub(super) hosts: Vec<String>,
}

impl Masked {
    /// Masks the first 8 KiB of a text.
    pub(in crate::verdict) fn new(raw: &str) -> Masked {
        let raw = &raw[..raw.floor_char_boundary(MAX_READ)];
        let mut masked = Masked { text: String::with_capacity(raw.len().min(1024)), hosts: Vec::new() };
        let mut rest = raw;
        while let Some(c) = rest.chars().next() {
            let length = rest.find(|c: char| !is_run(c)).unwrap_or(rest.len());
            if length == 0 {
                masked.push(c);
                rest = &rest[c.len_utf8()..];
            } else {
                let (run, after) = rest.split_at(length);
                rest = match after.strip_prefix("://") {
                    Some(link) => masked.link(link),
                    None => masked.run(run, after),
                };
            }
        }
        masked
    }

    /// One character that is part of no run.
    fn push(&mut self, c: char) {
        match c {
            _ if c.is_whitespace() || c.is_control() => {
                if !self.text.ends_with(' ') && !self.text.is_empty() {
                    self.text.push(' ');
                }
            }
            '\u{2018}' | '\u{2019}' | '`' => self.text.push('\''),
            // Brackets and quotes around a name would stand between it and the words beside it.
            '<' | '>' | '"' | '(' | ')' | '[' | ']' => {}
            _ if c.is_ascii() => self.text.push(c.to_ascii_lowercase()),
            _ => c.to_lowercase().for_each(|c| push_folded(&mut self.text, c)),
        }
    }

    /// A run of characters that names are made of. Answers what follows it.
    fn run<'t>(&mut self, run: &str, after: &'t str) -> &'t str {
        let bare = run.trim_end_matches(['.', '-', '=', '/', '_']);
        let tail = &run[bare.len()..];
        if bare.contains('@') && bare.len() > 1 {
            // Its domain is no speaker: a reply may quote the sender's address as well as the recipient's.
            self.text.push('@');
        } else {
            let mut rest = bare;
            while let Some(at) = rest.find(['=', '/', '+', '&']) {
                self.piece(&rest[..at]);
                self.text.push_str(&rest[at..=at]);
                rest = &rest[at + 1..];
            }
            self.piece(rest);
        }
        self.text.push_str(tail);
        after
    }

    /// A run without an `@` and without separators.
    fn piece(&mut self, piece: &str) {
        if is_code(piece) {
            // The space after it would leave two.
            if self.text.ends_with(' ') {
                self.text.pop();
            }
        } else if is_host(piece) {
            self.host(piece);
            self.text.push('^');
        } else if is_address(piece) || is_id(piece) {
            self.text.push('^');
        } else {
            for c in piece.chars() {
                self.push(c);
            }
        }
    }

    /// What follows `://`: the host is kept, the path dropped, the query read. Answers what follows the link.
    fn link<'t>(&mut self, link: &'t str) -> &'t str {
        let end =
            link.find(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"' | ')' | ']')).unwrap_or(link.len());
        let (link, after) = link.split_at(end);
        let host_end = link.find(['/', '?', ':', '#']).unwrap_or(link.len());
        self.host(&link[..host_end]);
        self.text.push('^');
        if let Some((_, query)) = link.split_once('?') {
            self.text.push('?');
            self.text.extend(query.chars().filter(|c| !c.is_control()).flat_map(char::to_lowercase));
        }
        after
    }

    fn host(&mut self, host: &str) {
        if self.hosts.len() < MAX_HOSTS && host.contains('.') {
            self.hosts.push(host.trim_matches('.').to_ascii_lowercase());
        }
    }
}

/// A lower-case text as the rules are matched: letters of the Latin script without their marks, since replies come
/// with them, without them, and in ASCII only.
pub(super) fn folded(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    text.chars().for_each(|c| push_folded(&mut folded, c));
    folded
}

fn push_folded(text: &mut String, c: char) {
    let plain = match c {
        'à'..='å' | 'ā' | 'ă' | 'ą' => "a",
        'æ' => "ae",
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => "c",
        'ď' | 'đ' | 'ð' => "d",
        'è'..='ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => "e",
        'ĝ' | 'ğ' | 'ġ' | 'ģ' => "g",
        'ĥ' | 'ħ' => "h",
        'ì'..='ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' => "i",
        'ķ' => "k",
        'ĺ' | 'ļ' | 'ľ' | 'ŀ' | 'ł' => "l",
        'ñ' | 'ń' | 'ņ' | 'ň' => "n",
        'ò'..='ö' | 'ø' | 'ō' | 'ŏ' | 'ő' => "o",
        'œ' => "oe",
        'ŕ' | 'ŗ' | 'ř' => "r",
        'ś' | 'ŝ' | 'ş' | 'š' | 'ș' => "s",
        'ß' => "ss",
        'ţ' | 'ť' | 'ŧ' | 'ț' => "t",
        'ù'..='ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' => "u",
        'ŵ' => "w",
        'ý' | 'ÿ' | 'ŷ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        // Marks that stand after their letter.
        '\u{300}'..='\u{36f}' => "",
        other => return text.push(other),
    };
    text.push_str(plain);
}

/// Characters of names: addresses, hosts, ids. Scripts that are written without spaces have sentences beside names.
fn is_run(c: char) -> bool {
    (c < '\u{e00}' && c.is_alphanumeric()) || matches!(c, '.' | '-' | '_' | '@' | '+' | '=' | '/' | '&' | '#')
}

/// `550`, `550-5.1.1`, `5.1.1`, `#5.1.1`: read elsewhere.
fn is_code(piece: &str) -> bool {
    let mut piece = piece.trim_start_matches('#');
    if let Some((basic, rest)) = piece.split_at_checked(3)
        && is_basic(basic)
    {
        piece = rest.trim_start_matches(['-', '#']);
        if piece.is_empty() {
            return true;
        }
    }
    let mut numbers = piece.split('.');
    matches!(numbers.next(), Some("2" | "4" | "5"))
        && numbers.clone().count() == 2
        && numbers.all(|n| (1..=3).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit()))
}

fn is_basic(text: &str) -> bool {
    matches!(text.as_bytes(), [b'2' | b'4' | b'5', b'0'..=b'9', b'0'..=b'9'])
}

fn is_address(piece: &str) -> bool {
    piece.parse::<std::net::Ipv4Addr>().is_ok()
}

/// A host name in running text: three labels or more, or two with a last label that ends host names. A full stop
/// without a space after it ("unknown.Please") is no host name.
fn is_host(piece: &str) -> bool {
    let mut labels = 0;
    let mut last = "";
    for label in piece.split('.') {
        if label.is_empty() || !label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            return false;
        }
        labels += 1;
        last = label;
    }
    let known = LAST_LABELS.iter().any(|label| last.eq_ignore_ascii_case(label));
    let letters = last.len() >= 2 && last.bytes().all(|b| b.is_ascii_alphabetic());
    // Longer last labels are rather the names of errors, with dots between their words.
    letters && labels >= 2 && (known || last.len() == 2 || (labels >= 3 && last.len() <= 6))
}

/// Last labels, longer than two letters, of host names with two labels.
const LAST_LABELS: [&str; 17] = [
    "com", "net", "org", "edu", "gov", "mil", "int", "info", "biz", "mobi", "name", "test", "example", "invalid",
    "local", "email", "cloud",
];

/// A queue id or a message id: long, letters and digits mixed.
fn is_id(piece: &str) -> bool {
    let digits = piece.bytes().filter(u8::is_ascii_digit).count();
    let letters = piece.bytes().filter(u8::is_ascii_alphabetic).count();
    // `ABC007_510` is a provider's own code.
    let is_token = piece.len() <= 12 && piece.contains('_');
    piece.len() >= 10 && digits >= 3 && letters >= 3 && !piece.contains('#') && !is_token
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_masked_and_words_are_kept() {
        for (raw, masked) in [
            ("Host mx10.mailspamprotection.example said: 550 Quota exceeded", "host ^ said: quota exceeded"),
            ("552 (user@rcpt.example:blocked)", "@:blocked"),
            ("550-5.1.1 does not exist. Try\r\n550-5.1.1 again", "does not exist. try again"),
            ("User unknown.Please check", "user unknown.please check"),
            ("192.0.2.1 is listed, see http://list.example/spam/virus?ip=x", "^ is listed, see ^?ip=x"),
            ("4Q2x3z9mKJzabc: \u{201c}don\u{2019}t\u{201d}", "^: \u{201c}don't\u{201d}"),
            ("RESOLVER.ADR.RecipientNotFound; not found", "resolver.adr.recipientnotfound; not found"),
            ("AUP#In-1310 [S3150]", "aup#in-1310 s3150"),
            ("[AB1NAM02FT061.zone1.mail.example.com]", "^"),
            ("收件人user@rcpt.example不存在", "收件人@不存在"),
            ("Boîte PLEINE, Usuário, Nie ma użytkownika, Größe", "boite pleine, usuario, nie ma uzytkownika, grosse"),
        ] {
            assert_eq!(Masked::new(raw).text.trim(), masked, "{raw:?}");
        }
    }

    #[test]
    fn hosts_are_kept_apart() {
        let masked = Masked::new("<a@one.example> at mx.two.example, https://three.example/x");
        assert_eq!(masked.hosts, ["mx.two.example", "three.example"]);
    }

    proptest! {
        #[test]
        fn any_text_is_masked_within_bounds(raw in ".{0,400}") {
            let masked = Masked::new(&raw);
            prop_assert!(masked.hosts.len() <= MAX_HOSTS);
            // Lower case may take more bytes than upper case, never more than three times as many.
            prop_assert!(masked.text.len() <= raw.len() * 3);
        }
    }
}
