//! The ways in which one address may stand in a text, and taking it out of there.
//!
//! Large and small letters are the same here, also in the local part, where the standard would tell them apart
//! (RFC 5321 §2.4): who asks to be forgotten means every spelling. A local part may be quoted where it need not be
//! (RFC 5321 §4.1.2); a report repeats an address in xtext (RFC 3461 §4) or with its letters as numbers (RFC 6533 §3);
//! a domain may stand as an A-label or as what a person reads (RFC 5890).
//!
//! What is encoded as a whole – base64, quoted-printable, a compressed attachment – is not decoded.

use std::fmt::Write as _;

use aws_lc_rs::hmac;
use serde_json::Value;

use crate::address::Address;

/// What stands where the address stood. It is an address itself, so that a field that must hold one still does.
const BLANK: &str = "forgotten@forgotten.invalid";

/// The ways to write one address, in lower case. The first is the one under which its hash is kept.
#[derive(Debug, Clone)]
pub(crate) struct Spellings {
    all: Vec<String>,
}

impl Spellings {
    pub(crate) fn of(address: &Address) -> Spellings {
        let local = address.local().to_lowercase();
        let domain = address.domain().to_lowercase();
        let content = unquoted(&local);
        let quoted = format!("\"{}\"", content.replace('\\', "\\\\").replace('"', "\\\""));
        let (readable, _) = idna::domain_to_unicode(&domain);
        let domains = [readable.to_lowercase(), numbered(&readable)];
        let mut all = vec![format!("{local}@{domain}")];
        for local in [xtext(&local), numbered(&local), xtext(&content), quoted, local] {
            for domain in domains.iter().chain([&domain]) {
                let spelling = format!("{local}@{domain}").to_lowercase();
                if !all.contains(&spelling) {
                    all.push(spelling);
                }
            }
        }
        Spellings { all }
    }

    /// What is kept of the address, to know it again: a hash under the secret of the store.
    pub(crate) fn hash(&self, secret: &[u8]) -> [u8; 32] {
        let canonical = self.all.first().map_or("", String::as_str);
        let hash = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), canonical.as_bytes());
        hash.as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    /// Whether the text is the address.
    pub(crate) fn is(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.all.contains(&text)
    }

    /// Whether the text names the address; one that only ends or begins like it is another one.
    pub(crate) fn is_in(&self, text: &[u8]) -> bool {
        self.find(text).is_some()
    }

    /// Whether a JSON text names the address in its strings or names. Letters may be escaped in it, so it is looked at
    /// as what it means.
    pub(crate) fn is_in_json(&self, stored: &str) -> bool {
        self.blanked_json(stored).is_some()
    }

    /// Whether the address is the recipient that the record of an event names.
    pub(crate) fn is_recipient_in(&self, record: &str) -> bool {
        let value: Option<Value> = serde_json::from_str(record).ok();
        value.as_ref().and_then(|value| value.get("recipient")?.as_str()).is_some_and(|to| self.is(to))
    }

    /// Where the address stands first, in whichever spelling.
    fn find(&self, text: &[u8]) -> Option<(usize, usize)> {
        let places = self.all.iter().filter_map(|spelling| {
            let wanted = spelling.as_bytes();
            let before = memchr::memchr(b'@', wanted)?;
            memchr::memchr_iter(b'@', text).find_map(|at| {
                let start = at.checked_sub(before)?;
                let end = start + wanted.len();
                let is_whole = !continues_before(text.get(..start)?) && !continues_behind(text.get(end..)?);
                (is_whole && equal(text.get(start..end)?, wanted)).then_some((start, end))
            })
        });
        // Of two that begin together the longer one.
        places.min_by_key(|(start, end)| (*start, usize::MAX - end))
    }

    /// The text with the address blanked; `None` if it does not name it.
    pub(crate) fn blanked(&self, text: &str) -> Option<String> {
        let mut rest = text;
        let mut out = String::new();
        // Both ends are next to ASCII or at a letter's beginning: the spelling is whole UTF-8.
        while let Some((start, end)) = self.find(rest.as_bytes()) {
            out.push_str(rest.get(..start).unwrap_or_default());
            out.push_str(BLANK);
            rest = rest.get(end..).unwrap_or_default();
        }
        if out.is_empty() {
            return None;
        }
        out.push_str(rest);
        Some(out)
    }

    /// As [`Spellings::blanked`], within the strings and names of a JSON text. What is no JSON is blanked as text.
    pub(crate) fn blanked_json(&self, stored: &str) -> Option<String> {
        let Ok(mut value) = serde_json::from_str(stored) else { return self.blanked(stored) };
        self.blank_value(&mut value).then(|| value.to_string())
    }

    fn blank_value(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) => match self.blanked(text) {
                Some(blanked) => {
                    *text = blanked;
                    true
                }
                None => false,
            },
            Value::Array(values) => values.iter_mut().fold(false, |changed, value| self.blank_value(value) | changed),
            Value::Object(fields) => {
                let mut changed = fields.values_mut().fold(false, |changed, value| self.blank_value(value) | changed);
                let names: Vec<(String, String)> =
                    fields.keys().filter_map(|name| Some((name.clone(), self.blanked(name)?))).collect();
                for (name, blanked) in names {
                    if let Some(value) = fields.remove(&name) {
                        fields.insert(blanked, value);
                        changed = true;
                    }
                }
                changed
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
}

