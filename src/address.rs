//! A mail address that can be put into a command line: parsed, checked, its domain as an A-label.
//!
//! RFC 5321 §4.1.2 `Mailbox`, with the UTF-8 local parts of RFC 6531. Comments, groups, source routes and display
//! names are not part of an address; [`Address::parse_mailbox`] takes the display name off.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A mail address: a local part and a domain.
///
/// The domain is kept in lower case and as an A-label (RFC 5890), the local part as it was given: only its own
/// host may say whether case matters there (RFC 5321 §2.4). An `Address` never holds CR, LF, NUL, `<` or `>`
/// outside a quoted local part that was checked, so it can be written into an SMTP command as it is.
///
/// ```
/// use returnpath::Address;
///
/// let ann: Address = "Ann.Smith@Bücher.example".parse()?;
/// assert_eq!(ann.local(), "Ann.Smith");
/// assert_eq!(ann.domain(), "xn--bcher-kva.example");
/// assert!("ann@a.example>\r\nRCPT TO:<eve@b.example".parse::<Address>().is_err());
/// # Ok::<(), returnpath::InvalidAddress>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// `local@domain`.
    text: Box<str>,
    /// Where the `@` stands.
    at: usize,
}

/// Why a text is not a mail address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("address {text:?}: {rule}")]
#[non_exhaustive]
pub struct InvalidAddress {
    text: String,
    rule: &'static str,
}

impl Address {
    /// The longest local part in octets (RFC 5321 §4.5.3.1.1).
    pub const MAX_LOCAL: usize = 64;
    /// The longest domain in octets (RFC 5321 §4.5.3.1.2).
    pub const MAX_DOMAIN: usize = 255;
    /// The longest address in octets: a path has 256 with its angle brackets (RFC 5321 §4.5.3.1.3).
    pub const MAX: usize = 254;

    /// What stands before the `@`, as it was given; quoted where it needs to be.
    pub fn local(&self) -> &str {
        &self.text[..self.at]
    }

    /// What stands after the `@`: a lower-case A-label domain, or an address literal in brackets.
    pub fn domain(&self) -> &str {
        &self.text[self.at + 1..]
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a remote host must offer SMTPUTF8 (RFC 6531) for this address: its local part is not ASCII.
    pub fn needs_smtputf8(&self) -> bool {
        !self.local().is_ascii()
    }

    /// The address of two parts that were checked before: a dot-string of at most 64 octets, and a lower-case A-label.
    pub(crate) fn from_checked(local: &str, domain: &str) -> Address {
        Address { text: [local, "@", domain].concat().into(), at: local.len() }
    }

    /// Reads `Name <local@domain>` or `local@domain`; answers the display name, if any, and the address.
    pub fn parse_mailbox(text: &str) -> Result<(Option<String>, Address), InvalidAddress> {
        let text = text.trim();
        let Some(inner) = text.strip_suffix('>') else {
            return Ok((None, text.parse()?));
        };
        let refuse = |rule| InvalidAddress::new(text, rule);
        let open = inner.rfind('<').ok_or_else(|| refuse("a closing `>` without an opening `<`"))?;
        let name = inner[..open].trim();
        if name.chars().any(char::is_control) {
            return Err(refuse("the display name has a control character"));
        }
        let name = match name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(quoted) => unquote(quoted),
            None => name.to_string(),
        };
        Ok(((!name.is_empty()).then_some(name), inner[open + 1..].parse()?))
    }
}

impl InvalidAddress {
    /// Shows the start of the text only: it may be anything, of any length.
    fn new(text: &str, rule: &'static str) -> InvalidAddress {
        InvalidAddress { text: text.chars().take(320).collect(), rule }
    }
}

/// The content of a quoted string (RFC 5322 §3.2.4): each backslash stands for the character behind it.
fn unquote(quoted: &str) -> String {
    let mut text = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        text.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    text
}

/// Checks a domain name and answers it in lower case as an A-label, without a final dot.
///
/// The rule that is broken is named: it becomes part of an error that names the field.
pub(crate) fn domain_to_ascii(domain: &str) -> Result<String, &'static str> {
    // No valid name is longer in UTF-8: a character has at most four octets, and at least one as an A-label.
    if domain.len() > 4 * Address::MAX_DOMAIN {
        return Err("the domain is longer than 255 octets");
    }
    let ascii = idna::domain_to_ascii_cow(domain.as_bytes(), idna::AsciiDenyList::URL)
        .map_err(|_| "the domain is not a valid internet name")?;
    let ascii = ascii.strip_suffix('.').unwrap_or(&ascii);
    if ascii.is_empty() {
        return Err("the domain is missing");
    }
    if ascii.len() > Address::MAX_DOMAIN {
        return Err("the domain is longer than 255 octets");
    }
    for label in ascii.split('.') {
        if label.is_empty() || label.len() > 63 {
            return Err("each label of the domain has 1 to 63 octets");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err("a label of the domain starts or ends with a hyphen");
        }
        if !label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            return Err("the domain has a character other than letters, digits, hyphens and dots");
        }
    }
    Ok(ascii.to_ascii_lowercase())
}