/// The content of a local part that may be a quoted string.
fn unquoted(local: &str) -> String {
    let Some(quoted) = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return local.to_owned() };
    let mut content = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        content.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    content
}

/// xtext (RFC 3461 §4): all but visible ASCII, `+` and `=` as `+` and two digits.
fn xtext(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~' if !b"+=".contains(&byte) => out.push(char::from(byte)),
            _ => write!(out, "+{byte:02x}").expect("a string takes all"),
        }
    }
    out
}

/// utf-8-addr-xtext (RFC 6533 §3): all but visible ASCII, `\`, `+` and `=` as `\x{…}`.
fn numbered(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '!'..='~' if !"\\+=".contains(c) => out.push(c),
            _ => write!(out, "\\x{{{:x}}}", u32::from(c)).expect("a string takes all"),
        }
    }
    out
}

fn equal(found: &[u8], wanted: &[u8]) -> bool {
    found.eq_ignore_ascii_case(wanted)
        || (!wanted.is_ascii()
            && std::str::from_utf8(found).is_ok_and(|found| found.to_lowercase().as_bytes() == wanted))
}

/// Whether a local part goes on to the left of an address.
fn continues_before(before: &[u8]) -> bool {
    before.last().is_some_and(|byte| byte.is_ascii_alphanumeric() || b"._-+".contains(byte) || *byte >= 0x80)
}

/// Whether a domain goes on to the right of an address.
fn continues_behind(behind: &[u8]) -> bool {
    let goes_on = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte >= 0x80;
    match behind {
        [b'.', next, ..] => goes_on(next),
        [next, ..] => goes_on(next),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str) -> Spellings {
        Spellings::of(&address.parse().unwrap())
    }

    #[test]
    fn an_address_is_found_whole_and_in_any_case() {
        let ann = of("Ann@Example.org");
        for (text, named) in [
            ("<ANN@example.ORG>", true),
            ("rfc822;ann@example.org.", true),
            ("joann@example.org", false),
            ("jo.ann@example.org, ann@example.org", true),
            ("ann@example.org.example", false),
            ("ann@example.orgs", false),
            ("to.ann@example.org", false),
            ("ann@", false),
            ("@example.org", false),
            ("", false),
        ] {
            assert_eq!(ann.is_in(text.as_bytes()), named, "{text}");
            assert_eq!(ann.blanked(text).is_some(), named, "{text}");
        }
        assert_eq!(ann.blanked("a ann@example.org b ANN@EXAMPLE.ORG").unwrap(), format!("a {BLANK} b {BLANK}"));
        let escaped = r#"{"text":"to\nann@example.org","ann@example.org":1}"#;
        assert!(!ann.blanked_json(escaped).unwrap().contains("ann@"));
        let blank: Address = BLANK.parse().unwrap();
        assert_eq!(blank.as_str(), BLANK);
    }

    #[test]
    fn each_spelling_is_the_same_address() {
        for (address, spellings) in [
            ("ann@example.org", &["\"Ann\"@example.org"][..]),
            ("ann+news=x@example.org", &["ann+2Bnews+3Dx@example.org", r"ann\x{2B}news\x{3D}x@example.org"]),
            ("\"ann smith\"@example.org", &["\"Ann Smith\"@example.org", "\"ann+20smith\"@example.org"]),
            (
                "ann@xn--bcher-kva.example",
                &["Ann@Bücher.example", "ANN@BÜCHER.example", r"ann@b\x{FC}cher.example", "ann@XN--bcher-kva.example"],
            ),
            ("Änn@example.org", &["änn@example.org", "+C3+A4nn@example.org", r"\x{E4}nn@example.org"]),
        ] {
            let spelled = of(address);
            for spelling in spellings {
                for text in [spelling.to_string(), format!("550 <{spelling}>: no such user")] {
                    let blanked = spelled.blanked(&text).unwrap_or_else(|| panic!("{address} in {text}"));
                    assert!(blanked.contains(BLANK) && !blanked.contains("nn"), "{text}: {blanked}");
                }
            }
        }
    }

    #[test]
    fn the_first_of_two_spellings_hides_no_second_one() {
        let ann = of("ann+x@example.org");
        assert_eq!(ann.blanked("ann+2Bx@example.org, ann+x@example.org").unwrap(), format!("{BLANK}, {BLANK}"));
        assert_eq!(ann.blanked("ann+x@example.org, ann+2Bx@example.org").unwrap(), format!("{BLANK}, {BLANK}"));
    }

    #[test]
    fn what_is_no_json_is_blanked_as_text() {
        assert_eq!(of("ann@example.org").blanked_json("{ann@example.org").unwrap(), format!("{{{BLANK}"));
    }

    #[test]
    fn the_hash_is_of_the_address_and_not_of_its_spelling() {
        let hash = |address: &str| of(address).hash(&[7; 32]);
        assert_eq!(hash("Ann@Bücher.example"), hash("ann@xn--bcher-kva.example"));
        assert_ne!(hash("ann@example.org"), hash("anna@example.org"));
        assert_ne!(of("ann@example.org").hash(&[7; 32]), of("ann@example.org").hash(&[8; 32]));
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic_or_leaves_the_address(before: String, behind: String) {
            let ann = of("änn@bücher.example");
            let blanked = ann.blanked(&format!("{before} änn@bücher.example {behind}")).unwrap();
            proptest::prop_assert!(!ann.is_in(blanked.as_bytes()));
        }
    }
}