/// Checks what follows the `@`: a domain or an address literal.
fn check_domain(domain: &str) -> Result<String, &'static str> {
    let Some(literal) = domain.strip_prefix('[') else {
        return domain_to_ascii(domain);
    };
    let literal = literal.strip_suffix(']').ok_or("the address literal has no closing `]`")?;
    let valid = match literal.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("IPv6:") => literal[5..].parse::<std::net::Ipv6Addr>().is_ok(),
        _ => literal.parse::<std::net::Ipv4Addr>().is_ok(),
    };
    if valid { Ok(domain.to_ascii_lowercase()) } else { Err("the address literal is not an IP address") }
}

/// Checks a local part: a dot-string or a quoted string (RFC 5321 §4.1.2), or UTF-8 in their place (RFC 6531).
fn check_local(local: &str) -> Result<(), &'static str> {
    if local.is_empty() {
        return Err("the local part is missing");
    }
    if local.len() > Address::MAX_LOCAL {
        return Err("the local part is longer than 64 octets");
    }
    if let Some(quoted) = local.strip_prefix('"') {
        let quoted = quoted.strip_suffix('"').ok_or("the quoted local part has no closing quote")?;
        let mut escaped = false;
        for c in quoted.chars() {
            if c.is_control() {
                return Err("the local part has a control character");
            }
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => return Err("the quoted local part has a quote in its middle"),
                _ => {}
            }
        }
        return if escaped { Err("the quoted local part ends in a backslash") } else { Ok(()) };
    }
    for atom in local.split('.') {
        if atom.is_empty() {
            return Err("the local part starts or ends with a dot, or has two in a row");
        }
        for c in atom.chars() {
            let allowed = if c.is_ascii() {
                c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c)
            } else {
                !c.is_control() && !c.is_whitespace()
            };
            if !allowed {
                return Err("the local part has a character that must be quoted");
            }
        }
    }
    Ok(())
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Address, InvalidAddress> {
        let refuse = |rule| InvalidAddress::new(text, rule);
        let at = text.rfind('@').ok_or_else(|| refuse("there is no `@`"))?;
        check_local(&text[..at]).map_err(refuse)?;
        let domain = check_domain(&text[at + 1..]).map_err(refuse)?;
        if at + 1 + domain.len() > Address::MAX {
            return Err(refuse("the address is longer than 254 octets"));
        }
        Ok(Address { text: format!("{}@{domain}", &text[..at]).into(), at })
    }
}

impl TryFrom<&str> for Address {
    type Error = InvalidAddress;

    fn try_from(text: &str) -> Result<Address, InvalidAddress> {
        text.parse()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.text)
    }
}

impl PartialEq<str> for Address {
    fn eq(&self, other: &str) -> bool {
        *self.text == *other
    }
}

impl PartialEq<&str> for Address {
    fn eq(&self, other: &&str) -> bool {
        *self.text == **other
    }
}

impl AsRef<str> for Address {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn good_addresses_keep_their_local_part_and_fold_their_domain() {
        for (given, kept) in [
            ("ann@example.net", "ann@example.net"),
            ("Ann+tag@EXAMPLE.net", "Ann+tag@example.net"),
            ("\"john smith\"@example.net", "\"john smith\"@example.net"),
            ("\"a@b\"@example.net", "\"a@b\"@example.net"),
            ("jose@grå.example", "jose@xn--gr-zia.example"),
            ("josé@example.net", "josé@example.net"),
            ("ann@example.net.", "ann@example.net"),
            ("ann@[192.0.2.1]", "ann@[192.0.2.1]"),
            ("ann@[IPv6:2001:db8::1]", "ann@[ipv6:2001:db8::1]"),
        ] {
            assert_eq!(given.parse::<Address>().unwrap(), kept);
        }
    }

    #[test]
    fn bad_addresses_name_the_rule() {
        for (given, rule) in [
            ("ann", "no `@`"),
            ("@example.net", "missing"),
            ("ann@", "missing"),
            (".ann@example.net", "starts or ends with a dot"),
            ("an n@example.net", "must be quoted"),
            ("ann@exa mple.net", "not a valid internet name"),
            ("ann@-a.example", "hyphen"),
            ("ann@b>\r\nRCPT TO:<x@y", "must be quoted"),
            ("ann@b>\r\nRCPT TO:<x", "not a valid internet name"),
            ("\"ann\r\n\"@example.net", "control character"),
            ("ann@[300.0.0.1]", "not an IP address"),
            ("a\0b@example.net", "must be quoted"),
            ("", "no `@`"),
            ("\"@example.net", "no closing quote"),
            ("\"a\\\"@example.net", "ends in a backslash"),
            ("\"a\"b\"@example.net", "a quote in its middle"),
            ("ann@[192.0.2.1", "no closing `]`"),
            ("ann@[IPv6:192.0.2.1]", "not an IP address"),
            ("ann@a..example", "1 to 63 octets"),
            ("ann@example.net..", "1 to 63 octets"),
        ] {
            let error = given.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(rule), "{given:?}: {error}");
        }
    }

    #[test]
    fn every_length_has_its_limit() {
        let local = |n: usize| format!("{}@example.net", "a".repeat(n)).parse::<Address>();
        assert!(local(64).is_ok());
        assert!(local(65).unwrap_err().to_string().contains("longer than 64 octets"));
        let label = |n: usize| format!("ann@{}.example", "a".repeat(n)).parse::<Address>();
        assert!(label(63).is_ok() && label(64).is_err());
        let domain =
            |n: usize| format!("ann@{}", ["a.", "aa."][n % 2].repeat(n).trim_end_matches('.')).parse::<Address>();
        assert!(domain(124).is_ok());
        assert!(domain(126).unwrap_err().to_string().contains("longer than 254 octets"));
        assert!(domain(130).unwrap_err().to_string().contains("the domain is longer than 255"));
        let huge = format!("ann@{}", "ä".repeat(1 << 20)).parse::<Address>().unwrap_err().to_string();
        assert!(huge.contains("longer than 255 octets") && huge.len() < 2_000);
    }

    #[test]
    fn a_display_name_is_taken_off() {
        let (name, address) = Address::parse_mailbox("\"News, daily\" <news@example.org>").unwrap();
        assert_eq!((name.as_deref(), address.as_str()), (Some("News, daily"), "news@example.org"));
        assert_eq!(Address::parse_mailbox("news@example.org").unwrap().0, None);
        for (given, name) in [
            ("News daily <news@example.org>", Some("News daily")),
            ("<news@example.org>", None),
            ("\"\" <news@example.org>", None),
            ("  News<news@example.org> ", Some("News")),
            ("\"a \\\"b\\\" \\\\\" <news@example.org>", Some("a \"b\" \\")),
            ("a <b> <news@example.org>", Some("a <b>")),
        ] {
            let (found, address) = Address::parse_mailbox(given).unwrap();
            assert_eq!((found.as_deref(), address.as_str()), (name, "news@example.org"), "{given}");
        }
        for given in
            ["A\r\nBcc: x@y.example <news@example.org>", "news@example.org>", "<>", "News <news@example.org> x", ""]
        {
            assert!(Address::parse_mailbox(given).is_err(), "{given}");
        }
    }

    /// Texts of the characters that matter in an address.
    fn texts() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[a-zA-Z0-9.@\"\\\\<>\\[\\]: \r\n\0ßéÉ。_-]{0,24}",
            "[a-zé.+\"]{1,8}@[a-zA-ZßÉ0-9._-]{1,12}\\.example",
        ]
    }

    /// An address can be written into a command line and a header field, and reads back as itself.
    fn assert_safe(address: &Address) {
        let text = address.as_str();
        assert!(!text.chars().any(char::is_control), "{text:?}");
        assert!(text.len() <= Address::MAX && address.local().len() <= Address::MAX_LOCAL);
        assert!(address.local().starts_with('"') || !text.contains(['<', '>', ' ', ',', ';']), "{text:?}");
        assert!(address.domain().is_ascii() && address.domain().to_ascii_lowercase() == address.domain());
        assert_eq!(text.parse::<Address>().as_ref(), Ok(address));
        let json = serde_json::to_string(address).unwrap();
        assert_eq!(serde_json::from_str::<Address>(&json).unwrap(), *address);
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_a_safe_address(text in texts()) {
            if let Ok(address) = text.parse::<Address>() {
                assert_safe(&address);
                assert_eq!(address.needs_smtputf8(), !address.local().is_ascii());
            }
            if let Ok((name, address)) = Address::parse_mailbox(&text) {
                assert_safe(&address);
                assert!(!name.unwrap_or_default().chars().any(char::is_control));
            }
        }

        #[test]
        fn a_quoted_name_reads_back(name in "[^\\p{Cc}]{1,40}") {
            let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
            let (found, _) = Address::parse_mailbox(&format!("\"{quoted}\" <news@example.org>")).unwrap();
            assert_eq!(found, Some(name));
        }
    }
}
